"""What a Prefect server has, as versions here (design, "Running").

People who deploy with `prefect deploy` or in the UI get a history without changing how they deploy. A
deployment of the server is held to the rules of a manifest's entry, so nothing enters history by this
door that deploy would refuse.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from git_deployments import checkout, deploy, deployed, manifest
from git_deployments.errors import DeploymentsError
from git_deployments.history import State, matching, properties, settings, states, version_at
from git_deployments.model import Json, Place, Source, Version, VersionInfo
from git_deployments.names import shown
from git_deployments.record import Draft, Step
from git_deployments.repository import Repository
from git_deployments.server import Found, Server
from git_deployments.source import repository_of, without_credentials
from git_deployments.store import Decide, Decision, Wish, changed_settings, deploying

_VARIABLE = re.compile(r"\{\{\s*\$([\w.\-]+)\s*\}\}")
_SHORT_ID = re.compile(r"[0-9a-f]{7,64}")


class CannotCapture(DeploymentsError):
    """A server has no deployment of that name."""


class Prepared(NamedTuple):
    """What the store is asked for, by full name, and what is to be said on stderr."""

    wishes: dict[str, Wish]
    warnings: list[str]


def prepare(
    repository: Repository,
    found: Iterable[Found],
    place: str,
    reason: str,
    environment: Mapping[str, str],
    allow_secret: tuple[str, ...] = (),
) -> Prepared:
    """The deployments of a server as wishes. `place` is where they come from, for messages.

    Raises `manifest.BadManifest` where one could not have been deployed here, `schema.BadParameters`.
    """
    found = list(found)
    waiting = [str(one.row.get(key)) for one in found for key in ("pull_steps", "job_variables")]
    request = deploy.Request(
        every=True,
        reason=reason,
        runtime=tuple(sorted({name for text in waiting for name in _VARIABLE.findall(text)})),
        allow_secret=allow_secret,
        literal=True,
    )
    known = {state.name: state for state in states(repository, [one.name for one in found])}
    ours = {one.name: _live(repository, known[one.name]) for one in found}
    theirs = {one.name: _theirs(one, ours[one.name]) for one in found}
    entries = [deployed.entry_of(one.name, one.row, theirs[one.name], deployed.settings_of(one.row)) for one in found]
    root = repository.layout.top or os.path.abspath(repository.git.directory)
    prepared = deploy.prepare_entries(repository, request, environment, entries, Place(place, root))
    wishes = {}
    for one in found:
        wish = prepared.wishes[one.name]
        draft = _sourced(repository, wish.draft, one.row, ours[one.name])
        changed = deployed.changed_settings(settings(repository, known[one.name].event), deployed.settings_of(one.row))
        patch = {key: wish.settings.get(key, value) for key, value in changed.items()}
        wishes[one.name] = wish._replace(draft=draft, settings=patch)
    return Prepared(wishes, prepared.warnings)


Live = tuple[Version, Mapping[str, Json]]


def _live(repository: Repository, state: State) -> Live | None:
    if state.live is None or state.breach:
        return None
    version = version_at(repository, state, state.live.commit)
    return version, properties(repository, version)


def _theirs(found: Found, live: Live | None) -> dict[str, Json]:
    theirs = deployed.properties_of(found.row)
    # No update changes labels there, so what they lack of ours is no news.
    return {**deployed.alike(live[1], theirs), "labels": live[1]["labels"]} if live else theirs


def _sourced(repository: Repository, draft: Draft, row: deployed.Row, live: Live | None) -> Draft:
    """The draft with the code that the server's deployment runs, as far as it can be known.

    That is the live version's where the server calls the same steps the same; else the commit of its clone step, else
    the one that its version begins (Prefect calls a version so); else what is checked out.
    """
    text = deployed.version_there(row)
    if live and _same_code(draft, text, live):
        version = live[0]
        return draft._replace(label=version.label, source=version.source, keep_source=_kept(repository, version.source))
    pins = [commit.lower() for _, commit in manifest.commit_shas(draft.properties) if manifest.is_full_id(commit)]
    begun = checkout.full_commit(repository, text) if text and _SHORT_ID.fullmatch(text) else None
    commit = pins[-1] if pins else begun
    source = draft.source
    if commit and commit != source.commit:
        source = _source_of(repository, draft, commit)
    code = source.commit
    label = None if text is None or (code and code[:8] == text) else text
    info = source.info._replace(version=label or (code[:8] if code else None))
    return draft._replace(label=label, source=source._replace(info=info), keep_source=_kept(repository, source))


def _kept(repository: Repository, source: Source) -> bool:
    code = source.commit
    return code is not None and checkout.present(repository, code) and checkout.must_be_kept(repository, code)


def _same_code(draft: Draft, text: str | None, live: Live) -> bool:
    version, ours = live
    same = all(ours[key] == draft.properties[key] for key in ("entrypoint", "pull_steps"))
    return same and deployed.same_version_text(version, text)


def _source_of(repository: Repository, draft: Draft, commit: str) -> Source:
    steps = draft.properties["pull_steps"]
    urls = [
        arguments.get("repository")
        for step in (steps if isinstance(steps, list) else ())
        for arguments in (step.values() if isinstance(step, dict) else ())
        if isinstance(arguments, dict) and arguments.get("commit_sha")
    ]
    url = next((url for url in urls if isinstance(url, str)), None)
    return Source(
        VersionInfo(
            "vcs:git",
            commit_sha=commit,
            message=checkout.first_line(repository, commit),
            repository=repository_of(url) if url else None,
            url=without_credentials(url) if url else None,
        ),
        commit,
    )


def capturing(repository: Repository, wishes: Mapping[str, Wish], reason: str) -> Decide:
    """A new version where the server differs from the live one; settings that differ are taken over."""
    deciding = deploying(repository, wishes, reason)

    def decide(state: State) -> Decision:
        wish = wishes[state.name]
        live = _live(repository, state)
        if live is None or not _is(live, wish):
            return deciding(state)
        after = changed_settings(repository, state, wish.settings)
        step = Step("update", reason, None, False, state.live, after, state.held) if after else None
        notes = () if step else (f"{shown(state.name)} is on the server what v{live[0].number} has",)
        return Decision(step, live[0], notes=notes)

    return decide


def _is(live: Live, wish: Wish) -> bool:
    version, ours = live
    draft = wish.draft
    unnamed = version.label is None and draft.label is None
    same = draft.label == version.label and (not unnamed or draft.source.commit == version.source.commit)
    return same and ours == draft.properties


def chosen(server: Server, words: Iterable[str], every: bool) -> list[Found]:
    """The server's deployments that are meant: all, or those that names or globs name. Raises `CannotCapture`."""
    words = list(words)
    if not every and all("/" in word and not any(sign in word for sign in "*?[") for word in words):
        return [_known(server, word, server.find(word)) for word in dict.fromkeys(words)]
    there = {one.name: one for one in server.all()}
    if every:
        return list(there.values())
    names: dict[str, None] = {}
    for word in words:
        names.update(dict.fromkeys(matching(there, word) or [word]))
    return [_known(server, name, there.get(name)) for name in names]


def _known(server: Server, name: str, found: Found | None) -> Found:
    if found is None:
        raise CannotCapture(
            f"the server at {shown(server.url)} has no deployment '{shown(name)}'; 'prefect deployment ls' shows all"
        )
    return found
