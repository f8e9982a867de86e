"""Deployments travel between real repositories: a bare hub and clones of it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from git_deployments import sync

from .benchmarks.histories import Plan, history
from .conftest import Make, Project, Result, prepared

LIVE = "refs/deployments/etl/prod/live"
LOG = "refs/deployments/etl/prod/log"


class Team:
    """A hub and the clones of Ada and Bob, as `make` makes them."""

    def __init__(self, path: Path, make: Make | None = None) -> None:
        prepared(path, make or start)
        self.path = path
        self.hub, self.ada, self.bob = (Project(path / name) for name in ("hub.git", "ada", "bob"))

    def clone(self, name: str, *options: str) -> Project:
        return clone(self.path, name, *options)


def clone(path: Path, name: str, *options: str) -> Project:
    subprocess.run(["git", "clone", "-q", *options, f"file://{path}/hub.git", str(path / name)], check=True)
    made = Project(path / name)
    made.git("config", "user.name", name.capitalize())
    return made


def start(path: Path) -> None:
    path.mkdir()
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path / "hub.git")], check=True)
    ada = clone(path, "ada")
    ada.commit("Start", code="1\n")
    ada.git("push", "-q", "origin", "main")
    clone(path, "bob")


def publish(path: Path) -> None:
    team = Team(path)
    for number in (1, 2, 3):
        team.ada.deploy(f"d{number}", version=f"0.0.{number}")
    team.ada.ok("push", "origin")
    team.bob.ok("pull", "origin")


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


@pytest.fixture
def shared(tmp_path: Path) -> Team:
    """Three versions, published, and known to both clones."""
    return Team(tmp_path, publish)


def same(*projects: Project) -> bool:
    """Live, log and versions agree."""
    return all(project.refs() == projects[0].refs() for project in projects)


def contested(result: Result) -> str:
    assert result.code == 4, result
    assert "contested" in result.err
    return result.err


def test_published_history_is_the_same_everywhere(shared: Team) -> None:
    assert same(shared.hub, shared.ada, shared.bob)
    assert shared.bob.live() == 3
    shared.bob.ok("rollback", "prod", "-m", "bad")
    shared.bob.ok("push")
    shared.ada.ok("pull")
    assert same(shared.hub, shared.ada, shared.bob)
    assert shared.ada.live() == 2
    for project in (shared.hub, shared.ada, shared.bob):
        assert project.ok("fsck").out == ""


def test_fetch_touches_nothing_but_what_was_last_seen(shared: Team) -> None:
    shared.ada.deploy("d4")
    shared.ada.ok("push")
    before = shared.bob.refs()
    shared.bob.ok("fetch")
    assert shared.bob.refs() == before
    seen = shared.bob.git("rev-parse", "refs/remote-deployments/origin/etl/prod/live")
    assert seen == shared.ada.refs()[LIVE]
    assert not (shared.bob.path / ".git/FETCH_HEAD").exists()


def test_a_write_says_how_to_publish_it(shared: Team) -> None:
    result = shared.ada.deploy("d4")
    assert result.err.splitlines()[-1] == "not published: git deployments push origin etl/prod"
    shared.ada.ok("push", "origin", "etl/prod")
    assert shared.hub.live() == 4
    assert "nothing to publish" in shared.ada.ok("push").out


def test_an_empty_clone_says_how_to_get_them(shared: Team) -> None:
    carol = shared.clone("carol")
    assert "git deployments pull origin" in carol.ok().err
    carol.ok("fetch")
    assert "1 known at origin: git deployments pull origin" in carol.ok().err
    carol.ok("pull")
    assert same(carol, shared.hub)


def test_where_the_only_deployment_was_deleted_there_is_nothing_to_get(shared: Team) -> None:
    shared.bob.git("remote", "add", "other", f"file://{shared.hub.path}")
    shared.bob.ok("fetch", "other")
    shared.ada.ok("delete", "prod", "-y", "--push")
    assert "1 known at" not in shared.ada.ok("list").err
    shared.bob.ok("delete", "prod", "-y", "--purge")
    assert "1 known at origin, other: git deployments pull origin" in shared.bob.ok("list").err


def test_unpublished_versions_take_the_next_numbers(shared: Team) -> None:
    shared.ada.deploy("ada's", version="a")
    shared.ada.ok("push")
    shared.bob.deploy("bob's", "-m", "why", version="b")
    result = shared.bob.ok("pull")
    assert "etl/prod: v4 is now v5" in result.out
    assert shared.bob.live() == 5
    assert shared.bob.ok("show", "prod", "b", "--key", "description").out == "bob's\n"
    assert shared.bob.trailer(LIVE, "Was").startswith("v4 ")
    shared.bob.ok("push")
    shared.ada.ok("pull")
    assert same(shared.hub, shared.ada, shared.bob)
    assert shared.ada.ok("fsck").out == ""


def test_a_push_behind_is_refused_before_the_remote_is_asked(shared: Team) -> None:
    shared.ada.deploy("d4")
    shared.ada.ok("push")
    shared.bob.deploy("d4'")
    shared.bob.ok("fetch")
    assert "pull first: git deployments pull origin etl/prod" in shared.bob.fatal("push", code=4)


def test_a_lost_race_names_the_winner_and_overwrites_nothing(shared: Team) -> None:
    shared.ada.deploy("d4")
    shared.ada.ok("push")
    shared.bob.deploy("d4'")
    before = shared.hub.refs()
    line = shared.bob.fatal("push", code=4)
    assert "was first at origin: deploy of 'etl/prod', v4 is live there" in line
    assert shared.hub.refs() == before


def test_a_rollback_that_was_overtaken_is_contested_once(shared: Team) -> None:
    shared.ada.deploy("d4", "-m", "new feature")
    shared.ada.ok("push")
    shared.bob.ok("rollback", "prod", "-m", "bad totals")
    told = contested(shared.bob.run("pull"))
    for words in ("rollback from v3 to v2", "bad totals", "new feature", "git deployments rollback etl/prod v2"):
        assert words in told
    assert shared.bob.live() == 4
    assert same(shared.hub, shared.bob)
    assert shared.bob.ok("pull").err == ""
    shared.bob.ok("rollback", "prod", "v2", "--push")
    assert shared.hub.live() == 2


@pytest.mark.parametrize("hold", [(), ("--hold",)])
def test_a_rollback_that_others_made_too_is_chosen_with_a_command_that_ends_no_hold(
    shared: Team, hold: tuple[str, ...]
) -> None:
    shared.ada.ok("rollback", "prod", *([] if hold else ["--hold"]))
    shared.ada.ok("push")
    shared.bob.ok("rollback", "prod", *hold)
    choice = contested(shared.bob.run("pull")).rpartition("to have it otherwise: git deployments ")[2]
    assert shlex.split(choice) == ["rollback", "etl/prod", "v2", *hold]
    shared.bob.ok(*shlex.split(choice))
    assert shared.bob.ok("list", "--json").json[0]["held"]


@pytest.mark.parametrize("words", [("rollback", "prod"), ("update", "prod", "paused=true")])
def test_unpublished_versions_that_keep_their_numbers_stay_the_commits_that_they_are(
    shared: Team, words: tuple[str, ...]
) -> None:
    """Others made no version meanwhile, so whoever was told of one finds it again."""
    shared.ada.ok(*words, "--push")
    shared.bob.deploy("bob's", version="b")
    shared.bob.ok("update", "prod", "description=changed")
    before = {ref: oid for ref, oid in shared.bob.refs().items() if "/versions/" in ref}
    assert len(before) == 5
    shared.bob.ok("pull")
    shared.bob.ok("push")
    assert before.items() <= shared.hub.refs().items()
    shared.ada.ok("pull")
    assert same(shared.hub, shared.ada, shared.bob)
    assert shared.ada.ok("fsck").out == ""


def test_a_move_back_from_an_unpublished_version_goes_to_the_published_live(shared: Team) -> None:
    shared.bob.deploy("d4'")
    shared.bob.ok("rollback", "prod")
    shared.ada.deploy("d4")
    shared.ada.ok("push")
    shared.bob.ok("pull")
    assert shared.bob.live() == 4
    assert shared.bob.ok("show", "prod", "latest", "--key", "description").out == "d4'\n"
    assert shared.bob.ok("show", "prod", "latest", "--key", "number").out == "5\n"


def test_an_unpublished_update_is_its_changed_keys_onto_what_is_live(shared: Team) -> None:
    shared.ada.deploy("d4", tags=["new"])
    shared.ada.ok("push")
    shared.bob.ok("update", "prod", "work_pool_name=other")
    shared.bob.ok("pull")
    stored = json.loads(shared.bob.git("show", f"{LIVE}:deployment.json"))
    assert (stored["description"], stored["tags"], stored["work_pool_name"]) == ("d4", ["new"], "other")
    assert shared.bob.live() == 5
    assert shared.bob.ok("fsck").out == ""


def test_a_key_that_both_sides_changed_is_contested_and_the_rest_is_applied(shared: Team) -> None:
    shared.ada.ok("update", "prod", "description=ada", "paused=true")
    shared.ada.ok("push")
    shared.bob.ok("update", "prod", "description=bob", "work_pool_name=b", "paused=false", "concurrency_limit=3")
    told = contested(shared.bob.run("pull"))
    assert "etl/prod: description" in told
    shown = shared.bob.ok("show", "prod", "--json").json
    assert (shown["properties"]["description"], shown["properties"]["work_pool_name"]) == ("ada", "b")
    assert (shown["settings"]["paused"], shown["settings"]["concurrency_limit"]) == (True, 3)
    assert shared.bob.ok("pull").err == ""


def test_keys_of_a_mapping_that_both_sides_made_are_contested_one_by_one(shared: Team) -> None:
    shared.ada.ok("update", "prod", "job_variables.env.A=1", "job_variables.env.B=1", "--push")
    shared.bob.ok("update", "prod", "job_variables.env.B=2", "job_variables.env.C=2")
    told = contested(shared.bob.run("pull"))
    assert told.endswith("git deployments update etl/prod 'job_variables.env.B=\"2\"'\n")
    assert shared.bob.ok("show", "prod", "--json").json["properties"]["job_variables"] == {
        "env": {"A": "1", "B": "1", "C": "2"}
    }


def test_the_command_for_a_contested_key_does_what_was_done_here(shared: Team) -> None:
    schedules = '[{"cron": "0 2 * * *"}]'
    ours = ["paused=true", f"schedules={schedules}", "description=it's `é`", "parameters.a={b: [1]}"]
    shared.ada.ok("update", "prod", "parameters.c=1", "--push")
    shared.bob.ok("pull")
    shared.ada.ok(
        "update", "prod", "description=hers", "schedules=[{interval: 60}]", "parameters.a=2", "parameters.c=2"
    )
    shared.ada.ok("push")
    shared.bob.ok("update", "prod", *ours, "--unset", "parameters.c")
    wanted = shared.bob.ok("show", "prod", "--json").json
    told = contested(shared.bob.run("pull"))
    commands = [line.partition("git deployments ")[2] for line in told.splitlines() if "to have it otherwise: " in line]
    assert len(commands) == 4
    for command in commands:
        shared.bob.ok(*shlex.split(command))
    found = shared.bob.ok("show", "prod", "--json").json
    for key in ("description", "parameters"):
        assert found["properties"][key] == wanted["properties"][key]
    assert found["settings"] == wanted["settings"]


def test_settings_merge_key_by_key(shared: Team) -> None:
    shared.ada.ok("update", "prod", "paused=true")
    shared.ada.ok("push")
    shared.bob.ok("update", "prod", "concurrency_limit=3")
    shared.bob.ok("pull")
    settings = shared.bob.ok("show", "prod", "--json").json["settings"]
    assert (settings["paused"], settings["concurrency_limit"]) == (True, 3)


def test_deletion_travels_and_what_was_unpublished_is_kept(shared: Team) -> None:
    shared.bob.deploy("bob's")
    shared.ada.ok("delete", "prod", "-y", "--push", "-m", "retired")
    assert set(shared.hub.refs()) == {LOG}
    told = contested(shared.bob.run("pull"))
    assert "going live onto a delete" in told
    assert shared.bob.live() is None
    assert shared.bob.ok("show", "etl/prod", "latest", "--key", "description").out == "bob's\n"
    assert shared.bob.ok("fsck").out == ""
    shared.bob.ok("promote", "etl/prod", "--push")
    assert shared.hub.live() == 4


@pytest.mark.parametrize("ending", ["delete", "unlive"])
@pytest.mark.parametrize("hold", [(), ("--hold",)])
def test_a_rollback_to_what_others_took_from_live_leaves_no_event_that_a_guard_refuses(
    shared: Team, ending: str, hold: tuple[str, ...]
) -> None:
    shared.hub.ok("hook", "install")
    shared.bob.deploy("bob's")
    shared.bob.ok("rollback", "prod", *hold)
    if ending == "delete":
        shared.ada.ok("delete", "prod", "-y", "--push")
    else:
        shared.ada.git("update-ref", "-d", LIVE)
        shared.ada.ok("push")
    told = shared.bob.run("pull").err
    assert ("rollback from v4 to v3" in told) is (bool(hold) or ending == "unlive")
    assert shared.bob.ok("fsck").out == ""
    shared.bob.ok("push")
    assert shared.hub.ok("fsck").out == ""
    assert shared.hub.live() == shared.bob.live() == (None if ending == "delete" else 4)


def test_a_delete_after_an_unpublished_deploy_takes_away_nothing_that_others_deployed(shared: Team) -> None:
    shared.bob.deploy("bob's")
    shared.bob.ok("delete", "prod", "-y", "-m", "not needed")
    shared.ada.deploy("ada's", "--push")
    told = contested(shared.bob.run("pull"))
    assert "delete from v4 to nothing" in told
    assert "git deployments delete etl/prod" in told
    assert shared.bob.ok("show", "prod", "v4", "--key", "description").out == "ada's\n"
    assert shared.bob.live() == 5
    assert shared.bob.ok("fsck").out == ""
    assert shared.bob.ok("pull").code == 0


def test_a_version_that_is_replayed_under_a_hold_says_that_it_is_not_live(shared: Team) -> None:
    shared.bob.deploy("bob's")
    shared.ada.ok("rollback", "prod", "v1", "--hold", "--push", "-m", "freeze")
    told = shared.bob.ok("pull").err
    assert "v4 of 'etl/prod' did not go live: v1 is held there since a rollback" in told
    assert "git deployments promote etl/prod v4" in told
    assert shared.bob.live() == 1


@pytest.mark.parametrize("at_once", [True, False])
def test_a_version_that_a_torn_push_left_at_the_hub_blocks_nothing(shared: Team, at_once: bool) -> None:
    shared.bob.deploy("bob's")
    ref = "refs/deployments/etl/prod/versions/4"
    shared.bob.git("push", "-q", "origin", ref)
    torn = shared.hub.refs()[ref]
    if at_once:
        told = shared.ada.deploy("ada's", "--push").err
    else:
        shared.ada.deploy("ada's")
        told = shared.ada.ok("push").err
    assert f"origin had {ref} ({torn[:12]}) without an event in its log; it was replaced" in told
    assert same(shared.hub, shared.ada)
    assert "v4 is now v5" in shared.bob.ok("pull").out
    shared.bob.ok("push")
    assert shared.hub.live() == 5
    assert shared.hub.ok("fsck").out == ""


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize(
    "words", [("rollback", "prod", "--push"), ("update", "prod", "tags=[new]", "--push"), ("push", "origin")]
)
def test_the_next_push_brings_the_version_that_a_server_told_to_end_between_its_refs_lacks(
    shared: Team, guarded: bool, words: tuple[str, ...]
) -> None:
    shared.ada.git("config", "deployments.keepSource", "always")
    shared.ada.deploy("d4", "--push")
    for kind in ("versions", "sources"):
        shared.hub.git("update-ref", "-d", f"{PREFIX}{kind}/4")
    if guarded:
        shared.hub.ok("hook", "install")
    if words[0] == "push":
        shared.ada.ok("rollback", "prod", "v1")
    shared.ada.ok(*words)
    assert same(shared.hub, shared.ada)
    assert shared.hub.ok("fsck").out == ""


def test_a_pull_without_a_log_replaces_no_other_version(shared: Team) -> None:
    carol = shared.clone("carol")
    carol.deploy("carol's", "--offline")
    ref = "refs/deployments/etl/prod/versions/1"
    hers = carol.refs()[ref]
    carol.git("update-ref", "-d", LOG)
    carol.git("update-ref", "-d", LIVE)
    line = carol.fatal("pull", code=4)
    assert f"{ref} here is {hers[:12]}, which is not the published v1" in line
    assert carol.refs() == {ref: hers}
    carol.git("update-ref", "-d", ref)
    carol.ok("pull")
    assert same(carol, shared.hub)


def test_commands_in_what_a_race_says_can_be_pasted(shared: Team) -> None:
    shared.ada.deploy("d1", name="my prod", flow_name="my flow")
    shared.ada.ok("push")
    shared.bob.ok("pull")
    shared.ada.deploy("d2", "--push", name="my prod", flow_name="my flow")
    shared.bob.deploy("d2'", name="my prod", flow_name="my flow")
    line = shared.bob.fatal("push", code=4)
    assert line.endswith("git deployments pull origin 'my flow/my prod'")
    words = shlex.split(line.rpartition("; ")[2])
    assert "v2 is now v3" in shared.bob.ok(*words[2:]).out


def test_half_a_name_is_looked_for_at_the_remote_and_a_wrong_one_is_named(shared: Team) -> None:
    carol = shared.clone("carol")
    carol.ok("fetch", "origin", "prod")
    assert "refs/remote-deployments/origin/etl/prod/log" in carol.git("for-each-ref", "--format=%(refname)")
    carol.ok("pull", "origin", "prod")
    assert same(carol, shared.hub)
    for verb in ("fetch", "pull"):
        line = carol.fatal(verb, "origin", "etl/prd")
        assert line == "fatal: no deployment 'etl/prd' here or at origin; did you mean 'etl/prod'?"


def test_a_push_to_nowhere_is_told_in_whole_sentences(team: Team) -> None:
    team.ada.deploy()
    team.ada.git("remote", "set-url", "origin", str(team.path / "nowhere"))
    line = team.ada.fatal("push")
    assert line.endswith("; Could not read from remote repository; nothing was published")


def test_a_glob_names_what_is_here_and_what_is_at_the_remote(shared: Team) -> None:
    carol = shared.clone("carol")
    for name, flow in (("dev", "etl"), ("prod", "web")):
        shared.ada.deploy(name=name, flow=flow)
    shared.ada.ok("push")
    fetched = carol.ok("fetch", "origin", "etl/*", "--json").json
    assert [row["name"] for row in fetched] == ["etl/dev", "etl/prod"]
    carol.ok("pull", "origin", "etl/p*")
    carol.ok("pull", "origin", "*/dev", "etl/p*")
    assert [row["name"] for row in carol.ok("list", "--json").json] == ["etl/dev", "etl/prod"]
    assert "no deployment 'x*' here or at origin" in carol.fatal("pull", "origin", "x*")
    shared.bob.deploy(name="new", flow="etl")
    assert shared.bob.ok("fetch", "origin", "etl/n*", "--json").json == []
    assert [row["name"] for row in shared.bob.ok("pull", "origin", "etl/*", "--json").json] == ["etl/dev"]


def test_a_hand_moved_live_is_published_as_an_event(shared: Team) -> None:
    shared.ada.git("update-ref", LIVE, "refs/deployments/etl/prod/versions/1")
    shared.ada.ok("push")
    shared.bob.ok("pull")
    assert shared.bob.live() == 1
    assert shared.bob.ok("log", "prod", "--json").json[0]["action"] == "adopt"


def test_a_live_moved_by_hand_at_the_hub_counts_and_the_next_write_records_it(shared: Team) -> None:
    shared.hub.git("update-ref", LIVE, "refs/deployments/etl/prod/versions/1")
    result = shared.bob.ok("pull")
    assert "is not what its log says" in result.err
    assert shared.bob.live() == 1
    shared.bob.deploy("d4", "--push")
    actions = [row["action"] for row in shared.bob.ok("log", "prod", "--json").json]
    assert actions[:2] == ["deploy", "adopt"]
    shared.ada.ok("pull")
    assert same(shared.hub, shared.ada, shared.bob)


@pytest.mark.parametrize(
    ("words", "live", "actions"),
    [
        (("update", "prod", "paused=true"), 1, ["update", "adopt"]),
        (("deploy",), 4, ["deploy", "adopt"]),
        (("rollback", "prod", "v1"), 1, ["rollback", "deploy"]),
    ],
)
def test_a_live_moved_by_hand_at_the_hub_counts_where_something_is_unpublished_here(
    shared: Team, words: tuple[str, ...], live: int, actions: list[str]
) -> None:
    shared.bob.manifest("d4")
    shared.bob.ok(*words)
    agrees = shared.bob.live() == 1
    shared.hub.git("update-ref", LIVE, "refs/deployments/etl/prod/versions/1")
    shared.bob.ok("fetch")
    assert shared.bob.ok("status", "--json").json[0]["moved"] is not agrees
    assert ("live at origin is not what its log says" in shared.bob.ok("status").out) is not agrees
    if not agrees:
        line = shared.bob.fatal("push", code=4)
        assert line.endswith("pull first: git deployments pull origin etl/prod")
    told = shared.bob.ok("pull").err
    assert ("is not what its log says; it counts, and is recorded" in told) is not agrees
    before = shared.bob.refs()
    assert shared.bob.ok("pull").err == ""
    assert shared.bob.refs() == before
    assert shared.bob.ok("status", "--json").json[0]["moved"] is False
    shared.bob.ok("push")
    shared.ada.ok("pull")
    assert same(shared.hub, shared.ada, shared.bob)
    assert shared.hub.live() == live
    assert [row["action"] for row in shared.bob.ok("log", "prod", "--json").json][:2] == actions
    assert shared.hub.ok("fsck").out == ""


@pytest.mark.parametrize("words", [(), ("rollback", "prod", "v1"), ("rollback", "prod", "v3")])
def test_a_push_that_moved_live_alone_is_finished_by_the_next_one(shared: Team, words: tuple[str, ...]) -> None:
    shared.bob.deploy("d4")
    if words:
        shared.bob.ok(*words)
    shared.bob.git("push", "-q", "origin", f"+{LIVE}:{LIVE}")
    shared.bob.ok("pull")
    shared.bob.deploy("d5")
    shared.bob.ok("push")
    assert shared.hub.live() == 5
    assert shared.hub.ok("fsck").out == ""
    shared.ada.ok("pull")
    assert same(shared.hub, shared.ada, shared.bob)


def test_an_unpublished_move_is_contested_by_a_live_moved_by_hand_at_the_hub(shared: Team) -> None:
    shared.bob.ok("rollback", "prod", "-m", "bad totals")
    shared.hub.git("update-ref", LIVE, "refs/deployments/etl/prod/versions/1")
    told = contested(shared.bob.run("pull"))
    assert "published: adopt, live v3 → v1" in told
    assert shared.bob.live() == 1
    assert shared.bob.ok("pull").err == ""


def test_a_push_with_nothing_new_moves_no_live_back_that_was_moved_by_hand_at_the_hub(shared: Team) -> None:
    shared.hub.git("update-ref", LIVE, "refs/deployments/etl/prod/versions/1")
    shared.bob.ok("fetch")
    assert "live of 'etl/prod' at origin is not what its log says" in shared.bob.fatal("push", code=4)
    assert shared.hub.live() == 1
    shared.bob.ok("pull")
    shared.bob.ok("push")
    assert shared.hub.live() == 1


@pytest.mark.parametrize("choice", ["to have it live here", "to put it back"])
def test_a_live_moved_by_hand_at_one_hub_and_what_another_has_are_for_a_person_to_choose(
    shared: Team, tmp_path: Path, choice: str
) -> None:
    subprocess.run(["git", "clone", "-q", "--mirror", str(shared.hub.path), str(tmp_path / "other.git")], check=True)
    shared.bob.git("remote", "add", "other", str(tmp_path / "other.git"))
    shared.bob.ok("pull", "other")
    shared.bob.ok("update", "prod", "paused=true")
    shared.bob.ok("push", "other")
    shared.hub.git("update-ref", LIVE, "refs/deployments/etl/prod/versions/1")
    line = shared.bob.fatal("pull", "origin", code=4)
    command = line.partition(f"{choice}: ")[2].partition(";")[0]
    shared.bob.git(*shlex.split(command)[1:])
    shared.bob.ok("pull", "origin")
    shared.bob.ok("push", "origin")
    assert shared.hub.live() == (1 if choice == "to have it live here" else 3)
    assert shared.hub.ok("fsck").out == ""


# --push


def test_push_with_a_write_is_one_thing(shared: Team) -> None:
    shared.ada.deploy("ada's", "--push")
    result = shared.bob.deploy("bob's", "--push")
    assert "etl/prod: brought up to date" in result.out
    assert "etl/prod: v5 is live, was v4" in result.out
    assert "not published" not in result.err
    assert same(shared.hub, shared.bob)


def test_deployments_push_publishes_every_write(shared: Team) -> None:
    shared.ada.git("config", "deployments.push", "true")
    shared.ada.ok("rollback", "prod")
    assert shared.hub.live() == 2
    shared.ada.ok("promote", "prod", "--no-push")
    assert shared.hub.live() == 2


def test_a_failed_push_moves_nothing_anywhere(shared: Team) -> None:
    shared.ada.git("config", "remote.origin.pushurl", str(shared.path / "nowhere"))
    before = shared.ada.refs(), shared.hub.refs()
    shared.ada.manifest("d4")
    assert shared.ada.run("deploy", "--push").code == 128
    assert shared.ada.run("rollback", "prod", "--push").code == 128
    assert (shared.ada.refs(), shared.hub.refs()) == before


def test_a_contested_pull_before_a_write_writes_nothing(shared: Team) -> None:
    shared.ada.deploy("d4", "--push")
    shared.bob.ok("rollback", "prod")
    shared.bob.manifest("d5")
    result = shared.bob.run("deploy", "--push")
    assert result.code == 4
    assert "nothing was written" in result.err
    assert shared.hub.live() == 4


def test_expectations_are_held_against_what_is_published(shared: Team) -> None:
    shared.ada.deploy("d4", "--push")
    shared.bob.manifest("d5")
    assert shared.bob.run("deploy", "--push", "--expect-live", "3").code == 5
    assert shared.hub.live() == 4


def test_the_first_deploy_of_a_shallow_clone_continues_the_numbers(shared: Team) -> None:
    ci = shared.clone("ci", "--depth=1")
    ci.deploy("from ci", "--push")
    assert shared.hub.live() == 4
    other = shared.clone("other", "--depth=1")
    other.deploy("unpublished")
    assert other.live() == 5
    offline = shared.clone("offline")
    offline.deploy("alone", "--offline")
    assert offline.live() == 1


def test_a_remote_that_cannot_be_asked_makes_numbers_provisional(shared: Team) -> None:
    carol = shared.clone("carol")
    carol.git("remote", "set-url", "origin", str(shared.path / "nowhere"))
    result = carol.deploy("first")
    assert "the numbers are provisional" in result.err
    assert carol.run("deploy", "--push").code == 128


def test_racing_writers_lose_nothing(shared: Team) -> None:
    # Clocks and names are the same for all, so two of them also make the very same event now and then.
    program = "import sys; from git_deployments.cli import run; sys.exit(max(run(sys.argv[1:]) for _ in range(4)))"
    clones = [shared.clone(f"racer{number}") for number in range(3)]
    for clone in clones:
        clone.manifest("race")
    words = [sys.executable, "-c", program, "deploy", "-q", "--push"]
    processes = [subprocess.Popen(words, cwd=clone.path) for clone in clones]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    shared.ada.ok("pull")
    numbers = [row["number"] for row in shared.ada.ok("versions", "prod", "--json").json]
    assert numbers == list(range(15, 0, -1))
    assert shared.ada.ok("fsck").out == ""
    assert shared.hub.ok("fsck").out == ""


# Plain git


def test_the_plain_git_recipe_publishes_and_fetches(shared: Team) -> None:
    shared.ada.deploy("d4")
    shared.ada.git("push", "-q", "--atomic", "origin", LOG, f"+{LIVE}", "refs/deployments/etl/prod/versions/*")
    shared.bob.git("config", "--add", "remote.origin.fetch", "+refs/deployments/*:refs/remote-deployments/origin/*")
    shared.bob.git("fetch", "-q", "origin")
    shared.bob.ok("pull")
    assert same(shared.hub, shared.ada, shared.bob)


def test_pruning_deletes_nothing_unpublished(shared: Team) -> None:
    shared.bob.deploy("mine")
    before = shared.bob.refs()
    shared.bob.git("fetch", "-q", "--prune", "origin")
    shared.bob.git("remote", "prune", "origin")
    shared.bob.ok("fetch")
    assert shared.bob.refs() == before


def test_a_mirror_reads_the_same(shared: Team, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", "--mirror", str(shared.hub.path), str(tmp_path / "mirror")], check=True)
    mirror = Project(tmp_path / "mirror")
    assert mirror.refs() == shared.hub.refs()
    assert mirror.ok("list", "--json").json == shared.hub.ok("list", "--json").json
    assert mirror.ok("fsck").out == ""


# Bad remotes


@pytest.mark.parametrize("options", [(), ("--push",), ("--no-push",), ("--offline",), ("-n",)])
def test_a_remote_that_is_not_configured_is_refused_by_every_write(shared: Team, options: tuple[str, ...]) -> None:
    asked = shared.ada.fatal("status", "--remote", "nosuch")
    shared.ada.manifest("d4")
    for words in (("deploy",), ("update", "prod", "paused=true"), ("rollback", "prod"), ("delete", "prod", "-y")):
        assert shared.ada.fatal(*words, "--remote", "nosuch", *options) == asked


def test_remotes_that_are_not_there(shared: Team) -> None:
    assert "no remote 'nope' is configured" in shared.ada.fatal("fetch", "nope")
    for command in ("fetch", "pull", "push"):
        assert f"git deployments {command} origin etl/prod other" in shared.ada.fatal(command, "prod", "other")
    shared.ada.git("remote", "add", "away", str(shared.path / "away"))
    for command in ("fetch", "pull", "push"):
        assert shared.ada.run(command, "away").code == 128


def test_a_remote_that_takes_one_ref_at_a_time_is_told_of_as_that(shared: Team) -> None:
    shared.hub.git("config", "receive.advertiseAtomic", "false")
    shared.ada.deploy("d4")
    line = shared.ada.fatal("push")
    assert line == (
        "fatal: the receiving end does not support --atomic push; a remote must take several refs at once "
        "(receive.advertiseAtomic); nothing was published"
    )


def test_a_refusing_hook_is_passed_on_in_its_own_words(shared: Team) -> None:
    hook = shared.hub.write("hooks/pre-receive", "#!/bin/sh\necho 'deployments are frozen until Monday' >&2\nexit 1\n")
    hook.chmod(0o755)
    shared.ada.deploy("d4")
    before = shared.hub.refs()
    assert "deployments are frozen until Monday" in shared.ada.fatal("push", code=1)
    assert shared.hub.refs() == before


def test_a_rewound_hub_is_named_and_not_followed(shared: Team) -> None:
    shared.hub.git("update-ref", LOG, f"{LOG}~1")
    before = shared.bob.refs()
    for command in ("fetch", "pull"):
        assert "was rewound" in shared.bob.fatal(command, code=4)
    assert shared.bob.refs() == before


def test_what_puts_a_rewound_hub_back_leaves_nothing_there_that_disagrees(shared: Team) -> None:
    before = shared.hub.refs()
    shared.ada.deploy("d4", "--push")
    shared.bob.ok("pull")
    for ref in (LOG, LIVE):
        shared.hub.git("update-ref", ref, before[ref])
    command = shared.bob.fatal("pull", code=4).partition("To put it back: git ")[2].partition(";")[0]
    shared.bob.git(*shlex.split(command))
    assert shared.bob.ok("pull").err == ""
    assert same(shared.hub, shared.ada, shared.bob)
    assert shared.hub.live() == 4


def test_a_hub_that_breaks_the_format_is_named_and_nothing_changes(shared: Team) -> None:
    tree = shared.hub.git("rev-parse", f"{LOG}^{{tree}}")
    message = shared.hub.git("log", "-1", "--format=%B", LOG).replace("Latest: 3", "Latest: 9")
    bad = shared.hub.git("commit-tree", tree, "-p", LOG, "-m", message)
    shared.hub.git("update-ref", LOG, bad)
    before = shared.bob.refs()
    assert "breaks the format" in shared.bob.fatal("pull")
    assert shared.bob.refs() == before


def test_a_deployment_removed_at_the_hub_is_said_and_not_published_again_by_itself(shared: Team) -> None:
    for ref in shared.hub.refs():
        shared.hub.git("update-ref", "-d", ref)
    shared.bob.ok("fetch")
    pulled = shared.bob.ok("pull")
    assert "etl/prod: no longer at origin" in pulled.err
    assert "nothing new" not in pulled.out
    assert shared.bob.live() == 3
    assert "was removed at origin" in shared.bob.fatal("push")
    told = shared.bob.ok("status").out
    assert "etl/prod: removed at origin; to publish it there again: git deployments push origin etl/prod" in told
    assert "to remove it here: git deployments delete --purge etl/prod" in told
    assert "unpublished" not in told
    shared.bob.ok("push", "origin", "etl/prod")
    assert same(shared.hub, shared.bob)


def test_names_that_a_file_system_may_confuse_are_not_brought_together(shared: Team) -> None:
    shared.ada.deploy("ada's", "--push", name="Nightly")
    shared.bob.deploy("bob's", name="nightly")
    line = shared.bob.fatal("pull")
    assert "'etl/Nightly' at origin differs from 'etl/nightly' here only by case" in line
    command = line.rpartition("to remove that one: git deployments ")[2]
    shared.bob.git("push", "-q", "origin", "refs/deployments/etl/nightly/*:refs/deployments/etl/nightly/*")
    carol = shared.clone("carol")
    line = carol.fatal("pull")
    assert "'etl/nightly' at origin differs from 'etl/Nightly' there only by case" in line
    carol.ok(*shlex.split(line.rpartition("to have one of them: git deployments ")[2]))
    assert carol.live("etl/nightly") == 1
    shared.bob.ok(*shlex.split(command), "-y", "--push")
    shared.bob.ok("pull")
    assert same(shared.hub, shared.ada, shared.bob)


def test_two_hubs_with_different_histories_are_told_apart(shared: Team) -> None:
    other = Project(shared.path / "other.git")
    subprocess.run(["git", "clone", "-q", "--mirror", str(shared.hub.path), str(other.path)], check=True)
    shared.bob.git("remote", "add", "other", str(other.path))
    shared.ada.deploy("at the hub", "--push")
    shared.bob.deploy("at the other", "--push", "--remote", "other")
    before = shared.bob.refs()
    assert "one published history at origin and another at other" in shared.bob.fatal("pull", "origin", code=4)
    assert shared.bob.refs() == before


@pytest.mark.parametrize("name", ["etl/prod", "prod"])
@pytest.mark.parametrize("options", [(), ("--push",)])
def test_a_clone_that_has_nothing_asks_the_remote_what_to_delete(
    shared: Team, name: str, options: tuple[str, ...]
) -> None:
    sure = shared.clone("sure")
    sure.ok("delete", "-y", name, *options)
    assert sure.live() is None
    assert shared.hub.live() == (None if options else 3)
    assert "no deployment 'etl/nosuch'" in sure.fatal("delete", "-y", "etl/nosuch", *options)
    if options:
        assert "is deleted already" in shared.clone("late").run("delete", "-y", name, *options).err


@pytest.mark.parametrize("options", [(), ("--push",)])
def test_what_to_delete_is_asked_once_the_remote_was(shared: Team, options: tuple[str, ...]) -> None:
    unsure = shared.clone("unsure")
    result = unsure.run("delete", "prod", *options, stdin="n\n")
    assert result.code == 1
    assert "Delete 'etl/prod' (all its versions; its log stays)?" in result.err
    assert result.err.endswith("nothing was deleted\n")
    assert unsure.live() == shared.hub.live() == 3
    assert unsure.run("delete", "prod", *options, stdin="y\n").code == 0
    assert unsure.live() is None
    assert shared.hub.live() == (None if options else 3)


@pytest.mark.parametrize("options", [(), ("--push",)])
def test_a_clone_that_has_nothing_asks_the_remote_what_to_purge(shared: Team, options: tuple[str, ...]) -> None:
    sure = shared.clone("sure")
    sure.ok("delete", "-y", "prod", "--purge", *options)
    assert sure.refs() == {}
    assert bool(shared.hub.refs()) == (not options)
    assert "no deployment 'nosuch'" in shared.clone("wrong").run("delete", "-y", "nosuch", "--purge", *options).err


def test_purge_with_push_leaves_nothing_anywhere(shared: Team) -> None:
    shared.ada.ok("delete", "prod", "--purge", "-y", "--push")
    assert shared.hub.refs() == {}
    assert shared.ada.refs() == {}


@pytest.fixture
def nested(shared: Team) -> Team:
    """A name may be one part alone, and that the first part of another's: `etl`, `etl/prod` and `etl/legacy`."""
    shared.ada.deploy("alone", name="etl", flow=None)
    shared.ada.deploy("old", name="legacy")
    shared.ada.deploy("older", name="legacy")
    shared.ada.ok("push", "origin")
    shared.bob.ok("pull", "origin")
    return shared


