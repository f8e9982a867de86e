"""What a deployment's refs and commits say: its state, its versions, its events. Reads only.

`live` says what is live, the log says how it came so (design, "Refs"). Refs are not read
atomically, so where the two disagree the refs are read again after `PAUSE`, and only what two
readings agree on counts.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from git_deployments.codec import (
    SETTINGS_FILE,
    SNAPSHOT,
    Malformed,
    parse_event,
    parse_tree,
    parse_version,
    tree_and_parents,
)
from git_deployments.document import parse_document
from git_deployments.errors import DeploymentsError
from git_deployments.git import SYMBOLIC, Damaged, GitFailed, Object, text
from git_deployments.model import PROPERTIES, SETTINGS, Event, Identity, Json, Version
from git_deployments.names import BadName, check, decode, encode, fold, quoted, shown
from git_deployments.refs import (
    LIVE,
    LOG,
    REMOTE_ROOT,
    ROOT,
    SOURCES,
    VERSIONS,
    live_ref,
    log_ref,
    parse_ref,
    prefix,
    remote_of,
    remote_root,
)
from git_deployments.repository import Repository
from git_deployments.trailers import is_id

PAUSE = 0.3
"""Seconds between two readings that must agree (design, "Refs")."""
_READINGS = 20
_MORE = "'git deployments fsck' tells more"
_GLOB = "*?["
BY_NAME = 100
"""Deployments, or refs, that are asked for by name; more are picked from all."""
_NEAR = 128
"""Commits that a walk asks one by one before it starts processes of its own."""


class UnknownDeployment(DeploymentsError):
    """No deployment answers to the name."""


class AmbiguousName(DeploymentsError):
    """Several deployments answer to the name."""


class UnknownVersion(DeploymentsError):
    """No version answers to the words."""


class AmbiguousVersion(DeploymentsError):
    """Several versions answer to the words."""


class Breach(DeploymentsError):
    """The refs of a deployment break the rules of the format; reads name it and writes refuse."""


class Broken(Breach):
    """The file of a ref says nothing that git can follow, and git lists no such ref: a power cut leaves such files."""


class Pointer(NamedTuple):
    """A version as the log names it, without its commit having been read."""

    number: int
    commit: str
    label: str | None
    source: str | None


class Refs(NamedTuple):
    """The refs of one deployment, kind by kind: object ids."""

    live: str | None
    log: str | None
    versions: Mapping[int, str]
    sources: Mapping[int, str]
    symbolic: tuple[str, ...] = ()
    """Kinds (`live`, `versions/3`) of refs that are symbolic."""


NO_REFS = Refs(None, None, {}, {})


class State(NamedTuple):
    """Where a deployment stands."""

    name: str
    refs: Refs
    event: Event | None
    """The newest of the log; None without a log."""
    live: Pointer | None
    """What `live` says, whatever the log says."""
    latest: Pointer | None
    """The version with the highest number, leftovers included."""
    leftovers: tuple[Version, ...] = ()
    """Versions that continue the log's but are not in it, oldest first."""
    unrecorded: bool = False
    """`live` was moved without the log: by hand, or by a write that died."""
    follows: str | None = None
    """The remote whose `live` was taken over without its log; then `unrecorded` is False."""
    breach: DeploymentsError | None = None
    """Why the state cannot be trusted; the other fields then say what could be read."""

    @property
    def exists(self) -> bool:
        """There is at least a log, a `live` or a version."""
        return bool(self.refs.log or self.refs.live or self.refs.versions or self.refs.symbolic)

    @property
    def deleted(self) -> bool:
        """Its log ends in a delete and nothing was made live since."""
        return self.event is not None and self.event.action == "delete" and self.live is None

    @property
    def held(self) -> bool:
        """Later deploys and updates do not go live."""
        return self.event is not None and self.event.held


# Names and states


def names(repository: Repository) -> list[str]:
    """Full names of all deployments that have a log or a `live`, sorted, the deleted ones included."""
    found = repository.git.refs(*_POSITIONS)
    return sorted({parsed.name for ref, _ in found if (parsed := parse_ref(ref))})


