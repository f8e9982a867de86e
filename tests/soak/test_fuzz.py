"""What chance writes: names against git's own rules, manifests, and everything that a deployment is made of."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from git_deployments import guard, history, manifest
from git_deployments.manifest import BadManifest, Context
from git_deployments.names import LONGEST, BadName, decode, encode
from git_deployments.refs import live_ref, parse_ref

from ..conftest import Project
from ..test_manifest import ENV, FIXTURES, PLACE
from ..test_manifest import mutated as mutated_manifest
from . import SEED, SOAK, TIMES
from .forked import none, problems
from .mutating import deployed_twice, faults

pytestmark = pytest.mark.skipif(not SOAK, reason="long; make soak runs it")

NAMES, MANIFESTS, MUTATIONS = (int(count * TIMES) for count in (100_000, 100_000, 10_000))
TOGETHER = 15
"""Deployments of a large push: what it brings is read in another way than that of a small one."""
QUICK = 1.0
"""Seconds that a manifest of this size may take."""
SIGNS = [*" ~^:?*[]\\\"|.-@{}%&<>'/\n\t\x00\x7f", "..", ".lock", ".LOCK", "@{", "é", "e\u0301", "\u202e", "ß", "日本"]
SIGNS += ["con", "NUL.", "com1", "live", "HEAD", "log", " ", "a", "b", "Z", "0", "_", "\u00a0", "\ud800", "\U0001f600"]


@pytest.fixture(autouse=True)
def said() -> None:
    print(f"GIT_DEPLOYMENTS_SEED={SEED}")


def chance(number: int) -> random.Random:
    """The same for one number, whichever process asks."""
    return random.Random(f"{SEED}.{number}")


def size(number: int) -> int:
    """Deployments that the push of a case brings: one and many in turn."""
    return TOGETHER if number % 2 else 1


def name_of(choice: random.Random) -> str:
    """One or two halves, most of their signs ones that git or a file system may not take."""

    def sign() -> str:
        return choice.choice(SIGNS) if choice.random() < 0.9 else chr(choice.randrange(0x11000))

    halves = ["".join(sign() for _ in range(choice.randint(1, 6))) for _ in range(choice.choice((1, 2, 2, 2)))]
    return "/".join(halves)


def refusal(name: str) -> str | None:
    """Why it can be no name; None: it can."""
    try:
        encode(name)
    except BadName as refused:
        return str(refused)
    return None


def test_names_are_refs_that_git_takes_and_come_back(project: Project) -> None:
    names: set[str] = set()
    for number in itertools.count():
        names.add(name_of(chance(number)))
        if len(names) == NAMES:
            break
    refusals = {name: refusal(name) for name in names}
    assert all(said is None or said.isprintable() for said in refusals.values())
    encoded = {encode(name): name for name, said in refusals.items() if said is None}
    for ref, name in encoded.items():
        assert decode(ref) == name
        assert len(ref.encode()) <= LONGEST
        parsed = parse_ref(live_ref(name))
        assert parsed
        assert parsed.name == name
    # git check-ref-format takes one name a process; update-ref holds each line to the same rules, and does nothing.
    head = project.git("rev-parse", "HEAD")
    lines = "".join(f"create {live_ref(name)}\0{head}\0" for name in encoded.values())
    project.git("update-ref", "--stdin", "-z", stdin=f"start\0{lines}abort\0")
    for name in chance(0).sample(sorted(encoded.values()), min(300, len(encoded))):
        subprocess.run(["git", "check-ref-format", live_ref(name)], check=True)
    print(f"{len(names)} names, {len(encoded)} of them taken")


def test_manifests_end_in_entries_or_one_line() -> None:
    def read(number: int) -> Iterator[str]:
        data, message, began = (
            mutated_manifest(chance(number).choice(FIXTURES), chance(number)),
            "",
            time.perf_counter(),
        )
        try:
            for draft in manifest.read(data, PLACE, ENV):
                manifest.expand(draft, Context(ENV))
        except BadManifest as error:
            message = str(error)
        if not message.isprintable() or len(message) > 1000:
            yield f"unclear: {message!r}"
        if (took := time.perf_counter() - began) > QUICK:
            yield f"took {took:.1f} s"

    none(problems(lambda: read, range(MANIFESTS)))
    print(f"{MANIFESTS} manifests")


def test_the_guard_and_every_reader_are_clear_and_agree(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    bases = deployed_twice(project, TOGETHER)
    for module in (history, guard):
        monkeypatch.setattr(module, "PAUSE", 0)  # nobody else writes here

    def start() -> Callable[[int], Iterator[str]]:
        copy = Project(project.path.with_name(f"{project.path.name}-{os.getpid()}"))
        shutil.copytree(project.path, copy.path)
        return lambda number: faults(copy, bases[: size(number)], chance(number))

    cases = range(2 * MUTATIONS // (TOGETHER + 1))
    none(problems(start, cases))
    print(f"{sum(map(size, cases))} mutations")
