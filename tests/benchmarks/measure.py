"""Whole processes, timed and weighed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_BETWEEN_SAMPLES = 0.003
"""Seconds between two looks at the memory of running processes."""


class Command(NamedTuple):
    """A process to run."""

    arguments: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]


class Peak(NamedTuple):
    """The most memory that a process and its children needed, MB (of 1024 × 1024 bytes)."""

    bound: float
    """The largest sum of their own peaks so far (VmHWM): what they share counts in each, so no moment had more."""
    shares: float
    """The largest sum of their proportional shares (PSS) at a moment that was looked at."""


def output(command: Command) -> tuple[str, str]:
    """Standard output and standard error; a command that fails ends the benchmark."""
    done = subprocess.run(
        command.arguments, cwd=command.directory, env=command.environment, stdin=subprocess.DEVNULL, capture_output=True
    )
    _check(command, done.returncode, done.stderr)
    return done.stdout.decode(), done.stderr.decode("utf-8", "replace")


def seconds(command: Command) -> float:
    """Time from the start of a process to the end of it and of those of its children that hold its standard error."""
    start = time.perf_counter()
    done = subprocess.run(
        command.arguments,
        cwd=command.directory,
        env=command.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    spent = time.perf_counter() - start
    _check(command, done.returncode, done.stderr)
    return spent


def _check(command: Command, code: int, stderr: bytes) -> None:
    if code:
        sys.exit(f"{' '.join(command.arguments)}: exit {code}: {stderr.decode('utf-8', 'replace')}")


def alternate(rounds: int, commands: Sequence[Command]) -> list[list[float]]:
    """Run the commands in turn, so many rounds; for each command its times."""
    return each([commands] * rounds)


def each(rounds: Sequence[Sequence[Command]]) -> list[list[float]]:
    """Run round after round; for each place in a round its times. The first round is run twice, once untimed."""
    for command in rounds[0]:
        seconds(command)
    times = [[seconds(command) for command in commands] for commands in rounds]
    return [list(column) for column in zip(*times, strict=True)]


def peak(command: Command) -> Peak:
    """Run a command and watch its memory and that of its children; needs /proc (Linux)."""
    process = subprocess.Popen(
        command.arguments,
        cwd=command.directory,
        env=command.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    bound = shares = 0
    while process.poll() is None:
        family = _family(process.pid)
        bound = max(bound, sum(_kilobytes(pid, "status", "VmHWM:") for pid in family))
        shares = max(shares, sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in family))
        time.sleep(_BETWEEN_SAMPLES)
    assert process.stderr is not None
    _check(command, process.returncode, process.stderr.read())
    process.stderr.close()
    return Peak(bound / 1024, shares / 1024)


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    try:
        children = [word for path in Path(f"/proc/{pid}/task").iterdir() for word in _words(path / "children")]
    except OSError:
        return []
    return [pid, *(member for child in children for member in _family(int(child)))]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:  # it ended meanwhile
        return []


def _kilobytes(pid: int, file: str, key: str) -> int:
    words = _words(Path(f"/proc/{pid}/{file}"))
    return int(words[words.index(key) + 1]) if key in words else 0
