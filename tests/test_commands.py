"""What the reading commands print, for people, for scripts and for hostile data."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from git_deployments import cli, render

from .conftest import Project

SCRIPT = Path(sys.executable).with_name("git-deployments")
HOSTILE = "\x1b[31mred\nForged: trailer\n\n--- \N{RIGHT-TO-LEFT OVERRIDE}evil\nLive-Commit: 0"


def test_list_for_people(versions: Project) -> None:
    versions.ok("rollback", "prod")
    versions.ok("update", "prod", "paused=true")
    header, line = versions.ok("list").out.splitlines()
    assert header.split() == ["NAME", "LIVE", "LATEST", "VERSION", "SOURCE", "UPDATED", "BY"]
    assert line.split()[:4] == ["etl/prod", "v2", "v3", "0.0.2"]
    assert line.endswith("paused, rolled back")


def test_list_as_json(versions: Project) -> None:
    refs = versions.refs()
    assert versions.ok("list", "--json").json == [
        {
            "name": "etl/prod",
            "live": 3,
            "latest": 3,
            "version": "0.0.3",
            "commit": refs["refs/deployments/etl/prod/live"],
            "source": versions.git("rev-parse", "refs/deployments/etl/prod/live:source"),
            "paused": False,
            "held": False,
            "updated": "2026-01-02T03:04:05+01:00",
            "updated_by": "Ada <ada@example.com>",
        }
    ]
    assert versions.ok("--version").out.startswith("git-deployments ")
    assert versions.ok().out == versions.ok("list").out


def test_an_empty_repository_says_what_to_do(project: Project) -> None:
    result = project.ok("list")
    assert result.out == ""
    assert "git deployments deploy" in result.err
    assert project.ok("list", "--json").json == []
    assert "to make one: git deployments deploy" in project.fatal("log", "prod")


def test_nothing_here_but_something_at_a_remote(versions: Project, tmp_path: Path) -> None:
    versions.git("clone", "-q", "-o", "team/hub", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    assert "to see what a remote has: git deployments pull team/hub" in clone.ok("list").err
    assert "to see what a remote has: git deployments pull team/hub" in clone.fatal("log", "prod")
    clone.ok("fetch", "team/hub")
    assert "1 known at team/hub: git deployments pull team/hub" in clone.fatal("show", "prod")
    assert "1 known at team/hub: git deployments pull team/hub" in clone.ok("list").err
    clone.ok("pull", "team/hub")
    assert clone.live() == 3
    assert clone.ok("list", "nope*").err == "no deployment matches 'nope*'\n"


def test_what_is_deleted_here_is_not_known_elsewhere(versions: Project, tmp_path: Path) -> None:
    for remote in ("a", "b"):
        versions.git("init", "-q", "--bare", str(tmp_path / remote))
        versions.git("remote", "add", remote, str(tmp_path / remote))
        versions.ok("push", remote)
    versions.ok("delete", "prod", "-y")
    assert "to see what a remote has" in versions.ok("list").err
    versions.ok("push", "a")
    assert "to see what a remote has" in versions.ok("list").err
    versions.ok("delete", "prod", "-y", "--purge")
    assert "1 known at a, b: git deployments pull a" in versions.ok("list").err


def test_only_what_was_live_and_was_left_is_rolled_back(versions: Project) -> None:
    def told() -> bool:
        (row,) = versions.ok("status", "--json").json
        assert versions.ok("list").out.endswith("rolled back\n") is row["rolled_back"]
        return bool(row["rolled_back"])

    versions.deploy("a preview", "--no-live")
    assert not told()
    versions.ok("rollback", "prod", "2")
    versions.ok("update", "prod", "paused=false", "concurrency_limit=3")
    assert told()
    versions.ok("promote", "prod", "3")
    assert not told()
    versions.git("update-ref", "refs/deployments/etl/prod/live", "refs/deployments/etl/prod/versions/1")
    assert versions.ok("list").out.endswith("rolled back, unrecorded move\n")
    versions.ok("update", "prod", "concurrency_limit=4")
    versions.ok("promote", "prod", "2")
    assert told()


def test_columns_stand_below_each_other_where_characters_are_wide(versions: Project) -> None:
    versions.deploy("one", name="夜間バッチ", flow="売上")
    versions.deploy("one", name="e\u0301te", flow="b")
    starts = [line.partition("v")[0] for line in versions.ok("list").out.splitlines()[1:]]
    assert starts == ["b/e\u0301te" + 12 * " ", "etl/prod" + 9 * " ", "売上/夜間バッチ" + 2 * " "]


def test_versions_mark_the_live_one(versions: Project) -> None:
    versions.ok("rollback", "prod")
    lines = versions.ok("versions", "prod").out.splitlines()
    assert [line.split()[:2] for line in lines] == [["v3", "0.0.3"], ["*", "v2"], ["v1", "0.0.1"]]
    assert len(versions.ok("versions", "prod", "--limit", "2").out.splitlines()) == 2


def test_a_version_as_json(versions: Project) -> None:
    row = versions.ok("versions", "prod", "--json").json[0]
    assert list(row) == [
        *("name", "number", "version", "commit", "source", "live", "message", "created", "created_by", "updated_by"),
        "version_info",
    ]
    assert row["created"] == "2026-01-02T03:04:05+01:00"
    assert list(row["version_info"]) == ["type", "version", "commit_sha", "message", "branch", "repository", "url"]
    assert row["version_info"]["message"] == "Change 3"
    assert (row["version_info"]["type"], row["version_info"]["branch"]) == ("vcs:git", "main")


def test_live_as_json_is_that_version(versions: Project) -> None:
    versions.ok("rollback", "prod")
    live = versions.ok("live", "prod", "--json").json
    assert live == versions.ok("versions", "prod", "--json").json[1]
    assert (live["number"], live["live"]) == (2, True)
    assert versions.ok("live", "etl/prod", "--format", "%(number) %(version_info.branch)").out == "2 main\n"
    assert versions.run("live", "etl/nope", "--json") == (1, "", "")
    assert versions.run("live", "etl/prod", "--json", "--oid").code == 129


def test_show_for_people_and_scripts(versions: Project) -> None:
    out = versions.ok("show", "prod", "1").out
    assert "etl/prod v1 (0.0.1)" in out
    assert "  description: d1" in out
    assert "settings, the same for all versions" in out
    row = versions.ok("show", "prod", "1", "--json").json
    assert row["properties"]["description"] == "d1"
    assert row["properties"]["created_by"] == row["created_by"]
    assert row["properties"]["version_info"] == row["version_info"]
    assert row["settings"]["paused"] is False
    for key, value in (
        ("description", "d1"),
        ("properties.description", "d1"),
        ("version_info.branch", "main"),
        ("live", "false"),
    ):
        assert versions.ok("show", "prod", "1", "--key", key).out == f"{value}\n"
        assert versions.ok("show", "prod", "1", "--key", key, "--json").json == (False if key == "live" else value)
    assert versions.run("show", "prod", "--key", "live", "--format", "%(name)").code == 129
    assert "no such key" in versions.fatal("show", "prod", "--key", "parameters.x")


def test_show_has_quotes_only_where_a_text_looks_like_something_else(project: Project) -> None:
    values = {"A": "null", "B": "1.10", "C": "a: b", "D": " x", "E": "[]"}
    project.deploy(tags=["a", "1", "b c"], job_variables={"env": values, "n": 1, "none": None})
    out = project.ok("show", "prod").out
    assert (
        '      A: "null"\n      B: "1.10"\n      C: a: b\n      D: " x"\n      E: "[]"\n    n: 1\n    none: null\n'
        in out
    )
    assert '  tags:\n    - a\n    - "1"\n    - b c\n' in out


def test_log_as_json(versions: Project) -> None:
    versions.ok("rollback", "prod", "-m", "wrong totals\n\nmore")
    row = versions.ok("log", "prod", "--json", "--limit", "1").json[0]
    assert row == {
        "name": "etl/prod",
        "action": "rollback",
        "number": None,
        "from": 3,
        "to": 2,
        "reason": "wrong totals\n\nmore",
        "at": "2026-01-02T03:04:05+01:00",
        "by": "Ada <ada@example.com>",
        "commit": versions.git("rev-parse", "refs/deployments/etl/prod/log"),
    }
    assert "rollback      v3 → v2  Ada  wrong totals" in versions.ok("log", "prod").out.splitlines()[0]


def test_moves_as_json(versions: Project) -> None:
    row = versions.ok("rollback", "prod", "--json").json
    commit = versions.refs()["refs/deployments/etl/prod/versions/2"]
    assert row == {"name": "etl/prod", "action": "rollback", "from": 3, "to": 2, "commit": commit}
    assert versions.ok("promote", "prod", "--json").json["action"] == "promote"
    assert versions.ok("promote", "prod", "--json").json["to"] == 3


def test_deploy_as_json(project: Project) -> None:
    project.manifest()
    (row,) = project.ok("deploy", "--json").json
    assert (row["created"], row["number"], row["live"]) == (True, 1, True)
    (row,) = project.ok("update", "prod", "description=first", "--json").json
    assert (row["created"], row["number"]) == (False, 1)


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("%(name) %(live)", "etl/prod 3"),
        ("%(version)%09%(paused)%%", "0.0.3\tfalse%"),
        ("x", "x"),
    ],
)
def test_format(versions: Project, template: str, line: str) -> None:
    assert versions.ok("list", "--format", template).out == f"{line}\n"


@pytest.mark.parametrize("template", ["%(nope)", "%(name", "%zz", "100%", "100% free", "%+a|", "%a"])
def test_bad_formats_say_what_there_is(versions: Project, template: str) -> None:
    assert "--format" in versions.fatal("list", "--format", template)


def test_format_reaches_into_mappings(versions: Project) -> None:
    out = versions.ok("show", "prod", "1", "--format", "%(version_info.branch):%(properties.description)").out
    assert out == "main:d1\n"


def test_diff(versions: Project) -> None:
    out = versions.ok("diff", "prod").out
    assert out.splitlines()[0] == "etl/prod v2 → v3"
    assert '- description: "d2"' in out
    assert '+ description: "d3"' in out
    assert versions.run("diff", "prod", "--exit-code").code == 1
    assert versions.run("diff", "prod", "2", "2", "--exit-code") == (0, "", "")
    rows = versions.ok("diff", "prod", "1", "3", "--json").json
    assert {"key": "version", "from": "0.0.1", "to": "0.0.3"} in rows["changes"]
    versions.ok("rollback", "prod")
    assert versions.ok("diff", "prod").out.splitlines()[0] == "etl/prod v2 → v3"
    assert versions.ok("diff", "prod", "1").out.splitlines()[0] == "etl/prod v1 → v2"


def test_diff_and_fsck_in_a_format_of_ones_own(versions: Project) -> None:
    lines = versions.ok("diff", "prod", "1", "2", "--format", "%(key): %(from) > %(to)").out.splitlines()
    assert lines[0] == "description: d1 > d2"
    assert versions.run("diff", "prod", "--exit-code", "--format", "%(key)").code == 1
    assert versions.run("diff", "prod", "--code", "--format", "%(key)").code == 129
    assert versions.ok("fsck", "--format", "%(name) %(problem)").out == ""
    versions.git("update-ref", "refs/deployments/etl/prod/live", "refs/deployments/etl/prod/versions/1")
    assert versions.ok("fsck", "--format", "%(name) %(notice)").out == "etl/prod true\n"


def test_diff_of_code_is_gits_own(versions: Project) -> None:
    done = subprocess.run(
        [SCRIPT, "diff", "prod", "1", "3", "--code", "--exit-code"], cwd=versions.path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "+3\n" in done.stdout


def test_export_deploys_to_the_same_configuration(project: Project) -> None:
    project.write("flow.py", "def load(day: str = '', n: int = 1) -> None:\n    pass\n")
    project.commit("Flow")
    project.manifest(
        "a: b # c",
        version="1.10",
        entrypoint="flow.py:load",
        flow=None,
        parameters={"day": "0123", "n": 2},
        tags=["yes", "1.0"],
        labels={"n": 1, "t": "1"},
        pull=[{"prefect.deployments.steps.git_clone": {"repository": "https://e.com/r", "commit_sha": "0" * 39 + "1"}}],
        work_pool={"name": "pool", "work_queue_name": "q", "job_variables": {"env": {"A": "010"}}},
        schedules=[{"cron": "0 6 * * *", "timezone": "UTC"}],
        concurrency_limit={"limit": 2, "collision_strategy": "ENQUEUE"},
        paused=True,
    )
    project.ok("deploy")
    before = project.ok("show", "load/prod", "--json").json
    project.ok("export", "-o", "exported.yaml")
    project.ok("deploy", "-f", "exported.yaml")
    after = project.ok("show", "load/prod", "--json").json
    assert after["number"] == 2
    assert after["settings"] == before["settings"]
    configuration = [{k: v for k, v in row["properties"].items() if k != "version_info"} for row in (before, after)]
    assert configuration[0] == configuration[1]
    assert after["version"] == "1.10"


def test_export_says_which_variables_are_left_to_the_run(project: Project) -> None:
    script = "echo {{ $STAGE }} {{ $MY-NAME }}"
    project.manifest("x", pull=[{"prefect.deployments.steps.run_shell_script": {"script": script}}])
    options = ["--runtime-env", "STAGE", "--runtime-env", "MY-NAME"]
    project.ok("deploy", *options)
    said = project.ok("export", "-o", "exported.yaml").err
    assert said == "etl/prod leaves variables to the run: deploy it with --runtime-env MY-NAME --runtime-env STAGE\n"
    assert "unchanged" in project.ok("deploy", "-f", "exported.yaml", "--if-changed", *options).err
    project.ok("update", "prod", "pull_steps.0.prefect.deployments.steps.run_shell_script.id=x")
    project.deploy("y")
    assert project.ok("export").err == ""


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency_options": {"collision_strategy": "CANCEL_NEW"}},
        {"concurrency_options": {"collision_strategy": "ENQUEUE", "grace_period_seconds": 90}},
    ],
)
def test_export_keeps_concurrency_options_that_have_no_limit(project: Project, options: dict[str, Any]) -> None:
    project.deploy("first", **options)
    before = project.ok("show", "prod", "--json").json["settings"]
    assert before["concurrency_options"]["collision_strategy"]
    project.ok("export", "-o", "exported.yaml")
    project.deploy("second", concurrency_options=None)
    project.ok("deploy", "-f", "exported.yaml")
    assert project.ok("show", "prod", "--json").json["settings"] == before


@pytest.mark.parametrize("options", [{}, {"concurrency_options": {"collision_strategy": "CANCEL_NEW"}}])
def test_export_brings_settings_back_to_their_defaults(project: Project, options: dict[str, Any]) -> None:
    project.deploy("first", **options)
    before = project.ok("show", "prod", "--json").json["settings"]
    project.ok("export", "-o", "exported.yaml")
    changed = ("paused=true", "disabled=true", "is_schedule_active=true", "schedules=[{cron: '0 6 * * *'}]")
    project.ok("update", "prod", *changed, "concurrency_limit={limit: 2, collision_strategy: ENQUEUE}")
    project.ok("deploy", "-f", "exported.yaml")
    assert project.ok("show", "prod", "--json").json["settings"] == before


@pytest.mark.parametrize("odd", ["\x85", "\u2028", "\u2029", "\ufeff"])
def test_export_keeps_line_breaks_that_only_yaml_knows(project: Project, odd: str) -> None:
    variables = {"K": odd, "text": f"a{odd}b  c", f"key {odd} too": [odd]}
    project.deploy("first", work_pool={"name": "pool", "job_variables": {"env": variables}})
    found = project.ok("show", "prod", "--json").json["properties"]["job_variables"]
    assert found == {"env": variables}
    project.ok("export", "-o", "exported.yaml")
    project.ok("deploy", "-f", "exported.yaml")
    assert project.ok("show", "prod", "--json").json["properties"]["job_variables"] == found


def test_export_refuses_what_a_manifest_would_name_otherwise(project: Project) -> None:
    project.write("flow.py", "def load() -> None:\n    pass\n")
    project.commit("Flow")
    project.deploy()
    project.deploy(name="solo", flow=None)
    assert "name: solo" in project.ok("export", "solo").out
    project.ok("update", "solo", "entrypoint=flow.py:load", "parameter_openapi_schema={}")
    for names in ((), ("solo",)):
        line = project.fatal("export", *names)
        assert "'solo' has an entrypoint and no flow name" in line
    assert "name: prod" in project.ok("export", "etl/*").out


# Scripts and hooks


def script(project: Project, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run([SCRIPT, *arguments], cwd=project.path, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_live_from_the_script_and_from_the_command_line_agree(versions: Project) -> None:
    versions.deploy("x", name="a b")
    refs = versions.refs()
    for name in ("etl/prod", "etl/a b", "prod", "etl/nope", "nope", "a//b", "etl/prod%"):
        for option in ([], ["--oid"], ["--source"], ["--oid", "--source"], ["--wrong"]):
            fast = script(versions, "live", name, *option)
            slow = versions.run("live", name, *option)
            assert (fast[0], fast[1]) == (slow.code, slow.out), (name, option)
    assert script(versions, "live", "--oid", "etl/prod") == (0, refs["refs/deployments/etl/prod/live"] + "\n", "")
    assert script(versions, "live", "etl/nope") == (1, "", "")


def test_git_finds_the_command(versions: Project) -> None:
    environment = {**os.environ, "PATH": f"{SCRIPT.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["git", "-C", str(versions.path), "deployments", "live", "prod"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.returncode, done.stdout) == (0, "3\n")


def test_reading_and_moving_imports_neither_pygit2_nor_yaml(versions: Project) -> None:
    program = (
        "import sys\nfrom git_deployments.cli import run\n"
        "for words in ('list', 'versions prod', 'log prod', 'status', 'rollback prod', 'promote prod'):\n"
        "    assert run(words.split()) == 0\n"
        "print(sorted(m for m in ('pygit2', 'yaml', 'jsonschema') if m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=versions.path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_stops_reading_is_no_error(versions: Project) -> None:
    program = f"for n in 1 2 3 4 5; do {SCRIPT} show prod | true; echo ${{PIPESTATUS[0]}}; done"
    done = subprocess.run(["bash", "-c", program], cwd=versions.path, capture_output=True, text=True)
    assert done.stderr == ""
    assert set(done.stdout.split()) <= {"0", "141"}


def test_names_with_spaces_in_hints_can_be_pasted(project: Project) -> None:
    project.deploy("one", name="my prod")
    out = project.deploy("two", name="my prod").out
    assert "undo: git deployments rollback 'etl/my prod' v1" in out


def test_commands_in_errors_can_be_pasted(project: Project) -> None:
    project.deploy(name="it's", flow="a b")
    shell = """'a b/it'"'"'s'"""
    assert project.fatal("rollback", "it's").endswith("no version to roll back to: v1 is the first")
    assert f"git deployments versions {shell}" in project.fatal("show", "it's", "9")
    assert f"git deployments log {shell}" in project.fatal("show", "it's", "previous")
    assert f"git deployments log {shell}" in project.fatal("promote", "it's", "--expect-live", "none", code=5)
    assert f"git deployments show {shell} v1 --json" in project.fatal("show", "it's", "--key", "nope")
    project.deploy("2", name="it's", flow="a b")
    assert f"git deployments rollback {shell} v1" in project.fatal("promote", "it's", "1")
    project.ok("rollback", "it's")
    assert f"git deployments promote {shell} v2" in project.fatal("rollback", "it's", "2")
    assert f"git deployments promote {shell}" in project.ok("status").out
    project.deploy("1", "--no-live", name="it's", flow="never")
    project.deploy("2", name="it's", flow="never")
    shell = """'never/it'"'"'s'"""
    assert f"git deployments rollback {shell} VERSION" in project.fatal("rollback", "never/it's")


def test_the_name_of_a_flow_tells_its_deployments(versions: Project) -> None:
    versions.deploy("other", name="dev")
    versions.deploy("else", name="etl", flow="other")
    assert "of that flow there are: other/etl" in versions.fatal("log", "other")
    versions.ok("log", "etl")
    versions.ok("delete", "other/etl", "-y", "--purge")
    assert "of that flow there are: etl/dev, etl/prod" in versions.fatal("log", "etl")


def test_a_name_in_another_case_is_told_apart(versions: Project) -> None:
    versions.deploy(name="prod", flow="other")
    assert "did you mean 'etl/prod'?" in versions.fatal("show", "ETL/Prod")


# Terminal


def on_terminal(project: Project, *arguments: str, **environment: str) -> str:
    """What a terminal shows of a command."""
    primary, secondary = pty.openpty()
    settings = {**os.environ, "TERM": "xterm", **environment}
    process = subprocess.Popen(
        [SCRIPT, *arguments], cwd=project.path, stdin=secondary, stdout=secondary, stderr=secondary, env=settings
    )
    os.close(secondary)
    shown = b""
    try:
        while chunk := os.read(primary, 4096):
            shown += chunk
    except OSError:  # the terminal is gone once its last user is
        pass
    process.wait(20)
    os.close(primary)
    return shown.decode()


def test_colour_and_pager_follow_git(versions: Project) -> None:
    assert "\x1b[" in on_terminal(versions, "versions", "prod", GIT_PAGER="cat")
    assert "\x1b[" not in on_terminal(versions, "versions", "prod", GIT_PAGER="cat", NO_COLOR="1")
    assert on_terminal(versions, "versions", "prod", GIT_PAGER="sed s/^/paged:/").count("paged:") == 3
    for command in ("list", "versions prod", "show prod", "diff prod"):
        assert "paged:\x1b[" in on_terminal(versions, *command.split(), GIT_PAGER="sed s/^/paged:/")
    versions.git("config", "color.pager", "false")
    assert "\x1b[" not in on_terminal(versions, "versions", "prod", GIT_PAGER="sed s/^/paged:/")
    assert "\x1b[" in on_terminal(versions, "versions", "prod", GIT_PAGER="cat")
    versions.git("config", "pager.deployments", "false")
    assert "paged:" not in on_terminal(versions, "versions", "prod", GIT_PAGER="sed s/^/paged:/")
    versions.git("config", "color.deployments", "false")
    assert "\x1b[" not in on_terminal(versions, "versions", "prod", GIT_PAGER="cat")
    versions.git("config", "color.deployments", "always")
    assert "\x1b[" in script(versions, "versions", "prod")[1]


# Hostile data


def test_no_text_forges_a_trailer_or_reaches_a_terminal(project: Project) -> None:
    project.commit(HOSTILE)
    project.deploy("\x1b[31mred", "-m", HOSTILE)
    project.deploy("x")
    project.ok("rollback", "prod", "-m", HOSTILE)
    for arguments in (
        ["list"],
        ["versions", "prod"],
        ["show", "prod"],
        ["log", "prod"],
        ["diff", "prod", "1", "2"],
        ["status"],
    ):
        out = project.ok(*arguments).out
        assert "\x1b" not in out
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in out
    live = "refs/deployments/etl/prod/live"
    assert project.trailer(live, "Forged") == ""
    assert project.trailer("refs/deployments/etl/prod/log", "Live-Commit") == project.refs()[live]
    assert project.ok("log", "prod", "--json").json[0]["action"] == "rollback"
    assert project.ok("log", "prod", "--format", "%(reason)", "--limit", "1").out.count("\n") == 1
    assert project.ok("fsck").out == ""


def test_configuration_of_trailers_changes_nothing(versions: Project) -> None:
    versions.git("config", "trailer.separators", "#")
    versions.git("config", "trailer.number.key", "Zahl")
    versions.git("config", "i18n.logOutputEncoding", "latin1")
    versions.git("config", "log.showSignature", "true")
    versions.git("config", "color.ui", "always")
    assert versions.ok("list", "--json").json[0]["live"] == 3
    versions.ok("rollback", "prod")
    assert versions.ok("fsck").out == ""


# Errors


@pytest.mark.parametrize(
    "command", ["list", "status", "versions prod", "show prod", "live prod", "log prod", "diff prod"]
)
def test_two_forms_of_output_at_once_are_a_usage_error(versions: Project, command: str) -> None:
    for forms in (["--json", "--format", "%(name)"], ["--format", "", "--json"]):
        result = versions.run(*command.split(), *forms)
        assert (result.code, result.out) == (129, "")
        assert result.err.startswith("error: --json and --format exclude each other\n")


def test_unknown_commands_and_options_are_usage_errors(project: Project) -> None:
    for arguments in (["rolback"], ["list", "--nope"], ["rollback"], ["versions", "x", "--limit", "0"]):
        result = project.run(*arguments)
        assert result.code == 129
        assert result.err.startswith("error: ")
        assert "usage: git deployments" in result.err
    assert "did you mean 'rollback'?" in project.run("rolback").err


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(project: Project, command: str) -> None:
    for option in ("-h", "--help"):
        result = project.ok(command, option)
        assert result.out.startswith(f"Usage: git deployments {command}")


def test_outside_of_a_repository(tmp_path: Path) -> None:
    lost = Project(tmp_path)
    for arguments in ([], ["list"], ["deploy"], ["rollback", "x"], ["live", "x"], ["fsck"]):
        result = lost.run(*arguments)
        assert result.code == 128
        assert result.err.startswith("fatal: not a git repository")
        assert len(result.err.splitlines()) == 1


def test_no_identity(versions: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(variable)
    assert "git config --global user.name" in versions.fatal("rollback", "prod")
    versions.ok("rollback", "prod", GITHUB_ACTOR="octocat")
    assert versions.ok("log", "prod", "--json").json[0]["by"] == "octocat <octocat@users.noreply.github.com>"


@pytest.fixture(params=["UTC", "Asia/Kathmandu", "America/St_Johns"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """A time zone that this process is in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.parametrize(
    "config",
    [
        {"user.name": "Ada Lovelace", "user.email": "ada@example.com"},
        {"user.name": "Zoë 山田", "user.email": "z@例え.jp"},
        {"user.name": "Ada", "user.email": "ada@example.com", "committer.name": "The Bot", "author.email": "a@b.c"},
        {"user.name": "  Ada L. ", "user.email": "<ada@example.com>"},
        {"user.name": "A. <d> \\ 'a'", "user.email": "ada@example.com."},
        {"user.name": "Ada\nTo: 7", "user.email": "ada@example.com"},
        {"user.name": "Ada", "user.email": "ada@example.com", "committer.email": "."},
    ],
)
def test_who_writes_is_who_git_says(
    versions: Project,
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, str],
    zone: str,  # noqa: ARG001
) -> None:
    for variable in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(variable)
    for variable in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
        monkeypatch.delenv(variable, raising=False)
    for key, value in config.items():
        versions.git("config", key, value)
    form = "--format=%an|%ae|%cn|%ce|%ad"
    versions.git("commit", "-q", "--allow-empty", "-m", "git's own")
    theirs = versions.git("log", "-1", "--date=format:%z", form)
    versions.ok("rollback", "prod")
    assert versions.git("log", "-1", "--date=format:%z", form, "refs/deployments/etl/prod/log") == theirs
    moment = int(versions.git("log", "-1", "--format=%ct", "refs/deployments/etl/prod/log"))
    assert 0 <= time.time() - moment < 60


