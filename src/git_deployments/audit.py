"""Every rule of the format, checked on what is there (design, "Refs", "fsck").

`fsck` checks whole histories; the rules on one event and on one version stand by themselves, so
that whatever else takes history from elsewhere can hold it to the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from git_deployments.checkout import present
from git_deployments.codec import (
    GITLINK,
    SETTINGS_FILE,
    SNAPSHOT,
    Malformed,
    TreeEntry,
    canonical_document,
    is_id,
    misread,
    parse_document,
    parse_event,
    parse_tree,
    parse_version,
    tree_and_parents,
)
from git_deployments.errors import DeploymentsError
from git_deployments.git import Damaged, Object, Oversized, RefChange, text
from git_deployments.history import BY_NAME, Broken, Pointer, State, number_to_oid, pointer, states, walk
from git_deployments.model import PROPERTIES, SETTINGS, Event, Json, Version, Watch, unwatched
from git_deployments.names import fold, quoted, shown
from git_deployments.refs import LIVE, REMOTE_ROOT, ROOT, VERSIONS, Ref, live_ref, parse_ref, source_ref, version_ref
from git_deployments.repository import KEEP_REFS, MAX_SNAPSHOT, Repository
from git_deployments.signing import Signature, allowed_signers, is_among, may_move, moving_rules, signatures

OLD_LOCK = 600
"""Seconds after which a lock file is taken for one that a dead process left."""
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


def check(
    repository: Repository, wanted: Iterable[str] | None = None, watch: Watch = unwatched, signed: bool = False
) -> Iterator[Finding]:
    """All findings on the named deployments, or on all and on what is none. `signed`: all events must be."""
    found = states(repository, wanted)
    if wanted is None:
        yield from _strangers(repository)
        yield from _collisions([state.name for state in found])
    yield from stale_locks(repository)
    yield from _packed_out_of_order(repository)
    broken = broken_refs(repository)
    for done, state in enumerate(found, 1):
        watch(done, len(found))
        yield from (_of(state, f"{ref} is broken: it names no object") for ref in broken if _is_of(ref, state.name))
        if state.exists:
            yield from _check_state(repository, state)
            if signed and state.refs.log:
                yield from _check_signatures(repository, state, state.refs.log)
        elif wanted is not None:
            yield Finding(state.name, "there is no such deployment")
    known = {state.name for state in found}
    for ref in broken:
        parsed = parse_ref(ref)
        if wanted is None and (parsed is None or parsed.name not in known):
            yield Finding(parsed.name if parsed else "", f"{shown(ref)} is broken: it names no object")


def _is_of(ref: str, name: str) -> bool:
    parsed = parse_ref(ref)
    return parsed is not None and parsed.name == name


def _of(state: State, problem: str, notice: bool = False) -> Finding:
    return Finding(state.name, problem, notice)


def _strangers(repository: Repository) -> Iterator[Finding]:
    for ref, _ in repository.git.refs(ROOT.rstrip("/")):
        if parse_ref(ref) is None:
            yield Finding("", f"{shown(ref)} is no ref of a deployment; git update-ref -d '{shown(ref)}' removes it")


def _collisions(names: list[str]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(fold(name), name)
        if other != name:
            yield Finding(name, f"it differs from '{shown(other)}' only by case or by Unicode form")


def broken_refs(repository: Repository, root: str = ROOT) -> list[str]:
    """Refs below `root` whose file says nothing that git can follow: it lists none of them, mostly without a word.

    A power cut leaves such files; so does a symbolic ref to what is not there.
    """
    common = repository.layout.common_dir
    files = {os.path.relpath(path, common).replace(os.sep, "/"): path for path in _files_of_refs(common, root)}
    patterns = files if len(files) <= BY_NAME else (root.rstrip("/"),)
    listed = {ref for ref, _ in repository.git.refs(*patterns)} if files else set()
    return sorted(ref for ref, path in files.items() if ref not in listed and os.path.lexists(path))


def _files_of_refs(common: str, root: str) -> Iterator[str]:
    for directory, _, files in os.walk(os.path.join(common, *root.rstrip("/").split("/"))):
        yield from (os.path.join(directory, file) for file in files if file[0] != "." and not file.endswith(".lock"))


def _packed_out_of_order(repository: Repository) -> Iterator[Finding]:
    """git looks for refs by halves where `packed-refs` says that it is sorted, and misses some where it is not."""
    import itertools

    path = os.path.join(repository.layout.common_dir, "packed-refs")
    try:
        with open(path, "rb") as stream:
            lines = stream.read().split(b"\n")
    except FileNotFoundError:
        return
    refs = [line.partition(b" ")[2] for line in lines if line[:1] not in (b"", b"#", b"^")]
    wrong = next((after for before, after in itertools.pairwise(refs) if after < before), None)
    if b"sorted" in lines[0] and wrong is not None:
        yield Finding(
            "",
            f"{shown(path)} is damaged: {shown(text(wrong))} is out of its order, so git misses refs; take the word "
            "'sorted' out of its first line, then git pack-refs --all",
        )


def stale_locks(repository: Repository) -> Iterator[Finding]:
    """Lock files that are old enough to be nobody's."""
    for path in old_locks(repository):
        yield Finding("", f"old lock file {shown(path)}; fsck --repair removes it")


