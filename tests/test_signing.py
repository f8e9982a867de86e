"""Signed events: made with ssh and gpg as git makes its own, and asked for by the guard, by pull and by fsck."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Project, Result
from .recipes import follow
from .test_sync import Team

PREFIX = "refs/deployments/etl/prod"
LIVE, LOG = f"{PREFIX}/live", f"{PREFIX}/log"

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")


class Keys:
    """An ssh key for each person, and the allowed-signers file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.allowed = path / "allowed"
        for name in ("ada", "bob", "eve"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path / name)]
            subprocess.run(command, check=True)
        self.allow("ada", "bob")

    def public(self, name: str) -> str:
        return " ".join((self.path / f"{name}.pub").read_text().split()[:2])

    def allow(self, *names: str) -> None:
        self.allowed.write_text("".join(f"{name}@example.com {self.public(name)}\n" for name in names))

    def give(self, project: Project, name: str) -> None:
        """The person signs in this clone."""
        project.git("config", "gpg.format", "ssh")
        project.git("config", "user.signingKey", str(self.path / name))
        project.git("config", "deployments.sign", "true")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def team(tmp_path: Path, keys: Keys) -> Team:
    """A guarded hub that wants signatures by Ada or Bob; Ada signs, and has published two versions."""
    made = Team(tmp_path)
    keys.allow("ada", "bob")
    made.hub.ok("hook", "install")
    made.hub.git("config", "deployments.allowedSigners", str(keys.allowed))
    keys.give(made.ada, "ada")
    for number in (1, 2):
        made.ada.deploy(f"d{number}", version=f"0.0.{number}")
    made.ada.ok("push")
    return made


def verified(project: Project, keys: Keys, revision: str) -> bool:
    command = ["git", "-c", f"gpg.ssh.allowedSignersFile={keys.allowed}", "verify-commit", revision]
    return subprocess.run(command, cwd=project.path, capture_output=True).returncode == 0


# Making


def test_git_verifies_what_we_sign(team: Team, keys: Keys) -> None:
    team.ada.ok("rollback", "prod")
    for revision in (LOG, f"{LOG}~1", f"{LOG}~2", f"{PREFIX}/versions/1", LIVE):
        assert verified(team.ada, keys, revision), revision
    assert team.ada.ok("fsck").out == ""
    assert team.ada.git("fsck", "--strict") == ""
    assert team.ada.git("log", "-1", "--format=%s", LOG) == "Roll back etl/prod from v2 to v1"


def test_many_at_once_are_signed_too(project: Project, keys: Keys) -> None:
    keys.give(project, "ada")
    entries = ", ".join(f"{{name: d{number}, flow_name: etl}}" for number in range(50))
    project.write("prefect.yaml", f"deployments: [{entries}]\n")
    project.ok("deploy", "--all")
    assert verified(project, keys, "refs/deployments/etl/d49/log")
    assert verified(project, keys, "refs/deployments/etl/d0/versions/1")


def test_a_sha256_repository_is_signed_too(tmp_path: Path, keys: Keys) -> None:
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(tmp_path / "new")], check=True)
    project = Project(tmp_path / "new")
    keys.give(project, "ada")
    project.commit("Start", code="1\n")
    project.deploy("d1")
    assert "\ngpgsig-sha256 -----BEGIN" in project.git("cat-file", "commit", LOG)
    assert verified(project, keys, LOG)


def test_what_a_pull_replays_is_signed_anew(team: Team, keys: Keys) -> None:
    keys.give(team.bob, "bob")
    team.bob.ok("pull")
    team.bob.deploy("bob's")
    team.ada.deploy("ada's", "--push")
    team.bob.ok("pull")
    team.bob.ok("push")
    assert team.hub.live() == 4
    assert verified(team.hub, keys, LOG)


@pytest.mark.parametrize(
    ("settings", "signed"),
    [
        ({}, False),
        ({"commit.gpgSign": "true"}, True),
        ({"deployments.sign": "true"}, True),
        ({"commit.gpgSign": "true", "deployments.sign": "false"}, False),
    ],
)
def test_what_is_signed_is_configured(project: Project, keys: Keys, settings: dict[str, str], signed: bool) -> None:
    project.git("config", "gpg.format", "ssh")
    project.git("config", "user.signingKey", str(keys.path / "ada"))
    for key, value in settings.items():
        project.git("config", key, value)
    project.deploy("d1")
    assert ("gpgsig" in project.git("cat-file", "commit", LOG)) is signed


