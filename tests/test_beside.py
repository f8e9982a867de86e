"""Work that a second process does for us: its answer is whole, or there is none."""

from __future__ import annotations

import os
import signal
import time

import pytest

from git_deployments import beside


def test_an_answer_of_any_size_comes_whole() -> None:
    for size in (0, 1, 1_000_000):
        answer = [("x" * size, True, None)] * 3
        other = beside.begin(answer.copy)
        assert other is not None
        assert other.result() == answer


def test_what_fails_or_is_killed_or_cannot_be_told_gives_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> list[str]:
        raise ValueError("no")

    def be_killed() -> list[str]:
        os.kill(os.getpid(), signal.SIGKILL)
        return ["not said"]

    def tell_what_cannot_be_told() -> object:
        return object()

    for work in (fail, be_killed, tell_what_cannot_be_told):
        other = beside.begin(work)
        assert other is not None
        assert other.result() is None
    assert capfd.readouterr() == ("", "")


def test_the_other_process_holds_nothing_of_ours_open() -> None:
    ours, its = os.pipe()
    other = beside.begin(lambda: [time.sleep(60)])  # type: ignore[func-returns-value]
    assert other is not None
    os.close(its)
    assert os.read(ours, 1) == b""
    os.close(ours)
    os.kill(other.pid, signal.SIGKILL)
    assert other.result() is None


@pytest.mark.skipif(not beside.possible(), reason="there is no second processor here")
def test_there_are_never_more_than_two() -> None:
    other = beside.begin(lambda: [beside.possible()])
    assert not beside.possible()
    assert other is not None
    assert other.result() == [False]
    assert beside.possible()


def test_nothing_is_left_of_it() -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        other = beside.begin(lambda: [1])
        assert other is not None
        assert other.result() == [1]
    assert not before or len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
