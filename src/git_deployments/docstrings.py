"""Google style docstrings, the one style that Prefect reads, read as its parser reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator

_HEADING = re.compile(r"(\w[\s\w-]*):(\s+\S.*)?\s*$")
_OF_PARAMETERS = ("args", "arguments", "params", "parameters")


def cleaned(docstring: str) -> str:
    """As `inspect.cleandoc` does, which would cost the import of `inspect`; and fit for UTF-8."""
    first, *rest = docstring.encode("utf-8", "replace").decode().expandtabs().split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first.lstrip(), *(line[margin:] for line in rest)]).strip("\n")


def described(docstring: str) -> dict[str, str]:
    """The descriptions of parameters in a Google style docstring, read as Prefect's parser reads them.

    A section is a heading with an empty line above and an indented line below; of several sections
    of parameters, the last counts. Fences hide headings.
    """
    lines = cleaned(docstring).rstrip().split("\n")
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
