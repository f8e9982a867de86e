"""KEY=VALUE of `update` to a change of properties and settings (design, "Commands").

Values are YAML; where a property holds text, they keep their text. Each changed key is read and checked
by the rules of the manifest, as if an entry had it; what is stored beside the value keeps its types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from git_deployments import manifest, yamltext
from git_deployments.deploy import BadCommit, parameter_problems, schema_at_source, with_full_commits
from git_deployments.errors import DeploymentsError
from git_deployments.manifest import BadManifest, Context
from git_deployments.model import PROPERTIES, SETTINGS, Json, Place, Version
from git_deployments.names import quoted, shown
from git_deployments.repository import Repository
from git_deployments.store import Change
from git_deployments.yamltext import Map, Node, Scalar, Seq

_RECORDED = {
    "name": "a deployment's name never changes; deploy under the new name and delete this one",
    "version": "name the version with --version",
    "version_info": "it is recorded from the source when a version is deployed",
    "created_by": "it is who made version 1",
    "updated_by": "it is who makes the version",
}
_ELSEWHERE = {
    "pull": "pull_steps",
    "schedule": "schedules",
    "work_pool": "work_pool_name, work_queue_name or job_variables",
}
_TEXTS = ("description", "entrypoint", "work_pool_name", "work_queue_id", "work_queue_name")


class BadUpdate(DeploymentsError):
    """A KEY=VALUE that cannot be applied."""


class Value(NamedTuple):
    """A value as it is, where no text has to be read."""

    json: Json


class Assignment(NamedTuple):
    """One KEY=VALUE, or one `--unset KEY`."""

    key: str
    value: str | Value | None
    """Text is YAML; None unsets."""


def parse(words: tuple[str, ...], unset: tuple[str, ...]) -> list[Assignment]:
    """The assignments of a command line, in order, each key once. Raises `BadUpdate`."""
    assignments: list[Assignment] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise BadUpdate(f"'{shown(word)}' is not KEY=VALUE; write for example description='Nightly load'")
        assignments.append(Assignment(key, value))
    return checked([*assignments, *(Assignment(key, None) for key in unset)])


def checked(assignments: list[Assignment]) -> list[Assignment]:
    """The assignments, if each key can be updated and stands once. Raises `BadUpdate`."""
    for assignment in assignments:
        _check_key(assignment.key.partition(".")[0])
    keys = [assignment.key for assignment in assignments]
    if len(set(keys)) != len(keys):
        raise BadUpdate("a key is given twice; give each once")
    return assignments


def cut_short(assignments: list[Assignment]) -> Iterator[str]:
    """A warning for each single value that a comment of YAML's takes something from: who writes `Fix #12` means all."""
    for key, value in assignments:
        if not isinstance(value, str) or "#" not in value:
            continue
        with suppress(DeploymentsError):
            node = yamltext.parse(value) or Scalar("", 1)
            if isinstance(node, Scalar) and value.count("#") > node.text.count("#"):
                told = f"key '{shown(key)}': to YAML a comment begins at #; to have all of it"
                yield f"{told}, with quotes for YAML: {_in_quotes(key, value)}"


def _check_key(key: str) -> None:
    if key in _RECORDED:
        raise BadUpdate(f"'{key}' cannot be updated: {_RECORDED[key]}")
    if key in _ELSEWHERE:
        raise BadUpdate(f"'{key}' is called {_ELSEWHERE[key]} here; update that")
    if key not in PROPERTIES and key not in SETTINGS:
        from difflib import get_close_matches

        near = get_close_matches(key, [*PROPERTIES, *SETTINGS], 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join([*PROPERTIES, *SETTINGS])}"
        raise BadUpdate(f"unknown key '{shown(key)}'; {hint}")


def changes_settings_only(assignments: list[Assignment]) -> bool:
    """No assignment makes a version."""
    return all(assignment.key.partition(".")[0] in SETTINGS for assignment in assignments)


