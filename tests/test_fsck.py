"""Every rule of fsck, broken by plain git alone; and what `--repair` restores, and leaves alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from git_deployments import history

from .conftest import WIDTH, Project

PREFIX = "refs/deployments/etl/prod"
SNAPSHOT = "deployment.json"
SETTINGS = "settings.json"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else writes here, so the two readings that must agree need no real pause between them."""
    monkeypatch.setattr(history, "PAUSE", 0.001)


# What fsck says, and what plain git can make


class Found(NamedTuple):
    """What fsck says, each finding as `name: problem`."""

    errors: list[str]
    notices: list[str]


def fsck(project: Project, *arguments: str) -> Found:
    """The findings; the exit code must fit them."""
    result = project.run("fsck", "--json", *arguments)
    assert result.code in (0, 1), result
    told: dict[bool, list[str]] = {False: [], True: []}
    for row in result.json:
        told[row["notice"]].append(f"{row['name'] or ''}: {row['problem']}")
    assert result.code == (1 if told[False] else 0), result
    return Found(told[False], told[True])


def assert_only(problems: list[str], *patterns: str) -> None:
    """There is exactly one problem for each pattern, in order."""
    assert len(problems) == len(patterns), problems
    for problem, pattern in zip(problems, patterns, strict=True):
        assert re.search(pattern, problem), f"{pattern!r} is not in {problem!r}"


def store(project: Project, kind: str, data: str | bytes) -> str:
    """Write an object, however wrong; its id."""
    command = ["git", "hash-object", "-t", kind, "-w", "--stdin", "--literally"]
    raw = data if isinstance(data, bytes) else data.encode()
    done = subprocess.run(command, cwd=project.path, input=raw, capture_output=True, check=True)
    return done.stdout.decode().strip()


def tree(project: Project, *entries: tuple[str, str, str]) -> str:
    """A tree of (mode, name, id)."""
    kinds = {"160000": "commit", "040000": "tree"}
    lines = [f"{mode} {kinds.get(mode, 'blob')} {oid}\t{name}\n" for mode, name, oid in entries]
    return project.git("mktree", "--missing", stdin="".join(lines))


def commit(project: Project, tree_: str, parents: list[str], subject: str, trailers: Mapping[str, str | None]) -> str:
    """A commit whose last paragraph is the trailers that are not None."""
    lines = "".join(f"{key}: {value}\n" for key, value in trailers.items() if value is not None)
    options = [word for parent in parents for word in ("-p", parent)]
    return project.git("commit-tree", tree_, *options, "-F", "-", stdin=f"{subject}\n\n{lines}")


def ref(project: Project, kind: str) -> str:
    """Id of `live`, `log`, `versions/2`, …"""
    return project.refs()[f"{PREFIX}/{kind}"]


def move(project: Project, kind: str, oid: str) -> None:
    """Let a ref point there, whatever that is."""
    project.git("update-ref", f"{PREFIX}/{kind}", oid)


def content(project: Project, revision: str) -> str:
    """A file that git has."""
    return project.git("cat-file", "blob", revision) + "\n"


def add_version(project: Project, tree_: str | None = None, parents: list[str] | None = None, **trailers: Any) -> str:
    """A version 4 that continues the log without being in it; trailers are changed by `Source_Commit=…`."""
    latest = ref(project, "versions/3")
    code = project.git("rev-parse", f"{latest}:source")
    given: dict[str, str | None] = {
        "Deployment": "etl/prod",
        "Number": "4",
        "Source-Type": "vcs:git",
        "Source-Commit": code,
        "Format": "1",
    }
    given.update((key.replace("_", "-"), value) for key, value in trailers.items())
    made = commit(
        project,
        tree_ or project.git("rev-parse", f"{latest}^{{tree}}"),
        [latest] if parents is None else parents,
        "etl/prod v4",
        given,
    )
    move(project, "versions/4", made)
    return made


def add_event(project: Project, tree_: str | None = None, parents: list[str] | None = None, **trailers: Any) -> str:
    """An event onto the log: a rollback from v3 to v2, its trailers changed; `live` is moved as it says."""
    tip, second, third = (ref(project, kind) for kind in ("log", "versions/2", "versions/3"))
    given: dict[str, str | None] = {
        "Deployment": "etl/prod",
        "Action": "rollback",
        "From": "3",
        "To": "2",
        "Live-Commit": second,
        "Latest": "3",
        "Latest-Commit": third,
        "Version": "0.0.2",
        "Source-Commit": project.git("rev-parse", f"{second}:source"),
        "Paused": "false",
        "Format": "1",
    }
    given.update((key.replace("_", "-"), value) for key, value in trailers.items())
    made = commit(
        project,
        tree_ or project.git("rev-parse", f"{tip}^{{tree}}"),
        [tip] if parents is None else parents,
        "Roll back etl/prod",
        given,
    )
    move(project, "log", made)
    if given["Live-Commit"] and given["Live-Commit"] != ref(project, "live"):
        move(project, "live", given["Live-Commit"])
    return made


def staying(project: Project) -> dict[str, Any]:
    """Trailers of an event that leaves v3 live."""
    third = ref(project, "versions/3")
    return {"To": "3", "Version": "0.0.3", "Live_Commit": third, "Source_Commit": project.git("rev-parse", "HEAD")}


def snapshot_tree(project: Project, document: str | bytes) -> str:
    """The tree of v3 with another deployment.json."""
    code = project.git("rev-parse", f"{PREFIX}/versions/3:source")
    return tree(project, ("100644", SNAPSHOT, store(project, "blob", document)), ("160000", "source", code))


def loose(project: Project, revision: str) -> Path:
    """The file of a loose object, made writable."""
    oid = project.git("rev-parse", revision)
    path = project.path / ".git/objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    return path


# Healthy


