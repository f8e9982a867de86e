"""`capture`: what was deployed by other means becomes history, and nothing is invented."""

from __future__ import annotations

from .conftest import Served
from .test_apply import SCHEMA, versioned

CLONE = "prefect.deployments.steps.git_clone"


def test_what_the_server_has_becomes_versions(served: Served, name: str) -> None:
    served.server.create(
        name,
        "capture-pool",
        description="first",
        tags=["b", "a"],
        entrypoint="one.py:flow",
        parameters={"count": 2},
        parameter_openapi_schema=SCHEMA,
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": "/opt"}}],
        schedules=[{"schedule": {"cron": "0 6 * * *", "timezone": "Europe/Paris"}, "active": False}],
        concurrency_limit=3,
        version="1.10",
    )
    assert f"{name}: v1 (1.10) is live\n" in served.ok("capture", name, "-m", "as found").out
    row = served.ok("show", name, "--json").json
    assert row["properties"]["tags"] == ["b", "a"]
    assert row["properties"]["parameters"] == {"count": 2}
    assert row["properties"]["work_pool_name"] == "capture-pool"
    assert row["settings"]["concurrency_limit"] == 3
    assert row["settings"]["schedules"] == [{"cron": "0 6 * * *", "timezone": "Europe/Paris", "active": False}]
    assert (row["message"], row["source"]) == ("as found", served.git("rev-parse", "HEAD"))
    again = served.ok("capture", name)
    assert (again.out, again.err) == ("", f"{name} is on the server what v1 has\n")
    assert served.ok("diff", name, "--server", "--exit-code").out == ""


def test_a_change_in_the_ui_is_a_version_and_can_be_rolled_back(served: Served, name: str) -> None:
    shape = {"description": "first", "entrypoint": "one.py:flow", "parameter_openapi_schema": SCHEMA}
    made = served.server.create(name, "capture-pool", **shape)
    served.ok("capture", name)
    before = served.server.deployment(name)
    source = served.ok("live", name, "--source").out
    served.commit("Something else")
    served.server.change(made, description="by hand", tags=["x"])
    assert f"{name}: v2 is live, was v1\n" in served.ok("capture", name).out
    assert served.ok("live", name, "--source").out == source, "the code of an edit in the UI is that of before"
    served.ok("rollback", name)
    served.ok("apply", name)
    assert versioned(served.server.deployment(name)) == versioned(before)


def test_settings_alone_make_no_version(served: Served, name: str) -> None:
    made = served.server.create(name, entrypoint="one.py:flow")
    served.ok("capture", name)
    served.server.change(made, paused=True)
    assert "settings updated; the live version stays v1" in served.ok("capture", name).out
    assert served.ok("show", name, "--key", "paused").out == "true\n"
    assert served.ok("list", name, "--format", "%(latest)").out == "1\n"


def test_what_was_deployed_here_is_no_news(served: Served, name: str) -> None:
    flow, _, half = name.partition("/")
    served.server.pool("capture-pool")
    served.manifest(
        name=half,
        flow=flow,
        work_pool={"name": "capture-pool"},
        schedules=[{"interval": 3600}, {"cron": "0 6 * * *"}],
        concurrency_limit=2,
    )
    served.ok("deploy", "-q")
    served.ok("apply", name, "--create")
    assert served.ok("capture", name).err == f"{name} is on the server what v1 has\n"


def test_what_was_deployed_from_a_newer_commit_than_it_clones_is_no_news(served: Served, name: str) -> None:
    """The file pins a release, and is itself in a commit that came later."""
    release = served.commit("Release")
    served.commit("Pin the release")
    pull = [{"prefect.deployments.steps.git_clone": {"repository": "https://example.com/r.git", "commit_sha": release}}]
    flow, _, half = name.partition("/")
    served.manifest(name=half, flow=flow, pull=pull)
    served.ok("deploy", "-q")
    served.ok("apply", name, "--create")
    assert "is on the server what v1 has" in served.ok("capture", name).err
    served.server.change(served.server.deployment(name), tags=["nightly"])
    served.ok("capture", name)
    before, after = (served.ok("show", name, version, "--json").json for version in ("v1", "v2"))
    assert (after["source"], after["version"]) == (before["source"], None)


def test_the_code_is_the_commit_of_the_clone_step(served: Served, name: str) -> None:
    old = served.git("rev-parse", "HEAD")
    served.commit("Newer")
    clone = {CLONE: {"repository": "https://example.com/my-org/my-repo.git", "commit_sha": old}}
    served.server.create(name, entrypoint="one.py:flow", pull_steps=[clone])
    served.ok("capture", name)
    row = served.ok("show", name, "--json").json
    assert row["source"] == old
    assert row["version_info"]["url"] == "https://example.com/my-org/my-repo.git"
    assert row["version_info"]["message"] == "Start"