def test_what_is_fetched_of_a_name_is_nothing_of_those_below_it(nested: Team) -> None:
    nested.ada.ok("delete", "etl/legacy", "--purge", "-y", "--push")
    nested.ada.deploy("again", "--push", name="etl", flow=None)
    nested.bob.ok("pull", "origin", "etl")
    assert nested.bob.live("etl") == 2
    assert "etl/legacy: no longer at origin" in nested.bob.ok("pull", "origin").err
    assert "was removed at origin" in nested.bob.fatal("push", "origin")


def test_a_log_that_was_rewound_is_seen_after_a_fetch_of_the_name_above(nested: Team) -> None:
    first = nested.hub.git("rev-parse", "refs/deployments/etl/legacy/log^")
    nested.hub.git("update-ref", "refs/deployments/etl/legacy/log", first)
    nested.hub.git("update-ref", "refs/deployments/etl/legacy/live", "refs/deployments/etl/legacy/versions/1")
    nested.bob.ok("pull", "origin", "etl")
    assert "was rewound" in nested.bob.fatal("pull", "origin", code=4)


def test_a_name_of_one_part_that_was_removed_is_said_when_it_is_fetched(nested: Team) -> None:
    nested.ada.ok("delete", "etl", "--purge", "-y", "--push")
    assert "etl: no longer at origin" in nested.bob.ok("fetch", "origin", "etl").err
    assert "etl: no longer at origin" not in nested.bob.ok("fetch", "origin", "etl").err
    assert same(nested.hub, nested.ada)


