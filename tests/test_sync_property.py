"""Three clones and a hub, anything in any order: nothing acknowledged is lost, and all end up the same.

`GIT_DEPLOYMENTS_SOAK=1` makes the long run of `make soak`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from .conftest import Project, Result
from .soak import FULL, TIMES
from .test_sync import LIVE, LOG, Team, publish

NAMES = ("etl/prod", "etl/dev")
CLONES = ("ada", "bob", "eve")
CODES = (0, 1, 3, 4, 5, 128)
RECIPE = "+refs/deployments/*:refs/remote-deployments/origin/*"

SMALL = settings(max_examples=3, stateful_step_count=20, derandomize=True)
LARGE = settings(max_examples=max(1, round(5 * TIMES)), stateful_step_count=40)
PROFILE = settings(
    LARGE if FULL else SMALL, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)

deployments = st.sampled_from([NAMES[0], NAMES[0], NAMES[1]])
people = st.sampled_from(CLONES)
flags = st.booleans()
seldom = st.sampled_from([False, False, True])
mostly = st.sampled_from([True, True, False])

MOVES = (
    ("rollback",),
    ("rollback",),
    ("promote",),
    ("rollback", "v1"),
    ("rollback", "v2"),
    ("promote", "v3"),
    ("rollback", "--hold"),
    ("delete", "-y"),
)


class Clock(NamedTuple):
    """When and by whom the clones' commits are made."""

    named: bool
    """Each clone has its own name."""
    ticks: bool
    """Time goes on with each command."""
    behind: tuple[str, ...] = ()
    """Clones whose clocks are decades slow."""

    def of(self, clone: str, step: int) -> dict[str, str]:
        seconds = (1_000_000_000 if clone in self.behind else 1_800_000_000) + (step if self.ticks else 0)
        name = clone.capitalize() if self.named else "Ada"
        roles = ("AUTHOR", "COMMITTER")
        dates = {f"GIT_{role}_DATE": f"{seconds} +0000" for role in roles}
        return dates | {f"GIT_{role}_NAME": name for role in roles}


CLOCKS = {
    "apart": Clock(named=True, ticks=True),
    "equal": Clock(named=False, ticks=False),
    "slow": Clock(named=True, ticks=True, behind=("bob",)),
}


class Version(NamedTuple):
    """A version as plain git tells it."""

    number: int
    oid: str
    token: str
    """The unique text that it was made with."""


def template(path: Path, guarded: bool) -> None:
    """A hub and three clones that know three versions of each deployment, ready to be copied."""
    git = ["git", "-c", "init.templateDir=", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "-q", "--bare", str(path / "hub.git")], check=True)
    if guarded:
        Project(path / "hub.git").ok("hook", "install")
    for name in CLONES:
        subprocess.run([*git, "init", "-q", str(path / name)], check=True)
        Project(path / name).git("remote", "add", "origin", "../hub.git")
    first = Project(path / CLONES[0])
    first.commit("Start", code="1\n")
    first.git("push", "-q", "origin", "main")
    for name in CLONES[1:]:
        Project(path / name).git("fetch", "-q")
        Project(path / name).git("reset", "-q", "--hard", "origin/main")
    for name in NAMES:
        flow, _, half = name.partition("/")
        for number in (1, 2, 3):
            first.manifest(f"base {number}", name=half, flow=flow)
            first.ok("deploy", "-m", f"b{number}")
    first.ok("push")
    for name in CLONES[1:]:
        Project(path / name).ok("pull")


