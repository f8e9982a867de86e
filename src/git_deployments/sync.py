"""Deployments travel: fetch, pull, push, and writes that are published or not made at all (design, "Sync").

git is the transport. A remote is where histories meet: its log, pushed without force and with a
lease on its last seen value, is the lock, so whoever is second looks again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from git_deployments import objects, store
from git_deployments.audit import incoming, signature_problems
from git_deployments.checkout import default_remote
from git_deployments.codec import Malformed, parse_event
from git_deployments.errors import NO, Contested, DeploymentsError
from git_deployments.git import SYMBOLIC, GitFailed, Locked, LostRace, RefChange, lock_in_the_way, text
from git_deployments.guard import OVERTAKEN
from git_deployments.history import (
    BY_NAME,
    PAUSE,
    Refs,
    State,
    UnknownDeployment,
    is_name,
    matching,
    named,
    nearest,
    read_refs,
    state_of,
    states,
    trusted,
    unknown,
)
from git_deployments.integrate import (
    Integration,
    Tracked,
    before_torn_pull,
    integrate,
    only_from,
    onto_torn,
    reaches,
    unpublished,
)
from git_deployments.mend import Mended, mend
from git_deployments.model import Event
from git_deployments.names import encode, quoted, shown
from git_deployments.record import Record, check_writable, commit
from git_deployments.refs import (
    LIVE,
    LOG,
    REMOTE_ROOT,
    ROOT,
    live_ref,
    log_ref,
    parse_ref,
    prefix,
    remote_of,
    remote_root,
    source_ref,
    version_ref,
)
from git_deployments.repository import Repository

PATIENCE = 45.0
"""Seconds for which a published write tries again after losing a race (issue "Sync")."""
LOCK_PATIENCE = 5.0
"""Seconds for which a fetch tries again while others move what was last seen."""
GONE = "%gone"
"""Below a deployment's tracking refs: its log as it was before it disappeared from the remote.

No deployment can have it for a part of its name: in those a percent sign comes before two digits.
"""


class UnknownRemote(DeploymentsError):
    """There is no remote of that name, or none to choose."""


class BadRemote(DeploymentsError):
    """What a remote has breaks the rules of the format."""


class Rewound(Contested):
    """A remote's log no longer holds what it had published."""


class Diverged(Contested):
    """Something is published that is not here; it must be pulled first."""


class Lost(Contested):
    """Another writer published first."""


class Declined(DeploymentsError):
    """The remote refused the push."""

    exit_code = NO


class NotHere(DeploymentsError):
    """A write was published, and only the refs here were not moved."""


class Gone(DeploymentsError):
    """The deployment was removed at the remote."""


class Fetched(NamedTuple):
    """What is known of a remote after a fetch."""

    tracked: dict[str, Tracked]
    gone: list[str]
    """Deployments that were there and are not any more."""


class Pulled(NamedTuple):
    """What a pull did."""

    remote: str
    integrations: list[Integration]
    gone: list[str]
    mended: Mended = Mended()
    """What was damaged here before."""

    @property
    def contested(self) -> bool:
        """Something is for a person to choose."""
        return any(one.disputes for one in self.integrations)


class Published(NamedTuple):
    """One deployment's part of a push."""

    name: str
    log: str
    before: str | None
    """Commit of the remote's log before it."""
    events: int
    """How many events are new to the remote."""


class Pushed(NamedTuple):
    """What a push did."""

    remote: str
    published: list[Published]
    warnings: list[str]
    heard: tuple[str, ...] = ()
    """What the remote's hooks said, line by line."""


Echo = Callable[[bytes], None]
"""Takes git's progress as it comes."""


def silent(progress: bytes) -> None:
    """An `Echo` for where nobody looks."""
    del progress


# What was last seen


class Seen(NamedTuple):
    """What was last seen at a remote, by full name."""

    tracked: dict[str, Tracked]
    gone: dict[str, str]
    """Deployments that a fetch found removed there, and their logs before."""


def last_seen(repository: Repository, remote: str, wanted: Iterable[str] | None = None) -> Seen:
    """What was last seen at a remote; of the deployments of these full names, or of all."""
    root = remote_root(remote)
    patterns = [root.rstrip("/")] if wanted is None else [f"{root}{encode(name)}/" for name in wanted]
    kinds: dict[str, dict[str, str]] = {LOG: {}, LIVE: {}, GONE: {}}
    for ref, oid in repository.git.refs(*patterns) if patterns else ():
        base, _, kind = ref.rpartition("/")
        parsed = parse_ref(f"{base}/{LOG}", root) if kind in kinds else None
        if parsed:
            kinds[kind][parsed.name] = oid
    chosen = None if wanted is None else set(wanted)
    logs, lives, gone = (
        {name: oid for name, oid in found.items() if chosen is None or name in chosen} for found in kinds.values()
    )
    return Seen({name: Tracked(remote, name, oid, lives.get(name)) for name, oid in logs.items()}, gone)


def tracked(repository: Repository, remote: str, wanted: Iterable[str] | None = None) -> dict[str, Tracked]:
    """The deployments that were last seen at a remote: see `last_seen`."""
    return last_seen(repository, remote, wanted).tracked