def test_a_purge_here_says_that_the_remote_has_it_still(shared: Team) -> None:
    result = shared.ada.ok("delete", "prod", "--purge", "-y")
    assert result.out == "etl/prod: nothing of it is left here\n"
    told = "origin has it still, and a pull brings it back; to remove it there: git deployments "
    shell = result.err.splitlines()[-1].partition(told)[2]
    shared.ada.ok(*shell.split(), "-y")
    assert shared.hub.refs() == shared.ada.refs() == {}
    shared.ada.deploy("alone", name="alone")
    assert "has it still" not in shared.ada.ok("delete", "alone", "--purge", "-y").err


def test_a_purge_forgets_only_what_was_seen_of_that_deployment(shared: Team) -> None:
    """A name may be one part alone, and that the first part of another's."""
    shared.ada.deploy("alone", "--push", name="etl", flow=None)
    shared.ada.ok("delete", "etl", "--purge", "-y", "--push")
    seen = shared.ada.git("for-each-ref", "--format=%(refname)", "refs/remote-deployments").split()
    assert seen == [f"refs/remote-deployments/origin/etl/prod/{kind}" for kind in ("live", "log")]
    assert same(shared.hub, shared.ada, shared.bob)


def test_what_was_removed_twice_and_made_again_is_new(shared: Team) -> None:
    shared.ada.ok("delete", "prod", "--purge", "-y", "--push")
    assert "no longer at origin" in shared.bob.ok("fetch", "origin").err
    shared.bob.ok("delete", "prod", "--purge", "-y", "--push")
    shared.ada.deploy("again", "--push")
    shared.bob.ok("pull", "origin")
    assert same(shared.hub, shared.ada, shared.bob)


