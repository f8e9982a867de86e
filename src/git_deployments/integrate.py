"""What a remote has published and what is unpublished here, brought together (design, "Sync").

Nothing unpublished: fast-forward. Else the unpublished events are replayed onto the published log,
oldest first: versions get the next numbers, moves and settings that the other side has overtaken
are contested, the published state stays and a person chooses. No ref is moved here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from git_deployments import history
from git_deployments.codec import parse_commit, parse_event, parse_version
from git_deployments.errors import Contested
from git_deployments.git import RefChange
from git_deployments.history import Pointer, Refs, State, pointer, version_at
from git_deployments.message import split_message
from git_deployments.model import Event, Json, Version
from git_deployments.names import quoted, shown
from git_deployments.objects import Objects
from git_deployments.record import Draft, Position, Step, adoptions, append, make, number, position_after, with_settings
from git_deployments.refs import live_ref, log_ref, source_ref, version_ref
from git_deployments.repository import KEEP_REFS, Repository, Who
from git_deployments.tracking import Tracked, overlooks, reaches, unpublished


class TwoHistories(Contested):
    """Two remotes have published different histories of one deployment."""


class Renumbered(NamedTuple):
    """An unpublished version that had to take another number."""

    old: int
    new: int


class Dispute(NamedTuple):
    """Something unpublished that the published history has overtaken; it is dropped, and said once."""

    what: str
    """In words: `rollback from v7 to v5`, `paused`."""
    ours: Event
    theirs: Event
    choice: str
    """The command that does it all the same."""


class Integration(NamedTuple):
    """What becomes of one deployment."""

    name: str
    outcome: str
    """`same`, `new`, `forwarded`, `ahead` (something is unpublished), or `replayed`."""
    changes: tuple[RefChange, ...] = ()
    renumbered: tuple[Renumbered, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    notes: tuple[str, ...] = ()


def integrate(
    repository: Repository,
    objects: Objects,
    state: State,
    remote: Tracked,
    elsewhere: Mapping[str, str],
    inherited: bool = False,
) -> Integration:
    """Bring one deployment together with what one remote has.

    `elsewhere`: logs last seen at other remotes, remote to commit. The remote's history has been
    checked. Raises `TwoHistories`.
    """
    name, here = state.name, state.refs.log
    published = parse_event(repository.reading.object(remote.log))
    if here is None:
        return _forward(repository, state, remote, published, "new")
    if here == remote.log:
        if remote.live == state.refs.live or (remote.live == published.live_commit and not inherited):
            return Integration(name, "same")
        return _forward(repository, state, remote, published, "forwarded")
    ours = unpublished(repository, here, remote.log)
    if not ours:
        return _forward(repository, state, remote, published, "forwarded")
    is_ahead = reaches(repository, here, remote.log)
    if is_ahead and not overlooks(repository, remote, state.refs.live, ours):
        return Integration(name, "ahead")
    for other, log in elsewhere.items():
        if reaches(repository, log, ours[-1].commit):
            if is_ahead:
                raise _moved_and_published(remote, published, other)
            raise TwoHistories(
                f"'{shown(name)}' has one published history at {shown(remote.remote)} and another at {shown(other)}; "
                "nothing was moved; choose the right one and remove the deployment's refs at the other remote"
            )
    theirs = [] if is_ahead else unpublished(repository, remote.log, here)
    replay = _Replay(repository, objects, repository.who(), published, _base(repository, ours), theirs)
    return replay.run(state, remote, ours)


def _moved_and_published(remote: Tracked, published: Event, other: str) -> TwoHistories:
    """What follows from a remote's log is final, since another one has it, and the remote's `live` is elsewhere."""
    ref = live_ref(remote.name)
    take = f"git update-ref {ref} {remote.live}" if remote.live else f"git update-ref -d {ref}"
    return TwoHistories(
        f"{_disagrees(remote)}, and {shown(other)} has events that follow from that log; nothing was moved; "
        f"to have it live here: {take}; to put it back: "
        f"git push -f {quoted(remote.remote)} {published.live_commit or ''}:{ref}"
    )


def _disagrees(remote: Tracked) -> str:
    return f"live of '{shown(remote.name)}' at {shown(remote.remote)} is not what its log says"


def _base(repository: Repository, ours: list[Event]) -> Event | None:
    previous = ours[-1].previous
    return parse_event(repository.reading.object(previous)) if previous else None


def _forward(repository: Repository, state: State, remote: Tracked, published: Event, outcome: str) -> Integration:
    """Take over what the remote has."""
    notes = []
    if remote.live != published.live_commit:
        notes.append(f"{_disagrees(remote)}; it counts, and the next write records it")
    position = position_after(state.name, published)
    deleted = published.action == "delete" and remote.live is None
    changes = _changes(repository, state, position, remote.live, deleted, {})
    if state.refs.log is None:
        _refuse_other_versions(repository, state, position)
        changes = (change for change in changes if not _is_leftover(change, state, position))
    return Integration(state.name, outcome, tuple(changes), notes=tuple(notes))


def _refuse_other_versions(repository: Repository, state: State, position: Position) -> None:
    """Versions that are here without a log, under numbers that the published history has given to others."""
    latest = position.latest
    for one, oid in sorted(state.refs.versions.items()):
        if latest and one <= latest.number and _version_of(repository, latest, one) != oid:
            ref = version_ref(state.name, one)
            raise Contested(
                f"{shown(ref)} here is {oid[:12]}, which is not the published v{one}, and no log here tells of it; "
                f"nothing was moved; keep it elsewhere (git tag NAME {oid}), then: git update-ref -d {shown(ref)}"
            )


def _version_of(repository: Repository, latest: Pointer, number: int) -> str | None:
    return history.number_to_oid(repository, latest.number, latest.commit, number)


def _is_leftover(change: RefChange, state: State, position: Position) -> bool:
    """It would take away a version that the published log does not have: the next write adopts it."""
    latest = position.latest.number if position.latest else 0
    beyond = {oid for number, oid in state.refs.versions.items() if number > latest}
    return change.old in beyond or (
        state.live is not None and change.old == state.live.commit and state.live.number > latest
    )


def _changes(
    repository: Repository,
    state: State,
    position: Position,
    live: str | None,
    deleted: bool,
    moved: Mapping[int, Pointer],
) -> Iterator[RefChange]:
    """From the refs that are here to those that belong to `position`. `moved`: old numbers to replayed versions."""
    name, refs = state.name, state.refs
    yield from _source_changes(state, deleted, moved)
    should = {} if deleted else _index(repository, position)
    for one in sorted(refs.versions.keys() | should.keys()):
        if refs.versions.get(one) != should.get(one):
            yield RefChange(version_ref(name, one), should.get(one), refs.versions.get(one))
    yield RefChange(live_ref(name), live, refs.live)
    yield RefChange(log_ref(name), position.log, refs.log)


def _source_changes(state: State, deleted: bool, moved: Mapping[int, Pointer]) -> Iterator[RefChange]:
    """A pull that died may have moved some of them already, so the versions say which code is whose."""
    name, before = state.name, state.refs.sources
    after = {} if deleted else {one: code for one, code in before.items() if one not in moved}
    for one, version in moved.items() if not deleted else ():
        if version.source and (one in before or version.source in before.values()):
            after[version.number] = version.source
    for one in sorted(before.keys() | after.keys()):
        if before.get(one) != after.get(one):
            yield RefChange(source_ref(name, one), after.get(one), before.get(one))


def _index(repository: Repository, position: Position) -> dict[int, str]:
    """What `versions/<n>` should hold: the newest ones and the live one."""
    latest = position.latest
    if latest is None:
        return {}
    keep = repository.number("keepRefs", KEEP_REFS) or latest.number
    count = min(keep, latest.number)
    chain = history.walk(repository, latest.commit, limit=count)
    should = {latest.number - place: object_.oid for place, object_ in enumerate(chain)}
    if position.live:
        should[position.live.number] = position.live.commit
    return should


def before_torn_pull(repository: Repository, state: State, remote: Tracked) -> State:
    """What a pull had before it that gave other numbers and died between its refs. Raises the state's breach.

    Such a pull leaves published versions and replayed ones under numbers that the log here gives to others. Anything
    else that differs from the log is no work of a pull, and stays for a person to look at.
    """
    assert state.breach is not None
    event, refs = state.event, state.refs
    if event is None or event.latest is None:
        raise state.breach
    chain = _chain(repository, event)
    published = _chain(repository, parse_event(repository.reading.object(remote.log)))
    replayed = {oid for oid in (refs.live, *refs.versions.values()) if oid and _replays(repository, oid, chain)}
    strange = [
        oid
        for one, oid in refs.versions.items()
        if chain.get(one) != oid and published.get(one) != oid and oid not in replayed
    ]
    if strange or not (refs.live == event.live_commit or refs.live in replayed):
        raise state.breach
    versions = {one: oid for one, oid in refs.versions.items() if chain.get(one) == oid}
    sources = _sources_before(repository, refs, chain, published)
    before = refs._replace(live=event.live_commit, versions=versions, sources=sources)
    return history.trusted(history.state_of(repository, state.name, before))


def _sources_before(
    repository: Repository, refs: Refs, chain: Mapping[int, str], published: Mapping[int, str]
) -> dict[int, str]:
    """The `sources/<n>` as they were, from the code that is kept now, under whichever number."""
    from git_deployments.checkout import present

    mine = {one: oid for one, oid in chain.items() if published.get(one) != oid}
    first = min(mine, default=0)
    kept = {one: code for one, code in refs.sources.items() if one < first}
    for one, oid in mine.items():
        code = parse_version(repository.reading.object(oid)).source.commit
        if code and (one in refs.sources or code in refs.sources.values()) and present(repository, code):
            kept[one] = code
    return kept


def _chain(repository: Repository, event: Event) -> dict[int, str]:
    """Number to commit of all versions that a log tells of."""
    latest = event.latest or 0
    walked = history.walk(repository, event.latest_commit) if event.latest_commit else ()
    return {latest - place: object_.oid for place, object_ in enumerate(walked)}


def _replays(repository: Repository, oid: str, chain: Mapping[int, str]) -> bool:
    """A version was made by a pull, for one of `chain`."""
    said = split_message(parse_commit(repository.reading.object(oid)).message)[2].get("Was", "")
    number, _, was = said.removeprefix("v").partition(" ")
    return number.isdigit() and chain.get(int(number)) == was


def onto_torn(integration: Integration, before: State, torn: State) -> Integration:
    """The same changes, from the refs that a torn pull left instead of those before it."""
    should = {**_by_ref(before), **{ref: new for ref, new, _ in integration.changes}}
    has = _by_ref(torn)
    always = (live_ref(torn.name), log_ref(torn.name))
    changes = [
        RefChange(ref, should.get(ref), has.get(ref))
        for ref in sorted(should.keys() | has.keys())
        if should.get(ref) != has.get(ref) or ref in always
    ]
    return integration._replace(changes=tuple(changes))


def _by_ref(state: State) -> dict[str, str | None]:
    name, refs = state.name, state.refs
    numbered = {version_ref(name, one): oid for one, oid in refs.versions.items()}
    numbered.update((source_ref(name, one), oid) for one, oid in refs.sources.items())
    return {**numbered, live_ref(name): refs.live, log_ref(name): refs.log}


class _Replay:
    """Unpublished events, one after the other onto the published log."""

    def __init__(
        self,
        repository: Repository,
        objects: Objects,
        who: Who,
        published: Event,
        base: Event | None,
        theirs: list[Event],
    ) -> None:
        self.repository = repository
        self.objects = objects
        self.who = who
        self.base = base
        self.theirs = theirs
        self.position = position_after(published.name, published)
        self.published_live = self.position.live
        self.numbers: dict[int, Pointer] = {}
        """Unpublished versions by the number that they had."""
        self.deleted = published.action == "delete"
        """The newest event is a delete."""
        self.disputes: list[Dispute] = []
        self.notes: list[str] = []

    def run(self, state: State, remote: Tracked, ours: list[Event]) -> Integration:
        """Replay `ours` (newest first)."""
        there = history.trusted(history.state_of(self.repository, state.name, Refs(remote.live, remote.log, {}, {})))
        for version, live in adoptions(there):
            step = Step("adopt", live=live, held=self.position.held)
            event, self.position = append(self.objects, self.who, self.position, step, version)
            self.theirs.insert(0, event)
            self.deleted = False
        if there.event and there.event.live_commit != remote.live:
            self.notes.append(f"{_disagrees(remote)}; it counts, and is recorded")
        self.published_live = self.position.live
        for event in reversed(ours):
            self._replay(event)
        self.objects.finish()
        renumbered = [Renumbered(old, new.number) for old, new in self.numbers.items()]
        tip = self.position.live.commit if self.position.live else None
        changes = _changes(self.repository, state, self.position, tip, self.deleted, self.numbers)
        return Integration(
            state.name,
            "replayed",
            tuple(changes),
            tuple(one for one in renumbered if one.old != one.new),
            tuple(self.disputes),
            tuple(self.notes),
        )

    def _replay(self, event: Event) -> None:
        made = self._version(event)
        if made is not None or event.number is not None:
            self._replay_version(event, made)
        elif event.action in ("rollback", "promote", "adopt", "delete"):
            self._replay_move(event)
        elif self.deleted:
            self._dispute(event, "settings of what is deleted", "deploy {}")
        else:
            self._record(event, None, self.position.live)

    # Versions

    def _version(self, event: Event) -> Version | None:
        """The version that the event made, numbered anew; None where it made none, or it is there already."""
        if event.number is None or event.latest_commit is None:
            return None
        version = version_at(self.repository, _named(event.name), event.latest_commit)
        if self._is_published(version):
            self.numbers[version.number] = pointer(version)
            return None
        if event.action == "update":
            return self._updated(event, version)
        return self._numbered(version)

    def _is_published(self, version: Version) -> bool:
        latest = self.position.latest
        if latest is None or latest.number < version.number:
            return False
        return history.number_to_oid(self.repository, latest.number, latest.commit, version.number) == version.commit

    def _keeps(self, version: Version) -> bool:
        """It follows what is published as it is: others made no version since."""
        latest = self.position.latest
        return version.parent == (latest.commit if latest else None)

    def _numbered(self, version: Version) -> Version:
        if self._keeps(version):
            self.numbers[version.number] = pointer(version)
            return version
        was = f"v{version.number} {version.commit}"
        new = number(self.objects, self._author(version), self.position, version, was)
        self.numbers[version.number] = pointer(new)
        return new

    def _author(self, version: Version) -> Who:
        return Who(version.author, self.who.committer, version.run)

    def _replay_version(self, event: Event, made: Version | None) -> None:
        wants_live = event.after == event.number
        if made is None:
            if event.action == "adopt" or self.deleted:
                return  # the other log has it, or nothing to change
            self._record(event, None, self.position.live)
            return
        live = self.position.live
        if wants_live and event.action != "update" and live is None and self._is_deleted():
            self._dispute(event, f"v{made.number} going live onto a delete", f"promote {{}} v{made.number}")
            wants_live = False
        goes_live = wants_live and not self.position.held
        if wants_live and not goes_live:
            stays = f"v{live.number}" if live else "nothing"
            self.notes.append(
                f"v{made.number} of '{shown(event.name)}' did not go live: {stays} is held there since a rollback; "
                f"to make it live: git deployments promote {quoted(event.name)} v{made.number}"
            )
        self._record(event, made, pointer(made) if goes_live else live)

    def _is_deleted(self) -> bool:
        return bool(self.theirs) and any(event.action == "delete" for event in self.theirs)

    def _updated(self, event: Event, version: Version) -> Version | None:
        """An unpublished update: its changed keys onto what is live now."""
        live = self.position.live
        before = event.before and self._commit_before(event)
        if live is None or not before:
            self._dispute(event, f"{event.action} v{event.number}", "update {} KEY=VALUE")
            return None
        state = _named(event.name)
        old = history.properties(self.repository, version_at(self.repository, state, before))
        new = history.properties(self.repository, version)
        base = version_at(self.repository, state, live.commit)
        current = history.properties(self.repository, base)
        merged, contested = merge(old, new, current)
        for key, value in contested:
            self._dispute(event, key, f"update {{}} {_change(key, value)}")
        if merged == current and version.label is None:
            return None
        if self._keeps(version) and live.commit == before:
            self.numbers[version.number] = pointer(version)
            return version
        info = base.source.info._replace(version=version.label or (base.source.commit or "")[:8] or None)
        draft = Draft(version.label, merged, base.source._replace(info=info), version.message)
        was = f"v{version.number} {version.commit}"
        made = make(self.repository, self.objects, self._author(version), self.position, draft, was)
        self.numbers[version.number] = pointer(made)
        return made

    def _commit_before(self, event: Event) -> str | None:
        """Commit of the version that was live before an unpublished event."""
        if event.previous is None:
            return None
        return parse_event(self.repository.reading.object(event.previous)).live_commit

    # Moves

    def _replay_move(self, event: Event) -> None:
        current, target = self.position.live, self._target(event)
        left_unpublished = self._is_unpublished(event.before)
        back_to_base = self.base is not None and event.after is not None and event.after == self.base.after
        if left_unpublished and back_to_base:
            target = self.published_live
            if target is None and event.action == "rollback":  # only an adopt may leave nothing live
                if current or event.held:
                    self._dispute(event, _move_in_words(event), _command(event, current, target))
                return
        elif event.action == "adopt" and self._has_happened(event, target):
            return  # the other log has it
        elif event.action == "delete" and current is None:
            return  # it is deleted there already
        elif not self._leaves(event, current) or self._unseen(event) or (target is None and event.after is not None):
            self._dispute(event, _move_in_words(event), _command(event, current, target))
            return
        if _same(current, target) and event.action not in ("promote", "rollback"):
            return
        action = event.action
        if current and target and action in ("rollback", "promote") and not _same(current, target):
            action = "rollback" if target.number < current.number else "promote"
        self._record(event._replace(action=action), None, target)

    def _has_happened(self, event: Event, target: Pointer | None) -> bool:
        """What was adopted here is in the other log: somebody saw its `live` before its log."""
        went_to = {(one.before, one.live_commit) for one in self.theirs if one.before != one.after}
        return (event.before, target and target.commit) in went_to or _same(self.position.live, target)

    def _target(self, event: Event) -> Pointer | None:
        if event.after is None or event.live_commit is None:
            return None
        if self.base is not None and event.after <= (self.base.latest or 0):
            return Pointer(event.after, event.live_commit, event.label, event.source)
        return self.numbers.get(event.after)

    def _leaves(self, event: Event, current: Pointer | None) -> bool:
        """What the event moved away from is what is live now."""
        if event.before is None or current is None:
            return event.before is None and current is None
        if not self._is_unpublished(event.before):
            return current.number == event.before
        moved = self.numbers.get(event.before)
        return moved is not None and current.number == moved.number

    def _unseen(self, event: Event) -> bool:
        """A delete of what an unpublished deploy made live, while others made something else live."""
        moved = any(one.before != one.after or one.number for one in self.theirs)
        return event.action == "delete" and self._is_unpublished(event.before) and moved

    # Recording

    def _record(self, event: Event, made: Version | None, live: Pointer | None) -> None:
        """Append the event's replay; nothing where nothing is left of it."""
        before = self.position
        self._merge_settings(event)
        held = before.held
        if event.action == "rollback":
            held = held or event.held
        elif event.action in ("promote", "delete"):
            held = False
        if made is None and _same(before.live, live) and before.tree == self.position.tree and held == before.held:
            return
        action = "update" if made is None and event.action == "deploy" else event.action
        author = Who(event.author, self.who.committer, event.run)
        step = Step(action, event.reason, live=live, held=held)
        _, self.position = append(self.objects, author, self.position, step, made)
        self.deleted = action == "delete"

    def _merge_settings(self, event: Event) -> None:
        previous = self._previous(event)
        if event.action not in ("deploy", "update") or (previous and previous.tree == event.tree):
            return
        old, new = history.settings(self.repository, previous), history.settings(self.repository, event)
        current = self._current_settings()
        merged, contested = merge(old, new, current)
        for key, value in contested:
            self._dispute(event, key, f"update {{}} {_change(key, value)}")
        if merged != current:
            self.position = with_settings(self.objects, self.position, merged)

    def _previous(self, event: Event) -> Event | None:
        return parse_event(self.repository.reading.object(event.previous)) if event.previous else None

    def _current_settings(self) -> dict[str, Json]:
        self.objects.finish()
        return history.settings_in(self.repository, self.position.tree or "", self.position.log or "")

    def _dispute(self, event: Event, what: str, command: str) -> None:
        choice = f"git deployments {command.replace('{}', quoted(event.name), 1)}"
        theirs = next((one for one in self.theirs if one.before != one.after), self.theirs[0])
        self.disputes.append(Dispute(what, event, theirs, choice))

    def _is_unpublished(self, number: int | None) -> bool:
        """It is the number that an unpublished version had before the replay."""
        return number is not None and number > ((self.base.latest if self.base else None) or 0)


