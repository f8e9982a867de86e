"""The real command, killed or refused at each system call that changes the disk: needs strace, which must be there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import pytest

from ..conftest import Project
from . import SHORT, SOAK

pytestmark = pytest.mark.skipif(not SOAK, reason="long; make soak runs it")

CALLS = ("write", "pwrite64", "fsync", "link", "linkat", "rename", "renameat", "unlink", "unlinkat", "mkdir")
STEP = 6 if SHORT else 1
"""Of so many calls of a kind, one is met."""
LOCKS = [f".git/refs/deployments/etl/prod/{name}.lock" for name in ("live", "log", "versions/4")]
REFUSED: dict[str, list[str]] = {call: [] if call != "write" else LOCKS for call in CALLS}
"""The calls that a disk can refuse, and which files: a write to a pipe is none, and git does not look at it."""
ERRORS = ("ENOSPC",) if SHORT else ("ENOSPC", "EIO", "EROFS", "EACCES")
COMMANDS = {
    "deploy": ("deploy", "-q"),
    "update": ("update", "etl/prod", "description=killed"),
    "rollback": ("rollback", "etl/prod", "v1"),
}
LOG, LIVE = "refs/deployments/etl/prod/log", "refs/deployments/etl/prod/live"


def traced(
    project: Project, words: tuple[str, ...], call: str, fault: str, files: Iterable[Path] = ()
) -> tuple[int, str, str]:
    """Run a command, each of whose processes meets a fault at such a call; how it ended, what it said, the trace."""
    trace = project.path.parent / "trace"
    strace = ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={call}", "-e", f"inject={call}:{fault}"]
    strace += [word for file in files for word in ("-P", str(file))]
    command = [*strace, sys.executable, "-m", "git_deployments", *words]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr, trace.read_text(encoding="utf-8", errors="replace")


def release(project: Project) -> bool:
    """Let the locks that were left be old ones, and let fsck remove them; whether there were any."""
    locks = list((project.path / ".git").rglob("*.lock"))
    for lock in locks:
        os.utime(lock, (0, 0))
    if locks:
        project.run("fsck", "--repair")
    assert not list((project.path / ".git").rglob("*.lock"))
    return bool(locks)


def survived(project: Project, before: dict[str, str], code: int) -> None:
    """Nothing published changed, what was told to have worked is there, and the next command works."""
    after = project.refs()
    moved = after[LIVE]
    assert code != 0 or after[LOG] != before[LOG], "told to have worked, and is not there"
    assert {ref: after.get(ref) for ref in before if "/versions/" in ref} == {
        ref: oid for ref, oid in before.items() if "/versions/" in ref
    }
    assert moved == before[LIVE] or moved in {oid for ref, oid in after.items() if "/versions/" in ref}
    release(project)
    assert project.refs()[LIVE] == moved, "something moved live"
    assert project.ok("live", "etl/prod", "--oid").out.strip() == moved
    project.deploy("after")
    assert project.ok("fsck").out == ""
    project.git("fsck", "--strict")
    numbers = [row["number"] for row in project.ok("versions", "etl/prod", "--json").json]
    assert numbers == list(range(len(numbers), 0, -1))
    kept = {ref: oid for ref, oid in after.items() if "/versions/" in ref}
    assert kept.items() <= project.refs().items(), "a number was used twice"


def copied(project: Project) -> Project:
    """The same repository once more, in a place that is free again."""
    path = project.path.parent / "copy"
    shutil.rmtree(path, ignore_errors=True)
    return Project(Path(shutil.copytree(project.path, path, symlinks=True)))


@pytest.mark.parametrize("name", [*COMMANDS, "deploy over a live that was moved by hand"])
def test_a_command_killed_at_any_change_of_the_disk_loses_nothing(versions: Project, name: str) -> None:
    assert shutil.which("strace"), "these tests need strace: apt-get install strace"
    if name not in COMMANDS:
        versions.git("update-ref", LIVE, "refs/deployments/etl/prod/versions/2")
    versions.manifest("killed")
    before, kills = versions.refs(), 0
    for call in CALLS:
        for nth in count(1, STEP):
            copy = copied(versions)
            code, _, trace = traced(copy, COMMANDS[name.split()[0]], call, f"signal=KILL:when={nth}")
            if "killed by SIGKILL" not in trace:
                break
            survived(copy, before, code)
            kills += 1
    print(f"{name}: {kills} kills")
    assert kills >= 5


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("name", ["deploy", "rollback"])
def test_a_write_that_the_disk_refuses_is_one_line_and_nothing_half_done(
    versions: Project, name: str, error: str
) -> None:
    assert shutil.which("strace"), "these tests need strace: apt-get install strace"
    versions.manifest("refused")
    before, faults = versions.refs(), 0
    for call, files in REFUSED.items():
        for nth in count(1, STEP):
            copy = copied(versions)
            paths = [copy.path / file for file in files]
            code, said, trace = traced(copy, COMMANDS[name], call, f"error={error}:when={nth}", paths)
            if "INJECTED" not in trace:
                break
            if code:
                assert "fatal: " in said, (call, nth, code, said)
            survived(copy, before, code)
            faults += 1
    print(f"{name}, {error}: {faults} faults")
    assert faults >= 5
