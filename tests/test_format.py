"""docs/format.md, held to the code and to golden files: a small history of fixed people and dates, byte by byte.

`fixtures/golden` has it as a SHA-1 repository holds it, `fixtures/golden-sha256` as a SHA-256 repository does.

The golden files are never written by a test. After a deliberate change of the format,
`python -m tests.test_format` writes them anew; then read the difference and give the format a new number.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from git_deployments import codec, names, store
from git_deployments.document import json_bytes
from git_deployments.message import split_message
from git_deployments.model import PROPERTIES, SETTINGS, Event, Identity, Json, Run, Source, Version, VersionInfo
from git_deployments.record import Draft
from git_deployments.repository import Repository as Opened
from git_deployments.store import Decide, Revision, Wish
from tests.conftest import KEPT, SEALED, Project

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = {"sha1": ROOT / "fixtures" / "golden", "sha256": ROOT / "fixtures" / "golden-sha256"}
"""By the repository's object format."""
TEXT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
NAME = "my flow/nightly.lock"
PREFIX = "refs/deployments/my%20flow/nightly%2Elock"
KINDS = {".commit": "commit", ".tree": "tree", ".json": "blob"}


# The history


class Stage(NamedTuple):
    """One write of the golden history, and who makes it in which environment."""

    title: str
    decide: Callable[[Opened, list[str]], Decide]
    """From the repository and its code commits."""
    moved: Mapping[str, str] = {}
    """Refs of the deployment that plain git moves before it, and where to."""
    environment: Mapping[str, str] = {}


GITHUB = {
    "GITHUB_ACTOR": "ada-l",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "my-org/my-repo",
    "GITHUB_RUN_ID": "42",
}
STEP = "prefect.deployments.steps.git_clone"


def first(opened: Opened, codes: list[str]) -> Decide:
    """Everything that a version can carry."""
    url = f"https://github.com/my-org/my-repo/tree/{codes[0]}"
    info = VersionInfo("vcs:github", "0.0.1", codes[0], "Greet the wörld", "main", "my-org/my-repo", url)
    properties: dict[str, Json] = {
        **PROPERTIES,
        "description": "Grüße 🚀\n\t\u007f\u2028",
        "entrypoint": "flow.py:my_flow",
        "job_variables": {"env": {"B": "2", "A": "1"}, "image": "my-image"},
        "labels": {"tier": 1, "ratio": 0.5, "on": True},
        "pull_steps": [{STEP: {"repository": "https://github.com/my-org/my-repo.git", "commit_sha": codes[0]}}],
        "tags": ["b", "a"],
    }
    settings: dict[str, Json] = {"schedules": [{"cron": "0 3 * * *", "timezone": "Europe/Paris"}]}
    reason = "First of all\r\n\r\n--- this ends no message\nNumber: 99\0\n\n"
    draft = Draft("0.0.1", properties, Source(info, codes[0], "flows/etl", True), reason, True)
    return store.deploying(opened, {NAME: Wish(NAME, draft, settings)}, reason)


def nowhere(live: bool, description: str) -> Callable[[Opened, list[str]], Decide]:
    """A version without a name, a source or a reason."""
    draft = Draft(None, {**PROPERTIES, "description": description}, Source(VersionInfo("prefect:simple")))

    def decide(opened: Opened, codes: list[str]) -> Decide:
        del codes
        return store.deploying(opened, {NAME: Wish(NAME, draft, {}, live)}, "")

    return decide


def updating(**changes: Json) -> Callable[[Opened, list[str]], Decide]:
    """Properties and settings of the live version, changed."""

    def change(
        live: Version, properties: dict[str, Json], settings: dict[str, Json]
    ) -> tuple[Mapping[str, Json], Mapping[str, Json]]:
        del live
        changed = {key: value for key, value in changes.items() if key in properties}
        return {**properties, **changed}, {key: value for key, value in changes.items() if key in settings}

    return lambda opened, _: store.updating(opened, Revision(change), "")


