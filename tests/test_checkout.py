"""`git deployments checkout`: the exact code of a version, and nothing in its place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import Project, Repository


def test_checkout_gives_the_code_of_a_version_whatever_is_checked_out(versions: Project) -> None:
    versions.write("code", "changed and not committed\n")
    out = versions.ok("checkout", "prod", "../there", "v1").out
    there = Repository(versions.path.parent / "there")
    source = versions.git("rev-parse", "refs/deployments/etl/prod/versions/1:source")
    assert out == f"etl/prod v1 (0.0.1): {source} is checked out in ../there\n"
    assert there.git("rev-parse", "HEAD") == source
    assert (there.path / "code").read_text() == "1\n"
    assert there.git("status", "--porcelain") == ""
    assert there.git("branch", "--show-current") == ""
    assert (versions.path / "code").read_text() == "changed and not committed\n"
    versions.git("worktree", "remove", str(there.path))


def test_without_a_version_it_is_the_live_one(versions: Project) -> None:
    versions.ok("rollback", "prod")
    versions.ok("checkout", "prod", "there", "-q")
    assert (versions.path / "there" / "code").read_text() == "2\n"


def test_a_version_in_the_place_of_the_directory_is_no_directory(versions: Project) -> None:
    for words in ("v1", "1", "0.0.1"):
        line = versions.fatal("checkout", "prod", words)
        assert f"'{words}' is v1 of 'etl/prod'" in line
        assert "git deployments checkout etl/prod DIR v1" in line
    versions.ok("checkout", "prod", "./v1")
    versions.ok("checkout", "prod", "0.0.3")
    versions.ok("checkout", "prod", "v2", "v2")
    codes = [(versions.path / there / "code").read_text() for there in ("v1", "0.0.3", "v2")]
    assert codes == ["3\n", "3\n", "2\n"]


def test_json_says_where_the_manifest_lies(project: Project) -> None:
    project.write("flows/prefect.yaml", '{"deployments": [{"name": "prod", "flow_name": "etl"}]}')
    commit = project.commit("Flows")
    project.ok("deploy", "-f", "flows/prefect.yaml")
    path = project.path / "there"
    row = project.ok("checkout", "prod", "there", "--json").json
    assert row == {
        "name": "etl/prod", "number": 1, "source": commit, "path": str(path), "directory": str(path / "flows"),
    }  # fmt: skip
    assert (path / "flows" / "prefect.yaml").exists()


@pytest.mark.parametrize("there", ["README", ".", "empty", "dangling"])
def test_nothing_is_checked_out_over_what_is_there(versions: Project, there: str) -> None:
    (versions.path / "empty").mkdir()
    (versions.path / "dangling").symlink_to("nowhere")
    assert f"{there} exists already" in versions.fatal("checkout", "prod", there)
    assert versions.git("worktree", "list", "--porcelain").count("worktree ") == 1
    assert list((versions.path / "empty").iterdir()) == []


def test_a_sparse_work_tree_does_not_hand_down_what_it_leaves_out(versions: Project) -> None:
    versions.commit("Folders", **{"a/file": "a\n", "b/file": "b\n"})
    versions.deploy("d4")
    versions.git("sparse-checkout", "set", "a")
    assert not (versions.path / "b").exists()
    versions.ok("checkout", "prod", "../whole")
    whole = Repository(versions.path.parent / "whole")
    assert (whole.path / "b" / "file").read_text() == "b\n"
    whole.git("checkout", "HEAD~1")
    whole.git("checkout", "-")
    assert (whole.path / "b" / "file").exists()
    assert not (versions.path / "b").exists()


def test_a_work_tree_that_is_sparse_the_old_way_keeps_its_configuration(versions: Project) -> None:
    """Without a configuration of each work tree's own, there is one for all of them."""
    versions.commit("Folders", **{"a/file": "a\n", "b/file": "b\n"})
    versions.deploy("d4")
    versions.git("config", "core.sparseCheckout", "true")
    (versions.path / ".git" / "info").mkdir(exist_ok=True)
    versions.write(".git/info/sparse-checkout", "/a/\n")
    versions.git("read-tree", "-mu", "HEAD")
    before = versions.git("config", "--local", "--list")
    versions.ok("checkout", "prod", "../whole")
    whole = Repository(versions.path.parent / "whole")
    whole.git("checkout", "HEAD~1")
    whole.git("checkout", "-")
    assert (whole.path / "b" / "file").exists()
    assert not (versions.path / "b").exists()
    assert versions.git("config", "--local", "--list") == before


def test_a_replaced_commit_is_checked_out_as_it_was(versions: Project) -> None:
    """Its id would not tell: git shows the replacement under the id of what it replaces."""
    first = versions.git("rev-parse", "refs/deployments/etl/prod/versions/1:source")
    versions.git("replace", first, versions.git("rev-parse", "HEAD"))
    versions.ok("checkout", "prod", "../first", "1")
    assert (versions.path.parent / "first" / "code").read_text() == "1\n"


