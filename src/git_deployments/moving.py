"""What every write shares, and the commands that only move `live`.

These two stand apart because they are run in a hurry, and often: they pay for the options of no other command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from git_deployments import render
from git_deployments.console import F, as_json, helps, option
from git_deployments.errors import DONE, NOT_LIVE, DeploymentsError
from git_deployments.history import Pointer, State, find, foresee, is_empty, is_full_name, while_live
from git_deployments.model import Event, Json
from git_deployments.names import quoted, shown
from git_deployments.process import App, note, say, warn
from git_deployments.reason import check_reason
from git_deployments.record import Record
from git_deployments.refs import LIVE, LOG, live_ref, parse_ref
from git_deployments.repository import Repository
from git_deployments.store import (
    Decide,
    Outcome,
    Planned,
    Wanted,
    foreseen,
    moved,
    plan,
    promoting,
    rolling_back,
    write,
)

if TYPE_CHECKING:
    from git_deployments.onlive import Move


class Manner(NamedTuple):
    """How a write is carried out and told."""

    json: bool
    quiet: bool
    dry_run: bool
    push: str | None
    """The remote to publish to."""
    remote: str | None
    """The remote that was named."""
    offline: bool


class Telling(NamedTuple):
    """How outcomes of one kind are told."""

    text: Callable[[Repository, Outcome], None]
    json: Callable[[Repository, list[Outcome]], Json]


def writes(command: F) -> F:
    """The options that every write has."""
    for added in (
        option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors."),
        option("-n", "--dry-run", "dry_run", is_flag=True, help="Show which refs would move; write nothing."),
        option("-m", "--message", "reason", default="", metavar="TEXT", help="Why; kept in the log."),
    ):
        command = added(command)
    return as_json(command)


def publishes(command: F) -> F:
    """`--push`, `--remote` and `--offline`."""
    for added in (
        option("--offline", is_flag=True, help="Ask no remote, even if nothing is known here yet."),
        option("--remote", metavar="REMOTE", help="The remote to publish to, and to ask first."),
        option("--push/--no-push", default=None, help="Publish it, or do not write it (deployments.push)."),
    ):
        command = added(command)
    return command


def expects(command: F) -> F:
    """`--expect-live`."""
    return option(
        "--expect-live",
        "expect",
        metavar="VERSION",
        help="Write only if this version is live (none: nothing is); else exit 5.",
    )(command)


@click.command("rollback", add_help_option=False)
@click.argument("name")
@click.argument("version", required=False)
@option("--hold", is_flag=True, help="Later deploys and updates do not go live until promote.")
@expects
@publishes
@writes
@helps
@click.pass_obj
def rollback_command(app: App, /, **options: Any) -> int:
    """Make an older version live.

    Default: the most recently live version, older than the live one, that was not itself rolled away from.
    """
    decide = rolling_back(app.repository, options["version"], options["hold"], options["reason"], options["expect"])
    return _move(app, options, decide)


@click.command("promote", add_help_option=False)
@click.argument("name")
@click.argument("version", required=False)
@expects
@publishes
@writes
@helps
@click.pass_obj
def promote_command(app: App, /, **options: Any) -> int:
    """Make a newer version live (default: the latest); ends a hold."""
    decide = promoting(app.repository, options["version"], options["reason"], options["expect"])
    return _move(app, options, decide)


def _move(app: App, options: dict[str, Any], decide: Decide) -> int:
    check_reason(app.repository, options["reason"])
    return carry_out(app, the_one(app, options["name"]), decide, manner_of(app, options), MOVES)


def the_one(app: App, words: str) -> Wanted:
    """The one deployment that is meant, looked up when the history is as new as it gets.

    A full name needs no look: the write itself finds out whether it is there.
    """
    if is_full_name(words):
        return Wanted(lambda: [words], True)
    return Wanted(lambda: [find(app.repository, words).name], False)


# Carrying out


def manner_of(app: App, options: dict[str, Any]) -> Manner:
    """The manner that the options ask for, and the configuration where they say nothing.

    Raises `UsageError`, `UnknownRemote`.
    """
    wanted, remote = options["push"], options["remote"]
    if wanted and options["offline"]:
        raise click.UsageError("--push and --offline exclude each other")
    if wanted is None and not options["offline"]:
        wanted = app.repository.flag("push")
    push = None
    if wanted or remote:
        from git_deployments.tracking import check_remote, chosen_remote

        known = check_remote(app.repository, remote) if remote else chosen_remote(app.repository, None)
        push = known if wanted else None
    return Manner(options["json"], options["quiet"], options["dry_run"], push, remote, options["offline"])


def carry_out(app: App, wanted: Wanted, decide: Decide, manner: Manner, telling: Telling) -> int:
    """Write it, publish it where asked, and tell it; or show what would be written. The exit code."""
    repository = app.repository
    if manner.dry_run:
        if repository.remotes and is_empty(repository, wanted.look() if wanted.exact else ()):
            warn("nothing is known here yet and a dry run asks no remote, so numbers are provisional")
        planned = plan(repository, wanted.look(), decide)
        return _show_plan(planned, foreseen(repository, planned), manner)
    first_contact(repository, manner, wanted.look() if wanted.exact else ())
    if manner.push:
        outcomes = _written_and_published(repository, manner, wanted, decide)
    else:
        names = list(wanted.look())
        foresee(repository, names)
        outcomes = write(repository, repository.who(), names, decide)
    for outcome in outcomes if not manner.quiet else ():
        for event in outcome.record.adopted if outcome.record else ():
            note(f"recorded first: {shown(outcome.name)}: {_adopted(event)}")
        for line in outcome.decision.notes:
            note(line)
    try:
        _tell(repository, outcomes, manner, telling)
    finally:
        _follow(repository, outcomes, manner)
    return NOT_LIVE if any(outcome.decision.not_taken for outcome in outcomes) else DONE


def _tell(repository: Repository, outcomes: list[Outcome], manner: Manner, telling: Telling) -> None:
    if manner.json:
        say(render.json_text(telling.json(repository, outcomes)))
    elif not manner.quiet:
        for outcome in outcomes:
            telling.text(repository, outcome)


def _follow(repository: Repository, outcomes: list[Outcome], manner: Manner) -> None:
    """What follows from a write, even where nobody could be told of it."""
    try:
        after_moves(repository, outcomes, manner.quiet)
    finally:
        _tell_unpublished(repository, outcomes, manner)


def after_moves(
    repository: Repository, outcomes: list[Outcome], quiet: bool, warned: Callable[[str], None] = warn
) -> None:
    """What is to happen here once another version is live (design, "Hooks" and "Running").

    `warned` is told what did not go well. Raises `apply.NotApplied`; whatever is raised here, the moves stand.
    """
    records = moved(outcomes)
    if not records:
        return
    if repository.flag("onLiveLocal"):
        from git_deployments import onlive

        run_on_live(repository, onlive.made(records), warned)
    applied = {record.name: record.before is None for record in records if record.after}
    if applied and repository.flag("applyOnLive"):
        from git_deployments.serving import apply_moves

        apply_moves(repository, applied, quiet, warned)


def run_on_live(repository: Repository, moves: list[Move], warned: Callable[[str], None] = warn) -> None:
    """Run `deployments.onLive` for moves made here. `warned` is told what failed."""
    from git_deployments import onlive

    with suppress(OSError, DeploymentsError):  # nobody reads what was done, and what follows from it follows
        sys.stdout.flush()
    for line in onlive.run_here(repository, moves):
        warned(line)


def first_contact(repository: Repository, manner: Manner, likely: Iterable[str] = ()) -> None:
    """A clone that has no deployments yet asks its remote first, so that numbers go on (design, "Commands").

    `likely`: names of deployments that it may have.
    """
    if manner.push or manner.offline or not repository.remotes or not is_empty(repository, likely):
        return
    from git_deployments.sync import pull_first
    from git_deployments.syncing import echo

    if problem := pull_first(repository, manner.remote, echo()):
        warn(problem)


def _written_and_published(repository: Repository, manner: Manner, wanted: Wanted, decide: Decide) -> list[Outcome]:
    from git_deployments import publish
    from git_deployments.syncing import echo, tell_disputes, tell_heard, tell_pulled, tell_pushed

    assert manner.push is not None
    try:
        written = publish.write(repository, manner.push, wanted, decide, echo())
    except publish.ContestedBefore as contested:
        tell_disputes(contested.pulled)
        raise
    told = not (manner.quiet or manner.json)
    if told and written.pulled.integrations:
        tell_pulled(written.pulled)
    tell_heard(written.pushed)
    if told and written.pushed.published:
        tell_pushed(written.pushed)
    return written.outcomes


def _tell_unpublished(repository: Repository, outcomes: list[Outcome], manner: Manner) -> None:
    changed = [quoted(outcome.name) for outcome in outcomes if outcome.record]
    if manner.push or manner.quiet or not changed or not repository.remotes:
        return
    from git_deployments.checkout import default_remote

    remote = manner.remote or default_remote(repository)
    if remote:
        names = changed if len(changed) <= 5 else []
        note(f"not published: {' '.join(['git deployments push', quoted(remote), *names])}")


def _adopted(event: Event) -> str:
    before, after = (f"v{number}" if number else "nothing" for number in (event.before, event.after))
    version = f" of v{event.number}" if event.number else ""
    return f"{event.action}{version}{f' from {before} to {after}' if before != after else ''}"


def _show_plan(planned: list[Planned], records: Mapping[str, Record], manner: Manner) -> int:
    rows = [_planned_row(one) for one in planned]
    if manner.json:
        say(render.json_text(list(rows)))
    else:
        for one in planned:
            for line in (*one.decision.notes, *_planned_lines(one, records.get(one.state.name))):
                say(line)
    return NOT_LIVE if any(one.decision.not_taken for one in planned) else DONE


def _planned_row(planned: Planned) -> render.Row:
    state, decision = planned
    step = decision.step
    number = _next_number(state) if step and step.draft else None
    after = number if step and step.goes_live else (step.live.number if step and step.live else None)
    return {
        "name": state.name,
        "action": step.action if step else None,
        "number": number,
        "from": state.live.number if state.live else None,
        "to": after if step else (state.live.number if state.live else None),
    }


def _next_number(state: State) -> int:
    return state.latest.number + 1 if state.latest else 1


def _planned_lines(planned: Planned, record: Record | None) -> Iterable[str]:
    if record is None:
        return
    made = record.version
    for ref, new, old in record.changes:
        if new == old:
            continue
        parsed = parse_ref(ref)
        kind = parsed.kind if parsed else None
        if kind == LIVE:
            after = _pointed(record.after)
            if made and new == made.commit:
                after = f"v{made.number} (new)"
            yield f"{shown(ref)}  {_pointed(planned.state.live)} -> {after}"
        elif kind == LOG:
            yield f"{shown(ref)}  {render.short(old) or '(none)'} -> {record.action} (new)"
        else:
            after = f"v{made.number} (new)" if made and new == made.commit else render.short(new) or "(gone)"
            yield f"{shown(ref)}  {render.short(old) or '(none)'} -> {after}"


def _pointed(version: Pointer | None) -> str:
    return f"v{version.number} {version.commit[:8]}" if version else "(none)"


# Telling


def _moved_row(repository: Repository, outcomes: list[Outcome]) -> Json:
    del repository
    ((name, decision, record, live),) = outcomes
    if record is None:
        return render.move_row(name, decision.verb, live, live)
    return render.move_row(name, record.action, record.before, record.after)


def _tell_move(repository: Repository, outcome: Outcome) -> None:
    record, name = outcome.record, shown(outcome.name)
    if record is None:
        return
    before, after = record.before, record.after
    if record.action == "delete":
        say(f"{name}: deleted, {pointed_at(before)} was live; its log stays")
        if before:
            again = f" && git deployments rollback {quoted(record.name)} v{before.number} --hold"
            held = again if record.held_before else ""
            say(f"undo: git update-ref {quoted(live_ref(record.name))} {before.commit}{held}")
        return
    if before and after and before.commit == after.commit:
        holds = record.event.held
        say(f"{name}: {pointed_at(after)} stays live; {'held until promote' if holds else 'the hold is over'}")
        again, rest = ("promote", "") if holds else ("rollback", " --hold")
        say(f"undo: git deployments {again} {quoted(record.name)} v{after.number}{rest}")
        return
    verb = "rolled back" if record.action == "rollback" else "promoted"
    held = "; held until promote" if record.event.held else ""
    say(f"{name}: {verb} from {pointed_at(before)} to {pointed_at(after)}{held}")
    if record.action == "rollback" and after:
        for line in _not_restored(repository, record, after):
            say(line)
    say(f"undo: {render.undo(record.name, before, after, record.held_before, record.existed)}")


def _not_restored(repository: Repository, record: Record, after: Pointer) -> Iterable[str]:
    """Settings that changed since the version was live: a rollback leaves them as they are."""
    then = while_live(repository, record.name, record.event.previous, after.number)
    if then is None or then.tree == record.event.tree:
        return
    from git_deployments.compare import settings_since

    for change in settings_since(repository, record.event, then):
        was, stays = map(render.value_text, (change.before, change.after))
        yield f"not restored: {change.key} was {was}, stays {stays}"


def pointed_at(version: Pointer | None) -> str:
    """`v7`, with its name where it has one."""
    if version is None:
        return "nothing"
    return f"v{version.number} ({shown(version.label)})" if version.label else f"v{version.number}"


MOVES = Telling(_tell_move, _moved_row)
