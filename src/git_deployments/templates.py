"""`{{ … }}` in the texts of a manifest: what is put in now, and what is left for later (design, "Manifest").

The grammar is Prefect's: a name alone between the braces, no filters and no defaults. What else
stands between double braces is not a template to Prefect either, and stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from git_deployments.errors import DeploymentsError
from git_deployments.names import brief

LARGEST = 4 * 2**20
"""Characters that one expanded text may have."""

_TEMPLATE = re.compile(r"\{\{([^{}]*)\}\}")
_UNFINISHED = re.compile(r"\{\{\s*\$[\w.\-]*")
_NAME = re.compile(r"[\w.\-\[\]$]+")
_VARIABLE = re.compile(r"\$([\w.\-]+)")
_LATER = ("prefect.blocks.", "prefect.variables.", "ctx.")
"""Prefixes of what a Prefect server knows at run time."""


class BadTemplate(DeploymentsError):
    """A template that cannot be expanded. The message is a clause; the caller says where it stands."""


class Scope(NamedTuple):
    """What the templates of one text may refer to."""

    env: Mapping[str, str]
    runtime: frozenset[str] = frozenset()
    """Variables that stay literal, for the run to look up."""
    steps: frozenset[str] = frozenset()
    """Ids of the pull steps before this one, whose outputs the run knows."""
    pinned: bool = False
    """The text decides which code runs: it may neither wait for the run nor lose a piece."""


class Expansion(NamedTuple):
    """A text with its templates expanded."""

    text: str
    variables: tuple[str, ...]
    """Those whose values went into it."""


def expand(text: str, scope: Scope) -> Expansion:
    """Put the values of `{{ $NAME }}` into `text`, once: what a value holds is not expanded again.

    Raises `BadTemplate`, which names the variable and never shows a value.
    """
    if "{{" not in text:
        return Expansion(text, ())
    pieces: list[str] = []
    variables: list[str] = []
    end = size = 0
    for match in _TEMPLATE.finditer(text):
        name = _variable(match[1].strip(), scope)
        pieces += _literal(text[end : match.start()]), match[0] if name is None else _value(name, scope)
        if name is not None:
            variables.append(name)
        end = match.end()
        size += len(pieces[-1])
        if size > LARGEST:
            raise BadTemplate(f"its variables expand to more than {LARGEST} characters; make them smaller")
    pieces.append(_literal(text[end:]))
    return Expansion("".join(pieces), tuple(variables))


def left(text: str) -> frozenset[str]:
    """The variables whose `{{ $NAME }}` stands in a text still, for the run to look up."""
    inner = (match[1].strip() for match in _TEMPLATE.finditer(text))
    return frozenset(found[1] for found in map(_VARIABLE.fullmatch, inner) if found)


def _literal(text: str) -> str:
    """What stands between templates. One that was begun and not finished would be stored as it stands."""
    if "{{" in text and (unfinished := _UNFINISHED.search(text)):
        raise BadTemplate(f"the template '{brief(unfinished[0])}' is not closed; write {{{{ $NAME }}}}")
    return text


def _variable(inner: str, scope: Scope) -> str | None:
    """The variable whose value belongs here, or None where the template stays."""
    if not inner.startswith("$"):
        _check_stays(inner, scope)
        return None
    match = _VARIABLE.fullmatch(inner)
    if match is None:
        raise BadTemplate(
            f"'{{{{ {brief(inner)} }}}}' is no template: it takes a name alone, without filters and defaults; "
            "write {{ $NAME }}"
        )
    name = match[1]
    if name not in scope.runtime:
        return name
    if scope.pinned:
        raise BadTemplate(
            f"${brief(name)} is a runtime variable, and which code runs is settled when it is deployed; "
            "take it off the runtime variables"
        )
    return None


def _check_stays(inner: str, scope: Scope) -> None:
    if inner.startswith(_LATER) or _NAME.fullmatch(inner) is None:
        return
    step, _, output = inner.partition(".")
    if output and step in scope.steps:
        return
    raise BadTemplate(
        f"'{{{{ {brief(inner)} }}}}' is the output of a step and cannot be known here (no step runs at deploy); "
        "pass the value in an environment variable, {{ $NAME }}, "
        "or in a pull step refer to the id of an earlier one, {{ id.output }}"
    )


def _value(name: str, scope: Scope) -> str:
    value = scope.env.get(name)
    if value is None:
        raise BadTemplate(f"the variable {brief(name)} is not set; set it in the environment, or correct its name")
    if scope.pinned and not value.strip():
        raise BadTemplate(f"the variable {brief(name)} is set but empty, and which code runs depends on it; set it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadTemplate(f"the value of the variable {brief(name)} is not valid UTF-8; set it to text") from None
    return value