def logs_elsewhere(repository: Repository, remote: str) -> dict[str, dict[str, str]]:
    """Deployment to (other remote to its last seen log)."""
    found: dict[str, dict[str, str]] = {}
    for ref, oid in repository.git.refs(f"{REMOTE_ROOT}**/{LOG}"):
        other = remote_of(ref)
        parsed = parse_ref(ref, remote_root(other))
        if parsed and other != remote:
            found.setdefault(parsed.name, {})[other] = oid
    return found


class Standing(NamedTuple):
    """How a deployment stands to a remote, as it was last seen."""

    unpublished: int
    """Events that are only here."""
    behind: int
    """Events that are only there."""


def standing(repository: Repository, state: State, there: Tracked | None) -> Standing:
    """Compare a deployment with what was last seen of it; `there` None: it was not."""
    here = state.refs.log
    if there and there.log == here:
        return Standing(0, 0)
    seen = [there.log] if there else []
    if here is None:
        return Standing(0, len(unpublished(repository, *seen)) if seen else 0)
    behind = len(unpublished(repository, seen[0], here)) if seen else 0
    return Standing(len(unpublished(repository, here, *seen)), behind)


def unpublished_versions(repository: Repository, state: State) -> set[str]:
    """Commits of versions that no remote's log reaches as it was last seen; their numbers are provisional."""
    if not repository.remotes or state.latest is None:
        return set()
    logs = [oid for _, oid in repository.git.refs(f"{REMOTE_ROOT}*/{encode(state.name)}/{LOG}")]
    return set(only_from(repository, state.latest.commit, logs))


def check_remote(repository: Repository, remote: str) -> str:
    """The remote itself. Raises `UnknownRemote` where it is not configured."""
    if remote not in repository.remotes:
        there_are = ", ".join(map(shown, repository.remotes)) or "none"
        raise UnknownRemote(
            f"no remote '{shown(remote)}' is configured (there are: {there_are}); git remote add {quoted(remote)} URL"
        )
    return remote


def chosen_remote(repository: Repository, remote: str | None) -> str:
    """The remote that was named, else the default one. Raises `UnknownRemote` where there is none."""
    found = remote or default_remote(repository)
    if found is None:
        if not repository.remotes:
            raise UnknownRemote("no remote is configured; git remote add origin URL")
        there_are = ", ".join(map(shown, repository.remotes))
        raise UnknownRemote(f"which remote? there are: {there_are}; name one, or git config deployments.remote NAME")
    return found


# Fetch


def fetch(repository: Repository, remote: str, wanted: list[str] | None = None, echo: Echo = silent) -> Fetched:
    """Bring what a remote has into `refs/remote-deployments/` and touch nothing else.

    `wanted`: names, or halves of names that say enough here or there. Raises `Rewound` where a log lost what it had
    published (the tracking ref then stays), `UnknownDeployment`, `GitFailed`.
    """
    check_remote(repository, remote)
    found = _names_at(repository, remote, wanted) if wanted else None
    return _look(repository, remote, found, last_seen(repository, remote, found), echo)


def _look(repository: Repository, remote: str, wanted: list[str] | None, seen: Seen, echo: Echo) -> Fetched:
    """`wanted`: full names. `seen`: what was last seen of these."""
    before = seen.tracked
    _fetch(repository, remote, wanted, echo)
    after = tracked(repository, remote, wanted)
    for _ in range(10):
        torn = [name for name, one in after.items() if one != before.get(name) and _is_torn(repository, one)]
        if not torn:
            break
        time.sleep(PAUSE)  # caught between two refs of somebody's push, or really so: look again
        _fetch(repository, remote, torn, echo)
        again = tracked(repository, remote, torn)
        if all(again.get(name) == after[name] for name in torn):
            break
        after.update(again)
    _refuse_rewound(repository, remote, seen, after)
    repository.git.pack_refs(sum(one != before.get(name) for name, one in after.items()))
    gone = [name for name in before if name not in after]
    _mark_gone(repository, remote, seen, gone, after)
    return Fetched(after, gone)


def _fetch(repository: Repository, remote: str, wanted: list[str] | None, echo: Echo) -> None:
    here = remote_root(remote)
    if wanted is None:
        specs = [f"+{ROOT}*/{kind}:{here}*/{kind}" for kind in (LOG, LIVE)]
    else:
        # A pattern, since it is no error where it finds nothing: log and live both begin with l.
        specs = [f"+{ROOT}{encode(name)}/l*:{here}{encode(name)}/l*" for name in wanted if "/" in name]
        specs += _specs_of_one_part(repository, remote, [name for name in wanted if "/" not in name])
    options = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=", "--prune", "--atomic")
    progress = ("--progress",) if echo is not silent else ("--quiet",)
    if specs:
        _again(lambda: repository.git.start("fetch", *options, *progress, remote, *specs).result(echo=echo))