def names_anywhere(repository: Repository) -> list[str]:
    """As `names`, those last seen at remotes included."""
    remote = repository.git.refs(f"{REMOTE_ROOT}**/{LOG}")
    seen = {parsed.name for ref, _ in remote if (parsed := parse_ref(ref, remote_root(remote_of(ref))))}
    return sorted(seen.union(names(repository)))


def _names_by_versions(repository: Repository) -> list[str]:
    """As `names`, those that only have `versions/<n>` included; it grows with the number of versions."""
    return sorted(name for name, refs in read_refs(repository, None).items() if refs._replace(sources={}) != NO_REFS)


def foresee_names(repository: Repository) -> None:
    """`names` will be asked for, and it does not matter if it looks earlier."""
    repository.git.foresee_refs(*_POSITIONS)


_POSITIONS = (f"{ROOT}**/{LOG}", f"{ROOT}**/{LIVE}")


def is_empty(repository: Repository, likely: Iterable[str] = ()) -> bool:
    """Whether no deployment at all is known here. The likely ones are looked for first: git lists all to find one."""
    logs = [log_ref(name) for name in likely][:_LIKELY]
    return not ((logs and repository.git.refs(*logs)) or repository.git.refs("--count=1", ROOT.rstrip("/")))


_LIKELY = 10


def states(repository: Repository, wanted: Iterable[str] | None = None, index: bool = True) -> list[State]:
    """The states of the named deployments, or of all, by name. A deployment that is not there has no refs.

    `index=False` leaves `versions/<n>` and `sources/<n>` unread where all are asked for: enough
    for a list, and the only way that does not grow with the number of versions.
    """
    wanted = None if wanted is None else list(wanted)
    found = read_refs(repository, wanted, index)
    if not found and wanted is None and not index:  # perhaps versions alone are here, without log and `live`
        index = True
        found = read_refs(repository, wanted, index)
    result = _build_all(repository, found)
    for _ in range(_READINGS):
        doubtful = [state.name for state in result.values() if _doubtful(state)]
        if not doubtful:
            break
        time.sleep(PAUSE)
        again = read_refs(repository, doubtful, True)
        agreed = all(again[name] == found[name] for name in doubtful) if index else False
        found.update(again)
        if agreed:
            break
        index = True
        result.update(_build_all(repository, again))
    return [result[name] for name in sorted(result)]


def find(repository: Repository, words: str) -> State:
    """The one deployment that `words` name: a full name, else a deployment half that is unique.

    Raises `UnknownDeployment`, `AmbiguousName`, and the state's breach if it has one.
    """
    exact = _as_name(words)
    if exact is not None:
        (state,) = states(repository, [exact])
        if state.exists:
            return trusted(state)
    matches = named(repository, words)
    if not matches:
        raise unknown(repository, words)
    return trusted(states(repository, matches)[0])


def trusted(state: State) -> State:
    """The state itself. Raises its breach if it has one."""
    if state.breach:
        raise state.breach
    return state


def match(repository: Repository, patterns: Iterable[str]) -> list[str]:
    """Full names that any of the patterns names; a full name or a half must name one, a glob may name none."""
    chosen: dict[str, None] = {}
    for pattern in patterns:
        found = named(repository, pattern, globs=True)
        if not found and not any(sign in pattern for sign in _GLOB):
            raise unknown(repository, pattern)
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def named(repository: Repository, words: str, globs: bool = False) -> list[str]:
    """Full names that `words` name: see `matching`. Of several with one half, deleted ones do not count."""

    def present(found: list[str]) -> list[str]:
        return [state.name for state in states(repository, found) if not state.deleted] or found

    if is_full_name(words) and repository.git.refs(log_ref(words), live_ref(words)):  # no need to list all
        return [words]
    found = matching(names(repository), words, globs, present)
    return found or matching(_names_by_versions(repository), words, globs, present)


def matching(
    known: Iterable[str],
    words: str,
    globs: bool = True,
    narrow: Callable[[list[str]], list[str]] = lambda found: found,
) -> list[str]:
    """Those of `known` that `words` name: exactly, else by the deployment half, else as a glob.

    `narrow` says which of several with the same half count. Raises `AmbiguousName` where it is not one.
    """
    known = list(known)
    exact = _as_name(words)
    if exact in known:
        return [exact]
    halves = [name for name in known if name.rpartition("/")[2] == words]
    if len(halves) > 1:
        halves = narrow(halves)
    if len(halves) > 1:
        raise _ambiguous(words, halves)
    if halves or not globs or not any(sign in words for sign in _GLOB):
        return halves
    from fnmatch import fnmatchcase

    return [name for name in known if fnmatchcase(name, words)]


