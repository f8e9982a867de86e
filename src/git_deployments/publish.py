"""Deployments travel to remotes: push, and writes that are published or not made at all (design, "Sync").

A remote is where histories meet: its log, pushed without force and with a lease on its last seen
value, is the lock, so whoever is second looks again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from git_deployments import store
from git_deployments.codec import parse_event, parse_version
from git_deployments.errors import NO, Contested, DeploymentsError
from git_deployments.git import GitFailed, Locked, LostRace, Process, RefChange, text
from git_deployments.guard import OVERTAKEN
from git_deployments.history import (
    BY_NAME,
    Refs,
    State,
    named,
    read_refs,
    states,
    trusted,
    unknown,
)
from git_deployments.model import Event
from git_deployments.names import encode, fold, quoted, shown
from git_deployments.record import Record, check_writable, commit
from git_deployments.refs import (
    LIVE,
    LOG,
    live_ref,
    log_ref,
    parse_ref,
    prefix,
    remote_root,
    source_ref,
    version_ref,
)
from git_deployments.repository import Repository
from git_deployments.sync import Pulled, look, pull, record_moves
from git_deployments.tracking import (
    GONE,
    Echo,
    Tracked,
    check_remote,
    last_seen,
    overlooks,
    reaches,
    silent,
    tracked,
    unpublished,
)

PATIENCE = 45.0
"""Seconds for which a published write tries again after losing a race (issue "Sync")."""


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
    fresh = [state.name for state in local if state.name not in seen.tracked]
    if fresh:
        taken = {fold(name): name for name in tracked(repository, remote)}
        for name in fresh:
            store.check_collision(taken, name, f" at {shown(remote)}")

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
    known: int = 0
    """The latest version that the remote's log told of."""


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
    ours = unpublished(repository, refs.log, *([seen.log] if seen else []))
    if seen and overlooks(repository, seen, refs.live, ours):
        raise Diverged(
            f"live of '{shown(name)}' at {shown(remote)} is not what its log says, and it counts; "
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
    latest = known.latest or 0 if known else 0
    return _Part(Published(name, refs.log, seen.log if seen else None, len(ours)), changes, latest)


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
    codes = _codes(repository, parts)
    looking = _look_for(repository, remote, codes)
    try:
        pushed = _push_all(repository, remote, parts, echo, track, fresh, patient)
        return pushed._replace(warnings=[*pushed.warnings, *_not_there(remote, codes, looking)])
    finally:
        if looking:
            looking.stop()


def _push_all(
    repository: Repository, remote: str, parts: list[_Part], echo: Echo, track: bool, fresh: bool, patient: bool
) -> Pushed:
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
        pushed = _push_all(repository, remote, rest, echo, track, fresh, patient=False)
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


def _codes(repository: Repository, parts: list[_Part]) -> dict[str, str]:
    """The code of versions that are pushed without a ref that keeps it: its commit, and whose it is."""
    kept = {new for part in parts for ref, new, _ in part.changes if new and "/sources/" in ref}
    made = {new: part for part in parts for ref, new, _ in part.changes if new and "/versions/" in ref}
    codes: dict[str, str] = {}
    for object_ in repository.reading.many(made).values():
        version = parse_version(object_)
        code = version.source.commit
        if version.number > made[object_.oid].known and code and len(code) == len(version.commit) and code not in kept:
            codes[code] = f"v{version.number} of '{shown(version.name)}'"
    return codes


def _look_for(repository: Repository, remote: str, codes: Iterable[str]) -> Process | None:
    """Start to look for the code on the branches of a remote, and on tags: it lists what is on none."""
    wanted = "".join(f"{code}\n" for code in codes)
    # Where branches are not tracked, nobody knows what is on them.
    specs = repository.config.get(f"remote.{remote}.fetch", [])
    if not wanted or not any(f":refs/remotes/{remote}/" in spec for spec in specs):
        return None
    there = (f"--glob=refs/remotes/{remote}/*", "--tags")
    process = repository.git.start("rev-list", "--ignore-missing", f"--max-count={_MOST}", "--stdin", "--not", *there)
    process.tell(wanted.encode())
    return process


_MOST = 10_000
"""Commits that are listed at most; without any branch of the remote it would be the whole history."""


def _not_there(remote: str, codes: Mapping[str, str], looking: Process | None) -> Iterator[str]:
    """Code that the branches of a remote lack, as they were last seen (design, "Sync")."""
    if looking is None:
        return
    listed = set(text(looking.finish()[1]).split())
    lacking = [code for code in codes if code in listed]
    if lacking:
        code = lacking[-1]
        more = f", nor is that of {len(lacking) - 1} more" if len(lacking) > 1 else ""
        yield (
            f"the code of {codes[code]} ({code[:12]}) is on no branch of {shown(remote)} that was seen{more}; "
            f"whoever runs it elsewhere needs it there: git push {quoted(remote)} BRANCH"
        )


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
        now = look(repository, remote, names_, last_seen(repository, remote, names_), silent).tracked
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
    noise = ("Please make sure", "and the repository exists", "warning: not sending a push certificate")
    said = "\n".join(line for line in stderr.split("\n") if line.strip() and not line.startswith(noise))
    if "--atomic" in said:  # git hangs up itself, before it sends anything
        told = "\n".join(line for line in said.split("\n") if "--atomic" in line)
        return f"{told}\na remote must take several refs at once (receive.advertiseAtomic)\nnothing was published"
    if any(sign in said for sign in _CUT_OFF):
        return f"{said}\nnothing was moved here; whether the remote took it, the next fetch tells"
    return f"{said}\nnothing was published"


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
