"""The trailers of versions and events: which there are, in what order, and what each may hold (design, "Refs").

Nearly all commits have them just as we write them, and a log has thousands, so there is one regular expression for all
trailers of a version, and one for those of an event. Who reads others goes by the same tables, line by line.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

FORMAT = "1"
ACTIONS = ("deploy", "update", "promote", "rollback", "adopt", "delete")


class Form(NamedTuple):
    """What the value of a trailer is."""

    written: str
    """As we write it: a regular expression without groups."""
    fits: Callable[[str], object]
    """Whether readers take it; what they take and we do not write is an empty value, mostly."""
    otherwise: str
    """What is said of a value that does not fit."""


def is_id(text: str) -> bool:
    """Whether a text is a whole object id: git takes others for names of something else."""
    return len(text) in (40, 64) and not text.strip("0123456789abcdef")


def _is_number(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) < 12 and digits[0] != "0"


_TEXT = Form(r"\S|\S[^\n]*\S", lambda _: True, "")
_NUMBER = Form("[1-9][0-9]{0,10}", _is_number, "no version number")
_ID = Form("[0-9a-f]{40}|[0-9a-f]{64}", lambda value: not value or is_id(value), "no object id")
_ACTION = Form("|".join(ACTIONS), ACTIONS.__contains__, "nothing that an event is")
_PAUSED = Form("true|false", ("true", "false", "").__contains__, "not true or false")
_HOLD = Form("true", ("true", "").__contains__, "not true")
_FORMAT = Form(FORMAT, FORMAT.__eq__, "not known")
_RUN = {"Actor": _TEXT, "Run-Url": _TEXT}

VERSION: Mapping[str, Form] = {
    "Deployment": _TEXT,
    "Number": _NUMBER,
    "Version": _TEXT,
    "Source-Type": _TEXT,
    "Source-Commit": _ID,
    "Source-Branch": _TEXT,
    "Source-Repository": _TEXT,
    "Source-Url": _TEXT,
    "Source-Message": _TEXT,
    "Source-Directory": _TEXT,
    "Source-Dirty": _TEXT,
    **_RUN,
    "Was": _TEXT,
    "Format": _FORMAT,
}
"""Of a version commit."""
EVENT: Mapping[str, Form] = {
    "Deployment": _TEXT,
    "Action": _ACTION,
    "Number": _NUMBER,
    "From": _NUMBER,
    "To": _NUMBER,
    "Live-Commit": _ID,
    "Latest": _NUMBER,
    "Latest-Commit": _ID,
    "Version": _TEXT,
    "Source-Commit": _ID,
    "Paused": _PAUSED,
    "Hold": _HOLD,
    **_RUN,
    "Format": _FORMAT,
}
"""Of an event of the log."""
_ALWAYS = {"Deployment", "Action", "Format"}
"""Those that no message is without."""


@cache
def of_version() -> re.Pattern[str]:
    """The last paragraph of a version commit as we write it, its newline included; a group for each of `VERSION`."""
    return _as_written(VERSION)


@cache
def of_event() -> re.Pattern[str]:
    """The last paragraph of an event as we write it, its newline included; a group for each of `EVENT`."""
    return _as_written(EVENT)


def _as_written(forms: Mapping[str, Form]) -> re.Pattern[str]:
    lines = ((key, f"{key}: ({form.written})\n") for key, form in forms.items())
    return re.compile("".join(line if key in _ALWAYS else f"(?:{line})?" for key, line in lines))


@cache
def above() -> re.Pattern[str]:
    """A commit up to its message, as git writes it: tree, up to two parents, author, committer; other headers after."""
    parent = f"(?:parent ({_ID.written})\n)?"
    return re.compile(
        f"tree ({_ID.written})\n{parent}{parent}author ([^\n]*)\ncommitter [^\n]*\n(?:(?!parent )[^\n]+\n)*\n"
    )