def test_every_kind_of_event_is_clean(versions: Project) -> None:
    versions.git("config", "deployments.keepSource", "always")
    versions.deploy("d4", "--no-live", "-m", "quietly")
    versions.ok("promote", "prod", "-m", "tried it")
    versions.ok("rollback", "prod", "2", "--hold", "-m", "wrong totals")
    versions.ok("update", "prod", "paused=true")
    versions.run("update", "prod", "description=held", "concurrency_limit=3")
    versions.ok("promote", "prod")
    versions.git("update-ref", f"{PREFIX}/live", f"{PREFIX}/versions/1")
    versions.ok("update", "prod", "description=after a move by hand", "--version", "named")
    log = ref(versions, "log")
    versions.deploy("left over")
    move(versions, "log", log)
    versions.deploy("adopts")
    versions.ok("delete", "prod", "-y")
    versions.deploy("again")
    done = {row["action"] for row in versions.ok("log", "prod", "--json").json}
    assert done == {"deploy", "update", "promote", "rollback", "adopt", "delete"}
    assert fsck(versions) == ([], [])
    assert versions.git("fsck", "--strict", "--no-dangling") == ""
    versions.git("gc", "-q")
    assert fsck(versions) == ([], [])


def test_what_plain_git_makes_by_the_rules_is_clean(versions: Project) -> None:
    """The forgeries below differ from this one in a single thing each."""
    add_event(versions)
    assert fsck(versions) == ([], [])
    add_version(versions)
    assert_only(fsck(versions).notices, "etl/prod: v4 is not in the log; the next write adopts it")
    assert fsck(versions).errors == []


def test_findings_as_lines_and_as_json(versions: Project) -> None:
    versions.git("update-ref", f"{PREFIX}/live", f"{PREFIX}/versions/1")
    versions.git("update-ref", "refs/deployments/stray", "HEAD")
    lines = versions.run("fsck").out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "notice"]
    rows = versions.run("fsck", "--json").json
    assert [(row["name"], row["notice"]) for row in rows] == [(None, False), ("etl/prod", True)]
    assert all(set(row) == {"name", "problem", "notice"} for row in rows)


def test_names_limit_what_is_checked(versions: Project) -> None:
    versions.deploy("other", name="other")
    versions.git("update-ref", f"{PREFIX}/versions/1", "HEAD")
    assert fsck(versions, "etl/other") == ([], [])
    assert fsck(versions, "etl/prod").errors
    assert "no deployment 'nope'" in versions.fatal("fsck", "nope")


def test_a_name_that_show_finds_fsck_finds_too(versions: Project) -> None:
    for kind in ("live", "log"):
        versions.git("update-ref", "-d", f"{PREFIX}/{kind}")
    versions.ok("versions", "etl/prod")
    assert_only(fsck(versions, "etl/prod").errors, "it has versions but no log")


# Refs


@pytest.mark.parametrize(
    "stray",
    [
        "refs/deployments/stray",
        f"{PREFIX}/other",
        f"{PREFIX}/versions/x",
        f"{PREFIX}/versions/0",
        f"{PREFIX}/versions/01",
        f"{PREFIX}/versions/٣",
        f"{PREFIX}/versions/4/5",
        f"{PREFIX}/sources/-1",
        "refs/deployments/a/b/c/live",
        "refs/deployments/etl/head/live",
        "refs/deployments/etl/pr%6Fd/live",
        "refs/deployments/etl/%2e/log",
        "refs/deployments/etl/%zz/log",
        "refs/deployments/etl/e\N{COMBINING ACUTE ACCENT}/live",
        "refs/deployments/etl/a&b/live",
        f"refs/deployments/etl/{'x' * 201}/live",
        f"{PREFIX}/live\N{LINE SEPARATOR}x",
        "refs/deployments/etl/a\N{RIGHT-TO-LEFT OVERRIDE}b/live",
    ],
)
def test_a_ref_that_is_none_of_ours_is_named(versions: Project, stray: str) -> None:
    versions.git("update-ref", stray, f"{PREFIX}/versions/1")
    (problem,) = fsck(versions).errors
    shown = stray.replace("\N{LINE SEPARATOR}", r"\u2028").replace("\N{RIGHT-TO-LEFT OVERRIDE}", r"\u202e")
    assert f"{shown} is no ref of a deployment" in problem
    assert versions.ok("list", "--json").json[0]["live"] == 3


def test_a_ref_with_a_line_separator_is_not_taken_for_live(versions: Project) -> None:
    versions.git("update-ref", f"{PREFIX}/live\N{LINE SEPARATOR}x", f"{PREFIX}/versions/1")
    assert "unrecorded" not in versions.ok("status").out
    assert versions.ok("show", "etl/prod", "--key", "number").out == "3\n"


@pytest.mark.parametrize(("one", "other"), [("prod", "Prod"), ("straße", "STRASSE"), ("ﬁn", "fin")])
def test_names_that_collide_are_named(versions: Project, one: str, other: str) -> None:
    for name in {one, other} - {"prod"}:
        versions.deploy("x", name="temporary")
        # In packed-refs, since a file system without case could not hold both as files.
        versions.git("pack-refs", "--all")
        packed = versions.path / ".git/packed-refs"
        packed.write_text(packed.read_text("utf-8").replace("/temporary/", f"/{name}/"), "utf-8")
    errors = [problem for problem in fsck(versions).errors if "only by case" in problem]
    assert_only(errors, f"etl/({one}|{other}): it differs from 'etl/({one}|{other})' only by case or by Unicode form")


@pytest.mark.parametrize("kind", ["live", "log", "versions/2", "versions/3"])
def test_a_symbolic_ref_is_named_and_nothing_is_written_through_it(versions: Project, kind: str) -> None:
    elsewhere = ref(versions, kind)
    versions.git("update-ref", "refs/heads/elsewhere", elsewhere)
    versions.git("symbolic-ref", f"{PREFIX}/{kind}", "refs/heads/elsewhere")
    assert any(f"{PREFIX}/{kind} is a symbolic ref" in problem for problem in fsck(versions).errors)
    versions.run("rollback", "prod")
    assert versions.git("rev-parse", "refs/heads/elsewhere") == elsewhere


def test_a_live_that_points_to_a_version_ref_does_not_let_a_rollback_rewrite_the_version(versions: Project) -> None:
    third = ref(versions, "versions/3")
    versions.git("symbolic-ref", f"{PREFIX}/live", f"{PREFIX}/versions/3")
    versions.run("rollback", "prod")
    assert ref(versions, "versions/3") == third


