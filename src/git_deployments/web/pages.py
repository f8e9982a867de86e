"""What each page shows: plain functions from the repository to frozen values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from git_deployments import tracking
from git_deployments.checkout import default_remote
from git_deployments.codec import parse_event, parse_version
from git_deployments.compare import Difference, settings_since, version_differences
from git_deployments.errors import DeploymentsError
from git_deployments.history import (
    Pointer,
    State,
    UnknownVersion,
    creator,
    events,
    find,
    is_rolled_back,
    pointer,
    previous,
    properties,
    settings,
    settings_in,
    states,
    version_at,
    versions,
    while_live,
)
from git_deployments.model import PROPERTIES, Event, Json, Version
from git_deployments.names import encode, quoted, shown
from git_deployments.refs import LIVE, LOG, REMOTE_ROOT, ROOT, prefix
from git_deployments.render import info_row, undo
from git_deployments.repository import Repository
from git_deployments.resolve import resolve
from git_deployments.store import Decide, Planned, plan, promoting, rolling_back
from git_deployments.tracking import Tracked
from git_deployments.web import code, text
from git_deployments.web.links import links

ENTRIES = 100
"""Events that one page of a history shows."""
CHOICES = 200
"""Versions that a list to choose from offers."""

MARKS = (
    "rolled back", "held", "paused", "disabled", "unrecorded", "unpublished", "behind", "damaged", "server differs",
    "not on the server",
)  # fmt: skip
"""What may be marked at a deployment, in the order of the bits in a list's rows. Scripts set the last two."""


def digest(repository: Repository, name: str | None = None) -> str:
    """Changes whenever a ref moves that the list, or the page of one deployment, is made from."""
    if name is None:
        patterns = [f"{root}**/{kind}" for root in (ROOT, REMOTE_ROOT) for kind in (LOG, LIVE)]
    else:
        patterns = [prefix(name), f"{REMOTE_ROOT}*/{encode(name)}/*"]
    refs = repository.git.refs(*patterns)
    return hashlib.sha256("\n".join(f"{oid} {ref}" for ref, oid in refs).encode("utf-8", "replace")).hexdigest()[:16]


def origin(repository: Repository) -> str | None:
    """URL of the remote that the code is at as a rule."""
    remote = default_remote(repository) if repository.remotes else None
    return repository.config.get(f"remote.{remote}.url", [None])[-1] if remote else None


# All deployments


class Overview(NamedTuple):
    """The list of all deployments, in a form that is small on the wire."""

    table: Mapping[str, Json]
    """`rows`, and what rows share: `people`, `branches` (name and page), `links` (`*` is the commit)."""
    remote: str | None
    known_elsewhere: int
    """Deployments seen at remotes, where there are none here."""


