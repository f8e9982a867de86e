"""Run exactly one version: its code, its parameters, its environment, and nothing else (design, "Running")."""

from __future__ import annotations

import json
import os
import posixpath
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from git_deployments import launch, worktree, yamltext
from git_deployments.errors import DeploymentsError
from git_deployments.history import State, properties, settings
from git_deployments.model import Json, Version
from git_deployments.names import brief, quoted, shown
from git_deployments.pullsteps import CLONES, BadStep, Code, Step, Surroundings, bring, check, is_here, steps_of, texts
from git_deployments.repository import Repository
from git_deployments.signature import split_entrypoint
from git_deployments.worktree import Scratch, untied

_DIGEST = re.compile(r"@sha(?:256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})")
_LATER = re.compile(r"\{\{\s*(?:prefect\.|ctx\.)")
"""What a Prefect server fills in."""
_VARIABLE = re.compile(r"\{\{\s*\$([\w.\-]+)\s*\}\}")
_ENGINES = ("docker", "podman")


class CannotRun(DeploymentsError):
    """A version that cannot be run, or not here; the message says what is missing."""


class Plan(NamedTuple):
    """What a run of a version is, checked before anything is started."""

    version: Version
    entrypoint: str
    parameters: Mapping[str, Json]
    steps: list[Step]
    variables: Mapping[str, str]
    """`job_variables.env`."""
    image: str | None
    """The image that it runs in, by its digest; None: it runs here."""
    job: Mapping[str, Json]
    """All of `job_variables`."""


# Planning


def plan(
    repository: Repository,
    state: State,
    version: Version,
    assignments: Iterable[str],
    environment: Mapping[str, str],
) -> Plan:
    """See whether a version can be run and with what. `assignments` are KEY=VALUE.

    Raises `CannotRun`, `schema.BadParameters`, `pullsteps.BadStep`.
    """
    said = f"v{version.number} of '{shown(version.name)}'"
    if settings(repository, state.event)["disabled"]:
        raise CannotRun(
            f"'{shown(version.name)}' is disabled; git deployments update {quoted(version.name)} disabled=false"
        )
    configuration = properties(repository, version)
    entrypoint = configuration["entrypoint"]
    if not isinstance(entrypoint, str) or not entrypoint:
        raise CannotRun(f"{said} has no entrypoint, so there is nothing to call")
    split_entrypoint(entrypoint)
    job = configuration["job_variables"]
    job = job if isinstance(job, dict) else {}
    steps = steps_of(configuration)
    image = _image(said, job, steps)
    if image is None:
        check(steps)
    return Plan(
        version,
        entrypoint,
        _parameters(said, configuration, assignments),
        steps,
        _variables(said, job, environment),
        image,
        job,
    )


def _parameters(said: str, configuration: Mapping[str, Json], assignments: Iterable[str]) -> dict[str, Json]:
    stored, wanted = configuration["parameters"], configuration["parameter_openapi_schema"]
    wanted = wanted if isinstance(wanted, dict) else {}
    given = _assigned(assignments, wanted)
    known = wanted.get("properties")
    strict = configuration["enforce_parameter_schema"] and not wanted.get("additionalProperties")
    if strict and isinstance(known, dict) and known:
        for key in sorted(given.keys() - known.keys()):
            raise CannotRun(f"-p {brief(key)}: {said} has no such parameter; it has {', '.join(map(shown, known))}")
    parameters = {**(stored if isinstance(stored, dict) else {}), **given}
    for key, value in parameters.items():
        if _is_filled_later(value):
            raise CannotRun(
                f"parameter '{shown(key)}' of {said} is for a Prefect server to fill in; give it: -p {shown(key)}=…"
            )
    if configuration["enforce_parameter_schema"] and wanted:
        from git_deployments import schema

        if schema.needs_validation(parameters, wanted, True):
            problems = schema.mismatches(parameters, wanted, True)
            if problems:
                raise schema.BadParameters(f"{said}: {'; '.join(problems)}; give another value with -p KEY=VALUE")
    return parameters


def _is_filled_later(value: Json) -> bool:
    """A Prefect server puts something else in its place, or in the place of something in it."""
    if isinstance(value, dict):
        return "__prefect_kind" in value or any(map(_is_filled_later, value.values()))
    return isinstance(value, list) and any(map(_is_filled_later, value))


def _assigned(assignments: Iterable[str], wanted: Mapping[str, Json]) -> dict[str, Json]:
    known = wanted.get("properties")
    known = known if isinstance(known, dict) else {}
    given: dict[str, Json] = {}
    for word in assignments:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise CannotRun(f"-p '{brief(word)}' is not KEY=VALUE; write for example -p name=world")
        if key in given:
            raise CannotRun(f"-p {brief(key)} is given twice; give it once")
        try:
            node = yamltext.parse(text, brief(key)) or yamltext.Scalar("", 1)
            given[key] = yamltext.typed(node, known.get(key), dict(wanted))
        except yamltext.BadYaml as error:
            raise CannotRun(f"-p {error}") from None
    return given


