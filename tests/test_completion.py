"""Completion, asked in a real bash with git's own completion loaded; and in zsh and fish where they are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from git_deployments.cli import COMMANDS, group
from git_deployments.model import PROPERTIES, SETTINGS

from .conftest import Project
from .test_documents import help_of

BEGIN = "# Made from the commands by: python -m tests.test_completion\n"
END = "# End\n"
KEYS = [key for key in (*PROPERTIES, *SETTINGS) if key != "name"]

ROOT = Path(__file__).resolve().parent.parent
BASH = ROOT / "docs" / "completion" / "git-deployments.bash"
ZSH = ROOT / "docs" / "completion" / "_git-deployments"
FISH = ROOT / "docs" / "completion" / "git-deployments.fish"
GIT = next(
    (
        path
        for path in map(
            Path,
            (
                "/usr/share/bash-completion/completions/git",
                "/usr/local/etc/bash_completion.d/git-completion.bash",
                "/opt/homebrew/etc/bash_completion.d/git-completion.bash",
                "/usr/share/git/completion/git-completion.bash",
            ),
        )
        if path.is_file()
    ),
    None,
)

needs_bash = pytest.mark.skipif(GIT is None or shutil.which("bash") is None, reason="needs bash and git's completion")
needs_fish = pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
needs_zsh = pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")

ASK = """
. "$GIT_COMPLETION"
. "$OURS"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="${COMP_WORDS[*]}"
COMP_POINT=${#COMP_LINE}
COMPREPLY=()
__git_wrap__git_main 2>&1
for word in "${COMPREPLY[@]}"; do printf '%s\\n' "$word"; done
"""


def bash(project: Project, *words: str) -> list[str]:
    """What bash offers for the last of the words after `git`."""
    environment = {**os.environ, "GIT_COMPLETION": str(GIT), "OURS": str(BASH)}
    command = ["bash", "--norc", "-c", ASK, "bash", "git", *words]
    done = subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    return [word.rstrip(" ") for word in done.stdout.splitlines()]


@pytest.fixture
def project(versions: Project) -> Project:
    """etl/prod with three versions, etl/dev, and one whose name must be encoded."""
    versions.deploy("x", name="dev")
    versions.deploy("x", name="a.lock", flow="my flow")
    versions.git("remote", "add", "origin", "nowhere")
    return versions


@needs_bash
def test_bash_completes_commands_names_and_versions(project: Project) -> None:
    assert bash(project, "deployments", "roll") == ["rollback"]
    assert bash(project, "deployments", "") == list(COMMANDS)
    assert bash(project, "deployments", "rollback", "") == ["etl/dev", "etl/prod", "my%20flow/a%2Elock"]
    assert bash(project, "deployments", "rollback", "e") == ["etl/dev", "etl/prod"]
    assert bash(project, "deployments", "rollback", "etl/p") == ["etl/prod"]
    assert bash(project, "deployments", "rollback", "pr") == ["prod"]
    assert bash(project, "deployments", "rollback", "nope") == []
    expected = ["live", "latest", "previous", "v3", "v2", "v1", "0.0.3", "0.0.2", "0.0.1"]
    for name in ("etl/prod", "prod"):
        assert bash(project, "deployments", "rollback", name, "") == expected
    assert bash(project, "deployments", "promote", "-m", "why", "--no-push", "prod", "0.0.") == expected[6:]
    assert bash(project, "deployments", "diff", "prod", "v1", "v") == ["v3", "v2", "v1"]
    assert bash(project, "deployments", "show", "prod", "--expect-live", "v1", "l") == ["live", "latest"]
    assert bash(project, "deployments", "push", "") == ["origin"]
    assert bash(project, "deployments", "push", "origin", "etl/d") == ["etl/dev"]
    assert bash(project, "deployments", "rollback", "--remote", "o") == ["origin"]
    assert bash(project, "deployments", "rollback", "prod", "--ho") == ["--hold"]
    assert bash(project, "deployments", "rollback", "prod", "--remote=o") == ["origin"]
    assert bash(project, "deployments", "deploy", "--version-type", "vcs:gitl") == ["gitlab"]
    assert bash(project, "deployments", "checkout", "prod", "there", "v") == ["v3", "v2", "v1"]
    assert bash(project, "deployments", "hook", "p") == ["pre-receive", "post-receive"]
    assert bash(project, "deployments", "update", "prod", "work_p") == ["work_pool_name="]
    assert bash(project, "-C", str(project.path), "deployments", "live", "etl/p") == ["etl/prod"]


@needs_bash
def test_what_bash_offers_is_taken_by_the_commands(project: Project) -> None:
    for name in bash(project, "deployments", "show", ""):
        for version in bash(project, "deployments", "show", name, "v"):
            assert project.ok("show", name, version, "--format", "v%(number)").out.strip() == version


HOSTILE = ["etl/$(touch evil)", "etl/`touch evil`", "etl/a;touch evil", "etl/it's", "etl/$HOME", "etl/(x)", "etl/{a,b}"]


@needs_bash
def test_names_are_quoted_and_never_run(project: Project) -> None:
    before = set(bash(project, "deployments", "live", ""))
    entries = [dict(zip(("flow_name", "name"), name.split("/"), strict=True)) for name in HOSTILE]
    project.write("prefect.yaml", json.dumps({"deployments": entries}))
    project.ok("deploy", "--all")
    offered = set(bash(project, "deployments", "live", "")) - before
    assert len(offered) == len(HOSTILE)
    for quoted in offered:
        command = ["bash", "-c", f"printf %s {quoted}"]
        plain = subprocess.run(command, cwd=project.path, capture_output=True, text=True).stdout
        assert project.ok("live", plain).out == "1\n"
        assert bash(project, "deployments", "show", quoted, "v") == ["v1"]
    assert not (project.path / "evil").exists()


@needs_bash
@pytest.mark.parametrize("half", ["prod", "it's", "we$ird", "`x`", "a=b", "größe"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_what_is_begun_in_quotes_is_completed_in_quotes(project: Project, half: str, quote: str) -> None:
    """readline adds the last quote."""
    if half != "prod":
        project.deploy("x", name=half, version=f"{half}:1")
    for command in ("live", "rollback"):
        offered = bash(project, "deployments", command, f"{quote}etl/{half[:2]}")
        assert len(offered) == 1
        quoted = f"{quote}{offered[0]}{quote}"
        plain = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, text=True, encoding="utf-8")
        assert plain.stdout == f"etl/{half}"
    assert "v1" in bash(project, "deployments", "show", quoted, "v")
    if half != "prod":
        version = bash(project, "deployments", "show", quoted, f"{quote}{half[:2]}")
        words = ["bash", "-c", f"printf %s {quote}{version[0]}{quote}"]
        assert subprocess.run(words, capture_output=True, text=True, encoding="utf-8").stdout == f"{half}:1"


@needs_bash
def test_what_divides_words_for_readline_is_not_offered_again(project: Project) -> None:
    """It replaces only what stands behind the last such character, so the whole would stand there twice."""
    project.deploy("x", name="region=eu", flow="a=b", version="1:2 x=3")
    for typed, rest in (("a", "a=b/region=eu"), ("a=", "b/region=eu"), ("a=b/region=e", "eu"), ("reg", "region=eu")):
        assert bash(project, "deployments", "live", typed) == [rest]
        assert bash(project, "deployments", "push", "origin", typed) == [rest]
    assert bash(project, "deployments", "show", "a=b/region=eu", "1:") == [r"2\ x=3"]
    assert bash(project, "deployments", "show", "a=b/region=eu", r"1:2\ x=") == ["3"]


@needs_bash
def test_hostile_version_names_are_quoted(project: Project) -> None:
    project.deploy("x", version="$(touch evil) x")
    offered = bash(project, "deployments", "show", "etl/prod", "")
    assert r"\$\(touch\ evil\)\ x" in offered
    assert not (project.path / "evil").exists()


@needs_bash
def test_outside_of_a_repository_nothing_is_offered_and_nothing_said(tmp_path: Path) -> None:
    assert bash(Project(tmp_path), "deployments", "rollback", "") == []


@needs_bash
def test_bash_completion_loads_it_by_its_name(tmp_path: Path) -> None:
    """Where a wheel puts it, git's completion finds it without a line in anybody's .bashrc."""
    loader = Path("/usr/share/bash-completion/bash_completion")
    if not loader.is_file():
        pytest.skip("needs bash-completion")
    directory = tmp_path / "data" / "bash-completion" / "completions"
    directory.mkdir(parents=True)
    shutil.copy(BASH, directory / "git-deployments")
    steps = [f". {loader}", '. "$GIT_COMPLETION"', "declare -F _git_deployments"]
    script = "; ".join([*steps, "_completion_loader git-deployments", steps[-1]])
    environment = {**os.environ, "GIT_COMPLETION": str(GIT), "XDG_DATA_DIRS": str(tmp_path / "data")}
    done = subprocess.run(["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == "_git_deployments\n"


# The lists in the scripts, held to the commands


def options_of(command: str) -> set[str]:
    return {word for names in help_of(command).options for word in re.findall(r"--[a-z][a-z-]*", names)}


@pytest.mark.parametrize("path", [BASH, ZSH, FISH], ids=lambda path: path.name)
def test_each_script_says_what_the_commands_say(path: Path) -> None:
    """`python -m tests.test_completion` writes them anew."""
    assert current(path) == path.read_text(encoding="utf-8")


class Named(NamedTuple):
    """An option of some commands."""

    names: tuple[str, ...]
    valued: bool
    help: str


def options() -> dict[str, list[Named]]:
    """The options of each command but --help, as click has them."""
    context = click.Context(group)
    return {name: _options(group.get_command(context, name)) for name in COMMANDS}


def _options(command: click.Command | None) -> list[Named]:
    assert command is not None
    found = [one for one in command.params if isinstance(one, click.Option) and "--help" not in one.opts]
    return [
        Named((name,) if name in one.secondary_opts else tuple(one.opts), not one.is_flag, one.help or "")
        for one in found
        for name in (one.opts[-1], *one.secondary_opts)
    ]


def current(path: Path) -> str:
    """A script with its tables as they must be."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{fish_tables() if path == FISH else sh_tables()}{END}{after}"


def valued() -> str:
    return " ".join(sorted({name for found in options().values() for one in found if one.valued for name in one.names}))


def sh_tables() -> str:
    cases = "".join(
        f"\t{command}) echo '{' '.join(one.names[-1] + '=' * one.valued for one in found)}' ;;\n"
        for command, found in options().items()
    )
    return (
        f"__git_deployments_commands='{' '.join(COMMANDS)}'\n"
        f"__git_deployments_keys='{' '.join(KEYS)}'\n"
        f"__git_deployments_valued='{valued()}'\n"
        f"__git_deployments_options () {{\n\tcase $1 in\n{cases}\tesac\n}}\n"
    )


def fish_tables() -> str:
    by_option: dict[tuple[str, bool, str], list[str]] = {}
    for command, found in options().items():
        for one in found:
            by_option.setdefault((one.names[-1], one.valued, one.help.replace("'", "\\'")), []).append(command)
    lines = (
        f"__git_deployments_option {name[2:]} {valued:d} '{words}' {' '.join(commands)}\n"
        for (name, valued, words), commands in by_option.items()
    )
    return (
        f"set -g __git_deployments_keys {' '.join(KEYS)}\n"
        f"set -g __git_deployments_valued {valued()}\n"
        f"complete -c git-deployments -n '__git_deployments_is none' -a '{' '.join(COMMANDS)}'\n{''.join(lines)}"
    )


@needs_bash
def test_bash_knows_the_options_of_each_command(tmp_path: Path) -> None:
    for command in COMMANDS:
        offered = bash(Project(tmp_path), "deployments", command, "--")
        assert {word.removesuffix("=") for word in offered} == options_of(command)


def fish(project: Project, line: str) -> list[str]:
    script = f"source {FISH}; complete -C {line!r}"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], cwd=project.path, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.stderr == ""
    return [word.partition("\t")[0] for word in done.stdout.splitlines()]


