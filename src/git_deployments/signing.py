"""Signatures on our commits, made and checked by what git makes and checks its own with (git manual, gpg.format).

Our commits are written as raw objects, and git signs none of those; so the programs that git would
run are run here. What comes out is what `git verify-commit` takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from git_deployments.codec import parse_identity
from git_deployments.errors import DeploymentsError
from git_deployments.git import program, text
from git_deployments.names import shown
from git_deployments.repository import BadConfiguration, Repository

Sign = Callable[[bytes], bytes]
"""A raw commit to the same one with its signature."""


class CannotSign(DeploymentsError):
    """A signature is wanted and cannot be made; nothing was written."""


class Signature(NamedTuple):
    """What git says of a commit's signature."""

    status: str
    """git's letter (git manual, pretty-formats, `%G?`): `G` good, `B` bad, `N` none, …"""
    signer: str
    """The principal of the allowed-signers file, or the key's `Name <email>`."""
    keys: tuple[str, ...]
    """Key id and fingerprint."""

    @property
    def good(self) -> bool:
        """`git verify-commit` would be content: it takes an OpenPGP key of unknown trust, but no such ssh key."""
        return self.status == "G" or (self.status == "U" and not self.keys[0].startswith("SHA256:"))


# Making


def signer(repository: Repository) -> Sign | None:
    """What signs commits, where `deployments.sign`, else `commit.gpgSign`, asks for it. Raises `BadConfiguration`."""
    if repository.setting("sign") is not None:
        wanted = repository.flag("sign")
    else:
        values = repository.config.get("commit.gpgsign", ["false"])
        wanted = values[-1].lower() in ("true", "yes", "on", "1")
    if not wanted:
        return None
    header = b"gpgsig" if repository.layout.hash == "sha1" else b"gpgsig-sha256"

    def sign(commit: bytes) -> bytes:
        head, _, message = commit.partition(b"\n\n")
        signature = _signature(repository, commit).replace(b"\r\n", b"\n").strip(b"\n")
        return b"%s\n%s %s\n\n%s" % (head, header, signature.replace(b"\n", b"\n "), message)

    return sign


def _signature(repository: Repository, commit: bytes) -> bytes:
    kind = _value(repository, "gpg.format") or "openpgp"
    if kind == "ssh":
        return _by_ssh(repository, commit)
    if kind not in ("openpgp", "x509"):
        raise CannotSign(f"gpg.format is '{shown(kind)}' and none of openpgp, x509, ssh; nothing was written")
    default = {"openpgp": _value(repository, "gpg.program") or "gpg", "x509": "gpgsm"}[kind]
    tool = _value(repository, f"gpg.{kind}.program") or default
    key = _value(repository, "user.signingkey") or _committer(commit)
    code, out, stderr = _run(repository, (tool, "--status-fd=2", "-bsau", key), commit)
    if code or "\n[GNUPG:] SIG_CREATED " not in f"\n{stderr}":
        raise _failed(tool, [line for line in stderr.split("\n") if not line.startswith("[GNUPG:]")])
    return out


def _by_ssh(repository: Repository, commit: bytes) -> bytes:
    tool = _value(repository, "gpg.ssh.program") or "ssh-keygen"
    key = _value(repository, "user.signingkey") or _default_key(repository)
    if key.startswith(("key::", "ssh-")):
        import tempfile

        with tempfile.NamedTemporaryFile("w", prefix="git-deployments-key-") as file:
            file.write(key.removeprefix("key::") + "\n")
            file.flush()
            return _sign_with(repository, tool, file.name, commit)
    path = repository.git.line("config", "--type=path", "--get", "user.signingKey") or key
    return _sign_with(repository, tool, path, commit)


def _sign_with(repository: Repository, tool: str, path: str, commit: bytes) -> bytes:
    """Of what stands on its standard input ssh-keygen makes a signature on its standard output."""
    code, out, stderr = _run(repository, (tool, "-Y", "sign", "-n", "git", "-f", path), commit)
    if code or b"-----BEGIN SSH SIGNATURE-----" not in out:
        raise _failed(tool, [line for line in stderr.split("\n") if not line.startswith("Signing data")])
    return out


def _default_key(repository: Repository) -> str:
    command = _value(repository, "gpg.ssh.defaultkeycommand")
    if command:
        code, out, stderr = _run(repository, ("sh", "-c", command), b"")
        line = text(out).partition("\n")[0].strip()
        if code or not line:
            raise _failed("gpg.ssh.defaultKeyCommand", stderr.split("\n"))
        return line
    raise CannotSign(
        "a signature is wanted (commit.gpgSign or deployments.sign), but there is no key; "
        "git config user.signingKey ~/.ssh/id_ed25519.pub"
    )


