"""What the codec writes it reads back, and plain git reads the same; whatever else it is given ends in one line."""

from __future__ import annotations

import hashlib
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_deployments import codec, render, trailers
from git_deployments.codec import (
    TreeEntry,
    commit_bytes,
    event_message,
    parse_commit,
    parse_event,
    parse_identity,
    parse_tree,
    parse_version,
    tree_bytes,
    version_message,
)
from git_deployments.document import (
    DEEPEST,
    canonical_document,
    json_bytes,
    parse_document,
    settings_document,
    snapshot,
)
from git_deployments.errors import DeploymentsError
from git_deployments.git import Object
from git_deployments.message import harmless, misread, one_line, split_message, with_trailers
from git_deployments.model import PROPERTIES, SETTINGS, Event, Identity, Json, Run, Source, Version, VersionInfo
from git_deployments.names import BadName, check, encode
from git_deployments.record import sentence

from .conftest import HASH, WIDTH, Project, Repository

SCRIPT = Path(sys.executable).with_name("git-deployments")
EXAMPLES = settings(max_examples=150, deadline=None, database=None)
ADA = Identity("Ada", "ada@example.com", 1767319445, "+0100")
SCISSORS = "# ------------------------ >8 ------------------------"

# Texts as they come from users, commits and CI: anything at all, and what git and the codec look for.
PIECES = st.sampled_from(
    (
        *("\n", "\n\n", "\r\n", "\r", "\0", " ", "\t", "\x0b", "\x1c", "\x85", "\u2028", "\N{NO-BREAK SPACE}", ":"),
        *("---", "--- a/x", "---\n", f"\n{SCISSORS}\n", "# comment", "#", "Conflicts:\n\tx", "\n \n"),
        *("Number: 9", "\n\nNumber: 9\nFormat: 1", "Format: 2", "Action: delete", "Signed-off-by: x", "key:", ": v"),
        *("(cherry picked from commit 1)", "\ud800", "\N{RIGHT-TO-LEFT OVERRIDE}", "e\N{COMBINING ACUTE ACCENT}", "🚀"),
    )
)
HOSTILE = st.lists(st.one_of(PIECES, st.text(st.characters(), max_size=6)), max_size=8).map("".join)
VALUE = st.one_of(st.none(), HOSTILE)
OID = st.text("0123456789abcdef", min_size=40, max_size=40)
NUMBER = st.integers(1, 10**11 - 1)


def is_name(text: str) -> bool:
    try:
        check(text)
    except BadName:
        return False
    return True


HALF = st.text(st.characters(codec="utf-8", exclude_characters="/%&><"), min_size=1, max_size=8)
NAME = st.one_of(
    st.sampled_from(
        ("etl/prod", "one", "my flow/nightly.lock", ".a/-b", "nul/@", "größe/日本", "a\nb/c\x7f", "x: y/#")
    ),
    st.lists(HALF, min_size=1, max_size=2).map("/".join).filter(is_name),
)
PERSON = st.one_of(
    st.just(ADA),
    st.builds(
        Identity,
        st.sampled_from(("Ada", "Åsa Ö.", "a b  c", "日本", "x,y;z", '"quoted"', "🚀", "a@b")),
        st.sampled_from(("", "a@b", "no address", "ä@ö")),
        st.integers(0, 4_102_444_800),
        st.sampled_from(("+0000", "-0000", "+0530", "-0330", "+1345", "+1400", "-1200")),
    ),
)


def as_stored(value: str | None) -> str | None:
    """What a value becomes on its one line; None where nothing is left of it."""
    return one_line(value).encode("utf-8", "replace").decode() or None if value else None


def as_text(text: str) -> str:
    """What a text becomes in a message."""
    return harmless(text).encode("utf-8", "replace").decode()


def object_of(data: bytes, kind: str = "commit") -> Object:
    """A raw object under its own id."""
    return Object(hashlib.new(HASH, f"{kind} {len(data)}\0".encode() + data).hexdigest(), kind, data)


