"""What VERSION means."""

from __future__ import annotations

import json

import pytest

from .conftest import Project


def number(project: Project, words: str) -> int:
    return int(project.ok("show", "prod", words, "--key", "number").out)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("1", 1),
        ("v2", 2),
        ("0.0.1", 1),
        ("number:2", 2),
        ("name:0.0.2", 2),
        ("live", 3),
        ("latest", 3),
        ("previous", 2),
    ],
)
def test_a_version_is_named_in_many_ways(versions: Project, words: str, expected: int) -> None:
    assert number(versions, words) == expected


def test_by_commit_and_by_source_commit(versions: Project) -> None:
    for ref, expected in (("1", 1), ("3", 3)):
        commit = versions.refs()[f"refs/deployments/etl/prod/versions/{ref}"]
        source = versions.git("rev-parse", f"{commit}:source")
        for words in (commit, commit[:7], commit[:12].upper(), f"commit:{commit[:9]}", source[:7], f"source:{source}"):
            assert number(versions, words) == expected


@pytest.mark.parametrize(
    "words", ["9", "v0", "nope", "abcdef1", "name:1", "commit:1234567", "source:live", "", "number:x"]
)
def test_what_names_no_version_says_where_to_look(versions: Project, words: str) -> None:
    assert "to see all: git deployments versions etl/prod" in versions.fatal("show", "prod", words)


def test_readings_that_differ_are_an_error_that_lists_explicit_forms(versions: Project) -> None:
    versions.deploy("d4", version="2")
    line = versions.fatal("show", "prod", "2")
    assert "number:2 (v2)" in line
    assert "name:2 (v4)" in line
    assert number(versions, "number:2") == 2
    assert number(versions, "name:2") == 4


def test_a_name_given_twice_is_told_apart_by_number(versions: Project) -> None:
    versions.deploy("d4", version="0.0.1")
    line = versions.fatal("rollback", "prod", "0.0.1")
    assert "number:4" in line
    assert "number:1" in line


def test_each_form_that_an_ambiguous_version_is_told_in_names_one_version(versions: Project) -> None:
    versions.deploy("d4", version="5")
    versions.deploy("d5", version="5")
    line = versions.fatal("show", "prod", "5")
    forms = line.partition("say which: ")[2].split(", ")
    assert {versions.ok("show", "prod", form.split()[0], "--key", "number").out for form in forms} == {"4\n", "5\n"}


def test_the_default_version_is_no_name(project: Project) -> None:
    project.deploy()
    shown = project.ok("show", "prod", "--json").json
    assert shown["version"] is None
    assert shown["version_info"]["version"] == shown["source"][:8]
    assert project.run("show", "prod", f"name:{shown['source'][:8]}").code == 128


@pytest.mark.parametrize("name", ["live", "latest", "previous", "a\nb", " x", "", "x" * 201])
def test_names_that_a_version_cannot_have(project: Project, name: str) -> None:
    project.manifest()
    assert "bad version name" in project.fatal("deploy", "--version", name)


def test_names_and_sources_are_found_in_a_long_history(project: Project) -> None:
    project.deploy("first", version="needle")
    source = project.git("rev-parse", "refs/deployments/etl/prod/live:source")
    for count in range(140):
        project.ok("update", "prod", f"description={count}", "-q")
    assert number(project, "needle") == 1
    assert number(project, "1") == 1
    assert number(project, "v141") == 141
    line = project.fatal("show", "prod", source[:10])
    assert "number:141" in line
    assert "number:100" in line
    answered = project.run("show", "--batch", stdin="etl/prod\t\0abc\netl/prod\t1\n")
    assert answered.code == 0
    assert [json.loads(line).get("number") for line in answered.out.splitlines()] == [None, 1]
    versions = project.ok("versions", "prod", "--format", "%(number)").out.split()
    assert versions == [str(n) for n in range(141, 0, -1)]
    assert json.loads(project.git("show", "refs/deployments/etl/prod/log:settings.json"))["paused"] is False
    assert project.ok("fsck").out == ""


def test_short_names_of_deployments(project: Project) -> None:
    entries = [{"name": half, "flow_name": flow} for flow in ("a", "b") for half in ("x", f"only-{flow}")]
    project.write("prefect.yaml", json.dumps({"deployments": [*entries, {"name": "solo"}]}))
    project.ok("deploy", "--all")
    assert project.ok("live", "only-a").out == "1\n"
    assert project.ok("live", "solo").out == "1\n"
    line = project.fatal("live", "x")
    assert "a/x, b/x" in line
    assert "give the full name" in line
    assert "did you mean 'only-a'?" in project.fatal("show", "only_a")
    assert [row["name"] for row in project.ok("list", "*/only*", "--json").json] == ["a/only-a", "b/only-b"]
    assert project.ok("list", "zzz*", "--json").json == []
    project.ok("delete", "a/x", "-y")
    assert project.ok("live", "x").out == "1\n"