class _Shared:
    """What many rows share, each named by its place."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, ...], int] = {}

    def place(self, *words: str) -> int:
        return self._places.setdefault(words, len(self._places))

    def texts(self) -> list[Json]:
        return [words[0] if len(words) == 1 else list(words) for words in self._places]


class _Sharing(NamedTuple):
    people: _Shared
    branches: _Shared
    links: _Shared


def overview(repository: Repository) -> Overview:
    """All deployments with what is live, where it comes from and what changed last."""
    found = [state for state in states(repository, index=False) if not state.deleted]
    remote = default_remote(repository) if repository.remotes else None
    seen = tracking.tracked(repository, remote) if remote else {}
    commits = repository.reading.many(state.live.commit for state in found if state.live and not state.breach)
    disabled, unreadable = _disabled(repository, found)
    shared, url = _Sharing(_Shared(), _Shared(), _Shared()), origin(repository)
    rows: list[Json] = []
    for state in found:
        marks = _marks(repository, state, state.name in disabled)
        if state.name in unreadable:
            marks.add("damaged")
        if remote and not state.breach:
            marks |= _standing_marks(repository, state, seen.get(state.name))
        live = state.live and commits.get(state.live.commit)
        version = parse_version(live) if live else None
        rows.append(_row(state, version, marks, url, shared))
    table: dict[str, Json] = {
        "marks": list(MARKS),
        "people": shared.people.texts(),
        "branches": shared.branches.texts(),
        "links": shared.links.texts(),
        "rows": rows,
    }
    elsewhere = repository.git.refs(f"{REMOTE_ROOT}**/{LOG}") if not found else []
    return Overview(table, remote, len(elsewhere))


def _disabled(repository: Repository, found: Iterable[State]) -> tuple[set[str], set[str]]:
    """Deployments whose settings say `disabled`, and those whose settings cannot be read.

    Most share a settings tree, so few are read.
    """
    known: dict[str, bool | None] = {}
    disabled, unreadable = set(), set()
    for state in found:
        event = state.event
        if event is None or state.breach:
            continue
        if event.tree not in known:
            known[event.tree] = None
            with suppress(DeploymentsError):
                known[event.tree] = bool(settings_in(repository, event.tree, event.commit)["disabled"])
        if known[event.tree] is None:
            unreadable.add(state.name)
        elif known[event.tree]:
            disabled.add(state.name)
    return disabled, unreadable


def _marks(repository: Repository, state: State, disabled: bool) -> set[str]:
    event = state.event
    holds = {
        "rolled back": is_rolled_back(repository, state),
        "held": event and event.held,
        "paused": event and event.paused,
        "disabled": disabled,
        "unrecorded": state.unrecorded or state.leftovers,
        "damaged": state.breach,
    }
    return {mark for mark, true in holds.items() if true}


def _standing_marks(repository: Repository, state: State, there: Tracked | None) -> set[str]:
    if there is None:
        return {"unpublished"} if state.refs.log else set()
    return _standing(tracking.standing(repository, state, there))


def _standing(stands: tracking.Standing) -> set[str]:
    return {mark for mark, count in (("unpublished", stands.unpublished), ("behind", stands.behind)) if count}


def _row(state: State, version: Version | None, marks: set[str], url: str | None, shared: _Sharing) -> Json:
    """One row: name, path where it is another, live, latest, version name, source, branch, link, marks, and
    the last event's action, number, from, to, reason, who and when. The script of the page reads it by place."""
    live, event = state.live, state.event
    source = live.source if live else None
    info = version.source.info if version else None
    commit, branch = links(info, url) if info else (None, None)
    encoded = encode(state.name)
    row: list[Json] = [
        shown(state.name),
        encoded if encoded != state.name else 0,
        live.number if live else 0,
        state.latest.number if state.latest else 0,
        text.one_line(live.label, 40) if live else "",
        source or 0,
        shared.branches.place(text.one_line(info.branch, 60), branch or "") if info and info.branch else -1,
        shared.links.place(commit.replace(source, "*") if source else commit) if commit else -1,
        sum(1 << place for place, mark in enumerate(MARKS) if mark in marks),
    ]
    if event:
        who = shared.people.place(text.one_line(event.author.name, 60))
        reason = text.one_line(event.reason, 72)
        row += [event.action, event.number or 0, event.before or 0, event.after or 0, reason, who, event.author.seconds]
    return row


# One deployment


class Entry(NamedTuple):
    """One event of a history, with the version that it made."""

    event: Event
    version: Version | None
    moved: bool
    """Another version was live after it."""
    provisional: bool
    """The version is unpublished, so its number may change."""
    live: bool
    """The version that it made is live now."""


class Property(NamedTuple):
    """One versioned property or one setting."""

    key: str
    document: text.Document


class Configuration(NamedTuple):
    """A version's properties, those first that say something."""

    said: tuple[Property, ...]
    unset: tuple[str, ...]
    cut: bool
    """Something is too long to be shown whole."""


class Notice(NamedTuple):
    """Something that needs attention."""

    kind: str
    """A mark of `MARKS`, or `deleted`."""
    words: str
    command: str = ""
    """The command that mends it."""


class Remote(NamedTuple):
    """How a deployment stands to a remote, as it was last seen there."""

    name: str
    default: bool
    """Writes that are published go there."""
    seen: bool
    """The deployment was seen there."""
    live: int | None
    """Number of the version that is live there."""
    stands: tracking.Standing


class Deployment(NamedTuple):
    """One deployment: what is live, how it came so, its settings."""

    name: str
    state: State
    marks: tuple[str, ...]
    """Of `MARKS`."""
    live: Version | None
    since: Event | None
    """The event that made live what is live, if that is recorded."""
    configuration: Configuration | None
    """Of the live version."""
    settings: tuple[Property, ...]
    back: Pointer | None
    """What a rollback would make live."""
    forward: Pointer | None
    """What a promotion would make live."""
    change: Comparison | None
    """What the last move changed."""
    entries: tuple[Entry, ...]
    older: bool
    """There are more events than are shown."""
    notices: tuple[Notice, ...]
    remote: str | None
    remotes: tuple[Remote, ...]
    unpublished: int
    choices: tuple[int, ...]
    """Numbers of the versions that can be compared, newest first."""