class Travels(RuleBasedStateMachine):
    """Each rule is one thing that somebody does; the invariants hold after each."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__()
        self.path, self.clock, self.step = path, clock, 0
        shutil.rmtree(path / "world", ignore_errors=True)
        shutil.copytree(path / "template", path / "world")
        self.hub = Project(path / "world/hub.git")
        self.clones = {name: Project(path / "world" / name) for name in CLONES}
        self.kept: dict[str, str] = {}
        """Token of each acknowledged version to its deployment."""
        self.loggable: set[str] = set()
        """Tokens of acknowledged changes of settings."""
        self.refused: set[str] = set()
        """Tokens of what was not acknowledged."""
        self.contested: set[str] = set()
        self.hand_moves = 0
        self.tears = 0
        self.believed = 0
        """Tears that outlast two readings: who reads must take them for a move by hand (design, "Refs")."""
        self.seen: dict[Path, dict[str, str]] = {}
        self.published: dict[tuple[str, int], str] = {}
        self.sound = True

    # What is done

    def run(self, clone: str, *words: str) -> Result:
        """A command; it ends in one of the documented ways and says what it drops."""
        self.step += 1
        self.sound = False
        result = self.clones[clone].run(*words, **self.clock.of(clone, self.step))
        assert result.code in CODES, (words, result)
        assert "Traceback" not in result.err
        assert "refused the push" not in result.err, "the guard of the hub refused an honest push"
        fatal = sum(line.startswith("fatal: ") for line in result.err.splitlines())
        said = fatal or (result.code == 4 and "contested: " in result.err)
        assert fatal <= 1, (words, result)
        assert bool(said) == (result.code in (1, 4, 5, 128)), (words, result)
        here = [line for line in result.err.splitlines() if line.startswith("  here: ")]
        self.contested |= {token for line in here for token in re.findall(r"\b[dusm]\d+\b", line)}
        return result

    def write(self, clone: str, kind: str, published: bool, *words: str) -> tuple[str, bool]:
        """A write with a unique reason; (the reason, whether it was done)."""
        token = f"{kind}{self.step + 1}"
        result = self.run(clone, *words, "-m", token, *(["--push"] if published else []))
        done = result.code in (0, 3)
        if not done:
            self.refused.add(token)
        return token, done

    @rule(clone=people, name=deployments, live=mostly, published=seldom)
    def deploy(self, clone: str, name: str, live: bool, published: bool) -> None:
        flow, _, half = name.partition("/")
        self.clones[clone].manifest(f"d{self.step + 1}", name=half, flow=flow)
        token, done = self.write(clone, "d", published, "deploy", *([] if live else ["--no-live"]))
        if done:
            self.kept[token] = name

    @rule(clone=people, name=deployments, published=seldom, key=st.sampled_from(["description", "work_pool_name"]))
    def update(self, clone: str, name: str, published: bool, key: str) -> None:
        token, done = self.write(clone, "u", published, "update", name, f"{key}=u{self.step + 1}")
        if done:
            self.kept[token] = name

    @rule(clone=people, name=deployments, published=seldom)
    def change_settings(self, clone: str, name: str, published: bool) -> None:
        token, done = self.write(clone, "s", published, "update", name, f"concurrency_limit={self.step + 1}")
        if done:
            self.loggable.add(token)

    @rule(clone=people, name=deployments, published=seldom, move=st.sampled_from(MOVES))
    def move(self, clone: str, name: str, published: bool, move: tuple[str, ...]) -> None:
        self.write(clone, "m", published, move[0], name, *move[1:])

    @rule(clone=people, command=st.sampled_from(["pull", "push", "pull", "push", "fetch"]))
    def talk(self, clone: str, command: str) -> None:
        self.run(clone, command)

    @rule(clone=people, name=deployments, publish=flags)
    def use_plain_git(self, clone: str, name: str, publish: bool) -> None:
        """The two recipes of the design; a push may be refused."""
        self.sound = False
        refs = [f"refs/deployments/{name}/{ref}" for ref in ("log", "live", "versions/*")]
        words = ["push", "-q", "--atomic", "origin", refs[0], f"+{refs[1]}", refs[2]]
        words = words if publish else ["fetch", "-q", "origin", RECIPE]
        subprocess.run(["git", *words], cwd=self.clones[clone].path, capture_output=True)

    @precondition(lambda self: self.hand_moves < (4 if FULL else 1))
    @rule(where=st.sampled_from([*CLONES, "hub"]), name=deployments, pick=st.integers(0, 99))
    def move_live_by_hand(self, where: str, name: str, pick: int) -> None:
        project = self.clones.get(where, self.hub)
        refs = project.refs()
        live = f"refs/deployments/{name}/live"
        versions = sorted(ref for ref in refs if ref.startswith(f"refs/deployments/{name}/versions/"))
        if live in refs and versions:
            self.sound = False
            self.hand_moves += 1
            project.git("update-ref", live, versions[pick % len(versions)])

    @precondition(lambda self: self.step % 5 == 0)
    @rule(where=st.sampled_from([*CLONES, "hub"]), thorough=flags)
    def tidy(self, where: str, thorough: bool) -> None:
        self.sound = False
        words = ["gc", "-q", "--prune=now"] if thorough else ["pack-refs", "--all", "--prune"]
        self.clones.get(where, self.hub).git(*words)

    @precondition(lambda self: self.tears < (4 if FULL else 1))
    @rule(
        writer=people,
        name=deployments,
        reader=people,
        command=st.sampled_from(["fetch", "pull"]),
        first=st.sampled_from(["live", "log"]),
        how=st.sampled_from([(), (), *MOVES[:6]]),
        long=flags,
    )
    def look_at_the_middle_of_a_push(
        self, writer: str, name: str, reader: str, command: str, first: str, how: tuple[str, ...], long: bool
    ) -> None:
        """The reader finds the hub with one of live and log moved, the other not yet."""
        reader = next(one for one in (reader, *CLONES) if one != writer)
        if self.run(writer, "pull").code or self.run(writer, "push").code:
            return
        before = self.hub.refs()
        if how:
            self.move(writer, name, True, how)
        else:
            self.deploy(writer, name, True, True)
        after = self.hub.refs()
        late = f"refs/deployments/{name}/{'log' if first == 'live' else 'live'}"
        if late not in before or late not in after or before[late] == after[late]:
            return
        self.tears += 1
        self.believed += long and first == "log"
        self.hub.git("update-ref", late, before[late])
        rest = threading.Timer(1.0 if long else 0.1, self.hub.git, ("update-ref", late, after[late]))
        rest.start()
        self.run(reader, command)
        rest.join()
        if long:
            self.run(reader, command)

    # What always holds

    @invariant()
    def histories_are_sound(self) -> None:
        """Looks only at what moved."""
        for project in (self.hub, *self.clones.values()):
            refs = project.refs()
            before = self.seen.get(project.path, {})
            if refs != before:
                result = project.run("fsck")
                assert result.code == 0, (project.path.name, result)
            if refs != before and project is self.hub:
                self.look_at_the_hub(before, refs)
            self.seen[project.path] = refs
        self.sound = True

    def look_at_the_hub(self, before: dict[str, str], now: dict[str, str]) -> None:
        """Its logs only grow, and a published number never means something else."""
        for name in NAMES:
            log = f"refs/deployments/{name}/log"
            if log in before and before[log] != now.get(log):
                self.hub.git("merge-base", "--is-ancestor", before[log], log)
            for version in history(self.hub, name) if log in now else ():
                known = self.published.setdefault((name, version.number), version.oid)
                assert known == version.oid, f"v{version.number} of {name} was {known} and is {version.oid}"

    # When it is quiet

    def teardown(self) -> None:
        if self.sound:
            self.come_to_rest()
            self.check_the_end()

    def come_to_rest(self) -> None:
        """Everybody pulls and pushes until nothing changes."""
        for _ in range(12):
            before = self.everything()
            results = [self.run(clone, command) for clone in CLONES for command in ("pull", "push")]
            self.histories_are_sound()
            if self.everything() == before:
                assert [result.code for result in results] == [0] * len(results), results
                return
        raise AssertionError(f"no rest is found: {results}")

    def everything(self) -> list[dict[str, str]]:
        return [project.refs() for project in (self.hub, *self.clones.values())]

    def check_the_end(self) -> None:
        refs = self.everything()
        for clone, there in zip(CLONES, refs[1:], strict=True):
            assert there == refs[0], f"{clone} is not as the hub"
        found: list[str] = []
        logged: list[str] = []
        adopted = 0
        for name in (name for name in NAMES if f"refs/deployments/{name}/log" in refs[0]):
            versions = history(self.hub, name)
            assert [one.number for one in versions] == list(range(len(versions), 0, -1))
            assert [one.token for one in versions[-3:]] == ["b3", "b2", "b1"]
            assert all(self.kept[one.token] == name for one in versions[:-3]), versions
            found += [one.token for one in versions[:-3]]
            events = self.hub.git("log", "--format=%B", "--first-parent", f"refs/deployments/{name}/log")
            logged += tokens_of_events(self.hub, name)[:-3]
            adopted += events.count("\nAction: adopt\n")
        assert len(set(found)) == len(found), "a version was made twice"
        assert len(set(logged)) == len(logged), "an event stands in a log twice"
        lost = (self.kept.keys() - set(found)) | (self.loggable - set(logged))
        assert not lost - self.contested, f"acknowledged and lost: {lost - self.contested}"
        assert not {token for token in lost if token.startswith("d")}, f"a deploy was dropped: {lost}"
        assert not self.refused & {*found, *logged}, "what was refused is there"
        assert adopted <= self.hand_moves + self.believed, "a move that nobody made was recorded"


def history(project: Project, name: str) -> list[Version]:
    """The versions that a log reaches, newest first."""
    latest = project.trailer(f"refs/deployments/{name}/log", "Latest-Commit")
    if not latest:
        return []
    listing = project.git("log", "--first-parent", "--format=%H%x1f%B%x1e", latest)
    rows = (record.strip().split("\x1f") for record in listing.split("\x1e") if record.strip())
    return [Version(int(re.findall(r"^Number: (\d+)$", body, re.M)[-1]), oid, token(body)) for oid, body in rows]


def tokens_of_events(project: Project, name: str) -> list[str]:
    """The reasons in a log, oldest last."""
    bodies = project.git("log", "--first-parent", "--format=%B%x1e", f"refs/deployments/{name}/log").split("\x1e")
    return [found for body in bodies if "\nAction: " in body and (found := token(body))]


def token(body: str) -> str:
    """The unique text that a commit was made with; empty if none."""
    found = re.findall(r"^[bdusm]\d+$", body, re.M)
    return found[0] if found else ""


@pytest.mark.parametrize(("clock", "guarded"), [("apart", True), ("equal", False), ("slow", True)])
def test_whatever_happens_all_end_up_the_same_and_nothing_is_lost(tmp_path: Path, clock: str, guarded: bool) -> None:
    template(tmp_path / "template", guarded)
    machine = cast("type[RuleBasedStateMachine]", partial(Travels, tmp_path, CLOCKS[clock]))  # any factory will do
    run_state_machine_as_test(machine, settings=PROFILE)


# What such a search comes upon only by luck


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Three versions, published, and known to both clones."""
    return Team(tmp_path, publish)


