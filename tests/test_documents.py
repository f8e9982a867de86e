"""README, command reference and manual page, held to what the commands do and say.

`python -m tests.test_documents` puts the present output of its commands into README.md; no test does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from git_deployments import errors, reading, render
from git_deployments.cli import group
from git_deployments.model import PROPERTIES, SETTINGS
from tests.conftest import KEPT, SEALED

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
MANUAL = ROOT / "docs" / "man" / "git-deployments.1"
DOCUMENTS = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = group.list_commands(group.make_context("git deployments", [], resilient_parsing=True))
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# README.md, told again


class Told(NamedTuple):
    """A command of README.md and what it is said to print."""

    command: str
    output: str


def told() -> list[Told]:
    """The commands of the console blocks, in order; then the Python program."""
    steps = []
    program = ""
    for language, name, content in BLOCK.findall(text(README)):
        if language == "console":
            steps += [Told(*step) for step in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", content, re.MULTILINE)]
        elif language == "python" and not name:
            program = f"python <<'END'\n{content}END"
        elif language == "text":
            steps.append(Told(program, content))
    return steps


def tell(scratch: Path) -> list[str]:
    """Follow README.md in a new repository; what each of its commands prints."""
    for _, name, content in BLOCK.findall(text(README)):
        if name:
            (scratch / name.strip()).write_text(content, encoding="utf-8")
    kept = {variable: os.environ[variable] for variable in KEPT if variable in os.environ}
    people = {f"GIT_{role}_NAME": "Ada Lovelace" for role in ("AUTHOR", "COMMITTER")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**kept, **SEALED, **people, "HOME": str(scratch), "PATH": path}
    lines = ["exec 2>&1", "git init -q -b main"]
    for step in told():
        lines += [r"printf '\036'", step.command]
    script = ["sh", "-c", "\n".join(lines)]
    done = subprocess.run(script, cwd=scratch, env=environment, capture_output=True, text=True, encoding="utf-8")
    return done.stdout.split("\x1e")[1:]


def masked(output: str) -> str:
    """Ids are those of whoever follows, and of either length."""
    return re.sub(r"\b[0-9a-f]{7,64}\b", lambda found: "#" * min(len(found[0]), 40), output)


def retell() -> None:
    """Put what the commands print today into README.md."""
    with tempfile.TemporaryDirectory() as scratch:
        outputs = iter(tell(Path(scratch)))

    def again(block: re.Match[str]) -> str:
        language, name, content = block.groups()
        if language == "console":
            commands = re.findall(r"^\$ .*$", content, re.MULTILINE)
            content = "".join(f"{command}\n{next(outputs)}" for command in commands)
        elif language == "text":
            content = next(outputs)
        return f"```{language}{name}\n{content}```"

    README.write_text(BLOCK.sub(again, text(README)), encoding="utf-8")


def test_following_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    printed = tell(tmp_path)
    assert len(printed) == len(told()) > 15
    for step, output in zip(told(), printed, strict=True):
        assert masked(output) == masked(step.output), step.command


def test_the_readme_sorts_every_property() -> None:
    versioned, unversioned = re.findall(r"^\| (?:un)?versioned, .*\n((?:\|.*\n)+)", text(README), re.MULTILINE)
    assert first_column(versioned) == {*PROPERTIES, "version", "version_info", "created_by", "updated_by"}
    assert first_column(unversioned) == {*SETTINGS, "name"}


def first_column(rows: str) -> set[str]:
    """The words in backquotes of a table's first column."""
    return {word for row in rows.splitlines() for word in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_every_configuration_key_is_documented_and_every_documented_key_is_read() -> None:
    sources = "\n".join(text(path) for path in (ROOT / "src").rglob("*.py"))
    read = {f"deployments.{key}" for key in re.findall(r"\.(?:flag|number|settings?)\(\s*\"(\w+)\"", sources)}
    assert "deployments.keepRefs" in read
    assert set(re.findall(r"^\| `(deployments\.\w+)` ", text(README), re.MULTILINE)) == read
    assert set(re.findall(r"^\.B (deployments\.\w+)$", text(MANUAL), re.MULTILINE)) == read


def test_every_exit_status_is_documented() -> None:
    codes = {str(value) for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert "128" in codes
    for path in (README, ROOT / "docs" / "commands.md"):
        assert set(re.findall(r"^\| (\d+) \| ", text(path), re.MULTILINE)) == codes, path
    assert set(re.findall(r"^\.B (\d+)$", text(MANUAL), re.MULTILINE)) == codes


# What all documents have in common


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text(path)):
        file, _, heading = target.partition("#")
        if "://" not in target:
            linked = path.parent / file if file else path
            assert linked.is_file(), target
            assert not heading or heading in anchors(linked), target


def anchors(path: Path) -> set[str]:
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in titles(path)}


def titles(path: Path) -> list[str]:
    return re.findall(r"^#+ (.*)$", text(path), re.MULTILINE)


@pytest.mark.parametrize("path", [*DOCUMENTS, MANUAL], ids=lambda path: path.name)
def test_only_commands_that_exist_are_named(path: Path) -> None:
    named = re.findall(r"git deployments ([a-z][a-z-]*)", text(path).replace("\\-", "-"))
    assert set(named) <= set(COMMANDS)