def _ambiguous(words: str, found: list[str]) -> AmbiguousName:
    return AmbiguousName(f"'{shown(words)}' is the name of several deployments: {choices(found)}; give the full name")


def choices(found: list[str]) -> str:
    """Names for a message, as many as fit one line."""
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    return ", ".join(map(shown, found[:10])) + more


def unknown(repository: Repository, words: str) -> UnknownDeployment:
    """The error for a name that no deployment has, with the nearest one that there is."""
    known = names(repository) or _names_by_versions(repository)
    if not known:
        return UnknownDeployment(f"no deployment '{shown(words)}': this repository has none; {whence(repository)}")
    flow = [name for name in known if name.partition("/")[0] == words]
    if flow:
        return UnknownDeployment(f"no deployment '{shown(words)}'; of that flow there are: {choices(flow)}")
    near = nearest(known, words)
    hint = f"did you mean '{shown(near)}'?" if near else "'git deployments list' shows all"
    return UnknownDeployment(f"no deployment '{shown(words)}'; {hint}")


def whence(repository: Repository) -> str:
    """Where deployments come from, for whoever has none here: a new clone has none before it pulls."""
    known = {remote: names for remote in repository.remotes if (names := _only_there(repository, remote))}
    if known:
        count, where = len(set().union(*known.values())), ", ".join(map(shown, known))
        return f"{count} known at {where}: git deployments pull {quoted(next(iter(known)))}"
    if repository.remotes:
        return f"to see what a remote has: git deployments pull {quoted(repository.remotes[0])}"
    return "to make one: git deployments deploy"


def _only_there(repository: Repository, remote: str) -> set[str]:
    """Deployments whose log was seen at a remote and has what is not here; one that was deleted here is none."""
    found, here = set(), dict(repository.git.refs(f"{ROOT}**/{LOG}"))
    for ref, oid in repository.git.refs(f"{remote_root(remote)}**/{LOG}"):
        parsed = parse_ref(ref, remote_root(remote))
        log = here.get(log_ref(parsed.name)) if parsed else None
        if parsed and log != oid and not (log and repository.git.ask("merge-base", "--is-ancestor", oid, log)[0] == 0):
            found.add(parsed.name)
    return found


def nearest(known: Iterable[str], words: str) -> str | None:
    """The name, or the half of one, that was likely meant."""
    from difflib import get_close_matches

    by_form = {fold(form): form for name in known for form in (name.rpartition("/")[2], name)}
    near = get_close_matches(fold(words), by_form, 1)
    return by_form[near[0]] if near else None


def is_full_name(words: str) -> bool:
    """The words can only be the full name of a deployment that has two parts."""
    return "/" in words and _as_name(words) == words


def is_name(words: str) -> bool:
    """The words could be the full name of a deployment, not encoded."""
    return _as_name(words) == words


def _as_name(words: str) -> str | None:
    try:
        if "%" in words:
            return decode(words)
        check(words)
    except BadName:
        return None
    return words


def read_refs(repository: Repository, wanted: list[str] | None, index: bool = True) -> dict[str, Refs]:
    """The refs of the named deployments (a missing one has none), or of all, as one reading finds them.

    `index`: see `states`.
    """
    patterns = _patterns(wanted, index)
    chosen = None if wanted is None else set(wanted)
    found: dict[str, Refs] = {} if wanted is None else {name: Refs(None, None, {}, {}) for name in wanted}
    for ref, oid in repository.git.refs(*patterns) if patterns and wanted != [] else ():
        parsed = parse_ref(ref)
        if parsed is None or (chosen is not None and parsed.name not in chosen):
            continue
        refs = found.get(parsed.name) or Refs(None, None, {}, {})
        found[parsed.name] = _with_ref(refs, parsed.kind, parsed.number, oid)
    return found


def foresee(repository: Repository, wanted: list[str]) -> None:
    """The states of these are asked for next, and nothing moves their refs before."""
    if wanted:
        repository.git.foresee_refs(*_patterns(wanted, True))


