"""`apply`: what a server has afterwards is exactly what the live version says, and all else as before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Served

VERSIONED = (
    "version", "description", "tags", "entrypoint", "pull_steps", "parameters", "parameter_openapi_schema",
    "enforce_parameter_schema", "work_queue_id", "work_queue_name", "work_pool_name", "job_variables", "labels",
)  # fmt: skip
MOVING = (*VERSIONED, "updated", "last_polled", "status")
"""What may differ between two looks at a deployment; everything else is unversioned."""
SCHEMA = {
    "title": "Parameters",
    "type": "object",
    "properties": {"count": {"title": "count", "type": "integer", "position": 0, "default": 1}},
}
FULL = {
    "description": "Every property is set",
    "tags": ["b", "a"],
    "entrypoint": "one.py:flow",
    "parameters": {"count": 2},
    "parameter_openapi_schema": SCHEMA,
    "work_pool": {"name": "apply-pool", "work_queue_name": "urgent", "job_variables": {"env": {"A": "1"}}},
    "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "/opt"}}],
    "version": "1.10",
}


def versioned(row: Any) -> dict[str, Any]:
    return {key: row[key] for key in VERSIONED}


def unversioned(row: Any) -> dict[str, Any]:
    limit = row["global_concurrency_limit"]
    kept = {key: limit[key] for key in ("id", "limit", "active")} if limit else None  # its times change with each run
    return {**{key: value for key, value in row.items() if key not in MOVING}, "global_concurrency_limit": kept}


def deploy(served: Served, name: str, **entry: Any) -> None:
    flow, _, half = name.partition("/")
    served.manifest(entry.pop("description", "plain"), name=half, flow=flow, **entry)
    served.commit("Change")
    served.ok("deploy", "-q")


def test_rollback_and_apply_give_version_1_back_and_nothing_else(served: Served, name: str) -> None:
    server = served.server
    server.pool("apply-pool")
    server.pool("other-pool")
    deploy(served, name, **FULL)
    assert f"{name}: v1 (1.10) is created on the server" in served.ok("apply", name, "--create").out
    first = server.deployment(name)
    assert first["version"] == "1.10"
    assert (first["tags"], first["parameters"], first["work_queue_name"]) == (["b", "a"], {"count": 2}, "urgent")
    # Nothing of version 1 is mentioned in version 2: whatever stayed would be a leak.
    deploy(served, name, entrypoint="two.py:flow", parameter_openapi_schema={}, work_pool={"name": "other-pool"})
    assert f"{name}: v2 is applied" in served.ok("apply", name).out
    second = server.deployment(name)
    assert (second["tags"], second["parameters"], second["job_variables"]) == ([], {}, {})
    assert (second["description"], second["pull_steps"], second["work_pool_name"]) == ("plain", [], "other-pool")
    assert second["parameter_openapi_schema"] == {"type": "object", "properties": {}}
    # What is not versioned changes on the server.
    schedule = {"active": True, "schedule": {"cron": "0 6 * * *", "timezone": "Europe/Paris"}}
    server.ok("POST", f"/deployments/{first['id']}/schedules", [schedule])
    server.change(first, paused=True, concurrency_limit=3)
    changed = server.deployment(name)
    assert changed["paused"]
    assert changed["global_concurrency_limit"]["limit"] == 3
    served.ok("rollback", name)
    served.ok("apply", name)
    back = server.deployment(name)
    assert versioned(back) == versioned(first)
    assert unversioned(back) == unversioned(changed)
    assert back["id"] == first["id"]
    served.ok("promote", name)
    served.ok("apply", name)
    assert versioned(server.deployment(name)) == versioned(second)
    assert unversioned(server.deployment(name)) == unversioned(changed)


def test_what_is_so_already_is_not_touched(served: Served, name: str) -> None:
    deploy(served, name)
    served.ok("apply", name, "--create")
    before = served.server.deployment(name)
    assert served.ok("apply", name).out == f"{name}: v1 is what the server has\n"
    assert served.server.deployment(name) == before
    assert served.ok("diff", name, "--server", "--exit-code").out == ""
    assert served.ok("status", name, "--server").out == "nothing needs attention\n"


def test_a_dry_run_shows_what_would_change(served: Served, name: str) -> None:
    deploy(served, name)
    assert "would be created" in served.ok("apply", name, "--create", "-n").out
    assert served.server.ask("GET", f"/deployments/name/{name}").status == 404
    served.ok("apply", name, "--create")
    before = served.server.deployment(name)
    deploy(served, name, description="changed", tags=["a"], paused=True)
    out = served.ok("apply", name, "-n", "--settings").out
    assert '- description: "plain"\n+ description: "changed"\n' in out
    assert "- paused: false\n+ paused: true\n" in out
    assert served.server.deployment(name) == before
    row = served.ok("apply", name, "-n", "--json").json[0]
    assert (row["applied"], row["created"]) == (False, False)
    assert {change["key"] for change in row["changes"]} == {"description", "tags", "version"}


def test_drift_on_the_server_is_shown_and_undone(served: Served, name: str) -> None:
    deploy(served, name)
    served.ok("apply", name, "--create")
    clean = served.server.deployment(name)
    served.server.change(clean, description="by hand", tags=["x"], paused=True)
    shown = served.run("diff", name, "--server", "--exit-code")
    assert shown.code == 1
    assert '- description: "by hand"\n+ description: "plain"\n' in shown.out
    assert "paused" not in shown.out
    assert served.ok("diff", name, "--server", "--json").json["server"] == "differs"
    status = served.ok("status", name, "--server").out
    assert status == f"{name}: the server differs in description, tags; git deployments diff {name} --server\n"
    assert served.ok("status", name, "--server", "--format", "%(server)").out == "differs\n"
    served.ok("apply", name)
    assert versioned(served.server.deployment(name)) == versioned(clean)
    assert served.server.deployment(name)["paused"]


def test_settings_are_sent_where_they_are_asked_for(served: Served, name: str) -> None:
    schedules = [{"cron": "0 6 * * *", "timezone": "Europe/Paris", "active": False}, {"interval": 3600}]
    limit = {"limit": 2, "collision_strategy": "CANCEL_NEW"}
    deploy(served, name, schedules=schedules, concurrency_limit=limit, paused=True)
    served.ok("apply", name, "--create")
    made = served.server.deployment(name)
    assert made["paused"]
    assert made["global_concurrency_limit"]["limit"] == 2
    assert made["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    kinds = {next(iter({"cron", "interval"} & one["schedule"].keys())): one["active"] for one in made["schedules"]}
    assert kinds == {"cron": False, "interval": True}
    served.ok("update", name, "paused=false", "schedules=[]", "concurrency_limit=5")
    assert "is what the server has" in served.ok("apply", name).out
    assert served.server.deployment(name)["paused"]
    assert "3 properties changed" in served.ok("apply", name, "--settings").out
    after = served.server.deployment(name)
    assert (after["paused"], after["schedules"], after["global_concurrency_limit"]["limit"]) == (False, [], 5)
    assert "is what the server has" in served.ok("apply", name, "--settings").out


def test_schedules_that_were_sent_are_what_the_server_has(served: Served, name: str) -> None:
    """A server gives what has no start one of its own, and writes moments in its own way."""
    schedules = [
        {"rrule": "FREQ=HOURLY;COUNT=5"},
        {"rrule": "RRULE:FREQ=MINUTELY;COUNT=5", "timezone": "Europe/Paris"},
        {"rrule": "RRULE:FREQ=MINUTELY;INTERVAL=30", "timezone": "Europe/Paris"},
        {"rrule": "DTSTART:20250101T000000Z\nRRULE:FREQ=DAILY"},
        {"interval": 90.5},
        {"interval": 3600},
        {"interval": 3600, "anchor_date": "2026-01-01T03:30:00+02:00", "timezone": "America/Chicago"},
        {"interval": 3600, "anchor_date": "2026-01-01"},
        {"cron": "0 6 * * *", "day_or": False, "active": False, "slug": "morning", "parameters": {"name": "Ada"}},
    ]
    deploy(served, name, schedules=schedules, paused=True)
    served.ok("apply", name, "--create", "--settings")
    assert served.ok("apply", name, "--settings").out == f"{name}: v1 is what the server has\n"
    assert "is on the server what v1 has" in served.ok("capture", name).err
    assert len(served.ok("log", name).out.splitlines()) == 1


def test_another_start_of_a_schedule_is_sent(served: Served, name: str) -> None:
    deploy(served, name, schedules=[{"interval": 60, "anchor_date": "2026-01-01T00:00:00Z"}])
    served.ok("apply", name, "--create", "--settings")
    for after in (
        {"interval": 60, "anchor_date": "2026-01-01T00:00:30Z"},
        {"rrule": "DTSTART:20250102T000000\nFREQ=DAILY"},
        {"rrule": "FREQ=DAILY"},
    ):
        served.ok("update", name, f"schedules={json.dumps([after])}")
        assert "1 property changed" in served.ok("apply", name, "--settings").out
    assert served.ok("apply", name, "--settings").out == f"{name}: v1 is what the server has\n"


def test_a_run_that_is_scheduled_already_is_said_to_be_affected(served: Served, name: str) -> None:
    deploy(served, name)
    served.ok("apply", name, "--create")
    made = served.server.deployment(name)
    when = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
    served.server.ok("POST", f"/deployments/{made['id']}/create_flow_run", {"state": when})
    deploy(served, name, description="changed")
    out = served.ok("apply", name).out
    assert "affected: 1 run that is scheduled already will run v2\n" in out
    assert len(served.server.scheduled(made)) == 1


def test_labels_are_named_since_a_server_takes_none(served: Served, name: str) -> None:
    deploy(served, name, labels={"team": "data"})
    result = served.ok("apply", name, "--create")
    assert f"warning: {name}: the server keeps its own labels" in result.err


def test_several_at_once_and_all(served: Served) -> None:
    entries = [{"name": half, "flow_name": "apply-many", "description": "one"} for half in ("a", "b")]
    served.write("prefect.yaml", str({"deployments": entries}))
    served.ok("deploy", "--all", "-q")
    assert served.run("apply").code == 129
    assert len(served.ok("apply", "--all", "--create", "--json").json) == 2
    served.ok("update", "a", "description=two", "-q")
    served.ok("update", "b", "description=two", "work_pool_name=no-such-pool", "-q")
    before = [served.server.deployment(f"apply-many/{half}") for half in ("a", "b")]
    line = served.fatal("apply", "--all")
    assert "there is no work pool 'no-such-pool'" in line
    assert [served.server.deployment(f"apply-many/{half}") for half in ("a", "b")] == before


def test_a_deployment_that_the_server_does_not_have(served: Served, name: str) -> None:
    deploy(served, name)
    assert f"git deployments apply {name} --create" in served.fatal("apply", name)
    served.ok("apply", name, "--create")
    served.server.ok("DELETE", f"/deployments/{served.server.deployment(name)['id']}")
    assert f"has no deployment '{name}'" in served.fatal("apply", name)
    assert served.server.ask("GET", f"/deployments/name/{name}").status == 404
    assert "not on the server" in served.ok("status", name, "--server").out
    assert served.ok("diff", name, "--server", "--json").json["server"] == "absent"


def test_a_name_without_a_flow_is_on_no_server(served: Served) -> None:
    served.manifest(name="alone", flow=None)
    served.ok("deploy", "-q")
    assert "'alone' names no flow" in served.fatal("apply", "alone", "--create")
    assert "not on the server" in served.ok("status", "alone", "--server").out


def test_job_variables_that_the_pool_refuses_change_nothing(served: Served, name: str) -> None:
    served.server.pool("strict-pool", env={"type": "object"})
    deploy(served, name, work_pool={"name": "strict-pool"})
    served.ok("apply", name, "--create")
    before = served.server.deployment(name)
    deploy(served, name, work_pool={"name": "strict-pool", "job_variables": {"env": "not a mapping"}})
    line = served.fatal("apply", name)
    assert f"'{name}' cannot be updated: 409" in line
    assert served.server.deployment(name) == before


@pytest.mark.parametrize("verb", ["apply", "diff", "status"])
def test_nothing_is_live(served: Served, name: str, verb: str) -> None:
    flow, _, half = name.partition("/")
    served.manifest(name=half, flow=flow)
    served.ok("deploy", "--no-live", "-q")
    if verb == "apply":
        assert "has no live version to apply" in served.fatal("apply", name)
    elif verb == "diff":
        assert "has no live version" in served.fatal("diff", name, "--server")
    else:
        assert "nothing is live" in served.ok("status", name, "--server").out
