"""What goes wrong in Prefect around versions when one deploys, and does not go wrong here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import WIDTH, Project

CLONE = "prefect.deployments.steps.git_clone"
FIXTURES = Path(__file__).parent.parent / "fixtures" / "manifests"
FLOW = "from prefect import flow\n\n\n@flow\ndef my_flow(name: str = 'world') -> None:\n    print(name)\n"


@pytest.fixture
def example(project: Project) -> Project:
    """The source document's flow file, committed."""
    project.commit("Flow", **{"example.py": FLOW})
    return project


def source_document(project: Project, name: str) -> None:
    project.write("prefect.yaml", (FIXTURES / name).read_text())


def test_the_example_that_pulls_from_git_deploys(example: Project) -> None:
    source_document(example, "source-git.yaml")
    head = example.git("rev-parse", "HEAD")
    example.ok("deploy", GITHUB_SHA=head)
    live = "refs/deployments/my-flow/my-deployment/live"
    stored = json.loads(example.git("show", f"{live}:deployment.json"))
    assert stored["pull_steps"] == [
        {CLONE: {"repository": "https://github.com/my-org/my-repo.git", "commit_sha": head}}
    ]
    assert stored["parameter_openapi_schema"]["properties"]["name"]["type"] == "string"
    assert (stored["entrypoint"], stored["work_pool_name"]) == ("example.py:my_flow", "my-work-pool")
    assert example.trailer(live, "Version") == "0.0.1"
    assert example.git("rev-parse", f"{live}:source") == head


def test_the_example_that_pulls_an_image_deploys(example: Project) -> None:
    source_document(example, "source-docker.yaml")
    example.ok("deploy", IMAGE_DIGEST="sha256:" + "a" * 64)
    stored = json.loads(example.git("show", "refs/deployments/my-flow/my-deployment/live:deployment.json"))
    assert stored["job_variables"] == {"image": f"my-registry/my-image@sha256:{'a' * 64}"}


def test_defect_2_an_unset_variable_is_an_error_and_nothing_is_written(example: Project) -> None:
    source_document(example, "source-git.yaml")
    line = example.fatal("deploy")
    for words in ("GITHUB_SHA", "prefect.yaml", "my-deployment", "commit_sha"):
        assert words in line
    assert example.refs() == {}


def test_defect_3_an_unset_variable_in_an_image_is_an_error(example: Project) -> None:
    source_document(example, "source-docker.yaml")
    line = example.fatal("deploy")
    assert "IMAGE_DIGEST" in line
    assert "image" in line


def test_defect_4_abbreviated_commits_are_made_full_or_refused(example: Project) -> None:
    source_document(example, "source-git.yaml")
    head = example.git("rev-parse", "HEAD")
    example.ok("deploy", GITHUB_SHA=head[:8])
    stored = json.loads(example.git("show", "refs/deployments/my-flow/my-deployment/live:deployment.json"))
    assert stored["pull_steps"][0][CLONE]["commit_sha"] == head
    assert "give all its digits" in example.fatal("deploy", GITHUB_SHA="abcdef12")


def test_defect_5_a_redeploy_resets_nothing_that_it_does_not_mention(project: Project) -> None:
    project.deploy("one", paused=True, concurrency_limit=2, schedules=[{"cron": "0 6 * * *", "active": False}])
    before = project.ok("show", "prod", "--json").json["settings"]
    project.deploy("two")
    assert project.ok("show", "prod", "--json").json["settings"] == before


def test_defect_6_all_or_nothing_and_a_dry_run(project: Project) -> None:
    entries = [{"name": "good", "flow_name": "etl"}, {"name": "bad", "flow_name": "etl", "description": "{{ $NOPE }}"}]
    project.write("prefect.yaml", json.dumps({"deployments": entries}))
    assert "NOPE" in project.fatal("deploy", "--all")
    assert project.refs() == {}
    assert "versions/1" in project.ok("deploy", "good", "-n").out
    assert project.refs() == {}
    project.ok("deploy", "good")


@pytest.mark.parametrize("version", ["1.0", "1.10", "0123456", "12e4567", "2026-01-02", "yes"])
def test_defect_7_a_version_is_its_text(project: Project, version: str) -> None:
    project.write("prefect.yaml", f"deployments:\n- name: prod\n  flow_name: etl\n  version: {version}\n")
    project.ok("deploy")
    assert project.ok("show", "prod", "--json").json["version"] == version