def test_the_other_ways_to_name_a_key(project: Project, keys: Keys, tmp_path: Path) -> None:
    keys.give(project, "ada")
    shutil.copy(keys.path / "ada", tmp_path / "home-key")
    (tmp_path / "home-key").chmod(0o600)
    project.git("config", "user.signingKey", "~/home-key")
    project.manifest("d1")
    project.ok("deploy", HOME=str(tmp_path))
    assert verified(project, keys, LOG)
    project.git("config", "--unset", "user.signingKey")
    project.git("config", "gpg.ssh.defaultKeyCommand", f"echo {keys.path / 'ada'}")
    project.deploy("d2")
    assert verified(project, keys, LOG)


@pytest.fixture
def agent(keys: Keys) -> Iterator[str]:
    """The socket of an ssh agent that has Ada's key."""
    with tempfile.TemporaryDirectory(prefix="agent-") as directory:
        socket = f"{directory}/s"
        process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
        try:
            for _ in range(500):
                command = ["ssh-add", "-q", str(keys.path / "ada")]
                environment = {**os.environ, "SSH_AUTH_SOCK": socket}
                if subprocess.run(command, env=environment, capture_output=True).returncode == 0:
                    break
            yield socket
        finally:
            process.terminate()
            process.wait()


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="needs ssh-agent")
def test_a_literal_key_is_signed_with_by_the_agent(project: Project, keys: Keys, agent: str) -> None:
    keys.give(project, "ada")
    project.git("config", "user.signingKey", f"key::{keys.public('ada')}")
    project.manifest("d1")
    project.ok("deploy", SSH_AUTH_SOCK=agent)
    assert verified(project, keys, LOG)


