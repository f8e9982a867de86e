"""Eight clones deploy to one deployment at once, each as often as it can: `make soak`."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import Project
from ..test_sync_http import bare, serving
from . import SHORT, SOAK

pytestmark = pytest.mark.skipif(not SOAK, reason="long; make soak runs it")

WRITERS, WRITES = 8, 3 if SHORT else 25
PROGRAM = """
import json, sys
from git_deployments.cli import run
codes = []
for number in range(int(sys.argv[2])):
    entry = {"name": "prod", "flow_name": "etl", "description": f"{sys.argv[1]}.{number}"}
    with open("prefect.yaml", "w") as manifest:
        json.dump({"deployments": [entry]}, manifest)
    codes.append(run(["deploy", "-q", "--push"]))
sys.exit(max(codes))
"""


@pytest.fixture
def url(transport: str, tmp_path: Path) -> Iterator[str]:
    """Where the hub is, which is guarded, as the clones reach it."""
    bare(tmp_path / "hub.git").ok("hook", "install")
    if transport == "file":
        yield f"file://{tmp_path}/hub.git"
        return
    with serving(tmp_path) as server:
        yield f"{server.url}/hub.git"


def clone(url: str, path: Path) -> Project:
    subprocess.run(["git", "clone", "-q", url, str(path)], check=True, capture_output=True)
    return Project(path)


# Where names and seconds are the same, two writers also make the very same event now and then.
@pytest.mark.parametrize(("transport", "named"), [("file", False), ("http", True)])
def test_of_many_racing_deploys_none_is_lost_and_none_doubled(tmp_path: Path, url: str, named: bool) -> None:
    first = clone(url, tmp_path / "first")
    first.commit("Start", code="1\n")
    first.git("push", "-q", "origin", "HEAD:main")
    processes = []
    for number in range(WRITERS):
        writer = clone(url, tmp_path / f"writer{number}")
        if named:
            writer.git("config", "user.name", writer.path.name)
        words = [sys.executable, "-c", PROGRAM, writer.path.name, str(WRITES)]
        processes.append(subprocess.Popen(words, cwd=writer.path, stderr=subprocess.PIPE, text=True))
    ended = [(process.communicate(timeout=300)[1], process.returncode) for process in processes]
    assert [code for _, code in ended] == [0] * WRITERS, ended
    first.ok("pull")
    rows = first.ok("versions", "prod", "--json").json
    assert [row["number"] for row in rows] == list(range(WRITERS * WRITES, 0, -1))
    assert first.ok("fsck").out == ""
    assert Project(tmp_path / "hub.git").ok("fsck").out == ""
    found = Counter(descriptions(first))
    assert found == Counter(f"writer{number}.{write}" for number in range(WRITERS) for write in range(WRITES))


def descriptions(project: Project, name: str = "prod") -> list[str]:
    """Of every version."""
    commits = project.git("rev-list", f"refs/deployments/etl/{name}/live").splitlines()
    questions = "".join(f"{commit}:deployment.json\n" for commit in commits)
    lines = project.git("cat-file", "--batch", stdin=questions).splitlines()
    return [line.split('"')[3] for line in lines if line.startswith('  "description": ')]