def _patterns(wanted: list[str] | None, index: bool) -> list[str]:
    """With a slash at the end: git would look through the refs of `etl/prod-2` to find those of `etl/prod`."""
    if wanted is not None and len(wanted) <= BY_NAME:
        return [prefix(name) for name in wanted]
    return [ROOT.rstrip("/")] if index or wanted is not None else [*_POSITIONS]


def _with_ref(refs: Refs, kind: str, number: int | None, oid: str) -> Refs:
    if oid == SYMBOLIC:
        return refs._replace(symbolic=(*refs.symbolic, f"{kind}/{number}" if number else kind))
    if kind == LIVE:
        return refs._replace(live=oid)
    if kind == LOG:
        return refs._replace(log=oid)
    table = refs.versions if kind == VERSIONS else refs.sources
    assert kind in (VERSIONS, SOURCES)
    assert number is not None
    assert isinstance(table, dict)
    table[number] = oid
    return refs


def _build_all(repository: Repository, found: Mapping[str, Refs]) -> dict[str, State]:
    tips = repository.reading.many(refs.log for refs in found.values() if refs.log)
    return {name: _build(repository, name, refs, tips.get(refs.log or "")) for name, refs in found.items()}


def _symbolic(ref: str) -> Breach:
    return Breach(
        f"{ref} is a symbolic ref, so it is whatever another ref is; "
        f"to leave it where it is now: git update-ref --no-deref {quoted(ref)} {quoted(ref)}"
    )


def _build(repository: Repository, name: str, refs: Refs, tip: Object | None, local: bool = True) -> State:
    event: Event | None = None
    try:
        if refs.symbolic:
            ref = prefix(name) + refs.symbolic[0]
            raise _symbolic(ref)
        if refs.log:
            event = parse_event(tip or repository.reading.object(refs.log))
            if event.name != name:
                raise Breach(f"the log of '{shown(name)}' is that of '{shown(event.name)}'; {_MORE}")
        if local:
            _refuse_broken(repository, name, refs, event)
        return _position(repository, State(name, refs, event, None, None), local)
    except DeploymentsError as breach:
        return State(name, refs, event, None, None, breach=breach)


def _refuse_broken(repository: Repository, name: str, refs: Refs, event: Event | None) -> None:
    """`live` or `log` that is not there, although something says that it was: git does not list it if it is broken."""
    known = refs.live or refs.versions
    if refs.log is None and known:
        _must_not_be_there(repository, prefix(name) + LOG, "pull first: git deployments pull")
    if refs.live is None and (event.live_commit if event else known):
        _must_not_be_there(repository, live_ref(name), "git deployments fsck --repair restores it")


def _must_not_be_there(repository: Repository, ref: str, remedy: str) -> None:
    if os.path.lexists(os.path.join(repository.layout.common_dir, *ref.split("/"))):
        raise Broken(f"{ref} is broken: it names no object; {remedy}")


def state_of(repository: Repository, name: str, refs: Refs) -> State:
    """The state that refs seen elsewhere amount to."""
    return _build(repository, name, refs, None, local=False)


def _position(repository: Repository, state: State, local: bool) -> State:
    name, refs, event = state.name, state.refs, state.event
    recorded = _recorded(event)
    latest = _recorded_latest(event)
    if event and refs.live == event.live_commit and not _beyond(refs, event):
        return state._replace(live=recorded, latest=latest)
    live = _version_of(repository, name, refs.live) if refs.live else None
    leftovers = _leftovers(repository, state, live)
    if leftovers:
        latest = pointer(leftovers[-1])
    elif event is None and live and (latest is None or latest.number < live.number):
        latest = pointer(live)
    if live and event and not any(one.commit == live.commit for one in leftovers):
        _belongs(repository, event, live)
    moved = event is not None and refs.live != event.live_commit
    follows = _followed(repository, state) if local and moved and refs.live and not leftovers else None
    return state._replace(
        live=pointer(live) if live else None,
        latest=latest,
        leftovers=leftovers if event else (),
        unrecorded=moved and not follows,
        follows=follows,
    )


def pointer(version: Version) -> Pointer:
    """A version as the log would name it."""
    return Pointer(version.number, version.commit, version.label, version.source.commit)


