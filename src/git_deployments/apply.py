"""Live versions onto a Prefect server (design, "Running").

Everything that can be found out is found out before anything is changed. A deployment takes one
update with every versioned field; its schedules, pause and limits stay as the server has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from git_deployments import deployed
from git_deployments.compare import Difference, differences
from git_deployments.errors import DeploymentsError
from git_deployments.history import State, properties, settings, states, trusted, version_at
from git_deployments.model import Json, Version
from git_deployments.names import quoted, shown
from git_deployments.repository import Repository
from git_deployments.server import Found, Server, connect

_ROUNDS = 10
"""How often one call follows a `live` that others move meanwhile."""


class CannotApply(DeploymentsError):
    """There is nothing to apply, or nowhere to apply it."""


class NotApplied(DeploymentsError):
    """A version is live here and not on the server (`deployments.applyOnLive`)."""


class Target(NamedTuple):
    """One deployment, here and on the server."""

    name: str
    version: Version
    """The live one."""
    properties: Mapping[str, Json]
    settings: Mapping[str, Json]
    found: Found | None
    """None: the server does not have it."""
    changes: list[Difference]
    """What the server has (before) and what is live here (after)."""


class Applied(NamedTuple):
    """What was done with one deployment."""

    target: Target
    scheduled: int
    """Runs that waited for their time, and will run the version."""
    left: list[Difference]
    """What differs all the same: a server changes no labels, for one."""


def look(repository: Repository, server: Server, states: Iterable[State]) -> list[Target]:
    """Compare live versions with a server. Raises `CannotApply` where nothing is live, `ServerFailed`."""
    return [_target(repository, server, trusted(state)) for state in states]


def _target(repository: Repository, server: Server, state: State) -> Target:
    if state.live is None:
        raise CannotApply(f"'{shown(state.name)}' has no live version to apply; make one live with promote or deploy")
    version = version_at(repository, state, state.live.commit)
    ours = properties(repository, version)
    found = server.find(state.name)
    changes = drift(ours, version, found) if found else []
    return Target(state.name, version, ours, settings(repository, state.event), found, changes)


def drift(ours: Mapping[str, Json], version: Version, found: Found) -> list[Difference]:
    """Versioned properties in which a server differs: what it has, what is live here."""
    theirs = deployed.alike(ours, deployed.properties_of(found.row))
    here, there = deployed.version_text(version), deployed.version_there(found.row)
    if deployed.same_version_text(version, there):
        there = here
    return list(differences({**theirs, "version": there}, {**ours, "version": here}))


def check(server: Server, targets: Iterable[Target], create: bool) -> None:
    """Raise `CannotApply` or `ServerFailed` where an update would fail."""
    for target in targets:
        name = shown(target.name)
        if target.found is None and "/" not in target.name:
            raise CannotApply(
                f"'{name}' names no flow, and a Prefect server has no deployment without one; "
                "deploy it with an entrypoint or flow_name"
            )
        if target.found is None and not create:
            raise CannotApply(
                f"the server at {shown(server.url)} has no deployment '{name}'; to create it there: "
                f"git deployments apply {quoted(target.name)} --create"
            )
    for pool in sorted({str(pool) for target in targets if (pool := target.properties["work_pool_name"])}):
        server.check_pool(pool)


def apply(repository: Repository, server: Server, targets: Iterable[Target], with_settings: bool) -> list[Applied]:
    """Bring each deployment of the server to its version; what is so already stays untouched.

    Raises `ServerFailed`, naming what was applied before it.
    """
    done: list[Applied] = []
    for target in targets:
        try:
            done.append(_followed(repository, server, target, with_settings))
        except DeploymentsError as error:
            if not done:
                raise
            names = ", ".join(shown(one.target.name) for one in done)
            raise CannotApply(f"{error} ({names} is applied already)") from None
    return done


def _followed(repository: Repository, server: Server, target: Target, with_settings: bool) -> Applied:
    """Apply, and look again whether that is still live.

    A server's hook runs for each push, so two may apply at once: whoever writes last must have seen what is live.
    """
    for _ in range(_ROUNDS):
        done = _applied(server, target, with_settings)
        (state,) = states(repository, [target.name])
        if state.live is None or state.live.commit == target.version.commit:
            return done
        target = _target(repository, server, trusted(state))
    raise CannotApply(f"'{shown(target.name)}' is moved faster than it can be applied; apply it again later")


def _applied(server: Server, target: Target, with_settings: bool) -> Applied:
    found = target.found
    fields = deployed.update_fields(target.properties, target.version, found.row if found else None)
    more = deployed.settings_fields(target.settings)
    if found is None:
        found = server.create(target.name, {**fields, **more})
    elif not any(map(_is_taken, target.changes)) and not (with_settings and settings_drift(target)):
        # One more update would change nothing, and takes away the runs that wait for their time.
        return Applied(target, 0, target.changes)
    waiting = server.scheduled(found)
    server.update(found, {**fields, **more} if with_settings and target.found else fields)
    after = server.find(target.name)
    return Applied(target, waiting, drift(target.properties, target.version, after) if after else [])


def _is_taken(difference: Difference) -> bool:
    """An update can change it."""
    return difference.key.partition(".")[0] not in deployed.KEPT


def follow(repository: Repository, moved: Mapping[str, bool]) -> list[Applied]:
    """Apply what has just become live. `moved`: full name to whether the server may be without it.

    Raises `NotApplied`: the move itself stands.
    """
    try:
        with connect() as server:
            targets = look(repository, server, states(repository, moved))
            for target in targets:
                check(server, [target], moved[target.name])
            return apply(repository, server, targets, False)
    except DeploymentsError as error:
        again = " ".join(quoted(name) for name in moved)
        raise NotApplied(
            f"live has moved here, but not on the Prefect server: {error}; then: git deployments apply {again}"
        ) from None


def settings_drift(target: Target) -> dict[str, Json]:
    """The settings in which the server differs, as it has them."""
    found = target.found
    return deployed.changed_settings(target.settings, deployed.settings_of(found.row)) if found else {}
