"""A clone and its hub in front of a command that will not come to its end, and what must hold of them after it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from git_deployments import history

from ..conftest import Project
from . import tracing

PREFIX = "refs/deployments/etl/prod/"
LIVE, LOG = PREFIX + "live", PREFIX + "log"
COMMAND = (sys.executable, "-m", "git_deployments")

Refs = dict[str, str]


_MADE_UP = re.compile(r"(?<=tmp_)[^/]*")


class World:
    """`hub.git`, which has three versions of etl/prod, and `ada`, a clone of it that has them, too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hub, self.ada = Project(path / "hub.git"), Project(path / "ada")

    def copied(self, path: Path) -> World:
        """The same once more, at a place that is made free."""
        shutil.rmtree(path, ignore_errors=True)
        return World(Path(shutil.copytree(self.path, path, symlinks=True)))

    def refs(self) -> tuple[Refs, Refs]:
        """Those of the clone and those of the hub."""
        return self.ada.refs(), self.hub.refs()

    def content(self) -> frozenset[tuple[str, bytes]]:
        """All that the disk holds of it: each folder, and each file with the hash of what is in it.

        Of a name that git makes up by chance only the beginning counts.
        """
        found = set()
        for path in self.path.rglob("*"):
            name = _MADE_UP.sub("", str(path.relative_to(self.path)))
            found.add((name, hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""))
        return frozenset(found)

    def locks(self) -> list[Path]:
        """Every lock file in the clone and in the hub, but git's on its own maintenance, which keeps nobody waiting."""
        return sorted(lock for lock in self.path.rglob("*.lock") if lock.name != "maintenance.lock")


class Scene(NamedTuple):
    """A command and what was done before it."""

    words: tuple[str, ...]
    prepare: Callable[[World], object]
    publishes: bool = False
    """It is told to have worked only where the hub has all."""
    renumbers: bool = False
    """It gives unpublished versions other numbers."""


def _move_by_hand(world: World) -> None:
    world.ada.git("update-ref", LIVE, PREFIX + "versions/2")
    world.ada.manifest("meant")


def _unpublished(world: World) -> None:
    world.ada.deploy("d4")
    world.ada.ok("rollback", "prod", "v2")


def _published_by_bob(world: World) -> None:
    subprocess.run(["git", "clone", "-q", str(world.hub.path), str(world.path / "bob")], check=True)
    bob = Project(world.path / "bob")
    bob.git("config", "user.name", "Bob")
    bob.ok("pull")
    bob.deploy("bob's", "--push")
    shutil.rmtree(bob.path)


def _published_by_both(world: World) -> None:
    _published_by_bob(world)
    world.ada.deploy("ada's")


SCENES = {
    "deploy": Scene(("deploy", "-q"), lambda world: world.ada.manifest("meant")),
    "update": Scene(("update", "-q", "etl/prod", "description=meant", "paused=true"), lambda world: world),
    "rollback": Scene(("rollback", "-q", "etl/prod", "v1"), lambda world: world),
    "hand-moved live": Scene(("deploy", "-q"), _move_by_hand),
    "push": Scene(("push", "-q", "origin"), _unpublished, publishes=True),
    "deploy --push": Scene(("deploy", "-q", "--push"), lambda world: world.ada.manifest("meant"), publishes=True),
    "pull": Scene(("pull", "-q", "origin"), _published_by_bob),
    "pull and renumber": Scene(("pull", "-q", "origin"), _published_by_both, renumbers=True),
}


def build(path: Path) -> World:
    """Make the world."""
    world = World(path)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(world.hub.path)], check=True)
    subprocess.run(["git", "clone", "-q", str(world.hub.path), str(world.ada.path)], check=True, capture_output=True)
    world.ada.git("remote", "set-url", "origin", "../hub.git")
    world.ada.commit("Start", code="1\n")
    world.ada.git("push", "-q", "origin", "HEAD:main")
    for number in (1, 2, 3):
        world.ada.deploy(f"d{number}")
    world.ada.ok("push", "origin")
    return world