def test_defect_8_unknown_keys_are_errors_and_labels_can_be_set(project: Project) -> None:
    project.manifest(descriptoin="x")
    assert "did you mean 'description'?" in project.fatal("deploy")
    project.deploy("x", labels={"team": "data", "tier": 1})
    assert project.ok("show", "prod", "--key", "labels.team").out == "data\n"


def info(project: Project, **environment: str) -> dict[str, str | None]:
    project.manifest()
    project.ok("deploy", **environment)
    found: dict[str, str | None] = project.ok("show", "prod", "--json").json["version_info"]
    return found


def test_defect_9_no_origin_loses_only_the_repository(project: Project) -> None:
    found = info(project)
    assert (found["type"], found["repository"], found["url"]) == ("vcs:git", None, None)
    assert (found["branch"], found["message"]) == ("main", "Start")


def test_defect_9_an_empty_message_loses_only_the_message(project: Project) -> None:
    project.git("commit", "-q", "--allow-empty", "--allow-empty-message", "-m", "")
    found = info(project)
    assert (found["type"], found["message"], found["branch"]) == ("vcs:git", None, "main")


@pytest.mark.parametrize(
    ("origin", "slug", "url"),
    [
        ("https://me:secret@example.com/o/r.git", "o/r", "https://example.com/o/r.git"),
        ("git@github.com:o/r.git", "o/r", "git@github.com:o/r.git"),
    ],
)
def test_defect_9_origins_are_parsed_and_hold_no_credentials(
    project: Project, origin: str, slug: str, url: str
) -> None:
    project.git("remote", "add", "origin", origin)
    project.manifest()
    project.ok("deploy", "--offline")
    found = project.ok("show", "prod", "--json").json["version_info"]
    assert (found["repository"], found["url"]) == (slug, url)
    assert "secret" not in project.git("cat-file", "-p", "refs/deployments/etl/prod/live")


def test_defect_9_a_detached_head_has_no_branch(project: Project) -> None:
    project.git("checkout", "-q", "--detach")
    assert info(project)["branch"] is None


def test_defect_9_a_missing_server_url_loses_only_the_url(project: Project) -> None:
    found = info(project, GITHUB_SHA="1" * 40, GITHUB_REF_NAME="main", GITHUB_REPOSITORY="o/r")
    assert (found["type"], found["url"], found["repository"]) == ("vcs:github", None, "o/r")


def test_defect_9_the_message_is_that_of_the_commit(project: Project) -> None:
    first = project.git("rev-parse", "HEAD")
    project.commit("Later")
    found = info(project, GITHUB_SHA=first, GITHUB_REF_NAME="main", GITHUB_REPOSITORY="o/r")
    assert found["message"] == "Start"


