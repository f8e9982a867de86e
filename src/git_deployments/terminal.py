"""Pager and colour, as git's configuration and the terminal have them (git manual, core.pager, color.ui)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from git_deployments.git import text
from git_deployments.render import Palette
from git_deployments.repository import Repository


def is_read(environment: Mapping[str, str], descriptor: int = 1) -> bool:
    """A terminal reads it, at once or through the pager that git has started for us."""
    return os.isatty(descriptor) or (descriptor == 1 and environment.get("GIT_PAGER_IN_USE") == "true")


def palette(repository: Repository, environment: Mapping[str, str]) -> Palette:
    """Colours for standard output: `color.deployments`, else `color.ui`; NO_COLOR where that is `auto`."""
    if not is_read(environment) and not any(key.startswith("color.") for key in repository.config):
        return Palette(False)
    values = repository.config.get("color.deployments") or repository.config.get("color.ui") or ["auto"]
    value = values[-1].lower()
    if value == "always":
        return Palette(True)
    if value in ("never", "false", "no", "off", "0"):
        return Palette(False)
    plain = environment.get("NO_COLOR") or environment.get("TERM", "dumb") == "dumb"
    return Palette(is_read(environment) and not plain)


def page(repository: Repository, environment: Mapping[str, str]) -> Callable[[], None]:
    """Send standard output through git's pager where a terminal reads it. What to call at the end."""
    program = _pager(repository) if os.isatty(1) else None
    if program is None:
        return _nothing
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


def _nothing() -> None:
    """There is no pager to wait for."""
