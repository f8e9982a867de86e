"""Texts and documents made fit for a page: escaped as on a terminal, bounded, cut where they are long. Pure.

Nothing here is HTML: the templates escape what they are given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from git_deployments.model import Json
from git_deployments.names import shown
from git_deployments.render import is_bare, value_text

LINE = 160
"""Characters of a text that stands on one line."""
PARAGRAPH = 2000
"""Characters of a text that has a place of its own."""
VALUE = 2000
"""Characters of one value of a document."""
LINES = 300
"""Lines of one document."""
DOCUMENT = 20_000
"""Characters of one document."""
_DEEPEST = 12
_WORDS = 3000
_CONTEXT = 120
_LONGEST_WORD = 80
_WORD = re.compile(r"\w+(?:[.\-]\w+)*|\s+|[^\w\s]")
"""A version number or the name of a host is one word: half of it says nothing."""


class Text(NamedTuple):
    """A text of several lines as a page shows it."""

    lines: tuple[str, ...]
    cut: int = 0
    """Characters that are left out at its end."""


class Line(NamedTuple):
    """One line of a document, taken apart for emphasis."""

    depth: int
    key: str
    """With what follows it; empty where there is none."""
    value: str
    cut: int = 0
    """Characters that are left out at its end."""


class Document(NamedTuple):
    """A value as lines."""

    lines: tuple[Line, ...]
    cut: bool = False
    """Something is left out."""

    @property
    def brief(self) -> str:
        """All of it on one line, cut."""
        words = " ".join(f"{line.key} {line.value}".strip() for line in self.lines)
        return words if len(words) <= 100 else f"{words[:99]}…"

    @property
    def size(self) -> int:
        """Characters that are shown."""
        return sum(len(line.key) + len(line.value) for line in self.lines)


class Piece(NamedTuple):
    """A run of words that both sides of a comparison have, or only one."""

    text: str
    changed: bool


def one_line(text: str | None, limit: int = LINE) -> str:
    """The first line of a text, cut to `limit` characters."""
    first = (text or "").strip().partition("\n")[0]
    return shown(first if len(first) <= limit else f"{first[: limit - 1]}…")


def paragraph(text: str, limit: int = PARAGRAPH) -> Text:
    """A text line by line, cut to `limit` characters and 40 lines."""
    kept = text[:limit]
    rows = kept.split("\n")
    if len(rows) > 40:
        rows = rows[:40]
        kept = "\n".join(rows)
    return Text(tuple(map(plain, rows)), len(text) - len(kept))


def plain(line: str) -> str:
    """One line with control and direction characters escaped; tabs stay."""
    return line if line.isascii() and line.isprintable() else "\t".join(map(shown, line.split("\t")))


# Documents


def document(value: Json) -> Document:
    """A value for people: mappings and lists unfolded, long texts and long documents cut."""
    lines: list[Line] = []
    left = DOCUMENT
    for line in _lines("", value, 0):
        left -= len(line.key) + len(line.value)
        if len(lines) == LINES or left < 0:
            return Document(tuple(lines), True)
        lines.append(line)
    return Document(tuple(lines), any(line.cut for line in lines))


def _lines(head: str, value: Json, depth: int) -> Iterator[Line]:
    if isinstance(value, (dict, list)) and value and depth < _DEEPEST:
        inner = depth
        if head:
            yield Line(depth, head, "")
            inner += 1
        yield from _mapping(value, inner) if isinstance(value, dict) else _sequence(value, inner)
    elif isinstance(value, str) and "\n" in value and len(value) <= VALUE:
        inner = depth
        if head:
            yield Line(depth, head, "")
            inner += 1
        yield from (Line(inner, "", plain(row)) for row in value.split("\n"))
    else:
        yield _scalar(head, value, depth)


def _mapping(value: dict[str, Json], depth: int) -> Iterator[Line]:
    for key, item in value.items():
        yield from _lines(f"{one_line(key) or '(empty)'}:", item, depth)


def _sequence(value: list[Json], depth: int) -> Iterator[Line]:
    for item in value:
        first = True
        for line in _lines("", item, depth + 1):
            # The first line of an item stands beside its dash.
            yield line._replace(depth=depth, key=f"- {line.key}".rstrip()) if first else line
            first = False


def _scalar(head: str, value: Json, depth: int) -> Line:
    if isinstance(value, str) and len(value) > VALUE:
        return Line(depth, head, value_text(value[:VALUE])[:-1] + "…", len(value) - VALUE)
    if isinstance(value, str) and is_bare(value):
        return Line(depth, head, value)
    whole = value_text(value)
    return Line(depth, head, whole if len(whole) <= VALUE else f"{whole[:VALUE]}…", max(0, len(whole) - VALUE))


def is_unset(value: Json) -> bool:
    """Nothing was said: null, or empty."""
    return value is None or value in ({}, [], "")


def counted(number: int, what: str) -> str:
    """`1 commit`, `2 commits`, `3 properties`, `1,048,576 characters`."""
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {what.removesuffix('y')}{'ies' if what.endswith('y') else 's'}"


# What changed in a text


def flat(value: Json) -> str:
    """A value as text that can be compared word by word: texts as they are, lists and mappings a line each."""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)) and value:
        return "\n".join("  " * line.depth + f"{line.key} {line.value}".strip() for line in document(value).lines)
    return value_text(value)


def words_changed(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, those marked that the other side lacks; what is far from a change is left out."""
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    start -= _inside_word(before[max(0, start - _LONGEST_WORD) : start], (before, after), start)
    tail_at = len(before) - end
    end -= _inside_word(before[tail_at : tail_at + _LONGEST_WORD][::-1], (before[::-1], after[::-1]), end)
    head, tail = _near_end(before[:start]), _near_start(before[len(before) - end :])
    left, right = _compared(before[start : len(before) - end], after[start : len(after) - end])
    return [*head, *left, *tail], [*head, *right, *tail]