def test_a_slow_clock_makes_nothing_unpublished(team: Team) -> None:
    """git stops `rev-list A ^B` five commits after the dates say that nothing can come any more."""
    for number in range(8):
        team.ada.manifest(f"slow {number}")
        team.ada.ok("deploy", GIT_COMMITTER_DATE="1000000000 +0000")
    team.ada.ok("push")
    assert "etl/prod: brought up to date" in team.bob.ok("pull").out
    assert team.bob.refs() == team.hub.refs()


def test_a_log_seen_before_its_live_is_no_move_of_ours(team: Team) -> None:
    before = team.hub.refs()
    team.ada.deploy("d4", "--push")
    after = team.hub.refs()
    team.hub.git("update-ref", LIVE, before[LIVE])
    team.bob.ok("pull")
    team.hub.git("update-ref", LIVE, after[LIVE])
    team.bob.ok("pull")
    team.bob.ok("push")
    assert team.hub.refs() == team.bob.refs() == after


def test_an_adopt_of_what_the_other_log_has_is_dropped_whatever_came_after(team: Team) -> None:
    before = team.hub.refs()
    team.ada.ok("rollback", "prod", "--push")
    after = team.hub.refs()
    team.hub.git("update-ref", LOG, before[LOG])
    team.bob.ok("pull")
    team.bob.ok("update", "prod", "paused=true")
    team.hub.git("update-ref", LOG, after[LOG])
    team.ada.ok("promote", "prod", "--push")
    team.bob.ok("pull")
    assert team.bob.live() == 3


