"""What a repository is and how it is configured: its directories, its hash, `deployments.*`, who writes."""

import os
import time
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

from git_deployments.codec import parse_identity
from git_deployments.errors import DeploymentsError
from git_deployments.git import CONFIG, MOVE_REFS, STORE, Git, GitFailed, NotARepository, Reading, at, text
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

    def __del__(self) -> None:
        self.close()

    def foresee(self, writing: bool, moving: bool) -> None:
        """Start what every command asks, every write, and every write that makes one event and no version."""
        self.git.foresee(*CONFIG)
        if writing and self._has_two_identities():
            self.git.foresee(*_identity_question("COMMITTER"))
            self.git.foresee(*_identity_question("AUTHOR"))
        if writing:
            self.reading.start()
            self.git.foresee(*MOVE_REFS)
        if moving:
            self.git.foresee(*STORE, "commit")

    def again(self) -> "Repository":
        """The same for a process beside us, which needs readers of its own; configured as it was read here."""
        other = Repository(self.git.directory, self.environment)
        other.config = self.config
        other.reading.largest = self.reading.largest
        return other

    def close(self) -> None:
        """End the processes that answer questions."""
        self.reading.close()
        self.git.forget()

    @cached_property
    def config(self) -> dict[str, list[str]]:
        """All of git's configuration; keys in lower case."""
        return self.git.config()

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

    def _identity(self, role: str) -> Identity:
        plain = self._plain_identity(role)
        if plain:
            return plain
        try:
            return parse_identity(text(self.git.run(*_identity_question(role))).removesuffix("\n"))
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
        question = _identity_question(role, "-c", f"user.name={name}", "-c", f"user.email={email or 'none'}")
        return parse_identity(text(self.git.run(*question)).removesuffix("\n"))._replace(name=name, email=email)

    def _plain_identity(self, role: str) -> Identity | None:
        """The identity that the configuration alone gives, in words that git takes as they are; else None.

        Then no process is spent on it (git manual, git-commit, "Commit Information").
        """
        if self._has_two_identities() or self.environment.get("TZ") != os.environ.get("TZ"):
            return None
        name, email = (
            (self.config.get(f"{role.lower()}.{key}") or self.config.get(f"user.{key}") or [""])[-1]
            for key in ("name", "email")
        )
        if not (_is_plain(name) and _is_plain(email)):
            return None
        seconds = int(time.time())
        minutes = time.localtime(seconds).tm_gmtoff // 60
        sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
        return Identity(name, email, seconds, f"{sign}{hours:02}{rest:02}")


def _is_plain(words: str) -> bool:
    """Letters and digits at both ends, and nothing between that git would strip from an identity."""
    return words[:1].isalnum() and words[-1:].isalnum() and words.isprintable() and not set("<>").intersection(words)


def _identity_question(role: str, *config: str) -> tuple[str, ...]:
    # A name guessed from the machine is nobody's: it would stand in the record for ever.
    return ("-c", "user.useConfigOnly=true", *config, "var", f"GIT_{role}_IDENT")
