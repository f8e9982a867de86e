"""Pull steps, done by us: what brings a version's code into a directory (design, "Running").

The steps, their arguments and outputs are those of Prefect's page "Retrieve code from storage" and of
its step functions: a clone goes into a directory named after the repository, which becomes the working
directory when all steps are done; `set_working_directory` takes effect at once. In one thing we differ,
so that a version runs the code that it was made with: code of this repository comes from its own
objects, and every checkout is compared with the commit that was asked for.
"""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import string
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import IO, NamedTuple

from git_deployments import worktree
from git_deployments.checkout import present
from git_deployments.errors import DeploymentsError
from git_deployments.manifest import is_full_id
from git_deployments.model import Json, Version
from git_deployments.names import brief, shown
from git_deployments.repository import Repository
from git_deployments.source import same_place
from git_deployments.worktree import Scratch

CLONES = ("git_clone", "agit_clone", "git_clone_project")
KNOWN = (*CLONES, "set_working_directory", "run_shell_script", "pip_install_requirements")
"""The last parts of the names of Prefect's steps that are done here."""

_RESERVED = ("id", "requires")
_ACCESS = ("access_token", "credentials")
"""What a clone needs only where the commit is not here already, so only there it must be known."""
_GRACE = 5
"""Seconds that a step has to end by itself where the run is ended."""
_TEMPLATE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


class BadStep(DeploymentsError):
    """A pull step that cannot be done here, or that failed."""


class Step(NamedTuple):
    """One pull step."""

    position: int
    """1 for the first."""
    function: str
    arguments: Mapping[str, Json]

    @property
    def kind(self) -> str:
        """The last part of its function's name."""
        return self.function.rpartition(".")[2]

    @property
    def said(self) -> str:
        """The step as errors name it."""
        return f"pull step {self.position} ({brief(self.function)})"


class Code(NamedTuple):
    """Where a version's code is, once it has been brought."""

    directory: str
    """The working directory of its entrypoint."""
    root: str | None
    """The checkout of this repository's code; None where all of it is of another one."""
    commit: str | None
    """What is checked out there."""


class Surroundings(NamedTuple):
    """What steps are done with."""

    repository: Repository
    version: Version
    scratch: Scratch
    environment: Mapping[str, str]
    python: str
    tell: Callable[[str], None]
    """Takes what steps print, piece by piece."""


def steps_of(properties: Mapping[str, Json]) -> list[Step]:
    """The pull steps of a version, in order."""
    given = properties["pull_steps"]
    found = []
    for position, step in enumerate(given if isinstance(given, list) else (), 1):
        for function, arguments in step.items() if isinstance(step, dict) else ():
            found.append(Step(position, function, arguments if isinstance(arguments, dict) else {}))
    return found


def check(steps: list[Step]) -> None:
    """Raise `BadStep` for the first step that is not done here."""
    for step in steps:
        if not step.function.startswith("prefect.") or step.kind not in KNOWN:
            raise BadStep(
                f"{step.said} is none of the steps that are done here ({', '.join(KNOWN)}); "
                "'git deployments checkout' gives the code without it"
            )


def is_here(repository: Repository, version: Version, url: str) -> bool:
    """The URL is that of this repository, of one of its remotes, or of where the version comes from."""
    places = [repository.layout.common_dir, repository.layout.top, version.source.info.url]
    for remote in repository.remotes:
        places += repository.config.get(f"remote.{remote}.url", [])
    return any(place and same_place(url, place) for place in places)


def bring(steps: list[Step], around: Surroundings) -> Code:
    """Do the steps; without any, or any clone among them, the code is that of the source commit.

    Raises `BadStep`, `worktree.CodeMissing`, `worktree.WrongCommit`.
    """
    check(steps)
    work = _Work(around)
    if not any(step.kind in CLONES for step in steps):
        work.check_out_source()
    for step in steps:
        work.do(step)
    return work.done()


