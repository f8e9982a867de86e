"""Every command in a large repository, and beside it in one of a tenth of its size: time and memory.

What grows in step with the repository has a ratio of up to 10; more would be worse than linear. What works on one
deployment's newest versions is flat. `apply`, `capture` and the pages' server wait for others and are not here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.histories import FILES, NAME, Plan, history
from tests.benchmarks.measure import Command, peak, seconds
from tests.benchmarks.sandbox import Sandbox, progress
from tests.benchmarks.table import Row, Target, ratio

LINEAR = 10.0
"""The sizes' own ratio."""
FLAT = 1.3
MANY, EACH, LONG = 1_000, 100, 50_000
_AGAINST = "a tenth"
_CODE = {**FILES, "etl.py": "def etl(table: str = '', batch: int = 0) -> None:\n    pass\n"}
_ALL = "all.json"


class Work(NamedTuple):
    """A command, and those that make it do the same work again, untimed."""

    timed: Command
    before: tuple[Command, ...] = ()


class Case(NamedTuple):
    """What is measured in both repositories."""

    what: str
    work: Callable[[Sandbox, int], Work]
    """Of a repository and the number of the run, from 0."""
    most: float = LINEAR


def long(scratch: Path) -> Iterator[Row]:
    """One deployment with many versions."""
    pair = [_shared(scratch / f"long-{count}", Plan(count, files=_CODE)) for count in (LONG, LONG // 10)]
    for case in (*_READS, *_WRITES, *_SYNC, *_LAST):
        yield from _grown(f"{LONG:,}", case, *pair)


def wide(scratch: Path) -> Iterator[Row]:
    """Many deployments."""
    pair = [_shared(scratch / f"wide-{count}", _wide(count)) for count in (MANY, MANY // 10)]
    for case in (*_READS, *_WRITES, *_SYNC, *_BULK, *_LAST):
        yield from _grown(f"{MANY:,} × {EACH}", case, *pair)


def _wide(count: int) -> Plan:
    """Deployments of one flow, and a manifest of them all beside the one of the first alone."""
    deployments = ["prod", *(f"prod-{number:04}" for number in range(1, count))]
    entries = ", ".join(f'{{"name": "{one}", "entrypoint": "etl.py:etl"}}' for one in deployments)
    names = tuple(f"etl/{one}" for one in deployments)
    return Plan(EACH, names, {**_CODE, _ALL: f'{{"deployments": [{entries}]}}\n'})


def _shared(path: Path, plan: Plan) -> Sandbox:
    """A history that is published whole at a guarded hub beside it."""
    sandbox = history(path, plan)
    hub = f"{path}.git"
    sandbox.run("git", "clone", "-q", "--mirror", ".", hub)
    sandbox.run("git", "remote", "add", "origin", f"file://{hub}")
    Sandbox(Path(hub), sandbox.environment).run(*sandbox.ours("hook", "install").arguments)
    sandbox.run(*sandbox.ours("fetch", "-q", "origin").arguments)
    return sandbox


def _grown(size: str, case: Case, large: Sandbox, small: Sandbox) -> Iterator[Row]:
    """Time and memory, each as a ratio; memory where there is a /proc to read it from."""
    progress(f"{case.what} ({size})")
    first = _timed(case, large, 0)
    _timed(case, small, 0)
    count = 9 if first < 1 else 3
    runs = range(1, count + 1)
    times, base = zip(*((_timed(case, large, run), _timed(case, small, run)) for run in runs), strict=True)
    yield ratio(f"{case.what} ({size})", _AGAINST, times, base, case.most)
    if not os.path.isdir("/proc/self/task"):
        return
    runs = range(count + 1, 2 * count + 1)
    most, least = (max(_weighed(case, sandbox, run) for run in runs) for sandbox in (large, small))
    note = f"{most:.0f} / {least:.0f} MB"
    yield Row(f"{case.what} ({size}), memory", _AGAINST, (most / least,), "×", Target(case.most), note)


def _timed(case: Case, sandbox: Sandbox, run: int) -> float:
    return seconds(_prepared(case, sandbox, run))


def _weighed(case: Case, sandbox: Sandbox, run: int) -> float:
    """MB at most."""
    return peak(_prepared(case, sandbox, run)).bound


def _prepared(case: Case, sandbox: Sandbox, run: int) -> Command:
    work = case.work(sandbox, run)
    for command in work.before:
        seconds(command)
    return work.timed


def _ours(*words: str, after: tuple[str, ...] = (), most: float = LINEAR) -> Case:
    """A command of ours; `{}` in its words is the number of the run. `after`: another one that comes first."""

    def work(sandbox: Sandbox, run: int) -> Work:
        timed, before = (sandbox.ours(*(word.replace("{}", str(run)) for word in some)) for some in (words, after))
        return Work(timed, (before,) if after else ())

    return Case(" ".join(words).replace(NAME, "NAME").replace("{}", "N"), work, most)


def _cloned(*words: str) -> Case:
    """A command of ours in a new clone, which has no deployments yet."""

    def work(sandbox: Sandbox, run: int) -> Work:
        place = sandbox.path.with_name(f"{sandbox.path.name}-{'-'.join(words)}-{run}")
        clone = sandbox.command("git", "clone", "-q", sandbox.run("git", "remote", "get-url", "origin"), str(place))
        return Work(Sandbox(place, sandbox.environment).ours(*words), (clone,))

    return Case(f"{' '.join(words)}, in a new clone", work)


_READS = (
    _ours("live", NAME, most=FLAT),
    _ours("live", NAME, "--oid", most=FLAT),
    _ours("list"),
    _ours("list", "--json"),
    _ours("versions", NAME),
    _ours("versions", NAME, "--limit", "20", most=FLAT),
    _ours("show", NAME),  # `created_by` is the first version's author
    _ours("show", NAME, "v1"),
    _ours("log", NAME),
    _ours("log", NAME, "--limit", "20", most=FLAT),
    _ours("diff", NAME, most=FLAT),
    _ours("status"),
    _ours("export"),
    _ours("export", NAME, most=FLAT),
    _ours("checkout", NAME, "checked-out/{}", most=FLAT),
    _ours("fsck"),
    _ours("fsck", NAME),
)
_WRITES = (
    _ours("deploy", "-q", most=FLAT),
    _ours("deploy", "-q", "--if-changed", most=FLAT),
    _ours("run", "-q", NAME, most=FLAT),
    _ours("update", "-q", NAME, "parameters.batch=-{}", most=FLAT),
    _ours("update", "-q", NAME, "concurrency_limit=1{}", most=FLAT),
    _ours("rollback", "-q", NAME, after=("promote", "-q", NAME), most=FLAT),
    _ours("promote", "-q", NAME, after=("rollback", "-q", NAME), most=FLAT),
    _ours("rollback", "-q", NAME, "v1", after=("promote", "-q", NAME)),
)
_SYNC = (
    _ours("fetch", "-q"),
    _ours("push", "-q", "origin", NAME, after=("deploy", "-q")),
    _ours("push", "-q", after=("deploy", "-q")),
    _ours("deploy", "-q", "--push"),
    _ours("pull", "-q"),
    _cloned("fetch", "-q"),
    _cloned("pull", "-q"),
)
_BULK = (_ours("deploy", "-q", "--all", "-f", _ALL),)
_LAST = (_ours("delete", "-q", "-y", NAME, after=("deploy", "-q")),)
"""git writes all of `packed-refs` anew where it removes one of them."""
