"""Parameters against schemas: what fits, what the lines say, and what never happens on the way."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from git_deployments.schema import mismatches, needs_validation
from git_deployments.signature import read_flow

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "signatures"
RECORDED = json.loads((FIXTURES / "recorded.json").read_text(encoding="utf-8"))
CASES = json.loads((FIXTURES / "parameters.json").read_text(encoding="utf-8"))

FLOW = b"""
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Dict, List, Literal, Optional, Union
from uuid import UUID
from pydantic import Field, PositiveInt, SecretStr

class Color(Enum):
    RED = "red"
    BLUE = "blue"

def etl(
    n: int, o: Optional[int], rows: List[int], table: Dict[str, int], mode: Literal["fast", "slow"], one: Literal["x"],
    either: Union[int, List[str]], color: Color, hue: Optional[Color], day: date, key: UUID, size: PositiveInt,
    code: Annotated[str, Field(min_length=3, pattern="^x")], secret: Optional[SecretStr], api_key: int,
    pair: tuple[int, str], unique: set[int], by_color: Dict[Color, int], anything: Any,
    nested: List[Dict[str, List[int]]], path: Path = "a", flag: bool = True, ratio: float = 0.5,
): ...
"""
SCHEMA: Any = read_flow(FLOW, "etl.py", "etl").schema


def fit(schema: Any, **parameters: Any) -> list[str]:
    """The lines for a deployment, which `needs_validation` must not have hidden."""
    lines = mismatches(parameters, schema, False)
    assert needs_validation(parameters, schema) or not lines
    assert all(line.isprintable() for line in lines)
    return lines


@pytest.mark.parametrize(("case", "recorded"), [*zip(CASES, RECORDED["fits"], strict=True)])
def test_what_prefect_takes_fits_and_nothing_else(case: Any, recorded: list[list[bool]]) -> None:
    """For a deployment and for a run; recorded with fixtures/signatures/record.py."""
    schema = case["schema"]
    for parameters, wanted in zip(case["parameters"], recorded, strict=True):
        assert [not mismatches(parameters, schema, required) for required in (False, True)] == wanted, parameters
        asked = [needs_validation(parameters, schema, required) for required in (False, True)]
        assert all(need or fits for need, fits in zip(asked, wanted, strict=True)), parameters


@pytest.mark.parametrize("name", RECORDED["flows"])
def test_a_schema_that_was_read_from_a_flow_is_one(name: str) -> None:
    file, function = name.split(":")
    schema = read_flow((FIXTURES / file).read_bytes(), file, function).schema
    assert mismatches({}, schema, False) == []


def test_most_deployments_need_no_validation() -> None:
    assert not needs_validation({}, {})
    assert not needs_validation({"a": 1}, {})
    plain = {**SCHEMA, "properties": {k: v for k, v in SCHEMA["properties"].items() if k != "code"}}
    fitting: list[Any] = [
        {},
        {"n": 1, "o": None, "rows": [1, 2], "table": {"a": 1}, "mode": "fast", "either": ["x"], "color": "red"},
        {
            "hue": None,
            "secret": "hunter2",
            "anything": [{"a": [None]}],
            "nested": [{"a": [1]}],
            "path": "b",
            "ratio": 1,
        },
        {"n": "{{ prefect.variables.n }}", "rows": ["{{ x }}"], "color": {"__prefect_kind": "jinja"}, "unknown": 5},
    ]
    for parameters in fitting:
        assert not needs_validation(parameters, plain), parameters
        assert mismatches(parameters, plain, False) == []


def test_what_is_not_plain_needs_validation() -> None:
    assert needs_validation({}, SCHEMA, required=True)
    assert needs_validation({"n": "x"}, SCHEMA)
    assert needs_validation({}, {"type": "object", "properties": {"a": {"type": "int"}}})
    assert needs_validation({}, {"type": "object", "properties": {"a": {"allOf": [{}]}}})
    assert needs_validation({}, {"type": "object", "properties": {"a": {"$ref": "#/definitions/A"}}})
    assert needs_validation({}, {"type": "object", "properties": [], "required": []})
    assert needs_validation({}, {"type": "object", "properties": {}, "required": ["a", "a"]})
    assert needs_validation({}, {"type": "object", "properties": {}, "additionalProperties": False})
    assert needs_validation({}, {"type": "object", "definitions": {"A": 5}, "properties": {}})


def test_the_cheap_question_does_not_import_jsonschema() -> None:
    program = (
        "import sys; from git_deployments.schema import needs_validation as n;"
        "assert not n({'a': 1}, {'type': 'object', 'properties': {'a': {'type': 'integer'}}});"
        "sys.exit('jsonschema' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


PLAIN_SCHEMAS = st.recursive(
    st.sampled_from(
        [
            *({"type": kind} for kind in ("integer", "number", "string", "boolean", "null", "array", "object")),
            *({}, {"enum": ["a", 1, None]}, {"enum": ["a", "b"], "type": "string"}, {"const": 1}, {"title": "t"}),
            *({"type": "string", "format": name} for name in ("uuid", "date", "path")),
            *({"minimum": 1}, {"type": "string", "maxLength": 1}, {"$ref": "#/definitions/A"}, {"uniqueItems": True}),
        ]
    ),
    lambda inner: (
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda part: {"items": part, "type": "array"}, inner)
        | st.builds(lambda part: {"additionalProperties": part}, inner)
        | st.builds(lambda part: {"propertyNames": part, "additionalProperties": True}, inner)
        | st.builds(lambda parts: {"prefixItems": parts}, st.lists(inner, min_size=1, max_size=2))
    ),
    max_leaves=4,
)
VALUES = st.recursive(
    st.sampled_from([None, True, 0, 1, 1.0, 0.5, "", "a", "b", "{{ a }}", "2024-01-01", "x" * 9]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "k", "$ref"]), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=250, deadline=None)
@example({"$ref": "#/definitions/A"}, {"anyOf": [{"$ref": "#/definitions/A"}, {}]}, None, False)
@given(PLAIN_SCHEMAS, PLAIN_SCHEMAS, VALUES, st.booleans())
def test_the_cheap_answer_never_hides_a_mismatch(schema: Any, definition: Any, value: Any, required: bool) -> None:
    whole: Any = {"type": "object", "properties": {"x": schema}, "required": ["x"], "definitions": {"A": definition}}
    if not needs_validation({"x": value}, whole, required):
        assert mismatches({"x": value}, whole, required) == []


@settings(max_examples=250, deadline=None)
@given(PLAIN_SCHEMAS, PLAIN_SCHEMAS, VALUES)
def test_there_is_a_line_exactly_where_jsonschema_finds_an_error(schema: Any, definition: Any, value: Any) -> None:
    whole: Any = {"properties": {"x": schema}, "required": ["x"], "definitions": {"A": definition}}
    texts = json.dumps([whole, value])
    assume('"format"' not in texts and "{{" not in texts)
    assume('"$ref"' not in json.dumps([value, definition]))
    fits = Draft202012Validator(whole).is_valid({"x": value})
    assert (mismatches({"x": value}, whole, True) == []) is fits


@pytest.mark.parametrize(
    ("parameters", "lines"),
    [
        ({"n": "ten"}, ['n: must be an integer, not "ten"']),
        ({"n": True}, ["n: must be an integer, not true"]),
        ({"n": None}, ["n: must be an integer, not null"]),
        ({"n": {"a": 1}}, ["n: must be an integer, not a mapping of 1"]),
        ({"o": "x"}, ['o: must be an integer or null, not "x"']),
        ({"rows": 5}, ["rows: must be a list, not 5"]),
        ({"rows": [1, "x", None]}, ['rows[1]: must be an integer, not "x"', "rows[2]: must be an integer, not null"]),
        ({"table": {"a.b": "x"}}, ['table."a.b": must be an integer, not "x"']),
        ({"nested": [{"k": [1, 2.5]}]}, ["nested[0].k[1]: must be an integer, not 2.5"]),
        ({"mode": "quick"}, ['mode: must be one of "fast", "slow", not "quick"']),
        ({"mode": 5}, ['mode: must be one of "fast", "slow", not 5']),
        ({"one": "y"}, ['one: must be "x", not "y"']),
        ({"either": "x"}, ['either: must be an integer or a list, not "x"']),
        ({"either": [1]}, ["either[0]: must be a string, not 1"]),
        ({"color": "green"}, ['color: must be one of "red", "blue", not "green"']),
        ({"hue": "green"}, ['hue: must be one of "red", "blue" or null, not "green"']),
        ({"day": "soon"}, ['day: must be of the format date, not "soon"']),
        ({"key": "x"}, ['key: must be of the format uuid, not "x"']),
        ({"size": 0}, ["size: must be more than 0, not 0"]),
        ({"code": "xy"}, ['code: must be a string of at least 3 characters, not "xy"']),
        ({"code": "abc"}, ['code: must be a string that matches ^x, not "abc"']),
        ({"pair": [1]}, ["pair: must be a list of at least 2 items, not a list of 1"]),
        ({"pair": ["a", "b"]}, ['pair[0]: must be an integer, not "a"']),
        ({"unique": [1, 1]}, ["unique: must be a list without repetition, not a list of 2"]),
        ({"by_color": {"green": 1}}, ['by_color: a key of it must be one of "red", "blue", not "green"']),
        ({"flag": None}, ["flag: must be true or false, not null"]),
        ({"n": "a", "ratio": "b"}, ['n: must be an integer, not "a"', 'ratio: must be a number, not "b"']),
        ({"n": "\x1b[31m\u202e"}, ['n: must be an integer, not "\\u001b[31m\\u202e"']),
        ({"n": "é" * 100}, [f'n: must be an integer, not "{"é" * 58}…']),
        ({"n": 1.0, "day": "2024-02-29", "key": "12345678123456781234567812345678"}, []),
        ({"day": "2024-02-29T00:00:00+01:00"}, []),
        ({"day": "1700000000"}, []),
        ({"anything": {"a": [1]}, "unknown": 5}, []),
    ],
)
def test_a_line_names_path_wish_and_value(parameters: Any, lines: list[str]) -> None:
    assert fit(SCHEMA, **parameters) == lines


def test_a_value_that_may_be_secret_is_not_shown() -> None:
    values = {"secret": 31337, "api_key": "31337", "n": "ghp_" + "a" * 36, "rows": [{"password": "31337"}]}
    lines = fit(SCHEMA, **values)
    assert lines == [
        "n: must be an integer, not a string",
        "rows[0]: must be an integer, not a mapping of 1",
        "secret: must be a string or null, not an integer",
        "api_key: must be an integer, not a string",
    ]


def test_a_place_has_one_line() -> None:
    schema = {"properties": {"a": {"type": "string", "enum": [1], "minLength": 3, "pattern": "^x"}}}
    assert len(fit(schema, a="b")) == 1
    assert fit(schema, a=1) == ["a: must be a string or null, not 1"]
    branches = [{"enum": ["x"], "type": "integer"}, {"items": {}, "minItems": 1}]
    assert len(fit({"properties": {"a": {"anyOf": branches}}}, a=[])) == 1


def test_required_parameters_count_for_a_run_only() -> None:
    schema = read_flow(b"def f(a: int, b: str, c=1): ...", "a.py", "f").schema
    assert mismatches({"a": 1}, schema, False) == []
    assert mismatches({"a": 1}, schema, True) == ["b: is required"]
    assert mismatches({"a": 1, "b": "x"}, schema, True) == []


def test_keys_that_are_missing_or_not_allowed_have_a_line_each() -> None:
    part = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]}
    schema = {"properties": {"x": {**part, "additionalProperties": False, "patternProperties": {"^_": {}}}}}
    assert fit(schema, x={"c": 1, "d e": 2, "_": 3}) == [
        "x.a: is required",
        "x.b: is required",
        "x.c: is not allowed here",
        'x."d e": is not allowed here',
    ]
    assert fit({"properties": {"x": False}}, x=1) == ["x: is not allowed here"]
    assert fit({"additionalProperties": False, "properties": {"a": {}}}, b=1) == ["b: is not allowed here"]


def test_at_most_ten_lines_are_given() -> None:
    lines = fit(SCHEMA, rows=["x"] * 1000)
    assert len(lines) == 11
    assert lines[9:] == ['rows[9]: must be an integer, not "x"', "and more"]
    assert len(fit(SCHEMA, rows=["x"] * 10)) == 10


@pytest.mark.parametrize(
    "value",
    [
        "{{ prefect.variables.n }}",
        "a{{b}}c",
        "{{ $X\n}}",
        {"__prefect_kind": "workspace_variable", "variable_name": "x"},
        {"__prefect_kind": "jinja"},
        {"$ref": {"block_document_id": "x"}},
    ],
)
def test_what_only_the_server_knows_fits_anything(value: Any) -> None:
    for name in SCHEMA["properties"]:
        assert fit(SCHEMA, **{name: value}) == []
    assert (
        fit(SCHEMA, rows=[1, value], table={"a": value}, either=[value], nested=[{"k": [value]}], pair=[value, "a"])
        == []
    )
    assert fit({"properties": {"a": {"not": {"type": "string"}}, "b": {"enum": [[1]]}}}, a=value, b=[value]) == []
    kinds = [{"items": {"type": kind}} for kind in ("integer", "string")]
    assert fit({"properties": {"a": {"oneOf": kinds}}}, a=[value]) == []
    assert fit(SCHEMA, rows=[value, "x"]) == ['rows[1]: must be an integer, not "x"']


@pytest.mark.parametrize("value", ["{{ x", "x }}", "}} {{", "{ {x} }", {"__prefect": 1}, {"$ref": 1, "more": 2}])
def test_what_only_looks_like_a_template_is_validated(value: Any) -> None:
    assert len(fit(SCHEMA, n=value)) == 1


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ({"type": 12}, 'parameter_openapi_schema.type: must be one of "array"'),
        ({"properties": {"a": {"type": "int"}}}, "parameter_openapi_schema.properties.a.type: must be one of"),
        (
            {"properties": {"a": {"minimum": "x"}}},
            'properties.a.minimum: must be a number, not "x": it is no JSON Schema',
        ),
        (
            {"properties": 5},
            "parameter_openapi_schema.properties: must be a mapping, not 5: it is no JSON Schema, correct",
        ),
        ({"properties": {"a": {"pattern": "("}}}, 'properties.a.pattern: must be of the format regex, not "("'),
        ({"definitions": {"A": 5}}, "parameter_openapi_schema.definitions.A: must be a mapping"),
        ({"properties": {"a": {"$ref": "#/definitions/A"}}}, "there is no '/definitions/A' inside it"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "there is no 'other.json' inside it"),
        (
            {"properties": {"a": {"$ref": "#/title"}}, "title": "x"},
            "cannot be applied to the parameters (AttributeError)",
        ),
        ({"$ref": "#"}, "refers to itself without end"),
    ],
)
def test_a_bad_schema_is_one_line(schema: Any, line: str) -> None:
    lines = fit(schema, a=1)
    assert len(lines) == 1
    assert line in lines[0]


def test_a_reference_is_never_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        for schema in (
            {"$ref": address},
            {"$id": address, "$ref": "other.json"},
            {"$schema": address, "$ref": address},
        ):
            assert "references lead nowhere else" in fit(schema, a=1)[0]
        with pytest.raises(BlockingIOError):
            server.accept()


def test_hostile_schemas_end_in_a_line() -> None:
    doubling = {f"A{n}": {"anyOf": [{"$ref": f"#/definitions/A{n + 1}"}] * 2} for n in range(40)}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/definitions/A0"}}, "definitions": doubling}
    assert "takes too long to apply" in fit({**schema, "definitions": {**doubling, "A40": {"type": "string"}}}, a=1)[0]
    for keyword in ("items", "not", "additionalProperties"):
        deep: Any = {}
        for _ in range(3000):
            deep = {keyword: deep}
        assert "nested too deeply" in fit({"type": "object", "properties": {"a": deep}}, a=1)[0]


def test_hostile_values_end_in_lines_or_fit() -> None:
    deep: Any = 1
    for _ in range(3000):
        deep = [deep]
    assert fit(SCHEMA, anything=deep) == []
    assert len(fit(SCHEMA, n=deep)) == 1
    assert fit(SCHEMA, rows=[*range(20_000)]) == []
    assert fit(SCHEMA, n="x" * 1_000_000) == [f'n: must be an integer, not "{"x" * 58}…']
    assert len(fit(SCHEMA, n=-(10**5000), mode=10**5000)) == 1


def test_nothing_is_changed_that_was_given() -> None:
    schema: Any = {
        "required": ["b"],
        "properties": {"a": {"type": "array", "items": [{"type": "integer"}]}, "b": {"$ref": "#/definitions/A"}},
        "definitions": {"A": {"type": "object", "properties": {"c": {"type": "string"}}}},
    }
    parameters: Any = {"a": ["x"], "b": {"c": 1}}
    before = deepcopy((schema, parameters))
    assert len(mismatches(parameters, schema, True)) == 2
    assert (schema, parameters) == before
