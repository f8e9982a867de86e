"""A guarded hub: whatever plain git may push at it, the history that is there stays as it is.

Each tampering is refused by one clear line, and moves nothing; over smart HTTP as well, see `test_tampering`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from git_deployments import guard
from git_deployments.git import RefChange
from git_deployments.repository import Repository

from .conftest import Project, Result, prepared
from .test_sync_http import bare, serving

PREFIX = "refs/deployments/etl/prod"
LIVE, LOG = f"{PREFIX}/live", f"{PREFIX}/log"
SNAPSHOT, SETTINGS = "deployment.json", "settings.json"
ZERO = "0" * 40


class Hub:
    """A guarded hub with four versions of etl/prod, v2 live after a rollback from v4, and Ada's clone of it."""

    def __init__(self, path: Path, url: str) -> None:
        self.path, self.url = path, url
        self.hub, self.ada = Project(path / "hub.git"), Project(path / "ada")

    def clone(self, name: str) -> Project:
        clone = Project(self.path / name)
        subprocess.run(["git", "clone", "-q", self.url, str(clone.path)], check=True, capture_output=True)
        return clone

    def push(self, *specs: str, atomic: bool = True) -> Result:
        """A push of Ada's with plain git."""
        options = ["--atomic"] if atomic else []
        command = ["git", "push", "-q", *options, "origin", *specs]
        done = subprocess.run(command, cwd=self.ada.path, capture_output=True, text=True, encoding="utf-8")
        return Result(done.returncode, done.stdout, done.stderr)

    def accepted(self, *specs: str) -> None:
        result = self.push(*specs)
        assert result.code == 0, result
        assert self.hub.ok("fsck").out == ""

    def refused(self, *specs: str, saying: str, lines: int = 1) -> list[str]:
        """The push is refused by so many lines, one of them with these words, and nothing has moved."""
        before = self.hub.refs()
        result = self.push(*specs)
        said = [
            line.removeprefix("remote: ").rstrip() for line in result.err.splitlines() if line.startswith("remote:")
        ]
        assert result.code == 1, result
        assert self.hub.refs() == before
        assert len(said) == lines, said
        assert any(saying in line for line in said), said
        assert all(line.isprintable() for line in said), said
        return said


def build(path: Path) -> None:
    """What all tests start from."""
    path.mkdir()
    hub = bare(path / "hub.git")
    hub.ok("hook", "install")
    subprocess.run(["git", "clone", "-q", str(hub.path), str(path / "ada")], check=True, capture_output=True)
    ada = Project(path / "ada")
    for number in (1, 2, 3, 4):
        ada.commit(f"Change {number}", code=f"{number}\n")
        ada.deploy(f"d{number}", version=f"0.0.{number}")
    ada.git("push", "-q", "origin", "HEAD:main")
    ada.ok("push")
    ada.ok("rollback", "prod", "2", "-m", "bad", "--push")