def test_a_newer_format_is_refused_by_number(versions: Project) -> None:
    message = versions.git("log", "-1", "--format=%B", "refs/deployments/etl/prod/log").replace(
        "Format: 1", "Format: 2"
    )
    tree = versions.git("rev-parse", "refs/deployments/etl/prod/log^{tree}")
    tip = versions.git("rev-parse", "refs/deployments/etl/prod/log")
    newer = versions.git("commit-tree", tree, "-p", tip, "-m", message.strip())
    versions.git("update-ref", "refs/deployments/etl/prod/log", newer)
    assert "is of format 2" in versions.fatal("rollback", "prod")
    assert "is of format 2" in versions.ok("list").err


def test_a_reason_can_be_required(versions: Project) -> None:
    versions.git("config", "deployments.requireReason", "true")
    assert "-m TEXT" in versions.fatal("rollback", "prod")
    versions.ok("rollback", "prod", "-m", "why")


def test_bad_configuration_is_named(versions: Project) -> None:
    versions.git("config", "deployments.keepRefs", "many")
    assert "deployments.keepRefs is 'many'" in versions.fatal("rollback", "prod")
    versions.git("config", "deployments.keepRefs", "5")
    versions.git("config", "deployments.requireReason", "perhaps")
    assert "neither true nor false" in versions.fatal("rollback", "prod")


