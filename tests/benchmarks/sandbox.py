"""Repositories that nothing of the machine reaches: its git configuration, its CI variables, its clock zone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.measure import Command, output

SCRIPT = str(Path(sys.executable).with_name("git-deployments"))
"""Ours, as installed beside the Python that runs this."""


class Sandbox(NamedTuple):
    """A repository and the environment of what runs in it."""

    path: Path
    environment: Mapping[str, str]

    def command(self, *arguments: str) -> Command:
        """Any program."""
        return Command(arguments, self.path, self.environment)

    def ours(self, *arguments: str) -> Command:
        """Our script, started directly."""
        return self.command(SCRIPT, *arguments)

    def python(self, code: str) -> Command:
        """The same Python as our script's."""
        return self.command(sys.executable, "-c", code)

    def knowing(self, variables: Mapping[str, str]) -> Sandbox:
        """The same with more in the environment."""
        return Sandbox(self.path, {**self.environment, **variables})

    def run(self, *arguments: str) -> str:
        """Standard output of any program without its last newline."""
        return output(self.command(*arguments))[0].removesuffix("\n")


def environment(home: Path) -> dict[str, str]:
    """What programs see: nothing of the machine but what they need to start."""
    sealed = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**sealed, "PATH": path, "HOME": str(home)}


def repository(path: Path, files: Mapping[str, str]) -> Sandbox:
    """A new repository with an identity in its configuration and one commit of these files, GITHUB_SHA."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content, encoding="utf-8")
    sandbox = Sandbox(path, environment(path.parent))
    sandbox.run("git", "init", "-q", "-b", "main")
    sandbox.run("git", "config", "user.name", "Ada")
    sandbox.run("git", "config", "user.email", "ada@example.com")
    sandbox.run("git", "add", ".")
    sandbox.run("git", "commit", "-q", "-m", "Start")
    return sandbox.knowing({"GITHUB_SHA": sandbox.run("git", "rev-parse", "HEAD")})


def check(sandbox: Sandbox) -> None:
    """`git deployments fsck` finds nothing; else the benchmark ends, since it would measure something else."""
    done = subprocess.run([SCRIPT, "fsck"], cwd=sandbox.path, env=sandbox.environment, capture_output=True)
    if done.returncode or done.stdout or done.stderr:
        sys.exit(f"{sandbox.path}: fsck: {(done.stdout + done.stderr).decode('utf-8', 'replace')[:1000]}")


def progress(words: str) -> None:
    """Say what goes on, on standard error."""
    print(words, file=sys.stderr, flush=True)
