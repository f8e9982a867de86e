"""The real command where the disk refuses what it writes: at every single write, and when it is full."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import SHORT, SOAK, tracing
from .world import COMMAND, calls_of, stage

pytestmark = pytest.mark.skipif(not SOAK, reason="long; make soak runs it")

STEP = 25 if SHORT else 1
"""Of so many calls, one is refused."""
ERRORS = ("ENOSPC", "EIO", "EROFS", "EACCES")
NAMES = ("deploy", "rollback", "pull", "pull and renumber")
SIZE = 3 << 20
"""Bytes of the small disk."""
BLOCK = 4096


@pytest.mark.skipif(not tracing.CAN_REFUSE, reason="how a call is refused is known for Linux on x86_64 only")
@pytest.mark.parametrize("name", NAMES)
def test_a_write_that_the_disk_refuses_is_one_line_and_nothing_half_done(tmp_path: Path, name: str) -> None:
    (scene, world, endings), report = stage(tmp_path, name), tmp_path / "report"
    calls = calls_of(tmp_path, scene, world, "ENOSPC")
    refused, failed = Counter[str](), 0
    for place, error in enumerate(ERRORS):
        for nth in range(1 + place * STEP // len(ERRORS), len(calls) + 1, STEP):
            copy = world.copied(tmp_path / "copy")
            code, met, said = tracing.heard(copy.ada.path, scene.words, nth, error, report)
            try:
                assert code == 0 or said.splitlines()[-1].startswith(("fatal: ", "error: ")), (code, said)
                endings.check(copy, code)
            except AssertionError as failure:
                raise AssertionError(f"{error} at call {nth}, {met[-1:]}, {said!r}: {failure}") from failure
            refused[error] += len(met) == nth
            failed += code != 0
    print(f"{name}: {dict(refused)} refused, of which {failed} ended the command; {endings.different} endings")
    assert refused.total() >= len(ERRORS) * (len(calls) // STEP) * 0.9


@contextmanager
def mounted(path: Path) -> Iterator[Path]:
    """A disk of `SIZE` bytes in memory."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},nr_inodes=10000", "none", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a disk of one's own needs root: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_is_full_is_one_line_and_nothing_half_done(tmp_path: Path, name: str) -> None:
    scene, world, endings = stage(tmp_path, name)
    for project in (world.ada, world.hub):
        for sample in (project.path / ".git/hooks", project.path / "hooks"):
            for file in sample.glob("*.sample"):
                file.unlink()
    ends = Counter[int]()
    with mounted(tmp_path / "small") as small:
        for left in range(0, 40, 8 if SHORT else 1):
            copy = world.copied(small / "copy")
            filling = small / "filling"
            _fill(filling, left)
            done = subprocess.run([*COMMAND, *scene.words], cwd=copy.ada.path, capture_output=True, text=True)
            filling.unlink()
            assert "Traceback" not in done.stderr, done.stderr
            assert done.returncode == 0 or "fatal: " in done.stderr, (left, done)
            try:
                endings.check(copy, done.returncode)
            except AssertionError as failure:
                raise AssertionError(f"{left} blocks left, {done.stderr!r}: {failure}") from failure
            ends[done.returncode] += 1
    print(f"{name}: ended with {dict(ends)}, {endings.different} endings")
    assert ends[0]
    assert ends.total() > ends[0]


def _fill(file: Path, left: int) -> None:
    """Take all of the disk but so many blocks."""
    with file.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"\0" * BLOCK)
        except OSError:
            stream.truncate(max(0, file.stat().st_size - left * BLOCK))