def _specs_of_one_part(repository: Repository, remote: str, names: list[str]) -> list[str]:
    """For names without a slash, below which others may be, and a pattern would bring and prune those too.

    What is gone there is forgotten here as `--prune` would.
    """
    if not names:
        return []
    here, refs = remote_root(remote), [ref for name in names for ref in (log_ref(name), live_ref(name))]
    lines = text(repository.git.run("ls-remote", "--refs", remote, *refs)).split("\n")
    there = {line.partition("\t")[2] for line in lines}
    tracking = {here + ref.removeprefix(ROOT): ref for ref in refs}
    known = repository.git.refs(*tracking)
    lost = [RefChange(ref, None, oid) for ref, oid in known if ref in tracking and tracking[ref] not in there]
    if lost:
        with suppress(LostRace):  # another fetch was quicker
            repository.git.move_refs(lost)
    return [f"+{ref}:{tracked_at}" for tracked_at, ref in tracking.items() if ref in there]


def _again(fetching: Callable[[], bytes]) -> None:
    """Another fetch in this repository moves the same tracking refs: try again. Raises `Locked` if that never ends."""
    end = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fetching()
            return
        except GitFailed as failure:
            if "cannot lock ref 'refs/remote-deployments/" not in failure.stderr:
                raise
            if time.monotonic() > end:
                raise lock_in_the_way(failure.stderr) or failure from None
        time.sleep(random.uniform(0.01, 0.1))


def _is_torn(repository: Repository, one: Tracked) -> bool:
    try:
        return parse_event(repository.reading.object(one.log)).live_commit != one.live
    except DeploymentsError:
        return False


def _refuse_rewound(repository: Repository, remote: str, before: Seen, after: Mapping[str, Tracked]) -> None:
    old_logs = {**before.gone, **{name: one.log for name, one in before.tracked.items()}}
    back, told = [], []
    for name, old in old_logs.items():
        new = after.get(name)
        if new is None or new.log == old or reaches(repository, new.log, old):
            continue
        ref = f"{remote_root(remote)}{encode(name)}/"
        seen = before.tracked.get(name)
        back.append(RefChange(ref + LOG, seen.log if seen else None, new.log))
        if new.live != (seen.live if seen else None):
            back.append(RefChange(ref + LIVE, seen.live if seen else None, new.live))
        kind = LOG if seen else GONE
        told.append(
            f"the log of '{shown(name)}' at {shown(remote)} was rewound: it had {old[:12]} and now has "
            f"{new.log[:12]}, which does not follow from it; nothing was taken over. To put it back: "
            f"git push -f {quoted(remote)} {old}:{log_ref(name)}; to accept it: git update-ref -d {ref}{kind}"
        )
    if told:
        repository.git.move_refs(back)
        more = f" (and {len(told) - 1} more such logs)" if len(told) > 1 else ""
        raise Rewound(told[0] + more)


def _mark_gone(
    repository: Repository, remote: str, before: Seen, gone: list[str], after: Mapping[str, Tracked]
) -> None:
    root = remote_root(remote)
    marked = before.gone
    logs = {name: before.tracked[name].log for name in gone}
    changes = [
        RefChange(f"{root}{encode(name)}/{GONE}", log, marked.get(name))
        for name, log in logs.items()
        if marked.get(name) != log
    ]
    changes += [RefChange(f"{root}{encode(name)}/{GONE}", None, oid) for name, oid in marked.items() if name in after]
    if changes:
        repository.git.move_refs(changes)


# Pull


def pull(
    repository: Repository, remote: str, wanted: list[str] | None = None, echo: Echo = silent, repair: bool = False
) -> Pulled:
    """Fetch, check, and bring together with what is here, in one transaction. What is damaged here is fetched again.

    `wanted`: as for `fetch`. `repair`: look for damage in all that is here, not in the newest alone. Raises
    `BadRemote`, `Rewound`, `UnknownDeployment`, `integrate.TwoHistories`: then nothing here has changed.
    """
    check_remote(repository, remote)
    wanted = _names_at(repository, remote, wanted) if wanted else None
    watched = None if echo is silent else echo
    here, seen = read_refs(repository, wanted, index=False), last_seen(repository, remote, wanted)
    tips = _tips(here.values(), seen.tracked.values())
    mended = mend(repository, remote, wanted, tips, repair, lambda: _names_there(repository, remote), watched)
    if mended.done:
        here, seen = read_refs(repository, wanted, index=False), last_seen(repository, remote, wanted)
    fetched = _look(repository, remote, wanted, seen, echo)
    # A deployment that was written here since it was read is as if it had been written after the pull.
    differing = _differing(here, fetched.tracked)
    record_moves(repository, list(differing), seen.tracked)
    for attempt in range(store.TRIES):
        if attempt:
            differing = _differing(read_refs(repository, wanted, index=False), fetched.tracked)
        integrations = _integrations(repository, remote, differing, seen.tracked)
        changes = [change for one in integrations for change in one.changes]
        try:
            _move(repository, changes)
        except LostRace:
            time.sleep(random.uniform(0.001, min(0.2, 0.01 * (attempt + 1))))
        else:
            return Pulled(remote, integrations, fetched.gone, mended)
    raise LostRace("other writers were quicker each time; nothing was moved; try again")


