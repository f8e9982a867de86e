"""Versions from Python code that deploys with Prefect's own classes.

    from git_deployments.prefect import record

    record(my_flow.to_deployment("my-deployment", work_pool_name="my-work-pool"), message="first")

What `.deploy()` would send to a server becomes a version here, by the rules of a manifest's entry;
`git deployments apply` puts it on a server. Importing this module does not import Prefect.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from git_deployments import deploy, deployed, store
from git_deployments.api import write
from git_deployments.model import Json, Place
from git_deployments.repository import Repository
from git_deployments.store import Outcome, Wanted


class RunnerDeployment(Protocol):
    """What is asked of a `prefect.deployments.runner.RunnerDeployment`."""

    name: str
    flow_name: str | None
    version: str | None
    storage: Any

    def model_dump(self, *, mode: str, include: set[str]) -> dict[str, Any]:
        """Its fields as JSON values (pydantic)."""


_FIELDS = (
    "concurrency_limit", "concurrency_options", "description", "enforce_parameter_schema", "entrypoint",
    "job_variables", "parameters", "paused", "schedules", "tags", "work_pool_name", "work_queue_name",
)  # fmt: skip


def record(
    deployment: RunnerDeployment,
    *,
    image: str | None = None,
    path: str | os.PathLike[str] = ".",
    version: str | None = None,
    live: bool = True,
    if_changed: bool = False,
    expect_live: str | None = None,
    message: str = "",
    allow_secret: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Make a version of what `flow.to_deployment(…)` gives.

    `image` is what `.deploy(image=…)` takes, best with its digest; `path` a directory of the repository, the
    one that the entrypoint is relative to; `environment` (default: this process's) where CI variables come
    from. The version's name is `version`, else that of the deployment, unless it is the flow's own default.
    Raises what `Deployments.deploy` raises, and obeys the configuration as that does.
    """
    where = os.fspath(path)
    variables = dict(os.environ if environment is None else environment)
    repository = Repository(where, variables)
    try:
        request = deploy.Request(
            every=True,
            label=version,
            version_type=_text(getattr(deployment, "version_type", None)),
            live=live,
            if_changed=if_changed,
            expect=expect_live,
            reason=message,
            allow_secret=tuple(allow_secret),
        )
        place = Place("to_deployment", os.path.abspath(where))
        entry = _entry(deployment, image)
        wishes, _ = deploy.prepare_entries(repository, request, variables, [entry], place)
        decide = store.deploying(repository, wishes, message)
        (outcome,), failures = write(repository, Wanted(lambda: list(wishes), True), decide)
        for line in failures:
            warnings.warn(line, RuntimeWarning, stacklevel=2)
        return outcome
    finally:
        repository.close()


def _entry(deployment: RunnerDeployment, image: str | None) -> dict[str, Json]:
    """The deployment as an entry of a manifest; what it does not say is left out."""
    given = deployment.model_dump(mode="json", include=set(_FIELDS))
    entry: dict[str, Json] = {key: value for key, value in given.items() if value is not None}
    entry.update(name=deployment.name, pull_steps=_pull_steps(deployment))
    if deployment.flow_name:
        entry["flow_name"] = deployment.flow_name
    if deployment.version and not getattr(deployment, "_version_from_flow", False):
        entry["version"] = deployment.version
    if image:
        entry["job_variables"] = {**given["job_variables"], "image": image}
    schema = getattr(deployment, "_parameter_openapi_schema", None)
    if schema is not None:
        entry["parameter_openapi_schema"] = schema.model_dump(mode="json", exclude_unset=True)
    schedules = given.get("schedules")
    if schedules:
        entry["schedules"] = [deployed.flat(one) for one in schedules]
    return entry


def _pull_steps(deployment: RunnerDeployment) -> list[Json]:
    """As `.deploy()` makes them: those of the storage, if there is one."""
    if deployment.storage is None:
        return []
    steps = deployment.storage.to_pull_step()
    return list(steps) if isinstance(steps, list) else [steps] if steps else []


def _text(version_type: Any) -> str | None:
    return None if version_type is None else str(getattr(version_type, "value", version_type))
