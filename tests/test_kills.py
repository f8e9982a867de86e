"""A small part of `tests/soak/test_kills.py` and `test_faults.py`: killed, refused, told to end, at a few moments."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from .soak import tracing
from .soak.test_kills import ended_early
from .soak.world import SCENES, build, check


@pytest.mark.parametrize(
    ("name", "how"), [("rollback", "tree"), ("deploy", "one"), ("rollback", "ENOSPC"), ("pull and renumber", "tree")]
)
def test_a_command_that_does_not_come_to_its_end_loses_nothing(tmp_path: Path, name: str, how: str) -> None:
    if not (tracing.CALLS if how in ("tree", "one") else tracing.CAN_REFUSE):
        pytest.skip("system calls are met on Linux alone")
    scene, world, report = SCENES[name], build(tmp_path / "world"), tmp_path / "report"
    scene.prepare(world)
    before = world.refs()
    _, calls = tracing.run(world.copied(tmp_path / "copy").ada.path, scene.words, 0, how, report)
    changes = [nth for nth, line in enumerate(calls, 1) if line[1] in ("rename", "link", "fsync")]
    assert len(changes) >= 4
    met = 0
    for nth in (changes[1], changes[-1]):
        copy = world.copied(tmp_path / "copy")
        code, calls = tracing.run(copy.ada.path, scene.words, nth, how, report)
        met += len(calls) == nth  # what goes through a pipe does so in more pieces, or in fewer
        check(copy, scene, before, code)
    assert met


def test_a_command_that_is_told_to_end_leaves_no_lock(tmp_path: Path) -> None:
    scene, world = SCENES["deploy --push"], build(tmp_path / "world")
    scene.prepare(world)
    before = world.refs()
    for moment, number in ((0.15, signal.SIGINT), (0.2, signal.SIGTERM)):
        copy = world.copied(tmp_path / "copy")
        code = ended_early(copy, scene, moment, number, group=True)
        assert copy.locks() == []
        check(copy, scene, before, code)