def _names_at(repository: Repository, remote: str, words: list[str]) -> list[str]:
    """Full names, of what is here, was seen at the remote, or is there now. Raises `UnknownDeployment`.

    A full name comes before the half of another one (design, "Names"), wherever either is.
    """
    exact = tracked(repository, remote, [word for word in words if is_name(word)]).keys()
    if exact >= set(words):
        return list(dict.fromkeys(words))
    seen = list(tracked(repository, remote))
    found = {
        word: [word] if word in exact else named(repository, word) or matching(seen, word, globs=False)
        for word in words
    }
    if not all(found.values()):
        there = _names_there(repository, remote)
        found = {word: names or _must_be(there, word, remote) for word, names in found.items()}
    return list(dict.fromkeys(name for names in found.values() for name in names))


def _must_be(there: list[str], word: str, remote: str) -> list[str]:
    found = matching(there, word, globs=False)
    if not found:
        near = nearest(there, word)
        hint = f"did you mean '{shown(near)}'?" if near else f"'git deployments fetch {quoted(remote)}' brings all"
        raise UnknownDeployment(f"no deployment '{shown(word)}' here or at {shown(remote)}; {hint}")
    return found


def _names_there(repository: Repository, remote: str) -> list[str]:
    """Deployments that a remote has at this moment."""
    lines = text(repository.git.run("ls-remote", "--refs", remote, f"{ROOT}*/{LOG}")).split("\n")
    parsed = (parse_ref(line.partition("\t")[2]) for line in lines)
    return [one.name for one in parsed if one and one.kind == LOG]


def _move(repository: Repository, changes: list[RefChange]) -> None:
    if changes:
        repository.git.move_refs(sorted(changes, key=_rank))


def _rank(change: RefChange) -> int:
    last = change.ref.rpartition("/")[2]
    return {LIVE: 2, LOG: 3}.get(last, 1 if "/versions/" in change.ref else 0)


def _tips(here: Iterable[Refs], there: Iterable[Tracked]) -> list[str]:
    """Ids that all else is reached from; the code, which `sources/<n>` are, is not ours to look at."""
    ids = [oid for refs in here for oid in (refs.log, refs.live, *refs.versions.values())]
    ids += [oid for one in there for oid in (one.log, one.live)]
    return list(dict.fromkeys(oid for oid in ids if oid and oid != SYMBOLIC))


def _differing(here: Mapping[str, Refs], there: Mapping[str, Tracked]) -> dict[str, Tracked]:
    """What is not here as it is at the remote. `versions/<n>` are not looked at: of many deployments they are most."""
    as_here = {name: (refs.log, refs.live) for name, refs in here.items()}
    return {name: one for name, one in there.items() if as_here.get(name) != (one.log, one.live)}


def _integrations(
    repository: Repository, remote: str, seen: Mapping[str, Tracked], before: Mapping[str, Tracked]
) -> list[Integration]:
    elsewhere = logs_elsewhere(repository, remote)
    local = {state.name: state for state in states(repository, list(seen))} if seen else {}
    target = objects.moving(repository)
    done = []
    for name in sorted(seen):
        state, there = local[name], seen[name]
        if not state.breach and state.refs.log == there.log and state.refs.live == there.live:
            continue
        _check_incoming(repository, state, there)
        whole = before_torn_pull(repository, state, there) if state.breach else state
        inherited = _inherited(state, before.get(name))
        one = integrate(repository, target, whole, there, elsewhere.get(name, {}), inherited)
        done.append(one if whole is state else onto_torn(one, whole, state))
    return [one for one in done if one.outcome != "same"]


def _inherited(state: State, seen: Tracked | None) -> bool:
    """Log and `live` disagree here because they did so at the remote when they were taken over: no local move."""
    return seen is not None and (state.refs.log, state.refs.live) == (seen.log, seen.live)


def _check_incoming(repository: Repository, state: State, there: Tracked) -> None:
    try:
        found = incoming(repository, state.name, there.log, _in_common(repository, state, there))
        problems = found.problems or [one.problem for one in signature_problems(repository, found.events)]
        trusted(state_of(repository, state.name, Refs(there.live, there.log, {}, {})))
    except DeploymentsError as error:
        problems = [str(error)]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BadRemote(
            f"what {shown(there.remote)} has of '{shown(state.name)}' breaks the format: {problems[0]}{more}; "
            "nothing here has changed; have it mended there"
        )


def _in_common(repository: Repository, state: State, there: Tracked) -> Event | None:
    """The newest event that is here and at the remote, so that only what is new there is checked."""
    if state.event is None or state.refs.log is None or reaches(repository, there.log, state.refs.log):
        return state.event
    base = repository.git.line("merge-base", state.refs.log, there.log)
    try:
        return parse_event(repository.reading.object(base)) if base else None
    except Malformed:  # two logs that begin with the same version have no event in common
        return None


def record_moves(repository: Repository, wanted: list[str], seen: Mapping[str, Tracked]) -> None:
    """Record what was moved by hand, so that it is an event like any other; not what was so at the remote.

    `seen`: the remote before it was asked again.
    """
    here = states(repository, wanted) if wanted else []
    moved = [
        state.name
        for state in here
        if (state.unrecorded or state.leftovers) and not _inherited(state, seen.get(state.name))
    ]
    if moved:
        store.write(repository, repository.who(), moved, store.recording(repository))


# Push


