"""Three doors, one answer: plain git on the refs, the quick start of `live`, and the whole command line.

And `show --batch`, which answers as `show --json` does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from .conftest import Project

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = str(Path(sys.executable).with_name("git-deployments"))
WHOLE = "import sys; from git_deployments import cli; sys.argv[0] = 'git-deployments'; cli.main()"
LIVE = "refs/deployments/etl/prod/live"


class Said(NamedTuple):
    """Standard output and exit status."""

    out: str
    code: int


class Place(NamedTuple):
    """Where the question is asked from."""

    directory: Path
    options: tuple[str, ...] = ()
    """Of git, before the command."""
    environment: Mapping[str, str] = {}


def said(place: Place, *command: str) -> Said:
    environment = {**os.environ, **place.environment, "PATH": f"{Path(SCRIPT).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=place.directory, env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return Said(done.stdout, done.returncode)


def ours(place: Place, *words: str) -> list[Said]:
    """The answer of the script, of `git deployments`, and of the command line without the quick start."""
    answers = [said(place, "git", *place.options, "deployments", *words)]
    if not place.options:
        answers += [said(place, SCRIPT, *words), said(place, sys.executable, "-c", WHOLE, *words)]
    return answers


def everywhere(project: Project) -> dict[str, Place]:
    """The same repository, seen from many places; once with its refs packed."""
    path = project.path
    nested = path / "some" / "where"
    nested.mkdir(parents=True)
    project.git("worktree", "add", "-q", "--detach", str(path.parent / "worktree"))
    subprocess.run(["git", "clone", "-q", "--mirror", str(path), str(path.parent / "bare.git")], check=True)
    packed = path.parent / "packed"
    shutil.copytree(path, packed)
    Project(packed).git("pack-refs", "--all", "--prune")
    assert not list(packed.glob(".git/refs/deployments/**/live"))
    return {
        "top": Place(path),
        "packed": Place(packed),
        "below": Place(nested),
        "inside .git": Place(path / ".git"),
        "worktree": Place(path.parent / "worktree"),
        "bare": Place(path.parent / "bare.git"),
        "GIT_DIR": Place(path.parent, environment={"GIT_DIR": str(path / ".git")}),
        "git -C": Place(path.parent, ("-C", str(path))),
        "git --git-dir": Place(path.parent, ("--git-dir", str(path / ".git"))),
    }


QUESTIONS = {
    "present": ("etl/prod", LIVE),
    "encoded": ("my flow/a.lock", "refs/deployments/my%20flow/a%2Elock/live"),
    "absent": ("etl/none", "refs/deployments/etl/none/live"),
    "nothing live": ("etl/gone", "refs/deployments/etl/gone/live"),
}


@pytest.fixture
def project(versions: Project) -> Project:
    """v2 of three is live, beside a deleted deployment and one whose name must be encoded."""
    versions.ok("rollback", "prod")
    versions.deploy("x", name="gone")
    versions.ok("delete", "gone", "-y")
    versions.deploy("x", name="a.lock", flow="my flow")
    return versions


def test_three_doors_give_one_answer(project: Project) -> None:
    for where, place in everywhere(project).items():
        for question, (name, ref) in QUESTIONS.items():
            for options, revision in ((["--oid"], ref), (["--source"], f"{ref}:source")):
                git = said(place, "git", *place.options, "rev-parse", "-q", "--verify", revision)
                assert ours(place, "live", name, *options) == [git] * (1 if place.options else 3), (where, question)
            number = said(place, "git", *place.options, "log", "-1", "--format=%(trailers:key=Number,valueonly)", ref)
            for answer in ours(place, "live", name):
                assert answer.out == number.out.replace("\n\n", "\n"), (where, question)
                assert answer.code == (1 if number.code else 0), (where, question)


def contract() -> list[tuple[str, str]]:
    """What the manual page promises to plain git: a command for etl/prod, and of what it is the answer."""
    page = (ROOT / "docs" / "man" / "git-deployments.1").read_text(encoding="utf-8")
    (block,) = re.findall(r"^\.SH REFS\n.*?^\.nf\n\.RS\n(.*?)^\.RE\n", page, re.MULTILINE | re.DOTALL)
    plain = re.sub(r"\\f[BIR]", "", block).replace("\\-", "-").replace("\\(aq", "'").replace(" \\e\n   ", "")
    rows = (re.split(r" {2,}", line) for line in plain.replace("<name>", "etl/prod").splitlines())
    return [(command, meaning.replace("NAME", "etl/prod")) for command, meaning in rows]


def test_what_the_manual_page_promises_to_plain_git_is_kept(project: Project) -> None:
    promised = contract()
    whole = project.ok("show", "etl/prod", "--json").json
    documents = {"the configuration": whole["properties"], "the settings": whole["settings"]}
    for command, meaning in promised:
        answer = said(Place(project.path), "sh", "-c", command)
        if meaning in documents:
            assert json.loads(answer.out).items() <= documents[meaning].items()
        else:
            assert Said(answer.out.strip() + "\n", 0) == Said(project.ok(*meaning.split()).out, answer.code)
        gone = said(Place(project.path), "sh", "-c", command.replace("etl/prod", "etl/none"))
        assert gone.out == ""
        assert gone.code == (1 if "rev-parse" in command else 128)
    assert len(promised) == 5


@pytest.mark.parametrize("name", ["", "a/b/c", "etl/", "etl/live", "a%b", "a%2F", "-x", "x" * 300])
def test_a_bad_name_is_an_error_at_each_door_and_no_ref_of_git(project: Project, name: str) -> None:
    place = Place(project.path)
    answers = ours(place, "live", name)
    assert len(set(answers)) == 1
    assert answers[0].out == ""
    assert answers[0].code in (128, 129)
    assert said(place, "git", "rev-parse", "-q", "--verify", f"refs/deployments/{name}/live").code != 0


def test_a_symbolic_live_is_an_error_at_each_door(project: Project) -> None:
    project.git("symbolic-ref", LIVE, "refs/deployments/etl/prod/versions/2")
    place = Place(project.path)
    for options in ([], ["--oid"], ["--source"]):
        assert ours(place, "live", "etl/prod", *options) == [Said("", 128)] * 3


def test_what_is_said_of_a_symbolic_live_keeps_what_is_live(project: Project) -> None:
    project.git("symbolic-ref", LIVE, "refs/deployments/etl/prod/versions/2")
    place = Place(project.path)
    _, _, remedy = project.fatal("live", "etl/prod").partition("to leave it where it is now: ")
    assert said(place, "sh", "-c", remedy) == Said("", 0)
    assert ours(place, "live", "etl/prod") == [Said("2\n", 0)] * 3
    assert project.ok("fsck").out == ""


ALMOST: dict[str, Callable[[str], str]] = {
    "one paragraph": lambda raw: re.sub("\n\n.*\n\n", "\n\n", raw, flags=re.DOTALL),
    "no committer": lambda raw: re.sub("\ncommitter .*", "", raw),
    "no author": lambda raw: re.sub("\nauthor .*", "", raw),
    "a parent that git does not see": lambda raw: re.sub("\n(parent .*)\n(author .*)", r"\n\2\n\1", raw),
}


@pytest.mark.parametrize("what", ALMOST)
def test_what_is_almost_a_version_is_none_at_each_door(project: Project, what: str) -> None:
    raw = project.git("cat-file", "commit", LIVE)
    command = ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"]
    made = subprocess.run(
        command, cwd=project.path, input=ALMOST[what](raw), capture_output=True, text=True, check=True
    ).stdout.strip()
    project.git("update-ref", LIVE, made)
    assert ours(Place(project.path), "live", "etl/prod") == [Said("", 128)] * 3


def test_outside_of_a_repository_each_door_ends_with_128(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert said(place, "git", "rev-parse", "-q", "--verify", LIVE).code == 128
    assert ours(place, "live", "etl/prod") == [Said("", 128)] * 3


@pytest.mark.parametrize("name", ["pre-receive", "post-receive"])
def test_three_doors_inside_a_hook(project: Project, tmp_path: Path, name: str) -> None:
    """pre-receive looks at the repository as it was, and sees what is pushed by its id."""
    hub = Project(tmp_path / "hub.git")
    subprocess.run(["git", "clone", "-q", "--mirror", str(project.path), str(hub.path)], check=True)
    script = (
        "#!/bin/sh\n"
        f"git rev-parse -q --verify {LIVE}\n"
        f"'{SCRIPT}' live etl/prod --oid\n"
        f"git deployments live etl/prod --oid\n"
        f"'{sys.executable}' -c \"{WHOLE}\" live etl/prod --oid\n"
        f"'{SCRIPT}' show etl/prod --format '%(commit)'\n"
        'while read old new ref; do case $ref in */live) git rev-parse -q --verify "$new:source";; esac; done\n'
    )
    hook = hub.write(f"hooks/{name}", script)
    hook.chmod(0o755)
    before = project.refs()[LIVE]
    project.ok("promote", "prod")
    environment = {**os.environ, "PATH": f"{Path(SCRIPT).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["git", "push", "-q", str(hub.path), f"+{LIVE}", "refs/deployments/etl/prod/log"]
    done = subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [line.removeprefix("remote: ").strip() for line in done.stderr.splitlines()]
    live = before if name == "pre-receive" else project.refs()[LIVE]
    assert told == [live] * 5 + [project.git("rev-parse", f"{LIVE}:source")]


@pytest.mark.parametrize("hook", ["pre-receive", "post-receive"])
def test_a_hook_gives_one_answer_past_the_command_line_and_through_it(project: Project, hook: str) -> None:
    live, first = project.refs()[LIVE], project.refs()["refs/deployments/etl/prod/versions/1"]
    pushes = {
        "nothing": ("", 0),
        "not ours": (f"{'0' * 40} {live} refs/heads/x\n", 0),
        "a move that no event tells of": (f"{live} {first} {LIVE}\n", 1 if hook == "pre-receive" else 0),
        "no push at all": ("x\n", 128),
    }
    for what, (lines, code) in pushes.items():
        answers = [
            subprocess.run([*door, "hook", hook], cwd=project.path, input=lines, capture_output=True, text=True)
            for door in ([SCRIPT], [sys.executable, "-c", WHOLE])
        ]
        quick, whole = ((one.returncode, one.stdout, one.stderr) for one in answers)
        assert quick == whole, what
        assert quick[0] == code, what
        assert bool(quick[1] or quick[2]) == bool(lines) or what == "not ours", what


# Many questions


class Batch:
    """A running `show --batch`."""

    def __init__(self, process: subprocess.Popen[bytes], out: IO[bytes], into: IO[bytes]) -> None:
        self.process, self.out, self.into = process, out, into

    def ask(self, question: str) -> dict[str, object]:
        self.into.write(f"{question}\n".encode())
        self.into.flush()
        answer: dict[str, object] = json.loads(self.out.readline())
        return answer


@contextmanager
def batch(project: Project) -> Iterator[Batch]:
    command = [SCRIPT, "show", "--batch"]
    with subprocess.Popen(command, cwd=project.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Batch(process, process.stdout, process.stdin)
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(20) == 0


def shown(project: Project, *words: str) -> object:
    return project.ok("show", *words, "--json").json


VERSIONS = ["live", "latest", "previous", "1", "v2", "number:3", "0.0.1", "name:0.0.3"]


def test_each_question_is_answered_as_show_does_before_the_next_is_asked(project: Project) -> None:
    with batch(project) as batch_:
        for _ in range(2):
            assert batch_.ask("etl/prod") == shown(project, "etl/prod")
            assert batch_.ask("prod") == shown(project, "prod")
            assert batch_.ask("my flow/a.lock") == shown(project, "my flow/a.lock")
            assert batch_.ask("my flow/a.lock\t1") == shown(project, "my flow/a.lock", "1")
            assert batch_.ask("my flow/a.lock v1") == shown(project, "my flow/a.lock", "v1")
            for version in VERSIONS:
                expected = shown(project, "prod", version)
                assert batch_.ask(f"etl/prod\t{version}") == batch_.ask(f"etl/prod {version}") == expected


def test_what_moves_meanwhile_is_seen(project: Project) -> None:
    with batch(project) as batch_:
        assert batch_.ask("etl/prod")["number"] == 2
        project.ok("promote", "prod")
        assert batch_.ask("etl/prod")["number"] == 3
        project.deploy("d4", name="prod", version="7")
        assert batch_.ask("etl/prod") == shown(project, "etl/prod")
        assert "number:7" not in str(batch_.ask("etl/prod\t7").get("error"))
        assert batch_.ask("etl/prod\t7")["number"] == 4
        project.git("update-ref", LIVE, "refs/deployments/etl/prod/versions/1")
        assert batch_.ask("etl/prod")["number"] == 1
        project.ok("update", "prod", "paused=true")
        assert batch_.ask("etl/prod\tlatest") == shown(project, "prod", "latest")
        project.ok("delete", "prod", "-y")
        assert "no live version" in str(batch_.ask("etl/prod")["error"])
        assert batch_.ask("etl/prod\t1") == shown(project, "etl/prod", "1")


def test_versions_without_a_ref_are_reached_too(project: Project) -> None:
    for ref in ("versions/1", "versions/3"):
        project.git("update-ref", "-d", f"refs/deployments/etl/prod/{ref}")
    with batch(project) as batch_:
        for version in ("live", "1", "v3", "latest"):
            assert batch_.ask(f"etl/prod\t{version}") == shown(project, "prod", version)


BAD = [
    "",
    " ",
    "\t",
    "none",
    "etl/none v1",
    "etl/prod\t99",
    "etl/prod\tnope",
    "a/b/c",
    "etl/\x1b[31m\u202e",
    "x" * 100_000,
]


def test_what_has_no_answer_is_a_line_all_the_same(project: Project) -> None:
    with batch(project) as batch_:
        for question in BAD:
            answer = batch_.ask(question)
            assert answer.keys() == {"name", "error"}, question[:100]
            assert answer["name"] == question
        assert batch_.ask("etl/prod")["number"] == 2


def test_a_breach_is_named(project: Project) -> None:
    other = project.git("rev-parse", "refs/deployments/etl/prod/versions/1")
    project.git("update-ref", "refs/deployments/etl/prod/versions/3", other)
    with batch(project) as batch_:
        assert "but the log has" in str(batch_.ask("etl/prod")["error"])


@pytest.mark.parametrize("words", [["--batch", "prod"], ["--batch", "--key", "tags"], ["--batch", "--format", "x"], []])
def test_wrong_usage(project: Project, words: list[str]) -> None:
    assert project.run("show", *words).code == 129


def test_lines_may_end_as_on_windows_and_the_last_one_without(project: Project) -> None:
    result = project.run("show", "--batch", stdin="etl/prod\r\netl/prod\t1")
    assert [json.loads(line)["number"] for line in result.out.splitlines()] == [2, 1]