def _recorded(event: Event | None) -> Pointer | None:
    if event is None or event.after is None or event.live_commit is None:
        return None
    return Pointer(event.after, event.live_commit, event.label, event.source)


def _recorded_latest(event: Event | None) -> Pointer | None:
    if event is None or event.latest is None or event.latest_commit is None:
        return None
    if event.latest_commit == event.live_commit:
        return _recorded(event)
    return Pointer(event.latest, event.latest_commit, None, None)


def _beyond(refs: Refs, event: Event) -> bool:
    """`versions` holds what the newest event does not know, or another latest version."""
    latest = event.latest or 0
    here = refs.versions.get(latest)
    if here is not None and here != event.latest_commit:
        raise Breach(
            f"versions/{latest} of '{shown(event.name)}' is {here}, but the log has {event.latest_commit}; {_MORE}"
        )
    return any(number > latest for number in refs.versions)


def _version_of(repository: Repository, name: str, oid: str) -> Version:
    version = parse_version(repository.reading.object(oid))
    if version.name != name:
        raise Breach(f"a ref of '{shown(name)}' is at {oid}, a version of '{shown(version.name)}'; {_MORE}")
    return version


def _numbered(repository: Repository, name: str, number: int, oid: str) -> Version:
    version = _version_of(repository, name, oid)
    if version.number != number:
        raise Breach(f"versions/{number} of '{shown(name)}' is {oid}, which is v{version.number}; {_MORE}")
    return version


def _leftovers(repository: Repository, state: State, live: Version | None) -> tuple[Version, ...]:
    """Versions beyond the log's latest: from the highest down to it, each the parent of the next."""
    event, refs = state.event, state.refs
    latest = event.latest or 0 if event else 0
    tops = [_numbered(repository, state.name, n, oid) for n, oid in refs.versions.items() if n > latest]
    if live and live.number > latest:
        tops.append(live)
    if not tops:
        return ()
    top = max(tops, key=lambda version: version.number)
    chain = {top.number: top}
    while event and top.number > latest + 1:
        if top.parent is None:
            break
        top = _version_of(repository, state.name, top.parent)
        if top.number + 1 not in chain:
            break
        chain[top.number] = top
    if event and (top.number != latest + 1 or top.parent != event.latest_commit):
        raise Breach(
            f"v{top.number} of '{shown(state.name)}' ({top.commit}) does not continue the log, latest v{latest}; "
            f"{_MORE}"
        )
    for version in tops:
        if event and chain.get(version.number, version).commit != version.commit:
            other = chain[version.number].commit
            raise Breach(f"'{shown(state.name)}' has two v{version.number}: {version.commit} and {other}; {_MORE}")
    return tuple(chain[number] for number in sorted(chain))


def _belongs(repository: Repository, event: Event, live: Version) -> None:
    """`live` must be the log's own version of that number."""
    known = number_to_oid(repository, event.latest, event.latest_commit, live.number)
    if known != live.commit:
        raise Breach(
            f"live of '{shown(event.name)}' is at {live.commit}, which calls itself v{live.number} but is not "
            f"the v{live.number} of the log; {_MORE}"
        )


def _followed(repository: Repository, state: State) -> str | None:
    """The remote whose `live` this is while its log has events that are not here (design, "Refs")."""
    name, here = encode(state.name), state.refs
    for ref, oid in repository.git.refs(f"{REMOTE_ROOT}*/{name}/{LIVE}"):
        if oid != here.live:
            continue
        log = repository.git.line("rev-parse", "-q", "--verify", ref.removesuffix(LIVE) + LOG)
        known = log is None or repository.git.ask("merge-base", "--is-ancestor", log, here.log or log)[0] == 0
        if not known:
            return remote_of(ref)
    return None


def _doubtful(state: State) -> bool:
    return bool(state.breach or state.unrecorded or state.leftovers or (state.exists and not state.refs.log))


# Versions and events


def number_to_oid(repository: Repository, latest: int | None, latest_commit: str | None, number: int) -> str | None:
    """The commit of version `number` on the chain that ends in `latest_commit`; None if there is none."""
    if latest is None or latest_commit is None or not 1 <= number <= latest:
        return None
    return next((one.oid for one in walk(repository, latest_commit, skip=latest - number, limit=1)), None)


