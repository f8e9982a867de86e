"""Flow names and parameter schemas from source text, held against what Prefect made of the same flows.

fixtures/signatures/recorded.json was written by record.py beside it, run with the versions that the
file names; a change of the flows there needs a new recording.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git_deployments.signature import LARGEST, BadEntrypoint, Flow, read_flow, split_entrypoint

from .conftest import bounded

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "signatures"
RECORDED: dict[str, dict[str, Any]] = json.loads((FIXTURES / "recorded.json").read_text(encoding="utf-8"))["flows"]

UNCONSTRAINED: Mapping[str, str] = {
    "flows_defaults.py:annotated_otherwise": "abcde",  # options of Field that are not read
    "flows_defaults.py:more_pydantic": "abcdef",  # what only pydantic knows
    "flows_enums.py:partly": "a",  # one unknown alternative makes the whole unknown
    "flows_enums.py:unresolved": "abcdefg",  # values that only running code has
    "flows_scopes.py:rebound": "abcd",  # names that stand for more than one thing, or that a loop binds
    "flows_scopes.py:shadowed": "b",  # a function as an annotation
    "flows_scopes.py:starred": "ab",  # from typing import *
    "flows_types.py:abstract": "j",  # Generator
    "flows_types.py:aliases": "ij",  # type variables
    "flows_types.py:objects": "i",  # Fraction
    "flows_types.py:odd": "hko",  # annotations that are no types
    "flows_types.py:scalars": "j",  # complex
}
"""Parameters that Prefect constrains and that are left without a constraint here, on purpose."""

WITHOUT_DEFAULT: Mapping[str, str] = {"flows_defaults.py:computed": "abcdefghijklmnopqr"}
"""Parameters whose default only running code has: not required, as with Prefect, and without `default`."""

CONSTRAINED: Mapping[str, str] = {"flows_future.py:unresolvable_beside": "c"}
"""Parameters that Prefect could not read, because an annotation beside them cannot be evaluated."""


def recorded_source(case: str) -> tuple[bytes, str, str]:
    file, function = case.split(":")
    return (FIXTURES / file).read_bytes(), file, function


def flow(source: str, function: str = "f") -> Flow:
    return read_flow(source.encode(), "flows/etl.py", function)


def refusal(source: str | bytes, function: str = "f") -> str:
    text = source if isinstance(source, bytes) else source.encode("utf-8", "surrogatepass")
    with pytest.raises(BadEntrypoint) as refused:
        read_flow(text, "flows/etl.py", function)
    message = str(refused.value)
    assert message.isprintable()
    return message


def property_of(source: str) -> Any:
    return flow(source).schema["properties"]["x"]  # type: ignore[index, call-overload]


@pytest.mark.parametrize("case", RECORDED)
def test_a_flow_is_read_as_prefect_reads_it(case: str) -> None:
    ours, theirs = read_flow(*recorded_source(case)), RECORDED[case]
    assert ours.name == theirs["name"]
    schema: Any = ours.schema
    free, undefaulted, more = (table.get(case, "") for table in (UNCONSTRAINED, WITHOUT_DEFAULT, CONSTRAINED))
    for name, wanted in theirs["schema"]["properties"].items():
        found = schema["properties"].pop(name)
        if name in free:
            assert found != wanted
            wanted = {key: wanted[key] for key in wanted if key in ("default", "description", "position", "title")}
        if name in undefaulted:
            assert wanted.pop("default", None) is not None or wanted["position"] in (5, 6)
        if name in more:
            assert found.items() > wanted.items()
        else:
            assert json.dumps(found, sort_keys=True) == json.dumps(wanted, sort_keys=True)
    assert schema["properties"] == {}
    assert schema.get("required") == theirs["schema"].get("required")
    if free:
        assert schema.get("definitions", {}).items() <= theirs["schema"].get("definitions", {}).items()
    else:
        assert schema.get("definitions") == theirs["schema"].get("definitions")


def test_the_lists_of_differences_name_recorded_flows() -> None:
    assert {*UNCONSTRAINED, *WITHOUT_DEFAULT, *CONSTRAINED} <= RECORDED.keys()
    assert len(RECORDED) > 130


def test_the_schema_has_the_keys_that_prefect_stores() -> None:
    assert flow("def f(): ...").schema == {"title": "Parameters", "type": "object", "properties": {}}
    assert flow("def f(a: int, b: str = 'x'): ...").schema == {
        "title": "Parameters",
        "type": "object",
        "properties": {
            "a": {"title": "a", "position": 0, "type": "integer"},
            "b": {"title": "b", "position": 1, "type": "string", "default": "x"},
        },
        "required": ["a"],
    }


def test_nothing_of_the_source_is_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    write = f"open({str(trace)!r}, 'w')"
    source = f"{write}\nraise SystemExit(3)\ndef f(a: {write} = {write}, b={write}): ...\nf = {write} or f\n{write}"
    assert "made by code that would have to run" in refusal(source)
    flow(source.replace(f"f = {write} or f\n", f"@{write}\ndef f(a: int = {write}): ...\n"))
    assert not trace.exists()


def test_warnings_about_the_source_are_not_shown() -> None:
    source = 'PATTERN = "\\d"\ndef f(x: "Literal[\'\\d\']" = 1 is 1):\n    "\\d"\n    return 1 is 1'
    assert flow(source).name == "f"


@pytest.mark.parametrize(
    ("entrypoint", "files", "function"),
    [
        ("etl.py:f", ("etl.py",), "f"),
        ("a/b.py:f", ("a/b.py",), "f"),
        ("./a/./b.py:f", ("a/b.py",), "f"),
        ("a/../b.py:f", ("b.py",), "f"),
        ("a.py:Jobs.run", ("a.py",), "Jobs.run"),
        ("my flows/daily-etl.v2.py:f", ("my flows/daily-etl.v2.py",), "f"),
        ("flüsse.py:größe", ("flüsse.py",), "größe"),
        ("pkg.mod.f", ("pkg/mod.py", "pkg/mod/__init__.py", "src/pkg/mod.py", "src/pkg/mod/__init__.py"), "f"),
        ("mod.f", ("mod.py", "mod/__init__.py", "src/mod.py", "src/mod/__init__.py"), "f"),
        ("mod:f", ("mod.py", "mod/__init__.py", "src/mod.py", "src/mod/__init__.py"), "f"),
        ("a.b:C.m", ("a/b.py", "a/b/__init__.py", "src/a/b.py", "src/a/b/__init__.py"), "C.m"),
    ],
)
def test_an_entrypoint_is_split(entrypoint: str, files: tuple[str, ...], function: str) -> None:
    assert split_entrypoint(entrypoint) == (files, function)


@pytest.mark.parametrize(
    ("entrypoint", "says"),
    [
        ("", "write path/to/file.py:function"),
        ("f", "write path/to/file.py:function"),
        ("etl.py", "write path/to/file.py:function"),
        ("a/etl.py", "write path/to/file.py:function"),
        (":f", "write path/to/file.py:function"),
        ("a.py:", "write path/to/file.py:function"),
        ("a.py:f()", "write path/to/file.py:function"),
        ("a.py:f.", "write path/to/file.py:function"),
        ("a.py:.f", "write path/to/file.py:function"),
        ("a.py: f", "write path/to/file.py:function"),
        ("a.py:1f", "write path/to/file.py:function"),
        (".f", "write path/to/file.py:function"),
        ("a..f", "'a.' cannot be a module"),
        ("a-b.c.f", "'a-b.c' cannot be a module"),
        ("a/b.c.f", "cannot be a module"),
        ("/a/b.py:f", "the path is absolute"),
        ("C:/a/b.py:f", "the path is absolute"),
        ("C:\\a\\b.py:f", "the path is absolute"),
        ("a\\b.py:f", "write the path with '/'"),
        ("../b.py:f", "leaves the manifest's directory"),
        ("a/../../b.py:f", "leaves the manifest's directory"),
        ("a//b.py:f", "a part of the path is empty"),
        ("a/b.txt:f", "write path/to/file.py:function"),
        ("a/:f", "a part of the path is empty"),
        ("..:f", "leaves the manifest's directory"),
        ("./:f", "a part of the path is empty"),
        ("a\n.py:f", "control characters"),
        ("a\0.py:f", "control characters"),
        ("a\ud800.py:f", "control characters"),
        ("a.py:\ud800", "write path/to/file.py:function"),
        ("x" * 10_000, "write path/to/file.py:function"),
    ],
)
def test_a_bad_entrypoint_is_refused(entrypoint: str, says: str) -> None:
    with pytest.raises(BadEntrypoint) as refused:
        split_entrypoint(entrypoint)
    message = str(refused.value)
    assert says in message
    assert message.startswith("bad entrypoint '")
    assert message.isprintable()
    assert len(message) < 300


@pytest.mark.parametrize(
    ("source", "function", "says"),
    [
        (
            "x = 1\n\ndef f(:",
            "f",
            ["flows/etl.py, line 3: ", "(read as Python 3.", "give flow_name and parameter_openapi"],
        ),
        ("def etl(): ...", "elt", ["flows/etl.py: there is no function 'elt'", "for example to etl"]),
        ("def a(): ...\ndef b(): ...", "nightly", ["no function 'nightly'", "for example to a or b"]),
        ("class Jobs:\n async def run(self): ...", "Jobs.ran", ["no function 'Jobs.ran'", "for example to Jobs.run"]),
        ("def f(): ...", "f.run", ["no function 'f.run'"]),
        ("x = 1", "f", ["no function 'f'; it defines none at all"]),
        ("def g():\n  def f(): ...", "f", ["no function 'f'", "for example to g"]),
        ("class f:\n  def run(self): ...", "f", ["'f' is a class; write file.py:Class.method"]),
        ("from jobs.daily import f", "f", ["'f' is imported there from 'jobs.daily'; name the file that defines it"]),
        ("from . import f", "f", ["imported there from '.'"]),
        ("import f", "f", ["imported there from 'f'"]),
        ("f = make()", "f", ["'f' is made by code that would have to run; point the entrypoint at a def"]),
        ("f = flow(jobs.daily)", "f", ["made by code that would have to run"]),
        ("f = flow(lambda x: x)", "f", ["made by code that would have to run"]),
        ("f, g = make()", "f", ["made by code that would have to run"]),
        ("for f in fs: ...", "f", ["made by code that would have to run"]),
        ("def f(): ...\ndel f", "f", ["made by code that would have to run"]),
        ("f = f", "f", ["made by code that would have to run"]),
        ("f = g\ng = f", "f", ["made by code that would have to run"]),
        ("f = flow(g)\ng = flow(f)", "f", ["made by code that would have to run"]),
        ("if __name__ == '__main__':\n  def f(): ...", "f", ["no function 'f'"]),
        (
            "\n@flow(name=NAME)\ndef f(): ...",
            "f",
            ["flows/etl.py, line 2: the name of flow 'f' is computed", "flow_name"],
        ),
        ("@flow(name=f'etl-{x}')\ndef f(): ...", "f", ["the name of flow 'f' is computed"]),
        ("@flow(name=NAME)\ndef f(): ...\nNAME = 'a'\nNAME = 'b'", "f", ["the name of flow 'f' is computed"]),
        ("@flow(name=5)\ndef f(): ...", "f", ["the name of flow 'f' is computed"]),
        ("@flow(name='\\ud800')\ndef f(): ...", "f", ["the name of flow 'f' is computed"]),
        ("@flow(**OPTIONS)\ndef f(): ...", "f", ["the name of flow 'f' is computed"]),
        ("def g(): ...\nf = flow(g, name=NAME)", "f", ["line 2: the name of flow 'g' is computed"]),
        ("x = 1\n\0", "f", ["flows/etl.py, line 2: a null byte"]),
        ("#" * (LARGEST + 1), "f", ["flows/etl.py has 1,048,577 bytes, at most 1,048,576 are read"]),
    ],
)
def test_what_names_no_flow_is_refused(source: str, function: str, says: list[str]) -> None:
    message = refusal(source, function)
    for part in says:
        assert part in message


@pytest.mark.parametrize(
    "source",
    [
        b"def f(): '\xff'",
        b"# coding: nonsense\ndef f(): ...",
        b"# coding: ascii\n# \xc3\xa9\ndef f(): ...",
        b"# coding: hex\ndef f(): ...",
        b"# coding: unicode_escape\ndef f(): '\\d'",
        b"# coding: PunyCode\n" + b"a-b9" * 200_000,
        b"\xef\xbb\xbf# coding: latin-1\ndef f(): ...",
        "def f(): ...".encode("utf-16"),
    ],
)
def test_a_wrong_encoding_is_refused(source: bytes) -> None:
    assert "save it as UTF-8" in refusal(source)


def test_an_encoding_that_is_declared_is_read() -> None:
    assert read_flow("# coding: latin-1\ndef f(x='é'): ...".encode("latin-1"), "a.py", "f").name == "f"
    assert read_flow("def f(x='é'): ...".encode("utf-8-sig"), "a.py", "f").name == "f"


def test_line_ends_of_windows_do_not_matter() -> None:
    source = 'def f(x: int):\n    """S.\n\n    Args:\n        x: the x\n            more\n    """\n'
    assert flow(source.replace("\n", "\r\n")) == flow(source)
    assert property_of(source)["description"] == "the x\nmore"


def test_a_given_name_is_not_asked_of_the_source() -> None:
    source = b"@flow(name=computed())\ndef f(x: int): ..."
    assert read_flow(source, "a.py", "f", "given").name == "given"
    assert read_flow(source, "a.py", "f", "given").schema["required"] == ["x"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import prefect\n@prefect.flow(name='a b')\ndef f(): ...", "a b"),
        ("@prefect.flow(name='a b')\ndef f(): ...", "a b"),
        ("from prefect import *\n@flow(name='a b')\ndef f(): ...", "a b"),
        ("@task(name='t')\n@flow(name='a b')\n@other(name='o')\ndef f(): ...", "a b"),
        ("@task(name='t')\ndef f(): ...", "f"),
        ("@flow(log_prints=True)\ndef f(): ...", "f"),
        ("@flow(name='a', **OPTIONS)\ndef f(): ...", "a"),
        ("def my_etl(): ...\nf = flow(my_etl).with_options(name='n')", "n"),
        ("def my_etl(): ...\nf = flow(my_etl, name='x').with_options(retries=1)", "x"),
        ("def my_etl(): ...\nf = flow(name='x')(my_etl)\nf = f.with_options(name='y')\nf = f", "y"),
        ("def my_etl(): ...\nif x:\n  f = flow(my_etl)", "my-etl"),
        ("@flow(name='old')\ndef f(): ...\n@flow(name='new')\ndef f(): ...", "new"),
        ("NAME: str = 'n'\n@flow(name=NAME)\ndef f(): ...", "n"),
    ],
)
def test_the_name_of_a_flow(source: str, name: str) -> None:
    assert flow(source).name == name


@pytest.mark.parametrize(
    "source",
    [
        "from models import Config\ndef f(x: Config): ...",
        "from pydantic import BaseModel\nclass Config(BaseModel):\n  a: int\ndef f(x: Config): ...",
        "def f(x: Missing): ...",
        "def f(x: list[Missing]): ...",
        "def f(x: Missing | None): ...",
        "import typing\ndef f(x: typing.Union[()]): ...",
        "from typing import Literal\ndef f(x: Literal[()]): ...",
        "from typing import Literal\ndef f(x: Literal[[1]]): ...",
        "from typing import Annotated\ndef f(x: Annotated[int, check]): ...",
        "from typing import Annotated\nfrom pydantic import Field\ndef f(x: Annotated[int, Field(ge='a')]): ...",
        "from typing import Annotated\nfrom pydantic import Field\ndef f(x: Annotated[str, Field(min_length=-1)]): ...",
        "from typing import Annotated\nfrom pydantic import Field\ndef f(x: Annotated[str, Field(pattern='(')]): ...",
        "from typing import Annotated\nfrom pydantic import Field\ndef f(x: Annotated[str, Field(examples='a')]): ...",
        "from typing import Annotated\nfrom pydantic import Field\ndef f(x: Annotated[str, Field(**K)]): ...",
        "from enum import Enum\nclass E(Enum):\n  A = 1\n  def __new__(cls, v): ...\ndef f(x: E): ...",
        "from enum import Enum\nclass E(str, Enum):\n  A = 1\ndef f(x: E): ...",
        "from enum import Enum\n@odd\nclass E(Enum):\n  A = 1\ndef f(x: E): ...",
        "from enum import Enum\nclass E(Enum):\n  A = 1\n  A2: int\ndef f(x: E): ...",
        "from enum import Enum\nclass É(Enum):\n  A = 1\ndef f(x: É): ...",
        "from enum import Enum\nclass E(Enum): ...\ndef f(x: E): ...",
        "def f(x: 'int('): ...",
        "def f(x: 'int; str'): ...",
        "def f(x: ''): ...",
        "def f(x: 'a\\0b'): ...",
        f"def f(x: '{'int|' * 5000}int'): ...",
        "int = 5\ndef f(x: int): ...",
        "try:\n  from a import T\nexcept ImportError as T: ...\ndef f(x: T): ...",
        "with a as int: ...\ndef f(x: int): ...",
        "match a:\n  case {'a': [*int]}: ...\ndef f(x: int): ...",
        "match a:\n  case {'a': 1, **int}: ...\ndef f(x: int): ...",
        "match a:\n  case A() as int: ...\ndef f(x: int): ...",
        "print(int := 5)\ndef f(x: int): ...",
        "int += 1\ndef f(x: int): ...",
        "A = B\nB = A\ndef f(x: A): ...",
        "A = list[A]\ndef f(x: A): ...",
    ],
)
def test_a_type_that_cannot_be_told_is_no_constraint(source: str) -> None:
    assert property_of(source) == {"title": "x", "position": 0}


UNTOLD = [
    *("now()", "A", "B", "C", "'\\ud800'", "b'\\xff'", "0x" + "f" * 1000, "1e999", "[1e999]", "-True", "10**5", "[*a]"),
    *(
        "{**a}",
        "{None: 1}",
        "-'a'",
        "E.B",
        "E.A.name",
        "Field(**{'default': 3})",
        "1.5 * " + "9" * 309,
        "-" * 500 + "1",
    ),
]


@pytest.mark.parametrize("default", UNTOLD)
def test_a_default_that_cannot_be_told_is_left_out(default: str) -> None:
    source = "from enum import Enum\nfrom pydantic import Field\nclass E(Enum):\n  A = 1\nA = B\nB = A\nC = [1]\n"
    found = flow(f"{source}def f(x={default}, y=1): ...").schema
    assert found["properties"]["x"] == {"title": "x", "position": 0}  # type: ignore[index, call-overload]
    assert "required" not in found


DEEP = {
    "brackets": "(" * 100_000,
    "calls": "f(" * 100_000 + ")" * 100_000,
    "sums": "x = 1" + "+1" * 500_000,
    "attributes": "x = a" + ".b" * 500_000,
    "call after call": "x = f" + "()" * 500_000,
    "signs": "x = " + "-" * 5000 + "1",
    "not": "x = " + "not " * 50_000 + "1",
    "else if": "if a: ...\n" + "elif a: ...\n" * 50_000,
    "f-string": "x = f'{" + "1+" * 500_000 + "1}'",
    "blocks": "".join(" " * depth + "if x:\n" for depth in range(200)),
}


@pytest.mark.parametrize("source", DEEP.values(), ids=DEEP)
def test_deep_nesting_is_refused_in_time(source: str) -> None:
    message = refusal(source)
    assert "flows/etl.py" in message


def test_an_assignment_to_many_names_is_read_in_time() -> None:
    with bounded():
        found = flow("a = " * 60_000 + "5\ndef f(x=a): ...").schema
    assert found["properties"]["x"]["default"] == 5  # type: ignore[index, call-overload]


def test_many_flows_of_one_file_are_read_in_time() -> None:
    source = "".join(f"def f{n}(x=[{n}, {{'a': {n}}}]):\n" + "    x = g(x)[0] + 1\n" * 20 for n in range(800)).encode()
    with bounded():
        for n in range(800):
            assert read_flow(source, "a.py", f"f{n}").name == f"f{n}"


EXPANDING = {
    "types": "".join(f"A{n} = tuple[A{n + 1}, A{n + 1}]\n" for n in range(40)) + "A40 = int\ndef f(x: A0): ...",
    "values": "".join(f"A{n} = (A{n + 1}, A{n + 1})\n" for n in range(40)) + "A40 = 1\ndef f(x=A0): ...",
    "strings": "A = '"
    + "int|" * 2000
    + "int'\ndef f(x: int, "
    + ", ".join(f"a{n}: list[A]" for n in range(3000))
    + "): ...",
    "literal": "from typing import Literal\ndef f(x: Literal[" + ",".join(map(str, range(50_000))) + "]): ...",
    "bindings": "A = int\n" * 30_000 + "def f(x: A): ...",
}


@pytest.mark.parametrize("source", EXPANDING.values(), ids=EXPANDING)
def test_aliases_cannot_expand_without_end(source: str) -> None:
    assert len(json.dumps(property_of(source))) < 1_000_000


FRAGMENTS = [
    *("def f(", "x", ":", "int", " = ", "1", ")", ": ...\n", "@flow(name='a')\n", "list[", "]", "Literal", "'", '"""'),
    *(
        "\n",
        "\n  ",
        "class A:\n",
        "Args:\n",
        "    x: y\n",
        "f = flow(f)\n",
        "|",
        "None",
        ", ",
        "*",
        "/",
        "**k",
        "\\ud800",
    ),
    *("from typing import Literal, Optional\n", "lambda", "\0", "é", "\x1b", "# coding: utf-7\n", "async ", "-", "..."),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join) | st.text(max_size=60))
