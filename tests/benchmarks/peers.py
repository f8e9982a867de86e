"""What others take for the same, each from a virtual environment of its own that is made here.

A peer that cannot be installed, or does not start, is left out with a message.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks import manifests
from tests.benchmarks.histories import NAME, Plan, history
from tests.benchmarks.measure import Command, alternate, output
from tests.benchmarks.sandbox import SCRIPT, Sandbox, environment, progress, repository
from tests.benchmarks.table import Row, ratio

_GTO = ("gto==1.10.1",)
_PREFECT = ("prefect==3.8.8", "fastapi==0.139.0")
_TAGS = 500
_PATIENCE = 120
"""Seconds that a server has to start in, and to stop."""


class _Missing(Exception):
    """A peer is not to be had here; the message says why."""


def gto(scratch: Path) -> Iterator[Row]:
    """Versions as tags (gto), against ours, as many in the same repository."""
    try:
        program = _installed("gto", _GTO)
    except _Missing as why:
        progress(f"gto: left out: {why}")
        return
    sandbox = history(scratch / "gto", Plan(_TAGS))
    progress(f"tagging {_TAGS} versions for gto")
    for number in range(1, _TAGS + 1):
        _tag(sandbox, number)
    commit = sandbox.command("git", "commit", "-q", "--allow-empty", "-m", "Change")
    for ours, theirs in (
        (("live", NAME), ("show", "etl@latest", "--version")),
        (("list", "--json"), ("show", "--json")),
        (("list",), ("show",)),
        (("versions", NAME), ("show", "etl")),
        (("deploy",), ("register", "etl")),  # which wants a new commit each time
    ):
        times = alternate(5, [commit, sandbox.command(str(program), *theirs), sandbox.ours(*ours)])
        words = " ".join(ours).replace(NAME, "NAME")
        yield ratio(f"gto {' '.join(theirs)} ({_TAGS})", f"{words} ({_TAGS})", times[1], times[2])


def _tag(sandbox: Sandbox, number: int) -> None:
    """Register version 0.0.<number> as gto would; it orders versions by their dates, so each has another."""
    dated = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), f"{1750000000 + 60 * number} +0000")
    then = sandbox.knowing(dated)
    then.run("git", "commit", "-q", "--allow-empty", "-m", "Change")
    then.run("git", "tag", "-a", "-m", "Registering artifact etl", f"etl@v0.0.{number}")


def prefect(scratch: Path) -> Iterator[Row]:
    """`prefect deploy` to a server on this machine, against ours, of the same manifests."""
    try:
        program = _installed("prefect", _PREFECT)
        with _server(program, scratch / "prefect") as variables:
            for count, rounds in ((1, 5), (50, 3)):
                progress(f"deploying {count} with prefect and with ours")
                sandbox = repository(scratch / f"prefect-{count}", manifests.files(count)).knowing(variables)
                theirs = sandbox.command(str(program), "--no-prompt", "deploy", "--all")
                times, base = alternate(rounds, [theirs, sandbox.ours("deploy", "--all")])
                yield ratio(f"prefect deploy --all ({count})", f"deploy --all ({count})", times, base)
            for theirs_words, ours in (
                (("inspect", manifests.name(1)), ("live", manifests.name(1))),
                (("ls",), ("list", "--json")),
            ):
                theirs = sandbox.command(str(program), "--no-prompt", "deployment", *theirs_words)
                times, base = alternate(3, [theirs, sandbox.ours(*ours)])
                asked, answered = (" ".join(words).replace(manifests.name(1), "NAME") for words in (theirs_words, ours))
                yield ratio(f"prefect deployment {asked} (50)", f"{answered} (50)", times, base)
    except _Missing as why:
        progress(f"prefect: left out: {why}")


_STAMPED = """\
import os, time
TOP = time.time()
from prefect import flow


@flow(name="stamped")
def stamped():
    with open(os.environ["STAMP"], "w") as stamp:
        stamp.write(f"{TOP} {time.time()}")
"""
_STAMPED_MANIFEST = """\
pull:
- prefect.deployments.steps.git_clone:
    repository: {path}
    commit_sha: "{{{{ $GITHUB_SHA }}}}"
