"""What git's two hooks on a server do with a push: refuse what may not be, and tell what has gone live.

git starts both for every push, so nothing here needs a command line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from git_deployments.errors import DONE, NO
from git_deployments.guard import parse_push, refusals
from git_deployments.process import App, note, say
from git_deployments.repository import Repository


def pre_receive(repository: Repository) -> int:
    """Refuse the push on standard input, a line for each reason, or let it pass. The exit code."""
    refused = False
    for line in refusals(repository, parse_push(sys.stdin.buffer.read())):
        note(line)
        refused = True
    return NO if refused else DONE


def post_receive(repository: Repository) -> int:
    """Tell the moves in the push on standard input, and run `deployments.onLive` for each. The exit code."""
    from git_deployments import onlive

    moves = onlive.pushed(repository, parse_push(sys.stdin.buffer.read()))
    for move in moves:
        say(onlive.line(move))
    sys.stdout.flush()
    failures = list(onlive.run_commands(repository, moves))
    for line in failures:
        note(line)
    return NO if failures else DONE


HOOKS: Mapping[str, Callable[[Repository], int]] = {"pre-receive": pre_receive, "post-receive": post_receive}
"""By git's names for them (git manual, githooks)."""


def run(hook: str) -> int:
    """Be a hook of this process's repository. The exit code."""
    app = App()
    app.repository.foresee(writing=False, moving=False)
    try:
        return HOOKS[hook](app.repository)
    finally:
        app.close()
