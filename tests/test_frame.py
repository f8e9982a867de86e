"""What an installation holds and what the top level of the project holds."""

from __future__ import annotations

import os
import re
import subprocess
from importlib.metadata import PackagePath, distribution
from pathlib import Path

import pytest

import git_deployments

ROOT = Path(__file__).resolve().parent.parent
TOP = {
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "docs",
    "fixtures",
    "pyproject.toml",
    "src",
    "tests",
}


def installed(name: str, directory: str) -> Path:
    """Where the installation put its one file of that name in a directory of that name."""
    files: list[PackagePath] = distribution("git-deployments").files or []
    found = [file for file in files if file.parts[-2:] == (directory, name)]
    assert len(found) == 1, f"{name}: {found}"
    return Path(str(found[0].locate()))


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))


def test_the_installed_script_is_our_own_file_and_no_console_wrapper() -> None:
    script = installed("git-deployments", "bin")
    interpreter, *lines = script.read_text(encoding="utf-8").splitlines()
    assert interpreter.startswith("#!")
    assert "python" in interpreter
    assert lines == (ROOT / "src" / "git-deployments").read_text(encoding="utf-8").splitlines()[1:]
    assert not distribution("git-deployments").entry_points
    assert os.access(script, os.X_OK), f"{script} cannot be executed: git finds no such subcommand"


def test_the_script_in_the_sources_is_executable_or_no_wheel_s_would_be() -> None:
    assert os.access(ROOT / "src" / "git-deployments", os.X_OK)


def test_the_man_page_is_installed_where_git_help_looks() -> None:
    page = installed("git-deployments.1", "man1")
    assert page.parts[-4:-1] == ("share", "man", "man1")
    assert page.read_text(encoding="utf-8").startswith(".TH GIT-DEPLOYMENTS 1")


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("git-deployments", ("share", "bash-completion", "completions")),
        ("_git-deployments", ("share", "zsh", "site-functions")),
        ("git-deployments.fish", ("share", "fish", "vendor_completions.d")),
        ("git-deployments.fish", ("share", "fish", "vendor_conf.d")),
    ],
)
def test_completion_is_installed_where_shells_look(name: str, directory: tuple[str, ...]) -> None:
    files = distribution("git-deployments").files or ()
    assert [file for file in files if file.parts[-4:] == (*directory, name)]


def test_the_package_is_typed_and_its_version_is_the_distribution_s() -> None:
    assert (Path(git_deployments.__file__).parent / "py.typed").is_file()
    assert git_deployments.__version__ == distribution("git-deployments").version


def test_the_licence_is_apache_2_0_whole() -> None:
    assert distribution("git-deployments").metadata["License-Expression"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_top_level_holds_only_the_expected_entries() -> None:
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    top = {file.split("/", 1)[0] for file in files.split("\0") if file}
    assert "pyproject.toml" in top
    assert top <= TOP


def test_every_make_target_that_the_documents_name_exists() -> None:
    documents = [ROOT / "README.md", ROOT / ".ci" / "run", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(document.read_text(encoding="utf-8") for document in documents)
    # In backquotes, or alone on a line of a code block; prose says "make" too.
    named = set(re.findall(r"`make ([a-z0-9-]+)\b", text))
    named |= set(re.findall(r"^ *(?:\$ )?make ([a-z0-9-]+)(?: +#.*)?$", text, re.MULTILINE))
    assert {"test", "demo"} <= named
    assert named <= targets()


def test_make_help_names_every_target() -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(re.findall(r"^make ([a-z0-9-]+) ", done.stdout, re.MULTILINE)) == targets() - {"help"}
