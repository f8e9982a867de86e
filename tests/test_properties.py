"""The two tables of the source document, row by row, under rollback and promote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Project

GIT_CLONE = "prefect.deployments.steps.git_clone"
FLOW = "def load(day: {type} = {default}) -> None:\n    pass\n"

# Property: what the first and the second deploy say of it.
VERSIONED: dict[str, tuple[Any, Any]] = {
    "description": ("one", "two"),
    "tags": (["a"], ["b", "c"]),
    "labels": ({"team": "x"}, {"team": "y", "tier": 2}),
    "entrypoint": ("flow.py:load", "other.py:load"),
    "pull_steps": (
        [{GIT_CLONE: {"repository": "https://example.com/r", "commit_sha": "1" * 40}}],
        [{GIT_CLONE: {"repository": "https://example.com/r", "commit_sha": "2" * 40}}],
    ),
    "parameters": ({"day": 1}, {"day": 2}),
    "parameter_openapi_schema": (
        {"type": "object", "properties": {"day": {"type": "integer"}}},
        {"type": "object", "properties": {"day": {"type": "string"}}},
    ),
    "enforce_parameter_schema": (True, False),
    "work_queue_id": ("0f0f0f0f-0000-4000-8000-000000000001", "0f0f0f0f-0000-4000-8000-000000000002"),
    "work_queue_name": ("slow", "fast"),
    "work_pool_name": ("pool-a", "pool-b"),
    "job_variables": ({"image": "app@sha256:aa"}, {"image": "app@sha256:bb", "env": {"MODE": "x"}}),
}
UNVERSIONED: dict[str, tuple[Any, Any]] = {
    "schedules": ([{"cron": "0 6 * * *", "timezone": "UTC"}], [{"interval": 3600}]),
    "is_schedule_active": (True, False),
    "paused": (True, False),
    "disabled": (True, False),
    "concurrency_limit": (3, 5),
    "concurrency_options": ({"collision_strategy": "ENQUEUE"}, {"collision_strategy": "CANCEL_NEW"}),
}


def two_versions(project: Project, key: str, values: tuple[Any, Any]) -> None:
    """Two deploys that differ in one key, each from its own commit and by its own author."""
    for number, value in enumerate(values, 1):
        project.commit(f"Change {number}", **{f"code{number}": "x", "flow.py": FLOW.format(type="int", default=1)})
        project.commit("More", **{"other.py": FLOW.format(type="str", default="''")})
        extra: dict[str, Any] = {"concurrency_limit": 4} if key == "concurrency_options" else {}
        project.manifest(version=f"0.0.{number}", **{key: value}, **extra)
        author = {"GIT_AUTHOR_NAME": f"Author {number}", "GIT_AUTHOR_EMAIL": f"a{number}@example.com"}
        project.ok("deploy", **author)


def property_of(project: Project, key: str, version: str = "live") -> Any:
    return project.ok("show", "etl/prod", version, "--json").json["properties"][key]


@pytest.mark.parametrize("key", VERSIONED)
def test_versioned(project: Project, key: str) -> None:
    two_versions(project, key, VERSIONED[key])
    snapshots = [project.git("show", f"refs/deployments/etl/prod/versions/{n}:deployment.json") for n in (1, 2)]
    first, second = (json.loads(snapshot)[key] for snapshot in snapshots)
    assert (first, second) == VERSIONED[key]
    project.ok("rollback", "etl/prod")
    assert project.git("show", "refs/deployments/etl/prod/live:deployment.json") == snapshots[0]
    assert property_of(project, key) == first
    project.ok("promote", "etl/prod")
    assert project.git("show", "refs/deployments/etl/prod/live:deployment.json") == snapshots[1]
    assert property_of(project, key) == second


def test_versioned_created_by(project: Project) -> None:
    two_versions(project, "description", ("one", "two"))
    for command in (["rollback", "prod"], ["promote", "prod"]):
        project.ok(*command)
        assert property_of(project, "created_by") == "Author 1 <a1@example.com>"


def test_versioned_updated_by(project: Project) -> None:
    two_versions(project, "description", ("one", "two"))
    project.ok("rollback", "prod")
    assert property_of(project, "updated_by") == "Author 1 <a1@example.com>"
    project.ok("promote", "prod")
    assert property_of(project, "updated_by") == "Author 2 <a2@example.com>"


def test_versioned_version_info(project: Project) -> None:
    two_versions(project, "description", ("one", "two"))
    infos = [property_of(project, "version_info", number) for number in ("1", "2")]
    assert [info["version"] for info in infos] == ["0.0.1", "0.0.2"]
    assert infos[0]["commit_sha"] != infos[1]["commit_sha"]
    project.ok("rollback", "prod")
    assert property_of(project, "version_info") == infos[0]
    project.ok("promote", "prod")
    assert property_of(project, "version_info") == infos[1]


@pytest.mark.parametrize("key", UNVERSIONED)
def test_unversioned(project: Project, key: str) -> None:
    values = UNVERSIONED[key]
    two_versions(project, key, values)
    settings = project.git("show", "refs/deployments/etl/prod/log:settings.json")
    stored = json.loads(settings)[key]
    assert stored == values[1] or stored.items() >= values[1].items()
    for command in (["rollback", "etl/prod"], ["promote", "etl/prod"]):
        project.ok(*command)
        assert project.git("show", "refs/deployments/etl/prod/log:settings.json") == settings
        assert project.ok("show", "etl/prod", "--json").json["settings"][key] == stored


def test_unversioned_name(project: Project) -> None:
    project.deploy()
    assert "never changes" in project.fatal("update", "etl/prod", "name=other")


@pytest.mark.parametrize("key", UNVERSIONED)
def test_a_redeploy_that_does_not_mention_a_setting_leaves_it(project: Project, key: str) -> None:
    two_versions(project, key, UNVERSIONED[key])
    before = project.ok("show", "etl/prod", "--json").json["settings"]
    project.deploy("third")
    assert project.ok("show", "etl/prod", "--json").json["settings"] == before


@pytest.mark.parametrize("key", UNVERSIONED)
def test_update_of_a_setting_makes_no_version(project: Project, key: str) -> None:
    project.deploy()
    extra = ["concurrency_limit=4"] if key == "concurrency_options" else []
    project.ok("update", "etl/prod", f"{key}={json.dumps(UNVERSIONED[key][0])}", *extra)
    assert project.live() == 1
    stored = project.ok("show", "etl/prod", "--key", key).out
    assert stored.strip() != json.dumps(None)
    project.ok("update", "etl/prod", "--unset", key)
    assert project.git("fsck", "--strict", "--no-dangling") == ""


@pytest.mark.parametrize("key", [key for key in VERSIONED if key != "entrypoint"])
def test_update_of_a_versioned_property_makes_one_version_with_the_live_source(project: Project, key: str) -> None:
    project.deploy("first", "-m", "text", version="0.0.1")
    source = project.git("rev-parse", "refs/deployments/etl/prod/live:source")
    project.commit("Elsewhere", x="y")
    project.ok("update", "etl/prod", f"{key}={json.dumps(VERSIONED[key][1])}")
    assert project.live() == 2
    assert property_of(project, key) == VERSIONED[key][1]
    assert project.git("rev-parse", "refs/deployments/etl/prod/live:source") == source
    shown = project.ok("show", "etl/prod", "--json").json
    assert shown["version"] is None
    assert shown["version_info"]["commit_sha"] == source


def test_nothing_of_another_version_leaks(project: Project) -> None:
    project.deploy("first", tags=["a"], labels={"x": "y"}, parameters={"p": 1})
    project.write("prefect.yaml", json.dumps({"deployments": [{"name": "prod", "flow_name": "etl"}]}))
    project.ok("deploy")
    stored = json.loads(project.git("show", "refs/deployments/etl/prod/live:deployment.json"))
    assert stored == {
        "description": None,
        "enforce_parameter_schema": True,
        "entrypoint": None,
        "job_variables": {},
        "labels": {},
        "parameter_openapi_schema": {},
        "parameters": {},
        "pull_steps": [],
        "tags": [],
        "work_pool_name": None,
        "work_queue_id": None,
        "work_queue_name": None,
    }


def test_both_kinds_at_once_are_one_event(project: Project) -> None:
    project.deploy()
    project.ok("update", "etl/prod", "description=new", "paused=true", "--version", "named")
    (newest, _) = project.ok("log", "prod", "--json").json
    assert (newest["action"], newest["number"]) == ("update", 2)
    shown = project.ok("show", "prod", "--json").json
    assert (shown["version"], shown["settings"]["paused"]) == ("named", True)
