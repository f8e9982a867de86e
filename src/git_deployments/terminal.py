"""Pager and colour, as git's configuration and the terminal have them (git manual, core.pager, color.ui)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from git_deployments.git import text
from git_deployments.render import Palette
from git_deployments.repository import Repository

PAGED = "GIT_PAGER_IN_USE"
"""The variable that git sets where standard output goes through a pager of its own."""
_NO = ("never", "false", "no", "off", "0")


def is_read(environment: Mapping[str, str], descriptor: int = 1) -> bool:
    """A terminal reads it, at once or through a pager that git has started for us, or we have."""
    return os.isatty(descriptor) or (descriptor == 1 and environment.get(PAGED) == "true")


def palette(repository: Repository, environment: Mapping[str, str]) -> Palette:
    """Colours for standard output: `color.deployments`, else `color.ui`; NO_COLOR, `color.pager` where it is `auto`."""
    if not is_read(environment) and not any(key.startswith("color.") for key in repository.config):
        return Palette(False)
    values = repository.config.get("color.deployments") or repository.config.get("color.ui") or ["auto"]
    value = values[-1].lower()
    if value == "always":
        return Palette(True)
    if value in _NO:
        return Palette(False)
    plain = environment.get("NO_COLOR") or environment.get("TERM", "dumb") == "dumb"
    if environment.get(PAGED) == "true":
        plain = plain or repository.config.get("color.pager", ["true"])[-1].lower() in _NO
    return Palette(is_read(environment) and not plain)


def page(repository: Repository, environment: Mapping[str, str]) -> Callable[[], None] | None:
    """Send standard output through git's pager where a terminal reads it. What to call at the end; None: no pager."""
    program = _pager(repository) if os.isatty(1) else None
    if program is None:
        return None
    import subprocess

    sys.stdout.flush()
    settings = {"LESS": "FRX", "LV": "-c", **environment}
    process = subprocess.Popen(["/bin/sh", "-c", program], stdin=subprocess.PIPE, env=settings)
    assert process.stdin is not None
    os.dup2(process.stdin.fileno(), 1)
    process.stdin.close()

    def end() -> None:
        sys.stdout.flush()
        os.close(1)
        process.wait()

    return end


def _pager(repository: Repository) -> str | None:
    values = repository.config.get("pager.deployments", ["true"])
    value = values[-1]
    if value.lower() in ("false", "no", "off", "0", ""):
        return None
    if value.lower() not in ("true", "yes", "on", "1"):
        return value
    program = text(repository.git.run("var", "GIT_PAGER")).strip()
    return None if program in ("", "cat") else program
