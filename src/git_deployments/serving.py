"""The commands that talk to a Prefect server, and what other commands ask of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import click

from git_deployments import apply, render
from git_deployments.compare import Difference
from git_deployments.console import as_json, helps, option
from git_deployments.errors import DONE
from git_deployments.history import State, match, names, states
from git_deployments.names import shown
from git_deployments.process import App, note, say, warn
from git_deployments.repository import Repository
from git_deployments.server import connect


@click.command("apply", add_help_option=False)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@option("--all", "every", is_flag=True, help="All deployments that have a live version.")
@option("--settings", "with_settings", is_flag=True, help="Send schedules, paused and limits too.")
@option("--create", is_flag=True, help="Create what the server does not have.")
@option("-n", "--dry-run", "dry_run", is_flag=True, help="Show what would change; change nothing.")
@option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")
@as_json
@helps
@click.pass_obj
def apply_command(
    app: App,
    names: tuple[str, ...],
    every: bool,
    with_settings: bool,
    create: bool,
    dry_run: bool,
    quiet: bool,
    json: bool,
) -> int:
    """Put live versions on the Prefect server of PREFECT_API_URL.

    Each deployment gets one update of every versioned property; its schedules, pause and limits stay as they are
    there.
    """
    repository = app.repository
    wanted = _wanted(repository, names, every)
    with connect() as server:
        targets = apply.look(repository, server, wanted)
        apply.check(server, targets, create)
        if dry_run:
            done = [apply.Applied(target, 0, []) for target in targets]
        else:
            done = apply.apply(repository, server, targets, with_settings)
    if json:
        say(render.json_text([_row(one, with_settings, dry_run) for one in done]))
        return DONE
    for one in done:
        if dry_run:
            _show_changes(app, one.target, with_settings)
        elif not quiet:
            _tell(one, with_settings, say)
        _warn_of_rest(one.left, one.target.name)
    return DONE


def _wanted(repository: Repository, words: tuple[str, ...], every: bool) -> list[State]:
    if every and words:
        raise click.UsageError("--all and NAME exclude each other")
    if not every and not words:
        known = names(repository)
        if len(known) != 1:
            raise click.UsageError("which deployments? name them, or use --all")
        words = tuple(known)
    found = states(repository, None if every else match(repository, words))
    return [state for state in found if not every or (state.live and not state.deleted) or state.breach]


def _changed(one: apply.Applied, with_settings: bool) -> list[str]:
    left = {difference.key for difference in one.left}
    keys = [difference.key for difference in one.target.changes if difference.key not in left]
    return [*keys, *(apply.settings_drift(one.target) if with_settings else ())]


def _row(one: apply.Applied, with_settings: bool, dry_run: bool) -> render.Row:
    target = one.target
    changed = _changed(one, with_settings)
    return {
        "name": target.name,
        "number": target.version.number,
        "version": target.version.label,
        "applied": not dry_run and (target.found is None or bool(changed)),
        "created": not dry_run and target.found is None,
        "changes": [render.difference_row(difference) for difference in target.changes],
        "scheduled": one.scheduled,
    }


def _said(target: apply.Target) -> str:
    label = f" ({shown(target.version.label)})" if target.version.label else ""
    return f"{shown(target.name)}: v{target.version.number}{label}"


def _tell(one: apply.Applied, with_settings: bool, tell: Callable[[str], None]) -> None:
    target = one.target
    changed = _changed(one, with_settings)
    if target.found is None:
        tell(f"{_said(target)} is created on the server")
    elif changed:
        tell(f"{_said(target)} is applied, {_count(len(changed), 'property', 'properties')} changed")
    else:
        tell(f"{_said(target)} is what the server has")
    if one.scheduled:
        runs = _count(one.scheduled, "run that is scheduled already", "runs that are scheduled already")
        tell(f"affected: {runs} will run v{target.version.number}")


def _count(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _show_changes(app: App, target: apply.Target, with_settings: bool) -> None:
    if target.found is None:
        say(f"{_said(target)} would be created")
        return
    if not target.changes and not (with_settings and apply.settings_drift(target)):
        say(f"{_said(target)} is what the server has")
        return
    say(f"{_said(target)} would be applied:")
    _show_differences(app, target.changes)
    for key, value in apply.settings_drift(target).items() if with_settings else ():
        _show_differences(app, [Difference(key, value, target.settings[key])])


def _show_differences(app: App, found: Iterable[Difference]) -> None:
    palette = app.palette
    for difference in found:
        for line in render.difference_lines(difference, palette):
            say(line)


def _warn_of_rest(left: list[Difference], name: str, warned: Callable[[str], None] = warn) -> None:
    keys = ", ".join(dict.fromkeys(shown(one.key.partition(".")[0]) for one in left))
    if keys:
        warned(
            f"{shown(name)}: the server keeps its own {keys}; it takes none from an update, or fills it in by itself"
        )


def apply_moves(
    repository: Repository, moved: Mapping[str, bool], quiet: bool, warned: Callable[[str], None] = warn
) -> None:
    """Apply what has just become live. `moved`: full name to whether the server may be without it.

    Raises `apply.NotApplied`: the move itself stands.
    """
    for one in apply.follow(repository, moved) if moved else ():
        if not quiet:
            _tell(one, False, note)
        _warn_of_rest(one.left, one.target.name, warned)


def apply_pulled(repository: Repository, changed: list[str], quiet: bool) -> None:
    """Apply what a pull has brought, where anything is live. Raises `apply.NotApplied`: what was pulled stands."""
    found = states(repository, changed) if changed else []
    apply_moves(repository, {state.name: True for state in found if state.live and not state.deleted}, quiet)


def server_drift(repository: Repository, found: Iterable[State]) -> dict[str, list[Difference] | None]:
    """How a server differs from each live version, by name; None where it has no such deployment."""
    with connect() as server:
        targets = apply.look(repository, server, found)
    return {target.name: target.changes if target.found else None for target in targets}
