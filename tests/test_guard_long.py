"""A long history that comes with one push: two processes check it, and find what one finds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from git_deployments.git import at
from git_deployments.objects import Pack

from .benchmarks.histories import Plan, history
from .conftest import Project, Result, prepared

PREFIX = "refs/deployments/etl/prod"
LENGTH = 450
ZERO = "0" * 40
NEEDS_STRACE = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here to be in the way")


def long(path: Path) -> None:
    """A hub without deployments, and a repository beside it with one of 450 versions; their ids are SHA-1, always."""
    history(path / "ada", Plan(LENGTH, keep=0))
    subprocess.run(["git", "init", "-q", "--bare", "--object-format=sha1", str(path / "hub.git")], check=True)


@pytest.fixture
def ada(tmp_path: Path) -> Project:
    prepared(tmp_path, long)
    return Project(tmp_path / "ada")


def guarded(ada: Project, refs: Mapping[str, str], *before: str) -> Result:
    """What the hub's guard says of a push of these refs. `before`: a program that starts it, with its options."""
    environment = {**os.environ, "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(ada.path / ".git" / "objects")}
    done = subprocess.run(
        [*before, sys.executable, "-m", "git_deployments", "hook", "pre-receive"],
        cwd=ada.path.parent / "hub.git",
        env=environment,
        input="".join(f"{ZERO} {oid} {ref}\n" for ref, oid in refs.items()),
        capture_output=True,
        text=True,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def on_one_processor() -> list[str]:
    """Starts what has no second processor."""
    return ["taskset", "-c", str(min(os.sched_getaffinity(0)))]


Change = Callable[[bytes], bytes]


def rewritten(ada: Project, changes: Mapping[str, Change]) -> dict[str, str]:
    """The refs of the same history with some commits changed, and whatever names them with them."""
    order = ada.git("rev-list", "--reverse", "--topo-order", f"{PREFIX}/log").split("\n")
    changed = {ada.git("rev-parse", revision): change for revision, change in changes.items()}
    read = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=ada.path, input="\n".join(order).encode(), capture_output=True, check=True
    )
    objects = Pack(at(str(ada.path), os.environ), "sha1")
    ids: dict[bytes, bytes] = {}
    rest = read.stdout
    for oid in order:
        header, _, rest = rest.partition(b"\n")
        size = int(header.split(b" ")[2])
        data, rest = rest[:size], rest[size + 1 :]
        data = re.sub(rb"[0-9a-f]{40}", lambda found: ids.get(found[0], found[0]), data)
        ids[oid.encode()] = objects.write("commit", changed[oid](data) if oid in changed else data).encode()
    objects.finish()
    return {ref: ids[oid.encode()].decode() for ref, oid in ada.refs().items()}


def put(old: str, new: str) -> Change:
    """Other words in a commit."""

    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return change


def version(number: int) -> str:
    return f"{PREFIX}/versions/{number}"


def event(number: int) -> str:
    """That made a version."""
    return f"{PREFIX}/log~{LENGTH - number}"


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ("inject=clone:error=EAGAIN", "(INJECTED)"),
        ("inject=close_range:signal=KILL", "killed by SIGKILL"),
    ],
)
@NEEDS_STRACE
def test_a_second_process_that_does_not_come_to_its_end_takes_nothing_from_the_check(
    ada: Project, tmp_path: Path, how: str, seen: str
) -> None:
    trace = tmp_path / "trace"
    strace = ("strace", "-f", "-o", str(trace), "-e", how)
    assert guarded(ada, ada.refs(), *strace) == Result(0, "", "")
    assert seen in trace.read_text()
    result = guarded(ada, rewritten(ada, {version(100): put("Number: 100", "Number: 101")}), *strace)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "stands where v100 belongs" in result.err


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not here to take the second processor away")
@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({}, ""),
        ({version(100): put("Number: 100", "Number: 101")}, "stands where v100 belongs"),
        ({version(300): put("Number: 300", "Number: 299")}, "stands where v300 belongs"),
        ({event(100): put("Paused: false", "Paused: true")}, "Paused is not what its settings say"),
        ({event(300): put("Paused: false", "Paused: true")}, "Paused is not what its settings say"),
        # Where the halves meet.
        ({event(225): put("To: 225", "To: 224")}, "Live-Commit is not v224"),
        ({event(226): put("From: 225", "From: 224")}, "From is 224, but 225 was live before it"),
        ({event(226): put("Number: 226", "Number: 227")}, "it makes v227 after v225"),
        ({event(225): put("Deployment: etl/prod", "Deployment: etl/test")}, "is of 'etl/test'"),
        ({event(225): put("Action: deploy", "Action: none")}, "the trailer Action is 'none'"),
        # What the newest event says is longer than the history is.
        ({event(450): put("Latest: 450", "Latest: 900")}, "stands where v900 belongs"),
        ({event(450): put("Latest: 450", "Latest: 99999999999")}, "stands where v99999999999 belongs"),
        ({event(450): put("Latest: 450", "Latest: 440")}, "stands where v440 belongs"),
    ],
)
def test_two_processes_find_what_one_finds(ada: Project, changes: Mapping[str, Change], saying: str) -> None:
    refs = rewritten(ada, changes)
    found = guarded(ada, refs)
    assert found == guarded(ada, refs, *on_one_processor())
    assert found.code == bool(changes)
    assert saying in found.err


