"""`python -m tests.benchmarks [PART …]`: measure, then print one table."""

from __future__ import annotations

import argparse
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.benchmarks import growth, hooks, pages, peers, scale, starts, travel
from tests.benchmarks.sandbox import progress
from tests.benchmarks.table import Row, line, lines

PARTS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    "live": starts.live,
    "list": starts.reads,
    "move": starts.moves,
    "deploy": starts.deploy,
    "bulk": scale.bulk,
    "many": scale.many,
    "rollback": scale.rollback,
    "newest": scale.newest,
    "memory": scale.memory,
    "push": travel.push,
    "fetch": travel.fetch,
    "guard": hooks.guard,
    "guard-memory": hooks.memory,
    "listing": hooks.listing,
    "batch": hooks.batch,
    "completion": hooks.completion,
    "web": pages.pages,
    "long": growth.long,
    "wide": growth.wide,
    "gto": peers.gto,
    "prefect": peers.prefect,
    "run": peers.running,
}


def main() -> None:
    """Measure the parts that the command line names, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of: {', '.join(PARTS)} (default: all)")
    parts = parser.parse_args().parts or list(PARTS)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    # Directories go at the very end: deleting many files makes the next ones slower to make.
    with tempfile.TemporaryDirectory(prefix="git-deployments-bench-") as scratch:
        rows: list[Row] = []
        try:
            for part in parts:
                progress(f"part {part}")
                for row in PARTS[part](Path(scratch)):
                    rows.append(row)
                    progress(line(row))
        finally:
            print(", ".join((f"Python {platform.python_version()}", *_surroundings(scratch))))
            print("\n".join(lines(rows)), flush=True)


def _surroundings(scratch: str) -> Iterator[str]:
    """git's version, and where the system tells it the file system: on one in memory nothing is ever flushed."""
    for command in (["git", "--version"], ["stat", "-f", "-c", "files on %T", scratch]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            yield done.stdout.strip()


if __name__ == "__main__":
    main()