@pytest.mark.parametrize(
    "target", ["refs/heads/a b", "refs/heads/..", "../../x", "HEAD", "refs/heads/\N{LINE SEPARATOR}"]
)
def test_an_odd_symbolic_ref_is_named(versions: Project, target: str) -> None:
    (versions.path / ".git" / PREFIX / "live").write_text(f"ref: {target}\n", encoding="utf-8")
    assert any(f"{PREFIX}/live" in problem for problem in fsck(versions).errors)
    versions.run("list")
    assert versions.run("rollback", "prod").code == 128


def test_a_symbolic_ref_to_nothing_is_a_breach_and_no_move(versions: Project) -> None:
    versions.git("symbolic-ref", f"{PREFIX}/live", f"{PREFIX}/versions/9")
    assert any(f"{PREFIX}/live" in problem for problem in fsck(versions).errors)


LEFT = {
    "empty": b"",
    "nul": b"\0" * 41,
    "newline": b"\n",
    "zero-id": b"0" * 40 + b"\n",
    "words": b"no id\n",
    "garbage": b"\xff" * 200,
}
"""What a file that should hold an id can hold after a power cut; the first two are the usual ones."""


def broken(*kinds: str) -> list[Any]:
    """Every kind of ref, emptied or full of NUL; the first kind with everything in it."""
    return [
        pytest.param(kind, content, id=f"{kind}-{what}")
        for kind in kinds
        for what, content in LEFT.items()
        if kind == kinds[0] or what in ("empty", "nul")
    ]


@pytest.mark.parametrize(("kind", "left"), broken("live", "log", "versions/2", "sources/3"))
def test_a_ref_as_a_power_cut_leaves_it_is_named(versions: Project, kind: str, left: bytes) -> None:
    if kind == "sources/3":
        versions.git("update-ref", f"{PREFIX}/{kind}", f"{PREFIX}/live:source")
    _break(versions, kind, left)
    problems = [problem for problem in fsck(versions).errors if "is broken" in problem]
    assert_only(problems, f"etl/prod: {PREFIX}/{kind} is broken: it names no object")


def _break(project: Project, kind: str, left: bytes = b"") -> Path:
    path = project.path / ".git" / PREFIX / kind
    path.write_bytes(left)
    return path


def test_a_broken_ref_of_no_deployment_is_named(versions: Project) -> None:
    for name in ("refs/deployments/stray", "refs/deployments/gone/live"):
        path = versions.path / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    problems = fsck(versions).errors
    assert_only(sorted(problems), ": refs/deployments/stray is broken", "gone: refs/deployments/gone/live is broken")


@pytest.mark.parametrize(
    "file",
    [
        f"{PREFIX}/log.lock",
        f"{PREFIX}/versions/9.lock",
        "packed-refs.lock",
        "packed-refs.new",
        "refs/remote-deployments/origin/a/log.lock",
    ],
)
def test_an_old_lock_is_named_and_a_fresh_one_is_left_alone(versions: Project, file: str) -> None:
    lock = versions.write(f".git/{file}", "")
    assert fsck(versions, "--repair") == ([], [])
    assert lock.exists()
    an_hour_ago = time.time() - 3600
    os.utime(lock, (an_hour_ago, an_hour_ago))
    assert_only(fsck(versions).errors, f"old lock file .*{file}; fsck --repair removes it")
    before = versions.refs()
    assert fsck(versions, "--repair") == ([], [])
    assert not lock.exists()
    assert versions.refs() == before


# The index, live and the log against each other


def test_an_unrecorded_move_is_a_notice(versions: Project) -> None:
    move(versions, "live", ref(versions, "versions/1"))
    errors, notices = fsck(versions)
    assert errors == []
    assert_only(notices, "etl/prod: unrecorded move: v1 is live, the log says otherwise")
    versions.git("update-ref", "-d", f"{PREFIX}/live")
    assert_only(fsck(versions).notices, "unrecorded move: nothing is live")


def test_a_missing_index_ref_is_a_notice(versions: Project) -> None:
    versions.git("update-ref", "-d", f"{PREFIX}/versions/2")
    errors, notices = fsck(versions)
    assert errors == []
    assert_only(notices, "no versions/<n> for 2")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_index_ref_that_is_not_the_logs_version_is_named(versions: Project, number: int) -> None:
    other = ref(versions, f"versions/{number % 3 + 1}")
    move(versions, f"versions/{number}", other)
    assert any(f"{PREFIX}/versions/{number} is {other}, but the log has" in line for line in fsck(versions).errors)


def test_an_index_ref_beyond_the_history_is_named(versions: Project) -> None:
    move(versions, "versions/7", ref(versions, "versions/2"))
    assert any("versions/7" in problem for problem in fsck(versions).errors)


@pytest.mark.parametrize("what", ["code", "blob", "tree", "tag", "event", "other"])
def test_a_live_that_is_no_version_of_the_deployment_is_named_with_its_remedy(versions: Project, what: str) -> None:
    recorded = ref(versions, "live")
    versions.git("tag", "-a", "-m", "x", "annotated", recorded)
    versions.deploy("other", name="other")
    moved = {
        "code": "HEAD",
        "blob": f"{PREFIX}/live:{SNAPSHOT}",
        "tree": f"{PREFIX}/live^{{tree}}",
        "tag": "annotated",
        "event": f"{PREFIX}/log",
        "other": "refs/deployments/etl/other/live",
    }[what]
    versions.git("update-ref", f"{PREFIX}/live", versions.git("rev-parse", moved))
    assert any(
        f"which is no version of this deployment; to put it where the log says: git update-ref {PREFIX}/live {recorded}"
        in problem
        for problem in fsck(versions).errors
    )


@pytest.mark.parametrize("kind", ["live", "log", "versions/2", "versions/3", "sources/3"])
def test_a_ref_whose_object_is_missing_is_named(versions: Project, kind: str) -> None:
    missing = "1" * WIDTH
    path = versions.path / ".git" / PREFIX / kind
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{missing}\n")
    assert any(missing in problem for problem in fsck(versions).errors)


def test_versions_without_a_log_are_named(versions: Project) -> None:
    versions.git("update-ref", "-d", f"{PREFIX}/log")
    assert_only(fsck(versions).errors, "etl/prod: it has versions but no log; get the log from a remote")