@needs_fish
def test_fish_completes_commands_names_and_versions(project: Project) -> None:
    assert "rollback" in fish(project, "git-deployments roll")
    assert fish(project, "git-deployments rollback etl/") == ["etl/dev", "etl/prod"]
    assert set(fish(project, "git-deployments rollback etl/prod v")) >= {"v3", "v2", "v1"}


@needs_fish
def test_fish_completes_what_was_begun_in_quotes(project: Project) -> None:
    project.deploy("x", name="it's")
    assert fish(project, "git-deployments rollback 'etl/p") == ["etl/prod"]
    assert fish(project, 'git-deployments rollback "etl/i') == ["etl/it's"]
    assert fish(project, 'git-deployments rollback "pr') == ["prod"]


@needs_fish
def test_the_completion_of_git_in_fish_asks_ours(project: Project, tmp_path: Path) -> None:
    for directory, file in (("vendor_completions.d", FISH), ("vendor_conf.d", FISH.with_name("conf.fish"))):
        (tmp_path / "data" / "fish" / directory).mkdir(parents=True)
        shutil.copy(file, tmp_path / "data" / "fish" / directory / FISH.name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "XDG_DATA_DIRS": f"{tmp_path / 'data'}:/usr/share", "PATH": path}
    project.deploy("x", name="(touch evil)")
    lines = ("git depl", "git deployments rollback etl/", "git -C . deployments show etl/\\(touch%20evil\\) v")
    command = ["fish", "-c", "for line in $argv; complete -C $line; end", *lines]
    done = subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True)
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert offered[:1] + [word for word in offered if word in ("etl/dev", "etl/prod", "v1")] == [
        "deployments", "etl/dev", "etl/prod", "v1",
    ]  # fmt: skip
    assert not (project.path / "evil").exists()


