"""prefect.yaml as a user writes it: what becomes of it, and what an error says."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from git_deployments import manifest
from git_deployments.manifest import BadManifest, Context, Draft
from git_deployments.model import PROPERTIES, SETTINGS, Entry, Json, Place

from .conftest import bounded

MANIFESTS = Path(__file__).parents[1] / "fixtures" / "manifests"
PLACE = Place("prefect.yaml", "/repository")
SHA = "0123456789abcdef0123456789abcdef01234567"
ENV = {"GITHUB_SHA": SHA, "SHA": SHA, "IMAGE_DIGEST": "sha256:" + "b" * 64, "STAGE": "prod", "EMPTY": "", "ONE": "1"}
ENV |= {"API_TOKEN": "hunter2", "NEST": "{{ $STAGE }}", "URL": "https://ada:hunter2@example.com", "TRUE": "yes"}


def read(text: str, env: Mapping[str, str] = ENV) -> tuple[Draft, ...]:
    return manifest.read(text.encode(), PLACE, env)


def draft(lines: str, env: Mapping[str, str] = ENV) -> Draft:
    """The only deployment of a file, `lines` being the keys of its entry; they start on line 3."""
    indented = "".join(f"  {line}\n" for line in lines.splitlines())
    (one,) = read(f"deployments:\n- name: etl\n{indented}", env)
    return one


def entry(lines: str, context: Context | None = None) -> Entry:
    return manifest.expand(draft(lines), context or Context(ENV))


def fault(lines: str, context: Context | None = None) -> str:
    """The error of a deployment: one line that names file, line, deployment, and never a secret."""
    with pytest.raises(BadManifest) as caught:
        entry(lines, context)
    message = str(caught.value)
    assert message.startswith("prefect.yaml:")
    assert message.isprintable()
    assert "hunter2" not in message
    return message


def from_file(name: str, context: Context | None = None) -> list[Entry]:
    place = Place(name, "/repository")
    drafts = manifest.read((MANIFESTS / name).read_bytes(), place, ENV)
    return [manifest.expand(one, context or Context(ENV)) for one in drafts]


# The source document


def test_pulling_from_git() -> None:
    (one,) = from_file("source-git.yaml")
    assert one == Entry(
        half="my-deployment",
        flow_name=None,
        label="0.0.1",
        version_type=None,
        properties={
            "description": None,
            "enforce_parameter_schema": True,
            "entrypoint": "example.py:my_flow",
            "job_variables": {},
            "labels": {},
            "parameter_openapi_schema": None,
            "parameters": {},
            "pull_steps": [
                {
                    "prefect.deployments.steps.git_clone": {
                        "repository": "https://github.com/my-org/my-repo.git",
                        "commit_sha": SHA,
                    }
                }
            ],
            "tags": [],
            "work_pool_name": "my-work-pool",
            "work_queue_id": None,
            "work_queue_name": None,
        },
        settings={},
        place=Place("source-git.yaml", "/repository", 7),
    )


def test_pulling_docker_images() -> None:
    (one,) = from_file("source-docker.yaml")
    assert one.properties["job_variables"] == {"image": f"my-registry/my-image@{ENV['IMAGE_DIGEST']}"}
    assert one.properties["work_pool_name"] == "my-work-pool"
    assert one.label == "0.0.1"


@pytest.mark.parametrize(
    ("file", "variable"), [("source-git.yaml", "GITHUB_SHA"), ("source-docker.yaml", "IMAGE_DIGEST")]
)
def test_without_its_variable_nothing_comes_out(file: str, variable: str) -> None:
    with pytest.raises(
        BadManifest, match=rf"^{file}:\d+: deployment 'my-deployment', key '.*': the variable {variable} is not set"
    ):
        from_file(file, Context({}))
    with pytest.raises(BadManifest, match=f"the variable {variable} is set but empty"):
        from_file(file, Context({variable: ""}))
    with pytest.raises(BadManifest, match=f"{variable} is a runtime variable"):
        from_file(file, Context(ENV, runtime=frozenset((variable,))))


# A manifest with every key


def test_every_documented_key() -> None:
    nightly, hourly, branch, bare, own = from_file("full.yaml")
    assert [one.half for one in (nightly, hourly, branch, bare, own)] == [
        "nightly",
        "hourly",
        "branch",
        "bare",
        "own names",
    ]
    assert nightly.label == "1.10"
    assert nightly.version_type == "vcs:git"
    assert nightly.flow_name == "etl"
    assert nightly.properties == {
        "description": "Loads the warehouse.\n\nOnce a night.\n",
        "enforce_parameter_schema": False,
        "entrypoint": "flows/etl.py:load",
        "job_variables": {
            "cpu": 2,
            "env": {
                "PORT": "08080",
                "STAGE": "prod",
                "START": "12:30:45",
                "TOKENIZERS_PARALLELISM": "false",
                "WAREHOUSE_PASSWORD": "{{ prefect.blocks.secret.warehouse }}",
            },
            "image": f"registry.example.com/etl@{ENV['IMAGE_DIGEST']}",
            "memory": 1.5,
        },
        "labels": {"critical": True, "ratio": 0.5, "since": "2024-01-01", "team": "data", "tier": 1},
        "parameter_openapi_schema": None,
        "parameters": {
            "batch": 1000,
            "code": 42798,
            "dry": False,
            "nothing": None,
            "options": {"deep": {"deeper": True}},
            "ratio": 0.25,
            "since": "2024-01-01",
            "tables": ["orders", "customers"],
        },
        "pull_steps": [
            {
                "prefect.deployments.steps.run_shell_script": {
                    "id": "get-access-token",
                    "script": "az keyvault secret show --name etl --query value --output tsv\n",
                    "stream_output": False,
                    "env": {"RETRIES": "3", "VERBOSE": "no"},
                }
            },
            {
                "prefect.deployments.steps.git_clone": {
                    "id": "clone",
                    "requires": ["prefect>=3.0"],
                    "repository": "https://git.example.com/warehouse/etl.git",
                    "commit_sha": SHA,
                    "include_submodules": True,
                    "clone_directory_name": "0x10",
                    "access_token": "{{ get-access-token.stdout }}",
                    "directories": ["flows", "0123"],
                }
            },
            {
                "prefect.deployments.steps.pip_install_requirements": {
                    "directory": "{{ clone.directory }}",
                    "requirements_file": "requirements.txt",
                }
            },
        ],
        "tags": ["nightly", "2024-01-01"],
        "work_pool_name": "k8s",
        "work_queue_id": None,
        "work_queue_name": "default",
    }
    assert nightly.settings == {
        "concurrency_limit": 3,
        "concurrency_options": {"collision_strategy": "CANCEL_NEW", "grace_period_seconds": 600},
        "paused": False,
        "schedules": [
            {
                "active": True,
                "cron": "0 3 * * *",
                "day_or": False,
                "parameters": {"since": "yesterday"},
                "slug": "night",
                "timezone": "Europe/Paris",
            },
            {
                "active": False,
                "anchor_date": "2020-01-01T00:00:00Z",
                "interval": 600,
                "slug": "often",
                "timezone": "UTC",
            },
            {"rrule": "FREQ=MONTHLY;BYDAY=1MO", "timezone": "America/New_York"},
        ],
    }
    assert nightly.warnings == (
        "full.yaml:5: 'build' steps are not run, and no part of a version",
        "full.yaml:108: deployment 'nightly', key 'triggers': it is no part of a version, and left out",
        "full.yaml:111: deployment 'nightly', key 'sla': it is no part of a version, and left out",
    )


def test_merged_entries_override_key_by_key() -> None:
    nightly, hourly, *_ = from_file("full.yaml")
    assert hourly.label == "prod-2"
    assert hourly.settings["schedules"] == [{"interval": 3600}]
    assert hourly.properties["work_queue_name"] == "12e4567"
    before, after = nightly.properties["job_variables"], hourly.properties["job_variables"]
    assert isinstance(before, dict)
    assert isinstance(before["env"], dict)
    assert after == {**before, "env": {**before["env"], "STAGE": "hourly"}}
    assert hourly.properties["parameters"] == nightly.properties["parameters"]
    assert hourly.warnings == nightly.warnings[:1]


def test_each_property_by_its_own_name() -> None:
    own = from_file("full.yaml")[-1]
    assert own.properties["parameters"] == {"release": "1.10", "count": 16}
    assert own.properties["work_pool_name"] == "processes"
    assert own.properties["work_queue_name"] == "fast"
    assert own.properties["work_queue_id"] == "0af36f1e-0000-4000-8000-000000000001"
    assert own.properties["job_variables"] == {"working_dir": "/opt"}
    assert own.properties["entrypoint"] == "package.flows.main"
    assert own.properties["pull_steps"] == [
        {"prefect.deployments.steps.set_working_directory": {"directory": "/opt/etl"}},
        {
            "prefect.deployments.steps.pull_from_remote_storage": {
                "url": "s3://bucket/etl",
                "key": "{{ prefect.blocks.secret.key }}",
                "name": "{{ ctx.flow_run.name }}",
                "prefix": "{{ prefect.variables.prefix }}",
            }
        },
    ]
    assert own.settings == {
        "concurrency_limit": 5,
        "concurrency_options": {"collision_strategy": "ENQUEUE", "grace_period_seconds": None},
        "disabled": False,
        "is_schedule_active": True,
        "paused": True,
        "schedules": [{"interval": 3600}],
    }


@pytest.mark.parametrize("file", ["full.yaml", "source-git.yaml", "source-docker.yaml"])
def test_every_property_is_there_and_is_json(file: str) -> None:
    for one in from_file(file):
        assert set(one.properties) == set(PROPERTIES)
        assert set(one.settings) <= set(SETTINGS)
        assert json.loads(json.dumps([one.properties, one.settings], allow_nan=False)) == [one.properties, one.settings]


def test_what_a_manifest_says_of_itself_can_be_written_back() -> None:
    """The stored shapes are shapes of prefect.yaml."""
    for one in from_file("full.yaml"):
        again = manifest.draft_of(
            {"name": one.half, "flow_name": one.flow_name, **one.properties, **one.settings}, PLACE, {}
        )
        assert manifest.expand(again, Context({}))[4:6] == (one.properties, one.settings)


# Files


@pytest.mark.parametrize("file", sorted(path.name for path in MANIFESTS.glob("bad-*.yaml")))
def test_bad_files(file: str) -> None:
    with bounded(), pytest.raises(BadManifest) as caught:
        from_file(file)
    message = str(caught.value)
    expected = (MANIFESTS / file).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# expect: ")
    assert expected in message
    assert message.startswith(f"{file}:")
    assert message.isprintable()
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "prefect.yaml: it is empty"),
        ("[]", "prefect.yaml:1:1: the top level must be a mapping"),
        ("pull: x\ndeployments: [{name: a}]", "prefect.yaml:1: key 'pull': a list of steps is expected"),
        ("deployments: {name: a}", "prefect.yaml:1: no deployments here"),
        ("deployments: []", "prefect.yaml:1: no deployments here"),
        ("deployments:\n- a", "prefect.yaml:2: each deployment is a mapping"),
        ("deployments:\n- name: [a]", "prefect.yaml:2: key 'name': text is expected, not a list"),
        ("deployments:\n- name: a/b", "'/' is not allowed, the flow's half of the name goes into 'flow_name'"),
        ("deployments:\n- name: a%b", "deployment 'a%b', key 'name': bad name 'a%b': '%' is not allowed"),
        ("deployments:\n- name: Live", "'Live' is reserved"),
        ("deployments:\n- name: ''", "it is empty"),
        (
            "deployments:\n- name: '{{ $UNSET }}'",
            "deployment '{{ $UNSET }}', key 'name': the variable UNSET is not set",
        ),
        (
            "deployments:\n- name: '{{ prefect.variables.x }}'",
            "a template that is known only later cannot be part of a name",
        ),
        ("deployments:\n- {name: a, flow_name: []}", "deployment 'a', key 'flow_name': text is expected, not a list"),
        (
            "deployments:\n- {name: a, work_pool: p}",
            "deployment 'a', key 'work_pool': a mapping is expected, not a single value",
        ),
        ("deployments:\n- {name: a, pull: [], pull_steps: []}", "key 'pull_steps': 'pull' says the same; remove one"),
        ("deployments:\n- {name: a, schedule: {cron: x}, schedules: []}", "key 'schedules': 'schedule' says the same"),
        ("deployments:\n- {name: a, created_by: x}", "key 'created_by': it is recorded, not configured"),
        ("deployments:\n- {name: a, updated_by: }", "key 'updated_by': it is recorded, not configured"),
        ("deployments:\n- {name: a, zzz: 1}", "unknown key 'zzz'; known here: build, "),
        (
            "deployments:\n- {name: a, concurrency_limit: {collision_strategy: x, limit: 1}, concurrency_options: {}}",
            "key 'concurrency_options': 'concurrency_limit.collision_strategy' says the same",
        ),
    ],
)
def test_bad_structure(text: str, message: str) -> None:
    with pytest.raises(BadManifest) as caught:
        read(text)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_standard_input_has_a_name() -> None:
    with pytest.raises(BadManifest, match=r"^standard input:1: unknown key 'x'"):
        manifest.read(b"x: 1", Place("-", "/"), {})


def test_names_and_places() -> None:
    one, two, three = read(
        "name: project\nprefect-version: 3.8.8\nbuild: []\npush: null\n"
        "deployments:\n- name: '{{ $STAGE }} one'\n  flow_name: 'f-{{ $STAGE }}'\n"
        "- {name: 1.10, entrypoint: 'a.py:f'}\n- entrypoint: '{{ $UNSET }}.py:f'\n  name: three\n"
    )
    assert (one.half, one.flow_name, one.entrypoint, one.place.line) == ("prod one", "f-prod", None, 6)
    assert (two.half, two.flow_name, two.entrypoint, two.place.line) == ("1.10", None, "a.py:f", 8)
    assert (three.half, three.entrypoint, three.place.line) == ("three", "{{ $UNSET }}.py:f", 9)
    assert one.place.directory == PLACE.directory
    assert one.warnings == ()


def test_only_what_is_expanded_needs_its_variables() -> None:
    good, bad = read('deployments:\n- name: good\n- name: bad\n  tags: ["{{ $UNSET }}"]\n')
    assert manifest.expand(good, Context({})).properties["tags"] == []
    with pytest.raises(
        BadManifest, match=r"^prefect.yaml:4: deployment 'bad', key 'tags.0': the variable UNSET is not set"
    ):
        manifest.expand(bad, Context({}))


def test_the_same_half_under_two_flows_is_fine() -> None:
    assert (
        len(read("deployments:\n- {name: a, entrypoint: 'x.py:f'}\n- {name: a, entrypoint: 'x.py:g'}\n- {name: a}"))
        == 3
    )


# Pull steps


def test_pull_steps_of_the_file_are_the_default() -> None:
    text = "pull:\n- a.step:\n    x: 1\ndeployments:\n"
    text += "".join(
        f"- {{name: d{n}{rest}}}\n"
        for n, rest in enumerate(["", ", pull: ", ", pull: []", ", pull: [b.step: ]", ", pull: {c.step: {y: no}}"])
    )
    found = [manifest.expand(one, Context({})).properties["pull_steps"] for one in read(text)]
    default = [{"a.step": {"x": 1}}]
    assert found == [default, default, [], [{"b.step": {}}], [{"c.step": {"y": False}}]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("pull: x", "prefect.yaml:3: deployment 'etl', key 'pull_steps': a list of steps is expected"),
        ("pull:\n- x", "prefect.yaml:4: deployment 'etl', key 'pull_steps.0': a step is a mapping with one key"),
        ("pull:\n- {}", "key 'pull_steps.0': a step is a mapping with one key"),
        ("pull:\n- {a: , b: }", "key 'pull_steps.0': a step is a mapping with one key"),
        ("pull:\n- a.step: [x]", "key 'pull_steps.0.a.step': a mapping is expected, not a list"),
        ("pull:\n- '{{ $STAGE }}': {}", "a template cannot name a step"),
        ("pull:\n- a.step: {'{{ $STAGE }}': 1}", "templates are not expanded in keys"),
        ("pull:\n- a.step: {x: .inf}", "key 'pull_steps.0.a.step': line 4: '.inf' is a number that JSON cannot hold"),
        ("pull:\n- a.step: {x: '{{ $UNSET }}'}", "key 'pull_steps.0.a.step.x': the variable UNSET is not set"),
        (
            "pull:\n- a.step: {x: ['{{ image }}']}",
            "key 'pull_steps.0.a.step.x.0': '{{ image }}' is the output of a step",
        ),
        ("pull:\n- a.step: {x: '{{ b.y }}'}\n- b.step: {id: b}", "'{{ b.y }}' is the output of a step"),
        (
            "pull:\n- prefect.deployments.steps.git_clone: {branch: [a]}",
            "git_clone.branch': text is expected, not a list",
        ),
        ("pull:\n- prefect.deployments.steps.git_clone: {commit_sha: ''}", "git_clone.commit_sha': it is empty"),
        ("pull:\n- prefect.deployments.steps.git_clone: {include_submodules: 1}", "true or false is expected"),
        (
            "pull:\n- prefect.deployments.steps.git_clone: {branch: '{{ $EMPTY }}'}",
            "the variable EMPTY is set but empty",
        ),
    ],
)
def test_bad_pull_steps(lines: str, message: str) -> None:
    assert message in fault(lines)


def test_texts_of_job_variables_keep_their_text() -> None:
    texts = "labels: {release: 1.10, critical: yes, none: ~}, annotations: {since: 2024-01-01, n: 010}"
    one = entry(f"work_pool: {{job_variables: {{{texts}, cpu: 1.50, job_manifest: {{metadata: {{{texts}}}}}}}}}")
    wanted: dict[str, Json] = {
        "labels": {"release": "1.10", "critical": "yes", "none": None},
        "annotations": {"since": "2024-01-01", "n": "010"},
    }
    assert one.properties["job_variables"] == {**wanted, "cpu": 1.5, "job_manifest": {"metadata": wanted}}


def test_texts_of_steps_keep_their_text() -> None:
    step = "prefect.deployments.steps.git_clone"
    lines = [
        "pull:",
        f"- {step}: {{commit_sha: 0123456, include_submodules: '{{{{ $TRUE }}}}'}}",
        f"- {step}: {{branch: 12e4567, commit_sha: }}",
        "- mine: {directory: 007, count: 007, url: ~, include_submodules: 3}",
        f"- {step}: {{include_submodules: '{{{{ prefect.variables.deep }}}}'}}",
    ]
    assert entry("\n".join(lines)).properties["pull_steps"] == [
        {step: {"commit_sha": "0123456", "include_submodules": True}},
        {step: {"branch": "12e4567", "commit_sha": None}},
        {"mine": {"directory": "007", "count": 7, "url": None, "include_submodules": 3}},
        {step: {"include_submodules": "{{ prefect.variables.deep }}"}},
    ]


def test_runtime_variables() -> None:
    runtime = Context({"STAGE": "prod", "GIT_TOKEN": "hunter2"}, runtime=frozenset(("GIT_TOKEN", "STAGE", "LATER")))
    lines = "pull:\n- prefect.deployments.steps.git_clone:\n    access_token: '{{$GIT_TOKEN}}'\n"
    lines += "    repository: 'https://{{ $LATER }}/x'\n"
    one = entry(lines + "tags: ['{{ $STAGE }}']", runtime)
    assert one.properties["pull_steps"] == [
        {
            "prefect.deployments.steps.git_clone": {
                "access_token": "{{$GIT_TOKEN}}",
                "repository": "https://{{ $LATER }}/x",
            }
        }
    ]
    assert one.properties["tags"] == ["prod"]
    assert "the variable LATER is not set" in fault("tags: ['{{ $LATER }}']", runtime)
    for key in ("commit_sha", "branch"):
        found = fault(f"pull:\n- prefect.deployments.steps.git_clone: {{{key}: '{{{{ $STAGE }}}}'}}", runtime)
        assert "$STAGE is a runtime variable, and which code runs is settled when it is deployed" in found
    assert "$STAGE is a runtime variable" in fault("job_variables: {image: 'x:{{ $STAGE }}'}", runtime)


def test_commit_shas() -> None:
    steps = (
        "pull:\n- prefect.deployments.steps.git_clone: {commit_sha: 0123456, repository: a}\n- x.y: {commit_sha: abc}\n"
    )
    properties = entry(steps + f"- prefect.deployments.steps.git_clone: {{commit_sha: {SHA}}}").properties
    first, second = manifest.commit_shas(properties)
    assert first == ("pull_steps.0.prefect.deployments.steps.git_clone.commit_sha", "0123456")
    assert second == ("pull_steps.2.prefect.deployments.steps.git_clone.commit_sha", SHA)
    assert not manifest.is_full_id(first[1])
    assert manifest.is_full_id(second[1])
    changed = manifest.with_commit_sha(properties, first[0], SHA)
    assert manifest.commit_shas(changed) == [(first[0], SHA), second]
    assert manifest.commit_shas(properties) == [first, second]
    assert changed["pull_steps"] != properties["pull_steps"]
    assert {**changed, "pull_steps": 0} == {**properties, "pull_steps": 0}


@pytest.mark.parametrize(
    ("text", "full"),
    [("a" * 40, True), ("A" * 64, True), ("a" * 41, False), ("a" * 39 + "g", False), ("a" * 40 + "\n", False)],
)
def test_full_ids(text: str, full: bool) -> None:
    assert manifest.is_full_id(text) is full


# Values


@pytest.mark.parametrize(
    ("lines", "key", "value"),
    [
        ("description: 1.10", "description", "1.10"),
        ("description: ''", "description", ""),
        ("description: ~", "description", None),
        ("description: '{{ $NEST }}'", "description", "{{ $STAGE }}"),
        ("description: costs {{ $ONE }}", "description", "costs 1"),
        (
            "tags: [1.10, no, 0123456, '{{ $STAGE }}-x', '{{ prefect.variables.t }}']",
            "tags",
            ["1.10", "no", "0123456", "prod-x", "{{ prefect.variables.t }}"],
        ),
        ("tags: ", "tags", []),
        (
            "labels: {a: 1.0, b: x, c: no, d: 7, e: '{{ $ONE }}'}",
            "labels",
            {"a": 1.0, "b": "x", "c": False, "d": 7, "e": "1"},
        ),
        ("labels: ~", "labels", {}),
        ("parameters: {a: '{{ $ONE }}', b: 2024-01-01}", "parameters", {"a": "1", "b": "2024-01-01"}),
        ("parameters: {1.10: {no: x}}", "parameters", {"1.10": {"no": "x"}}),
        ("enforce_parameter_schema: no", "enforce_parameter_schema", False),
        ("enforce_parameter_schema: 'false'", "enforce_parameter_schema", False),
        ("enforce_parameter_schema: '{{ $TRUE }}'", "enforce_parameter_schema", True),
        ("enforce_parameter_schema: ~", "enforce_parameter_schema", True),
        ("parameter_openapi_schema: {}", "parameter_openapi_schema", {}),
        ("entrypoint: a.py:f", "entrypoint", "a.py:f"),
        ("work_pool: ~", "work_pool_name", None),
        ("work_pool: {name: 007}", "work_pool_name", "007"),
        ("work_pool: {name: ~}\nwork_pool_name: x", "work_pool_name", "x"),
        ("work_queue_name: 1_0", "work_queue_name", "1_0"),
        ("work_queue_id: 12e4567", "work_queue_id", "12e4567"),
        (
            "job_variables: {image: 1.10, env: {A: no, B: ~}, x: {env: [1.0]}, y: 1.0}",
            "job_variables",
            {"image": "1.10", "env": {"A": "no", "B": None}, "x": {"env": ["1.0"]}, "y": 1.0},
        ),
        ("work_pool: {job_variables: ~}", "job_variables", {}),
    ],
)
def test_properties(lines: str, key: str, value: Json) -> None:
    found = entry(lines).properties[key]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("description: [a]", "prefect.yaml:3: deployment 'etl', key 'description': text is expected, not a list"),
        ("tags: a", "key 'tags': a list of texts is expected, not a single value; write it as [a, b]"),
        ("tags: [a, ~]", "key 'tags.1': text is expected, not null"),
        ("tags: [{a: b}]", "key 'tags.0': text is expected, not a mapping"),
        ("tags: ['']", "key 'tags.0': it is empty"),
        ("tags: ['{{ $EMPTY }}']", "key 'tags.0': it is empty"),
        ("labels: [a]", "key 'labels': a mapping is expected, not a list"),
        (
            "labels:\n  a: 1\n  b: [x]",
            "prefect.yaml:5: deployment 'etl', key 'labels.b': a text, a number, true or false",
        ),
        ("labels: {a: ~}", "key 'labels.a': a text, a number, true or false is expected"),
        ("parameters: [a]", "key 'parameters': a mapping is expected, not a list"),
        ("parameters:\n  a:\n  - .nan", "key 'parameters': line 5: '.nan' is a number that JSON cannot hold; quote it"),
        (
            "parameters:\n  a:\n  - '{{ x }}'",
            "prefect.yaml:5: deployment 'etl', key 'parameters.a.0': '{{ x }}' is the output",
        ),
        ("parameters: {'{{ $STAGE }}': 1}", "templates are not expanded in keys; write the key out"),
        ("enforce_parameter_schema: 1", "key 'enforce_parameter_schema': true or false is expected"),
        ("enforce_parameter_schema: [yes]", "key 'enforce_parameter_schema': true or false is expected"),
        ("parameter_openapi_schema: x", "key 'parameter_openapi_schema': a mapping is expected, not a single value"),
        ("entrypoint: ''", "key 'entrypoint': it is empty"),
        ('entrypoint: "a\\nb"', "key 'entrypoint': it is empty, or has control characters"),
        ("work_pool: {name: ''}", "key 'work_pool_name': it is empty"),
        ("work_pool: {name: '{{ $EMPTY }}'}", "key 'work_pool_name': it is empty"),
        (
            "work_pool:\n  job_variables: [x]",
            "prefect.yaml:4: deployment 'etl', key 'job_variables': a mapping is expected",
        ),
        ("job_variables: {image: 'x@{{ $EMPTY }}'}", "key 'job_variables.image': the variable EMPTY is set but empty"),
        ("flow_name: a/b", "key 'flow_name': '/' is not allowed; rename it"),
        ("flow_name: a&b", "key 'flow_name': bad name 'a&b': '&' is not allowed"),
        ("flow_name: '{{ $UNSET }}'", "key 'flow_name': the variable UNSET is not set"),
        ("version: ''", "key 'version': it is empty; write another one"),
        ("version: [1]", "key 'version': text is expected, not a list"),
        ('version: "1\\n2"', "key 'version': it must be one line"),
        (
            "version: ' 1'",
            "key 'version': it must be one line, without control characters and without blanks around it",
        ),
        (f"version: {'1' * 201}", "key 'version': it is longer than 200 bytes"),
        ("version: latest", "key 'version': 'latest' means something else where a version is named"),
        ("version: '{{ build.tag }}'", "key 'version': '{{ build.tag }}' is the output of a step"),
        ("version_type: git", "key 'version_type': unknown version type; write one of vcs:github, vcs:gitlab, "),
    ],
)
def test_bad_properties(lines: str, message: str) -> None:
    assert message in fault(lines)


@pytest.mark.parametrize("version", ["1.10", "0123456", "no", "2024-01-01", "v1 beta", "Ü", "1" * 200])
def test_versions_keep_their_text(version: str) -> None:
    assert entry(f"version: {version}").label == version


@pytest.mark.parametrize("version", ["{{ prefect.variables.release }}", "1.{{ ctx.run }}"])
def test_no_version_is_named_by_what_is_known_only_later(version: str) -> None:
    message = fault(f"version: '{version}'")
    assert "key 'version': a template that is known only later cannot name a version" in message


@pytest.mark.parametrize("kind", manifest.VERSION_TYPES)
def test_version_types(kind: str) -> None:
    assert entry(f"version_type: {kind}").version_type == kind


# Settings


@pytest.mark.parametrize(
    ("lines", "settings"),
    [
        ("", {}),
        ("paused: ~\ndisabled: ~", {}),
        (
            "paused: yes\ndisabled: no\nis_schedule_active: on",
            {"paused": True, "disabled": False, "is_schedule_active": True},
        ),
        ("paused: '{{ $TRUE }}'", {"paused": True}),
        ("is_schedule_active: ~", {"is_schedule_active": None}),
        ("concurrency_limit: ~", {"concurrency_limit": None, "concurrency_options": None}),
        ("concurrency_limit: 5", {"concurrency_limit": 5, "concurrency_options": None}),
        ("concurrency_limit: '{{ $ONE }}'", {"concurrency_limit": 1, "concurrency_options": None}),
        (
            "concurrency_limit: {limit: 2}",
            {
                "concurrency_limit": 2,
                "concurrency_options": {"collision_strategy": "ENQUEUE", "grace_period_seconds": None},
            },
        ),
        (
            "concurrency_limit: {limit: 2, collision_strategy: CANCEL_NEW, grace_period_seconds: 60}",
            {
                "concurrency_limit": 2,
                "concurrency_options": {"collision_strategy": "CANCEL_NEW", "grace_period_seconds": 60},
            },
        ),
        (
            "concurrency_limit: 2\nconcurrency_options: {grace_period_seconds: 86400}",
            {
                "concurrency_limit": 2,
                "concurrency_options": {"collision_strategy": "ENQUEUE", "grace_period_seconds": 86400},
            },
        ),
        ("concurrency_options: ~", {"concurrency_options": None}),
        ("schedule: ~", {"schedules": []}),
        ("schedule: {}", {"schedules": []}),
        ("schedules: []", {"schedules": []}),
        ("schedules: ~", {"schedules": []}),
        (
            "concurrency_limit: {limit: null, collision_strategy: CANCEL_NEW}",
            {
                "concurrency_limit": None,
                "concurrency_options": {"collision_strategy": "CANCEL_NEW", "grace_period_seconds": None},
            },
        ),
        ("schedule: {cron: 0 0 * * *}", {"schedules": [{"cron": "0 0 * * *"}]}),
        ("schedule: ~\nschedules: [{cron: '@daily'}]", {"schedules": [{"cron": "@daily"}]}),
        ("schedules: [{cron: '*/5 * * * * *', rrule: ~, timezone: ~}]", {"schedules": [{"cron": "*/5 * * * * *"}]}),
        (
            "schedules: [{interval: 1.5, anchor_date: 2020-01-01}]",
            {"schedules": [{"interval": 1.5, "anchor_date": "2020-01-01"}]},
        ),
        (
            "schedules: [{rrule: FREQ=DAILY, active: 'no', slug: 7}]",
            {"schedules": [{"rrule": "FREQ=DAILY", "active": False, "slug": "7"}]},
        ),
        (
            "schedules: [{interval: 60, replaces: old, parameters: {a: 1.10}}]",
            {"schedules": [{"interval": 60, "replaces": "old", "parameters": {"a": 1.1}}]},
        ),
    ],
)
def test_settings(lines: str, settings: Mapping[str, Json]) -> None:
    assert entry(lines).settings == settings


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        *(("600", 600), ("0.5", 0.5), ("60.0", 60), ("1:30:00", 5400), ("'1:30:00'", 5400), ("'25:00:00'", 90000)),
        *(("PT10M", 600), ("P1D", 86400), ("P1W", 604800), ("P1Y", 31536000), ("P1M", 2592000), ("P1DT12H", 129600)),
        *(("PT1.5S", 1.5), ("P1.5D", 129600), ("'1 day, 1:00:00'", 90000), ("'1d 1:00:00'", 90000), ("'600'", 600)),
        *(("'00:00:01.5'", 1.5), ("'{{ $ONE }}'", 1), ("1 day", 86400), ("'2 Days, 0:00:01'", 172801), ("1d", 86400)),
        *(("PT1.5H", 5400), ("P0.5W", 302400), ("P1.5Y", 47304000), ("+PT1H", 3600), ("01:30", 5400)),
    ],
)
def test_intervals_are_seconds(written: str, seconds: float) -> None:
    assert entry(f"schedules: [{{interval: {written}}}]").settings == {"schedules": [{"interval": seconds}]}


@pytest.mark.parametrize(
    "rule",
    [
        *("FREQ=MONTHLY;BYDAY=1MO", "RRULE:freq=daily", "INTERVAL=2;FREQ=HOURLY", "RDATE:20200101T090000"),
        *("DTSTART;TZID=Europe/Paris:20200101T090000\\nRRULE:FREQ=MINUTELY", '{\\"rrule\\": \\"FREQ=DAILY\\"}'),
    ],
)
def test_recurrence_rules_that_prefect_takes(rule: str) -> None:
    settings = entry(f'schedules: [{{rrule: "{rule}"}}]').settings
    assert settings == {"schedules": [{"rrule": json.loads(f'"{rule}"')}]}


@pytest.mark.parametrize(
    "anchor",
    [
        *("2020-01-01", "2020-01-01T00:00:00+02:00", "2020-01-01 09:30:00.5", "20200101T093000", "2020-W01-1", "now"),
        *("2020-02-29T09:00Z", "09:30"),
    ],
)
def test_anchor_dates_that_prefect_takes(anchor: str) -> None:
    settings = entry(f"schedule:\n  interval: 60\n  anchor_date: {anchor}").settings
    assert settings == {"schedules": [{"interval": 60, "anchor_date": anchor}]}


@pytest.mark.parametrize(
    "cron",
    [
        *("*/15 0-23 1-31 1-12 0-6", "5/15 22-2 1,15 jan-DEC sun-SAT", "0 0 L * *", "0 0 * * L5", "0 0 * * 5#3,fri#1"),
        *("0 0 ? * mon", "0 0 1 * ?", "00 09 * * 7", "*/61 */100 * * 0", "0 0 1-L * *", "0 0 0 * * 30", "@Midnight"),
    ],
)
def test_cron_lines_that_prefect_takes(cron: str) -> None:
    assert entry(f"schedules: [{{cron: '{cron}'}}]").settings == {"schedules": [{"cron": cron}]}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("paused: 1", "prefect.yaml:3: deployment 'etl', key 'paused': true or false is expected"),
        ("concurrency_limit: 0", "key 'concurrency_limit': a whole number from 1 to 2147483647 is expected"),
        ("concurrency_limit: 1.5", "key 'concurrency_limit': a whole number"),
        ("concurrency_limit: yes", "key 'concurrency_limit': a whole number"),
        ("concurrency_limit: many", "key 'concurrency_limit': a whole number"),
        ("concurrency_limit: [1]", "key 'concurrency_limit': a whole number"),
        ("concurrency_limit: {}", "key 'concurrency_limit': 'limit' is missing"),
        ("concurrency_limit: {limit: 1, strategy: x}", "unknown key 'strategy'; did you mean 'collision_strategy'?"),
        ("concurrency_limit: {limit: 1, collision_strategy: enqueue}", "write ENQUEUE or CANCEL_NEW"),
        ("concurrency_limit: {limit: 1, grace_period_seconds: 59}", "a whole number from 60 to 86400 is expected"),
        ("concurrency_options: x", "key 'concurrency_options': a mapping is expected"),
        ("concurrency_options: {limit: 1}", "unknown key 'limit'"),
        ("schedule: daily", "key 'schedules': a list of schedules is expected"),
        ("schedules: [daily]", "key 'schedules.0': a mapping is expected, not a single value"),
        ("schedules: [{}]", "key 'schedules.0': exactly one of cron, interval and rrule is expected"),
        ("schedules: [{cron: '@daily', interval: 1}]", "exactly one of cron, interval and rrule is expected"),
        (
            "schedules:\n- cron: 0 0 * *",
            "prefect.yaml:4: deployment 'etl', key 'schedules.0.cron': a cron line of 5 or 6",
        ),
        ("schedules: [{cron: 0 0 * * * * *}]", "a cron line of 5 or 6 fields is expected"),
        ("schedules: [{cron: '@never'}]", "a cron line of 5 or 6 fields is expected"),
        ("schedules: [{cron: 0 0 * * !}]", "a cron line of 5 or 6 fields is expected"),
        ("schedules: [{cron: 60 * * * *}]", "key 'schedules.0.cron': '60' is no minute (0 to 59)"),
        ("schedules: [{cron: '0 24 * * *'}]", "'24' is no hour (0 to 23)"),
        ("schedules: [{cron: '0 0 0 * *'}]", "'0' is no day of the month (1 to 31)"),
        ("schedules: [{cron: '0 0 1,32 * *'}]", "'32' is no day of the month (1 to 31)"),
        ("schedules: [{cron: 0 0 * 13 *}]", "'13' is no month (1 to 12)"),
        ("schedules: [{cron: 0 0 * january *}]", "'january' is no month (1 to 12)"),
        ("schedules: [{cron: 0 0 * * mon-fry}]", "'mon-fry' is no day of the week (0 to 7)"),
        ("schedules: [{cron: 0 0 * * 1#6}]", "'1#6' is no day of the week (0 to 7)"),
        ("schedules: [{cron: '*/0 * * * *'}]", "'*/0' is no minute (0 to 59)"),
        ("schedules: [{cron: 'H H * * *'}]", "'H' is no minute (0 to 59)"),
        ("schedules: [{cron: '1,,2 * * * *'}]", "'' is no minute (0 to 59)"),
        ("schedules: [{cron: 0 0 * * * 60}]", "'60' is no second (0 to 59)"),
        (f"schedules: [{{cron: '{'9' * 5000} * * * *'}}]", "is no minute (0 to 59)"),
        ("schedules: [{cron: '@daily', anchor_date: 2020-01-01}]", "unknown key 'anchor_date'"),
        ("schedules: [{interval: 60, day_or: true}]", "unknown key 'day_or'"),
        ("schedules: [{rrule: X, actve: true}]", "unknown key 'actve'; did you mean 'active'?"),
        ("schedules: [{interval: 0}]", "key 'schedules.0.interval': a positive number of seconds is expected"),
        ("schedules: [{interval: -60}]", "a positive number of seconds is expected"),
        ("schedules: [{interval: true}]", "a positive number of seconds is expected"),
        ("schedules: [{interval: soon}]", "a positive number of seconds is expected"),
        ("schedules: [{interval: 1 day 1}]", "a positive number of seconds is expected"),
        ("schedules: [{interval: '1:30'}]", "a positive number of seconds is expected"),
        ("schedules: [{interval: PT}]", "a positive number of seconds is expected"),
        ("schedules: [{interval: P1}]", "a positive number of seconds is expected"),
        ("schedules: [{interval: [1]}]", "a positive number of seconds is expected"),
        (f"schedules: [{{interval: 'P{'9' * 400}Y'}}]", "a positive number of seconds is expected"),
        (f"schedules: [{{interval: {'9' * 299}}}]", "a positive number of seconds is expected"),
        (f"schedules: [{{interval: {'9' * 5000}}}]", "a number of 5000 characters"),
        ("schedules: [{interval: 60, anchor_date: tomorrow}]", "key 'schedules.0.anchor_date': a date is expected"),
        ("schedules: [{interval: 60, anchor_date: 2020-02-30}]", "a date is expected"),
        ("schedules: [{interval: 60, anchor_date: 31/12/2020}]", "a date is expected"),
        ("schedules: [{interval: .inf}]", "is a number that JSON cannot hold"),
        ("schedules: [{rrule: ''}]", "a recurrence rule of 1 to 6500 characters is expected"),
        ("schedules: [{rrule: weekly}]", "key 'schedules.0.rrule': a recurrence rule says how often"),
        ("schedules: [{rrule: FREQ=FORTNIGHTLY}]", "a recurrence rule says how often"),
        ("schedules: [{rrule: BYDAY=MO}]", "a recurrence rule says how often"),
        ("schedules: [{cron: '@daily', timezone: 'Paris, France'}]", "the name of a time zone is expected"),
        ("schedules: [{cron: '@daily', timezone: Europe/Pariss}]", "did you mean 'Europe/Paris'?"),
        ("schedules: [{cron: '@daily', timezone: Europe}]", "there is no time zone 'Europe'"),
        ("schedules: [{cron: '@daily', timezone: x}]", "there is no time zone 'x'; give one such as Europe/Paris"),
        ("schedules: [{cron: '@daily', timezone: /etc/localtime}]", "there is no time zone '/etc/localtime'"),
        ("schedules: [{cron: '@daily', active: maybe}]", "key 'schedules.0.active': true or false is expected"),
        ("schedules: [{cron: '@daily', parameters: [x]}]", "key 'schedules.0.parameters': a mapping is expected"),
        (
            "schedules: [{cron: '@daily', slug: a}, {cron: '@daily', slug: a}]",
            "key 'schedules.1.slug': another schedule has this slug",
        ),
    ],
)
def test_bad_settings(lines: str, message: str) -> None:
    assert message in fault(lines)


# Parameters and their schema

STRING: Json = {"type": "string"}


def test_retype_gives_the_text_back_where_the_schema_wants_strings() -> None:
    one = draft(
        "parameters: {release: 1.10, commit: 0123456, count: 007, stage: '{{ $STAGE }}', extra: 1.0}\n"
        "schedules: [{cron: '@daily', parameters: {commit: 12e4567, release: no}}]\npaused: true"
    )
    context = Context(ENV)
    before = manifest.expand(one, context)
    assert before.properties["parameters"] == {
        "release": 1.1,
        "commit": 42798,
        "count": 7,
        "stage": "prod",
        "extra": 1.0,
    }
    properties: dict[str, Json] = {"release": STRING, "commit": STRING, "count": {"type": "integer"}, "stage": STRING}
    after = manifest.retype(before, one, context, {"type": "object", "properties": properties})
    assert after.properties["parameters"] == {
        "release": "1.10",
        "commit": "0123456",
        "count": 7,
        "stage": "prod",
        "extra": 1.0,
    }
    assert after.settings == {
        "schedules": [{"cron": "@daily", "parameters": {"commit": "12e4567", "release": "no"}}],
        "paused": True,
    }
    assert after._replace(properties=before.properties, settings=before.settings) == before
    assert manifest.retype(before, one, context, {}) == before


def test_a_schema_in_the_entry_counts_at_once() -> None:
    one = entry("parameter_openapi_schema: {properties: {a: {type: string}}}\nparameters: {a: 1.10, b: 1.10}")
    assert one.properties["parameters"] == {"a": "1.10", "b": 1.1}


# Secrets


@pytest.mark.parametrize(
    ("lines", "key", "reason"),
    [
        (
            "job_variables: {env: {A: '{{ $API_TOKEN }}'}}",
            "job_variables.env.A",
            "it takes $API_TOKEN, which is named like a secret",
        ),
        ("parameters: {a: ['x-{{ $API_TOKEN }}']}", "parameters.a.0", "it takes $API_TOKEN"),
        ("version: '{{ $API_TOKEN }}'", "version", "it takes $API_TOKEN"),
        (
            "schedules: [{cron: '@daily', parameters: {a: '{{ $API_TOKEN }}'}}]",
            "schedules.0.parameters.a",
            "it takes $API_TOKEN",
        ),
        ("pull: [{a.step: {x: '{{ $API_TOKEN }}'}}]", "pull_steps.0.a.step.x", "it takes $API_TOKEN"),
        ("pull: [{a.step: {x: '{{ $URL }}'}}]", "pull_steps.0.a.step.x", "it holds a password in a URL"),
        ("pull: [{a.step: {access_token: hunter2}}]", "pull_steps.0.a.step.access_token", "it holds a literal secret"),
        ("tags: ['https://ada:hunter2@example.com']", "tags.0", "it holds a password in a URL"),
        (f"description: ghp_{'a1' * 20}", "description", "it holds a GitHub token"),
    ],
)
def test_secrets_do_not_enter_history(lines: str, key: str, reason: str) -> None:
    message = fault(lines)
    assert f"deployment 'etl', key '{key}': {reason}" in message
    assert ", and history keeps it; use a Prefect block, {{ prefect.blocks.secret.NAME }}" in message
    last = key.rpartition(".")[2]
    assert f"--allow-secret {last} if it is none" in message
    assert ("or a runtime variable" in message) is key.startswith("pull_steps.")
    for allowed in (key, last):
        assert entry(lines, Context(ENV, allow_secret=frozenset((allowed,)))).half == "etl"
    assert reason in fault(lines, Context(ENV, allow_secret=frozenset(("other", "env"))))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x-{{ $API_TOKEN }}", "$API_TOKEN is named like a secret, and everybody sees names; leave it out"),
        ("{{ $URL }}", "it holds a password in a URL, and everybody sees names; leave it out"),
    ],
)
def test_no_secret_is_part_of_a_name(name: str, message: str) -> None:
    with pytest.raises(BadManifest) as caught:
        read(f"deployments:\n- name: '{name}'")
    assert str(caught.value) == f"prefect.yaml:2: deployment '{name}', key 'name': {message}"


def test_a_secret_that_is_a_name_is_not_shown() -> None:
    with pytest.raises(BadManifest) as caught:
        read("deployments:\n- name: ghp_0123456789abcdefghijABCDEFGHIJ012345")
    reason = "it holds a GitHub token, and everybody sees names; leave it out"
    assert str(caught.value) == f"prefect.yaml:2: deployment '…', key 'name': {reason}"


def test_no_secret_is_shown_with_the_flow() -> None:
    one = draft("flow_name: '{{ $API_TOKEN }}/'\nentrypoint: '{{ $API_TOKEN }}.py:f'")
    assert (one.flow_name, one.entrypoint) == ("{{ $API_TOKEN }}/", "{{ $API_TOKEN }}.py:f")
    assert "key 'flow_name': it takes $API_TOKEN" in fault("flow_name: '{{ $API_TOKEN }}/'")
    assert "key 'flow_name': it holds a password in a URL" in fault("flow_name: '{{ $URL }}'")


# Bounds


def test_expanded_texts_are_bounded_together() -> None:
    lines = "parameters:\n  a: ['" + "', '".join(["{{ $LONG }}"] * 20) + "']"
    assert "more than 16777216 characters" in fault(lines, Context({"LONG": "x" * 2**20}))


def test_values_that_are_json_already() -> None:
    values: dict[str, Json] = {
        "description": "é😀\x85",
        "parameters": {"x": 1e-05, "y": None, "z": "1.10"},
        "paused": True,
    }
    found = manifest.expand(manifest.draft_of({"name": "a", **values}, PLACE, {}), Context({}))
    assert found.properties["description"] == values["description"]
    assert found.properties["parameters"] == values["parameters"]
    assert found.settings == {"paused": True}
    with pytest.raises(BadManifest, match=r"^prefect.yaml:1: deployment 'a': unknown key 'tagz'; did you mean 'tags'"):
        manifest.draft_of({"name": "a", "tagz": []}, PLACE, {})
    deep: Json = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(BadManifest, match=r"^prefect.yaml: more than 64 lists"):
        manifest.draft_of({"name": "a", "parameters": {"x": deep}}, PLACE, {})


def test_a_thousand_deployments_are_read() -> None:
    text = "pull:\n- prefect.deployments.steps.git_clone: {repository: r, commit_sha: '{{ $SHA }}'}\ndeployments:\n"
    text += "".join(
        f"- name: d{n}\n  version: 1.{n}\n  tags: [a, b]\n  entrypoint: flows/f{n}.py:main\n"
        f"  parameters:\n    x: {n}\n  work_pool:\n    name: pool\n"
        for n in range(1000)
    )
    context = Context(ENV)
    with bounded():
        entries = [manifest.expand(one, context) for one in read(text)]
    assert [one.label for one in entries] == [f"1.{n}" for n in range(1000)]


PIECES = (
    *(
        b"{{ $STAGE }}",
        b"{{ $UNSET }}",
        b"{{",
        b"}}",
        b"{{ x.y }}",
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!int ",
        b"~",
        b"[]",
        b"{}",
    ),
    *(
        b"- ",
        b": ",
        b"\n",
        b"  ",
        b"\t",
        b"\x00",
        b"\xff",
        b"'",
        b'"',
        b"|",
        b"#",
        b"1.0e+999",
        b".inf",
        b"0x_",
        b"2024-01-01",
    ),
    *(
        b"\n---\n",
        b"[" * 70,
        b"\nname: ",
        b"\xf0\x9f\x98\x80",
        b"\xe2\x80\xae",
        b'"\\0"',
        b"99999999999999999999",
        b"null",
    ),
)
FIXTURES = sorted(path.read_bytes() for path in MANIFESTS.glob("*.yaml"))


def mutated(data: bytes, choice: random.Random) -> bytes:
    for _ in range(choice.randint(1, 4)):
        start = choice.randrange(len(data) + 1)
        end = min(len(data), start + choice.choice((0, 0, 1, 5, 40)))
        other = choice.randrange(len(data) + 1)
        middle = choice.choice((b"", choice.choice(PIECES), data[other : other + choice.randint(1, 60)]))
        data = data[:start] + middle + data[end:]
    return data


@given(st.sampled_from(FIXTURES), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=400, database=None, deadline=5000)
def test_mutated_manifests_end_in_entries_or_one_line(data: bytes, choice: random.Random, has_runtime: bool) -> None:
    context = Context(ENV, frozenset(("STAGE",)) if has_runtime else frozenset())
    message = ""
    try:
        for one in manifest.read(mutated(data, choice), PLACE, ENV):
            expanded = manifest.expand(one, context)
            manifest.retype(expanded, one, context, {"properties": {"since": STRING}})
            json.dumps([expanded.properties, expanded.settings], allow_nan=False).encode()
    except BadManifest as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 1000


WORDS = st.sampled_from(("", "x", "{{ $STAGE }}", "{{ $UNSET }}", "{{ a.b }}", "{{", "@daily", "P1D", "\x00", "1.10"))
KEYS = st.sampled_from(
    (
        *("cron", "interval", "rrule", "slug", "active", "parameters", "timezone", "limit", "collision_strategy"),
        *("id", "commit_sha", "include_submodules", "image", "env", "name", "job_variables", "work_queue_name"),
        *("prefect.deployments.steps.git_clone", "a.b", "{{ $STAGE }}"),
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from((*manifest.ENTRY_KEYS, "created_by", "zzz")), VALUES, max_size=6))
@settings(max_examples=400, database=None, deadline=5000)
def test_any_values_end_in_an_entry_or_one_line(values: dict[str, Json]) -> None:
    message = ""
    try:
        one = manifest.draft_of({"name": "etl", **values}, PLACE, ENV)
        expanded = manifest.expand(one, Context(ENV))
        json.dumps([expanded.properties, expanded.settings], allow_nan=False).encode()
    except BadManifest as error:
        message = str(error)
    assert message.isprintable()


def test_an_exported_manifest_reads_back() -> None:
    """What a plain YAML dumper writes of the stored values gives the same values."""
    stored = from_file("full.yaml")[:2]
    written = [
        {"name": one.half, "flow_name": one.flow_name, **one.properties, **one.settings, "version": one.label}
        for one in stored
    ]
    text = yaml.safe_dump({"deployments": written}, sort_keys=False, allow_unicode=True)
    again = [manifest.expand(one, Context({})) for one in read(text, {})]
    assert [(one.label, one.properties, one.settings) for one in again] == [
        (one.label, one.properties, one.settings) for one in stored
    ]
