"""prefect.yaml of one deployment and of many, and the flows that they name."""

from __future__ import annotations

FLOWS = 20
"""Files among which many deployments are spread."""

POOL = "my-work-pool"

_PULL = """\
pull:
- prefect.deployments.steps.git_clone:
    repository: https://github.com/my-org/my-repo.git
    commit_sha: "{{ $GITHUB_SHA }}"
"""

_ENTRY = """\
- name: deployment-{number:04}
  description: Loads table {number} for the reports of the morning
  tags: [team-{flow}, nightly]
  entrypoint: flows/flow_{flow:02}.py:flow_{flow:02}
  schedules:
  - cron: "{minute} 3 * * *"
    timezone: Europe/Berlin
  work_pool:
    name: {pool}
    job_variables: {{env: {{TABLE: table-{number}}}}}
"""
_PARAMETERS = """\
  parameters: {{table: table-{number}, times: 3}}
"""

_FLOW = """\
from prefect import flow


@flow
def flow_{flow:02}(table: str = "orders", times: int = 1) -> None:
    print(table, times)
"""


def files(count: int, parameters: bool = False) -> dict[str, str]:
    """A project with so many deployments, with or without parameters: file to content."""
    entry = _ENTRY + (_PARAMETERS if parameters else "")
    entries = [entry.format(pool=POOL, number=n, flow=n % FLOWS, minute=n % 60) for n in range(count)]
    flows = {f"flows/flow_{n:02}.py": _FLOW.format(flow=n) for n in range(min(count, FLOWS))}
    return {"prefect.yaml": "".join((_PULL, "deployments:\n", *entries)), **flows}


def name(number: int) -> str:
    """Full name of a deployment of these files."""
    return f"flow-{number % FLOWS:02}/deployment-{number:04}"