@example("def f(x: int = 1): ...\n")
def test_any_text_gives_a_flow_or_a_refusal(source: str) -> None:
    check_any(source.encode("utf-8", "surrogatepass"))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_flow_or_a_refusal(source: bytes) -> None:
    check_any(source)


def test_damaged_sources_give_a_flow_or_a_refusal() -> None:
    chance = random.Random(7)
    source = (FIXTURES / "flows_types.py").read_bytes()
    for _ in range(150):
        start, size = chance.randrange(len(source)), chance.randrange(1, 60)
        check_any(source[:start], "unions")
        check_any(source[:start] + source[start + size :], "unions")
        check_any(source[:start] + chance.randbytes(3) + source[start:], "unions")


def check_any(source: bytes, function: str = "f") -> None:
    """Raises whatever `read_flow` should not."""
    try:
        found = read_flow(source, "a.py", function)
    except BadEntrypoint as refused:
        found = Flow(str(refused), {})
    assert found.schema or found.name.isprintable()
    json.dumps(found.schema, ensure_ascii=False, allow_nan=False).encode()


def test_syntax_newer_than_this_python_is_refused_with_its_version() -> None:
    if sys.version_info < (3, 12):
        assert "(read as Python 3." in refusal("type A = int\ndef f(x: A): ...")
    else:
        assert property_of("type A = int\ndef f(x: A): ...") == {"title": "x", "position": 0}
