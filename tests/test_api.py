"""The Python API: the verbs of the command line on typed, frozen values, without a word and without an exit."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import git_deployments
from git_deployments import Deployments, DeploymentsError

from .conftest import Project

PREFIX = "refs/deployments/etl/prod"


@pytest.fixture(autouse=True)
def silent(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing is printed, by us or by git, in any of these tests."""
    yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def deployments(versions: Project) -> Iterator[Deployments]:
    """The deployments of a repository with three versions of etl/prod."""
    with git_deployments.open(versions.path) as opened:
        yield opened


# The package


def test_the_example_of_the_package(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of the docstring, run as they stand."""
    lines = re.findall(r"^    (.*)$", git_deployments.__doc__ or "", re.MULTILINE)
    assert len(lines) == 4
    project.deploy("first")
    project.manifest("second")
    monkeypatch.chdir(project.path)
    exec("\n".join(lines), {})
    assert project.live() == 1
    assert project.git("log", "-1", "--format=%b", f"{PREFIX}/log").startswith("wrong totals\n")


def test_the_public_surface() -> None:
    assert sorted(git_deployments.__all__) == git_deployments.__all__
    assert set(dir(git_deployments)) == {*git_deployments.__all__, "__version__"}
    for name in git_deployments.__all__:
        assert getattr(git_deployments, name) is not None
    verbs = {name for name, value in vars(Deployments).items() if isinstance(value, types.FunctionType)}
    reads = {"list", "versions", "get", "log", "diff", "settings", "fsck"}
    assert {"deploy", "update", "rollback", "promote", "delete", "close"} | reads <= verbs
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = git_deployments.nothing_here


def test_importing_the_package_imports_neither_pygit2_nor_click_nor_yaml() -> None:
    program = (
        "import sys, git_deployments\n"
        "assert git_deployments.open('.') is not None\n"
        "print([name for name in ('pygit2', 'click', 'yaml', 'jsonschema') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_every_public_method_says_what_it_does() -> None:
    for name, value in vars(Deployments).items():
        if not name.startswith("_"):
            assert value.__doc__, name


# Reading


def test_list(deployments: Deployments, versions: Project) -> None:
    versions.deploy("x", name="other")
    versions.deploy("x", name="gone")
    versions.ok("delete", "etl/gone", "-y")
    other, prod = deployments.list()
    assert (other.name, prod.name) == ("etl/other", "etl/prod")
    assert isinstance(prod, git_deployments.State)
    assert isinstance(prod.live, git_deployments.Pointer)
    assert (prod.live.number, prod.live.label, prod.live.commit) == (3, "0.0.3", versions.refs()[f"{PREFIX}/live"])
    (named,) = deployments.list("prod")
    assert (named.name, named.live, named.latest) == (prod.name, prod.live, prod.latest)
    assert [state.name for state in deployments.list("etl/*", "prod")] == ["etl/other", "etl/prod"]
    assert deployments.list("nothing*") == []


def test_a_list_names_what_is_damaged(deployments: Deployments, versions: Project) -> None:
    versions.git("update-ref", f"{PREFIX}/live", "HEAD")
    (state,) = deployments.list()
    assert isinstance(state.breach, DeploymentsError)


def test_versions_are_newest_first_and_read_as_they_are_asked_for(deployments: Deployments, versions: Project) -> None:
    found = deployments.versions("prod")
    newest = next(found)
    assert isinstance(newest, git_deployments.Version)
    assert (newest.name, newest.number, newest.label) == ("etl/prod", 3, "0.0.3")
    assert newest.author == ("Ada", "ada@example.com", 1767319445, "+0100")
    assert newest.author.person == "Ada <ada@example.com>"
    assert [version.number for version in found] == [2, 1]
    assert newest.source.commit == versions.git("rev-parse", "HEAD")
    assert newest.source.info.type == "vcs:git"
    assert [version.number for version in deployments.versions("prod", 2)] == [3, 2]
    assert list(deployments.versions("prod", 0)) == []


@pytest.mark.parametrize(
    ("words", "number"),
    [("live", 3), ("latest", 3), ("previous", 2), ("1", 1), ("v2", 2), ("0.0.1", 1), ("name:0.0.2", 2)],
)
def test_get(deployments: Deployments, words: str, number: int) -> None:
    snapshot = deployments.get("prod", words)
    assert snapshot.version.number == number
    assert snapshot.live is (number == 3)
    assert snapshot.properties["description"] == f"d{number}"
    assert set(snapshot.properties) == set(deployments.get("prod").properties)


def test_log(deployments: Deployments) -> None:
    deployments.rollback("prod", message="why\n\nat length")
    newest, *older = deployments.log("prod")
    assert isinstance(newest, git_deployments.Event)
    assert (newest.action, newest.before, newest.after, newest.reason) == ("rollback", 3, 2, "why\n\nat length")
    assert [event.action for event in older] == ["deploy"] * 3
    assert next(deployments.log("prod", limit=1)) == newest


@pytest.mark.parametrize("limit", [0, -1, -3])
def test_a_limit_of_none_gives_none(deployments: Deployments, limit: int) -> None:
    assert list(deployments.log("prod", limit)) == []
    assert list(deployments.versions("prod", limit)) == []


def test_diff(deployments: Deployments) -> None:
    (difference,) = [one for one in deployments.diff("prod", "1") if one.key == "description"]
    assert difference == ("description", "d1", "d3", "")
    assert isinstance(difference, git_deployments.Difference)
    assert list(deployments.diff("prod", "2", "2")) == []
    assert {one.before for one in deployments.diff("prod") if one.key == "description"} == {"d2"}


def test_settings(deployments: Deployments) -> None:
    assert deployments.settings("prod")["paused"] is False
    deployments.update("prod", {"paused": True, "concurrency_limit": 3})
    deployments.rollback("prod")
    settings = deployments.settings("prod")
    assert (settings["paused"], settings["concurrency_limit"]) == (True, 3)


def test_fsck(deployments: Deployments, versions: Project) -> None:
    assert list(deployments.fsck()) == []
    versions.git("update-ref", "refs/deployments/stray", "HEAD")
    (finding,) = deployments.fsck()
    assert isinstance(finding, git_deployments.Finding)
    assert (finding.name, finding.notice) == ("", False)
    assert list(deployments.fsck("prod")) == []


# Writing


def test_deploy(project: Project) -> None:
    project.manifest("first", version="1.0")
    with git_deployments.open(project.path) as deployments:
        (outcome,) = deployments.deploy(message="the first")
        assert isinstance(outcome, git_deployments.Outcome)
        assert outcome.version == deployments.get("prod").version
        assert outcome.version is not None
        assert outcome.version.message == "the first"
        project.manifest("second")
        (outcome,) = deployments.deploy("prod", version="2.0", live=False, expect_live="1")
        assert outcome.version is not None
        assert outcome.version.label == "2.0"
        assert outcome.live == deployments.list()[0].live
        (outcome,) = deployments.deploy(every=True, version="2.0", if_changed=True)
        assert outcome.record is None
    assert project.live() == 1
    assert project.ok("fsck").out == ""


def test_deploy_many_or_none(project: Project) -> None:
    entries = [{"name": f"d{number}", "flow_name": "etl"} for number in range(3)]
    project.write("sub/other.yaml", json.dumps({"deployments": entries}))
    with git_deployments.open(project.path / "sub") as deployments:
        with pytest.raises(DeploymentsError, match="3 deployments"):
            deployments.deploy(files=["other.yaml"])
        with pytest.raises(git_deployments.ExpectationFailed):
            deployments.deploy(files=["other.yaml"], every=True, expect_live="1")
        assert deployments.list() == []
        made = deployments.deploy("d2", "d0", files=["other.yaml"])
        assert [outcome.name for outcome in made] == ["etl/d0", "etl/d2"]


def test_an_outcome_says_why_live_was_not_taken(deployments: Deployments) -> None:
    deployments.rollback("prod", hold=True)
    outcome = deployments.update("prod", {"description": "held"})
    assert outcome.decision.not_taken == "held"
    assert outcome.live is not None
    assert outcome.live.number == 2
    promoted = deployments.promote("prod", message="ready")
    assert promoted.live is not None
    assert promoted.live.number == 4


def test_rollback_and_promote(deployments: Deployments) -> None:
    before = deployments.list()[0].live
    moved = deployments.rollback("prod", "0.0.1", message="wrong totals", expect_live="v3")
    assert moved.record is not None
    assert moved.live is not None
    assert (moved.live.number, moved.live.label) == (1, "0.0.1")
    assert moved.record.before is not None
    assert before is not None
    assert (moved.record.before.number, moved.record.before.commit) == (3, before.commit)
    assert (moved.record.action, moved.record.after) == ("rollback", moved.live)
    assert deployments.get("prod").version.number == 1
    stays = deployments.promote("prod", "1")
    assert stays.record is None
    assert stays.version == deployments.get("prod").version
    assert deployments.promote("prod").live == deployments.list()[0].latest


def test_delete(deployments: Deployments, versions: Project) -> None:
    outcome = deployments.delete("prod", message="retired")
    assert (outcome.name, outcome.live) == ("etl/prod", None)
    assert deployments.list() == []
    assert set(versions.refs()) == {f"{PREFIX}/log"}
    with pytest.raises(DeploymentsError, match="deleted already"):
        deployments.delete("etl/prod")


def every_verb(deployments: Deployments, message: str) -> Iterator[Callable[[], object]]:
    yield lambda: deployments.update("prod", {"paused": True}, message=message)
    yield lambda: deployments.rollback("prod", message=message)
    yield lambda: deployments.promote("prod", message=message)
    yield lambda: deployments.delete("prod", message=message)


def test_a_reason_is_needed_where_the_commands_need_one(deployments: Deployments, versions: Project) -> None:
    versions.git("config", "deployments.requireReason", "true")
    before = versions.refs()
    for verb in every_verb(deployments, ""):
        with pytest.raises(DeploymentsError, match="requireReason is set"):
            verb()
    assert versions.refs() == before
    assert deployments.deploy()[0].live is not None
    for verb in every_verb(deployments, "why"):
        verb()


def test_a_reason_that_looks_like_a_secret_is_refused(deployments: Deployments, versions: Project) -> None:
    before = versions.refs()
    secret = "with ghp_" + "a1B2" * 9
    verbs = [*every_verb(deployments, secret)]
    verbs.append(lambda: deployments.deploy(message=secret))
    for verb in verbs:
        with pytest.raises(DeploymentsError, match="the log keeps it for ever") as raised:
            verb()
        assert "ghp_" not in str(raised.value)
    assert versions.refs() == before


def test_what_goes_live_is_told_to_the_commands(deployments: Deployments, versions: Project, tmp_path: Path) -> None:
    log = tmp_path / "told"
    told = "$GIT_DEPLOYMENTS_ACTION $GIT_DEPLOYMENTS_FROM $GIT_DEPLOYMENTS_TO $GIT_DEPLOYMENTS_REASON"
    versions.git("config", "deployments.onLive", f'echo "{told}" in "$(pwd)" >>"{log}"')
    versions.git("config", "deployments.onLiveLocal", "true")
    deployments.rollback("prod", message="wrong")
    deployments.update("prod", {"paused": True})
    deployments.deploy()
    deployments.delete("prod")
    top = versions.path.resolve()
    assert log.read_text().splitlines() == [
        f"rollback 3 2 wrong in {top}", f"deploy 2 4  in {top}", f"delete 4   in {top}",
    ]  # fmt: skip


def test_a_command_that_fails_is_warned_of_and_the_write_stands(deployments: Deployments, versions: Project) -> None:
    versions.git("config", "deployments.onLive", "exit 7")
    versions.git("config", "deployments.onLiveLocal", "true")
    for verb in (lambda: deployments.rollback("prod"), lambda: deployments.deploy()):
        with pytest.warns(RuntimeWarning, match="'exit 7' ended with status 7 for etl/prod") as warned:
            verb()
        assert [warning.filename for warning in warned] == [__file__]
    assert versions.live() == 4
    versions.git("config", "deployments.onLiveLocal", "perhaps")
    with git_deployments.open(versions.path) as opened, pytest.warns(RuntimeWarning, match="neither true nor false"):
        assert opened.rollback("prod", "1").live is not None
    assert versions.live() == 1


@pytest.fixture
def hub(versions: Project, tmp_path: Path) -> Project:
    """What `origin` of the repository is, with its three versions."""
    path = tmp_path / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
    versions.git("remote", "add", "origin", str(path))
    versions.git("push", "-q", "origin", "main")
    versions.ok("push", "-q")
    return Project(path)


def test_a_write_is_published_where_the_commands_publish(
    deployments: Deployments, versions: Project, hub: Project
) -> None:
    versions.git("config", "deployments.push", "true")
    for verb in (
        lambda: deployments.deploy(),
        lambda: deployments.update("prod", {"tags": ["a"]}),
        lambda: deployments.rollback("prod"),
        lambda: deployments.promote("etl/prod"),
        lambda: deployments.delete("prod"),
    ):
        verb()
        assert hub.refs() == versions.refs()
    versions.git("config", "deployments.push", "false")
    with git_deployments.open(versions.path) as opened:
        opened.deploy()
    assert hub.refs() != versions.refs()


def test_what_cannot_be_published_is_not_written(deployments: Deployments, versions: Project, hub: Project) -> None:
    versions.git("config", "deployments.push", "true")
    versions.git("remote", "set-url", "origin", f"{hub.path}-gone")
    before = versions.refs()
    for verb in every_verb(deployments, ""):
        with pytest.raises(DeploymentsError, match=r"hub\.git-gone"):
            verb()
    assert versions.refs() == before


def test_the_first_write_of_a_clone_continues_the_numbers(hub: Project, tmp_path: Path) -> None:
    """A checkout in CI brings no deployments."""
    verbs: dict[str, Callable[[Deployments], object]] = {
        "one": lambda opened: opened.deploy(),
        "two": lambda opened: opened.update("prod", {"tags": ["a"]}),
        "three": lambda opened: opened.update("etl/prod", {"tags": ["a"]}),
    }
    for name, verb in verbs.items():
        clone = Project(tmp_path / name)
        subprocess.run(["git", "clone", "-q", str(hub.path), str(clone.path)], check=True)
        clone.manifest("again")
        with git_deployments.open(clone.path) as opened:
            verb(opened)
        assert clone.live() == 4
    clone.git("remote", "set-url", "origin", str(tmp_path / "gone"))
    for ref in clone.refs():
        clone.git("update-ref", "-d", ref)
    with (
        git_deployments.open(clone.path) as opened,
        pytest.warns(RuntimeWarning, match="numbers are provisional") as said,
    ):
        opened.deploy()
    assert [warning.filename for warning in said] == [__file__]


VALUES: tuple[Any, ...] = (
    "plain",
    "",
    " padded ",
    "yes",
    "12",
    "1.10",
    "null",
    "- a",
    "a: b",
    "x # y",
    "two\nlines",
    "a=b",
    "\N{ROCKET} über 日本",
    "\x7f\x85\u2028",
    '"quoted"',
    "'",
    "{a}",
    "%s",
)


def test_update_stores_exactly_the_values_that_it_is_given(deployments: Deployments) -> None:
    """Values are Python's here and not words of a command line, so nothing is to be read out of them."""
    for value in VALUES:
        deployments.update("prod", {"description": value}, live=True)
        assert deployments.get("prod").properties["description"] == value
    parameters: dict[str, Any] = {"texts": [*VALUES], "n": 1, "f": 0.5, "none": None, "k" * 2000: ""}
    parameters["deep"] = {"a=b.c": [{}, [], True]}
    deployments.update("prod", {"parameters": parameters, "tags": ["1.0", "no"]}, message="all at once")
    stored = deployments.get("prod").properties
    assert stored["parameters"] == parameters
    assert stored["tags"] == ["1.0", "no"]


def test_update_reaches_into_mappings(deployments: Deployments) -> None:
    deployments.update("prod", {"job_variables": {"image": "a", "env": {"A": "1", "B": "2"}}})
    deployments.update("prod", {"job_variables.image": "b", "job_variables.env.C": "3"}, unset=["job_variables.env.A"])
    assert deployments.get("prod").properties["job_variables"] == {"image": "b", "env": {"B": "2", "C": "3"}}


def test_a_key_with_an_equals_sign_stays_a_key(deployments: Deployments) -> None:
    deployments.update("prod", {"job_variables.a=b": "c"})
    assert deployments.get("prod").properties["job_variables"] == {"a=b": "c"}


def test_tuples_are_lists(deployments: Deployments) -> None:
    changes: dict[str, Any] = {"tags": ("a", "b"), "parameters": {"days": (1, (2, 3))}}
    deployments.update("prod", changes)
    stored = deployments.get("prod").properties
    assert (stored["tags"], stored["parameters"]) == (["a", "b"], {"days": [1, [2, 3]]})


def test_update_of_settings_makes_no_version(deployments: Deployments) -> None:
    outcome = deployments.update("prod", {"paused": True})
    assert outcome.record is not None
    assert outcome.record.version is None
    assert outcome.live is not None
    assert outcome.live.number == 3
    outcome = deployments.update("prod", {"paused": True})
    assert outcome.record is None
    assert deployments.update("prod", version="named").live != outcome.live
    deployments.update("prod", {"paused": None, "concurrency_limit": None})
    assert deployments.settings("prod")["paused"] is False
    assert not list(deployments.fsck())


# Values


def immutable(value: object) -> None:
    """It and the tuples in it are plain named tuples, which nothing can change."""
    assert isinstance(value, tuple)
    field = type(value)._fields[0]  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        setattr(value, field, None)
    with pytest.raises(AttributeError):
        value.something_new = 1  # type: ignore[attr-defined]
    for part in value:
        if isinstance(part, tuple) and hasattr(part, "_fields"):
            immutable(part)


def test_values_are_frozen(deployments: Deployments, versions: Project) -> None:
    versions.git("update-ref", "refs/deployments/stray", "HEAD")
    immutable(deployments.list()[0])
    immutable(next(deployments.versions("prod")))
    immutable(deployments.get("prod"))
    immutable(next(deployments.log("prod")))
    immutable(next(deployments.diff("prod")))
    immutable(next(deployments.fsck()))
    immutable(deployments.rollback("prod"))


def test_changing_what_was_returned_changes_nothing_that_is_asked_later(deployments: Deployments) -> None:
    deployments.settings("prod").clear()
    first = deployments.get("prod").properties
    assert isinstance(first, dict)
    first.clear()
    assert deployments.settings("prod")
    assert deployments.get("prod").properties["description"] == "d3"


# Errors


class Wrong(NamedTuple):
    """A call that fails, and words of its message."""

    call: Callable[[Deployments], Any]
    words: str


WRONG = {
    "unknown deployment": Wrong(lambda d: d.get("nope"), "no deployment 'nope'"),
    "unknown deployment, versions": Wrong(lambda d: d.versions("nope"), "no deployment 'nope'"),
    "unknown deployment, log": Wrong(lambda d: d.log("nope"), "no deployment 'nope'"),
    "unknown deployment, diff": Wrong(lambda d: d.diff("nope"), "no deployment 'nope'"),
    "unknown deployment, list": Wrong(lambda d: d.list("nope"), "no deployment 'nope'"),
    "unknown deployment, fsck": Wrong(lambda d: d.fsck("nope"), "no deployment 'nope'"),
    "unknown version": Wrong(lambda d: d.get("prod", "9"), "no version '9'"),
    "unknown version, diff": Wrong(lambda d: d.diff("prod", "9"), "no version '9'"),
    "empty name": Wrong(lambda d: d.get(""), "no deployment ''"),
    "nul in a name": Wrong(lambda d: d.get("a\0b"), "no deployment"),
    "surrogate in a name": Wrong(lambda d: d.get("\udc80"), "no deployment"),
    "surrogate in a version": Wrong(lambda d: d.get("prod", "name:\udc80"), "no version"),
    "newline in a version": Wrong(lambda d: d.get("prod", "1\n2"), "no version"),
    "newer version": Wrong(lambda d: d.promote("prod", "1"), "rollback"),
    "nothing older": Wrong(lambda d: (d.rollback("prod", "1"), d.rollback("prod")), "no version to roll back to"),
    "expectation": Wrong(lambda d: d.rollback("prod", expect_live="1"), "expected 1 to be live"),
    "unknown key": Wrong(lambda d: d.update("prod", {"descripton": "x"}), "did you mean 'description'"),
    "fixed key": Wrong(lambda d: d.update("prod", {"name": "x"}), "never changes"),
    "bad value": Wrong(lambda d: d.update("prod", {"tags": 1}), "tags"),
    "no JSON": Wrong(lambda d: d.update("prod", {"description": object()}), "description"),  # type: ignore[dict-item]
    "NaN": Wrong(lambda d: d.update("prod", {"parameters": {"x": float("nan")}}), "parameters"),
    "surrogate in a value": Wrong(lambda d: d.update("prod", {"description": "\ud800"}), "Unicode"),
    "template in a value": Wrong(lambda d: d.update("prod", {"description": "{{ $NOPE }}"}), "NOPE"),
    "secret": Wrong(lambda d: d.update("prod", {"job_variables": {"t": "ghp_" + "a1B2" * 9}}), "job_variables"),
    "unset what is not there": Wrong(lambda d: d.update("prod", unset=["parameters.x"]), "no such key"),
    "reserved version name": Wrong(lambda d: d.update("prod", version="live"), "live"),
    "no manifest": Wrong(lambda d: d.deploy(files=["nope.yaml"]), "nope.yaml"),
    "nul in a file's name": Wrong(lambda d: d.deploy(files=["a\0b"]), "a"),
    "unknown entry": Wrong(lambda d: d.deploy("nope"), "no deployment 'nope'"),
    "unknown type": Wrong(lambda d: d.deploy(version_type="vcs:svn"), "vcs:svn"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_a_deployments_error_of_one_line_and_changes_nothing(
    deployments: Deployments, versions: Project, wrong: Wrong
) -> None:
    refs = versions.refs()
    with pytest.raises(DeploymentsError) as raised:
        wrong.call(deployments)
    message = str(raised.value)
    assert wrong.words in message
    assert message.isprintable()
    assert len(message) < 400
    assert versions.refs() == refs or "rollback" in wrong.words or "roll back" in wrong.words


@pytest.mark.parametrize("where", ["", "nowhere", "file"])
def test_a_path_without_a_repository_is_found_out_by_the_first_question(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with git_deployments.open(tmp_path / where) as deployments, pytest.raises(DeploymentsError) as raised:
        deployments.list()
    assert type(raised.value).__name__ == "NotARepository"


def test_a_breach_is_raised_and_other_deployments_still_answer(deployments: Deployments, versions: Project) -> None:
    versions.deploy("x", name="other")
    versions.git("update-ref", f"{PREFIX}/live", "HEAD")
    for call in (deployments.get, deployments.rollback, deployments.settings):
        with pytest.raises(DeploymentsError, match="malformed"):
            call("etl/prod")
    assert deployments.get("etl/other").version.number == 1


def test_errors_have_the_exit_code_of_the_command_line(deployments: Deployments) -> None:
    with pytest.raises(git_deployments.ExpectationFailed) as raised:
        deployments.promote("prod", expect_live="none")
    assert raised.value.exit_code == 5
    assert issubclass(git_deployments.Contested, DeploymentsError)


# Where it is opened


def test_it_works_from_another_directory_and_below_the_root(
    versions: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = versions.path / "below"
    below.mkdir()
    monkeypatch.chdir(tmp_path)
    versions.manifest("from elsewhere")
    for path in (versions.path, str(below), "repository"):
        with git_deployments.open(path) as deployments:
            assert deployments.get("prod").properties["description"] in ("d3", "from elsewhere")
            deployments.deploy()
    assert versions.live() == 6
    assert os.getcwd() == str(tmp_path)


def test_a_path_that_looks_like_an_option(versions: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    versions.path.rename(versions.path.with_name("-C"))
    monkeypatch.chdir(versions.path.parent)
    with git_deployments.open("-C") as deployments:
        assert deployments.get("prod").version.number == 3


@pytest.mark.parametrize("name", ["two\nlines", "a\N{LINE SEPARATOR}b", "form\x0cfeed", "é '\" $x"])
def test_a_repository_in_a_directory_with_an_odd_name(versions: Project, name: str) -> None:
    path = versions.path.with_name(name)
    versions.path.rename(path)
    with git_deployments.open(path) as deployments:
        deployments.deploy()
        assert deployments.rollback("prod").live is not None
        assert list(deployments.fsck()) == []


def test_the_environment_is_the_one_given(versions: Project) -> None:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    with git_deployments.open(versions.path, environment) as deployments:
        with pytest.raises(DeploymentsError, match=r"user\.name"):
            deployments.rollback("prod")
        assert deployments.get("prod").version.number == 3
    actor = {**environment, "GITHUB_ACTOR": "octocat"}
    with git_deployments.open(versions.path, actor) as deployments:
        deployments.rollback("prod")
        assert next(deployments.log("prod")).author.name == "octocat"


def test_after_close_questions_are_answered_again(versions: Project) -> None:
    deployments = git_deployments.open(versions.path)
    with deployments as same:
        assert same is deployments
        assert deployments.get("prod").live
    deployments.close()
    assert deployments.get("prod").live
    deployments.close()


def test_what_others_write_is_seen(deployments: Deployments, versions: Project) -> None:
    assert deployments.get("prod").version.number == 3
    versions.deploy("d4")
    assert deployments.get("prod").version.number == 4
    versions.git("gc", "-q", "--prune=now")
    versions.ok("rollback", "prod")
    assert deployments.get("prod").version.number == 3


def test_what_is_forgotten_without_close_leaves_neither_process_nor_descriptor(versions: Project) -> None:
    """A server that opens a repository for each request and trusts the garbage collector, as with files."""
    gc.collect()
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        assert git_deployments.open(versions.path).get("prod").live
        found = git_deployments.open(versions.path).versions("prod")
        assert next(found).number == 3
        del found
    gc.collect()
    assert len(os.listdir("/dev/fd")) == before


def test_an_error_leaves_neither_process_nor_descriptor(versions: Project) -> None:
    before = len(os.listdir("/dev/fd"))
    with git_deployments.open(versions.path) as deployments:
        for call in (
            lambda: deployments.deploy("nope"),
            lambda: deployments.deploy(files=["nope.yaml"]),
            lambda: deployments.deploy(version_type="vcs:svn"),
            lambda: deployments.rollback("nope"),
            lambda: deployments.update("prod", {"name": "x"}),
        ):
            with pytest.raises(DeploymentsError):
                call()
    gc.collect()
    assert len(os.listdir("/dev/fd")) == before


def test_a_branch_with_the_name_of_a_ref_of_ours_is_not_taken_for_it(versions: Project) -> None:
    """git takes `refs/deployments/x` for `refs/heads/refs/deployments/x` where there is no such ref."""
    first = versions.refs()[f"{PREFIX}/versions/1"]
    versions.git("update-ref", "-d", f"{PREFIX}/live")
    versions.git("branch", f"{PREFIX}/live", first)
    with git_deployments.open(versions.path) as deployments:
        assert deployments.list()[0].live is None
    script = Path(sys.executable).with_name("git-deployments")
    for words in (["live", "etl/prod"], ["live", "prod"], ["live", "etl/prod", "--oid"]):
        assert versions.run(*words) == (1, "", "")
        done = subprocess.run([script, *words], cwd=versions.path, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, "")
