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
import operator
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import chain
from typing import NamedTuple, Union

from git_deployments.errors import DeploymentsError
from git_deployments.model import Json
from git_deployments.names import shown

LARGEST = 1 << 20
"""Bytes that a source file may have."""

_MOST_OPERATORS = 30_000
_MOST_STEPS = 100_000
"""Nodes read for one flow: aliases of aliases can double at each level."""
_MOST_ALIASES = 100
"""Followed one after the other: they may go round in circles."""
_LONGEST_ANNOTATION = 10_000
"""Characters of one that is written as a string."""
_MOST_BITS = 1024
"""Of a number in a default: longer ones are of no use in JSON, and some Python refuses to print."""

_INSTEAD = "or give flow_name and parameter_openapi_schema in the manifest"


class BadEntrypoint(DeploymentsError):
    """An entrypoint that names no function, or a source file that cannot be read as Python."""


class Flow(NamedTuple):
    """What a deployment needs to know of its flow."""

    name: str
    """The flow's half of a deployment's name."""
    schema: dict[str, Json]
    """`parameter_openapi_schema`."""


class _Unknown(Exception):
    """What an expression means cannot be told without running code."""


_Schema = dict[str, Json]
_Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]

_Bound = Union[ast.AST, str, None]
"""What a name stands for: a definition or an expression; the dotted name of what was imported; or
None where it was bound in a way that is not followed."""

_Layer = Mapping[str, Sequence[_Bound]]
"""The names of one module or class, each with all its bindings in order."""


class _Scope(NamedTuple):
    """Where names are looked up, and what was met on the way."""

    layers: tuple[_Layer, ...]
    """Innermost first; the module's is the last."""
    definitions: dict[str, Json]
    """Schemas of the enumerations that were met, by class name."""
    steps: list[int]
    """One number: how many more may be taken for this flow."""


class _Target(NamedTuple):
    """The function that an entrypoint names."""

    node: _Function
    scope: _Scope
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


def _parse(text: str, path: str) -> ast.Module:
    # 3.10 builds a tree of any depth and overflows the C stack on the way, at about 100,000 levels. Its
    # tokenizer bounds brackets; what nests without them (`a.b.c`, `1+1+1`, `f()()`) has an operator a level.
    if sys.version_info < (3, 11) and sum(map(text.count, "+-*/%@&|^<>.([")) > _MOST_OPERATORS:
        raise BadEntrypoint(
            f"{shown(path)} has more than {_MOST_OPERATORS:,} operators, too many for Python 3.10; "
            f"move the flow to a smaller file, {_INSTEAD}"
        )
    try:
        return _tree(text)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        problem = f"{shown(path)}{line}: {_short(error.msg)} (read as Python {version})"
    except ValueError:
        problem = f"{shown(path)} is no Python source"
    raise BadEntrypoint(f"{problem}; correct it, {_INSTEAD}")


