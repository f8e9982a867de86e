"""`git deployments run`: what runs is what a version was made with."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from git_deployments import repository as ours
from git_deployments.model import PROPERTIES, Json, Source, VersionInfo
from git_deployments.record import Draft
from git_deployments.store import Wish, deploying, write

from .conftest import Project, Repository, Result
from .test_sync_http import Server, serving

STEPS = "prefect.deployments.steps"
FLOW = """
import json, os, sys

VERSION = {version}

def my_flow(name: str = "world", count: int = 1, ratio: float = 0.5):
    print(json.dumps({{"version": VERSION, "name": name, "count": count, "cwd": os.getcwd(), "ratio": ratio}}))
"""

Run = Callable[..., Result]


class Flows(Project):
    """A project with one flow file, and runs whose children are heard."""

    capture: Any

    def versions(self, *numbers: int, **more: Any) -> None:
        """Deploy a commit for each number, which its flow tells."""
        for number in numbers:
            self.write("example.py", FLOW.format(version=number))
            self.manifest(f"d{number}", **{"entrypoint": "example.py:my_flow", **more})
            self.commit(f"Change {number}")
            self.ok("deploy", "-q")

    def started(self, *arguments: str, **environment: str) -> Result:
        """`run` with these arguments; what its child printed is in the result."""
        self.capture.readouterr()
        done = self.run("run", *arguments, **environment)
        heard = self.capture.readouterr()
        return Result(done.code, done.out + heard.out, done.err + heard.err)

    def said(self, *arguments: str, **environment: str) -> Any:
        """What the flow printed as JSON; the run must succeed."""
        result = self.started(*arguments, **environment)
        assert result.code == 0, result
        return json.loads(result.out)

    def leftovers(self) -> list[str]:
        """What a run has left behind: worktrees, files of this repository, scratch directories."""
        trees = self.git("worktree", "list", "--porcelain").split("\n\n")[1:]
        changed = [line for line in self.git("status", "--porcelain").splitlines() if "prefect.yaml" not in line]
        return [*filter(None, trees), *changed, *map(str, Path(os.environ["TMPDIR"]).iterdir())]


@pytest.fixture
def flows(
    project: Project, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Flows:
    made = Flows(project.path)
    made.capture = capfd
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return made


# The code


def test_each_version_runs_its_own_commit_whatever_is_checked_out(flows: Flows) -> None:
    flows.versions(1, 2, 3)
    flows.write("example.py", "raise SystemExit('what is checked out ran')\n")
    flows.write("untracked", "")
    before = flows.git("status", "--porcelain")
    assert flows.said("prod")["version"] == 3
    assert flows.said("prod", "v1")["version"] == 1
    flows.ok("rollback", "prod")
    assert flows.said("prod")["version"] == 2
    assert flows.git("status", "--porcelain") == before
    assert flows.leftovers() == before.splitlines()


def test_the_source_documents_clone_runs_from_local_objects(flows: Flows) -> None:
    """The commit is here, so nobody asks the URL for it, which leads nowhere."""
    clone = {"repository": "https://127.0.0.1:9/my-org/my-repo.git", "commit_sha": "{{ $GITHUB_SHA }}"}
    for number in (1, 2):
        flows.write("example.py", FLOW.format(version=number))
        flows.manifest(entrypoint="example.py:my_flow", pull=[{f"{STEPS}.git_clone": clone}])
        flows.ok("deploy", GITHUB_SHA=flows.commit(f"Change {number}"))
    assert flows.said("prod")["version"] == 2
    said = flows.said("prod", "v1")
    assert said["version"] == 1
    assert Path(said["cwd"]).name == "my-repo"
    assert flows.leftovers() == []


@pytest.mark.parametrize(
    ("key", "block"), [("credentials", "github-credentials.mine"), ("access_token", "secret.github")]
)
def test_what_opens_a_private_repository_is_not_needed_where_the_commit_is_here(
    flows: Flows, key: str, block: str
) -> None:
    clone = {"repository": "https://127.0.0.1:9/my-org/my-repo.git", "commit_sha": "{{ $GITHUB_SHA }}"}
    flows.write("example.py", FLOW.format(version=1))
    step = {f"{STEPS}.git_clone": {**clone, key: f"{{{{ prefect.blocks.{block} }}}}"}}
    flows.manifest(entrypoint="example.py:my_flow", pull=[step])
    flows.ok("deploy", GITHUB_SHA=flows.commit("Flow"))
    assert flows.said("prod")["version"] == 1


def test_a_clone_of_other_code_than_the_versions_is_said_when_it_is_deployed_and_run(flows: Flows) -> None:
    """As with a variable that is set from an earlier deploy."""
    flows.write("example.py", FLOW.format(version=1))
    clone = {"repository": "https://127.0.0.1:9/my-org/my-repo.git", "commit_sha": "{{ $GITHUB_SHA }}"}
    flows.manifest(entrypoint="example.py:my_flow", pull=[{f"{STEPS}.git_clone": clone}])
    old = flows.commit("Flow")
    flows.write("example.py", FLOW.format(version=2))
    new = flows.commit("Better flow")
    assert flows.ok("deploy", GITHUB_SHA=new).err == ""
    assert flows.ok("deploy", GITHUB_SHA=old).err == (
        f"warning: deployment 'prod': its clone step takes commit {old[:8]}, "
        f"but the version is recorded as code of {new[:8]}\n"
    )
    result = flows.started("prod")
    assert json.loads(result.out)["version"] == 1
    assert f"running etl/prod v2, code {old[:12]}\n" in result.err


def test_a_commit_that_does_not_exist_is_an_error_and_nothing_runs(flows: Flows, tmp_path: Path) -> None:
    """Defect 1: Prefect's clone ran what was there, and "succeeded" for a commit that does not exist."""
    subprocess.run(["git", "init", "-q", str(tmp_path / "other")], check=True)
    clone = {"repository": f"file://{tmp_path}/other", "commit_sha": "0123456789" * 4}
    flows.versions(1, pull=[{f"{STEPS}.git_clone": clone}])
    result = flows.started("prod")
    assert result.code == 128
    assert f"does not give commit {'0123456789' * 4}" in result.err
    assert result.out == ""
    assert flows.leftovers() == []


