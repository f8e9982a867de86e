"""The commands that only read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from git_deployments import render
from git_deployments.answers import Answers, show_row
from git_deployments.compare import Difference, two_versions, version_differences
from git_deployments.console import as_rows, emit, emit_one, helps, option
from git_deployments.errors import DONE, NO, DeploymentsError
from git_deployments.history import (
    Breach,
    Pointer,
    State,
    UnknownDeployment,
    creator,
    events,
    find,
    is_rolled_back,
    live_version,
    match,
    named,
    out_of_line,
    pointer,
    properties,
    settings,
    states,
    trusted,
    versions,
    whence,
)
from git_deployments.model import Event, Json, Version
from git_deployments.names import BadName, check, decode, quoted, shown
from git_deployments.process import App, note, progress, say, warn
from git_deployments.render import Row
from git_deployments.repository import Repository
from git_deployments.resolve import resolve

if TYPE_CHECKING:
    from git_deployments.tracking import Standing


class UnknownKey(DeploymentsError):
    """`--key` names nothing that a version has."""


@click.command("list", add_help_option=False)
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@as_rows
@helps
@click.pass_obj
def list_command(app: App, patterns: tuple[str, ...], json: bool, template: str | None) -> int:
    """List the deployments: what is live, the latest version, where it comes from.

    PATTERN is a full name, a deployment's half where that is unique, or a glob.
    """
    return list_deployments(app, patterns, json, template)


def list_deployments(app: App, patterns: tuple[str, ...], json: bool, template: str | None) -> int:
    """`git deployments list`, and `git deployments` alone."""
    repository = app.repository
    wanted = match(repository, patterns) if patterns else None
    found = [state for state in states(repository, wanted, index=False) if not state.deleted]
    for state in found:
        if state.breach:
            warn(f"{shown(state.name)}: {state.breach}")
    if json or template is not None:
        emit(map(render.list_row, found), json, template, render.LIST_FIELDS)
    elif found:
        app.page()
        palette = app.palette
        rows = (render.list_cells(state, is_rolled_back(repository, state)) for state in found)
        header, *lines = render.table([render.LIST_HEADER, *rows])
        _say_all([palette.paint("bold", header), *lines])
    else:
        words = ", ".join(f"'{shown(pattern)}'" for pattern in patterns)
        note(f"no deployment matches {words}" if patterns else f"no deployments here; {whence(repository)}")
    return DONE


@click.command("versions", add_help_option=False)
@click.argument("name")
@option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@as_rows
@helps
@click.pass_obj
def versions_command(app: App, name: str, limit: int | None, json: bool, template: str | None) -> int:
    """List the versions of a deployment, newest first; * marks the live one.

    A ? after a number says that it is unpublished: a pull may give the version another one.
    """
    repository = app.repository
    state = find(repository, name)
    live = state.live.commit if state.live else None
    found = versions(repository, state, limit)
    if json or template is not None:
        first = creator(repository, state.latest) if state.latest else None
        emit((render.version_row(version, live, first) for version in found), json, template, render.VERSION_FIELDS)
        return DONE
    app.page()
    palette = app.palette
    provisional = _provisional(repository, state)
    lines = render.table(render.version_cells(version, live, version.commit in provisional) for version in found)
    _say_all(palette.paint("green", line) if line.startswith("*") else line for line in lines)
    return DONE


def _provisional(repository: Repository, state: State) -> set[str]:
    if not repository.remotes:
        return set()
    from git_deployments.tracking import unpublished_versions

    return unpublished_versions(repository, state)


@click.command("show", add_help_option=False)
@click.argument("name", required=False)
@click.argument("version", required=False)
@option("--key", metavar="PATH", help="Print one value: a property, a setting or a field of --json; dots reach in.")
@option("--batch", is_flag=True, help="Answer each NAME, or NAME, tab, VERSION, of standard input with a line of JSON.")
@as_rows
@helps
@click.pass_obj
def show_command(
    app: App, name: str | None, version: str | None, key: str | None, batch: bool, json: bool, template: str | None
) -> int:
    """Show one version whole, with the settings of the deployment (default: the live version)."""
    repository = app.repository
    if batch:
        if name is not None or key is not None or template is not None:
            raise click.UsageError(
                "--batch takes NAME and VERSION from standard input, and goes with no option but --json"
            )
        return _show_batch(repository)
    if name is None:
        raise click.UsageError("Missing argument 'NAME'.")
    if key is not None and template is not None:
        raise click.UsageError("--key and --format exclude each other")
    state = find(repository, name)
    chosen = resolve(repository, state, "live" if version is None else version)
    row = show_row(repository, state, chosen)
    if key is not None:
        value = _value_at(row, key)
        say(render.json_text(value) if json else _text_of(value))
    elif json or template is not None:
        emit_one(row, json, template, render.SHOW_FIELDS)
    else:
        app.page()
        _say_all(_shown_whole(app, state, chosen, row))
    return DONE


def _show_batch(repository: Repository) -> int:
    """Each line is answered before the next one is read, so that a script may wait for the answer."""
    answers = Answers(repository)
    for line in iter(sys.stdin.buffer.readline, b""):
        sys.stdout.write(answers.line(line.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")))
        sys.stdout.write("\n")
        sys.stdout.flush()
    return DONE


def _value_at(row: Row, path: str) -> Json:
    for place in (row["properties"], row["settings"], row):
        found = list(_reached(place, path.split(".")))
        if found:
            return found[0]
    whole = f"git deployments show {quoted(str(row['name']))} v{row['number']} --json"
    raise UnknownKey(f"--key {shown(path)}: this version has no such key; to see all: {whole}")


def _reached(value: Json, path: list[str]) -> Iterator[Json]:
    """What stands at a dotted path; keys that hold dots themselves are found too."""
    if not path:
        yield value
    elif isinstance(value, list):
        if path[0] in map(str, range(len(value))):
            yield from _reached(value[int(path[0])], path[1:])
    elif isinstance(value, dict):
        for end in range(1, len(path) + 1):
            key = ".".join(path[:end])
            if key in value:
                yield from _reached(value[key], path[end:])


def _text_of(value: Json) -> str:
    return value if isinstance(value, str) else render.json_text(value)


def _shown_whole(app: App, state: State, version: Version, row: Row) -> Iterator[str]:
    palette, source = app.palette, version.source
    label = f" ({shown(version.label)})" if version.label else ""
    marks = ["live"] if row["live"] else []
    marks += ["latest"] if state.latest and state.latest.commit == version.commit else []
    yield palette.paint("yellow", f"{shown(version.name)} v{version.number}{label}") + (
        palette.paint("green", f"  {', '.join(marks)}") if marks else ""
    )
    yield f"commit   {version.commit}"
    yield f"source   {source.commit or 'unknown'}{'  (with uncommitted changes)' if source.dirty else ''}"
    yield f"made     {render.when(version.author)} by {shown(version.author.person)}"
    if version.message:
        yield ""
        yield from (f"    {shown(line)}" for line in version.message.splitlines())
    yield ""
    yield palette.paint("bold", "version_info")
    yield from render.document_lines(render.info_row(source.info))
    yield palette.paint("bold", "properties, pinned to this version")
    yield from render.document_lines(properties(app.repository, version))
    yield palette.paint("bold", "settings, the same for all versions")
    yield from render.document_lines(settings(app.repository, state.event))


@click.command("live", add_help_option=False)
@click.argument("name")
@option("--oid", is_flag=True, help="Print the version's commit id instead.")
@option("--source", is_flag=True, help="Print the commit id of its code instead.")
@as_rows
@helps
@click.pass_obj
def live_command(app: App, name: str, oid: bool, source: bool, json: bool, template: str | None) -> int:
    """Print the number of the live version; exit 1 and say nothing if there is none."""
    if oid + source + (json or template is not None) > 1:
        raise click.UsageError("--oid, --source and --json or --format exclude each other")
    repository = app.repository
    found = _live(repository, name)
    if found and (json or template is not None):
        row = render.version_row(found, found.commit, creator(repository, pointer(found)))
        emit_one(row, json, template, render.VERSION_FIELDS)
        return DONE
    answer = None
    if found:
        answer = found.commit if oid else found.source.commit if source else str(found.number)
    if answer is None:
        return NO
    say(answer)
    return DONE


def _live(repository: Repository, name: str) -> Version | None:
    """The live version by the ref alone, as the fast door has it; the name may be a deployment's half."""
    try:
        check(name)
    except BadName:
        if "%" not in name:
            raise
        decode(name)
    else:
        version = live_version(repository, name)
        if version or "/" in name:
            return version
    chosen = named(repository, name)
    return live_version(repository, chosen[0]) if chosen else None


