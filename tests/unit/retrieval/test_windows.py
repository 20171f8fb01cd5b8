"""Sentences and windows: everything once, nothing too long, and cut where sentences end."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.sentences import ends_sentence, sentences
from localassist.retrieval.windows import Window, chunks, windows

LIMIT = 12
WORDS = st.sampled_from(
    [
        "The",
        "harbour",
        "1961",
        "No.",
        "e.g.",
        "3.5",
        "done.",
        "really?",
        "(so)",
        "הנמל",
        "港。",
        "x" * 90,
    ]
)
GAPS = st.sampled_from([" ", "  ", "\n", "\n\n", "\n- ", "\t"])
PROSE = st.lists(st.tuples(WORDS, GAPS), max_size=80).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)
ANYTHING = st.one_of(PROSE, st.text(max_size=300))


def token_starts(text):
    """Tokens as a word-piece model has them: words, in pieces of at most eight characters."""
    return [match.start() for match in re.finditer(r"\w{1,8}|[^\w\s]", text)]


def cut(text, limit=LIMIT):
    return windows(text, token_starts, max_tokens=limit)


def told(text):
    return [text[span.start : span.stop] for span in sentences(text)]


# --- sentences ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Berg met Mr. Lie. They spoke.", ["Dr. Berg met Mr. Lie.", "They spoke."]),
        ("It rose by 3.5 points, i.e. much. Good.", ["It rose by 3.5 points, i.e. much.", "Good."]),
        ("J. S. Bach wrote. He did.", ["J. S. Bach wrote.", "He did."]),
        ('"It is." She left.', ['"It is."', "She left."]),
        ("A title\n\nA paragraph.", ["A title", "A paragraph."]),
        ("Two:\n- one\n- two", ["Two:", "- one", "- two"]),
        ("港を広げた。岸壁は花崗岩だ。", ["港を広げた。", "岸壁は花崗岩だ。"]),
        ("a line\nthat goes on.", ["a line\nthat goes on."]),
        (" \n\n ", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_say_so(text, expected):
    assert told(text) == expected


@given(ANYTHING)
def test_sentences_cover_the_text_once_and_in_order(text):
    spans = sentences(text)
    at = 0
    for span in spans:
        assert text[at : span.start].strip() == ""
        assert span.start < span.stop
        assert text[span.start : span.stop].strip() == text[span.start : span.stop]
        at = span.stop
    assert text[at:].strip() == ""


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("It is.", True),
        ("It is?", True),
        ('He said "so."', True),
        ("It is **so.**", True),
        ("Mr.", False),
        ("by J.", False),
        ("it is", False),
        ("It is 3.5", False),
        ("", False),
    ],
)
def test_a_growing_text_knows_when_a_sentence_has_ended(text, ended):
    assert ends_sentence(text) == ended


# --- windows ---


@given(ANYTHING, st.integers(2, 40))
def test_windows_are_never_too_long_and_never_overlap(text, limit):
    at = 0
    for window in cut(text, limit):
        assert at <= window.start < window.stop <= len(text)
        assert 0 < window.num_tokens <= limit
        at = window.stop


@given(ANYTHING, st.integers(2, 40))
def test_every_token_is_in_a_window(text, limit):
    found = cut(text, limit)
    inside = [
        start
        for start in token_starts(text)
        if any(window.start <= start < window.stop for window in found)
    ]
    assert inside == token_starts(text)
    assert sum(window.num_tokens for window in found) == len(inside)


@given(st.lists(st.integers(3, LIMIT), min_size=1, max_size=40))
def test_windows_end_where_sentences_do(lengths):
    text = " ".join("Word" + " word" * (length - 2) + "." for length in lengths)
    ends = {span.stop for span in sentences(text)}
    assert {window.stop for window in cut(text)} <= ends


def test_windows_of_a_page_are_about_equal():
    text = " ".join(["One two three four."] * 11)  # 55 tokens
    assert [window.num_tokens for window in cut(text, 20)] == [20, 20, 15]
    assert [window.num_tokens for window in cut(text, 52)] == [30, 25]


def test_a_short_page_is_one_window_and_an_empty_one_none():
    assert cut("  One two. Three. ") == [Window(2, 17, 5)]
    assert cut(" \n\t ") == []


def test_a_sentence_without_an_end_is_cut_between_words():
    text = "word " * 100
    found = cut(text)
    assert all(text[window.start : window.stop].split(" ")[0] == "word" for window in found)
    assert all(text[window.start : window.stop].endswith("word") for window in found)
    lines = "one two three\n" * 20
    assert all(lines[window.stop] == "\n" for window in cut(lines))


# --- chunks ---


def pages_of(*sizes):
    return [[Window(0, 1, size) for size in page] for page in sizes]


def test_chunks_overlap_by_whole_windows_and_cross_pages():
    pages = pages_of([100, 100, 100], [100, 100])
    assert chunks(pages, max_tokens=200, overlap=100) == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert chunks(pages, max_tokens=200, overlap=0) == [(0, 2), (2, 4), (4, 5)]
    assert chunks(pages, max_tokens=1000, overlap=400) == [(0, 5)]
    assert chunks([], max_tokens=100, overlap=0) == []


@given(st.lists(st.integers(1, 200), max_size=30), st.integers(100, 800), st.floats(0, 0.5))
def test_chunks_leave_nothing_out_and_are_within_their_size(sizes, most, share):
    found = chunks(pages_of(sizes), max_tokens=most, overlap=int(most * share))
    reached = 0
    for first, last in found:
        assert first <= reached <= last
        assert sum(sizes[first:last]) <= most or last == first + 1
        assert sum(sizes[first:reached]) <= most * share
        reached = last
    assert reached == len(sizes)