def push(repository: Repository, remote: str, wanted: list[str] | None = None, echo: Echo = silent) -> Pushed:
    """Publish what is unpublished: atomic, with a lease on every ref.

    Raises `Diverged` before the remote is asked where it has what is not here, `LogMissing` where one that is named
    has none here, `Gone`, `Lost`, `Declined`, `GitFailed`.
    """
    check_remote(repository, remote)
    found = [name for word in wanted for name in _must_name(repository, word)] if wanted else None
    seen = last_seen(repository, remote, found)
    names = _not_as_seen(repository, seen.tracked) if found is None else found
    local = [trusted(state) for state in states(repository, names) if state.exists]
    moved = [state.name for state in local if state.unrecorded or state.leftovers]
    if moved:
        record_moves(repository, moved, {})
        local = states(repository, [state.name for state in local])
    for state in local if found else ():
        if state.refs.log is None:
            check_writable(state)  # which tells what to do
    local = [state for state in local if state.refs.log]
    if found is None:
        _refuse_gone(remote, local, seen.gone)

    again = len(local) <= BY_NAME  # of more, one command line names no ref that may as well be left out

    def publish(left: Mapping[str, str]) -> Pushed:
        parts = [
            _part(repository, state.name, state.refs, state.event, remote, seen.tracked.get(state.name), left, again)
            for state in local
        ]
        return _push(repository, remote, [part for part in parts if part], echo)

    try:
        return publish({})
    except (Lost, Declined):
        left = _left_there(repository, remote, [state.name for state in local if state.name in seen.tracked])
        if not left:
            raise
        return publish(left)


def _not_as_seen(repository: Repository, seen: Mapping[str, Tracked]) -> list[str]:
    """The deployments here that a remote did not have as they are. `versions/<n>` are not looked at."""
    there = {name: (one.log, one.live) for name, one in seen.items()}
    here = read_refs(repository, None, index=False)
    return [name for name, refs in here.items() if there.get(name) != (refs.log, refs.live)]


def _must_name(repository: Repository, word: str) -> list[str]:
    found = named(repository, word, globs=True)
    if not found:
        raise unknown(repository, word)
    return found


def _refuse_gone(remote: str, local: list[State], gone: Mapping[str, str]) -> None:
    for state in local:
        if state.name in gone:
            raise Gone(
                f"'{shown(state.name)}' was removed at {shown(remote)}; to publish it there again: "
                f"git deployments push {quoted(remote)} {quoted(state.name)}; to remove it here: "
                f"git deployments delete --purge {quoted(state.name)}"
            )


class _Part(NamedTuple):
    """The refs of one deployment that a push moves: ref, new id (None deletes), id that the remote must have."""

    published: Published
    changes: list[RefChange]


def _part(
    repository: Repository,
    name: str,
    refs: Refs,
    event: Event | None,
    remote: str,
    seen: Tracked | None,
    left: Mapping[str, str],
    again: bool,
) -> _Part | None:
    """`seen`: what was last seen of it at the remote. `left`: what is to be replaced there, see `_left_there`.

    `again`: bring the newest version that should be there once more, since a server that ended between its refs may
    lack it; git sends nothing that is there already.
    """
    assert refs.log is not None
    if seen and seen.log == refs.log and seen.live == refs.live:
        return None
    if seen and seen.log != refs.log and not reaches(repository, refs.log, seen.log):
        raise Diverged(
            f"'{shown(name)}' has events at {shown(remote)} that are not here; "
            f"pull first: git deployments pull {quoted(remote)} {quoted(name)}"
        )
    known = parse_event(repository.reading.object(seen.log)) if seen else None
    # A delete took the hub's versions and sources away, so they all go there again.
    first = (known.latest or 0) + (not again) if known and known.action != "delete" else 0
    fresh = {number for number in refs.versions if number >= first}
    if event and event.after:
        fresh.add(event.after)
    new = [(source_ref(name, n), oid) for n, oid in refs.sources.items() if n >= first]
    new += [(version_ref(name, n), refs.versions[n]) for n in sorted(fresh & refs.versions.keys())]
    changes = [RefChange(ref, oid, left.get(ref)) for ref, oid in new if left.get(ref) != oid]
    if event and event.action == "delete" and refs.live is None:
        changes += _removals(repository, name, remote)
    if refs.live or (seen and seen.live):
        changes.append(RefChange(live_ref(name), refs.live, seen.live if seen else None))
    changes.append(RefChange(log_ref(name), refs.log, seen.log if seen else None))
    count = len(unpublished(repository, refs.log, *([seen.log] if seen else [])))
    return _Part(Published(name, refs.log, seen.log if seen else None, count), changes)


def _left_there(repository: Repository, remote: str, names: list[str]) -> dict[str, str]:
    """Versions and sources at a remote beyond what its log, as last seen, tells of: a push by plain git was torn.

    They block the numbers that come next, and nobody's history there has them.
    """
    latest = {
        name: parse_event(repository.reading.object(one.log)).latest or 0
        for name, one in tracked(repository, remote, names).items()
    }
    patterns = [f"{prefix(name)}{kind}/*" for name in latest for kind in ("versions", "sources")]
    found = {}
    lines = text(repository.git.run("ls-remote", "--refs", remote, *patterns)).split("\n") if patterns else []
    for line in lines:
        oid, _, ref = line.partition("\t")
        parsed = parse_ref(ref)
        if parsed and parsed.number is not None and parsed.number > latest[parsed.name]:
            found[ref] = oid
    return found