def test_defect_4_an_abbreviated_commit_is_refused_by_run_as_well(flows: Flows) -> None:
    """Deploy makes it full or refuses it; this version was written by other means."""
    head = flows.git("rev-parse", "HEAD")
    step: Json = {f"{STEPS}.git_clone": {"repository": str(flows.path), "commit_sha": head[:12]}}
    configuration: dict[str, Json] = {**PROPERTIES, "entrypoint": "example.py:my_flow", "pull_steps": [step]}
    draft = Draft(None, configuration, Source(VersionInfo("vcs:git", commit_sha=head), head))
    store = ours.Repository(str(flows.path), os.environ)
    write(store, store.who(), ["etl/prod"], deploying(store, {"etl/prod": Wish("etl/prod", draft, {})}, ""))
    assert f"commit_sha '{head[:12]}' is no full commit id" in flows.fatal("run", "prod", "-q")


def test_a_clone_of_this_repository_by_branch_runs_the_versions_commit(flows: Flows) -> None:
    flows.git("remote", "add", "origin", "git@example.com:my-org/my-repo.git")
    clone = {"repository": "https://example.com/my-org/my-repo", "branch": "main"}
    flows.versions(1, 2, pull=[{f"{STEPS}.git_clone": clone}])
    said = flows.said("prod", "v1")
    assert said["version"] == 1
    assert Path(said["cwd"]).name == "my-repo-main"


def test_a_clone_of_another_branch_of_this_repository_is_refused(flows: Flows) -> None:
    clone = {"repository": str(flows.path), "branch": "release"}
    flows.versions(1, pull=[{f"{STEPS}.git_clone": clone}])
    line = flows.fatal("run", "prod", "-q")
    assert "branch 'release' is not the one that v1 was deployed from ('main')" in line


@pytest.mark.parametrize("inactive", [False, True])
def test_submodules_come_without_a_word_in_the_users_configuration(
    flows: Flows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inactive: bool
) -> None:
    config = {"COUNT": "1", "KEY_0": "protocol.file.allow", "VALUE_0": "always"}
    for key, value in config.items():
        monkeypatch.setenv(f"GIT_CONFIG_{key}", value)
    for name, inner in (("deep", None), ("middle", "deep")):
        subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path / name)], check=True)
        module = Repository(tmp_path / name)
        if inner:
            module.git("submodule", "--quiet", "add", str(tmp_path / inner), inner)
        module.commit("Module", **{f"{name}.py": f"word = {name!r}\n"})
    flows.git("submodule", "--quiet", "add", str(tmp_path / "middle"), "lib")
    flows.git("submodule", "--quiet", "deinit", "-f", "lib")
    if inactive:
        flows.git("config", "submodule.lib.active", "false")
    code = "from lib.middle import word as a\nfrom lib.deep.deep import word as b\ndef f():\n    print(a, b)\n"
    clone = {"repository": str(flows.path), "commit_sha": "{{ $SHA }}", "include_submodules": True}
    flows.manifest(entrypoint="example.py:f", pull=[{f"{STEPS}.git_clone": clone}])
    flows.ok("deploy", SHA=flows.commit("Flow", **{"example.py": code}))
    before = flows.git("config", "--local", "--list")
    assert flows.started("prod").out == "middle deep\n"
    assert flows.git("config", "--local", "--list") == before
    assert flows.leftovers() == []


@pytest.fixture
def library(tmp_path: Path) -> Repository:
    """Another repository, with two commits of a flow file."""
    path = tmp_path / "library"
    subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True)
    made = Repository(path)
    made.commit("One", **{"example.py": FLOW.format(version=101)})
    made.commit("Two", **{"example.py": FLOW.format(version=102)})
    return made


@pytest.mark.parametrize(("commit", "version"), [("HEAD", 102), ("HEAD~1", 101)])
def test_another_repository_is_cloned_at_its_commit(
    flows: Flows, library: Repository, commit: str, version: int
) -> None:
    clone = {"repository": f"file://{library.path}", "commit_sha": library.git("rev-parse", commit)}
    flows.versions(1, pull=[{f"{STEPS}.git_clone": clone}])
    library.commit("Three", **{"example.py": "raise SystemExit('the newest ran')\n"})
    assert flows.said("prod")["version"] == version
    assert flows.leftovers() == []


def test_another_repository_is_cloned_at_the_tip_of_a_branch(flows: Flows, library: Repository) -> None:
    library.git("branch", "release", "HEAD~1")
    clone = {"repository": f"file://{library.path}", "branch": "release"}
    flows.versions(1, pull=[{f"{STEPS}.git_clone": clone}])
    result = flows.started("prod")
    assert json.loads(result.out)["version"] == 101
    assert "running etl/prod v1, code from its pull steps\n" in result.err
    assert "does not give branch gone" in _broken(flows, {**clone, "branch": "gone"})


def _broken(flows: Flows, clone: dict[str, str]) -> str:
    flows.versions(2, pull=[{f"{STEPS}.git_clone": clone}])
    return flows.fatal("run", "prod", "-q")


def test_a_token_of_a_clone_step_is_never_shown(flows: Flows) -> None:
    clone = {"repository": "https://127.0.0.1:9/my-org/other.git", "access_token": "{{ $CLONE_WITH }}"}
    flows.write("example.py", FLOW.format(version=1))
    flows.manifest(entrypoint="example.py:my_flow", pull=[{f"{STEPS}.git_clone": clone}])
    flows.commit("Flow")
    flows.ok("deploy", "--runtime-env", "CLONE_WITH")
    line = flows.fatal("run", "prod", "-q", CLONE_WITH="user:not-to-be-seen")
    assert "https://127.0.0.1:9/my-org/other.git does not give its default branch" in line
    assert "not-to-be-seen" not in line