def test_a_source_ref_that_is_not_the_versions_code_is_named(versions: Project) -> None:
    code = versions.git("rev-parse", f"{PREFIX}/versions/1:source")
    move(versions, "sources/1", code)
    assert fsck(versions) == ([], [])
    move(versions, "sources/2", code)
    move(versions, "sources/9", code)
    assert_only(
        fsck(versions).errors, f"{PREFIX}/sources/2 is {code}, not the code of v2", f"{PREFIX}/sources/9 is {code}"
    )


def test_code_that_is_not_here_is_a_notice(versions: Project) -> None:
    code = "2" * WIDTH
    latest = versions.git("rev-parse", f"{PREFIX}/live:{SNAPSHOT}")
    made = tree(versions, ("100644", SNAPSHOT, latest), ("160000", "source", code))
    add_version(versions, made, Source_Commit=code)
    errors, notices = fsck(versions)
    assert errors == []
    assert_only(notices, "v4 is not in the log", f"the code of v4 \\({code}\\) is not in this repository")


def test_refs_that_a_delete_should_have_removed_are_said(versions: Project) -> None:
    refs = versions.refs()
    versions.ok("delete", "prod", "-y")
    assert fsck(versions) == ([], [])
    move(versions, "versions/3", refs[f"{PREFIX}/versions/3"])
    assert any("versions/3" in line for said in fsck(versions) for line in said)


# Versions


def without_key(text: str) -> str:
    document = json.loads(text)
    del document["tags"]
    return json.dumps(document, sort_keys=True, indent=2) + "\n"


def changed(**values: Any) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), **values}, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


NOT_CANONICAL = "deployment.json is not canonical JSON"


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (without_key, r"its keys are not those of the format \(tags\)"),
        (changed(more=1), r"its keys are not those of the format \(more\)"),
        (lambda text: f"[{text}]", r"its keys are not those of the format \(no mapping\)"),
        (changed(tags={}), "deployment.json: tags of the wrong type"),
        (changed(description=1, enforce_parameter_schema=None), "description, enforce_parameter_schema of the wrong"),
        (changed(labels=None, work_pool_name=True), "labels, work_pool_name of the wrong type"),
        (lambda text: text[:-1], NOT_CANONICAL),
        (lambda text: text + "\n", NOT_CANONICAL),
        (replaced("  ", " "), NOT_CANONICAL),
        (replaced('"d3"', r'"\u00e9"'), NOT_CANONICAL),
        (lambda text: json.dumps(dict(reversed(json.loads(text).items())), indent=2) + "\n", NOT_CANONICAL),
        (replaced('"tags": []', '"tags": [],\n  "tags": []'), "a key stands twice in one mapping"),
        (changed(parameters={"x": float("nan")}), "NaN is not allowed"),
        (changed(parameters={"x": float("inf")}), "Infinity is not allowed"),
        (replaced('"parameters": {}', '"parameters": {"x": 1e999}'), "it is no JSON document"),
        (replaced('"d3"', r'"\ud800"'), "it is no JSON document"),
        (lambda _: "", "it is no JSON document"),
        (lambda _: "{", "it is no JSON document"),
        (lambda _: "[" * 100_000, "it is no JSON document"),
        (lambda _: "9" * 10_000, "it is no JSON document"),
    ],
)
def test_a_snapshot_that_breaks_the_format_is_named(
    versions: Project, edit: Callable[[str], str], problem: str
) -> None:
    made = snapshot_tree(versions, edit(content(versions, f"{PREFIX}/live:{SNAPSHOT}")))
    add_version(versions, made)
    assert_only(fsck(versions).errors, f"^etl/prod: v4: .*{problem}")


def test_a_snapshot_that_is_no_text_is_named(versions: Project) -> None:
    add_version(versions, snapshot_tree(versions, b'{"description": "\xff"}\n'))
    assert_only(fsck(versions).errors, "v4: .*it is no JSON document")


@pytest.mark.parametrize("depth", [400, 900])
def test_a_snapshot_that_is_very_deep_is_read_or_refused_in_one_line(versions: Project, depth: int) -> None:
    """No manifest could have made it, but plain git can."""
    deep: Any = 1
    for _ in range(depth):
        deep = {"a": deep}
    add_version(
        versions, snapshot_tree(versions, changed(parameters=deep)(content(versions, f"{PREFIX}/live:{SNAPSHOT}")))
    )
    versions.ok("promote", "prod", "4")
    for command in ("fsck", "show prod", "show prod --json", "diff prod 3", "export", "deploy --if-changed"):
        result = versions.run(*command.split())
        assert result.code in (0, 1, 128), command


def test_the_tree_of_a_version_holds_the_snapshot_and_the_gitlink_alone(versions: Project) -> None:
    blob = versions.git("rev-parse", f"{PREFIX}/live:{SNAPSHOT}")
    code = versions.git("rev-parse", f"{PREFIX}/live:source")
    good, link = ("100644", SNAPSHOT, blob), ("160000", "source", code)
    other = "its tree holds something else than deployment.json and the gitlink source"
    for entries, problems in (
        ([good, link, ("100644", "README", blob)], [other]),
        ([("100755", SNAPSHOT, blob), link], [other]),
        ([("120000", SNAPSHOT, blob), link], [other]),
        ([good, ("100644", "source", blob)], [other, "its gitlink is missing, but Source-Commit says"]),
        ([good, ("160000", "Source", code)], [other, "its gitlink is missing, but Source-Commit says"]),
        ([link], [other, r"its deployment.json \(no entry of its tree\) is missing"]),
        ([good], ["its gitlink is missing, but Source-Commit says"]),
        ([good, ("160000", "source", "3" * WIDTH)], [f"its gitlink is {'3' * WIDTH}, but Source-Commit says {code}"]),
    ):
        add_version(versions, tree(versions, *entries))
        assert_only(fsck(versions).errors, *(f"v4: {problem}" for problem in problems))


def test_a_gitlink_without_source_commit_is_named(versions: Project) -> None:
    add_version(versions, Source_Commit=None)
    assert_only(fsck(versions).errors, "v4: it has a gitlink but no Source-Commit")