def _replaced(remote: str, changes: Iterable[RefChange]) -> Iterator[str]:
    """Say which versions and sources a push replaced."""
    for ref, new, old in changes:
        if new and old and ref.rpartition("/")[2].isdigit():
            yield f"{shown(remote)} had {ref} ({old[:12]}) without an event in its log; it was replaced"


def _removals(repository: Repository, name: str, remote: str) -> list[RefChange]:
    """`versions` and `sources` of a deleted deployment, as the remote has them."""
    changes = []
    for line in text(repository.git.run("ls-remote", "--refs", remote, f"{prefix(name)}*")).split("\n"):
        oid, _, ref = line.partition("\t")
        parsed = parse_ref(ref)
        if parsed and parsed.name == name and parsed.kind not in (LIVE, LOG):
            changes.append(RefChange(ref, None, oid))
    return changes


def _push(
    repository: Repository,
    remote: str,
    parts: list[_Part],
    echo: Echo,
    track: bool = True,
    fresh: bool = False,
    patient: bool = False,
) -> Pushed:
    """`fresh`: the events were made for this push, so the remote cannot have them."""
    if not parts:
        return Pushed(remote, [], [])
    changes = [change for part in parts for change in part.changes]
    leases, specs = _words(parts, None if fresh else _MANY)
    if not fresh and sum(map(len, leases + specs)) > _LONG:
        leases, specs = _words(parts, 0)
    plain = ("-c", f"remote.{remote}.mirror=false", "-c", "push.pushOption=", "-c", "push.useForceIfIncludes=false")
    options = ("--atomic", "--porcelain", "--no-follow-tags", "--recurse-submodules=no", "--signed=if-asked")
    progress = ("--progress",) if echo is not silent else ()
    process = repository.git.start(*plain, "push", *options, *progress, *leases, remote, *specs)
    code, out, stderr = process.finish(echo=echo)
    refused = _refused(text(out))
    warnings = [
        f"{shown(remote)} did not take {shown(ref)} ({shown(reason)}): the code of that version is not kept there"
        for ref, reason in refused.items()
        if "/sources/" in ref
    ]
    others = {ref: reason for ref, reason in refused.items() if "/sources/" not in ref}
    if warnings and others and all("atomic" in reason for reason in others.values()):
        # The server took back all for the sake of a source: publish the rest without it.
        rest = [part._replace(changes=[one for one in part.changes if "/sources/" not in one.ref]) for part in parts]
        pushed = _push(repository, remote, rest, echo, track, fresh)
        return pushed._replace(warnings=[*warnings, *pushed.warnings])
    if fresh and not others:
        _refuse_twins(repository, remote, parts, text(out))
    if others or (code and not refused):
        if patient and others and (_is_race(others) or _is_overtaken(stderr)):
            raise Lost(f"other writers were first at {shown(remote)}; nothing of yours was published; try again")
        raise _push_failure(repository, remote, parts, others, stderr, process.arguments, code)
    if track:
        _track(repository, remote, parts)
    told = [*warnings, *_replaced(remote, changes)]
    return Pushed(remote, [part.published for part in parts], told, tuple(_said(stderr)))


def _words(parts: list[_Part], many: int | None) -> tuple[list[str], list[str]]:
    """Leases and refspecs. More than `many` new versions or sources are a pattern: a system takes only so many words.

    A pattern has no lease: git refuses by itself to move one of them that is there to what does not follow from it.
    """
    leases, specs = [], []
    for part in parts:
        root, kinds = prefix(part.published.name), dict[str, list[RefChange]]()
        for change in part.changes:
            kinds.setdefault(change.ref.removeprefix(root).partition("/")[0], []).append(change)
        for kind, changes in kinds.items():
            numbered = many is not None and kind not in (LIVE, LOG) and len(changes) > many
            if numbered and all(one.new and not one.old for one in changes):
                specs.append(f"{root}{kind}/*:{root}{kind}/*")
                continue
            leases += [f"--force-with-lease={ref}:{old or ''}" for ref, _, old in changes]
            specs += [f"{new or ''}:{ref}" for ref, new, _ in changes]
    return leases, specs


_MANY = 10
"""Versions or sources of one deployment that are pushed one by one."""
_LONG = 1 << 19
"""Characters of leases and refspecs from which on patterns stand for whatever they can; Linux takes 2 MB."""


def _refused(porcelain: str) -> dict[str, str]:
    """Ref to reason, of those that the remote did not take (git manual, git-push, --porcelain)."""
    refused = {}
    for line in porcelain.split("\n"):
        flag, _, rest = line.partition("\t")
        refs, _, summary = rest.partition("\t")
        if flag == "!":
            refused[refs.rpartition(":")[2]] = summary.rpartition("(")[2].rstrip(")") or summary
    return refused


def _refuse_twins(repository: Repository, remote: str, parts: list[_Part], porcelain: str) -> None:
    """Raise `Lost` where the remote has an event already that was only made now.

    Somebody of the same name did the same from the same state in the same second: both events have
    one id, and only one of the two writes may count as done.
    """
    there = [line.split("\t")[1].rpartition(":")[2] for line in porcelain.split("\n") if line.startswith("=\t")]
    for part in parts:
        if log_ref(part.published.name) in there:
            raise _lost(repository, remote, Tracked(remote, part.published.name, part.published.log, None))