@pytest.mark.parametrize("first", [False, True])
def test_a_deployment_may_be_called_gone(shared: Team, first: bool) -> None:
    """What is kept of a deployment that is gone is in nobody's way."""
    shared.ada.deploy("alone", "--push", name="etl", flow=None)
    if first:
        shared.ada.deploy("x", "--push", name="gone")
    shared.bob.ok("pull", "origin")
    shared.ada.ok("delete", "etl", "--purge", "-y", "--push")
    assert "etl: no longer at origin" in shared.bob.ok("fetch", "origin").err
    if not first:
        shared.ada.deploy("x", "--push", name="gone")
    shared.bob.ok("pull", "origin")
    assert shared.bob.live("etl/gone") == 1
    assert "'etl' was removed at origin" in shared.bob.fatal("push", "origin")


def test_a_full_name_at_the_remote_comes_before_a_half_that_is_here(shared: Team) -> None:
    shared.ada.deploy("alone", "--push", name="prod", flow=None)
    shared.bob.ok("fetch", "origin")
    shared.bob.ok("pull", "origin", "prod")
    assert shared.bob.live("prod") == 1
    shared.ada.deploy("again", "--push", name="prod", flow=None)
    shared.bob.deploy("bob's", "--push", name="prod", flow=None)
    assert shared.hub.live("prod") == 3


