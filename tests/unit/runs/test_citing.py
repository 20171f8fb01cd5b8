"""An answer is cited while it grows, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.cite import Citation, Source
from localassist.runs.citing import Citing, CitingText

FIRST = "The harbour was enlarged in 1961."
SECOND = "Its quay is made of granite."


class Believer:
    """Cites every sentence that has the word `is` or `was`, by that sentence."""

    def cite(self, sentence):
        if {"is", "was"} & set(sentence.split()):
            return Citation(0, sentence.strip(), 1.0)
        return None


def pieces(*parts):
    """What comes out, with the neighbouring texts joined: a list of texts and citations."""
    text = CitingText(Believer())
    found = []
    for each in [piece for part in parts for piece in text.feed(part)] + list(text.flush()):
        if each.citation is not None:
            found.append(each.citation)
        elif found and isinstance(found[-1], str):
            found[-1] += each.text
        else:
            found.append(each.text)
    return found


def told(*parts):
    return "".join(each for each in pieces(*parts) if isinstance(each, str))


def cited(quote):
    return Citation(0, quote, 1.0)


def test_a_citation_stands_behind_its_sentence():
    assert pieces(f"{FIRST} {SECOND} Nice.") == [
        FIRST, cited(FIRST), f" {SECOND}", cited(SECOND), " Nice.",
    ]  # fmt: skip


def test_a_line_ends_a_sentence_and_an_abbreviation_does_not():
    assert pieces("It was Dr. Lie\n\n- it is new\nEnd") == [
        "It was Dr. Lie", cited("It was Dr. Lie"), "\n\n- it is new", cited("- it is new"), "\nEnd",
    ]  # fmt: skip


def test_the_last_sentence_needs_no_end():
    assert pieces("It is so") == ["It is so", cited("It is so")]
    assert pieces() == pieces("") == []


@pytest.mark.parametrize(
    "marker",
    [
        "[1]",
        "[12]",
        "[1, 2]",
        "[1,2,3]",
        "\u30101\u2020source\u3011",
        "\u30104:0\u2020source\u3011",
    ],
)
@pytest.mark.parametrize("space", ["", " ", "  "])
def test_markers_of_the_model_are_left_out(marker, space):
    said = f"The harbour was enlarged in 1961{space}{marker}. {SECOND}{space}{marker} Nice."
    assert pieces(said) == pieces(f"{FIRST} {SECOND} Nice.")
    assert pieces(*said) == pieces(f"{FIRST} {SECOND} Nice.")
    assert told(f"{FIRST}{space}{marker}") == FIRST


@pytest.mark.parametrize(
    "text",
    [
        "[a] link",
        "an [open",
        "[]",
        "[1",
        "\u3010open",
        "[2024-01-01]",
        "[1](http://a.b)"[3:],
        "x[i]",
    ],
)
def test_what_is_no_marker_stays(text):
    assert told(text) == told(*text) == text


@pytest.mark.parametrize(
    "code",
    [
        f"```\n{FIRST}\n```",
        f"```python\n# {FIRST}\nx is None\n```",
        f"```\nThis is one.\n\n{SECOND}\n```\n",
        f"```\n{FIRST} {SECOND}",
    ],
)
def test_nothing_within_a_fence_is_cited(code):
    assert pieces(code) == pieces(*code) == [code]
    assert pieces(f"{FIRST}\n{code}\n") != [f"{FIRST}\n{code}\n"]


def test_what_stands_after_a_fence_is_cited_again():
    code = f"```\n{FIRST}\n```"
    assert pieces(f"{code}\n{SECOND}") == [f"{code}\n{SECOND}", cited(SECOND)]
    twice = f"{code}\n\n{code}\n{SECOND}\n"
    assert pieces(twice) == [twice[:-1], cited(SECOND), "\n"]


WORDS = st.sampled_from(
    [
        "This", "is", "was", "1961", "so.", "Dr.", "really?", "[1]", "[2, 3]", "[x]", "[", "]",
        "\u3010", "\u30101\u2020source\u3011", "```", "\U0001f6a2", "e.g.", "```py", "a[1",
    ]
)  # fmt: skip
GAPS = st.sampled_from([" ", "", "\n", "  ", "\n\n"])
ANSWERS = st.lists(st.tuples(WORDS, GAPS), max_size=40).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)


@given(ANSWERS, st.data())
def test_it_does_not_matter_in_which_pieces_an_answer_comes(answer, data):
    places = data.draw(st.lists(st.integers(0, len(answer)), max_size=20).map(sorted))
    parts = [answer[i:j] for i, j in zip([0, *places], [*places, len(answer)], strict=True)]
    assert pieces(*parts) == pieces(answer) == pieces(*answer)


@given(ANSWERS)
def test_only_what_may_become_a_marker_waits(answer):
    # Within code nothing waits at all.
    answer = answer.replace("[", "(").replace("\u3010", "(").replace("```", "")
    text, told = CitingText(Believer()), ""
    for end, char in enumerate(answer, 1):
        told += "".join(piece.text for piece in text.feed(char))
        assert told == answer[:end].rstrip(" \t")


def test_markers_tell_messages_and_results_apart():
    sources = [Source("file-a", "a.pdf", 3, FIRST), Source("file-b", "b.txt", None, SECOND)]
    citing = Citing(sources, Believer(), number=4)
    marker, citation = citing.shown(Citation(0, FIRST, 1.0))
    assert marker == "\u30104:0\u2020source\u3011"
    assert (citation.file_id, citation.quote, citation.page) == ("file-a", FIRST, 3)
    marker, citation = citing.shown(Citation(1, SECOND, 1.0))
    assert marker == "\u30104:1\u2020source\u3011"
    assert citation.model_dump() == {"file_id": "file-b", "quote": SECOND}


def test_brackets_within_code_and_behind_names_stay():
    code = "Use it:\n```python\nx = a[0]\ny = b[1, 2]\n```\n"
    assert told(code) == told(*code) == code
    assert told("The call a[1] gives [1, 2] here.") == "The call a[1] gives [1, 2] here."