@click.command("log", add_help_option=False)
@click.argument("name")
@option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@as_rows
@helps
@click.pass_obj
def log_command(app: App, name: str, limit: int | None, json: bool, template: str | None) -> int:
    """Show who made what live, when and why, newest first."""
    repository = app.repository
    state = find(repository, name)
    found = events(repository, state, limit)
    if json or template is not None:
        emit(map(render.event_row, found), json, template, render.LOG_FIELDS)
        return DONE
    app.page()
    _say_all(render.table(_event_cells(found)))
    if state.unrecorded:
        note(_unrecorded(state))
    return DONE


def _event_cells(found: Iterable[Event]) -> Iterator[tuple[str, ...]]:
    return map(render.event_cells, found)


@click.command("diff", add_help_option=False)
@click.argument("name")
@click.argument("a", required=False)
@click.argument("b", required=False)
@option("--exit-code", is_flag=True, help="Exit 1 if they differ.")
@option("--code", is_flag=True, help="Show git's diff of the two source commits instead.")
@option("--server", is_flag=True, help="Show how the Prefect server differs from the live version instead.")
@as_rows
@helps
@click.pass_obj
def diff_command(
    app: App,
    name: str,
    a: str | None,
    b: str | None,
    exit_code: bool,
    code: bool,
    server: bool,
    json: bool,
    template: str | None,
) -> int:
    """Show the properties in which two versions differ.

    Default: live against latest, or previous against live where the latest is live. With A alone: A against live.
    """
    if code and (json or template is not None):
        raise click.UsageError("--code shows git's own diff and goes with neither --json nor --format")
    repository = app.repository
    state = find(repository, name)
    if server:
        if code or a is not None:
            raise click.UsageError("--server compares the live version and takes neither versions nor --code")
        return _server_diff(app, state, exit_code, json, template)
    before, after = two_versions(repository, state, a, b)
    if code:
        return _code_diff(app, before, after, exit_code)
    found = list(version_differences(repository, before, after))
    heading = f"v{before.number} → v{after.number}"
    _tell_differences(app, _sides_row(before, after), heading, found, json, template)
    return NO if exit_code and found else DONE