class Endings:
    """What must hold of a world after a command, looked at once for each content of the disk that it leaves.

    The clock stands still, so two ends at the same place leave the same bytes, and what follows from them is the same.
    """

    def __init__(self, scene: Scene, world: World) -> None:
        self._scene = scene
        self._before = world.refs()
        self._locks: dict[tuple[bool, frozenset[tuple[str, bytes]]], int] = {}

    @property
    def different(self) -> int:
        """How many contents there were."""
        return len(self._locks)

    def check(self, world: World, code: int) -> int:
        """Nothing is lost and the next commands work. How many locks had been left."""
        key = code == 0, world.content()
        if key not in self._locks:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(history, "PAUSE", 0)  # nobody writes any more
                self._locks[key] = _checked(world, self._scene, self._before, code)
        return self._locks[key]


class Stage(NamedTuple):
    """A scene that is about to be met again and again, each time in a copy of its world."""

    scene: Scene
    world: World
    endings: Endings


def stage(path: Path, name: str) -> Stage:
    """Prepare a scene below `path`."""
    scene, world = SCENES[name], build(path / "world")
    scene.prepare(world)
    return Stage(scene, world, Endings(scene, world))


def calls_of(path: Path, scene: Scene, world: World, how: str) -> list[list[str]]:
    """What the command does to the disk where nothing keeps it from that: see `tracing`."""
    return tracing.run(world.copied(path / "copy").ada.path, scene.words, 0, how, path / "report")[1]


def versions_of(refs: Refs) -> Refs:
    """The numbered ones."""
    return {ref: oid for ref, oid in refs.items() if ref.startswith(PREFIX + "versions/")}


def release(world: World) -> int:
    """Let the locks that were left be old ones, and let fsck remove them where they are. How many there were."""
    locks = world.locks()
    for lock in locks:
        os.utime(lock, (0, 0))
    for project in (world.ada, world.hub):
        if any(project.path in lock.parents for lock in locks):
            project.run("fsck", "--repair")
    assert world.locks() == [], [str(lock.relative_to(world.path)) for lock in world.locks()]
    return len(locks)


def _checked(world: World, scene: Scene, before: tuple[Refs, Refs], code: int) -> int:
    here, hub = world.refs()
    _check_readers(world, here)
    if code == 0:
        assert here[LOG] != before[0][LOG] or hub[LOG] != before[1][LOG], "told to have worked, and is not there"
        assert not scene.publishes or (hub[LOG], hub[LIVE]) == (here[LOG], here[LIVE]), "told to be published"
    kept = versions_of(before[0])
    if scene.renumbers:
        kept = dict(kept.items() & before[1].items())
    assert kept.items() <= here.items(), "a version was lost"
    assert versions_of(before[1]).items() <= hub.items(), "a published version was lost"
    assert here[LIVE] in {before[0][LIVE], *versions_of(here).values()}
    if here[LIVE] != before[0][LIVE] and "rollback" not in scene.words:
        assert here[LIVE] not in kept.values(), "live was moved back"
    locks = release(world)
    assert world.ada.refs()[LIVE] == here[LIVE], "something moved live"
    world.ada.ok("pull", "origin")
    world.ada.deploy("after")
    world.ada.ok("push", "origin")
    _check_whole(world, {} if scene.renumbers else versions_of(here), versions_of(hub))
    return locks


def _check_readers(world: World, here: Refs) -> None:
    """Right after it, locks and all."""
    assert world.ada.ok("live", "etl/prod", "--oid").out.strip() == here[LIVE]
    world.ada.ok("list")


def _check_whole(world: World, here: Refs, hub: Refs) -> None:
    now, there = world.refs()
    assert now == there
    assert {**here, **hub}.items() <= now.items(), "a number was used twice"
    for project in (world.ada, world.hub):
        assert project.ok("fsck").out == ""
        project.git("fsck", "--strict", "--no-dangling")
    numbers = [row["number"] for row in world.ada.ok("versions", "etl/prod", "--json").json]
    assert numbers == list(range(len(numbers), 0, -1))
    chain = world.ada.git("log", "--first-parent", "--format=%(trailers:key=Number,valueonly,separator=%x2C)", LIVE)
    assert [int(number) for number in chain.split()] == numbers, "plain git reads another history"