def walk(
    repository: Repository, start: str, skip: int = 0, limit: int | None = None, expected: int = 0
) -> Iterator[Object]:
    """Raw commits along first parents, newest first. Near ones are asked one by one: no process starts.

    `expected`: how many are wanted, as far as that is known. Where they are not near, none is asked so.
    """
    if skip < _NEAR:
        reading, oid, count = repository.reading, start, 0
        near = _NEAR if max(expected, limit or 0) <= _NEAR else 0
        while (limit is None or count < skip + limit) and (count < near or reading.holds(oid)):
            object_ = reading.object(oid)
            if count >= skip:
                yield object_
            count += 1
            if count - skip == limit:
                return
            parent = _first_parent(object_)
            if parent is None:
                return
            oid = parent
        start, skip, limit = oid, max(0, skip - count), None if limit is None else limit - max(0, count - skip)
        if limit is not None and limit <= 0:  # git takes one below zero for none
            return
    yield from repository.git.commits(start, skip=skip, limit=limit, largest=repository.reading.largest)


def _first_parent(object_: Object) -> str | None:
    parents = tree_and_parents(object_)[1]
    if parents and not is_id(parents[0]):
        raise Malformed(object_.oid, "its parent is no object id")
    return parents[0] if parents else None


def versions(repository: Repository, state: State, limit: int | None = None) -> Iterator[Version]:
    """The versions of a deployment, newest first. Raises `Breach` where one is not what it should be."""
    latest = state.latest
    if latest is None:
        return
    number = latest.number
    for object_ in walk(repository, latest.commit, limit=limit):
        version = parse_version(object_)
        indexed = state.refs.versions.get(number, version.commit)
        if version.name != state.name or version.number != number:
            raise Breach(f"{object_.oid} stands where v{number} of '{shown(state.name)}' belongs; {_MORE}")
        if indexed != version.commit:
            raise Breach(
                f"versions/{number} of '{shown(state.name)}' is {indexed}, but the log has {version.commit}; {_MORE}"
            )
        yield version
        number -= 1


def events(repository: Repository, state: State, limit: int | None = None) -> Iterator[Event]:
    """The events of a deployment's log, newest first."""
    if state.event is None or state.refs.log is None:
        return
    for object_ in walk(repository, state.refs.log, limit=limit):
        event = parse_event(object_)
        if event.name != state.name:
            raise Breach(f"{object_.oid} in the log of '{shown(state.name)}' is of '{shown(event.name)}'; {_MORE}")
        yield event
        if event.previous is None:  # what follows along first parents is the first event's version
            return


def version_at(repository: Repository, state: State, oid: str) -> Version:
    """The version of a commit, checked to be one of this deployment."""
    return _version_of(repository, state.name, oid)


def properties(repository: Repository, version: Version) -> dict[str, Json]:
    """The configuration pinned to a version: every key of `model.PROPERTIES`."""
    return _document(repository, version.tree, SNAPSHOT, PROPERTIES, version.commit)


def settings(repository: Repository, event: Event | None) -> dict[str, Json]:
    """The settings as they stand after an event: every key of `model.SETTINGS`."""
    if event is None:
        return dict(SETTINGS)
    return settings_in(repository, event.tree, event.commit)


def settings_in(repository: Repository, tree: str, commit: str) -> dict[str, Json]:
    """The settings of an event's tree. `commit`: the event, for messages."""
    return _document(repository, tree, SETTINGS_FILE, SETTINGS, commit)


def _document(repository: Repository, tree: str, file: str, keys: Mapping[str, Json], commit: str) -> dict[str, Json]:
    found = [entry.oid for entry in parse_tree(repository.reading.object(tree)) if entry.name == file]
    if not found:
        raise Damaged(commit, f"has no {file}")
    return parse_document(repository.reading.object(found[0]), keys)


def previous(repository: Repository, state: State) -> Pointer | None:
    """What `rollback` takes: the most recently live version, older than the live one, that is not marked.

    A rollback, or an adopt to a lower number, marks the version that it leaves until a later event
    makes that one live again (design, "Commands").
    """
    if state.live is None:
        return None
    seen = {state.live.number}
    marked: set[int] = set()
    if state.unrecorded:
        _mark(marked, seen, state.event.after if state.event else None, state.live.number)
    for event in events(repository, state):
        after = event.after
        if after is not None and after not in seen:
            seen_before = _recorded(event)
            if after < state.live.number and after not in marked and seen_before:
                return seen_before
        if event.action in ("rollback", "adopt"):
            _mark(marked, seen, event.before, after)
        if after is not None:
            seen.add(after)
    return None


