"""The Python API: the verbs of the command line as methods (design, "Python")."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import NamedTuple

from git_deployments import audit, history, publish, store, sync, tracking
from git_deployments.compare import Difference, two_versions, version_differences
from git_deployments.errors import DeploymentsError
from git_deployments.history import State
from git_deployments.model import Event, Json, Version
from git_deployments.reason import check_label, check_reason
from git_deployments.repository import Repository
from git_deployments.resolve import resolve
from git_deployments.rules import Finding
from git_deployments.store import Decide, Outcome, Wanted


class Snapshot(NamedTuple):
    """One version and everything that is pinned to it."""

    version: Version
    properties: Mapping[str, Json]
    """Every key of `deployment.json` (docs/format.md)."""
    live: bool


def open(path: str | os.PathLike[str] = ".", environment: Mapping[str, str] | None = None) -> Deployments:  # noqa: A001
    """The deployments of the repository that `path` is in.

    `environment` (default: this process's) is what git runs with and where templates and CI
    variables are taken from. Raises nothing yet: a directory without a repository is found out by
    the first question.
    """
    return Deployments(os.fspath(path), dict(os.environ if environment is None else environment))


class Deployments:
    """A repository's deployments. May be used as a context manager; `close` ends its git processes.

    Names are full names, or the deployment's half where that is unique. Versions are what VERSION is
    on the command line: `"7"`, `"v7"`, `"0.0.1"`, a prefix of a commit id, `"live"`, `"latest"`,
    `"previous"`. Every method raises a `DeploymentsError`: `history.UnknownDeployment`,
    `history.UnknownVersion`, `history.Breach`, `git.NotARepository` and, where something is
    written, `store.Refused`, `ExpectationFailed`, `git.Locked`, `repository.NoIdentity`,
    `reason.ReasonMissing`, `reason.SecretReason`.

    The configuration is obeyed as by the commands. With `deployments.push` a write is published to the
    default remote or not made; what `pull` and `push` raise is raised then, and `publish.ContestedBefore`. A
    clone without deployments asks its default remote first, so that numbers go on. What goes live is told
    to the commands of `deployments.onLive` where `deployments.onLiveLocal` is set, which print to standard
    error if they print, and is put on the Prefect server with `deployments.applyOnLive`. What fails of
    all that without undoing the write is a `RuntimeWarning`.
    """

    def __init__(self, path: str, environment: Mapping[str, str]) -> None:
        self._repository = Repository(path, environment)

    def __enter__(self) -> Deployments:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the git processes that answer questions; the next question starts them again."""
        self._repository.close()

    # Reading

    def list(self, *patterns: str) -> builtins.list[State]:
        """Where each deployment stands, by name; deleted ones are left out."""
        wanted = history.match(self._repository, patterns) if patterns else None
        return [state for state in history.states(self._repository, wanted, index=False) if not state.deleted]

    def versions(self, name: str, limit: int | None = None) -> Iterator[Version]:
        """Versions, newest first, read while they are asked for."""
        return history.versions(self._repository, history.find(self._repository, name), limit)

    def get(self, name: str, version: str = "live") -> Snapshot:
        """One version with its properties."""
        state = history.find(self._repository, name)
        found = resolve(self._repository, state, version)
        live = state.live is not None and state.live.commit == found.commit
        return Snapshot(found, history.properties(self._repository, found), live)

    def log(self, name: str, limit: int | None = None) -> Iterator[Event]:
        """Events, newest first, read while they are asked for."""
        return history.events(self._repository, history.find(self._repository, name), limit)

    def diff(self, name: str, a: str | None = None, b: str | None = None) -> Iterator[Difference]:
        """Properties that differ; default live against latest, or previous against live."""
        state = history.find(self._repository, name)
        return version_differences(self._repository, *two_versions(self._repository, state, a, b))

    def settings(self, name: str) -> dict[str, Json]:
        """The unversioned properties as they stand now: every key of `settings.json`."""
        return history.settings(self._repository, history.find(self._repository, name).event)

    def fsck(self, *names: str) -> Iterator[Finding]:
        """Every rule of the format, checked; what is broken and what is worth knowing."""
        wanted = history.match(self._repository, names) if names else None
        return audit.check(self._repository, wanted)

    # Writing

    def deploy(
        self,
        *names: str,
        files: Iterable[str] = (),
        every: bool = False,
        version: str | None = None,
        version_type: str | None = None,
        live: bool = True,
        if_changed: bool = False,
        paths: Iterable[str] = (),
        expect_live: str | None = None,
        message: str = "",
        runtime_env: Iterable[str] = (),
        allow_secret: Iterable[str] = (),
    ) -> builtins.list[Outcome]:
        """New versions from a manifest, all or none; by name.

        `files` and `paths` are relative to the repository object's path; `every` is `--all`. Raises
        `manifest.BadManifest`, `signature.BadEntrypoint`, `schema.BadParameters`, `deploy.NoManifest`,
        `deploy.Selection`, `source.SourceUnknown`, `store.Collision`.
        """
        from git_deployments import deploy

        check_reason(self._repository, message, needed=False)
        request = deploy.Request(
            tuple(files), names, every, version, version_type, live, if_changed, tuple(paths), expect_live, message,
            tuple(runtime_env), tuple(allow_secret),
        )  # fmt: skip
        wishes, _ = deploy.prepare(self._repository, request, self._repository.environment, lambda: b"")
        wanted = Wanted(lambda: builtins.list(wishes), True)
        return self._write(wanted, store.deploying(self._repository, wishes, message), 3)

    def update(
        self,
        name: str,
        changes: Mapping[str, Json] | None = None,
        *,
        unset: Iterable[str] = (),
        version: str | None = None,
        live: bool = True,
        expect_live: str | None = None,
        message: str = "",
        allow_secret: Iterable[str] = (),
    ) -> Outcome:
        """Change properties of the live version and settings; keys may be dotted. Raises `revise.BadUpdate`."""
        from git_deployments import revise
        from git_deployments.manifest import Context

        check_reason(self._repository, message)
        given = [revise.Assignment(key, revise.Value(value)) for key, value in (changes or {}).items()]
        assignments = revise.checked([*given, *(revise.Assignment(key, None) for key in unset)])
        if version is not None:
            check_label(version)
        context = Context(self._repository.environment, frozenset(), frozenset(allow_secret))

        change = revise.changing(self._repository, assignments, context)
        revision = store.Revision(change, version, live, expect_live)
        return self._one(name, store.updating(self._repository, revision, message))

    def rollback(
        self,
        name: str,
        version: str | None = None,
        *,
        hold: bool = False,
        message: str = "",
        expect_live: str | None = None,
    ) -> Outcome:
        """An older version goes live; default: what VERSION `previous` names."""
        check_reason(self._repository, message)
        return self._one(name, store.rolling_back(self._repository, version, hold, message, expect_live))

    def promote(
        self, name: str, version: str | None = None, *, message: str = "", expect_live: str | None = None
    ) -> Outcome:
        """A newer version goes live, and a hold ends; default: the latest."""
        check_reason(self._repository, message)
        return self._one(name, store.promoting(self._repository, version, message, expect_live))

    def delete(self, name: str, *, message: str = "") -> Outcome:
        """The deployment goes from lists; its log stays and tells so."""
        check_reason(self._repository, message)
        return self._one(name, store.deleting(self._repository, message))

    # Remotes

    def fetch(self, remote: str | None = None, *names: str) -> sync.Fetched:
        """Look at what a remote has (default: the default remote). Raises `sync.Rewound`, `git.GitFailed`."""
        return sync.fetch(self._repository, self._remote(remote), builtins.list(names) or None)

    def pull(self, remote: str | None = None, *names: str, repair: bool = False) -> sync.Pulled:
        """Bring together what is published and what is not; what is contested is in the result.

        `repair`: look for damage in all that is here, not in the newest alone.
        Raises `sync.BadRemote`, `sync.Rewound`, `integrate.TwoHistories`; then nothing has changed.
        """
        repository = self._repository
        pulled = sync.pull(repository, self._remote(remote), builtins.list(names) or None, repair=repair)
        changed = [one.name for one in pulled.integrations if one.changes]
        found = history.states(repository, changed) if changed else []
        _warn(_applied(repository, {one.name: True for one in found if one.live and not one.deleted}), 3)
        return pulled

    def push(self, remote: str | None = None, *names: str) -> publish.Pushed:
        """Publish what is unpublished. Raises `Diverged`, `Lost`, `Declined` and `Gone` of `publish`."""
        return publish.push(self._repository, self._remote(remote), builtins.list(names) or None)

    def _remote(self, remote: str | None) -> str:
        return tracking.chosen_remote(self._repository, remote)

    def _one(self, name: str, decide: Decide) -> Outcome:
        exact = history.is_full_name(name)
        wanted = Wanted(lambda: [name if exact else history.find(self._repository, name).name], exact)
        return self._write(wanted, decide, 4)[0]

    def _write(self, wanted: Wanted, decide: Decide, depth: int) -> builtins.list[Outcome]:
        """See `write`. `depth`: calls between a warning and who called us."""
        outcomes, failures = write(self._repository, wanted, decide)
        _warn(failures, depth + 1)
        return outcomes


def write(repository: Repository, wanted: Wanted, decide: Decide) -> tuple[builtins.list[Outcome], builtins.list[str]]:
    """Write as the configuration wants it, and do what follows; what failed although the write stands, in words."""
    if repository.flag("push"):
        written = publish.write(repository, tracking.chosen_remote(repository, None), wanted, decide)
        outcomes, failures = written.outcomes, [*written.pushed.warnings]
    else:
        failures = _met(repository, wanted)
        outcomes = store.write(repository, repository.who(), wanted.look(), decide)
    return outcomes, failures + _followed(repository, outcomes)


def _met(repository: Repository, wanted: Wanted) -> builtins.list[str]:
    """A clone that has no deployments yet asks its remote first; what was in the way."""
    if not repository.remotes or not history.is_empty(repository, wanted.look() if wanted.exact else ()):
        return []
    problem = sync.pull_first(repository, None)
    return [problem] if problem else []


def _followed(repository: Repository, outcomes: builtins.list[Outcome]) -> builtins.list[str]:
    """What is to happen once another version is live; what failed of it."""
    failures: builtins.list[str] = []
    records = store.moved(outcomes)
    try:
        if records and repository.flag("onLiveLocal"):
            from git_deployments import onlive

            for line in onlive.run_here(repository, onlive.made(records)):
                failures.append(line)
    except DeploymentsError as error:
        failures.append(str(error))
    return failures + _applied(repository, {one.name: one.before is None for one in records if one.after})


def _applied(repository: Repository, moved: Mapping[str, bool]) -> builtins.list[str]:
    try:
        if moved and repository.flag("applyOnLive"):
            from git_deployments import apply

            apply.follow(repository, moved)
    except DeploymentsError as error:
        return [str(error)]
    return []


def _warn(failures: Iterable[str], depth: int) -> None:
    for line in failures:
        import warnings

        warnings.warn(line, RuntimeWarning, stacklevel=depth)
