"""The exact code of a commit in a directory, from this repository's objects (design, "Running").

After every checkout HEAD is compared with the commit that was asked for, in full: git takes other
words for a commit as well, and Prefect's own clone step ran what happened to be there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from types import TracebackType
from urllib.parse import unquote

from git_deployments.checkout import default_remote, present
from git_deployments.errors import DeploymentsError
from git_deployments.git import Git, GitFailed, at, text
from git_deployments.model import Version
from git_deployments.names import shown
from git_deployments.refs import source_ref
from git_deployments.repository import Repository
from git_deployments.source import address_parts, without_credentials

_PLAIN = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.sparseCheckout=false", "-c", "advice.detachedHead=false")
"""No hook of the user's runs, and the whole commit is checked out."""
_LOCAL = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""What ties git to one repository, whatever directory it is in (`git rev-parse --local-env-vars`)."""


class CodeMissing(DeploymentsError):
    """The commit of a version's code cannot be had."""


class DirectoryTaken(DeploymentsError):
    """There is something already where code is to go."""


class WrongCommit(DeploymentsError):
    """A checkout is not at the commit that it was asked for."""


def untied(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for programs that work in another repository than this one."""
    return {variable: value for variable, value in environment.items() if variable not in _LOCAL}


def code_commit(version: Version) -> str:
    """The commit of a version's code. Raises `CodeMissing` where none is recorded."""
    commit = version.source.commit
    if commit is None:
        raise CodeMissing(
            f"v{version.number} of '{shown(version.name)}' has no code commit: none was known when it was "
            "deployed; commit its code, and deploy it from the repository that holds it"
        )
    return commit


def obtain(repository: Repository, commit: str, version: Version | None = None) -> None:
    """See that a commit is here, from a remote if need be. `version`: whose code it is.

    Raises `CodeMissing`.
    """
    if present(repository, commit):
        return
    remotes = _by_preference(repository)
    for remote in remotes:
        for name in _words_for(commit, version):
            options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=")
            repository.git.ask("fetch", *options, remote, name)
            if present(repository, commit):
                return
    whose = f", the code of v{version.number} of '{shown(version.name)}'," if version else ""
    asked = f" and {', '.join(map(shown, remotes))} did not give it" if remotes else " and no remote is configured"
    raise CodeMissing(f"commit {shown(commit)}{whose} is not here{asked}; fetch it from where it is, then try again")


def _words_for(commit: str, version: Version | None) -> Iterator[str]:
    """What to ask a remote for: the commit by its id, and by the ref that keeps it where a server takes no id."""
    yield commit
    if version:
        yield source_ref(version.name, version.number)


def _by_preference(repository: Repository) -> list[str]:
    first = default_remote(repository)
    return sorted(repository.remotes, key=lambda remote: (remote != first, remote))


def add(repository: Repository, directory: str, commit: str) -> None:
    """A new worktree of this repository, with no branch. Raises `DirectoryTaken`, `WrongCommit`, `GitFailed`."""
    path = os.path.abspath(directory)
    if os.path.lexists(path):
        raise DirectoryTaken(f"{shown(directory)} exists already; name a directory that does not")
    # In a hook this names the index of the commit that is being made, and git would fill it from the new work tree.
    git = repository.git
    others = {variable: value for variable, value in git.environment.items() if variable != "GIT_INDEX_FILE"}
    git._replace(environment=others).run(*_PLAIN, "worktree", "add", "--quiet", "--detach", path, commit)
    check(inside(repository, path), commit)
    # A sparse work tree whose configuration is its own hands that down, and later commands in the new one would follow.
    # Where all share one, nothing is handed down, and this would write into it.
    if all("true" in repository.config.get(key, ()) for key in ("core.sparsecheckout", "extensions.worktreeconfig")):
        inside(repository, path).ask("sparse-checkout", "disable")


def tops(repository: Repository) -> list[str]:
    """The directories of all work trees of this repository."""
    out = text(repository.git.run("worktree", "list", "--porcelain"))
    found = [line.removeprefix("worktree ") for line in out.split("\n") if line.startswith("worktree ")]
    top = repository.layout.top
    return [*found, top] if top else found


def inside(repository: Repository, directory: str) -> Git:
    """git in another work tree."""
    return at(directory, untied(repository.environment))


def bring_submodules(repository: Repository, directory: str, url: str, token: str | None) -> None:
    """The submodules of what is checked out there, and theirs; who may read a clone of `url` may read those beside it.

    Raises `GitFailed`.

    All are active for this once: `--init` would write them into the configuration that all work trees share.
    """
    git = inside(repository, directory)
    paths = git.line("config", "--file=.gitmodules", "--name-only", "--get-regexp", r"^submodule\..*\.path$") or ""
    keys = ["submodule.active=.", *(f"{key.removesuffix('path')}active=true" for key in paths.splitlines())]
    active = [word for key in keys for word in ("-c", key)]
    _knowing(git, url, token).run(*active, "submodule", "--quiet", "update", "--checkout", "--recursive")


def check(git: Git, commit: str) -> None:
    """Raise `WrongCommit` unless HEAD is this very commit."""
    head = git.line("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head != commit:
        raise WrongCommit(
            f"{shown(git.directory)} is at {shown(head or 'no commit')} and not at {shown(commit)}; nothing was run"
        )


class Scratch:
    """A directory for one run. It goes when the run is over, and so do the worktrees in it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._worktrees: list[str] = []
        self.path = os.path.realpath(tempfile.mkdtemp(prefix="git-deployments-"))

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for path in self._worktrees:
            # The one by name: a prune would take worktrees of the user's that are not mounted now.
            self._repository.git.ask("worktree", "remove", "--force", "--force", path)
        shutil.rmtree(self.path, ignore_errors=True)

    def worktree(self, directory: str, commit: str) -> None:
        """See `add`."""
        self._worktrees.append(directory)
        add(self._repository, directory, commit)


def clone(
    repository: Repository, url: str, commit: str | None, branch: str | None, directory: str, token: str | None = None
) -> None:
    """Another repository's code: at `commit`, else at the tip of `branch`, else of its default branch.

    `token`: USER:PASSWORD, or a token alone, for an https URL; neither it nor what the URL itself holds
    reaches disk or command line. Raises `DirectoryTaken`, `CodeMissing`, `WrongCommit`.
    """
    if os.path.lexists(directory):
        raise DirectoryTaken(f"{shown(directory)} exists already; clone into another clone_directory_name")
    os.makedirs(directory)
    git = inside(repository, directory)
    git.run("init", "--quiet", *(("--object-format=sha256",) if commit and len(commit) == 64 else ()))
    plain = without_credentials(url)
    git.run("remote", "add", "--", "origin", plain)
    wanted = commit or (f"refs/heads/{branch}" if branch else "HEAD")
    try:
        _fetch_one(_knowing(git, url, token), wanted, commit)
    except GitFailed as failure:
        what = f"commit {commit}" if commit else f"branch {branch}" if branch else "its default branch"
        raise CodeMissing(f"{shown(plain)} does not give {shown(what)}: {failure}") from None
    git.run(*_PLAIN, "checkout", "--quiet", "--detach", commit or "FETCH_HEAD")
    if commit:
        check(git, commit)


def _knowing(git: Git, url: str, token: str | None) -> Git:
    """git that tells the host of a URL who we are (git manual, http.extraHeader and GIT_CONFIG_COUNT).

    In the URL it would stand in the process list: git hands that on to a program of its own.
    """
    prefix, authority, _ = address_parts(url)
    userinfo, _, host = authority.rpartition("@")
    known = token if token and prefix == "https://" else unquote(userinfo)
    if not known or prefix.lower() not in ("https://", "http://"):
        return git
    basic = b64encode((known if ":" in known else f"{known}:").encode()).decode()
    count = int(git.environment.get("GIT_CONFIG_COUNT") or 0)
    more = {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": f"http.{prefix}{host}/.extraHeader",
        f"GIT_CONFIG_VALUE_{count}": f"Authorization: Basic {basic}",
    }
    return git._replace(environment={**git.environment, **more})


def _fetch_one(git: Git, wanted: str, commit: str | None) -> None:
    """One commit without its history; where a server gives no commit by its id, everything."""
    fetch = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules")
    code, _, _ = git.ask(*fetch, "--depth=1", "origin", wanted)
    if code == 0:
        return
    if not commit:
        git.run(*fetch, "origin", wanted)
        return
    git.run(*fetch, "origin", "+refs/*:refs/fetched/*")
    git.run("cat-file", "-e", f"{commit}^{{commit}}")