BROKEN = {
    "no key": ({"gpg.format": "ssh"}, "git config user.signingKey"),
    "no such key": ({"gpg.format": "ssh", "user.signingKey": "/nowhere/key"}, "could not sign"),
    "no such program": (
        {"gpg.format": "ssh", "user.signingKey": "x", "gpg.ssh.program": "/nowhere"},
        "cannot be started",
    ),
    "no such format": ({"gpg.format": "wax"}, "none of openpgp, x509, ssh"),
    "no gpg": ({"gpg.program": "false"}, "could not sign"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_signed_is_not_written(versions: Project, case: str) -> None:
    settings, saying = BROKEN[case]
    for key, value in {**settings, "commit.gpgSign": "true"}.items():
        versions.git("config", key, value)
    assert saying in versions.fatal("rollback", "prod")
    versions.manifest("d4")
    assert saying in versions.fatal("deploy")


@pytest.fixture
def gnupg(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A GnuPG home with a key of Ada's; its path is short, since it holds a socket."""
    if shutil.which("gpg") is None:
        pytest.skip("needs gpg")
    with tempfile.TemporaryDirectory(prefix="gnupg-", ignore_cleanup_errors=True) as home:
        monkeypatch.setenv("GNUPGHOME", home)
        command = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "Ada <ada@example.com>"]
        subprocess.run([*command, "ed25519", "sign", "never"], check=True, capture_output=True)
        yield Path(home)
        subprocess.run(["gpgconf", "--kill", "all"], capture_output=True)


def test_gpg_signs_and_is_verified_as_well(team: Team, gnupg: Path) -> None:
    del gnupg
    team.ada.git("config", "gpg.format", "openpgp")
    team.ada.git("config", "--unset", "user.signingKey")
    team.hub.git("config", "deployments.etl/*.mayMove", "ada@example.com")
    team.ada.ok("rollback", "prod", "--push")
    team.hub.git("verify-commit", LOG)
    team.hub.git("config", "deployments.etl/*.mayMove", "bob@example.com")
    assert "may not move live" in team.ada.fatal("promote", "prod", "--push", code=1)


def test_a_gpg_key_that_nobody_vouches_for_is_known_by_its_fingerprint_alone(team: Team, gnupg: Path) -> None:
    """Its owner chose the name on it."""
    team.ada.git("config", "gpg.format", "openpgp")
    team.ada.git("config", "--unset", "user.signingKey")
    ownertrust = "".join(line for line in gpg("--export-ownertrust").splitlines(keepends=True) if line.startswith("#"))
    (gnupg / "trustdb.gpg").unlink()
    gpg("--import-ownertrust", stdin=ownertrust)
    team.hub.git("config", "deployments.etl/*.mayMove", "ada@example.com, Ada <ada@example.com>")
    refused(team.ada, "rollback", "prod", "--push", saying="Ada <ada@example.com> signed it, who may not move live")
    team.ada.ok("update", "prod", "paused=true", "--push")
    (fingerprint,) = {
        line.split(":")[9] for line in gpg("--list-keys", "--with-colons").splitlines() if line[:3] == "fpr"
    }
    team.hub.git("config", "--add", "deployments.etl/*.mayMove", fingerprint)
    team.ada.ok("rollback", "prod", "--push")


def gpg(*arguments: str, stdin: str = "") -> str:
    command = ["gpg", "--batch", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


# Asking for it


def refused(project: Project, *command: str, saying: str) -> None:
    hub = Project(project.path.parent / "hub.git")
    before = hub.refs()
    assert saying in project.fatal(*command, code=1)
    assert hub.refs() == before


def test_the_guard_wants_a_good_signature_on_every_event(team: Team, keys: Keys) -> None:
    team.ada.git("config", "deployments.sign", "false")
    refused(team.ada, "rollback", "prod", "--push", saying="(rollback): it is not signed")
    refused(team.ada, "update", "prod", "paused=true", "--push", saying="(update): it is not signed")
    keys.give(team.ada, "eve")
    refused(team.ada, "rollback", "prod", "--push", saying="is by nobody whom deployments.allowedSigners lists")
    keys.give(team.ada, "bob")
    team.ada.ok("rollback", "prod", "--push")
    assert team.hub.live() == 1


def test_an_unsigned_event_below_a_signed_one_is_found(team: Team) -> None:
    team.ada.git("config", "deployments.sign", "false")
    team.ada.ok("rollback", "prod")
    team.ada.git("config", "deployments.sign", "true")
    team.ada.ok("promote", "prod")
    refused(team.ada, "push", saying="(rollback): it is not signed")


def test_a_signature_that_was_moved_to_another_event_is_bad(team: Team) -> None:
    team.ada.ok("rollback", "prod")
    raw = subprocess.run(["git", "cat-file", "commit", LOG], cwd=team.ada.path, capture_output=True, check=True).stdout
    forged = raw.replace(b"\n\nDeployment: ", b"\n\nanother reason\n\nDeployment: ")
    command = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
    made = subprocess.run(command, cwd=team.ada.path, input=forged, capture_output=True, check=True)
    result = push(team.ada, f"{made.stdout.decode().strip()}:{LOG}", f"+{LIVE}")
    assert result.code == 1
    assert "its signature is bad" in result.err


def push(project: Project, *specs: str) -> Result:
    command = ["git", "push", "-q", "--atomic", "origin", *specs]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, encoding="utf-8")
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_lost_file_of_signers_refuses_everything(team: Team) -> None:
    team.hub.git("config", "deployments.allowedSigners", "nowhere/signers")
    refused(team.ada, "rollback", "prod", "--push", saying="deployments.allowedSigners names 'nowhere/signers'")
    shutil.copy(team.ada.path / "prefect.yaml", team.hub.path / "signers")
    team.hub.git("config", "deployments.allowedSigners", "signers")
    refused(team.ada, "rollback", "prod", "--push", saying="is by nobody whom")


def test_a_relative_file_of_signers_is_found_by_the_hooks_of_a_server_with_a_work_tree(
    project: Project, keys: Keys, tmp_path: Path
) -> None:
    keys.allow("ada")
    project.ok("hook", "install")
    shutil.copy(keys.allowed, project.path / "signers")
    project.git("config", "deployments.allowedSigners", "signers")
    clone = Project(tmp_path / "clone")
    subprocess.run(["git", "clone", "-q", str(project.path), str(clone.path)], check=True)
    keys.give(clone, "eve")
    clone.manifest("d1")
    assert "is by nobody whom deployments.allowedSigners lists" in clone.fatal("deploy", "--push", code=1)
    keys.give(clone, "ada")
    clone.deploy("d1", "--push")
    for place in (project, Project(project.path / ".git")):
        assert place.ok("fsck", "--signatures").out == ""


def test_a_pull_takes_only_what_is_signed(team: Team, keys: Keys) -> None:
    team.bob.git("config", "deployments.allowedSigners", str(keys.allowed))
    team.bob.ok("pull")
    team.hub.ok("hook", "install", "--remove")
    team.ada.git("config", "deployments.sign", "false")
    team.ada.ok("rollback", "prod", "--push")
    before = team.bob.refs()
    line = team.bob.fatal("pull")
    assert "it is not signed" in line
    assert "not signed as this clone asks (deployments.allowedSigners)" in line
    assert "breaks the format" not in line
    assert team.bob.refs() == before
    team.bob.git("config", "--unset", "deployments.allowedSigners")
    team.bob.ok("pull")
    assert team.bob.live() == 1


def test_what_was_unsigned_before_is_not_asked_again(team: Team, keys: Keys) -> None:
    """Who begins to ask for signatures has a history without."""
    team.hub.git("config", "--unset", "deployments.allowedSigners")
    team.ada.git("config", "deployments.sign", "false")
    team.ada.ok("rollback", "prod", "--push")
    team.bob.ok("pull")
    team.ada.git("config", "deployments.sign", "true")
    keys.give(team.bob, "bob")
    for project in (team.hub, team.bob):
        project.git("config", "deployments.allowedSigners", str(keys.allowed))
    team.ada.ok("promote", "prod", "--push")
    team.bob.ok("update", "prod", "paused=true")
    team.bob.ok("pull")
    team.bob.ok("push")
    assert team.hub.ok("fsck").out == ""


def test_who_may_move_live(team: Team, keys: Keys) -> None:
    team.hub.git("config", "deployments.etl/*.mayMove", "bob@example.com")
    refused(team.ada, "rollback", "prod", "--push", saying="ada@example.com signed it, who may not move live")
    refused(team.ada, "deploy", "--push", saying="who may not move live")
    refused(team.ada, "delete", "prod", "-y", "--push", saying="who may not move live")
    team.ada.ok("update", "prod", "paused=true", "--push")
    team.ada.deploy("d3", "--no-live", "--push")
    keys.give(team.bob, "bob")
    team.bob.ok("pull")
    team.bob.ok("promote", "prod", "--push")
    team.ada.deploy("other", name="dev", flow="ml")
    team.ada.ok("pull")
    team.ada.ok("push")
    assert team.hub.live("ml/dev") == 1


def test_who_may_not_move_live_neither_begins_nor_ends_a_hold(team: Team, keys: Keys) -> None:
    team.ada.ok("rollback", "prod", "--push")
    team.hub.git("config", "deployments.etl/prod.mayMove", "bob@example.com")
    refused(team.ada, "rollback", "prod", "v1", "--hold", "--push", saying="who may not move live")
    keys.give(team.bob, "bob")
    team.bob.ok("pull")
    team.bob.ok("rollback", "prod", "v1", "--hold", "--push")
    team.ada.ok("pull")
    refused(team.ada, "promote", "prod", "v1", "--push", saying="who may not move live")
    assert team.hub.run("fsck", "--signatures").out.count("who may not move live") == 3


def test_who_may_not_move_live_ends_no_hold_by_a_delete_of_what_is_not_live(team: Team, keys: Keys) -> None:
    team.ada.ok("rollback", "prod", "--hold", "--push")
    team.ada.git("update-ref", "-d", LIVE)
    team.ada.ok("push")
    team.ada.deploy("x", "--no-live", "--push", name="dev")
    team.hub.git("config", "deployments.etl/*.mayMove", "bob@example.com")
    refused(team.ada, "delete", "prod", "-y", "--push", saying="(delete): ada@example.com signed it, who may not move")
    team.ada.ok("delete", "dev", "-y", "--push")
    keys.give(team.bob, "bob")
    team.bob.ok("pull")
    team.bob.ok("delete", "prod", "-y", "--push")
    assert team.hub.run("fsck", "--signatures").out.count("(delete): ada@") == 0


def test_live_does_not_go_unsigned_with_a_purge(team: Team, keys: Keys) -> None:
    team.hub.git("config", "deployments.allowDelete", "true")
    team.hub.git("config", "deployments.etl/*.mayMove", "bob@example.com")
    keys.give(team.bob, "bob")
    team.bob.ok("pull")
    refs = [f":{ref}" for ref in team.hub.refs()]
    before = team.hub.refs()
    result = push(team.ada, *refs)
    assert result.code == 1
    assert "etl/prod: live may not go with its log, since nobody signs that" in result.err
    assert team.hub.refs() == before
    team.bob.ok("delete", "prod", "-y", "--push")
    assert push(team.ada, f":{LOG}").code == 0
    assert team.hub.refs() == {}


def test_several_patterns_allow_what_any_of_them_allows(team: Team, keys: Keys) -> None:
    for pattern, value in (("*", "eve@example.com, bob@example.com"), ("etl/prod", "ada@example.com")):
        team.hub.git("config", "--add", f"deployments.{pattern}.mayMove", value)
    team.ada.ok("rollback", "prod", "--push")
    team.ada.deploy("x", name="dev")
    refused(team.ada, "push", saying="who may not move live")
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", str(keys.path / "ada.pub")], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    team.hub.git("config", "--add", "deployments.*.mayMove", fingerprint)
    team.ada.ok("push")


def test_who_may_move_is_not_said_for_no_deployments(team: Team) -> None:
    """Nobody would be held back, and nobody would know."""
    team.hub.git("config", "deployments.mayMove", "bob@example.com")
    refused(team.ada, "rollback", "prod", "--push", saying="git config --add 'deployments.*.mayMove' WHO")
    team.hub.git("config", "deployments.*.mayMove", "ada@example.com")
    team.hub.git("config", "--unset-all", "deployments.mayMove")
    team.ada.ok("rollback", "prod", "--push")


def test_a_signature_that_is_dated_back_is_of_its_own_date(team: Team, keys: Keys) -> None:
    """As with git: what ends the use of a key is that it is listed no more, or revoked."""
    team.hub.git("config", "gpg.ssh.revocationFile", str(keys.path / "revoked"))
    keys.allowed.write_text(f'ada@example.com valid-before="20250101" {keys.public("ada")}\n')
    (keys.path / "revoked").write_text("")
    refused(team.ada, "rollback", "prod", "--push", saying="is by nobody whom deployments.allowedSigners lists")
    past = {"GIT_COMMITTER_DATE": "2024-06-01T00:00:00Z"}
    team.ada.ok("rollback", "prod", "--push", **past)
    (keys.path / "revoked").write_text(f"{keys.public('ada')}\n")
    assert "its signature is bad" in team.ada.fatal("promote", "prod", "--push", code=1, **past)


def test_who_may_move_needs_a_signature_even_where_no_other_event_does(team: Team, keys: Keys) -> None:
    team.hub.git("config", "--unset", "deployments.allowedSigners")
    team.hub.git("config", "gpg.ssh.allowedSignersFile", str(keys.allowed))
    team.hub.git("config", "deployments.etl/prod.mayMove", "ada@example.com")
    team.ada.git("config", "deployments.sign", "false")
    team.ada.ok("update", "prod", "paused=true", "--push")
    refused(team.ada, "rollback", "prod", "--push", saying="it is not signed")
    team.ada.git("config", "deployments.sign", "true")
    team.ada.ok("rollback", "prod", "--push")


def test_fsck_looks_at_the_signatures_of_a_whole_history(team: Team, keys: Keys) -> None:
    assert team.hub.ok("fsck", "--signatures").out == ""
    team.hub.git("config", "deployments.etl/*.mayMove", "bob@example.com")
    result = team.hub.run("fsck", "--signatures")
    assert result.code == 1
    assert result.out.count("ada@example.com signed it, who may not move live") == 2
    assert team.hub.ok("fsck").out == ""
    keys.allow("bob")
    result = team.hub.run("fsck", "--signatures", "prod")
    assert result.out.count("is by nobody whom deployments.allowedSigners lists") == 2


def test_fsck_does_not_call_unsigned_what_it_cannot_tell(team: Team) -> None:
    result = team.ada.run("fsck", "--signatures")
    assert result.code == 1
    assert "it is not signed, or by an ssh key, which only deployments.allowedSigners tells" in result.out


def test_fsck_names_each_event_without_a_signature(versions: Project) -> None:
    result = versions.run("fsck", "--signatures")
    assert result.code == 1
    assert result.out.count("(deploy): it is not signed") == 3


def test_the_recipes_for_signatures(tmp_path: Path, keys: Keys) -> None:
    team = Team(tmp_path)
    keys.allow("ada", "bob", "eve")
    team.hub.ok("hook", "install")
    follow(team.hub, "signers", **{"/srv/git/allowed-signers": str(keys.allowed)})
    for name, project in (("ada", team.ada), ("eve", team.bob)):
        follow(project, "sign", **{"~/.ssh/id_ed25519.pub": str(keys.path / f"{name}.pub")})
    team.ada.deploy("d1", "--push")
    team.bob.ok("pull")
    team.bob.manifest("d2")
    refused(team.bob, "deploy", "--push", saying="eve@example.com signed it, who may not move live")
    team.bob.deploy("d2", "--no-live", "--push")
    team.ada.ok("pull")
    team.ada.ok("promote", "prod", "--push")
    assert team.hub.live() == 2
