"""What a text means, that its text survives, and that nothing hostile costs more than an error."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from git_deployments import yamltext
from git_deployments.model import Json
from git_deployments.yamltext import BadYaml, Map, Scalar, Seq

from .conftest import bounded

MANIFESTS = Path(__file__).parents[1] / "fixtures" / "manifests"


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers: not every build of it has the one in C."""
    if not hasattr(yaml, request.param):
        pytest.skip("this PyYAML is built without libyaml")
    monkeypatch.setattr(yamltext, "_LOADER", getattr(yaml, request.param))


class _WithoutTimestamps(yaml.SafeLoader):
    """What Prefect reads with, but that timestamps stay text, as JSON has none."""


_WithoutTimestamps.yaml_implicit_resolvers = {
    first: [row for row in rows if not row[0].endswith("timestamp")]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> Map:
    return yamltext.load(text.encode(), "m.yaml")


def fault(text: str | bytes) -> str:
    """The error that a file ends in: one line, with its place."""
    with pytest.raises(BadYaml) as caught:
        yamltext.load(text.encode() if isinstance(text, str) else text, "m.yaml")
    message = str(caught.value)
    assert message.startswith("m.yaml:")
    assert message.isprintable()
    return message


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    ("written", "text", "value"),
    [
        ("1.10", "1.10", 1.1),
        ("0123456", "0123456", 42798),
        ("12e4567", "12e4567", "12e4567"),
        ("1.2e+3", "1.2e+3", 1200.0),
        ("1_000", "1_000", 1000),
        ("0x1F", "0x1F", 31),
        ("0b101", "0b101", 5),
        ("12:30:45", "12:30:45", 45045),
        ("2024-01-01", "2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("!!timestamp 2024-01-01", "2024-01-01", "2024-01-01"),
        ("no", "no", False),
        ("On", "On", True),
        ("y", "y", "y"),
        ("~", "~", None),
        ("", "", None),
        ("null", "null", None),
        ("'null'", "null", "null"),
        ('"1.10"', "1.10", "1.10"),
        ("!!str 1.10", "1.10", "1.10"),
        ("!!int '7'", "7", 7),
        ("!!float 7", "7", 7.0),
        ("!!bool 'yes'", "yes", True),
        ("!!null x", "x", None),
        ("! 12", "12", 12),
        ("=", "=", "="),
        ('"\\u263a"', "☺", "☺"),
        ("|\n  two\n  lines", "two\nlines", "two\nlines"),
        (">-\n  two\n  words", "two words", "two words"),
    ],
)
def test_text_and_value(written: str, text: str, value: Json) -> None:
    node = load(f"a: {written}").entries["a"]
    assert isinstance(node, Scalar)
    assert node.text == text
    found = yamltext.value(node)
    assert (found, type(found)) == (value, type(value))


@given(st.text(st.sampled_from("0123456789+-.:_eExXbBnN~yYoOfFtTrRuUlLaAsS"), min_size=1, max_size=12))
@settings(max_examples=500, database=None, deadline=None)
def test_values_are_those_that_prefect_reads(word: str) -> None:
    text = f"a: [{word}]"
    try:
        expected = yaml.load(text, _WithoutTimestamps)["a"][0]
    except (yaml.YAMLError, ValueError, LookupError, TypeError):
        # A mapping inside the brackets for one; `0x_` is an integer that is none.
        return
    if isinstance(expected, float) and not math.isfinite(expected):
        with pytest.raises(BadYaml, match="JSON cannot hold"):
            yamltext.value(load(text))
    elif not isinstance(expected, dict):
        assert yamltext.value(load(text)) == {"a": [expected]}


def test_a_whole_manifest_reads_as_prefect_reads_it() -> None:
    data = (MANIFESTS / "full.yaml").read_bytes()
    assert yamltext.value(yamltext.load(data, "full.yaml")) == yaml.load(data, _WithoutTimestamps)


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}",
        "a: &a {x: 1, y: 2}\nb: {x: 3, <<: *a}",
        "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b], z: 3}",
        "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, x: 9}",
        "a: &a {x: {deep: 1}}\nb: {<<: [{y: 1}, *a]}",
        "a: &a [1, 2]\nb: [*a, *a]\nc: &c text\nd: *c",
        "a: &a {}\nb: {<<: *a}\nc: {<<: []}",
    ],
)
def test_aliases_and_merges_read_as_prefect_reads_them(text: str) -> None:
    assert yamltext.value(load(text)) == yaml.safe_load(text)


def test_keys_are_their_text() -> None:
    assert yamltext.value(load('1.10: a\nno: b\n~: c\n2024-01-01: d\n"<<": e\n0x10: f')) == {
        "1.10": "a",
        "no": "b",
        "~": "c",
        "2024-01-01": "d",
        "<<": "e",
        "0x10": "f",
    }


