"""The JSON schema of a type as it is written: the one that pydantic makes of the type itself. Nothing is run."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from itertools import chain
from typing import Union

from git_deployments.docstrings import cleaned
from git_deployments.model import Json
from git_deployments.syntax import Scope, Unknown, parsed, resolve, take_steps
from git_deployments.values import members_of, value_of

_LONGEST_ANNOTATION = 10_000
"""Characters of one that is written as a string."""

Schema = dict[str, Json]
"""JSON Schema, as `parameter_openapi_schema` holds it."""


def annotation_schema(annotation: ast.expr | None, scope: Scope) -> Schema:
    """The schema of a parameter's annotation; empty where that cannot be told."""
    try:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = _unquoted(annotation.value, scope)
        found = {} if annotation is None else _schema(annotation, scope)
    except (Unknown, RecursionError):
        scope.definitions.clear()
        return {}
    return {key: value for key, value in found.items() if key not in ("title", "description")}


def is_ellipsis(node: ast.expr | None) -> bool:
    """Whether it is written as `...`."""
    return isinstance(node, ast.Constant) and node.value is ...


def as_field(node: ast.expr | None, scope: Scope) -> ast.Call | None:
    """The call of pydantic's `Field` that an expression is; None where it is something else."""
    return node if isinstance(node, ast.Call) and resolve(node.func, scope) == "pydantic.Field" else None


def _unquoted(text: str, scope: Scope) -> ast.expr:
    """The expression of an annotation that is written as a string."""
    take_steps(scope, 1 + len(text))
    try:
        body = parsed(text.strip()).body if len(text) <= _LONGEST_ANNOTATION else []
    except (SyntaxError, ValueError, MemoryError):
        raise Unknown from None
    if len(body) == 1 and isinstance(body[0], ast.Expr):
        return body[0].value
    raise Unknown


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

