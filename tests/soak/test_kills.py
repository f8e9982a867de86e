"""The real command, killed at each system call that changes the disk or feeds another process, and at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from . import SEED, SHORT, SOAK, tracing
from .world import COMMAND, SCENES, Scene, World, build, check, stage

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
    (scene, world, before, calls), report = stage(tmp_path, name, "tree"), tmp_path / "report"
    disk = [nth for nth, line in enumerate(calls, 1) if not line[-1].startswith("pipe:")][::STEP]
    wanted = [("tree", nth) for nth in sorted({*disk, *range(1, len(calls), PIPES)})]
    first = min(int(line[0]) for line in calls)
    wanted += [("one", nth) for nth in disk if int(calls[nth - 1][0]) != first][:: 2 if SHORT else 1]
    kills, locks = Counter[str](), 0
    for how, nth in wanted:
        copy = world.copied(tmp_path / "copy")
        code, met = tracing.run(copy.ada.path, scene.words, nth, how, report)
        try:
            locks += check(copy, scene, before, code) > 0
        except AssertionError as error:
            raise AssertionError(f"{how} killed at call {nth}, {met[-1:]}: {error}") from error
        kills[met[-1][1]] += len(met) == nth
    print(f"{name}: {kills.total()} kills, locks left by {locks}: {dict(kills)}")
    assert kills.total() >= len(wanted) * 0.9


def ended_early(world: World, scene: Scene, seconds: float, number: int, group: bool) -> int:
    """Exit code of a command that gets a signal after so many seconds, alone or with all that it started."""
    started = subprocess.Popen(
        [*COMMAND, *scene.words], cwd=world.ada.path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    time.sleep(seconds)
    (os.killpg if group else os.kill)(started.pid, number)
    said = started.communicate(timeout=60)[1]
    assert "Traceback" not in said, said
    _quiet(started.pid)
    return 128 - started.returncode if started.returncode < 0 else started.returncode


def _quiet(group: int) -> None:
    """Wait for what a command had started: git ends by itself what nobody waits for any more."""
    for _ in range(1000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("something goes on for ever")


def usual(world: World, scene: Scene) -> float:
    """Seconds that the command takes."""
    start = time.monotonic()
    subprocess.run([*COMMAND, *scene.words], cwd=world.ada.path, check=True, capture_output=True)
    return time.monotonic() - start


@pytest.mark.parametrize("name", SCENES)
def test_a_command_killed_at_any_moment_loses_nothing(tmp_path: Path, name: str) -> None:
    scene, world, chance = SCENES[name], build(tmp_path / "world"), random.Random(SEED + name)
    scene.prepare(world)
    before, whole = world.refs(), usual(world.copied(tmp_path / "copy"), scene)
    kills = locks = 0
    while kills < MOMENTS:
        copy, moment, group = world.copied(tmp_path / "copy"), chance.uniform(0.02, whole), chance.random() < 0.7
        code = ended_early(copy, scene, moment, signal.SIGKILL, group)
        kills += code == 128 + signal.SIGKILL
        try:
            locks += check(copy, scene, before, code) > 0
        except AssertionError as error:
            raise AssertionError(f"killed after {moment:.4f} of {whole:.4f} s, group {group}: {error}") from error
    print(f"{name}: {kills} kills, locks left by {locks}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", SCENES)
def test_a_command_that_is_told_to_end_leaves_no_lock(tmp_path: Path, name: str, number: signal.Signals) -> None:
    """^C reaches all that a terminal started, SIGTERM as a service manager sends it the command or all of it."""
    scene, world, chance = SCENES[name], build(tmp_path / "world"), random.Random(f"{SEED}{name}{number}")
    scene.prepare(world)
    before, whole = world.refs(), usual(world.copied(tmp_path / "copy"), scene)
    told = locks = 0
    while told < SIGNALS:
        copy, moment = world.copied(tmp_path / "copy"), chance.uniform(0.05, whole)
        group = number == signal.SIGINT or chance.random() < 0.5
        code = ended_early(copy, scene, moment, number, group)
        told += code != 0
        locks += bool(copy.locks())
        check(copy, scene, before, code)
    assert locks <= 1, "more than what a signal leaves just between the making of a lock and git's note that it did"


@pytest.mark.skipif(not tracing.CALLS, reason="system calls are known for Linux on x86_64 and aarch64 only")
@pytest.mark.parametrize("name", SCENES)
def test_a_command_that_is_told_to_end_at_any_change_of_the_disk_leaves_no_lock(tmp_path: Path, name: str) -> None:
    """But at the making of a file: git notes that a lock is its own right after that."""
    (scene, world, before, calls), report = stage(tmp_path, name, "SIGINT"), tmp_path / "report"
    told = 0
    for nth in [nth for nth, line in enumerate(calls, 1) if not line[1].startswith("open")][::STEP]:
        how = ("SIGINT", "SIGTERM")[nth % 2]
        copy = world.copied(tmp_path / "copy")
        code, met = tracing.run(copy.ada.path, scene.words, nth, how, report)
        told += len(met) == nth
        making = met[-1][1].startswith("open")  # what goes through a pipe does so in more pieces, or in fewer
        assert making or copy.locks() == [], (how, nth, met[-1])
        check(copy, scene, before, code)
    print(f"{name}: told to end {told} times")
    assert told