def changing(repository: Repository, assignments: list[Assignment], context: Context) -> Change:
    """What the store is asked for. A new entrypoint brings its parameter schema, read from the source commit."""

    def change(
        live: Version, properties: dict[str, Json], settings: dict[str, Json]
    ) -> tuple[dict[str, Json], dict[str, Json]]:
        keys = {assignment.key.partition(".")[0] for assignment in assignments}
        derive = "entrypoint" in keys and "parameter_openapi_schema" not in keys
        after, patch = apply(assignments, properties, settings, context)
        if "pull_steps" in keys:
            after = _with_full_commits(repository, after)
        if derive and after["entrypoint"] != properties["entrypoint"]:
            schema = schema_at_source(repository, live, after["entrypoint"])
            after = {**after, "parameter_openapi_schema": schema}
        problems = parameter_problems(after) if keys & _CHECKED_TOGETHER else []
        if problems:
            raise BadUpdate(f"{'; '.join(problems)}; correct the value, or also set enforce_parameter_schema=false")
        return after, patch

    return change


def _with_full_commits(repository: Repository, properties: dict[str, Json]) -> dict[str, Json]:
    try:
        return dict(with_full_commits(repository, properties))
    except BadCommit as problem:
        raise BadUpdate(str(problem)) from None


_CHECKED_TOGETHER = {"entrypoint", "parameters", "parameter_openapi_schema", "enforce_parameter_schema"}


def apply(
    assignments: list[Assignment],
    properties: Mapping[str, Json],
    settings: Mapping[str, Json],
    context: Context,
) -> tuple[dict[str, Json], dict[str, Json]]:
    """(all properties, the settings that are assigned) after the change. Raises `BadUpdate`."""
    before: dict[str, Json] = {**properties, **settings}
    after: dict[str, Node] = {}
    for assignment in assignments:
        top, *path = assignment.key.split(".")
        current = after[top] if top in after else _tree(top, before[top])
        after[top] = _assigned(current, path, assignment)
    checked = _checked(after, before, context)
    new_properties = {key: checked.get(key, properties[key]) for key in PROPERTIES}
    return new_properties, {key: checked[key] for key in SETTINGS if key in checked}


def _assigned(current: Node, path: list[str], assignment: Assignment) -> Node:
    """`current` with the value at `path` replaced, or taken out."""
    if not path:
        key = assignment.key
        return _tree(key, _default(key)) if assignment.value is None else _value(assignment, current)
    first, *rest = path
    if isinstance(current, Seq) and first in map(str, range(len(current.items))):
        position = int(first)
        before, after = current.items[:position], current.items[position + 1 :]
        if assignment.value is None and not rest:
            return yamltext.sequence([*before, *after])
        return yamltext.sequence([*before, _assigned(current.items[position], rest, assignment), *after])
    if yamltext.is_null(current):
        current = yamltext.mapping({})
    if not isinstance(current, Map):
        raise _unreachable(assignment.key, first, current)
    first, rest = _first_key(current, path)
    if assignment.value is None and first not in current.entries:
        raise BadUpdate(f"--unset {shown(assignment.key)}: there is no such key in the live version")
    if assignment.value is None and not rest:
        return yamltext.mapping({key: node for key, node in current.entries.items() if key != first})
    if first in current.entries:
        made = _assigned(current.entries[first], rest, assignment)
    else:
        made = _value(assignment, _NULL)
        for key in reversed(rest):  # no recursion: a path may have more parts than Python has frames
            made = yamltext.mapping({key: made})
    return yamltext.mapping({**current.entries, first: made})


def _unreachable(key: str, place: str, current: Node) -> BadUpdate:
    where = ""
    if isinstance(current, Seq):
        where = f", and no such place in a list of {len(current.items)}, counted from 0; give the whole list"
    return BadUpdate(f"'{shown(key)}': there is no mapping at '{shown(place)}' to reach into{where}")


_NULL = yamltext.of_json(None)


def _first_key(node: Map, path: list[str]) -> tuple[str, list[str]]:
    """The key that a path begins with, and the rest; one that holds dots itself is found as `show --key` finds it."""
    known = list(_known_keys(node, path))
    there = (one for one in known if _is_there(node.entries[one[0]], one[1]))
    return next(there, known[-1] if known else (path[0], path[1:]))


