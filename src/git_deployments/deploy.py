"""From manifests to what the store is asked for: which entries, from which source, with which schema.

User code is read, never imported or run (design, "Names").
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from git_deployments import checkout, leaks, manifest, source, yamltext
from git_deployments.errors import DeploymentsError
from git_deployments.history import choices, matching
from git_deployments.manifest import BadManifest, Context, Draft, file_of
from git_deployments.model import Entry, Json, Place, Source, Version, VersionInfo, Watch, unwatched
from git_deployments.names import check, shown
from git_deployments.reason import check_label
from git_deployments.record import Draft as VersionDraft
from git_deployments.repository import Repository
from git_deployments.signature import BadEntrypoint, Flow, read_flow, split_entrypoint
from git_deployments.store import Wish

MANIFEST = "prefect.yaml"


class NoManifest(DeploymentsError):
    """There is no manifest where one was looked for."""


class BadCommit(DeploymentsError):
    """A commit of a pull step that cannot be told. The message is a clause; the caller says where it stands."""


class Selection(DeploymentsError):
    """The names do not say which entries are meant."""


class Request(NamedTuple):
    """What `deploy` is asked for, the words of its command line."""

    files: tuple[str, ...] = ()
    """`-` is standard input; empty: the nearest prefect.yaml."""
    names: tuple[str, ...] = ()
    every: bool = False
    """All entries."""
    label: str | None = None
    version_type: str | None = None
    live: bool = True
    if_changed: bool = False
    paths: tuple[str, ...] = ()
    """Relative to the current directory."""
    expect: str | None = None
    reason: str = ""
    runtime: tuple[str, ...] = ()
    allow_secret: tuple[str, ...] = ()
    literal: bool = False
    """See `manifest.Context`."""


class Prepared(NamedTuple):
    """What the store is asked for, by full name, and what is to be said on stderr."""

    wishes: dict[str, Wish]
    warnings: list[str]


class _Candidate(NamedTuple):
    """An entry of a manifest and its full name, or why that cannot be known."""

    draft: Draft
    directory: str
    name: str | None
    problem: DeploymentsError | None


def prepare(
    repository: Repository,
    request: Request,
    environment: Mapping[str, str],
    stdin: Callable[[], bytes],
    watch: Watch = unwatched,
) -> Prepared:
    """Read the manifests and everything that their entries need; nothing is written.

    Raises `NoManifest`, `Selection`, `manifest.BadManifest`, `signature.BadEntrypoint`,
    `source.SourceUnknown`, `schema.BadParameters`.
    """
    if request.label is not None:
        check_label(request.label)
    work = _Work(repository, request, environment)
    candidates = [
        candidate for place, data in _files(repository, request, stdin) for candidate in work.read(place, data)
    ]
    _refuse_twins(candidates)
    chosen = _choose(candidates, request)
    work.warnings += _left_out(candidates, chosen, request)
    return _prepared(work, chosen, watch)


def prepare_entries(
    repository: Repository,
    request: Request,
    environment: Mapping[str, str],
    entries: Iterable[Mapping[str, Json]],
    place: Place,
) -> Prepared:
    """The same for entries that come from elsewhere than a file, all of them; `place` says from where.

    Raises what `prepare` does.
    """
    work = _Work(repository, request, environment)
    drafts = [manifest.draft_of(entry, place, environment) for entry in entries]
    return _prepared(work, list(work.named(drafts, place)), unwatched)


def _prepared(work: _Work, chosen: list[_Candidate], watch: Watch) -> Prepared:
    wishes: dict[str, Wish] = {}
    for done, candidate in enumerate(chosen, 1):
        watch(done, len(chosen))
        wish = work.wish(candidate)
        if wish.name in wishes:
            raise _twins(wish.name, candidate)
        wishes[wish.name] = wish
    return Prepared(wishes, list(dict.fromkeys(work.warnings)))


def _files(repository: Repository, request: Request, stdin: Callable[[], bytes]) -> Iterator[tuple[Place, bytes]]:
    here = os.path.abspath(repository.git.directory)
    for file in request.files or (_nearest(repository, here),):
        if file == "-":
            yield Place("-", here), stdin()
            continue
        path = os.path.join(here, file)
        try:
            with open(path, "rb") as stream:
                yield Place(file, os.path.dirname(path)), stream.read(yamltext.LARGEST + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise NoManifest(f"{shown(file)}: {reason}; name the manifest with -f FILE") from None


def _nearest(repository: Repository, here: str) -> str:
    """prefect.yaml in this directory or the nearest above, up to the repository's root."""
    top = repository.layout.top
    directory = here
    while True:
        if os.path.isfile(os.path.join(directory, MANIFEST)):
            return os.path.relpath(os.path.join(directory, MANIFEST), here)
        parent = os.path.dirname(directory)
        if top is None or os.path.realpath(directory) == os.path.realpath(top) or parent == directory:
            break
        directory = parent
    where = "in this bare repository" if top is None else "here or above, up to the repository's root"
    raise NoManifest(f"no {MANIFEST} {where}; write one, or name a manifest with -f FILE (- is standard input)")


