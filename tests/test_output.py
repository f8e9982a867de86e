"""Where what is said cannot be written: a full disk behind a redirection, nobody at the other end, nothing at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Project

SCRIPT = str(Path(sys.executable).with_name("git-deployments"))
FULL = "/dev/full"
pytestmark = pytest.mark.skipif(not os.path.exists(FULL), reason="this system has no /dev/full to stand for a disk")


def ran(project: Project, line: str, **environment: str) -> tuple[int, str]:
    """Exit code of a line of shell, `git-deployments` being the installed script, and what it said on both streams."""
    words = ["bash", "-c", f'git-deployments() {{ "{SCRIPT}" "$@"; }}; {line}']
    variables = {**os.environ, **environment}
    done = subprocess.run(words, cwd=project.path, env=variables, capture_output=True, text=True, timeout=30)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words", ["list", "live prod", "live etl/prod", "live prod --json", "versions prod", "show prod --json", "-h"]
)
def test_a_full_disk_behind_standard_output_is_one_line(versions: Project, words: str, unbuffered: str) -> None:
    code, said = ran(versions, f"git-deployments {words} >{FULL}", PYTHONUNBUFFERED=unbuffered)
    assert code == 128
    assert said.startswith("fatal: standard output cannot be written: No space left on device")
    assert said.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_write_that_cannot_be_told_is_not_said_to_have_changed_nothing(versions: Project, unbuffered: str) -> None:
    marker = versions.path.parent / "followed"
    versions.git("config", "deployments.onLiveLocal", "true")
    versions.git("config", "deployments.onLive", f"echo $GIT_DEPLOYMENTS_TO >>'{marker}'")
    code, said = ran(versions, f"git-deployments rollback prod >{FULL}", PYTHONUNBUFFERED=unbuffered)
    assert code == 128
    assert said.splitlines()[-1].startswith("fatal: standard output cannot be written: No space left on device; ")
    assert "what the command had done before stays" in said
    assert versions.live() == 2
    assert marker.read_text() == "2\n"
    code, said = ran(versions, "(sleep 0.3; git-deployments rollback prod) | :; exit ${PIPESTATUS[0]}")
    assert (code, said) == (141, "")
    assert versions.live() == 1
    assert marker.read_text() == "2\n1\n"


@pytest.mark.parametrize("closed", [f"2>{FULL}", "2>&-", "2> >(:)"])
def test_an_error_that_cannot_be_said_keeps_its_code(versions: Project, closed: str) -> None:
    assert ran(versions, f"git-deployments show nothing {closed}") == (128, "")
    assert ran(versions, f"git-deployments nonsense {closed}") == (129, "")
    assert ran(versions, f"git-deployments promote prod --expect-live v1 {closed}") == (5, "")


def test_a_warning_that_cannot_be_said_stops_no_work(versions: Project) -> None:
    versions.manifest("d4", triggers=[])
    assert "warning: " in ran(versions, "git-deployments deploy -n")[1]
    assert ran(versions, f"git-deployments deploy -q 2>{FULL}") == (0, "")
    assert versions.live() == 4


def test_in_one_log_both_streams_are_in_the_order_of_a_terminal(versions: Project) -> None:
    versions.git("remote", "add", "origin", "../away")
    _, said = ran(versions, "git-deployments rollback prod 2>&1 | cat")
    assert [line.partition(":")[0] for line in said.splitlines()] == ["etl/prod", "undo", "not published"]


def test_standard_output_without_a_reader_ends_as_git_does(versions: Project) -> None:
    for words in ("live etl/prod", "list", "log prod"):
        code, said = ran(versions, f"(sleep 0.3; git-deployments {words}) | :; exit ${{PIPESTATUS[0]}}")
        assert (code, said) == (141, "")


def test_a_file_that_may_not_grow(versions: Project, tmp_path: Path) -> None:
    """As a quota does it: a part of the answer fits."""
    line = f"trap '' XFSZ; ulimit -f 1; git-deployments versions prod --json >'{tmp_path}/answer'"
    code, said = ran(versions, line, PYTHONDONTWRITEBYTECODE="1")  # a part of a module would fit as well, and stay
    assert code == 128
    assert said == (
        "fatal: standard output cannot be written: File too large; what the command had done before stays\n"
    )
