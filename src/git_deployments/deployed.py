"""A deployment as Prefect's REST API has it, and as we have it: pure conversions (design, "Running").

A row is the JSON of Prefect's `DeploymentResponse`. What a server derives by itself (the id of a
queue, the queue `default`, an empty schema's form, labels of its own) makes no difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone

from git_deployments.model import PROPERTIES, SETTINGS, Json, Version

Row = Mapping[str, Json]

EMPTY_SCHEMA: Mapping[str, Json] = {"type": "object", "properties": {}}
"""What is sent where there is no schema: on `{}` a server validates against the schema that it had."""

_TEXTS = ("description", "entrypoint", "work_pool_name", "work_queue_id", "work_queue_name")
_SENT = (
    "description", "enforce_parameter_schema", "entrypoint", "job_variables", "parameters", "pull_steps", "tags",
    "work_pool_name", "work_queue_name",
)  # fmt: skip
"""The properties that an update takes as they are."""
KEPT = ("labels", "work_queue_id")
"""Those that it does not take: they stay as they were made."""
_KINDS = ("cron", "interval", "rrule")
_KNOWN_TO_A_SERVER = ("concurrency_limit", "concurrency_options", "paused", "schedules")
_SCHEDULE_DEFAULTS: Row = {"active": True, "day_or": True, "parameters": {}, "slug": None, "timezone": None}


def properties_of(row: Row) -> dict[str, Json]:
    """Every key of `model.PROPERTIES`."""
    found: dict[str, Json] = {}
    for key, default in PROPERTIES.items():
        value = row.get(key)
        found[key] = default if value is None or (key in _TEXTS and value == "") else value
    if found["description"] == "None":  # so its client writes the absence of one
        found["description"] = None
    labels = found["labels"] if isinstance(found["labels"], dict) else {}
    found["labels"] = {key: value for key, value in labels.items() if not key.startswith("prefect.")}
    found["parameter_openapi_schema"] = _schema(found["parameter_openapi_schema"])
    return found


def _schema(schema: Json) -> Json:
    """`{}` for a schema that says nothing."""
    plain = isinstance(schema, dict) and not any(schema.get(key) for key in ("properties", "required", "definitions"))
    return {} if plain else schema


def settings_of(row: Row) -> dict[str, Json]:
    """The settings that a server knows, in their shortest form."""
    limit = row.get("global_concurrency_limit")
    schedules = row.get("schedules")
    return {
        "concurrency_limit": limit.get("limit") if isinstance(limit, dict) else row.get("concurrency_limit"),
        "concurrency_options": row.get("concurrency_options"),
        "paused": bool(row.get("paused")),
        "schedules": [flat(one) for one in schedules if isinstance(one, dict)] if isinstance(schedules, list) else [],
    }


def flat(one: Row) -> Json:
    """A schedule as prefect.yaml has it, without what is a default."""
    schedule = one.get("schedule")
    whole = {**(schedule if isinstance(schedule, dict) else {}), **{key: one.get(key) for key in _OF_SCHEDULES}}
    interval = whole.get("interval")
    if isinstance(interval, float) and interval.is_integer():
        whole["interval"] = int(interval)
    return _short(whole)


_OF_SCHEDULES = ("active", "parameters", "slug")


def _short(schedule: Row) -> dict[str, Json]:
    return {key: value for key, value in schedule.items() if value is not None and _SCHEDULE_DEFAULTS.get(key) != value}


def changed_settings(ours: Row, theirs: Row) -> dict[str, Json]:
    """Those of a server's settings that differ from ours, as ours should be."""
    return {key: theirs[key] for key in _KNOWN_TO_A_SERVER if not _same_setting(key, ours[key], theirs[key])}


def _same_setting(key: str, ours: Json, theirs: Json) -> bool:
    if key == "concurrency_options" and isinstance(ours, dict) and isinstance(theirs, dict):
        here, there = ({name: one for name, one in each.items() if one is not None} for each in (ours, theirs))
        return here == there
    if key == "schedules" and isinstance(ours, list) and isinstance(theirs, list):
        return _same_schedules(ours, theirs)
    return ours == theirs


def _same_schedules(ours: list[Json], theirs: list[Json]) -> bool:
    """In any order."""
    here = [_comparable(one) for one in ours if isinstance(one, dict)]
    there = [_comparable(one) for one in theirs if isinstance(one, dict)]
    # What leaves its start to a server may be any of several there, so those that name theirs choose first.
    for one in sorted(here, key=_starts, reverse=True):
        found = next((at for at, other in enumerate(there) if one == (other if _starts(one) else _open(other))), None)
        if found is None:
            return False
        del there[found]
    return not there