@st.composite
def versions(draw: st.DrawFn) -> Version:
    """Any version that somebody may come to write."""
    info = VersionInfo(
        draw(st.sampled_from(("vcs:git", "vcs:github", "prefect:simple"))),
        None,
        draw(st.one_of(st.none(), OID)),
        *(draw(VALUE) for _ in range(4)),
    )
    return Version(
        name=draw(NAME),
        number=draw(NUMBER),
        label=draw(VALUE),
        commit="",
        parent=draw(st.one_of(st.none(), OID)),
        tree=draw(OID),
        source=Source(info, info.commit_sha, draw(HOSTILE), draw(st.booleans())),
        author=draw(PERSON),
        message=draw(HOSTILE),
        run=Run(draw(VALUE), draw(VALUE)),
    )


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event that somebody may come to write; which moves make sense is not the codec's business."""
    optional = st.one_of(st.none(), NUMBER)
    number = draw(optional)
    return Event(
        name=draw(NAME),
        action=draw(st.sampled_from(trailers.ACTIONS)),
        number=number,
        before=draw(optional),
        after=draw(optional),
        reason=draw(HOSTILE),
        commit="",
        previous=draw(st.one_of(st.none(), OID)) if number else draw(OID),
        tree=draw(OID),
        author=draw(PERSON),
        live_commit=draw(st.one_of(st.none(), OID)),
        latest=draw(optional),
        latest_commit=draw(st.one_of(st.none(), OID)),
        label=draw(VALUE),
        source=draw(st.one_of(st.none(), OID)),
        paused=draw(st.booleans()),
        held=draw(st.booleans()),
        run=Run(draw(VALUE), draw(VALUE)),
    )


def version_commit(version: Version) -> Object:
    """The commit of a version."""
    parents = (version.parent,) if version.parent else ()
    return object_of(commit_bytes(version.tree, parents, version.author, ADA, version_message(version)))


def event_commit(event: Event) -> Object:
    """The commit of an event."""
    parents = tuple(oid for oid in (event.previous, "b" * WIDTH if event.number else None) if oid)
    message = event_message(event, sentence(event))
    return object_of(commit_bytes(event.tree, parents, event.author, ADA, message))


# Round trips


@EXAMPLES
@given(versions())
def test_a_version_is_read_back_as_it_was_written(version: Version) -> None:
    commit = version_commit(version)
    info, label = version.source.info, as_stored(version.label)
    stored = VersionInfo(
        info.type, label or (info.commit_sha or "")[:8] or None, info.commit_sha, *map(as_stored, info[3:])
    )
    assert parse_version(commit) == version._replace(
        label=label,
        commit=commit.oid,
        source=Source(stored, info.commit_sha, as_stored(version.source.directory) or "", version.source.dirty),
        message=as_text(version.message),
        run=Run(*map(as_stored, version.run)),
    )


@EXAMPLES
@given(events())
def test_an_event_is_read_back_as_it_was_written(event: Event) -> None:
    commit = event_commit(event)
    assert parse_event(commit) == event._replace(
        commit=commit.oid,
        label=as_stored(event.label),
        reason=as_text(event.reason),
        run=Run(*map(as_stored, event.run)),
    )


@EXAMPLES
@given(HOSTILE)
def test_text_is_made_harmless_once(text: str) -> None:
    once = harmless(text)
    assert harmless(once) == once
    assert one_line(one_line(text)) == one_line(text)
    assert not any(line.startswith("---") or line.endswith((" ", "\r", "\t")) for line in once.split("\n"))


@EXAMPLES
@given(versions(), events())
def test_what_is_written_is_canonical(version: Version, event: Event) -> None:
    """No empty trailer, no blank at a line's end, one empty line between paragraphs, one newline at the end."""
    for commit in (version_commit(version), event_commit(event)):
        message = parse_commit(commit).message
        assert message.endswith("\nFormat: 1\n")
        assert not message.startswith("\n")
        assert misread(commit) is None
        for line in message.rpartition("\n\n")[2][:-1].split("\n"):
            key, colon, value = line.partition(": ")
            assert (colon, bool(value), value) == (": ", True, value.strip()), line
            assert key.replace("-", "").isalpha()


def test_a_trailer_without_a_value_is_left_out() -> None:
    assert with_trailers("s", "", {"A": None, "B": "", "C": " \0\n", "D": "d"}) == "s\n\nD: d\n"


# Plain git


