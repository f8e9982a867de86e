"""Every rule of the format, on one version, one event, or what comes from elsewhere (design, "Refs").

They stand by themselves, so that a check of what is there, a push and a pull hold it to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from git_deployments.codec import (
    GITLINK,
    SETTINGS_FILE,
    SNAPSHOT,
    Malformed,
    TreeEntry,
    parse_event,
    parse_tree,
    parse_version,
    tree_and_parents,
)
from git_deployments.document import canonical_document, parse_document
from git_deployments.errors import DeploymentsError
from git_deployments.git import Damaged, Object, Oversized
from git_deployments.history import Pointer, number_to_oid, pointer, walk
from git_deployments.message import misread
from git_deployments.model import PROPERTIES, SETTINGS, Event, Json, Version
from git_deployments.names import shown
from git_deployments.repository import MAX_SNAPSHOT, Repository
from git_deployments.signing import Signature, allowed_signers, is_among, may_move, moving_rules, signatures
from git_deployments.trailers import is_id

_BLOCK = 500
"""Commits whose trees and documents are read together."""
_HELD = 16 << 20
"""Bytes of documents that are held together; more are read one by one."""
_OVERSIZED = "oversized"
"""Stands for the kind of a document that is too large to be read; its data are the bytes that it has, in digits."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "description": (str, type(None)),
    "enforce_parameter_schema": (bool,),
    "entrypoint": (str, type(None)),
    "job_variables": (dict,),
    "labels": (dict,),
    "parameter_openapi_schema": (dict,),
    "parameters": (dict,),
    "pull_steps": (list,),
    "tags": (list,),
    "work_pool_name": (str, type(None)),
    "work_queue_id": (str, type(None)),
    "work_queue_name": (str, type(None)),
    "concurrency_limit": (int, type(None)),
    "concurrency_options": (dict, type(None)),
    "disabled": (bool,),
    "is_schedule_active": (bool, type(None)),
    "paused": (bool,),
    "schedules": (list,),
}


class Finding(NamedTuple):
    """One thing that `fsck` has to say."""

    name: str
    """Full name of the deployment; empty where it belongs to none."""
    problem: str
    notice: bool = False
    """True: worth knowing, no breach."""


Chain = dict[int, Pointer]
"""Number to version."""


_Thing = TypeVar("_Thing")


def blocks(things: Iterator[_Thing]) -> Iterator[list[_Thing]]:
    """As many together as are worth to be read together."""
    block: list[_Thing] = []
    for thing in things:
        block.append(thing)
        if len(block) == _BLOCK:
            yield block
            block = []
    if block:
        yield block


Settings = dict[str, tuple[list[str], Json]]
"""What was found of the settings in a tree: most events leave them as they were, and most deployments have the same."""