PLATFORMS = {
    "vcs:github": (
        {
            "GITHUB_SHA": "{sha}",
            "GITHUB_REF_NAME": "release",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_SERVER_URL": "https://github.com",
        },
        ("o/r", "https://github.com/o/r/tree/{sha}"),
    ),
    "vcs:gitlab": (
        {
            "CI_COMMIT_SHA": "{sha}",
            "CI_COMMIT_REF_NAME": "release",
            "CI_PROJECT_NAME": "r",
            "CI_PROJECT_URL": "https://gitlab.com/o/r",
        },
        ("r", "https://gitlab.com/o/r/-/tree/{sha}"),
    ),
    "vcs:bitbucket": (
        {
            "BITBUCKET_COMMIT": "{sha}",
            "BITBUCKET_BRANCH": "release",
            "BITBUCKET_REPO_SLUG": "r",
            "BITBUCKET_GIT_HTTP_ORIGIN": "https://bitbucket.org/o/r",
        },
        ("r", "https://bitbucket.org/o/r/src/{sha}"),
    ),
    "vcs:azuredevops": (
        {
            "BUILD_SOURCEVERSION": "{sha}",
            "BUILD_SOURCEBRANCHNAME": "release",
            "BUILD_REPOSITORY_NAME": "r",
            "BUILD_REPOSITORY_URI": "https://dev.azure.com/o/p/_git/r",
        },
        ("r", "https://dev.azure.com/o/p/_git/r?version=GC{sha}"),
    ),
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_gives_its_version_info(project: Project, platform: str) -> None:
    variables, (repository, url) = PLATFORMS[platform]
    sha = project.git("rev-parse", "HEAD")
    assert info(project, **{key: value.format(sha=sha) for key, value in variables.items()}) == {
        "type": platform,
        "version": sha[:8],
        "commit_sha": sha,
        "message": "Start",
        "branch": "release",
        "repository": repository,
        "url": url.format(sha=sha),
    }


def test_version_type_picks_one(project: Project) -> None:
    assert info(project)["type"] == "vcs:git"
    project.manifest(version_type="prefect:simple")
    project.ok("deploy")
    found = project.ok("show", "prod", "--json").json
    assert (found["version_info"]["type"], found["source"]) == ("prefect:simple", None)
    line = project.fatal("deploy", "--version-type", "vcs:github")
    assert "GITHUB_SHA" in line


def test_a_commit_that_is_not_here_or_not_head_is_said(project: Project) -> None:
    project.manifest()
    away = {"GITHUB_SHA": "1" * WIDTH, "GITHUB_REF_NAME": "main", "GITHUB_REPOSITORY": "o/r"}
    assert "warning: " in project.ok("deploy", **away).err
    assert project.git("rev-parse", "refs/deployments/etl/prod/live:source") == "1" * WIDTH
    first = project.git("rev-parse", "HEAD")
    project.commit("Later")
    assert "HEAD" in project.ok("deploy", **{**away, "GITHUB_SHA": first}).err


def test_changed_tracked_files_are_recorded_and_said(project: Project) -> None:
    project.write("README", "changed\n")
    result = project.deploy()
    assert "warning: " in result.err
    assert project.trailer("refs/deployments/etl/prod/live", "Source-Dirty") == "true"


def test_manifests_in_a_monorepo(project: Project) -> None:
    for team in ("a", "b"):
        project.write(f"teams/{team}/flows/x.py", f"def run_{team}(n: int = 1) -> None:\n    pass\n")
        manifest = {"deployments": [{"name": "prod", "entrypoint": f"flows/x.py:run_{team}"}]}
        project.write(f"teams/{team}/prefect.yaml", json.dumps(manifest))
    project.commit("Teams")
    project.ok("deploy", "--all", "-f", "teams/a/prefect.yaml", "-f", "teams/b/prefect.yaml")
    assert [row["name"] for row in project.ok("list", "--json").json] == ["run-a/prod", "run-b/prod"]
    assert project.trailer("refs/deployments/run-b/prod/live", "Source-Directory") == "teams/b"
    below = Project(project.path / "teams" / "a" / "flows")
    below.ok("deploy")
    assert project.live("run-a/prod") == 2


def test_deploying_runs_no_user_code(project: Project) -> None:
    project.commit("Flow", **{"flow.py": "open('ran', 'w')\nraise SystemExit(9)\n\ndef load(n: int = 1): ...\n"})
    project.manifest(flow=None, entrypoint="flow.py:load")
    project.ok("deploy")
    assert not (project.path / "ran").exists()
    assert project.live("load/prod") == 1


def test_the_schema_is_that_of_the_source_commit(project: Project) -> None:
    first = project.commit("Flow", **{"flow.py": "def load(old: int = 1) -> None: ...\n"})
    project.commit("Newer", **{"flow.py": "def load(new: str = '') -> None: ...\n"})
    project.manifest(entrypoint="flow.py:load")
    project.ok("deploy", GITHUB_SHA=first, GITHUB_REF_NAME="main", GITHUB_REPOSITORY="o/r")
    schema = json.loads(project.ok("show", "prod", "--key", "parameter_openapi_schema").out)
    assert list(schema["properties"]) == ["old"]


def test_the_manifest_may_come_from_standard_input(project: Project) -> None:
    words = json.dumps({"deployments": [{"name": "prod", "flow_name": "etl", "description": "piped"}]})
    assert project.run("deploy", "-f", "-", stdin=words).code == 0
    assert project.ok("show", "prod", "--key", "description").out == "piped\n"


def test_runtime_variables_stay_in_pull_steps(project: Project) -> None:
    step = {CLONE: {"repository": "https://{{ $HOST }}/r", "commit_sha": "1" * 40}}
    project.manifest(pull=[step])
    project.ok("deploy", "--runtime-env", "HOST")
    assert project.ok("show", "prod", "--key", f"pull_steps.0.{CLONE}").code == 0
    project.git("config", "deployments.runtimeEnv", "HOST")
    project.ok("deploy")
    stored = json.loads(project.git("show", "refs/deployments/etl/prod/live:deployment.json"))
    assert stored["pull_steps"][0][CLONE]["repository"] == "https://{{ $HOST }}/r"
    project.manifest(pull=[{CLONE: {"repository": "https://h/r", "commit_sha": "{{ $HOST }}"}}])
    assert "runtime variable" in project.fatal("deploy")
