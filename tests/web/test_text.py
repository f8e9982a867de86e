"""Texts made fit for a page: nothing is lost but what is said to be, nothing is changed but what is escaped."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from git_deployments.model import Json
from git_deployments.web import text

WORDS = st.lists(st.sampled_from(["a", "bb", "orders", " ", "  ", "\n", ".", "ü", "7"]), max_size=40).map("".join)


def unchanged(pieces: list[text.Piece]) -> str:
    return text.joined(piece for piece in pieces if not piece.changed)


@given(WORDS, WORDS)
def test_both_sides_of_a_change_are_whole_and_share_what_is_not_marked(before: str, after: str) -> None:
    left, right = text.words_changed(before, after)
    assert text.joined(left) == before
    assert text.joined(right) == after
    assert unchanged(left) == unchanged(right)


@given(WORDS)
def test_nothing_is_marked_where_nothing_changed(words: str) -> None:
    left, right = text.words_changed(words, words)
    assert not any(piece.changed for piece in left + right)


def test_a_word_is_marked_whole() -> None:
    left, right = text.words_changed("loads the orders here", "loads the order here")
    assert [piece.text for piece in left if piece.changed] == ["orders"]
    assert [piece.text for piece in right if piece.changed] == ["order"]


def test_what_is_far_from_a_change_is_left_out() -> None:
    left, right = text.words_changed("x " * 10_000 + "old" + " y" * 10_000, "x " * 10_000 + "new" + " y" * 10_000)
    assert len(text.joined(left)) < 400
    assert text.joined(left).startswith("…")
    assert [piece.text for piece in right if piece.changed] == ["new"]


def test_two_huge_words_that_differ_at_the_end_are_compared_at_once() -> None:
    left, right = text.words_changed("x" * (1 << 22) + "1", "x" * (1 << 22) + "2")
    assert [piece.text[-1] for piece in left if piece.changed] == ["1"]
    assert [piece.text[-1] for piece in right if piece.changed] == ["2"]
    assert len(text.joined(left)) < 1000


def test_texts_that_have_nothing_in_common_are_cut_and_say_by_how_much() -> None:
    left, _ = text.words_changed("a" * 10_000, "b" * 10_000)
    assert text.joined(left) == "a" * text.VALUE + "… and 8,000 characters more"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


@settings(max_examples=150)
@given(JSON)
def test_a_document_is_bounded_and_has_no_control_characters(value: Json) -> None:
    found = text.document(value)
    assert 1 <= len(found.lines) <= text.LINES
    for line in found.lines:
        shown = line.key + line.value
        assert "\n" not in shown
        assert all(character.isprintable() or character == "\t" for character in shown)


def test_a_document_reads_like_what_it_is() -> None:
    value: Json = {"a": [1, {"b": "x", "c": []}], "d": "two\nlines", "e": ""}
    lines = ["  " * line.depth + f"{line.key} {line.value}".strip() for line in text.document(value).lines]
    assert lines == ["a:", "  - 1", "  - b: x", "    c: []", "d:", "  two", "  lines", 'e: ""']


def test_a_long_document_is_cut_and_says_so() -> None:
    many: Json = list(range(10_000))
    assert len(text.document(many).lines) == text.LINES
    assert text.document(many).cut
    long = text.document("x" * 10_000)
    assert long.cut
    assert long.lines[0].cut == 10_000 - text.VALUE
    assert not text.document("x" * 100).cut


def test_one_line_and_paragraph_say_where_they_end() -> None:
    assert text.one_line("first\nsecond") == "first"
    assert text.one_line("x" * 1000, 10) == "x" * 9 + "…"
    assert text.one_line(None) == ""
    assert text.paragraph("a\nb\u202e") == text.Text(("a", "b\\u202e"))
    assert text.paragraph("x" * 3000).cut == 1000
    assert len(text.paragraph("\n" * 3000).lines) == 40


def test_counted() -> None:
    assert [text.counted(number, "property") for number in (0, 1, 2000)] == [
        "0 properties",
        "1 property",
        "2,000 properties",
    ]


def changed(before: str, after: str) -> tuple[list[str], list[str]]:
    left, right = text.words_changed(before, after)
    return [piece.text for piece in left if piece.changed], [piece.text for piece in right if piece.changed]


def test_a_version_number_is_one_word() -> None:
    assert changed("registry.example.com/etl:1.2.0", "registry.example.com/etl:2.0.0") == (["1.2.0"], ["2.0.0"])
    assert changed("v1", "v1.1") == (["v1"], ["v1.1"])
    assert changed("etl-prod here", "etl-test here") == (["etl-prod"], ["etl-test"])


def test_what_is_new_word_by_word_is_new_as_a_whole() -> None:
    assert changed("Even larger batches", "Load returns twice") == (["Even larger batches"], ["Load returns twice"])
    assert changed("one two three", "1 two 3") == (["one", "three"], ["1", "3"])