_RACES = (
    "stale info", "fetch first", "non-fast-forward", "already exists", "atomic transaction failed",
    "atomic push failed", "failed to update ref", "incorrect old value", "cannot lock ref", "reference already exists",
)  # fmt: skip


def _is_race(refused: Mapping[str, str]) -> bool:
    return all(any(race in reason for race in _RACES) for reason in refused.values())


def _is_overtaken(stderr: str) -> bool:
    """The guard refused the push, and only because somebody was quicker."""
    said = _said(stderr)
    return bool(said) and all(line.endswith(OVERTAKEN) for line in said)


def _push_failure(
    repository: Repository,
    remote: str,
    parts: list[_Part],
    refused: Mapping[str, str],
    stderr: str,
    arguments: tuple[str, ...],
    code: int,
) -> DeploymentsError:
    if not refused:
        return GitFailed(arguments, code, _without_advice(stderr))
    words = "; ".join(_said(stderr))
    reasons = "; ".join(dict.fromkeys(refused.values()))
    if not (_is_race(refused) or _is_overtaken(stderr)):
        return Declined(f"{shown(remote)} refused the push: {shown(words or reasons)}; nothing was published")
    names_ = [part.published.name for part in parts]
    try:
        now = _look(repository, remote, names_, last_seen(repository, remote, names_), silent).tracked
    except DeploymentsError as error:
        return error
    for part in parts:
        there = now.get(part.published.name)
        if there and there.log != part.published.before:
            return _lost(repository, remote, there)
        expected = [old for ref, _, old in part.changes if ref == live_ref(part.published.name)]
        if expected and (there and there.live) != expected[0]:
            return Lost(
                f"live of '{shown(part.published.name)}' was moved at {shown(remote)}; nothing of yours was published; "
                f"git deployments pull {quoted(remote)} {quoted(part.published.name)}"
            )
        if there is None and part.published.before:
            return Declined(
                f"{shown(remote)} no longer shows '{shown(part.published.name)}': it was removed there, or its refs "
                "are hidden (transfer.hideRefs); nothing was published"
            )
    told = shown(words) or "it gave no reason; are the refs hidden from pushes there (receive.hideRefs)?"
    return Declined(f"{shown(remote)} did not take the push ({shown(reasons)}): {told}")


def _said(stderr: str) -> list[str]:
    """What the remote's hooks said, without git's mark before each line."""
    lines = (line.removeprefix("remote:").strip() for line in stderr.split("\n") if line.startswith("remote:"))
    return [line for line in lines if line]


def _without_advice(stderr: str) -> str:
    noise = ("Please make sure", "warning: not sending a push certificate")
    said = "\n".join(line for line in stderr.split("\n") if line.strip() and not line.startswith(noise))
    hint = "\na remote must take several refs at once (receive.advertiseAtomic)" if "--atomic" in said else ""
    if any(sign in said for sign in _CUT_OFF):
        return f"{said}\nnothing was moved here; whether the remote took it, the next fetch tells"
    return f"{said}{hint}\nnothing was published"


_CUT_OFF = ("hung up", "unexpected disconnect", "RPC failed", "early EOF", "reset by peer", "Broken pipe")
"""The connection ended when the remote may have had everything already."""


def _lost(repository: Repository, remote: str, there: Tracked) -> Lost:
    event = parse_event(repository.reading.object(there.log))
    after = f"v{event.after}" if event.after else "nothing"
    return Lost(
        f"{event.author.name} was first at {shown(remote)}: {event.action} of '{shown(there.name)}', {after} is live "
        f"there; nothing of yours was published; git deployments pull {quoted(remote)} {quoted(there.name)}"
    )


def _track(repository: Repository, remote: str, parts: list[_Part]) -> None:
    """Remember what the remote has now; a fetch does the same, so a lost race here is none."""
    root = remote_root(remote)
    # What was gone there and is published again has no log that was seen.
    fresh = [part.published.name for part in parts if part.published.before is None]
    gone = last_seen(repository, remote, fresh).gone
    changes = []
    for part in parts:
        base = f"{root}{encode(part.published.name)}/"
        for ref, new, old in part.changes:
            kind = ref.rpartition("/")[2]
            if kind in (LIVE, LOG):
                changes.append(RefChange(base + kind, new, old))
        if part.published.name in gone:
            changes.append(RefChange(base + GONE, None, gone[part.published.name]))
    try:
        repository.git.move_refs(changes)
    except (LostRace, Locked, GitFailed):
        return


# Writes that are published


class Written(NamedTuple):
    """What a published write did."""

    outcomes: list[store.Outcome]
    pulled: Pulled
    pushed: Pushed