class Documents:
    """The trees of commits and their `file`: of many commits read ahead as far as memory goes, else when asked for."""

    def __init__(
        self,
        repository: Repository,
        file: str,
        commits: list[Object],
        settings: Settings | None = None,
        hashed: bool = False,
    ) -> None:
        self.settings: Settings = {} if settings is None else settings
        self.hashed = hashed
        """git made the ids out of the content just now, as it does with all that comes over the wire."""
        self._repository = repository
        self._trees: dict[str, list[TreeEntry] | None] = {}
        self._documents: dict[str, Object] = {}
        self._few = len(commits) <= _FEW
        if not self._few:
            self._read_ahead(file, commits)

    def _read_ahead(self, file: str, commits: list[Object]) -> None:
        reading = self._repository.reading
        trees = {tree for tree, _ in map(tree_and_parents, commits) if is_id(tree) and not reading.holds(tree)}
        names = (name for tree in trees for name in (tree, f"{tree}:{file}"))
        for found in reading.much(names, _HELD) if len(trees) > _FEW else ():
            if found.kind == "tree":
                self._trees[found.oid] = self._entries(found)
            elif len(found.data) <= self._largest:
                self._documents[found.oid] = found

    @property
    def _largest(self) -> int:
        return self._repository.number("maxSnapshotSize", MAX_SNAPSHOT)

    def entries(self, tree: str) -> list[TreeEntry] | None:
        """Of a tree; None where it is missing or cannot be read."""
        if tree not in self._trees:
            try:
                self._trees[tree] = self._entries(self._repository.reading.object(tree))
            except Damaged:
                self._trees[tree] = None
        return self._trees[tree]

    def _entries(self, tree: Object) -> list[TreeEntry] | None:
        try:
            return None if any(self.damage(tree)) else parse_tree(tree)
        except Malformed:
            return None

    def document(self, oid: str) -> Object | None:
        """The object; None where it is missing or cannot be read. Of one that is too large only how large it is."""
        found = self._documents.get(oid)
        if found:
            return found
        try:
            found = self._repository.reading.object(oid, self._largest)
        except Oversized as large:
            return Object(oid, _OVERSIZED, b"%d" % large.size)
        except Damaged:
            return None
        if self._few:
            self._documents[oid] = found
        return found

    def damage(self, object_: Object) -> Iterator[str]:
        """git reads objects without looking whether their content still has their id."""
        if self.hashed:
            return
        import hashlib

        kind = hashlib.sha1 if len(object_.oid) == 40 else hashlib.sha256
        header = f"{object_.kind} {len(object_.data)}\0".encode()
        if kind(header + object_.data).hexdigest() != object_.oid:
            yield f"object {object_.oid} is damaged: its content is not what its id says"


_FEW = 32
"""Trees that are asked for one by one, and their documents: no process starts."""


def version_problems(commit: Object, version: Version, documents: Documents) -> Iterator[str]:
    """Rules on one version commit alone. `documents` holds its tree and blobs by id."""
    yield from documents.damage(commit)
    yield from filter(None, [misread(commit)])
    parents = tree_and_parents(commit)[1]
    if len(parents) > 1:
        yield "it has more than one parent"
    if version.number > 1 and not parents:
        yield f"it has no parent; v{version.number - 1} belongs there"
    entries = documents.entries(version.tree)
    if entries is None:
        yield f"its tree {version.tree} is missing or cannot be read"
        return
    gitlink = next((entry.oid for entry in entries if entry.name == GITLINK and entry.mode == _GITLINK_MODE), None)
    if [entry[:2] for entry in entries] != (_WITH_CODE if gitlink else _WITHOUT_CODE):
        yield f"its tree holds something else than {SNAPSHOT} and the gitlink {GITLINK}"
    code = version.source.commit
    if code and len(code) == len(version.tree) and code != gitlink:
        yield f"its gitlink is {gitlink or 'missing'}, but Source-Commit says {shown(code)}"
    if gitlink and not code:
        yield "it has a gitlink but no Source-Commit"
    yield from _document_problems(entries, SNAPSHOT, PROPERTIES, documents)


_GITLINK_MODE = "160000"
_WITHOUT_CODE = [("100644", SNAPSHOT)]
_WITH_CODE = [*_WITHOUT_CODE, (_GITLINK_MODE, GITLINK)]


def _document_problems(
    entries: list[TreeEntry], file: str, keys: Mapping[str, Json], documents: Documents
) -> Iterator[str]:
    oid = next((entry.oid for entry in entries if entry.name == file), "")
    found = documents.document(oid) if oid else None
    if found is None:
        yield f"its {file} ({oid or 'no entry of its tree'}) is missing or cannot be read"
        return
    if found.kind == _OVERSIZED:
        yield f"its {file} has {found.data.decode()} bytes, more than deployments.maxSnapshotSize allows"
        return
    yield from documents.damage(found)
    canonical = canonical_document(found, keys)
    try:
        document = canonical or parse_document(found, keys)
    except DeploymentsError as error:
        yield str(error)
        return
    wrong = [key for key, value in document.items() if type(value) not in _TYPES[key]]
    if wrong:
        yield f"{file}: {', '.join(wrong)} of the wrong type"
    elif canonical is None:
        yield f"{file} is not canonical JSON"


