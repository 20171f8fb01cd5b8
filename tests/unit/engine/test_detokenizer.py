from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.detokenizer import Detokenizer


def feed(detokenizer, data, cuts):
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[a:b] for a, b in pairwise(places)]
    return "".join(detokenizer.push(piece) for piece in pieces) + detokenizer.flush()


@given(st.text(), st.lists(st.integers(0, 200)))
def test_text_is_the_same_however_its_bytes_are_cut(text, cuts):
    assert feed(Detokenizer(), text.encode(), cuts) == text


@given(
    st.text("abc", max_size=40),
    st.text("abc", min_size=1, max_size=4),
    st.lists(st.integers(0, 40)),
)
def test_a_stop_text_ends_the_answer_wherever_it_is_cut(text, stop, cuts):
    expected = text.split(stop)[0]
    assert feed(Detokenizer(stop=[stop]), text.encode(), cuts) == expected


def test_a_character_is_held_back_until_it_is_whole():
    detokenizer = Detokenizer()
    snowman = "☃".encode()
    assert detokenizer.push(snowman[:2]) == ""
    assert detokenizer.push(snowman[2:]) == "☃"


def test_what_may_begin_a_stop_text_is_held_back_and_released():
    detokenizer = Detokenizer(stop=["END"])
    assert detokenizer.push(b"the EN") == "the "
    assert detokenizer.push(b"D") == ""
    assert detokenizer.stopped


def test_broken_bytes_become_replacement_characters():
    detokenizer = Detokenizer()
    assert detokenizer.push(b"a\xff") + detokenizer.flush() == "a\ufffd"