def _committer(commit: bytes) -> str:
    lines = text(commit.partition(b"\n\n")[0]).split("\n")
    return parse_identity(next(line for line in lines if line.startswith("committer "))[len("committer ") :]).person


def _value(repository: Repository, key: str) -> str | None:
    values = repository.config.get(key)
    return values[-1] if values else None


def _run(repository: Repository, arguments: tuple[str, ...], stdin: bytes) -> tuple[int, bytes, str]:
    return program(arguments, repository.environment).finish(stdin)


def _failed(tool: str, said: Iterable[str]) -> CannotSign:
    words = "; ".join(dict.fromkeys(line.strip() for line in said if line.strip()))
    return CannotSign(
        f"{shown(os.path.basename(tool))} could not sign ({shown(words) or 'it gave no reason'}); nothing was written; "
        "see user.signingKey, or: git config deployments.sign false"
    )


# Checking


def allowed_signers(repository: Repository) -> str | None:
    """Absolute path of the file in `deployments.allowedSigners`; None where none is set. Raises `BadConfiguration`.

    A relative path is relative to the top of the work tree, in a bare repository to its directory.
    """
    if repository.setting("allowedSigners") is None:
        return None
    path = repository.git.line("config", "--type=path", "--get", "deployments.allowedSigners") or ""
    where = os.path.join(_home(repository), path)
    if not path or not os.access(where, os.R_OK):
        raise BadConfiguration(f"deployments.allowedSigners names '{shown(path)}', which cannot be read; correct it")
    return where


def _home(repository: Repository) -> str:
    """Where relative paths begin. A hook runs in the git directory and takes that for the work tree."""
    layout, bare = repository.layout, repository.config.get("core.bare", ["true"])[-1]
    if layout.top and layout.top != layout.git_dir:
        return layout.top
    beside = os.path.basename(layout.common_dir) == ".git" and bare.lower() in ("false", "no", "off", "0", "")
    return os.path.dirname(layout.common_dir) if beside else layout.git_dir


def signatures(repository: Repository, commits: Iterable[str]) -> dict[str, Signature]:
    """What git says of the signatures of commits, by id; the allowed signers are ours, else git's."""
    wanted = "".join(f"{oid}\n" for oid in commits)
    if not wanted:
        return {}
    allowed = allowed_signers(repository)
    ours = ("-c", f"gpg.ssh.allowedSignersFile={allowed}") if allowed else ()
    format_ = "--format=%H%x00%G?%x00%GS%x00%GK%x00%GF"
    options = ("--no-walk=unsorted", "--stdin", "--no-show-signature", "--encoding=UTF-8", "--no-patch")
    out = text(repository.git.run(*ours, "log", *options, format_, stdin=wanted.encode()))
    rows = (line.split("\0") for line in out.split("\n"))
    return {row[0]: Signature(row[1], row[2], (row[3], row[4])) for row in rows if len(row) == 5}


def moving_rules(repository: Repository) -> list[tuple[str, list[str]]]:
    """Every `deployments.<pattern>.mayMove`: the pattern, and who is listed. Raises `BadConfiguration`."""
    if "deployments.maymove" in repository.config:
        raise BadConfiguration(
            "deployments.mayMove names no deployments, so it would hold nobody back; for all of them: "
            "git config --add 'deployments.*.mayMove' WHO, then git config --unset-all deployments.mayMove"
        )
    rules = []
    for key, values in repository.config.items():
        pattern = key[len("deployments.") : -len(".maymove")]
        if key.startswith("deployments.") and key.endswith(".maymove") and pattern:
            listed = (one.strip() for value in values for one in value.split(","))
            rules.append((pattern, [one for one in listed if one]))
    return rules


def may_move(rules: list[tuple[str, list[str]]], name: str) -> list[str] | None:
    """Who may move `live` of a deployment, by all `moving_rules` that match it; None: everybody."""
    from fnmatch import fnmatchcase

    found: list[str] | None = None
    for pattern, listed in rules:
        if fnmatchcase(name, pattern):
            found = [*(found or []), *listed]
    return found


def is_among(signature: Signature, signers: Iterable[str]) -> bool:
    """The signer is listed: as git names it, by its address alone, or by its key.

    Anybody can make an OpenPGP key in anybody's name: of one that is not trusted only the key itself counts.
    """
    address = signature.signer.rpartition("<")[2].removesuffix(">")
    known = signature.keys if signature.status == "U" else (signature.signer, address, *signature.keys)
    return any(one in known for one in signers if one)
