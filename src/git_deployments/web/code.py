"""The code between two commits, as git tells it: commits that come and go, files that change. All bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from git_deployments.checkout import present
from git_deployments.git import Process
from git_deployments.names import brief
from git_deployments.repository import Repository
from git_deployments.web.text import one_line, plain

COMMITS = 100
"""Commits that are listed."""
FILES = 300
"""Files that are listed."""
FILE_LINES = 400
"""Lines of one file's diff."""
PATCH = 600_000
"""Bytes of the whole diff that are read for a page."""
SHOWN = 120_000
"""Characters of the whole diff that a page shows."""
_LINE = 400
_HEADER = b"diff --git "


class CodeCommit(NamedTuple):
    """One commit of the code."""

    oid: str
    comes: bool
    """It is only in the history of the second; else only of the first."""
    seconds: int
    author: str
    subject: str


class Row(NamedTuple):
    """One line of a diff."""

    kind: str
    """`+`, `-`, a space, `@` (a hunk's head) or a backslash (a note of git's)."""
    text: str
    cut: bool = False
    """Not all of the line is here."""


class CodeFile(NamedTuple):
    """What changed in one file."""

    path: str
    was: str | None
    """Its path before, where it was renamed."""
    added: int | None
    """Lines; None in a binary file."""
    removed: int | None
    rows: tuple[Row, ...]
    cut: bool
    """Not all of its diff is here."""


class Code(NamedTuple):
    """What is between two code commits."""

    commits: tuple[CodeCommit, ...]
    files: tuple[CodeFile, ...]
    more_commits: bool = False
    more_files: int = 0
    added: int = 0
    removed: int = 0
    problem: str | None = None
    """Why nothing can be said."""
    same: bool = False
    """Both are one commit."""

    @property
    def gone(self) -> tuple[CodeCommit, ...]:
        """Commits that the second lacks."""
        return tuple(one for one in self.commits if not one.comes)

    @property
    def come(self) -> tuple[CodeCommit, ...]:
        """Commits that the first lacks."""
        return tuple(one for one in self.commits if one.comes)


class _Count(NamedTuple):
    path: str
    was: str | None
    added: int | None
    removed: int | None


def between(repository: Repository, before: str | None, after: str | None, patch: bool = True) -> Code:
    """What is between the code of two versions. `patch=False`: counts without their lines."""
    if before is None or after is None:
        return Code((), (), problem="The code commit of one of them is unknown.")
    if before == after:
        return Code((), (), same=True)
    missing = [oid for oid in (before, after) if not present(repository, oid)]
    if missing:
        return Code(
            (), (), problem=f"Commit {missing[0][:12]} is not in this repository; fetch it to compare the code."
        )
    commits = list(_commits(repository, before, after))
    counts = list(_counts(repository, before, after))
    diffs = _diffs(repository, before, after) if patch else iter(())
    files = tuple(_files(counts[:FILES], diffs))
    return Code(
        tuple(commits[:COMMITS]),
        files,
        len(commits) > COMMITS,
        max(0, len(counts) - FILES),
        sum(one.added or 0 for one in counts),
        sum(one.removed or 0 for one in counts),
    )


def _commits(repository: Repository, before: str, after: str) -> Iterator[CodeCommit]:
    options = ("--no-show-signature", "--left-right", "-z", f"--max-count={COMMITS + 1}")
    form = "--format=tformat:%m%n%H%n%at%n%an%n%s"
    out = repository.git.run("log", *options, form, f"{before}...{after}", "--").decode("utf-8", "replace")
    for record in out.split("\0")[:-1]:
        side, oid, seconds, author, subject = record.split("\n", 4)
        yield CodeCommit(oid, side == ">", int(seconds or 0), one_line(author, 80), one_line(subject))


_DIFF = ("diff-tree", "-r", "-M", "--no-ext-diff", "--no-textconv", "--no-color")


def _counts(repository: Repository, before: str, after: str) -> Iterator[_Count]:
    out = repository.git.run(*_DIFF, "--numstat", "-z", before, after).decode("utf-8", "replace")
    parts = iter(out.split("\0")[:-1])
    for part in parts:
        added, removed, path = part.split("\t", 2)
        was = None
        if not path:
            was, path = next(parts), next(parts)
        yield _Count(path, was, _number(added), _number(removed))


def _number(digits: str) -> int | None:
    return int(digits) if digits.isdigit() else None


def whole(repository: Repository, before: str, after: str) -> Process:
    """git, writing the diff of two commits to its standard output."""
    process = repository.git.start(*_DIFF, "-p", "--src-prefix=a/", "--dst-prefix=b/", before, after)
    process.close_stdin()
    return process


def _diffs(repository: Repository, before: str, after: str) -> Iterator[list[bytes]]:
    """The lines of each file's diff, in the order of the counts, as far as `PATCH` bytes go.

    A file that becomes a symbolic link has two sections in a row, of one and the same header, and one count.
    """
    process, out = whole(repository, before, after), b""
    try:
        while len(out) < PATCH and (chunk := process.read()):
            out += chunk
    finally:
        process.stop()
    lines: list[bytes] = []
    for line in out[:PATCH].split(b"\n"):
        if line.startswith(_HEADER) and line not in lines[:1]:
            if lines:
                yield lines
            lines = []
        lines.append(line)
    if lines[0].startswith(_HEADER):
        yield lines


def _files(counts: Iterable[_Count], diffs: Iterator[list[bytes]]) -> Iterator[CodeFile]:
    left = SHOWN
    for count in counts:
        lines = next(diffs, None)
        rows = tuple(islice(_rows(lines or []), FILE_LINES))
        if sum(len(row.text) for row in rows) > left:
            rows = ()
        left -= sum(len(row.text) for row in rows)
        expected = (count.added or 0) + (count.removed or 0)
        there = sum(row.kind in "+-" for row in rows)
        cut = there < expected or any(row.cut for row in rows)
        was = brief(count.was) if count.was else None
        yield CodeFile(brief(count.path), was, count.added, count.removed, rows, cut)


def _rows(lines: list[bytes]) -> Iterator[Row]:
    """Of one file: from its first hunk on, and of both where it has two sections."""
    inside = False
    for line in lines:
        inside = not line.startswith(_HEADER) and (inside or line.startswith(b"@@"))
        if inside and line:
            text = line.decode("utf-8", "replace")
            cut = text[0] != "@" and len(text) > _LINE
            line_text = text if text[0] == "@" else text[1:]
            yield Row(text[0], plain(f"{text[1:_LINE]}…" if cut else line_text), cut)