def test_where_the_halves_meet_a_version_has_the_parent_that_is_its_own(ada: Project) -> None:
    for number in (100, 224, 225, 226, 227, 300):
        before, other = (ada.git("rev-parse", version(number - steps)) for steps in (1, 2))
        refs = rewritten(ada, {version(number): put(f"parent {before}", f"parent {other}")})
        found = guarded(ada, refs)
        assert found.code == 1
        assert f"stands where v{number - 1} belongs" in found.err


def test_versions_that_are_moved_to_from_the_other_half(ada: Project) -> None:
    """Rollbacks reach back beyond the middle; one that names another version there is refused."""
    for number in ("3", "225", "226", "449"):
        ada.ok("rollback", "prod", number)
        ada.ok("promote", "prod")
    assert guarded(ada, ada.refs()) == Result(0, "", "")
    three, four = (ada.git("rev-parse", version(number)) for number in (3, 4))
    refs = rewritten(ada, {f"{PREFIX}/log~7": put(f"Live-Commit: {three}", f"Live-Commit: {four}")})
    found = guarded(ada, refs)
    assert found.code == 1
    assert "Live-Commit is not v3" in found.err


def test_a_long_history_goes_on(ada: Project, tmp_path: Path) -> None:
    """Only what is new is checked in halves; what does not follow is a fork."""
    hub = Project(tmp_path / "hub.git")
    ada.git("push", "-q", str(hub.path), f"{event(20)}:{PREFIX}/log", f"{version(20)}:{PREFIX}/live")
    old = {f"{PREFIX}/log": event(20), f"{PREFIX}/live": version(20)}
    push = "".join(f"{ada.git('rev-parse', old[ref])} {ada.refs()[ref]} {ref}\n" for ref in old)
    push += "".join(f"{ZERO} {oid} {ref}\n" for ref, oid in ada.refs().items() if "/versions/" in ref)
    objects = str(ada.path / ".git" / "objects")
    result = hub.run("hook", "pre-receive", stdin=push, GIT_ALTERNATE_OBJECT_DIRECTORIES=objects)
    assert (result.code, result.err) == (0, "")
    other = rewritten(ada, {event(20): put("Batch 20", "Another batch")})
    push = "".join(f"{ada.git('rev-parse', old[ref])} {other[ref]} {ref}\n" for ref in old)
    result = hub.run("hook", "pre-receive", stdin=push, GIT_ALTERNATE_OBJECT_DIRECTORIES=objects)
    assert result.code == 1
    assert "its log may not be replaced by another" in result.err