def _named(name: str) -> State:
    """A state that only says whose version is meant."""
    return State(name, history.NO_REFS, None, None, None)


def _same(one: Pointer | None, other: Pointer | None) -> bool:
    return (one and one.commit) == (other and other.commit)


def _move_in_words(event: Event) -> str:
    before, after = (f"v{n}" if n else "nothing" for n in (event.before, event.after))
    return f"{event.action} from {before} to {after}"


def _command(event: Event, current: Pointer | None, target: Pointer | None) -> str:
    if event.after is None:
        return "delete {}"
    if target is None:
        return "versions {}"
    if current and target.number == current.number:
        verb = "rollback" if event.action == "rollback" else "promote"
    else:
        verb = "promote" if current is None or target.number > current.number else "rollback"
    hold = " --hold" if verb == "rollback" and event.held else ""
    return f"{verb} {{}} v{target.number}{hold}"


def _change(key: str, value: Json) -> str:
    """The words of an `update` that make one change, in the words of a shell."""
    if value is _ABSENT:
        return f"--unset {quoted(key)}"
    text = json.dumps(value)
    return f"{key}=…" if len(text) > _LONG else quoted(f"{key}={text}")


_LONG = 200
"""Characters from which on a value is left to be looked up."""


def merge(
    old: Mapping[str, Json], new: Mapping[str, Json], current: Mapping[str, Json], prefix: str = ""
) -> tuple[dict[str, Json], list[tuple[str, Json]]]:
    """The changes from `old` to `new` made to `current`; (result, keys that `current` changed otherwise, as in `new`).

    Key by key, into mappings; a contested key keeps its value in `current`.
    """
    merged, contested = dict(current), list[tuple[str, Json]]()
    for key in sorted(old.keys() | new.keys()):
        before, after, now = old.get(key, _ABSENT), new.get(key, _ABSENT), current.get(key, _ABSENT)
        if before == after or now == after:
            continue
        if before is _ABSENT and isinstance(after, dict) and isinstance(now, dict):
            before = {}  # a mapping that both sides made has keys that only one of them made
        if isinstance(before, dict) and isinstance(after, dict) and isinstance(now, dict):
            merged[key], deeper = merge(before, after, now, f"{prefix}{key}.")
            contested += deeper
        elif now != before:
            contested.append((prefix + key, after))
        elif after is _ABSENT:
            del merged[key]
        else:
            merged[key] = after
    return merged, contested


_ABSENT: Json = "\0absent"
"""No value of a document: NUL cannot be stored in one."""
