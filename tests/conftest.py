"""Real repositories, sealed off from the machine: its git configuration, its CI variables, its clock zone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SEALED = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05+0100",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_COMMITTER_DATE": "2026-01-02T03:04:05+0100",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
KEPT = ("PATH", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")


@pytest.fixture(autouse=True)
def sealed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No variable of the machine reaches a test but those that programs need to start."""
    for variable in list(os.environ):
        if variable not in KEPT and not variable.startswith(("PYTEST", "COV")):
            monkeypatch.delenv(variable)
    for variable, value in SEALED.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp()))


class Repository:
    """A real repository on disk and plain git beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *arguments: str, stdin: str | None = None) -> str:
        """Standard output of plain git, its last newline taken off; a failure fails the test."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, input=stdin, capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.removesuffix("\n")

    def write(self, file: str, text: str) -> Path:
        """Write a file of the work tree, folders included."""
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def commit(self, message: str = "change", **files: str) -> str:
        """Commit everything in the work tree; the commit's id."""
        for file, text in files.items():
            self.write(file, text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An empty repository on branch main."""
    path = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True)
    return Repository(path)
