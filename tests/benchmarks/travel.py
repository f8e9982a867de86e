"""Deployments between repositories, beside plain git doing the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import manifests
from tests.benchmarks.histories import FILES, NAME, Plan, history
from tests.benchmarks.measure import seconds
from tests.benchmarks.sandbox import Sandbox, check, progress, repository
from tests.benchmarks.table import Row, Target, ratio

DEPLOYMENTS, VERSIONS = 1000, 100
_ONE = manifests.name(0)
_OTHER = manifests.name(1)


class Hub(NamedTuple):
    """A bare repository on this machine and one that publishes to it."""

    path: Path
    writer: Sandbox

    def clone(self, name: str) -> Sandbox:
        """Another repository that has what the hub has."""
        sandbox = repository(self.path.parent / f"{self.path.name}-{name}", FILES)
        sandbox.run("git", "remote", "add", "origin", f"file://{self.path}")
        sandbox.run("git-deployments", "pull", "-q")
        return sandbox

    def publish(self, name: str) -> None:
        """One new event of a deployment: it goes back a version, or forward again."""
        live = self.writer.run("git-deployments", "live", name)
        back = int(live) == self.versions
        self.writer.run("git-deployments", "rollback" if back else "promote", name, "-q", "--push")

    @property
    def versions(self) -> int:
        """Of each deployment."""
        return int(self.writer.run("git", "config", "bench.versions"))


def hub(scratch: Path, plan: Plan) -> Hub:
    """A new hub that has what a plan says."""
    writer = history(scratch / "writer", plan)
    writer.run("git", "config", "bench.versions", str(plan.versions))
    path = scratch / "hub.git"
    writer.run("git", "clone", "-q", "--mirror", str(writer.path), str(path))
    writer.run("git", "remote", "add", "origin", f"file://{path}")
    writer.run("git-deployments", "pull", "-q")
    return Hub(path, writer)


def push(scratch: Path) -> Iterator[Row]:
    """One new version, to hubs with few and many refs; ours beyond its start-up."""
    for count in (10, 1_000, 20_000):
        writer = _with_refs(scratch / f"push-{count}", count)
        ours, plain = [], []
        for n in range(22):
            progress(f"push to a hub with {count:,} version refs ({n + 1} of 22)")
            writer.run("git-deployments", "deploy", "-q")
            started = seconds(writer.ours("push", "-h"))
            ours.append(seconds(writer.ours("push", "-q")) - started)
            writer.run("git-deployments", "deploy", "-q")
            plain.append(seconds(writer.command(*_plain_push(writer, count + 2 * n + 2))))
            writer.run("git-deployments", "fetch", "-q")
        check(writer)
        what = f"push of one version ({count:,} version refs there), beyond push -h"
        yield ratio(what, "git push of the same refs", ours[1:], plain[1:], 1.3)


def _with_refs(scratch: Path, count: int) -> Sandbox:
    """One that publishes to a hub with so many refs of versions, and has the usual number of them itself."""
    writer = hub(scratch, Plan(count, keep=0)).writer
    writer.run("git", "config", "--unset", "deployments.keepRefs")
    writer.run("git-deployments", "fsck", "--repair")
    return writer


def _plain_push(writer: Sandbox, number: int) -> list[str]:
    root, seen = f"refs/deployments/{NAME}", f"refs/remote-deployments/origin/{NAME}"
    changes = [(f"{root}/versions/{number}", "")]
    changes += [(f"{root}/{kind}", writer.run("git", "rev-parse", f"{seen}/{kind}")) for kind in ("live", "log")]
    leases = [f"--force-with-lease={ref}:{old}" for ref, old in changes]
    return ["git", "push", "-q", "--atomic", *leases, "origin", *(f"{ref}:{ref}" for ref, _ in changes)]


def fetch(scratch: Path) -> Iterator[Row]:
    """Out of many deployments: one that has something new, all where nothing is, and what a pull of one event takes."""
    names = tuple(map(manifests.name, range(DEPLOYMENTS)))
    many = hub(scratch / "fetch-many", Plan(VERSIONS, names, manifests.files(DEPLOYMENTS)))
    here, there = many.clone("ours"), many.clone("plain")
    ours, plain, brought, needed = [], [], [], []
    for n in range(12):
        progress(f"fetch of one of {DEPLOYMENTS:,} ({n + 1} of 12)")
        many.publish(_ONE)
        many.publish(_OTHER)
        before = _objects(here), _objects(there)
        started = seconds(here.ours("fetch", "-h"))
        ours.append(seconds(here.ours("fetch", "-q", "origin", _ONE)) - started)
        plain.append(seconds(there.command("git", "fetch", "-q", "--no-tags", "origin", *_spec(_ONE))))
        brought.append(float(_objects(here) - before[0]))
        needed.append(float(_objects(there) - before[1]))
        there.run("git", "fetch", "-q", "--no-tags", "origin", *_spec("*"))
        here.run("git-deployments", "fetch", "-q")
    what = f"fetch NAME, one new event ({DEPLOYMENTS:,} × {VERSIONS} versions)"
    yield ratio(f"{what}, beyond fetch -h", "git fetch of the same refs", ours[1:], plain[1:], 1.3)
    objects = tuple(one / other for one, other in zip(brought, needed, strict=True))
    note = f"{brought[-1]:.0f} / {needed[-1]:.0f} objects"
    yield Row("objects that it brings", "git fetch of the same refs", objects, "×", Target(1.0), note)
    times = [seconds(here.ours("fetch", "-q")) * 1000 for _ in range(11)]
    yield Row(f"fetch, nothing new ({DEPLOYMENTS:,} × {VERSIONS} versions)", "", tuple(times), "ms", Target(500.0))
    yield from _pulls(many, hub(scratch / "fetch-short", Plan(VERSIONS // 10, names, manifests.files(DEPLOYMENTS))))


def _pulls(long: Hub, short: Hub) -> Iterator[Row]:
    """A pull of one event where there is much and where there is less, with and without git's own fetch of the refs."""
    readers = long.clone("reader"), short.clone("reader")
    for arguments, words, name in (((), "pull", "*"), (("origin", _ONE), "pull NAME", _ONE)):
        whole: tuple[list[float], list[float]] = ([], [])
        beyond: tuple[list[float], list[float]] = ([], [])
        for n in range(12):
            progress(f"{words} of one new event ({n + 1} of 12)")
            for place, (one, reader) in enumerate(zip((long, short), readers, strict=True)):
                one.publish(_ONE)
                plain = seconds(reader.command(*_plain_fetch(name)))
                reader.run("git-deployments", "pull", "-q")
                one.publish(_ONE)
                whole[place].append(seconds(reader.ours("pull", "-q", *arguments)))
                beyond[place].append(whole[place][-1] - plain)
        what = f"{words}, one new event ({DEPLOYMENTS:,} × {VERSIONS} versions)"
        against = f"the same (× {VERSIONS // 10})"
        yield ratio(what, against, whole[0][1:], whole[1][1:])
        yield ratio(f"{what}, beyond git fetch", against, beyond[0][1:], beyond[1][1:], 1.2)


def _plain_fetch(name: str) -> list[str]:
    return ["git", "fetch", "-q", "--no-tags", "--prune", "--atomic", "origin", *_spec(name)]


def _spec(name: str) -> list[str]:
    return [f"+refs/deployments/{name}/{kind}:refs/remote-deployments/origin/{name}/{kind}" for kind in ("log", "live")]


def _objects(sandbox: Sandbox) -> int:
    """How many objects a repository has, loose and packed."""
    lines = sandbox.run("git", "count-objects", "-v").splitlines()
    counts = {key: int(value) for key, _, value in (line.partition(": ") for line in lines) if value.isdigit()}
    return counts["count"] + counts["in-pack"]
