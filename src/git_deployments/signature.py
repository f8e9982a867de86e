"""A flow's name and parameter schema, read from its source text (design, "Names" and "Manifest").

Deploying never imports or runs user code, so everything here works on the syntax tree. The schema
is the one that `prefect deploy` stores for the same function, wherever that follows from the text:
builtin and standard types, literals, enumerations of the same file, and Google style docstrings
(the one style that Prefect reads). A parameter whose type would need running code, such as a
pydantic model, is there with its title, position and default and without a constraint, so that a
value which Prefect takes is never refused for what could not be read.

fixtures/signatures/ holds what Prefect itself made of many flows; the tests compare.
"""

from __future__ import annotations

import ast
import codecs
import io
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Union

from git_deployments.docstrings import described
from git_deployments.errors import DeploymentsError
from git_deployments.model import Json
from git_deployments.names import shown
from git_deployments.syntax import (
    MOST_ALIASES,
    MOST_STEPS,
    Bound,
    Layer,
    Scope,
    Unknown,
    layer_of,
    parsed,
    resolve,
    statements,
)
from git_deployments.typehints import Schema, annotation_schema, as_field, is_ellipsis
from git_deployments.values import value_of

LARGEST = 1 << 20
"""Bytes that a source file may have."""

_MOST_OPERATORS = 30_000

_INSTEAD = "or give flow_name and parameter_openapi_schema in the manifest"


class BadEntrypoint(DeploymentsError):
    """An entrypoint that names no function, or a source file that cannot be read as Python."""


class Flow(NamedTuple):
    """What a deployment needs to know of its flow."""

    name: str
    """The flow's half of a deployment's name."""
    schema: dict[str, Json]
    """`parameter_openapi_schema`."""


_Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


class _Target(NamedTuple):
    """The function that an entrypoint names."""

    node: _Function
    scope: Scope
    calls: tuple[ast.Call, ...]
    """The calls that may name the flow; those that count first are in front."""


class _Parameter(NamedTuple):
    """One parameter as it is written."""

    name: str
    annotation: ast.expr | None
    default: ast.expr | None


def split_entrypoint(entrypoint: str) -> tuple[tuple[str, ...], str]:
    """The files that may hold the function, best first, and the function's dotted name in them.

    The files are relative to the manifest's directory. `a/b.py:f` gives `("a/b.py",), "f"`;
    `pkg.mod.f` and `pkg.mod:f` give the four places of a module. Raises `BadEntrypoint`.
    """
    place, colon, function = entrypoint.rpartition(":")
    if not colon:
        place, _, function = entrypoint.rpartition(".")
    wrong = f"bad entrypoint '{_short(entrypoint)}'"
    if not place or not _is_dotted(function) or entrypoint.endswith(".py"):
        raise BadEntrypoint(f"{wrong}: write path/to/file.py:function or package.module.function")
    if colon and (place.endswith(".py") or not _is_dotted(place)):
        return (_relative_path(place, wrong),), function
    if not _is_dotted(place):
        raise BadEntrypoint(f"{wrong}: '{_short(place)}' cannot be a module; write path/to/file.py:function")
    module = place.replace(".", "/")
    files = (f"{module}.py", f"{module}/__init__.py")
    return (*files, *(f"src/{file}" for file in files)), function


def read_flow(source: bytes, path: str, function: str, flow_name: str | None = None) -> Flow:
    """The flow that `function`, a dotted name in `source`, stands for. Nothing is run.

    `path` is for messages. `flow_name` is the flow's name where the manifest gives it: the source
    is then not asked for it. Raises `BadEntrypoint`.
    """
    try:
        target = _find(_parse(_decode(source, path), path), path, function)
        name = flow_name if flow_name is not None else _flow_name(target, path)
        return Flow(name, _parameter_schema(target))
    except (RecursionError, MemoryError):
        # Which of the two depends on the construct and on the version of Python.
        raise BadEntrypoint(f"{shown(path)} is nested too deeply to be read; simplify it, {_INSTEAD}") from None


def _short(text: str) -> str:
    return shown(text if len(text) <= 100 else text[:99] + "…")


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _relative_path(path: str, wrong: str) -> str:
    """`path` without `.` and `..`; refused unless it is a Python file below the manifest's directory."""
    if path.startswith("/") or path[1:2] == ":":
        raise BadEntrypoint(f"{wrong}: the path is absolute; write it relative to the manifest's directory")
    if "\\" in path:
        raise BadEntrypoint(f"{wrong}: write the path with '/', so that it holds wherever the flow runs")
    if not path.isprintable():
        raise BadEntrypoint(f"{wrong}: the path has control characters; rename the file")
    parts: list[str] = []
    for part in path.split("/"):
        if not part:
            raise BadEntrypoint(f"{wrong}: a part of the path is empty; write path/to/file.py:function")
        if part == "..":
            if not parts:
                raise BadEntrypoint(f"{wrong}: the path leaves the manifest's directory; move the manifest up")
            parts.pop()
        elif part != ".":
            parts.append(part)
    if not parts or not parts[-1].endswith(".py"):
        raise BadEntrypoint(f"{wrong}: write path/to/file.py:function or package.module.function")
    return "/".join(parts)