def test_a_dropped_update_leaves_nothing_to_roll_back_from(team: Team) -> None:
    team.ada.ok("update", "prod", "description=ada", "--push")
    team.bob.ok("update", "prod", "description=bob")
    team.bob.ok("rollback", "prod")
    assert team.bob.run("pull").code == 4
    assert team.bob.live() == 4


def test_a_command_to_choose_has_the_number_that_the_version_has_now(team: Team) -> None:
    team.ada.deploy("ada", "--push")
    team.bob.deploy("bob", "--no-live")
    team.bob.ok("promote", "prod")
    result = team.bob.run("pull")
    assert result.code == 4
    assert "git deployments promote etl/prod v5" in result.err


def test_a_contested_key_may_hold_any_sign(team: Team) -> None:
    team.ada.ok("update", "prod", 'labels={"{team}": a}', "--push")
    team.bob.ok("update", "prod", 'labels={"{team}": b}')
    assert "labels.{team}" in team.bob.run("pull").err


def test_a_hold_without_a_move_is_replayed(team: Team) -> None:
    team.ada.ok("update", "prod", "paused=true", "--push")
    team.bob.ok("rollback", "prod", "v3", "--hold")
    team.bob.ok("pull")
    assert team.bob.ok("list", "--json").json[0]["held"] is True