def _refuse_twins(candidates: Iterable[_Candidate]) -> None:
    seen: set[str] = set()
    for candidate in candidates:
        if candidate.name in seen:
            raise _twins(candidate.name, candidate)
        seen.update([candidate.name] if candidate.name else ())


def _twins(name: str, second: _Candidate) -> Selection:
    return Selection(f"two entries are named '{shown(name)}' ({_where(second)} is the second); rename one")


def _choose(candidates: list[_Candidate], request: Request) -> list[_Candidate]:
    if request.every:
        return candidates
    if not request.names:
        if len(candidates) == 1:
            return candidates
        given = choices([candidate.name or candidate.draft.half for candidate in candidates])
        raise Selection(f"the manifest has {len(candidates)} deployments: {given}; name some of them, or use --all")
    known = [candidate.name or f"?/{candidate.draft.half}" for candidate in candidates]
    chosen: dict[str, None] = {}
    for words in request.names:
        # One whose flow's name is not known is told why, whatever flow it was called by.
        found = matching(known, words) or [f"?/{one.draft.half}" for one in _nameless(candidates, words)]
        if not found:
            raise Selection(f"the manifest has no deployment '{shown(words)}'; it has: {choices(known)}")
        chosen.update(dict.fromkeys(found))
    return [candidate for name, candidate in zip(known, candidates, strict=True) if name in chosen]


def _nameless(candidates: Iterable[_Candidate], words: str) -> list[_Candidate]:
    """Those whose flow's name is not known, and whose own half of it is what these words say."""
    from fnmatch import fnmatchcase

    half = words.rpartition("/")[2]
    return [
        one for one in candidates if one.name is None and (one.draft.half == half or fnmatchcase(one.draft.half, half))
    ]


def _left_out(candidates: list[_Candidate], chosen: list[_Candidate], request: Request) -> Iterator[str]:
    """What a pattern would name too, if the flow's name were known."""
    exact = {one.name for one in chosen}
    patterns = [words for words in request.names if words not in exact]
    for one in {id(one): one for words in patterns for one in _nameless(candidates, words)}.values():
        if not any(one is other for other in chosen):
            yield (
                f"{_where(one)}: deployment '{shown(one.draft.half)}' is left out, its flow's name is not known: "
                f"{one.problem}"
            )


def _where(candidate: _Candidate) -> str:
    place = candidate.draft.place
    return f"{file_of(place)}:{place.line}"


class _Found(NamedTuple):
    """The flow of an entrypoint."""

    flow: Flow
    path: str
    """Of its file, from the repository's root."""
    committed: bool
    """The source commit has what was read."""


