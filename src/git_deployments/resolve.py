"""What VERSION means on a command line (design, "Commands").

A number (`7`, `v7`), a version name, a prefix of a version's commit id or of its source commit,
or `live`, `latest`, `previous`. All readings are tried; where they give different versions the
words are ambiguous. `number:7`, `name:2`, `commit:…`, `source:…` allow one reading only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from git_deployments.codec import parse_version
from git_deployments.errors import DeploymentsError
from git_deployments.git import GitFailed, text
from git_deployments.history import (
    AmbiguousVersion,
    Pointer,
    State,
    UnknownVersion,
    number_to_oid,
    previous,
    version_at,
    versions,
)
from git_deployments.model import Version
from git_deployments.names import quoted, shown
from git_deployments.repository import Repository

WORDS = ("live", "latest", "previous")
"""Version names that would be read as something else."""
READINGS = ("number", "name", "commit", "source")
_SHORTEST = 7
_SCAN = 128
"""Versions up to which all are read; beyond, git searches their messages."""


class Nothing(UnknownVersion):
    """`live`, `latest` or `previous` where there is none."""


def resolve(repository: Repository, state: State, words: str) -> Version:
    """The one version that `words` name. Raises `UnknownVersion`, `AmbiguousVersion`."""
    if words in WORDS:
        return version_at(repository, state, _word(repository, state, words).commit)
    given = words
    reading, colon, rest = words.partition(":")
    readings: tuple[str, ...] = READINGS
    if colon and reading in READINGS:
        readings, words = (reading,), rest
    found: dict[str, tuple[str, Version]] = {}
    counts = dict.fromkeys(READINGS, 0)
    for reading in readings:
        for version in _read(repository, state, reading, words):
            counts[reading] += 1
            found.setdefault(version.commit, (reading, version))
    if not found:
        raise UnknownVersion(
            f"'{shown(state.name)}' has no version '{shown(given)}'; "
            f"to see all: git deployments versions {quoted(state.name)}"
        )
    if len(found) > 1:
        raise _ambiguous(state, words, list(found.values()), counts)
    ((_, version),) = found.values()
    return version


def _word(repository: Repository, state: State, word: str) -> Pointer:
    pointer = {"live": lambda: state.live, "latest": lambda: state.latest}.get(
        word, lambda: previous(repository, state)
    )()
    if pointer is None:
        name = shown(state.name)
        what = {"live": "no live version", "latest": "no version"}.get(word, "no version to go back to")
        raise Nothing(f"'{name}' has {what}; to see how it came so: git deployments log {quoted(state.name)}")
    return pointer


def _read(repository: Repository, state: State, reading: str, words: str) -> Iterator[Version]:
    hexadecimal = len(words) >= _SHORTEST and all(c in "0123456789abcdefABCDEF" for c in words)
    if reading == "number":
        digits = words[1:] if words[:1] in ("v", "V") else words
        if digits.isascii() and digits.isdigit() and len(digits) < 12:
            yield from _numbered(repository, state, int(digits))
    elif reading == "name":
        found = _search(repository, state, f"Version: {words}")
        yield from (version for version in found if version.label == words)
    elif hexadecimal and reading == "commit":
        yield from _by_commit(repository, state, words.lower())
    elif hexadecimal:
        prefix = words.lower()
        found = _search(repository, state, f"Source-Commit: {prefix}")
        yield from (version for version in found if (version.source.commit or "").startswith(prefix))


def _numbered(repository: Repository, state: State, number: int) -> Iterator[Version]:
    for known in (state.live, state.latest):
        if known and known.number == number:
            yield version_at(repository, state, known.commit)
            return
    latest = state.latest
    oid = number_to_oid(repository, latest.number, latest.commit, number) if latest else None
    if oid:
        yield version_at(repository, state, oid)


def _by_commit(repository: Repository, state: State, prefix: str) -> Iterator[Version]:
    code, out, _ = repository.git.ask("rev-parse", f"--disambiguate={prefix}")
    for oid in text(out).split() if code == 0 else ():
        try:
            version = version_at(repository, state, oid)
        except DeploymentsError:
            continue  # some other object with the same prefix
        latest = state.latest
        if latest and number_to_oid(repository, latest.number, latest.commit, version.number) == oid:
            yield version


def _search(repository: Repository, state: State, line: str) -> Iterator[Version]:
    """Versions whose message may hold `line`; the caller looks closer."""
    latest = state.latest
    if latest is None or not {"\n", "\0"}.isdisjoint(line):  # no line of a message holds them
        return
    if latest.number <= _SCAN:
        yield from versions(repository, state)
        return
    options = ("--first-parent", "--fixed-strings", "--encoding=UTF-8", f"--grep={line}")
    try:
        found = text(repository.git.run("rev-list", *options, latest.commit, "--")).split()
    except GitFailed:  # a damaged chain: read it commit by commit, which names what is wrong
        yield from versions(repository, state)
        return
    yield from map(parse_version, (repository.reading.object(oid) for oid in found))


def _ambiguous(
    state: State, words: str, found: list[tuple[str, Version]], counts: Mapping[str, int]
) -> AmbiguousVersion:
    """`counts`: how many versions each reading gives, whether or not another reading gives them as well."""
    forms = [
        f"{reading}:{words} (v{version.number})" if counts[reading] == 1 else f"number:{version.number}"
        for reading, version in found
    ]
    return AmbiguousVersion(
        f"'{shown(words)}' names several versions of '{shown(state.name)}'; say which: {shown(', '.join(forms))}"
    )