def _tell_differences(
    app: App, sides: Row, heading: str, found: list[Difference], json: bool, template: str | None
) -> None:
    """What was compared, and key by key how it differs; a `--format` has a line for each key."""
    changes = list(map(render.difference_row, found))
    if json:
        say(render.json_text({**sides, "changes": [*changes]}))
    elif template is not None:
        emit(changes, json, template, render.DIFFERENCE_FIELDS)
    elif found:
        app.page()
        palette = app.palette
        say(palette.paint("bold", f"{shown(str(sides['name']))} {heading}"))
        for difference in found:
            _say_all(render.difference_lines(difference, palette))


def _server_diff(app: App, state: State, exit_code: bool, json: bool, template: str | None) -> int:
    from git_deployments.serving import server_drift

    found = server_drift(app.repository, [state])[state.name]
    live = state.live
    assert live is not None
    if found is None and not json and template is None:
        say(f"{shown(state.name)} is not on the server; git deployments apply {quoted(state.name)} --create")
    else:
        sides: Row = {"name": state.name, "number": live.number, "server": _standing_at(found)}
        _tell_differences(app, sides, f"server → v{live.number}", found or [], json, template)
    return NO if exit_code and found != [] else DONE


def _standing_at(found: list[Difference] | None) -> str:
    """How a server stands to a live version, in one word."""
    return "absent" if found is None else "differs" if found else "same"


