"""The commands that write."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import click

from git_deployments import render
from git_deployments.compare import settings_since
from git_deployments.console import App, F, as_json, note, progress, say, warn
from git_deployments.errors import DONE, NO, NOT_LIVE, DeploymentsError
from git_deployments.history import (
    Pointer,
    State,
    creator,
    find,
    is_full_name,
    named,
    pointer,
    states,
    unknown,
)
from git_deployments.model import Json
from git_deployments.names import shown
from git_deployments.reason import check_reason
from git_deployments.record import Record
from git_deployments.refs import ROOT, live_ref, log_ref, version_ref
from git_deployments.repository import Repository
from git_deployments.store import (
    Decide,
    Outcome,
    Planned,
    Revision,
    Wanted,
    deleting,
    deploying,
    plan,
    promoting,
    purge,
    rolling_back,
    updating,
    write,
)


class NobodyToAsk(DeploymentsError):
    """A question has no answer."""


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


def writes(command: F) -> F:
    """The options that every write has."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors."),
        click.option("-n", "--dry-run", "dry_run", is_flag=True, help="Show which refs would move; write nothing."),
        click.option("-m", "--message", "reason", default="", metavar="TEXT", help="Why; kept in the log."),
    ):
        command = option(command)
    return as_json(command)


def publishes(command: F) -> F:
    """`--push`, `--remote` and `--offline`."""
    for option in (
        click.option("--offline", is_flag=True, help="Ask no remote, even if nothing is known here yet."),
        click.option("--remote", metavar="REMOTE", help="The remote to publish to, and to ask first."),
        click.option("--push/--no-push", default=None, help="Publish it, or do not write it (deployments.push)."),
    ):
        command = option(command)
    return command


def expects(command: F) -> F:
    """`--expect-live`."""
    return click.option(
        "--expect-live",
        "expect",
        metavar="VERSION",
        help="Write only if this version is live (none: nothing is); else exit 5.",
    )(command)


@click.command("deploy")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-f", "--file", "files", multiple=True, metavar="FILE", help="A manifest; - is standard input.")
@click.option("--all", "every", is_flag=True, help="All deployments of the manifest.")
@click.option("--version", "label", metavar="NAME", help="Human name of the version.")
@click.option("--version-type", metavar="TYPE", help="Where version_info comes from (vcs:github … prefect:simple).")
@click.option("--no-live", is_flag=True, help="Make the version, but leave live where it is.")
@click.option("--if-changed", is_flag=True, help="Make nothing where nothing changed since the latest version.")
@click.option("--paths", "paths", multiple=True, metavar="PATH", help="With --if-changed: only this code counts.")
@click.option(
    "--runtime-env", "runtime", multiple=True, metavar="VAR", help="Leave {{ $VAR }} in pull steps to the run."
)
@click.option("--allow-secret", multiple=True, metavar="KEY", help="Store what looks like a secret at this key.")
@expects
@publishes
@writes
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
    manner = _manner(app, options)
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
    return _carry_out(app, Wanted(lambda: list(wishes), True), decide, manner, VERSIONS)


@click.command("capture")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="All deployments of the server.")
@click.option("--allow-secret", multiple=True, metavar="KEY", help="Store what looks like a secret at this key.")
@publishes
@writes
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
    manner = _manner(app, options)
    repository, reason = app.repository, options["reason"]
    check_reason(repository, reason, needed=False)
    _first_contact(repository, manner)
    with connect() as server:
        found = capture.chosen(server, names, every)
    wishes, warnings = capture.prepare(repository, found, server.url, reason, app.environment, options["allow_secret"])
    for line in warnings:
        warn(line)
    decide = capture.capturing(repository, wishes, reason)
    return _carry_out(app, Wanted(lambda: list(wishes), True), decide, manner, VERSIONS)


@click.command("update")
@click.argument("name")
@click.argument("assignments", nargs=-1, metavar="KEY=VALUE...")
@click.option(
    "--unset", multiple=True, metavar="KEY", help="Put a key back to its default, or take it out of a mapping."
)
@click.option("--version", "label", metavar="NAME", help="Human name of the new version.")
@click.option("--no-live", is_flag=True, help="Make the version, but leave live where it is.")
@click.option("--allow-secret", multiple=True, metavar="KEY", help="Store what looks like a secret at this key.")
@expects
@publishes
@writes
@click.pass_obj
def update_command(app: App, /, **options: Any) -> int:
    """Change properties of the live version, or settings of the deployment.

    VALUE is YAML; dots in KEY reach into mappings. Versioned properties make one new version with the live version's
    source; settings make none.
    """
    from git_deployments import revise
    from git_deployments.manifest import Context
    from git_deployments.resolve import check_label

    assignments = revise.parse(options["assignments"], options["unset"])
    if not assignments:
        raise click.UsageError("nothing to update: give KEY=VALUE or --unset KEY")
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
    return _carry_out(app, _one(app, options["name"]), decide, _manner(app, options), VERSIONS)