class Watching(Server):
    """A server that asks for a password, and looks at the command lines of all programs while a client waits for it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.locked = True
        self.tls: ssl.SSLContext | None = None
        self.command_lines = ""

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        self.command_lines += subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True).stdout
        return (self.tls.wrap_socket(connection, server_side=True) if self.tls else connection), address


@pytest.mark.skipif(shutil.which("ps") is None, reason="command lines are seen with ps")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_opens_another_repository_reaches_neither_disk_nor_command_line(
    flows: Flows, library: Repository, tmp_path: Path, scheme: str
) -> None:
    if scheme == "https" and shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    secret = f"secret-{scheme}-{os.getpid()}"  # all command lines are looked at, those of other tests among them
    with serving(tmp_path, Watching) as server:
        assert isinstance(server, Watching)
        server.opened_by = f"ada:{secret}"
        url = f"{scheme}://127.0.0.1:{server.server_address[1]}/library/.git"
        clone: dict[str, Any] = {"repository": url, "access_token": "{{ $OPENS }}"}
        if scheme == "https":
            server.tls = _certified(tmp_path)
        else:
            clone = {"repository": url.replace("://", "://{{ $OPENS }}@")}
        clone["commit_sha"] = library.git("rev-parse", "HEAD~1")
        files = "import pathlib\nfor file in pathlib.Path('..').rglob('*'):\n    "
        look = f"{files}assert not file.is_file() or {secret.encode()!r} not in file.read_bytes(), file\n"
        script = shlex.join([sys.executable, "-c", look])
        steps = [{f"{STEPS}.git_clone": clone}, {f"{STEPS}.run_shell_script": {"script": '"$LOOK"', "shell": True}}]
        (tmp_path / "look").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "look").chmod(0o755)
        flows.manifest(flow_name="f", entrypoint="example.py:my_flow", pull=steps, parameter_openapi_schema={})
        flows.ok("deploy", "--runtime-env", "OPENS", "--runtime-env", "LOOK")
        done = flows.started("prod", "-q", OPENS=f"ada:{secret}", LOOK=str(tmp_path / "look"), GIT_SSL_NO_VERIFY="1")
    assert (done.code, json.loads(done.out)["version"]) == (0, 101), done
    assert "git-remote-http" in server.command_lines
    assert secret not in server.command_lines


def test_what_opens_a_repository_opens_its_submodules(flows: Flows, library: Repository, tmp_path: Path) -> None:
    """As under Prefect: they are often as private as what they belong to."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path / "beside")], check=True)
    Repository(tmp_path / "beside").commit("Module", **{"module.py": "word = 'beside'\n"})
    library.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "beside"), "inner")
    library.git("config", "--file", ".gitmodules", "submodule.inner.url", "../../beside/.git")
    library.commit("Module", **{"example.py": "from inner.module import word\ndef f():\n    print(word)\n"})
    with serving(tmp_path) as server:
        server.locked = True
        url = f"{server.url.replace('://', '://{{ $OPENS }}@')}/library/.git"
        clone = {"repository": url, "commit_sha": library.git("rev-parse", "HEAD"), "include_submodules": True}
        flows.commit("Flow")
        flows.manifest(
            flow_name="f", entrypoint="example.py:f", pull=[{f"{STEPS}.git_clone": clone}], parameter_openapi_schema={}
        )
        flows.ok("deploy", "--runtime-env", "OPENS")
        assert flows.started("prod", "-q", OPENS="ada:secret").out == "beside\n"


def _certified(folder: Path) -> ssl.SSLContext:
    """For a server of one test: who asks must not verify it."""
    words = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -keyout key.pem -out certificate.pem"
    subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def test_a_commit_that_a_clone_lacks_is_fetched(flows: Flows, tmp_path: Path) -> None:
    flows.versions(1, 2)
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{flows.path}", str(tmp_path / "clone")], check=True)
    clone = Flows(tmp_path / "clone")
    clone.capture = flows.capture
    clone.ok("pull")
    assert clone.said("prod", "v1")["version"] == 1
    clone.git("remote", "remove", "origin")
    assert clone.said("prod", "v1")["version"] == 1


def test_run_works_in_a_bare_repository_and_in_a_hooks_environment(flows: Flows, tmp_path: Path) -> None:
    flows.versions(1, 2)
    subprocess.run(["git", "clone", "-q", "--mirror", str(flows.path), str(tmp_path / "bare")], check=True)
    bare = Flows(tmp_path / "bare")
    bare.capture = flows.capture
    assert bare.said("prod", "v1")["version"] == 1
    assert bare.said("prod", "v1", GIT_DIR=str(tmp_path / "bare"))["version"] == 1


def test_git_in_the_users_code_sees_the_runs_commit(flows: Flows) -> None:
    flows.write("example.py", "import subprocess\ndef my_flow():\n    subprocess.run(['git', 'rev-parse', 'HEAD'])\n")
    flows.manifest(entrypoint="example.py:my_flow")
    first = flows.commit("Flow")
    flows.ok("deploy")
    flows.commit("More")
    assert flows.started("prod", GIT_DIR=str(flows.path / ".git")).out.strip() == first


# The entrypoint


def test_entrypoints_are_relative_to_the_manifests_directory(flows: Flows) -> None:
    flows.write("flows/etl/example.py", "from lib import where\ndef my_flow():\n    print(where)\n")
    flows.write("flows/etl/lib.py", "import os\nwhere = os.path.basename(os.getcwd())\n")
    entry = {"name": "prod", "flow_name": "etl", "entrypoint": "example.py:my_flow"}
    flows.write("flows/etl/prefect.yaml", json.dumps({"deployments": [entry]}))
    flows.commit("Flow")
    flows.ok("deploy", "-f", "flows/etl/prefect.yaml")
    assert flows.started("prod").out == "etl\n"