def _sides_row(before: Version, after: Version) -> Row:
    return {
        "name": before.name,
        "from": {"number": before.number, "commit": before.commit, "source": before.source.commit},
        "to": {"number": after.number, "commit": after.commit, "source": after.source.commit},
    }


def _code_diff(app: App, before: Version, after: Version, exit_code: bool) -> int:
    from git_deployments import worktree

    commits = [worktree.code_commit(version) for version in (before, after)]
    for commit, version in zip(commits, (before, after), strict=True):
        worktree.obtain(app.repository, commit, version)
    app.repository.close()
    sys.stdout.flush()
    options = ["--exit-code"] if exit_code else []
    import subprocess

    command = ["git", "diff", *options, *commits, "--"]
    return subprocess.run(command, env=dict(os.environ)).returncode


@click.command("status", add_help_option=False)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@option("--remote", metavar="REMOTE", help="Compare with what was last seen there (default: the default remote).")
@option("--server", is_flag=True, help="Compare with the Prefect server too.")
@as_rows
@helps
@click.pass_obj
def status_command(
    app: App, names: tuple[str, ...], remote: str | None, server: bool, json: bool, template: str | None
) -> int:
    """Show what needs attention: what is unpublished or behind, unrecorded moves, rollbacks still live, holds."""
    from git_deployments import tracking
    from git_deployments.checkout import default_remote

    repository = app.repository
    wanted = match(repository, names) if names else None
    found = _thoroughly(repository, wanted)
    where = tracking.check_remote(repository, remote) if remote else default_remote(repository)
    seen = tracking.last_seen(repository, where, wanted) if where else tracking.Seen({}, {})
    compared = {}
    for place, state in enumerate(found if where else ()):
        try:
            compared[state.name] = tracking.standing(repository, state, seen.tracked.get(state.name))
        except DeploymentsError as error:  # of what is damaged, which keeps no other from being told
            found[place] = state if state.breach else state._replace(breach=error)
    drift = _drift(repository, found) if server else {}
    if json or template is not None:
        rows = (
            {
                **_status_row(repository, state, where, compared.get(state.name)),
                "server": _standing_at(drift[state.name]) if state.name in drift else None,
            }
            for state in found
        )
        emit(rows, json, template, STATUS_FIELDS)
        return DONE
    lines = [line for state in found for line in _attention(repository, state)]
    if where:
        for name, standing in compared.items():
            lines += [_gone_line(name, where)] if name in seen.gone else _standing_lines(name, where, standing)
    lines += [line for name, differing in drift.items() for line in _drift_lines(name, differing)]
    _say_all(lines or ["nothing needs attention"])
    return DONE


def _thoroughly(repository: Repository, wanted: list[str] | None) -> list[State]:
    """The states of all that is not deleted, after a look at all of the index."""
    found = [state for state in states(repository, wanted) if not state.deleted]
    breaches = out_of_line(repository, wanted)
    return [
        state._replace(breach=Breach(breaches[state.name])) if state.name in breaches and not state.breach else state
        for state in found
    ]


def _drift(repository: Repository, found: list[State]) -> dict[str, list[Difference] | None]:
    from git_deployments.serving import server_drift

    return server_drift(repository, [state for state in found if state.live and not state.breach])