class _Work:
    """What the steps have come to so far."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.base = os.path.join(around.scratch.path, "run")
        os.mkdir(self.base)
        self.directory = self.base
        self.outputs: dict[str, Json] = {}
        self.root: str | None = None
        self.commit: str | None = None

    def check_out_source(self) -> None:
        version = self.around.version
        commit = worktree.code_commit(version)
        worktree.obtain(self.around.repository, commit, version)
        self.root = os.path.join(self.base, "code")
        self.commit = commit
        self.around.scratch.worktree(self.root, commit)
        self.directory = os.path.normpath(os.path.join(self.root, *version.source.directory.split("/")))
        _check_directory(self.directory, f"the source commit {commit[:12]}", version.source.directory)

    def do(self, step: Step) -> None:
        later = (*_RESERVED, *(_ACCESS if step.kind in CLONES else ()))
        plain = {key: value for key, value in step.arguments.items() if key not in later}
        arguments = {key: self._filled(value, step) for key, value in plain.items()}
        if step.kind in CLONES:
            output = self._clone(step, arguments)
        elif step.kind == "set_working_directory":
            output = self._set_working_directory(step, arguments)
        elif step.kind == "run_shell_script":
            output = self._run_shell_script(step, arguments)
        else:
            output = self._pip_install(step, arguments)
        if identity := step.arguments.get("id"):
            self.outputs.update((f"{identity}.{key}", value) for key, value in output.items())
        self.outputs.update(output)

    def done(self) -> Code:
        last = self.outputs.get("directory")
        directory = os.path.join(self.directory, last) if isinstance(last, str) else self.directory
        return Code(os.path.normpath(directory), self.root, self.commit)

    # Templates

    def _filled(self, value: Json, step: Step) -> Json:
        if isinstance(value, str):
            return self._filled_text(value, step) if "{{" in value else value
        if isinstance(value, list):
            return [self._filled(item, step) for item in value]
        if isinstance(value, dict):
            return {key: self._filled(item, step) for key, item in value.items()}
        return value

    def _filled_text(self, text: str, step: Step) -> Json:
        whole = _TEMPLATE.fullmatch(text.strip())
        if whole and whole[1] in self.outputs:
            return self.outputs[whole[1]]
        return _TEMPLATE.sub(lambda match: self._value(match[1], step), text)

    def _value(self, name: str, step: Step) -> str:
        if name in self.outputs:
            return str(self.outputs[name])
        if not name.startswith("$"):
            raise BadStep(
                f"{step.said}: '{{{{ {brief(name)} }}}}' is known to a Prefect server only; "
                "run it there, or let the step take a runtime variable, {{ $NAME }}"
            )
        if name[1:] not in self.around.environment:
            raise BadStep(f"{step.said}: the variable {brief(name[1:])} is not set; set it in the environment")
        return self.around.environment[name[1:]]

    # The steps

    def _clone(self, step: Step, arguments: Mapping[str, Json]) -> dict[str, Json]:
        url, commit, branch = (_text(step, arguments, key) for key in ("repository", "commit_sha", "branch"))
        if not url:
            raise BadStep(f"{step.said}: it names no repository")
        if commit and not is_full_id(commit):
            raise BadStep(f"{step.said}: commit_sha '{brief(commit)}' is no full commit id; deploy with all its digits")
        commit = commit.lower() if commit else None
        default = posixpath.basename(url).replace(".git", "") + (f"-{branch.replace('/', '-')}" if branch else "")
        name = _text(step, arguments, "clone_directory_name") or default or "code"
        directory = self._below(step, name)
        if os.path.lexists(directory):
            raise BadStep(f"{step.said}: '{brief(name)}' is there already; name another clone_directory_name")
        ours = is_here(self.around.repository, self.around.version, url)
        if commit is None and ours:
            commit = self._pinned(step, branch)
        token = None
        if commit and self._obtained(commit, ours):
            self.around.scratch.worktree(directory, commit)
            self.root, self.commit = directory, commit
        else:
            token = self._token(step, url)
            worktree.clone(self.around.repository, url, commit, branch, directory, token)
        if arguments.get("include_submodules"):
            worktree.bring_submodules(self.around.repository, directory, url, token)
        return {"directory": name}

    def _token(self, step: Step, url: str) -> str | None:
        """The step's access token as Prefect writes it before the URL's host."""
        if step.arguments.get("credentials"):
            raise BadStep(f"{step.said}: credentials are a block of a Prefect server; fetch the commit here beforehand")
        filled = {"access_token": self._filled(step.arguments.get("access_token"), step)}
        token = _text(step, filled, "access_token")
        host = url.partition("://")[2].partition("/")[0]
        user = "oauth2:" if "gitlab" in host else "x-token-auth:" if "bitbucket" in host else ""
        return token if not token or ":" in token else user + token

    def _pinned(self, step: Step, branch: str | None) -> str:
        """What a clone of this repository runs that names no commit: the version's own."""
        version = self.around.version
        if branch and version.source.info.branch not in (branch, None):
            raise BadStep(
                f"{step.said}: branch '{shown(branch)}' is not the one that v{version.number} was deployed from "
                f"('{shown(version.source.info.branch or '')}'), so its code is not known; deploy with commit_sha"
            )
        return worktree.code_commit(version)

    def _obtained(self, commit: str, ours: bool) -> bool:
        """The commit is here, perhaps by now; else the URL itself must give it."""
        repository, version = self.around.repository, self.around.version
        if ours:
            with suppress(worktree.CodeMissing):
                worktree.obtain(repository, commit, version if commit == version.source.commit else None)
        return present(repository, commit)

    def _below(self, step: Step, name: str) -> str:
        path = os.path.normpath(os.path.join(self.directory, name))
        if path == self.base or not self._is_ours(path):
            raise BadStep(f"{step.said}: '{brief(name)}' lies outside of the directory of the run; name one inside")
        return path

    def _is_ours(self, path: str) -> bool:
        """In the directory of the run, where symbolic links lead as well."""
        return _is_inside(path, self.base) and _is_inside(os.path.realpath(path), self.base)

    def _set_working_directory(self, step: Step, arguments: Mapping[str, Json]) -> dict[str, Json]:
        given = _text(step, arguments, "directory") or "."
        path = os.path.normpath(os.path.join(self.directory, os.path.expanduser(given)))
        top = os.path.realpath(self.around.repository.layout.top or self.base)
        if self.root and _is_inside(path, top) and not _is_inside(path, self.base):
            # `prefect deploy` stores where the deployer's checkout was: here that is the commit's.
            path = os.path.normpath(os.path.join(self.root, os.path.relpath(path, top)))
        if not self._is_ours(path):
            raise BadStep(
                f"{step.said}: {shown(given)} lies outside of the version's code, so nobody knows what is there; "
                "clone the code, or name a directory inside it"
            )
        _check_directory(path, step.said, given)
        self.directory = path
        return {"directory": path}

    def _run_shell_script(self, step: Step, arguments: Mapping[str, Json]) -> dict[str, Json]:
        more = arguments.get("env")
        directory = os.path.join(self.directory, _text(step, arguments, "directory") or "")
        _check_directory(directory, step.said, directory)
        # The one that we were given leads to the user's own files.
        here = {"PWD": os.path.normpath(directory)}
        environment = {**self.around.environment, **here, **texts(more if isinstance(more, dict) else {})}
        out, err = "", ""
        for command in _commands(step, arguments, environment):
            code, said, complained = self._ran(
                command, directory, environment, bool(arguments.get("stream_output", True))
            )
            out, err = out + said, err + complained
            if code:
                last = (complained or said).strip().rpartition("\n")[2]
                raise BadStep(f"{step.said} ended with status {code}{': ' + brief(last) if last else ''}")
        return {"stdout": out.strip(), "stderr": err.strip()}

    def _pip_install(self, step: Step, arguments: Mapping[str, Json]) -> dict[str, Json]:
        file = _text(step, arguments, "requirements_file") or "requirements.txt"
        command = shlex.join([self.around.python, "-m", "pip", "install", "-r", file])
        return self._run_shell_script(step, {**arguments, "script": command, "env": {}, "shell": False})

    def _ran(
        self, command: list[str] | str, directory: str, environment: Mapping[str, str], stream: bool
    ) -> tuple[int, str, str]:
        try:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=dict(environment),
                shell=isinstance(command, str),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            return 127, "", f"{command[0] if isinstance(command, list) else 'the shell'}: {reason}"
        said: list[str] = []
        complaints: list[str] = []
        try:
            assert process.stdout
            assert process.stderr
            tell = self.around.tell if stream else _unheard
            listener = threading.Thread(target=_copy, args=(process.stderr, complaints, tell), daemon=True)
            listener.start()
            _copy(process.stdout, said, tell)
            listener.join()
            process.wait()
        except BaseException:
            _end(process)
            raise
        process.stdout.close()
        process.stderr.close()
        return process.returncode, "".join(said), "".join(complaints)


