"""What a model is shown of its calls' results: items beside what they gave, and verdicts."""

from __future__ import annotations

import json

import pytest

from localassist.engine.tool_dialect import Call
from localassist.engine.tool_results import Answered, answered_text

ITEMS = [
    {"text": "Which one is it?", "kind": "CHOICE", "options": ["this", "that one"]},
    "What is it called?",
]


def quiz(output, **arguments):
    arguments = arguments or {"title": "A quiz", "items": ITEMS}
    return Answered(Call("show_quiz", json.dumps(arguments)), json.dumps(output))


def test_each_item_stands_beside_what_it_gave():
    text = answered_text([quiz(["b)", "Tom"])], may_call=False)
    assert (
        "1. Which one is it? [CHOICE] (a) this (b) that one\n   Response: (b) that one\n"
        "2. What is it called?\n   Response: Tom\n"
    ) in text
    assert "verdict" not in text.lower()
    assert text.endswith("do not write JSON.")


def test_a_verdict_stands_behind_its_response():
    told = {"Which one is it?": "Wrong.", "What is it called?": "Right."}
    text = answered_text(
        [quiz(["a", "Tom"])], may_call=False, verdict=lambda pair: told[pair.question]
    )
    assert "Response: (a) this\n   Wrong.\n2. " in text
    assert "Response: Tom\n   Right.\n\n" in text
    assert "tell the verdict" in text
    assert "Where there is no verdict" not in text


def test_half_a_character_is_shown_as_a_question_mark():
    item = {"text": "What is it?", "options": ["\ud800", "b"]}
    answered = quiz(["Tom \udc00", "\ud83d\ude00"], items=[item, "Which face?"])
    text = answered_text([answered], may_call=False)
    assert "What is it? (a) ? (b) b\n   Response: Tom ?\n" in text
    assert "Response: \U0001f600" in text
    assert text.encode()


def test_where_a_verdict_is_missing_the_model_judges():
    text = answered_text([quiz(["a", "Tom"])], may_call=False, verdict=lambda _: None)
    assert "Response: (a) this\n2. " in text
    assert "Where there is no verdict, work out the right answer yourself" in text


@pytest.mark.parametrize(
    "answered",
    [
        quiz(["a"]),  # not as many as there are items
        quiz({"score": 2}),
        Answered(quiz([]).call, f'[{"[" * 40}{"]" * 40}, "b"]'),
        Answered(quiz([]).call, f'[{"[" * 600}{"]" * 600}, "b"]'),
        Answered(quiz([]).call, f'[{"[" * 2_500}{"]" * 2_500}, "b"]'),
        quiz(["a", "b"], items=ITEMS, others=["c", "d"]),
        Answered(Call("show_quiz", json.dumps({"items": ITEMS})), "shown"),
    ],
)
def test_what_does_not_pair_up_is_shown_whole_and_not_judged(answered):
    def verdict(pair):
        raise AssertionError(pair)

    text = answered_text([answered], may_call=False, verdict=verdict)
    assert answered.call.arguments in text
    assert answered.output in text
    assert "using this output" in text


def test_a_model_that_may_go_on_calling_is_asked_for_no_verdicts():
    text = answered_text([quiz(["a", "Tom"])], may_call=True)
    assert "another call" in text
    assert "verdict" not in text


def test_arguments_that_are_no_object_are_shown_whole():
    answered = Answered(Call("show_quiz", "[1]"), "[2]")
    assert "[1]" in answered_text([answered], may_call=False, verdict=lambda _: None)
