"""In what two versions differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from git_deployments.history import State, previous, properties, settings, version_at
from git_deployments.model import Event, Json, Version
from git_deployments.repository import Repository
from git_deployments.resolve import resolve


class Difference(NamedTuple):
    """A key whose value two versions do not share."""

    key: str
    """Dotted; list positions count from 0."""
    before: Json
    after: Json
    missing: str = ""
    """`before` or `after` where the key is only on the other side."""


def differences(before: Json, after: Json, key: str = "") -> Iterator[Difference]:
    """Key by key, down to the values that differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            path = f"{key}.{name}" if key else name
            if name not in before:
                yield Difference(path, None, after[name], "before")
            elif name not in after:
                yield Difference(path, before[name], None, "after")
            else:
                yield from differences(before[name], after[name], path)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for position, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{key}.{position}")
    elif before != after or type(before) is not type(after):
        yield Difference(key, before, after)


def two_versions(repository: Repository, state: State, a: str | None, b: str | None) -> tuple[Version, Version]:
    """The versions that `diff` compares: A and B, A and live, live and latest, or previous and live."""
    if a is not None:
        return resolve(repository, state, a), resolve(repository, state, "live" if b is None else b)
    live, latest = state.live, state.latest
    if live is None or latest is None or live.commit != latest.commit:
        return resolve(repository, state, "live"), resolve(repository, state, "latest")
    left = previous(repository, state)
    after = version_at(repository, state, live.commit)
    return version_at(repository, state, left.commit) if left else after, after


def version_differences(repository: Repository, before: Version, after: Version) -> Iterator[Difference]:
    """Versioned properties in which two versions of a deployment differ, key by key."""
    return differences(_versioned(repository, before), _versioned(repository, after))


def settings_since(repository: Repository, now: Event, then: Event | None) -> list[Difference]:
    """Settings that stand otherwise after the event `now` than after `then`."""
    if then is None or then.tree == now.tree:
        return []
    before, after = settings(repository, then), settings(repository, now)
    return [Difference(key, before[key], after[key]) for key in after if before[key] != after[key]]


def _versioned(repository: Repository, version: Version) -> dict[str, Json]:
    recorded: dict[str, Json] = {
        "version": version.label,
        "updated_by": version.author.person,
        "version_info": dict(version.source.info._asdict()),
    }
    return {**properties(repository, version), **recorded}