@click.command("rollback")
@click.argument("name")
@click.argument("version", required=False)
@click.option("--hold", is_flag=True, help="Later deploys and updates do not go live until promote.")
@expects
@publishes
@writes
@click.pass_obj
def rollback_command(app: App, /, **options: Any) -> int:
    """Make an older version live.

    Default: the most recently live version, older than the live one, that was not itself rolled away from.
    """
    decide = rolling_back(app.repository, options["version"], options["hold"], options["reason"], options["expect"])
    return _move(app, options, decide)


@click.command("promote")
@click.argument("name")
@click.argument("version", required=False)
@expects
@publishes
@writes
@click.pass_obj
def promote_command(app: App, /, **options: Any) -> int:
    """Make a newer version live (default: the latest); ends a hold."""
    decide = promoting(app.repository, options["version"], options["reason"], options["expect"])
    return _move(app, options, decide)


def _move(app: App, options: dict[str, Any], decide: Decide) -> int:
    check_reason(app.repository, options["reason"])
    return _carry_out(app, _one(app, options["name"]), decide, _manner(app, options), MOVES)


def _one(app: App, words: str) -> Wanted:
    """The one deployment that is meant, looked up when the history is as new as it gets.

    A full name needs no look: the write itself finds out whether it is there.
    """
    if is_full_name(words):
        return Wanted(lambda: [words], True)
    return Wanted(lambda: [find(app.repository, words).name], False)


@click.command("delete")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--purge", "purged", is_flag=True, help="Remove the log too: nothing is left.")
@publishes
@writes
@click.pass_obj
def delete_command(app: App, /, **options: Any) -> int:
    """Remove a deployment; its log stays and tells so, and deploying it again continues the numbers."""
    repository, manner = app.repository, _manner(app, options)
    check_reason(repository, options["reason"])
    state = _to_delete(repository, options["name"], options["purged"])
    if not options["yes"] and not manner.dry_run:
        what = "its whole history, for ever" if options["purged"] else "all its versions; its log stays"
        if not _confirmed(f"Delete '{shown(state.name)}' ({what})?"):
            note("nothing was deleted")
            return NO
    if not options["purged"]:
        return _carry_out(app, Wanted(lambda: [state.name], True), deleting(options["reason"]), manner, MOVES)
    return _purge(repository, state, manner)


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        note("")
        raise NobodyToAsk("there is nobody to ask whether to delete; say -y if it is meant") from None


def _purge(repository: Repository, state: State, manner: Manner) -> int:
    if manner.dry_run:
        for ref, oid in _all_refs(state):
            say(f"{shown(ref)}  {oid[:8]} -> (gone)")
        return DONE
    if manner.push:
        from git_deployments import sync

        sync.purge(repository, manner.push, state.name)
    purge(repository, state.name)
    if manner.json:
        say(render.json_text(render.move_row(state.name, "purge", state.live, None)))
    elif not manner.quiet:
        say(f"{shown(state.name)}: nothing of it is left")
    return DONE


def _to_delete(repository: Repository, words: str, purged: bool) -> State:
    """A purge takes what is damaged, too."""
    if not purged:
        return find(repository, words)
    found = named(repository, words)
    if not found:
        raise unknown(repository, words)
    return states(repository, found)[0]


def _all_refs(state: State) -> Iterable[tuple[str, str]]:
    refs = state.refs
    if refs.live:
        yield live_ref(state.name), refs.live
    if refs.log:
        yield log_ref(state.name), refs.log
    yield from ((version_ref(state.name, number), oid) for number, oid in refs.versions.items())


# Carrying out and telling


class Telling(NamedTuple):
    """How outcomes of one kind are told."""

    text: Callable[[Repository, Outcome], None]
    json: Callable[[Repository, list[Outcome]], Json]


def _manner(app: App, options: dict[str, Any]) -> Manner:
    wanted, remote = options["push"], options["remote"]
    if wanted and options["offline"]:
        raise click.UsageError("--push and --offline exclude each other")
    if wanted is None and not options["offline"]:
        wanted = app.repository.flag("push")
    push = None
    if wanted:
        from git_deployments.sync import chosen_remote

        push = chosen_remote(app.repository, remote)
    return Manner(options["json"], options["quiet"], options["dry_run"], push, remote, options["offline"])