@pytest.mark.parametrize("unpublished", [False, True])
def test_a_live_at_the_hub_that_is_no_version_is_named_and_not_taken(team: Team, unpublished: bool) -> None:
    if unpublished:
        team.ada.deploy("d4", "--push")
        team.bob.deploy("bob's")
    team.hub.git("update-ref", LIVE, "refs/heads/main")
    before = team.bob.refs()
    assert "breaks the format" in team.bob.fatal("pull")
    assert team.bob.refs() == before


def test_a_broken_live_is_not_published(team: Team) -> None:
    team.ada.git("update-ref", LIVE, "HEAD")
    before = team.hub.refs()
    team.ada.fatal("push")
    assert team.hub.refs() == before


def test_a_pull_without_a_log_keeps_what_is_unpublished(team: Team) -> None:
    team.bob.deploy("bob's")
    mine = team.bob.refs()[LIVE]
    team.bob.git("update-ref", "-d", LOG)
    team.bob.ok("pull")
    assert team.bob.refs()["refs/deployments/etl/prod/versions/4"] == mine


def test_each_rewound_log_is_named_until_it_is_put_right(team: Team) -> None:
    team.ada.manifest("one", name="dev")
    team.ada.ok("deploy")
    team.ada.ok("deploy", "--push")
    team.ada.ok("push")
    team.bob.ok("pull")
    for name in NAMES:
        log = f"refs/deployments/{name}/log"
        team.hub.git("update-ref", log, f"{log}~1")
    seen = team.bob.git("for-each-ref", "refs/remote-deployments")
    for _ in range(2):
        assert "was rewound" in team.bob.fatal("fetch", code=4)
        assert team.bob.git("for-each-ref", "refs/remote-deployments") == seen


def test_a_deployment_that_was_purged_and_made_again_is_another_history(team: Team) -> None:
    team.ada.ok("delete", "prod", "--purge", "-y", "--push")
    team.bob.ok("fetch")
    team.ada.deploy("fresh", "--push")
    before = team.bob.refs()
    team.bob.fatal("pull", code=4)
    assert team.bob.refs() == before


def test_a_deployment_that_comes_back_brings_all_its_versions(team: Team) -> None:
    team.ada.ok("delete", "prod", "-y", "--push")
    team.bob.ok("pull")
    team.bob.deploy("again", "--push")
    assert team.hub.refs() == team.bob.refs()