@pytest.mark.parametrize("place", ["pkg/mod.py", "src/pkg/mod.py", "pkg/mod/__init__.py"])
def test_an_entrypoint_may_be_a_module(flows: Flows, place: str) -> None:
    flows.commit("Flow", **{place: "def my_flow():\n    print(__name__)\n"})
    flows.deploy(entrypoint="pkg.mod.my_flow")
    assert flows.started("prod").out == "pkg.mod\n"


@pytest.mark.parametrize("directory", ["flows", "."])
def test_a_file_may_import_what_lies_beside_it_relatively(flows: Flows, directory: str) -> None:
    """As under Prefect, whose loader takes a file for a package of what lies beside it."""
    code = "from .beside import word\nfrom . import another\ndef f():\n    print(word, another.word)\n"
    beside = {f"{directory}/beside.py": "word = 'pinned'\n", f"{directory}/another.py": "word = 'too'\n"}
    flows.commit("Flow", **{f"{directory}/a.py": code}, **beside)
    flows.deploy(entrypoint=f"{directory}/a.py:f")
    flows.write(f"{directory}/beside.py", "word = 'newer'\n")
    assert flows.started("prod").out == "pinned too\n"


def test_a_module_is_never_taken_from_elsewhere(flows: Flows) -> None:
    flows.commit("Flow", **{"src/pkg/mod.py": "from pkg.other import word\ndef my_flow():\n    print(word)\n"})
    flows.commit("Word", **{"src/pkg/other.py": "word = 'pinned'\n", "src/pkg/__init__.py": ""})
    flows.deploy(entrypoint="pkg.mod.my_flow")
    flows.write("src/pkg/other.py", "word = 'newer'\n")
    assert flows.started("prod", PYTHONPATH=str(flows.path / "src")).out == "pinned\n"
    flows.write("installed.py", "def my_flow():\n    print('installed')\n")
    flows.manifest(entrypoint="installed.my_flow", parameter_openapi_schema={})
    flows.ok("deploy")
    line = flows.fatal("run", "prod", "-q", PYTHONPATH=str(flows.path))
    assert "has no installed.py there" in line


def test_what_is_installed_from_the_work_tree_comes_from_the_commit(flows: Flows) -> None:
    """An editable install puts the work tree on the path; what is there now is not what the version ran."""
    flows.commit(
        "Flow", **{"flows/a.py": "import helper\ndef f():\n    print(helper.word)\n", "lib/helper.py": "word = 1\n"}
    )
    flows.deploy(entrypoint="flows/a.py:f")
    flows.write("lib/helper.py", "word = 2\n")
    assert flows.started("prod", PYTHONPATH=str(flows.path / "lib")).out == "1\n"


FINDER = """
import sys
from importlib.util import spec_from_file_location
from pathlib import Path

MAPPING = {"helper": %r}


class _EditableFinder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        for package, place in MAPPING.items():
            file = Path(place, "__init__.py")
            if fullname == package and file.exists():
                return spec_from_file_location(fullname, file)
        return None


sys.meta_path.append(_EditableFinder)
"""
"""What setuptools writes for `pip install -e` of a package beside the project's other files, in short."""


def test_what_a_finder_imports_from_the_work_tree_comes_from_the_commit(flows: Flows, tmp_path: Path) -> None:
    code = "import helper\ndef f():\n    print(helper.word)\n"
    flows.commit("Flow", **{"flows/a.py": code, "lib/helper/__init__.py": "word = 1\n"})
    flows.deploy(entrypoint="flows/a.py:f")
    flows.write("lib/helper/__init__.py", "word = 2\n")
    site = tmp_path / "site"
    site.mkdir()
    (site / "__editable___helper_1_finder.py").write_text(FINDER % str(flows.path / "lib" / "helper"))
    (site / "sitecustomize.py").write_text("import __editable___helper_1_finder\n")
    assert flows.started("prod", PYTHONPATH=str(site)).out == "1\n"


def test_what_is_installed_from_another_work_tree_comes_from_the_commit(flows: Flows, tmp_path: Path) -> None:
    """One virtual environment often serves all work trees of a repository."""
    code = "import helper\ndef f():\n    print(helper.word)\n"
    flows.commit("Flow", **{"flows/a.py": code, "lib/helper.py": "word = 1\n"})
    flows.deploy(entrypoint="flows/a.py:f")
    other = Flows(tmp_path / "other")
    flows.git("worktree", "add", "-q", str(other.path))
    other.capture = flows.capture
    flows.write("lib/helper.py", "word = 2\n")
    assert other.started("prod", PYTHONPATH=str(flows.path / "lib")).out == "1\n"


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("async def my_flow():\n    print('async')\n", "async\n"),
        ("def my_flow():\n    yield\n    print('end')\n", "end\n"),
        ("async def my_flow():\n    yield\n    print('async end')\n", "async end\n"),
        ("class A:\n    @staticmethod\n    def my_flow():\n        print('method')\n", "method\n"),
    ],
)
def test_every_kind_of_function_is_run_to_its_end(flows: Flows, code: str, printed: str) -> None:
    flows.commit("Flow", **{"a-b.py": code})
    name = "A.my_flow" if "class" in code else "my_flow"
    flows.deploy(entrypoint=f"a-b.py:{name}", parameter_openapi_schema={})
    assert flows.started("prod").out == printed


def test_a_decorated_flow_is_called_as_the_flow_that_it_is(flows: Flows) -> None:
    call = "    def call(**given):\n        print('as a flow')\n        return function(**given)\n"
    stub = f"def flow(function):\n{call}    return call\n"
    flows.commit(
        "Flow",
        **{
            "example.py": "from prefect import flow\n@flow\ndef my_flow(x: int):\n    print(x)\n",
            "stub/prefect.py": stub,
        },
    )
    flows.deploy(entrypoint="example.py:my_flow", parameters={"x": 5})
    assert flows.started("prod", PYTHONPATH=str(flows.path / "stub")).out == "as a flow\n5\n"


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("raise SystemExit(7)", 7, ""),
        ("raise ValueError('no such table')", 1, "ValueError: no such table"),
        ("import os; os._exit(3)", 3, ""),
        ("import os; os.kill(os.getpid(), 9)", 137, ""),
    ],
)
def test_the_exit_status_is_the_childs(flows: Flows, body: str, code: int, said: str) -> None:
    flows.commit("Flow", **{"example.py": f"def my_flow():\n    {body}\n"})
    flows.deploy(entrypoint="example.py:my_flow")
    result = flows.started("prod", "-q")
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert "launch.py" not in result.err, "a traceback shows the user's frames and none of ours"
    assert flows.leftovers() == []