def _carry_out(app: App, wanted: Wanted, decide: Decide, manner: Manner, telling: Telling) -> int:
    repository = app.repository
    if manner.dry_run:
        if repository.remotes and not repository.git.refs("--count=1", ROOT.rstrip("/")):
            warn("nothing is known here yet and a dry run asks no remote, so numbers are provisional")
        return _show_plan(plan(repository, wanted.look(), decide), manner)
    _first_contact(repository, manner)
    if manner.push:
        outcomes = _written_and_published(repository, manner, wanted, decide)
    else:
        outcomes = write(repository, repository.who(), wanted.look(), decide)
    for outcome in outcomes if not manner.quiet else ():
        for event in outcome.record.adopted if outcome.record else ():
            note(f"recorded first: {shown(outcome.name)}: {event.action} {_from_to(event.before, event.after)}")
        for line in outcome.decision.notes:
            note(line)
    if manner.json:
        say(render.json_text(telling.json(repository, outcomes)))
    elif not manner.quiet:
        for outcome in outcomes:
            telling.text(repository, outcome)
    try:
        _after_moves(repository, outcomes, manner.quiet)
    finally:
        _tell_unpublished(repository, outcomes, manner)
    return NOT_LIVE if any(outcome.decision.not_taken for outcome in outcomes) else DONE


def _after_moves(repository: Repository, outcomes: list[Outcome], quiet: bool) -> None:
    """What is to happen here once another version is live (design, "Hooks" and "Running")."""
    moved = [one.record for one in outcomes if one.record and _commit(one.record.before) != _commit(one.record.after)]
    if not moved:
        return
    if repository.flag("onLiveLocal"):
        from git_deployments import onlive

        moves = [onlive.told(record.event, record.before.number if record.before else None) for record in moved]
        sys.stdout.flush()
        for line in onlive.run_commands(repository, moves):
            warn(line)
    applied = {record.name: record.before is None for record in moved if record.after}
    if applied and repository.flag("applyOnLive"):
        from git_deployments.serving import apply_moves

        apply_moves(repository, applied, quiet)


def _commit(version: Pointer | None) -> str | None:
    return version.commit if version else None


def _first_contact(repository: Repository, manner: Manner) -> None:
    """A clone that has no deployments yet asks its remote first, so that numbers go on (design, "Commands")."""
    if manner.push or manner.offline or not repository.remotes or repository.git.refs("--count=1", ROOT.rstrip("/")):
        return
    from git_deployments import sync
    from git_deployments.checkout import default_remote
    from git_deployments.syncing import echo

    remote = manner.remote or default_remote(repository)
    if remote is None:
        return
    try:
        sync.pull(repository, remote, None, echo())
    except DeploymentsError as error:
        warn(f"{shown(remote)} could not be asked, so the numbers are provisional: {error}")


def _written_and_published(repository: Repository, manner: Manner, wanted: Wanted, decide: Decide) -> list[Outcome]:
    from git_deployments import sync
    from git_deployments.syncing import echo, tell_disputes, tell_pulled, tell_pushed

    assert manner.push is not None
    try:
        written = sync.write(repository, manner.push, wanted, decide, echo())
    except sync.ContestedBefore as contested:
        tell_disputes(contested.pulled)
        raise
    told = not (manner.quiet or manner.json)
    if told and written.pulled.integrations:
        tell_pulled(written.pulled)
    for line in written.pushed.warnings:
        warn(line)
    if told and written.pushed.published:
        tell_pushed(written.pushed)
    return written.outcomes


def _tell_unpublished(repository: Repository, outcomes: list[Outcome], manner: Manner) -> None:
    changed = [render.quoted(outcome.name) for outcome in outcomes if outcome.record]
    if manner.push or manner.quiet or not changed or not repository.remotes:
        return
    from git_deployments.checkout import default_remote

    remote = manner.remote or default_remote(repository)
    if remote:
        names = changed if len(changed) <= 5 else []
        note(f"not published: {' '.join(['git deployments push', render.quoted(remote), *names])}")


def _from_to(before: int | None, after: int | None) -> str:
    return f"from {f'v{before}' if before else 'nothing'} to {f'v{after}' if after else 'nothing'}"