def test_a_publishing_deploy_of_a_name_of_one_part_learns_of_it_at_the_remote(shared: Team) -> None:
    shared.ada.deploy("alone", "--push", name="prod", flow=None)
    shared.bob.deploy("bob's", "--push", name="prod", flow=None)
    assert shared.hub.live("prod") == 2
    assert shared.hub.live() == 3


@pytest.mark.parametrize("changes", [("paused=true",), ("paused=true", "description=other")])
def test_an_update_of_what_others_deleted_is_contested(shared: Team, changes: tuple[str, ...]) -> None:
    shared.bob.ok("update", "prod", *changes)
    shared.ada.ok("delete", "prod", "-y", "--push")
    contested(shared.bob.run("pull", "origin"))
    assert same(shared.hub, shared.bob)
    assert "nothing new" in shared.bob.ok("pull", "origin").out


def test_what_is_live_again_after_a_delete_keeps_its_versions(shared: Team) -> None:
    first = shared.hub.git("rev-parse", f"{PREFIX}versions/1")
    shared.bob.ok("rollback", "prod")
    shared.ada.ok("delete", "prod", "-y", "--push")
    shared.ada.git("push", "-q", "origin", f"{first}:{PREFIX}live")
    contested(shared.bob.run("pull", "origin"))
    assert shared.bob.live() == 1
    assert [f"{PREFIX}versions/{number}" for number in (1, 2, 3)] == sorted(shared.bob.refs())[2:]


