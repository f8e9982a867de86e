"""The four CI platforms of docs/ci, as far as a shell step can tell them apart.

For each: how it checks code out, which variables it sets, and which of a pipeline file's shell steps
it runs, how. Sources: the logs of the platforms' own checkouts and their lists of predefined
variables. Addresses are the hub's, as on a self-hosted installation.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .ci_hub import Hub
from .conftest import Repository

DOCS = Path(__file__).resolve().parent.parent / "docs" / "ci"
READ_TOKEN = "token-of-the-job"
PUSH_TOKEN = "token-that-may-push"
INSTALL = re.compile(
    r'pip install "(?:\$GIT_DEPLOYMENTS|git-deployments @ git\+https://git\.example\.com/[^"]+@COMMIT)"'
)
"""How a line is recognised that installs git-deployments."""
EXPRESSIONS = {
    "inputs.name": "NAME",
    "inputs.version": "VERSION",
    "inputs.reason": "REASON",
    "parameters.name": "NAME",
    "parameters.version": "VERSION",
    "parameters.reason": "REASON",
    "steps.image.outputs.digest": "IMAGE_DIGEST",
}
"""What was typed, or given by an earlier step, by the expression that stands for it."""


class Run(NamedTuple):
    """What a platform knows of one run."""

    hub: Hub
    commit: str
    number: int = 1


class Step(NamedTuple):
    """One shell script of a job."""

    script: str
    """Without the line that installs git-deployments."""
    environment: dict[str, str]
    """What the file sets for it."""
    shell: tuple[str, ...]
    """How the platform starts it; the script's file comes last."""


class Platform(NamedTuple):
    """A platform and its file in docs/ci."""

    name: str
    file: str
    source_type: str
    depth: Callable[[], int]
    """Of the deploy job's checkout, as its file has it; 0 is all."""
    allow: Callable[[Hub], None]
    """Tell the hub which credentials are good."""
    checkout: Callable[[Run, Path, int], None]
    """Into a directory, with a depth."""
    variables: Callable[[Run, str], dict[str, str]]
    """Predefined ones, for `push` or for a run by hand."""
    steps: Callable[[str, Mapping[str, str]], list[Step]]
    """Of a job; the mapping is what was typed (NAME, VERSION, REASON), or given by earlier steps."""


def pipeline(file: str) -> Any:
    """A file of docs/ci, parsed."""
    return yaml.safe_load((DOCS / file).read_text(encoding="utf-8"))


def triggers(workflow: Any) -> Any:
    """`on:` of a GitHub workflow, which is true in YAML 1.1."""
    return workflow[True]


def without_install(lines: list[str]) -> str:
    """A script without its line that installs git-deployments."""
    return "\n".join(line for line in lines if not INSTALL.fullmatch(line))


def basic(user: str, password: str) -> str:
    """The value of an Authorization header; the hub takes its first word in any case."""
    return "basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def filled(values: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Variables with their template expressions evaluated, as GitHub and Azure do before the shell starts."""
    found = {}
    for variable, value in values.items():
        expression = re.fullmatch(r"\$\{\{ (.+) \}\}", value)
        found[variable] = given.get(EXPRESSIONS[expression[1]], "") if expression else value
    return found


def begin(where: Path, origin: str) -> Repository:
    """What three of the platforms do first."""
    where.mkdir(parents=True)
    repository = Repository(where)
    repository.git("init", "-q")
    repository.git("remote", "add", "origin", origin)
    return repository


# GitHub Actions: docs.github.com "Variables reference", actions/checkout v6


def github_allow(hub: Hub) -> None:
    hub.writers.add(basic("x-access-token", PUSH_TOKEN))