def ask_git(path: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["git", *arguments], cwd=path, input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def git_trailers(printed: bytes) -> dict[str, str]:
    lines = printed.decode("utf-8", "replace").strip("\n").split("\n")
    return {key: value for key, _, value in (line.partition(": ") for line in lines)}


def samples(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Examples of a strategy, the same ones each time, to be put to git together."""
    found: list[Any] = []

    @settings(max_examples=count, deadline=None, database=None, derandomize=True)
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


def test_git_reads_the_trailers_that_we_read(repository: Repository) -> None:
    commits = [*map(version_commit, samples(versions(), 60)), *map(event_commit, samples(events(), 60))]
    tree = repository.git("write-tree")
    for commit in commits:
        data = b"tree " + tree.encode() + b"\n" + commit.data.partition(b"\n")[2]
        data = b"\n".join(line for line in data.split(b"\n") if not line.startswith(b"parent "))
        oid = ask_git(repository.path, "hash-object", "-t", "commit", "-w", "--stdin", stdin=data).decode().strip()
        message = parse_commit(commit).message
        ours = {key: value.replace("\r", "") for key, value in split_message(message)[2].items()}
        for arguments, stdin in (
            (("log", "-1", "--format=%(trailers:only,unfold)", oid), b""),
            (("interpret-trailers", "--parse", "--no-divider"), message.encode()),
            (("interpret-trailers", "--parse"), message.encode()),
        ):
            printed = ask_git(repository.path, *arguments, stdin=stdin).replace(b"\r", b"")
            assert git_trailers(printed) == ours, message


@pytest.mark.parametrize(
    "forgery", ["Number: 99", "Number: 99\n", f"Number: 99\n{SCISSORS}\nmore", "Number: 99\n---\nx"]
)
def test_no_reason_forges_a_trailer_for_plain_git(versions: Project, forgery: str) -> None:
    text = f"Why\n\nDeployment: etl/prod\nLive-Commit: {'0' * 40}\n{forgery}"
    versions.ok("update", "prod", "description=x", "-m", text)
    for revision in ("refs/deployments/etl/prod/live", "refs/deployments/etl/prod/log"):
        assert versions.trailer(revision, "Number") == "4"
        assert versions.trailer(revision, "Live-Commit") in ("", versions.refs()["refs/deployments/etl/prod/live"])


def test_git_accepts_every_object_that_is_written(repository: Repository) -> None:
    """Hostile texts, people and clocks: `git fsck --strict` has nothing to say, and ids are what git says."""
    document = snapshot({"description": "\N{RIGHT-TO-LEFT OVERRIDE}\0\ud7ff", "labels": {"ä": 1}})
    blob = _write(repository, object_of(document, "blob"))
    code = repository.commit("Code")
    entries = [TreeEntry("160000", codec.GITLINK, code), TreeEntry("100644", codec.SNAPSHOT, blob)]
    tree = _write(repository, object_of(tree_bytes(entries), "tree"))
    assert parse_tree(object_of(tree_bytes(entries), "tree")) == entries[::-1]
    tip = None
    for version in samples(versions(), 60):
        tip = _write(repository, version_commit(version._replace(tree=tree, parent=tip)))
    for event in samples(events(), 60):
        data = event_commit(event._replace(tree=tree, previous=tip)).data.replace(b"b" * WIDTH, (tip or "").encode())
        tip = _write(repository, object_of(data))
    repository.git("update-ref", "refs/heads/all", tip or "")
    assert repository.git("fsck", "--strict", "--no-dangling") == ""


def _write(repository: Repository, written: Object) -> str:
    # --literally: it is fsck that has to judge here, and nobody else.
    arguments = ("hash-object", "-t", written.kind, "-w", "--stdin", "--literally")
    oid = ask_git(repository.path, *arguments, stdin=written.data).decode().strip()
    assert oid == written.oid
    return oid


@pytest.mark.parametrize(
    ("date", "offset"),
    [
        ("1700000000 +1345", "+1345"),
        ("1700000000 -0330", "-0330"),
        ("@0 +0000", "+0000"),
        ("@4102444799 +1400", "+1400"),
        ("2026-01-02T03:04:05-1200", "-1200"),
    ],
)
def test_odd_clocks(versions: Project, date: str, offset: str) -> None:
    versions.ok("rollback", "prod", GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)
    assert versions.git("log", "-1", "--format=%ad", "--date=raw", "refs/deployments/etl/prod/log").endswith(offset)
    assert versions.ok("log", "prod", "--json").json[0]["at"]
    assert versions.ok("list").out
    assert versions.git("fsck", "--strict", "--no-dangling") == ""
    assert versions.ok("fsck").out == ""


@pytest.mark.parametrize("name", ["<Eve> x", "Eve\nparent 1", "Åsa\tÖ", ".,;:Eve.,;:", "\x1b[31mEve", "日本"])
@pytest.mark.parametrize("source", ["git", "ci"])
def test_odd_people(versions: Project, monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> None:
    variables = {"GIT_AUTHOR_NAME": name, "GIT_COMMITTER_NAME": name}
    if source == "ci":
        for variable in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
            monkeypatch.delenv(variable)
        variables = {"GITLAB_USER_NAME": name, "GITLAB_USER_EMAIL": f"<{name}>\n", "CI_JOB_URL": "https://e.com/1"}
    versions.ok("update", "prod", "description=x", **variables)
    live = "refs/deployments/etl/prod/live"
    assert versions.git("log", "-1", "--format=%an <%ae>", live) == versions.ok("list", "--json").json[0]["updated_by"]
    assert len(versions.git("log", "-1", "--format=%P", live).split()) == 1
    assert versions.git("fsck", "--strict", "--no-dangling") == ""
    assert versions.ok("fsck").out == ""
    assert "\x1b" not in versions.ok("list").out


# Whatever else is read


def mutated(data: bytes, seed: int) -> bytes:
    """The same bytes with a few places changed, cut or doubled."""
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            changed[place:place] = chance.choice((b"\n", b"\n\n", b" ", b"\0", b"\xff", b"Number: 0", b"parent x\n"))
        elif kind == 1:
            del changed[place : place + chance.randint(1, 60)]
        elif kind == 2:
            changed[place:place] = changed[max(0, place - 60) : place]
        else:
            changed[place : place + 1] = bytes([chance.randrange(256)])
    return bytes(changed)


@settings(max_examples=400, deadline=None, database=None)
@given(st.one_of(versions().map(version_commit), events().map(event_commit)), st.integers(), st.booleans())
def test_a_changed_commit_is_read_or_refused_in_one_line(commit: Object, seed: int, wild: bool) -> None:
    data = random.Random(seed).randbytes(200) if wild else mutated(commit.data, seed)
    for read in (parse_version, parse_event, parse_commit):
        found = value_or_refusal(read, object_of(data))
        if isinstance(found, (Version, Event)):
            assert render.moment(found.author)
            assert render.when(found.author)
        if isinstance(found, Event):
            assert render.event_row(found)


ONE_LOOK = {trailers.of_version: trailers.VERSION, trailers.of_event: trailers.EVENT}


@settings(max_examples=400, deadline=None, database=None)
@given(st.one_of(versions().map(version_commit), events().map(event_commit)), st.integers())
def test_what_is_read_at_one_look_is_what_is_read_line_by_line(commit: Object, seed: int) -> None:
    for _ in range(codec._SEVERAL):  # before that many none is read so
        codec._written(commit, trailers.of_event)
    for data in (commit.data, mutated(commit.data, seed)):
        for last_paragraph, forms in ONE_LOOK.items():
            found = codec._written(object_of(data), last_paragraph)
            assert found is None or found == value_or_refusal(codec._read, object_of(data), forms, "commit of ours")


@EXAMPLES
@given(versions(), events())
def test_what_we_write_is_read_at_one_look(version: Version, event: Event) -> None:
    for _ in range(codec._SEVERAL):
        codec._written(object_of(b""), trailers.of_event)
    assert codec._written(version_commit(version), trailers.of_version)
    assert codec._written(event_commit(event), trailers.of_event)
    assert not codec._written(version_commit(version), trailers.of_event)
    assert not codec._written(event_commit(event), trailers.of_version)


def value_or_refusal(read: Callable[..., Any], *arguments: Any) -> Any:
    """What was read, or None where it was refused in a line that can be shown."""
    try:
        return read(*arguments)
    except DeploymentsError as error:
        message = str(error)
    assert message.isprintable()
    return None


@settings(max_examples=300, deadline=None, database=None)
@given(st.one_of(HOSTILE, st.text("²٣0123456789+- <>abc", max_size=30)))
def test_every_identity_can_be_shown(line: str) -> None:
    for whole in (line, f"Ada <a@b> {line}", f"Ada <a@b> 1700000000 {line}", f"Ada <a@b> 1700000000 +{line}"):
        identity = parse_identity(whole)
        assert render.moment(identity)
        assert render.when(identity)


@pytest.mark.parametrize("offset", ["+²²²²", "+٣٣٣٣", "x0100", "+9999", "-9999", "+24:0", "+0160", "+1_00", "+ 100"])
def test_odd_offsets_can_be_shown(offset: str) -> None:
    identity = parse_identity(f"Ada <a@b> 1700000000 {offset}")
    assert render.moment(identity).startswith("2023-11-1")


@pytest.mark.parametrize("seconds", ["-1", "99999999999", "999999999999", "1e9", "²", "1_0", ""])
def test_odd_seconds_can_be_shown(seconds: str) -> None:
    assert render.moment(parse_identity(f"Ada <a@b> {seconds} -1200"))


@settings(max_examples=300, deadline=None, database=None)
@given(st.binary(max_size=120), st.integers())
def test_a_tree_is_read_or_refused_in_one_line(data: bytes, seed: int) -> None:
    good = tree_bytes(
        [TreeEntry("100644", codec.SNAPSHOT, "1" * WIDTH), TreeEntry("160000", codec.GITLINK, "2" * WIDTH)]
    )
    for raw in (data, mutated(good, seed)):
        entries = value_or_refusal(parse_tree, object_of(raw, "tree"))
        assert entries is None or all(len(entry.oid) == WIDTH for entry in entries)


@settings(max_examples=300, deadline=None, database=None)
@given(st.one_of(st.binary(max_size=80), HOSTILE.map(lambda text: text.encode("utf-8", "replace"))), st.integers())
def test_a_document_is_read_or_refused_in_one_line(data: bytes, seed: int) -> None:
    for raw in (data, mutated(snapshot({"parameters": {"x": [1.5, "ü"]}}), seed)):
        document = value_or_refusal(parse_document, object_of(raw, "blob"), PROPERTIES)
        assert document is None or json_bytes(document)


@pytest.mark.parametrize(
    "text",
    ["1e999", "-1e999", r'"\ud800"', "9" * 5000, "[" * 200 + "]" * 200, "NaN", '{"a": 1, "a": 2}', '"\\u0000"', "-0"],
)
def test_what_has_no_canonical_form_is_refused_when_it_is_read(text: str) -> None:
    raw = settings_document({}).replace(b'"schedules": []', f'"schedules": [{text}]'.encode())
    document = value_or_refusal(parse_document, object_of(raw, "blob"), SETTINGS)
    if document is not None:
        assert parse_document(object_of(json_bytes(document), "blob"), SETTINGS) == document


@pytest.mark.parametrize("kind", ["blob", "tree", "tag", "commit"])
def test_an_object_of_another_kind_is_refused(kind: str) -> None:
    for read, wanted in ((parse_commit, "commit"), (parse_tree, "tree")):
        if kind != wanted:
            with pytest.raises(codec.Malformed, match=f"a {kind} stands where a {wanted} belongs"):
                read(object_of(b"", kind))
    if kind != "blob":
        with pytest.raises(codec.Malformed, match=f"a {kind} stands where a JSON document belongs"):
            parse_document(object_of(b"{}", kind), SETTINGS)


@pytest.mark.parametrize("key", ["Live-Commit", "Latest-Commit", "Source-Commit"])
@pytest.mark.parametrize("value", ["--all", "HEAD", "1234567", "g" * 40, "A" * 40, "0x" + "1" * 38, "\x1b[31m"])
def test_what_stands_for_an_id_is_one(key: str, value: str) -> None:
    event = samples(events(), 1)[0]._replace(live_commit="1" * 40, latest_commit="1" * 40, source="1" * 40)
    data = event_commit(event).data.replace(f"{key}: {'1' * 40}".encode(), f"{key}: {value}".encode())
    with pytest.raises(codec.Malformed) as refused:
        parse_event(object_of(data))
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("header", ["tree", "parent"])
@pytest.mark.parametrize("value", ["HEAD", "refs/heads/main", "1234567", "", "1" * 39 + " ", "\x1b[31m" + "1" * 35])
def test_a_header_names_an_object_and_nothing_that_git_would_look_up(header: str, value: str) -> None:
    data = version_commit(samples(versions(), 1)[0]._replace(parent="1" * 40)).data
    (line,) = (line for line in data.split(b"\n") if line.startswith(header.encode() + b" "))
    with pytest.raises(codec.Malformed) as refused:
        parse_version(object_of(data.replace(line, f"{header} {value}".encode(), 1)))
    assert str(refused.value).isprintable()


def test_a_signed_commit_and_its_other_headers_are_read(repository: Repository) -> None:
    version = version_commit(samples(versions(), 1)[0]._replace(parent="1" * 40))
    signature = (
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n tree 0\n parent 0\n author nobody\n -----END PGP SIGNATURE-----"
    )
    head, _, message = version.data.partition(b"\n\n")
    signed = parse_version(object_of(head + b"\n" + signature.encode() + b"\nmergetag x\n parent 1\n\n" + message))
    assert signed._replace(commit="") == parse_version(version)._replace(commit="")
    assert repository.path


@pytest.mark.parametrize(
    "edit",
    [
        ("Number: 3", "Number: 03"),
        ("Number: 3", "Number: 0"),
        ("Number: 3", f"Number: {'9' * 12}"),
        ("Number: 3", "Number: 3 "),
        ("Number: 3", "Number:3"),
        ("Number: 3", "Number: 3\nnot a trailer"),
        ("Number: 3", "Number: 2\nNumber: 3"),
        ("\n\nDeployment", "\n\n\nDeployment"),
        ("Format: 1", "Format: 1\n\n\n"),
        ("Format: 1", "Format: 1\n\nmore"),
        ("Format: 1", "Format: 2"),
        ("Source-Commit: ", "Source-Commit: x"),
    ],
)
def test_the_fast_door_reads_what_the_codec_reads(versions: Project, edit: tuple[str, str]) -> None:
    raw = versions.git("cat-file", "commit", "refs/deployments/etl/prod/live") + "\n"
    assert edit[0] in raw
    oid = _write(versions, object_of(raw.replace(*edit).encode()))
    versions.git("update-ref", "refs/deployments/etl/prod/live", oid)
    for options in ([], ["--source"]):
        words = ["live", "etl/prod", *options]
        fast = subprocess.run([SCRIPT, *words], cwd=versions.path, capture_output=True, text=True)
        slow = versions.run(*words)
        assert (fast.returncode, fast.stdout) == (slow.code, slow.out), slow


# Documents

JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8"), max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text('aäZ\x00\x7f\U0001f680 "\\', max_size=3), inner)
    ),
    max_leaves=12,
)


def written(value: Json, indent: str = "") -> str:
    """docs/format.md, "JSON", written a second time."""
    inner = indent + "  "
    if isinstance(value, dict) and value:
        items = (f"{inner}{text(key)}: {written(value[key], inner)}" for key in sorted(value))
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inner + written(item, inner) for item in value) + f"\n{indent}]"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (bool, type(None))):
        return {True: "true", False: "false", None: "null"}[value]
    return repr(value)


def text(value: str) -> str:
    short = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r", '"': r"\"", "\\": r"\\"}
    return '"' + "".join(short.get(c, f"\\u{ord(c):04x}" if c < " " else c) for c in value) + '"'


@EXAMPLES
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5))
def test_json_has_one_form(document: dict[str, Json]) -> None:
    data = json_bytes(document)
    assert data.decode() == written(document) + "\n"
    assert data.decode() == json.dumps(document, ensure_ascii=False, sort_keys=True, indent=2) + "\n"
    assert json.loads(data) == document
    shuffled = dict(sorted(document.items(), reverse=True))
    assert json_bytes(shuffled) == data


@EXAMPLES
@given(st.dictionaries(st.text(max_size=4), JSON, min_size=1, max_size=5), st.data())
def test_only_the_one_form_is_taken_for_it(document: dict[str, Json], data: st.DataObject) -> None:
    """A character put in or taken out, wherever the text stays JSON for the same values."""
    raw = json_bytes(document)
    assert canonical_document(Object("", "blob", raw), document) == document
    place = data.draw(st.integers(0, len(raw)))
    put_in = data.draw(st.sampled_from(SNIPPETS))
    for changed in (raw[:place] + put_in + raw[place:], raw[:place] + raw[place + 1 :], raw[1:], raw + b"\n"):
        there = _read(changed)
        keys = there if isinstance(there, dict) else document
        expected = there if there and _is_the_form(there, changed) else None
        assert canonical_document(Object("", "blob", changed), keys) == expected


SNIPPETS = [
    *(b'{}[]",: -.\\0\n'[at : at + 1] for at in range(13)),
    b"\n  ",
    b'": "',
    b',\n    "',
    b",\n    ",
    b"\xc3",
    b"null",
]


def _is_the_form(value: Json, data: bytes) -> bool:
    try:
        return isinstance(value, dict) and json_bytes(value) == data
    except DeploymentsError:
        return False


def _read(data: bytes) -> Json:
    try:
        value: Json = json.loads(data.decode())
    except ValueError:
        return None
    return value


@pytest.mark.parametrize(
    "data",
    [
        b'{\n  "a": 1,\n  "a": 1\n}\n',
        b'{\n  "a": NaN\n}\n',
        b'{\n  "a": 1e999\n}\n',
        b'{\n  "a": "\\ud800"\n}\n',
        b'{\n  "a": "\\/"\n}\n',
        b'{\n  "a": "\x7f\\u0041"\n}\n',
        b'{\n  "\\u0061": 1\n}\n',
        b'{\n  "a": {\n    "b": "\\u0041"\n  }\n}\n',
        b'{\n  "a": 01\n}\n',
        b'{\n  "a": [\n    00\n  ]\n}\n',
        b'{\n  "a": "\n}\n',
        b'{\n  "a": "b\tc"\n}\n',
        b'{\n  "a": "b\nc"\n}\n',
        b'{\n  "a": [\n    "b",\n     "c"\n  ]\n}\n',
        b'{\n  "a": {\n    "c": 1,\n    "b": 1\n  }\n}\n',
        b"[]\n",
    ],
)
def test_what_reads_as_json_but_is_never_written_is_not_the_one_form(data: bytes) -> None:
    assert canonical_document(Object("", "blob", data), {"a": None}) is None


@pytest.mark.parametrize("levels", [DEEPEST - 2, DEEPEST - 1, DEEPEST, DEEPEST + 1])
def test_the_quick_reader_takes_nothing_deeper_than_the_slow_one(levels: int) -> None:
    value: Json = "x"
    for _ in range(levels):
        value = [value]
    one = Object("", "blob", json_bytes({"a": value}))
    quick = canonical_document(one, {"a": None})
    try:
        assert quick in (None, parse_document(one, {"a": None}))
    except codec.Malformed:
        assert quick is None


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", {"\udfff": 1}, b"x", object(), {1, 2}])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(DeploymentsError) as refused:
        json_bytes({"key": value})
    assert str(refused.value).isprintable()


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Json] = []
    endless.append(endless)
    with pytest.raises(DeploymentsError):
        json_bytes({"key": endless})


def test_documents_have_every_key() -> None:
    assert json.loads(snapshot({"description": "x", "unknown": 1})) == {**PROPERTIES, "description": "x"}
    assert json.loads(settings_document({})) == dict(SETTINGS)


@pytest.mark.parametrize("name", ["etl/prod", "my flow/nightly.lock", "größe/日本語", "a\nb/--- c", "x: y/z"])
def test_the_subject_of_a_version_is_one_line(name: str) -> None:
    version = samples(versions(), 1)[0]._replace(name=name, number=7, label="1.0")
    subject = parse_commit(version_commit(version)).message.partition("\n")[0]
    assert subject == f"{encode(name)} v7: 1.0"