def is_rolled_back(repository: Repository, state: State) -> bool:
    """A newer version than the live one was live, and was left by going back; one that never went live was not.

    Mostly the newest event tells, so a list still reads one object for each deployment (design, "Log event"). Where the
    last few do not, an older version has been live for so long that it is called so.
    """
    live, latest, event = state.live, state.latest, state.event
    if live is None or latest is None or live.number >= latest.number:
        return False
    if state.unrecorded and event and event.after and event.after > live.number:
        return True
    told = None if event is None else _tells_of_going_back(event, live.number)
    if told is not None:
        return told
    try:
        last = (_tells_of_going_back(one, live.number) for one in events(repository, state, limit=_LAST_FEW))
        return next((told for told in last if told is not None), event is not None)
    except DeploymentsError:  # why an older one is live cannot be read; that it is, can
        return True


_LAST_FEW = 32


def _tells_of_going_back(event: Event, live: int) -> bool | None:
    """Whether `live` is live by going back, as far as one event says; None: it does not."""
    before, after = event.before, event.after
    if before is not None and after is not None and before > max(after, live):
        return True
    if event.number is not None and event.number <= live:  # nothing newer was there before
        return False
    return None


def _mark(marked: set[int], seen: set[int], left: int | None, taken: int | None) -> None:
    if left is not None and taken is not None and taken < left and left not in seen:
        marked.add(left)


def creator(repository: Repository, latest: Pointer) -> Identity:
    """Who made version 1: `created_by` of every version (design, "Version commit")."""
    if latest.number == 1:
        return parse_version(repository.reading.object(latest.commit)).author
    options = ("--first-parent", "--max-parents=0")
    oid = text(repository.git.run("rev-list", *options, latest.commit, "--")).split()[-1]
    return parse_version(repository.reading.object(oid)).author


def while_live(repository: Repository, name: str, log: str | None, number: int) -> Event | None:
    """The newest event up to `log` after which version `number` was live: its settings are those of that time."""
    for object_ in walk(repository, log) if log else ():
        event = parse_event(object_)
        if event.name != name:
            raise Breach(f"{object_.oid} in the log of '{shown(name)}' is of '{shown(event.name)}'; {_MORE}")
        if event.after == number:
            return event
        if event.previous is None:
            break
    return None


def out_of_line(repository: Repository, wanted: Iterable[str] | None = None) -> dict[str, str]:
    """Breaches of the index that no single reading meets, by deployment: each version must follow from the one before.

    Empty, too, where git cannot read what a ref is at: `fsck` tells of that.
    """
    patterns = [f"{ROOT}**/{VERSIONS}/*"] if wanted is None else [f"{prefix(name)}{VERSIONS}/" for name in wanted]
    if not patterns:
        return {}
    try:
        out = text(repository.git.run("for-each-ref", "--format=%(objectname) %(refname) %(parent)", *patterns))
    except GitFailed:
        return {}
    rows = [line.split(" ") for line in out.split("\n")[:-1]]
    commits = {parsed: (oid, parents) for oid, ref, *parents in rows if (parsed := parse_ref(ref))}
    found = {}
    for ref, (_, parents) in commits.items():
        before = commits.get(ref._replace(number=(ref.number or 0) - 1))
        if before and before[0] not in parents:
            found[ref.name] = f"versions/{ref.number} does not follow from versions/{(ref.number or 0) - 1}; {_MORE}"
    return found


def live_version(repository: Repository, name: str) -> Version | None:
    """The version that `live` is at, asked of that ref alone; None where nothing is live."""
    wanted = live_ref(name)
    found = [oid for ref, oid in repository.git.refs(wanted) if ref == wanted]
    if SYMBOLIC in found:
        raise _symbolic(wanted)
    if not found:
        if repository.git.line("rev-parse", "-q", "--verify", wanted) is None:  # nor was it written just now
            _must_not_be_there(repository, wanted, "git deployments fsck --repair restores it")
        return None
    return _version_of(repository, name, found[0])
