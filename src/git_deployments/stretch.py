"""What a push adds to one log, held to the rules: where it is long, its halves by two processes.

Each event is held to the one before it and each version to the one before it, so a history is as it should be if both
halves are: the older one after what was known, and the newer one after the older.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from git_deployments import beside
from git_deployments.codec import parse_event
from git_deployments.errors import DeploymentsError
from git_deployments.history import Pointer
from git_deployments.model import Event
from git_deployments.repository import Repository
from git_deployments.rules import Incoming, Mark, Settings, incoming, made

_LENGTHY = 400
"""New versions that are checked sooner by two processes than by one."""


class Stretch(NamedTuple):
    """The events of a log that follow one that is checked already."""

    name: str
    """Full name of the deployment."""
    newest: Event
    known: Event | None
    """None: nothing is known."""
    length: int | None = None
    """Events in it, where one knows."""


def check_stretch(repository: Repository, stretch: Stretch, settings: Settings) -> Incoming:
    """What the rules say of events, and of versions that they made, which git has just received.

    `settings`: see `incoming`. Raises what reading raises.
    """
    return _in_halves(repository, stretch, settings) or _at_once(repository, stretch, settings)


def _at_once(repository: Repository, stretch: Stretch, settings: Settings) -> Incoming:
    name, newest, known, length = stretch
    return incoming(repository, name, newest, known, settings, hashed=True, distance=length)


def _in_halves(repository: Repository, whole: Stretch, settings: Settings) -> Incoming | None:
    """None where this cannot be, or something is wrong: a check of the whole says what."""
    half = made(whole.newest, whole.known) // 2
    if half < _LENGTHY // 2 or not beside.possible():
        return None
    try:
        # A version has an event of its own, so the log is as long as that; one that is not is no history either.
        middle = parse_event(repository.reading.object(f"{whole.newest.commit}~{half}"))
    except DeploymentsError:
        return None
    older, newer = whole._replace(newest=middle), whole._replace(known=middle, length=half)
    other = beside.begin(lambda: _told(_at_once(repository.again(), older, settings)))
    if other is None:
        return None
    found = None
    with suppress(DeploymentsError):
        found = _at_once(repository, newer, settings)
    told = other.result()
    if found is None or told is None or found.problems or not found.follows:
        return None
    events = [*found.events, *(Mark(*event) for event in told[0])]
    chain = {number: Pointer(*version) for number, version in told[1]}
    return found._replace(events=events, chain={**chain, **found.chain})


_Told = tuple[list[tuple[str, str, str, bool]], list[tuple[int, tuple[int, str, str | None, str | None]]]]
"""Events, and versions by number, without names: what crosses from one process to another has none."""


def _told(found: Incoming) -> _Told | None:
    """What is in it, if nothing is wrong."""
    if found.problems or not found.follows:
        return None
    return [(*event,) for event in found.events], [(number, (*version,)) for number, version in found.chain.items()]