@needs_fish
def test_fish_knows_the_options_of_each_command(tmp_path: Path) -> None:
    for command in COMMANDS:
        offered = {word.removesuffix("=") for word in fish(Project(tmp_path), f"git-deployments {command} --")}
        assert offered - {"--help"} == options_of(command) - {"--help"}


@needs_zsh
def test_zsh_knows_the_options_of_each_command(tmp_path: Path) -> None:
    for command in COMMANDS:
        assert set(zsh(Project(tmp_path), command, "--")) == options_of(command)


@needs_zsh
def test_zsh_completes_commands_names_and_versions(project: Project) -> None:
    assert "rollback" in zsh(project, "roll")
    assert zsh(project, "rollback", "etl/p") == ["etl/prod"]
    assert zsh(project, "rollback", "prod", "")[:6] == ["live", "latest", "previous", "v3", "0.0.3", "v2"]


TERMINAL = """
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "fpath=($DIRECTORY \\$fpath); autoload -U compinit; compinit -u -D; bindkey '^I' complete-word; print rea''dy"
zpty -r -m z out '*ready*'
ask () { zpty -w -n z "$1"$'\\t'; zpty -r -m z out "*$2*" && print -r -- $2 }
ask 'git deployments roll' rollback
ask ' etl/p' etl/prod
ask $'\\x15git deployments promote prod --rem' --remote
ask $'\\x15git-deployments diff etl/d' etl/dev
zpty -d z
"""


@needs_zsh
def test_git_s_completion_in_a_zsh_at_a_terminal_asks_ours(project: Project) -> None:
    environment = {**os.environ, "DIRECTORY": str(ZSH.parent), "TERM": "dumb"}
    command = ["zsh", "-f", "-c", TERMINAL]
    done = subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["rollback", "etl/prod", "--remote", "etl/dev"]


def zsh(project: Project, *words: str) -> list[str]:
    """What the function adds, its `compadd` replaced: a terminal would be needed for the rest."""
    script = """
    compadd () {
        while (( $# )); do
            case $1 in
            --) shift; print -rl -- "$@"; return ;;
            -a) print -rl -- ${(P)2}; return ;;
            -V) shift 2 ;;
            *) print -rl -- "$@"; return ;;
            esac
        done
    }
    words=(git-deployments "$@")
    CURRENT=$#words
    PREFIX=${words[-1]}
    . "$OURS"
    """
    environment = {**os.environ, "OURS": str(ZSH)}
    command = ["zsh", "-f", "-c", script, "zsh", *words]
    done = subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


if __name__ == "__main__":
    for script in (BASH, ZSH, FISH):
        script.write_text(current(script), encoding="utf-8")