def _drift_lines(name: str, differing: list[Difference] | None) -> Iterator[str]:
    if differing is None:
        yield f"{shown(name)}: not on the server; git deployments apply {quoted(name)} --create"
    elif differing:
        keys = ", ".join(dict.fromkeys(shown(one.key.partition(".")[0]) for one in differing))
        yield f"{shown(name)}: the server differs in {keys}; git deployments diff {quoted(name)} --server"


STATUS_FIELDS = (
    "name", "live", "latest", "rolled_back", "held", "unrecorded", "leftovers", "problem",
    "remote", "unpublished", "behind", "diverged", "moved", "server",
)  # fmt: skip


def _status_row(repository: Repository, state: State, remote: str | None, compared: Standing | None) -> Row:
    live, latest = state.live, state.latest
    return {
        "name": state.name,
        "live": live.number if live else None,
        "latest": latest.number if latest else None,
        "rolled_back": is_rolled_back(repository, state),
        "held": state.held,
        "unrecorded": state.unrecorded,
        "leftovers": [version.number for version in state.leftovers],
        "problem": str(state.breach) if state.breach else None,
        "remote": remote,
        "unpublished": compared.unpublished if compared else None,
        "behind": compared.behind if compared else None,
        "diverged": bool(compared.unpublished and compared.behind) if compared else None,
        "moved": compared.moved if compared else None,
    }


def _standing_lines(name: str, remote: str, compared: Standing) -> Iterator[str]:
    here, there, moved = compared
    where, shell = shown(remote), f"{quoted(remote)} {quoted(name)}"
    if moved:
        yield f"{shown(name)}: live at {where} is not what its log says, and it counts; git deployments pull {shell}"
    if here and there:
        yield (f"{shown(name)}: diverged: {here} unpublished and {there} more at {where}; git deployments pull {shell}")
    elif here:
        yield f"{shown(name)}: unpublished: {_events(here)} that {where} lacks; git deployments push {shell}"
    elif there:
        yield f"{shown(name)}: behind: {_events(there)} more at {where}; git deployments pull {shell}"


def _gone_line(name: str, remote: str) -> str:
    shell = quoted(name)
    return (
        f"{shown(name)}: removed at {shown(remote)}; to publish it there again: git deployments push {quoted(remote)} "
        f"{shell}; to remove it here: git deployments delete --purge {shell}"
    )


def _events(count: int) -> str:
    return f"{count} event{'' if count == 1 else 's'}"


def _attention(repository: Repository, state: State) -> list[str]:
    """What needs it in one deployment; a history that cannot be read keeps no other from being told of."""
    try:
        return list(_status_lines(repository, state))
    except DeploymentsError as error:
        return [f"{shown(state.name)}: damaged: {error}"]


def _status_lines(repository: Repository, state: State) -> Iterator[str]:
    name, shell, live, latest = shown(state.name), quoted(state.name), state.live, state.latest
    if state.breach:
        yield f"{name}: damaged: {state.breach}"
        return
    if state.exists and not state.refs.log:
        yield f"{name}: no log here, so nothing can be written; git deployments pull"
    if state.follows:
        yield f"{name}: live was taken from {shown(state.follows)} without its log; git deployments pull"
    if state.unrecorded:
        yield _unrecorded(state)
    if state.leftovers:
        numbers = ", ".join(f"v{version.number}" for version in state.leftovers)
        yield f"{name}: not in the log: {numbers}; the next write adopts it"
    if live is None:
        yield f"{name}: nothing is live; git deployments promote {shell}"
    elif latest and live.number < latest.number:
        yield f"{name}: {_why_older(repository, state, live, latest)}; git deployments promote {shell}"
    if state.held:
        yield f"{name}: held: new versions do not go live until: git deployments promote {shell}"


def _why_older(repository: Repository, state: State, live: Pointer, latest: Pointer) -> str:
    last = next((event for event in events(repository, state) if event.after != event.before), None)
    told = ""
    if last and last.action == "rollback" and last.after == live.number:
        reason = f": {render.first_line(last.reason)}" if last.reason else ""
        told = f", rolled back by {shown(last.author.name)} on {render.when(last.author)}{reason}"
    return f"v{live.number} is live and v{latest.number} is the latest{told}"