@pytest.mark.parametrize("value", ["not a commit", "--output=pwned", "HEAD", "abcdef", "\x1b[31m" + "1" * 35, "g" * 40])
def test_a_source_commit_that_is_no_id_is_named_and_never_reaches_git(versions: Project, value: str) -> None:
    blob = versions.git("rev-parse", f"{PREFIX}/live:{SNAPSHOT}")
    add_version(versions, tree(versions, ("100644", SNAPSHOT, blob)), Source_Commit=value)
    assert any("Source-Commit" in problem for problem in fsck(versions).errors)
    for command in (["diff", "prod", "3", "4", "--code"], ["show", "prod", "4"], ["versions", "prod"]):
        result = versions.run(*command)
        assert "\x1b" not in result.out + result.err
    assert not (versions.path / "pwned").exists()


def test_a_source_of_another_hash_is_no_breach(versions: Project) -> None:
    blob = versions.git("rev-parse", f"{PREFIX}/live:{SNAPSHOT}")
    add_version(versions, tree(versions, ("100644", SNAPSHOT, blob)), Source_Commit="a" * (104 - WIDTH))
    assert fsck(versions).errors == []


def test_the_parents_of_a_version_are_the_version_before(versions: Project) -> None:
    second, third = ref(versions, "versions/2"), ref(versions, "versions/3")
    add_version(versions, parents=[third, second])
    assert_only(fsck(versions).errors, "v4: it has more than one parent")
    add_version(versions, parents=[second])
    assert any("does not continue the log" in problem for problem in fsck(versions).errors)
    add_version(versions, parents=[])
    assert any("does not continue the log" in problem for problem in fsck(versions).errors)


def test_a_later_version_without_a_parent_is_named(versions: Project) -> None:
    add_version(versions, parents=[], Number="6")
    versions.git("update-ref", "-d", f"{PREFIX}/versions/4")
    move(versions, "versions/6", add_version(versions, parents=[], Number="6"))
    versions.git("update-ref", "-d", f"{PREFIX}/versions/4")
    problems = fsck(versions).errors
    assert any("v6" in problem for problem in problems)
    assert not any("object  " in problem for problem in problems)


def test_a_chain_that_does_not_begin_at_1_is_named(project: Project) -> None:
    """As a graft or a hand-made import would leave it; there is no log that tells more."""
    document = store(project, "blob", content_of_defaults())
    for number, problems in (
        (1, []),
        (2, ["v2: it has no parent; v1 belongs there", "the history of versions ends at v2; v1 is not there"]),
    ):
        made = commit(
            project,
            tree(project, ("100644", SNAPSHOT, document)),
            [],
            f"etl/prod v{number}",
            {"Deployment": "etl/prod", "Number": str(number), "Format": "1"},
        )
        move(project, "live", made)
        assert_only(fsck(project).errors, "it has versions but no log", *problems)
    with_parent = commit(
        project,
        tree(project, ("100644", SNAPSHOT, document)),
        [made],
        "etl/prod v1",
        {"Deployment": "etl/prod", "Number": "1", "Format": "1"},
    )
    move(project, "live", with_parent)
    assert_only(fsck(project).errors, "it has versions but no log", r"v1 \(\w+\) has a parent")


def content_of_defaults() -> str:
    from git_deployments.document import snapshot

    return snapshot({}).decode()


@pytest.mark.parametrize("number", ["0", "04", "x", "-1", "4 5", "9" * 12])
def test_a_number_that_is_none_is_named(versions: Project, number: str) -> None:
    add_version(versions, Number=number)
    assert any("the trailer Number is" in problem for problem in fsck(versions).errors)


@pytest.mark.parametrize("trailer", ["Number", "Format", "Deployment"])
def test_a_version_without_a_trailer_that_it_needs_is_named(versions: Project, trailer: str) -> None:
    made = add_version(versions, **{trailer: None})
    assert any(made in problem and "malformed" in problem for problem in fsck(versions).errors)


def test_a_version_of_a_newer_format_is_refused_by_number(versions: Project) -> None:
    add_version(versions, Format="2")
    assert any("is of format 2" in problem and "upgrade" in problem for problem in fsck(versions).errors)


def test_trailers_that_are_not_the_last_paragraph_do_not_count(versions: Project) -> None:
    raw = versions.git("cat-file", "commit", f"{PREFIX}/versions/3").replace("Number: 3", "Number: 4")
    raw = raw.replace(f"parent {ref(versions, 'versions/2')}", f"parent {ref(versions, 'versions/3')}")
    made = store(versions, "commit", raw + "\n\nand more text\n")
    move(versions, "versions/4", made)
    assert any(f"{made} is malformed" in problem for problem in fsck(versions).errors)


def test_an_inner_version_that_is_wrong_is_named_with_its_number(versions: Project) -> None:
    """The whole chain is checked, not its newest end alone."""
    bad = add_version(versions, snapshot_tree(versions, "{}\n"))
    good = versions.git("rev-parse", f"{ref(versions, 'versions/3')}^{{tree}}")
    code = versions.git("rev-parse", "HEAD")
    fifth = commit(
        versions,
        good,
        [bad],
        "etl/prod v5",
        {"Deployment": "etl/prod", "Number": "5", "Source-Commit": code, "Format": "1"},
    )
    move(versions, "versions/5", fifth)
    assert_only(fsck(versions).errors, "v4: .*its keys are not those of the format")


# Events


def test_an_event_that_says_what_was_not_so_is_named(versions: Project) -> None:
    first, second, third = (ref(versions, f"versions/{number}") for number in (1, 2, 3))
    tip, live = ref(versions, "log"), ref(versions, "live")
    stays = staying(versions)
    forged: list[tuple[dict[str, Any], list[str]]] = [
        ({"From": "9"}, ["From is 9, but 3 was live before it"]),
        ({"To": "1"}, ["Live-Commit is not v1"]),
        ({"Live_Commit": first}, ["Live-Commit is not v2"]),
        ({"Live_Commit": None}, ["To and Live-Commit do not agree"]),
        ({"To": None}, ["To and Live-Commit do not agree", "rollback cannot move live from 3 to nothing"]),
        ({"Version": "9.9"}, ["Version or Source-Commit is not that of v2"]),
        ({"Version": None}, ["Version or Source-Commit is not that of v2"]),
        ({"Source_Commit": "4" * 40}, ["Version or Source-Commit is not that of v2"]),
        ({"Paused": "true"}, ["Paused is not what its settings say"]),
        ({"Action": "promote"}, ["promote cannot move live from 3 to 2"]),
        ({"Action": "adopt", **stays}, ["adopt cannot move live from 3 to 3"]),
        ({"Action": "update"}, ["update cannot move live from 3 to 2"]),
        ({"Action": "deploy", **stays}, ["deploy cannot move live from 3 to 3"]),
        ({"Action": "delete"}, ["delete cannot move live from 3 to 2"]),
        ({"Action": "rollback", **stays}, ["rollback cannot move live from 3 to 3"]),
        ({"Action": "update", "Hold": "true", **stays}, ["Hold changes without a rollback or promote"]),
        ({"Action": "adopt", "Hold": "true"}, ["Hold changes without a rollback or promote"]),
        ({"Action": "promote", "Hold": "true", **stays}, ["Hold is set after it"]),
        ({"Action": "promote", "To": "9", "Live_Commit": third}, ["v9 is live before it was made"]),
    ]
    for trailers, problems in forged:
        made = add_event(versions, **trailers)
        problems = [f"event {made}( \\(\\w+\\))?: {problem}" for problem in problems]
        assert_only(sorted(fsck(versions).errors), *sorted(problems))
        move(versions, "log", tip)
        move(versions, "live", live)
    assert second


