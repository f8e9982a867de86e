"""Many processes write in one repository, beside git's own maintenance and readers that never stop."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from ..conftest import Project
from . import SHORT, SOAK
from .test_races import descriptions

pytestmark = pytest.mark.skipif(not SOAK, reason="long; make soak runs it")

WRITERS, WRITES = 8, 10 if SHORT else 200
WRITER = """
import json, sys
from git_deployments.cli import run
names, codes = sys.argv[3].split(), []
for number in range(int(sys.argv[2])):
    entry = {"name": names[number % len(names)], "flow_name": "etl", "description": f"{sys.argv[1]}.{number}"}
    with open(f"{sys.argv[1]}.yaml", "w") as manifest:
        json.dump({"deployments": [entry]}, manifest)
    codes.append(run(["deploy", "-q", "-f", f"{sys.argv[1]}.yaml"]))
sys.exit(max(codes))
"""
READER = """
import json, os, subprocess, sys
seen, readings = {}, 0
while not os.path.exists("done"):
    said = subprocess.run([sys.executable, "-m", "git_deployments", "list", "--json"], capture_output=True, text=True)
    assert said.returncode == 0 and not said.stderr, said
    for row in json.loads(said.stdout):
        name, live, latest = row["name"], row["live"], row["latest"]
        assert seen.get(name, 0) <= live == latest, (row, seen)
        seen[name] = live
    readings += 1
print(readings)
"""
MAINTENANCE = """
import os, subprocess
while not os.path.exists("done"):
    subprocess.run(["git", "pack-refs", "--all"], check=True)
    subprocess.run(["git", "gc", "-q"], check=True)
"""


@pytest.mark.parametrize("names", [("prod",), ("prod", "stage", "dev")])
def test_writers_side_by_side_lose_nothing_beside_maintenance_and_readers(
    project: Project, names: tuple[str, ...]
) -> None:
    project.commit("Start", code="1\n")
    for name in names:
        project.deploy("first", name=name)

    def started(code: str, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *words]
        return subprocess.Popen(command, cwd=project.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    beside = [started(READER), started(READER), started(MAINTENANCE)]
    writers = [started(WRITER, f"w{number}", str(WRITES), " ".join(names)) for number in range(WRITERS)]
    ended = [(writer.communicate(timeout=1000)[1], writer.returncode) for writer in writers]
    (project.path / "done").touch()
    others = [(*one.communicate(timeout=100), one.returncode) for one in beside]
    assert ended == [("", 0)] * WRITERS
    assert [code for _, _, code in others] == [0] * 3, others
    rows = {name: project.ok("versions", f"etl/{name}", "--json").json for name in names}
    for found in rows.values():
        assert [row["number"] for row in found] == list(range(len(found), 0, -1))
    told = Counter(words for name in names for words in descriptions(project, name))
    meant = Counter(f"w{number}.{write}" for number in range(WRITERS) for write in range(WRITES))
    assert told - meant == Counter({"first": len(names)})
    assert not meant - told, "a write that was told to have worked is lost"
    events = sum(len(project.ok("log", f"etl/{name}", "--json").json) for name in names)
    assert events == WRITERS * WRITES + len(names)
    assert project.ok("fsck").out == ""
    project.git("fsck", "--strict", "--no-dangling")
    print(f"{names}: {WRITERS} x {WRITES} writes, {sum(int(out) for out, _, _ in others[:2])} readings")