def old_locks(repository: Repository) -> list[str]:
    """Paths of lock files on our refs that are older than `OLD_LOCK`."""
    common = repository.layout.common_dir
    paths = [os.path.join(common, file) for file in ("packed-refs.lock", "packed-refs.new")]
    for root in (ROOT, REMOTE_ROOT):
        for directory, _, files in os.walk(os.path.join(common, *root.rstrip("/").split("/"))):
            paths += [os.path.join(directory, file) for file in files if file.endswith(".lock")]
    return [path for path in paths if _age(path) > OLD_LOCK]


def _age(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except OSError:
        return 0


# One deployment


def _check_state(repository: Repository, state: State) -> Iterator[Finding]:
    if state.breach and not isinstance(state.breach, Broken):  # which is told with all refs that are broken
        yield _of(state, str(state.breach))
    if state.refs.log is None:
        yield _of(state, "it has versions but no log; get the log from a remote")
    if state.unrecorded:
        live = f"v{state.live.number}" if state.live else "nothing"
        yield _of(state, f"unrecorded move: {live} is live, the log says otherwise", notice=True)
    for version in state.leftovers:
        yield _of(state, f"v{version.number} is not in the log; the next write adopts it", notice=True)
    chain: Chain = {}
    for part in (_check_versions, _check_index, _check_log):
        try:
            yield from part(repository, state, chain)
        except DeploymentsError as damage:
            if str(damage) != str(state.breach):
                yield _of(state, str(damage))


Chain = dict[int, Pointer]
"""Number to version."""
Findings = Generator[Finding, None, None]


def _check_versions(repository: Repository, state: State, chain: Chain) -> Findings:
    """Every version, newest first; `chain` is filled as far as they can be read."""
    start = _newest(repository, state)
    if start is None:
        return
    number = start.number
    for block in _blocks(walk(repository, start.commit)):
        documents = Documents(repository, SNAPSHOT, block)
        for object_ in block:
            version = parse_version(object_)
            if version.number != number or version.name != state.name:
                yield _of(state, f"{object_.oid} stands where v{number} belongs")
                return
            chain[number] = pointer(version)
            yield from (
                _of(state, f"v{number}: {problem}") for problem in version_problems(object_, version, documents)
            )
            number -= 1
            if number == 0 and version.parent:
                yield _of(state, f"v1 ({version.commit}) has a parent")
                return
    if number:
        yield _of(state, f"the history of versions ends at v{number + 1}; v{number} is not there")
    yield from _check_codes(repository, state, chain)


def _newest(repository: Repository, state: State) -> Pointer | None:
    """Where the chain of versions begins, the log's word first."""
    if state.leftovers:
        return pointer(state.leftovers[-1])
    event = state.event
    if event:
        if event.latest is None or event.latest_commit is None:
            return None
        return Pointer(event.latest, event.latest_commit, None, None)
    candidates = [*state.refs.versions.values(), *([state.refs.live] if state.refs.live else [])]
    readable = repository.reading.many(candidates).values()
    return max((pointer(parse_version(object_)) for object_ in readable), default=None)


_Thing = TypeVar("_Thing")


def _blocks(things: Iterator[_Thing]) -> Iterator[list[_Thing]]:
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
    expected = [(SNAPSHOT, "100644"), *([(GITLINK, _GITLINK_MODE)] if gitlink else [])]
    if [(entry.name, entry.mode) for entry in entries] != expected:
        yield f"its tree holds something else than {SNAPSHOT} and the gitlink {GITLINK}"
    code = version.source.commit
    if code and len(code) == len(version.tree) and code != gitlink:
        yield f"its gitlink is {gitlink or 'missing'}, but Source-Commit says {shown(code)}"
    if gitlink and not code:
        yield "it has a gitlink but no Source-Commit"
    yield from _document_problems(entries, SNAPSHOT, PROPERTIES, documents)


_GITLINK_MODE = "160000"


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


def _check_codes(repository: Repository, state: State, chain: Chain) -> Findings:
    """Code commits that are not here: what `sources/<n>` or the remote's branches should bring."""
    codes: dict[str, int] = {}
    for number in sorted(chain):
        code = chain[number].source
        if code:
            codes.setdefault(code, number)
    for code in _missing(repository, codes):
        yield _of(state, f"the code of v{codes[code]} ({shown(code)}) is not in this repository", notice=True)
    for number, oid in state.refs.sources.items():
        version = chain.get(number)
        if version is None or version.source != oid:
            yield _of(state, f"{source_ref(state.name, number)} is {oid}, not the code of v{number}")


def _missing(repository: Repository, oids: Iterable[str]) -> list[str]:
    wanted = "".join(f"{oid}\n" for oid in oids)
    out = text(repository.git.run("cat-file", "--batch-check", stdin=wanted.encode())) if wanted else ""
    return [line.split(" ")[0] for line in out.split("\n") if line.endswith(" missing")]


def _check_index(repository: Repository, state: State, chain: Chain) -> Findings:
    refs, name = state.refs, state.name
    for number, oid in sorted(refs.versions.items()):
        known = chain.get(number)
        if known is None:
            yield _of(state, f"{version_ref(name, number)} is {oid}, which is in no history of versions")
        elif known.commit != oid:
            yield _of(state, f"{version_ref(name, number)} is {oid}, but the log has {known.commit}")
    if refs.live and refs.live not in {version.commit for version in chain.values()}:
        yield _of(state, f"live is at {refs.live}, which is no version of this deployment; {_put_back(state)}")
    if state.deleted and refs.versions:
        left = ", ".join(f"versions/{number}" for number in sorted(refs.versions)[:5])
        yield _of(state, f"left of a delete: {left}; the next write, or --repair, removes what is left", notice=True)
    if refs.log is None or not chain or state.deleted:
        return
    latest = max(chain)
    oldest = max(1, latest - (repository.number("keepRefs", KEEP_REFS) or latest) + 1)
    missing = [number for number in range(oldest, latest + 1) if number not in refs.versions and number in chain]
    if missing:
        numbers = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
        yield _of(state, f"no versions/<n> for {numbers}; the next write, or --repair, makes them", notice=True)


def _put_back(state: State) -> str:
    recorded = state.event.live_commit if state.event else None
    if recorded is None:
        return "move it to a version with git update-ref"
    return f"to put it where the log says: git update-ref {quoted(live_ref(state.name))} {recorded}"


def _check_log(repository: Repository, state: State, chain: Chain) -> Findings:
    if state.refs.log is None:
        return
    newer: tuple[Object, Event] | None = None
    for block in _blocks(_log(repository, state.refs.log)):
        documents = Documents(repository, SETTINGS_FILE, [object_ for object_, _ in block])
        for object_, event in block:
            if newer:
                yield from _found_in_log(state, newer, event, chain)
            yield from (
                _of(state, f"event {object_.oid}: {problem}") for problem in _event_alone(object_, event, documents)
            )
            newer = (object_, event)
    if newer:
        yield from _found_in_log(state, newer, None, chain)


def _log(
    repository: Repository, tip: str, known: Event | None = None, newest: Event | None = None
) -> Iterator[tuple[Object, Event]]:
    """The events of a log, newest first; where it comes to `known`, that is the last one.

    `known` and `newest` (the one at `tip`) are not parsed again.
    """
    parsed = {event.commit: event for event in (known, newest) if event}
    for object_ in walk(repository, tip):
        event = parsed.get(object_.oid) or parse_event(object_)
        yield object_, event
        if event.previous is None or (known and object_.oid == known.commit):
            return


def _found_in_log(state: State, newer: tuple[Object, Event], older: Event | None, chain: Chain) -> Findings:
    object_, event = newer
    for problem in event_problems(event, older, tree_and_parents(object_)[1], chain):
        yield _of(state, f"event {object_.oid} ({event.action}): {problem}")
    if event.name != state.name:
        yield _of(state, f"event {object_.oid} is of '{shown(event.name)}'")


def _event_alone(commit: Object, event: Event, documents: Documents) -> Iterator[str]:
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


# Repair


def repair(repository: Repository, wanted: Iterable[str] | None = None) -> list[str]:
    """Restore what can be derived and touch nothing else; a line for each thing done.

    Old lock files are removed, and broken refs made again: see `repair_refs`. Unrecorded moves and missing
    `versions/<n>` are the store's to write. Raises `GitFailed`, `Locked`.
    """
    done = []
    for path in old_locks(repository):
        os.unlink(path)
        done.append(f"removed the old lock file {shown(path)}")
    return done + repair_refs(repository, wanted)


def repair_refs(repository: Repository, wanted: Iterable[str] | None = None) -> list[str]:
    """Make a broken `live`, `versions/<n>` or `sources/<n>` again where the log and its versions say what it held.

    Where they say that there was none, a write has died before its event, and the file goes. A broken log is left,
    since nothing here says what it held. A line for each. Raises `GitFailed`, `Locked`.
    """
    done = []
    names = None if wanted is None else set(wanted)
    for ref in broken_refs(repository):
        parsed = parse_ref(ref)
        if parsed is None or (names is not None and parsed.name not in names):
            continue
        event = states(repository, [parsed.name])[0].event
        held = _held_once(repository, parsed, event) if event else None
        if held is not None:
            _restore(repository, ref, held)
            done.append(f"restored {shown(ref)}")
        elif event and _is_not_recorded(parsed, event) and _clear(repository, ref):
            done.append(f"removed {shown(ref)}, which named no object; its log knows of none")
    return done


def _is_not_recorded(ref: Ref, event: Event) -> bool:
    """The newest event says that there is no such ref."""
    if ref.number is None:
        return ref.kind == LIVE and event.live_commit is None
    return ref.number > (event.latest or 0)


def _held_once(repository: Repository, ref: Ref, event: Event) -> str | None:
    """What a broken ref must have held by the newest event; None where nothing says so."""
    if ref.kind == LIVE:
        return event.live_commit
    if ref.number is None:
        return None
    oid = number_to_oid(repository, event.latest, event.latest_commit, ref.number)
    if oid is None or ref.kind == VERSIONS:
        return oid
    code = parse_version(repository.reading.object(oid)).source.commit
    return code if code and present(repository, code) else None


def _restore(repository: Repository, ref: str, oid: str) -> None:
    """git cannot overwrite a ref that it cannot read, so the broken file goes first; an older packed value may show."""
    if _clear(repository, ref):
        packed = repository.git.line("rev-parse", "-q", "--verify", ref)
        if packed != oid:
            repository.git.move_refs([RefChange(ref, oid, packed)])


def _clear(repository: Repository, ref: str) -> bool:
    """Remove the file of a broken ref; False where it was written meanwhile."""
    if (repository.git.line("rev-parse", "-q", "--verify", ref) or "").strip("0"):
        return False
    os.unlink(os.path.join(repository.layout.common_dir, *ref.split("/")))
    return True


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


def _marks(newest_first: Iterator[tuple[Object, Event]]) -> Iterator[Mark]:
    newer: Event | None = None
    for _, event in newest_first:
        if newer:
            yield _mark(newer, event)
        newer = event
    if newer:
        yield _mark(newer, None)


def _check_signatures(repository: Repository, state: State, log: str) -> Findings:
    try:
        for block in _blocks(_marks(_log(repository, log))):
            yield from signature_problems(repository, block, needed=True)
    except DeploymentsError as damage:
        yield _of(state, f"signatures: {damage}")


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
    tip: str,
    known: Event | None,
    settings: Settings | None = None,
    hashed: bool = False,
) -> Incoming:
    """Check the events from `tip` back to `known`, and the versions that they made.

    `known` (None: nothing) is checked already. What does not follow from it is not checked any further. `settings`:
    what was found before, for many deployments that are checked one after the other. `hashed`: see `Documents`.
    Raises what reading raises.
    """
    newest = parse_event(repository.reading.object(tip))
    chain: Chain = {}
    events: list[Mark] = []
    problems = list(_incoming_versions(repository, name, newest, known, chain, hashed))
    follows = known is None
    newer: tuple[Object, Event] | None = None
    for block in _blocks(_log(repository, tip, known, newest)):
        _add_moved_to(repository, chain, newest, [event for _, event in block])
        documents = Documents(repository, SETTINGS_FILE, [object_ for object_, _ in block], settings, hashed)
        for object_, event in block:
            if newer:
                problems += _incoming_event_problems(name, newer, event, chain)
                events.append(_mark(newer[1], event))
            newer = (object_, event)
            if known and object_.oid == known.commit:
                follows, newer = True, None
                break
            problems += (f"event {object_.oid}: {problem}" for problem in _event_alone(object_, event, documents))
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
    for block in _blocks(walk(repository, start, limit=number - base)):
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
