"""How a write becomes objects and one ref transaction (design, "Writes").

Objects first, refs last. Leftovers and unrecorded moves are adopted before the write's own event.
Every transaction names the old value of `live` and `log`, so of two writers one is told to look again.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from typing import NamedTuple

from git_deployments.codec import (
    GITLINK,
    SETTINGS_FILE,
    SNAPSHOT,
    TreeEntry,
    commit_bytes,
    event_message,
    parse_event,
    parse_version,
    tree_bytes,
    version_message,
)
from git_deployments.document import settings_document, snapshot
from git_deployments.errors import Contested, DeploymentsError
from git_deployments.git import Damaged, Object, RefChange
from git_deployments.history import Breach, Pointer, State, pointer, walk
from git_deployments.model import SETTINGS, Event, Json, Source, Version
from git_deployments.names import encode, shown
from git_deployments.objects import Objects
from git_deployments.refs import LIVE, LOG, SOURCES, VERSIONS, live_ref, log_ref, source_ref, version_ref
from git_deployments.repository import KEEP_REFS, MAX_SNAPSHOT, Repository, Who


class LogMissing(DeploymentsError):
    """There are versions but no log, so no number can be given."""


class TooLarge(DeploymentsError):
    """A snapshot, or the settings, are larger than `deployments.maxSnapshotSize`."""


class Draft(NamedTuple):
    """A version that is to be made."""

    label: str | None
    properties: Mapping[str, Json]
    source: Source
    message: str = ""
    keep_source: bool = False
    """Also write `sources/<n>`: nothing else keeps the code commit alive."""


class Step(NamedTuple):
    """What one write does to one deployment."""

    action: str
    """Of the event. `adopt`: none, only what must be adopted anyway and the index put right."""
    reason: str = ""
    draft: Draft | None = None
    goes_live: bool = False
    """The drafted version becomes live; else `live` does."""
    live: Pointer | None = None
    """What is live after it, unless the drafted version is."""
    settings: Mapping[str, Json] | None = None
    """All settings as they stand after it; None where they do not change."""
    held: bool = False


class Record(NamedTuple):
    """What a write did to one deployment, once its refs have moved."""

    name: str
    action: str
    before: Pointer | None
    after: Pointer | None
    version: Version | None
    """The version that was made."""
    event: Event
    """The newest one written."""
    held_before: bool
    """It was held until then."""
    existed: bool
    """It was there before, whether or not anything was live."""
    adopted: tuple[Event, ...]
    """Events that recorded what had happened outside of the log before."""
    changes: tuple[RefChange, ...]


class Position(NamedTuple):
    """Where a deployment stands between two events of one write."""

    name: str
    log: str | None
    live: Pointer | None
    latest: Pointer | None
    tree: str | None
    paused: bool
    held: bool


def build(repository: Repository, objects: Objects, who: Who, state: State, step: Step) -> Record:
    """Write the objects of one step; the refs that must move are in the result.

    Raises `LogMissing`, `Contested`, `TooLarge`, `Breach`.
    """
    check_writable(state)
    position = position_after(state.name, state.event)
    adopted = []
    for version, live in adoptions(state):
        event, position = append(objects, who, position, Step("adopt", live=live, held=position.held), version)
        adopted.append(event)
    before, existed = position.live, state.exists and not state.deleted
    if step.action == "adopt":
        newest = adopted[-1] if adopted else state.event
        assert newest is not None
        changes = _changes(repository, state, position, None, step)
        start = position_after(state.name, state.event).live
        done, moves = tuple(adopted), tuple(changes)
        return Record(state.name, step.action, start, before, None, newest, state.held, existed, done, moves)
    made = make(repository, objects, who, position, step.draft) if step.draft else None
    if made and step.goes_live:
        step = step._replace(live=pointer(made))
    if step.settings is not None or position.tree is None:
        check_size(repository, state.name, "settings", len(settings_document(step.settings or SETTINGS)))
        position = with_settings(objects, position, step.settings or SETTINGS)
    event, position = append(objects, who, position, step, made)
    changes = _changes(repository, state, position, made, step)
    done, moves = tuple(adopted), tuple(changes)
    return Record(state.name, step.action, before, position.live, made, event, state.held, existed, done, moves)


def with_settings(objects: Objects, position: Position, document: Mapping[str, Json]) -> Position:
    """The position with these settings, which the next event records."""
    blob = objects.write("blob", settings_document(document))
    tree = objects.write("tree", tree_bytes([TreeEntry("100644", SETTINGS_FILE, blob)]))
    return position._replace(tree=tree, paused=bool(document["paused"]))


def check_size(repository: Repository, name: str, what: str, size: int) -> None:
    """Raise `TooLarge` for a document that no guarded remote would take."""
    largest = repository.number("maxSnapshotSize", MAX_SNAPSHOT)
    if size > largest:
        verb = "has" if what == "snapshot" else "have"
        raise TooLarge(
            f"the {what} of '{shown(name)}' {verb} {size} bytes, more than deployments.maxSnapshotSize "
            f"({largest}); make it smaller, or raise the limit here and at the remotes"
        )


def check_writable(state: State) -> None:
    """Refuse to write onto what cannot be trusted. Raises `LogMissing`, `Contested` or the breach."""
    if state.breach:
        raise state.breach
    name = shown(state.name)
    if state.exists and state.refs.log is None:
        raise LogMissing(
            f"'{name}' has versions here but no log, so its numbers cannot go on; "
            "pull first: git deployments pull (or git fetch the log from where it is)"
        )
    if state.follows:
        raise Contested(
            f"live of '{name}' was taken from remote '{shown(state.follows)}' without its log; "
            f"pull first: git deployments pull {shown(state.follows)}"
        )


def adoptions(state: State) -> Iterator[tuple[Version | None, Pointer | None]]:
    """What must be recorded before anything else: (version to adopt, live after it)."""
    live = state.event and state.event.live_commit
    current = position_after(state.name, state.event).live
    for version in state.leftovers:
        if version.commit == state.refs.live:
            current = pointer(version)
            live = version.commit
        yield version, current
    if state.event and live != state.refs.live:
        yield None, state.live


def position_after(name: str, event: Event | None) -> Position:
    """Where a deployment stands after an event; None: before its first."""
    if event is None:
        return Position(name, None, None, None, None, False, False)
    live = latest = None
    if event.after is not None and event.live_commit:
        live = Pointer(event.after, event.live_commit, event.label, event.source)
    if event.latest is not None and event.latest_commit:
        latest = Pointer(event.latest, event.latest_commit, None, None)
    return Position(name, event.commit, live, latest, event.tree, event.paused, event.held)


def append(
    objects: Objects, who: Who, position: Position, step: Step, version: Version | None
) -> tuple[Event, Position]:
    """Write one event onto the log; `version` is what it made or adopts. (event, where things stand then)"""
    latest = pointer(version) if version else position.latest
    after = step.live
    tree = position.tree or ""
    event = Event(
        name=position.name,
        action=step.action,
        number=version.number if version else None,
        before=position.live.number if position.live else None,
        after=after.number if after else None,
        reason=step.reason,
        commit="",
        previous=position.log,
        tree=tree,
        author=who.author,
        live_commit=after.commit if after else None,
        latest=latest.number if latest else None,
        latest_commit=latest.commit if latest else None,
        label=after.label if after else None,
        source=after.source if after else None,
        paused=position.paused,
        held=step.held,
        run=who.run,
    )
    parents = tuple(oid for oid in (position.log, version.commit if version else None) if oid)
    data = commit_bytes(tree, parents, who.author, who.committer, event_message(event, sentence(event)))
    commit = objects.write("commit", data)
    event = parse_event(Object(commit, "commit", data))
    return event, position._replace(log=commit, live=after, latest=latest, held=step.held)


def sentence(event: Event) -> str:
    """The subject of an event's commit: what was done, in words."""
    name, number = encode(event.name), event.number
    before, after = (f"v{n}" if n else "nothing" for n in (event.before, event.after))
    moved = f"{name} from {before} to {after}"
    if event.action == "deploy" or (event.action == "update" and number):
        quiet = "" if number == event.after else ", not live"
        return f"{event.action.capitalize()} {name} v{number}{quiet}"
    if event.action == "adopt":
        return f"Adopt v{number} of {name}" if number else f"Adopt the move of {moved}"
    return {
        "update": f"Update the settings of {name}",
        "rollback": f"Roll back {moved}",
        "promote": f"Promote {moved}",
        "delete": f"Delete {name}",
    }[event.action]


