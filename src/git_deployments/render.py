"""Values to what people and scripts read: text, JSON, `%(field)` formats. Nothing is read or printed here.

Text for people has control and direction characters escaped. JSON is exact. A `--format` row is
one line whatever the values hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from git_deployments.errors import DeploymentsError
from git_deployments.history import Pointer, State
from git_deployments.model import Event, Identity, Json, Version, VersionInfo
from git_deployments.names import quoted, shown
from git_deployments.refs import live_ref

if TYPE_CHECKING:  # a rollback tells neither moments nor differences
    from datetime import datetime

    from git_deployments.compare import Difference

Row = dict[str, Json]
"""One JSON object of the contract (design, "JSON")."""

_COLOURS = {"green": 32, "yellow": 33, "red": 31, "cyan": 36, "bold": 1, "dim": 2}
_LONGEST_CELL = 200
"""Characters of a text that a table shows: each row is as wide as the widest."""
_ROWS_ALIGNED = 500
"""Rows of a table that are measured together; a longer one is written while it is read."""
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")


class BadFormat(DeploymentsError):
    """A `--format` that cannot be filled in."""


class Palette(NamedTuple):
    """How to emphasise."""

    colour: bool = False

    def paint(self, name: str, words: str) -> str:
        """`words` in a colour, or as they are."""
        return f"\x1b[{_COLOURS[name]}m{words}\x1b[m" if self.colour and words else words


# JSON


def moment(who: Identity) -> str:
    """ISO 8601 with the writer's offset."""
    return _local(who).isoformat()


def _local(who: Identity) -> datetime:
    from datetime import datetime, timedelta, timezone

    minutes = int(who.offset[1:3]) * 60 + int(who.offset[3:5])
    zone = timezone(timedelta(minutes=-minutes if who.offset[0] == "-" else minutes) if minutes < 1440 else timedelta())
    return datetime.fromtimestamp(who.seconds, zone)


def info_row(info: VersionInfo) -> Row:
    """`version_info` by Prefect's names."""
    return dict(info._asdict())


def version_row(version: Version, live: str | None, creator: Identity | None) -> Row:
    """A version. `live`: the commit that is live."""
    return {
        "name": version.name,
        "number": version.number,
        "version": version.label,
        "commit": version.commit,
        "source": version.source.commit,
        "live": version.commit == live,
        "message": version.message or None,
        "created": moment(version.author),
        "created_by": creator.person if creator else None,
        "updated_by": version.author.person,
        "version_info": info_row(version.source.info),
    }


def made_row(row: Row, made: bool) -> Row:
    """What `deploy` and `update` say of a version: `created` tells whether this write made it."""
    return {**row, "created": made, "created_at": row["created"]}


def properties_row(version: Version, properties: Mapping[str, Json], creator: Identity | None) -> Row:
    """All versioned properties by their Prefect names, the recorded ones included."""
    return {
        **properties,
        "created_by": creator.person if creator else None,
        "updated_by": version.author.person,
        "version_info": info_row(version.source.info),
    }


def list_row(state: State) -> Row:
    """One deployment of a list."""
    live, event = state.live, state.event
    return {
        "name": state.name,
        "live": live.number if live else None,
        "latest": state.latest.number if state.latest else None,
        "version": live.label if live else None,
        "commit": live.commit if live else None,
        "source": live.source if live else None,
        "paused": event.paused if event else False,
        "held": event.held if event else False,
        "updated": moment(event.author) if event else None,
        "updated_by": event.author.person if event else None,
    }


def event_row(event: Event) -> Row:
    """One event of a log."""
    return {
        "name": event.name,
        "action": event.action,
        "number": event.number,
        "from": event.before,
        "to": event.after,
        "reason": event.reason or None,
        "at": moment(event.author),
        "by": event.author.person,
        "commit": event.commit,
    }


def move_row(name: str, action: str, before: Pointer | None, after: Pointer | None) -> Row:
    """What `rollback` and `promote` did."""
    return {
        "name": name,
        "action": action,
        "from": before.number if before else None,
        "to": after.number if after else None,
        "commit": after.commit if after else None,
    }