def test_an_entrypoint_that_the_code_does_not_have_is_an_error(flows: Flows) -> None:
    flows.versions(1)
    flows.manifest(entrypoint="later.py:my_flow")
    flows.write("later.py", "def my_flow():\n    pass\n")
    flows.ok("deploy")
    assert "has no later.py there" in flows.fatal("run", "prod", "-q")
    flows.deploy()
    assert "has no entrypoint" in flows.fatal("run", "prod")


# Parameters and environment


def test_parameters_are_the_versions_overlaid_with_those_of_the_run(flows: Flows) -> None:
    flows.versions(1, parameters={"name": "team", "count": 2})
    said = flows.said("prod", "-p", "name=1.10", "-p", "ratio=2")
    assert (said["name"], said["count"], said["ratio"]) == ("1.10", 2, 2)
    assert flows.said("prod", "-p", "name=")["name"] == ""
    assert flows.said("prod", "-p", "name=a=b")["name"] == "a=b"


def test_parameters_are_validated_before_anything_runs(flows: Flows) -> None:
    flows.versions(1)
    line = flows.fatal("run", "prod", "-p", "count=many")
    assert "count: must be an integer" in line
    assert "-p KEY=VALUE" in line
    assert "is not KEY=VALUE" in flows.fatal("run", "prod", "-p", "count")
    assert "given twice" in flows.fatal("run", "prod", "-p", "count=1", "-p", "count=2")


def test_a_parameter_that_the_flow_does_not_have_is_refused(flows: Flows) -> None:
    """Prefect says so too, once all is cloned and installed."""
    flows.versions(1)
    line = flows.fatal("run", "prod", "-q", "-p", "cuont=1")
    assert line == "fatal: -p cuont: v1 of 'etl/prod' has no such parameter; it has count, name, ratio"


@pytest.mark.parametrize(
    ("signature", "given", "printed"),
    [
        ("**more", {"more": {"x": 1}}, {"more": {"x": 1}}),
        ("a, b=2, *rest, c=3, **more", {"a": 1, "rest": [8, 9], "more": {"x": 1}}, {"b": 2, "rest": [8, 9], "c": 3}),
        ("a, /, b", {"b": 2, "a": 1}, {"a": 1, "b": 2}),
        ("a=1, **more", {"a": 5, "more": {}}, {"a": 5, "more": {}}),
    ],
)
def test_every_kind_of_parameter_is_given_as_prefect_gives_it(
    flows: Flows, signature: str, given: Json, printed: dict[str, Json]
) -> None:
    body = "print(json.dumps({name: value for name, value in locals().items()}))"
    flows.commit("Flow", **{"example.py": f"import json\ndef my_flow({signature}):\n    {body}\n"})
    flows.deploy(entrypoint="example.py:my_flow", parameters=given)
    said = flows.said("prod")
    assert {key: said[key] for key in printed} == printed


@pytest.mark.parametrize("nested", ["{}", '{{"inner": [{}]}}', "[{}]"])
def test_a_parameter_that_a_server_fills_in_must_be_given(flows: Flows, nested: str) -> None:
    value = nested.format('{"__prefect_kind": "workspace_variable", "variable_name": "day"}')
    flows.versions(1, parameters={"name": json.loads(value)}, enforce_parameter_schema=False)
    assert "parameter 'name' of v1 of 'etl/prod' is for a Prefect server to fill in" in flows.fatal("run", "prod")
    assert flows.said("prod", "-p", "name=mine")["name"] == "mine"


def test_what_a_flow_requires_must_be_given(flows: Flows) -> None:
    flows.commit("Flow", **{"example.py": "def my_flow(day: str):\n    print(day)\n"})
    flows.deploy(entrypoint="example.py:my_flow")
    assert "day" in flows.fatal("run", "prod")
    assert flows.started("prod", "-p", "day=2026-01-02").out == "2026-01-02\n"
    flows.ok("update", "prod", "enforce_parameter_schema=false")
    assert "missing 1 required" in flows.started("prod").err


def test_the_variables_of_job_variables_are_set(flows: Flows) -> None:
    flows.commit(
        "Flow",
        **{"example.py": "import os\ndef my_flow():\n    print(os.environ['A'], os.environ['B'], os.environ['C'])\n"},
    )
    variables = {"A": "1.10", "B": True, "C": "{{ prefect.variables.c }}"}
    flows.deploy(entrypoint="example.py:my_flow", job_variables={"env": variables})
    assert flows.started("prod", C="from here", A="overruled").out == "1.10 true from here\n"
    assert "the variable C of v1" in flows.fatal("run", "prod")


def test_the_python_that_is_named_runs_it(flows: Flows, tmp_path: Path) -> None:
    flows.commit("Flow", **{"example.py": "import os\ndef my_flow():\n    print(os.environ.get('WHICH'))\n"})
    flows.deploy(entrypoint="example.py:my_flow")
    for place, word in (("named", "named"), ("venv/bin", "active"), ("path", "path")):
        for name in ("python", "python3"):
            script = tmp_path / place / name
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(f'#!/bin/sh\nWHICH={word} exec {sys.executable} "$@"\n')
            script.chmod(0o755)
    path = f"{tmp_path / 'path'}{os.pathsep}{os.environ['PATH']}"
    assert flows.started("prod", PATH=path).out == "path\n"
    active = {"PATH": path, "VIRTUAL_ENV": str(tmp_path / "venv")}
    assert flows.started("prod", **active).out == "active\n"
    assert flows.started("prod", "--python", str(tmp_path / "named" / "python"), **active).out == "named\n"
    assert "there is no such program" in flows.fatal("run", "prod", "--python", "python-of-nobody", "-q")


