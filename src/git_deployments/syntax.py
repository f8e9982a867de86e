"""Source text as a syntax tree, and what the names in it stand for. Nothing is run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, Union

from git_deployments.model import Json

MOST_STEPS = 100_000
"""Nodes read for one flow: aliases of aliases can double at each level."""
MOST_ALIASES = 100
"""Followed one after the other: they may go round in circles."""


class Unknown(Exception):
    """What an expression means cannot be told without running code."""


Bound = Union[ast.AST, str, None]
"""What a name stands for: a definition or an expression; the dotted name of what was imported; or
None where it was bound in a way that is not followed."""

Layer = Mapping[str, Sequence[Bound]]
"""The names of one module or class, each with all its bindings in order."""


class Scope(NamedTuple):
    """Where names are looked up, and what was met on the way."""

    layers: tuple[Layer, ...]
    """Innermost first; the module's is the last."""
    definitions: dict[str, Json]
    """Schemas of the enumerations that were met, by class name."""
    steps: list[int]
    """One number: how many more may be taken for this flow."""


def parsed(text: str) -> ast.Module:
    """The tree of a source text. Raises what `ast.parse` raises, and warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are for who runs the flow
        return ast.parse(text)


_BLOCKS = (ast.stmt, ast.ExceptHandler, ast.match_case)


def layer_of(body: Iterable[ast.stmt]) -> Layer:
    """The names that the statements of one module or class bind."""
    names: dict[str, list[Bound]] = {}
    for node in statements(body):
        for name, bound in _bindings(node):
            known = names.setdefault(name, [])
            if bound not in known[-1:]:
                known.append(bound)
    return names


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
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


def _bindings(node: ast.AST) -> Iterator[tuple[str, Bound]]:
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
    plain = {target for target in targets if isinstance(target, ast.Name)}
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


def look_up(name: str, scope: Scope) -> Bound:
    """What a name stands for; what nothing binds is a builtin. None if it is bound to different things."""
    for layer in scope.layers:
        if name in layer:
            last = layer[name][-1]
            return last if all(bound == last for bound in layer[name]) else None
    return f"builtins.{name}"


def resolve(node: ast.expr, scope: Scope) -> Bound:
    """Follow a name, a module's attribute or an alias of one to what it stands for."""
    attributes: list[str] = []
    bound: Bound = node
    for _ in range(MOST_ALIASES):
        while isinstance(bound, ast.Attribute):
            attributes.append(bound.attr)
            bound = bound.value
        if not isinstance(bound, ast.Name):
            break
        bound = look_up(bound.id, scope)
    if not attributes and bound is not node:
        return bound
    return _canonical(".".join([bound, *reversed(attributes)])) if isinstance(bound, str) else None


def take_steps(scope: Scope, steps: int = 1) -> None:
    """Count what is read for one flow. Raises `Unknown` where that is too much."""
    scope.steps[0] -= steps
    if scope.steps[0] < 0:
        raise Unknown
