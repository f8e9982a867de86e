"""What a deployment is made of, mutated: guard and readers are clear and agree. `make soak` tries many more."""

from __future__ import annotations

import random

import pytest

from git_deployments import guard, history

from .conftest import Project
from .soak.mutating import faults, raw


def test_what_the_guard_lets_in_is_read_and_what_it_refuses_fsck_finds(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        project.commit(f"Change {number}", code=f"{number}\n")
        project.deploy(f"d{number}", version=f"0.0.{number}", parameters={"day": 1.5, "who": "ü"}, tags=["a"])
    for module in (history, guard):
        monkeypatch.setattr(module, "PAUSE", 0)  # nobody else writes here
    base, choice = raw(project), random.Random(5)
    assert [fault for _ in range(40) for fault in faults(project, base, choice)] == []