def test_what_was_published_at_a_remote_that_was_removed_is_not_published(shared: Team) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(shared.path / "other.git")], check=True)
    shared.bob.git("remote", "add", "other", f"file://{shared.path}/other.git")
    shared.bob.deploy("bob's")
    shared.bob.ok("push", "other")
    shared.ada.deploy("ada's", "--push")
    shared.bob.fatal("pull", "origin", code=4)
    shared.bob.git("remote", "remove", "other")
    assert "* v4?" in shared.bob.ok("versions", "prod").out
    assert "v4 is now v5" in shared.bob.ok("pull", "origin").out
    shared.bob.ok("push", "origin")
    assert shared.hub.live() == 5


def test_what_is_published_is_not_provisional_where_clocks_were_wrong(team: Team) -> None:
    """git stops looking for what two histories share where the dates say that nothing older comes."""
    for number in range(8):
        team.ada.manifest(f"d{number}")
        team.ada.ok("deploy", GIT_COMMITTER_DATE="2030-01-01T00:00:00Z")
    for _ in range(4):
        for verb in ("rollback", "promote"):
            team.ada.ok(verb, "prod", GIT_COMMITTER_DATE="2001-01-01T00:00:00Z")
    team.ada.ok("push", "origin")
    team.ada.deploy("mine")
    shown = team.ada.ok("versions", "prod").out.replace("*", "").splitlines()
    assert [line.split()[0] for line in shown] == ["v9?", *(f"v{number}" for number in range(8, 0, -1))]