def test_dry_runs_show_the_moves_and_write_nothing(versions: Project) -> None:
    before, objects = versions.refs(), versions.git("count-objects")
    versions.manifest("d4")
    assert "refs/deployments/etl/prod/versions/4  (none) -> v4 (new)" in versions.ok("deploy", "-n").out
    assert "refs/deployments/etl/prod/live  v3 " in versions.ok("rollback", "prod", "-n").out
    versions.ok("update", "prod", "description=x", "-n")
    versions.ok("delete", "prod", "-n")
    assert versions.ok("rollback", "prod", "-n", "--json").json[0]["to"] == 2
    assert (versions.refs(), versions.git("count-objects")) == (before, objects)


def test_status_tells_of_a_rollback_whose_event_is_lost_beside_the_others(versions: Project) -> None:
    versions.ok("rollback", "prod")
    versions.ok("update", "prod", "paused=true")
    lost = versions.git("rev-parse", "refs/deployments/etl/prod/log^")
    versions.deploy("other", name="other")
    versions.ok("rollback", "other", "--hold", "1")
    (versions.path / ".git/objects" / lost[:2] / lost[2:]).unlink()
    out = versions.ok("status").out
    assert "etl/prod: damaged: " in out
    assert lost in out
    assert "etl/other: held: " in out


