"""The verbs that write: deploy, update, rollback, promote, delete, and the recording of what was moved by hand.

Each verb is a decision: a function from the state of a deployment to what is to be done with it.
`write` reads the state, decides, makes the objects and moves the refs; when another writer was
quicker it starts again from a fresh state. `plan` decides and writes nothing.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from git_deployments import objects
from git_deployments.document import snapshot
from git_deployments.errors import DeploymentsError, ExpectationFailed
from git_deployments.git import Damaged, LostRace, RefChange
from git_deployments.history import (
    PAUSE,
    Breach,
    Pointer,
    State,
    UnknownDeployment,
    UnknownVersion,
    events,
    names_anywhere,
    pointer,
    previous,
    properties,
    settings,
    states,
    unknown,
    version_at,
)
from git_deployments.model import Event, Identity, Json, Run, Version
from git_deployments.names import fold, quoted, shown
from git_deployments.record import Draft, Record, Step, build, check_writable, commit, index_is_due
from git_deployments.refs import live_ref, log_ref, source_ref, version_ref
from git_deployments.repository import Repository, Who
from git_deployments.resolve import Nothing, resolve

TRIES = 200
"""Lost races after which a write gives up. Each lost race is another writer's success."""


class Refused(DeploymentsError):
    """What was asked cannot be done as it was asked; the message names the command that can."""


class Collision(DeploymentsError):
    """The name differs from another deployment's only by case or by Unicode form."""


class Decision(NamedTuple):
    """What is to be done with one deployment."""

    step: Step | None
    """None: nothing."""
    existing: Version | None = None
    """The version that stands where nothing is made."""
    not_taken: str | None = None
    """Why `live` is wanted but not taken: `held` or `stale`."""
    notes: tuple[str, ...] = ()
    """Lines to say on stderr."""
    verb: str = ""
    """What was asked for, where nothing is done."""


class Planned(NamedTuple):
    """A decision beside the state that it was made from."""

    state: State
    decision: Decision


class Outcome(NamedTuple):
    """What a write did to one deployment."""

    name: str
    decision: Decision
    record: Record | None
    """None where nothing was written."""
    live: Pointer | None
    """What is live now."""

    @property
    def version(self) -> Version | None:
        """The version that was made, else the one that stands."""
        return (self.record and self.record.version) or self.decision.existing


class Wish(NamedTuple):
    """One deployment as a manifest asks for it."""

    name: str
    draft: Draft
    settings: Mapping[str, Json]
    """Only what is to change."""
    live: bool = True
    if_changed: bool = False
    paths: tuple[str, ...] = ()
    """Relative to the repository's root; of the source tree only these count for `if_changed`."""
    expect: str | None = None


class Wanted(NamedTuple):
    """The deployments that a write is about."""

    look: Callable[[], list[str]]
    """Gives their full names, from what is known when it is called."""
    exact: bool
    """They were named in full, so that nothing at a remote can make other names of them."""


Decide = Callable[[State], Decision]


def plan(repository: Repository, wanted: Iterable[str], decide: Decide) -> list[Planned]:
    """Decide for each deployment, by name, and write nothing."""
    return [Planned(state, decide(state)) for state in states(repository, wanted)]


def write(repository: Repository, who: Who, wanted: Iterable[str], decide: Decide) -> list[Outcome]:
    """Do it for all named deployments in one transaction, or for none.

    Raises what `decide` raises, `LostRace` after `TRIES` lost races, `Locked`, `GitFailed`.
    """
    wanted = list(wanted)
    breach_seen = False
    for attempt in range(TRIES):
        if attempt:
            _pause(attempt)
        planned = plan(repository, wanted, decide)
        try:
            records = prepare(repository, who, planned)
            commit(repository, records.values())
        except Breach:
            if breach_seen:
                raise
            breach_seen = True
            time.sleep(PAUSE)  # a breach counts only when a second reading sees it too
        except LostRace as lost:
            last = lost
        else:
            return [outcome(one, records.get(one.state.name)) for one in planned]
    raise LostRace(f"other writers were quicker {TRIES} times, nothing was written; try again ({last})")


def prepare(repository: Repository, who: Who, planned: Iterable[Planned]) -> dict[str, Record]:
    """Write the objects of all steps, by deployment; no ref is moved."""
    steps = [(state, decision.step) for state, decision in planned if decision.step]
    making = sum(bool(step.draft) for _, step in steps)
    fresh = any(step.settings is not None or state.event is None for state, step in steps)
    target = objects.creating(repository, making) if making or fresh else objects.moving(repository)
    records = {state.name: build(repository, target, who, state, step) for state, step in steps}
    target.finish()
    _read_back(repository, target.written)
    return records