_SCHEMAS: Mapping[str, Schema] = {
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

_NULL: Schema = {"type": "null"}


def _schema(node: ast.expr, scope: Scope) -> Schema:
    """The schema of a type expression. Raises `Unknown` where any part of it is unknown."""
    take_steps(scope)
    if isinstance(node, ast.Constant):
        return _constant_type(node.value, scope)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _any_of([_schema(node.left, scope), _schema(node.right, scope)])
    if isinstance(node, ast.Subscript):
        return _generic(node, scope)
    if isinstance(node, ast.Call):
        return _new_type(node, scope)
    bound = resolve(node, scope)
    if isinstance(bound, str):
        return _named_type(bound, scope)
    if isinstance(bound, ast.ClassDef):
        return _enumeration(bound, scope)
    if isinstance(bound, ast.expr):
        return _schema(bound, scope)
    raise Unknown


def _constant_type(value: object, scope: Scope) -> Schema:
    if value is None:
        return {**_NULL}
    if isinstance(value, str):
        # Quoted inside another type, Prefect resolves nothing but builtins.
        return _schema(_unquoted(value, scope), scope._replace(layers=()))
    raise Unknown


def _named_type(dotted: str, scope: Scope) -> Schema:
    if dotted in _TYPES:
        return {"type": _TYPES[dotted]}
    if dotted in _FORMATS:
        return {"type": "string", "format": _FORMATS[dotted]}
    if dotted in _SCHEMAS:
        return deepcopy(_SCHEMAS[dotted])
    if dotted in _CONTAINERS:
        return _CONTAINERS[dotted](None, scope)
    raise Unknown


def _new_type(call: ast.Call, scope: Scope) -> Schema:
    if resolve(call.func, scope) == "typing.NewType" and len(call.args) == 2:
        return _schema(call.args[1], scope)
    raise Unknown


def _generic(node: ast.Subscript, scope: Scope) -> Schema:
    origin = resolve(node.value, scope)
    if not isinstance(origin, str) or origin not in _GENERICS:
        raise Unknown
    return _GENERICS[origin](_between_brackets(node), scope)


def _between_brackets(node: ast.Subscript) -> list[ast.expr]:
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _any_of(schemas: Iterable[Schema]) -> Schema:
    """A union as pydantic writes it: flat, without repetition, null last."""
    members: dict[str, Json] = {}
    for schema in schemas:
        inner = schema["anyOf"] if schema.keys() == {"anyOf"} else None
        members.update((repr(member), member) for member in (inner if isinstance(inner, list) else [schema]))
    null = members.pop(repr(_NULL), None)
    found = [*members.values(), *([] if null is None else [null])]
    if not found:
        raise Unknown
    return found[0] if len(found) == 1 and isinstance(found[0], dict) else {"anyOf": found}


_Arguments = Union[Sequence[ast.expr], None]
"""Of a generic type; None where it stands bare."""


def _union(arguments: _Arguments, scope: Scope) -> Schema:
    return _any_of([_schema(argument, scope) for argument in arguments or ()])


def _optional(arguments: _Arguments, scope: Scope) -> Schema:
    return _any_of([_only(arguments, scope), _NULL])


def _only(arguments: _Arguments, scope: Scope) -> Schema:
    """The schema of the one argument; empty for a bare type."""
    if arguments is None:
        return {}
    if len(arguments) != 1:
        raise Unknown
    return _schema(arguments[0], scope)


def _array(arguments: _Arguments, scope: Scope) -> Schema:
    return {"type": "array", "items": _only(arguments, scope)}


def _set(arguments: _Arguments, scope: Scope) -> Schema:
    return {"type": "array", "items": _only(arguments, scope), "uniqueItems": True}


def _tuple(arguments: _Arguments, scope: Scope) -> Schema:
    if arguments is None or (len(arguments) == 2 and is_ellipsis(arguments[1])):
        return _array(arguments and arguments[:1], scope)
    items: list[Json] = [_schema(argument, scope) for argument in arguments]
    size: Schema = {"type": "array", "minItems": len(items), "maxItems": len(items)}
    return {**size, "prefixItems": items} if items else size


def _mapping(arguments: _Arguments, scope: Scope) -> Schema:
    if arguments is None:
        return {"type": "object", "additionalProperties": True}
    if len(arguments) != 2:
        raise Unknown
    keys, values = (_schema(argument, scope) for argument in arguments)
    found: Schema = {"type": "object", "additionalProperties": values or True}
    if "pattern" in keys:
        raise Unknown
    if "$ref" in keys or (keys.get("type") == "string" and len(keys) > 1):
        found["propertyNames"] = {key: value for key, value in keys.items() if key not in ("type", "title")}
    return found


def _counter(arguments: _Arguments, scope: Scope) -> Schema:
    _only(arguments, scope)
    return {"type": "object", "additionalProperties": {"type": "integer"}}


def _pattern(_arguments: _Arguments, _scope: Scope) -> Schema:
    return {"type": "string", "format": "regex"}


_Scalar = Union[None, bool, int, float, str]


def _literal(arguments: _Arguments, scope: Scope) -> Schema:
    found = chain.from_iterable(_literal_values(argument, scope) for argument in arguments or ())
    values: list[Json] = [*{(type(value), value): value for value in found}.values()]
    if not values:
        raise Unknown
    return {**({"const": values[0]} if len(values) == 1 else {"enum": values}), **_common_type(values)}


def _literal_values(node: ast.expr, scope: Scope) -> list[_Scalar]:
    """The values of one argument of `Literal`, which may be another `Literal`."""
    bound = resolve(node, scope)
    inner = bound if isinstance(bound, ast.Subscript) else node
    if isinstance(inner, ast.Subscript) and resolve(inner.value, scope) == "typing.Literal":
        return list(chain.from_iterable(_literal_values(argument, scope) for argument in _between_brackets(inner)))
    value = value_of(node, scope)
    if isinstance(value, (list, dict)):
        raise Unknown
    return [value]


_NAMES_OF_TYPES: Mapping[type, str] = {
    bool: "boolean",
    float: "number",
    int: "integer",
    str: "string",
    type(None): "null",
}


def _common_type(values: Iterable[Json]) -> Schema:
    types = {_NAMES_OF_TYPES[type(value)] for value in values}
    return {"type": types.pop()} if len(types) == 1 else {}


def _with_metadata(arguments: _Arguments, scope: Scope) -> Schema:
    """`Annotated`: constants mean nothing to pydantic, `Field` narrows, anything else may do whatever it likes."""
    if not arguments:
        raise Unknown
    found = _schema(arguments[0], scope)
    for note in arguments[1:]:
        field = as_field(note, scope)
        if field is not None:
            found = _narrowed(found, field, scope)
        elif not isinstance(note, ast.Constant):
            raise Unknown
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


def _narrowed(schema: Schema, field: ast.Call, scope: Scope) -> Schema:
    """`schema` with what a `Field` beside it says."""
    if field.args or any(keyword.arg is None for keyword in field.keywords):
        raise Unknown
    options = {keyword.arg or "": value_of(keyword.value, scope) for keyword in field.keywords}
    notes = {key: value for key, value in options.items() if key in _NOTES}
    if not all(isinstance(value, _NOTES[key]) for key, value in notes.items()):
        raise Unknown
    limits = {key: value for key, value in options.items() if key not in (*_NOTES, "frozen", "repr", "strict")}
    return {**_limited(schema, limits), **notes}


def _limited(schema: Schema, limits: Mapping[str, Json]) -> Schema:
    if not limits:
        return schema
    members = schema.get("anyOf")
    if isinstance(members, list) and len(members) == 2 and members[1] == _NULL and isinstance(members[0], dict):
        return {**schema, "anyOf": [_limited(members[0], limits), members[1]]}
    kind = schema.get("type")
    keywords = _LIMITS.get("integer" if kind == "number" else str(kind), {})
    if not all(key in keywords and _is_limit(key, value) for key, value in limits.items()):
        raise Unknown
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


def _enumeration(node: ast.ClassDef, scope: Scope) -> Schema:
    """A reference to the definition of an enumeration of the module with literal values."""
    if scope.layers[-1].get(node.name) != [node] or not node.name.isascii():
        raise Unknown
    values = list(members_of(node, scope).values())
    definition: Schema = {"title": node.name, "enum": values}
    definition.update({} if None in values else _common_type(values))
    text = cleaned(ast.get_docstring(node, clean=False) or "")
    definition.update({"description": text} if text else {})
    scope.definitions[node.name] = definition
    return {"$ref": f"#/definitions/{node.name}"}


_CONTAINERS: Mapping[str, Callable[[_Arguments, Scope], Schema]] = {
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

_GENERICS: Mapping[str, Callable[[_Arguments, Scope], Schema]] = {
    **_CONTAINERS,
    "re.Pattern": _pattern,
    "typing.Annotated": _with_metadata,
    "typing.Final": _only,
    "typing.Literal": _literal,
    "typing.Optional": _optional,
    "typing.Pattern": _pattern,
    "typing.Union": _union,
}
