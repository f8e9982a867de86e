"""A rollback is worth what runs afterwards: real workers, real hubs, real hooks."""

from __future__ import annotations

import http.server
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import OURS, PREFECT, Served, free_port
from .test_apply import unversioned, versioned

CLONE = "prefect.deployments.steps.git_clone"
FLOW = """
from prefect import flow

@flow(name="{flow}")
def job(times: int = 1) -> None:
    with open({ran!r}, "a") as ran:
        ran.write("code of version {number}, times=%d\\n" % times)
"""


def deploy(served: Served, name: str, ran: Path, number: int, **entry: Any) -> str:
    """A version whose code says which one it is; the commit of that code."""
    flow, _, half = name.partition("/")
    served.manifest(
        f"version {number}",
        name=half,
        flow=flow,
        entrypoint="job.py:job",
        pull=[{CLONE: {"repository": str(served.path), "commit_sha": "{{ $COMMIT }}"}}],
        work_pool={"name": "end-to-end"},
        **entry,
    )
    commit = served.commit(f"Version {number}", **{"job.py": FLOW.format(flow=flow, ran=str(ran), number=number)})
    served.ok("deploy", "-q", COMMIT=commit)
    return commit


def work(served: Served, deployment: Any, tmp_path: Path) -> Any:
    """One flow run through a process worker, which stops when it has seen to it; the run as the server has it."""
    run = served.server.ok("POST", f"/deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
    tmp_path.joinpath("work").mkdir(exist_ok=True)
    done = subprocess.run(
        [PREFECT, "worker", "start", "--pool", "end-to-end", "--type", "process", "--run-once"],
        cwd=tmp_path / "work",
        env=served.server.environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    found = served.server.ok("GET", f"/flow_runs/{run['id']}")
    assert found["state_type"] == "COMPLETED", done.stdout + done.stderr
    return found


def test_a_worker_runs_the_code_of_the_version_that_is_live(served: Served, name: str, tmp_path: Path) -> None:
    server, ran = served.server, tmp_path / "ran"
    server.pool("end-to-end")
    one = deploy(served, name, ran, 1, parameters={"times": 3}, tags=["one"], version="1.0")
    served.ok("apply", name, "--create")
    first = server.deployment(name)
    assert first["pull_steps"][0][CLONE]["commit_sha"] == one
    deploy(served, name, ran, 2, parameters={"times": 5})
    served.ok("apply", name)
    second = server.deployment(name)
    schedule = {"active": True, "schedule": {"cron": "0 6 * * *", "timezone": "Europe/Paris"}}
    server.ok("POST", f"/deployments/{first['id']}/schedules", [schedule])
    server.change(first, paused=True, concurrency_limit=3)
    changed = server.deployment(name)
    assert (changed["paused"], len(changed["schedules"])) == (True, 1)

    served.ok("rollback", name)
    served.ok("apply", name)
    back = server.deployment(name)
    assert back["id"] == first["id"]
    assert versioned(back) == versioned(first)
    assert unversioned(back) == unversioned(changed)
    work(served, back, tmp_path)
    assert ran.read_text().splitlines() == ["code of version 1, times=3"]

    served.ok("promote", name)
    served.ok("apply", name)
    forth = server.deployment(name)
    assert versioned(forth) == versioned(second)
    assert unversioned(forth) == unversioned(changed)
    work(served, forth, tmp_path)
    assert ran.read_text().splitlines()[1:] == ["code of version 2, times=5"]


# Without a hand on the server


def test_each_move_is_applied_where_it_is_configured(served: Served, name: str, tmp_path: Path) -> None:
    served.git("config", "deployments.applyOnLive", "true")
    served.server.pool("end-to-end")
    one = deploy(served, name, tmp_path, 1)
    first = served.server.deployment(name)
    assert first["pull_steps"][0][CLONE]["commit_sha"] == one, "the first version is created there"
    deploy(served, name, tmp_path, 2)
    served.server.change(first, paused=True)
    result = served.ok("rollback", name)
    assert f"{name}: v1 is applied" in result.err
    assert versioned(served.server.deployment(name)) == versioned(first)
    assert served.server.deployment(name)["paused"]
    assert served.ok("rollback", name, "1").err == f"v1 of {name} is live already\n"
    # What is not live is nobody's business there, and a move that was made stands.
    served.manifest("version 3", name=name.partition("/")[2], flow=name.partition("/")[0])
    assert "is applied" not in served.ok("deploy", "--no-live").err
    away = f"http://127.0.0.1:{free_port()}/api"
    failed = served.run("promote", name, PREFECT_API_URL=away)
    assert failed.code == 128
    assert failed.err.splitlines()[-1] == (
        f"fatal: live has moved here, but not on the Prefect server: no Prefect server answers at {away}; "
        f"start it, or set PREFECT_API_URL to where it is; then: git deployments apply {name}"
    )
    assert served.live(name) == 3
    served.ok("apply", name)
    assert served.server.deployment(name)["description"] == "version 3"


def test_what_python_code_makes_live_is_applied_too(served: Served, name: str) -> None:
    served.git("config", "deployments.applyOnLive", "true")
    for number in (1, 2):
        served.manifest(f"version {number}", name=name.partition("/")[2], flow=name.partition("/")[0])
        assert served.python("import git_deployments; git_deployments.open().deploy()") == (0, "", "")
        assert served.server.deployment(name)["description"] == f"version {number}"
    rollback = f"import git_deployments; print(git_deployments.open().rollback({name!r}).live.number)"
    assert served.python(rollback) == (0, "1\n", "")
    assert served.server.deployment(name)["description"] == "version 1"
    away = f"import os; os.environ['PREFECT_API_URL'] = 'http://127.0.0.1:{free_port()}/api'; "
    failed = served.python(away + rollback.replace("rollback", "promote"))
    assert (failed.code, failed.out) == (0, "2\n")
    assert "RuntimeWarning: live has moved here, but not on the Prefect server: no Prefect server answers" in failed.err


@pytest.fixture
def hub(served: Served, tmp_path: Path) -> Served:
    """What `served` and its clones push to: its hooks put what goes live on the Prefect server."""
    path = tmp_path / "hub.git"
    served.git("clone", "-q", "--bare", str(served.path), str(path))
    served.git("remote", "add", "origin", str(path))
    made = Served(path)
    made.server = served.server
    made.ok("hook", "install")
    # The hub knows where its Prefect server is; who pushes need not.
    apply = f'PREFECT_API_URL={served.server.api} {OURS} apply --create "$GIT_DEPLOYMENTS_NAME"'
    made.git("config", "deployments.onLive", apply)
    return made


def test_a_rollback_anywhere_rolls_the_prefect_server_back(
    served: Served, hub: Served, name: str, tmp_path: Path
) -> None:
    server, nowhere = served.server, {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}
    server.pool("end-to-end")
    one = deploy(served, name, tmp_path, 1, tags=["one"])
    pushed = served.ok("push", "origin", **nowhere)
    assert f"remote: {name}: v1 is created on the server" in pushed.err
    first = server.deployment(name)
    deploy(served, name, tmp_path, 2)
    served.ok("push", "origin", **nowhere)
    assert server.deployment(name)["description"] == "version 2"
    server.change(first, paused=True)
    colleague = Served(tmp_path / "colleague")
    colleague.server = server
    served.git("clone", "-q", str(hub.path), str(colleague.path))
    result = colleague.ok("rollback", name, "--push", "-m", "bad numbers", **nowhere)
    assert f"remote: {name}: v1 is applied" in result.err
    back = server.deployment(name)
    assert versioned(back) == versioned(first)
    assert back["pull_steps"][0][CLONE]["commit_sha"] == one
    assert (back["id"], back["paused"]) == (first["id"], True)


def test_a_pull_applies_what_it_brings(served: Served, hub: Served, name: str, tmp_path: Path) -> None:
    """Where hooks are not to be had: a clone beside the Prefect server that pulls now and then."""
    hub.git("config", "--unset-all", "deployments.onLive")
    server = served.server
    server.pool("end-to-end")
    beside = Served(tmp_path / "beside")
    beside.server = server
    served.git("clone", "-q", str(hub.path), str(beside.path))
    beside.git("config", "deployments.applyOnLive", "true")
    deploy(served, name, tmp_path, 1)
    served.ok("push", "origin")
    assert f"{name}: v1 is created on the server" in beside.ok("pull").err
    deploy(served, name, tmp_path, 2)
    served.ok("push", "origin")
    assert f"{name}: v2 is applied" in beside.ok("pull").err
    assert beside.ok("pull").err == ""
    served.ok("rollback", name, "--push")
    beside.ok("pull", "-q")
    assert server.deployment(name)["description"] == "version 1"


def test_a_hub_whose_prefect_server_is_away_says_so_to_who_pushes(
    served: Served, hub: Served, name: str, tmp_path: Path
) -> None:
    served.server.pool("end-to-end")
    deploy(served, name, tmp_path, 1)
    away = f"http://127.0.0.1:{free_port()}/api"
    hub.git("config", "deployments.onLive", f'PREFECT_API_URL={away} {OURS} apply "$GIT_DEPLOYMENTS_NAME"')
    pushed = served.ok("push", "origin")
    assert f"remote: fatal: no Prefect server answers at {away}" in pushed.err
    assert hub.live(name) == 1, "git has the move; the server has it with the next apply"


class Passing(http.server.BaseHTTPRequestHandler):
    """Passes everything on to the real server; when something is to be changed, another hand is quicker."""

    behind: str
    before_change: Callable[[], None] = staticmethod(lambda: None)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = urllib.request.Request(self.behind + self.path, body or None, method=self.command)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, given = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, given = error.code, error.read()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(given)))
        self.end_headers()
        self.wfile.write(given)

    do_POST = do_GET  # noqa: N815

    def do_PATCH(self) -> None:
        self.before_change()
        self.do_GET()

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002
        del format, words


def test_what_is_live_has_the_last_word_where_two_apply_at_once(served: Served, name: str, tmp_path: Path) -> None:
    """Two pushes, two hooks: the first has read v2 as live, and writes after the second has written v1."""
    served.server.pool("end-to-end")
    deploy(served, name, tmp_path, 1)
    served.ok("apply", name, "--create")
    first = served.server.deployment(name)
    deploy(served, name, tmp_path, 2)
    moved: list[str] = []

    def roll_back() -> None:
        if not moved:
            moved.append(served.ok("rollback", name).out)
            assert served.ok("apply", name).out == f"{name}: v1 is what the server has\n"

    class Here(Passing):
        behind = served.server.api.removesuffix("/api")
        before_change = staticmethod(roll_back)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Here) as between:
        threading.Thread(target=between.serve_forever, daemon=True).start()
        out = served.ok("apply", name, PREFECT_API_URL=f"http://127.0.0.1:{between.server_port}/api").out
        between.shutdown()
    assert moved
    assert f"{name}: v1 is applied" in out
    assert versioned(served.server.deployment(name)) == versioned(first)
