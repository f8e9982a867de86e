"""Live versions and settings as a prefect.yaml; deploying it gives the same configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import yaml

from git_deployments.errors import DeploymentsError
from git_deployments.model import PROPERTIES, Json, Version
from git_deployments.names import shown

Deployed = tuple[Version, Mapping[str, Json], Mapping[str, Json]]
"""A version, its properties, the deployment's settings."""


_BREAKS = re.compile("[\x85\u2028\u2029]")
"""Line breaks in YAML 1.1, which readers fold to spaces wherever they are not escaped."""


class _Dumper(yaml.SafeDumper):
    """Writes each text so that it is read again as it was."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _BREAKS.search(text) else None)


_Dumper.add_representer(str, _text)


class NotExportable(DeploymentsError):
    """No manifest gives this deployment."""


def document(deployed: Iterable[Deployed]) -> str:
    """YAML text of a whole manifest, literal values throughout."""
    entries = [entry(*one) for one in deployed]
    return yaml.dump({"deployments": entries}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


def entry(version: Version, properties: Mapping[str, Json], settings: Mapping[str, Json]) -> dict[str, Json]:
    """One deployment as prefect.yaml spells it; properties at their defaults are left out. Raises `NotExportable`."""
    flow, _, half = version.name.rpartition("/")
    if not flow and properties["entrypoint"] is not None:
        # The flow that it leads to would become part of the name.
        raise NotExportable(
            f"'{shown(version.name)}' has an entrypoint and no flow name, and no prefect.yaml says that;"
            " export the others by their names"
        )
    written: dict[str, Json] = {"name": half}
    if flow:
        written["flow_name"] = flow
    if version.label:
        written["version"] = version.label
    for key in ("description", "tags", "labels", "entrypoint", "parameters", "work_queue_id"):
        if properties[key] != PROPERTIES[key]:
            written[key] = properties[key]
    written["enforce_parameter_schema"] = properties["enforce_parameter_schema"]
    written["parameter_openapi_schema"] = properties["parameter_openapi_schema"]
    written["pull"] = properties["pull_steps"]
    pool = {
        "name": properties["work_pool_name"],
        "work_queue_name": properties["work_queue_name"],
        "job_variables": properties["job_variables"] or None,
    }
    if any(pool.values()):
        written["work_pool"] = {key: value for key, value in pool.items() if value is not None}
    return {**written, **_settings(settings)}


def _settings(settings: Mapping[str, Json]) -> dict[str, Json]:
    """All of them, at their defaults as well: a deploy leaves those as they are that it does not find."""
    written = {key: settings[key] for key in ("paused", "schedules", "disabled", "is_schedule_active")}
    limit, options = settings["concurrency_limit"], settings["concurrency_options"]
    if isinstance(options, dict) and limit is not None:
        written["concurrency_limit"] = {
            "limit": limit,
            **{key: value for key, value in options.items() if value is not None},
        }
    else:
        written["concurrency_limit"] = limit
        if options is not None:
            written["concurrency_options"] = options
    return written
