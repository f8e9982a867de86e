"""What a repository is and how it is configured: its directories, its hash, `deployments.*`, who writes."""

import os
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

from git_deployments.codec import parse_identity
from git_deployments.errors import DeploymentsError
from git_deployments.git import Git, GitFailed, NotARepository, Process, Reading, at, parse_config, text
from git_deployments.model import Identity, Run
from git_deployments.names import shown

KEEP_REFS = 100
"""`deployments.keepRefs` where it is not set."""
MAX_SNAPSHOT = 1 << 20
"""`deployments.maxSnapshotSize` where it is not set, bytes."""

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0", "")
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class BadConfiguration(DeploymentsError):
    """A `deployments.*` value that cannot be read."""


class NoIdentity(DeploymentsError):
    """git does not know who writes, and no CI platform says it."""


class Layout(NamedTuple):
    """Where a repository lies."""

    git_dir: str
    """Absolute; of this worktree."""
    common_dir: str
    """Absolute; shared by all worktrees, the home of refs and objects."""
    hash: str
    """`sha1` or `sha256`."""
    top: str | None
    """Absolute work tree; None in a bare repository."""


class Who(NamedTuple):
    """Who does a write."""

    author: Identity
    committer: Identity
    run: Run


class Repository:
    """A repository as the other modules see it. Nothing is asked of git before it is needed."""

    def __init__(self, directory: str, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.git: Git = at(directory, environment)
        self.reading = Reading(self.git)
        self._early: dict[str, Process] = {}

    def __del__(self) -> None:
        self.close()

    def foresee(self, writing: bool) -> None:
        """Start the questions that every command asks, and every write, so that git answers during imports."""
        self._early["config"] = self.git.start("config", "-z", "--list")
        if writing:
            self._early["COMMITTER"] = self._ask_identity("COMMITTER")
            if self._has_two_identities():
                self._early["AUTHOR"] = self._ask_identity("AUTHOR")
            self.reading.start()

    def close(self) -> None:
        """End the processes that answer questions."""
        self.reading.close()
        for process in self._early.values():
            process.stop()
        self._early.clear()

    @cached_property
    def config(self) -> dict[str, list[str]]:
        """All of git's configuration; keys in lower case."""
        process = self._early.pop("config", None)
        return parse_config(process.result()) if process else self.git.config()

    def setting(self, key: str) -> str | None:
        """The value of `deployments.<key>`; None if unset."""
        values = self.config.get(f"deployments.{key.lower()}")
        return values[-1] if values else None

    def settings(self, key: str) -> list[str]:
        """All values of `deployments.<key>`, in order."""
        return self.config.get(f"deployments.{key.lower()}", [])

    def flag(self, key: str) -> bool:
        """`deployments.<key>` as git reads a boolean; False if unset. Raises `BadConfiguration`."""
        value = (self.setting(key) or "false").lower()
        if value not in _TRUE and value not in _FALSE:
            raise BadConfiguration(
                f"deployments.{key} is '{shown(value)}' and neither true nor false; git config deployments.{key} true"
            )
        return value in _TRUE

    def number(self, key: str, default: int) -> int:
        """`deployments.<key>` as git reads a number (1k, 2m). Raises `BadConfiguration`."""
        value = self.setting(key)
        if value is None:
            return default
        digits, unit = (value[:-1], value[-1].lower()) if value[-1:].lower() in _UNITS else (value, "")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
            raise BadConfiguration(
                f"deployments.{key} is '{shown(value)}' and no number of 0 or more; "
                f"git config deployments.{key} {default}"
            )
        return int(digits) * _UNITS.get(unit, 1)

    @cached_property
    def layout(self) -> Layout:
        """Its directories and hash. Raises `NotARepository`."""
        asked = ("--absolute-git-dir", "--git-common-dir", "--show-object-format", "--is-bare-repository")
        _, out, _ = self.git.ask("rev-parse", *asked, "--show-toplevel")
        lines = text(out).split("\n")[:-1]
        if not len(asked) <= len(lines) <= len(asked) + 1:  # a path of more than one line
            lines = [text(self.git.run("rev-parse", one)).removesuffix("\n") for one in asked]
            lines += [top] if (top := self.git.line("rev-parse", "--show-toplevel")) else []
        git_dir, common, hash_, bare, *tops = lines
        base = os.path.abspath(self.git.directory)
        top = tops[0] if tops and bare != "true" else None
        return Layout(git_dir, os.path.normpath(os.path.join(base, common)), hash_, top)

    @property
    def ignores_case(self) -> bool:
        """Its file system may not tell names apart that differ only by case (git manual, core.ignoreCase)."""
        return self.config.get("core.ignorecase", ["false"])[-1].lower() in _TRUE

    @cached_property
    def remotes(self) -> list[str]:
        """Names of the configured remotes, sorted."""
        keys = (key for key in self.config if key.startswith("remote.") and key.endswith(".url"))
        return sorted({key[len("remote.") : -len(".url")] for key in keys})

    def who(self) -> Who:
        """Author and committer as git has them, else the CI platform's actor. Raises `NoIdentity`."""
        from git_deployments.source import run_of

        committer = self._identity("COMMITTER")
        configured = any(key.startswith(("author.", "committer.")) for key in self.config)
        author = self._identity("AUTHOR") if configured or self._has_two_identities() else committer
        return Who(author, committer, run_of(self.environment))

    def _has_two_identities(self) -> bool:
        """The environment may tell author and committer apart (git manual, git, "Git Commits")."""
        return any(key.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_")) for key in self.environment)

    def _ask_identity(self, role: str, *config: str) -> Process:
        # A name guessed from the machine is nobody's: it would stand in the record for ever.
        return self.git.start("-c", "user.useConfigOnly=true", *config, "var", f"GIT_{role}_IDENT")

    def _identity(self, role: str) -> Identity:
        process = self._early.pop(role, None) or self._ask_identity(role)
        try:
            return parse_identity(text(process.result()).removesuffix("\n"))
        except NotARepository:
            raise
        except GitFailed as failure:
            if "date" in failure.stderr:
                raise
        from git_deployments.source import ci_identity

        fallback = ci_identity(self.environment)
        if fallback is None:
            raise NoIdentity(
                "git does not know who you are: git config --global user.name 'Your Name' "
                "and git config --global user.email you@example.com"
            )
        name, email = fallback
        process = self._ask_identity(role, "-c", f"user.name={name}", "-c", f"user.email={email or 'none'}")
        identity = parse_identity(text(process.result()).removesuffix("\n"))
        return identity._replace(name=name, email=email)