def test_a_latest_that_changes_without_a_new_version_is_named(versions: Project) -> None:
    add_event(versions, Latest="2", Latest_Commit=ref(versions, "versions/2"))
    assert any("Latest changes without a new version" in problem for problem in fsck(versions).errors)


@pytest.mark.parametrize("trailer", ["Live_Commit", "Latest_Commit"])
@pytest.mark.parametrize("value", ["--output=pwned", "HEAD", "\x1b[31mred", "1234567", ""])
def test_an_event_that_names_no_id_is_named_and_its_words_reach_neither_git_nor_the_terminal(
    versions: Project, trailer: str, value: str
) -> None:
    versions.git("update-ref", "-d", f"{PREFIX}/versions/3")
    tip = ref(versions, "log")
    latest = versions.trailer(tip, "Latest-Commit")
    raw = versions.git("cat-file", "commit", tip)
    key = trailer.replace("_", "-")
    raw = re.sub(f"^{key}: .*", lambda _: f"{key}: {value}", raw, flags=re.MULTILINE)
    move(versions, "log", store(versions, "commit", f"{raw}\n"))
    assert fsck(versions).errors
    for command in (["versions", "prod", "--json"], ["show", "prod", "--json"], ["show", "prod", "0.0.2"], ["list"]):
        result = versions.run(*command)
        assert "Traceback" not in result.err
        assert "\x1b" not in result.out + result.err
        assert "usage: git" not in result.err
    assert latest
    assert not (versions.path / "pwned").exists()


def test_a_rollback_does_not_change_the_settings(versions: Project) -> None:
    settings = content(versions, f"{PREFIX}/log:{SETTINGS}").replace('"disabled": false', '"disabled": true')
    made = add_event(versions, tree(versions, ("100644", SETTINGS, store(versions, "blob", settings))))
    assert_only(fsck(versions).errors, f"event {made} \\(rollback\\): it changes the settings")


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (replaced('"paused": false,\n', ""), "its keys are not those of the format"),
        (replaced('"disabled": false', '"disabled": 0'), "settings.json: disabled of the wrong type"),
        (replaced('"concurrency_limit": null', '"concurrency_limit": true'), "concurrency_limit of the wrong type"),
        (replaced('"concurrency_limit": null', '"concurrency_limit": 1.5'), "concurrency_limit of the wrong type"),
        (replaced('"schedules": []', '"schedules": null'), "schedules of the wrong type"),
        (replaced("  ", "    "), "settings.json is not canonical JSON"),
        (lambda _: "null\n", "its keys are not those of the format"),
    ],
)
def test_settings_that_break_the_format_are_named(versions: Project, edit: Callable[[str], str], problem: str) -> None:
    broken = edit(content(versions, f"{PREFIX}/log:{SETTINGS}"))
    made = tree(versions, ("100644", SETTINGS, store(versions, "blob", broken)))
    event = add_event(versions, made, Action="update", **staying(versions))
    assert_only(fsck(versions).errors, f"event {event}: .*{problem}")


def test_the_tree_of_an_event_holds_the_settings_alone(versions: Project) -> None:
    blob = versions.git("rev-parse", f"{PREFIX}/log:{SETTINGS}")
    tip = ref(versions, "log")
    other = "its tree holds something else than settings.json"
    for entries, problems in (
        ([("100644", SETTINGS, blob), ("100644", "README", blob)], [other]),
        ([("100755", SETTINGS, blob)], [other]),
        ([("100644", "other.json", blob)], [other, r"its settings.json \(no entry of its tree\) is missing"]),
        ([], [other, r"its settings.json \(no entry of its tree\) is missing"]),
    ):
        event = add_event(versions, tree(versions, *entries), Action="update", **staying(versions))
        assert_only(fsck(versions).errors, *(f"event {event}: {problem}" for problem in problems))
        move(versions, "log", tip)


def add_deploy(versions: Project, made: str, **trailers: Any) -> str:
    """The event of a version made by `add_version`, which goes live."""
    given = {
        "Action": "deploy",
        "Number": "4",
        "To": "4",
        "Live_Commit": made,
        "Latest": "4",
        "Latest_Commit": made,
        "Version": None,
        "Source_Commit": versions.git("rev-parse", "HEAD"),
        **trailers,
    }
    return add_event(versions, parents=[ref(versions, "log"), made], **given)


def test_a_version_is_made_once_and_in_order(versions: Project) -> None:
    made = add_version(versions)
    tip, live = ref(versions, "log"), ref(versions, "live")
    add_deploy(versions, made)
    assert fsck(versions) == ([], [])
    for trailers, problem in (
        ({"Number": "3"}, "it makes v3 after v3"),
        ({"Number": "5"}, "it makes v5 after v3"),
        ({"Latest": "3"}, "Latest is not the version that it made"),
        ({"Latest_Commit": ref(versions, "versions/3")}, "Latest is not the version that it made"),
    ):
        move(versions, "log", tip)
        move(versions, "live", live)
        add_deploy(versions, made, **trailers)
        assert any(problem in line for line in fsck(versions).errors), trailers


