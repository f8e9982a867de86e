"""The commands that talk to remotes: fetch, pull, push."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from git_deployments import render
from git_deployments.checkout import default_remote
from git_deployments.console import F, as_json, helps, option
from git_deployments.errors import CONTESTED, DONE
from git_deployments.history import named
from git_deployments.integrate import Dispute, Integration
from git_deployments.model import Event, Json
from git_deployments.names import quoted, shown
from git_deployments.process import App, note, say, warn
from git_deployments.publish import Pushed, push
from git_deployments.repository import Repository
from git_deployments.sync import Fetched, Pulled, fetch, pull
from git_deployments.tracking import Echo, UnknownRemote, chosen_remote, silent


def echo() -> Echo:
    """git's progress goes on to a terminal, and nowhere else."""
    if not os.isatty(2):
        return silent
    return _to_terminal


def _to_terminal(chunk: bytes) -> None:
    with suppress(OSError):  # the terminal is gone, the work goes on
        sys.stderr.flush()
        os.write(2, chunk)


def talks(command: F) -> F:
    """REMOTE, NAMEs and the options of the three commands."""
    for added in (
        option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors."),
        click.argument("names", nargs=-1, metavar="[NAME]..."),
        click.argument("remote", required=False),
    ):
        command = added(command)
    return as_json(command)


def _where(repository: Repository, remote: str | None, names: tuple[str, ...]) -> str:
    """The remote that is meant. Raises `UnknownRemote`, of a deployment's name with the words in their order."""
    if remote and remote not in repository.remotes and (found := named(repository, remote)):
        first = default_remote(repository)
        words = " ".join(quoted(word) for word in (first or "REMOTE", *found, *names))
        raise UnknownRemote(
            f"'{shown(remote)}' is a deployment, and the remote stands before it: "
            f"git deployments {click.get_current_context().info_name} {words}"
        )
    return chosen_remote(repository, remote)


@click.command("fetch", add_help_option=False)
@talks
@helps
@click.pass_obj
def fetch_command(app: App, remote: str | None, names: tuple[str, ...], quiet: bool, json: bool) -> int:
    """Look at what a remote has, and change nothing here but what was last seen of it."""
    repository = app.repository
    where = _where(repository, remote, names)
    found = fetch(repository, where, list(names) or None, echo())
    if json:
        say(render.json_text(_fetched_rows(found)))
    elif not quiet:
        say(f"{shown(where)} has {_count(len(found.tracked), 'deployment')}")
        _tell_gone(where, found.gone)
    return DONE


def _fetched_rows(found: Fetched) -> Json:
    return [
        {"name": one.name, "remote": one.remote, "log": one.log, "live": one.live} for one in found.tracked.values()
    ]


@click.command("pull", add_help_option=False)
@option("--repair", is_flag=True, help="Look for damage in all that is here, not in the newest alone.")
@talks
@helps
@click.pass_obj
def pull_command(app: App, remote: str | None, names: tuple[str, ...], repair: bool, quiet: bool, json: bool) -> int:
    """Bring together what a remote has published and what is unpublished here.

    Unpublished versions take the next free numbers; what the published history has overtaken is contested: it is
    printed, the published state stays, and the exit code is 4. What is damaged here is fetched again.
    """
    repository = app.repository
    where = _where(repository, remote, names)
    pulled = pull(repository, where, list(names) or None, echo(), repair)
    if pulled.mended.damaged:
        warn(f"{pulled.mended.damaged}; {shown(where)} does not have it either")
    if json:
        say(render.json_text([_integration_row(one) for one in pulled.integrations]))
    elif not quiet:
        tell_pulled(pulled)
    tell_disputes(pulled)
    if repository.flag("applyOnLive"):
        from git_deployments.serving import apply_pulled

        apply_pulled(repository, [one.name for one in pulled.integrations if one.changes], quiet)
    return CONTESTED if pulled.contested else DONE


def _integration_row(one: Integration) -> render.Row:
    return {
        "name": one.name,
        "outcome": one.outcome,
        "renumbered": [{"from": number.old, "to": number.new} for number in one.renumbered],
        "contested": [
            {
                "what": dispute.what,
                "ours": render.event_row(dispute.ours),
                "theirs": render.event_row(dispute.theirs),
                "choice": dispute.choice,
            }
            for dispute in one.disputes
        ],
    }


def tell_pulled(pulled: Pulled) -> None:
    """A line for each deployment that changed here or is ahead."""
    words = {
        "new": "new here",
        "forwarded": "brought up to date",
        "replayed": "brought together with what is unpublished here",
        "ahead": "has unpublished events here",
    }
    for one in pulled.integrations:
        say(f"{shown(one.name)}: {words[one.outcome]}")
        for number in one.renumbered:
            say(f"{shown(one.name)}: v{number.old} is now v{number.new}")
        for line in one.notes:
            note(line)
    for line in pulled.mended.done:
        note(line)
    _tell_gone(pulled.remote, pulled.gone)
    if not pulled.integrations and not pulled.gone:
        say(f"nothing new at {shown(pulled.remote)}")


def _tell_gone(remote: str, gone: list[str]) -> None:
    for name in gone:
        note(f"{shown(name)}: no longer at {shown(remote)}; it stays here")


def tell_disputes(pulled: Pulled) -> None:
    """Both sides of what is contested, and the commands to choose."""
    for one in pulled.integrations:
        for dispute in one.disputes:
            _tell_dispute(one.name, dispute)


def _tell_dispute(name: str, dispute: Dispute) -> None:
    warn(f"contested: {shown(name)}: {shown(dispute.what)}")
    note(f"  here:      {_told(dispute.ours)}")
    note(f"  published: {_told(dispute.theirs)}")
    note("  the published state stays; to keep it, do nothing")
    note(f"  to have it otherwise: {dispute.choice}")


def _told(event: Event) -> str:
    number = f" v{event.number}" if event.number else ""
    move = "" if event.before == event.after else f", live {_numbered(event.before)} → {_numbered(event.after)}"
    reason = f": {render.first_line(event.reason)}" if event.reason else ""
    return f"{event.action}{number}{move} by {shown(event.author.person)}, {render.when(event.author)}{reason}"


def _numbered(number: int | None) -> str:
    return f"v{number}" if number else "nothing"


@click.command("push", add_help_option=False)
@talks
@helps
@click.pass_obj
def push_command(app: App, remote: str | None, names: tuple[str, ...], quiet: bool, json: bool) -> int:
    """Publish what is unpublished: all of it, or of the named deployments, atomically or not at all."""
    repository = app.repository
    where = _where(repository, remote, names)
    pushed = push(repository, where, list(names) or None, echo())
    tell_heard(pushed)
    if json:
        say(render.json_text(pushed_rows(pushed)))
    elif not quiet:
        tell_pushed(pushed)
    return DONE


def tell_heard(pushed: Pushed) -> None:
    """Warnings of a push, and what the remote's hooks said: a terminal has shown that as it came."""
    for line in pushed.warnings:
        warn(line)
    for line in pushed.heard if not os.isatty(2) else ():
        note(f"remote: {shown(line)}")


def pushed_rows(pushed: Pushed) -> Json:
    """What a push published, as JSON."""
    return [
        {"name": one.name, "remote": pushed.remote, "log": one.log, "events": one.events} for one in pushed.published
    ]


def tell_pushed(pushed: Pushed) -> None:
    """A line for each deployment that was published."""
    for one in pushed.published:
        say(f"{shown(one.name)}: {_count(one.events, 'event')} published at {shown(pushed.remote)}")
    if not pushed.published:
        say(f"nothing to publish at {shown(pushed.remote)}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