@pytest.mark.parametrize("remote", ["team/hub", "100%", "a.lock/b"])
def test_a_remote_is_called_what_it_is_configured_as(shared: Team, remote: str) -> None:
    shared.bob.git("config", "--rename-section", "remote.origin", f"remote.{remote}")
    shared.bob.git("update-ref", "-d", "refs/remote-deployments/origin/etl/prod/live")
    shared.bob.git("update-ref", "-d", "refs/remote-deployments/origin/etl/prod/log")
    shared.ada.ok("rollback", "prod", "--push")
    shared.bob.ok("fetch", remote)
    (seen,) = shared.bob.git("for-each-ref", "--format=%(refname)", "refs/remote-deployments/*/etl/prod/live").split()
    shared.bob.git("update-ref", f"{PREFIX}live", seen)
    said = shared.bob.fatal("promote", "prod", code=4)
    assert f"was taken from remote '{remote}'" in said
    assert f"pull {remote}" in said
    shared.bob.ok("pull", remote)


def test_a_log_that_is_missing_here_is_told_to_who_names_the_deployment(shared: Team) -> None:
    shared.ada.git("update-ref", "-d", f"{PREFIX}log")
    assert "has versions here but no log" in shared.ada.fatal("push", "origin", "prod")


def test_configuration_that_gets_in_the_way_of_a_push(shared: Team) -> None:
    for key, value in (
        ("remote.origin.mirror", "true"),
        ("push.pushOption", "x"),
        ("push.gpgSign", "true"),
        ("push.followTags", "true"),
        ("fetch.prune", "true"),
        ("push.default", "nothing"),
        ("color.ui", "always"),
    ):
        shared.ada.git("config", key, value)
    shared.ada.deploy("d4", "--push")
    assert shared.hub.live() == 4
    assert "refs/heads/main" in shared.hub.git("for-each-ref")


def test_the_code_of_a_detached_deploy_travels_with_it(shared: Team) -> None:
    shared.ada.git("checkout", "-q", "--detach")
    code = shared.ada.commit("Detached", x="y")
    shared.ada.deploy("d4", "--push")
    assert shared.hub.refs()["refs/deployments/etl/prod/sources/4"] == code


def test_a_push_warns_of_code_that_the_remote_s_branches_lack(team: Team) -> None:
    """As they were last seen; a tag, or a ref that keeps the code, is as good."""
    team.ada.git("push", "-q", "origin", "main")
    assert "on no branch" not in team.ada.deploy("d1", "--push").err
    code = team.ada.commit("Not pushed", code="2\n")
    said = team.ada.deploy("d2", "--push").err
    assert f"warning: the code of v2 of 'etl/prod' ({code[:12]}) is on no branch of origin that was seen" in said
    assert "git push origin BRANCH" in said
    team.ada.ok("rollback", "prod")
    assert "on no branch" not in team.ada.ok("push").err
    team.ada.deploy("d3")
    later = team.ada.commit("Not pushed either", code="3\n")
    team.ada.deploy("d4")
    said = team.ada.ok("push").err
    assert (
        f"the code of v4 of 'etl/prod' ({later[:12]}) is on no branch of origin that was seen, nor is that of 1" in said
    )
    team.ada.git("tag", "kept")
    assert "on no branch" not in team.ada.deploy("d5", "--push").err
    team.ada.commit("Kept", code="4\n")
    team.ada.git("config", "deployments.keepSource", "always")
    assert "on no branch" not in team.ada.deploy("d6", "--push").err
    team.ada.git("config", "deployments.keepSource", "never")
    team.ada.commit("Not kept", code="5\n")
    assert "on no branch" in team.ada.deploy("d7", "--push").err
    team.ada.git("config", "remote.origin.fetch", "+refs/deployments/*:refs/remote-deployments/origin/*")
    assert "on no branch" not in team.ada.deploy("d8", "--push").err


# What is known


def test_status_against_a_remote(shared: Team) -> None:
    shared.bob.ok("update", "prod", "paused=true")
    assert "unpublished: 1 event that origin lacks; git deployments push origin etl/prod" in shared.bob.ok("status").out
    shared.ada.deploy("d4", "--push")
    shared.bob.ok("fetch")
    assert "diverged: 1 unpublished and 1 more at origin" in shared.bob.ok("status").out
    (row,) = shared.bob.ok("status", "--json", "--remote", "origin").json
    assert (row["remote"], row["unpublished"], row["behind"], row["diverged"]) == ("origin", 1, 1, True)
    shared.bob.ok("pull")
    shared.bob.ok("push")
    assert shared.bob.ok("status").out == "nothing needs attention\n"
    shared.ada.ok("fetch")
    assert "behind: 1 event more at origin; git deployments pull" in shared.ada.ok("status").out