def json_text(value: Json) -> str:
    """One JSON document, readable and exact."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=2)


def json_array(rows: Iterable[Row]) -> Iterator[str]:
    """A JSON array, written while its rows are read."""
    import json

    # With an indent Python's encoder is not the one in C; a row without nested values can do without.
    flat = json.JSONEncoder(ensure_ascii=False, separators=(",\n  ", ": ")).encode
    separator = "[\n"
    for row in rows:
        is_flat = row and not any(isinstance(value, (dict, list)) for value in row.values())
        yield separator + (f"{{\n  {flat(row)[1:-1]}\n}}" if is_flat else json_text(row))
        separator = ",\n"
    yield "[]" if separator == "[\n" else "\n]"


def compact(value: Json) -> str:
    """A value on one line: text as it is, else JSON; nothing for null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, ensure_ascii=False, sort_keys=True)


# --format


def row_format(template: str, fields: Iterable[str]) -> Callable[[Row], str]:
    """Fill `%(field)` with a row's values; `%%` is `%` and `%xx` a byte, as in `git for-each-ref`.

    Dots reach into mappings. Raises `BadFormat` for an unknown field.
    """
    pieces = list(_pieces(template, list(fields)))

    def fill(row: Row) -> str:
        return "".join(piece if literal else shown(compact(_field(row, piece))) for literal, piece in pieces)

    return fill


def _pieces(template: str, fields: list[str]) -> Iterator[tuple[bool, str]]:
    """(is literal, text or field) one after the other."""
    while template:
        literal, percent, template = template.partition("%")
        yield True, literal
        if template.startswith("("):
            field, closed, template = template[1:].partition(")")
            if not closed:
                raise BadFormat(f"--format: '%({shown(field)}' has no closing parenthesis")
            if field.partition(".")[0] not in fields:
                raise BadFormat(f"--format: no field '{shown(field)}'; there are: {', '.join(fields)}")
            yield False, field
        elif template.startswith("%"):
            yield True, "%"
            template = template[1:]
        elif percent:
            digits, template = template[:2], template[2:]
            if len(digits) < 2 or not _HEXADECIMAL.issuperset(digits):  # int() takes signs and spaces too
                raise BadFormat(
                    f"--format: '%{shown(digits)}' is nothing; write %(field), %% for a percent sign, %0a for a newline"
                )
            yield True, chr(int(digits, 16))


def _field(row: Json, path: str) -> Json:
    for key in path.split("."):
        row = row.get(key) if isinstance(row, dict) else None
    return row


# Text


def when(who: Identity) -> str:
    """A moment for people, at the writer's own clock."""
    return _local(who).strftime("%Y-%m-%d %H:%M %z")


def short(oid: str | None) -> str:
    """An id for people."""
    return (oid or "")[:8]


def first_line(words: str) -> str:
    """The first line of a text, fit for one line of a table."""
    line = words.strip().partition("\n")[0]
    return shown(line[:_LONGEST_CELL]) + ("…" if len(line) > _LONGEST_CELL else "")