def test_a_disabled_deployment_does_not_run(flows: Flows) -> None:
    flows.versions(1, disabled=True)
    assert "'etl/prod' is disabled" in flows.fatal("run", "prod")
    flows.ok("update", "prod", "disabled=false", "paused=true")
    assert flows.said("prod")["version"] == 1


# Pull steps


def test_pull_steps_run_in_order(flows: Flows) -> None:
    flows.commit("Flow", **{"sub/example.py": "import os\ndef my_flow():\n    print(open('made').read().strip())\n"})
    pull = [
        {f"{STEPS}.git_clone": {"id": "code", "repository": str(flows.path), "commit_sha": "{{ $GITHUB_SHA }}"}},
        {f"{STEPS}.run_shell_script": {"id": "said", "script": "echo one\necho {{ $WORD }}", "stream_output": False}},
        {f"{STEPS}.set_working_directory": {"directory": "{{ code.directory }}/sub"}},
        {f"{STEPS}.run_shell_script": {"script": "echo $W > made", "shell": True, "env": {"W": "{{ said.stdout }}"}}},
        {f"{STEPS}.run_shell_script": {"script": "echo heard\n\n  false 'a b'  "}},
    ]
    flows.manifest(entrypoint="example.py:my_flow", parameter_openapi_schema={}, pull=pull[:4])
    flows.ok("deploy", "--runtime-env", "WORD", GITHUB_SHA=flows.git("rev-parse", "HEAD"))
    result = flows.started("prod", WORD="two")
    assert result.out == "one two\n"
    assert "the variable WORD is not set" in flows.fatal("run", "prod", "-q")
    flows.manifest(entrypoint="example.py:my_flow", parameter_openapi_schema={}, pull=pull)
    flows.ok("deploy", "--runtime-env", "WORD", GITHUB_SHA=flows.git("rev-parse", "HEAD"))
    result = flows.started("prod", WORD="two")
    assert result.code == 128
    assert "heard\n" in result.err
    assert "pull step 5 (prefect.deployments.steps.run_shell_script) ended with status 1" in result.err
    assert result.out == ""
    assert flows.leftovers() == []


def test_a_step_stands_in_the_code_and_not_where_the_user_does(flows: Flows) -> None:
    flows.commit("Flow", **{"sub/word": "pinned\n", "sub/example.py": "def my_flow():\n    pass\n"})
    script = {"script": "cat $PWD/word", "directory": "sub", "expand_env_vars": True}
    flows.deploy(entrypoint="sub/example.py:my_flow", pull=[{f"{STEPS}.run_shell_script": script}])
    flows.write("word", "the user's\n")
    result = flows.started("prod", PWD=str(flows.path))
    assert (result.code, result.err.splitlines()[-1]) == (0, "pinned")


def test_requirements_are_installed_with_the_runs_python(flows: Flows, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$2" = pip ] && echo "$PWD: $@" && exit\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    flows.commit("Flow", **{"example.py": FLOW.format(version=1)})
    pull = [{f"{STEPS}.pip_install_requirements": {"requirements_file": "needs.txt"}}]
    flows.deploy(entrypoint="example.py:my_flow", pull=pull)
    result = flows.started("prod", "--python", str(python))
    assert "code: -m pip install -r needs.txt" in result.err
    assert json.loads(result.out)["version"] == 1


def test_without_a_clone_the_code_is_the_source_commit(flows: Flows) -> None:
    """`prefect deploy` stores the deployer's directory: that place of the commit is meant, not what is there now."""
    flows.commit("Flow", **{"sub/example.py": FLOW.format(version=1)})
    pull = [{f"{STEPS}.set_working_directory": {"directory": str(flows.path / "sub")}}]
    flows.deploy(entrypoint="example.py:my_flow", parameter_openapi_schema={}, pull=pull)
    flows.write("sub/example.py", "raise SystemExit('what is checked out ran')\n")
    assert flows.said("prod")["version"] == 1


@pytest.mark.parametrize("entrypoint", ["outer.py:my_flow", "outer/example.py:my_flow", "outer.example.my_flow"])
def test_a_link_that_leads_out_of_the_code_is_not_followed(flows: Flows, library: Repository, entrypoint: str) -> None:
    """Whatever is there today would run in the version's place; within the code a link is as good as a file."""
    flows.write("flow.py", FLOW.format(version=1))
    (flows.path / "inner.py").symlink_to("flow.py")
    (flows.path / "outer.py").symlink_to(library.path / "example.py")
    (flows.path / "outer").symlink_to(library.path)
    flows.commit("Links")
    flows.deploy(entrypoint="inner.py:my_flow", parameter_openapi_schema={})
    assert flows.said("prod")["version"] == 1
    flows.deploy(entrypoint=entrypoint, parameter_openapi_schema={})
    assert "a symbolic link leads to" in flows.fatal("run", "prod", "-q")
    assert flows.leftovers() == []


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("set_working_directory", {"directory": "code/out"}),
        ("git_clone", {"clone_directory_name": "code/out/in"}),
    ],
)
def test_no_step_follows_a_link_that_leads_out_of_the_run(
    flows: Flows, tmp_path: Path, kind: str, more: dict[str, str]
) -> None:
    """A clone there would stay behind, a work tree of this repository."""
    (flows.path / "out").symlink_to(tmp_path)
    here = {"repository": str(flows.path)}
    clone = {f"{STEPS}.git_clone": {**here, "clone_directory_name": "code"}}
    flows.versions(1, pull=[clone, {f"{STEPS}.{kind}": {**here, **more}}])
    before = sorted(tmp_path.iterdir())
    assert "lies outside of the" in flows.fatal("run", "prod", "-q")
    assert sorted(tmp_path.iterdir()) == before
    assert flows.leftovers() == []


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"my.own.step": {}}, "pull step 1 (my.own.step) is none of the steps that are done here"),
        ({f"{STEPS}.pull_from_s3": {}}, "pull step 1 (prefect.deployments.steps.pull_from_s3)"),
        ({f"{STEPS}.set_working_directory": {"directory": "/"}}, "lies outside of the version's code"),
        ({f"{STEPS}.set_working_directory": {"directory": "none"}}, "there is no directory none"),
        ({f"{STEPS}.run_shell_script": {"script": "echo 'x"}}, "No closing quotation"),
        ({f"{STEPS}.run_shell_script": {"script": "no-such-program x"}}, "no-such-program: No such file"),
        ({f"{STEPS}.git_clone": {"repository": ".", "clone_directory_name": "../up"}}, "lies outside of the directory"),
        (
            {f"{STEPS}.git_clone": {"repository": "x", "credentials": "{{ prefect.blocks.a.b }}"}},
            "credentials are a block of a Prefect server",
        ),
        (
            {f"{STEPS}.git_clone": {"repository": "x", "access_token": "{{ prefect.blocks.secret.b }}"}},
            "is known to a Prefect server only",
        ),
        ({f"{STEPS}.git_clone": {"repository": ".", "clone_directory_name": "a\0b"}}, "_name holds a NUL"),
        ({f"{STEPS}.run_shell_script": {"script": "echo a\0b"}}, "script holds a NUL"),
        ({f"{STEPS}.git_clone": {"repository": "--mirror"}}, "--mirror does not give its default branch"),
    ],
)
def test_a_step_that_cannot_be_done_names_itself(flows: Flows, step: dict[str, Any], said: str) -> None:
    flows.versions(1, pull=[step])
    assert said in flows.fatal("run", "prod", "-q")
    assert flows.leftovers() == []


