"""Every kind of repository, of environment and of configuration: the same commands do the same in each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from .conftest import Project, Result
from .test_doors import SCRIPT

FLOW = "def flow():\n    print('ran')\n"
LIVE = "refs/deployments/etl/prod/live"


class Odd(NamedTuple):
    """A repository, and how it is reached."""

    project: Project
    environment: Mapping[str, str] = MappingProxyType({})
    code: bool = True
    """Whether there is a commit to deploy."""

    def ok(self, *words: str, stdin: str = "") -> Result:
        """Run a command that must succeed."""
        result = self.project.run(*words, stdin=stdin, **self.environment)
        assert result.code == 0, f"{words}: {result}"
        return result


def use(odd: Odd, there: Path) -> None:
    """Use every command that needs no remote; plain git has to find all that was said."""
    for description in ("one", "two"):
        entry = {"name": "prod", "flow_name": "etl", "description": description, "entrypoint": "code.py:flow"}
        manifest = json.dumps({"deployments": [entry]})
        odd.ok("deploy", "-q", "-f", "-", stdin=manifest)
    odd.ok("rollback", "prod")
    odd.ok("update", "prod", "paused=true", "description=three")
    odd.ok("rollback", "prod", "v2", "-m", "back")
    odd.ok("promote", "prod", "v3")
    assert odd.ok("live", "prod").out == "3\n"
    assert [row["number"] for row in odd.ok("versions", "prod", "--json").json] == [3, 2, 1]
    assert [row["live"] for row in odd.ok("list", "--json").json] == [3]
    assert odd.ok("show", "prod", "--key", "description").out == "three\n"
    assert len(odd.ok("log", "prod", "--json").json) == 6
    assert "description" in odd.ok("diff", "prod", "1", "2").out
    assert "description: three" in odd.ok("export").out
    odd.ok("status")
    assert odd.ok("fsck").out == ""
    git = subprocess.run(
        ["git", "rev-parse", LIVE],
        cwd=odd.project.path,
        env={**os.environ, **odd.environment},
        check=True,
        capture_output=True,
        text=True,
    )
    assert odd.ok("live", "prod", "--oid").out == git.stdout
    done = subprocess.run(
        [SCRIPT, "live", "prod", "--oid"],
        cwd=odd.project.path,
        env={**os.environ, **odd.environment},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == (git.stdout, "")
    if odd.code:
        odd.ok("checkout", "prod", str(there))
        assert (there / "code.py").read_text() == FLOW
    odd.ok("delete", "prod", "-y")
    assert odd.ok("list").out == ""
    odd.ok("deploy", "-q", "-f", "-", stdin=manifest)
    assert odd.ok("live", "prod").out == "4\n"
    assert odd.ok("fsck").out == ""


def bare(project: Project, beside: Path) -> Odd:
    project.git("clone", "-q", "--bare", ".", str(beside))
    return Odd(Project(beside))


def mirror(project: Project, beside: Path) -> Odd:
    project.git("clone", "-q", "--mirror", ".", str(beside))
    return Odd(Project(beside))


def worktree(project: Project, beside: Path) -> Odd:
    project.git("worktree", "add", "-q", "--detach", str(beside))
    return Odd(Project(beside))


def subdirectory(project: Project, beside: Path) -> Odd:
    project.write(f"{beside.name}/code.py", FLOW)
    return Odd(Project(project.path / beside.name))


def submodule(project: Project, beside: Path) -> Odd:
    subprocess.run(["git", "init", "-q", str(beside)], check=True)
    Project(beside).git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(project.path), "below")
    return Odd(Project(beside / "below"))


def shallow(project: Project, beside: Path) -> Odd:
    project.git("clone", "-q", "--depth=1", f"file://{project.path}", str(beside))
    return Odd(Project(beside))


def partial(project: Project, beside: Path) -> Odd:
    project.git("config", "uploadpack.allowFilter", "true")
    project.git("clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{project.path}", str(beside))
    return Odd(Project(beside))


def alternates(project: Project, beside: Path) -> Odd:
    project.git("clone", "-q", "--shared", ".", str(beside))
    return Odd(Project(beside))


def separate(project: Project, beside: Path) -> Odd:
    project.git("clone", "-q", "--separate-git-dir", f"{beside}.git", ".", str(beside))
    return Odd(Project(beside))


def git_dir(project: Project, beside: Path) -> Odd:
    beside.mkdir()
    return Odd(Project(beside), {"GIT_DIR": str(project.path / ".git")})


def git_work_tree(project: Project, beside: Path) -> Odd:
    (beside / "below").mkdir(parents=True)
    (beside / "below" / "code.py").write_text(FLOW)
    return Odd(Project(beside / "below"), {"GIT_DIR": str(project.path / ".git"), "GIT_WORK_TREE": str(beside)})


def git_common_dir(project: Project, beside: Path) -> Odd:
    project.git("worktree", "add", "-q", "--detach", str(beside))
    private = project.path / ".git" / "worktrees" / beside.name
    return Odd(Project(beside), {"GIT_DIR": str(private), "GIT_COMMON_DIR": str(project.path / ".git")})


def git_object_directory(project: Project, beside: Path) -> Odd:
    beside.mkdir()
    return Odd(
        project,
        {
            "GIT_OBJECT_DIRECTORY": str(beside),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(project.path / ".git" / "objects"),
        },
    )


def inside_git(project: Project, beside: Path) -> Odd:  # noqa: ARG001
    return Odd(Project(project.path / ".git"))


def unborn(project: Project, beside: Path) -> Odd:
    subprocess.run(["git", "init", "-q", str(beside)], check=True)
    shutil.copy(project.path / "code.py", beside)
    return Odd(Project(beside), code=False)


def sha256(project: Project, beside: Path) -> Odd:
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(beside)], check=True)
    Project(beside).commit("Start", **{"code.py": (project.path / "code.py").read_text()})
    return Odd(Project(beside))


def reftable(project: Project, beside: Path) -> Odd:
    made = subprocess.run(["git", "init", "-q", "--ref-format=reftable", str(beside)], capture_output=True)
    if made.returncode:
        pytest.skip("this git knows no reftable")
    Project(beside).commit("Start", **{"code.py": (project.path / "code.py").read_text()})
    return Odd(Project(beside))


def reflogs(project: Project, beside: Path) -> Odd:  # noqa: ARG001
    project.git("config", "core.logAllRefUpdates", "always")
    return Odd(project)


TRAPS = """[alias]
    cat-file = !false
    update-ref = !false
    deploy = !false
    rev-parse = !false