def foreseen(repository: Repository, planned: Iterable[Planned]) -> dict[str, Record]:
    """What `prepare` would make, by deployment; no object is written. The ids of what is new will be others."""
    target = objects.Unwritten(repository.layout.hash)
    steps = ((state, decision.step) for state, decision in planned if decision.step)
    return {state.name: build(repository, target, _ANYBODY, state, step) for state, step in steps}


_NOBODY = Identity("nobody", "nobody", 0, "+0000")
_ANYBODY = Who(_NOBODY, _NOBODY, Run())
"""Who would write matters to no ref, and need not be known."""


def _read_back(repository: Repository, oids: list[str]) -> None:
    """An object that was here before, damaged, is not written again: no version may rest on it. Raises `Damaged`."""
    readable = repository.reading.many(oids)
    damaged = [oid for oid in oids if oid not in readable]
    if damaged:
        raise Damaged(damaged[0], "is here but cannot be read, so nothing was written onto it; remove its file")


def outcome(planned: Planned, record: Record | None) -> Outcome:
    """What became of a decision once the refs of its record, if any, have moved."""
    state, decision = planned
    return Outcome(state.name, decision, record, record.after if record else state.live)


def moved(outcomes: Iterable[Outcome]) -> list[Record]:
    """The records of what moved `live`."""
    records = [one.record for one in outcomes if one.record]
    return [one for one in records if (one.before and one.before.commit) != (one.after and one.after.commit)]


def _pause(attempt: int) -> None:
    import random

    time.sleep(random.uniform(0.001, min(0.2, 0.01 * attempt)))


# Decisions


def deploying(repository: Repository, wishes: Mapping[str, Wish], reason: str) -> Decide:
    """A new version for each wish. Raises `Collision` for a new name that others may be taken for."""
    taken: dict[str, str] = {}

    def decide(state: State) -> Decision:
        if not state.exists:
            if not taken:
                taken.update((fold(name), name) for name in (*wishes, *names_anywhere(repository)))
            check_collision(taken, state.name)
        return _deploy(repository, state, wishes[state.name], reason)

    return decide


def _deploy(repository: Repository, state: State, wish: Wish, reason: str) -> Decision:
    check_writable(state)
    if wish.expect is not None:
        check_expected(repository, state, wish.expect)
    after = changed_settings(repository, state, wish.settings)
    if wish.if_changed and state.latest and not state.deleted:
        latest = version_at(repository, state, state.latest.commit)
        if _same(repository, latest, wish):
            step = Step("update", reason, None, False, state.live, after, state.held) if after else None
            other = state.live if state.live and state.live.number != latest.number else None
            but = f", which is not live (v{other.number} is)" if other else ""
            return Decision(step, latest, notes=(f"{shown(state.name)} is unchanged since v{latest.number}{but}",))
    refusal = _live_refusal(repository, state, wish) if wish.live else None
    unknown: tuple[str, ...] = ()
    if refusal == "unknown":
        refusal, unknown = None, (_STALENESS_UNKNOWN.format(shown(state.name)),)
    goes_live = wish.live and refusal is None
    step = Step("deploy", reason, wish.draft, goes_live, state.live, after, state.held)
    notes = _notes_on_taking_live(repository, state) if goes_live else ()
    return Decision(step, not_taken=refusal, notes=(*unknown, *notes))


_STALENESS_UNKNOWN = (
    "warning: deployments.refuseStale: the history here does not tell whether the source of '{}' is older than the "
    "live one's (a shallow clone?), so it goes live; fetch the whole history before deploying"
)


def changed_settings(repository: Repository, state: State, patch: Mapping[str, Json]) -> dict[str, Json] | None:
    """All settings with `patch` applied; None where that changes nothing."""
    if not patch:
        return None
    before = settings(repository, state.event)
    after = {**before, **patch}
    return after if after != before else None


def _live_refusal(repository: Repository, state: State, wish: Wish) -> str | None:
    if state.held:
        return "held"
    new = wish.draft.source.commit
    live = state.live.source if state.live else None
    if not (repository.flag("refuseStale") and new and live and new != live):
        return None
    from git_deployments.checkout import is_ancestor

    older = is_ancestor(repository, new, live)
    return "stale" if older else None if older is False else "unknown"


