"""One pull brings back what is damaged in a clone, whatever it is, as long as the remote is well."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from git_deployments import mend

from .conftest import Project, prepared, three_versions
from .test_damage import damage, loose

PREFIX = "refs/deployments/etl/prod"
SEEN = "refs/remote-deployments/origin/etl/prod"


def publish(path: Path) -> None:
    path.mkdir()
    hub, made = path / "hub.git", three_versions(path / "repository")
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(hub)], check=True)
    made.git("remote", "add", "origin", f"file://{hub}")
    made.ok("update", "etl/prod", "paused=true")
    made.ok("rollback", "etl/prod", "v1")
    made.ok("push")
    made.git("push", "-q", "origin", "main")
    subprocess.run(["git", "clone", "-q", f"file://{hub}", str(path / "clone")], check=True)
    Project(path / "clone").ok("pull")


@pytest.fixture
def clone(tmp_path: Path) -> Project:
    """A clone of a hub that has three versions, a changed setting and a rollback; everything is published."""
    prepared(tmp_path, publish)
    return Project(tmp_path / "clone")


def mended(project: Project, before: dict[str, str], *words: str) -> None:
    """After a pull everything is as it was, and git finds nothing damaged either."""
    assert re.search("was broken|damaged|restored", project.ok("pull", *words).err), "what was mended is said"
    assert project.refs() == before
    assert project.ok("fsck").out == ""
    assert "damaged" not in project.ok("pull").err
    project.git("fsck", "--strict", "--no-dangling")


COMMITS = ("live", "log~1", "versions/3")
OTHERS = ("log~4^{tree}", "versions/2^{tree}", "versions/1:deployment.json", "log:settings.json")
DAMAGES = {
    "deleted": (*COMMITS, *OTHERS),
    "emptied": ("log", "log:settings.json"),
    "halved": ("versions/1", "live:deployment.json"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_any_object(clone: Project, how: str) -> None:
    before = clone.refs()
    for place in DAMAGES[how]:
        oid = clone.git("rev-parse", f"{PREFIX}/{place}")
        unpack(clone)
        damage(loose(clone, oid), how)
        mended(clone, before)


def unpack(project: Project) -> None:
    """Let all objects be loose."""
    pack_dir = project.path / ".git/objects/pack"
    for pack in pack_dir.glob("*.pack"):
        aside = pack.rename(project.path / pack.name)
        pack.with_suffix(".idx").unlink()
        with aside.open("rb") as stream:
            subprocess.run(["git", "unpack-objects", "-q"], cwd=project.path, stdin=stream, check=True)
        aside.unlink()


def every_object(project: Project) -> None:
    for oid in project.git("rev-list", "--objects", "--no-object-names", f"{PREFIX}/log").splitlines():
        damage(loose(project, oid), "emptied")


def every_ref(project: Project) -> None:
    for ref in project.refs():
        (project.path / ".git" / ref).write_bytes(b"")


def every_ref_gone(project: Project) -> None:
    for ref in project.refs():
        project.git("update-ref", "-d", ref)


def what_was_seen(project: Project) -> None:
    for kind in ("live", "log"):
        (project.path / ".git" / SEEN / kind).write_bytes(b"")


def everything(project: Project) -> None:
    every_object(project)
    every_ref(project)
    what_was_seen(project)


@pytest.mark.parametrize("harm", [every_object, every_ref, what_was_seen, everything])
def test_all_at_once(clone: Project, harm: Callable[[Project], None]) -> None:
    before = clone.refs()
    unpack(clone)
    harm(clone)
    clone.ok("pull")
    assert clone.refs() == before
    assert clone.ok("fsck").out == ""
    clone.git("fsck", "--strict", "--no-dangling")


@pytest.mark.parametrize(
    ("kind", "left"), [("live", b""), ("log", b"\0" * 41), ("versions/1", b""), ("versions/3", b"0123456789abcdef")]
)
def test_any_ref(clone: Project, kind: str, left: bytes) -> None:
    before = clone.refs()
    (clone.path / ".git" / PREFIX / kind).write_bytes(left)
    mended(clone, before)


@pytest.mark.parametrize("kind", ["log", "versions/1"])
def test_a_ref_that_is_gone(clone: Project, kind: str) -> None:
    before = clone.refs()
    clone.git("update-ref", "-d", f"{PREFIX}/{kind}")
    clone.ok("pull")
    if kind != "log":
        clone.ok("fsck", "--repair")
    assert clone.refs() == before
    assert clone.ok("fsck").out == ""


@pytest.mark.parametrize("position", [0.4, 0.9])
def test_a_damaged_pack(clone: Project, position: float) -> None:
    unpack(clone)
    before = clone.refs()
    ours = clone.git("rev-list", "--objects", "--no-object-names", f"{PREFIX}/log")
    name = clone.git("pack-objects", "-q", ".git/objects/pack/pack", stdin=f"{ours}\n")
    clone.git("prune-packed")
    file = clone.path / f".git/objects/pack/pack-{name}.pack"
    data = file.read_bytes()
    place = int(len(data) * position)
    file.unlink()
    file.write_bytes(data[:place] + bytes(64) + data[place + 64 :])
    clone.ok("pull")
    assert clone.refs() == before
    assert clone.ok("fsck").out == ""


def test_a_log_that_no_remote_has_is_not_let_go_of(clone: Project) -> None:
    clone.deploy("other", flow="other")
    file = clone.path / ".git/refs/deployments/other/prod/log"
    file.write_bytes(b"")
    assert "refs/deployments/other/prod/log is broken" in clone.fatal("pull")
    assert file.exists()


def test_only_of_a_deployment_that_was_named(clone: Project) -> None:
    before = clone.refs()
    unpack(clone)
    damage(loose(clone, clone.git("rev-parse", f"{PREFIX}/versions/1")), "deleted")
    mended(clone, before, "origin", "prod")


def test_what_is_unpublished_stays_and_is_named_where_the_remote_does_not_have_it(clone: Project) -> None:
    clone.deploy("unpublished")
    unpublished = clone.git("rev-parse", f"{PREFIX}/live:deployment.json")
    published = clone.git("rev-parse", f"{PREFIX}/versions/3:deployment.json")
    before = clone.refs()
    unpack(clone)
    for oid in (unpublished, published):
        damage(loose(clone, oid), "emptied")
    pulled = clone.ok("pull")
    assert unpublished in pulled.err
    assert "origin does not have it either" in pulled.err
    assert clone.refs() == before
    checked = clone.run("fsck")
    assert unpublished in checked.out
    assert published not in checked.out


def test_unpublished_versions_are_kept_where_the_log_is_broken(clone: Project) -> None:
    clone.deploy("unpublished")
    version = clone.refs()[f"{PREFIX}/versions/4"]
    (clone.path / ".git" / PREFIX / "log").write_bytes(b"")
    clone.ok("pull")
    assert clone.refs()[f"{PREFIX}/versions/4"] == version
    assert clone.run("fsck").code == 0


def test_a_remote_that_cannot_be_asked_is_one_line(clone: Project, tmp_path: Path) -> None:
    unpack(clone)
    damage(loose(clone, clone.git("rev-parse", f"{PREFIX}/versions/1")), "deleted")
    (tmp_path / "hub.git").rename(tmp_path / "away.git")
    assert "hub.git" in clone.fatal("pull")
    assert not list((clone.path / ".git/objects").glob("tmp_*"))


def test_in_a_partial_clone_what_was_left_at_the_remote_is_well(clone: Project, tmp_path: Path) -> None:
    hub = Project(tmp_path / "hub.git")
    hub.git("config", "uploadpack.allowFilter", "true")
    subprocess.run(
        ["git", "clone", "-q", "--filter=blob:none", f"file://{hub.path}", str(tmp_path / "part")], check=True
    )
    part = Project(tmp_path / "part")
    part.ok("pull")
    before = part.refs()
    assert before == clone.refs()
    assert "nothing new" in part.ok("pull").out
    assert "damaged" not in part.ok("pull").err


def test_from_below_in_a_linked_worktree_and_a_remote_of_a_relative_path(clone: Project, tmp_path: Path) -> None:
    before = clone.refs()
    clone.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    unpack(clone)
    damage(loose(clone, clone.git("rev-parse", f"{PREFIX}/versions/1")), "deleted")
    clone.git("remote", "set-url", "origin", "../hub.git")
    (tmp_path / "linked/below").mkdir()
    mended(Project(tmp_path / "linked/below"), before)


def test_a_pull_looks_at_the_newest_and_with_repair_at_all(clone: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mend, "NEWEST", 2)
    before = clone.refs()
    unpack(clone)
    old = clone.git("rev-parse", f"{PREFIX}/log~4^{{tree}}")
    damage(loose(clone, old), "deleted")
    assert "damaged" not in clone.ok("pull").err
    said = clone.run("log", "prod").err + clone.run("fsck").out
    assert old in said
    mended(clone, before, "--repair")