@pytest.fixture(params=["file", "http"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hub]:
    prepared(tmp_path, build)
    with serving(tmp_path) as server:
        url = f"{server.url}/hub.git" if request.param == "http" else f"file://{tmp_path}/hub.git"
        Project(tmp_path / "ada").git("remote", "set-url", "origin", url)
        yield Hub(tmp_path, url)


@pytest.fixture
def hub(near: Hub) -> Hub:
    return near


@pytest.fixture
def near(tmp_path: Path) -> Hub:
    """The same, over the file system alone: for what has nothing to do with the way there."""
    prepared(tmp_path, build)
    url = f"file://{tmp_path}/hub.git"
    Project(tmp_path / "ada").git("remote", "set-url", "origin", url)
    return Hub(tmp_path, url)


# What plain git can make


def store(project: Project, kind: str, data: str | bytes) -> str:
    command = ["git", "hash-object", "-t", kind, "-w", "--stdin", "--literally"]
    raw = data if isinstance(data, bytes) else data.encode()
    done = subprocess.run(command, cwd=project.path, input=raw, capture_output=True, check=True)
    return done.stdout.decode().strip()


def again(project: Project, revision: str, changes: Mapping[str, str], tree: str | None = None, *parents: str) -> str:
    """A commit like another one, some of its trailers changed, removed (empty) or added."""
    message = project.git("log", "-1", "--format=%B", revision).rstrip("\n")
    head, _, last = message.rpartition("\n\n")
    trailers = dict(line.split(": ", 1) for line in last.split("\n"))
    trailers.update({key.replace("_", "-"): value for key, value in changes.items()})
    lines = "\n".join(f"{key}: {value}" for key, value in trailers.items() if value)
    return commit(project, tree or project.git("rev-parse", f"{revision}^{{tree}}"), f"{head}\n\n{lines}\n", *parents)


def commit(project: Project, tree: str, message: str, *parents: str) -> str:
    options = [word for parent in parents for word in ("-p", parent)]
    return project.git("commit-tree", tree, *options, "-F", "-", stdin=message)


def version(project: Project, tree: str | None = None, **changes: str) -> str:
    """A v5 that follows v4."""
    return again(project, f"{PREFIX}/versions/4", {"Number": "5", "Version": "0.0.5", **changes}, tree, _v(project, 4))


def _v(project: Project, number: int) -> str:
    return project.git("rev-parse", f"{PREFIX}/versions/{number}")


def deployed(project: Project, made: str, **changes: str) -> str:
    """The event of a deploy of v5, onto the log."""
    code = project.git("rev-parse", "HEAD")
    told = {
        "Action": "deploy", "Number": "5", "From": "2", "To": "5", "Live-Commit": made, "Latest": "5",
        "Latest-Commit": made, "Version": "0.0.5", "Source-Commit": code, "Format": "", **changes,
    }  # fmt: skip
    return again(project, LOG, {**told, "Format": "1"}, None, project.git("rev-parse", LOG), made)


def moved(project: Project, to: int, **changes: str) -> str:
    """The event of a promotion, onto the log."""
    target = _v(project, to)
    told = {
        "Action": "promote", "From": "2", "To": str(to), "Live-Commit": target, "Version": f"0.0.{to}",
        "Source-Commit": project.git("rev-parse", f"{target}:source"), **changes,
    }  # fmt: skip
    return again(project, LOG, told, None, project.git("rev-parse", LOG))


def snapshot(project: Project, document: str | bytes) -> str:
    """The tree of v4 with another deployment.json."""
    blob = store(project, "blob", document)
    code = project.git("rev-parse", f"{PREFIX}/versions/4:source")
    return project.git("mktree", "--missing", stdin=f"100644 blob {blob}\t{SNAPSHOT}\n160000 commit {code}\tsource\n")


def push_v5(made: str, event: str) -> list[str]:
    return [f"{made}:{PREFIX}/versions/5", f"+{made}:{LIVE}", f"{event}:{LOG}"]


# Honest pushes


def test_the_guard_takes_what_our_own_commands_push(either: Hub) -> None:
    hub, ada = either, either.ada
    ada.ok("promote", "prod", "--push")
    ada.git("config", "deployments.keepSource", "always")
    ada.deploy("d5", "--push")
    ada.ok("rollback", "prod", "--hold", "--push")
    ada.ok("update", "prod", "paused=true", "--push")
    assert ada.run("deploy", "--push").code == 3
    ada.ok("promote", "prod", "--push")
    ada.git("update-ref", LIVE, f"{PREFIX}/versions/1")
    ada.ok("push")
    ada.ok("delete", "prod", "-y", "--push")
    assert set(hub.hub.refs()) == {LOG}
    ada.deploy("again", "--push")
    bob = hub.clone("bob")
    bob.ok("pull")
    assert bob.refs() == {ref: oid for ref, oid in hub.hub.refs().items() if "/sources/" not in ref}
    bob.git("config", "deployments.keepRefs", "2")
    bob.manifest("more")
    for _ in range(3):
        bob.ok("deploy", "--push")
    bob.manifest("other", name="dev")
    bob.ok("deploy", "--push")
    ada.deploy("unpublished")
    assert "v11 is now" not in ada.ok("pull").out
    ada.ok("push")
    for project in (hub.hub, ada, bob):
        assert project.ok("fsck").out == ""


def test_what_plain_git_makes_right_is_taken(either: Hub) -> None:
    hub = either
    made = version(hub.ada)
    hub.accepted(*push_v5(made, deployed(hub.ada, made)))
    assert hub.hub.live() == 5


def test_other_refs_are_none_of_its_business(either: Hub) -> None:
    hub = either
    before = hub.hub.refs()
    for spec in ("HEAD:refs/heads/x", "HEAD:refs/remote-deployments/o/a/live", "+HEAD~1:refs/heads/x", ":refs/heads/x"):
        assert hub.push(spec).code == 0
    assert hub.push("HEAD:refs/tags/t", "HEAD~1:refs/heads/deployments").code == 0
    assert hub.hub.refs() == before


def test_the_recipe_for_plain_git_is_taken(either: Hub) -> None:
    hub = either
    hub.ada.deploy("d5")
    hub.accepted(LOG, f"+{LIVE}", f"{PREFIX}/versions/*")
    assert hub.hub.live() == 5


# Versions


def test_a_version_is_never_changed(hub: Hub) -> None:
    other = again(hub.ada, f"{PREFIX}/versions/4", {"Version": "forged"}, None, _v(hub.ada, 3))
    hub.refused(f"+{other}:{PREFIX}/versions/4", saying="versions/4 may not be changed")
    hub.refused(f"+{_v(hub.ada, 3)}:{PREFIX}/versions/4", saying="versions/4 may not be changed")


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_version_is_not_removed(hub: Hub, number: int) -> None:
    hub.refused(f":{PREFIX}/versions/{number}", saying=f"versions/{number} may not be removed")


def test_old_versions_may_go_but_not_the_live_one(near: Hub) -> None:
    near.hub.git("config", "deployments.keepRefs", "2")
    near.refused(f":{PREFIX}/versions/3", saying="the server keeps the newest 2")
    near.refused(f":{PREFIX}/versions/2", saying="it is live")
    near.accepted(f":{PREFIX}/versions/1")
    near.accepted(f"{_v(near.ada, 1)}:{PREFIX}/versions/1")
    near.hub.git("config", "deployments.keepRefs", "0")
    near.refused(f":{PREFIX}/versions/1", saying="the server keeps all")


def test_a_version_that_the_log_does_not_reach(hub: Hub) -> None:
    made = version(hub.ada)
    hub.refused(f"{made}:{PREFIX}/versions/5", saying="which its log does not reach")
    hub.refused(f"{made}:{PREFIX}/versions/5", f"+{made}:{LIVE}", saying="live would be at", lines=2)


def test_a_version_of_another_number_or_deployment(hub: Hub) -> None:
    hub.refused(f"{_v(hub.ada, 1)}:refs/deployments/etl/dev/versions/1", saying="it has no log here")
    hub.hub.git("update-ref", "-d", f"{PREFIX}/versions/1")
    hub.refused(f"{_v(hub.ada, 2)}:{PREFIX}/versions/1", saying="but its log has")


def test_a_version_that_does_not_follow_the_latest(hub: Hub) -> None:
    fork = again(hub.ada, f"{PREFIX}/versions/4", {"Number": "5"}, None, _v(hub.ada, 2))
    event = deployed(hub.ada, fork, Version="0.0.4")
    hub.refused(*push_v5(fork, event), saying="v5 has the parent")
    rootless = again(hub.ada, f"{PREFIX}/versions/4", {"Number": "5"})
    event = deployed(hub.ada, rootless, Version="0.0.4")
    hub.refused(*push_v5(rootless, event), saying="v5", lines=2)


def test_an_event_may_not_name_another_version_than_the_chain_has(near: Hub) -> None:
    first, second = version(near.ada), version(near.ada, Version="other")
    near.ada.git("update-ref", LOG, deployed(near.ada, first, To="2", Live_Commit=_v(near.ada, 2), **_two(near.ada)))
    sixth = again(near.ada, second, {"Number": "6", "Version": "0.0.6"}, None, second)
    event = deployed(near.ada, sixth, Number="6", Latest="6", To="6", Version="0.0.6")
    specs = [f"{sixth}:{PREFIX}/versions/6", f"+{sixth}:{LIVE}", f"{event}:{LOG}"]
    near.refused(*specs, saying="Latest-Commit is not v5")


def _two(project: Project) -> dict[str, str]:
    return {"Version": "0.0.2", "Source-Commit": project.git("rev-parse", f"{_v(project, 2)}:source")}


# The log


def test_the_log_is_not_rewound(hub: Hub) -> None:
    hub.refused(f"+{LOG}~1:{LOG}", saying="its log may not be rewound")
    hub.refused(f"+{LOG}~1:{LOG}", f"+{PREFIX}/versions/4:{LIVE}", saying="its log may not be rewound")


def test_the_log_is_not_forked(hub: Hub) -> None:
    hub.ada.git("update-ref", LOG, f"{LOG}~1")
    fork = again(
        hub.ada, f"{LOG}", {"Action": "promote", "Number": "", "From": "4"}, None, hub.ada.git("rev-parse", LOG)
    )
    hub.refused(f"+{fork}:{LOG}", f"+{PREFIX}/versions/4:{LIVE}", saying="its log may not be replaced by another")


def test_the_log_is_not_replaced_by_another_history(hub: Hub) -> None:
    other = hub.clone("other")
    other.commit("Elsewhere", code="x\n")
    other.deploy("forged", "--offline")
    hub.ada.git("fetch", "-q", str(other.path), "+refs/deployments/*:refs/forged/*")
    specs = [f"+refs/forged/etl/prod/{kind}:{PREFIX}/{kind}" for kind in ("log", "live")]
    hub.refused(*specs, saying="its log may not be replaced by another")


def test_a_log_is_not_removed(hub: Hub) -> None:
    hub.refused(f":{LOG}", saying="deployments.allowDelete is not set")
    everything = [f":{ref}" for ref in hub.hub.refs()]
    hub.refused(*everything, saying="deployments.allowDelete is not set")
    hub.refused(f":{LIVE}", saying="live would be at nothing")


def test_a_deployment_is_removed_whole_where_that_is_allowed(hub: Hub) -> None:
    hub.hub.git("config", "deployments.allowDelete", "true")
    hub.refused(f":{LOG}", saying="it may only go together with all its refs".removeprefix("it "))
    hub.refused(f":{LOG}", f":{LIVE}", saying="versions/1, versions/2, versions/3, versions/4 would stay")
    hub.ada.ok("delete", "prod", "--purge", "-y", "--push")
    assert hub.hub.refs() == {}


def test_a_purge_that_is_not_allowed_leaves_everything(hub: Hub) -> None:
    before = hub.hub.refs(), hub.ada.refs()
    assert "deployments.allowDelete" in hub.ada.fatal("delete", "prod", "--purge", "-y", "--push", code=1)
    assert (hub.hub.refs(), hub.ada.refs()) == before


EVENTS: list[tuple[dict[str, str], str]] = [
    ({"From": "4"}, "From is 4, but 2 was live before it"),
    ({"To": "3"}, "Live-Commit is not v3"),
    ({"Action": "rollback"}, "rollback cannot move live from 2 to 4"),
    ({"Action": "explode"}, "the trailer Action is 'explode'"),
    ({"Action": "delete"}, "delete cannot move live from 2 to 4"),
    ({"Action": "deploy"}, "deploy cannot move live from 2 to 4"),
    ({"Latest": "3"}, "Latest changes without a new version"),
    ({"Latest": "9"}, "Latest changes without a new version"),
    ({"Hold": "true"}, "Hold is set after it"),
    ({"Version": "forged"}, "Version or Source-Commit is not that of v4"),
    ({"Source-Commit": ZERO}, "Version or Source-Commit is not that of v4"),
    ({"Live-Commit": ""}, "To and Live-Commit do not agree"),
    ({"Live-Commit": "HEAD"}, "and no object id"),
    ({"To": "4294967297000"}, "and no version number"),
    ({"Paused": "true"}, "Paused is not what its settings say"),
    ({"Paused": "no"}, "the trailer Paused is 'no' and not true or false"),
    ({"Hold": "TRUE"}, "the trailer Hold is 'TRUE' and not true"),
    ({"Deployment": "etl/dev"}, "is of 'etl/dev'"),
    ({"Deployment": "../../heads"}, "names no deployment"),
    ({"Format": "2"}, "is of format 2"),
    ({"Format": ""}, "no trailers of ours"),
    ({"Number": "5"}, "its log may not be replaced by another"),
]


@pytest.mark.parametrize(("changes", "saying"), EVENTS, ids=lambda value: str(value)[:30])
def test_an_event_that_does_not_follow_is_refused(near: Hub, changes: dict[str, str], saying: str) -> None:
    event = moved(near.ada, 4, **changes)
    before = near.hub.refs()
    result = near.push(f"{event}:{LOG}", f"+{_v(near.ada, 4)}:{LIVE}")
    assert result.code == 1
    assert saying in result.err, result.err
    assert "Traceback" not in result.err
    assert near.hub.refs() == before


# Live


def test_a_live_that_the_log_does_not_record(hub: Hub) -> None:
    said = hub.refused(f"+{_v(hub.ada, 3)}:{LIVE}", saying="but its log says v2")
    assert "'git deployments push' records the move" in said[0]
    hub.ada.git("update-ref", LIVE, _v(hub.ada, 3))
    hub.ada.ok("push")
    assert hub.hub.live() == 3


def test_a_live_elsewhere_than_the_event_says(hub: Hub) -> None:
    event = moved(hub.ada, 4)
    hub.refused(f"{event}:{LOG}", f"+{_v(hub.ada, 3)}:{LIVE}", saying="but its log says v4")
    hub.refused(f"{event}:{LOG}", saying="but its log says v4")


def test_a_live_at_what_is_no_version(hub: Hub) -> None:
    hub.refused(f"+HEAD:{LIVE}", saying="live would be at")
    hub.refused(f"+{LOG}:{LIVE}", saying="live would be at")


# Objects and names


def test_foreign_objects(hub: Hub) -> None:
    blob, tree = store(hub.ada, "blob", "x"), hub.ada.git("rev-parse", "HEAD^{tree}")
    tag = store(
        hub.ada, "tag", f"object {hub.ada.git('rev-parse', LOG)}\ntype commit\ntag x\ntagger A <a@b> 0 +0000\n\nx\n"
    )
    hub.refused(f"+{tag}:{LOG}", saying="a tag stands where a commit belongs")
    hub.refused(f"+HEAD:{LOG}", saying="its message ends in no trailers of ours")
    hub.refused(f"{PREFIX}/versions/1:refs/deployments/etl/dev/log", saying="it is no event of a log")
    hub.refused(f"{LOG}:refs/deployments/etl/dev/log", saying="is of 'etl/prod'", lines=6)
    hub.refused(f"{blob}:{PREFIX}/versions/5", saying="which its log does not reach")
    hub.refused(f"{tree}:{PREFIX}/sources/4", saying="which is not the code of a v4")


def test_a_tree_that_holds_something_else(hub: Hub) -> None:
    blob = hub.ada.git("rev-parse", f"{PREFIX}/versions/4:{SNAPSHOT}")
    code = hub.ada.git("rev-parse", f"{PREFIX}/versions/4:source")
    lines = f"100644 blob {blob}\t{SNAPSHOT}\n100755 blob {blob}\tevil.sh\n160000 commit {code}\tsource\n"
    made = version(hub.ada, hub.ada.git("mktree", stdin=lines))
    hub.refused(*push_v5(made, deployed(hub.ada, made)), saying="its tree holds something else")
    link = f"120000 blob {blob}\t{SNAPSHOT}\n160000 commit {code}\tsource\n"
    made = version(hub.ada, hub.ada.git("mktree", stdin=link))
    hub.refused(*push_v5(made, deployed(hub.ada, made)), saying="its tree holds something else")


def test_another_gitlink_than_the_source_commit(hub: Hub) -> None:
    blob = hub.ada.git("rev-parse", f"{PREFIX}/versions/4:{SNAPSHOT}")
    other = hub.ada.git("rev-parse", "HEAD~1")
    lines = f"100644 blob {blob}\t{SNAPSHOT}\n160000 commit {other}\tsource\n"
    made = version(hub.ada, hub.ada.git("mktree", stdin=lines))
    hub.refused(*push_v5(made, deployed(hub.ada, made)), saying="but Source-Commit says")


def documents(project: Project) -> dict[str, tuple[str | bytes, str]]:
    """Snapshots that are wrong, and what is said of each."""
    good: dict[str, Any] = json.loads(project.git("show", f"{PREFIX}/versions/4:{SNAPSHOT}"))
    deep: Any = []
    for _ in range(200):
        deep = [deep]

    def canonical(**changes: Any) -> str:
        return json.dumps({**good, **changes}, sort_keys=True, indent=2, ensure_ascii=False) + "\n"

    return {
        "no json": ("nothing", "it is no JSON document"),
        "no mapping": ("[]\n", "its keys are not those of the format"),
        "a key too many": (canonical(evil=1), "its keys are not those of the format (evil)"),
        "wrong type": (canonical(tags="x"), "tags of the wrong type"),
        "not canonical": (json.dumps(good), "is not canonical JSON"),
        "deep": (canonical(parameters={"x": deep}), "nested more than"),
        "very deep": ("[" * 100_000, "it is no JSON document"),
        "twice": (canonical().replace('"tags": []', '"tags": [],\n  "tags": []'), "a key stands twice"),
        "NaN": (canonical(parameters={"x": float("nan")}), "NaN is not allowed"),
        "no text": (b"\xff\xfe", "it is no JSON document"),
        "huge": (canonical(description="x" * (1 << 20)), "more than deployments.maxSnapshotSize allows"),
    }


@pytest.mark.parametrize("kind", [
    "no json", "no mapping", "a key too many", "wrong type", "not canonical", "deep", "very deep", "twice", "NaN",
    "no text", "huge",
])  # fmt: skip
def test_a_malformed_or_oversized_snapshot(near: Hub, kind: str) -> None:
    document, saying = documents(near.ada)[kind]
    made = version(near.ada, snapshot(near.ada, document))
    near.refused(*push_v5(made, deployed(near.ada, made)), saying=saying)


def test_among_many_deployments_the_one_that_is_wrong_is_named(near: Hub) -> None:
    """Of many deployments, objects are read together; that must hide none, and hold up none."""
    ada = near.ada
    ada.write("prefect.yaml", "deployments:\n" + "".join(f"- {{name: d{n}, flow_name: many}}\n" for n in range(10)))
    ada.ok("deploy", "--all", "--offline")
    honest = "refs/deployments/many/*:refs/deployments/many/*"
    for document, saying in documents(ada).values():
        made = version(ada, snapshot(ada, document))
        said = near.refused(*push_v5(made, deployed(ada, made)), honest, saying=saying)
        assert said[0].startswith("etl/prod: v5: ")
    near.accepted(honest)


NEEDS_STRACE = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here to be in the way")


def very_many(path: Path) -> None:
    """A hub without deployments, and 220 in Ada's clone of it, each with settings of its own."""
    path.mkdir()
    hub = bare(path / "hub.git")
    subprocess.run(["git", "clone", "-q", str(hub.path), str(path / "ada")], check=True, capture_output=True)
    ada = Project(path / "ada")
    ada.commit("Start", code="x\n")
    entries = (f"- {{name: d{n:03}, flow_name: etl, concurrency_limit: {n + 1}}}\n" for n in range(220))
    ada.write("prefect.yaml", "deployments:\n" + "".join(entries))
    ada.ok("deploy", "--all", "--offline")


@pytest.mark.parametrize(
    "how",
    [
        "as it is",
        "one processor",
        pytest.param("inject=clone:error=EAGAIN", marks=NEEDS_STRACE),
        pytest.param("inject=close_range:signal=KILL", marks=NEEDS_STRACE),
    ],
)
def test_a_push_of_very_many_is_checked_by_two_processes_where_that_can_be_done(tmp_path: Path, how: str) -> None:
    """A server without a second processor, or whose second process is not started or is killed, finds the same."""
    prepared(tmp_path, very_many)
    ada = Project(tmp_path / "ada")
    trace = tmp_path / "trace"
    specs, wanted = [], []
    for name in ("d003", "d111", "d217"):
        ref = f"refs/deployments/etl/{name}/versions/2"
        specs.append(f"refs/deployments/etl/{name}/log:{ref}")
        wanted.append(f"etl/{name}: versions/2 is ")
    changes = [f"{ZERO} {oid} {ref}" for ref, oid in ada.refs().items() if ref.startswith("refs/deployments/")]
    changes += [f"{ZERO} {ada.git('rev-parse', spec.split(':')[0])} {spec.split(':')[1]}" for spec in specs]
    (tmp_path / "push").write_text("\n".join(changes) + "\n")
    command = [sys.executable, "-m", "git_deployments", "hook", "pre-receive"]
    if how.startswith("inject"):
        command = ["strace", "-f", "-o", str(trace), "-e", how, *command]
    if how == "one processor":
        command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command]
    environment = {**os.environ, "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(ada.path / ".git" / "objects")}
    with open(tmp_path / "push") as push:
        done = subprocess.run(
            command, cwd=tmp_path / "hub.git", env=environment, stdin=push, capture_output=True, text=True
        )
    said = done.stderr.splitlines()
    assert done.returncode == 1, done
    assert [line[: len(start)] for line, start in zip(said, wanted, strict=True)] == wanted
    if how.startswith("inject"):
        assert {"(INJECTED)", "killed by SIGKILL"} & set(
            re.findall(r"\(INJECTED\)|killed by SIGKILL", trace.read_text())
        )


def test_what_counts_as_oversized_is_the_server_s_to_say(hub: Hub) -> None:
    document, saying = documents(hub.ada)["huge"]
    made = version(hub.ada, snapshot(hub.ada, document))
    hub.refused(*push_v5(made, deployed(hub.ada, made)), saying=saying)
    hub.hub.git("config", "deployments.maxSnapshotSize", "2m")
    hub.accepted(*push_v5(made, deployed(hub.ada, made)))


def test_oversized_settings_and_messages(near: Hub) -> None:
    blob = store(near.ada, "blob", b"x" * (2 << 20))
    tree = near.ada.git("mktree", stdin=f"100644 blob {blob}\t{SETTINGS}\n")
    event = again(near.ada, LOG, {"Action": "update", "To": "2", "From": "2"}, tree, near.ada.git("rev-parse", LOG))
    near.refused(f"{event}:{LOG}", saying=f"its {SETTINGS} has 2097152 bytes")
    message = near.ada.git("log", "-1", "--format=%B", LOG)
    tree = near.ada.git("rev-parse", f"{LOG}^{{tree}}")
    large = commit(near.ada, tree, f"{'x' * (5 << 20)}\n\n{message}", near.ada.git("rev-parse", LOG))
    near.refused(f"{large}:{LOG}", saying="bytes, more than the 4194304 that are allowed")


def test_two_documents_of_one_name(near: Hub) -> None:
    """Who reads it might take either."""
    blob = near.ada.git("rev-parse", f"{PREFIX}/versions/4:{SNAPSHOT}")
    other = near.ada.git("rev-parse", f"{PREFIX}/versions/3:{SNAPSHOT}")
    code = near.ada.git("rev-parse", f"{PREFIX}/versions/4:source")
    link = b"160000 source\0" + bytes.fromhex(code)
    first, second = (f"100644 {SNAPSHOT}\0".encode() + bytes.fromhex(oid) for oid in (blob, other))
    for tree in (first + second + link, first + link + link, link + first):
        made = version(near.ada, store(near.ada, "tree", tree))
        near.refused(*push_v5(made, deployed(near.ada, made)), saying="its tree holds something else")


def parent_last(project: Project, made: str) -> str:
    """The commit again, its last parent moved to where git does not look for one."""
    head, _, message = project.git("cat-file", "commit", made).partition("\n\n")
    lines = head.split("\n")
    last = [line for line in lines if line.startswith("parent ")][-1]
    lines.remove(last)
    return store(project, "commit", "\n".join([*lines, last, "", message, ""]))


def test_parents_that_git_does_not_see(hub: Hub) -> None:
    """They would keep nothing alive: what they name would be lost with the next garbage collection."""
    made = parent_last(hub.ada, version(hub.ada))
    hub.refused(*push_v5(made, deployed(hub.ada, made)), saying="a parent stands where git sees none")
    made = version(hub.ada)
    event = parent_last(hub.ada, deployed(hub.ada, made))
    hub.refused(*push_v5(made, event), saying="a parent stands where git sees none")


OTHERWISE = {
    "nul": ("holds a NUL", "\n\nDeployment", "\n\nNumber: 1\n\0\n\nDeployment"),
    "scissors": ("ends the message", "\n\nDep", "\n\nNumber: 1\n\n# " + "-" * 24 + " >8 " + "-" * 24 + "\n\nDep"),
    "patch": ("ends the message", "\n\nDeployment", "\n\nNumber: 1\n---\n\nDeployment"),
    "encoding": ("in another encoding", "\n\n", "\nencoding UTF-16BE\n\n"),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_what_plain_git_reads_otherwise(near: Hub, case: str) -> None:
    """Who asks plain git for the number of a version is told another one, or none."""
    saying, old, new = OTHERWISE[case]

    def forged(revision: str) -> str:
        return store(near.ada, "commit", raw(near.ada, revision).replace(old, new, 1) + "\n")

    made = forged(version(near.ada))
    near.refused(*push_v5(made, deployed(near.ada, made)), saying=saying)
    event = forged(moved(near.ada, 4))
    near.refused(f"{event}:{LOG}", f"+{_v(near.ada, 4)}:{LIVE}", saying=saying)
    near.hub.git("fetch", "-q", str(near.ada.path), event)
    near.hub.git("update-ref", LOG, event)
    near.hub.git("update-ref", LIVE, _v(near.ada, 4))
    assert saying in near.hub.run("fsck").out
    assert near.hub.ok("live", "prod").out == "4\n"


def raw(project: Project, revision: str) -> str:
    return project.git("cat-file", "commit", revision)


def test_texts_that_look_like_the_end_of_a_message_are_pushed_all_the_same(near: Hub) -> None:
    cut = "-" * 24 + " >8 " + "-" * 24
    near.ada.manifest("d5")
    near.ada.ok("deploy", "--version", cut, "-m", f"one\n---\n# {cut}\n{cut}\nx {cut}", "--push")
    near.ada.ok("update", "prod", "description=d6", "--version", f"x {cut}", "-m", f"# {cut}", "--push")
    assert near.hub.live() == 6
    assert near.hub.ok("fsck").out == ""


def test_a_ref_in_the_way_of_all_deployments(tmp_path: Path) -> None:
    guarded = bare(tmp_path / "hub.git")
    guarded.ok("hook", "install")
    other = Project(tmp_path / "other")
    subprocess.run(["git", "clone", "-q", str(guarded.path), str(other.path)], check=True, capture_output=True)
    other.commit("Start", code="x\n")
    command = ["git", "push", "-q", "origin", "HEAD:refs/deployments"]
    done = subprocess.run(command, cwd=other.path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "refs/deployments: no ref of a deployment has such a name" in done.stderr
    assert other.git("ls-remote", "origin") == ""
    assert other.git("push", "-q", "origin", "HEAD:refs/heads/refs/deployments") == ""


UNKNOWN = [
    "refs/deployments/etl/prod/other",
    "refs/deployments/etl/prod/versions/05",
    "refs/deployments/etl/prod/versions/0",
    "refs/deployments/etl/prod/versions/latest",
    "refs/deployments/etl/prod/versions/123456789012",
    "refs/deployments/live",
    "refs/deployments/a/b/c/live",
    "refs/deployments/etl/%zz/live",
    "refs/deployments/etl/pr%6Fd/live",
    "refs/deployments/etl/-x/live",
    "refs/deployments/etl/HEAD/live",
    "refs/deployments/etl/a&b/log",
    "refs/deployments/etl/\u202egnp/log",
    "refs/deployments/etl/" + "x" * 230 + "/log",
]


@pytest.mark.parametrize("ref", UNKNOWN)
def test_unknown_kinds_of_ref(near: Hub, ref: str) -> None:
    near.refused(f"{LIVE}:{ref}", saying="no ref of a deployment has such a name")
    near.refused(f"HEAD:{ref}", f"+{_v(near.ada, 3)}:{LIVE}", saying="no ref of a deployment has such a name", lines=2)


def test_another_spelling_is_refused_where_the_file_system_tells_no_case(near: Hub) -> None:
    spec = f"{LIVE}:{LIVE.replace('deployments', 'Deployments')}"
    near.hub.git("config", "core.ignoreCase", "true")
    near.refused(spec, saying="on this server it would be a ref under refs/deployments/")
    near.hub.git("config", "core.ignoreCase", "false")
    assert near.push(spec).code == 0


def test_a_stray_ref_that_is_there_may_be_removed(near: Hub) -> None:
    near.hub.git("update-ref", "refs/deployments/etl/prod/other", LIVE)
    assert near.push(":refs/deployments/etl/prod/other").code == 0


@pytest.mark.parametrize("name", ["ETL/prod", "etl/Prod"])
def test_names_that_differ_only_by_case(hub: Hub, name: str) -> None:
    flow, _, half = name.partition("/")
    other = hub.clone("other")
    other.commit("Elsewhere", code="x\n")
    other.manifest("first", name=half, flow=flow)
    other.ok("deploy", "--offline")
    before = hub.hub.refs()
    line = other.fatal("push", code=1)
    assert f"{name}: it differs from 'etl/prod' only by case" in line
    assert hub.hub.refs() == before


def test_two_new_names_that_differ_only_by_unicode_form(near: Hub) -> None:
    other = near.clone("other")
    other.commit("Elsewhere", code="x\n")
    for half in ("größe", "gro\u0308ße"):
        scratch = near.clone(f"scratch{len(half)}")
        scratch.manifest("first", name=half)
        scratch.ok("deploy", "--offline")
        other.git("fetch", "-q", str(scratch.path), "+refs/deployments/*:refs/deployments/*")
    before = near.hub.refs()
    specs = [f"{ref}:{ref}" for ref in other.refs()]
    done = subprocess.run(["git", "push", "-q", "origin", *specs], cwd=other.path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "only by case or by Unicode form" in done.stderr
    assert near.hub.refs() == before


def test_sources_are_what_the_version_says(hub: Hub) -> None:
    code = hub.ada.git("rev-parse", f"{PREFIX}/versions/3:source")
    hub.refused(f"HEAD:{PREFIX}/sources/3", saying="sources/3 is")
    hub.refused(f"{code}:{PREFIX}/sources/9", saying="which is not the code of a v9")
    hub.accepted(f"{code}:{PREFIX}/sources/3")
    hub.refused(f":{PREFIX}/sources/3", saying="it keeps the code of v3")


# Manner


def test_each_breach_has_its_line_and_one_bad_deployment_refuses_the_push(near: Hub) -> None:
    near.ada.manifest("dev", name="dev")
    near.ada.ok("deploy", "--push")
    near.ada.ok("deploy")
    dev = "refs/deployments/etl/dev"
    specs = [f"{dev}/log", f"+{dev}/live", f"{dev}/versions/*", f":{PREFIX}/versions/1", f"+{_v(near.ada, 3)}:{LIVE}"]
    said = near.refused(*specs, "HEAD:refs/heads/new", saying="versions/1 may not be removed", lines=2)
    assert all(line.startswith("etl/prod: ") for line in said)
    near.hub.git("rev-parse", "--verify", "-q", "refs/heads/main")
    assert near.hub.git("for-each-ref", "refs/heads/new") == ""


def test_a_broken_history_is_not_told_line_by_line(near: Hub) -> None:
    near.hub.git("config", "deployments.allowDelete", "true")
    near.ada.ok("delete", "prod", "--purge", "-y", "--push")
    near.ada.git("fetch", "-q", str(near.path / "hub.git"), "main")
    scratch = near.clone("scratch")
    scratch.commit("Elsewhere", code="x\n")
    scratch.manifest("x")
    for _ in range(25):
        scratch.ok("deploy", "--offline")
    near.ada.git("fetch", "-q", str(scratch.path), "+refs/deployments/etl/prod/*:refs/deployments/etl/dev/*")
    dev = "refs/deployments/etl/dev"
    near.refused(f"{dev}/log", f"{dev}/live", saying="etl/dev: and 6 more", lines=21)


def test_hostile_texts_are_shown_escaped(near: Hub) -> None:
    event = moved(near.ada, 4, Action="x\x1b[31m\u202e")
    near.refused(f"{event}:{LOG}", f"+{_v(near.ada, 4)}:{LIVE}", saying=r"the trailer Action is 'x\x1b[31m\u202e'")


def test_what_another_push_has_overtaken_is_a_race_and_no_breach(near: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that the guard sees too late is told to look again; git would refuse it a moment later."""
    monkeypatch.setattr(guard, "PAUSE", 0.001)
    event = moved(near.hub, 4)
    lines = f"{near.hub.git('rev-parse', LOG + '~1')} {event} {LOG}\n"
    result = near.hub.run("hook", "pre-receive", stdin=lines)
    assert (result.code, result.err) == (1, f"etl/prod: {guard.OVERTAKEN}\n")


def test_a_push_that_is_seen_in_the_middle_of_another_is_judged_by_what_comes_of_it(near: Hub) -> None:
    """git moves a push's refs one after the other: for a moment live is elsewhere than the log says."""
    other = near.ada.git("rev-parse", LIVE)
    changes = [RefChange(f"{PREFIX}/versions/1", None, _v(near.ada, 1))]
    near.hub.git("config", "deployments.keepRefs", "2")
    repository = Repository(str(near.hub.path), dict(os.environ))
    near.hub.git("update-ref", LIVE, _v(near.ada, 1))
    assert list(guard.refusals(repository, changes)) == []
    near.hub.git("update-ref", LIVE, other)
    repository.close()


@pytest.mark.parametrize("lines", ["x\n", "a b\n", f"{ZERO} {ZERO}\n"])
def test_a_hook_that_people_run_says_so(near: Hub, lines: str) -> None:
    result = near.hub.run("hook", "pre-receive", stdin=lines)
    assert result.code == 128
    assert result.err.startswith("fatal: ")
    assert "git runs this hook" in result.err


def test_many_old_versions_are_found_by_few_questions(near: Hub, tmp_path: Path) -> None:
    """Where all refs of a long history go at once, or come back, git is not asked for each."""
    for project in (near.hub, near.ada):
        project.git("config", "deployments.keepRefs", "0")
    near.ada.manifest("more")
    for _ in range(140):
        near.ada.ok("deploy", "--no-live", "--offline")
    near.ada.ok("push")
    before = near.hub.refs()
    near.ada.ok("delete", "prod", "-y")
    assert near.push(LOG, f":{LIVE}").code == 0
    numbered = {ref: oid for ref, oid in before.items() if "/versions/" in ref}
    assert len(numbered) == 144
    for asked in ("gone", "back"):
        push = "".join(f"{oid} {ZERO} {ref}\n" for ref, oid in numbered.items())
        if asked == "back":
            for ref in numbered:
                near.hub.git("update-ref", "-d", ref)
            push = "".join(f"{ZERO} {oid} {ref}\n" for ref, oid in numbered.items())
        result = near.hub.run("hook", "pre-receive", stdin=push, GIT_TRACE2_EVENT=str(tmp_path / asked))
        assert (result.code, result.err) == (0, "")
        starts = [line for line in (tmp_path / asked).read_text().splitlines() if '"event":"start"' in line]
        assert len(starts) < 20


def test_the_guard_writes_nothing(near: Hub) -> None:
    made = version(near.ada)
    before = tree_of(near.hub.path)
    near.refused(f"{made}:{PREFIX}/versions/5", saying="does not reach")
    assert tree_of(near.hub.path) == before


def tree_of(path: Path) -> list[str]:
    return sorted(str(file) for file in path.rglob("*") if file.is_file())


def test_queries_inside_pre_receive_see_what_is_pushed_and_writes_are_refused(near: Hub) -> None:
    script = str(Path(sys.executable).with_name("git-deployments"))
    hook = near.hub.path / "hooks" / "pre-receive"
    hook.write_text(
        "#!/bin/sh\n"
        'while read old new ref; do case $ref in */live) echo "pushed $(git log -1 --format=%s $new)";; esac; done\n'
        f'echo "live $({script} live etl/prod)"\n'
        f"{script} rollback etl/prod v1 -m no && exit 1\n"
        "exit 0\n"
    )
    near.ada.deploy("d5")
    before = near.hub.refs()
    result = near.push(LOG, f"+{LIVE}", f"{PREFIX}/versions/5")
    assert result.code == 0, result
    assert "remote: pushed etl/prod v5" in result.err
    assert "remote: live 2" in result.err
    assert "remote: fatal: " in result.err
    assert near.hub.live() == 5
    assert near.hub.refs().keys() - before.keys() == {f"{PREFIX}/versions/5"}