def _show_plan(planned: list[Planned], manner: Manner) -> int:
    rows = [_planned_row(one) for one in planned]
    if manner.json:
        say(render.json_text(list(rows)))
    else:
        for one in planned:
            for line in (*one.decision.notes, *_planned_lines(one)):
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


def _planned_lines(planned: Planned) -> Iterable[str]:
    state, (step, *_) = planned
    if step is None:
        return
    name, new = state.name, f"v{_next_number(state)} (new)"
    if step.draft:
        yield f"{shown(version_ref(name, _next_number(state)))}  (none) -> {new}"
    if step.action == "delete":
        for number, oid in state.refs.versions.items():
            yield f"{shown(version_ref(name, number))}  {oid[:8]} -> (gone)"
    before = _pointed(state.live)
    after = new if step.goes_live else _pointed(step.live)
    if before != after:
        yield f"{shown(live_ref(name))}  {before} -> {after}"
    yield f"{shown(log_ref(name))}  {render.short(state.refs.log) or '(none)'} -> {step.action} (new)"


def _pointed(version: Pointer | None) -> str:
    return f"v{version.number} {version.commit[:8]}" if version else "(none)"


def _version_rows(repository: Repository, outcomes: list[Outcome]) -> Json:
    rows: list[Json] = []
    for outcome in outcomes:
        version = outcome.version
        assert version is not None
        live = outcome.live.commit if outcome.live else None
        row = render.version_row(version, live, creator(repository, pointer(version)))
        rows.append(render.made_row(row, bool(outcome.record and outcome.record.version)))
    return rows


def _moved_row(repository: Repository, outcomes: list[Outcome]) -> Json:
    del repository
    ((name, decision, record, live),) = outcomes
    if record is None:
        return render.move_row(name, decision.verb, live, live)
    return render.move_row(name, record.action, record.before, record.after)


def _tell_version(repository: Repository, outcome: Outcome) -> None:
    del repository
    record, name = outcome.record, shown(outcome.name)
    if record is None:
        return
    version = record.version
    if version is None:
        say(f"{name}: settings updated; the live version stays {_named(record.after)}")
        return
    label = f" ({shown(version.label)})" if version.label else ""
    if record.after is None or record.after.commit != version.commit:
        why = {"held": "it is held", "stale": "its source is older than the live one's"}
        reason = why.get(outcome.decision.not_taken or "", "as asked")
        say(f"{name}: v{version.number}{label} made, not live ({reason}); {_named(record.after)} stays live")
        say(f"to make it live: git deployments promote {render.quoted(outcome.name)} v{version.number}")
        return
    was = f", was {_named(record.before)}" if record.before else ""
    say(f"{name}: v{version.number}{label} is live{was}")
    say(f"undo: {render.undo(record.name, record.before, record.after)}")


def _tell_move(repository: Repository, outcome: Outcome) -> None:
    record, name = outcome.record, shown(outcome.name)
    if record is None:
        return
    before, after = record.before, record.after
    if record.action == "delete":
        say(f"{name}: deleted, {_named(before)} was live; its log stays")
        if before:
            say(f"undo: git update-ref {render.quoted(live_ref(record.name))} {before.commit}")
        return
    if before and after and before.commit == after.commit:
        holds = record.event.held
        say(f"{name}: {_named(after)} stays live; {'held until promote' if holds else 'the hold is over'}")
        again, option = ("promote", "") if holds else ("rollback", " --hold")
        say(f"undo: git deployments {again} {render.quoted(record.name)} v{after.number}{option}")
        return
    verb = "rolled back" if record.action == "rollback" else "promoted"
    held = "; held until promote" if record.event.held else ""
    say(f"{name}: {verb} from {_named(before)} to {_named(after)}{held}")
    if record.action == "rollback" and after:
        for line in _not_restored(repository, record, after):
            say(line)
    undo = render.undo(record.name, before, after)
    say(f"undo: {undo} --hold" if record.held_before and not record.event.held and before else f"undo: {undo}")


def _not_restored(repository: Repository, record: Record, after: Pointer) -> Iterable[str]:
    """Settings that changed since the version was live: a rollback leaves them as they are."""
    for change in settings_since(repository, record.event, record.event.previous, after.number):
        was, stays = map(render.value_text, (change.before, change.after))
        yield f"not restored: {change.key} was {was}, stays {stays}"


def _named(version: Pointer | None) -> str:
    if version is None:
        return "nothing"
    return f"v{version.number} ({shown(version.label)})" if version.label else f"v{version.number}"


VERSIONS = Telling(_tell_version, _version_rows)
MOVES = Telling(_tell_move, _moved_row)