# The command reference and the manual page


class Help(NamedTuple):
    """What `-h` says of a command."""

    usage: str
    options: dict[str, str]
    """Names with their metavar, to the help text."""


def help_of(command: str) -> Help:
    """The real help, every option on one line; click's note of a range is no part of it."""
    done = CliRunner().invoke(
        group, [command, "-h"], prog_name="git deployments", terminal_width=10_000, max_content_width=10_000
    )
    assert done.exit_code == 0
    usage = re.findall(r"^Usage: (.*)$", done.stdout, re.MULTILINE)[0]
    lines = done.stdout.partition("\nOptions:\n")[2].splitlines()
    options = (line.strip().split("  ", 1) for line in lines)
    return Help(usage, {name: re.sub(r"  \[[\dx<=]*x[<>=\d]*\]$", "", words.strip()) for name, words in options})


def reference() -> Iterator[tuple[str, Help]]:
    """docs/commands.md, command by command."""
    for section in re.split(r"^### ", text(ROOT / "docs" / "commands.md"), flags=re.MULTILINE)[1:]:
        command, _, content = section.partition("\n")
        content = re.split(r"^## ", content, flags=re.MULTILINE)[0]
        usage = re.findall(r"^    (git deployments .*)$", content, re.MULTILINE)[0]
        yield command, Help(usage, dict(re.findall(r"^\| `(-[^`]*)` \| (.*) \|$", content, re.MULTILINE)))


def manual() -> Iterator[tuple[str, Help]]:
    """The COMMANDS of the manual page, command by command."""
    page = text(MANUAL).replace("\\-", "-")
    commands = page.partition("\n.SH COMMANDS\n")[2].partition("\n.SH ")[0]
    for section in re.split(r"^\.SS ", commands, flags=re.MULTILINE)[1:]:
        usage, _, content = section.partition("\n")
        plain = re.sub(r"\\f[BIR]", "", content)
        yield usage.split()[2], Help(usage.strip('"'), dict(re.findall(r"^\.TP\n(-.*)\n(.*)$", plain, re.MULTILINE)))


def test_the_reference_says_what_the_help_says() -> None:
    documented = dict(reference())
    assert sorted(documented) == sorted(COMMANDS)
    for command in COMMANDS:
        assert documented[command] == help_of(command)


def test_the_manual_page_says_what_the_help_says() -> None:
    documented = dict(manual())
    assert list(documented) == COMMANDS
    for command in COMMANDS:
        usage, options = help_of(command)
        del options["-h, --help"]  # said once, for all commands
        assert documented[command].usage == usage
        assert documented[command].options == {name: words.replace("…", "...") for name, words in options.items()}


FIELDS = {
    "list": render.LIST_FIELDS,
    "versions": render.VERSION_FIELDS,
    "show": render.SHOW_FIELDS,
    "log": render.LOG_FIELDS,
    "status": reading.STATUS_FIELDS,
}


def test_the_fields_of_json_and_format_are_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*`, `.*) \|$", text(ROOT / "docs" / "commands.md"), re.MULTILINE)
    described = {command: tuple(re.findall(r"`(\w+)`", fields)) for command, fields in rows}
    described["show"] = (*render.VERSION_FIELDS, *described["show"][1:])  # "those of `versions`"
    assert described == FIELDS
    entries = re.findall(r"^\.TP\n\.B (\w+)\n(\w+(?:, \w+)+)$", text(MANUAL), re.MULTILINE)
    assert {command: tuple(fields.split(", ")) for command, fields in entries} == FIELDS


def has_man() -> bool:
    """man is there, and is no stand-in that tells how to install it."""
    return shutil.which("man") is not None and subprocess.run(["man", "-w", "man"], capture_output=True).returncode == 0


needs_man = pytest.mark.skipif(not has_man(), reason="needs man and its pages")


@needs_man
def test_the_manual_page_renders_without_a_warning() -> None:
    for width in ("60", "80", "120"):
        command = ["man", "--warnings", "-l", "-P", "cat", str(MANUAL)]
        done = subprocess.run(command, env={**os.environ, "MANWIDTH": width}, capture_output=True, encoding="utf-8")
        assert (done.returncode, done.stderr) == (0, "")
        assert re.findall(r"^[A-Z][A-Z ]+$", done.stdout, re.MULTILINE) == [
            "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "VERSIONS", "EXIT STATUS", "CONFIGURATION",
            "JSON AND FORMAT", "REFS", "FILES", "ENVIRONMENT", "EXAMPLES", "SEE ALSO",
        ]  # fmt: skip


@needs_man
def test_git_finds_the_manual_page_beside_the_command(tmp_path: Path) -> None:
    """In the layout of an installation; that a wheel has this layout is tested elsewhere."""
    pages = tmp_path / "share" / "man" / "man1"
    pages.mkdir(parents=True)
    shutil.copy(MANUAL, pages)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git-deployments").symlink_to(Path(sys.executable).parent / "git-deployments")
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "GIT_PAGER": "cat",
        "MANPAGER": "cat",
    }
    done = subprocess.run(["git", "deployments", "--help"], env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "git deployments rollback [OPTIONS] NAME [VERSION]" in done.stdout


if __name__ == "__main__":
    retell()