[core]
    hooksPath = /nowhere
    quotePath = true
    abbrev = 4
    pager = false
    fsmonitor = false
    autocrlf = true
    safecrlf = true
    symlinks = false
    commentChar = v
    preferSymlinkRefs = false
    editor = false
    attributesFile = /nowhere
    bigFileThreshold = 1
[color]
    ui = always
[column]
    ui = always
[log]
    showSignature = true
    showRoot = false
    date = relative
    decorate = full
    follow = true
    mailmap = true
    excludeDecoration = refs/*
[format]
    pretty = %H nothing %x00
[diff]
    external = false
    noprefix = true
    mnemonicPrefix = true
    wsErrorHighlight = all
    submodule = log
    ignoreSubmodules = all
    renames = copies
[pager]
    log = false
    show = false
    deployments = false
[i18n]
    commitEncoding = latin1
    logOutputEncoding = latin1
[init]
    defaultRefFormat = reftable
    defaultBranch = odd
[trailer]
    separators = "#"
    ifexists = replace
[trailer "number"]
    key = Zahl
    command = false
[commit]
    verbose = true
    cleanup = verbatim
    template = /nowhere
[branch]
    sort = -committerdate
[tag]
    sort = -version:refname
[versionsort]
    suffix = -
[transfer]
    hideRefs = refs/deployments
    fsckObjects = true
[gc]
    auto = 1
    pruneExpire = now
[merge]
    ff = false
[help]
    autocorrect = immediate
[status]
    showUntrackedFiles = all
[rerere]
    enabled = true
[submodule]
    recurse = true
"""


def traps(project: Project, beside: Path) -> Odd:
    """The user's own configuration changes all that may be changed."""
    beside.write_text(TRAPS)
    return Odd(project, {"GIT_CONFIG_GLOBAL": str(beside)})


def configured_by_variables(project: Project, beside: Path) -> Odd:  # noqa: ARG001
    environment = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "color.ui", "GIT_CONFIG_VALUE_0": "always"}
    return Odd(project, {**environment, "GIT_TRACE2": "0", "GIT_PAGER": "false", "GIT_EXTERNAL_DIFF": "false"})


def spaces(project: Project, beside: Path) -> Odd:
    path = beside / "a 'b' \"c\" ü\n-x"
    path.parent.mkdir()
    project.git("clone", "-q", ".", str(path))
    return Odd(Project(path))


KINDS: list[Callable[[Project, Path], Odd]] = [
    *(bare, mirror, worktree, subdirectory, submodule, shallow, partial, alternates, separate, git_dir),
    *(git_work_tree, git_common_dir, git_object_directory, inside_git, unborn, sha256, reftable, reflogs, traps),
    *(configured_by_variables, spaces),
]


@pytest.fixture
def project(project: Project) -> Project:
    """With the code that is deployed."""
    project.commit("Code", **{"code.py": FLOW})
    return project


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_command_in_each_kind_of_repository(project: Project, tmp_path: Path, kind: Callable[..., Odd]) -> None:
    odd = kind(project, tmp_path / "beside")
    use(odd, tmp_path / "checked-out")
    done = subprocess.run(
        ["git", "fsck", "--strict", "--no-dangling", "--no-progress"],
        cwd=odd.project.path,
        env={**os.environ, **odd.environment},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


def asked(odd: Odd, *words: str) -> str:
    """Standard output of plain git there, without its last newline."""
    done = subprocess.run(
        ["git", *words], cwd=odd.project.path, env={**os.environ, **odd.environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


def made(path: Path, hash_: str, *options: str) -> Project:
    """A new repository."""
    subprocess.run(["git", "init", "-q", f"--object-format={hash_}", *options, str(path)], check=True)
    return Project(path)


def manifest(description: str) -> str:
    """Of one deployment, whose source is whatever is checked out."""
    return json.dumps({"deployments": [{"name": "prod", "flow_name": "etl", "description": description}]})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_command_that_asks_a_remote_in_each_kind_of_repository(
    project: Project, tmp_path: Path, kind: Callable[..., Odd]
) -> None:
    odd = kind(project, tmp_path / "beside")
    hash_ = asked(odd, "rev-parse", "--show-object-format")
    hub = made(tmp_path / "hub.git", hash_, "--bare")
    hub.git("config", "transfer.hideRefs", "!refs/deployments")  # a trap that would be the server's own
    hub.ok("hook", "install")
    peer = made(tmp_path / "peer", hash_)
    peer.git("remote", "add", "hub", f"file://{hub.path}")
    asked(odd, "remote", "add", "hub", f"file://{hub.path}")
    odd.ok("deploy", "-q", "-f", "-", stdin=manifest("one"))
    odd.ok("push", "hub")
    odd.ok("deploy", "-q", "-f", "-", "--push", "--remote", "hub", stdin=manifest("two"))
    odd.ok("rollback", "prod", "--push", "--remote", "hub")
    peer.ok("pull", "hub")
    assert peer.refs() == hub.refs()
    peer.ok("update", "prod", "description=three", "paused=true", "--push")
    odd.ok("fetch", "hub")
    assert "behind" in odd.ok("status", "--remote", "hub").out
    odd.ok("deploy", "-q", "-f", "-", stdin=manifest("four"))
    odd.ok("pull", "hub")
    assert odd.ok("show", "prod", "--key", "description").out == "four\n"
    odd.ok("push", "hub")
    peer.ok("pull", "hub")
    assert [row["number"] for row in peer.ok("versions", "prod", "--json").json] == [4, 3, 2, 1]
    assert odd.ok("live", "prod", "--oid").out == peer.ok("live", "prod", "--oid").out
    for place in (odd, peer, hub):
        assert "error: " not in place.ok("fsck").out  # a notice says that the code is not here
    odd.ok("delete", "prod", "-y", "--push", "--remote", "hub")
    peer.ok("pull", "hub")
    assert peer.ok("list").out == ""
    assert "nothing new" in odd.ok("pull", "hub").out


# Where not everything may be done


def script(
    project: Project, *words: str, before: tuple[str, ...] = (), environment: Mapping[str, str] = MappingProxyType({})
) -> Result:
    """Run the installed script in a process of its own."""
    done = subprocess.run(
        [*before, SCRIPT, *words],
        cwd=project.path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_repository_of_another_owner_is_refused_until_git_is_told(versions: Project, tmp_path: Path) -> None:
    stranger = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    for words in (["list"], ["live", "prod"], ["rollback", "prod"], ["fsck"]):
        result = script(versions, *words, environment=stranger)
        assert (result.code, result.out) == (128, ""), words
        assert result.err.startswith("fatal: ")
        assert "safe.directory" in result.err
    assert versions.live() == 3
    (tmp_path / "config").write_text(f"[safe]\n    directory = {versions.path}\n")
    trusted = {**stranger, "GIT_CONFIG_GLOBAL": str(tmp_path / "config")}
    assert script(versions, "live", "prod", environment=trusted).out == "3\n"
    assert script(versions, "rollback", "prod", environment=trusted).code == 0


def test_a_repository_that_may_only_be_read_is_read(versions: Project) -> None:
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv to take that away")
        before = ("setpriv", "--bounding-set=-dac_override,-fowner")
    refs = versions.refs()
    folders = [path for path in (versions.path / ".git", *(versions.path / ".git").glob("**/")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        for words in (
            *(["list"], ["versions", "prod"], ["show", "prod"], ["live", "prod"], ["log", "prod"], ["fsck"]),
            *(["diff", "prod"], ["status"], ["export"], ["rollback", "prod", "-n"]),
        ):
            assert script(versions, *words, before=before).code == 0, words
        for words in (["rollback", "prod"], ["update", "prod", "paused=true"], ["update", "prod", "description=x"]):
            refused = script(versions, *words, before=before)
            assert (refused.code, refused.out) == (128, "")
            assert [line[:7] for line in refused.err.splitlines()] == ["fatal: "], refused
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert versions.refs() == refs
    assert versions.ok("fsck").out == ""


