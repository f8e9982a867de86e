"""What was last seen at remotes, and how what is here stands to it (design, "Refs", "Sync"). No remote is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from git_deployments import history
from git_deployments.checkout import default_remote
from git_deployments.codec import parse_event
from git_deployments.errors import DeploymentsError
from git_deployments.git import text
from git_deployments.history import State
from git_deployments.model import Event
from git_deployments.names import encode, quoted, shown
from git_deployments.refs import (
    LIVE,
    LOG,
    REMOTE_ROOT,
    parse_ref,
    remote_of,
    remote_root,
)
from git_deployments.repository import Repository

NEAR = 32
"""Events from the tip of a log that are looked at one by one before git is asked about all of them."""
GONE = "%gone"
"""Below a deployment's tracking refs: its log as it was before it disappeared from the remote.

No deployment can have it for a part of its name: in those a percent sign comes before two digits.
"""


class UnknownRemote(DeploymentsError):
    """There is no remote of that name, or none to choose."""


Echo = Callable[[bytes], None]
"""Takes git's progress as it comes."""


def silent(progress: bytes) -> None:
    """An `Echo` for where nobody looks."""
    del progress


class Tracked(NamedTuple):
    """What was last seen of a deployment at a remote."""

    remote: str
    name: str
    log: str
    """Commit of the newest event there."""
    live: str | None


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
    """Deployment to (other remote to its last seen log); git leaves what was seen of a remote that was removed."""
    found: dict[str, dict[str, str]] = {}
    for ref, oid in repository.git.refs(f"{REMOTE_ROOT}**/{LOG}"):
        other = remote_of(ref)
        parsed = parse_ref(ref, remote_root(other))
        if parsed and other != remote and other in repository.remotes:
            found.setdefault(parsed.name, {})[other] = oid
    return found


def reaches(repository: Repository, log: str, event: str) -> bool:
    """An event is in the history of a log. Logs are never shallow."""
    return _is_near(repository, log, event) or _has_ancestor(repository, log, event)


def _is_near(repository: Repository, log: str, event: str) -> bool:
    """It is one of the newest: most often so, and found without starting a process."""
    try:
        return any(object_.oid == event for object_ in history.walk(repository, log, limit=NEAR))
    except DeploymentsError:  # damaged, or no log: git says what is reached
        return False


def _has_ancestor(repository: Repository, log: str, event: str) -> bool:
    return repository.git.ask("merge-base", "--is-ancestor", event, log)[0] == 0


def unpublished(repository: Repository, tip: str, *published: str) -> list[Event]:
    """Events from `tip` back that no published log reaches, newest first."""
    near = _near_only(repository, tip, published)
    return list(_only(repository, tip, published)) if near is None else near


def _near_only(repository: Repository, tip: str, others: tuple[str, ...]) -> list[Event] | None:
    """The same where one of `others` is near; None: it is not, or there is none."""
    found: list[Event] = []
    for object_ in history.walk(repository, tip, limit=NEAR) if others else ():
        if object_.oid in others:
            return found
        found.append(parse_event(object_))
        if found[-1].previous is None:
            break
    return None


def _only(repository: Repository, tip: str, others: tuple[str, ...]) -> Iterator[Event]:
    if tip in others:
        return
    for oid in only_from(repository, tip, others):
        event = parse_event(repository.reading.object(oid))
        yield event
        if event.previous is None:
            return


def overlooks(repository: Repository, there: Tracked, live: str | None, ours: list[Event]) -> bool:
    """`live` at a remote is not what its log says, and what was done here since that log does not take it up.

    `live`, `ours`: what is live here, and the events that the remote's log lacks, newest first.
    """
    if there.live == live or parse_event(repository.reading.object(there.log)).live_commit == there.live:
        return False
    # A push of ours that ended between the refs leaves there what one of these events made live.
    return all(event.live_commit != there.live for event in ours)


def only_from(repository: Repository, tip: str, others: Sequence[str]) -> list[str]:
    """Commits along first parents from `tip` that none of the logs `others` reaches, newest first.

    `rev-list A ^B` lists too much where clocks were wrong (it stops five commits after the dates say so).
    """
    excluded = (f"^{other}" for other in others)
    found = text(repository.git.run("rev-list", "--first-parent", tip, *excluded, "--")).split()

    def reached(oid: str) -> bool:
        return any(reaches(repository, other, oid) for other in others)

    low, high = 0, len(found)
    if not others or not found or not reached(found[-1]):
        return found
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(found[middle]) else (middle + 1, high)
    return found[:low]


class Standing(NamedTuple):
    """How a deployment stands to a remote, as it was last seen."""

    unpublished: int
    """Events that are only here."""
    behind: int
    """Events that are only there."""
    moved: bool = False
    """See `overlooks`."""


def standing(repository: Repository, state: State, there: Tracked | None) -> Standing:
    """Compare a deployment with what was last seen of it; `there` None: it was not."""
    here = state.refs.log
    if there is None:
        return Standing(len(unpublished(repository, here)) if here else 0, 0)
    if here is None:
        return Standing(0, len(unpublished(repository, there.log)))
    same = there.log == here
    ours = [] if same else unpublished(repository, here, there.log)
    behind = 0 if same else len(unpublished(repository, there.log, here))
    return Standing(len(ours), behind, overlooks(repository, there, state.refs.live, ours))


def unpublished_versions(repository: Repository, state: State) -> set[str]:
    """Commits of versions that no remote's log reaches as it was last seen; their numbers are provisional."""
    if not repository.remotes or state.latest is None:
        return set()
    seen = repository.git.refs(f"{REMOTE_ROOT}*/{encode(state.name)}/{LOG}")
    logs = [oid for ref, oid in seen if remote_of(ref) in repository.remotes]
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
