"""`git deployments web`: serve the pages, or write them to files."""

from __future__ import annotations

import os
import sys
import time

import click

from git_deployments.console import helps, option
from git_deployments.errors import DONE, DeploymentsError
from git_deployments.names import shown
from git_deployments.process import App, note, progress, say, warn
from git_deployments.repository import Repository


class ExtraMissing(DeploymentsError):
    """The packages of the extra are not installed."""


@click.command("web", add_help_option=False)
@option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Listen there (default: a free port).")
@option("--read-only", is_flag=True, help="Offer no move.")
@option("--no-browser", is_flag=True, help="Only print the address.")
@option("--export", "directory", metavar="DIR", help="Write the pages to files in DIR instead, read-only.")
@helps
@click.pass_obj
def web_command(app: App, port: int, read_only: bool, no_browser: bool, directory: str | None) -> int:
    """Show the deployments in a browser, and move what is live there.

    The pages are served to this machine alone, until ^C.
    """
    if directory is not None and (port or read_only or no_browser):
        raise click.UsageError("--export serves nothing: --port, --read-only and --no-browser do not go with it")
    try:
        from git_deployments.web import files, server
        from git_deployments.web.site import Site
    except ModuleNotFoundError as missing:
        raise ExtraMissing(
            f"the pages need a package that is not installed ({missing.name}): pip install 'git-deployments[web]'"
        ) from None
    repository = app.repository
    title = _title(repository)
    if directory is not None:
        exported = time.strftime("%Y-%m-%d %H:%M %z")
        done = files.export(repository, Site(title, True, exported), directory, progress("Writing pages"))
        for line in done.damaged:
            warn(line)
        say(f"{done.pages} pages in {shown(directory)}; open {shown(os.path.join(directory, 'index.html'))}")
        return DONE

    def ready(address: str) -> None:
        say(address)
        sys.stdout.flush()
        note("The address opens once. ^C ends it.")
        if not no_browser:
            _open_browser(address, app.environment)

    # Nobody sits at the terminal to answer what git asks there.
    environment = {"GIT_TERMINAL_PROMPT": "0", **app.environment}
    server.serve(lambda: Repository(".", environment), Site(title, read_only), port, ready)
    return DONE


def _title(repository: Repository) -> str:
    """The directory's name; of a bare repository without its ending."""
    layout = repository.layout
    path = layout.top or layout.common_dir
    return os.path.basename(path.removesuffix("/.git")).removesuffix(".git") or path


def _open_browser(address: str, environment: dict[str, str]) -> None:
    """Only where there is a screen: a browser for terminals would take this one over."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if os.name == "posix" and sys.platform != "darwin" and not any(map(environment.get, screens)):
        return
    import webbrowser

    webbrowser.open(address)
