"""How a Prefect server differs from what is live, asked by our own commands in a process of their own.

Prefect's client takes a second to import and more memory than all of the pages, and a server that is away takes its
time: none of that may hold up a page. Only one question is on its way at a time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from threading import Lock
from typing import Any, NamedTuple

from git_deployments.errors import DeploymentsError
from git_deployments.names import quoted
from git_deployments.repository import Repository
from git_deployments.web.text import counted, one_line

PATIENCE = 120.0
"""Seconds after which a question is given up."""
_ASKING = Lock()
SAME, DIFFERS, ABSENT = "same", "differs", "absent"
"""How a server stands to a live version, in the words of `status --server --json`."""


class Busy(DeploymentsError):
    """Another question is on its way; ask again a little later."""


class NotAnswered(DeploymentsError):
    """The server could not be asked; the message says what to see to."""


class Standing(NamedTuple):
    """How a server stands to the live version of one deployment."""

    standing: str
    """`same`, `differs` or `absent`."""
    words: str
    """For people."""
    command: str = ""
    """What says more, or mends it."""


def configured(repository: Repository) -> bool:
    """There is a Prefect server to ask: its variable is set, or moves are applied to it."""
    return bool(repository.environment.get("PREFECT_API_URL")) or repository.flag("applyOnLive")


def of_all(repository: Repository) -> dict[str, str]:
    """How the server stands to each deployment that has a live version. Raises `Busy`, `NotAnswered`."""
    rows = _ask(repository, "status", "--server", "--json")
    return {row["name"]: row["server"] for row in rows if row["server"]}


def of(repository: Repository, name: str) -> Standing:
    """How the server stands to one deployment. Raises `Busy`, `NotAnswered`."""
    found = _ask(repository, "diff", "--server", "--json", "--", name)
    keys = list(dict.fromkeys(one_line(str(change["key"]).partition(".")[0], 60) for change in found["changes"]))
    if found["server"] == ABSENT:
        return Standing(ABSENT, "does not have it", f"git deployments apply {quoted(name)} --create")
    if not keys:
        return Standing(SAME, f"has what v{found['number']} says")
    several = "" if len(keys) <= 4 else f" and {counted(len(keys) - 4, 'more property')}"
    words = f"differs in {', '.join(keys[:4])}{several}"
    return Standing(DIFFERS, words, f"git deployments diff {quoted(name)} --server")


def _ask(repository: Repository, *arguments: str) -> Any:
    if not _ASKING.acquire(blocking=False):
        raise Busy("the Prefect server is being asked something else")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "git_deployments", *arguments],
            cwd=repository.git.directory,
            env=dict(repository.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise NotAnswered(f"no answer after {PATIENCE:.0f} seconds") from None
    finally:
        _ASKING.release()
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit {done.returncode}"]
        raise NotAnswered(one_line(lines[-1].removeprefix("fatal: "), 400))
    return json.loads(done.stdout)
