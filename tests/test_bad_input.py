"""Bad input: one line that names the place and what to do; exit 128; no ref moved, no object left behind."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import Project

HEAD = "deployments:\n- name: prod\n  flow_name: etl\n"
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{key}: &{key} [{','.join([f'*{before}'] * 9)}]\n" for before, key in zip("abcdefgh", "bcdefghi", strict=True)
)
CLONE = "prefect.deployments.steps.git_clone"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["prefect.yaml"]),
        ("- a\n- b\n", ["prefect.yaml"]),
        ("deployments: [\n", ["prefect.yaml", "2"]),
        ("deployments:\n\t- name: x\n", ["prefect.yaml:2"]),
        (HEAD + "  tags: [a\n", ["prefect.yaml"]),
        (HEAD + "  description: a: b\n", ["prefect.yaml:4"]),
        (HEAD + "  tags: *nope\n", ["prefect.yaml:4", "nope"]),
        (HEAD + "  name: twice\n", ["prefect.yaml:4", "name", "line 2"]),
        (HEAD + "  description: !!python/object:os.system x\n", ["prefect.yaml:4", "tag"]),
        (HEAD + "  parameters: {x: .nan}\n", ["prefect.yaml", "JSON"]),
        ("---\n" + HEAD + "---\n" + HEAD, ["prefect.yaml", "document"]),
        (HEAD + "  parameters: " + "[" * 200 + "]" * 200 + "\n", ["prefect.yaml"]),
        (HEAD + "  parameters: " + "[" * 100_000, ["prefect.yaml"]),
        (LAUGHS + HEAD, ["prefect.yaml"]),
        (HEAD + "  descriptoin: x\n", ["prefect.yaml:4", "prod", "descriptoin", "description"]),
        (HEAD + "  tags: 3\n", ["prefect.yaml:4", "prod", "tags"]),
        (HEAD + "  paused: maybe\n", ["prefect.yaml:4", "prod", "paused"]),
        (HEAD + "  parameters: [1]\n", ["prefect.yaml:4", "prod", "parameters"]),
        (HEAD + "  concurrency_limit: many\n", ["prefect.yaml:4", "prod", "concurrency_limit"]),
        (HEAD + "  schedules: [{cron: '* * * * *', interval: 5}]\n", ["prefect.yaml:4", "prod", "schedules"]),
        (HEAD + "  version_type: vcs:svn\n", ["prefect.yaml:4", "vcs:git"]),
        (HEAD + "  version: latest\n", ["prefect.yaml:4", "latest"]),
        (HEAD + "  created_by: me\n", ["prefect.yaml:4", "created_by"]),
        (HEAD + "  description: '{{ image }}'\n", ["prefect.yaml:4", "prod", "description", "cannot be known"]),
        ("deployments:\n- flow_name: etl\n", ["prefect.yaml:2", "name"]),
        ("deployments:\n- name: a%b\n  flow_name: x\n", ["prefect.yaml:2", "a%b", "%"]),
        ("deployments:\n- name: live\n  flow_name: x\n", ["prefect.yaml:2", "reserved"]),
        ("deployments:\n- name: " + "x" * 300 + "\n", ["prefect.yaml:2", "300 bytes"]),
    ],
)  # fmt: skip
def test_broken_manifests(project: Project, text: str, words: list[str]) -> None:
    project.write("prefect.yaml", text)
    line = project.fatal("deploy")
    for word in words:
        assert word in line
    assert len(line) < 600


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"name: \x80\n", b"a: \x00\n", "deployments: é".encode("utf-16")])
def test_manifests_that_are_no_text(project: Project, data: bytes) -> None:
    (project.path / "prefect.yaml").write_bytes(data)
    assert "prefect.yaml" in project.fatal("deploy")


@pytest.mark.parametrize(
    ("entry", "environment", "key"),
    [
        ({"job_variables": {"env": {"X": "{{ $MY_TOKEN }}"}}}, {"MY_TOKEN": "hunter22"}, "job_variables.env.X"),
        ({"parameters": {"p": "{{ $DB_PASSWORD }}"}}, {"DB_PASSWORD": "hunter22"}, "parameters.p"),
        ({"parameters": {"p": "{{ $STRIPE_KEY }}"}}, {"STRIPE_KEY": "hunter22"}, "parameters.p"),
        ({"job_variables": {"env": [{"name": "DB_PASSWORD", "value": "hunter22"}]}}, {}, "job_variables.env.0.value"),
        ({"description": "ghp_" + "hunter22" * 5}, {}, "description"),
        ({"parameters": {"aws": "AKIAHUNTER22HUNTER22"}}, {}, "parameters.aws"),
        ({"parameters": {"key": "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter22\n"}}, {}, "parameters.key"),
        ({"pull": [{CLONE: {"repository": "https://me:hunter22@example.com/r"}}]}, {}, "repository"),
        (
            {"pull": [{CLONE: {"repository": "https://e.com/r", "access_token": "hunter22hunter22"}}]},
            {},
            "access_token",
        ),
    ],
)
def test_secrets_do_not_enter_history(
    project: Project, entry: dict[str, Any], environment: dict[str, Any], key: str
) -> None:
    project.manifest(**entry)
    line = project.fatal("deploy", **environment)
    assert key in line
    assert "--allow-secret" in line
    assert "hunter22" not in line.lower()
    done = subprocess.run(["git", "cat-file", "--batch-all-objects", "--batch"], cwd=project.path, capture_output=True)
    assert b"hunter22" not in done.stdout.lower()
    project.ok("deploy", "--allow-secret", key.rpartition(".")[2], **environment)


def test_code_that_is_not_committed_brings_no_secrets(project: Project) -> None:
    project.write("flow.py", f"def load(day: str = '', key: str = 'ghp_{'hunter22' * 5}'): ...\n")
    project.manifest(entrypoint="flow.py:load")
    line = project.fatal("deploy")
    key = "parameter_openapi_schema.properties.key.default"
    assert f"flow.py comes from the work tree, and its '{key}' holds a GitHub token" in line
    assert "hunter22" not in line
    project.ok("deploy", "--allow-secret", key)
    project.commit("Now it is in history anyway")
    project.ok("deploy")


def test_references_to_blocks_are_no_secrets(project: Project) -> None:
    step = {CLONE: {"repository": "https://e.com/r", "access_token": "{{ prefect.blocks.secret.github-token }}"}}
    project.deploy("x", pull=[step])


def test_update_keeps_secrets_out_too(project: Project) -> None:
    project.deploy()
    line = project.fatal("update", "prod", "parameters.password=hunter22")
    assert "parameters.password" in line
    assert "hunter22" not in line


def test_a_version_name_that_looks_like_a_secret_is_refused(project: Project) -> None:
    project.deploy()
    name = "ghp_" + "hunter22" * 5
    for command in (["deploy"], ["update", "prod", "description=x"]):
        line = project.fatal(*command, "--version", name)
        assert "--version: the name holds what looks like a GitHub token" in line
        assert "hunter22" not in line


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("nope.py:load", ["nope.py", "entrypoint"]),
        ("flow.py:lod", ["lod", "load", "flow.py"]),
        ("flow.py", ["entrypoint"]),
        ("/etc/passwd:x", ["entrypoint"]),
        ("../flow.py:load", ["entrypoint"]),
        ("broken.py:load", ["broken.py", "1"]),
    ],
)
def test_entrypoints_that_are_not_there(project: Project, entrypoint: str, words: list[str]) -> None:
    project.commit("Flow", **{"flow.py": "def load(n: int = 1): ...\n", "broken.py": "def load(:\n"})
    project.manifest(entrypoint=entrypoint)
    line = project.fatal("deploy")
    for word in [*words, "prefect.yaml:1", "prod"]:
        assert word in line


@pytest.mark.parametrize("key", ["entrypoint", "flow_name"])
def test_a_variable_that_the_name_needs_is_named_where_it_is_not_set(project: Project, key: str) -> None:
    project.write("prefect.yaml", f"deployments:\n- name: prod\n  {key}: '{{{{ $WHICH }}}}'\n")
    line = project.fatal("deploy")
    assert line.startswith(f"fatal: prefect.yaml:3: deployment 'prod', key '{key}': the variable WHICH is not set")


def test_text_stays_text_in_tuples_and_in_each_alternative(project: Project) -> None:
    flow = "def load(pair: tuple[str, float], many: list[tuple[str, str]], either: list[int] | list[str]): ...\n"
    project.commit("Flow", **{"flow.py": flow})
    parameters = "{pair: [1.10, 1.10], many: [[no, 2.0]], either: [1.10]}"
    project.write("prefect.yaml", f"deployments: [{{name: prod, entrypoint: flow.py:load, parameters: {parameters}}}]")
    project.ok("deploy")
    stored = json.loads(project.ok("show", "prod", "--key", "parameters").out)
    assert stored == {"pair": ["1.10", 1.1], "many": [["no", "2.0"]], "either": ["1.10"]}


def test_parameters_that_do_not_fit(project: Project) -> None:
    project.commit("Flow", **{"flow.py": "def load(n: int, day: str = ''): ...\n"})
    project.manifest(entrypoint="flow.py:load", parameters={"n": "many"})
    line = project.fatal("deploy")
    for words in ("prefect.yaml:1", "prod", "n", "enforce_parameter_schema: false"):
        assert words in line
    project.manifest(entrypoint="flow.py:load", parameters={"n": "many"}, enforce_parameter_schema=False)
    project.ok("deploy")
    project.manifest(entrypoint="flow.py:load", parameters={"extra": 1})
    project.ok("deploy")
    project.ok("update", "prod", "parameters.day=2026-01-02")
    assert project.ok("show", "prod", "--key", "parameters.day").out == "2026-01-02\n"
    assert "parameters" in project.fatal("update", "prod", "parameters.n=many")


def test_several_entries_want_a_choice(project: Project) -> None:
    entries = [{"name": half, "flow_name": "etl"} for half in ("a", "b")]
    project.write("prefect.yaml", json.dumps({"deployments": entries}))
    assert "etl/a, etl/b; name some of them, or use --all" in project.fatal("deploy")
    assert "the manifest has no deployment 'c'" in project.fatal("deploy", "c")
    assert project.run("deploy", "a", "--all").code == 129
    project.ok("deploy", "a", "etl/b")


def test_a_flow_whose_name_is_not_known_is_told_why(project: Project) -> None:
    project.commit("Flow", **{"flow.py": "def load(): ...\n", "broken.py": "def load(:\n"})
    entries = "[{name: a, entrypoint: 'flow.py:load'}, {name: b, entrypoint: 'broken.py:load'}]"
    project.write("prefect.yaml", f"deployments: {entries}")
    for words in ("load/b", "b", "*/b", "*"):
        line = project.fatal("deploy", words)
        assert "deployment 'b', key 'entrypoint' (broken.py:load): broken.py, line 1: " in line
    done = project.ok("deploy", "load/*")
    assert "warning: prefect.yaml:1: deployment 'b' is left out, its flow's name is not known: broken.py, " in done.err
    assert "load/a: v1 is live" in done.out
    assert "left out" not in project.ok("deploy", "load/a").err


def test_two_entries_of_one_name(project: Project) -> None:
    entries = [{"name": "a", "flow_name": "etl"}, {"name": "a", "flow_name": "etl", "description": "x"}]
    project.write("prefect.yaml", json.dumps({"deployments": entries}))
    assert "a" in project.fatal("deploy", "--all")
    project.write("prefect.yaml", json.dumps({"deployments": entries[:1]}))
    project.write("other.yaml", json.dumps({"deployments": entries[:1]}))
    for words in (["--all"], [], ["a"], ["etl/a"]):
        told = project.fatal("deploy", *words, "-f", "prefect.yaml", "-f", "other.yaml")
        assert "two entries are named 'etl/a' (other.yaml:1 is the second)" in told


def test_names_that_a_file_system_may_confuse(project: Project) -> None:
    project.deploy(flow="ETL")
    project.manifest(flow="etl")
    assert "differs from 'ETL/prod' only by case" in project.fatal("deploy")


def test_manifests_that_are_not_there(project: Project, tmp_path: Path) -> None:
    assert "write one, or name a manifest with -f" in project.fatal("deploy")
    assert "nope.yaml" in project.fatal("deploy", "-f", "nope.yaml")
    outside = tmp_path / "prefect.yaml"
    outside.write_text(HEAD)
    assert "outside of this repository" in project.fatal("deploy", "-f", str(outside))
    subprocess.run(["git", "clone", "-q", "--bare", str(project.path), str(tmp_path / "bare.git")], check=True)
    assert "in this bare repository" in Project(tmp_path / "bare.git").fatal("deploy", "--offline")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("description", "is not KEY=VALUE"),
        ("descriptoin=x", "did you mean 'description'?"),
        ("version=2", "--version"),
        ("name=x", "never changes"),
        ("created_by=x", "cannot be updated"),
        ("work_pool=x", "work_pool_name"),
        ("tags=3", "tags"),
        ("paused=maybe", "paused"),
        ("description.x=1", "no mapping"),
        ("tags.2=x", "no such place in a list of 2, counted from 0"),
        ("parameters=[1]", "parameters"),
        ("schedules=[{}]", "schedules"),
        ("concurrency_limit=-1", "concurrency_limit"),
        ("parameters={a: [}", "parameters"),
    ],
)
def test_bad_updates(project: Project, assignment: str, words: str) -> None:
    project.deploy(tags=["a", "b"])
    assert words in project.fatal("update", "prod", assignment)


@pytest.mark.parametrize("text", ["Fix: the loader", "[wip] it's", "{a}", "@home"])
def test_an_update_shows_how_to_quote_what_is_no_text_to_yaml(project: Project, text: str) -> None:
    project.deploy("x")
    _, _, shell = project.fatal("update", "prod", f"description={text}").partition("with quotes for YAML: ")
    project.ok("update", "prod", *shlex.split(shell))
    assert project.ok("show", "prod", "--key", "description").out == f"{text}\n"


@pytest.mark.parametrize("text", ["Fix #12", "#12"])
def test_an_update_warns_of_what_yaml_takes_for_a_comment(project: Project, text: str) -> None:
    project.deploy("x")
    result = project.ok("update", "prod", f"description={text}", "parameters.a='b #1'", "parameters.c=d#2", "-q")
    assert result.err.count("warning: ") == result.err.count("\n") == 1
    assert "key 'description': to YAML a comment begins at #" in result.err
    project.ok("update", "prod", *shlex.split(result.err.partition("with quotes for YAML: ")[2]))
    properties = project.ok("show", "prod", "--json").json["properties"]
    assert properties["description"] == text
    assert properties["parameters"] == {"a": "b #1", "c": "d#2"}


def test_updates_keep_their_text(project: Project) -> None:
    project.deploy("x", job_variables={"env": {"A": "1"}}, parameters={"n": 1})
    words = [
        "description=1.10",
        "job_variables.env.B=0123456",
        "parameters.n=2",
        "job_variables.image=1.10",
        "tags=[a]",
    ]
    project.ok("update", "prod", *words)
    stored = json.loads(project.git("show", "refs/deployments/etl/prod/live:deployment.json"))
    assert stored["description"] == "1.10"
    assert stored["job_variables"] == {"env": {"A": "1", "B": "0123456"}, "image": "1.10"}
    assert stored["parameters"] == {"n": 2}
    project.ok("update", "prod", "--unset", "job_variables.env.A", "--unset", "tags", "description=😀")
    stored = json.loads(project.git("show", "refs/deployments/etl/prod/live:deployment.json"))
    assert stored["job_variables"]["env"] == {"B": "0123456"}
    assert (stored["tags"], stored["description"]) == ([], "😀")
    assert "no such key" in project.fatal("update", "prod", "--unset", "parameters.nope")


@pytest.mark.parametrize(("key", "text"), [("paused", "false"), ("disabled", "false"), ("schedules", "[]")])
def test_null_puts_a_setting_back_to_its_default(project: Project, key: str, text: str) -> None:
    project.deploy("x", **{key: [{"cron": "@daily"}] if key == "schedules" else True})
    project.ok("update", "prod", f"{key}=null")
    assert project.ok("show", "prod", "--key", key).out.strip() == text
    assert project.ok("fsck").out == ""


def test_a_limit_that_is_a_mapping_sets_its_options_too(project: Project) -> None:
    project.deploy()
    project.ok("update", "prod", "concurrency_limit={limit: 3, collision_strategy: CANCEL_NEW}")
    settings = project.ok("show", "prod", "--json").json["settings"]
    options = {"collision_strategy": "CANCEL_NEW", "grace_period_seconds": None}
    assert (settings["concurrency_limit"], settings["concurrency_options"]) == (3, options)
    project.ok("update", "prod", "concurrency_limit=4")
    settings = project.ok("show", "prod", "--json").json["settings"]
    assert (settings["concurrency_limit"], settings["concurrency_options"]) == (4, options)


@pytest.mark.parametrize("position", ["²", "1", "9" * 5000, "-1"])
def test_positions_that_a_list_does_not_have(project: Project, position: str) -> None:
    project.deploy("x", tags=["a"])
    assert "no such key" in project.fatal("show", "prod", "--key", f"tags.{position}")
    assert "no mapping" in project.fatal("update", "prod", f"tags.{position}=x")


@pytest.mark.parametrize("null", ["null", "~", ""])
def test_null_is_no_text_for_a_parameter(project: Project, null: str) -> None:
    project.commit("Flow", **{"flow.py": "def load(day: str = '', night: str | None = None): ...\n"})
    entry = "deployments:\n- name: prod\n  flow_name: etl\n  entrypoint: flow.py:load\n  parameters:\n"
    project.write("prefect.yaml", f"{entry}    night: {null}\n")
    project.ok("deploy")
    assert project.ok("show", "prod", "--json").json["properties"]["parameters"] == {"night": None}
    project.write("prefect.yaml", f"{entry}    day: {null}\n")
    assert "day" in project.fatal("deploy")


def test_updates_keep_the_text_inside_of_a_value(project: Project) -> None:
    project.commit("Flow", **{"flow.py": "def load(day: str = '', days: list[str] = [], n: float = 0): ...\n"})
    project.deploy("x", entrypoint="flow.py:load", parameters={"n": 1})
    words = [
        "tags=[1.10, 2]",
        "job_variables={env: {A: 1.10, B: 0123456}, image: 1.10, cpu: 1.10}",
        "parameters={day: 1.10, days: [2.0, 0123], n: 1.50}",
        "pull_steps=[{prefect.deployments.steps.git_clone: {repository: r, branch: 1.10}}]",
        "schedules=[{cron: '@daily', slug: 1.10, parameters: {day: 2.0, n: 1.50}}]",
    ]
    project.ok("update", "prod", *words)
    shown = project.ok("show", "prod", "--json").json
    stored = shown["properties"]
    assert stored["tags"] == ["1.10", "2"]
    assert stored["job_variables"] == {"env": {"A": "1.10", "B": "0123456"}, "image": "1.10", "cpu": 1.1}
    assert stored["parameters"] == {"day": "1.10", "days": ["2.0", "0123"], "n": 1.5}
    assert stored["pull_steps"] == [{"prefect.deployments.steps.git_clone": {"repository": "r", "branch": "1.10"}}]
    assert shown["settings"]["schedules"] == [
        {"cron": "@daily", "slug": "1.10", "parameters": {"day": "2.0", "n": 1.5}}
    ]
    words = ["job_variables.env={C: 2.0, D: 12e4567}", "parameters={days: [0x1]}", "parameters.days.0=3.0"]
    project.ok("update", "prod", *words, "description=12e4567 # a commit")
    stored = project.ok("show", "prod", "--json").json["properties"]
    assert stored["description"] == "12e4567"
    assert stored["job_variables"]["env"] == {"C": "2.0", "D": "12e4567"}
    assert stored["parameters"] == {"days": ["3.0"]}


def test_an_update_leaves_the_values_beside_its_own_as_they_are(project: Project) -> None:
    schema = {"properties": {"day": {"type": "string"}, "n": {"type": "integer"}}}
    values = {"day": 1.5, "n": 1, "flag": True, "none": None}
    project.deploy("x", parameters=values, enforce_parameter_schema=False, parameter_openapi_schema={})
    project.ok("update", "prod", f"parameter_openapi_schema={json.dumps(schema)}")
    project.ok("update", "prod", "parameters.n=2")
    assert project.ok("show", "prod", "--json").json["properties"]["parameters"] == {**values, "n": 2}


@pytest.mark.parametrize("depth", [64, 3000])
def test_an_update_reaches_no_deeper_than_a_manifest(project: Project, depth: int) -> None:
    project.deploy()
    assert "make it flatter" in project.fatal("update", "prod", f"parameters{'.a' * depth}=1")
    assert "no such key" in project.fatal("update", "prod", "--unset", f"parameters{'.a' * depth}")


def test_keys_that_hold_dots_are_updated_where_show_finds_them(project: Project) -> None:
    parameters = {"a.b": 1, "c.d": {"x": 1}, "e": {"f": 1}, "e.f": 2, "list": [{"g.h": 1}]}
    step = {"prefect.deployments.steps.git_clone": {"repository": "r", "branch": "b1"}}
    project.deploy("x", parameters=parameters, labels={"team.name": "x", "z": 1}, pull_steps=[step])
    words = ["parameters.a.b=2", "parameters.c.d.x=3", "parameters.c.d.y=4", "parameters.e.f=5"]
    words += ["parameters.list.0.g.h=6", "parameters.n.m=7", "labels.team.name=y"]
    project.ok("update", "prod", *words, "pull_steps.0.prefect.deployments.steps.git_clone.branch=b2")
    stored = project.ok("show", "prod", "--json").json["properties"]
    assert stored["parameters"] == {
        "a.b": 2,
        "c.d": {"x": 3, "y": 4},
        "e": {"f": 5},
        "e.f": 2,
        "list": [{"g.h": 6}],
        "n": {"m": 7},
    }
    assert stored["labels"] == {"team.name": "y", "z": 1}
    assert stored["pull_steps"] == [{"prefect.deployments.steps.git_clone": {"repository": "r", "branch": "b2"}}]
    project.ok("update", "prod", "--unset", "labels.team.name", "--unset", "parameters.c.d.x")
    stored = project.ok("show", "prod", "--json").json["properties"]
    assert (stored["labels"], stored["parameters"]["c.d"]) == ({"z": 1}, {"y": 4})


def test_variables_from_kubernetes_keep_their_flags(project: Project) -> None:
    source = "valueFrom: {secretKeyRef: {name: 0123, key: 1.0, optional: true}}"
    env = f"[{{name: A, value: 1.10}}, {{name: B, {source}}}]"
    variables = f"{{env: {env}, job_manifest: {{spec: {{env: {env}}}}}}}"
    entry = f"{{name: prod, flow_name: etl, work_pool: {{job_variables: {variables}}}}}"
    project.write("prefect.yaml", f"deployments: [{entry}]")
    project.ok("deploy")
    secret = {"name": "0123", "key": "1.0", "optional": True}
    stored = [{"name": "A", "value": "1.10"}, {"name": "B", "valueFrom": {"secretKeyRef": secret}}]
    assert json.loads(project.ok("show", "prod", "--key", "job_variables.env").out) == stored
    assert json.loads(project.ok("show", "prod", "--key", "job_variables.job_manifest.spec.env").out) == stored
    project.ok("update", "prod", "job_variables.env.1.valueFrom.secretKeyRef.optional=false", "job_variables.cpu=2")
    secret["optional"] = False
    assert json.loads(project.ok("show", "prod", "--key", "job_variables.env").out) == stored
    project.ok("update", "prod", "job_variables.env={optional: no, B: 1}")
    assert json.loads(project.ok("show", "prod", "--key", "job_variables.env").out) == {"optional": "no", "B": "1"}


def test_updates_of_a_step_have_the_types_that_a_manifest_gives(project: Project) -> None:
    arguments = "{count: 1, ratio: 0.5, deep: true, directory: 010, named: a}"
    steps = f"[{{my.step: {arguments}}}, {{prefect.deployments.steps.run_shell_script: {{script: x}}}}]"
    project.write("prefect.yaml", f"deployments: [{{name: prod, flow_name: etl, pull: {steps}}}]")
    project.ok("deploy")
    words = ["count=2", "ratio=1.50", "deep=false", "new=3", "directory=020", "named=1.10"]
    shell = "pull_steps.1.prefect.deployments.steps.run_shell_script"
    shell_words = [f"{shell}.env.PORT=0800", f"{shell}.stream_output=no", f"{shell}.script=010"]
    project.ok("update", "prod", *(f"pull_steps.0.my.step.{word}" for word in words), *shell_words)
    first, second = json.loads(project.ok("show", "prod", "--key", "pull_steps").out)
    assert first == {
        "my.step": {"count": 2, "ratio": 1.5, "deep": False, "new": 3, "directory": "020", "named": "1.10"}
    }
    assert list(second.values()) == [{"env": {"PORT": "0800"}, "script": "010", "stream_output": False}]


def test_an_update_pins_whole_commits_as_a_deploy_does(project: Project) -> None:
    head = project.git("rev-parse", "HEAD")
    project.deploy("x", pull=[{CLONE: {"repository": "r", "commit_sha": head}}])
    key = f"pull_steps.0.{CLONE}.commit_sha"
    line = project.fatal("update", "prod", f"{key}=0123456")
    assert f"key '{key}': '0123456' is no full commit id" in line
    project.ok("update", "prod", f"pull_steps=[{{{CLONE}: {{repository: r, commit_sha: {head[:10]}}}}}]")
    assert project.ok("show", "prod", "--key", key).out == f"{head}\n"
    assert project.ok("fsck").out == ""


def test_unknown_deployments_name_the_nearest(versions: Project) -> None:
    for command in ("show", "versions", "log", "diff", "rollback", "promote", "delete"):
        assert "did you mean 'etl/prod'?" in versions.fatal(command, "etl/pord")


def test_nothing_to_update_is_a_usage_error(versions: Project) -> None:
    assert versions.run("update", "prod").code == 129
    assert versions.run("update", "prod", "paused=true", "--version", "x").code == 129
    assert versions.run("deploy", "--paths", "x").code == 129


def test_entrypoints_behind_symbolic_links(project: Project) -> None:
    project.write("src/flow.py", "def load(n: int = 1): ...\ndef other(): ...")
    (project.path / "flow.py").symlink_to("chain.py")
    (project.path / "chain.py").symlink_to("src/flow.py")
    (project.path / "lib").symlink_to("src", target_is_directory=True)
    (project.path / "loop.py").symlink_to("loop.py")
    project.commit("Links")
    (project.path / "src/flow.py").unlink()
    for entrypoint in ("flow.py:load", "lib/flow.py:load", "lib.flow.load", "src/flow.py:load"):
        project.deploy("x", entrypoint=entrypoint)
        schema = json.loads(project.ok("show", "prod", "--key", "parameter_openapi_schema").out)
        assert list(schema["properties"]) == ["n"]
    project.ok("update", "prod", "entrypoint=lib/flow.py:other")
    project.manifest(entrypoint="loop.py:load")
    assert "there is no file loop.py" in project.fatal("deploy")


def test_a_new_entrypoint_brings_its_schema_from_the_source_commit(project: Project) -> None:
    flows = "def load(n: int = 1): ...\ndef other(day: str = ''): ...\n"
    project.commit("Flow", **{"flow.py": flows})
    project.deploy("x", entrypoint="flow.py:load")
    project.commit("Later", **{"flow.py": "def other(changed: int = 1): ...\n"})
    project.ok("update", "prod", "entrypoint=flow.py:other")
    schema = json.loads(project.ok("show", "prod", "--key", "parameter_openapi_schema").out)
    assert list(schema["properties"]) == ["day"]
    assert "nope.py" in project.fatal("update", "prod", "entrypoint=nope.py:x")


def test_an_entry_whose_facts_are_not_there_is_named(project: Project) -> None:
    project.manifest(version_type="vcs:gitlab")
    line = project.fatal("deploy")
    for words in ("prefect.yaml:1", "'prod'", "vcs:gitlab", "CI_COMMIT_SHA is not set"):
        assert words in line
    assert project.fatal("deploy", "--version-type", "vcs:github").startswith("fatal: version type 'vcs:github'")


def test_standard_input_has_one_name(project: Project) -> None:
    for entry in ("{name: p, nope: 1}", "{name: p, entrypoint: 'nope.py:f'}", "{name: p, flow_name: 'a%b'}"):
        refused = project.run("deploy", "-f", "-", stdin=f"deployments: [{entry}]")
        assert (refused.code, refused.err.partition(":1")[0]) == (128, "fatal: standard input")


def test_a_schedule_with_a_strange_key_is_told_each_known_one_once(project: Project) -> None:
    project.manifest(schedules=[{"interval": 60, "zzz": 1}])
    known = project.fatal("deploy").partition("known here: ")[2].split(", ")
    assert "interval" in known
    assert len(known) == len(set(known))
