"""Some of our work in a second process, where there is a processor for it: git itself checks a pack so.

Nothing is lost where it cannot be done or does not come to its end: then there is no answer, and who asked does
the work.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, NoReturn, TypeVar, cast

Answer = TypeVar("Answer")
"""Lists, tuples, texts, numbers and the like: what `marshal` takes, so no named tuples."""
_DESCRIPTORS = 1 << 16
"""More than a process has open."""
_running: list[int] = []
"""Those that were begun and have not been asked for their answer; what one of them is itself counts too."""
_CHUNK = 1 << 16


class Beside(Generic[Answer]):
    """A process of ours that works for us."""

    def __init__(self, pid: int, answer: int) -> None:
        self.pid = pid
        self._answer = answer

    def result(self) -> Answer | None:
        """What the work gave, once it is done; None where it did not come to its end."""
        chunks = []
        while chunk := os.read(self._answer, _CHUNK):
            chunks.append(chunk)
        os.close(self._answer)
        with suppress(ChildProcessError):  # who started us may ignore its children
            os.waitpid(self.pid, 0)
        _running.remove(self.pid)
        try:
            found: Answer = marshal.loads(b"".join(chunks))
        except (EOFError, ValueError, TypeError):
            return None
        return found


def possible() -> bool:
    """There is a second processor that we may use and do not yet, and a process can be doubled."""
    able = hasattr(os, "fork") and hasattr(os, "sched_getaffinity")
    return able and not _running and len(os.sched_getaffinity(0)) > 1


def begin(work: Callable[[], Answer]) -> Beside[Answer] | None:
    """Start on `work` in a process of its own. It must not use processes or descriptors of ours, nor write anything.

    None where no process could be started.
    """
    try:
        answer, tell = os.pipe()
    except OSError:
        return None
    try:
        pid = os.fork()
    except OSError:
        os.close(answer)
        os.close(tell)
        return None
    _running.append(pid)
    if pid == 0:
        _be(work, tell)
    os.close(tell)
    return Beside(pid, answer)


def _be(work: Callable[[], Answer], tell: int) -> NoReturn:
    try:
        # A git of the other process would wait for the end of an input that is open here as well.
        os.closerange(3, tell)
        os.closerange(tell + 1, _DESCRIPTORS)
        told = memoryview(marshal.dumps(cast(Any, work())))
        while told:
            told = told[os.write(tell, told) :]
    finally:
        os._exit(0)
