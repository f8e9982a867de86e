"""What the commands share: their options, and how they print rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from git_deployments.process import say
from git_deployments.render import Row, json_array, json_text, row_format

F = TypeVar("F", bound=Callable[..., Any])


class Option(click.Option):
    """An option whose help is one line as it stands. click would tidy it, which takes the import of `inspect`."""

    def __init__(self, *arguments: Any, help: str | None = None, **others: Any) -> None:  # noqa: A002
        super().__init__(*arguments, **others)
        self.help = help


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """As `click.option`."""
    return click.option(*names, cls=Option, **attributes)


def ending(*names: str, help: str, say: Callable[[click.Context], str]) -> Callable[[F], F]:  # noqa: A002
    """An option that says something and ends the command, such as `--help`.

    click's own ones look for a translation of their help, which costs a rollback more than parsing its command line.
    """

    def end(context: click.Context, _: click.Parameter, given: bool) -> None:
        if given and not context.resilient_parsing:
            click.echo(say(context))
            context.exit()

    return option(*names, is_flag=True, is_eager=True, expose_value=False, help=help, callback=end)


helps = ending("-h", "--help", help="Show this message and exit.", say=click.Context.get_help)
"""`-h`."""


def _one_form(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """A script that asks for two forms must not get whichever comes first here."""
    other = context.params.get("json" if parameter.name == "template" else "template")
    if value not in (None, False) and other not in (None, False):
        raise click.UsageError("--json and --format exclude each other")
    return value


def as_json(command: F) -> F:
    """`--json`."""
    return option("--json", "json", is_flag=True, help="Print JSON.", callback=_one_form)(command)


def as_rows(command: F) -> F:
    """`--json` and `--format`."""
    help_ = "Print a line for each, %(field) filled in; fields as in --json."
    return as_json(option("--format", "template", metavar="FORMAT", help=help_, callback=_one_form)(command))


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
