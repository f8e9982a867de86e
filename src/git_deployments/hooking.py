"""The command for a server's hooks: `hook pre-receive`, `hook post-receive`, `hook install`."""

from __future__ import annotations

import click

from git_deployments.console import helps, option
from git_deployments.errors import DONE
from git_deployments.process import App, say
from git_deployments.receiving import HOOKS


@click.command("hook", add_help_option=False)
@click.argument("what", type=click.Choice((*HOOKS, "install")))
@option("--remove", is_flag=True, help="With install: take the hooks out again.")
@helps
@click.pass_obj
def hook_command(app: App, what: str, remove: bool) -> int:
    """Guard a server's deployments, and tell what goes live.

    install puts both hooks into this repository, beside what is there. pre-receive refuses a push that breaks the
    format or the history; post-receive runs deployments.onLive for each move of live. git runs these two.
    """
    if remove and what != "install":
        raise click.UsageError("--remove goes with install")
    if what in HOOKS:
        return HOOKS[what](app.repository)
    from git_deployments import install

    for line in install.remove(app.repository) if remove else install.install(app.repository):
        say(line)
    return DONE