def _inside_word(common: str, texts: tuple[str, str], at: int) -> int:
    """Characters at the end of what is common that belong to a word which goes on in one of the texts."""
    if not any(map(_is_of_word, (one[at : at + 1] for one in texts))):
        return 0
    return next((place for place, one in enumerate(reversed(common)) if not _is_of_word(one)), len(common))


def _is_of_word(character: str) -> bool:
    return character.isalnum() or character in ("_", ".", "-")


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _near_end(text: str) -> list[Piece]:
    if not text:
        return []
    return [Piece(_block(text if len(text) <= _CONTEXT else f"…{text[-_CONTEXT:]}"), False)]


def _near_start(text: str) -> list[Piece]:
    if not text:
        return []
    return [Piece(_block(text if len(text) <= _CONTEXT else f"{text[:_CONTEXT]}…"), False)]


def _compared(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    if len(before) > VALUE or len(after) > VALUE:
        return _whole(before), _whole(after)
    one, other = _WORD.findall(before), _WORD.findall(after)
    if len(one) > _WORDS or len(other) > _WORDS:
        return _whole(before), _whole(after)
    left: list[Piece] = []
    right: list[Piece] = []
    steps = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    for place, (tag, a, b, c, d) in enumerate(steps):
        around = [step[0] for step in (*steps[max(0, place - 1) : place], *steps[place + 1 : place + 2])]
        between = around == ["replace", "replace"] and "".join(one[a:b]).isspace()  # no word is left, so all is new
        _append(left, one[a:b], tag != "equal" or between)
        _append(right, other[c:d], tag != "equal" or between)
    return left, right


def _append(pieces: list[Piece], words: Sequence[str], changed: bool) -> None:
    if not words:
        return
    before = pieces.pop().text if pieces and pieces[-1].changed == changed else ""
    pieces.append(Piece(before + _block("".join(words)), changed))


def _whole(text: str) -> list[Piece]:
    if not text:
        return []
    left_out = len(text) - VALUE
    note = [Piece(f"… and {counted(left_out, 'character')} more", False)] if left_out > 0 else []
    return [Piece(_block(text[:VALUE]), True), *note]


def _block(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


def joined(pieces: Iterable[Piece]) -> str:
    """The text that pieces show."""
    return "".join(piece.text for piece in pieces)