def _variables(said: str, job: Mapping[str, Json], environment: Mapping[str, str]) -> dict[str, str]:
    given = job.get("env")
    found = texts(given if isinstance(given, dict) else {})
    for variable, value in found.items():
        if "=" in variable or "\0" in variable + value:
            raise CannotRun(f"job_variables.env of {said}: '{brief(variable)}' can be no variable; correct it")
        if not _LATER.search(value):
            found[variable] = _VARIABLE.sub(lambda match: _looked_up(said, match[1], environment), value)
            continue
        if variable not in environment:
            raise CannotRun(
                f"the variable {shown(variable)} of {said} is for a Prefect server to fill in; "
                "set it in the environment"
            )
        found[variable] = environment[variable]
    return found


def _looked_up(said: str, variable: str, environment: Mapping[str, str]) -> str:
    """As a worker looks up what a Prefect server has stored as it stood."""
    if variable not in environment:
        raise CannotRun(f"job_variables.env of {said}: the variable {brief(variable)} is not set; set it here")
    return environment[variable]


def _image(said: str, job: Mapping[str, Json], steps: list[Step]) -> str | None:
    """The image that holds the code; None where pull steps bring it."""
    image = job.get("image")
    if not isinstance(image, str) or not image.strip():
        return None
    if image.startswith("-"):  # docker would take it for an option, and run what comes after it
        raise CannotRun(f"{said}: '{shown(image)}' is no name of an image; deploy with one of the form NAME@sha256:…")
    if _DIGEST.search(image):
        for step in steps:
            if step.kind != "set_working_directory":
                raise BadStep(
                    f"{step.said} is to be done inside of the image {shown(image)}, which only a Prefect worker does; "
                    "'git deployments checkout' gives the code"
                )
        return image
    if not any(step.kind in CLONES for step in steps):
        raise CannotRun(
            f"{said} runs whatever image '{shown(image)}' is today, since no digest pins it; "
            "deploy with an image of the form NAME@sha256:…"
        )
    return None


def code_of(repository: Repository, plan_: Plan) -> str | None:
    """The commit that runs, as far as the version says; None where a clone of another repository names none."""
    clones = [step.arguments for step in plan_.steps if step.kind in CLONES]
    source = plan_.version.source.commit
    if len(clones) != 1:
        return source
    pinned, url = clones[0].get("commit_sha"), clones[0].get("repository")
    if isinstance(pinned, str):
        return pinned
    return source if isinstance(url, str) and is_here(repository, plan_.version, url) else None


# Running here


def here(repository: Repository, plan_: Plan, python: str, tell: Callable[[str], None]) -> int:
    """Bring the code, call the entrypoint in a child process, take everything away; the child's exit status.

    A child that a signal ends gives 128 and the signal's number. Raises what bringing the code raises.
    """
    environment = {**untied(repository.environment), **plan_.variables}
    child = _Child()
    with _passing_signals_to(child), Scratch(repository) as scratch, _then_undisturbed():
        around = Surroundings(repository, plan_.version, scratch, environment, python, tell)
        code = bring(plan_.steps, around)
        directory, file = _entry_file(plan_, code)
        _check_place(plan_, file, scratch)
        order = {
            "entrypoint": plan_.entrypoint,
            "parameters": dict(plan_.parameters),
            "file": file,
            "moved": _moved(repository, code),
        }
        path = os.path.join(scratch.path, "run.json")
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(order, stream)
        repository.close()
        return child.run([python, launch.__file__, path], directory, {**environment, "PWD": directory})


def _entry_file(plan_: Plan, code: Code) -> tuple[str, str]:
    """The working directory and the file that holds the function. Raises `CannotRun` where it is not there.

    Entrypoints are relative to the manifest's directory; pull steps may have gone there already.
    """
    files, _ = split_entrypoint(plan_.entrypoint)
    directories = [code.directory]
    if code.root and code.directory == code.root and plan_.version.source.directory:
        directories.append(os.path.join(code.root, *plan_.version.source.directory.split("/")))
    for directory in directories:
        for file in files:
            path = os.path.join(directory, file)
            if os.path.isfile(path):
                return directory, path
    where = f"commit {code.commit[:12]}" if code.commit else "the code that the pull steps brought"
    raise CannotRun(
        f"entrypoint '{shown(plan_.entrypoint)}' of v{plan_.version.number}: {where} has no {shown(files[0])} there; "
        "correct the entrypoint, or go to its directory with set_working_directory"
    )


def _check_place(plan_: Plan, file: str, scratch: Scratch) -> None:
    """Raise `CannotRun` where a symbolic link leads to a file of somebody else's: no version pins that."""
    if not os.path.realpath(file).startswith(scratch.path + os.sep):
        raise CannotRun(
            f"entrypoint '{shown(plan_.entrypoint)}' of v{plan_.version.number}: a symbolic link leads to "
            f"{shown(os.path.realpath(file))}, which is not of the version's code; commit the file itself"
        )


