"""What is damaged here, brought again from a remote. What can be read is not touched.

Objects come as one pack of the whole history that the remote has: git reads a pack before it looks for a loose
object, and another pack where one is damaged, so the good copy is found whatever became of the first. They are
fetched into a directory of their own, since git takes over nothing that it has already, readable or not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from git_deployments.audit import broken_refs, repair_refs
from git_deployments.git import DURABLE, GitFailed, text
from git_deployments.history import Broken
from git_deployments.names import encode, shown
from git_deployments.refs import LIVE, LOG, ROOT, Ref, parse_ref, remote_root
from git_deployments.repository import Repository

NEWEST = 2000
"""Commits of versions and events that are read where not all are asked for: a pull stays quick however long the log."""
Echo = Callable[[bytes], None]
There = Callable[[], list[str]]


class Mended(NamedTuple):
    """What was brought again."""

    done: tuple[str, ...] = ()
    """A line for each thing."""
    damaged: str | None = None
    """What git says of the first object that is still damaged, since the remote does not have it either."""


def mend(
    repository: Repository,
    remote: str,
    wanted: list[str] | None,
    tips: list[str],
    whole: bool,
    there: There,
    echo: Echo | None,
) -> Mended:
    """Bring again what cannot be read of the deployments of these full names, or of all; all broken refs.

    `tips`: object ids that all of it is reached from. Reads the `NEWEST` of that, or the `whole`, and asks nothing of
    the remote where all is well. `there`: the deployments whose log the remote has. Raises `GitFailed` where the
    remote cannot be asked, `Broken` where it does not have the log of a broken ref: git cannot fetch beside that.
    """
    _forget(repository, broken_refs(repository, remote_root(remote)))
    broken = {ref: parsed for ref in broken_refs(repository) if (parsed := parse_ref(ref))}
    lost = {parsed.name: ref for ref, parsed in broken.items() if parsed.kind == LOG}
    objects = _mend_objects(repository, remote, wanted, tips, None if whole else NEWEST, bool(lost), echo)
    return objects._replace(done=(*objects.done, *_mend_refs(repository, remote, broken, lost, there)))


def _mend_objects(
    repository: Repository,
    remote: str,
    wanted: list[str] | None,
    tips: list[str],
    commits: int | None,
    anyway: bool,
    echo: Echo | None,
) -> Mended:
    """`anyway`: nothing here says what a log was at, so nothing says what there is to read."""
    damage = repository.git.unreadable(tips, commits) if tips else None
    if damage is None and not anyway:
        return Mended()
    _fetch_again(repository, remote, wanted, echo)
    repository.reading.close()  # it has seen the objects that there were
    left = repository.git.unreadable(tips, commits)
    done = (f"damaged here, and fetched again from {shown(remote)}: {damage}",) if damage and left is None else ()
    return Mended(done, left)


def _mend_refs(
    repository: Repository, remote: str, broken: Mapping[str, Ref], lost: Mapping[str, str], there: There
) -> list[str]:
    """Broken refs of a deployment whose log is `lost` are let go of, so that they come from the remote."""
    if lost:
        missing = lost.keys() - set(there())
        if missing:
            ref = lost[min(missing)]
            raise Broken(
                f"{shown(ref)} is broken: it names no object, and {shown(remote)} has none of that name; "
                "pull from a remote that has it, or remove the file"
            )
    gone = [ref for ref, parsed in broken.items() if parsed.name in lost]
    _forget(repository, gone)
    lines = [f"{shown(ref)} was broken, and comes from {shown(remote)}" for ref in gone]
    return lines + (repair_refs(repository) if len(gone) < len(broken) else [])


def _forget(repository: Repository, refs: Iterable[str]) -> None:
    """git neither overwrites nor deletes a ref that it cannot read. One that was written meanwhile stays."""
    for ref in refs:
        if not (repository.git.line("rev-parse", "-q", "--verify", ref) or "").strip("0"):
            os.unlink(os.path.join(repository.layout.common_dir, *ref.split("/")))


def _fetch_again(repository: Repository, remote: str, wanted: list[str] | None, echo: Echo | None) -> None:
    import tempfile

    objects = _objects(repository)
    here = remote_root(remote)
    specs = [f"+{ROOT}*/{kind}:{here}*/{kind}" for kind in (LOG, LIVE)]
    if wanted is not None:
        specs = [f"+{ROOT}{encode(name)}/l*:{here}{encode(name)}/l*" for name in wanted]
    # git removes old directories of such names itself: what a kill leaves does not stay.
    with tempfile.TemporaryDirectory(prefix="tmp_objdir-mend-", dir=objects) as beside:
        git = repository.git._replace(environment={**repository.git.environment, "GIT_OBJECT_DIRECTORY": beside})
        options = ("--dry-run", "--no-filter", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        progress = ("--progress",) if echo else ("--quiet",)
        arguments = (*DURABLE, "-c", "fetch.unpackLimit=1", "fetch", *options, "--refmap=", *progress, remote, *specs)
        code, _, stderr = git.start(*arguments).finish(echo=echo)
        # In the end git misses the objects of all other refs there, and says so; the pack is whole by then.
        packs = _adopt(os.path.join(beside, "pack"), os.path.join(objects, "pack"))
    if code and not packs:
        raise GitFailed(arguments, code, stderr)
    for pack in packs:
        _remove_loose(repository, objects, pack)


def _objects(repository: Repository) -> str:
    return os.path.abspath(
        os.path.join(repository.git.directory, repository.git.line("rev-parse", "--git-path", "objects") or "")
    )


def _adopt(source: str, target: str) -> list[str]:
    """Move packs to where git finds them, the index last, since it makes a pack count; paths of the indexes."""
    files = os.listdir(source) if os.path.isdir(source) else []
    packs = sorted((file for file in files if file.startswith("pack-")), key=lambda file: file.endswith(".idx"))
    os.makedirs(target, exist_ok=True)
    for file in packs:
        os.replace(os.path.join(source, file), os.path.join(target, file))
    return [os.path.join(target, file) for file in packs if file.endswith(".idx")]


def _remove_loose(repository: Repository, objects: str, index: str) -> None:
    """What is in a new pack is not needed beside it, and the damaged files are among it (git manual, prune-packed)."""
    with open(index, "rb") as stream:
        listing = text(
            repository.git.run("show-index", f"--object-format={repository.layout.hash}", stdin=stream.read())
        )
    for line in listing.split("\n")[:-1]:
        oid = line.split(" ")[1]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(objects, oid[:2], oid[2:]))
