"""The pipelines of docs/ci: their shell steps are run with bash, in checkouts like those of their platforms."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from . import ci_platforms
from .ci_hub import Hub
from .ci_platforms import (
    AZURE,
    BITBUCKET,
    GITHUB,
    GITLAB,
    INSTALL,
    PLATFORMS,
    PUSH_TOKEN,
    Platform,
    Run,
    gitlab_job,
    pipeline,
)
from .conftest import KEPT, Project, Result

NAME = "my-flow/my-deployment"
ROOT = f"refs/deployments/{NAME}"
FLOW = "from prefect import flow\n\n\n@flow\ndef my_flow() -> None:\n    print({})\n"
README = (ci_platforms.DOCS / "README.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^```yaml (\S+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
each_platform = pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)


class Company:
    """A hub, a developer, and a platform that runs jobs on what the developer pushes."""

    def __init__(self, path: Path, hub: Hub, platform: Platform) -> None:
        self.path, self.hub, self.platform = path, hub, platform
        self.runs = 0
        platform.allow(hub)
        self.git = hub.repository.git
        subprocess.run(["git", "clone", "-q", str(hub.repository.path), str(path / "dev")], check=True)
        self.developer = Project(path / "dev")
        variable = dict(re.findall(r"\]\(([\w-]+\.yml)\) .*`\{\{ \$(\w+) \}\}` \|$", README, re.MULTILINE))
        self.variable = variable[platform.file]
        for file, text in EXAMPLES.items():
            self.developer.write(file, text.replace("GITHUB_SHA", self.variable))

    def merge(self, change: int) -> str:
        """A commit on main."""
        commit = self.developer.commit(f"Change {change}", **{"example.py": FLOW.format(change)})
        self.developer.git("push", "-q", "origin", "main")
        return commit

    def history(self, *changes: int) -> str:
        """Merge each change and deploy it, without a job; the last commit."""
        for change in changes:
            commit = self.merge(change)
            self.developer.ok("deploy", "--push", **{self.variable: commit})
        return commit

    def job(self, name: str, commit: str, depth: int | None = None, **given: str) -> Result:
        """Run a job as the platform does: a new machine, a new checkout, its variables and no others."""
        self.runs += 1
        run = Run(self.hub, commit, self.runs)
        self.workspace = self.path / f"run-{self.runs}" / "workspace"
        self.platform.checkout(run, self.workspace, self.platform.depth() if depth is None else depth)
        assert "deployments/" not in Project(self.workspace).git("for-each-ref", "--format=%(refname)")
        variables = self.platform.variables(run, "hand" if name == "rollback" else "push")
        return self.steps(name, variables, given)

    def steps(self, name: str, variables: Mapping[str, str], given: Mapping[str, str]) -> Result:
        """The job's shell steps, one after the other, until one fails."""
        machine = {variable: os.environ[variable] for variable in KEPT if variable in os.environ}
        machine["PATH"] = f"{self.path / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{machine['PATH']}"
        machine["GIT_CONFIG_NOSYSTEM"] = "1"
        machine["HOME"] = str(self.workspace.parent)
        code, out, err = 0, "", ""
        steps = self.platform.steps(name, given)
        assert steps
        for step in steps:
            script = self.workspace.parent / "step.sh"
            script.write_text(step.script, encoding="utf-8")
            done = subprocess.run(
                [*step.shell, str(script)],
                cwd=self.workspace,
                env={**machine, **variables, **step.environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                start_new_session=True,  # so that nothing can ask at a terminal
                timeout=60,
            )
            code, out, err = done.returncode, out + done.stdout, err + done.stderr
            if code:
                break
        return Result(code, out, err)

    def deploy(self, commit: str, depth: int | None = None) -> Result:
        """The deploy job, which must succeed."""
        result = self.job("deploy", commit, depth)
        assert result.code == 0, result
        return result

    def numbers(self) -> list[str]:
        """Of the versions at the hub."""
        return sorted(self.git("for-each-ref", "--format=%(refname:lstrip=5)", f"{ROOT}/versions").split())

    def live(self) -> int | None:
        """The version that is live at the hub."""
        return self.hub.repository.live(NAME)

    def event(self) -> str:
        """The newest event at the hub, as plain git shows it."""
        return self.git("log", "-1", "--format=%an <%ae>%n%B", f"{ROOT}/log")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub.git") as server:
        yield server


@pytest.fixture
def company(tmp_path: Path, hub: Hub, platform: Platform) -> Company:
    return Company(tmp_path, hub, platform)


class Told(NamedTuple):
    """What a version says of where it comes from; `{url}` is the hub's address."""

    author: str
    actor: str
    repository: str
    code: str
    run: str


TOLD = {
    "github": Told(
        "octocat <octocat@users.noreply.github.com>",
        "octocat",
        "octo-org/octo-repo",
        "{url}/octo-org/octo-repo/tree/",
        "{url}/octo-org/octo-repo/actions/runs/1658821491",
    ),
    "gitlab": Told(
        "Ada Lovelace <ada@example.com>",
        "ada",
        "my-project",
        "{url}/my-group/my-project/-/tree/",
        "{url}/my-group/my-project/-/jobs/1001",
    ),
    "bitbucket": Told(
        "bitbucket-pipelines <commits-noreply@bitbucket.org>",
        "{11111111-2222-3333-4444-555555555555}",
        "my-repo",
        "http://bitbucket.org/my-workspace/my-repo/src/",
        "http://bitbucket.org/my-workspace/my-repo/pipelines/results/1",
    ),
    "azure": Told(
        "Ada Lovelace <ada@example.com>",
        "Ada Lovelace",
        "fabrikam-fiber",
        "{url}/fabrikam/Fabrikam%20Fiber/_git/fabrikam-fiber?version=GC",
        "{url}/fabrikam/Fabrikam%20Fiber/_build/results?buildId=121",
    ),
}


@each_platform
def test_merges_deploy_and_the_rollback_job_goes_back(company: Company) -> None:
    first, second = company.merge(1), company.merge(2)
    result = company.deploy(first)
    assert f"{NAME}: v1 (0.0.1) is live" in result.out
    comes_from(company, first)
    keeps_credentials(company)
    company.deploy(second)
    assert (company.numbers(), company.live()) == (["1", "2"], 2)
    back = company.job("rollback", second, NAME="my-deployment", REASON="totals are wrong")
    assert back.code == 0, back
    assert "rolled back from v2 (0.0.1) to v1 (0.0.1)" in back.out
    assert company.live() == 1
    assert "\n\ntotals are wrong\n\n" in company.event()
    assert f"Actor: {TOLD[company.platform.name].actor}" in company.event()
    again = company.deploy(second)
    assert "unchanged since v2" in again.out + again.err
    assert (company.numbers(), company.live()) == (["1", "2"], 1)
    company.deploy(company.merge(3))
    assert (company.numbers(), company.live()) == (["1", "2", "3"], 3)
    assert company.hub.repository.ok("fsck").out == ""


def comes_from(company: Company, commit: str) -> None:
    """The live version at the hub says where it comes from and who deployed it, and runs that code."""
    told, live = TOLD[company.platform.name], f"{ROOT}/live"
    expected = {
        "Source-Type": company.platform.source_type,
        "Source-Commit": commit,
        "Source-Branch": "main",
        "Source-Repository": told.repository,
        "Source-Url": told.code.replace("{url}", company.hub.url) + commit,
        "Source-Message": "Change 1",
        "Source-Dirty": "",
        "Actor": told.actor,
        "Run-Url": told.run.replace("{url}", company.hub.url),
    }
    assert {key: company.hub.repository.trailer(live, key) for key in expected} == expected
    assert company.git("rev-parse", f"{live}:source") == commit
    assert company.git("log", "-1", "--format=%an <%ae>", live) == told.author
    assert f'"commit_sha": "{commit}"' in company.git("show", f"{live}:deployment.json")


def keeps_credentials(company: Company) -> None:
    """The job's credentials are neither in the history at the hub nor in a file of the checkout."""
    history = company.git("log", "--all", "--format=raw", "-p", "-m")
    assert "deployment.json" in history
    assert "token" not in history
    files = [path for path in company.workspace.rglob("*") if path.is_file()]
    kept = [path for path in files if PUSH_TOKEN.encode() in path.read_bytes()]
    # Azure's own persistCredentials writes it there, before any step of ours.
    assert kept == ([company.workspace / ".git" / "config"] if company.platform is AZURE else [])


@each_platform
def test_numbers_go_on_in_the_shallowest_checkout(company: Company) -> None:
    company.history(1)
    company.deploy(company.merge(2), depth=1)
    assert (company.numbers(), company.live()) == (["1", "2"], 2)
    assert company.hub.repository.ok("fsck").out == ""


@each_platform
def test_an_old_job_does_not_overtake_a_newer_one(company: Company) -> None:
    old = company.merge(1)
    company.history(2)
    late = company.job("deploy", old)
    assert late.code == 3, late
    assert "v2 (0.0.1) made, not live" in late.out
    assert (company.numbers(), company.live()) == (["1", "2"], 1)


HOSTILE = ('"; touch pwned; "', "' $(touch pwned) `touch pwned` #", "a\ntouch pwned", "--hold")


@each_platform
def test_what_is_typed_is_never_run(company: Company) -> None:
    commit = company.history(1, 2)
    before = company.hub.repository.refs()
    cases = [*((value, "") for value in HOSTILE), (NAME, " ".join(HOSTILE))]
    for name, version in cases:
        result = company.job("rollback", commit, NAME=name, VERSION=version, REASON="x")
        assert result.code == 128, result
        refusal = f"fatal: '{NAME}' has no version " if version else "fatal: no deployment "
        assert result.err.splitlines()[-1].startswith(refusal)
        assert company.hub.repository.refs() == before
    text = "\n".join(HOSTILE)
    result = company.job("rollback", commit, NAME=NAME, VERSION="number:1", REASON=text)
    assert result.code == 0, result
    assert company.live() == 1
    assert f"\n\n{text}\n\nDeployment: {NAME}\nAction: rollback\n" in company.event()
    assert not list(company.path.rglob("pwned"))


@pytest.mark.parametrize("platform", [GITLAB], ids=["gitlab"])
def test_gitlab_pushes_with_the_token_of_the_project_and_not_of_the_job(company: Company) -> None:
    commit = company.merge(1)
    company.hub.writers.clear()
    result = company.job("deploy", commit)
    assert result.code == 128, result
    assert "fatal: Authentication failed for " in result.err
    assert PUSH_TOKEN not in result.err
    assert company.hub.repository.refs() == {}


@pytest.mark.parametrize("platform", [AZURE], ids=["azure"])
def test_a_server_without_atomic_pushes_gets_nothing_and_the_readme_quotes_the_error(company: Company) -> None:
    commit = company.merge(1)
    company.git("config", "receive.advertiseAtomic", "false")
    result = company.job("deploy", commit)
    assert result.code == 128, result
    said = "the receiving end does not support --atomic push"
    assert said in result.err
    assert said in " ".join(README.split())
    assert company.hub.repository.refs() == {}


# Images

DIGEST = "sha256:" + "ab" * 32
DOCKER = f"""#!/bin/sh
echo "$@" >>"$HOME/docker.log"
case $1 in
login) cat >>"$HOME/docker.log" ;;
inspect) echo "registry.example.com/my-group/my-project@{DIGEST}" ;;
esac
"""


@pytest.mark.parametrize("platform", [GITHUB, GITLAB], ids=["github", "gitlab"])
def test_the_image_job_pins_the_digest(company: Company) -> None:
    commit = company.merge(1)
    assert company.job("deploy-image", commit, IMAGE_DIGEST=DIGEST).code == 0
    stored = company.git("show", "refs/deployments/my-flow/my-image-deployment/live:deployment.json")
    assert f'"image": "my-registry/my-image@{DIGEST}"' in stored
    nothing = company.job("deploy-image", company.merge(2), IMAGE_DIGEST="")
    assert nothing.code == 128
    assert "IMAGE_DIGEST is set but empty" in nothing.err
    assert company.hub.repository.live("my-flow/my-image-deployment") == 1


@pytest.mark.parametrize("platform", [GITLAB], ids=["gitlab"])
def test_gitlab_hands_the_digest_of_the_pushed_image_on(company: Company) -> None:
    """The only stand-in here is for docker, which needs a registry."""
    docker = company.developer.write("../bin/docker", DOCKER)
    docker.chmod(0o755)
    commit = company.merge(1)
    assert company.job("build-image", commit).code == 0
    assert (company.workspace / "image.env").read_text(encoding="utf-8") == f"IMAGE_DIGEST={DIGEST}\n"
    image = f"registry.example.com/my-group/my-project:{commit}"
    assert (company.workspace.parent / "docker.log").read_text(encoding="utf-8").splitlines() == [
        "login --username gitlab-ci-token --password-stdin registry.example.com",
        ci_platforms.READ_TOKEN,
        f"build --tag {image} .",
        f"push {image}",
        f"inspect --format {{{{index .RepoDigests 0}}}} {image}",
    ]
    build, deploy = gitlab_job("build-image"), gitlab_job("deploy-image")
    assert (build["stage"], deploy["stage"]) == ("build", "deploy")
    assert build["artifacts"] == {"reports": {"dotenv": "image.env"}}


# What the files say


def test_every_job_installs_once_from_a_place_that_must_be_filled_in() -> None:
    for platform in PLATFORMS:
        text = (ci_platforms.DOCS / platform.file).read_text(encoding="utf-8")
        assert text.count("git-deployments @ git+https://git.example.com/your-team/git-deployments.git@COMMIT") == 1
        lines = [line.strip().removeprefix("- ").removeprefix("run: ") for line in text.splitlines()]
        installs = [line for line in lines if "pip install" in line]
        assert installs
        assert all(INSTALL.search(line) for line in installs), installs


@each_platform
def test_no_template_expression_stands_in_a_script(platform: Platform) -> None:
    jobs = ["deploy", "rollback", *(["deploy-image"] if platform in (GITHUB, GITLAB) else [])]
    for job in jobs:
        for step in platform.steps(job, {}):
            assert not re.search(r"\$\{\{|\$\[\[|\$\(|\beval\b", step.script)


def test_a_push_starts_the_deploy_jobs_and_a_person_the_rollback() -> None:
    workflow = pipeline(GITHUB.file)
    assert ci_platforms.triggers(workflow)["push"] == {"branches": ["main"]}
    causes = {name: job["if"] for name, job in workflow["jobs"].items()}
    push = "github.event_name == 'push'"
    assert causes == {
        "deploy": push,
        "deploy-image": push,
        "rollback": "github.event_name == 'workflow_dispatch'",
    }
    for name in ("deploy", "build-image", "deploy-image"):
        merged = '$CI_PIPELINE_SOURCE == "push" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH'
        assert gitlab_job(name)["rules"] == [{"if": merged}]
    assert gitlab_job("rollback")["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "web" && $NAME'}]
    assert list(pipeline(BITBUCKET.file)["pipelines"]["branches"]) == ["main"]
    azure = pipeline(AZURE.file)
    assert azure["trigger"]["branches"] == {"include": ["main"]}
    assert azure["pr"] == "none"
    assert {parameter["name"]: parameter["default"] for parameter in azure["parameters"]} == {
        "name": "", "version": "", "reason": "",
    }  # fmt: skip


def test_deploys_wait_for_each_other_and_rollbacks_for_nothing() -> None:
    github = pipeline(GITHUB.file)
    assert "concurrency" not in github
    groups = {name: job.get("concurrency") for name, job in github["jobs"].items()}
    assert groups == {"deploy": "git-deployments", "deploy-image": "git-deployments-image", "rollback": None}
    groups = {name: gitlab_job(name).get("resource_group") for name in ("deploy", "deploy-image", "rollback")}
    assert groups == {"deploy": "git-deployments", "deploy-image": "git-deployments-image", "rollback": None}
    pipelines = pipeline(BITBUCKET.file)["pipelines"]
    assert pipelines["branches"]["main"][0]["step"]["concurrency-group"] == "git-deployments"
    assert "concurrency-group" not in pipelines["custom"]["rollback"][1]["step"]
    assert pipeline(AZURE.file)["trigger"]["batch"] is True


def test_a_version_that_is_not_live_is_a_warning_on_gitlab() -> None:
    for name in ("deploy", "deploy-image"):
        assert gitlab_job(name)["allow_failure"] == {"exit_codes": [3]}


def test_the_jobs_may_push() -> None:
    assert pipeline(GITHUB.file)["permissions"] == {"contents": "write"}
    for name in ("deploy", "rollback"):
        assert ci_platforms.azure_job(name)["steps"][0]["persistCredentials"] is True


def test_the_readme_names_every_file() -> None:
    files = {path.name for path in ci_platforms.DOCS.iterdir()} - {"README.md"}
    assert files == {platform.file for platform in PLATFORMS}
    assert set(re.findall(r"^\| \[[\w.-]+\]\(([\w.-]+)\) \|", README, re.MULTILINE)) == files
