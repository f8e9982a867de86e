"""What a push may do to the deployments of a server (design, "Hooks"). Reads only.

It runs while the pushed objects are in quarantine and the refs are still the old ones, so what the
refs would be is put together from both. What a push brings is held to the rules of `rules`; here
stands only which ref may be moved to where. Other refs than those under `refs/deployments/` are
none of its business.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

from git_deployments import beside
from git_deployments.codec import SETTINGS_FILE, SNAPSHOT, parse_event, parse_version, tree_and_parents
from git_deployments.errors import DeploymentsError
from git_deployments.git import Object, RefChange, text
from git_deployments.history import (
    NO_REFS,
    PAUSE,
    Pointer,
    Refs,
    foresee,
    foresee_names,
    names,
    number_to_oid,
    pointer,
    read_refs,
    walk,
)
from git_deployments.model import Event
from git_deployments.names import fold, shown
from git_deployments.refs import LIVE, LOG, ROOT, SOURCES, VERSIONS, Ref, parse_ref
from git_deployments.repository import KEEP_REFS, MAX_SNAPSHOT, Repository
from git_deployments.rules import Chain, Incoming, Mark, Settings, signature_problems
from git_deployments.signing import may_move, moving_rules
from git_deployments.stretch import Stretch, check_stretch
from git_deployments.trailers import is_id

LARGEST = 4 << 20
"""Bytes that a commit or tree may have; documents have a limit of their own."""
OVERTAKEN = "another push came first; 'git deployments pull', then push again"
"""What is said of a deployment whose refs are no longer where the push believes them."""
_LINES = 20
"""Lines that are said of one deployment."""
_READINGS = 10
_TOGETHER = 250
"""Deployments whose objects are read together."""
_SHARED = 200
"""Deployments that are checked sooner by two processes than by one."""
_OURS = 53
"""Percent that this process checks; the other one has to start."""
_LONG = 100
"""Refs of a deployment whose versions are read along their chain."""
_FEW = 24
"""Refs whose objects are asked for one by one: no process starts."""
_QUESTIONS = 100
"""Names that fit into a pipe, anywhere."""
_HELD = 16 << 20
"""Bytes that are read together at most."""
_WORTH = 200
"""Versions that a walk reads in the time in which git finds one of them by itself."""


class BadPush(DeploymentsError):
    """What a hook was given is no list of refs."""


class Rules(NamedTuple):
    """What this server allows, and what it has found."""

    keep: int
    """The newest versions whose refs must stay; 0: all."""
    allow_delete: bool
    settings: Settings
    """What was found of settings so far."""


def parse_push(lines: bytes) -> list[RefChange]:
    """What git tells a receiving hook: `<old> <new> <ref>` lines (git manual, githooks). Raises `BadPush`."""
    changes = []
    for line in text(lines).split("\n"):
        words = line.split(" ", 2)
        if len(words) == 3 and words[2]:
            changes.append(RefChange(words[2], _or_none(words[1]), _or_none(words[0])))
        elif line:
            raise BadPush(f"'{shown(line[:100])}' is no 'old new ref' line of a push; git runs this hook, not people")
    return changes


def _or_none(oid: str) -> str | None:
    return oid if oid.strip("0") else None


def refusals(repository: Repository, changes: Iterable[RefChange]) -> Iterator[str]:
    """A line for each thing in a push that breaks the format or the history; none: it may come in."""
    ours: dict[str, dict[Ref, RefChange]] = {}
    for change in changes:
        parsed = parse_ref(change.ref)
        if parsed:
            ours.setdefault(parsed.name, {})[parsed] = change
        elif f"{change.ref}/".startswith(ROOT) and change.new:
            yield (
                f"{shown(change.ref)}: no ref of a deployment has such a name; "
                "there are <name>/live, <name>/log, <name>/versions/<n> and <name>/sources/<n>"
            )
        elif f"{change.ref}/".lower().startswith(ROOT) and repository.ignores_case:
            yield f"{shown(change.ref)}: on this server it would be a ref under {ROOT}, which is spelt so"
    if not ours:
        return
    rules = Rules(repository.number("keepRefs", KEEP_REFS), repository.flag("allowDelete"), {})
    repository.reading.largest = max(LARGEST, repository.number("maxSnapshotSize", MAX_SNAPSHOT))
    if any(ref.kind == LOG and not change.old for push in ours.values() for ref, change in push.items()):
        foresee_names(repository)
    verdicts = _judge(repository, rules, ours)
    yield from _collisions(repository, verdicts)
    for finding in signature_problems(repository, [one for verdict in verdicts.values() for one in verdict.events]):
        verdicts[finding.name].problems.append(finding.problem)
    for name, verdict in sorted(verdicts.items()):
        yield from (f"{shown(name)}: {problem}" for problem in verdict.problems[:_LINES])
        if len(verdict.problems) > _LINES:
            yield f"{shown(name)}: and {len(verdict.problems) - _LINES} more"


class _Verdict(NamedTuple):
    """What is to be said of one deployment."""

    before: Refs
    problems: list[str]
    events: list[Mark]
    """The new ones."""


def _judge(repository: Repository, rules: Rules, ours: Mapping[str, Mapping[Ref, RefChange]]) -> dict[str, _Verdict]:
    """A problem counts only if a second reading finds the same refs: another push may have been half-way."""
    verdicts: dict[str, _Verdict] = {}
    wanted = list(ours)
    foresee(repository, wanted)
    for attempt in range(_READINGS):
        if attempt:
            time.sleep(PAUSE)
        repository.reading.foresee(_asked(ours[name] for name in _halves(wanted)[0][:_TOGETHER]))
        before = read_refs(repository, wanted)
        fresh = [name for name in wanted if name not in verdicts or verdicts[name].before != before[name]]
        pushes = [_Push(name, before[name], ours[name]) for name in fresh]
        for name, problems, events in _checked(repository, rules, pushes):
            verdicts[name] = _Verdict(before[name], problems, events)
        wanted = [name for name in fresh if verdicts[name].problems]
        if not wanted:
            break
    return verdicts


_Checked = tuple[str, list[str], list[Mark]]
"""A deployment, its problems and its new events."""
_Thing = TypeVar("_Thing")


def _checked(repository: Repository, rules: Rules, pushes: list[_Push]) -> Iterator[_Checked]:
    """What is found of each; a second process looks at half of many."""
    here, there = _halves(pushes)
    other = beside.begin(lambda: _told(_one_by_one(repository.again(), rules, there))) if there else None
    yield from _one_by_one(repository, rules, here)
    found = other.result() if other else None
    if found is None:
        yield from _one_by_one(repository, rules, there)
    else:
        yield from ((name, problems, [Mark(*event) for event in events]) for name, problems, events in found)


def _halves(things: list[_Thing]) -> tuple[list[_Thing], list[_Thing]]:
    """What is for this process, and what for another one."""
    ours = len(things) * _OURS // 100 if len(things) >= _SHARED and beside.possible() else len(things)
    return things[:ours], things[ours:]


def _told(found: Iterable[_Checked]) -> list[tuple[str, list[str], list[tuple[str, str, str, bool]]]]:
    """What crosses from one process to another has no names."""
    return [(name, problems, [(*event,) for event in events]) for name, problems, events in found]


def _one_by_one(repository: Repository, rules: Rules, pushes: list[_Push]) -> Iterator[_Checked]:
    """Each once what it is checked on is read; git reads for the next ones meanwhile."""
    reading = repository.reading
    asked = _asked(push.changes for push in pushes[:_TOGETHER])
    for start in range(0, len(pushes), _TOGETHER):
        arrived = reading.ahead(asked, _HELD)
        asked = _asked(push.changes for push in pushes[start + _TOGETHER : start + 2 * _TOGETHER])
        reading.foresee(asked)
        _read_settings(repository, rules, arrived)
        for push in pushes[start : start + _TOGETHER]:
            events: list[Mark] = []
            problems = list(_check(repository, rules, push, events))
            yield push.name, problems, events
        reading.forget()


def _read_settings(repository: Repository, rules: Rules, arrived: Iterable[Object]) -> None:
    """The settings of the events among `arrived` that nobody had before: a few, mostly, for many deployments."""
    reading = repository.reading
    trees = {tree for tree, _ in map(tree_and_parents, arrived) if is_id(tree) and not reading.holds(tree)}
    wanted = [name for tree in trees.difference(rules.settings) for name in (tree, f"{tree}:{SETTINGS_FILE}")]
    for start in range(0, len(wanted), _QUESTIONS):
        reading.together(wanted[start : start + _QUESTIONS], _HELD >> 3)


def _asked(pushes: Iterable[Mapping[Ref, RefChange]]) -> list[str]:
    """What the checks of much ask for first; nothing where it is little. What is long is walked through instead."""
    moved = [
        (ref, change)
        for changes in pushes
        if len(changes) < _LONG
        for ref, change in changes.items()
        if ref.kind != SOURCES
    ]
    if len(moved) < _FEW:
        return []
    ends = [oid for _, (_, new, old) in moved for oid in (new, old) if oid and is_id(oid)]
    made = [change.new for ref, change in moved if ref.kind == VERSIONS and change.new and is_id(change.new)]
    return [*ends, *(name for oid in made for name in (f"{oid}^{{tree}}", f"{oid}:{SNAPSHOT}"))]


def _collisions(repository: Repository, verdicts: Mapping[str, _Verdict]) -> Iterator[str]:
    """Only what is new can be refused for its name."""
    fresh = [name for name, verdict in verdicts.items() if verdict.before == NO_REFS]
    if not fresh:
        return
    taken = {fold(name): name for name in (*fresh, *names(repository))}
    for name in fresh:
        other = taken[fold(name)]
        if other != name:
            yield (
                f"{shown(name)}: it differs from '{shown(other)}' only by case or by Unicode form, "
                "which a file system may not tell apart; rename one of them"
            )


class _Push(NamedTuple):
    """What a push does to one deployment."""

    name: str
    before: Refs
    changes: Mapping[Ref, RefChange]

    def after(self, kind: str) -> str | None:
        """Where `live` or `log` would be."""
        change = self.changes.get(Ref(self.name, kind, None))
        return change.new if change else self.before.live if kind == LIVE else self.before.log

    @property
    def overtaken(self) -> bool:
        """A ref is no longer where the push expects it. git refuses that by itself, but later."""
        return any(change.old != self._now(ref) for ref, change in self.changes.items())

    def _now(self, ref: Ref) -> str | None:
        if ref.kind in (LIVE, LOG):
            return self.before.live if ref.kind == LIVE else self.before.log
        table = self.before.versions if ref.kind == VERSIONS else self.before.sources
        return table.get(ref.number or 0)

    def touches(self, kind: str) -> bool:
        """`live` or `log` moves."""
        return Ref(self.name, kind, None) in self.changes

    def numbered(self, kind: str) -> list[tuple[int, RefChange]]:
        """The changes of `versions` or `sources`, by number."""
        return sorted((ref.number, change) for ref, change in self.changes.items() if ref.kind == kind and ref.number)


def _check(repository: Repository, rules: Rules, push: _Push, marks: list[Mark]) -> Iterator[str]:
    if push.overtaken:
        yield OVERTAKEN
    elif push.after(LOG) is None:
        yield from _without_log(repository, rules, push)
    else:
        yield from _with_log(repository, rules, push, marks)


def _with_log(repository: Repository, rules: Rules, push: _Push, marks: list[Mark]) -> Iterator[str]:
    try:
        known = parse_event(repository.reading.object(push.before.log)) if push.before.log else None
        found = _incoming(repository, push, known, rules.settings)
    except DeploymentsError as error:
        yield str(error)
        return
    if not found.follows:
        yield _forked(repository, push)
        return
    yield from found.problems
    if found.problems:
        return
    marks += found.events
    if push.touches(LIVE) or push.touches(LOG):
        yield from _live_problems(push, found.newest)
    history = _History(repository, found.newest, known, found.chain)
    versions, sources = push.numbered(VERSIONS), push.numbered(SOURCES)
    history.learn({number for number, _ in (*versions, *sources)})
    yield from _version_problems(rules, versions, history)
    yield from _source_problems(sources, history)


def _incoming(repository: Repository, push: _Push, known: Event | None, settings: Settings) -> Incoming:
    log = push.after(LOG)
    assert log is not None
    if known and log == known.commit:
        return Incoming(known, [], True, [], {})
    newest = parse_event(repository.reading.object(log))
    return check_stretch(repository, Stretch(push.name, newest, known), settings)


def _without_log(repository: Repository, rules: Rules, push: _Push) -> Iterator[str]:
    """The push leaves the deployment no log."""
    if push.before.log is None and any(change.new for change in push.changes.values()):
        yield "it has no log here and the push brings none; 'git deployments push' brings it along"
    elif not rules.allow_delete:
        yield (
            "its log may not be removed, since deployments.allowDelete is not set on the server; "
            "'git deployments delete' without --purge keeps it"
        )
    elif push.before.live and may_move(moving_rules(repository), push.name) is not None:
        yield (
            "live may not go with its log, since nobody signs that (deployments.<pattern>.mayMove); "
            "'git deployments delete' and push first, then delete --purge"
        )
    elif _left(push):
        yield f"its log may only go together with all its refs; {', '.join(_left(push))} would stay"


def _left(push: _Push) -> list[str]:
    """What would stay of the deployment."""
    before = {LIVE: push.before.live, LOG: push.before.log}
    left = {kind for kind, oid in before.items() if oid}
    for kind, table in ((VERSIONS, push.before.versions), (SOURCES, push.before.sources)):
        left |= {f"{kind}/{number}" for number in table}
    for ref, change in push.changes.items():
        word = f"{ref.kind}/{ref.number}" if ref.number else ref.kind
        left = left | {word} if change.new else left - {word}
    return sorted(left)[:5]


def _forked(repository: Repository, push: _Push) -> str:
    old, new = push.before.log or "", push.after(LOG) or ""
    rewound = repository.git.ask("merge-base", "--is-ancestor", new, old)[0] == 0
    how = "rewound" if rewound else "replaced by another"
    return (
        f"its log may not be {how}: {new[:12]} does not follow from {old[:12]}, which is published; "
        "'git deployments pull' brings both together"
    )


def _live_problems(push: _Push, newest: Event) -> Iterator[str]:
    live = push.after(LIVE)
    if live != newest.live_commit:
        recorded = f"v{newest.after}" if newest.after else "nothing"
        yield (
            f"live would be at {(live or 'nothing')[:12]}, but its log says {recorded} "
            f"({(newest.live_commit or 'none')[:12]}); 'git deployments push' records the move and pushes both"
        )


class _History(NamedTuple):
    """The versions that the log has after the push."""

    repository: Repository
    newest: Event
    known: Event | None
    chain: Chain

    @property
    def latest(self) -> int:
        """The highest number."""
        return self.newest.latest or 0

    @property
    def deleted(self) -> bool:
        """The newest event is a delete."""
        return self.newest.action == "delete"

    def learn(self, numbers: set[int]) -> None:
        """`version` will be asked for these: of many that are near each other one walk tells, not one for each."""
        missing = {number for number in numbers if number <= self.latest and number not in self.chain}
        if not missing or max(missing) - min(missing) >= _WORTH * (len(missing) - 1):
            return
        first = number_to_oid(self.repository, self.newest.latest, self.newest.latest_commit, max(missing))
        number = max(missing)
        with suppress(DeploymentsError):  # what is damaged is told of the version that it keeps from being found
            for object_ in walk(self.repository, first, limit=number - min(missing) + 1) if first else ():
                self.chain.setdefault(number, pointer(parse_version(object_)))
                number -= 1

    def version(self, number: int) -> Pointer | None:
        """Version `number`; None where the log reaches none."""
        found = self.chain.get(number)
        if found:
            return found
        oid = number_to_oid(self.repository, self.newest.latest, self.newest.latest_commit, number)
        if oid:
            self.chain[number] = pointer(parse_version(self.repository.reading.object(oid)))
        return self.chain.get(number)


def _version_problems(rules: Rules, moved: list[tuple[int, RefChange]], history: _History) -> Iterator[str]:
    for number, (_, new, old) in moved:
        recorded = history.version(number)
        if new is None:
            yield from _removal_problems(rules, history, f"versions/{number}", number, old)
        elif recorded is None:
            yield f"versions/{number} is {new[:12]}, which its log does not reach; 'git deployments push' pushes both"
        elif old == recorded.commit:
            yield f"versions/{number} may not be changed from {old[:12]} to {new[:12]}: a version is written once"
        elif new != recorded.commit:
            yield f"versions/{number} is {new[:12]}, but its log has {recorded.commit[:12]}"


def _removal_problems(rules: Rules, history: _History, ref: str, number: int, old: str | None) -> Iterator[str]:
    """A version's ref may go after a delete, or where it is old; what was never in the log always."""
    recorded = history.version(number)
    if history.deleted or recorded is None or (old and old != recorded.commit):
        return
    if not rules.keep or number > history.latest - rules.keep:
        kept = f"the newest {rules.keep}" if rules.keep else "all"
        yield f"{ref} may not be removed: the server keeps {kept} (deployments.keepRefs)"
    elif number == history.newest.after:
        yield f"{ref} may not be removed: it is live"


def _source_problems(moved: list[tuple[int, RefChange]], history: _History) -> Iterator[str]:
    kinds = _kinds(history.repository, [change.new for _, change in moved if change.new])
    for number, (_, new, _) in moved:
        recorded = history.version(number)
        if new is None:
            if recorded and not history.deleted:
                yield f"sources/{number} may not be removed: it keeps the code of v{number}"
        elif recorded is None or recorded.source != new:
            yield f"sources/{number} is {new[:12]}, which is not the code of a v{number} that its log reaches"
        elif kinds.get(new) != "commit":
            yield f"sources/{number} is {new[:12]}, which is no commit"


def _kinds(repository: Repository, oids: list[str]) -> dict[str, str]:
    asked = "".join(f"{oid}\n" for oid in oids)
    out = text(repository.git.run("cat-file", "--batch-check", stdin=asked.encode())) if oids else ""
    return {row[0]: row[1] for row in (line.split(" ") for line in out.split("\n")) if len(row) == 3}