def test_the_code_is_the_commit_that_prefect_calls_the_version(served: Served, name: str) -> None:
    old = served.git("rev-parse", "HEAD")
    served.commit("Newer")
    served.server.create(name, entrypoint="one.py:flow", version=old[:8])
    served.ok("capture", name)
    row = served.ok("show", name, "--json").json
    assert (row["source"], row["version"]) == (old, None)
    assert served.ok("diff", name, "--server", "--exit-code").out == ""


def test_an_unpinned_commit_is_refused(served: Served, name: str) -> None:
    """Defect 2: what Prefect stored where the variable was not set clones the default branch."""
    clone = {CLONE: {"repository": "https://example.com/my-org/my-repo.git", "commit_sha": "{{ $GITHUB_SHA }}"}}
    served.server.create(name, entrypoint="one.py:flow", pull_steps=[clone])
    line = served.fatal("capture", name)
    assert "GITHUB_SHA" in line
    assert "commit_sha" in line


def test_what_the_server_has_not_expanded_stays_as_it_is(served: Served, name: str) -> None:
    """Nothing of who captures goes into it, and what runs has what a worker would give it."""
    texts = {"a": "home: {{ $HOME }}", "b": "Dear {{ name }}", "c": {"{{ key }}": "{{ $NOT_SET }}"}}
    served.commit("Flow", **{"code.py": "import os\ndef f(**more):\n    print(os.environ['WHO'])\n"})
    variables = {"env": {"WHO": "I am {{ $WORKER }}"}}
    served.server.pool("capture-pool")
    served.server.create(
        name, pool="capture-pool", entrypoint="code.py:f", parameters=texts, tags=["{{ $TAG }}"],
        job_variables=variables, description="{{ x }}", enforce_parameter_schema=False,
    )  # fmt: skip
    served.ok("capture", name)
    found = served.ok("show", name, "--json").json["properties"]
    assert (found["parameters"], found["tags"], found["job_variables"]) == (texts, ["{{ $TAG }}"], variables)
    assert served.ok("diff", name, "--server", "--exit-code").out == ""
    assert "is on the server what v1 has" in served.ok("capture", name).err
    served.ok("fsck")
    assert served.ok("run", name, "-q", WORKER="worker").out == "I am worker\n"
    assert "WORKER is not set" in served.fatal("run", name)


def test_labels_that_a_server_does_not_take_stay_and_are_sent_once(served: Served, name: str) -> None:
    flow, _, half = name.partition("/")
    served.manifest(name=half, flow=flow, labels={"team": "data"})
    served.ok("deploy", "-q")
    served.ok("apply", name, "--create")
    served.manifest("changed", name=half, flow=flow, labels={"team": "ops"})
    served.ok("deploy", "-q")
    assert f"{name}: v2 is applied, 1 property changed" in served.ok("apply", name).out
    updated = served.server.deployment(name)["updated"]
    again = served.ok("apply", name)
    assert again.out == f"{name}: v2 is what the server has\n"
    assert "the server keeps its own labels" in again.err
    assert served.server.deployment(name)["updated"] == updated
    assert "is on the server what v2 has" in served.ok("capture", name).err


def test_secrets_do_not_enter_history_by_this_door(served: Served, name: str) -> None:
    variables = {"env": {"USED": f"ghp_{'x1' * 18}", "PLAIN": "x"}}
    served.server.create(name, "capture-pool", entrypoint="one.py:flow", job_variables=variables)
    line = served.fatal("capture", name)
    assert "job_variables.env.USED" in line
    assert "ghp_" not in line
    served.ok("capture", name, "--allow-secret", "USED")


def test_a_dry_run_writes_nothing(served: Served, name: str) -> None:
    served.server.create(name, entrypoint="one.py:flow")
    assert "v1 (new)" in served.ok("capture", name, "-n").out
    assert served.refs() == {}


def test_all_that_a_server_has(served: Served) -> None:
    for half in ("a", "only"):
        served.server.create(f"capture-all/{half}", entrypoint="one.py:flow")
    assert served.run("capture").code == 129
    served.ok("capture", "capture-all/*", "-q")
    assert served.ok("list", "--format", "%(name)").out == "capture-all/a\ncapture-all/only\n"
    served.ok("capture", "only", "-q")
    assert "has no deployment 'none/such'" in served.fatal("capture", "none/such")
    assert "has no deployment 'such'" in served.fatal("capture", "such")