def write(
    repository: Repository, remote: str, wanted: store.Wanted, decide: store.Decide, echo: Echo = silent
) -> Written:
    """Fetch, integrate, decide, push, and only then move the refs here.

    `wanted` is asked for the full names after each fetch. A lost race starts again from a fresh
    read for `PATIENCE` seconds. Raises `Contested` before anything is written where the pull finds
    something contested, and all that `pull` and `push` raise.
    """
    check_remote(repository, remote)
    deadline = time.monotonic() + PATIENCE
    about = _known(repository, remote, wanted)
    stuck, last = 0, None
    left: dict[str, str] = {}
    while True:
        began = time.monotonic()
        pulled = pull(repository, remote, about, echo)
        if pulled.contested:
            raise ContestedBefore(pulled)
        planned = store.plan(repository, wanted.look(), decide)
        records = store.prepare(repository, repository.who(), planned)
        try:
            # What keeps failing while nothing moves there is no race; the slow way finds out what it is.
            pushed = _publish(repository, remote, planned, records, left, echo, patient=stuck < 5)
        except Lost:
            now = time.monotonic()
            if now > deadline:
                raise
            time.sleep(_pause(now - began, (deadline - now) / PATIENCE))
            logs = [state.refs.log for state, _ in planned]
            stuck, last = (stuck + 1 if logs == last else 0), logs
            left = _left_there(repository, remote, [state.name for state, _ in planned]) if stuck else {}
            continue
        _settle(repository, remote, records)
        return Written([store.outcome(one, records.get(one.state.name)) for one in planned], pulled, pushed)


def _pause(attempt: float, left: float) -> float:
    """Seconds until who lost a race looks again.

    A few times what the lost attempt took, since others need as long; less the more of the patience is used up, so
    that who waited longest is next. `attempt`: seconds; `left`: of the patience, 0 to 1.
    """
    return random.uniform(0.01, max(0.05, 5 * attempt * left**3))


def _known(repository: Repository, remote: str, wanted: store.Wanted) -> list[str] | None:
    """Full names, where fetching these alone is enough; None: all are fetched, since names may turn out otherwise."""
    names = wanted.look() if wanted.exact else []
    return names if names and set(names) <= tracked(repository, remote).keys() else None


class ContestedBefore(Contested):
    """A pull found something contested, so the write was not made."""

    def __init__(self, pulled: Pulled) -> None:
        self.pulled = pulled
        super().__init__("something unpublished is contested, see above; nothing was written; choose, then try again")


def _publish(
    repository: Repository,
    remote: str,
    planned: list[store.Planned],
    records: Mapping[str, Record],
    left: Mapping[str, str],
    echo: Echo,
    patient: bool,
) -> Pushed:
    parts = []
    seen = tracked(repository, remote, [state.name for state, _ in planned])
    for state, _ in planned:
        record = records.get(state.name)
        refs = _after(state.refs, record) if record else state.refs
        event = record.event if record else state.event
        if refs.log:
            there = seen.get(state.name)
            parts.append(_part(repository, state.name, refs, event, remote, there, left, len(planned) <= BY_NAME))
    return _push(repository, remote, [part for part in parts if part], echo, fresh=True, patient=patient)


def _after(refs: Refs, record: Record) -> Refs:
    """The refs as a record will leave them."""
    versions, sources = dict(refs.versions), dict(refs.sources)
    live, log = refs.live, refs.log
    for ref, new, _ in record.changes:
        parsed = parse_ref(ref)
        assert parsed is not None
        if parsed.kind == LIVE:
            live = new
        elif parsed.kind == LOG:
            log = new
        else:
            table = versions if parsed.kind == "versions" else sources
            assert parsed.number is not None
            if new is None:
                table.pop(parsed.number, None)
            else:
                table[parsed.number] = new
    return Refs(live, log, versions, sources)


def purge(repository: Repository, remote: str, name: str, echo: Echo = silent) -> Pushed:
    """Remove every ref of a deployment at a remote, each as it was just seen there, and what was last seen of it.

    Raises `Declined`, `Lost`, `GitFailed`; then nothing was removed there.
    """
    check_remote(repository, remote)
    refs = {}
    for line in text(repository.git.run("ls-remote", "--refs", remote, f"{prefix(name)}*")).split("\n"):
        oid, _, ref = line.partition("\t")
        parsed = parse_ref(ref)
        if parsed and parsed.name == name:
            refs[ref] = oid
    changes = [RefChange(ref, None, oid) for ref, oid in refs.items()]
    root = remote_root(remote)
    seen = repository.git.refs(f"{root}{encode(name)}/")
    parts = [_Part(Published(name, "", None, 0), changes)] if changes else []
    pushed = _push(repository, remote, parts, echo, track=False)
    repository.git.move_refs([RefChange(ref, None, oid) for ref, oid in seen if _is_seen_of(ref, root, name)])
    return pushed


def _is_seen_of(ref: str, root: str, name: str) -> bool:
    """A tracking ref is of this deployment, and not of one below its name."""
    parsed = parse_ref(ref, root)
    return ref == f"{root}{encode(name)}/{GONE}" or (parsed is not None and parsed.name == name)


def _settle(repository: Repository, remote: str, records: Mapping[str, Record]) -> None:
    """Move the refs here after a push; where another local writer was quicker, what is published comes in by a pull."""
    try:
        if records:
            commit(repository, records.values())
    except LostRace:
        pull(repository, remote, list(records))
    except (Locked, GitFailed) as error:
        raise NotHere(
            f"it is published at {shown(remote)}, but the refs here could not be moved ({error}); "
            f"git deployments pull {quoted(remote)} brings it here"
        ) from None