def _comparable(schedule: Row) -> dict[str, Json]:
    """A server gives every schedule a zone, and a moment its own form."""
    found = {key: value for key, value in _short(schedule).items() if (key, value) != ("timezone", "UTC")}
    anchor = found.get("anchor_date")
    if isinstance(anchor, str):
        with suppress(ValueError):
            moment = datetime.fromisoformat(anchor.strip().upper().replace("Z", "+00:00"))
            found["anchor_date"] = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    return found


def _starts(schedule: Row) -> bool:
    """It says itself from when on it counts; where it does not, a server does."""
    return "anchor_date" in schedule or "DTSTART" in str(schedule.get("rrule", "")).upper()


def _open(schedule: Row) -> dict[str, Json]:
    """Without the start that a server gave it."""
    found = {key: value for key, value in schedule.items() if key != "anchor_date"}
    rule = found.get("rrule")
    if isinstance(rule, str):
        found["rrule"] = _GIVEN_START.sub("", rule)
    return found


_GIVEN_START = re.compile(r"\ADTSTART:(?:20200101T000000|\d{8}T\d{6}(?=\n.*FREQ=(?:SECONDLY|MINUTELY)))\n", re.DOTALL)
"""What a server puts before a rule that has no start: the same for all, or for rules of many runs a recent one."""


def alike(ours: Row, theirs: Row) -> dict[str, Json]:
    """Their properties, with ours where only a server's own additions make a difference."""
    found = dict(theirs)
    if ours["work_queue_id"] is None:
        found["work_queue_id"] = None
    if ours["work_queue_name"] is None and theirs["work_queue_name"] == "default":
        found["work_queue_name"] = None
    for key in ("description", "parameter_openapi_schema"):
        if _empty(ours[key]) and _empty(theirs[key]):
            found[key] = ours[key]
    return found


def _empty(value: Json) -> bool:
    return not value or _schema(value) == {}


def version_text(version: Version) -> str | None:
    """Prefect's `version` of a version: its name, else the first 8 digits of its commit."""
    commit = version.source.info.commit_sha
    return version.label or (commit[:8] if commit else None)


def version_there(row: Row) -> str | None:
    """The `version` that a server has."""
    text = row.get("version")
    return text if isinstance(text, str) and text else None


def same_version_text(version: Version, there: str | None) -> bool:
    """A server calls the version as we do; where neither has a name for it, nothing is to be called."""
    return there == version_text(version) or (there is None and version.label is None)


def update_fields(properties: Row, version: Version, row: Row | None) -> dict[str, Json]:
    """Every versioned field of an update: what is left out would keep the value of another version.

    `row`: what the server has now; None if nothing. Where neither has a name for the version, its own stays.
    """
    fields: dict[str, Json] = {key: properties[key] for key in _SENT}
    schema = properties["parameter_openapi_schema"]
    fields["parameter_openapi_schema"] = dict(EMPTY_SCHEMA) if _empty(schema) else schema
    same = row is not None and same_version_text(version, version_there(row))
    fields["version"] = version_there(row) if row and same else version_text(version)
    info = version.source.info
    if info.commit_sha:
        known = {key: value for key, value in info._asdict().items() if value is not None}
        fields["version_info"] = {**known, "version": version_text(version)}
    return fields


def settings_fields(settings: Row) -> dict[str, Json]:
    """The settings as an update takes them."""
    fields = {key: settings[key] for key in _KNOWN_TO_A_SERVER}
    schedules = settings["schedules"]
    fields["schedules"] = [
        _nested(one) for one in (schedules if isinstance(schedules, list) else ()) if isinstance(one, dict)
    ]
    return fields


def _nested(flat: Row) -> dict[str, Json]:
    outer = {key: flat[key] for key in (*_OF_SCHEDULES, "replaces") if key in flat}
    return {"active": True, **outer, "schedule": {key: value for key, value in flat.items() if key not in outer}}


def entry_of(name: str, row: Row, properties: Row, settings: Row) -> dict[str, Json]:
    """The row as an entry of a manifest, to hold it to the same rules."""
    flow, _, half = name.rpartition("/")
    given: dict[str, Json] = {"name": half, "flow_name": flow, "version": row.get("version")}
    given.update({key: value for key, value in properties.items() if value is not None})
    given.update({key: settings.get(key, SETTINGS[key]) for key in _KNOWN_TO_A_SERVER})
    return {key: value for key, value in given.items() if value is not None}