def test_a_held_deployment_is_not_taken_live_by_a_deploy(versions: Project) -> None:
    versions.ok("rollback", "prod", "--hold")
    made = add_version(versions)
    event = add_deploy(versions, made, From="2", Hold="true")
    assert_only(fsck(versions).errors, f"event {event} \\(deploy\\): it moves live although the deployment is held")


def test_a_hold_ends_with_a_promote_and_not_with_a_rollback(versions: Project) -> None:
    versions.ok("rollback", "prod", "--hold")
    first = ref(versions, "versions/1")
    code = versions.git("rev-parse", f"{first}:source")
    event = add_event(versions, From="2", To="1", Live_Commit=first, Version="0.0.1", Source_Commit=code)
    assert_only(fsck(versions).errors, f"event {event} \\(rollback\\): .*Hold")


def test_a_first_event_follows_from_nothing(versions: Project) -> None:
    third = ref(versions, "versions/3")
    event = add_event(versions, parents=[third], Number="3", Action="deploy", **staying(versions))
    assert_only(
        fsck(versions).errors,
        f"event {event} \\(deploy\\): From is 3, but nothing was live before it",
        f"event {event} \\(deploy\\): it makes v3 after v0",
    )


def test_an_event_that_made_a_version_has_it_as_a_parent(versions: Project) -> None:
    event = add_event(versions, parents=[], Number="3", Action="deploy", **staying(versions))
    assert any(event in problem for problem in fsck(versions).errors)


def test_an_event_has_no_more_parents_than_it_should(versions: Project) -> None:
    event = add_event(versions, parents=[ref(versions, "log"), ref(versions, "versions/3")])
    assert_only(fsck(versions).errors, f"object {event} is malformed: it has more parents than an event has")


def test_a_log_that_goes_on_in_something_else_is_named(versions: Project) -> None:
    head = versions.git("rev-parse", "HEAD")
    event = add_event(versions, parents=[head])
    assert any(f"object {head} is malformed" in problem for problem in fsck(versions).errors)
    assert event


@pytest.mark.parametrize(
    ("trailers", "problem"),
    [
        ({"Action": "undo"}, "the trailer Action is 'undo'"),
        ({"Action": None}, "it is no event of a log"),
        ({"Format": None}, "its message ends in no trailers of ours"),
        ({"Format": "x"}, "is of format x"),
        ({"Deployment": None}, "the trailer Deployment names no deployment"),
        ({"Deployment": "etl/pr%6Fd"}, "the trailer Deployment names no deployment"),
        ({"Deployment": "etl/other"}, "is of 'etl/other'"),
        ({"To": "two"}, "the trailer To is 'two' and no version number"),
        ({"From": "0"}, "the trailer From is '0' and no version number"),
        ({"Latest": ""}, "the trailer Latest is '' and no version number"),
        ({"Latest": None}, "Latest"),
    ],
)
def test_an_event_whose_trailers_cannot_be_read_is_named(
    versions: Project, trailers: dict[str, Any], problem: str
) -> None:
    add_event(versions, **trailers)
    assert any(problem in line for line in fsck(versions).errors)


def test_an_inner_event_that_is_wrong_is_named(versions: Project) -> None:
    bad = add_event(versions, From="9")
    add_event(versions, Action="promote", From="2", **staying(versions))
    assert_only(fsck(versions).errors, f"event {bad} \\(rollback\\): From is 9, but 3 was live before it")


# Damaged objects

PLACES = ("versions/2", "versions/2^{tree}", f"versions/2:{SNAPSHOT}", "log~1", "log~1^{tree}", f"log:{SETTINGS}")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("damage", ["deleted", "changed"])
def test_an_object_that_is_missing_or_changed_is_named(versions: Project, place: str, damage: str) -> None:
    path = loose(versions, f"{PREFIX}/{place}")
    oid = path.parent.name + path.name
    if damage == "deleted":
        path.unlink()
    else:  # still an object that git reads, with one letter in another case: git looks at no checksum here
        whole = zlib.decompress(path.read_bytes())
        letter = max(whole.rfind(b"d"), whole.rfind(b"D"), 40)
        path.write_bytes(zlib.compress(whole[:letter] + bytes([whole[letter] ^ 0x20]) + whole[letter + 1 :]))
    assert any(oid in problem for problem in fsck(versions).errors)


def test_one_damaged_object_hides_nothing_else(versions: Project) -> None:
    bad = add_event(versions, From="9")
    loose(versions, f"{PREFIX}/versions/1").unlink()
    problems = fsck(versions).errors
    assert any("is missing from the repository" in problem for problem in problems)
    assert any(bad in problem for problem in problems)


# Repair


def all_refs(project: Project) -> dict[str, str]:
    """Every ref of the repository, whosever."""
    lines = project.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return dict(line.split(" ") for line in lines)


@pytest.fixture
def kept(versions: Project) -> Project:
    """v3 rolled back from, the code of each version from 4 on kept by a ref of its own; v2 is live."""
    versions.git("config", "deployments.keepSource", "always")
    versions.deploy("d4")
    versions.ok("rollback", "prod", "2", "-m", "wrong totals")
    versions.git("branch", "topic", f"{PREFIX}/versions/1")
    versions.git("tag", "v1")
    return versions


def test_repair_of_a_healthy_repository_does_nothing(kept: Project) -> None:
    before, objects = all_refs(kept), kept.git("count-objects")
    assert kept.run("fsck", "--repair") == (0, "", "")
    assert (all_refs(kept), kept.git("count-objects")) == (before, objects)


@pytest.mark.parametrize(("kind", "left"), broken("live", "versions/1", "versions/4", "sources/4"))
def test_repair_restores_a_broken_ref_that_can_be_derived(kept: Project, kind: str, left: bytes) -> None:
    before = all_refs(kept)
    _break(kept, kind, left)
    result = kept.run("fsck", "--repair")
    assert (result.code, result.out) == (0, ""), result
    assert f"{PREFIX}/{kind}" in result.err
    assert all_refs(kept) == before


@pytest.mark.parametrize("kind", ["live", "versions/1", "sources/4"])
def test_repair_restores_what_the_log_says_and_not_an_older_packed_value(kept: Project, kind: str) -> None:
    """Under a loose file that a power cut has emptied lies what the ref was when refs were packed."""
    wanted = all_refs(kept)
    move(kept, kind, ref(kept, "versions/3"))
    kept.git("pack-refs", "--all")
    move(kept, kind, wanted[f"{PREFIX}/{kind}"])
    _break(kept, kind)
    kept.run("fsck", "--repair")
    assert all_refs(kept) == wanted
    assert fsck(kept) == ([], [])