def _notes_on_taking_live(repository: Repository, state: State) -> tuple[str, ...]:
    """Whose rollback a new live version ends."""
    if not (state.live and state.latest and state.live.number < state.latest.number):
        return ()
    for event in events(repository, state):
        if event.after == state.live.number and event.action in ("rollback", "adopt") and event.before != event.after:
            return (f"this ends the {_told(event)}",)
        if event.after != state.live.number:
            break
    return ()


def _told(event: Event) -> str:
    what = "rollback" if event.action == "rollback" else "move"
    first = event.reason.split("\n")[0]
    reason = f": {first}" if first else ""
    source = f"v{event.before}" if event.before else "nothing"
    return shown(f"{what} from {source} to v{event.after} by {event.author.name}{reason}")


def _same(repository: Repository, latest: Version, wish: Wish) -> bool:
    """Configuration, explicit name and source tree (or its paths) are those of the latest version."""
    draft = wish.draft
    if latest.label != draft.label or latest.source.directory != draft.source.directory:
        return False
    old, new = latest.source.commit, draft.source.commit
    before = snapshot(properties(repository, latest))
    if _masked(before, old) != _masked(snapshot(draft.properties), new):
        return False
    if old is None or new is None or old == new:
        return old == new
    return all(_same_path(repository, old, new, path) for path in wish.paths or ("",))


def _masked(document: bytes, oid: str | None) -> bytes:
    return document.replace(oid.encode(), b"\0") if oid else document


def _same_path(repository: Repository, old: str, new: str, path: str) -> bool:
    from git_deployments.checkout import object_at, present

    after = object_at(repository, new, path)
    before = object_at(repository, old, path)
    if after is None and before is None and path and present(repository, new):
        raise Refused(f"--paths {shown(path)}: neither the latest version's source nor {new[:12]} has it; correct it")
    return after is not None and after == before


Change = Callable[[Version, dict[str, Json], dict[str, Json]], tuple[Mapping[str, Json], Mapping[str, Json]]]
"""From the live version, its properties and the settings: (all properties, the settings that are assigned)."""


class Revision(NamedTuple):
    """What `update` asks for."""

    change: Change
    label: str | None = None
    live: bool = True
    expect: str | None = None


def updating(repository: Repository, revision: Revision, reason: str) -> Decide:
    """Changed properties of the live version; its source and version_info are kept, its name is not."""

    def decide(state: State) -> Decision:
        live = _live_version(repository, state, revision.expect)
        before = properties(repository, live)
        after, patch = revision.change(live, dict(before), settings(repository, state.event))
        new_settings = changed_settings(repository, state, patch)
        if after == before and revision.label is None:
            step = Step("update", reason, None, False, state.live, new_settings, state.held) if new_settings else None
            return Decision(step, live, notes=() if step else (f"{shown(state.name)} has these values already",))
        taken = revision.live and not state.held
        info = live.source.info
        version = revision.label or (info.commit_sha[:8] if info.commit_sha else None)
        source = live.source._replace(info=info._replace(version=version))
        draft = Draft(revision.label, after, source, reason)
        not_taken = "held" if revision.live and state.held else None
        notes = _notes_on_taking_live(repository, state) if taken else ()
        step = Step("update", reason, draft, taken, state.live, new_settings, state.held)
        return Decision(step, None, not_taken, notes)

    return decide


def _live_version(repository: Repository, state: State, expect: str | None) -> Version:
    _check_present(repository, state, expect)
    if state.live is None:
        raise Nothing(f"'{shown(state.name)}' has no live version to update; make one live with promote or deploy")
    return version_at(repository, state, state.live.commit)


def rolling_back(repository: Repository, words: str | None, hold: bool, reason: str, expect: str | None) -> Decide:
    """An older version goes live."""

    def decide(state: State) -> Decision:
        _check_present(repository, state, expect)
        name, shell = shown(state.name), quoted(state.name)
        if state.live is None:
            raise Nothing(
                f"'{name}' has no live version to roll back from; make one live: git deployments promote {shell}"
            )
        target = previous(repository, state) if words is None else _target(repository, state, words)
        if target is None:
            if state.live.number == 1:
                raise Nothing(f"'{name}' has no version to roll back to: v1 is the first")
            raise Nothing(
                f"'{name}' has no version to roll back to: none older than v{state.live.number} was live and is not "
                f"itself rolled away from; name one: git deployments rollback {shell} VERSION"
            )
        if target.number > state.live.number:
            raise Refused(
                f"v{target.number} of '{name}' is newer than the live v{state.live.number}; "
                f"to go forward: git deployments promote {shell} v{target.number}"
            )
        stays = target.number == state.live.number
        held = state.held or hold or (not stays and repository.flag("holdAfterRollback"))
        return _move(repository, state, target, Step("rollback", reason, live=target, held=held))

    return decide