def test_lines_are_those_of_the_file() -> None:
    tree = load("# comment\na: &a\n  - x\n  - y: 1\nb:\n  <<: {c: 1}\n  d: |\n    text\ne: *a")
    assert tree.lines == {"a": 2, "b": 5, "e": 9}
    items, merged = tree.entries["a"], tree.entries["b"]
    assert isinstance(items, Seq)
    assert [node.line for node in items.items] == [3, 4]
    assert isinstance(merged, Map)
    assert merged.lines == {"c": 6, "d": 7}


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", ":3:1: the key 'a' stands on line 1 already"),
        ("a: 1\n'a': 3", ":2:1: the key 'a' stands on line 1 already"),
        ("x:\n  1.0: 1\n  1.0: 2", ":3:3: the key '1.0' stands on line 2 already"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a", ":4:3: the key '<<' stands on line 3 already; list them"),
        ("a: b: c", ":1:5: mapping values are not allowed"),
        ("a:\n\t- b", ":2:1: found character"),
        ("a: {{ $X }}", "a list or mapping cannot be a key; quote a template"),
        ("a: {{ $X }}/y", "a list or mapping cannot be a key; quote a template"),
        ("a: @x", ":1:4: found character"),
        ("a: * * * * *", ":1:4: "),
        ("a: [1, 2", "look at the quotes, brackets and indentation before it"),
        ("a: 1\nb: [1,\n\n]]", "look at the quotes, brackets and indentation before it"),
        ("a: 'x", "found unexpected end of stream"),
        ("- a", ":1:1: the top level must be a mapping"),
        ("a text", ":1:1: the top level must be a mapping"),
        ("---\n", ":1:"),
        ("a: 1\n---\nb: 2", ":2:1: a second document starts here"),
        ("a: *b", ":1:4: the alias '*b' names no anchor above it"),
        ("a: &a [*a]", ":1:8: the alias '*a' stands inside the value that it names"),
        ("a: &a 1\nb: &a 2", ":2:4: the anchor '&a' is declared a second time"),
        ("? [a]\n: 1", "a list or mapping cannot be a key"),
        ("a: {<<: 1}", "<< takes a mapping"),
        ("a: {<<: [{}, 1]}", "<< takes a mapping"),
        ("a: !mine 1", ":1:4: the tag '!mine' is not supported"),
        ("a: !!python/name:os.system", "the tag 'tag:yaml.org,2002:python/name:os.system' is not supported"),
        ("a: !!binary aGk=", "the tag 'tag:yaml.org,2002:binary' is not supported"),
        ("a: !!set {x}", "the tag 'tag:yaml.org,2002:set' is not supported"),
        ("a: !!seq {x: 1}", "the tag 'tag:yaml.org,2002:seq' is not supported"),
        ("%TAG ! tag:x,2000:\n---\na: 1", ":1:1: %TAG directives are not supported"),
        ("a: \x01", ":1:4: the character '\\x01' is not allowed"),
        ("a: 1\nb: \x7f", ":2:4: the character '\\x7f' is not allowed"),
        ('a: "\\ud800"', ":1:"),
        ('a: "\\UFFFFFFFF"', "m.yaml:"),
        (b"a: 1\nb: \xff", ":2:4: it is not valid UTF-8"),
        ("a: 1".encode("utf-16"), ":1:1: it is UTF-16 or UTF-32 text; save it as UTF-8"),
        ("a: 1".encode("utf-16-le"), ":1:2: the character '\\x00' is not allowed"),
        ("", ": it is empty"),
        ("# only a comment\n", ": it is empty"),
    ],
)
def test_errors_say_where_and_what_to_do(text: str | bytes, message: str) -> None:
    assert message in fault(text)


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize("mark", ["﻿", ""])
@pytest.mark.parametrize("head", ["", "---\n", "%YAML 1.1\n---\n"])
def test_marks_and_directives_that_change_nothing(mark: str, head: str) -> None:
    assert yamltext.value(yamltext.load(f"{mark}{head}a: 1\r\nb: é\n".encode(), "m")) == {"a": 1, "b": "é"}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (".inf", "line 2: '.inf' is a number that JSON cannot hold; quote it"),
        ("-.INF", "line 2: '-.INF' is a number that JSON cannot hold; quote it"),
        (".nan", "line 2: '.nan' is a number that JSON cannot hold; quote it"),
        ("1.0e+999", "line 2: '1.0e+999' is a number that JSON cannot hold; quote it"),
        ("0x_", "line 2: '0x_' is no int; quote it"),
        ("!!int ''", "line 2: '' is no int; quote it"),
        ("!!int x", "line 2: 'x' is no int; quote it"),
        ("!!bool maybe", "line 2: 'maybe' is no bool; quote it"),
        ("1" * 5000, "line 2: a number of 5000 characters; quote it"),
    ],
)
def test_what_is_no_json_is_an_error_only_as_a_value(written: str, message: str) -> None:
    tree = load(f"x: 1\na: {written}")
    with pytest.raises(BadYaml) as caught:
        yamltext.value(tree)
    assert message in str(caught.value)
    text = tree.entries["a"]
    assert isinstance(text, Scalar)
    assert yamltext.all_text(text) == text.text


