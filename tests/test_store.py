"""What is live, how it came so, and what a write does: asserted through plain git."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from git_deployments.names import encode

from .conftest import WIDTH, Project


def actions(project: Project, name: str = "etl/prod") -> list[tuple[str, int | None, int | None, int | None]]:
    """(action, number, from, to) of every event, oldest first."""
    rows = project.ok("log", name, "--json").json
    return [(row["action"], row["number"], row["from"], row["to"]) for row in reversed(rows)]


def test_a_first_deploy_makes_version_1_live(project: Project) -> None:
    head = project.git("rev-parse", "HEAD")
    result = project.deploy("hello")
    assert result.out.splitlines()[0] == "etl/prod: v1 is live"
    assert set(project.refs()) == {f"refs/deployments/etl/prod/{ref}" for ref in ("live", "log", "versions/1")}
    assert project.git("rev-parse", "refs/deployments/etl/prod/live:source") == head
    stored = json.loads(project.git("show", "refs/deployments/etl/prod/live:deployment.json"))
    assert stored["description"] == "hello"
    assert project.git("fsck", "--strict", "--no-dangling") == ""
    assert project.ok("fsck").out == ""


def test_each_deploy_continues_the_chain(versions: Project) -> None:
    refs = versions.refs()
    chain = versions.git("rev-list", "refs/deployments/etl/prod/live").splitlines()
    assert chain == [refs[f"refs/deployments/etl/prod/versions/{number}"] for number in (3, 2, 1)]
    assert versions.live() == 3
    subjects = versions.git("log", "--format=%s", "refs/deployments/etl/prod/live").splitlines()
    assert subjects == ["etl/prod v3: 0.0.3", "etl/prod v2: 0.0.2", "etl/prod v1: 0.0.1"]


def test_rollback_and_promote_move_live_and_nothing_else(versions: Project) -> None:
    before = versions.refs()
    versions.ok("rollback", "etl/prod", "-m", "wrong totals")
    after = versions.refs()
    assert versions.live() == 2
    assert {ref for ref in before if before[ref] != after[ref]} == {
        "refs/deployments/etl/prod/live",
        "refs/deployments/etl/prod/log",
    }
    versions.ok("promote", "etl/prod")
    assert versions.live() == 3
    assert actions(versions)[-2:] == [("rollback", None, 3, 2), ("promote", None, 2, 3)]


def test_the_log_reaches_everything(versions: Project) -> None:
    versions.ok("rollback", "etl/prod")
    reached = set(versions.git("rev-list", "refs/deployments/etl/prod/log").splitlines())
    assert {oid for ref, oid in versions.refs().items() if "versions" in ref} <= reached


def test_a_second_rollback_goes_further_back_and_never_returns_to_the_bad_one(versions: Project) -> None:
    versions.ok("rollback", "prod")
    versions.ok("rollback", "prod")
    assert versions.live() == 1
    assert "no version to roll back to" in versions.fatal("rollback", "prod")


def test_after_a_new_deploy_rollback_skips_what_was_rolled_away_from(versions: Project) -> None:
    versions.ok("rollback", "prod")  # away from v3
    versions.deploy("d4")  # v4
    versions.ok("rollback", "prod")
    assert versions.live() == 2


def test_a_version_that_is_made_live_again_is_no_longer_marked(versions: Project) -> None:
    versions.ok("rollback", "prod")
    versions.ok("promote", "prod", "3")
    versions.deploy("d4")
    versions.ok("rollback", "prod")
    assert versions.live() == 3


def test_a_version_that_never_was_live_is_not_rolled_back_to(versions: Project) -> None:
    versions.deploy("d4", "--no-live")
    versions.deploy("d5")
    versions.ok("rollback", "prod")
    assert versions.live() == 3


def test_directions_are_told_apart(versions: Project) -> None:
    assert "git deployments promote etl/prod v3" in _after_rollback(versions).fatal("rollback", "prod", "3")
    assert "git deployments rollback etl/prod v1" in versions.fatal("promote", "prod", "1")


def _after_rollback(versions: Project) -> Project:
    versions.ok("rollback", "prod")
    return versions


def test_a_move_to_what_is_live_already_is_said_and_not_recorded(versions: Project) -> None:
    before = versions.refs()
    for command in ("rollback", "promote"):
        result = versions.ok(command, "prod", "3")
        assert "v3 of etl/prod is live already" in result.err
    assert versions.refs() == before


def test_every_move_prints_the_command_that_undoes_it(versions: Project) -> None:
    def undo(result: str) -> list[str]:
        (line,) = [line for line in result.splitlines() if line.startswith("undo: git deployments ")]
        return line.removeprefix("undo: git deployments ").split(" ")

    assert versions.live() == 3
    back = undo(versions.ok("rollback", "prod").out)
    forth = undo(versions.ok(*back).out)
    assert versions.live() == 3
    versions.ok(*forth)
    assert versions.live() == 2
    versions.ok(*undo(versions.deploy("d4").out))
    assert versions.live() == 2


@pytest.mark.parametrize(("flow", "name"), [("-f", "-x"), (None, "-n"), ("a\tb", "c\u202ed"), ("a b", "it's")])
def test_the_undo_of_a_name_that_is_hard_to_type(project: Project, flow: str | None, name: str) -> None:
    whole = f"{flow}/{name}" if flow else name
    for number in (1, 2):
        out = project.deploy(f"d{number}", name=name, flow=flow).out
    (undo,) = [line.removeprefix("undo: git deployments ") for line in out.splitlines() if line.startswith("undo: ")]
    project.ok(*shlex.split(undo))
    assert project.live(encode(whole)) == 1


def test_the_undo_of_a_move_from_nothing_deletes_nothing(project: Project) -> None:
    def undone(result: str) -> None:
        (undo,) = [line.removeprefix("undo: git ") for line in result.splitlines() if line.startswith("undo: ")]
        before = project.refs()
        project.git(*undo.split(" "))
        assert before.keys() - project.refs().keys() == {"refs/deployments/etl/prod/live"}

    project.deploy("d1", "--no-live")
    undone(project.ok("promote", "prod").out)
    undone(project.deploy("d2").out)
    assert project.ok("list", "--json").json[0]["latest"] == 2
    project.ok("delete", "prod", "-y")
    assert "undo: git deployments delete etl/prod\n" in project.deploy("d3").out


def test_rollback_says_which_settings_it_does_not_restore(versions: Project) -> None:
    versions.ok("update", "prod", "paused=true", "concurrency_limit=3")
    out = versions.ok("rollback", "prod").out
    assert "not restored: paused was false, stays true" in out
    assert "not restored: concurrency_limit was null, stays 3" in out
    assert "not restored" not in versions.ok("promote", "prod").out


# Unrecorded moves and leftovers


def test_a_live_moved_by_plain_git_is_honoured_named_and_adopted(versions: Project) -> None:
    versions.git("update-ref", "refs/deployments/etl/prod/live", "refs/deployments/etl/prod/versions/1")
    assert versions.ok("list", "--json").json[0]["live"] == 1
    assert versions.ok("live", "prod").out == "1\n"
    assert "unrecorded move: v1 is live, but the log says v3" in versions.ok("status").out
    assert "notice: etl/prod: unrecorded move" in versions.ok("fsck").out
    result = versions.deploy("d4")
    assert "recorded first: etl/prod: adopt from v3 to v1" in result.err
    assert actions(versions)[-2:] == [("adopt", None, 3, 1), ("deploy", 4, 1, 4)]
    assert versions.ok("fsck").out == ""


def test_nothing_moves_live_to_match_the_log(versions: Project) -> None:
    versions.git("update-ref", "refs/deployments/etl/prod/live", "refs/deployments/etl/prod/versions/1")
    versions.ok("update", "prod", "paused=true")
    versions.ok("fsck", "--repair")
    assert versions.live() == 1


def test_an_adopted_move_to_a_lower_number_marks_the_version_it_left(versions: Project) -> None:
    versions.git("update-ref", "refs/deployments/etl/prod/live", "refs/deployments/etl/prod/versions/2")
    versions.deploy("d4")
    versions.ok("rollback", "prod")
    assert versions.live() == 2


def test_a_live_removed_by_plain_git_means_nothing_is_live(versions: Project) -> None:
    versions.git("update-ref", "-d", "refs/deployments/etl/prod/live")
    assert versions.run("live", "prod") == (1, "", "")
    assert "nothing is live, but the log says v3" in versions.ok("status").out
    versions.ok("promote", "prod", "2")
    assert actions(versions)[-2:] == [("adopt", None, 3, None), ("promote", None, None, 2)]


def v4_beyond_the_log(versions: Project) -> str:
    """Make v4 and put `live` and the log back to v3; its commit."""
    before = versions.refs()
    versions.deploy("d4")
    for ref in ("refs/deployments/etl/prod/live", "refs/deployments/etl/prod/log"):
        versions.git("update-ref", ref, before[ref])
    return versions.refs()["refs/deployments/etl/prod/versions/4"]


@pytest.mark.parametrize("refs_that_moved", [("versions/4",), ("versions/4", "live"), ("live",)])
def test_what_a_killed_write_left_is_adopted_with_its_number(
    versions: Project, refs_that_moved: tuple[str, ...]
) -> None:
    made = v4_beyond_the_log(versions)
    versions.git("update-ref", "-d", "refs/deployments/etl/prod/versions/4")
    for ref in refs_that_moved:
        versions.git("update-ref", f"refs/deployments/etl/prod/{ref}", made)
    went_live = "live" in refs_that_moved
    assert versions.ok("show", "prod", "latest", "--key", "number").out == "4\n"
    assert versions.ok("live", "prod").out == ("4\n" if went_live else "3\n")
    said = versions.deploy("d5").err
    assert f"recorded first: etl/prod: adopt of v4{' from v3 to v4' if went_live else ''}\n" in said
    adopted = ("adopt", 4, 3, 4 if went_live else 3)
    assert actions(versions)[-2:] == [adopted, ("deploy", 5, adopted[3], 5)]
    assert versions.refs()["refs/deployments/etl/prod/versions/4"] == made
    assert versions.ok("fsck").out == ""


def test_without_a_log_reads_answer_and_writes_refuse(versions: Project) -> None:
    versions.git("update-ref", "-d", "refs/deployments/etl/prod/log")
    assert versions.ok("show", "prod", "--key", "number").out == "3\n"
    assert versions.ok("show", "prod", "1", "--key", "description").out == "d1\n"
    assert [row["number"] for row in versions.ok("versions", "prod", "--json").json] == [3, 2, 1]
    versions.manifest("d4")
    for command in (["deploy"], ["rollback", "prod"], ["update", "prod", "paused=true"]):
        assert "pull first" in versions.fatal(*command)


def test_with_versions_alone_reads_answer_and_writes_refuse(versions: Project) -> None:
    for kind in ("log", "live"):
        versions.git("update-ref", "-d", f"refs/deployments/etl/prod/{kind}")
    assert [(row["live"], row["latest"]) for row in versions.ok("list", "--json").json] == [(None, 3)]
    assert [row["number"] for row in versions.ok("versions", "prod", "--json").json] == [3, 2, 1]
    assert "did you mean 'prod'" in versions.fatal("versions", "prid")
    versions.manifest("d4")
    for command in (["deploy"], ["promote", "prod"], ["update", "prod", "paused=true"]):
        assert "pull first" in versions.fatal(*command)
    versions.deploy("other", name="dev")
    assert [row["number"] for row in versions.ok("versions", "prod", "--json").json] == [3, 2, 1]


def test_an_index_ref_that_differs_from_the_log_is_named_and_stops_writes(versions: Project) -> None:
    refs = versions.refs()
    versions.git("update-ref", "refs/deployments/etl/prod/versions/1", refs["refs/deployments/etl/prod/versions/2"])
    versions.manifest("d4")
    for command in (["deploy"], ["rollback", "prod"], ["versions", "prod"], ["delete", "prod", "-y"]):
        assert "versions/1" in versions.fatal(*command)
    versions.git("config", "deployments.keepRefs", "2")
    for command in (["deploy"], ["rollback", "prod"], ["update", "prod", "paused=true"]):
        assert "versions/1" in versions.fatal(*command), "a ref that is to be dropped may be all that keeps its commit"
    assert versions.run("fsck").code == 1


@pytest.mark.parametrize("number", [4, 9])
def test_an_index_ref_beyond_the_log_at_a_version_of_another_number_is_named_and_stops_writes(
    versions: Project, number: int
) -> None:
    """The next version of that number would get no ref of its own."""
    v4 = v4_beyond_the_log(versions)
    versions.git("update-ref", f"refs/deployments/etl/prod/versions/{number + 1}", v4)
    versions.manifest("d5")
    for command in (["deploy"], ["update", "prod", "paused=true"], ["versions", "prod"]):
        assert f"versions/{number + 1} of 'etl/prod' is {v4}, which is v4" in versions.fatal(*command)
    assert versions.run("fsck").code == 1


def test_a_live_that_is_no_version_of_the_deployment_is_named_and_stops_writes(versions: Project) -> None:
    versions.git("update-ref", "refs/deployments/etl/prod/live", "HEAD")
    assert "warning: etl/prod: object" in versions.ok("list").err
    assert "it is no version" in versions.fatal("rollback", "prod")
    assert versions.run("fsck").code == 1


def test_a_live_of_another_deployment_is_named_and_stops_writes(versions: Project) -> None:
    versions.manifest("other", name="other")
    versions.ok("deploy")
    versions.git("update-ref", "refs/deployments/etl/prod/live", "refs/deployments/etl/other/live")
    assert "a version of 'etl/other'" in versions.fatal("rollback", "etl/prod")


# The index of versions


def test_the_number_of_refs_stays_bounded(project: Project) -> None:
    project.git("config", "deployments.keepRefs", "3")
    for number in range(1, 7):
        project.deploy(f"d{number}")
    kept = sorted(ref.rpartition("/")[2] for ref in project.refs() if "/versions/" in ref)
    assert kept == ["4", "5", "6"]
    assert project.ok("show", "prod", "2", "--key", "description").out == "d2\n"
    project.ok("rollback", "prod", "1")
    kept = sorted(ref.rpartition("/")[2] for ref in project.refs() if "/versions/" in ref)
    assert kept == ["1", "4", "5", "6"]
    project.ok("promote", "prod")
    kept = sorted(ref.rpartition("/")[2] for ref in project.refs() if "/versions/" in ref)
    assert kept == ["4", "5", "6"]
    assert project.ok("fsck").out == ""


def test_where_git_has_very_many_refs_old_versions_lose_theirs_ten_at_a_time(project: Project) -> None:
    """Dropping one makes git write all the packed ones anew."""
    project.git("config", "deployments.keepRefs", "1")
    project.deploy("d1")
    project.git("pack-refs", "--all")
    packed = project.path / ".git" / "packed-refs"
    head, *lines = packed.read_text().splitlines()
    oid = project.git("rev-parse", "HEAD")
    lines += [f"{oid} refs/tags/{number:05}-a-tag-with-a-name-that-is-rather-long" for number in range(12_000)]
    packed.write_text("\n".join([head, *sorted(lines, key=lambda line: line.split(" ", 1)[1])]) + "\n")
    files = []
    for number in range(2, 12):
        project.deploy(f"d{number}")
        files.append(packed.stat().st_ino)
    assert files[:-1] == [files[0]] * 9
    assert files[-1] != files[0]
    assert [ref.rpartition("/")[2] for ref in project.refs() if "/versions/" in ref] == ["11"]
    assert project.ok("fsck").out == ""


def test_keep_refs_0_keeps_all(project: Project) -> None:
    project.git("config", "deployments.keepRefs", "0")
    for number in range(1, 4):
        project.deploy(f"d{number}")
    assert sum("/versions/" in ref for ref in project.refs()) == 3


def test_a_lost_index_ref_is_made_again_by_the_next_write(versions: Project) -> None:
    before = versions.refs()
    versions.git("update-ref", "-d", "refs/deployments/etl/prod/versions/2")
    assert versions.ok("show", "prod", "v2", "--key", "description").out == "d2\n"
    assert "no versions/<n> for 2" in versions.ok("fsck").out
    versions.ok("update", "prod", "paused=true")
    assert versions.refs()["refs/deployments/etl/prod/versions/2"] == before["refs/deployments/etl/prod/versions/2"]
    versions.git("update-ref", "-d", "refs/deployments/etl/prod/versions/2")
    versions.ok("fsck", "--repair")
    assert versions.refs()["refs/deployments/etl/prod/versions/2"] == before["refs/deployments/etl/prod/versions/2"]


# Sources


def test_the_code_of_a_version_is_kept_where_no_branch_or_tag_has_it(project: Project) -> None:
    project.git("checkout", "-q", "--detach")
    code = project.commit("Detached work")
    project.deploy()
    assert project.refs()["refs/deployments/etl/prod/sources/1"] == code
    project.git("checkout", "-q", "main")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    assert project.git("cat-file", "-t", "refs/deployments/etl/prod/live:source") == "commit"


@pytest.mark.parametrize("kept_by", ["branch", "tag"])
def test_no_source_ref_where_the_code_is_kept_anyway(project: Project, kept_by: str) -> None:
    if kept_by == "tag":
        project.git("checkout", "-q", "--detach")
        project.commit("Detached work")
        project.git("tag", "v1")
    project.deploy()
    assert not any("/sources/" in ref for ref in project.refs())


@pytest.mark.parametrize(("value", "written"), [("always", True), ("never", False)])
def test_keep_source_decides(project: Project, value: str, written: bool) -> None:
    project.git("config", "deployments.keepSource", value)
    if value == "never":
        project.git("checkout", "-q", "--detach")
        project.commit("Detached work")
    project.deploy()
    assert any("/sources/" in ref for ref in project.refs()) is written


# Hold, stale, expectations


def test_a_held_rollback_keeps_later_deploys_from_going_live_until_promote(versions: Project) -> None:
    versions.ok("rollback", "prod", "--hold", "-m", "investigating")
    versions.manifest("d4")
    result = versions.run("deploy")
    assert result.code == 3
    assert "v4 made, not live (it is held)" in result.out
    assert versions.live() == 2
    assert versions.run("update", "prod", "description=x").code == 3
    assert versions.ok("update", "prod", "paused=true").code == 0
    assert versions.ok("list", "--json").json[0]["held"] is True
    versions.ok("promote", "prod", "4")
    assert versions.ok("list", "--json").json[0]["held"] is False
    versions.deploy("d6")
    assert versions.live() == 6
    assert versions.ok("fsck").out == ""


def test_asking_for_no_live_while_held_is_no_refusal(versions: Project) -> None:
    versions.ok("rollback", "prod", "--hold")
    versions.deploy("d4", "--no-live")


def test_hold_after_rollback_is_a_setting(versions: Project) -> None:
    versions.git("config", "deployments.holdAfterRollback", "true")
    versions.ok("rollback", "prod")
    versions.manifest("d4")
    assert versions.run("deploy").code == 3


def test_a_promote_to_the_live_version_ends_a_hold(versions: Project) -> None:
    versions.ok("rollback", "prod", "--hold")
    versions.ok("promote", "prod", "2")
    versions.deploy("d4")
    assert versions.live() == 4


def test_the_version_that_is_live_can_be_held(versions: Project) -> None:
    versions.ok("rollback", "prod")
    out = versions.ok("rollback", "prod", "2", "--hold").out
    assert "stays live; held until promote" in out
    versions.manifest("d4")
    assert versions.run("deploy").code == 3
    assert versions.ok("fsck").out == ""
    out = versions.ok("promote", "prod").out
    assert "undo: git deployments rollback etl/prod v2 --hold" in out


def test_the_undo_of_a_rollback_under_a_hold_leaves_the_hold(versions: Project) -> None:
    versions.ok("rollback", "prod", "2", "--hold")
    out = versions.ok("rollback", "prod", "1").out
    (undo,) = [line.removeprefix("undo: ") for line in out.splitlines() if line.startswith("undo: ")]
    for command in undo.split(" && "):
        assert command.startswith("git deployments ")
        versions.ok(*command.split()[2:])
    (row,) = versions.ok("status", "--json").json
    assert (row["live"], row["held"]) == (2, True)


def test_an_update_says_whose_rollback_it_ends(versions: Project) -> None:
    versions.ok("rollback", "prod", "-m", "wrong totals")
    assert "this ends the rollback from v3 to v2 by Ada: wrong totals" in versions.ok("update", "prod", "tags=[x]").err


def test_an_old_job_does_not_overtake_a_newer_one(versions: Project) -> None:
    versions.git("config", "deployments.refuseStale", "true")
    versions.git("checkout", "-q", "-f", "HEAD~1")
    versions.manifest("late")
    result = versions.run("deploy")
    assert result.code == 3
    assert "its source is older than the live one's" in result.out
    assert versions.live() == 3
    versions.ok("rollback", "prod")
    assert versions.live() == 2


def test_a_deploy_says_whose_rollback_it_ends(versions: Project) -> None:
    versions.ok("rollback", "prod", "-m", "wrong totals")
    assert "this ends the rollback from v3 to v2 by Ada: wrong totals" in versions.deploy("d4").err


@pytest.mark.parametrize("command", ["deploy", "update", "rollback", "promote"])
@pytest.mark.parametrize("expected", ["1", "0.0.2", "none", "9"])
def test_an_expectation_that_does_not_hold_stops_a_write(versions: Project, command: str, expected: str) -> None:
    versions.manifest("d4")
    words = {"update": ["prod", "paused=true"], "deploy": []}.get(command, ["prod"])
    line = versions.fatal(command, *words, "--expect-live", expected, code=5)
    assert f"expected {expected} to be live of 'etl/prod', but v3 is" in line
    versions.ok(command, *words, "--expect-live", "3")


def test_none_is_expected_before_the_first_deploy(project: Project) -> None:
    project.manifest()
    project.fatal("deploy", "--expect-live", "1", code=5)
    project.ok("deploy", "--expect-live", "none")


# Only what changed


def test_if_changed_makes_nothing_where_nothing_changed(versions: Project) -> None:
    versions.commit("The manifest as it is")
    versions.deploy("d3", version="0.0.3")
    before = versions.refs()
    result = versions.ok("deploy", "--if-changed", "--json")
    assert result.json[0]["created"] is False
    assert result.json[0]["number"] == 4
    versions.commit("Empty")
    versions.ok("deploy", "--if-changed")
    assert versions.refs() == before


@pytest.mark.parametrize("change", ["configuration", "name", "code"])
def test_if_changed_sees_configuration_name_and_code(versions: Project, change: str) -> None:
    versions.manifest("new" if change == "configuration" else "d3", version="new" if change == "name" else "0.0.3")
    if change == "code":
        versions.commit("Code", code="new\n")
    versions.ok("deploy", "--if-changed")
    assert versions.live() == 4


def test_if_changed_masks_the_commit_that_is_pinned_in_pull_steps(project: Project) -> None:
    steps = [{"prefect.deployments.steps.git_clone": {"repository": "https://e.com/r", "commit_sha": "{{ $SHA }}"}}]
    project.manifest(pull=steps)
    first = project.commit("First")
    project.ok("deploy", SHA=first)
    second = project.commit("Nothing new")
    project.ok("deploy", "--if-changed", SHA=second)
    assert project.live() == 1
    project.ok("deploy", "--if-changed", SHA="0" * 39 + "1")
    assert project.live() == 2


def test_if_changed_looks_only_at_the_paths_given(versions: Project) -> None:
    versions.manifest("d3", version="0.0.3")
    versions.commit("Docs", **{"docs/x.md": "x"})
    versions.ok("deploy", "--if-changed", "--paths", "code")
    assert versions.live() == 3
    versions.ok("deploy", "--if-changed", "--paths", "code", "--paths", "docs")
    assert versions.live() == 4
    versions.commit("Other")
    assert "neither the latest version's source nor" in versions.fatal("deploy", "--if-changed", "--paths", "nope")
    for outside in ("..", "code/../../x", str(versions.path / "code")):
        assert "relative to this directory" in versions.fatal("deploy", "--if-changed", "--paths", outside)


def test_if_changed_makes_a_version_of_code_that_cannot_be_compared(project: Project) -> None:
    project.manifest()
    for number in (1, 2, 2):
        job = {"GITHUB_SHA": str(number) * WIDTH, "GITHUB_REF_NAME": "main", "GITHUB_REPOSITORY": "a/b"}
        project.ok("deploy", "--if-changed", "--paths", "code", **job)
        assert project.live() == number


@pytest.mark.parametrize("path", [".", "./", ""])
def test_the_root_as_a_path_is_the_whole_tree(versions: Project, path: str) -> None:
    versions.git("commit", "--allow-empty", "-qm", "Nothing")
    versions.manifest("d3")
    versions.ok("deploy", "--if-changed", "--version", "0.0.3", "--paths", path)
    assert versions.live() == 3
    versions.commit("Other", docs="x")
    versions.ok("deploy", "--if-changed", "--version", "0.0.3", "--paths", path)
    assert versions.live() == 4


def test_if_changed_still_updates_settings(versions: Project) -> None:
    versions.manifest("d3", version="0.0.3", paused=True)
    versions.ok("deploy", "--if-changed")
    assert versions.live() == 3
    assert versions.ok("show", "prod", "--key", "paused").out == "true\n"


# Delete


def test_delete_is_an_event_and_numbers_go_on(versions: Project) -> None:
    versions.ok("delete", "prod", "-y", "-m", "retired")
    assert set(versions.refs()) == {"refs/deployments/etl/prod/log"}
    assert versions.ok("list", "--json").json == []
    assert versions.run("live", "etl/prod").code == 1
    assert actions(versions)[-1] == ("delete", None, 3, None)
    assert "deleted" in versions.fatal("rollback", "etl/prod")
    assert versions.ok("fsck").out == ""
    versions.deploy("again")
    assert versions.live() == 4
    assert actions(versions)[-1] == ("deploy", 4, None, 4)
    assert versions.ok("fsck").out == ""


def test_the_undo_of_a_delete_brings_it_back(versions: Project) -> None:
    out = versions.ok("delete", "prod", "-y").out
    (undo,) = [line.removeprefix("undo: git ") for line in out.splitlines() if line.startswith("undo: ")]
    versions.git(*undo.split(" "))
    versions.ok("update", "prod", "paused=true")
    assert versions.live() == 3
    assert versions.ok("fsck").out == ""


def test_the_undo_of_a_delete_brings_its_hold_back(versions: Project) -> None:
    versions.ok("rollback", "prod", "--hold")
    out = versions.ok("delete", "prod", "-y").out
    (undo,) = [line.removeprefix("undo: git ") for line in out.splitlines() if line.startswith("undo: ")]
    back, again = undo.split(" && git deployments ")
    versions.git(*back.split(" "))
    versions.ok(*again.split(" "))
    (row,) = versions.ok("list", "--json").json
    assert (row["live"], row["latest"], row["held"]) == (2, 3, True)
    assert versions.ok("fsck").out == ""


def test_what_comes_back_after_a_delete_keeps_its_code(project: Project) -> None:
    project.git("checkout", "-q", "--detach")
    code = project.commit("Detached work")
    project.deploy()
    project.git("checkout", "-q", "main")
    project.ok("delete", "prod", "-y")
    assert not any("/sources/" in ref for ref in project.refs())
    project.deploy("again")
    assert project.refs()["refs/deployments/etl/prod/sources/1"] == code


def test_delete_asks(versions: Project) -> None:
    before = versions.refs()
    assert versions.run("delete", "prod", stdin="n\n").code == 1
    nobody = versions.run("delete", "prod")
    assert (nobody.code, nobody.err.splitlines()[-1]) == (
        128,
        "fatal: there is nobody to ask whether to delete; say -y if it is meant",
    )
    assert versions.refs() == before
    assert versions.run("delete", "prod", stdin="y\n").code == 0


def test_an_interrupt_is_no_answer(versions: Project) -> None:
    before = versions.refs()
    command = (sys.executable, "-m", "git_deployments", "delete", "prod")
    asked = subprocess.Popen(command, cwd=versions.path, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert asked.stderr
    question = asked.stderr.read(len("Delete 'etl/prod'"))
    while not question.endswith(b"[y/N]:"):
        question += asked.stderr.read(1)
    time.sleep(0.2)  # until it waits for the answer
    asked.send_signal(signal.SIGINT)
    assert asked.wait(20) == 130
    assert asked.communicate()[1].strip() == b""
    assert versions.refs() == before


def test_purge_leaves_nothing(versions: Project) -> None:
    versions.ok("delete", "prod", "-y", "--purge")
    assert versions.refs() == {}
    versions.deploy("new")
    assert versions.live() == 1


def test_a_dry_run_of_a_purge_shows_all_that_would_go(project: Project) -> None:
    project.git("config", "deployments.keepSource", "always")
    project.deploy()
    project.commit("More")
    project.deploy("more")
    before = project.refs()
    assert any("/sources/1" in ref for ref in before)
    gone = {f"{ref}  {oid[:8]} -> (gone)" for ref, oid in before.items()}
    assert set(project.ok("delete", "prod", "--purge", "-n").out.splitlines()) == gone
    assert project.ok("delete", "prod", "--purge", "-n", "--json").json == [
        {"name": "etl/prod", "action": "purge", "number": None, "from": 2, "to": None}
    ]
    assert project.refs() == before


# Writers side by side


def test_writers_side_by_side_lose_nothing_and_double_nothing(project: Project) -> None:
    project.manifest()
    script = "import sys; from git_deployments.cli import run; sys.exit(max(run(['deploy', '-q']) for _ in range(6)))"
    writers = [subprocess.Popen([sys.executable, "-c", script], cwd=project.path) for _ in range(4)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0, 0]
    assert [row[1] for row in actions(project)] == list(range(1, 25))
    assert project.ok("fsck").out == ""


def test_all_deployments_of_a_manifest_or_none(project: Project) -> None:
    entries = [{"name": f"d{number}", "flow_name": "etl"} for number in range(3)]
    project.write("prefect.yaml", json.dumps({"deployments": entries}))
    project.ok("deploy", "--all")
    project.git("update-ref", "refs/deployments/etl/d1/versions/2", "HEAD")
    project.fatal("deploy", "--all")
    assert project.live("etl/d0") == 1


def test_a_lock_that_stays_is_named(versions: Project) -> None:
    lock = versions.path / ".git/refs/deployments/etl/prod/log.lock"
    lock.touch()
    line = versions.fatal("rollback", "prod")
    assert str(lock) in line
    assert "fsck --repair" in line


def test_what_a_killed_git_left_of_packed_refs_is_named_and_goes_once_it_is_old(versions: Project) -> None:
    """It keeps git from deleting refs, such as those of versions that are beyond deployments.keepRefs."""
    versions.git("config", "deployments.keepRefs", "2")
    versions.git("pack-refs", "--all")
    left = versions.write(".git/packed-refs.new", "")
    line = versions.fatal("rollback", "prod")
    assert str(left) in line
    assert "fsck --repair" in line
    os.utime(left, (0, 0))
    versions.ok("fsck", "--repair")
    versions.ok("rollback", "prod")


def test_a_refusing_reference_transaction_hook_stops_the_write(versions: Project) -> None:
    hook = versions.write(
        ".git/hooks/reference-transaction", "#!/bin/sh\n[ $1 != prepared ] || { echo no >&2; exit 1; }\n"
    )
    hook.chmod(0o755)
    assert "no" in versions.fatal("rollback", "prod")
