"""The messages of our commits: texts made harmless, trailers written and read. Pure texts.

Trailers are read here from the raw message and not by git, whose reading depends on `trailer.*` configuration.
"""

from collections.abc import Mapping
from functools import lru_cache

from git_deployments.git import Object

_SHORT = 1000
"""Characters of a line that is looked at once where it comes again; of what is longer nothing is kept."""


def with_trailers(subject: str, text: str, trailers: Mapping[str, str | None]) -> str:
    """A whole commit message. `subject` and values are put on one line, `text` is made harmless."""
    values = ((key, one_line(value or "")) for key, value in trailers.items())
    lines = [f"{key}: {value}" for key, value in values if value]
    body = harmless(text)
    return "\n\n".join(part for part in (one_line(subject), body, "\n".join(lines)) if part) + "\n"


def one_line(value: str) -> str:
    """`value` without line breaks, NUL and outer white space."""
    return " ".join(value.replace("\0", " ").split("\n")).strip()


def harmless(text: str) -> str:
    """The user's text as it goes into a message: no NUL, no outer blank lines, no end of the message for git.

    git takes `---` at the start of a line, and a comment that is a scissors line, for the end.
    """
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\0", " ").split("\n")]
    ends = (line.startswith("---") or (_SCISSORS in line and not line.startswith(" ")) for line in lines)
    return "\n".join(f" {line}" if end else line for end, line in zip(ends, lines, strict=True)).strip("\n")


_SCISSORS = "------------------------ >8 ------------------------"


def misread(commit: Object) -> str | None:
    """Why git reads something else in a commit than we do, as a clause; None for what we write.

    It reads only up to a NUL and to what `harmless` takes from texts, and in the encoding that the header names.
    """
    if b"\0" in commit.data:
        return "it holds a NUL, where git stops reading"
    head, _, message = commit.data.partition(b"\n\n")
    if b"\nencoding " in head:
        return "it is in another encoding than UTF-8"
    if b"---" not in message:
        return None
    cut = _SCISSORS.encode() in message and any(map(_is_scissors, message.split(b"\n")))
    if cut or message.startswith(b"---") or b"\n---" in message:
        return "a line of its text ends the message for git"
    return None


def _is_scissors(line: bytes) -> bool:
    """A comment of one word, whatever comments begin with (git manual, core.commentChar), but no trailer."""
    word, _, rest = line.partition(b" ")
    return rest.startswith(_SCISSORS.encode()) and word[-1:] not in (b"", b":")


def split_message(message: str) -> tuple[str, str, dict[str, str]]:
    """Subject, text and trailers; the trailers are empty where the last paragraph is none."""
    message = message.rstrip("\n")
    before, gap, last = message.rpartition("\n\n")
    trailers = parse_trailers(last) if gap else {}
    subject, _, text = (before if trailers else message).partition("\n\n")
    return subject, text.strip("\n"), trailers


def parse_trailers(paragraph: str) -> dict[str, str]:
    """The trailers of a paragraph, of a repeated key the last; empty unless each line is a trailer."""
    lines = paragraph.split("\n")
    found = [_known_trailer(line) if len(line) < _SHORT else _parse_trailer(line) for line in lines]
    return dict(filter(None, found)) if all(found) else {}


def _parse_trailer(line: str) -> tuple[str, str] | None:
    key, colon, value = line.partition(":")
    if not colon or not key.replace("-", "").isalnum() or not key.isascii():
        return None
    return key, value.strip()


_known_trailer = lru_cache(maxsize=4096)(_parse_trailer)
"""Most lines of a message stand in thousands of others as well."""
