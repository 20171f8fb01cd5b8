"""Items of a call and what it gave for them: questions, options, and which one is named."""

from __future__ import annotations

import pytest

from localassist.engine.paired import Paired, option_named

CHOICE = {"text": "Which one is it?", "kind": "CHOICE", "options": ["this", "that one"]}
OPEN = "What is it called?"


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("c", "c"),
        ("this", "this"),
        (2, "2"),
        (None, "null"),
        ("A", "(a) this"),
        ("(b)", "(b) that one"),
    ],
)
def test_a_response_is_shown_as_it_came_unless_it_is_an_options_letter(output, shown):
    assert Paired(CHOICE, output).response == shown


@pytest.mark.parametrize(
    ("item", "question"),
    [
        (CHOICE, "Which one is it?"),
        (OPEN, "What is it called?"),
        ({"kind": "CHOICE", "options": ["a", "b"]}, "[CHOICE] (a) a (b) b"),
        ({"text": "7*6=?", "hint": "Multiply the two."}, "7*6=?"),
        ({"text": "Name it.", "hint": "It is a long river."}, "It is a long river."),
    ],
)
def test_a_question_is_an_item_without_its_options_and_terms(item, question):
    assert Paired(item, "a").question == question


def test_an_option_that_is_a_letter_is_a_text_first():
    item = {"text": "Which letter is it?", "options": ["b", "a", "c"]}
    assert Paired(item, "b").response == "b"


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        ("dog", 0), ("A dog.", 0), ("b", 1), ("B)", 1), ("(c) a cat and a dog", 2), ("b: cat", 1),
        ("It is a cat", 1), ("cat or dog", None), ("d", None), ("a bird", None),
        ("category", None), ("", None), ("both", 2), ("It is not a cat", None),
    ],
)  # fmt: skip
def test_an_option_is_named_by_its_text_or_its_letter(answer, index):
    assert option_named(answer, ["dog", "cat", "both"]) == index


@pytest.mark.parametrize(
    ("answer", "options", "index"),
    [
        ("A. Einstein", ["Isaac Newton", "Albert Einstein"], None),
        ("2.5", ["2", "3"], None),
        ("-5", ["5", "10"], None),
        ("1/2", ["1", "3"], None),
        ("It is 2.", ["2", "3"], 0),
        ("?", ["!", "?", "."], 1),
        ("b", ["x", ""], 1),
    ],
)
def test_parts_of_names_and_numbers_are_no_options(answer, options, index):
    assert option_named(answer, options) == index
