"""This process: what it was given, what it says, and how it ends. The one place where an error becomes an exit code."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` itself imports too much
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from git_deployments import terminal
from git_deployments.errors import FATAL, INTERRUPTED, DeploymentsError
from git_deployments.model import Watch, unwatched
from git_deployments.names import shown
from git_deployments.render import Palette
from git_deployments.repository import Repository

_BROKEN_PIPE = 141


class App:
    """What a command has to work with: the repository, the environment, and standard output."""

    def __init__(self) -> None:
        self.environment = dict(os.environ)
        self.repository = Repository(".", self.environment)
        self._end_page: Callable[[], None] | None = None

    @property
    def palette(self) -> Palette:
        """Colours for standard output."""
        return terminal.palette(self.repository, self.environment)

    def page(self) -> None:
        """From here on standard output goes through the pager, if a terminal reads it."""
        self._end_page = terminal.page(self.repository, self.environment)
        if self._end_page:
            self.environment[terminal.PAGED] = "true"

    def close(self) -> None:
        """End what was started on the way."""
        if self._end_page:
            self._end_page()
        self.repository.close()


def end_with(work: Callable[[], int]) -> NoReturn:
    """Do the work of this process and end it with the exit code, without the interpreter's own clean-up."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  closed by whoever started us
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        through = sys.stdout.write_through
        buffer = sys.stdout.detach()
        sys.stdout = Output(buffer, encoding="utf-8", errors="backslashreplace", write_through=through)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        if _signal.getsignal(_signal.SIGINT) is _signal.SIG_DFL:  # see `__main__`
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        code = exit_code(work)
        with suppress(OSError):
            sys.stderr.flush()
    except KeyboardInterrupt:  # while an error was being said, or after all was done
        code = INTERRUPTED
    os._exit(code)


def exit_code(work: Callable[[], int]) -> int:
    """What the work ends with; an error is said (design, "Exit codes")."""
    try:
        code = work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except DeploymentsError as error:
        return fatal(str(error), error.exit_code)
    except BrokenPipeError:
        _forget_output()
        return _BROKEN_PIPE
    except OSError as error:
        where = f": {shown(str(error.filename))}" if error.filename else ""
        return fatal(f"{error.strerror or error}{where}", FATAL)
    return code


def fatal(message: str, code: int) -> int:
    """Say what was in the way; the exit code."""
    with suppress(OSError, DeploymentsError):  # one error is enough
        sys.stdout.flush()
    note(f"fatal: {message}")
    return code


def _forget_output() -> None:
    """Nobody reads any more: what is still buffered must not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Unwritable(DeploymentsError):
    """Standard output takes no more, and somebody may rely on having all of it."""


class Output(io.TextIOWrapper):
    """Standard output. Raises `Unwritable` where a disk or device refuses it; nobody reading is a `BrokenPipeError`."""

    def write(self, text: str, /) -> int:
        """As a text stream does."""
        try:
            return super().write(text)
        except OSError as error:
            raise _unwritable(error) from None

    def flush(self) -> None:
        """As a text stream does."""
        try:
            super().flush()
        except OSError as error:
            raise _unwritable(error) from None


def _unwritable(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error
    return Unwritable(f"standard output cannot be written: {error.strerror}; what the command had done before stays")


def say(line: str) -> None:
    """One line on standard output."""
    sys.stdout.write(line + "\n")


def note(line: str) -> None:
    """One line on standard error."""
    tell(line + "\n")


def tell(words: str) -> None:
    """Words on standard error; where it cannot be written the work goes on, as git's does.

    What was said before goes out first: where both go into one log, it is in the order of a terminal's.
    """
    with suppress(OSError, DeploymentsError):  # what ends the process says what is wrong there
        sys.stdout.flush()
    try:
        sys.stderr.write(words)
        sys.stderr.flush()
    except OSError:
        return


def warn(line: str) -> None:
    """One line on standard error, marked as a warning."""
    note(f"warning: {line}")


def progress(what: str) -> Watch:
    """Shows on a terminal's standard error how far long work is, as git does; nowhere else."""
    if not os.isatty(2):
        return unwatched
    import time

    start = time.monotonic()

    def show(done: int, total: int) -> None:
        if time.monotonic() - start > _PATIENCE:
            end = ", done.\n" if done == total else "\r"
            tell(f"{what}: {done * 100 // total}% ({done}/{total}){end}")

    return show


_PATIENCE = 1.0
"""Seconds before progress is shown."""
