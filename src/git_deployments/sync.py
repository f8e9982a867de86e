"""Deployments travel here: what a remote has is fetched, checked and brought together with ours (design, "Sync").

git is the transport.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from git_deployments import objects, store
from git_deployments.checkout import default_remote
from git_deployments.codec import Malformed, parse_event
from git_deployments.errors import Contested, DeploymentsError
from git_deployments.git import BULK, SYMBOLIC, GitFailed, LostRace, RefChange, lock_in_the_way, text
from git_deployments.history import (
    NO_REFS,
    PAUSE,
    Refs,
    State,
    UnknownDeployment,
    is_name,
    matching,
    named,
    names,
    nearest,
    read_refs,
    state_of,
    states,
    trusted,
)
from git_deployments.integrate import Integration, before_torn_pull, integrate, onto_torn
from git_deployments.mend import Mended, mend
from git_deployments.model import Event
from git_deployments.names import encode, fold, quoted, shown
from git_deployments.refs import (
    LIVE,
    LOG,
    ROOT,
    live_ref,
    log_ref,
    parse_ref,
    remote_root,
)
from git_deployments.repository import Repository
from git_deployments.rules import incoming, signature_problems
from git_deployments.tracking import (
    GONE,
    Echo,
    Seen,
    Tracked,
    check_remote,
    last_seen,
    logs_elsewhere,
    reaches,
    silent,
    tracked,
)

LOCK_PATIENCE = 5.0
"""Seconds for which a fetch tries again while others move what was last seen."""


class BadRemote(DeploymentsError):
    """What a remote has breaks the rules of the format."""


class Rewound(Contested):
    """A remote's log no longer holds what it had published."""


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


# Fetch


def fetch(repository: Repository, remote: str, wanted: list[str] | None = None, echo: Echo = silent) -> Fetched:
    """Bring what a remote has into `refs/remote-deployments/` and touch nothing else.

    `wanted`: names, halves of names that say enough here or there, or globs. Raises `Rewound` where a log lost what it
    had published (the tracking ref then stays), `UnknownDeployment`, `GitFailed`.
    """
    check_remote(repository, remote)
    found = _names_at(repository, remote, wanted) if wanted else None
    return look(repository, remote, found, last_seen(repository, remote, found), echo)


