"""The real command, killed at each system call that changes the disk or feeds another process, and at any moment."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import SEED, SHORT, SOAK, tracing
from .world import COMMAND, SCENES, Scene, World, calls_of, stage

pytestmark = pytest.mark.skipif(not SOAK, reason="long; make soak runs it")

STEP, PIPES = (25, 50) if SHORT else (1, 10)
"""Of so many calls that change the disk, or that feed a pipe, one is met."""
MOMENTS = 6 if SHORT else 125
"""Kills of each scene."""
SIGNALS = 2 if SHORT else 10
"""Of each kind, at random moments of each scene."""


@pytest.mark.skipif(not tracing.CALLS, reason="system calls are known for Linux on x86_64 and aarch64 only")
@pytest.mark.parametrize("name", SCENES)
def test_a_command_killed_at_any_change_of_the_disk_loses_nothing(tmp_path: Path, name: str) -> None:
    (scene, world, endings), report = stage(tmp_path, name), tmp_path / "report"
    calls = calls_of(tmp_path, scene, world, "tree")
    disk = [nth for nth, line in enumerate(calls, 1) if not line[-1].startswith("pipe:")][::STEP]
    wanted = [("tree", nth) for nth in sorted({*disk, *range(1, len(calls), PIPES)})]
    first = min(int(line[0]) for line in calls)
    wanted += [("one", nth) for nth in disk if int(calls[nth - 1][0]) != first][:: 2 if SHORT else 1]
    kills, locks = Counter[str](), 0
    for how, nth in wanted:
        copy = world.copied(tmp_path / "copy")
        code, met = tracing.run(copy.ada.path, scene.words, nth, how, report)
        try:
            locks += endings.check(copy, code) > 0
        except AssertionError as error:
            raise AssertionError(f"{how} killed at call {nth}, {met[-1:]}: {error}") from error
        kills[met[-1][1]] += len(met) == nth
    print(f"{name}: {kills.total()} kills, {endings.different} endings, locks left by {locks}: {dict(kills)}")
    assert kills.total() >= len(wanted) * 0.9


def ended_early(world: World, scene: Scene, seconds: float, number: int, group: bool) -> int:
    """Exit code of a command that gets a signal after so many seconds, alone or with all that it started."""
    started = subprocess.Popen(
        [*COMMAND, *scene.words], cwd=world.ada.path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    time.sleep(seconds)
    (os.killpg if group else os.kill)(started.pid, number)
    said = started.communicate(timeout=60)[1]
    # One that names no file of ours is Python's own, which had not come to us yet.
    assert "Traceback" not in said or "git_deployments" not in said, said
    _quiet(started.pid)
    return 128 - started.returncode if started.returncode < 0 else started.returncode


def _quiet(group: int) -> None:
    """Wait for what a command had started: git ends by itself what nobody waits for any more."""
    for _ in range(1000):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-group, os.WNOHANG)
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("something goes on for ever")


@pytest.fixture(autouse=True)
def adopting() -> Iterator[None]:
    """What a killed command leaves behind becomes a child of ours: whose it is else may let it wait for a second."""
    tracing.adopt(True)
    yield
    tracing.adopt(False)


def usual(world: World, scene: Scene, copy: Path) -> float:
    """Seconds that the command takes, the middle of three times: what comes later than that mostly meets nothing."""
    times = []
    for _ in range(3):
        place = world.copied(copy).ada.path
        start = time.monotonic()
        subprocess.run([*COMMAND, *scene.words], cwd=place, check=True, capture_output=True)
        times.append(time.monotonic() - start)
    return sorted(times)[1]


@pytest.mark.parametrize("name", SCENES)
def test_a_command_killed_at_any_moment_loses_nothing(tmp_path: Path, name: str) -> None:
    (scene, world, endings), chance = stage(tmp_path, name), random.Random(SEED + name)
    whole = usual(world, scene, tmp_path / "copy")
    kills = locks = 0
    while kills < MOMENTS:
        copy, group = world.copied(tmp_path / "copy"), chance.random() < 0.7
        moment = chance.triangular(0.02, whole, whole)  # it starts first, and writes late
        code = ended_early(copy, scene, moment, signal.SIGKILL, group)
        kills += code == 128 + signal.SIGKILL
        try:
            locks += endings.check(copy, code) > 0
        except AssertionError as error:
            raise AssertionError(f"killed after {moment:.4f} of {whole:.4f} s, group {group}: {error}") from error
    print(f"{name}: {kills} kills, {endings.different} endings, locks left by {locks}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", SCENES)
def test_a_command_that_is_told_to_end_leaves_no_lock(tmp_path: Path, name: str, number: signal.Signals) -> None:
    """^C reaches all that a terminal started, SIGTERM as a service manager sends it the command or all of it."""
    (scene, world, endings), chance = stage(tmp_path, name), random.Random(f"{SEED}{name}{number}")
    whole = usual(world, scene, tmp_path / "copy")
    told = locks = 0
    while told < SIGNALS:
        copy, moment = world.copied(tmp_path / "copy"), chance.uniform(0.05, whole)
        group = number == signal.SIGINT or chance.random() < 0.5
        code = ended_early(copy, scene, moment, number, group)
        told += code != 0
        locks += bool(copy.locks())
        endings.check(copy, code)
    assert locks <= 1, "more than what a signal leaves just between the making of a lock and git's note that it did"


@pytest.mark.skipif(not tracing.CALLS, reason="system calls are known for Linux on x86_64 and aarch64 only")
@pytest.mark.parametrize("name", SCENES)
def test_a_command_that_is_told_to_end_at_any_change_of_the_disk_leaves_no_lock(tmp_path: Path, name: str) -> None:
    """But at the making of a file: git notes that a lock is its own right after that."""
    (scene, world, endings), report = stage(tmp_path, name), tmp_path / "report"
    calls, told = calls_of(tmp_path, scene, world, "SIGINT"), 0
    for nth in [nth for nth, line in enumerate(calls, 1) if not line[1].startswith("open")][::STEP]:
        how = ("SIGINT", "SIGTERM")[nth % 2]
        copy = world.copied(tmp_path / "copy")
        code, met = tracing.run(copy.ada.path, scene.words, nth, how, report)
        told += len(met) == nth
        making = met[-1][1].startswith("open")  # what goes through a pipe does so in more pieces, or in fewer
        assert making or copy.locks() == [], (how, nth, met[-1])
        endings.check(copy, code)
    print(f"{name}: told to end {told} times, {endings.different} endings")
    assert told
