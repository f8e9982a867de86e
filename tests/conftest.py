"""Real repositories, sealed off from the machine: its git configuration, its CI variables, its clock zone."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

from git_deployments import cli

HASH = os.environ.get("GIT_DEPLOYMENTS_OBJECT_FORMAT", "sha1")
"""Object format of every repository that the tests make, `sha1` or `sha256`; `make test-sha256` sets it."""
WIDTH = {"sha1": 40, "sha256": 64}[HASH]
"""Digits of an id."""

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell has started this in the background, and every program that the tests start would ignore ^C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SEALED = {
    "GIT_DEFAULT_HASH": HASH,
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


MEMORY = Path("/dev/shm")
_ENOUGH = 4 << 30
"""Bytes that must be free there; all tests together leave less than one gigabyte."""


def pytest_configure() -> None:
    """Repositories go into memory where it is large enough and programs may run: no test is about a slow disk."""
    with contextlib.suppress(OSError):
        if {"PYTEST_DEBUG_TEMPROOT", "PYTEST_XDIST_WORKER"}.isdisjoint(os.environ) and _runs_programs(MEMORY):
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are processors: tests wait for other writers, for servers and for second readings."""
    return len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)) + 2


def _runs_programs(place: Path) -> bool:
    """Whether it does, and has enough room. Raises `OSError` where it is not there or runs none."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        program = Path(folder, "program")
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        subprocess.run([program], check=True)
    return shutil.disk_usage(place).free > _ENOUGH


@pytest.fixture(autouse=True)
def sealed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No variable of the machine reaches a test but those that programs need to start."""
    seal(monkeypatch, tmp_path_factory.getbasetemp())


def seal(patch: pytest.MonkeyPatch, home: Path) -> None:
    """The environment of every test, and nothing else."""
    for variable in list(os.environ):
        if variable not in KEPT and not variable.startswith(("PYTEST", "COV")):
            patch.delenv(variable)
    for variable, value in {**SEALED, "HOME": str(home)}.items():
        patch.setenv(variable, value)


Make = Callable[[Path], object]
"""Puts repositories into an empty folder, or a repository where there is no folder yet."""


def prepared(path: Path, make: Make, home: Path | None = None) -> None:
    """Put at `path` what `make` puts there: it is made once for all tests of a process, and copied for each.

    Whose configuration names its own place names the new one. `home`: the folder of all tests, where no test runs yet.
    """
    home = home or Path(os.environ["HOME"])
    template = home / "prepared" / f"{make.__module__}.{make.__qualname__}"
    if not template.exists():
        template.parent.mkdir(exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            seal(patch, home)
            try:
                make(template)
            except BaseException:
                shutil.rmtree(template, ignore_errors=True)
                raise
    shutil.copytree(template, path, symlinks=True, dirs_exist_ok=True)
    for config in path.glob("**/config"):
        config.write_text(config.read_text().replace(str(template), str(path)))


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Fails what would go on for minutes, by the processor's time; how quick it is else, `make bench` tells."""

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise AssertionError("it took more than 20 seconds of processor time")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, 20)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


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


class Result(NamedTuple):
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


class Project(Repository):
    """A repository with our commands, run in this process as the script would run them."""

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """Run a command line; variables are added for this run only."""
        out, err = io.StringIO(), io.StringIO()
        before = os.getcwd()
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in environment.items():
                patch.setenv(variable, value)
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            os.chdir(self.path)
            try:
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    code = cli.run(list(arguments))
            finally:
                os.chdir(before)
        return Result(code, out.getvalue(), err.getvalue())

    def ok(self, *arguments: str, **environment: str) -> Result:
        """Run a command line that must end with 0."""
        result = self.run(*arguments, **environment)
        assert result.code == 0, f"{arguments}: {result}"
        return result

    def fatal(self, *arguments: str, code: int = 128, **environment: str) -> str:
        """Run a command line that must fail with one line on standard error; the line."""
        before = self.refs()
        result = self.run(*arguments, **environment)
        assert result.code == code, f"{arguments}: {result}"
        assert "Traceback" not in result.err
        lines = [line for line in result.err.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == 1, result.err
        assert lines[0].startswith("fatal: ")
        assert self.refs() == before, "a refused command moved a ref"
        return lines[0]

    def refs(self) -> dict[str, str]:
        """Every ref of ours and its object id."""
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/deployments").splitlines()
        return dict(line.split(" ") for line in lines)

    def live(self, name: str = "etl/prod") -> int | None:
        """The number of the live version, as plain git tells it."""
        ref = self.refs().get(f"refs/deployments/{name}/live")
        return int(self.trailer(ref, "Number")) if ref else None

    def trailer(self, revision: str, key: str) -> str:
        """A trailer's value as plain git reads it; empty where there is none."""
        return self.git("log", "-1", f"--format=%(trailers:key={key},valueonly,separator=%x2C)", revision)

    def manifest(self, description: str = "first", name: str = "prod", flow: str | None = "etl", **more: Any) -> None:
        """Write a prefect.yaml with one deployment."""
        entry: dict[str, Any] = {"name": name, **({"flow_name": flow} if flow else {}), "description": description}
        self.write("prefect.yaml", json.dumps({"deployments": [{**entry, **more}]}))

    def deploy(self, description: str = "first", *options: str, **more: Any) -> Result:
        """Deploy one version of etl/prod with this description."""
        self.manifest(description, **more)
        return self.ok("deploy", *options)


def started(path: Path) -> Project:
    """A new repository with one commit, and our commands."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True)
    made = Project(path)
    made.commit("Start", README="a project\n")
    return made


def three_versions(path: Path) -> Project:
    """A new repository with three versions of etl/prod, each from a commit of its own; v3 is live."""
    made = started(path)
    for number in (1, 2, 3):
        made.commit(f"Change {number}", code=f"{number}\n")
        made.deploy(f"d{number}", version=f"0.0.{number}")
    return made


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A repository with one commit, and our commands."""
    prepared(tmp_path / "repository", started)
    return Project(tmp_path / "repository")


@pytest.fixture
def versions(tmp_path: Path) -> Project:
    """Three versions of etl/prod, each from a commit of its own; v3 is live."""
    prepared(tmp_path / "repository", three_versions)
    return Project(tmp_path / "repository")