def _tree(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are for who runs the flow
        return ast.parse(text)


# Names


_BLOCKS = (ast.stmt, ast.ExceptHandler, ast.match_case)


def _layer(body: Iterable[ast.stmt]) -> _Layer:
    names: dict[str, list[_Bound]] = {}
    for node in _statements(body):
        for name, bound in _bindings(node):
            known = names.setdefault(name, [])
            if bound not in known[-1:]:
                known.append(bound)
    return names


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """The statements of one scope in order, those inside `if`, `try`, `with`, loops and `match` included."""
    pending: list[ast.AST] = [*body]
    pending.reverse()
    while pending:
        node = pending.pop()
        yield node
        inner: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = ()
        elif isinstance(node, ast.If) and _is_for_scripts(node.test):
            inner = node.orelse
        pending += [child for child in inner if isinstance(child, _BLOCKS)][::-1]


def _is_for_scripts(test: ast.expr) -> bool:
    """Whether this is `__name__ == "__main__"`, which does not hold where Prefect imports the file."""
    if not (isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and isinstance(test.ops[0], ast.Eq)):
        return False
    right = test.comparators[0]
    return test.left.id == "__name__" and isinstance(right, ast.Constant) and right.value == "__main__"


def _bindings(node: ast.AST) -> Iterator[tuple[str, _Bound]]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name, node
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from _imported(node)
    else:
        targets: list[ast.expr] = []
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((target.id, node.value) for target in targets if isinstance(target, ast.Name) and node.value)
        yield from ((name, None) for name in _stored(node, targets))


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield alias.asname or alias.name, _canonical(f"{module}.{alias.name}")
        else:
            bound = alias.name if alias.asname else alias.name.split(".")[0]
            yield alias.asname or bound, _canonical(bound)


def _stored(node: ast.AST, targets: list[ast.expr]) -> Iterator[str]:
    """The names that a statement binds otherwise than as a plain target: `for`, `as`, `del`, `:=`, patterns."""
    if isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name
    plain = [target for target in targets if isinstance(target, ast.Name)]
    parts = (child for child in ast.iter_child_nodes(node) if not isinstance(child, _BLOCKS) and child not in plain)
    for child in chain.from_iterable(map(ast.walk, parts)):
        if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
            yield child.id
        elif isinstance(child, (ast.MatchAs, ast.MatchStar)) and child.name:
            yield child.name
        elif isinstance(child, ast.MatchMapping) and child.rest:
            yield child.rest


_SAME_MODULE = {
    "typing_extensions": "typing",
    "collections.abc": "typing",
    "pydantic.fields": "pydantic",
    "pydantic.networks": "pydantic",
    "pydantic.types": "pydantic",
}


def _canonical(dotted: str) -> str:
    """One spelling for what several modules export."""
    if dotted in _SAME_MODULE:
        return _SAME_MODULE[dotted]
    module, dot, name = dotted.rpartition(".")
    return _SAME_MODULE.get(module, module) + dot + name


def _look_up(name: str, scope: _Scope) -> _Bound:
    """What a name stands for; what nothing binds is a builtin. None if it is bound to different things."""
    for layer in scope.layers:
        if name in layer:
            last = layer[name][-1]
            return last if all(bound == last for bound in layer[name]) else None
    return f"builtins.{name}"


def _resolve(node: ast.expr, scope: _Scope) -> _Bound:
    """Follow a name, a module's attribute or an alias of one to what it stands for."""
    attributes: list[str] = []
    bound: _Bound = node
    for _ in range(_MOST_ALIASES):
        while isinstance(bound, ast.Attribute):
            attributes.append(bound.attr)
            bound = bound.value
        if not isinstance(bound, ast.Name):
            break
        bound = _look_up(bound.id, scope)
    if not attributes and bound is not node:
        return bound
    return _canonical(".".join([bound, *reversed(attributes)])) if isinstance(bound, str) else None


def _take_steps(scope: _Scope, steps: int = 1) -> None:
    scope.steps[0] -= steps
    if scope.steps[0] < 0:
        raise _Unknown


# The function


def _find(tree: ast.Module, path: str, function: str) -> _Target:
    """The function of a dotted name, through classes and through calls that make a flow of a function."""
    layers: tuple[_Layer, ...] = ()
    bound: _Bound = tree
    for part in function.split("."):
        layers = (_layer(bound.body), *layers) if isinstance(bound, (ast.Module, ast.ClassDef)) else ({},)
        if part not in layers[0]:
            raise BadEntrypoint(f"{shown(path)}: there is no function '{_short(function)}'; {_nearest(tree, function)}")
        bound = layers[0][part][-1]
    scope = _Scope(layers, {}, [_MOST_STEPS])
    calls: list[ast.Call] = []
    for _ in range(_MOST_ALIASES):
        if isinstance(bound, ast.expr):
            bound = _flow_of(bound, scope, calls)
    if isinstance(bound, (ast.FunctionDef, ast.AsyncFunctionDef)):
        calls += (decorator for decorator in bound.decorator_list if isinstance(decorator, ast.Call))
        return _Target(bound, scope, tuple(calls))
    raise BadEntrypoint(f"{shown(path)}: '{_short(function)}' {_why_no_function(bound)}")


def _flow_of(assigned: ast.expr, scope: _Scope, calls: list[ast.Call]) -> _Bound:
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


def _made_by(call: ast.Call, scope: _Scope) -> tuple[ast.expr | None, list[ast.Call]]:
    """What `flow(f)`, `flow(name="x")(f)`, `Flow(fn=f)` or `f.with_options(name="x")` is made of, and who names it."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "with_options":
        return call.func.value, [call]
    named = call.func if isinstance(call.func, ast.Call) else call
    if not _is_flow(named.func, scope):
        return None, []
    functions = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "fn")]
    return functions[0] if functions else None, [named]


def _is_flow(node: ast.expr, scope: _Scope) -> bool:
    """Whether a decorator or callee is Prefect's `flow` or `Flow`, under whatever name it was imported."""
    bound = _resolve(node, scope)
    if isinstance(bound, str):
        return bound.rpartition(".")[2] in ("flow", "Flow")
    return isinstance(node, ast.Name) and node.id in ("flow", "Flow")


def _why_no_function(bound: _Bound) -> str:
    if isinstance(bound, ast.ClassDef):
        return "is a class; write file.py:Class.method"
    if isinstance(bound, str) and bound:
        return f"is imported there from '{_short(bound.rpartition('.')[0] or bound)}'; name the file that defines it"
    return f"is made by code that would have to run; point the entrypoint at a def, {_INSTEAD}"


def _nearest(tree: ast.Module, function: str) -> str:
    from difflib import get_close_matches

    functions: list[str] = []
    for node in _statements(tree.body):
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
            except (_Unknown, RecursionError):
                raise BadEntrypoint(
                    f"{shown(path)}, line {call.lineno}: the name of flow '{_short(target.node.name)}' is computed "
                    f"when the code runs; give flow_name in the manifest, or write the name out"
                ) from None
            if name:
                return name
    return target.node.name.replace("_", "-")


def _given_name(call: ast.Call, scope: _Scope) -> str | None:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "name"] or call.args[1:2]
    if given:
        name = _value(given[0], scope)
        if name is None or isinstance(name, str):
            return name
        raise _Unknown
    if any(keyword.arg is None for keyword in call.keywords):
        raise _Unknown  # **options may hold a name
    return None


