"""One real Prefect server for all tests, on 127.0.0.1, with a home of its own; nothing is reported to anybody."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..conftest import SEALED, Project, Result

ROOT = Path(__file__).parent.parent.parent
VENV = Path(os.environ.get("GIT_DEPLOYMENTS_PREFECT") or ROOT / ".venv-prefect")
REQUIRED = "GIT_DEPLOYMENTS_PREFECT" in os.environ
"""`make test-prefect` sets it: what could be skipped elsewhere is an error then."""
OURS = VENV / "bin" / "git-deployments"
PREFECT = VENV / "bin" / "prefect"
PATIENCE = 90
"""Seconds until a server that does not answer is given up."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the virtual environment all tests of this directory are skipped, or fail where it must be there."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("prefect"))
            if not PREFECT.exists() and not REQUIRED:
                item.add_marker(pytest.mark.skip(reason=f"{VENV.name} is not there; make test-prefect makes it"))


class Answer(NamedTuple):
    """What the REST API answered."""

    status: int
    body: Any


class Server:
    """A running server, asked by plain HTTP."""

    def __init__(self, port: int, home: Path) -> None:
        self.api = f"http://127.0.0.1:{port}/api"
        self.home = home

    @property
    def environment(self) -> dict[str, str]:
        """What a client of this server sees, and nothing of the machine but what programs need to start."""
        path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**SEALED, **quiet(self.home), "PATH": path, "PREFECT_API_URL": self.api}

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """One request."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read()
                return Answer(response.status, json.loads(text) if text else None)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode())

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        """One request that must succeed; its body."""
        answer = self.ask(method, path, body)
        assert answer.status < 300, f"{method} {path}: {answer}"
        return answer.body

    def deployment(self, name: str) -> Any:
        """A deployment as the API has it."""
        return self.ok("GET", f"/deployments/name/{name}")

    def create(self, name: str, pool: str | None = None, **fields: Any) -> Any:
        """A deployment, its flow and its work pool, as Prefect's own client would make them."""
        flow, _, half = name.partition("/")
        flow_id = self.ok("POST", "/flows/", {"name": flow})["id"]
        if pool:
            self.pool(pool)
            fields = {**fields, "work_pool_name": pool}
        self.ok("POST", "/deployments/", {"name": half, "flow_id": flow_id, **fields})
        return self.deployment(name)

    def pool(self, name: str, **variables: Any) -> None:
        """A work pool of the process type, if it is not there yet, that takes these job variables."""
        known = {"type": "object", "properties": variables}
        used = {variable: f"{{{{ {variable} }}}}" for variable in variables}
        template = {"base_job_template": {"job_configuration": used, "variables": known}} if variables else {}
        answer = self.ask("POST", "/work_pools/", {"name": name, "type": "process", **template})
        assert answer.status in (201, 409), answer

    def change(self, deployment: Any, **fields: Any) -> None:
        """Change a deployment, as somebody in the UI would."""
        self.ok("PATCH", f"/deployments/{deployment['id']}", fields)

    def scheduled(self, deployment: Any) -> list[Any]:
        """The runs that wait for their time."""
        wanted = {"deployments": {"id": {"any_": [deployment["id"]]}}}
        runs: list[Any] = self.ok("POST", "/flow_runs/filter", wanted)
        return [run for run in runs if run["state_type"] == "SCHEDULED"]


def quiet(home: Path) -> dict[str, str]:
    """Variables with which Prefect keeps to its home and reports nothing."""
    return {
        "HOME": str(home),
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_ENABLED": "true",
        "DO_NOT_TRACK": "1",
    }


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(home: Path, **settings: str) -> Iterator[Server]:
    """A server of its own, until the end of the block."""
    home.mkdir(parents=True)
    port = free_port()
    server = Server(port, home)
    environment = {**SEALED, **quiet(home), "PATH": os.environ["PATH"], **settings}
    command = [str(PREFECT), "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(server):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(server: Server) -> bool:
    """The server is up."""
    try:
        return server.ask("GET", "/ready").status in (200, 401)
    except OSError:
        return False


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The one server."""
    assert PREFECT.exists(), f"{VENV} has no Prefect; make test-prefect makes it"
    with serving(tmp_path_factory.mktemp("prefect") / "home") as running:
        yield running


class Served(Project):
    """A repository whose commands run in Prefect's virtual environment, against the server."""

    server: Server

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """Run our script as its users do."""
        done = subprocess.run(
            [str(OURS), *arguments],
            cwd=self.path,
            env={**self.server.environment, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def python(self, code: str) -> Result:
        """Run a program in Prefect's virtual environment, in this repository."""
        done = subprocess.run(
            [str(VENV / "bin" / "python"), "-W", "error::ImportWarning", "-c", code],
            cwd=self.path,
            env=self.server.environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )
        return Result(done.returncode, done.stdout, done.stderr)


_COUNT = itertools.count(1)


@pytest.fixture
def served(project: Project, server: Server) -> Served:
    """A project beside the server."""
    made = Served(project.path)
    made.server = server
    return made


@pytest.fixture
def name() -> str:
    """A name that no other test has at the server."""
    return f"etl-{next(_COUNT)}/prod"


assert sys.platform != "win32" or not REQUIRED