def deployment(repository: Repository, name: str, limit: int = ENTRIES) -> Deployment:
    """The page of one deployment. Raises `UnknownDeployment`, and the state's breach."""
    state = find(repository, name)
    live = version_at(repository, state, state.live.commit) if state.live else None
    found = list(islice(events(repository, state, limit + 1), limit + 1))
    since = None if state.unrecorded else _since(found, state)
    remote = default_remote(repository) if repository.remotes else None
    remotes = tuple(_remote(repository, state, one, one == remote) for one in repository.remotes)
    stands = next((one.stands for one in remotes if one.default), tracking.Standing(0, 0))
    latest = state.latest
    forward = latest if latest and (live is None or latest.number > live.number) else None
    return Deployment(
        name=state.name,
        state=state,
        marks=_deployment_marks(repository, state, stands),
        live=live,
        since=since,
        configuration=configuration(repository, live) if live else None,
        settings=_settings(repository, state),
        back=previous(repository, state),
        forward=None if state.deleted else forward,
        change=_last_change(repository, state, since),
        entries=tuple(_entries(repository, state, found[:limit])),
        older=len(found) > limit,
        notices=tuple(_notices(state, live, remote, stands)),
        remote=remote,
        remotes=remotes,
        unpublished=stands.unpublished,
        choices=choices(state),
    )


def _remote(repository: Repository, state: State, remote: str, default: bool) -> Remote:
    there = tracking.tracked(repository, remote, [state.name]).get(state.name)
    if there is None and not default:
        return Remote(remote, default, False, None, tracking.Standing(0, 0))
    live = None
    if there and there.live:
        with suppress(DeploymentsError):
            live = parse_version(repository.reading.object(there.live)).number
    return Remote(remote, default, there is not None, live, tracking.standing(repository, state, there))


def _deployment_marks(repository: Repository, state: State, stands: tracking.Standing) -> tuple[str, ...]:
    disabled = bool(settings(repository, state.event)["disabled"])
    marks = _marks(repository, state, disabled) | _standing(stands)
    return tuple(mark for mark in MARKS if mark in marks)


def choices(state: State) -> tuple[int, ...]:
    """Numbers of versions to choose from: the newest ones."""
    latest = state.latest.number if state.latest else 0
    return tuple(range(latest, max(0, latest - CHOICES), -1))


def _since(found: Iterable[Event], state: State) -> Event | None:
    live = state.live.number if state.live else None
    for event in found:
        if event.after != live:
            return None
        if event.before != event.after:
            return event
    return None


def _entries(repository: Repository, state: State, found: list[Event]) -> Iterable[Entry]:
    by_number = {version.number: version for version in versions(repository, state, _reach(state, found))}
    unpublished = tracking.unpublished_versions(repository, state) if repository.remotes else set()
    live = state.live.commit if state.live else None
    for event in found:
        version = by_number.get(event.number) if event.number else None
        yield Entry(
            event,
            version,
            event.before != event.after,
            bool(version and version.commit in unpublished),
            bool(version and version.commit == live),
        )


def _reach(state: State, found: list[Event]) -> int:
    """How many of the newest versions it takes to have all that these events made."""
    made = [event.number for event in found if event.number]
    return state.latest.number - min(made) + 1 if made and state.latest else 0


def _settings(repository: Repository, state: State) -> tuple[Property, ...]:
    found = settings(repository, state.event)
    return tuple(Property(key, text.document(value)) for key, value in found.items())


_ORDER = (
    "description", "tags", "labels", "entrypoint", "work_pool_name", "work_queue_name", "work_queue_id", "parameters",
    "job_variables", "pull_steps", "enforce_parameter_schema", "parameter_openapi_schema",
)  # fmt: skip


def configuration(repository: Repository, version: Version) -> Configuration:
    """What is pinned to a version, in the order in which people ask for it."""
    found = properties(repository, version)
    assert found.keys() == PROPERTIES.keys() == set(_ORDER)
    said = [Property(key, text.document(found[key])) for key in _ORDER if not text.is_unset(found[key])]
    info: dict[str, Json] = {key: value for key, value in info_row(version.source.info).items() if value is not None}
    said.append(Property("version_info", text.document(info)))
    unset = tuple(key for key in _ORDER if text.is_unset(found[key]))
    return Configuration(tuple(said), unset, any(one.document.cut for one in said))


def _last_change(repository: Repository, state: State, since: Event | None) -> Comparison | None:
    """Between what was live before the last move and what is live."""
    if since is None or since.before is None or state.live is None:
        return None
    try:
        before = resolve(repository, state, f"number:{since.before}")
    except DeploymentsError:
        return None
    return comparison(repository, state, before, version_at(repository, state, state.live.commit), patch=False)