def events_back(
    repository: Repository,
    tip: str,
    known: Event | None = None,
    newest: Event | None = None,
    limit: int | None = None,
) -> Iterator[tuple[Object, Event]]:
    """The events of a log, newest first; where it comes to `known`, that is the last one.

    `known` and `newest` (the one at `tip`) are not parsed again.
    """
    parsed = {event.commit: event for event in (known, newest) if event}
    for object_ in walk(repository, tip, limit=limit, expected=made(newest, known) if newest else 0):
        event = parsed.get(object_.oid) or parse_event(object_)
        yield object_, event
        if event.previous is None or (known and object_.oid == known.commit):
            return


def made(newest: Event, known: Event | None) -> int:
    """The versions between two events, each of which has an event of its own; only as they say, if that is true."""
    return (newest.latest or 0) - ((known.latest or 0) if known else 0)


def event_alone(commit: Object, event: Event, documents: Documents) -> Iterator[str]:
    """Rules on one event that need no other event."""
    yield from documents.damage(commit)
    yield from filter(None, [misread(commit)])
    if event.tree not in documents.settings:
        documents.settings[event.tree] = _settings_problems(event.tree, documents)
    problems, paused = documents.settings[event.tree]
    yield from problems
    if not problems and paused != event.paused:
        yield "Paused is not what its settings say"


def _settings_problems(tree: str, documents: Documents) -> tuple[list[str], Json]:
    """Rules on the tree of an event; and what its settings say of `paused`, where they are right."""
    entries = documents.entries(tree)
    if entries is None:
        return [f"its tree {tree} is missing or cannot be read"], None
    problems = list(_document_problems(entries, SETTINGS_FILE, SETTINGS, documents))
    if [(entry.name, entry.mode) for entry in entries] != [(SETTINGS_FILE, "100644")]:
        problems.insert(0, f"its tree holds something else than {SETTINGS_FILE}")
    found = next((documents.document(entry.oid) for entry in entries), None)
    return problems, None if problems or found is None else parse_document(found, SETTINGS)["paused"]


def event_problems(event: Event, older: Event | None, parents: tuple[str, ...], chain: Chain) -> Iterator[str]:
    """Rules on an event that follows `older` (None: it is the first one).

    `parents`: of its commit. `chain`: the versions that exist, as far as they are known.
    """
    before = older.after if older else None
    if event.before != before:
        yield f"From is {event.before or 'nothing'}, but {before or 'nothing'} was live before it"
    yield from _latest_problems(event, older, parents, chain)
    yield from _live_problems(event, older, chain)
    if not _ACTION_RULES[event.action](event):
        yield f"{event.action} cannot move live from {event.before or 'nothing'} to {event.after or 'nothing'}"
    held = older.held if older else False
    if event.action in ("deploy", "update", "adopt") and event.held != held:
        yield "Hold changes without a rollback or promote"
    if event.action == "rollback" and held and not event.held:
        yield "Hold ends without a promote"
    if event.action in ("promote", "delete") and event.held:
        yield "Hold is set after it"
    if held and event.action in ("deploy", "update") and event.after != event.before:
        yield "it moves live although the deployment is held"
    if older and event.tree != older.tree and event.action not in ("deploy", "update"):
        yield "it changes the settings"


_ACTION_RULES: Mapping[str, Callable[[Event], bool]] = {
    "deploy": lambda event: event.number is not None and event.after in (event.before, event.number),
    "update": lambda event: event.after == event.before or event.after == event.number is not None,
    "promote": lambda event: event.number is None and event.after is not None and event.after >= (event.before or 0),
    "rollback": lambda event: event.number is None and 0 < (event.after or 0) < (event.before or 0) + event.held,
    "adopt": lambda event: event.number is not None or event.after != event.before,
    "delete": lambda event: event.number is None and event.after is None,
}