def test_hooks_of_the_user_do_not_run(versions: Project) -> None:
    hook = versions.write(".git/hooks/post-checkout", "#!/bin/sh\ntouch ../ran\n")
    hook.chmod(0o755)
    versions.ok("checkout", "prod", "../there")
    assert not (versions.path.parent / "ran").exists()


@pytest.mark.parametrize("relative", [False, True])
def test_the_index_of_a_commit_that_is_being_made_stays(versions: Project, relative: bool) -> None:
    """Git names it to its hooks."""
    versions.write("staged", "by the user\n")
    versions.git("add", "staged")
    before = versions.git("ls-files", "--stage")
    index = versions.path / ".git" / "index"
    versions.ok("checkout", "prod", "../first", "v1", GIT_INDEX_FILE=".git/index" if relative else str(index))
    assert versions.git("ls-files", "--stage") == before
    assert versions.git("diff", "--cached", "--name-only") == "staged"
    assert Repository(versions.path.parent / "first").git("status", "--porcelain") == ""


def test_it_works_from_a_bare_repository(versions: Project, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", "--mirror", str(versions.path), str(tmp_path / "bare")], check=True)
    Project(tmp_path / "bare").ok("checkout", "prod", "../there", "v2")
    assert (tmp_path / "there" / "code").read_text() == "2\n"


def without_history(versions: Project, tmp_path: Path) -> Project:
    """A clone that has all deployments and only the newest code."""
    url = f"file://{versions.path}"
    subprocess.run(["git", "clone", "-q", "--depth=1", url, str(tmp_path / "clone")], check=True)
    clone = Project(tmp_path / "clone")
    clone.ok("pull")
    return clone


def test_code_that_is_not_here_is_fetched(versions: Project, tmp_path: Path) -> None:
    clone = without_history(versions, tmp_path)
    source = clone.git("rev-parse", "refs/deployments/etl/prod/versions/1:source")
    assert clone.git("rev-parse", "HEAD") != source
    clone.ok("checkout", "prod", "../there", "v1")
    assert Repository(tmp_path / "there").git("rev-parse", "HEAD") == source
    assert "FETCH_HEAD" not in {path.name for path in (clone.path / ".git").iterdir()}


def test_code_that_no_branch_holds_comes_through_the_ref_that_keeps_it(versions: Project, tmp_path: Path) -> None:
    versions.git("checkout", "-q", "--detach")
    source = versions.commit("Aside", code="aside\n")
    versions.deploy("aside")
    versions.git("checkout", "-q", "-f", "main")
    assert versions.refs()["refs/deployments/etl/prod/sources/4"] == source
    clone = without_history(versions, tmp_path)
    clone.git("config", "protocol.version", "0")  # then a server gives no commit by its id
    clone.ok("checkout", "prod", "../there")
    assert (tmp_path / "there" / "code").read_text() == "aside\n"


def test_code_that_cannot_be_had_is_an_error(versions: Project, tmp_path: Path) -> None:
    clone = without_history(versions, tmp_path)
    clone.git("remote", "set-url", "origin", str(tmp_path / "away"))
    source = clone.git("rev-parse", "refs/deployments/etl/prod/versions/1:source")
    line = clone.fatal("checkout", "prod", "../there", "v1")
    assert f"commit {source}, the code of v1 of 'etl/prod', is not here and origin did not give it" in line
    assert not (tmp_path / "there").exists()


def test_code_that_is_compared_is_fetched_as_well(versions: Project, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{versions.path}", str(tmp_path / "clone")], check=True)
    clone = Project(tmp_path / "clone")
    clone.ok("pull")
    lost = clone.git("rev-parse", "refs/deployments/etl/prod/versions/2:source")
    clone.git("remote", "set-url", "origin", f"{tmp_path}/nowhere")
    assert f"commit {lost}, the code of v2 of 'etl/prod', is not here" in clone.fatal("diff", "prod", "--code")
    clone.git("remote", "set-url", "origin", f"file://{versions.path}")
    assert clone.run("diff", "prod", "--code", "--exit-code").code == 1
    assert clone.git("cat-file", "-t", lost) == "commit"


def test_a_deploy_before_the_first_commit_says_that_it_has_no_code(repository: Repository) -> None:
    project = Project(repository.path)
    warned = project.deploy().err
    assert warned == "warning: nothing is committed here, so the version has no code: commit it before deploying\n"
    assert "has no code commit: none was known when it was deployed" in project.fatal("checkout", "prod", "../there")


def test_a_version_without_a_commit_has_no_code(project: Project) -> None:
    project.deploy("first", "--version-type", "prefect:simple")
    assert "has no code commit" in project.fatal("checkout", "prod", "../there")
