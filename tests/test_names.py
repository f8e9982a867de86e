"""Names and their encoding, held against git's own rules."""

from __future__ import annotations

import subprocess
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_deployments.names import LONGEST, BadName, check, decode, encode, fold, shown
from git_deployments.refs import Ref, live_ref, log_ref, parse_ref, remote_root, source_ref, version_ref

HOSTILE = st.sampled_from(
    [*" ~^:?*[]\\\"|.-@{}%&<>'\n\t\x00\x7f", "..", ".lock", "@{", "é", "e\u0301", "\u202e", "CON", "ß"]
)
HALF = st.lists(
    st.one_of(HOSTILE, st.characters(), st.text("abcXYZ019_", min_size=1, max_size=3)), min_size=1, max_size=8
)
NAME = st.lists(HALF.map("".join), min_size=1, max_size=2).map("/".join)


def valid(name: str) -> bool:
    try:
        check(name)
    except BadName:
        return False
    return True


@given(st.lists(NAME, min_size=30, max_size=60))
@settings(max_examples=10, deadline=None)
def test_git_takes_every_encoded_name_and_it_decodes_to_itself(names: list[str]) -> None:
    for name in filter(valid, names):
        encoded = encode(name)
        assert decode(encoded) == name
        assert len(encoded.encode()) <= LONGEST
        for ref in (live_ref(name), log_ref(name), version_ref(name, 7)):
            assert subprocess.run(["git", "check-ref-format", ref]).returncode == 0, (name, ref)
        assert not any(part.endswith((" ", ".")) or part.startswith(("-", ".")) for part in encoded.split("/"))


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_only_what_encode_writes_is_decoded(text: str) -> None:
    try:
        name = decode(text)
    except BadName:
        return
    assert encode(name) == text


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("etl/prod", "etl/prod"),
        ("solo", "solo"),
        ("my flow/prod", "my%20flow/prod"),
        ("a:b/c?d", "a%3Ab/c%3Fd"),
        ("x..y/z", "x.%2Ey/z"),
        (".x/-y", "%2Ex/%2Dy"),
        ("x./y", "x%2E/y"),
        ("x.lock/y.LOCK", "x%2Elock/y%2ELOCK"),
        ("@/a@{b", "%40/a%40{b"),
        ("con/nul.txt", "%63on/%6Eul.txt"),
        ("é/ü", "é/ü"),
        ("e\N{COMBINING ACUTE ACCENT}/x", "e%CC%81/x"),
        ("a\nb/c", "a%0Ab/c"),
        ("flow/\U0001f600", "flow/%F0%9F%98%80"),
        ("日本/語", "日本/語"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}b/c", "a%E2%80%AEb/c"),
    ],
)
def test_encoding(name: str, encoded: str) -> None:
    assert encode(name) == encoded
    assert decode(encoded) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is empty"),
        ("/x", "empty"),
        ("a//b", "at most one"),
        ("a/b/c", "at most one"),
        ("a%20b/c", "'%' is not allowed"),
        ("a&b", "'&' is not allowed"),
        ("a/b<", "'<' is not allowed"),
        ("a>b/c", "'>' is not allowed"),
        ("etl/live", "reserved"),
        ("LOG/x", "reserved"),
        ("x/Versions", "reserved"),
        ("head/x", "reserved"),
        ("x" * 201, "201 bytes"),
        ("a\udc80/b", "Unicode"),
    ],
)
def test_refused_names_say_why(name: str, reason: str) -> None:
    with pytest.raises(BadName, match=reason):
        encode(name)


@pytest.mark.parametrize("text", ["a%2eb", "%61/b", "a b", "a%/b", "a%zz", "a%C3", "a//b", "a%2Fb"])
def test_what_encode_never_writes_is_refused(text: str) -> None:
    with pytest.raises(BadName):
        decode(text)


def test_names_that_a_file_system_may_not_tell_apart_fold_alike() -> None:
    assert fold("ETL/Prod") == fold("etl/prod")
    assert fold("é/x") == fold(unicodedata.normalize("NFD", "é/x"))
    assert fold("straße/x") == fold("STRASSE/x")
    assert fold("a/b") != fold("a/c")


def test_refs_are_taken_apart_as_they_were_built() -> None:
    name = "my flow/prod"
    assert parse_ref(live_ref(name)) == Ref(name, "live", None)
    assert parse_ref(log_ref(name)) == Ref(name, "log", None)
    assert parse_ref(version_ref(name, 12)) == Ref(name, "versions", 12)
    assert parse_ref(source_ref(name, 3)) == Ref(name, "sources", 3)


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/main",
        "refs/deployments/etl/prod",
        "refs/deployments/etl/prod/versions/01",
        "refs/deployments/etl/prod/versions/x",
        "refs/deployments/etl/prod/other",
        "refs/deployments/a/b/c/live",
        "refs/deployments/a b/live",
        "refs/deployments/live",
    ],
)
def test_other_refs_are_none_of_ours(ref: str) -> None:
    assert parse_ref(ref) is None


def test_a_remote_is_one_component_whatever_its_name() -> None:
    assert remote_root("origin") == "refs/remote-deployments/origin/"
    assert remote_root("team/hub") == "refs/remote-deployments/team%2Fhub/"
    assert remote_root("100%") == "refs/remote-deployments/100%25/"


def test_text_is_shown_without_what_a_terminal_would_obey() -> None:
    assert shown("plain é") == "plain é"
    assert shown("a\x1b[31mb\n\N{RIGHT-TO-LEFT OVERRIDE}") == "a\\x1b[31mb\\x0a\\u202e"