def make(
    repository: Repository, objects: Objects, who: Who, position: Position, draft: Draft, was: str | None = None
) -> Version:
    """Write a new version after the latest one. `was`: see `codec.version_message`. Raises `TooLarge`."""
    content = snapshot(draft.properties)
    check_size(repository, position.name, "snapshot", len(content))
    entries = [TreeEntry("100644", SNAPSHOT, objects.write("blob", content))]
    code = draft.source.commit
    if code and len(code) == len(entries[0].oid):
        entries.append(TreeEntry("160000", GITLINK, code))
    tree = objects.write("tree", tree_bytes(entries))
    fresh = Version(position.name, 0, draft.label, "", None, tree, draft.source, who.author, draft.message, who.run)
    return number(objects, who, position, fresh, was)


def number(objects: Objects, who: Who, position: Position, version: Version, was: str | None = None) -> Version:
    """Write a version's commit with the next number; its tree is there. `was`: see `codec.version_message`."""
    tip = position.latest
    version = version._replace(number=tip.number + 1 if tip else 1, parent=tip.commit if tip else None)
    parents = (version.parent,) if version.parent else ()
    message = version_message(version, was)
    data = commit_bytes(version.tree, parents, who.author, who.committer, message)
    return parse_version(Object(objects.write("commit", data), "commit", data))


