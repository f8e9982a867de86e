"""What must not grow with the length of the history, or not faster than the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from git_deployments.repository import KEEP_REFS
from tests.benchmarks import manifests
from tests.benchmarks.histories import NAME, Plan, history
from tests.benchmarks.measure import alternate, each, output, peak, seconds
from tests.benchmarks.sandbox import check, progress, repository
from tests.benchmarks.table import Row, Target, rate, ratio, subtracted

DEPLOYMENTS = 1000
_FEW = "the same (10 versions)"
_MEMORY = Target(150)
"""MB."""


def bulk(scratch: Path) -> Iterator[Row]:
    """Many deployments in one transaction: YAML, objects and refs, all flushed to disk."""
    for parameters, target in ((False, 300.0), (True, None)):
        files = manifests.files(DEPLOYMENTS, parameters)
        what = f"deploy --all ({DEPLOYMENTS:,}{', with parameters' if parameters else ''})"
        first, second = [], []
        for n in range(5):
            progress(f"{what} twice in a new repository ({n + 1} of 5)")
            sandbox = repository(scratch / f"bulk-{parameters}-{n}", files)
            first.append(seconds(sandbox.ours("deploy", "--all", "-q")))
            second.append(seconds(sandbox.ours("deploy", "--all", "-q")))
        check(sandbox)
        yield rate(f"{what}, first", DEPLOYMENTS, first, target)
        yield rate(f"{what}, again", DEPLOYMENTS, second, target)


def many(scratch: Path) -> Iterator[Row]:
    """The same where each deployment has as many versions as have refs, and a list of all."""
    names = tuple(map(manifests.name, range(DEPLOYMENTS)))
    sandbox = history(scratch / "many", Plan(KEEP_REFS, names, manifests.files(DEPLOYMENTS)))
    shown = f"({DEPLOYMENTS:,} × {KEEP_REFS} versions)"
    listed, click = alternate(11, [sandbox.ours("list"), sandbox.python("import click")])
    yield ratio(f"list {shown}", "python -c 'import click'", listed, click)
    times = [seconds(sandbox.ours("deploy", "--all", "-q")) for _ in range(3)]
    yield rate(f"deploy --all {shown}", DEPLOYMENTS, times)


def rollback(scratch: Path) -> Iterator[Row]:
    """Moves in a long history against those in a short one. Promote follows each rollback, so each really moves."""
    long = history(scratch / "rollback-long", Plan(10_000))
    short = history(scratch / "rollback-short", Plan(10))
    promotes = (long.ours("promote", NAME), short.ours("promote", NAME))
    default = [(long.ours("rollback", NAME), short.ours("rollback", NAME), *promotes)] * 21
    # Another old version each time: none has been live lately.
    named = [
        (long.ours("rollback", NAME, f"v{n}"), short.ours("rollback", NAME, f"v{n % 9 + 1}"), *promotes)
        for n in range(1, 22)
    ]
    for what, rounds in (("rollback NAME", default), ("rollback NAME v<old>", named)):
        far, near, back, near_back = each(rounds)
        yield ratio(f"{what} (10,000 versions)", _FEW, far, near, 1.2)
        yield ratio("promote NAME after it (10,000 versions)", _FEW, back, near_back)
    far, near = alternate(21, [long.ours("deploy"), short.ours("deploy")])
    yield ratio("deploy (10,000 versions)", _FEW, far, near)


def newest(scratch: Path) -> Iterator[Row]:
    """The newest versions of many, beyond start-up: the same command where there is one version."""
    arguments = ("versions", NAME, "--limit", "20")
    one = history(scratch / "newest-one", Plan(1)).ours(*arguments)
    for keep, target in ((KEEP_REFS, 10.0), (0, None)):
        fifty = history(scratch / f"newest-{keep}", Plan(50_000, keep=keep)).ours(*arguments)
        times, base = alternate(21, [fifty, one])
        what = "versions NAME --limit 20 (50,000" + (")" if keep else ", a ref for each)")
        yield subtracted(what, "the same (1 version)", times, base, target)


def memory(scratch: Path) -> Iterator[Row]:
    """The memory of a whole list, child processes included."""
    if not os.path.isdir("/proc/self/task"):
        progress("memory: left out, there is no /proc to read it from")
        return
    sandbox = history(scratch / "memory", Plan(100_000))
    for arguments in (("versions", NAME), ("versions", NAME, "--json"), ("log", NAME)):
        command = sandbox.ours(*arguments)
        if output(command)[0].count(NAME if "--json" in arguments else "\n") < 100_000:
            sys.exit(f"{' '.join(arguments)}: not all of the 100,000 are listed")
        peaks = [peak(command) for _ in range(3)]
        shown = " ".join(arguments).replace(NAME, "NAME")
        bounds = tuple(one.bound for one in peaks)
        shares = max(one.shares for one in peaks)
        yield Row(f"{shown} (100,000)", "", bounds, "MB", _MEMORY, f"PSS {shares:.0f} MB")
