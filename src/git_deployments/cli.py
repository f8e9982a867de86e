"""The command line: the only reader of the environment, the only place where an error becomes an exit code.

The commands themselves are in modules by what they do; only the module of the one that runs is imported.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from git_deployments import __version__
from git_deployments.console import ending, helps
from git_deployments.errors import DONE, FATAL, INTERRUPTED, USAGE
from git_deployments.names import shown
from git_deployments.process import App, end_with, exit_code, fatal, note

COMMANDS = {
    "deploy": "writing",
    "update": "writing",
    "rollback": "moving",
    "promote": "moving",
    "delete": "writing",
    "fetch": "syncing",
    "pull": "syncing",
    "push": "syncing",
    "list": "reading",
    "versions": "reading",
    "show": "reading",
    "live": "reading",
    "log": "reading",
    "diff": "reading",
    "status": "reading",
    "checkout": "running",
    "run": "running",
    "apply": "serving",
    "capture": "writing",
    "export": "reading",
    "fsck": "reading",
    "web": "web.command",
    "hook": "hooking",
}
"""Command to the module that holds it, in the order of the help."""


class Group(click.Group):
    """Commands whose modules are imported when they are asked for; without a command, `list`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click calls it so
        """Names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name; None if there is none."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f"git_deployments.{module}"), f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but an unknown command is answered with the nearest one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"'{shown(args[0])}' is not a command of git deployments{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Group,
    invoke_without_command=True,
    add_help_option=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@ending("--version", help="Show the version and exit.", say=lambda _: f"git-deployments {__version__}")
@helps
@click.pass_context
def group(context: click.Context) -> int | None:
    """Version history, rollback and promotion for workflow deployments, in this Git repository.

    NAME is a deployment: flow/deployment, or the deployment's half alone where that is unique. VERSION is a number (7
    or v7), a version name, a prefix of a version's commit id or of its source commit (7 digits or more), or live,
    latest, previous; number:, name:, commit: or source: before it allows one reading only. Without a COMMAND the
    deployments are listed.
    """
    app = App()
    module = COMMANDS.get(context.invoked_subcommand or "")
    app.repository.foresee(writing=module in ("moving", "writing"), moving=module == "moving")
    context.obj = app
    context.call_on_close(app.close)
    if context.invoked_subcommand is None:
        from git_deployments.reading import list_deployments

        return list_deployments(app, (), False, None)
    return None


def main() -> NoReturn:
    """Run this process's command line and end it."""
    end_with(lambda: _invoke(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command line; its exit code (design, "Exit codes")."""
    return exit_code(lambda: _invoke(arguments))


def _invoke(arguments: list[str]) -> int:
    """Raises what `exit_code` knows; click's own exceptions end here."""
    try:
        code = group.main(arguments, prog_name="git deployments", standalone_mode=False)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.Abort:
        return INTERRUPTED
    except click.UsageError as error:
        return _misused(error)
    except click.ClickException as error:
        return fatal(error.format_message(), FATAL)
    except SystemExit:  # what click makes of it
        raise BrokenPipeError from None
    return code if isinstance(code, int) else DONE


def _misused(error: click.UsageError) -> int:
    note(f"error: {error.format_message()}")
    if error.ctx:
        note(error.ctx.get_usage().replace("Usage:", "usage:", 1))
        note(f"'{error.ctx.command_path} -h' tells more")
    return USAGE