class _Work:
    """What is read once for all entries: the checkout, the source, the flows' files."""

    def __init__(self, repository: Repository, request: Request, environment: Mapping[str, str]) -> None:
        self.repository = repository
        self.request = request
        self.environment = environment
        self.warnings: list[str] = []
        self.checkout = checkout.look(repository)
        self.context = Context(
            environment,
            frozenset((*request.runtime, *repository.settings("runtimeEnv"))),
            frozenset(request.allow_secret),
            request.literal,
        )
        self._infos: dict[tuple[str | None, str | None], VersionInfo] = {}
        self._flows: dict[tuple[str, str, str | None, str | None], _Found | None] = {}
        self._kept: dict[str, bool] = {}
        self.paths = tuple(self._from_root(path) for path in request.paths)

    def _from_root(self, path: str) -> str:
        here = _relative(self.repository, os.path.abspath(self.repository.git.directory), "--paths")
        found = posixpath.normpath(posixpath.join(here, path.replace(os.sep, "/")))
        if found == ".." or found.startswith(("../", "/")):
            raise Selection(f"--paths {shown(path)}: give a path of this repository, relative to this directory")
        return "" if found == "." else found

    def read(self, place: Place, data: bytes) -> Iterator[_Candidate]:
        """The entries of one manifest with their full names."""
        yield from self.named(manifest.read(data, place, self.environment), place)

    def named(self, drafts: Iterable[Draft], place: Place) -> Iterator[_Candidate]:
        """Entries with their full names."""
        directory = _relative(self.repository, place.directory, place.file)
        for draft in drafts:
            try:
                name = self._name(draft, directory)
            except DeploymentsError as problem:
                yield _Candidate(draft, directory, None, problem)
            else:
                yield _Candidate(draft, directory, name, None)

    def _name(self, draft: Draft, directory: str) -> str:
        flow = draft.flow_name
        if flow is None and draft.entrypoint:
            found = self.flow(draft.entrypoint, directory, self._info(None, None).commit_sha, None)
            if found is None:
                raise BadEntrypoint(
                    f"no file of module entrypoint '{shown(draft.entrypoint)}' is here to read the flow's name from; "
                    "set flow_name"
                )
            flow = found.flow.name
        name = f"{flow}/{draft.half}" if flow is not None else draft.half
        check(name)
        return name

    def _info(self, wanted: str | None, label: str | None) -> VersionInfo:
        key = (wanted, label)
        if key not in self._infos:
            self._infos[key] = source.collect(self.environment, self.checkout, wanted, label, self._message)
        return self._infos[key]

    def _message(self, commit: str) -> str | None:
        return checkout.first_line(self.repository, commit)

    def flow(self, entrypoint: str, directory: str, commit: str | None, name: str | None) -> _Found | None:
        """The flow of an entrypoint; None where a module's file is not here. Raises `BadEntrypoint`.

        `name`: the flow's, where the manifest gives it; then the code need not say it.
        """
        key = (entrypoint, directory, commit, name)
        if key not in self._flows:
            self._flows[key] = self._read_flow(entrypoint, directory, commit, name)
        return self._flows[key]

    def _read_flow(self, entrypoint: str, directory: str, commit: str | None, name: str | None) -> _Found | None:
        files, function = split_entrypoint(entrypoint)
        here = commit if commit and checkout.present(self.repository, commit) else None
        for file in files:
            path = posixpath.join(directory, file)
            content = checkout.file_at(self.repository, here, path) if here else None
            if content is not None:
                return _Found(read_flow(content, path, function, name), path, True)
        for file in files:
            path = posixpath.join(directory, file)
            content = self._work_tree_file(path)
            if content is not None:
                if here:
                    self.warnings.append(
                        f"{shown(path)} is not in the source commit {here[:12]}; commit it before deploying"
                    )
                return _Found(read_flow(content, path, function, name), path, False)
        if len(files) == 1:
            raise BadEntrypoint(
                f"there is no file {shown(posixpath.join(directory, files[0]))}; correct the entrypoint"
            )
        return None

    def _work_tree_file(self, path: str) -> bytes | None:
        top = self.repository.layout.top
        try:
            with open(os.path.join(top or "", path), "rb") as stream:
                return stream.read() if top else None
        except OSError:
            return None

    def wish(self, candidate: _Candidate) -> Wish:
        """What the store is asked for. Raises what is wrong with the entry, with its place."""
        draft, request = candidate.draft, self.request
        # First what the entry says itself: an entrypoint whose variable is not set leads to no name either.
        entry = manifest.expand(draft, self.context)
        if candidate.problem or candidate.name is None:
            raise self._placed(candidate, candidate.problem or BadEntrypoint("it has no name"))
        label = request.label or entry.label
        try:
            info = self._info(request.version_type or entry.version_type, label)
        except source.SourceUnknown as problem:
            raise problem if request.version_type else self._placed(candidate, problem) from None
        present = bool(info.commit_sha) and checkout.present(self.repository, info.commit_sha or "")
        self.warnings += entry.warnings
        self.warnings += source.notes(info, self.checkout, present)
        if self.checkout and not self.checkout.head and not info.commit_sha:
            self.warnings.append("nothing is committed here, so the version has no code: commit it before deploying")
        try:
            entry = self._with_schema(entry, candidate, info.commit_sha)
        except BadEntrypoint as problem:
            raise self._placed(candidate, problem) from None
        properties = self._with_full_commits(candidate, entry.properties)
        self.warnings += self._other_code(candidate, properties, info.commit_sha)
        code = Source(info, info.commit_sha, candidate.directory, self.checkout.dirty)
        version = VersionDraft(
            label, properties, code, request.reason, present and self._must_keep(info.commit_sha or "")
        )
        return Wish(
            candidate.name, version, entry.settings, request.live, request.if_changed, self.paths, request.expect
        )

    def _placed(self, candidate: _Candidate, problem: DeploymentsError) -> DeploymentsError:
        entrypoint = candidate.draft.entrypoint
        if not isinstance(problem, BadEntrypoint) or not entrypoint:
            return BadManifest(f"{_where(candidate)}: deployment '{shown(candidate.draft.half)}': {problem}")
        return BadEntrypoint(
            f"{_where(candidate)}: deployment '{shown(candidate.draft.half)}', key 'entrypoint' "
            f"({shown(entrypoint)}): {problem}"
        )

    def _with_schema(self, entry: Entry, candidate: _Candidate, commit: str | None) -> Entry:
        given = entry.properties["parameter_openapi_schema"]
        if given is None:
            entrypoint = entry.properties["entrypoint"]
            found = None
            if isinstance(entrypoint, str) and entrypoint:
                found = self.flow(entrypoint, candidate.directory, commit, entry.flow_name)
            derived: dict[str, Json] = found.flow.schema if found else {}
            if found and not found.committed:
                self._refuse_secrets(found.path, derived)
            if derived:
                entry = manifest.retype(entry, candidate.draft, self.context, derived)
            entry = entry._replace(properties={**entry.properties, "parameter_openapi_schema": derived})
        problems = parameter_problems(entry.properties)
        if problems:
            from git_deployments.schema import BadParameters

            raise BadParameters(
                f"{_where(candidate)}: deployment '{shown(candidate.draft.half)}': {'; '.join(problems)}; "
                "correct the parameters, or set enforce_parameter_schema: false"
            )
        return entry

    def _refuse_secrets(self, path: str, schema: dict[str, Json]) -> None:
        """Those in the defaults of code that is in no commit yet: the schema would take them into history."""
        for leak in leaks.find({"parameter_openapi_schema": schema}):
            if not leaks.allowed(leak.key, self.context.allow_secret):
                option = f"--allow-secret {shown(leak.key.rpartition('.')[2])}"
                raise BadEntrypoint(
                    f"{shown(path)} comes from the work tree, and its '{shown(leak.key)}' holds {leak.kind}, which "
                    f"history would keep; take it out, or {option} if it is none"
                )

    def _with_full_commits(self, candidate: _Candidate, properties: Mapping[str, Json]) -> Mapping[str, Json]:
        where = f"{_where(candidate)}: deployment '{shown(candidate.draft.half)}', "
        try:
            return with_full_commits(self.repository, properties)
        except BadCommit as problem:
            raise BadManifest(f"{where}{problem}") from None

    def _other_code(self, candidate: _Candidate, properties: Mapping[str, Json], commit: str | None) -> Iterator[str]:
        """A clone step that takes another commit of this repository, as with a variable that is set from before."""
        for _, pinned in manifest.commit_shas(properties):
            if (
                commit
                and pinned != commit
                and manifest.is_full_id(pinned)
                and checkout.present(self.repository, pinned)
            ):
                yield (
                    f"deployment '{shown(candidate.draft.half)}': its clone step takes commit {pinned[:8]}, "
                    f"but the version is recorded as code of {commit[:8]}"
                )

    def _must_keep(self, commit: str) -> bool:
        if commit not in self._kept:
            self._kept[commit] = checkout.must_be_kept(self.repository, commit)
        return self._kept[commit]