deployments:
- name: prod
  entrypoint: stamped.py:stamped
  work_pool: {{name: {pool}}}
"""


def running(scratch: Path) -> Iterator[Row]:
    """Until a flow's code begins: `run`, against the process that a Prefect worker starts for each flow run.

    Both clone the same repository on this disk at the same commit, in the same Python, with the same server.
    """
    try:
        program = _installed("prefect", _PREFECT)
        with _server(program, scratch / "run") as variables:
            path = scratch / "run-project"
            manifest = _STAMPED_MANIFEST.format(path=path, pool=manifests.POOL)
            files = {"stamped.py": _STAMPED, "prefect.yaml": manifest}
            stamp = scratch / "stamp"
            sandbox = repository(path, files).knowing({**variables, "STAMP": str(stamp)})
            sandbox.run(SCRIPT, "deploy", "-q")
            sandbox.run(str(program), "--no-prompt", "deploy", "--all")
            ours = sandbox.ours("run", "stamped/prod", "-q", "--python", str(program.with_name("python")))
            times = []
            for lap in range(_LAPS + 1):
                progress(f"running with a worker's process and with ours ({lap} of {_LAPS})")
                identity = _new_run(variables["PREFECT_API_URL"])
                theirs = sandbox.command(str(program), "flow-run", "execute", identity)
                times.append((*_until_stamps(ours, stamp), *_until_stamps(theirs, stamp)))
            top, call, their_top, their_call = zip(*times[1:], strict=True)
            yield ratio("run: to the file's first line", "prefect flow-run execute", top, their_top, 0.2)
            yield ratio("run: to the function's first line", "prefect flow-run execute", call, their_call)
    except _Missing as why:
        progress(f"run: left out: {why}")


_LAPS = 5


def _until_stamps(command: Command, stamp: Path) -> tuple[float, float]:
    """Seconds from the start of a process to the first line of the flow's file, and to that of its function."""
    stamp.unlink(missing_ok=True)
    start = time.time()
    output(command)
    top, call = stamp.read_text().split()
    return float(top) - start, float(call) - start


def _new_run(api: str) -> str:
    """Id of a new flow run of the deployment, due now."""
    deployment = _asked(f"{api}/deployments/name/stamped/prod", None)
    run = _asked(f"{api}/deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
    return str(run["id"])


def _asked(url: str, body: dict[str, Any] | None) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if body is None else json.dumps(body).encode()
    with opener.open(urllib.request.Request(url, data, {"Content-Type": "application/json"}), timeout=60) as answer:
        return json.load(answer)


@contextmanager
def _server(program: Path, home: Path) -> Iterator[dict[str, str]]:
    """A Prefect server of our own with the work pool of the manifests; what reaches it in the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    variables = {"PREFECT_HOME": str(home), "PREFECT_API_URL": url, "DO_NOT_TRACK": "1"}
    sandbox = repository(home / "work", manifests.files(1)).knowing(variables)
    progress("starting a Prefect server")
    with open(home / "server.log", "wb") as log:
        process = subprocess.Popen(
            [str(program), "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            cwd=sandbox.path,
            env={**sandbox.environment, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(f"{url}/health", process)
        sandbox.run(str(program), "--no-prompt", "work-pool", "create", manifests.POOL, "--type", "process")
        yield variables
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with opener.open(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise _Missing("its server did not start")


def _installed(name: str, requirements: tuple[str, ...]) -> Path:
    """A peer's program in its virtual environment, which is made where there is none yet. Raises `_Missing`."""
    directory = Path(__file__).resolve().parents[2] / f".venv-bench-{name}"
    stamp = directory / "installed"
    wanted = "\n".join(requirements)
    if not stamp.is_file() or stamp.read_text() != wanted:
        progress(f"installing {' '.join(requirements)} into {directory.name}")
        pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", "--clear", str(directory)], [*pip, *requirements]):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode:
                raise _Missing(done.stderr.strip().rpartition("\n")[2] or f"{command[0]} exit {done.returncode}")
        stamp.write_text(wanted)
    program = directory / "bin" / name
    started = subprocess.run([str(program), "--version"], env=environment(directory), capture_output=True)
    if started.returncode:
        raise _Missing(f"{program} does not start")
    return program