def _end(process: subprocess.Popen[str]) -> None:
    """End what a step started. Its pipes stay open: closing one would wait for whoever still reads or writes it."""
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _copy(stream: IO[str], kept: list[str], tell: Callable[[str], None]) -> None:
    for line in stream:
        kept.append(line)
        tell(line)


def _unheard(line: str) -> None:
    del line


def _commands(step: Step, arguments: Mapping[str, Json], environment: Mapping[str, str]) -> Iterator[list[str] | str]:
    """The lines of a script; words, or with `shell` what a shell reads."""
    for line in (_text(step, arguments, "script") or "").splitlines():
        if arguments.get("expand_env_vars"):
            line = string.Template(line).safe_substitute(environment)
        if arguments.get("shell"):
            if line.strip():
                yield line.strip()
            continue
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise BadStep(f"{step.said}: '{brief(line)}': {error}") from None
        if words:
            yield words


def texts(mapping: Mapping[str, Json]) -> dict[str, str]:
    """Environment variables as a configuration gives them; null leaves one out."""
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in mapping.items()
        if value is not None
    }


def _text(step: Step, arguments: Mapping[str, Json], key: str) -> str | None:
    value = arguments.get(key)
    if value is not None and not isinstance(value, str):
        raise BadStep(f"{step.said}: {key} must be text")
    if value and "\0" in value:
        raise BadStep(f"{step.said}: {key} holds a NUL, which no program takes")
    return value or None


def _is_inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + os.sep)


def _check_directory(path: str, whose: str, given: str) -> None:
    if not os.path.isdir(path):
        raise BadStep(f"{whose}: there is no directory {shown(given)}")
