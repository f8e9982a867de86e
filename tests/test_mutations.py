"""What a deployment is made of, mutated: guard and readers are clear and agree. `make soak` tries many more."""

from __future__ import annotations

import random

import pytest

from git_deployments import guard, history

from .conftest import Project
from .soak.mutating import deployed_twice, faults, put, store

PREFIX = "refs/deployments/etl/prod/"


def test_what_the_guard_lets_in_is_read_and_what_it_refuses_fsck_finds(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    bases, choice = deployed_twice(project, 10), random.Random(5)
    for module in (history, guard):
        monkeypatch.setattr(module, "PAUSE", 0)  # nobody else writes here
    found = [
        *faults(project, bases[:1], choice),
        *(fault for _ in range(4) for fault in faults(project, bases, choice)),
    ]
    assert found == []


@pytest.mark.parametrize("parent", ["HEAD", "\x1b[31mred", "f" * 39 + "\t"])
def test_a_parent_that_is_no_id_is_neither_looked_up_nor_shown(versions: Project, parent: str) -> None:
    whole = versions.git("cat-file", "commit", f"{PREFIX}versions/3") + "\n"
    before = versions.git("rev-parse", f"{PREFIX}versions/2")
    forged = store(versions, "commit", whole.replace(f"parent {before}", f"parent {parent}").encode())
    for name in ("versions/3", "live"):
        put(versions, PREFIX + name, forged)
    for words in (["fsck"], ["versions", "prod"], ["show", "prod"], ["log", "prod"], ["diff", "prod", "1", "3"]):
        result = versions.run(*words)
        assert result.code in (1, 128)
        assert forged in result.out + result.err
        assert "\x1b" not in result.out + result.err
