"""A small part of `tests/soak/test_kills.py` and `test_faults.py`: killed, refused, told to end, at a few moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from .soak import tracing
from .soak.world import calls_of, stage


@pytest.mark.parametrize(
    ("name", "how"), [("rollback", "tree"), ("deploy", "one"), ("rollback", "ENOSPC"), ("pull and renumber", "tree")]
)
def test_a_command_that_does_not_come_to_its_end_loses_nothing(tmp_path: Path, name: str, how: str) -> None:
    if not (tracing.CALLS if how in ("tree", "one") else tracing.CAN_REFUSE):
        pytest.skip("system calls are met on Linux alone")
    (scene, world, endings), report = stage(tmp_path, name), tmp_path / "report"
    calls = calls_of(tmp_path, scene, world, how)
    changes = [nth for nth, line in enumerate(calls, 1) if line[1] in ("rename", "link", "fsync")]
    assert len(changes) >= 4
    met = 0
    for nth in (changes[1], changes[-1]):
        copy = world.copied(tmp_path / "copy")
        code, calls = tracing.run(copy.ada.path, scene.words, nth, how, report)
        met += len(calls) == nth  # what goes through a pipe does so in more pieces, or in fewer
        endings.check(copy, code)
    assert met


@pytest.mark.skipif(not tracing.CALLS, reason="system calls are met on Linux alone")
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_a_command_that_is_told_to_end_while_it_holds_locks_leaves_none(tmp_path: Path, how: str) -> None:
    (scene, world, endings), report = stage(tmp_path, "deploy --push"), tmp_path / "report"
    calls = calls_of(tmp_path, scene, world, how)
    written = [nth for nth, line in enumerate(calls, 1) if line[-1].endswith(".lock")]
    assert len(written) >= 4
    for nth in (written[0], written[-1]):
        copy = world.copied(tmp_path / "copy")
        code, calls = tracing.run(copy.ada.path, scene.words, nth, how, report)
        assert calls[-1][-1].endswith(".lock")
        assert copy.locks() == []
        endings.check(copy, code)
