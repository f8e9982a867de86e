"""The one family of exceptions, and the exit code that each stands for (design, "Exit codes").

A message is one line: what is wrong, where, and what to do next. Modules derive their own
subclasses beside the code that raises them; only the command line turns one into an exit.
"""

from __future__ import annotations

DONE = 0
NO = 1
NOT_LIVE = 3
CONTESTED = 4
EXPECTATION_FAILED = 5
FATAL = 128
USAGE = 129
INTERRUPTED = 130


class DeploymentsError(Exception):
    """Base of everything this package raises on purpose.

    `exit_code` is what the command line ends with; `str(error)` is one line without `fatal: `.
    """

    exit_code = FATAL


class Contested(DeploymentsError):
    """Two histories, or two writers, disagree and a person must choose."""

    exit_code = CONTESTED


class ExpectationFailed(DeploymentsError):
    """`--expect-live` named another version than the live one."""

    exit_code = EXPECTATION_FAILED