def dry_run_tells(project: Project, *words: str) -> None:
    """A dry run names each ref that the write then moves, says where it goes, and writes nothing."""
    before, objects = project.refs(), project.git("count-objects")
    lines = project.run(*words, "-n").out.splitlines()
    assert (project.refs(), project.git("count-objects")) == (before, objects)
    project.run(*words)
    after = project.refs()
    told = {ref: move for ref, _, move in (line.partition("  ") for line in lines if line.startswith("refs/"))}
    assert told.keys() == {ref for ref in before.keys() | after.keys() if before.get(ref) != after.get(ref)}
    for ref, move in told.items():
        old, _, new = move.partition(" -> ")
        assert old.endswith(before[ref][:8] if ref in before else "(none)"), move
        if ref not in after:
            assert new == ("(none)" if ref.endswith("/live") else "(gone)")
        elif not new.endswith("(new)"):
            assert new.endswith(after[ref][:8]), move


def test_a_dry_run_names_every_ref_that_the_write_moves(versions: Project) -> None:
    versions.git("config", "deployments.keepRefs", "2")
    versions.git("checkout", "-q", "-b", "side")
    for number in (4, 5):
        versions.commit("On a side branch", code=f"{number}\n")
        versions.manifest(f"d{number}", version=f"0.0.{number}")
        dry_run_tells(versions, "deploy")
    assert any("/sources/5" in ref for ref in versions.refs())
    dry_run_tells(versions, "deploy", "--no-live")
    dry_run_tells(versions, "update", "prod", "description=x")
    dry_run_tells(versions, "update", "prod", "paused=true")
    dry_run_tells(versions, "rollback", "prod", "1", "--hold")
    dry_run_tells(versions, "deploy")
    dry_run_tells(versions, "promote", "prod")
    dry_run_tells(versions, "promote", "prod")
    versions.git("update-ref", "refs/deployments/etl/prod/live", "refs/deployments/etl/prod/live^")
    dry_run_tells(versions, "rollback", "prod", "2")
    dry_run_tells(versions, "delete", "prod", "-y")
    dry_run_tells(versions, "deploy")
    versions.manifest("another", name="another")
    dry_run_tells(versions, "deploy")


def test_quiet_says_nothing(versions: Project) -> None:
    assert versions.ok("rollback", "prod", "-q") == (0, "", "")


def test_large_texts_pass(project: Project) -> None:
    project.deploy("x" * 500_000, "-m", "y" * 500_000)
    assert len(project.ok("show", "prod", "--key", "description").out) == 500_001
    project.manifest("x" * (1 << 20))
    assert "deployments.maxSnapshotSize" in project.fatal("deploy")
    assert json.loads(project.git("show", "refs/deployments/etl/prod/live:deployment.json"))["description"][:1] == "x"


def test_an_array_of_json_has_its_rows_as_they_are_alone() -> None:
    rows: list[render.Row] = [{"name": 'a"\n\u202e,\n  b', "live": None, "held": False}, {"info": {"a": [1, "x"]}}, {}]
    text = "".join(render.json_array(rows))
    assert text == "[\n" + ",\n".join(map(render.json_text, rows)) + "\n]"
    assert json.loads(text) == rows
