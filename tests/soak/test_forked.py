"""What finds hangs and crashes is held to finding them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from . import forked


def work(case: str) -> Iterator[str]:
    if case == "hang":
        time.sleep(60)
    if case == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if case == "raise":
        raise ValueError(case)
    if case == "wrong":
        yield "is wrong"


def test_who_hangs_dies_raises_or_is_wrong_is_named_and_the_others_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "LIMIT", 0.5)
    cases = ["well", "well", "hang", "well", "crash", "raise", "wrong", "well"]
    found = sorted(forked.problems(lambda: work, cases))
    assert [problem.split(":")[0] for problem in found] == ["crash", "hang", "raise", "wrong"]
    assert found[0].endswith("is ended by SIGKILL")
    assert found[1].endswith("hangs")
    assert "ValueError: raise" in found[2]
    assert forked.problems(lambda: work, ["well"] * 5) == []
