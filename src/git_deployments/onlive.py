"""What happens when another version goes live: the commands of `deployments.onLive` (design, "Hooks").

A move is told in plain values, whoever made it: a push to a server, or a write in this repository.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from git_deployments.codec import SNAPSHOT, parse_event, parse_version
from git_deployments.errors import DeploymentsError
from git_deployments.git import RefChange
from git_deployments.history import State, walk
from git_deployments.model import Event, Version
from git_deployments.names import shown
from git_deployments.refs import LIVE, LOG, parse_ref
from git_deployments.repository import Repository

if TYPE_CHECKING:
    from git_deployments.record import Record

_LONGEST = 32_768
"""Bytes of a reason, or another value, that a command gets: the system limits what one variable may hold."""
_TOGETHER = 500
"""Moves whose commits are read together."""
_FEW = 32
"""Commits that are asked for one by one: no process starts."""
_HELD = 16 << 20
"""Bytes that are read together at most."""


class Move(NamedTuple):
    """`live` of one deployment was moved."""

    name: str
    action: str
    """Of the event that moved it; `move` where no event tells of it."""
    before: int | None
    """Number of the version that was live; None: nothing was."""
    after: int | None
    """Number of the version that is live; None: nothing is."""
    commit: str | None
    """Of the version that is live."""
    source: str | None
    """Its code commit."""
    by: str
    """`Name <email>`; empty where no event tells."""
    reason: str


def told(event: Event, before: int | None) -> Move:
    """The move that ends in an event. `before`: what was live before all of it."""
    return Move(
        event.name, event.action, before, event.after, event.live_commit, event.source, event.author.person,
        event.reason,
    )  # fmt: skip


def made(records: Iterable[Record]) -> list[Move]:
    """The moves that writes here have made."""
    return [told(record.event, record.before.number if record.before else None) for record in records]


def purged(repository: Repository, state: State, reason: str) -> Move:
    """The move that a purge here has made of a deployment that had something live: no event is left to tell of it."""
    by = ""
    with suppress(DeploymentsError):  # a purge writes nothing, so nobody need be known
        by = repository.who().author.person
    return Move(state.name, "delete", state.live.number if state.live else None, None, None, None, by, reason)


def pushed(repository: Repository, changes: Iterable[RefChange]) -> list[Move]:
    """The moves in what a push has changed, by name."""
    lives: dict[str, RefChange] = {}
    logs: dict[str, str] = {}
    gone = set[str]()
    for change in changes:
        parsed = parse_ref(change.ref)
        if parsed and parsed.kind == LIVE and change.new != change.old:
            lives[parsed.name] = change
        elif parsed and parsed.kind == LOG:
            if change.new:
                logs[parsed.name] = change.new
            else:
                gone.add(parsed.name)
    names, moves = sorted(lives), list[Move]()
    for start in range(0, len(names), _TOGETHER):
        together = names[start : start + _TOGETHER]
        _read_ahead(repository, [oid for name in together for oid in (lives[name].old, logs.get(name)) if oid])
        moves += (_move(repository, name, lives[name], logs.get(name), name in gone) for name in together)
        repository.reading.forget()
    return moves


def _read_ahead(repository: Repository, oids: list[str]) -> None:
    """What many moves are told from, in one question to git rather than in thousands."""
    if len(oids) <= _FEW:
        return
    try:
        repository.reading.ahead(oids, _HELD)
    except DeploymentsError:  # then each is asked for by itself, and only what is broken is not told of
        repository.reading.forget()


def _move(repository: Repository, name: str, change: RefChange, log: str | None, purged: bool) -> Move:
    old = _version(repository, change.old)
    before = old.number if old else None
    event = _told_by(repository, log, change.new) if log else None
    if event:
        return told(event, before)
    new = _version(repository, change.new)
    if new is None:
        return Move(name, "delete" if purged else "move", before, None, None, None, "", "")
    return Move(name, "move", before, new.number, new.commit, new.source.commit, "", "")


def _told_by(repository: Repository, log: str, live: str | None) -> Event | None:
    """The event that made live what is live; None where none tells of it."""
    try:
        for object_ in walk(repository, log):
            event = parse_event(object_)
            if event.live_commit != live:
                return None
            if event.before != event.after:
                return event
            if event.previous is None:
                return None
    except DeploymentsError:
        return None
    return None


def _version(repository: Repository, oid: str | None) -> Version | None:
    """None where nothing is live, or what is no version: without a guard that may happen."""
    try:
        return parse_version(repository.reading.object(oid)) if oid else None
    except DeploymentsError:
        return None


def line(move: Move) -> str:
    """A move in words, fit for a terminal."""
    before, after = (f"v{number}" if number else "nothing" for number in (move.before, move.after))
    by = f" by {move.by.partition(' <')[0]}" if move.by else ""
    reason = f": {move.reason.partition(chr(10))[0][:200]}" if move.reason else ""
    return shown(f"{move.name}: {after} is live, was {before} ({move.action}{by}{reason})")


def run_here(repository: Repository, moves: Iterable[Move]) -> Iterator[str]:
    """Run the commands after a write in this repository: at its top, wherever in it the write was asked for."""
    layout = repository.layout
    places = {"GIT_DIR": layout.git_dir, "GIT_COMMON_DIR": layout.common_dir, "GIT_WORK_TREE": layout.top or ""}
    # Whoever asked may have named these from where he stands, and the commands stand elsewhere.
    given = {key: place for key, place in places.items() if repository.environment.get(key)}
    return run_commands(repository, moves, layout.top or layout.git_dir, given)


def run_commands(
    repository: Repository, moves: Iterable[Move], directory: str | None = None, places: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run each command of `deployments.onLive` once for each move; what failed, in words.

    Whatever a command prints goes to standard error: standard output is for answers. `directory` (default: where we
    are, which in a hook is the repository) is where they run, `places` what else they find in their environment.
    """
    commands = repository.settings("onLive")
    surroundings = {**repository.environment, **(places or {})}
    for move in moves if commands else ():
        try:
            snapshot = repository.reading.object(f"{move.commit}:{SNAPSHOT}").data if move.commit else b""
        except DeploymentsError as damage:  # it keeps the commands from this one, not from the others
            yield f"deployments.onLive was not run for {shown(move.name)}: {damage}"
            continue
        for command in commands:
            code = _run(command, directory, {**surroundings, **variables(move)}, snapshot)
            if code:
                yield f"deployments.onLive: '{shown(command)}' ended with status {code} for {shown(move.name)}"


def variables(move: Move) -> dict[str, str]:
    """What a command finds in its environment; what there is none of is empty."""
    values = {
        "NAME": move.name,
        "ACTION": move.action,
        "FROM": str(move.before or ""),
        "TO": str(move.after or ""),
        "COMMIT": move.commit or "",
        "SOURCE": move.source or "",
        "BY": move.by,
        "REASON": move.reason,
    }
    return {f"GIT_DEPLOYMENTS_{key}": _cut(value.replace("\0", " ")) for key, value in values.items()}


def _cut(value: str) -> str:
    """As much of it as fits, whole characters."""
    data = value.encode("utf-8", "surrogateescape")
    end = min(len(data), _LONGEST)
    while _LONGEST - 4 < end < len(data) and data[end] & 0xC0 == 0x80:
        end -= 1
    return data[:end].decode("utf-8", "surrogateescape")


def _run(command: str, directory: str | None, environment: Mapping[str, str], stdin: bytes) -> int:
    import subprocess

    try:
        return subprocess.run(["sh", "-c", command], input=stdin, stdout=2, cwd=directory, env=environment).returncode
    except OSError:  # no shell, or its environment is too large
        return 127