def look(repository: Repository, remote: str, wanted: list[str] | None, seen: Seen, echo: Echo) -> Fetched:
    """As `fetch`, of full names. `seen`: what was last seen of these."""
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
        specs = [f"{old}:{log_ref(name)}"]
        if seen and new.live != seen.live:  # the log alone would leave a live there that is not what it says
            specs.append(f"{seen.live or ''}:{live_ref(name)}")
        told.append(
            f"the log of '{shown(name)}' at {shown(remote)} was rewound: it had {old[:12]} and now has "
            f"{new.log[:12]}, which does not follow from it; nothing was taken over. To put it back: "
            f"git push -f {quoted(remote)} {' '.join(specs)}; to accept it: git update-ref -d {ref}{kind}"
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
    fetched = look(repository, remote, wanted, seen, echo)
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
            # A fetch may have seen it before this pull did.
            gone = (name for name in seen.gone if name in here and name not in fetched.tracked)
            return Pulled(remote, integrations, list(dict.fromkeys((*fetched.gone, *gone))), mended)
    raise LostRace("other writers were quicker each time; nothing was moved; try again")


def pull_first(repository: Repository, remote: str | None, echo: Echo = silent) -> str | None:
    """Before the first write in a clone that has no deployments, so that numbers go on. What was in the way, in words.

    `remote`: None is the default one, if there is one.
    """
    where = remote or default_remote(repository)
    if where is None:
        return None
    try:
        pull(repository, where, echo=echo)
    except DeploymentsError as error:
        return f"{shown(where)} could not be asked, so the numbers are provisional: {error}"
    return None


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
        known = sorted({*names(repository), *seen, *there})
        found = {word: some or _must_be(there, known, word, remote) for word, some in found.items()}
    return list(dict.fromkeys(name for some in found.values() for name in some))


def _must_be(there: list[str], known: list[str], word: str, remote: str) -> list[str]:
    """A name of what is there now, or a glob of all that is `known`."""
    found = matching(there, word, globs=False) or matching(known, word)
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
    """All or none of them, in the order of the design ("Refs")."""
    ordered = sorted(changes, key=_rank)
    index = _new_index(ordered)
    if len(index) < BULK:
        if ordered:
            repository.git.move_refs(ordered)
        return
    # To flush every file takes most of the time of a first pull, and all that these say follows from the log: they
    # are flushed as one packed file, before the log is there.
    repository.git.move_refs(index, flushed=False)
    try:
        first = set(index)
        repository.git.move_refs(change for change in ordered if change not in first)
    except BaseException:
        with suppress(DeploymentsError):
            repository.git.move_refs(RefChange(ref, None, new) for ref, new, _ in index)
        raise


def _new_index(changes: list[RefChange]) -> list[RefChange]:
    """The versions and sources of deployments that are not here yet."""
    fresh = {change.ref.removesuffix(LOG) for change in changes if _rank(change) == _LAST and change.old is None}
    numbered = (change for change in changes if _rank(change) < _LAST - 1 and change.new and change.old is None)
    return [change for change in numbered if change.ref.rpartition("/")[0].rpartition("/")[0] + "/" in fresh]


def _rank(change: RefChange) -> int:
    last = change.ref.rpartition("/")[2]
    return {LIVE: 2, LOG: _LAST}.get(last, 1 if "/versions/" in change.ref else 0)


_LAST = 3


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
    _refuse_collisions(repository, remote, [name for name, state in local.items() if state.refs == NO_REFS])
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


def _refuse_collisions(repository: Repository, remote: str, fresh: list[str]) -> None:
    """Names that are new here may not be those of others but for case or Unicode form (design, "Names")."""
    here = {fold(name): name for name in names(repository)} if fresh else {}
    there: dict[str, str] = {}
    for name in fresh:
        other = here.get(fold(name)) or there.setdefault(fold(name), name)
        if other != name:
            where, then = (
                ("here", f"to remove that one: git deployments delete --purge {quoted(other)}")
                if fold(name) in here
                else ("there", f"to have one of them: git deployments pull {quoted(remote)} {quoted(name)}")
            )
            raise BadRemote(
                f"'{shown(name)}' at {shown(remote)} differs from '{shown(other)}' {where} only by case or by Unicode "
                f"form, which a file system may not tell apart; nothing here has changed; {then}"
            )


def _inherited(state: State, seen: Tracked | None) -> bool:
    """Log and `live` disagree here because they did so at the remote when they were taken over: no local move."""
    return seen is not None and (state.refs.log, state.refs.live) == (seen.log, seen.live)


def _check_incoming(repository: Repository, state: State, there: Tracked) -> None:
    unsigned: list[str] = []
    try:
        newest = parse_event(repository.reading.object(there.log))
        found = incoming(repository, state.name, newest, _in_common(repository, state, there))
        problems = found.problems
        unsigned = [] if problems else [one.problem for one in signature_problems(repository, found.events)]
        trusted(state_of(repository, state.name, Refs(there.live, there.log, {}, {})))
    except DeploymentsError as error:
        problems = [str(error)]
    told = problems or unsigned
    if told:
        wrong, then = (
            ("breaks the format", "have it mended there")
            if problems
            else (
                "is not signed as this clone asks (deployments.allowedSigners)",
                "what is older than the signatures is pulled while that is not set",
            )
        )
        more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
        raise BadRemote(
            f"what {shown(there.remote)} has of '{shown(state.name)}' {wrong}: {told[0]}{more}; "
            f"nothing here has changed; {then}"
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