def _notices(state: State, live: Version | None, remote: str | None, stands: tracking.Standing) -> Iterable[Notice]:
    if state.deleted:
        yield Notice("deleted", "It is deleted. Its history stays; deploying it again continues the numbers.")
        return
    if state.refs.log is None:
        yield Notice("damaged", "Its log is not here, so nothing can be written.", "git deployments pull")
    if state.unrecorded:
        was = f"v{state.event.after}" if state.event and state.event.after else "nothing"
        now = f"v{live.number}" if live else "nothing"
        yield Notice(
            "unrecorded",
            f"live was moved without the log: {now} is live, the log says {was}. The next write records it.",
        )
    if state.leftovers:
        numbers = ", ".join(f"v{version.number}" for version in state.leftovers)
        yield Notice("unrecorded", f"Not in the log yet: {numbers}. The next write records it.")
    if state.follows:
        yield Notice(
            "behind",
            f"live was taken from {shown(state.follows)} without its log.",
            f"git deployments pull {quoted(state.follows)} {quoted(state.name)}",
        )
    if state.held:
        yield Notice("held", "It is held: new versions do not go live until one is promoted.")
    if stands.behind:
        where, are = shown(remote or ""), "is" if stands.behind == 1 else "are"
        words = f"{where} has {text.counted(stands.behind, 'event')} that {are} not here."
        yield Notice("behind", words, f"git deployments pull {where} {quoted(state.name)}")


# One version


class Shown(NamedTuple):
    """One version whole, with the settings beside it."""

    name: str
    state: State
    version: Version
    created_by: str
    live: bool
    latest: bool
    provisional: bool
    configuration: Configuration
    settings: tuple[Property, ...]
    message: text.Text
    before: int | None
    """Number of the version before it."""
    after: int | None
    moves: tuple[Event, ...]
    """Events after which it was live, or not any more, newest first."""


def shown_version(repository: Repository, name: str, words: str) -> Shown:
    """The page of one version. Raises `UnknownDeployment`, `UnknownVersion`, and the state's breach."""
    state = find(repository, name)
    version = resolve(repository, state, words)
    number, latest = version.number, state.latest.number if state.latest else 0
    made = creator(repository, pointer(version))
    moves = [event for event in events(repository, state, 1000) if _moves(event, number)]
    return Shown(
        name=state.name,
        state=state,
        version=version,
        created_by=text.one_line(made.person),
        live=bool(state.live and state.live.commit == version.commit),
        latest=number == latest,
        provisional=bool(repository.remotes) and version.commit in tracking.unpublished_versions(repository, state),
        configuration=configuration(repository, version),
        settings=_settings(repository, state),
        message=text.paragraph(version.message),
        before=number - 1 or None,
        after=number + 1 if number < latest else None,
        moves=tuple(moves[:20]),
    )


def _moves(event: Event, number: int) -> bool:
    return event.before != event.after and number in (event.before, event.after)


def message(repository: Repository, name: str, oid: str) -> str:
    """The whole text of a version or of an event of a deployment. Raises `UnknownVersion`."""
    state = find(repository, name)
    found = repository.reading.find(oid) if len(oid) in (40, 64) and oid.isalnum() else None
    if found and found.kind == "commit":
        with suppress(DeploymentsError):
            event = parse_event(found)
            return event.reason if event.name == name else ""
        version = version_at(repository, state, oid)
        return version.message
    raise UnknownVersion(f"'{shown(name)}' has no version and no event of that commit")


# Two versions


class Side(NamedTuple):
    """One key whose value two versions do not share, word by word."""

    key: str
    before: tuple[text.Piece, ...] | None
    """None where the key is only on the other side."""
    after: tuple[text.Piece, ...] | None


class Comparison(NamedTuple):
    """In what two versions differ, and the code between them."""

    name: str
    state: State
    before: Version
    after: Version
    changed: tuple[Side, ...]
    more: int
    """Changed keys that are not shown."""
    same: tuple[Property, ...]
    code: code.Code
    choices: tuple[int, ...]


CHANGED = 200
"""Changed keys that a page shows."""
CHARACTERS = 100_000
"""Characters that their values may have, together."""


def compared(repository: Repository, name: str, a: str, b: str) -> Comparison:
    """The page of two versions. Raises `UnknownDeployment`, `UnknownVersion`, and the state's breach."""
    state = find(repository, name)
    return comparison(repository, state, resolve(repository, state, a), resolve(repository, state, b))


