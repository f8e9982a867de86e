"""The command for a server's hooks: `hook pre-receive`, `hook post-receive`, `hook install`."""

from __future__ import annotations

import sys

import click

from git_deployments.console import App, helps, note, say
from git_deployments.errors import DONE, NO
from git_deployments.guard import parse_push, refusals

_WORDS = ("pre-receive", "post-receive", "install")


@click.command("hook", add_help_option=False)
@click.argument("what", type=click.Choice(_WORDS))
@click.option("--remove", is_flag=True, help="With install: take the hooks out again.")
@helps
@click.pass_obj
def hook_command(app: App, what: str, remove: bool) -> int:
    """Guard a server's deployments, and tell what goes live.

    install puts both hooks into this repository, beside what is there. pre-receive refuses a push that breaks the
    format or the history; post-receive runs deployments.onLive for each move of live. git runs these two.
    """
    if remove and what != "install":
        raise click.UsageError("--remove goes with install")
    if what == "pre-receive":
        return _pre_receive(app)
    if what == "post-receive":
        return _post_receive(app)
    from git_deployments import install

    for line in install.remove(app.repository) if remove else install.install(app.repository):
        say(line)
    return DONE


def _pre_receive(app: App) -> int:
    refused = False
    for line in refusals(app.repository, parse_push(sys.stdin.buffer.read())):
        note(line)
        refused = True
    return NO if refused else DONE


def _post_receive(app: App) -> int:
    from git_deployments import onlive

    moves = onlive.pushed(app.repository, parse_push(sys.stdin.buffer.read()))
    for move in moves:
        say(onlive.line(move))
    sys.stdout.flush()
    failures = list(onlive.run_commands(app.repository, moves))
    for line in failures:
        note(line)
    return NO if failures else DONE