def promoting(repository: Repository, words: str | None, reason: str, expect: str | None) -> Decide:
    """A newer version goes live, and a hold ends."""

    def decide(state: State) -> Decision:
        _check_present(repository, state, expect)
        name, shell = shown(state.name), quoted(state.name)
        target = _target(repository, state, "latest" if words is None else words)
        if state.live and target.number < state.live.number:
            raise Refused(
                f"v{target.number} of '{name}' is older than the live v{state.live.number}; "
                f"to go back: git deployments rollback {shell} v{target.number}"
            )
        return _move(repository, state, target, Step("promote", reason, live=target))

    return decide


def _move(repository: Repository, state: State, target: Pointer, step: Step) -> Decision:
    if state.live and target.commit == state.live.commit and step.held == state.held:
        existing = version_at(repository, state, target.commit)
        return Decision(
            None, existing, notes=(f"v{target.number} of {shown(state.name)} is live already",), verb=step.action
        )
    return Decision(step)


def _target(repository: Repository, state: State, words: str) -> Pointer:
    return pointer(resolve(repository, state, words))


def deleting(repository: Repository, reason: str) -> Decide:
    """The deployment is gone from lists; its log stays and tells so."""

    def decide(state: State) -> Decision:
        check_writable(state)
        if not state.exists:
            raise unknown(repository, state.name)
        if state.deleted and not state.refs.versions and not state.leftovers:
            raise UnknownDeployment(f"'{shown(state.name)}' is deleted already; --purge removes its log too")
        return Decision(Step("delete", reason))

    return decide


def recording(repository: Repository) -> Decide:
    """What happened outside of the log is recorded, the index is put right, and nothing else is done."""

    def decide(state: State) -> Decision:
        check_writable(state)
        due = state.unrecorded or state.leftovers or index_is_due(repository, state)
        return Decision(Step("adopt") if due else None)

    return decide


def _check_present(repository: Repository, state: State, expect: str | None) -> None:
    check_writable(state)
    if not state.exists:
        raise unknown(repository, state.name)
    if state.deleted:
        raise UnknownDeployment(f"'{shown(state.name)}' is deleted; deploying it again continues its numbers")
    if expect is not None:
        check_expected(repository, state, expect)


def check_expected(repository: Repository, state: State, expect: str) -> None:
    """Raise `ExpectationFailed` unless the live version is the one that `expect` names (`none`: nothing)."""
    live = f"v{state.live.number}" if state.live else "nothing"
    wrong = ExpectationFailed(
        f"expected {shown(expect)} to be live of '{shown(state.name)}', but {live} is; "
        f"look at it and decide again: git deployments log {quoted(state.name)}"
    )
    if expect == "none":
        if state.live:
            raise wrong
        return
    try:
        expected = resolve(repository, state, expect) if state.latest else None
    except UnknownVersion:
        expected = None
    if expected is None or state.live is None or expected.commit != state.live.commit:
        raise wrong


def check_collision(taken: Mapping[str, str], name: str, where: str = "") -> None:
    """`taken`: folded name to name. Raises `Collision`. `where`: the remote that has the other one, for the message."""
    other = taken.get(fold(name), name)
    if other != name:
        raise Collision(
            f"'{shown(name)}' differs from '{shown(other)}'{where} only by case or by Unicode form, "
            "which a file system may not tell apart; rename one of them"
        )


def purge(repository: Repository, name: str) -> list[RefChange]:
    """Remove every ref of a deployment, its log included: nothing of it is left."""
    (state,) = states(repository, [name])
    changes = purging(state)
    repository.git.move_refs(changes)
    return changes


def purging(state: State) -> list[RefChange]:
    """What a purge removes."""
    name, refs = state.name, state.refs
    changes = [RefChange(source_ref(name, number), None, oid) for number, oid in refs.sources.items()]
    changes += [RefChange(version_ref(name, number), None, oid) for number, oid in refs.versions.items()]
    if refs.live:
        changes.append(RefChange(live_ref(name), None, refs.live))
    if refs.log:
        changes.append(RefChange(log_ref(name), None, refs.log))
    return changes
