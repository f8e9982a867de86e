"""Values that follow from the source text alone: literals, sums, members of enumerations. Nothing is run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping

from git_deployments.model import Json
from git_deployments.syntax import Scope, Unknown, look_up, resolve, take_steps

_MOST_BITS = 1024
"""Of a number in a default: longer ones are of no use in JSON, and some Python refuses to print."""


def value_of(node: ast.expr, scope: Scope) -> Json:
    """The JSON value of an expression, as pydantic writes a default. Raises `Unknown`."""
    take_steps(scope)
    if isinstance(node, ast.Constant):
        return _constant(node.value)
    if isinstance(node, (ast.List, ast.Tuple)):
        return [value_of(element, scope) for element in node.elts]
    if isinstance(node, ast.Set):
        return _sorted([value_of(element, scope) for element in node.elts])
    if isinstance(node, ast.Dict):
        return {_key(key, scope): value_of(value, scope) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, (ast.BinOp, ast.UnaryOp)):
        return _constant(_computed(node, scope))
    if isinstance(node, ast.Attribute):
        return _member_value(node, scope)
    if isinstance(node, ast.Name):
        bound = look_up(node.id, scope)
        if isinstance(bound, ast.expr) and not isinstance(bound, (ast.List, ast.Set, ast.Dict)):
            return value_of(bound, scope)  # those three may have been changed since
    raise Unknown


def _constant(value: object) -> Json:
    try:
        if isinstance(value, str):
            value.encode()
            return value
        if isinstance(value, bytes):
            return value.decode()
    except ValueError:  # surrogates, or bytes that are no text
        raise Unknown from None
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() <= _MOST_BITS:
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    raise Unknown


def _sorted(values: list[Json]) -> list[Json]:
    """As pydantic orders a set: sorted where its elements compare."""
    try:
        return sorted(values)  # type: ignore[type-var]
    except TypeError:
        return values


def _key(node: ast.expr | None, scope: Scope) -> str:
    key = None if node is None else value_of(node, scope)
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise Unknown


_ARITHMETIC: Mapping[type, Callable[[int | float, int | float], int | float]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Sub: operator.sub,
}


def _computed(node: ast.BinOp | ast.UnaryOp, scope: Scope) -> object:
    """`-1`, `60 * 60` and the like."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        value = _number(node.operand, scope)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        try:
            return _ARITHMETIC[type(node.op)](_number(node.left, scope), _number(node.right, scope))
        except OverflowError:
            pass
    raise Unknown


def _number(node: ast.expr, scope: Scope) -> int | float:
    value = value_of(node, scope)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise Unknown


def _member_value(node: ast.Attribute, scope: Scope) -> Json:
    """`Color.RED` and `Color.RED.value`, which are the same in JSON."""
    if node.attr == "value" and isinstance(node.value, ast.Attribute):
        node = node.value
    enumeration = resolve(node.value, scope)
    if isinstance(enumeration, ast.ClassDef):
        members = members_of(enumeration, scope)
        if node.attr in members:
            return members[node.attr]
    raise Unknown


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


def members_of(node: ast.ClassDef, scope: Scope) -> dict[str, Json]:
    """Name and value of each member of an enumeration. Raises `Unknown` where a class is no plain one."""
    bases = tuple(str(resolve(base, scope)) for base in node.bases)
    unique = all(resolve(decorator, scope) == "enum.unique" for decorator in node.decorator_list)
    if bases not in _MIXINS or node.keywords or not unique:
        raise Unknown
    members: dict[str, Json] = {}
    for statement in node.body:
        members.update(_member(statement, scope))
    if not members or not all(type(value) in _MIXINS[bases] for value in members.values()):
        raise Unknown
    return members


def _member(node: ast.stmt, scope: Scope) -> dict[str, Json]:
    """What one statement adds to an enumeration; nothing for docstrings and methods."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return {}
    if isinstance(node, ast.FunctionDef) and (node.name[0] != "_" or node.name in _HARMLESS_METHODS):
        return {}
    targets: list[ast.expr] = []
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if len(targets) == 1 and isinstance(targets[0], ast.Name) and targets[0].id[0] != "_" and node.value:
            return {targets[0].id: value_of(node.value, scope)}
    raise Unknown