def _unrecorded(state: State) -> str:
    recorded = f"v{state.event.after}" if state.event and state.event.after else "nothing"
    live = f"v{state.live.number}" if state.live else "nothing"
    return (
        f"{shown(state.name)}: unrecorded move: {live} is live, but the log says {recorded}; "
        "the next write records it, or git deployments fsck --repair"
    )


def _say_all(lines: Iterable[str]) -> None:
    for line in lines:
        say(line)


@click.command("export", add_help_option=False)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
@helps
@click.pass_obj
def export_command(app: App, names: tuple[str, ...], output: str | None) -> int:
    """Print live versions and settings as a prefect.yaml; deploying it gives the same configuration."""
    from git_deployments import export, manifest

    repository = app.repository
    deployed = []
    for state in states(repository, match(repository, names) if names else None):
        if trusted(state).live is None:
            continue
        version = resolve(repository, state, "live")
        deployed.append((version, properties(repository, version), settings(repository, state.event)))
    for version, _, _ in deployed:
        if version.source.directory:
            note(f"{shown(version.name)} belongs into a manifest in {shown(version.source.directory)}/")
    for version, pinned, _ in deployed:
        if variables := manifest.runtime_variables(pinned):
            options = " ".join(f"--runtime-env {shown(variable)}" for variable in sorted(variables))
            note(f"{shown(version.name)} leaves variables to the run: deploy it with {options}")
    words = export.document(deployed)
    if output is None:
        sys.stdout.write(words)
    else:
        with open(output, "w", encoding="utf-8") as stream:
            stream.write(words)
    return DONE


@click.command("fsck", add_help_option=False)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@option("--repair", is_flag=True, help="Restore what can be derived; record unrecorded moves; remove old locks.")
@option("--signatures", "signed", is_flag=True, help="Every event must be signed, and by who may do it.")
@as_rows
@helps
@click.pass_obj
def fsck_command(app: App, names: tuple[str, ...], repair: bool, signed: bool, json: bool, template: str | None) -> int:
    """Check every rule of the format; exit 1 if one is broken."""
    from git_deployments import audit

    repository = app.repository
    wanted = _to_check(repository, names) if names else None
    if repair:
        _repair(app, wanted)
    rows: list[Row] = []
    breaches = 0
    for finding in audit.check(repository, wanted, progress("Checking deployments"), signed):
        breaches += not finding.notice
        rows.append({"name": finding.name or None, "problem": finding.problem, "notice": finding.notice})
        if not json and template is None:
            kind = "notice" if finding.notice else "error"
            say(f"{kind}: {shown(finding.name) + ': ' if finding.name else ''}{finding.problem}")
    emit(rows, json, template, FINDING_FIELDS)
    return NO if breaches else DONE


FINDING_FIELDS = ("name", "problem", "notice")


def _to_check(repository: Repository, words: tuple[str, ...]) -> list[str]:
    """Full names, those included that only broken refs are left of."""
    found = []
    for word in words:
        try:
            found += match(repository, [word])
        except UnknownDeployment:
            if "/" not in word:
                raise
            check(word)
            found.append(word)
    return found


def _repair(app: App, wanted: list[str] | None) -> None:
    from git_deployments import audit
    from git_deployments.store import plan, recording, write

    repository = app.repository
    for line in audit.repair(repository, wanted):
        note(line)
    trusted_ones = [state.name for state in states(repository, wanted) if state.event and not state.breach]
    decide = recording(repository)
    due = [planned.state.name for planned in plan(repository, trusted_ones, decide) if planned.decision.step]
    for outcome in write(repository, repository.who(), due, decide) if due else ():
        for event in outcome.record.adopted if outcome.record else ():
            live = f"v{event.after}" if event.after else "nothing"
            note(f"recorded: {shown(outcome.name)}: {event.action} of {live}")