def test_text_keys_keep_text_below_them() -> None:
    tree = load("image: 1.10\nenv: {PORT: 080, DEBUG: no, NONE: ~, LIST: [1.0, {a: 2}]}\nother: {cpu: 1.50, image: 7}")
    assert yamltext.value(tree, frozenset(("image", "env"))) == {
        "image": "1.10",
        "env": {"PORT": "080", "DEBUG": "no", "NONE": None, "LIST": ["1.0", {"a": "2"}]},
        "other": {"cpu": 1.5, "image": "7"},
    }


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "a: " + "[" * 100_000,
        "a: " + "{a: " * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40,
        "a0: &a0 []\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 100)),
        "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: {{y: *a{i - 1}}}}}\n" for i in range(1, 100)),
    ],
)
def test_depth_is_bounded(text: str) -> None:
    assert "more than 64 lists and mappings inside each other" in fault(text)


def test_64_levels_pass() -> None:
    tree = load("a: " + "[" * 63 + "]" * 63)
    assert json.dumps(yamltext.value(tree)).count("[") == 63


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    "text",
    [
        "a: &a [" + "x," * 100 + "]\n" + "".join(f"{y}: &{y} [{f'*{x},' * 100}]\n" for x, y in pairwise("abcde")),
        "a: &a {" + "".join(f"k{i}: 1," for i in range(1000)) + "}\nb: {<<: [" + "*a," * 2000 + "]}",
        "a: &a {x: 1}\n"
        + "".join(f"{y}: &{y} {{<<: [{f'*{x},' * 90}], {y}: *{x}}}\n" for x, y in pairwise("abcdefghijklmno")),
        "a: &a " + "x" * 1_000_000 + "\nb: [" + "*a," * 1000 + "]",
        "a: &a\n  ? " + "x" * 1_000_000 + "\n  : 1\nb: [" + "*a," * 1000 + "]",
        "a: &a\n  ? " + "x" * 1_000_000 + "\n  : 1\nb: [" + "{<<: *a}," * 1000 + "]",
    ],
    ids=["aliases", "one merge", "merges", "long text", "long key", "merged long key"],
)
def test_what_aliases_expand_to_is_bounded(text: str) -> None:
    with bounded():
        assert "aliases expanded, it holds more than" in fault(text)


def test_size_is_bounded() -> None:
    assert "at most 16777216 are read" in fault(b"a: " + b"x" * yamltext.LARGEST)


def test_a_thousand_deployments_are_read() -> None:
    entry = "".join(f"  key{i}: value {i}\n" for i in range(7))
    text = "deployments:\n" + "".join(f"- name: d{i}\n{entry}" for i in range(1000))
    with bounded():
        tree = load(text)
    items = tree.entries["deployments"]
    assert isinstance(items, Seq)
    assert len(items.items) == 1000


def test_hostile_text_is_escaped_and_cut_in_errors() -> None:
    assert "\\u202e" in fault('"\u202e": 1\n"\u202e": 2')
    assert len(fault(f"? {'x' * 100_000}\n: 1\n? {'x' * 100_000}\n: 2")) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("1.10", 1.1),
        ("no", False),
        ("2024-01-01", "2024-01-01"),
        ("[a, 1]", ["a", 1]),
        ("{a: {b: ~}}", {"a": {"b": None}}),
        ("two words", "two words"),
        ("'1.10'", "1.10"),
    ],
)
def test_a_short_text(text: str, value: Json) -> None:
    node = yamltext.parse(text)
    assert node is not None
    assert yamltext.value(node) == value
    assert yamltext.parse("") is None


def test_parse_errors_name_what_was_parsed() -> None:
    with pytest.raises(BadYaml, match=r"^tags:\d:\d+: .*; look at the quotes"):
        yamltext.parse("[a", "tags")
    with pytest.raises(BadYaml, match=r"^value: it is not valid UTF-8 text"):
        yamltext.parse("\udcff")


STRING: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}