# Refs


def _changes(
    repository: Repository, state: State, after: Position, made: Version | None, step: Step
) -> Iterator[RefChange]:
    name, refs = state.name, state.refs
    if step.action == "delete" or (state.deleted and made is None):
        if state.latest:
            _window(repository, state, state.latest.number, refs.versions.keys())
        yield from (RefChange(source_ref(name, n), None, oid) for n, oid in refs.sources.items())
        yield from (RefChange(version_ref(name, n), None, oid) for n, oid in refs.versions.items())
    else:
        if made and step.draft and step.draft.keep_source and made.source.commit:
            yield RefChange(source_ref(name, made.number), made.source.commit, refs.sources.get(made.number))
        if state.event and state.event.action == "delete":
            yield from _revived_sources(repository, state)
        yield from _index_changes(repository, state, after, made)
    yield RefChange(live_ref(name), after.live.commit if after.live else None, refs.live)
    yield RefChange(log_ref(name), after.log, refs.log)


def _revived_sources(repository: Repository, state: State) -> Iterator[RefChange]:
    """The `sources/<n>` that a delete took away: what comes back must not lose its code."""
    from git_deployments.checkout import must_be_kept, present

    latest = state.latest
    keep = repository.number("keepRefs", KEEP_REFS) or None
    for object_ in walk(repository, latest.commit, limit=keep) if latest else ():
        version = parse_version(object_)
        code = version.source.commit
        if version.number in state.refs.sources or not code or not present(repository, code):
            continue
        if must_be_kept(repository, code):
            yield RefChange(source_ref(state.name, version.number), code, None)