def _known_keys(node: Map, path: list[str]) -> Iterator[tuple[str, list[str]]]:
    for end in range(1, len(path) + 1):
        key = ".".join(path[:end])
        if key in node.entries:
            yield key, path[end:]


def _is_there(node: Node, path: list[str]) -> bool:
    if not path:
        return True
    if isinstance(node, Seq):
        return path[0] in map(str, range(len(node.items))) and _is_there(node.items[int(path[0])], path[1:])
    return isinstance(node, Map) and any(_is_there(node.entries[key], rest) for key, rest in _known_keys(node, path))


def _value(assignment: Assignment, current: Node) -> Node:
    """What is assigned, for the manifest's rules to read; where a key holds text, its text."""
    if isinstance(assignment.value, Value):
        return _tree(assignment.key, _as_json(assignment.key, assignment.value.json))
    words = assignment.value or ""
    try:
        node = yamltext.parse(words) or _NULL
    except DeploymentsError as error:
        if assignment.key in _TEXTS:
            raise _unlike_text(assignment.key, words) from None
        raise BadUpdate(f"'{shown(assignment.key)}': {error}") from None
    if assignment.key in _TEXTS and not isinstance(node, Scalar):
        raise _unlike_text(assignment.key, words)
    if yamltext.is_null(node):
        return _NULL
    if isinstance(node, Scalar) and _holds_text(assignment.key, current):
        return node._replace(kind="str")
    return node


def _unlike_text(key: str, words: str) -> BadUpdate:
    """Of a sentence that was written without a thought of YAML."""
    shell = _in_quotes(key, words)
    return BadUpdate(
        f"key '{key}': text is expected, and to YAML this is something else; with quotes for YAML: {shell}"
    )


def _in_quotes(key: str, words: str) -> str:
    """As a shell takes it."""
    return quoted(f"{key}={json.dumps(words, ensure_ascii=not words.isprintable())}")


def _tree(key: str, value: Json) -> Node:
    try:
        return yamltext.of_json(value)
    except DeploymentsError as error:
        raise BadUpdate(f"'{shown(key)}': {error}") from None


def _as_json(key: str, value: Json) -> Json:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise BadUpdate(
            f"'{shown(key)}': the value has no JSON form or is not valid Unicode; give text, numbers, lists, mappings"
        ) from None
    return value


def _holds_text(key: str, current: Node) -> bool:
    """Whether a single value is text there whatever YAML makes of it; inside of others the manifest's rules tell."""
    return key.partition(".")[0] in _TEXTS or (isinstance(current, Scalar) and current.kind == "str")


def _checked(changed: Mapping[str, Node], before: Mapping[str, Json], context: Context) -> dict[str, Json]:
    """The changed keys as the manifest's own rules give them back."""
    given = {key: node for key, node in changed.items() if not yamltext.is_null(node)}
    entry = {"name": _tree("name", "update"), **given}
    if "concurrency_options" in entry and "concurrency_limit" not in entry:
        entry["concurrency_limit"] = _tree("concurrency_limit", before["concurrency_limit"])
    context = context._replace(runtime=context.runtime | manifest.runtime_variables(before))
    schema = before["parameter_openapi_schema"]
    try:
        draft = manifest.draft_of_tree(yamltext.mapping(entry), Place("update", ""), context.env)
        expanded = manifest.expand(draft, context)
        if "parameter_openapi_schema" not in changed and isinstance(schema, dict):
            expanded = manifest.retype(expanded, draft, context, schema)
    except BadManifest as error:
        raise BadUpdate(str(error).partition("deployment 'update', ")[2] or str(error)) from None
    result: dict[str, Json] = {}
    for key in changed:
        found = expanded.properties if key in PROPERTIES else expanded.settings
        result[key] = found[key] if key in given else _default(key)
    if isinstance(changed.get("concurrency_limit"), Map):  # which holds the options too
        result["concurrency_options"] = expanded.settings["concurrency_options"]
    return result


def _default(key: str) -> Json:
    return PROPERTIES[key] if key in PROPERTIES else SETTINGS[key]
