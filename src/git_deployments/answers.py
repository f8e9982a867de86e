"""One version whole as a row, and many of them from one process: `show --batch` (design, "Hooks").

Refs are asked anew for each question, through the one process that reads objects. What was answered
before is said again only while the refs that it follows from are the same: objects never change.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from git_deployments.codec import SETTINGS_FILE, SNAPSHOT, parse_event, parse_version
from git_deployments.document import parse_document
from git_deployments.errors import DeploymentsError
from git_deployments.git import Object
from git_deployments.history import State, creator, find, is_name, pointer, properties, settings
from git_deployments.model import PROPERTIES, SETTINGS, Event, Version
from git_deployments.refs import LIVE, LOG, VERSIONS, prefix
from git_deployments.render import Row, properties_row, version_row
from git_deployments.repository import Repository
from git_deployments.resolve import resolve

_KEPT = 4096
"""Answers that are kept."""


def show_row(repository: Repository, state: State, version: Version) -> Row:
    """A version with all its properties, and the settings as they stand now."""
    first = creator(repository, pointer(version))
    configuration = properties(repository, version)
    return {
        **version_row(version, state.live.commit if state.live else None, first),
        "properties": properties_row(version, configuration, first),
        "settings": settings(repository, state.event),
    }


class _Refs(NamedTuple):
    """The refs that an answer follows from: object ids."""

    live: str | None
    log: str
    latest: str | None
    """`versions/<n>` of the latest version."""
    beyond: str | None
    """`versions/<n>` of the number after it."""


class _Tip(NamedTuple):
    """A deployment as its newest event tells it."""

    event: Event
    refs: _Refs


class Answers:
    """Answers to lines of `NAME`, or `NAME<tab>VERSION`."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._latest: dict[str, int] = {}
        """The highest number of each deployment when it was last asked about."""
        self._known: dict[tuple[str, str], tuple[_Refs, str]] = {}
        self._plain: dict[str, bool] = {}

    def line(self, question: str) -> str:
        """One line of JSON: the object of `show --json`, or one with `name` and `error`."""
        try:
            name, words = self._asked(question)
            return self._quick(name, words) or self._thorough(name, words)
        except DeploymentsError as error:
            return _json({"name": question, "error": str(error)})

    def _asked(self, question: str) -> tuple[str, str]:
        """Name and version. A blank may divide them too, where that is not the name of a deployment."""
        name, tab, words = question.partition("\t")
        if tab or " " not in question:
            return name, words or LIVE
        if is_name(question) and self._repository.reading.find(prefix(question) + LOG):
            return question, LIVE
        name, _, words = question.rpartition(" ")
        return name, words

    def _quick(self, name: str, words: str) -> str | None:
        """The answer where nothing about the deployment is out of the ordinary; else None."""
        tip = self._tip(name) if is_name(name) else None
        if tip is None:
            return None
        known = self._known.get((name, words))
        if known and known[0] == tip.refs:
            return known[1]
        number = self._number(words, tip.event)
        row = self._row(tip, number) if number else None
        if row is None:
            state = find(self._repository, name)
            row = show_row(self._repository, state, resolve(self._repository, state, words))
        if len(self._known) >= _KEPT:
            self._known.clear()
        answer = _json(row)
        self._known[(name, words)] = (tip.refs, answer)
        return answer

    def _tip(self, name: str) -> _Tip | None:
        """None where the refs do not simply say what the newest event says."""
        base, several = prefix(name), self._repository.reading.several
        guess = self._latest.get(name, 0)
        live, log, at_latest, beyond = several([base + LIVE, base + LOG, *_around(base, guess)])
        event = parse_event(log) if log else None
        if event is None or event.name != name or event.live_commit != _oid(live):
            return None
        latest = event.latest or 0
        if latest != guess:
            at_latest, beyond = several(_around(base, latest))
        self._latest[name] = latest
        if beyond or (at_latest and at_latest.oid != event.latest_commit):
            return None
        return _Tip(event, _Refs(_oid(live), event.commit, _oid(at_latest), None))

    def _number(self, words: str, event: Event) -> int | None:
        """The number of the version that is meant, where the words can mean no other one."""
        if words == LIVE:
            return event.after
        digits = _digits(words)
        if not digits or int(digits) > (event.latest or 0) or event.latest_commit is None:
            return None
        return int(digits) if words.startswith("number:") or self._is_plain(event.latest_commit) else None

    def _is_plain(self, latest: str) -> bool:
        """No version up to this one has a name that looks like a number."""
        if latest not in self._plain:
            options = ("--first-parent", "--max-count=1", "--extended-regexp", "--grep=^Version: v?[0-9]+$")
            self._plain[latest] = not self._repository.git.run("rev-list", *options, latest, "--").strip()
        return self._plain[latest]

    def _row(self, tip: _Tip, number: int) -> Row | None:
        event, reading = tip.event, self._repository.reading
        first, commit, stored, snapshot = reading.several(_documents(event, number))
        if not (first and commit and snapshot and stored):
            # Older ones have no ref: they are reached through the chain of parents.
            chain = [f"{event.latest_commit}~{(event.latest or 0) - one}" for one in (1, number)]
            first, commit, snapshot = reading.several([*chain, f"{chain[1]}:{SNAPSHOT}"])
        if not (first and commit and snapshot and stored):
            return None
        version, creation = parse_version(commit), parse_version(first)
        if (version.name, version.number, creation.name, creation.number) != (event.name, number, event.name, 1):
            return None
        return {
            **version_row(version, event.live_commit, creation.author),
            "properties": properties_row(version, parse_document(snapshot, PROPERTIES), creation.author),
            "settings": parse_document(stored, SETTINGS),
        }

    def _thorough(self, name: str, words: str) -> str:
        state = find(self._repository, name)
        return _json(show_row(self._repository, state, resolve(self._repository, state, words)))


def _around(base: str, latest: int) -> list[str]:
    return [f"{base}{VERSIONS}/{number}" for number in (latest, latest + 1)]


def _documents(event: Event, number: int) -> list[str]:
    """Version 1, version `number`, the settings and its snapshot, as names that git knows."""
    base = f"{prefix(event.name)}{VERSIONS}/"
    wanted = event.live_commit if number == event.after else base + str(number)
    return [base + "1", wanted or "", f"{event.commit}:{SETTINGS_FILE}", f"{wanted}:{SNAPSHOT}"]


def _digits(words: str) -> str:
    """The number of `7`, `v7` or `number:7`; empty for anything else."""
    digits = words.removeprefix("number:") if words.startswith("number:") else words.removeprefix("v")
    return digits if digits.isascii() and digits.isdigit() and digits[0] != "0" and len(digits) < 7 else ""


def _oid(found: Object | None) -> str | None:
    return found.oid if found else None


def _json(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(", ", ": "))