_NOT_FOR_FILES = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")
"""Codecs of Python's own, which Python takes in a coding line all the same; two are quadratic in time."""


def _decode(source: bytes, path: str) -> str:
    from tokenize import detect_encoding

    if len(source) > LARGEST:
        raise BadEntrypoint(
            f"{shown(path)} has {len(source):,} bytes, at most {LARGEST:,} are read; move the flow to a smaller file"
        )
    if b"\0" in source:
        line = source.count(b"\n", 0, source.index(b"\0")) + 1
        raise BadEntrypoint(
            f"{shown(path)}, line {line}: a null byte, as in UTF-16 or a binary file; save it as UTF-8, "
            "or correct the entrypoint"
        )
    try:
        codec = codecs.lookup(detect_encoding(io.BytesIO(source).readline)[0])
        if codec.name in _NOT_FOR_FILES:
            raise LookupError(codec.name)
        return source.decode(codec.name)
    except (SyntaxError, LookupError, ValueError):
        raise BadEntrypoint(
            f"{shown(path)} is not text in the encoding that it declares (UTF-8 if none); save it as UTF-8"
        ) from None


@lru_cache(maxsize=4)  # a file of hundreds of flows is read once for each of them
def _parse(text: str, path: str) -> ast.Module:
    # 3.10 builds a tree of any depth and overflows the C stack on the way, at about 100,000 levels. Its
    # tokenizer bounds brackets; what nests without them (`a.b.c`, `1+1+1`, `f()()`) has an operator a level.
    if sys.version_info < (3, 11) and sum(map(text.count, "+-*/%@&|^<>.([")) > _MOST_OPERATORS:
        raise BadEntrypoint(
            f"{shown(path)} has more than {_MOST_OPERATORS:,} operators, too many for Python 3.10; "
            f"move the flow to a smaller file, {_INSTEAD}"
        )
    try:
        return parsed(text)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        problem = f"{shown(path)}{line}: {_short(error.msg)} (read as Python {version})"
    except ValueError:
        problem = f"{shown(path)} is no Python source"
    raise BadEntrypoint(f"{problem}; correct it, {_INSTEAD}")


# The function


def _find(tree: ast.Module, path: str, function: str) -> _Target:
    """The function of a dotted name, through classes and through calls that make a flow of a function."""
    layers: tuple[Layer, ...] = ()
    bound: Bound = tree
    for part in function.split("."):
        layers = (layer_of(bound.body), *layers) if isinstance(bound, (ast.Module, ast.ClassDef)) else ({},)
        if part not in layers[0]:
            raise BadEntrypoint(f"{shown(path)}: there is no function '{_short(function)}'; {_nearest(tree, function)}")
        bound = layers[0][part][-1]
    scope = Scope(layers, {}, [MOST_STEPS])
    calls: list[ast.Call] = []
    for _ in range(MOST_ALIASES):
        if isinstance(bound, ast.expr):
            bound = _flow_of(bound, scope, calls)
    if isinstance(bound, (ast.FunctionDef, ast.AsyncFunctionDef)):
        calls += (decorator for decorator in bound.decorator_list if isinstance(decorator, ast.Call))
        return _Target(bound, scope, tuple(calls))
    raise BadEntrypoint(f"{shown(path)}: '{_short(function)}' {_why_no_function(bound)}")


def _flow_of(assigned: ast.expr, scope: Scope, calls: list[ast.Call]) -> Bound:
    """What an assigned expression makes a flow of; the calls that may name it are added to `calls`."""
    node: ast.expr | None = assigned
    while isinstance(node, ast.Call):
        node, naming = _made_by(node, scope)
        calls += naming
    if isinstance(node, ast.Name):
        for layer in scope.layers:
            bindings = layer.get(node.id, ())
            # In `etl = flow(etl)` the inner name still is what it was before.
            before = bindings[: bindings.index(assigned)] if assigned in bindings else bindings
            if before:
                return before[-1]
    return None


def _made_by(call: ast.Call, scope: Scope) -> tuple[ast.expr | None, list[ast.Call]]:
    """What `flow(f)`, `flow(name="x")(f)`, `Flow(fn=f)` or `f.with_options(name="x")` is made of, and who names it."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "with_options":
        return call.func.value, [call]
    named = call.func if isinstance(call.func, ast.Call) else call
    if not _is_flow(named.func, scope):
        return None, []
    functions = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "fn")]
    return functions[0] if functions else None, [named]


def _is_flow(node: ast.expr, scope: Scope) -> bool:
    """Whether a decorator or callee is Prefect's `flow` or `Flow`, under whatever name it was imported."""
    bound = resolve(node, scope)
    if isinstance(bound, str):
        return bound.rpartition(".")[2] in ("flow", "Flow")
    return isinstance(node, ast.Name) and node.id in ("flow", "Flow")


