"""Many cases, each done in a forked process: who hangs, dies or raises is what is looked for, and is named.

The processes stay for case after case, and only one that hung or died is started anew: many thousands take minutes.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

LIMIT = 20
"""Seconds for one case; they take less than one."""
WORKERS = 2
_FORKING = threading.Lock()
"""Another process must not be forked with the end of a pipe whose end is what tells that this one died."""

Case = TypeVar("Case")
Work = Callable[[Case], Iterator[str]]
"""Does a case and names what is wrong with it; an exception would be a traceback for the user."""


def _loop(start: Callable[[], Work[Case]], cases: Sequence[Case], answer: Connection) -> None:
    work = start()
    for case in cases:
        try:
            found = list(work(case))
        except BaseException:  # whatever it is, a user would see it
            found = [traceback.format_exc()]
        answer.send(found)


class _Worker(Generic[Case]):
    """A forked process and what it has still to do."""

    def __init__(self, start: Callable[[], Work[Case]], cases: Sequence[Case]) -> None:
        self._start, self._left = start, cases

    def problems(self) -> Iterator[str]:
        """All problems; who hangs or dies is started anew, behind what it fell over."""
        while self._left:
            yield from self._round()

    def _round(self) -> Iterator[str]:
        context = multiprocessing.get_context("fork")
        with _FORKING:
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_loop, args=(self._start, self._left, there))
            process.start()
            there.close()
        while self._left:
            how = ""
            try:
                found = here.recv() if here.poll(LIMIT) else [how := "hangs"]
            except EOFError:
                process.join()
                found = [how := f"is ended by {signal.Signals(-(process.exitcode or -1)).name}"]
            case, self._left = self._left[0], self._left[1:]
            yield from (f"{case}: {problem}" for problem in found)
            if how:
                break
        process.kill()
        process.join()
        here.close()


def problems(start: Callable[[], Work[Case]], cases: Sequence[Case]) -> list[str]:
    """What is wrong with which case. `start` is called in each process and gives what does a case there."""
    shares = [cases[first::WORKERS] for first in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        found = pool.map(lambda share: list(_Worker(start, share).problems()), shares)
        return [problem for part in found for problem in part]


def none(found: list[str]) -> None:
    """No problem was found."""
    assert not found, "\n".join([f"{len(found)} problems:", *found[:20]])
