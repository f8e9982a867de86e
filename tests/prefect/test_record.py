"""`git_deployments.prefect.record`: those who deploy from Python have versions, too."""

from __future__ import annotations

import json
from typing import Any

from .conftest import Served

FLOW = '''
from prefect import flow

@flow(name="NAME")
def my_flow(count: int = 1) -> None:
    """Counts."""
    print("counted", count)
'''
CLONE = "prefect.deployments.steps.git_clone"


def recorded(served: Served, name: str, code: str) -> Any:
    flow = name.partition("/")[0]
    served.commit("Flow", **{"example.py": FLOW.replace("NAME", flow)})
    program = f"from example import my_flow\nfrom git_deployments.prefect import record\nimport os\n{code}\n"
    done = served.python("import sys; sys.path.insert(0, '.')\n" + program)
    assert done.code == 0, done.err
    return served.ok("show", name, "--json").json


def test_a_runner_deployment_becomes_a_version(served: Served, name: str) -> None:
    row = recorded(
        served,
        name,
        "made = my_flow.to_deployment('prod', cron='0 6 * * *', parameters={'count': 2}, tags=['a'], paused=True,"
        " concurrency_limit=2, work_pool_name='pool', job_variables={'env': {'A': 'b'}})\n"
        "outcome = record(made, message='from Python')\n"
        "assert outcome.live.number == 1\n",
    )
    properties, settings = row["properties"], row["settings"]
    assert row["source"] == served.git("rev-parse", "HEAD")
    assert (row["version"], row["message"]) == (None, "from Python")
    assert (properties["entrypoint"], properties["description"]) == ("example.py:my_flow", "Counts.")
    assert (properties["parameters"], properties["tags"]) == ({"count": 2}, ["a"])
    assert properties["parameter_openapi_schema"]["properties"]["count"]["type"] == "integer"
    assert (properties["work_pool_name"], properties["job_variables"]) == ("pool", {"env": {"A": "b"}})
    assert (settings["paused"], settings["concurrency_limit"]) == (True, 2)
    assert [one["cron"] for one in settings["schedules"]] == ["0 6 * * *"]


def test_the_source_documents_right_hand_examples(served: Served, name: str) -> None:
    """GitRepository with commit_sha, and an image with its digest; then what a server gets is what was recorded."""
    served.server.pool("my-work-pool")
    sha = served.git("rev-parse", "HEAD")
    row = recorded(
        served,
        name,
        "from prefect.runner.storage import GitRepository\n"
        "from prefect.deployments.runner import RunnerDeployment\n"
        f"storage = GitRepository(url='https://github.com/my-org/my-repo.git', commit_sha={sha!r})\n"
        "made = my_flow.to_deployment('prod', work_pool_name='my-work-pool', version='0.0.1')\n"
        "made.storage = storage\n"
        "record(made)\n",
    )
    clone = row["properties"]["pull_steps"][0][CLONE]
    assert (clone["repository"], clone["commit_sha"]) == ("https://github.com/my-org/my-repo.git", sha)
    assert row["version"] == "0.0.1"
    digest = f"sha256:{'a' * 64}"
    row = recorded(
        served,
        name,
        "made = my_flow.to_deployment('prod', work_pool_name='my-work-pool', version='0.0.2')\n"
        f"record(made, image='my-registry/my-image@{digest}')\n",
    )
    assert row["properties"]["job_variables"] == {"image": f"my-registry/my-image@{digest}"}
    assert row["properties"]["pull_steps"] == []
    served.ok("apply", name, "--create")
    assert served.server.deployment(name)["job_variables"] == row["properties"]["job_variables"]


def test_a_recorded_flow_runs_with_prefect(served: Served, name: str) -> None:
    recorded(served, name, "record(my_flow.to_deployment('prod'))\n")
    served.write("example.py", "raise SystemExit('what is checked out ran')\n")
    result = served.ok("run", name, "-p", "count=7")
    assert "counted 7\n" in result.out
    runs = served.server.ok("POST", "/flow_runs/filter", {"flows": {"name": {"any_": [name.partition("/")[0]]}}})
    assert [run["state_type"] for run in runs] == ["COMPLETED"], json.dumps(runs)
    assert runs[0]["parameters"] == {"count": 7}


def test_errors_are_deployments_errors(served: Served, name: str) -> None:
    code = (
        "import git_deployments\n"
        "try:\n"
        "    variables = {'env': {'USED': 'ghp_' + 'x1' * 18}}\n"
        "    record(my_flow.to_deployment('prod', job_variables=variables), version='0.1')\n"
        "except git_deployments.DeploymentsError as error:\n"
        "    assert 'job_variables.env.USED' in str(error)\n"
        "    record(my_flow.to_deployment('prod'), version='0.2')\n"
    )
    assert recorded(served, name, code)["version"] == "0.2"