def comparison(repository: Repository, state: State, before: Version, after: Version, patch: bool = True) -> Comparison:
    """Properties that differ, those that do not, and the code. `patch=False`: of the code only counts."""
    found = sorted(version_differences(repository, before, after), key=lambda one: _rank(one.key))
    keys = {one.key.partition(".")[0] for one in found}
    document = properties(repository, after)
    same = [key for key in _ORDER if key not in keys and not text.is_unset(document[key])]
    sides = tuple(_sides(found))
    return Comparison(
        state.name,
        state,
        before,
        after,
        sides,
        len(found) - len(sides),
        tuple(Property(key, text.document(document[key])) for key in same),
        code.between(repository, before.source.commit, after.source.commit, patch),
        choices(state),
    )


def _sides(found: Iterable[Difference]) -> Iterable[Side]:
    """As many of them as a page can show."""
    left = CHARACTERS
    for one in islice(found, CHANGED):
        side = _side(one)
        left -= sum(len(piece.text) for pieces in (side.before, side.after) for piece in pieces or ())
        if left < 0:
            return
        yield side


def _rank(key: str) -> tuple[int, str]:
    """What people chose stands before what was recorded for them."""
    recorded = ("version_info", "updated_by")
    return (recorded.index(first) + 1 if (first := key.partition(".")[0]) in recorded else 0, key)


def _side(one: Difference) -> Side:
    key = text.one_line(one.key, 200)
    if one.missing:
        value = one.after if one.missing == "before" else one.before
        pieces = tuple(text.words_changed("", text.flat(value))[1])
        return Side(key, None, pieces) if one.missing == "before" else Side(key, pieces, None)
    before, after = text.words_changed(text.flat(one.before), text.flat(one.after))
    return Side(key, tuple(before), tuple(after))


# A move, before and after it


class Preview(NamedTuple):
    """What a move would do, and what it would leave alone."""

    action: str
    """`rollback` or `promote`."""
    comparison: Comparison | None
    """Between what is live and what would be; None where nothing is live."""
    target: Version
    settings: tuple[Property, ...]
    since: tuple[Side, ...]
    """Settings that stand otherwise than when the target was last live; they stay as they are."""
    hold: bool
    """It is held, or every rollback is."""
    required: bool
    """A reason is required."""
    remote: str | None
    push: bool
    """Every write is published."""

    @property
    def expect(self) -> str:
        """What must still be live when the move is made."""
        return f"commit:{self.comparison.before.commit}" if self.comparison else "none"


def preview(repository: Repository, name: str, words: str | None) -> tuple[State, Preview | None]:
    """What moving live to a version would do; None where it is live already.

    Raises what `rollback` and `promote` raise.
    """
    state = find(repository, name)
    planned = _planned(repository, state, words)
    step = planned.decision.step
    if step is None or step.live is None or (state.live and step.live.commit == state.live.commit):
        return state, None
    target = version_at(repository, state, step.live.commit)
    live = version_at(repository, state, state.live.commit) if state.live else None
    event = state.event
    return state, Preview(
        step.action,
        comparison(repository, state, live, target, patch=False) if live else None,
        target,
        _settings(repository, state),
        _not_restored(repository, event, target.number) if event else (),
        step.held,
        repository.flag("requireReason"),
        default_remote(repository) if repository.remotes else None,
        repository.flag("push"),
    )


def _not_restored(repository: Repository, event: Event, number: int) -> tuple[Side, ...]:
    then = while_live(repository, event.name, event.commit, number)
    return tuple(map(_side, settings_since(repository, event, then)))


def _planned(repository: Repository, state: State, words: str | None) -> Planned:
    (planned,) = plan(repository, [state.name], move(repository, state, words, False, "", None))
    return planned


def move(
    repository: Repository, state: State, words: str | None, hold: bool, reason: str, expect: str | None
) -> Decide:
    """The verb that makes a version live: back to an older one, forward to a newer one. No words: back."""
    target = resolve(repository, state, words) if words is not None else None
    if state.live and (target is None or target.number <= state.live.number):
        return rolling_back(repository, words, hold, reason, expect)
    return promoting(repository, words, reason, expect)


class Done(NamedTuple):
    """A move that was just made here."""

    event: Event
    undo: str
    """The command that takes it back."""
    back_to: int | None
    """The version that was live before."""


def done(page: Deployment, oid: str) -> Done | None:
    """The move of that commit, while it is the newest event of the deployment."""
    event = page.state.event
    if event is None or event.commit != oid or event.before == event.after or event.after is None:
        return None
    before = Pointer(event.before, "", None, None) if event.before else None
    previous = page.entries[1].event if len(page.entries) > 1 else None
    was_held, existed = bool(previous and previous.held), bool(previous and previous.action != "delete")
    command = undo(page.name, before, Pointer(event.after, "", None, None), was_held, existed)
    return Done(event, command, event.before)