def test_without_a_home(versions: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(variable, raising=False)
    assert script(versions, "rollback", "prod").code == 0
    assert script(versions, "live", "prod").out == "2\n"
    assert script(versions, "fsck").out == ""


def test_without_an_identity_all_is_read_and_nothing_written(
    versions: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in list(os.environ):
        if variable.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_")):
            monkeypatch.delenv(variable)
    assert versions.ok("live", "prod").out == "3\n"
    assert versions.ok("rollback", "prod", "-n").code == 0
    assert "git config --global user.name" in versions.fatal("rollback", "prod")
    assert "git config --global user.name" in versions.fatal("update", "prod", "paused=true")


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    ],
    ids=["C", "POSIX", "Turkish", "ascii"],
)
def test_a_locale_changes_no_name_and_no_record(project: Project, locale: dict[str, str]) -> None:
    name = "ISIK iş/Iıİi öğle"
    flow, _, deployment = name.partition("/")
    project.manifest("ılık → İ", name=deployment, flow=flow)
    for words in (["deploy"], ["deploy", "-m", "çünkü"], ["rollback", name, "-m", "İ"], ["log", name], ["fsck"]):
        assert script(project, *words, environment=locale).code == 0, words
    assert script(project, "live", name, environment=locale).out == "1\n"
    assert json.loads(script(project, "list", "--json", environment=locale).out)[0]["name"] == name
    (row, *_) = project.ok("log", name, "--json").json
    assert (row["name"], row["reason"]) == (name, "İ")
    assert project.ok("show", name, "--key", "description").out == "ılık → İ\n"