STAGES = (
    Stage("01-deploy", first, environment=GITHUB),
    Stage("02-deploy-no-live", nowhere(False, "second")),
    Stage("03-promote", lambda opened, _: store.promoting(opened, None, "", None)),
    Stage("04-rollback-hold", lambda opened, _: store.rolling_back(opened, None, True, "wrong totals", None)),
    Stage("05-update-settings", updating(paused=True, concurrency_limit=2)),
    Stage("06-update-held", updating(tags=["c"])),
    Stage("07-promote", lambda opened, _: store.promoting(opened, "3", "checked", None)),
    Stage("08-adopt-move", lambda opened, _: store.recording(opened), {"live": "versions/2"}),
    Stage("09-deploy", nowhere(True, "fourth")),
    Stage("10-adopt-version", lambda opened, _: store.recording(opened), {"log": "log^"}),
    Stage("11-delete", lambda repository, _: store.deleting(repository, "no longer needed")),
    Stage("12-deploy", nowhere(True, "fifth")),
)


def environment(minute: int) -> dict[str, str]:
    """Nothing of the machine, Ada as the author, a robot as the committer."""
    kept = {variable: os.environ[variable] for variable in KEPT if variable in os.environ}
    robot = {"GIT_COMMITTER_NAME": "Robot", "GIT_COMMITTER_EMAIL": "robot@example.com"}
    dates = {f"GIT_{role}_DATE": f"2026-01-02T03:{minute:02}:05-0330" for role in ("AUTHOR", "COMMITTER")}
    return {**kept, **SEALED, **robot, **dates, "HOME": os.devnull}


