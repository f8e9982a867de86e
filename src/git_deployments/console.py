"""What the commands share: the repository and environment they work with, their options, how they print."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from git_deployments import terminal
from git_deployments.errors import DeploymentsError
from git_deployments.model import Watch, unwatched
from git_deployments.render import Palette, Row, json_array, json_text, row_format
from git_deployments.repository import Repository

F = TypeVar("F", bound=Callable[..., Any])


class App:
    """What a command has to work with: the repository, the environment, and standard output."""

    def __init__(self) -> None:
        self.environment = dict(os.environ)
        self.repository = Repository(".", self.environment)
        self._end_page: Callable[[], None] | None = None

    @property
    def palette(self) -> Palette:
        """Colours for standard output."""
        return terminal.palette(self.repository, self.environment)

    def page(self) -> None:
        """From here on standard output goes through the pager, if a terminal reads it."""
        self._end_page = terminal.page(self.repository, self.environment)

    def close(self) -> None:
        """End what was started on the way."""
        if self._end_page:
            self._end_page()
        self.repository.close()


class Unwritable(DeploymentsError):
    """Standard output takes no more, and somebody may rely on having all of it."""


class Output(io.TextIOWrapper):
    """Standard output. Raises `Unwritable` where a disk or device refuses it; nobody reading is a `BrokenPipeError`."""

    def write(self, text: str, /) -> int:
        """As a text stream does."""
        try:
            return super().write(text)
        except OSError as error:
            raise _unwritable(error) from None

    def flush(self) -> None:
        """As a text stream does."""
        try:
            super().flush()
        except OSError as error:
            raise _unwritable(error) from None


def _unwritable(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error
    return Unwritable(f"standard output cannot be written: {error.strerror}; what the command had done before stays")


def say(line: str) -> None:
    """One line on standard output."""
    sys.stdout.write(line + "\n")


def note(line: str) -> None:
    """One line on standard error."""
    tell(line + "\n")


def tell(words: str) -> None:
    """Words on standard error; where it cannot be written the work goes on, as git's does."""
    try:
        click.echo(words, err=True, nl=False)
    except OSError:
        return


def warn(line: str) -> None:
    """One line on standard error, marked as a warning."""
    note(f"warning: {line}")


def ending(*names: str, help: str, say: Callable[[click.Context], str]) -> Callable[[F], F]:  # noqa: A002
    """An option that says something and ends the command, such as `--help`.

    click's own ones look for a translation of their help, which costs a rollback more than parsing its command line.
    """

    def end(context: click.Context, _: click.Parameter, given: bool) -> None:
        if given and not context.resilient_parsing:
            click.echo(say(context))
            context.exit()

    return click.option(*names, is_flag=True, is_eager=True, expose_value=False, help=help, callback=end)


helps = ending("-h", "--help", help="Show this message and exit.", say=click.Context.get_help)
"""`-h`."""


def as_json(command: F) -> F:
    """`--json`."""
    return click.option("--json", "json", is_flag=True, help="Print JSON.")(command)


def as_rows(command: F) -> F:
    """`--json` and `--format`."""
    option = click.option(
        "--format", "template", metavar="FORMAT", help="Print a line for each, %(field) filled in; fields as in --json."
    )
    return as_json(option(command))


def emit(rows: Iterable[Row], json: bool, template: str | None, fields: tuple[str, ...]) -> None:
    """Rows as a JSON array, or as lines of a format."""
    if json:
        sys.stdout.writelines(json_array(rows))
        sys.stdout.write("\n")
    elif template is not None:
        fill = row_format(template, fields)
        sys.stdout.writelines(fill(row) + "\n" for row in rows)


def emit_one(row: Row, json: bool, template: str | None, fields: tuple[str, ...]) -> None:
    """One row as a JSON object, or as a line of a format."""
    if json:
        say(json_text(row))
    elif template is not None:
        say(row_format(template, fields)(row))


def progress(what: str) -> Watch:
    """Shows on a terminal's standard error how far long work is, as git does; nowhere else."""
    if not os.isatty(2):
        return unwatched
    import time

    start = time.monotonic()

    def show(done: int, total: int) -> None:
        if time.monotonic() - start > _PATIENCE:
            end = ", done.\n" if done == total else "\r"
            tell(f"{what}: {done * 100 // total}% ({done}/{total}){end}")

    return show


_PATIENCE = 1.0
"""Seconds before progress is shown."""
