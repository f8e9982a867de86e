"""What git knows of the checkout that a deploy is made from."""

from __future__ import annotations

from git_deployments.codec import parse_commit
from git_deployments.errors import DeploymentsError
from git_deployments.git import text
from git_deployments.names import shown
from git_deployments.repository import BadConfiguration, Repository
from git_deployments.source import Checkout


def look(repository: Repository) -> Checkout:
    """HEAD, its branch, the origin URL, and whether tracked files were changed."""
    git = repository.git
    questions = [git.start("rev-parse", "-q", "--verify", "HEAD^{commit}"), git.start("symbolic-ref", "-q", "HEAD")]
    status = None
    if repository.layout.top is not None:
        status = git.start("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=none")
    (head_code, head, _), (branch_code, branch, _) = (question.finish() for question in questions)
    urls = repository.config.get("remote.origin.url")
    return Checkout(
        head=text(head).strip() if head_code == 0 else None,
        branch=text(branch).strip().removeprefix("refs/heads/") if branch_code == 0 else None,
        origin=urls[-1] if urls else None,
        dirty=bool(status and status.result()),
    )


def present(repository: Repository, oid: str) -> bool:
    """The commit is in this repository."""
    try:
        found = repository.reading.find(oid)
    except DeploymentsError:
        return False
    return found is not None and found.kind == "commit" and found.oid == oid


def first_line(repository: Repository, oid: str) -> str | None:
    """First line of a commit's message; None where the commit is not here or says nothing."""
    if not present(repository, oid):
        return None
    message = parse_commit(repository.reading.object(oid)).message
    return message.strip().partition("\n")[0].strip() or None


def full_commit(repository: Repository, name: str) -> str | None:
    """The full id of an abbreviated commit; None where it is unknown or not unique."""
    return repository.git.line("rev-parse", "-q", "--verify", "--end-of-options", f"{name}^{{commit}}")


def default_remote(repository: Repository) -> str | None:
    """`deployments.remote`, else the branch's upstream remote, else the only one, else origin (issue "Sync")."""
    configured = repository.setting("remote")
    if configured:
        return configured
    remotes = repository.remotes
    if len(remotes) <= 1:
        return remotes[0] if remotes else None
    branch = repository.git.line("symbolic-ref", "-q", "--short", "HEAD")
    upstream = repository.config.get(f"branch.{branch}.remote", [""])[-1]
    if upstream in remotes:
        return upstream
    return "origin" if "origin" in remotes else None


def must_be_kept(repository: Repository, oid: str) -> bool:
    """Whether `sources/<n>` belongs to a version of this code, `deployments.keepSource` heard first.

    Raises `BadConfiguration`.
    """
    value = (repository.setting("keepSource") or "auto").lower()
    if value not in ("auto", "always", "never"):
        raise BadConfiguration(
            f"deployments.keepSource is '{shown(value)}' and none of auto, always, never; "
            "git config deployments.keepSource auto"
        )
    return value == "always" or (value == "auto" and not is_kept(repository, oid))


def is_kept(repository: Repository, oid: str) -> bool:
    """The remote's default branch, or a tag, contains the commit: its code is not lost (design, "Refs").

    Without such a branch: `main`, else `master`, else the branch of HEAD.
    """
    git, remote = repository.git, default_remote(repository)
    if remote and (branch := git.line("symbolic-ref", "-q", f"refs/remotes/{remote}/HEAD")):
        return _is_contained(repository, oid, branch)
    homes = ["refs/heads/", *([f"refs/remotes/{remote}/"] if remote else [])]
    usual = [home + name for home in homes for name in ("main", "master")]
    if _is_contained(repository, oid, *usual):
        return True
    head = None if git.refs(*usual) else git.line("symbolic-ref", "-q", "HEAD")
    return head is not None and _is_contained(repository, oid, head)


def _is_contained(repository: Repository, oid: str, *branches: str) -> bool:
    options = ("--count=1", "--format=%(refname)", f"--contains={oid}")
    code, out, _ = repository.git.ask("for-each-ref", *options, *branches, "refs/tags")
    return code == 0 and bool(out.strip())


def is_ancestor(repository: Repository, older: str, newer: str) -> bool | None:
    """Whether `older` is in the history of `newer`; None where git cannot tell, as in a shallow clone."""
    code, _, _ = repository.git.ask("merge-base", "--is-ancestor", older, newer)
    if code == 1 and repository.git.line("rev-parse", "--is-shallow-repository") == "true":
        return None
    return {0: True, 1: False}.get(code)


def object_at(repository: Repository, commit: str, path: str) -> str | None:
    """Id of what stands at `path` (relative to the root; empty for the whole tree) in a commit."""
    found = repository.reading.find(f"{commit}:{path}")
    return found.oid if found else None


def file_at(repository: Repository, commit: str, path: str) -> bytes | None:
    """Content of a file in a commit, symbolic links followed within it; None where there is none."""
    found = repository.reading.find(f"{commit}:{path}")
    # A link has no end of line; and git is asked only where there may be one, for that takes a process.
    if b"\n" not in found.data if found else _may_be_behind_a_link(repository, commit, path):
        asked = f"{commit}:{path}\n".encode("utf-8", "surrogateescape")
        answer = text(repository.git.run("cat-file", "--batch-check", "--follow-symlinks", stdin=asked)).split(" ")
        found = repository.reading.find(answer[0]) if len(answer) == 3 and answer[1] == "blob" else None
    return found.data if found and found.kind == "blob" else None


def _may_be_behind_a_link(repository: Repository, commit: str, path: str) -> bool:
    """Whether something else than a directory stands where the path wants one."""
    parts = path.split("/")
    above = (repository.reading.find(f"{commit}:{'/'.join(parts[:end])}") for end in range(1, len(parts)))
    first = next((found for found in above if found is None or found.kind != "tree"), None)
    return first is not None and first.kind == "blob"