def _index_changes(repository: Repository, state: State, after: Position, made: Version | None) -> Iterator[RefChange]:
    """Bring `versions/<n>` to what it should hold: the newest ones and the live one."""
    name, have = state.name, state.refs.versions
    latest = after.latest.number if after.latest else 0
    keep = repository.number("keepRefs", KEEP_REFS) or latest
    oldest = max(1, latest - keep + 1)
    should = {made.number: made.commit} if made else {}
    if after.live:
        should[after.live.number] = after.live.commit
    old = {number for number in have if number < oldest and number not in should}
    if 0 < len(old) < _STALE and _is_crowded(repository):
        old.clear()
    chain = _window(repository, state, oldest, old)
    should = {number: oid for number, oid in chain.items() if number >= oldest} | should
    for number in sorted((old & chain.keys()) | (should.keys() - have.keys())):
        yield RefChange(version_ref(name, number), should.get(number), have.get(number))


_STALE = 10
"""Index refs that are dropped together in a crowded repository."""
_CROWDED = 1 << 20
"""Bytes of `packed-refs`, which git writes anew for each transaction that drops a ref: 100,000 refs take 8 MB."""


def _is_crowded(repository: Repository) -> bool:
    try:
        return os.path.getsize(os.path.join(repository.layout.common_dir, "packed-refs")) > _CROWDED
    except OSError:
        return False


def index_is_due(repository: Repository, state: State) -> bool:
    """`versions/<n>` lacks what it should hold, or holds what a delete should have removed."""
    if state.event is None or state.deleted:
        return state.deleted and bool(state.refs.versions)
    latest = state.latest.number if state.latest else 0
    keep = repository.number("keepRefs", KEEP_REFS) or latest
    return any(number not in state.refs.versions for number in range(max(1, latest - keep + 1), latest + 1))


def _window(repository: Repository, state: State, oldest: int, old: Set[int]) -> dict[int, str]:
    """Number to commit from the log's chain, down to `oldest`, and of `old` ones. Raises `Breach` where a ref differs.

    The chain ends before a damaged version: what lies behind it stays as it is, and no rollback waits for it.
    """
    chain: dict[int, str] = {}
    if state.live:  # an old one that was live is mostly the only one that is far away
        chain[state.live.number] = state.live.commit
    if state.latest:
        chain.update(_down_to(repository, state, state.latest, min([oldest, *(old - chain.keys())])))
    for number, oid in chain.items():
        indexed = state.refs.versions.get(number, oid)
        if indexed != oid:
            raise Breach(
                f"versions/{number} of '{shown(state.name)}' is {indexed}, but the log has {oid}; "
                "'git deployments fsck' tells more"
            )
    return chain


def _down_to(repository: Repository, state: State, latest: Pointer, oldest: int) -> dict[int, str]:
    number = latest.number
    if number <= oldest:
        return {number: latest.commit} if number == oldest else {}
    chain: dict[int, str] = {}
    known = [oid for one, oid in state.refs.versions.items() if oldest <= one <= number]
    repository.reading.together(known[:_TOGETHER])
    with suppress(Damaged):
        for object_ in walk(repository, latest.commit, limit=number - oldest + 1):
            chain[number] = object_.oid
            number -= 1
    repository.reading.forget()
    return chain


_TOGETHER = 200
"""Versions of the index that are read at once: so many ids fit into a pipe."""
_ORDER = {SOURCES: 0, VERSIONS: 1, LIVE: 2, LOG: 3}


def commit(repository: Repository, records: Iterable[Record]) -> None:
    """Move the refs of all records in one transaction: sources, versions, live, log.

    Raises `LostRace`, `Locked`, `GitFailed`.
    """
    changes = [change for record in records for change in record.changes]
    changes.sort(key=lambda change: _rank(change.ref))
    repository.git.move_refs(changes)


def _rank(ref: str) -> int:
    last, _, number = ref.rpartition("/")
    return _ORDER[last.rpartition("/")[2]] if number.isdigit() else _ORDER[number]