def _latest_problems(event: Event, older: Event | None, parents: tuple[str, ...], chain: Chain) -> Iterator[str]:
    latest, latest_commit = (older.latest, older.latest_commit) if older else (None, None)
    if event.number is None:
        if (event.latest, event.latest_commit) != (latest, latest_commit):
            yield "Latest changes without a new version"
        return
    if event.number != (latest or 0) + 1:
        yield f"it makes v{event.number} after v{latest or 0}"
    if event.latest != event.number or event.latest_commit != parents[-1]:
        yield "Latest is not the version that it made"
    elif event.number in chain and chain[event.number].commit != event.latest_commit:
        yield f"Latest-Commit is not v{event.number} of the history of versions"


def _live_problems(event: Event, older: Event | None, chain: Chain) -> Iterator[str]:
    if (event.after is None) != (event.live_commit is None):
        yield "To and Live-Commit do not agree"
        return
    if event.after is None:
        return
    if event.after > (event.latest or 0):
        yield f"v{event.after} is live before it was made"
    known = chain.get(event.after)
    if known is None:
        if older and event.after == older.after and event.live_commit != older.live_commit:
            yield f"Live-Commit of v{event.after} changes"
    elif known.commit != event.live_commit:
        yield f"Live-Commit is not v{event.after}"
    elif (event.label, event.source) != (known.label, known.source):
        yield f"Version or Source-Commit is not that of v{event.after}"


# Signatures


class Mark(NamedTuple):
    """An event, as far as it matters who signed it."""

    name: str
    commit: str
    action: str
    moves: bool
    """It makes another version live, or none; or it decides whether later ones go live."""


def _mark(event: Event, older: Event | None) -> Mark:
    holds = event.action in ("promote", "rollback") or event.held != (older is not None and older.held)
    return Mark(event.name, event.commit, event.action, holds or event.before != event.after)


def marks(newest_first: Iterator[tuple[Object, Event]]) -> Iterator[Mark]:
    """Of events as `events_back` gives them."""
    newer: Event | None = None
    for _, event in newest_first:
        if newer:
            yield _mark(newer, event)
        newer = event
    if newer:
        yield _mark(newer, None)


def signature_problems(repository: Repository, events: Iterable[Mark], needed: bool = False) -> Iterator[Finding]:
    """Events that are not signed as they must be: by an allowed signer, and who moves live by one who may.

    `needed`: whether or not `deployments.allowedSigners` is set. Raises `BadConfiguration`.
    """
    known = allowed_signers(repository) is not None
    needed = needed or known
    events = list(events)
    rules = moving_rules(repository)
    movers = {name: may_move(rules, name) for name in {event.name for event in events}}
    checked = [event for event in events if needed or (event.moves and movers[event.name] is not None)]
    found = signatures(repository, (event.commit for event in checked))
    for event in checked:
        allowed = movers[event.name] if event.moves else None
        problem = _signature_problem(found.get(event.commit), allowed, known)
        if problem:
            yield Finding(event.name, f"event {event.commit} ({event.action}): {problem}")


def _signature_problem(signature: Signature | None, movers: list[str] | None, known: bool) -> str | None:
    """`known`: there is a list of signers, without which git sees no signature by an ssh key."""
    if signature is not None and signature.status == "N" and not known:
        return "it is not signed, or by an ssh key, which only deployments.allowedSigners tells"
    if signature is None or not signature.good:
        return _SIGNATURES.get(signature.status if signature else "E", "its signature cannot be checked")
    if movers is not None and not is_among(signature, movers):
        return f"{shown(signature.signer)} signed it, who may not move live of it (deployments.<pattern>.mayMove)"
    return None


_SIGNATURES = {
    "N": "it is not signed",
    "B": "its signature is bad",
    "U": "its signature is by nobody whom deployments.allowedSigners lists",
    "X": "its signature has expired",
    "Y": "the key of its signature has expired",
    "R": "the key of its signature is revoked",
}