class Plain:
    """Plain git in a directory."""

    def __init__(self, path: Path, minute: int = 0) -> None:
        self.path = path
        self.environment = environment(minute)

    def raw(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Standard output; a failure fails the test."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=self.environment, input=stdin, capture_output=True
        )
        assert done.returncode == 0, f"git {arguments}: {done.stderr.decode()}"
        return done.stdout

    def text(self, *arguments: str, stdin: bytes = b"") -> str:
        """The same as text, without its last newline."""
        return self.raw(*arguments, stdin=stdin).decode().removesuffix("\n")

    def objects(self) -> set[str]:
        """Ids of all objects."""
        listing = self.text("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
        return set(listing.splitlines())


def build(path: Path, format_: str) -> dict[str, bytes]:
    """Make the history in a new repository; what its golden files should hold, by relative path."""
    git = Plain(path)
    git.text("init", "-q", "-b", "main", f"--object-format={format_}", str(path))
    tree = git.text("write-tree")
    codes = [git.text("commit-tree", "-m", "Greet the wörld", tree)]
    files: dict[str, bytes] = {}
    for minute, stage in enumerate(STAGES, start=1):
        for kind, target in stage.moved.items():
            git.text("update-ref", f"{PREFIX}/{kind}", f"{PREFIX}/{target}")
        before = git.objects()
        opened = Opened(str(path), {**environment(minute), **stage.environment})
        store.write(opened, opened.who(), [NAME], stage.decide(opened, codes))
        opened.close()
        files |= {f"{stage.title}/{file}": data for file, data in record(git, git.objects() - before)}
    return files


def record(git: Plain, new: set[str]) -> Iterator[tuple[str, bytes]]:
    """The refs, the ids of the new objects and their raw bytes, one file each."""
    yield "refs", git.raw("for-each-ref", "--format=%(objectname) %(refname)")
    found = {file: oid for file, oid in event_files(git) if oid in new}
    assert set(found.values()) == new, "a write leaves objects that its event does not reach"
    yield "ids", "".join(f"{oid} {file}\n" for file, oid in found.items()).encode()
    for file, oid in found.items():
        yield file, git.raw("cat-file", KINDS[Path(file).suffix], oid)


def event_files(git: Plain) -> Iterator[tuple[str, str]]:
    """The objects that the newest event reaches without the events and versions before it."""
    log = f"{PREFIX}/log"
    yield "event.commit", git.text("rev-parse", log)
    yield "event.tree", git.text("rev-parse", f"{log}^{{tree}}")
    yield "settings.json", git.text("rev-parse", f"{log}:settings.json")
    if "\nNumber: " in git.text("cat-file", "commit", log).rpartition("\n\n")[2]:
        version = git.text("rev-parse", f"{log}^@").splitlines()[-1]
        yield "version.commit", version
        yield "version.tree", git.text("rev-parse", f"{version}^{{tree}}")
        yield "deployment.json", git.text("rev-parse", f"{version}:deployment.json")


def golden(format_: str) -> dict[str, bytes]:
    """The golden files of an object format, by relative path."""
    found = (path for path in GOLDEN[format_].glob("*/*") if path.is_file())
    return {path.relative_to(GOLDEN[format_]).as_posix(): path.read_bytes() for path in found}


def regenerate(format_: str) -> None:
    """Write the golden files of an object format anew."""
    with tempfile.TemporaryDirectory() as scratch:
        files = build(Path(scratch), format_)
    for old in GOLDEN[format_].glob("*/"):
        shutil.rmtree(old)
    for file, data in files.items():
        path = GOLDEN[format_] / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    print(f"{len(files)} files written; read their difference before you commit it")


def golden_ids(format_: str) -> Iterator[tuple[str, str]]:
    """(id, relative path) of every golden object."""
    for stage in STAGES:
        for line in (GOLDEN[format_] / stage.title / "ids").read_text(encoding="utf-8").splitlines():
            oid, _, file = line.partition(" ")
            yield oid, f"{stage.title}/{file}"


# The golden files against the code


@pytest.fixture(scope="module", params=list(GOLDEN))
def format_(request: pytest.FixtureRequest) -> str:
    """An object format."""
    return str(request.param)


@pytest.fixture(scope="module")
def built(format_: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plain, dict[str, bytes]]:
    """The history as today's code makes it: the repository, and what its golden files should hold."""
    path = tmp_path_factory.mktemp("built")
    return Plain(path), build(path, format_)


@pytest.fixture
def restored(format_: str, tmp_path: Path) -> Project:
    """A repository into which plain git has put the golden objects and the last golden refs."""
    project, git, files = Project(tmp_path), Plain(tmp_path), golden(format_)
    git.text("init", "-q", "-b", "main", f"--object-format={format_}", str(tmp_path))
    for _, file in golden_ids(format_):
        git.text("hash-object", "-t", KINDS[Path(file).suffix], "-w", "--stdin", stdin=files[file])
    for line in files[f"{STAGES[-1].title}/refs"].decode().splitlines():
        oid, _, ref = line.partition(" ")
        if "/sources/" not in ref:  # the code itself is no part of the format
            git.text("update-ref", ref, oid)
    return project


def test_the_code_makes_the_golden_history_byte_by_byte(format_: str, built: tuple[Plain, dict[str, bytes]]) -> None:
    _, files = built
    expected = golden(format_)
    assert sorted(files) == sorted(expected)
    for file in sorted(files):
        assert files[file] == expected[file], f"{file} differs; see {Path(__file__).name} on how to change the format"


def test_plain_git_gives_the_golden_files_their_ids(format_: str, tmp_path: Path) -> None:
    git, files = Plain(tmp_path), golden(format_)
    git.text("init", "-q", f"--object-format={format_}", str(tmp_path))
    for oid, file in golden_ids(format_):
        assert git.text("hash-object", "-t", KINDS[Path(file).suffix], "--stdin", stdin=files[file]) == oid, file
    described = {file for _, file in golden_ids(format_)}
    assert {file for file in files if not file.endswith(("/ids", "/refs"))} == described


def test_plain_git_finds_nothing_wrong_with_the_history(built: tuple[Plain, dict[str, bytes]]) -> None:
    git, _ = built
    assert git.text("fsck", "--strict", "--no-dangling", "--no-progress") == ""


def test_plain_git_reads_the_same_trailers_whatever_is_configured(built: tuple[Plain, dict[str, bytes]]) -> None:
    git, files = built
    commits = [data.decode() for file, data in files.items() if file.endswith(".commit")]
    assert len(commits) == 17
    for commit in commits:
        message = commit.partition("\n\n")[2]
        parsed = git.text("-c", "trailer.separators=:", "interpret-trailers", "--parse", stdin=message.encode())
        assert parsed == message.rstrip("\n").rpartition("\n\n")[2]
        assert dict(line.split(": ", 1) for line in parsed.splitlines()) == split_message(message)[2]


def test_plain_git_log_tells_the_history(built: tuple[Plain, dict[str, bytes]]) -> None:
    git, _ = built
    name = "my%20flow/nightly%2Elock"
    lineage = git.text("log", "--format=%s", f"{PREFIX}/live").splitlines()
    assert lineage == [f"{name} v5", f"{name} v4", f"{name} v3", f"{name} v2", f"{name} v1: 0.0.1"]
    # A step that takes the log back takes the step before it out of the history.
    assert git.text(
        "log", "--first-parent", "--max-count=11", "--reverse", "--format=%s", f"{PREFIX}/log"
    ).splitlines() == [
        f"Deploy {name} v1",
        f"Deploy {name} v2, not live",
        f"Promote {name} from v1 to v2",
        f"Roll back {name} from v2 to v1",
        f"Update the settings of {name}",
        f"Update {name} v3, not live",
        f"Promote {name} from v1 to v3",
        f"Adopt the move of {name} from v3 to v2",
        f"Adopt v4 of {name}",
        f"Delete {name}",
        f"Deploy {name} v5",
    ]


def test_plain_git_answers_what_the_documents_promise(built: tuple[Plain, dict[str, bytes]]) -> None:
    git, _ = built
    code = git.text("rev-parse", f"{PREFIX}/versions/1:source")
    assert git.text("cat-file", "-t", code) == "commit"
    stored = json.loads(git.raw("show", f"{PREFIX}/versions/1:deployment.json"))
    assert stored["tags"] == ["b", "a"]
    assert sorted(stored) == sorted(PROPERTIES)
    assert sorted(json.loads(git.raw("show", f"{PREFIX}/log:settings.json"))) == sorted(SETTINGS)


def test_what_plain_git_wrote_is_read_as_it_was_meant(restored: Project) -> None:
    rows = restored.ok("versions", NAME, "--json").json
    assert [(row["number"], row["version"], row["live"]) for row in rows] == [
        (5, None, True),
        (4, None, False),
        (3, None, False),
        (2, None, False),
        (1, "0.0.1", False),
    ]
    events = restored.ok("log", NAME, "--json").json
    assert [(event["action"], event["number"], event["from"], event["to"]) for event in reversed(events)] == [
        ("deploy", 1, None, 1),
        ("deploy", 2, 1, 1),
        ("promote", None, 1, 2),
        ("rollback", None, 2, 1),
        ("update", None, 1, 1),
        ("update", 3, 1, 1),
        ("promote", None, 1, 3),
        ("adopt", None, 3, 2),
        ("adopt", 4, 2, 4),
        ("delete", None, 4, None),
        ("deploy", 5, None, 5),
    ]
    assert events[-1]["reason"] == "First of all\n\n --- this ends no message\nNumber: 99"
    shown = restored.ok("show", NAME, "1", "--json").json
    assert shown["properties"]["description"] == "Grüße 🚀\n\t\u007f\u2028"
    assert shown["settings"]["paused"] is True
    assert shown["created_by"] == shown["updated_by"] == "Ada <ada@example.com>"
    code = shown["source"]
    missing = f"notice: {NAME}: the code of v1 ({code}) is not in this repository\n"
    assert restored.ok("fsck").out == missing


def test_both_object_formats_hold_the_same_but_for_the_ids() -> None:
    one, other = ({file: unnamed(data) for file, data in golden(format_).items()} for format_ in GOLDEN)
    assert one == other


def unnamed(data: bytes) -> bytes:
    """The file with a mark for each id, and each id in a tree."""
    for width in (32, 20):
        data = re.sub(rb"(100644 \S+?|160000 source)\0.{%d}(?=1|$)" % width, rb"\1\0#", data, flags=re.DOTALL)
    return re.sub(rb"\b[0-9a-f]{64}\b|\b[0-9a-f]{40}\b", b"#", data)


def test_canonical_json_is_these_bytes() -> None:
    document: dict[str, Json] = {
        "ä": [0.5, 1e16, 1e-5, -3, 10**20, True, None],
        "\U0001f680": {"\uffff": {}, "empty": []},
        "text": '"\\/\b\t\n\f\r\x00\x1f\x7f\u2028é',
    }
    lines = [
        "{",
        r'  "text": "\"\\/\b\t\n\f\r\u0000\u001f' + '\x7f\u2028é",',
        '  "ä": [',
        *(f"    {value}," for value in ("0.5", "1e+16", "1e-05", "-3", "100000000000000000000", "true")),
        "    null",
        "  ],",
        '  "\U0001f680": {',
        '    "empty": [],',
        '    "\uffff": {}',
        "  }",
        "}",
        "",
    ]
    assert json_bytes(document).decode() == "\n".join(lines)


# docs/format.md against the code


def tables() -> dict[str, list[list[str]]]:
    """Every table of docs/format.md by its first header: the rows, backquotes taken off."""
    found: dict[str, list[list[str]]] = {}
    for block in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
        found.setdefault(header[0], []).extend([cell.strip("`") for cell in row] for row in rows)
    return found


def test_the_examples_of_the_specification_are_golden() -> None:
    examples = re.findall(r"^```text (\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert [file for file, _ in examples] == [
        "01-deploy/refs",
        "01-deploy/version.commit",
        "04-rollback-hold/event.commit",
    ]
    for file, example in examples:
        assert example == (GOLDEN["sha1"] / file).read_text(encoding="utf-8"), file


@pytest.mark.parametrize(("name", "encoded"), [tuple(row) for row in tables()["name"]])
def test_the_names_of_the_specification_are_encoded_so(name: str, encoded: str) -> None:
    assert names.encode(name) == encoded
    assert names.decode(encoded) == name


def test_the_keys_of_the_specification_are_those_that_are_stored() -> None:
    documented = {key: json.loads(default) for key, _, default in tables()["key"]}
    assert documented == {**PROPERTIES, **SETTINGS}


SOMEBODY = Identity("Ada", "ada@example.com", 0, "+0000")
INFO = VersionInfo("vcs:git", "1", "c", "m", "b", "r", "u")
FULL_VERSION = Version("n", 1, "1", "", None, "", Source(INFO, "c", "d", True), SOMEBODY, "", Run("a", "u"))
BARE_VERSION = FULL_VERSION._replace(label=None, source=Source(VersionInfo("prefect:simple")), run=Run())
FULL_EVENT = Event(
    "n", "deploy", 1, 1, 1, "", "", None, "", SOMEBODY, "l", 1, "l", "1", "c", paused=True, held=True, run=Run("a", "u")
)  # fmt: skip
BARE_EVENT = Event(
    "n", "adopt", None, None, None, "", "", None, "", SOMEBODY, None, None, None, None, None, False, False
)


def test_the_trailers_of_the_specification_are_written_in_its_order() -> None:
    rows = tables()["trailer"]
    split = next(place for place, row in enumerate(rows) if row[0] == "Format") + 1
    messages = (
        (rows[:split], codec.version_message(FULL_VERSION), codec.version_message(BARE_VERSION)),
        (rows[split:], codec.event_message(FULL_EVENT, "subject"), codec.event_message(BARE_EVENT, "subject")),
    )
    for documented, full, bare in messages:
        assert list(split_message(full)[2]) == [key for key, _, _ in documented]
        assert list(split_message(bare)[2]) == [key for key, _, absent in documented if absent == "never"]


if __name__ == "__main__":
    for one in GOLDEN:
        regenerate(one)