def test_two_clones_do_not_share_a_directory(flows: Flows) -> None:
    clone = {f"{STEPS}.git_clone": {"repository": str(flows.path), "clone_directory_name": "code"}}
    flows.versions(1, pull=[clone, clone])
    said = flows.fatal("run", "prod", "-q")
    assert said.endswith(f"pull step 2 ({STEPS}.git_clone): 'code' is there already; name another clone_directory_name")
    assert flows.leftovers() == []


@pytest.mark.parametrize("env", [{"A=B": "c"}, {"A": "b\0c"}, {"A\0B": "c"}])
def test_a_variable_that_can_be_none_is_an_error(flows: Flows, env: dict[str, str]) -> None:
    """It may have come from a server."""
    flows.versions(1, work_pool={"job_variables": {"env": env}})
    assert "job_variables.env of v1 of 'etl/prod': '" in flows.fatal("run", "prod", "-q")
    assert flows.leftovers() == []


# Images


IMAGE = f"my-registry/my-image@sha256:{'a' * 64}"


def engine(tmp_path: Path, name: str = "docker") -> str:
    """A PATH with a container engine of the test's that tells what it was asked to do."""
    script = tmp_path / "engines" / name
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@"\nexit 4\n')
    script.chmod(0o755)
    git = Path(tmp_path / "engines" / "git")
    if not git.exists():
        found = subprocess.run(
            ["sh", "-c", "command -v git"], capture_output=True, text=True, check=True
        ).stdout.strip()
        git.symlink_to(found)
    return str(script.parent)


def image(flows: Flows, **more: Any) -> None:
    flows.versions(1, job_variables={"image": IMAGE, "env": {"A": "b c"}, **more.pop("job", {})}, **more)


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_an_image_based_version_runs_in_its_image(flows: Flows, tmp_path: Path, name: str) -> None:
    image(flows, parameters={"name": "team"})
    result = flows.started("prod", "-p", "count=3", PATH=engine(tmp_path, name))
    assert result.code == 4
    lines = result.out.splitlines()
    assert lines[:7] == [name, "run", "--rm", "--env", "A=b c", IMAGE, "python"]
    assert json.loads(lines[-1]) == {
        "entrypoint": "example.py:my_flow", "parameters": {"name": "team", "count": 3}, "file": "", "moved": [],
    }  # fmt: skip


def test_print_shows_the_command_and_runs_nothing(flows: Flows, tmp_path: Path) -> None:
    image(flows, job={"volumes": ["/data:/data"], "network_mode": "host", "mem_limit": "1g", "privileged": True})
    printed = flows.ok("run", "prod", "--print").out
    assert printed.startswith(
        "docker run --rm --env 'A=b c' --volume /data:/data --network host --memory 1g --privileged " + IMAGE
    )
    # A shell runs it as it stands.
    done = subprocess.run(
        ["/bin/sh", "-c", printed], env={"PATH": engine(tmp_path)}, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.stdout.startswith("docker\nrun\n--rm\n--env\nA=b c\n")
    assert done.returncode == 4


def test_the_printed_program_calls_the_entrypoint(flows: Flows, tmp_path: Path) -> None:
    """What is given to the image's Python, run by a Python in a directory like the image's."""
    image(flows, pull=[{f"{STEPS}.set_working_directory": {"directory": "/opt/flows"}}])
    printed = flows.ok("run", "prod", "--print", "-p", "name=it's").out
    assert "--workdir /opt/flows" in printed
    import shlex

    words = shlex.split(printed)
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "example.py").write_text(FLOW.format(version=9))
    done = subprocess.run(
        [sys.executable, *words[words.index(IMAGE) + 2 :]], cwd=tmp_path / "image", capture_output=True, text=True
    )
    assert json.loads(done.stdout)["name"] == "it's", done.stderr


def test_without_an_engine_it_says_so(flows: Flows, tmp_path: Path) -> None:
    image(flows)
    path = engine(tmp_path)
    (tmp_path / "engines" / "docker").unlink()
    line = flows.fatal("run", "prod", "-q", PATH=path)
    assert "neither docker nor podman is on the PATH" in line
    assert "--print" in line


