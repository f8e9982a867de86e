"""A server's hooks: put in place beside what is there, and what happens when another version goes live."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from .conftest import Project, Result
from .recipes import follow, recipe
from .test_sync import Team

PREFIX = "refs/deployments/etl/prod"
LIVE, LOG = f"{PREFIX}/live", f"{PREFIX}/log"


def guard(path: Path) -> None:
    made = Team(path)
    made.hub.ok("hook", "install")
    for number in (1, 2):
        made.ada.deploy(f"d{number}", version=f"0.0.{number}")
    made.ada.ok("push")
    made.bob.ok("pull")


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """A guarded hub with two published versions, and two clones that know them."""
    return Team(tmp_path, guard)


def push(project: Project, *specs: str) -> Result:
    command = ["git", "push", "-q", "origin", *specs]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, encoding="utf-8")
    return Result(done.returncode, done.stdout, done.stderr)


def hook(project: Project, name: str, script: str) -> Path:
    path = project.write(f"hooks/{name}", f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


# Installation


def test_install_and_remove_leave_what_was_there(tmp_path: Path) -> None:
    team = Team(tmp_path)
    mine = hook(team.hub, "pre-receive", "cat >mine; echo mine; exit 0")
    before = mine.read_text(), sorted(path.name for path in (team.hub.path / "hooks").iterdir())
    out = team.hub.ok("hook", "install").out
    assert "pre-receive: installed; the hook that was there is kept as pre-receive.before-deployments" in out
    assert out.count("installed") == 2
    again = team.hub.ok("hook", "install").out
    assert "kept" not in again
    assert (team.hub.path / "hooks/pre-receive.before-deployments").read_text() == before[0]
    out = team.hub.ok("hook", "install", "--remove").out
    assert "the hook that was there before is back" in out
    assert "post-receive: removed" in out
    assert (mine.read_text(), sorted(path.name for path in (team.hub.path / "hooks").iterdir())) == before
    assert "left alone" in team.hub.ok("hook", "install", "--remove").out
    assert mine.read_text() == before[0]


def test_a_hook_of_yours_runs_first_and_has_its_say(team: Team) -> None:
    team.hub.ok("hook", "install", "--remove")
    hook(team.hub, "pre-receive", 'cat >seen; echo "mine first"')
    team.hub.ok("hook", "install")
    result = push(team.ada, f"+{PREFIX}/versions/1:{LIVE}")
    assert result.code == 1
    assert result.err.index("mine first") < result.err.index("live would be at")
    assert (team.hub.path / "seen").read_text().endswith(f" {LIVE}\n")
    hook(team.hub, "pre-receive.before-deployments", "echo never; exit 3")
    before = team.hub.refs()
    assert "never" in team.ada.run("rollback", "prod", "--push").err
    assert push(team.ada, "HEAD:refs/heads/new").code == 1
    assert team.hub.refs() == before


DISPATCH = """data=$(cat)
for hook in "$(dirname "$0")/$(basename "$0").d"/*; do
    test -x "$hook" || continue
    echo "$data" | "$hook" || exit 1
done"""


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/sh -e", "/usr/bin/env bash", "/bin/bash -e"])
def test_a_hook_of_yours_that_looks_at_its_name_finds_the_one_that_it_had(team: Team, shell: str) -> None:
    """As that of a forge does, which runs what lies in `<name>.d`: it would run nothing, and so let everything in."""
    team.hub.ok("hook", "install", "--remove")
    mine = hook(team.hub, "pre-receive", DISPATCH)
    mine.write_text(mine.read_text().replace("/bin/sh", shell, 1))
    hook(team.hub, "pre-receive.d/forge", "grep refs/heads/main && echo 'main is protected' && exit 1; exit 0")
    team.hub.ok("hook", "install")
    team.ada.commit("More", code="2\n")
    before = team.hub.git("rev-parse", "main")
    assert "main is protected" in push(team.ada, "HEAD:main").err
    assert team.hub.git("rev-parse", "main") == before
    assert push(team.ada, "HEAD:side").code == 0
    team.ada.ok("rollback", "prod", "--push")


@pytest.mark.parametrize("first", ["#!/usr/bin/env python3", f"#!{sys.executable}"])
def test_a_hook_of_yours_in_another_language_is_run_as_it_is(team: Team, first: str) -> None:
    team.hub.ok("hook", "install", "--remove")
    mine = hook(team.hub, "pre-receive", "")
    mine.write_text(f"{first}\nimport sys\nprint(sys.argv, len(sys.stdin.read().split()))\n")
    team.hub.ok("hook", "install")
    told = push(team.ada, "HEAD:side").err
    assert "pre-receive.before-deployments'] 3" in told


@pytest.mark.parametrize("shell", ["/bin/sh -", "/bin/bash --", "/usr/bin/env -S bash -e"])
def test_a_hook_of_yours_whose_shell_takes_no_more_options_is_run_as_it_is(team: Team, shell: str) -> None:
    team.hub.ok("hook", "install", "--remove")
    mine = hook(team.hub, "pre-receive", "wc -w")
    mine.write_text(mine.read_text().replace("/bin/sh", shell, 1))
    team.hub.ok("hook", "install")
    result = push(team.ada, "HEAD:side")
    assert (result.code, result.err.split()[:2]) == (0, ["remote:", "3"])


def test_a_hook_that_reads_nothing_or_is_not_executable_is_no_obstacle(team: Team) -> None:
    team.hub.ok("hook", "install", "--remove")
    mine = hook(team.hub, "pre-receive", "exit 0")
    hook(team.hub, "post-receive", "echo mine").chmod(0o644)
    team.hub.ok("hook", "install")
    team.ada.ok("rollback", "prod", "--push")
    assert team.hub.live() == 1
    assert not mine.read_text().startswith("exit")


def test_a_hook_of_yours_that_fails_after_the_push_keeps_nothing_from_being_told(team: Team) -> None:
    team.hub.ok("hook", "install", "--remove")
    hook(team.hub, "post-receive", "echo mine; exit 1")
    team.hub.ok("hook", "install")
    team.ada.ok("rollback", "prod")
    result = push(team.ada, "--atomic", LOG, f"+{LIVE}")
    assert "remote: mine" in result.err
    assert "remote: etl/prod: v1 is live, was v2" in result.err


def test_what_is_kept_is_not_overwritten(team: Team) -> None:
    team.hub.ok("hook", "install", "--remove")
    hook(team.hub, "pre-receive.before-deployments", "echo old")
    hook(team.hub, "pre-receive", "echo new")
    assert "move one of them away" in team.hub.fatal("hook", "install")
    assert "echo old" in (team.hub.path / "hooks/pre-receive.before-deployments").read_text()
    assert "echo new" in (team.hub.path / "hooks/pre-receive").read_text()


def test_hooks_go_where_git_looks_for_them(tmp_path: Path) -> None:
    team = Team(tmp_path)
    team.hub.git("config", "core.hooksPath", str(tmp_path / "elsewhere"))
    team.hub.ok("hook", "install")
    assert (tmp_path / "elsewhere" / "pre-receive").is_file()
    assert not (team.hub.path / "hooks" / "pre-receive").exists()
    team.ada.deploy("d1", "--push")
    assert push(team.ada, f":{LIVE}").code == 1


def test_who_has_a_path_for_hooks_of_his_own_is_told_that_others_have_it_not(team: Team, tmp_path: Path) -> None:
    """Who pushes as another user is not guarded by hooks there."""
    team.hub.ok("hook", "install", "--remove")
    own = tmp_path / "gitconfig"
    own.write_text(f"[core]\n\thooksPath = {tmp_path}/own\n")
    *_, said = team.hub.ok("hook", "install", GIT_CONFIG_GLOBAL=str(own)).out.splitlines()
    assert "what others push is not guarded" in said
    before = team.hub.refs()
    for words in said.partition("for all who push here: ")[2].split(", then "):
        _, *command = words.split()
        if command[0] == "deployments":
            assert "not guarded" not in team.hub.ok(*command[1:], GIT_CONFIG_GLOBAL=str(own)).out
        else:
            team.hub.git(*command)
    assert push(team.ada, f":{LIVE}").code == 1
    assert team.hub.refs() == before


@pytest.mark.parametrize(("place", "why"), [("", "core.hooksPath is empty"), (os.devnull, "/dev/null is no directory")])
@pytest.mark.parametrize("options", [(), ("--remove",)])
def test_where_git_runs_no_hooks_none_is_put_in_place(
    versions: Project, place: str, why: str, options: tuple[str, ...]
) -> None:
    """A guard that git does not ask would be said to be there."""
    versions.git("config", "core.hooksPath", place)
    said = versions.fatal("hook", "install", *options)
    assert f"git runs no hooks here, since {why}" in said
    assert not (versions.path / ".git" / "pre-receive").exists()
    versions.git(*said.rpartition("name one: git ")[2].split())
    assert "installed" in versions.ok("hook", "install").out


@pytest.mark.parametrize("below", ["", "sub"])
def test_a_relative_path_for_hooks_begins_where_a_push_looks(versions: Project, tmp_path: Path, below: str) -> None:
    versions.git("config", "core.hooksPath", "guards")
    (versions.path / below).mkdir(exist_ok=True)
    Project(versions.path / below).ok("hook", "install")
    assert (versions.path / ".git/guards/pre-receive").is_file()
    subprocess.run(["git", "clone", "-q", str(versions.path), str(tmp_path / "other")], check=True)
    result = push(Project(tmp_path / "other"), f"HEAD:{PREFIX}/versions/9")
    assert result.code == 1
    assert "versions/9" in result.err
    assert f"{PREFIX}/versions/9" not in versions.refs()
    assert "pre-receive: removed" in versions.ok("hook", "install", "--remove").out


@pytest.mark.parametrize("template", ["--template=", "--quiet"])
@pytest.mark.parametrize(("shared", "mode"), [("group", 0o755), ("0660", 0o750), ("umask", 0o700)])
def test_whoever_may_push_may_run_the_hooks(tmp_path: Path, template: str, shared: str, mode: int) -> None:
    """git passes over a hook that it may not run, with a hint and no more, so nobody would be guarded against."""
    hub = Project(tmp_path / "hub.git")
    before = os.umask(0o002 if shared == "group" else 0o077)
    try:
        subprocess.run(["git", "init", "-q", "--bare", f"--shared={shared}", template, str(hub.path)], check=True)
        os.umask(0o077)
        hub.ok("hook", "install")
    finally:
        os.umask(before)
    for path in (hub.path / "hooks", *(hub.path / "hooks" / name for name in ("pre-receive", "post-receive"))):
        assert path.stat().st_mode & 0o755 == mode, path


def test_code_alone_starts_no_python_and_a_lost_program_refuses_deployments(team: Team) -> None:
    path = team.hub.path / "hooks" / "pre-receive"
    program = str(Path(sys.executable).with_name("git-deployments"))
    path.write_text(path.read_text().replace(program, "/nowhere/git-deployments"))
    team.ada.commit("More", code="2\n")
    assert push(team.ada, "HEAD:main").code == 0
    before = team.hub.refs()
    result = team.ada.run("rollback", "prod", "--push")
    assert result.code == 1
    assert "no longer at /nowhere/git-deployments; run 'git deployments hook install'" in result.err
    assert team.hub.refs() == before


def test_remove_needs_install(team: Team) -> None:
    assert team.hub.run("hook", "pre-receive", "--remove").code == 129
    assert team.hub.run("hook", "post-update").code == 129


# What goes live


def on_live(project: Project, command: str) -> None:
    project.git("config", "--add", "deployments.onLive", command)


RECORD = 'env | grep ^GIT_DEPLOYMENTS_ | sort >>"$LOG"; cat >>"$LOG"'


@pytest.fixture
def told(team: Team, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hub's command writes what it is told."""
    path = team.path / "told"
    monkeypatch.setenv("LOG", str(path))
    on_live(team.hub, RECORD)
    return path


def test_each_move_that_a_push_makes_is_told_once(team: Team, told: Path) -> None:
    result = team.ada.ok("rollback", "prod", "-m", "wrong\n\ntotals; $(touch evil)", "--push")
    assert "remote:" not in result.out
    variables, _, snapshot = told.read_text().partition("{")
    refs = team.hub.refs()
    assert variables == (
        "GIT_DEPLOYMENTS_ACTION=rollback\nGIT_DEPLOYMENTS_BY=Ada <ada@example.com>\n"
        f"GIT_DEPLOYMENTS_COMMIT={refs[LIVE]}\nGIT_DEPLOYMENTS_FROM=2\nGIT_DEPLOYMENTS_NAME=etl/prod\n"
        f"GIT_DEPLOYMENTS_REASON=wrong\nGIT_DEPLOYMENTS_SOURCE={team.hub.git('rev-parse', LIVE + ':source')}\n"
        "GIT_DEPLOYMENTS_TO=1\n"
    )
    assert json.loads("{" + snapshot)["description"] == "d1"
    assert not list(team.path.rglob("evil"))


def test_a_push_of_several_events_is_one_move(team: Team, told: Path) -> None:
    on_live(team.hub, 'echo second >>"$LOG"')
    team.ada.deploy("d3")
    team.ada.ok("rollback", "prod", "v1")
    team.ada.ok("update", "prod", "paused=true")
    result = push(team.ada, "--atomic", LOG, f"+{LIVE}", f"{PREFIX}/versions/*")
    assert result.code == 0
    assert "remote: etl/prod: v1 is live, was v2 (rollback by Ada)" in result.err
    words = told.read_text()
    assert words.count("GIT_DEPLOYMENTS_NAME") == 1
    assert words.endswith("second\n")
    assert {"GIT_DEPLOYMENTS_ACTION=rollback", "GIT_DEPLOYMENTS_FROM=2"} <= set(words.splitlines())


def test_what_moves_nothing_is_not_told(team: Team, told: Path) -> None:
    team.ada.deploy("d3", "--no-live", "--push")
    team.ada.ok("update", "prod", "paused=true", "--push")
    push(team.ada, "HEAD:main")
    assert not told.exists()


def test_a_delete_is_told_without_a_snapshot(team: Team, told: Path) -> None:
    team.ada.ok("delete", "prod", "-y", "--push")
    lines = told.read_text().splitlines()
    assert {"GIT_DEPLOYMENTS_ACTION=delete", "GIT_DEPLOYMENTS_TO=", "GIT_DEPLOYMENTS_COMMIT="} <= set(lines)
    assert len(lines) == 8


def test_a_purge_that_is_pushed_is_told_as_a_delete(team: Team, told: Path) -> None:
    team.hub.git("config", "deployments.allowDelete", "true")
    result = team.ada.ok("delete", "prod", "--purge", "-y", "--push")
    assert "remote: etl/prod: nothing is live, was v2 (delete)" in result.err
    assert {"GIT_DEPLOYMENTS_ACTION=delete", "GIT_DEPLOYMENTS_FROM=2", "GIT_DEPLOYMENTS_TO="} <= set(
        told.read_text().splitlines()
    )


def test_a_local_purge_is_told_as_a_delete(team: Team, told: Path) -> None:
    team.ada.git("config", "deployments.onLiveLocal", "true")
    on_live(team.ada, RECORD)
    team.ada.deploy("other", "--no-live", name="other")
    team.ada.ok("delete", "other", "--purge", "-y")
    assert not told.exists()
    on_live(team.ada, "exit 7")
    result = team.ada.ok("delete", "prod", "--purge", "-y", "-m", "over")
    assert "warning: deployments.onLive: 'exit 7' ended with status 7 for etl/prod" in result.err
    assert told.read_text().splitlines() == [
        "GIT_DEPLOYMENTS_ACTION=delete",
        "GIT_DEPLOYMENTS_BY=Ada <ada@example.com>",
        "GIT_DEPLOYMENTS_COMMIT=",
        "GIT_DEPLOYMENTS_FROM=2",
        "GIT_DEPLOYMENTS_NAME=etl/prod",
        "GIT_DEPLOYMENTS_REASON=over",
        "GIT_DEPLOYMENTS_SOURCE=",
        "GIT_DEPLOYMENTS_TO=",
    ]


def test_a_move_that_no_event_tells_of_is_told_too(team: Team, told: Path) -> None:
    """Where there is no guard."""
    (team.hub.path / "hooks" / "pre-receive").unlink()
    result = push(team.ada, f"+{PREFIX}/versions/1:{LIVE}")
    assert "remote: etl/prod: v1 is live, was v2 (move)" in result.err
    assert "GIT_DEPLOYMENTS_ACTION=move" in told.read_text()


def test_what_is_no_version_and_no_log_keeps_nothing_from_being_told(team: Team, told: Path) -> None:
    """Where there is no guard."""
    (team.hub.path / "hooks" / "pre-receive").unlink()
    team.ada.deploy("x", name="dev")
    other = "refs/deployments/etl/dev"
    specs = [f"+HEAD:{LIVE}", f"+HEAD:{LOG}", f"{other}/live", f"{other}/log"]
    result = push(team.ada, *specs)
    assert result.code == 0
    assert "remote: etl/dev: v1 is live, was nothing (deploy by Ada)" in result.err
    assert "remote: etl/prod: nothing is live, was v2 (move)" in result.err
    assert told.read_text().count("GIT_DEPLOYMENTS_NAME=") == 2


def test_of_many_moves_each_is_told(team: Team) -> None:
    """Their commits are read together, and one that is no version keeps none from being told. There is no guard."""
    (team.hub.path / "hooks" / "pre-receive").unlink()
    names = [f"many/d{number}" for number in range(40)]
    lines = "".join(f"- {{name: {name[5:]}, flow_name: many}}\n" for name in names)
    team.ada.write("prefect.yaml", f"deployments:\n{lines}")
    team.ada.ok("deploy", "--all", "--offline")
    result = push(team.ada, "refs/deployments/many/*:refs/deployments/many/*", f"+HEAD:{LIVE}", f"+HEAD:{LOG}")
    told = [line.removeprefix("remote: ").rstrip() for line in result.err.splitlines() if " is live, " in line]
    expected = [f"{name}: v1 is live, was nothing (deploy by Ada)" for name in names]
    assert sorted(told) == sorted([*expected, "etl/prod: nothing is live, was v2 (move)"])
    team.ada.write("prefect.yaml", f"deployments:\n{lines.replace('}', ', description: new}')}")
    team.ada.ok("deploy", "--all", "--offline")
    again = push(team.ada, "+refs/deployments/many/*:refs/deployments/many/*").err
    assert again.count(": v2 is live, was v1 (deploy by Ada)") == 40


def test_a_command_that_fails_is_named_and_the_others_run(team: Team, told: Path) -> None:
    team.hub.git("config", "--unset-all", "deployments.onLive")
    on_live(team.hub, "echo oops; exit 7")
    on_live(team.hub, RECORD)
    result = push_rollback(team)
    assert result.code == 0
    assert "remote: oops" in result.err
    assert "deployments.onLive: 'echo oops; exit 7' ended with status 7 for etl/prod" in result.err
    assert "GIT_DEPLOYMENTS_TO=1" in told.read_text()


def test_a_damaged_snapshot_keeps_the_commands_from_no_other_deployment(team: Team, told: Path) -> None:
    team.ada.deploy("x", name="zoo")
    team.ada.ok("rollback", "prod")
    blob = team.hub.git("rev-parse", f"{PREFIX}/versions/1:deployment.json")
    (team.hub.path / "objects" / blob[:2] / blob[2:]).unlink()
    result = push(team.ada, "+refs/deployments/*:refs/deployments/*")
    assert result.code == 0
    assert "remote: deployments.onLive was not run for etl/prod: object " in result.err
    assert told.read_text().count("GIT_DEPLOYMENTS_NAME=") == 1
    assert "GIT_DEPLOYMENTS_NAME=etl/zoo" in told.read_text()


def test_what_the_hub_says_reaches_who_pushes_with_us(team: Team) -> None:
    """As with plain git, and where no terminal shows git's own progress: a hook that failed is no secret."""
    on_live(team.hub, "echo 'oops \033[31m'; exit 7")
    for result in (team.ada.ok("rollback", "prod", "--push", "-q"), again(team)):
        lines = [line for line in result.err.splitlines() if line.startswith("remote: ")]
        assert lines[0].startswith("remote: etl/prod: v")
        assert lines[1].startswith("remote: oops ")
        assert "\033" not in result.err
        assert lines[2].endswith("ended with status 7 for etl/prod")


def again(team: Team) -> Result:
    team.ada.ok("promote", "prod")
    return team.ada.ok("push")


def push_rollback(team: Team) -> Result:
    team.ada.ok("rollback", "prod")
    return push(team.ada, "--atomic", LOG, f"+{LIVE}")


def test_a_reason_of_a_megabyte_does_not_keep_the_command_from_running(team: Team, told: Path) -> None:
    tip, tree = team.ada.git("rev-parse", LOG), team.ada.git("rev-parse", f"{LOG}^{{tree}}")
    team.ada.ok("rollback", "prod")
    message = team.ada.git("log", "-1", "--format=%B", LOG)
    subject, _, trailers = message.partition("\n\n")
    long = team.ada.git("commit-tree", tree, "-p", tip, stdin=f"{subject}\n\n{'x' * (1 << 20)}\n\n{trailers}")
    assert push(team.ada, "--atomic", f"{long}:{LOG}", f"+{LIVE}").code == 0
    assert "GIT_DEPLOYMENTS_TO=1" in told.read_text()


@pytest.mark.parametrize("start", ["", "x", "xx", "xxx"])
def test_a_long_reason_is_cut_at_a_character(versions: Project, tmp_path: Path, start: str) -> None:
    versions.git("config", "deployments.onLiveLocal", "true")
    on_live(versions, f'printf %s "$GIT_DEPLOYMENTS_REASON" >"{tmp_path}/reason"')
    assert versions.ok("rollback", "prod", "-m", start + "\N{GRINNING FACE}" * 32_767).err == ""
    reason = (tmp_path / "reason").read_text(encoding="utf-8")
    assert reason == start + "\N{GRINNING FACE}" * (8192 - bool(start))


def test_a_local_write_runs_them_where_that_is_wanted(team: Team, tmp_path: Path) -> None:
    log = tmp_path / "local"
    on_live(team.bob, f'echo "$GIT_DEPLOYMENTS_FROM to $GIT_DEPLOYMENTS_TO by $GIT_DEPLOYMENTS_BY" >>"{log}"; echo out')
    team.bob.ok("rollback", "prod")
    assert not log.exists()
    team.bob.git("config", "deployments.onLiveLocal", "true")
    assert json.loads(team.bob.ok("promote", "prod", "--json").out)["to"] == 2
    team.bob.ok("update", "prod", "paused=true")
    team.bob.deploy("d3", "--no-live")
    team.bob.deploy("d4")
    assert log.read_text() == "1 to 2 by Ada <ada@example.com>\n2 to 4 by Ada <ada@example.com>\n"
    on_live(team.bob, "exit 9")
    result = team.bob.run("rollback", "prod")
    assert result.code == 0
    assert "warning: deployments.onLive: 'exit 9' ended with status 9" in result.err


@pytest.mark.parametrize("environment", [{}, {"GIT_DIR": "../.git", "GIT_WORK_TREE": ".."}])
def test_a_local_write_runs_them_at_the_top_of_the_work_tree(
    versions: Project, tmp_path: Path, environment: dict[str, str]
) -> None:
    versions.git("config", "deployments.onLiveLocal", "true")
    follow(versions, "files", **{"/srv/etl": str(tmp_path / "srv")})
    on_live(versions, f'pwd >"{tmp_path}/where"; git rev-parse --show-toplevel >"{tmp_path}/top"')
    below = Project(versions.path / "sub")
    below.path.mkdir()
    assert below.ok("rollback", "prod", "1", **environment).err == ""
    assert (tmp_path / "srv/current/code").read_text() == "1\n"
    assert Path((tmp_path / "where").read_text().strip()).samefile(versions.path)
    assert Path((tmp_path / "top").read_text().strip()).samefile(versions.path)


def test_a_local_write_in_a_bare_repository_runs_them_there(team: Team, tmp_path: Path) -> None:
    team.hub.git("config", "deployments.onLiveLocal", "true")
    on_live(team.hub, f'pwd >"{tmp_path}/where"')
    Project(team.hub.path / "hooks").ok("rollback", "prod")
    assert Path((tmp_path / "where").read_text().strip()).samefile(team.hub.path)


def test_the_hook_sees_the_repository_that_was_pushed_to(team: Team, told: Path) -> None:
    del told
    on_live(
        team.hub, f'"{Path(sys.executable).with_name("git-deployments")}" live "$GIT_DEPLOYMENTS_NAME" >>"$LOG.live"'
    )
    team.ada.ok("rollback", "prod", "--push")
    assert (team.path / "told.live").read_text() == "1\n"
    assert os.path.isdir(team.hub.path)


# The recipes of docs/hooks.md


def program(team: Team, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that the hooks of this test find by its name."""
    path = team.path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    places = (str(path.parent), str(Path(sys.executable).parent), os.environ["PATH"])
    monkeypatch.setenv("PATH", os.pathsep.join(places))


def test_the_recipe_for_a_guard_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team(tmp_path)
    program(team, "unused", "exit 1", monkeypatch)
    follow(team.hub, "guard")
    team.ada.deploy("d1", "--push")
    assert push(team.ada, f":{LIVE}").code == 1
    follow(team.hub, "allow-delete")
    team.ada.ok("delete", "prod", "--purge", "-y", "--push")
    assert team.hub.refs() == {}


def test_the_recipe_that_restarts_a_service(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    program(team, "systemctl", f'echo "$@" >>"{team.path}/restarted"', monkeypatch)
    follow(team.hub, "restart")
    team.ada.deploy("x", flow="other", name="one", version="1")
    assert push(team.ada, "refs/deployments/other/one/*").code == 0
    assert not (team.path / "restarted").exists()
    team.ada.ok("rollback", "prod", "--push")
    assert (team.path / "restarted").read_text() == "restart etl-worker\n"


def test_the_recipe_that_puts_files_in_place(team: Team) -> None:
    follow(team.hub, "files", **{"/srv/etl": str(team.path / "srv")})
    team.ada.ok("rollback", "prod", "--push")
    current = team.path / "srv" / "current"
    assert json.loads((current / "deployment.json").read_text())["description"] == "d1"
    assert (current / "code").read_text() == "1\n"
    team.ada.ok("delete", "prod", "-y", "--push")
    assert current.exists()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_recipe_that_notifies(team: Team) -> None:
    told: queue.Queue[str] = queue.Queue()

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Chat) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        follow(team.hub, "notify", **{"https://chat.example.com": f"http://127.0.0.1:{server.server_address[1]}"})
        team.ada.ok("rollback", "prod", "-m", 'wrong & totals "; $(touch evil)', "--push")
        (text,) = parse_qs(told.get(timeout=30))["text"]
        team.ada.ok("delete", "prod", "-y", "--push")
        (gone,) = parse_qs(told.get(timeout=30))["text"]
        server.shutdown()
    assert text == ('etl/prod: v1 is live, was v2 (rollback by Ada <ada@example.com>: wrong & totals "; $(touch evil))')
    assert gone == "etl/prod: nothing is live, was v1 (delete by Ada <ada@example.com>)"
    assert not list(team.path.rglob("evil"))


def test_the_recipe_that_keeps_code_back_while_a_deployment_is_rolled_back(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(team, "unused", "exit 1", monkeypatch)
    team.bob.write(".git/hooks/pre-push", recipe("pre-push")).chmod(0o755)
    team.bob.commit("More", code="2\n")
    assert push(team.bob, "HEAD:main").code == 0
    team.bob.deploy("*", flow="* *", name="prod")
    team.bob.ok("rollback", "etl/prod", "-m", "wrong totals")
    team.bob.ok("push")
    team.bob.commit("More", code="3\n")
    assert push(team.bob, "HEAD:side").code == 0
    before = team.hub.git("rev-parse", "main")
    result = push(team.bob, "HEAD:main")
    assert result.code == 1
    assert result.err.startswith("rolled back:\netl/prod\ngit deployments log NAME says why")
    assert team.hub.git("rev-parse", "main") == before
    team.bob.ok("promote", "etl/prod")
    assert push(team.bob, "HEAD:main").code == 0