def github_checkout(run: Run, where: Path, depth: int) -> None:
    repository = begin(where, f"{run.hub.url}/octo-org/octo-repo")
    # The credential lies outside of the checkout and is included (checkout v6, persist-credentials).
    credentials = where.parent / "git-credentials.config"
    header = f"http.{run.hub.url}/.extraheader"
    repository.git(
        "config", "--file", str(credentials), header, f"AUTHORIZATION: {basic('x-access-token', PUSH_TOKEN)}"
    )
    repository.git("config", f"includeIf.gitdir:{where.resolve()}/.git.path", str(credentials))
    main = f"+{run.commit}:refs/remotes/origin/main"
    fetch = ("-c", "protocol.version=2", "fetch", "-q", "--prune", "--no-recurse-submodules")
    if depth:
        repository.git(*fetch, "--no-tags", f"--depth={depth}", "origin", main)
    else:
        repository.git(*fetch, "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        repository.git(*fetch, "--no-tags", "origin", main)
    repository.git("checkout", "-q", "--force", "-B", "main", "refs/remotes/origin/main")


def github_variables(run: Run, cause: str) -> dict[str, str]:
    return {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTOR": "octocat",
        "GITHUB_ACTOR_ID": "1234567",
        "GITHUB_EVENT_NAME": "push" if cause == "push" else "workflow_dispatch",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_REF_NAME": "main",
        "GITHUB_REF_TYPE": "branch",
        "GITHUB_REPOSITORY": "octo-org/octo-repo",
        "GITHUB_REPOSITORY_OWNER": "octo-org",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_RUN_ID": f"165882149{run.number}",
        "GITHUB_RUN_NUMBER": str(run.number),
        "GITHUB_SERVER_URL": run.hub.url,
        "GITHUB_SHA": run.commit,
        "GITHUB_TRIGGERING_ACTOR": "octocat",
        "GITHUB_WORKFLOW": "deployments",
    }


def github_steps(job: str, given: Mapping[str, str]) -> list[Step]:
    workflow = pipeline("github-actions.yml")
    found = []
    for step in workflow["jobs"][job]["steps"]:
        if "run" in step and (script := without_install(step["run"].splitlines())):
            environment = filled({**workflow["env"], **step.get("env", {})}, given)
            found.append(Step(script, environment, ("bash", "-e")))
    return found


def github_depth() -> int:
    job = pipeline("github-actions.yml")["jobs"]["deploy"]
    return int(job["steps"][0]["with"]["fetch-depth"])


# GitLab CI: docs.gitlab.com "Predefined CI/CD variables reference", the runner's own git commands


def gitlab_allow(hub: Hub) -> None:
    hub.readers.add(basic("gitlab-ci-token", READ_TOKEN))
    hub.writers.add(basic("git-deployments", PUSH_TOKEN))


def gitlab_checkout(run: Run, where: Path, depth: int) -> None:
    address = run.hub.url.replace("://", f"://gitlab-ci-token:{READ_TOKEN}@")
    repository = begin(where, f"{address}/my-group/my-project.git")
    kept = f"refs/pipelines/{run.number}"
    run.hub.repository.git("update-ref", kept, run.commit)
    branches = "main:refs/remotes/origin/main" if depth else "*:refs/remotes/origin/*"
    some = (f"--depth={depth}",) if depth else ("--tags",)
    specs = (f"+{kept}:{kept}", f"+refs/heads/{branches}")
    repository.git("fetch", "-q", "--no-recurse-submodules", *some, "origin", *specs)
    repository.git("checkout", "-f", "-q", run.commit)


def gitlab_variables(run: Run, cause: str) -> dict[str, str]:
    project = f"{run.hub.url}/my-group/my-project"
    return {
        "CI": "true",
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_REF_NAME": "main",
        "CI_COMMIT_REF_SLUG": "main",
        "CI_COMMIT_SHA": run.commit,
        "CI_COMMIT_SHORT_SHA": run.commit[:8],
        "CI_DEFAULT_BRANCH": "main",
        "CI_JOB_ID": f"100{run.number}",
        "CI_JOB_TOKEN": READ_TOKEN,
        "CI_JOB_URL": f"{project}/-/jobs/100{run.number}",
        "CI_PIPELINE_ID": str(run.number),
        "CI_PIPELINE_SOURCE": "push" if cause == "push" else "web",
        "CI_PROJECT_NAME": "my-project",
        "CI_PROJECT_NAMESPACE": "my-group",
        "CI_PROJECT_PATH": "my-group/my-project",
        "CI_PROJECT_URL": project,
        "CI_REGISTRY": "registry.example.com",
        "CI_REGISTRY_IMAGE": "registry.example.com/my-group/my-project",
        "CI_REGISTRY_PASSWORD": READ_TOKEN,
        "CI_REGISTRY_USER": "gitlab-ci-token",
        "CI_SERVER_URL": run.hub.url,
        "DEPLOYMENTS_TOKEN": PUSH_TOKEN,  # not predefined: the one that docs/ci/README.md asks for
        "GITLAB_CI": "true",
        "GITLAB_USER_EMAIL": "ada@example.com",
        "GITLAB_USER_LOGIN": "ada",
        "GITLAB_USER_NAME": "Ada Lovelace",
    }


def gitlab_job(name: str) -> Any:
    """A job of the file with what it extends."""
    file = pipeline("gitlab-ci.yml")
    return {**file.get(file[name].get("extends"), {}), **file[name]}


def gitlab_steps(job: str, given: Mapping[str, str]) -> list[Step]:
    content = gitlab_job(job)
    defaults = {name: form["value"] for name, form in pipeline("gitlab-ci.yml")["variables"].items()}
    script = without_install([*content.get("before_script", []), *content["script"]])
    environment = {**defaults, **content.get("variables", {}), **given}
    return [Step(f"set -eo pipefail\n{script}", environment, ("bash",))]


def gitlab_depth() -> int:
    return int(gitlab_job("deploy")["variables"]["GIT_DEPTH"])


# Bitbucket Pipelines: support.atlassian.com "Variables and secrets", "Git clone behavior", "Push back to your
# repository"


def bitbucket_allow(hub: Hub) -> None:
    """Only Bitbucket's proxy has a credential."""
    del hub


def bitbucket_checkout(run: Run, where: Path, depth: int) -> None:
    origin = "http://bitbucket.org/my-workspace/my-repo"
    where.parent.mkdir(parents=True, exist_ok=True)
    some = (f"--depth={depth}",) if depth else ()
    parent = Repository(where.parent)
    parent.git("-c", f"http.proxy={run.hub.url}", "clone", "-q", "--branch=main", *some, origin, str(where))
    repository = Repository(where)
    repository.git("config", f"http.{origin}.proxy", run.hub.url)
    repository.git("reset", "-q", "--hard", run.commit)
    repository.git("config", "user.name", "bitbucket-pipelines")
    repository.git("config", "user.email", "commits-noreply@bitbucket.org")
    repository.git("config", "push.default", "current")
    repository.git("reflog", "expire", "--expire=all", "--all")


def bitbucket_variables(run: Run, cause: str) -> dict[str, str]:
    del cause
    return {
        "BITBUCKET_BRANCH": "main",
        "BITBUCKET_BUILD_NUMBER": str(run.number),
        "BITBUCKET_COMMIT": run.commit,
        "BITBUCKET_GIT_HTTP_ORIGIN": "http://bitbucket.org/my-workspace/my-repo",
        "BITBUCKET_GIT_SSH_ORIGIN": "git@bitbucket.org:my-workspace/my-repo.git",
        "BITBUCKET_REPO_FULL_NAME": "my-workspace/my-repo",
        "BITBUCKET_REPO_SLUG": "my-repo",
        "BITBUCKET_STEP_TRIGGERER_UUID": "{11111111-2222-3333-4444-555555555555}",
        "BITBUCKET_WORKSPACE": "my-workspace",
        "CI": "true",
    }


def bitbucket_steps(job: str, given: Mapping[str, str]) -> list[Step]:
    pipelines = pipeline("bitbucket-pipelines.yml")["pipelines"]
    items = pipelines["branches"]["main"] if job == "deploy" else pipelines["custom"][job]
    (step,) = [item["step"] for item in items if "step" in item]
    return [Step(without_install(step["script"]), dict(given), ("bash", "-e"))]


def bitbucket_depth() -> int:
    depth = pipeline("bitbucket-pipelines.yml")["clone"]["depth"]
    return 0 if depth == "full" else int(depth)


# Azure Pipelines: learn.microsoft.com "Use predefined variables", the agent's own git commands


def azure_allow(hub: Hub) -> None:
    hub.writers.add(f"bearer {PUSH_TOKEN}")


def azure_checkout(run: Run, where: Path, depth: int) -> None:
    address = azure_variables(run, "push")["BUILD_REPOSITORY_URI"]
    repository = begin(where, address)
    header = f"AUTHORIZATION: bearer {PUSH_TOKEN}"
    fetch = ("fetch", "-q", "--force", "--tags", "--prune", "--prune-tags", "--no-recurse-submodules", "origin")
    one = f"refs/remotes/origin/{run.commit}"
    some = (f"--depth={depth}", f"+{run.commit}:{one}") if depth else ()
    repository.git("-c", f"http.extraheader={header}", *fetch, *some)
    repository.git("checkout", "-q", "--force", one if depth else run.commit)
    repository.git("config", f"http.{address}.extraheader", header)  # persistCredentials


def azure_variables(run: Run, cause: str) -> dict[str, str]:
    server = run.hub.url.replace("://", "://fabrikam@")
    return {
        "AGENT_ID": "8",
        "BUILD_BUILDID": f"12{run.number}",
        "BUILD_BUILDNUMBER": f"20260102.{run.number}",
        "BUILD_REASON": "BatchedCI" if cause == "push" else "Manual",
        "BUILD_REPOSITORY_NAME": "fabrikam-fiber",
        "BUILD_REPOSITORY_PROVIDER": "TfsGit",
        "BUILD_REPOSITORY_URI": f"{server}/fabrikam/Fabrikam%20Fiber/_git/fabrikam-fiber",
        "BUILD_REQUESTEDFOR": "Ada Lovelace",
        "BUILD_REQUESTEDFOREMAIL": "ada@example.com",
        "BUILD_SOURCEBRANCH": "refs/heads/main",
        "BUILD_SOURCEBRANCHNAME": "main",
        "BUILD_SOURCEVERSION": run.commit,
        "SYSTEM_COLLECTIONURI": f"{run.hub.url}/fabrikam/",
        "SYSTEM_TEAMPROJECT": "Fabrikam Fiber",
        "TF_BUILD": "True",
    }


def azure_job(name: str) -> Any:
    """A job of the file; which of the two runs depends on whether a name was given."""
    first, second = pipeline("azure-pipelines.yml")["jobs"]
    (job,) = first["${{ if eq(parameters.name, '') }}"] if name == "deploy" else second["${{ else }}"]
    assert job["job"] == name
    return job


def azure_steps(job: str, given: Mapping[str, str]) -> list[Step]:
    variables = pipeline("azure-pipelines.yml")["variables"]
    found = []
    for step in azure_job(job)["steps"]:
        if "bash" in step and (script := without_install(step["bash"].splitlines())):
            environment = filled({**variables, **step.get("env", {})}, given)
            found.append(Step(script, environment, ("bash", "--noprofile", "--norc")))
    return found


def azure_depth() -> int:
    return int(azure_job("deploy")["steps"][0]["fetchDepth"])


GITHUB = Platform(
    "github",
    "github-actions.yml",
    "vcs:github",
    github_depth,
    github_allow,
    github_checkout,
    github_variables,
    github_steps,
)
GITLAB = Platform(
    "gitlab", "gitlab-ci.yml", "vcs:gitlab", gitlab_depth, gitlab_allow, gitlab_checkout, gitlab_variables, gitlab_steps
)
BITBUCKET = Platform(
    "bitbucket",
    "bitbucket-pipelines.yml",
    "vcs:bitbucket",
    bitbucket_depth,
    bitbucket_allow,
    bitbucket_checkout,
    bitbucket_variables,
    bitbucket_steps,
)
AZURE = Platform(
    "azure",
    "azure-pipelines.yml",
    "vcs:azuredevops",
    azure_depth,
    azure_allow,
    azure_checkout,
    azure_variables,
    azure_steps,
)
PLATFORMS = (GITHUB, GITLAB, BITBUCKET, AZURE)