@pytest.mark.parametrize("lost", ["log", "log^"])
def test_status_tells_of_what_is_damaged_beside_the_others(shared: Team, lost: str) -> None:
    shared.ada.deploy("other", "--push", name="other")
    for _ in range(2):
        shared.ada.ok("update", "prod", "description=unpublished", "--unset", "tags", "-q")
        shared.ada.ok("update", "prod", "description=again", "-q")
    oid = shared.ada.git("rev-parse", f"{LOG.removesuffix('log')}{lost}")
    (shared.ada.path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    other, prod = shared.ada.ok("status", "--json").json
    assert (other["name"], other["problem"], other["unpublished"]) == ("etl/other", None, 0)
    assert (prod["name"], prod["remote"], prod["unpublished"], prod["diverged"]) == ("etl/prod", "origin", None, None)
    assert oid in prod["problem"]
    shared.ada.ok("update", "etl/other", "description=fine", "-q")
    out = shared.ada.ok("status").out
    assert "etl/prod: damaged: " in out
    assert "etl/other: unpublished: 1 event" in out


def test_an_unpublished_number_is_shown_as_provisional(shared: Team) -> None:
    shared.bob.deploy("d4")
    numbers = [line.replace("*", "").split()[0] for line in shared.bob.ok("versions", "prod").out.splitlines()]
    assert numbers == ["v4?", "v3", "v2", "v1"]
    shared.bob.ok("push")
    assert "?" not in shared.bob.ok("versions", "prod").out


def test_a_lock_on_what_was_last_seen_that_stays_is_named_and_goes_once_it_is_old(
    shared: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "LOCK_PATIENCE", 0.5)
    shared.ada.deploy("d4", "--push")
    lock = shared.bob.path / ".git/refs/remote-deployments/origin/etl/prod/log.lock"
    lock.touch()
    line = shared.bob.fatal("pull")
    assert str(lock) in line
    assert "fsck --repair" in line
    os.utime(lock, (0, 0))
    assert str(lock) in shared.bob.ok("fsck", "--repair").err
    shared.bob.ok("pull")
    assert same(shared.ada, shared.bob)


def large(path: Path) -> None:
    """A hub with 11 deployments of 100 versions each."""
    path.mkdir()
    made = history(path / "made", Plan(100, tuple(f"etl/d{number:02}" for number in range(11))))
    subprocess.run(["git", "clone", "-q", "--mirror", str(made.path), str(path / "hub.git")], check=True)


def is_new(project: Project) -> bool:
    return not project.git("for-each-ref", "refs/deployments")


def test_a_first_pull_of_much_moves_all_or_nothing(tmp_path: Path) -> None:
    prepared(tmp_path, large)
    ada, hub = clone(tmp_path, "ada"), Project(tmp_path / "hub.git")
    lock = ada.path / ".git/refs/deployments/etl/d07/log.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert str(lock) in ada.fatal("pull")
    assert is_new(ada)
    lock.unlink()
    ada.ok("pull")
    assert same(ada, hub)
    for kind_of_ref in ("log", "live"):  # as if it had been killed before it wrote these
        ada.git("update-ref", "--stdin", stdin=f"delete refs/deployments/etl/d03/{kind_of_ref}\n")
    ada.ok("pull")
    assert same(ada, hub)
    assert ada.ok("fsck").out == ""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here to see what is flushed")
def test_a_first_pull_of_much_has_flushed_its_versions_before_the_log_is_there(tmp_path: Path) -> None:
    prepared(tmp_path, large)
    ada = clone(tmp_path, "ada")
    calls = "trace=fsync,fdatasync,link,rename,renameat,renameat2"
    command = [
        "strace",
        "-f",
        "-y",
        "-e",
        calls,
        "-o",
        str(tmp_path / "trace"),
        sys.executable,
        "-m",
        "git_deployments",
    ]
    subprocess.run([*command, "pull", "-q"], cwd=ada.path, check=True, capture_output=True)
    lines = (tmp_path / "trace").read_text().splitlines()
    flushed = [at for at, line in enumerate(lines) if "sync(" in line and "/packed-refs." in line]
    named = [at for at, line in enumerate(lines) if "rename" in line and '/log"' in line and "refs/deployments" in line]
    assert len(named) == 11
    assert flushed[0] < named[0]
    assert not any("sync(" in line and "/versions/" in line for line in lines)


def test_a_pull_that_died_while_it_gave_other_numbers_is_finished_by_the_next_one(shared: Team) -> None:
    """After each ref of its transaction that it writes but the last; what it removes, git removes after those."""
    shared.ada.git("config", "deployments.keepSource", "always")
    shared.bob.deploy("bob's", "--push")
    for number in (4, 5):
        shared.ada.commit("On no branch of the hub", code=f"{number}\n")
        shared.ada.deploy(f"ada's {number}", version=f"a{number}")
    before = shared.ada.refs()
    moved = shared.ada.ok("pull").err
    after = shared.ada.refs()
    order = sorted(
        (ref for ref in before.keys() | after.keys() if before.get(ref) != after.get(ref)),
        key=lambda ref: (ref not in after, ("sources/", "versions/", "live", "log").index(kind(ref)), ref),
    )
    assert len(order) >= 5
    for torn in range(sum(ref in after for ref in order)):
        for place, ref in enumerate(order):
            refs = after if place < torn else before
            shared.ada.git("update-ref", *([ref, refs[ref]] if ref in refs else ["-d", ref]))
        assert moved == shared.ada.ok("pull").err
        assert shared.ada.ok("fsck").out == ""
        kept = {ref: oid for ref, oid in shared.ada.refs().items() if "/sources/" in ref}
        assert kept == {ref: oid for ref, oid in after.items() if "/sources/" in ref}, order[:torn]


def test_a_live_moved_by_hand_after_a_torn_pull_is_left_alone(shared: Team) -> None:
    shared.bob.deploy("bob's", "--push")
    shared.ada.deploy("ada's")
    shared.ada.ok("fetch")
    published = shared.bob.refs()[LIVE]
    shared.ada.git("update-ref", f"{PREFIX}versions/4", published)
    shared.ada.git("update-ref", LIVE, f"{PREFIX}versions/1")
    shared.ada.fatal("pull")


PREFIX = "refs/deployments/etl/prod/"


def kind(ref: str) -> str:
    """With a slash after it where numbers follow."""
    return ref.removeprefix(PREFIX).rstrip("0123456789")


@pytest.mark.skipif(sys.platform != "linux", reason="how many words a process may be given is limited otherwise here")
def test_more_versions_go_to_a_new_server_than_one_command_line_can_name(tmp_path: Path) -> None:
    """The limit is a quarter of the stack's, at least 128 kB (Linux manual, execve(2)): so it is reached earlier."""
    writer = history(tmp_path / "writer", Plan(1500, keep=0))
    writer.run("git", "init", "-q", "--bare", str(tmp_path / "hub.git"))
    hub = Project(tmp_path / "hub.git")
    hub.ok("hook", "install")
    writer.run("git", "remote", "add", "origin", str(hub.path))
    limited = f"ulimit -s 512; exec {shlex.join([sys.executable, '-m', 'git_deployments'])} push origin"
    done = subprocess.run(["bash", "-c", limited], cwd=writer.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(hub.refs()) > 1500
    assert hub.refs() == Project(writer.path).refs()
    hub.ok("fsck")


def test_names_that_a_file_system_may_confuse_do_not_come_together(team: Team) -> None:
    team.ada.deploy(flow="etl")
    team.ada.ok("push", "origin")
    team.bob.manifest(flow="ETL")
    team.bob.ok("deploy", "--offline")
    assert "'etl/prod' at origin differs from 'ETL/prod' here only by case" in team.bob.fatal("pull", "origin")
    assert "'ETL/prod' differs from 'etl/prod' at origin only by case" in team.bob.fatal("push", "origin")
    team.bob.ok("delete", "--purge", "-y", "ETL/prod")
    team.bob.manifest(flow="Etl")
    assert "'Etl/prod' differs from 'etl/prod' only by case" in team.bob.fatal("deploy", "--offline")
    team.bob.ok("pull", "origin")
    assert team.bob.ok("fsck").out == ""


def test_names_at_a_remote_that_a_file_system_may_confuse_are_not_taken_over(team: Team) -> None:
    for clone, flow in ((team.ada, "etl"), (team.bob, "ETL")):
        clone.manifest(flow=flow)
        clone.ok("deploy", "--offline")
        clone.ok("push", "origin")
    carol = team.clone("carol")
    assert "only by case or by Unicode form" in carol.fatal("pull", "origin")
    carol.ok("pull", "origin", "etl/prod")
    assert carol.live() == 1