def _moved(repository: Repository, code: Code) -> list[list[str]]:
    """What is installed from a work tree of the user's, this or another, is taken from the run's."""
    root = code.root
    if root is None:
        return []
    tops = {os.path.realpath(top) for top in worktree.tops(repository)} - {root}
    return [[top, root] for top in sorted(tops, key=len, reverse=True)]


def python_of(environment: Mapping[str, str], named: str | None) -> str:
    """The Python to run in: the one that is named, else the active virtual environment's, else the first on PATH.

    Raises `CannotRun` where the one that is named is not there.
    """
    path = environment.get("PATH")
    if named:
        found = shutil.which(named, path=path)
        if found is None:
            raise CannotRun(f"--python {shown(named)}: there is no such program")
        return os.path.abspath(found)
    active = environment.get("VIRTUAL_ENV")
    places = [os.path.join(active, "bin", "python"), os.path.join(active, "Scripts", "python.exe")] if active else []
    for place in (*places, "python3", "python"):
        if found := shutil.which(place, path=path):
            return os.path.abspath(found)
    return sys.executable


class _Child:
    """The one child process, and the signals that are meant for it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._typed = 0

    def run(self, command: list[str], directory: str, environment: Mapping[str, str]) -> int:
        try:
            self._process = subprocess.Popen(command, cwd=directory, env=dict(environment))
        except (OSError, ValueError) as error:  # the version gives it a NUL
            reason = error.strerror if isinstance(error, OSError) else error
            raise CannotRun(f"{shown(command[0])} cannot be started: {reason}") from None
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def hear(self, number: int, frame: FrameType | None) -> None:
        """What a terminal's keys send reaches the child by itself; what else ends us is for it to decide on."""
        del frame
        if self._process is None:
            raise KeyboardInterrupt
        self._typed += number in _TYPED
        if number not in _TYPED or self._typed > 1:
            self._process.send_signal(number)


_TYPED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGQUIT") if hasattr(signal, name))
"""What the keys of a terminal send to all programs in it: interrupt and quit."""
_ENDINGS = (*_TYPED, *(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)))


@contextmanager
def _passing_signals_to(child: _Child) -> Iterator[None]:
    """While it lasts, what ends a program ends the child first, so that everything is taken away."""
    # What is ignored stays so, for the child, too: so does nohup.
    heard = [number for number in _ENDINGS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, child.hear) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _then_undisturbed() -> Iterator[None]:
    """What comes after takes everything away: one more ^C must end neither it nor the git that it runs."""
    try:
        yield
    finally:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)


# Running in a container


def container_command(plan_: Plan, engine: str, python: str | None) -> list[str]:
    """The command that runs an image-based version: its exact image, environment and parameters.

    `python`: the one in the image, if not the first on its PATH.
    """
    assert plan_.image is not None
    order = {"entrypoint": plan_.entrypoint, "parameters": dict(plan_.parameters), "file": "", "moved": []}
    with open(launch.__file__, encoding="utf-8") as stream:
        program = stream.read()
    return [engine, "run", "--rm", *_options(plan_), plan_.image, python or "python", "-c", program, json.dumps(order)]


def _options(plan_: Plan) -> list[str]:
    """Job variables of Prefect's Docker work pool that shape the container."""
    job, options = plan_.job, []
    for key, value in plan_.variables.items():
        options += ["--env", f"{key}={value}"]
    for key, option in _LISTS.items():
        given = job.get(key)
        for one in given if isinstance(given, list) else ():
            options += [option, str(one)]
    for key, option in _VALUES.items():
        if job.get(key):
            options += [option, str(job[key])]
    if job.get("privileged") is True:
        options.append("--privileged")
    directories = [_directory(step) for step in plan_.steps]
    return [*options, "--workdir", posixpath.join(*directories)] if directories else options


_LISTS = {"volumes": "--volume", "networks": "--network"}
_VALUES = {"network_mode": "--network", "mem_limit": "--memory", "memswap_limit": "--memory-swap"}


def _directory(step: Step) -> str:
    value = step.arguments.get("directory")
    if not isinstance(value, str) or "{{" in value:
        raise BadStep(f"{step.said}: its directory must be known before the container starts")
    return value


def shell_line(command: Iterable[str]) -> str:
    """A command as a shell takes it."""
    return shlex.join(command)


def engine_of(environment: Mapping[str, str]) -> str | None:
    """docker or podman, whichever is on the PATH."""
    return next((name for name in _ENGINES if shutil.which(name, path=environment.get("PATH"))), None)


def in_container(repository: Repository, plan_: Plan, engine: str | None, python: str | None) -> int:
    """Run an image-based version; the container's exit status. Raises `CannotRun` where nothing can."""
    if engine is None:
        raise CannotRun(
            f"v{plan_.version.number} runs in the image {shown(plan_.image or '')}, and neither docker nor podman is "
            "on the PATH; install one of them, or see the command with --print"
        )
    command = container_command(plan_, engine, python)
    repository.close()
    child = _Child()
    with _passing_signals_to(child):
        return child.run(command, os.getcwd(), untied(repository.environment))