def table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Aligned columns; the last one is not padded."""
    import itertools

    remaining = iter(rows)
    while block := list(itertools.islice(remaining, _ROWS_ALIGNED)):
        widths = [max(map(columns, column)) for column in zip(*block, strict=True)]
        for row in block:
            padded = (cell + " " * (width - columns(cell)) for cell, width in zip(row[:-1], widths[:-1], strict=True))
            yield "  ".join((*padded, row[-1])).rstrip()


def columns(words: str) -> int:
    """Columns of a terminal that a text takes: two for a wide character, none for one that goes onto another."""
    if words.isascii():
        return len(words)
    import unicodedata

    return sum(
        0 if unicodedata.category(sign) in ("Mn", "Me") else 1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in words
    )


def list_cells(state: State, rolled_back: bool) -> tuple[str, ...]:
    """One deployment of a list, for people."""
    live, latest, event = state.live, state.latest, state.event
    notes = [
        word
        for word, holds in (
            ("paused", event and event.paused),
            ("held", event and event.held),
            ("rolled back", rolled_back),
            ("unrecorded move", state.unrecorded),
            ("damaged", state.breach),
        )
        if holds
    ]
    return (
        shown(state.name),
        f"v{live.number}" if live else "-",
        f"v{latest.number}" if latest else "-",
        first_line(live.label or "") if live else "",
        short(live.source) if live else "",
        when(event.author) if event else "",
        first_line(event.author.name) if event else "",
        ", ".join(notes),
    )


LIST_HEADER = ("NAME", "LIVE", "LATEST", "VERSION", "SOURCE", "UPDATED", "BY", "")


def version_cells(version: Version, live: str | None, provisional: bool) -> tuple[str, ...]:
    """One version of a deployment, for people. `provisional`: it is unpublished, its number may change."""
    what = version.message or version.source.info.message or ""
    return (
        f"{'*' if version.commit == live else ' '} v{version.number}{'?' if provisional else ''}",
        first_line(version.label or ""),
        short(version.commit),
        short(version.source.commit),
        when(version.author),
        first_line(version.author.name),
        first_line(what),
    )


def event_cells(event: Event) -> tuple[str, ...]:
    """One event, for people."""
    before, after = (f"v{number}" if number else "-" for number in (event.before, event.after))
    move = f"{before} → {after}" if before != after else f"{after} stays"
    made = f"v{event.number}" if event.number else ""
    return (when(event.author), event.action, made, move, first_line(event.author.name), first_line(event.reason))


def undo(
    name: str, before: Pointer | None, after: Pointer | None, was_held: bool = False, existed: bool = False
) -> str:
    """The command line that takes a move back: `before` was live, `after` is.

    `was_held`, `existed`: the deployment, before.
    """
    if before is None:  # and no command of ours makes nothing live, but a delete, which takes more away
        live = quoted(live_ref(name))
        return f"git update-ref -d {live}" if existed else f"git deployments delete {quoted(name)}"
    back = bool(after and before.number > after.number)
    command = f"git deployments {'promote' if back else 'rollback'} {quoted(name)} v{before.number}"
    if was_held and back:  # a promote ends the hold that was there before
        command += f" && git deployments rollback {quoted(name)} v{before.number}"
    return f"{command} --hold" if was_held else command


def value_text(value: Json) -> str:
    """A value for people: JSON on one line, control and direction characters escaped."""
    import json

    return shown(json.dumps(value, ensure_ascii=False, sort_keys=True))


def document_lines(document: Mapping[str, Json], indent: str = "  ") -> Iterator[str]:
    """A configuration for people: a line for each key, mappings and lists unfolded."""
    for key, value in document.items():
        yield from _value_lines(f"{indent}{shown(key)}:", value, indent)


def _value_lines(head: str, value: Json, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        yield head
        yield from document_lines(value, indent + "  ")
    elif isinstance(value, list) and value:
        yield head
        for item in value:
            yield from _item_lines(item, indent + "  ")
    else:
        yield f"{head} {_bare(value)}"


def _item_lines(item: Json, indent: str) -> Iterator[str]:
    if not isinstance(item, dict) or not item:
        yield f"{indent}- {_bare(item)}"
        return
    lines = list(document_lines(item, indent + "  "))
    yield f"{indent}- {lines[0].lstrip()}"
    yield from lines[1:]


def _bare(value: Json) -> str:
    return shown(value) if isinstance(value, str) and is_bare(value) else value_text(value)


def is_bare(words: str) -> bool:
    """A text that nobody takes for something else where it stands without quotes."""
    if not words.isprintable() or words != words.strip() or words[:1] in ("", '"', "[", "{"):
        return False
    if words in ("null", "true", "false"):
        return False
    try:
        float(words)
    except ValueError:
        return True
    return False


# Differences


def difference_lines(found: Difference, palette: Palette) -> Iterator[str]:
    """A difference for people: what was, what is."""
    key = shown(found.key)
    if found.missing != "before":
        yield palette.paint("red", f"- {key}: {value_text(found.before)}")
    if found.missing != "after":
        yield palette.paint("green", f"+ {key}: {value_text(found.after)}")


def difference_row(found: Difference) -> Row:
    """A difference as JSON."""
    return {"key": found.key, "from": found.before, "to": found.after}


VERSION_FIELDS = (
    "name", "number", "version", "commit", "source", "live", "message", "created", "created_by", "updated_by",
    "version_info",
)  # fmt: skip
LIST_FIELDS = (
    "name", "live", "latest", "version", "commit", "source", "paused", "held", "updated", "updated_by",
)  # fmt: skip
LOG_FIELDS = ("name", "action", "number", "from", "to", "reason", "at", "by", "commit")
DIFFERENCE_FIELDS = ("key", "from", "to")
SHOW_FIELDS = (*VERSION_FIELDS, "properties", "settings")
