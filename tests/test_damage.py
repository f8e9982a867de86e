"""Damaged objects, one by one: no command hangs or ends in a traceback, and fsck names what is damaged.

Each repository is read in a process of its own with a time limit, since a hang is what is looked for:
a truncated loose object makes libgit2 1.9 spin for ever, and git's standard error fills pipes.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import HASH, WIDTH, Project, prepared, three_versions

PREFIX = "refs/deployments/etl/prod"
LIMIT = 20
"""Seconds for all commands on one repository; they take less than one."""

READING = (
    ["fsck", "--json"],
    ["list"],
    ["live", "etl/prod"],
    ["versions", "prod", "--json"],
    ["show", "prod", "1"],
    ["show", "prod", "0.0.3", "--json"],
    ["log", "prod"],
    ["status"],
    ["diff", "prod"],
    ["diff", "prod", "1", "3"],
    ["export"],
)
WRITING = (
    ["update", "prod", "paused=true"],
    ["deploy", "--if-changed"],
    ["deploy"],
    ["rollback", "prod"],
    ["fsck", "--repair"],
    ["delete", "prod", "-y"],
)
CHILD = """
import contextlib, io, json, sys
from git_deployments import cli, history
history.PAUSE = 0  # nobody else writes here
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run(arguments)
    print(json.dumps([arguments, code, out.getvalue(), err.getvalue()]), flush=True)
"""


class Ran(NamedTuple):
    """One command line and how it ended."""

    words: str
    code: int
    out: str
    err: str


def run(project: Project, *commands: list[str]) -> list[Ran]:
    """Run command lines one after the other in one new process; a traceback or a hang fails the test."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", CHILD],
            cwd=project.path,
            input=json.dumps(commands),
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired as hanging:
        ended = (hanging.stdout or b"").decode().count("\n")
        pytest.fail(f"hangs: {commands[ended]}")
    ran = [Ran(" ".join(words), *rest) for words, *rest in map(json.loads, done.stdout.splitlines())]
    assert len(ran) == len(commands), f"{commands[len(ran)]}: {done.stderr}"
    for one in ran:
        assert one.code in (0, 1, 128), one
        assert "Traceback" not in one.err
        assert one.code != 128 or one.err.splitlines()[-1].startswith("fatal: "), one
    return ran


def rolled(path: Path) -> None:
    three_versions(path).ok("rollback", "prod", "-m", "wrong totals")


@pytest.fixture
def rolled_back(tmp_path: Path) -> Project:
    """Three versions and a rollback to v2."""
    prepared(tmp_path / "copy", rolled)
    return Project(tmp_path / "copy")


DAMAGES = ("emptied", "flipped", "halved", "deleted")
OURS = {
    "versions/2": DAMAGES,
    "versions/3^{tree}": DAMAGES,
    "versions/2:deployment.json": DAMAGES,
    "log": DAMAGES,
    "log:settings.json": DAMAGES,
    **dict.fromkeys(("versions/1", "versions/3", "versions/1^{tree}", "versions/3:deployment.json"), DAMAGES[:2]),
    **dict.fromkeys(("log~1", "log~3", "log^{tree}"), DAMAGES[:2]),
}
"""Every kind of object in every kind of place (newest, live, inner, first), and what is done to it."""