@pytest.mark.parametrize(
    ("written", "schema", "value"),
    [
        ("1.10", STRING, "1.10"),
        ("no", STRING, "no"),
        ("~", STRING, None),
        ("[1.10]", STRING, [1.1]),
        ("1.10", INTEGER, 1.1),
        ("1.10", None, 1.1),
        ("1.10", {}, 1.1),
        ("0123", {"type": ["string", "null"]}, "0123"),
        ("~", {"type": ["string", "null"]}, None),
        ("~", {"anyOf": [STRING, {"type": "null"}]}, None),
        ("no", {"anyOf": [STRING, {"type": "null"}]}, "no"),
        ("7", {"anyOf": [STRING, INTEGER]}, 7),
        ("7", {"anyOf": [STRING, {"type": "number"}]}, 7),
        ("7.5", {"anyOf": [STRING, INTEGER]}, "7.5"),
        ("no", {"anyOf": [STRING, {"type": "boolean"}]}, False),
        ("1.10", {"$ref": "#/definitions/version"}, "1.10"),
        ("1.10", {"allOf": [{"$ref": "#/definitions/version"}]}, "1.10"),
        ("1.10", {"$ref": "#/definitions/nowhere"}, 1.1),
        ("1.10", {"$ref": "#/definitions/loop"}, 1.1),
        ("[1.10, ok]", {"type": "array", "items": STRING}, ["1.10", "ok"]),
        ("{a: 1.0, b: 2.0}", {"type": "object", "properties": {"a": STRING}}, {"a": "1.0", "b": 2.0}),
        ("{a: 1.0}", {"type": "object", "additionalProperties": STRING}, {"a": "1.0"}),
        ("{a: 1.0}", {"properties": [], "additionalProperties": False}, {"a": 1.0}),
        ("[1.10, 1.10]", {"prefixItems": [STRING, {"type": "number"}]}, ["1.10", 1.1]),
        ("[1.10, 1.10]", {"items": [STRING]}, ["1.10", 1.1]),
        ("[1, 2.0, 3.0]", {"prefixItems": [INTEGER], "items": STRING}, [1, "2.0", "3.0"]),
        ("[1.10]", {"anyOf": [{"items": INTEGER}, {"items": STRING}]}, ["1.10"]),
        ("[7]", {"anyOf": [{"items": STRING}, {"items": INTEGER}]}, [7]),
        ("{a: 1.10}", {"anyOf": [{"additionalProperties": INTEGER}, {"properties": {"a": STRING}}]}, {"a": "1.10"}),
        ("1.10", {"enum": ["1.10", "2"]}, "1.10"),
        ("1.10", {"enum": ["1.10", 2.5]}, 1.1),
        ("1.10", {"enum": ["1.10", 2, None]}, "1.10"),
        ("2", {"enum": ["1.10", 2, None]}, 2),
        ("2", {"enum": ["1.10", 2.5]}, 2),
        ("no", {"const": "no"}, "no"),
        ("no", {"enum": [[], {}]}, False),
        ("{a: [{b: no}]}", {"properties": {"a": {"items": {"properties": {"b": STRING}}}}}, {"a": [{"b": "no"}]}),
    ],
)
def test_typed_keeps_text_where_a_schema_wants_strings(written: str, schema: Json, value: Json) -> None:
    root: Json = {
        "properties": {"x": schema},
        "definitions": {"version": STRING, "loop": {"$ref": "#/definitions/loop"}},
    }
    assert yamltext.typed(load(f"x: {written}"), root) == {"x": value}


@pytest.mark.parametrize("value", [1.5, 7, True, None, [1.5], {"a": 1.5}])
def test_typed_makes_no_text_of_what_is_json_already(value: Json) -> None:
    schema: Json = {"type": "string", "items": STRING, "additionalProperties": STRING}
    assert yamltext.typed(yamltext.of_json(value), schema) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
@settings(max_examples=200, database=None, deadline=None)
def test_json_values_survive(value: Json) -> None:
    again = yamltext.value(yamltext.of_json(value))
    assert json.dumps(again) == json.dumps(value)


def test_json_values_are_bounded_in_depth() -> None:
    value: Json = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(BadYaml, match="more than 64"):
        yamltext.of_json(value)


@given(
    st.binary(max_size=200)
    | st.text(st.sampled_from("ab:-[]{}&*<?|>!%#'\"\\ \n\t,~0.é\x00"), max_size=60).map(str.encode)
)
@settings(max_examples=500, database=None, deadline=None)
def test_any_bytes_end_in_a_tree_or_an_error(data: bytes) -> None:
    message = ""
    try:
        yamltext.value(yamltext.load(data, "m.yaml"))
    except BadYaml as error:
        message = str(error)
    assert message.isprintable()
