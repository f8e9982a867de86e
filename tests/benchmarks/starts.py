"""What a command costs whose work is small: mostly the start of Python and its imports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import manifests
from tests.benchmarks.measure import alternate, output
from tests.benchmarks.sandbox import SCRIPT, Sandbox, repository
from tests.benchmarks.table import Row, Target, ratio

DEPLOYMENTS = 10
VERSIONS = 20
"""Of each deployment."""

_NAME = manifests.name(1)
_SLOW_TO_IMPORT = ("pygit2", "yaml")


def live(scratch: Path) -> Iterator[Row]:
    """The question that scripts ask all day long, with plain git's answer beside it."""
    sandbox = _deployed(scratch / "live")
    commands = {
        "live NAME (script)": sandbox.ours("live", _NAME),
        "live NAME (git deployments)": sandbox.command("git", "deployments", "live", _NAME),
        "git rev-parse REF": sandbox.command("git", "rev-parse", f"refs/deployments/{_NAME}/live"),
    }
    bare, *columns = alternate(41, [sandbox.python("pass"), *commands.values()])
    for what, times, target in zip(commands, columns, (1.25, 1.4, None), strict=True):
        yield ratio(what, "python -c pass", times, bare, target)


def reads(scratch: Path) -> Iterator[Row]:
    """Commands that only read."""
    sandbox = _deployed(scratch / "reads")
    yield from _against_click(sandbox, (("list",), ("versions", _NAME)))
    yield from _imports(sandbox, (("list",), ("versions", _NAME)))


def moves(scratch: Path) -> Iterator[Row]:
    """Commands that only move refs. They take turns, so each really moves."""
    sandbox = _deployed(scratch / "moves")
    yield from _against_click(sandbox, (("rollback", _NAME), ("promote", _NAME)))
    yield from _imports(sandbox, (("rollback", _NAME, "-m", "why"), ("promote", _NAME, "-m", "why")))


def _against_click(sandbox: Sandbox, commands: tuple[tuple[str, ...], ...]) -> Iterator[Row]:
    click = sandbox.python("import click")
    columns = alternate(21, [command for arguments in commands for command in (click, sandbox.ours(*arguments))])
    for arguments, base, times in zip(commands, columns[::2], columns[1::2], strict=True):
        yield ratio(" ".join(arguments).replace(_NAME, "NAME"), "python -c 'import click'", times, base, 1.3)


def _imports(sandbox: Sandbox, commands: tuple[tuple[str, ...], ...]) -> Iterator[Row]:
    """How many of the modules that are slow to import each command imports."""
    for arguments in commands:
        _, log = output(sandbox.command(sys.executable, "-X", "importtime", SCRIPT, *arguments))
        imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in log.splitlines()}
        if "click" not in imported:
            sys.exit(f"{arguments[0]}: no log of its imports")
        count = len(imported.intersection(_SLOW_TO_IMPORT))
        yield Row(f"{arguments[0]}: {', '.join(_SLOW_TO_IMPORT)} imported", "", (count,), "", Target(0))


def deploy(scratch: Path) -> Iterator[Row]:
    """A deploy of one, without parameters and with some that are validated."""
    against = "python -c 'import click, pygit2'"
    for what, parameters, target in (("deploy (one)", False, 1.4), ("deploy (one, with parameters)", True, None)):
        sandbox = repository(scratch / f"deploy-{parameters}", manifests.files(1, parameters))
        base, times = alternate(21, [sandbox.python("import click, pygit2"), sandbox.ours("deploy")])
        yield ratio(what, against, times, base, target)


def _deployed(path: Path) -> Sandbox:
    """A repository with some deployments of some versions each, as deploy leaves it."""
    sandbox = repository(path, manifests.files(DEPLOYMENTS))
    for _ in range(VERSIONS):
        sandbox.run(SCRIPT, "deploy", "--all", "-q")
    return sandbox
