"""The commands that bring a version's code or run it."""

from __future__ import annotations

import os
import sys

import click

from git_deployments import render, run, worktree
from git_deployments.console import as_json, helps, option
from git_deployments.errors import DONE, DeploymentsError
from git_deployments.history import State, find
from git_deployments.model import Version
from git_deployments.names import quoted, shown
from git_deployments.process import App, note, say, tell
from git_deployments.repository import Repository
from git_deployments.resolve import WORDS, resolve


class VersionForDirectory(DeploymentsError):
    """A version where the directory belongs."""


@click.command("checkout", add_help_option=False)
@click.argument("name")
@click.argument("directory", metavar="DIR")
@click.argument("version", required=False)
@option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")
@as_json
@helps
@click.pass_obj
def checkout_command(app: App, name: str, directory: str, version: str | None, quiet: bool, json: bool) -> int:
    """Check out the exact code of a version in a new worktree, DIR (default: of the live version).

    DIR must not exist. 'git worktree remove DIR' takes it away again.
    """
    repository = app.repository
    state = find(repository, name)
    chosen = resolve(repository, state, "live" if version is None else version)
    if version is None:
        _must_be_no_version(repository, state, chosen, directory)
    commit = worktree.code_commit(chosen)
    if not os.path.lexists(directory):
        worktree.obtain(repository, commit, chosen)
    worktree.add(repository, directory, commit)
    if json:
        path, below = os.path.abspath(directory), chosen.source.directory
        row: render.Row = {"name": chosen.name, "number": chosen.number, "source": commit, "path": path}
        say(render.json_text({**row, "directory": os.path.join(path, *below.split("/")) if below else path}))
    elif not quiet:
        say(f"{_said(chosen)}: {commit} is checked out in {shown(directory)}")
    return DONE


def _must_be_no_version(repository: Repository, state: State, chosen: Version, directory: str) -> None:
    """Every other command has VERSION right after NAME: here the live code would go where that is written."""
    if "/" in directory or not (directory in WORDS or directory.removeprefix("v")[:1].isdigit()):
        return
    try:
        meant = resolve(repository, state, directory)
    except DeploymentsError:
        return
    if meant.commit != chosen.commit:
        raise VersionForDirectory(
            f"'{shown(directory)}' is v{meant.number} of '{shown(state.name)}', and DIR stands before VERSION: "
            f"git deployments checkout {quoted(state.name)} DIR v{meant.number}; "
            f"if it is the directory, write {quoted(f'./{directory}')}"
        )


@click.command("run", add_help_option=False)
@click.argument("name")
@click.argument("version", required=False)
@option(
    "-p", "--param", "assignments", multiple=True, metavar="KEY=VALUE", help="A parameter of this run; VALUE is YAML."
)
@option("--python", metavar="PROGRAM", help="The Python to run in (default: the virtual environment's, or PATH's).")
@option("--print", "printing", is_flag=True, help="Print the command that runs an image-based version instead.")
@option("-q", "--quiet", is_flag=True, help="Do not say what is run, nor what pull steps print.")
@helps
@click.pass_obj
def run_command(
    app: App,
    name: str,
    version: str | None,
    assignments: tuple[str, ...],
    python: str | None,
    printing: bool,
    quiet: bool,
) -> int:
    """Run exactly one version, whatever is checked out (default: the live one); exit as it does.

    Its pull steps are done in a directory of their own, from the objects of this repository where the code is here.
    An image-based version runs in its image.
    """
    repository = app.repository
    state = find(repository, name)
    chosen = resolve(repository, state, "live" if version is None else version)
    planned = run.plan(repository, state, chosen, assignments, app.environment)
    if printing:
        if planned.image is None:
            raise run.CannotRun(f"{_said(chosen)} runs in no image, so there is no command to print; leave --print out")
        say(run.shell_line(run.container_command(planned, run.engine_of(app.environment) or "docker", python)))
        return DONE
    if not quiet:
        note(f"running {_said(chosen)}, {_what(repository, planned)}")
    sys.stdout.flush()
    if planned.image is not None:
        return run.in_container(repository, planned, run.engine_of(app.environment), python)
    return run.here(repository, planned, run.python_of(app.environment, python), _unheard if quiet else _heard)


def _said(version: Version) -> str:
    label = f" ({shown(version.label)})" if version.label else ""
    return f"{shown(version.name)} v{version.number}{label}"


def _what(repository: Repository, planned: run.Plan) -> str:
    if planned.image:
        return f"image {shown(planned.image)}"
    commit = run.code_of(repository, planned)
    return f"code {shown(commit[:12])}" if commit else "code from its pull steps"


def _heard(words: str) -> None:
    tell(words)


def _unheard(words: str) -> None:
    del words
