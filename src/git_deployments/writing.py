"""The commands that write more than a move of `live`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from git_deployments import render
from git_deployments.console import helps, option
from git_deployments.errors import DONE, NO, DeploymentsError
from git_deployments.history import State, creator, find, named, pointer, states, unknown
from git_deployments.model import Json
from git_deployments.moving import (
    MOVES,
    Manner,
    Telling,
    carry_out,
    expects,
    first_contact,
    manner_of,
    pointed_at,
    publishes,
    run_on_live,
    the_one,
    writes,
)
from git_deployments.names import quoted, shown
from git_deployments.process import App, note, progress, say, warn
from git_deployments.reason import check_label, check_reason
from git_deployments.repository import Repository
from git_deployments.store import Outcome, Revision, Wanted, deleting, deploying, purge, purging, updating

if TYPE_CHECKING:
    from git_deployments.publish import Pushed


class NobodyToAsk(DeploymentsError):
    """A question has no answer."""


class NotMeant(DeploymentsError):
    """A question was answered with no."""


@click.command("deploy", add_help_option=False)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@option("-f", "--file", "files", multiple=True, metavar="FILE", help="A manifest; - is standard input.")
@option("--all", "every", is_flag=True, help="All deployments of the manifest.")
@option("--version", "label", metavar="NAME", help="Human name of the version.")
@option("--version-type", metavar="TYPE", help="Where version_info comes from (vcs:github … prefect:simple).")
@option("--no-live", is_flag=True, help="Make the version, but leave live where it is.")
@option("--if-changed", is_flag=True, help="Make nothing where nothing changed since the latest version.")
@option("--paths", "paths", multiple=True, metavar="PATH", help="With --if-changed: only this code counts.")
@option("--runtime-env", "runtime", multiple=True, metavar="VAR", help="Leave {{ $VAR }} in pull steps to the run.")
@option("--allow-secret", multiple=True, metavar="KEY", help="Store what looks like a secret at this key.")
@expects
@publishes
@writes
@helps
@click.pass_obj
def deploy_command(app: App, /, **options: Any) -> int:
    """Make new versions from a manifest (default: prefect.yaml here or above) and make them live.

    NAME picks entries of the manifest, as --all picks all of them; a manifest with one entry needs neither. All or
    nothing is written.
    """
    from git_deployments import deploy

    if options["every"] and options["names"]:
        raise click.UsageError("--all and NAME exclude each other")
    if options["paths"] and not options["if_changed"]:
        raise click.UsageError("--paths goes with --if-changed")
    manner = manner_of(app, options)
    check_reason(app.repository, options["reason"], needed=False)
    request = deploy.Request(
        files=options["files"],
        names=options["names"],
        every=options["every"],
        label=options["label"],
        version_type=options["version_type"],
        live=not options["no_live"],
        if_changed=options["if_changed"],
        paths=options["paths"],
        expect=options["expect"],
        reason=options["reason"],
        runtime=options["runtime"],
        allow_secret=options["allow_secret"],
    )
    watch = progress("Reading deployments")
    wishes, warnings = deploy.prepare(app.repository, request, app.environment, sys.stdin.buffer.read, watch)
    for line in warnings:
        warn(line)
    decide = deploying(app.repository, wishes, options["reason"])
    return carry_out(app, Wanted(lambda: list(wishes), True), decide, manner, VERSIONS)


@click.command("capture", add_help_option=False)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@option("--all", "every", is_flag=True, help="All deployments of the server.")
@option("--allow-secret", multiple=True, metavar="KEY", help="Store what looks like a secret at this key.")
@publishes
@writes
@helps
@click.pass_obj
def capture_command(app: App, /, **options: Any) -> int:
    """Record what the Prefect server of PREFECT_API_URL has as new versions, where it differs from what is live.

    NAME is a deployment of the server. Its settings are taken over, too. All or nothing is written.
    """
    from git_deployments import capture
    from git_deployments.server import connect

    names, every = options["names"], options["every"]
    if every == bool(names):
        raise click.UsageError("--all and NAME exclude each other" if every else "name deployments, or use --all")
    manner = manner_of(app, options)
    repository, reason = app.repository, options["reason"]
    check_reason(repository, reason, needed=False)
    first_contact(repository, manner)
    with connect() as server:
        found = capture.chosen(server, names, every)
    wishes, warnings = capture.prepare(repository, found, server.url, reason, app.environment, options["allow_secret"])
    for line in warnings:
        warn(line)
    decide = capture.capturing(repository, wishes, reason)
    return carry_out(app, Wanted(lambda: list(wishes), True), decide, manner, VERSIONS)


@click.command("update", add_help_option=False)
@click.argument("name")
@click.argument("assignments", nargs=-1, metavar="KEY=VALUE...")
@option("--unset", multiple=True, metavar="KEY", help="Put a key back to its default, or take it out of a mapping.")
@option("--version", "label", metavar="NAME", help="Human name of the new version.")
@option("--no-live", is_flag=True, help="Make the version, but leave live where it is.")
@option("--allow-secret", multiple=True, metavar="KEY", help="Store what looks like a secret at this key.")
@expects
@publishes
@writes
@helps
@click.pass_obj
def update_command(app: App, /, **options: Any) -> int:
    """Change properties of the live version, or settings of the deployment.

    VALUE is YAML; dots in KEY reach into mappings. Versioned properties make one new version with the live version's
    source; settings make none.
    """
    from git_deployments import revise
    from git_deployments.manifest import Context

    assignments = revise.parse(options["assignments"], options["unset"])
    if not assignments:
        raise click.UsageError("nothing to update: give KEY=VALUE or --unset KEY")
    for line in revise.cut_short(assignments):
        warn(line)
    if options["label"] is not None:
        check_label(options["label"])
        if revise.changes_settings_only(assignments):
            raise click.UsageError("--version names a new version, but settings make none")
    repository = app.repository
    check_reason(repository, options["reason"])
    context = Context(app.environment, frozenset(), frozenset(options["allow_secret"]))
    revision = Revision(
        revise.changing(repository, assignments, context),
        options["label"],
        not options["no_live"],
        options["expect"],
    )
    decide = updating(repository, revision, options["reason"])
    return carry_out(app, the_one(app, options["name"]), decide, manner_of(app, options), VERSIONS)


@click.command("delete", add_help_option=False)
@click.argument("name")
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@option("--purge", "purged", is_flag=True, help="Remove the log too: nothing is left.")
@publishes
@writes
@helps
@click.pass_obj
def delete_command(app: App, /, **options: Any) -> int:
    """Remove a deployment; its log stays and tells so, and deploying it again continues the numbers."""
    manner = manner_of(app, options)
    check_reason(app.repository, options["reason"])
    asks = not options["yes"] and not manner.dry_run
    try:
        if options["purged"]:
            return _purge(app.repository, options["name"], options["reason"], manner, asks)
        wanted = _if_meant(app.repository, options["name"]) if asks else the_one(app, options["name"])
        return carry_out(app, wanted, deleting(app.repository, options["reason"]), manner, MOVES)
    except NotMeant:
        note("nothing was deleted")
        return NO


def _if_meant(repository: Repository, words: str) -> Wanted:
    """The one deployment that is meant, once somebody has said so: it is known only when the remote was asked."""
    meant = set()

    def look() -> list[str]:
        name = find(repository, words).name
        if name not in meant:
            _ask(name, "all its versions; its log stays")
            meant.add(name)
        return [name]

    return Wanted(look, False)


def _ask(name: str, what: str) -> None:
    """Raise `NotMeant`, or `NobodyToAsk`, unless somebody says that the deployment is to go."""
    if not _confirmed(f"Delete '{shown(name)}' ({what})?"):
        raise NotMeant


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort as abort:  # which click makes of ^C as well
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise abort.__context__ from None
        note("")
        raise NobodyToAsk("there is nobody to ask whether to delete; say -y if it is meant") from None


def _purge(repository: Repository, words: str, reason: str, manner: Manner, asks: bool) -> int:
    if not manner.dry_run:
        _meet(repository, words, manner)
    state = _to_purge(repository, words)
    if asks:
        _ask(state.name, "its whole history, for ever")
    if manner.dry_run:
        return _show_purge(state, manner)
    pushed = _purged_there(repository, state.name, manner.push) if manner.push else None
    purge(repository, state.name)
    try:
        if pushed:
            from git_deployments.syncing import tell_heard

            tell_heard(pushed)
        if manner.json:
            say(render.json_text(render.move_row(state.name, "purge", state.live, None)))
        elif not manner.quiet:
            say(f"{shown(state.name)}: nothing of it is left{'' if manner.push else ' here'}")
        if not manner.push and not manner.quiet:
            _tell_where_it_stays(repository, state.name, manner.remote)
    finally:
        if state.refs.live and repository.flag("onLiveLocal"):
            from git_deployments import onlive

            run_on_live(repository, [onlive.purged(repository, state, reason)])
    return DONE


def _tell_where_it_stays(repository: Repository, name: str, remote: str | None) -> None:
    """A remote still has it, and the next pull brings it back."""
    from git_deployments.checkout import default_remote
    from git_deployments.tracking import tracked

    where = remote or default_remote(repository)
    if where and name in tracked(repository, where, [name]):
        words = f"git deployments delete --purge --push --remote {quoted(where)} {quoted(name)}"
        note(f"{shown(where)} has it still, and a pull brings it back; to remove it there: {words}")


def _purged_there(repository: Repository, name: str, remote: str) -> Pushed:
    from git_deployments import publish
    from git_deployments.syncing import echo

    return publish.purge(repository, remote, name, echo())


def _meet(repository: Repository, words: str, manner: Manner) -> None:
    """Ask the remote for what is not known here; what is known may be damaged, and is purged as it is."""
    if not manner.push:
        first_contact(repository, manner)
    elif not named(repository, words):
        from git_deployments import sync
        from git_deployments.syncing import echo

        sync.pull(repository, manner.push, [words], echo())


def _to_purge(repository: Repository, words: str) -> State:
    """A purge takes what is damaged, too."""
    found = named(repository, words)
    if not found:
        raise unknown(repository, words)
    return states(repository, found)[0]


def _show_purge(state: State, manner: Manner) -> int:
    if manner.json:
        live = state.live.number if state.live else None
        row: render.Row = {"name": state.name, "action": "purge", "number": None, "from": live, "to": None}
        say(render.json_text([row]))
    else:
        for ref, _, oid in purging(state):
            say(f"{shown(ref)}  {render.short(oid)} -> (gone)")
    return DONE


# Telling


def _version_rows(repository: Repository, outcomes: list[Outcome]) -> Json:
    rows: list[Json] = []
    for outcome in outcomes:
        version = outcome.version
        assert version is not None
        live = outcome.live.commit if outcome.live else None
        row = render.version_row(version, live, creator(repository, pointer(version)))
        rows.append(render.made_row(row, bool(outcome.record and outcome.record.version)))
    return rows


def _tell_version(repository: Repository, outcome: Outcome) -> None:
    del repository
    record, name = outcome.record, shown(outcome.name)
    if record is None:
        return
    version = record.version
    if version is None:
        say(f"{name}: settings updated; the live version stays {pointed_at(record.after)}")
        return
    label = f" ({shown(version.label)})" if version.label else ""
    if record.after is None or record.after.commit != version.commit:
        why = {"held": "it is held", "stale": "its source is older than the live one's"}
        reason = why.get(outcome.decision.not_taken or "", "as asked")
        say(f"{name}: v{version.number}{label} made, not live ({reason}); {pointed_at(record.after)} stays live")
        say(f"to make it live: git deployments promote {quoted(outcome.name)} v{version.number}")
        return
    was = f", was {pointed_at(record.before)}" if record.before else ""
    say(f"{name}: v{version.number}{label} is live{was}")
    say(f"undo: {render.undo(record.name, record.before, record.after, existed=record.existed)}")


VERSIONS = Telling(_tell_version, _version_rows)
