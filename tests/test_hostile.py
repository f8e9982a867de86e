"""Texts from outside, wherever they may stand: shown escaped, one row each, never run, and exact in JSON."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from git_deployments.codec import (
    GITLINK,
    SNAPSHOT,
    TreeEntry,
    commit_bytes,
    event_message,
    parse_event,
    parse_version,
    tree_bytes,
    version_message,
)
from git_deployments.document import json_bytes
from git_deployments.git import RefChange
from git_deployments.message import harmless, one_line
from git_deployments.names import encode
from git_deployments.render import LIST_FIELDS, LOG_FIELDS, SHOW_FIELDS, VERSION_FIELDS
from git_deployments.repository import Repository

from .conftest import Project, Result
from .test_sync import Team

TEXTS = {
    "escapes": "\x1b[31mred\x1b]0;title\x07\x9b31m \x08\x7f",
    "lines": "one\ntwo\r\nthree\x0bfour\u2028five\x85six",
    "trailers": "text\n\nLive-Commit: 0\nNumber: 99\nFormat: 9\n\n--- \n\nAction: delete\nFormat: 1",
    "direction": "\u202eevil\u2066 \u200fright\ufeff",
    "shell": "$(touch evil) `touch evil`; touch evil | %(name) %0a %s {0} \\n '\"",
    "large": "y" * 1_000_000,
}
BANNED = str.maketrans("/%&><", "_____")


@pytest.fixture(params=TEXTS)
def text(request: pytest.FixtureRequest) -> str:
    return TEXTS[request.param]


def lines(result: Result) -> list[str]:
    """What was printed, line by line, after a look at what a terminal would make of it."""
    printed = (result.out + result.err).split("\n")
    assert all(line.isprintable() for line in printed), [line for line in printed if not line.isprintable()][:3]
    return result.out.split("\n")[:-1]


def test_no_text_escapes_from_its_place(text: str, tmp_path: Path) -> None:
    team = Team(tmp_path)
    ada, hub = team.ada, team.hub
    hub.ok("hook", "install")
    for project in (ada, hub, team.bob):  # a commit below holds the longest text seven times
        project.git("config", "deployments.maxSnapshotSize", "8m")
    hub.git("config", "deployments.onLive", 'printf "%s" "$GIT_DEPLOYMENTS_REASON" >/dev/null; cat >/dev/null')
    half = text.translate(BANNED)[:40]
    name = f"etl/{half}"
    ada.git("commit", "-q", "--allow-empty", "-F", "-", stdin=text)
    properties = {"labels": {text[:100]: text[:100]}}
    for reason in ("first", text):
        lines(ada.deploy(text, "-m", reason, name=half, parameters={text[:100]: reason[:100]}, **properties))
    lines(ada.run("deploy", "-n"))
    deploy_as_others_might(ada, name, text)
    lines(
        ada.ok(
            "rollback", name, "2", "-m", text, GIT_AUTHOR_NAME=text[:1000].replace("\n", " "), GIT_AUTHOR_EMAIL="a@b"
        )
    )
    # As text, and as formats: a row stays a row.
    for command, fields, rows in (
        (("list",), LIST_FIELDS, 1),
        (("status",), ("name", "live"), 1),
        (("versions", name), VERSION_FIELDS, 3),
        (("log", name), LOG_FIELDS, 4),
        (("show", name), SHOW_FIELDS, 1),
    ):
        printed = lines(ada.ok(*command))
        assert command[0] in ("show", "status") or len(printed) - rows in (0, 1), printed
        assert max(map(len, printed)) < 3000 or command[0] == "show"
        for field in fields:
            assert len(lines(ada.ok(*command, "--format", f"%({field})"))) == rows, field
        assert ada.ok(*command, "--json").json
    lines(ada.ok("diff", name, "1", "3"))
    assert lines(ada.ok("live", name)) == ["2"]
    assert lines(ada.ok("fsck")) == []
    # As JSON: exact.
    assert ada.ok("list", "--json").json[0]["name"] == name
    shown = ada.ok("show", name, "3", "--json").json
    assert shown["version"] == one_line(text)
    assert {key: shown["properties"][key] for key in ("description", "tags", "labels")} == {
        "description": text,
        "tags": [text],
        "labels": {text[:100]: text[:100]},
    }
    assert [row["reason"] for row in ada.ok("log", name, "--json").json] == [
        *[harmless(text)] * 3,
        "first",
    ]
    answers = ada.run("show", "--batch", stdin=f"{encode(name)}\t3\n{encode(name)}\tlatest\n").out.split("\n")
    assert [json.loads(answer) for answer in answers[:-1]] == [shown, shown]
    (entry,) = yaml.safe_load(ada.ok("export").out)["deployments"]
    assert (entry["name"], entry["description"]) == (half, text)
    # For plain git: as many records as there are events, and trailers that nobody forged.
    log = f"refs/deployments/{encode(name)}/log"
    records = ada.git("log", "-z", "--first-parent", "--format=%(trailers:key=Action,valueonly,separator=%x2C)", log)
    assert records.split("\0")[:4] == ["rollback", "deploy", "deploy", "deploy"]
    published(team, name)
    assert not list(tmp_path.rglob("evil"))


def deploy_as_others_might(project: Project, name: str, text: str) -> None:
    """A v3 with what our own commands refuse: a version's name, a branch and tags of any kind."""
    ours = Repository(str(project.path), dict(os.environ))
    root = f"refs/deployments/{encode(name)}"
    refs = project.refs()
    live, log = refs[f"{root}/live"], refs[f"{root}/log"]

    def store(kind: str, data: bytes) -> str:
        return ours.git.store(kind, data)

    document = {**json.loads(ours.reading.object(f"{live}:{SNAPSHOT}").data), "tags": [text]}
    older, event = parse_version(ours.reading.object(live)), parse_event(ours.reading.object(log))
    entries = [TreeEntry("100644", SNAPSHOT, store("blob", json_bytes(document)))]
    entries.append(TreeEntry("160000", GITLINK, older.source.commit or ""))
    info = older.source.info._replace(branch=text, message=text, repository=text, url=text)
    source = older.source._replace(info=info)
    version = older._replace(number=3, label=text, parent=live, source=source, tree=store("tree", tree_bytes(entries)))
    data = commit_bytes(version.tree, (live,), version.author, version.author, version_message(version))
    made = store("commit", data)
    told = event._replace(number=3, before=2, after=3, latest=3, live_commit=made, latest_commit=made, label=text)
    message = event_message(told, f"Deploy {text}")
    done = store("commit", commit_bytes(told.tree, (log, made), told.author, told.author, message))
    changes = [RefChange(f"{root}/versions/3", made, None), RefChange(f"{root}/live", made, live)]
    ours.git.move_refs([*changes, RefChange(f"{root}/log", done, log)])
    ours.close()


def published(team: Team, name: str) -> None:
    """On its way to a guarded hub and to another clone."""
    refs = [
        f"refs/deployments/{encode(name)}/{kind}" for kind in ("log", "live", "versions/1", "versions/2", "versions/3")
    ]
    command = ["git", "push", "--porcelain", "--atomic", "origin", *refs]
    done = subprocess.run(command, cwd=team.ada.path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[:2000]
    pushed = [line.split("\t")[1].partition(":")[0] for line in done.stdout.split("\n") if line.startswith("*")]
    assert sorted(pushed) == sorted(refs)
    said = [line.rstrip() for line in done.stderr.split("\n") if line.startswith("remote:")]
    assert all(line.isprintable() for line in said)
    assert len(said) == 1
    lines(team.bob.ok("pull"))
    assert team.bob.refs() == team.hub.refs()
    lines(team.bob.ok("promote", name, "--push"))
    assert Project(team.hub.path).ok("list", "--json").json[0]["live"] == 3