# What comes from elsewhere


class Incoming(NamedTuple):
    """What history from elsewhere brings, checked by the rules of this page."""

    newest: Event
    problems: list[str]
    follows: bool
    """It continues what was known; where nothing was, it always does."""
    events: list[Mark]
    """The new ones, newest first."""
    chain: Chain
    """The versions that are new, and those that the events make live."""


def incoming(
    repository: Repository,
    name: str,
    newest: Event,
    known: Event | None,
    settings: Settings | None = None,
    hashed: bool = False,
    distance: int | None = None,
) -> Incoming:
    """Check the events from `newest` back to `known`, and the versions that they made.

    `known` (None: nothing) is checked already. What does not follow from it is not checked any further. `settings`:
    what was found before, for many deployments that are checked one after the other. `hashed`: see `Documents`.
    `distance`: so many events before `newest` stands `known`, where one knows that. Raises what reading raises.
    """
    chain: Chain = {}
    events: list[Mark] = []
    problems = list(_incoming_versions(repository, name, newest, known, chain, hashed))
    follows = known is None
    newer: tuple[Object, Event] | None = None
    limit = None if distance is None else distance + 1
    for block in blocks(events_back(repository, newest.commit, known, newest, limit)):
        _add_moved_to(repository, chain, newest, [event for _, event in block if event is not known])
        documents = Documents(repository, SETTINGS_FILE, [object_ for object_, _ in block], settings, hashed)
        for object_, event in block:
            if newer:
                problems += _incoming_event_problems(name, newer, event, chain)
                events.append(_mark(newer[1], event))
            newer = (object_, event)
            if known and object_.oid == known.commit:
                follows, newer = True, None
                break
            problems += (f"event {object_.oid}: {problem}" for problem in event_alone(object_, event, documents))
    if newer:
        problems += _incoming_event_problems(name, newer, None, chain)
        events.append(_mark(newer[1], None))
    return Incoming(newest, problems, follows, events, chain)


def _incoming_versions(
    repository: Repository, name: str, newest: Event, known: Event | None, chain: Chain, hashed: bool
) -> Iterator[str]:
    """Problems of the versions that are new, newest first; `chain` is filled with them."""
    base, last = (known.latest or 0, known.latest_commit) if known else (0, None)
    number, start = newest.latest or 0, newest.latest_commit
    if start is None or number <= base:
        return
    for block in blocks(walk(repository, start, limit=number - base)):
        documents = Documents(repository, SNAPSHOT, block, hashed=hashed)
        for object_ in block:
            version = parse_version(object_)
            if version.number != number or version.name != name:
                yield f"{object_.oid} stands where v{number} belongs"
                return
            chain[number] = pointer(version)
            yield from (f"v{number}: {problem}" for problem in version_problems(object_, version, documents))
            number -= 1
            if number == base and version.parent != last:
                before = f"v{base} ({last})" if last else "none"
                yield f"v{number + 1} has the parent {version.parent or 'none'}; {before} belongs there"
    if number != base:
        yield f"the history of versions ends at v{number + 1}; v{number} is not there"


def _incoming_event_problems(
    name: str, newer: tuple[Object, Event], older: Event | None, chain: Chain
) -> Iterator[str]:
    object_, event = newer
    for problem in event_problems(event, older, tree_and_parents(object_)[1], chain):
        yield f"event {object_.oid} ({event.action}): {problem}"
    if event.name != name:
        yield f"event {object_.oid} is of '{shown(event.name)}'"


def _add_moved_to(repository: Repository, chain: Chain, newest: Event, events: list[Event]) -> None:
    """The older versions that the events make live, from the chain itself."""
    for number in {event.after for event in events if event.after and event.after not in chain}:
        oid = number_to_oid(repository, newest.latest, newest.latest_commit, number)
        if oid:
            chain[number] = pointer(parse_version(repository.reading.object(oid)))
