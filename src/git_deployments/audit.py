"""What is there, held to every rule of the format, and repaired where it can be derived (design, "fsck")."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Iterator

from git_deployments.checkout import present
from git_deployments.codec import SETTINGS_FILE, SNAPSHOT, parse_version, tree_and_parents
from git_deployments.errors import DeploymentsError
from git_deployments.git import Object, RefChange, text
from git_deployments.history import BY_NAME, Broken, Pointer, State, number_to_oid, pointer, states, walk
from git_deployments.model import Event, Watch, unwatched
from git_deployments.names import fold, quoted, shown
from git_deployments.refs import LIVE, REMOTE_ROOT, ROOT, VERSIONS, Ref, live_ref, parse_ref, source_ref, version_ref
from git_deployments.repository import KEEP_REFS, Repository
from git_deployments.rules import (
    Chain,
    Documents,
    Finding,
    blocks,
    event_alone,
    event_problems,
    events_back,
    marks,
    signature_problems,
    version_problems,
)

OLD_LOCK = 600
"""Seconds after which a lock file is taken for one that a dead process left."""


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


Findings = Generator[Finding, None, None]


def _check_versions(repository: Repository, state: State, chain: Chain) -> Findings:
    """Every version, newest first; `chain` is filled as far as they can be read."""
    start = _newest(repository, state)
    if start is None:
        return
    number = start.number
    for block in blocks(walk(repository, start.commit)):
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
    for block in blocks(events_back(repository, state.refs.log)):
        documents = Documents(repository, SETTINGS_FILE, [object_ for object_, _ in block])
        for object_, event in block:
            if newer:
                yield from _found_in_log(state, newer, event, chain)
            yield from (
                _of(state, f"event {object_.oid}: {problem}") for problem in event_alone(object_, event, documents)
            )
            newer = (object_, event)
    if newer:
        yield from _found_in_log(state, newer, None, chain)


def _found_in_log(state: State, newer: tuple[Object, Event], older: Event | None, chain: Chain) -> Findings:
    object_, event = newer
    for problem in event_problems(event, older, tree_and_parents(object_)[1], chain):
        yield _of(state, f"event {object_.oid} ({event.action}): {problem}")
    if event.name != state.name:
        yield _of(state, f"event {object_.oid} is of '{shown(event.name)}'")


def _check_signatures(repository: Repository, state: State, log: str) -> Findings:
    try:
        for block in blocks(marks(events_back(repository, log))):
            yield from signature_problems(repository, block, needed=True)
    except DeploymentsError as damage:
        yield _of(state, f"signatures: {damage}")


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
