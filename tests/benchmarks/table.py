"""What was measured, as rows of a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class Target(NamedTuple):
    """What the middle of the measurements is held to."""

    value: float
    at_least: bool = False


class Row(NamedTuple):
    """One line: a series of measurements."""

    what: str
    against: str
    """What each was divided by, or had subtracted; empty if nothing."""
    values: tuple[float, ...]
    unit: str
    target: Target | None = None
    note: str = ""


def ratio(what: str, against: str, times: Sequence[float], base: Sequence[float], target: float | None = None) -> Row:
    """Times of one command over those of another, pair by pair."""
    values = tuple(one / other for one, other in zip(times, base, strict=True))
    note = f"{_milliseconds(times)} / {_milliseconds(base)} ms"
    return Row(what, against, values, "×", Target(target) if target else None, note)


def subtracted(
    what: str, against: str, times: Sequence[float], base: Sequence[float], target: float | None = None
) -> Row:
    """Milliseconds that one command takes longer than another, pair by pair."""
    values = tuple((one - other) * 1000 for one, other in zip(times, base, strict=True))
    note = f"{_milliseconds(times)} - {_milliseconds(base)} ms"
    return Row(what, against, values, "ms", Target(target) if target else None, note)


def rate(what: str, count: int, times: Sequence[float], target: float | None = None) -> Row:
    """How many a second."""
    values = tuple(count / one for one in times)
    seconds = f"{statistics.median(times):.2f} s"
    return Row(what, "", values, "/s", Target(target, at_least=True) if target else None, seconds)


def _milliseconds(times: Sequence[float]) -> str:
    return f"{statistics.median(times) * 1000:.1f}"


_HEADER = ("what", "against", "min", "median", "max", "", "target", "", "medians")


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """The table; numbers are set to the right."""
    cells = [_HEADER, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (
            cell.rjust(width) if place in (2, 3, 4) else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(padded).rstrip()


def line(row: Row) -> str:
    """One row by itself, while the others are still being measured."""
    return "  ".join(filter(None, _cells(row)))


def _cells(row: Row) -> tuple[str, ...]:
    middle = statistics.median(row.values)
    numbers = (_number(value, row.unit) for value in (min(row.values), middle, max(row.values)))
    if row.target is None:
        return (row.what, row.against, *numbers, row.unit, "", "", row.note)
    sign = "≥" if row.target.at_least else "≤"
    met = middle >= row.target.value if row.target.at_least else middle <= row.target.value
    verdict = "" if met else "MISSED"
    return (row.what, row.against, *numbers, row.unit, f"{sign} {row.target.value:g}", verdict, row.note)


def _number(value: float, unit: str) -> str:
    return f"{value:.2f}" if unit == "×" else f"{value:.1f}" if unit == "ms" else f"{value:.0f}"