# Parameters


def _parameter_schema(target: _Target) -> _Schema:
    """The schema of a function's parameters, with the keys that `prefect deploy` stores."""
    descriptions = _described(ast.get_docstring(target.node, clean=False) or "")
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
    schema: _Schema = {"title": "Parameters", "type": "object", "properties": properties}
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


def _property(parameter: _Parameter, description: str | None, scope: _Scope) -> _Schema:
    """The schema of one parameter, but for title and position."""
    found = _annotation(parameter.annotation, scope)
    default = parameter.default
    if default is not None:
        found.pop("default", None)
    field = _field(default, scope)
    if field is not None:
        # Prefect takes these two from a Field that is the default, and none of its constraints.
        default = _field_default(field)
        description = _field_description(field, scope) or description
    try:
        if default is not None and not _is_ellipsis(default):
            found["default"] = _value(default, scope)
    except (_Unknown, RecursionError):
        pass  # it has a default, and only the running code knows which
    return found if description is None else {**found, "description": description}


def _is_required(default: ast.expr | None, found: _Schema, scope: _Scope) -> bool:
    field = _field(default, scope)
    default = default if field is None else _field_default(field)
    return (default is None and "default" not in found) or _is_ellipsis(default)


def _is_ellipsis(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _field(node: ast.expr | None, scope: _Scope) -> ast.Call | None:
    return node if isinstance(node, ast.Call) and _resolve(node.func, scope) == "pydantic.Field" else None


def _field_default(field: ast.Call) -> ast.expr | None:
    given = [*field.args[:1], *(keyword.value for keyword in field.keywords if keyword.arg == "default")]
    unpacked = any(keyword.arg is None for keyword in field.keywords)
    return given[0] if given else field if unpacked else None


def _field_description(field: ast.Call, scope: _Scope) -> str | None:
    try:
        given = [_value(keyword.value, scope) for keyword in field.keywords if keyword.arg == "description"]
    except (_Unknown, RecursionError):
        return None
    return given[0] if given and isinstance(given[0], str) else None


def _annotation(annotation: ast.expr | None, scope: _Scope) -> _Schema:
    """The schema of a parameter's annotation; empty where that cannot be told."""
    try:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = _unquoted(annotation.value, scope)
        found = {} if annotation is None else _schema(annotation, scope)
    except (_Unknown, RecursionError):
        scope.definitions.clear()
        return {}
    return {key: value for key, value in found.items() if key not in ("title", "description")}


def _unquoted(text: str, scope: _Scope) -> ast.expr:
    """The expression of an annotation that is written as a string."""
    _take_steps(scope, 1 + len(text))
    try:
        body = _tree(text.strip()).body if len(text) <= _LONGEST_ANNOTATION else []
    except (SyntaxError, ValueError, MemoryError):
        raise _Unknown from None
    if len(body) == 1 and isinstance(body[0], ast.Expr):
        return body[0].value
    raise _Unknown


# Types


_TYPES: Mapping[str, str] = {
    "builtins.bool": "boolean",
    "builtins.float": "number",
    "builtins.int": "integer",
    "builtins.str": "string",
    "pydantic.FiniteFloat": "number",
    "pydantic.StrictBool": "boolean",
    "pydantic.StrictFloat": "number",
    "pydantic.StrictInt": "integer",
    "pydantic.StrictStr": "string",
    "typing.Text": "string",
}

_FORMATS: Mapping[str, str] = {
    "builtins.bytes": "binary",
    "datetime.date": "date",
    "datetime.datetime": "date-time",
    "datetime.time": "time",
    "datetime.timedelta": "duration",
    "ipaddress.IPv4Address": "ipv4",
    "ipaddress.IPv4Interface": "ipv4interface",
    "ipaddress.IPv4Network": "ipv4network",
    "ipaddress.IPv6Address": "ipv6",
    "ipaddress.IPv6Interface": "ipv6interface",
    "ipaddress.IPv6Network": "ipv6network",
    "pathlib.Path": "path",
    "pathlib.PosixPath": "path",
    "pathlib.PurePath": "path",
    "pydantic.AwareDatetime": "date-time",
    "pydantic.DirectoryPath": "directory-path",
    "pydantic.FilePath": "file-path",
    "pydantic.NaiveDatetime": "date-time",
    "pydantic.UUID4": "uuid4",
    "re.Pattern": "regex",
    "typing.Pattern": "regex",
    "uuid.UUID": "uuid",
}

_SCHEMAS: Mapping[str, _Schema] = {
    "builtins.object": {},
    "decimal.Decimal": {"anyOf": [{"type": "number"}, {"type": "string"}]},
    "pydantic.AnyHttpUrl": {"type": "string", "format": "uri", "minLength": 1},
    "pydantic.AnyUrl": {"type": "string", "format": "uri", "minLength": 1},
    "pydantic.HttpUrl": {"type": "string", "format": "uri", "minLength": 1, "maxLength": 2083},
    "pydantic.NegativeFloat": {"type": "number", "exclusiveMaximum": 0},
    "pydantic.NegativeInt": {"type": "integer", "exclusiveMaximum": 0},
    "pydantic.NonNegativeFloat": {"type": "number", "minimum": 0},
    "pydantic.NonNegativeInt": {"type": "integer", "minimum": 0},
    "pydantic.NonPositiveFloat": {"type": "number", "maximum": 0},
    "pydantic.NonPositiveInt": {"type": "integer", "maximum": 0},
    "pydantic.PositiveFloat": {"type": "number", "exclusiveMinimum": 0},
    "pydantic.PositiveInt": {"type": "integer", "exclusiveMinimum": 0},
    "pydantic.SecretStr": {"type": "string", "format": "password", "writeOnly": True},
    "typing.Any": {},
}

_NULL: _Schema = {"type": "null"}


def _schema(node: ast.expr, scope: _Scope) -> _Schema:
    """The schema of a type expression. Raises `_Unknown` where any part of it is unknown."""
    _take_steps(scope)
    if isinstance(node, ast.Constant):
        return _constant_type(node.value, scope)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _any_of([_schema(node.left, scope), _schema(node.right, scope)])
    if isinstance(node, ast.Subscript):
        return _generic(node, scope)
    if isinstance(node, ast.Call):
        return _new_type(node, scope)
    bound = _resolve(node, scope)
    if isinstance(bound, str):
        return _named_type(bound, scope)
    if isinstance(bound, ast.ClassDef):
        return _enumeration(bound, scope)
    if isinstance(bound, ast.expr):
        return _schema(bound, scope)
    raise _Unknown


def _constant_type(value: object, scope: _Scope) -> _Schema:
    if value is None:
        return {**_NULL}
    if isinstance(value, str):
        # Quoted inside another type, Prefect resolves nothing but builtins.
        return _schema(_unquoted(value, scope), scope._replace(layers=()))
    raise _Unknown


def _named_type(dotted: str, scope: _Scope) -> _Schema:
    if dotted in _TYPES:
        return {"type": _TYPES[dotted]}
    if dotted in _FORMATS:
        return {"type": "string", "format": _FORMATS[dotted]}
    if dotted in _SCHEMAS:
        return deepcopy(_SCHEMAS[dotted])
    if dotted in _CONTAINERS:
        return _CONTAINERS[dotted](None, scope)
    raise _Unknown


def _new_type(call: ast.Call, scope: _Scope) -> _Schema:
    if _resolve(call.func, scope) == "typing.NewType" and len(call.args) == 2:
        return _schema(call.args[1], scope)
    raise _Unknown


def _generic(node: ast.Subscript, scope: _Scope) -> _Schema:
    origin = _resolve(node.value, scope)
    if not isinstance(origin, str) or origin not in _GENERICS:
        raise _Unknown
    return _GENERICS[origin](_between_brackets(node), scope)


def _between_brackets(node: ast.Subscript) -> list[ast.expr]:
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _any_of(schemas: Iterable[_Schema]) -> _Schema:
    """A union as pydantic writes it: flat, without repetition, null last."""
    members: dict[str, Json] = {}
    for schema in schemas:
        inner = schema["anyOf"] if schema.keys() == {"anyOf"} else None
        members.update((repr(member), member) for member in (inner if isinstance(inner, list) else [schema]))
    null = members.pop(repr(_NULL), None)
    found = [*members.values(), *([] if null is None else [null])]
    if not found:
        raise _Unknown
    return found[0] if len(found) == 1 and isinstance(found[0], dict) else {"anyOf": found}


_Arguments = Union[Sequence[ast.expr], None]
"""Of a generic type; None where it stands bare."""


def _union(arguments: _Arguments, scope: _Scope) -> _Schema:
    return _any_of([_schema(argument, scope) for argument in arguments or ()])


def _optional(arguments: _Arguments, scope: _Scope) -> _Schema:
    return _any_of([_only(arguments, scope), _NULL])


def _only(arguments: _Arguments, scope: _Scope) -> _Schema:
    """The schema of the one argument; empty for a bare type."""
    if arguments is None:
        return {}
    if len(arguments) != 1:
        raise _Unknown
    return _schema(arguments[0], scope)


def _array(arguments: _Arguments, scope: _Scope) -> _Schema:
    return {"type": "array", "items": _only(arguments, scope)}


def _set(arguments: _Arguments, scope: _Scope) -> _Schema:
    return {"type": "array", "items": _only(arguments, scope), "uniqueItems": True}


def _tuple(arguments: _Arguments, scope: _Scope) -> _Schema:
    if arguments is None or (len(arguments) == 2 and _is_ellipsis(arguments[1])):
        return _array(arguments and arguments[:1], scope)
    items: list[Json] = [_schema(argument, scope) for argument in arguments]
    size: _Schema = {"type": "array", "minItems": len(items), "maxItems": len(items)}
    return {**size, "prefixItems": items} if items else size


def _mapping(arguments: _Arguments, scope: _Scope) -> _Schema:
    if arguments is None:
        return {"type": "object", "additionalProperties": True}
    if len(arguments) != 2:
        raise _Unknown
    keys, values = (_schema(argument, scope) for argument in arguments)
    found: _Schema = {"type": "object", "additionalProperties": values or True}
    if "pattern" in keys:
        raise _Unknown
    if "$ref" in keys or (keys.get("type") == "string" and len(keys) > 1):
        found["propertyNames"] = {key: value for key, value in keys.items() if key not in ("type", "title")}
    return found


def _counter(arguments: _Arguments, scope: _Scope) -> _Schema:
    _only(arguments, scope)
    return {"type": "object", "additionalProperties": {"type": "integer"}}


def _pattern(_arguments: _Arguments, _scope: _Scope) -> _Schema:
    return {"type": "string", "format": "regex"}


_Scalar = Union[None, bool, int, float, str]


def _literal(arguments: _Arguments, scope: _Scope) -> _Schema:
    found = chain.from_iterable(_literal_values(argument, scope) for argument in arguments or ())
    values: list[Json] = [*{(type(value), value): value for value in found}.values()]
    if not values:
        raise _Unknown
    return {**({"const": values[0]} if len(values) == 1 else {"enum": values}), **_common_type(values)}


def _literal_values(node: ast.expr, scope: _Scope) -> list[_Scalar]:
    """The values of one argument of `Literal`, which may be another `Literal`."""
    bound = _resolve(node, scope)
    inner = bound if isinstance(bound, ast.Subscript) else node
    if isinstance(inner, ast.Subscript) and _resolve(inner.value, scope) == "typing.Literal":
        return list(chain.from_iterable(_literal_values(argument, scope) for argument in _between_brackets(inner)))
    value = _value(node, scope)
    if isinstance(value, (list, dict)):
        raise _Unknown
    return [value]


_NAMES_OF_TYPES: Mapping[type, str] = {
    bool: "boolean",
    float: "number",
    int: "integer",
    str: "string",
    type(None): "null",
}


def _common_type(values: Iterable[Json]) -> _Schema:
    types = {_NAMES_OF_TYPES[type(value)] for value in values}
    return {"type": types.pop()} if len(types) == 1 else {}


def _with_metadata(arguments: _Arguments, scope: _Scope) -> _Schema:
    """`Annotated`: constants mean nothing to pydantic, `Field` narrows, anything else may do whatever it likes."""
    if not arguments:
        raise _Unknown
    found = _schema(arguments[0], scope)
    for note in arguments[1:]:
        field = _field(note, scope)
        if field is not None:
            found = _narrowed(found, field, scope)
        elif not isinstance(note, ast.Constant):
            raise _Unknown
    return found


_LIMITS: Mapping[str, Mapping[str, str]] = {
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "object": {"min_length": "minProperties", "max_length": "maxProperties"},
    "string": {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"},
    "integer": {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"},
}
"""What `Field` calls the limits of JSON Schema, by the type that they are for."""

_NOTES: Mapping[str, tuple[type, ...]] = {
    "default": (object,),
    "description": (str,),
    "examples": (list,),
    "title": (str,),
}
"""Options of `Field` that go into the schema as they are."""


def _narrowed(schema: _Schema, field: ast.Call, scope: _Scope) -> _Schema:
    """`schema` with what a `Field` beside it says."""
    if field.args or any(keyword.arg is None for keyword in field.keywords):
        raise _Unknown
    options = {keyword.arg or "": _value(keyword.value, scope) for keyword in field.keywords}
    notes = {key: value for key, value in options.items() if key in _NOTES}
    if not all(isinstance(value, _NOTES[key]) for key, value in notes.items()):
        raise _Unknown
    limits = {key: value for key, value in options.items() if key not in (*_NOTES, "frozen", "repr", "strict")}
    return {**_limited(schema, limits), **notes}


def _limited(schema: _Schema, limits: Mapping[str, Json]) -> _Schema:
    if not limits:
        return schema
    members = schema.get("anyOf")
    if isinstance(members, list) and len(members) == 2 and members[1] == _NULL and isinstance(members[0], dict):
        return {**schema, "anyOf": [_limited(members[0], limits), members[1]]}
    kind = schema.get("type")
    keywords = _LIMITS.get("integer" if kind == "number" else str(kind), {})
    if not all(key in keywords and _is_limit(key, value) for key, value in limits.items()):
        raise _Unknown
    return {**schema, **{keywords[key]: value for key, value in limits.items()}}


def _is_limit(name: str, value: Json) -> bool:
    """Whether JSON Schema takes the value too: pydantic's patterns are of another dialect than its."""
    if name == "pattern":
        return isinstance(value, str) and _is_pattern(value)
    if name in ("min_length", "max_length"):
        return type(value) is int and value >= 0
    return type(value) in (int, float)


def _is_pattern(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


_CONTAINERS: Mapping[str, Callable[[_Arguments, _Scope], _Schema]] = {
    "builtins.dict": _mapping,
    "builtins.frozenset": _set,
    "builtins.list": _array,
    "builtins.set": _set,
    "builtins.tuple": _tuple,
    "collections.Counter": _counter,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "collections.deque": _array,
    "typing.AbstractSet": _set,
    "typing.Counter": _counter,
    "typing.DefaultDict": _mapping,
    "typing.Deque": _array,
    "typing.Dict": _mapping,
    "typing.FrozenSet": _set,
    "typing.Iterable": _array,
    "typing.List": _array,
    "typing.Mapping": _mapping,
    "typing.MutableMapping": _mapping,
    "typing.MutableSequence": _array,
    "typing.OrderedDict": _mapping,
    "typing.Sequence": _array,
    "typing.Set": _set,
    "typing.Tuple": _tuple,
}

_GENERICS: Mapping[str, Callable[[_Arguments, _Scope], _Schema]] = {
    **_CONTAINERS,
    "re.Pattern": _pattern,
    "typing.Annotated": _with_metadata,
    "typing.Final": _only,
    "typing.Literal": _literal,
    "typing.Optional": _optional,
    "typing.Pattern": _pattern,
    "typing.Union": _union,
}


# Enumerations


_MIXINS: Mapping[tuple[str, ...], tuple[type, ...]] = {
    ("enum.Enum",): (str, int, float, bool, type(None)),
    ("enum.IntEnum",): (int,),
    ("enum.StrEnum",): (str,),
    ("builtins.float", "enum.Enum"): (float,),
    ("builtins.int", "enum.Enum"): (int,),
    ("builtins.str", "enum.Enum"): (str,),
}
"""The bases of an enumeration, and the types of value that stay what they are under them."""

_HARMLESS_METHODS = ("__format__", "__hash__", "__repr__", "__str__", "_missing_")


def _enumeration(node: ast.ClassDef, scope: _Scope) -> _Schema:
    """A reference to the definition of an enumeration of the module with literal values."""
    if scope.layers[-1].get(node.name) != [node] or not node.name.isascii():
        raise _Unknown
    values = list(_members(node, scope).values())
    definition: _Schema = {"title": node.name, "enum": values}
    definition.update({} if None in values else _common_type(values))
    text = _cleaned(ast.get_docstring(node, clean=False) or "")
    definition.update({"description": text} if text else {})
    scope.definitions[node.name] = definition
    return {"$ref": f"#/definitions/{node.name}"}


def _members(node: ast.ClassDef, scope: _Scope) -> dict[str, Json]:
    bases = tuple(str(_resolve(base, scope)) for base in node.bases)
    unique = all(_resolve(decorator, scope) == "enum.unique" for decorator in node.decorator_list)
    if bases not in _MIXINS or node.keywords or not unique:
        raise _Unknown
    members: dict[str, Json] = {}
    for statement in node.body:
        members.update(_member(statement, scope))
    if not members or not all(type(value) in _MIXINS[bases] for value in members.values()):
        raise _Unknown
    return members


def _member(node: ast.stmt, scope: _Scope) -> dict[str, Json]:
    """What one statement adds to an enumeration; nothing for docstrings and methods."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return {}
    if isinstance(node, ast.FunctionDef) and (node.name[0] != "_" or node.name in _HARMLESS_METHODS):
        return {}
    targets: list[ast.expr] = []
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if len(targets) == 1 and isinstance(targets[0], ast.Name) and targets[0].id[0] != "_" and node.value:
            return {targets[0].id: _value(node.value, scope)}
    raise _Unknown


# Values


def _value(node: ast.expr, scope: _Scope) -> Json:
    """The JSON value of an expression, as pydantic writes a default. Raises `_Unknown`."""
    _take_steps(scope)
    if isinstance(node, ast.Constant):
        return _constant(node.value)
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(element, scope) for element in node.elts]
    if isinstance(node, ast.Set):
        return _sorted([_value(element, scope) for element in node.elts])
    if isinstance(node, ast.Dict):
        return {_key(key, scope): _value(value, scope) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, (ast.BinOp, ast.UnaryOp)):
        return _constant(_computed(node, scope))
    if isinstance(node, ast.Attribute):
        return _member_value(node, scope)
    if isinstance(node, ast.Name):
        bound = _look_up(node.id, scope)
        if isinstance(bound, ast.expr) and not isinstance(bound, (ast.List, ast.Set, ast.Dict)):
            return _value(bound, scope)  # those three may have been changed since
    raise _Unknown


def _constant(value: object) -> Json:
    try:
        if isinstance(value, str):
            value.encode()
            return value
        if isinstance(value, bytes):
            return value.decode()
    except ValueError:  # surrogates, or bytes that are no text
        raise _Unknown from None
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() <= _MOST_BITS:
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    raise _Unknown


def _sorted(values: list[Json]) -> list[Json]:
    """As pydantic orders a set: sorted where its elements compare."""
    try:
        return sorted(values)  # type: ignore[type-var]
    except TypeError:
        return values


def _key(node: ast.expr | None, scope: _Scope) -> str:
    key = None if node is None else _value(node, scope)
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise _Unknown


_ARITHMETIC: Mapping[type, Callable[[int | float, int | float], int | float]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Sub: operator.sub,
}


def _computed(node: ast.BinOp | ast.UnaryOp, scope: _Scope) -> object:
    """`-1`, `60 * 60` and the like."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        value = _number(node.operand, scope)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        try:
            return _ARITHMETIC[type(node.op)](_number(node.left, scope), _number(node.right, scope))
        except OverflowError:
            pass
    raise _Unknown


def _number(node: ast.expr, scope: _Scope) -> int | float:
    value = _value(node, scope)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise _Unknown


def _member_value(node: ast.Attribute, scope: _Scope) -> Json:
    """`Color.RED` and `Color.RED.value`, which are the same in JSON."""
    if node.attr == "value" and isinstance(node.value, ast.Attribute):
        node = node.value
    enumeration = _resolve(node.value, scope)
    if isinstance(enumeration, ast.ClassDef):
        members = _members(enumeration, scope)
        if node.attr in members:
            return members[node.attr]
    raise _Unknown


# Docstrings


_HEADING = re.compile(r"(\w[\s\w-]*):(\s+\S.*)?\s*$")
_OF_PARAMETERS = ("args", "arguments", "params", "parameters")


def _cleaned(docstring: str) -> str:
    """As `inspect.cleandoc` does, which would cost the import of `inspect`; and fit for UTF-8."""
    first, *rest = docstring.encode("utf-8", "replace").decode().expandtabs().split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first.lstrip(), *(line[margin:] for line in rest)]).strip("\n")


def _described(docstring: str) -> dict[str, str]:
    """The descriptions of parameters in a Google style docstring, read as Prefect's parser reads them.

    A section is a heading with an empty line above and an indented line below; of several sections
    of parameters, the last counts. Fences hide headings.
    """
    lines = _cleaned(docstring).rstrip().split("\n")
    found: dict[str, str] = {}
    fenced = False
    at = 0
    while at < len(lines):
        heading = _HEADING.match(lines[at])
        if lines[at].lstrip(" ").startswith("```"):
            fenced = not fenced
        elif heading and not fenced and _opens_section(lines, at):
            block = _indented(lines, at + 1)
            if heading[1].lower() in _OF_PARAMETERS:
                found = dict(_described_items(block))
            at += len(block)
        at += 1
    return found


def _opens_section(lines: list[str], at: int) -> bool:
    first, second = (*lines[at + 1 : at + 3], "", "")[:2]
    below = first if first.startswith(" ") or not first.strip() else second
    return (at == 0 or not lines[at - 1].strip()) and below.startswith(" ") and bool(below.strip())


def _indented(lines: list[str], start: int) -> list[str]:
    """The lines from `start` that are indented at least as far as the first of them; none if that is not."""
    margin = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
    end = start
    while margin and end < len(lines) and (lines[end].startswith(margin) or not lines[end].strip()):
        end += 1
    return lines[start:end]


def _described_items(block: list[str]) -> Iterator[tuple[str, str]]:
    """The `name: description` and `name (type): description` of a section, with their continuation lines."""
    margin = len(block[0]) - len(block[0].lstrip()) if block else 0
    items: list[list[str]] = []
    for line in block:
        if line.strip() and not line[margin].isspace():
            items.append([line[margin:]])
        else:
            whole = line.startswith(" " * 2 * margin)
            items[-1].append(line[2 * margin :] if whole else line.lstrip())
    for first, *rest in items:
        name, colon, text = first.partition(":")
        if colon:
            name = name.split("(", 1)[0].strip() if "(" in name and name.endswith(")") else name
            yield name, "\n".join([text.lstrip(), *rest]).rstrip("\n")