def test_an_image_without_a_digest_is_nobodys_version(flows: Flows) -> None:
    flows.versions(1, job_variables={"image": "my-registry/my-image:latest"})
    assert "no digest pins it" in flows.fatal("run", "prod")
    clone = {"repository": str(flows.path), "branch": "main"}
    flows.versions(2, job_variables={"image": "python:3.12"}, pull=[{f"{STEPS}.git_clone": clone}])
    assert flows.said("prod")["version"] == 2


def test_an_image_is_never_an_option_of_the_engine(flows: Flows, tmp_path: Path) -> None:
    flows.versions(1, job_variables={"image": f"--volume=/:/host@sha256:{'a' * 64}"})
    for options in ((), ("--print",)):
        said = flows.fatal("run", "prod", *options, PATH=engine(tmp_path))
        assert "is no name of an image" in said


@pytest.mark.parametrize("job", [{"volumes": ["a\0b"]}, {"mem_limit": "1\0g"}, {"image": f"x\0y@sha256:{'a' * 64}"}])
def test_what_no_engine_can_be_given_is_an_error(flows: Flows, tmp_path: Path, job: dict[str, Any]) -> None:
    image(flows, job=job)
    assert "docker cannot be started: embedded null byte" in flows.fatal("run", "prod", "-q", PATH=engine(tmp_path))


def test_steps_inside_of_an_image_are_a_workers(flows: Flows) -> None:
    image(flows, pull=[{f"{STEPS}.git_clone": {"repository": str(flows.path), "branch": "main"}}])
    assert "pull step 1 (prefect.deployments.steps.git_clone) is to be done inside of the image" in flows.fatal(
        "run", "prod"
    )


def test_print_is_for_images(flows: Flows) -> None:
    flows.versions(1)
    assert "runs in no image" in flows.fatal("run", "prod", "--print")


# Ends


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_the_child_and_leaves_nothing(flows: Flows, tmp_path: Path, number: int) -> None:
    body = (
        "import pathlib, signal, sys, time\n"
        "def my_flow():\n"
        "    def end(*_):\n"
        "        sys.exit(9)\n"
        f"    signal.signal({int(number)}, end)\n"
        f"    pathlib.Path({str(tmp_path / 'started')!r}).touch()\n"
        "    time.sleep(60)\n"
    )
    flows.commit("Flow", **{"example.py": body})
    flows.deploy(entrypoint="example.py:my_flow")
    process = _begun(flows, number, "SIG_DFL", tmp_path / "started")
    if number in (signal.SIGINT, signal.SIGQUIT):
        os.killpg(process.pid, number)  # as a terminal does it
    else:
        process.send_signal(number)
    assert process.wait(20) == 9
    assert flows.leftovers() == []


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_so(flows: Flows, tmp_path: Path, number: int) -> None:
    """`nohup git deployments run …` outlives its terminal."""
    started, heard = tmp_path / "started", tmp_path / "heard"
    body = (
        "import pathlib, time\n"
        "def my_flow():\n"
        f"    pathlib.Path({str(started)!r}).touch()\n"
        f"    while not pathlib.Path({str(heard)!r}).exists():\n"
        "        time.sleep(0.05)\n"
    )
    flows.commit("Flow", **{"example.py": body})
    flows.deploy(entrypoint="example.py:my_flow")
    process = _begun(flows, number, "SIG_IGN", started)
    os.killpg(process.pid, number)
    time.sleep(0.2)
    heard.touch()
    assert process.wait(20) == 0
    assert flows.leftovers() == []


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="POSIX signals")
@pytest.mark.parametrize("shell", [False, True])
def test_a_signal_ends_a_pull_step_and_leaves_nothing(flows: Flows, tmp_path: Path, shell: bool) -> None:
    """Whoever cancels a job does not wait for the hour that a step still takes."""
    script = f"sh -c 'echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/started; exec sleep 60'"
    step = {f"{STEPS}.run_shell_script": {"script": f"exec {script}" if shell else script, "shell": shell}}
    flows.versions(1, pull=[step])
    code = "from git_deployments import cli; cli.main()"
    process = subprocess.Popen([sys.executable, "-c", code, "run", "prod", "-q"], cwd=flows.path)
    _wait_for(tmp_path / "started")
    time.sleep(0.2)  # the step may be faster than who has started it
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 130
    assert flows.leftovers() == []
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "started").read_text()), 0)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="POSIX signals")
@pytest.mark.parametrize("code", [0, 7])
def test_one_more_interrupt_while_all_is_taken_away_leaves_nothing(flows: Flows, tmp_path: Path, code: int) -> None:
    """A terminal's ^C reaches every program of the run, and impatient hands press it twice."""
    git = shutil.which("git")
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *"worktree remove"*) kill -INT 0;; esac\nexec {git} "$@"\n')
    wrapper.chmod(0o755)
    flows.commit("Flow", **{"example.py": f"def my_flow():\n    raise SystemExit({code})\n"})
    flows.deploy(entrypoint="example.py:my_flow")
    program = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); from git_deployments import cli; cli.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "run", "prod", "-q"],
        cwd=flows.path,
        env={**os.environ, "PATH": f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}"},
        start_new_session=True,
    )
    assert process.wait(20) == code
    assert flows.leftovers() == []


def _begun(flows: Flows, number: int, handler: str, started: Path) -> subprocess.Popen[bytes]:
    """A run that has come as far as to make a file, with this handler whatever who runs the tests ignores."""
    code = f"import signal; signal.signal({int(number)}, signal.{handler}); from git_deployments import cli; cli.main()"
    command = [sys.executable, "-c", code, "run", "prod", "-q"]
    process = subprocess.Popen(command, cwd=flows.path, start_new_session=True)
    _wait_for(started)
    return process


def _wait_for(path: Path) -> None:
    for _ in range(400):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")