def _why_no_function(bound: Bound) -> str:
    if isinstance(bound, ast.ClassDef):
        return "is a class; write file.py:Class.method"
    if isinstance(bound, str) and bound:
        return f"is imported there from '{_short(bound.rpartition('.')[0] or bound)}'; name the file that defines it"
    return f"is made by code that would have to run; point the entrypoint at a def, {_INSTEAD}"


def _nearest(tree: ast.Module, function: str) -> str:
    from difflib import get_close_matches

    functions: list[str] = []
    for node in statements(tree.body):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            functions.append(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = (inner for inner in node.body if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)))
            functions += (f"{node.name}.{method.name}" for method in methods)
    if not functions:
        return "it defines none at all, correct the entrypoint"
    short = [name for name in functions if len(name) < 100][:1000]  # matching is quadratic
    near = get_close_matches(function[:100], short, cutoff=0.5) or functions[:3]
    return f"correct the entrypoint, for example to {' or '.join(map(_short, near))}"


def _flow_name(target: _Target, path: str) -> str:
    """The name that the first call with one gives, else the function's as Prefect turns it."""
    for call in target.calls:
        options = isinstance(call.func, ast.Attribute) and call.func.attr == "with_options"
        if options or _is_flow(call.func, target.scope):
            try:
                name = _given_name(call, target.scope)
            except (Unknown, RecursionError):
                raise BadEntrypoint(
                    f"{shown(path)}, line {call.lineno}: the name of flow '{_short(target.node.name)}' is computed "
                    f"when the code runs; give flow_name in the manifest, or write the name out"
                ) from None
            if name:
                return name
    return target.node.name.replace("_", "-")


def _given_name(call: ast.Call, scope: Scope) -> str | None:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "name"] or call.args[1:2]
    if given:
        name = value_of(given[0], scope)
        if name is None or isinstance(name, str):
            return name
        raise Unknown
    if any(keyword.arg is None for keyword in call.keywords):
        raise Unknown  # **options may hold a name
    return None


# Parameters


def _parameter_schema(target: _Target) -> Schema:
    """The schema of a function's parameters, with the keys that `prefect deploy` stores."""
    descriptions = described(ast.get_docstring(target.node, clean=False) or "")
    properties: dict[str, Json] = {}
    required: list[Json] = []
    definitions: dict[str, Json] = {}
    for position, parameter in enumerate(_parameters(target.node.args)):
        if parameter.name in ("self", "cls"):
            continue  # Prefect leaves out these names wherever they stand, and counts their positions
        scope = target.scope._replace(definitions={})
        found = _property(parameter, descriptions.get(parameter.name), scope)
        properties[parameter.name] = {**found, "title": parameter.name, "position": position}
        definitions.update(scope.definitions)
        if _is_required(parameter.default, found, scope):
            required.append(parameter.name)
    schema: Schema = {"title": "Parameters", "type": "object", "properties": properties}
    schema.update({"required": required} if required else {})
    schema.update({"definitions": definitions} if definitions else {})
    return schema


def _parameters(arguments: ast.arguments) -> Iterator[_Parameter]:
    """In the order of `inspect.signature`."""
    positional = [*arguments.posonlyargs, *arguments.args]
    without = len(positional) - len(arguments.defaults)
    for argument, default in zip(positional, [*[None] * without, *arguments.defaults], strict=True):
        yield _Parameter(argument.arg, argument.annotation, default)
    if arguments.vararg:
        yield _Parameter(arguments.vararg.arg, arguments.vararg.annotation, None)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _Parameter(argument.arg, argument.annotation, default)
    if arguments.kwarg:
        yield _Parameter(arguments.kwarg.arg, arguments.kwarg.annotation, None)


def _property(parameter: _Parameter, description: str | None, scope: Scope) -> Schema:
    """The schema of one parameter, but for title and position."""
    found = annotation_schema(parameter.annotation, scope)
    default = parameter.default
    if default is not None:
        found.pop("default", None)
    field = as_field(default, scope)
    if field is not None:
        # Prefect takes these two from a Field that is the default, and none of its constraints.
        default = _field_default(field)
        description = _field_description(field, scope) or description
    try:
        if default is not None and not is_ellipsis(default):
            found["default"] = value_of(default, scope)
    except (Unknown, RecursionError):
        pass  # it has a default, and only the running code knows which
    return found if description is None else {**found, "description": description}


def _is_required(default: ast.expr | None, found: Schema, scope: Scope) -> bool:
    field = as_field(default, scope)
    default = default if field is None else _field_default(field)
    return (default is None and "default" not in found) or is_ellipsis(default)


def _field_default(field: ast.Call) -> ast.expr | None:
    given = [*field.args[:1], *(keyword.value for keyword in field.keywords if keyword.arg == "default")]
    unpacked = any(keyword.arg is None for keyword in field.keywords)
    return given[0] if given else field if unpacked else None


def _field_description(field: ast.Call, scope: Scope) -> str | None:
    try:
        given = [value_of(keyword.value, scope) for keyword in field.keywords if keyword.arg == "description"]
    except (Unknown, RecursionError):
        return None
    return given[0] if given and isinstance(given[0], str) else None
