"""The recipes of docs/hooks.md, as they stand there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from .conftest import Project

HOOKS = Path(__file__).resolve().parent.parent / "docs" / "hooks.md"


def recipe(name: str) -> str:
    """The block of that name."""
    text = HOOKS.read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```sh {name}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


def follow(project: Project, name: str, **replaced: str) -> None:
    """Do what a recipe says, in a repository; addresses and directories of its example are replaced."""
    words = recipe(name)
    for old, new in replaced.items():
        assert old in words
        words = words.replace(old, new)
    done = subprocess.run(["sh", "-ec", words], cwd=project.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