def test_repair_does_not_quietly_take_an_older_log_for_the_log(kept: Project) -> None:
    newest = ref(kept, "log")
    move(kept, "log", f"{newest}~2")
    kept.git("pack-refs", "--all")
    move(kept, "log", newest)
    _break(kept, "log")
    kept.run("fsck", "--repair")
    assert "wrong totals" in kept.run("log", "prod").out or fsck(kept).errors


def test_a_broken_log_is_not_forgotten(kept: Project) -> None:
    """It cannot be derived; what still hangs on it stays, and nothing starts again at 1."""
    before = all_refs(kept)
    _break(kept, "log")
    assert kept.run("fsck", "--repair").code == 1
    del before[f"{PREFIX}/log"]
    assert all_refs(kept) == before
    kept.manifest("d5")
    assert "pull first" in kept.fatal("deploy")


def test_a_broken_log_of_a_deleted_deployment_is_not_forgotten(versions: Project) -> None:
    versions.ok("delete", "prod", "-y")
    _break(versions, "log")
    versions.run("fsck", "--repair")
    versions.manifest("again")
    versions.run("deploy")
    assert versions.live() != 1, "its numbers have started again"


def test_repair_makes_a_missing_index_ref_again_and_nothing_else(kept: Project) -> None:
    before = all_refs(kept)
    for number in (1, 3):
        kept.git("update-ref", "-d", f"{PREFIX}/versions/{number}")
    assert kept.run("fsck", "--repair").code == 0
    assert all_refs(kept) == before


@pytest.mark.parametrize("kind", ["live", "versions/4", "sources/4"])
def test_repair_restores_a_symbolic_ref_to_nothing_and_records_no_move(kept: Project, kind: str) -> None:
    before = all_refs(kept)
    _break(kept, kind, b"ref: refs/heads/nowhere\n")
    assert kept.run("fsck", "--repair").code == 0
    assert all_refs(kept) == before


@pytest.mark.parametrize("content", LEFT.values(), ids=LEFT)
@pytest.mark.parametrize("kind", ["live", "versions/5", "sources/5"])
def test_repair_removes_what_a_write_left_that_died_before_its_event(kept: Project, kind: str, content: bytes) -> None:
    """git neither lists such a ref nor writes over it, so every later write of it would fail."""
    if kind == "live":
        kept.ok("delete", "prod", "-y")
        kept.manifest("again")
        kept.ok("deploy", "--no-live")
    before = all_refs(kept)
    path = kept.path / ".git" / PREFIX / kind
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert fsck(kept).errors
    result = kept.run("fsck", "--repair")
    assert (result.code, result.out) == (0, "")
    assert f"removed {PREFIX}/{kind}, which named no object" in result.err
    assert all_refs(kept) == before
    kept.git("config", "deployments.keepSource", "always")
    kept.deploy("d5")
    assert kept.live() == 5 + (kind == "live")


def test_repair_records_an_unrecorded_move_and_moves_nothing_back(kept: Project) -> None:
    before = all_refs(kept)
    move(kept, "live", ref(kept, "versions/1"))
    result = kept.run("fsck", "--repair")
    assert (result.code, result.out) == (0, "")
    assert "recorded: etl/prod: adopt of v1" in result.err
    after = all_refs(kept)
    assert {name for name in before if before[name] != after[name]} == {f"{PREFIX}/live", f"{PREFIX}/log"}
    assert kept.live() == 1
    assert kept.git("rev-parse", f"{PREFIX}/log~1") == before[f"{PREFIX}/log"]


def test_repair_adopts_what_a_killed_write_left(versions: Project) -> None:
    made = add_version(versions)
    assert versions.run("fsck", "--repair").code == 0
    assert versions.live() == 3
    assert ref(versions, "versions/4") == made
    assert versions.trailer(f"{PREFIX}/log", "Latest-Commit") == made


def test_repair_finishes_a_delete(versions: Project) -> None:
    refs = versions.refs()
    versions.ok("delete", "prod", "-y")
    for number in (2, 3):
        move(versions, f"versions/{number}", refs[f"{PREFIX}/versions/{number}"])
    move(versions, "sources/3", "HEAD")
    assert versions.run("fsck", "--repair").code == 0
    assert set(versions.refs()) == {f"{PREFIX}/log"}


def test_repair_leaves_alone_what_it_cannot_derive(kept: Project) -> None:
    kept.git("update-ref", "refs/deployments/stray", "HEAD")
    move(kept, "live", kept.git("rev-parse", "HEAD"))
    move(kept, "versions/1", ref(kept, "versions/3"))
    before = all_refs(kept)
    assert kept.run("fsck", "--repair").code == 1
    assert all_refs(kept) == before


def test_repair_of_one_deployment_leaves_the_others(kept: Project) -> None:
    kept.deploy("other", name="other")
    _break(kept, "live")
    other = kept.path / ".git/refs/deployments/etl/other/live"
    other.write_bytes(b"")
    kept.run("fsck", "--repair", "etl/prod")
    assert kept.live() == 2
    assert other.read_bytes() == b""


def test_repair_in_a_linked_worktree(kept: Project, tmp_path: Path) -> None:
    before = kept.refs()
    kept.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    _break(kept, "live")
    Project(tmp_path / "linked").ok("fsck", "--repair")
    assert kept.refs() == before


def test_packed_refs_that_are_out_of_order_are_named(versions: Project) -> None:
    """git believes the word `sorted` in the first line, and then misses refs without a word."""
    versions.git("pack-refs", "--all")
    assert versions.ok("fsck").out == ""
    packed = versions.path / ".git/packed-refs"
    text = packed.read_text()
    packed.write_text(text.replace("refs/deployments/etl/prod/live", "refs/heploymentz/etl/prod/live"))
    assert "packed-refs is damaged: refs/deployments/etl/prod/log is out of its order" in versions.run("fsck").out
    packed.write_text(text.replace(" sorted", ""))
    assert versions.ok("fsck").out == ""