def damage(path: Path, how: str) -> None:
    """Do it to a loose object's file."""
    path.chmod(0o644)
    data = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "flipped":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :])
    else:
        path.write_bytes(b"" if how == "emptied" else data[: len(data) // 2])


def loose(project: Project, oid: str) -> Path:
    """The file of a loose object."""
    return project.path / ".git/objects" / oid[:2] / oid[2:]


@pytest.mark.parametrize(("place", "how"), [(place, how) for place, damages in OURS.items() for how in damages])
def test_a_damaged_object_is_named_by_fsck_and_stops_nothing_for_ever(
    rolled_back: Project, place: str, how: str
) -> None:
    oid = rolled_back.git("rev-parse", f"{PREFIX}/{place}")
    before = rolled_back.refs()
    damage(loose(rolled_back, oid), how)
    checked, *_ = run(rolled_back, *READING)
    assert checked.code in (1, 128)
    assert oid in checked.out + checked.err
    assert rolled_back.refs() == before
    run(rolled_back, *WRITING)


@pytest.mark.parametrize("how", DAMAGES[:2])
@pytest.mark.parametrize("place", ["HEAD", "HEAD^{tree}"])
def test_damaged_code_is_no_breach_and_stops_nothing_for_ever(rolled_back: Project, place: str, how: str) -> None:
    damage(loose(rolled_back, rolled_back.git("rev-parse", place)), how)
    for one in run(rolled_back, *READING):
        assert one.code == 0, one
    run(rolled_back, *WRITING)


@pytest.mark.parametrize("position", [0.3, 0.6, 0.9])
def test_a_damaged_pack(rolled_back: Project, position: float) -> None:
    rolled_back.git("gc", "-q")
    (pack,) = (rolled_back.path / ".git/objects/pack").glob("*.pack")
    pack.chmod(0o644)
    data = bytearray(pack.read_bytes())
    for place in range(int(len(data) * position), int(len(data) * position) + 64):
        data[place % len(data)] ^= 0x55
    pack.write_bytes(data)
    run(rolled_back, *READING, *WRITING)


@pytest.mark.parametrize("how", ["emptied", "deleted"])
def test_a_power_cut_that_takes_a_thousand_objects(rolled_back: Project, how: str) -> None:
    """For each git complains on its standard error, which fits no pipe in the end if nobody reads it."""
    tip, trees = rolled_back.git("rev-parse", f"{PREFIX}/versions/3"), []
    for number in range(4, 1004):
        tree = f"{number:0{WIDTH}x}"
        trees.append(tree)
        tip = write_version(rolled_back, number, tree, tip)
        if how == "emptied":
            write_loose(rolled_back, tree, b"")
    rolled_back.git("update-ref", f"{PREFIX}/versions/1003", tip)
    checked, *_ = run(rolled_back, ["fsck"], ["list"], ["versions", "prod"])
    assert checked.code == 1
    assert all(tree in checked.out for tree in trees)


def write_version(project: Project, number: int, tree: str, parent: str) -> str:
    """Write the commit of a version; its id."""
    who = "A <a@example.com> 1 +0000"
    head = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n"
    commit = f"{head}\netl/prod v{number}\n\nDeployment: etl/prod\nNumber: {number}\nFormat: 1\n"
    whole = f"commit {len(commit)}\0{commit}".encode()
    oid = hashlib.new(HASH, whole).hexdigest()
    write_loose(project, oid, zlib.compress(whole, 1))
    return oid


def write_loose(project: Project, oid: str, data: bytes) -> None:
    """Write the file of a loose object."""
    path = loose(project, oid)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("place", ["versions/3^{tree}", "versions/3:deployment.json"])
def test_a_deploy_that_needs_a_damaged_object_does_not_claim_to_have_made_a_version(
    rolled_back: Project, place: str, how: str
) -> None:
    """git and libgit2 do not write an object whose file is there already, whatever is in the file."""
    rolled_back.git("reset", "-q", "--hard")
    rolled_back.manifest("d3", version="0.0.3")
    damage(loose(rolled_back, rolled_back.git("rev-parse", f"{PREFIX}/{place}")), how)
    deployed, shown = run(rolled_back, ["deploy"], ["show", "prod", "latest", "--json"])
    if deployed.code == 0:
        assert shown.code == 0, shown
        assert json.loads(shown.out)["number"] == 4


@pytest.mark.parametrize("arguments", [[], ["prod"]])
def test_export_does_not_leave_out_what_is_damaged(rolled_back: Project, arguments: list[str]) -> None:
    oid = rolled_back.git("rev-parse", f"{PREFIX}/log")
    damage(loose(rolled_back, oid), "deleted")
    (exported,) = run(rolled_back, ["export", *arguments])
    assert exported.code == 128
    assert oid in exported.err


@pytest.mark.parametrize("place", ["versions/1", "versions/1^{tree}", "log~3"])
def test_what_is_damaged_long_ago_does_not_stop_a_move_between_good_versions(rolled_back: Project, place: str) -> None:
    """A rollback is for emergencies; fsck still names the damage."""
    before = rolled_back.refs()
    damage(loose(rolled_back, rolled_back.git("rev-parse", f"{PREFIX}/{place}")), "emptied")
    promoted, back, checked = run(rolled_back, ["promote", "prod"], ["rollback", "prod", "number:2"], ["fsck"])
    assert (promoted.code, back.code, checked.code) == (0, 0, 1)
    after = rolled_back.refs()
    assert {ref for ref in after if after[ref] != before[ref]} == {f"{PREFIX}/log"}


def test_status_names_an_index_that_is_out_of_line(versions: Project) -> None:
    versions.git("update-ref", f"{PREFIX}/versions/1", f"{PREFIX}/versions/2")
    assert "etl/prod: damaged: versions/2 does not follow from versions/1" in versions.ok("status").out
    assert "versions/2" in versions.ok("status", "prod", "--json").json[0]["problem"]
    assert "versions/1 of 'etl/prod' is" in versions.fatal("rollback", "prod")


@pytest.mark.parametrize("kind", ["live", "log"])
def test_a_ref_that_a_power_cut_emptied_is_named_by_every_reader_and_is_no_move(versions: Project, kind: str) -> None:
    """git lists no such ref, as if it had never been: what was live would be missing without a word."""
    ref = f"{PREFIX}/{kind}"
    (versions.path / ".git" / ref).write_bytes(b"")
    for words in (["versions", "prod"], ["show", "prod"], ["log", "prod"], ["diff", "prod"], ["export"]):
        assert f"{ref} is broken" in versions.fatal(*words)
    assert f"etl/prod: damaged: {ref} is broken" in versions.ok("status").out
    assert f"{ref} is broken" in versions.ok("list").err
    assert f"{ref} is broken" in versions.run("fsck").out
    versions.manifest("another")
    for words in (["deploy"], ["rollback", "prod"], ["delete", "prod", "-y"]):
        assert f"{ref} is broken" in versions.fatal(*words)
    if kind == "live":
        for words in (["live", "etl/prod"], ["live", "etl/prod", "--oid"]):
            assert f"{ref} is broken" in versions.fatal(*words)


def test_a_symbolic_live_is_called_by_its_name(versions: Project) -> None:
    versions.git("symbolic-ref", f"{PREFIX}/live", "refs/heads/main")
    for command in ("live", "show", "rollback"):
        assert f"{PREFIX}/live is a symbolic ref" in versions.fatal(command, "prod")