def with_full_commits(repository: Repository, properties: Mapping[str, Json]) -> Mapping[str, Json]:
    """The properties with the whole ids of the commits that pull steps abbreviate. Raises `BadCommit`."""
    for key, value in manifest.commit_shas(properties):
        if manifest.is_full_id(value) or "{{" in value:
            continue
        full = checkout.full_commit(repository, value) if value.isalnum() else None
        if full is None:
            raise BadCommit(
                f"key '{shown(key)}': '{shown(value)}' is no full commit id and names no commit of this repository; "
                "give all its digits"
            )
        properties = manifest.with_commit_sha(properties, key, full)
    return properties


def schema_at_source(repository: Repository, version: Version, entrypoint: Json) -> dict[str, Json]:
    """The parameter schema of an entrypoint in the code of a version. Raises `BadEntrypoint`."""
    if not isinstance(entrypoint, str) or not entrypoint:
        return {}
    files, function = split_entrypoint(entrypoint)
    source = version.source
    for file in files:
        path = posixpath.join(source.directory, file)
        content = checkout.file_at(repository, source.commit, path) if source.commit else None
        if content is not None:
            return read_flow(content, path, function, version.name.partition("/")[0]).schema
    raise BadEntrypoint(
        f"the code of v{version.number} has no file for entrypoint '{shown(entrypoint)}', or is not here; "
        "also give parameter_openapi_schema, or deploy from the code that has it"
    )


def parameter_problems(properties: Mapping[str, Json]) -> list[str]:
    """Where the parameters do not fit the schema that they are held to; a line each."""
    parameters, wanted = properties["parameters"], properties["parameter_openapi_schema"]
    if not properties["enforce_parameter_schema"] or not isinstance(parameters, dict) or not isinstance(wanted, dict):
        return []
    from git_deployments import schema

    if not schema.needs_validation(parameters, wanted):
        return []
    whole = ("parameters:", "parameter_openapi_schema", "and more")
    found = schema.mismatches(parameters, wanted, False)
    return [line if line.startswith(whole) else f"parameters.{line}" for line in found]


def _relative(repository: Repository, directory: str, file: str) -> str:
    """A directory relative to the repository's root, with `/`; empty for the root and in a bare repository."""
    top = repository.layout.top
    if top is None:
        return ""
    path = os.path.relpath(os.path.realpath(directory), os.path.realpath(top)).replace(os.sep, "/")
    if path == ".." or path.startswith("../"):
        raise NoManifest(f"{shown(file)} lies outside of this repository; run deploy in the repository that holds it")
    return "" if path == "." else path
