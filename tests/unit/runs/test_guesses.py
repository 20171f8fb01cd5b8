"""Optional arguments that nobody asked for: left out unless the model was sure of them."""

from __future__ import annotations

import json

import pytest

from localassist.engine.tool_dialect import FENCE, Call
from localassist.runs.guesses import Guesses
from localassist.runs.named import Named

PROMPT = list(b"prompt")


class Model:
    """Is sure of nothing; its tokens are bytes."""

    def __init__(self, end=-0.5):
        self.engine = self
        self.end = end
        self.asked = []
        self.framed = []
        self.kept = set()

    def encode_frame(self, text):
        self.framed.append(text)
        return list(text.replace("<|end|>", "\0").encode())

    def encode_text(self, text):
        return list(text.encode())

    def encode_on(self, said, text, *, keep):
        self.kept.add((bytes(said).decode(), text[:keep]))
        return list(text.replace("<|end|>", "\0").encode())

    def first_logprob(self, prompt, token):
        self.asked.append(bytes([*prompt[len(PROMPT) :], token]).decode())
        return self.end


def left(request, arguments, *, required=("text",), schema=None, said=(), **model):
    model = Model(**model)
    properties = {name: {} for name in arguments}
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    function = {"name": "remind", "parameters": {**parameters, **(schema or {})}}
    guesses = Guesses(model, FENCE, [function], Named(request), said)
    [call] = guesses.left_out_of([Call("remind", json.dumps(arguments))], PROMPT)
    return json.loads(call.arguments), model


def test_what_nobody_named_and_the_model_is_not_sure_of_is_left_out():
    kept, model = left(
        "Remind me of the dentist.", {"text": "dentist", "repeat": "daily", "priority": 5}
    )
    assert kept == {"text": "dentist"}
    begun = FENCE.opener + '{"name": "remind", "arguments": {"text": "dentist"'
    assert model.asked == [begun + "}"] * 2  # the second one without the first


def test_the_tokens_in_which_a_call_was_said_are_those_that_are_asked_about():
    said = FENCE.written([Call("remind", '{"text": "dentist", "repeat": "daily"}')])
    arguments = {"text": "dentist", "repeat": "daily"}
    _, model = left("Remind me of the dentist.", arguments, said=said.encode())
    begun = FENCE.opener + '{"name": "remind", "arguments": {"text": "dentist"'
    assert model.kept == {(said, begun)}


@pytest.mark.parametrize(
    "value",
    ["weekly", "mi", 3, ["weekly", "monthly"], True, None, "2026-12-01", {"unit": "day"}, [],
     "a text of some words"],
)  # fmt: skip
def test_what_was_named_or_is_no_choice_is_kept(value):
    arguments = {"text": "run", "repeat": value}
    kept, model = left("Remind me of my weekly run of three miles.", arguments)
    assert kept == arguments
    assert model.asked == []


QUIZ = {
    "questions": [
        {"text": "Who painted the Mona Lisa?", "choices": ["Leonardo"]},
        {"text": "Which of these is a prime?", "choices": ["Nine", "Seven"], "points": 5},
        {"text": "Why is the sky blue?"},
    ]
}


def of_quiz(arguments, request="Ask me something.", *, required=("text",), **model):
    properties = {"text": {}, "choices": {}, "points": {}}
    item = {"type": "object", "properties": properties, "required": list(required)}
    schema = {"properties": {"questions": {"type": "array", "items": item}}}
    return left(request, arguments, required=["questions"], schema=schema, **model)


def test_so_it_is_in_the_items_of_a_list():
    kept, model = of_quiz(QUIZ)
    assert kept == {"questions": [{"text": each["text"]} for each in QUIZ["questions"]]}
    begun = FENCE.opener + '{"name": "remind", "arguments": {"questions": ['
    written = FENCE.begun([Call("remind", json.dumps(QUIZ))])
    assert written.startswith(model.framed[0])
    assert model.framed[0].endswith('"choices": ')
    # Each behind the others as they were written, and without what its own item has lost.
    first = '{"text": "Who painted the Mona Lisa?", "choices": ["Leonardo"]}, '
    second = '{"text": "Which of these is a prime?"'
    assert model.asked == [f"{begun}{first[:37]}}}"] + [f"{begun}{first}{second}}}"] * 2


def test_in_a_list_too_what_is_named_or_required_is_kept():
    request = "Nine, seven or Leonardo, for 5 points?"
    assert of_quiz(QUIZ, request)[0] == QUIZ
    arguments = {"questions": QUIZ["questions"][:1]}
    assert of_quiz(arguments, required=["text", "choices"])[0] == arguments


@pytest.mark.parametrize(("end", "stays"), [(-0.8, False), (-1.0, True)])
def test_in_a_list_what_was_likely_is_kept_so_that_its_items_are_alike(end, stays):
    assert (of_quiz(QUIZ, end=end)[0] == QUIZ) is stays


def test_an_item_does_not_become_empty():
    arguments = {"questions": [{"choices": ["yes", "no"]}, {"points": 3}]}
    assert of_quiz(arguments, required=[])[0] == arguments


def test_a_long_list_stays_alike_and_what_is_beside_it_is_looked_at_all_the_same():
    questions = [{"text": "What is the price of this one?", "points": 5}] * 200
    kept, model = of_quiz({"questions": questions, "difficulty": "easy"})
    assert kept == {"questions": questions}
    assert len(model.asked) == 1


def test_what_is_required_is_kept():
    arguments = {"text": "dentist", "repeat": "daily"}
    assert left("My dentist", arguments, required=["text", "repeat"])[0] == arguments


def test_what_the_schema_wants_beside_another_argument_is_kept():
    arguments = {"text": "dentist", "repeat": "daily"}
    schema = {"dependentRequired": {"text": ["repeat"]}}
    assert left("My dentist", arguments, schema=schema)[0] == arguments


@pytest.mark.parametrize(("end", "stays"), [(-2.0, False), (-3.0, True)])
def test_what_the_model_was_sure_of_is_kept(end, stays):
    arguments = {"text": "table", "guests": 2}
    kept = left("A table for me and my wife", arguments, end=end)[0]
    assert (kept == arguments) is stays


def test_texts_that_read_as_control_tokens_are_not_put_before_the_model():
    arguments = {"text": "<|end|>", "repeat": "daily"}
    kept, model = left("Remind me of this.", arguments)
    assert kept == arguments
    assert model.asked == []


def test_calls_that_differed_in_a_guess_are_one():
    function = {"name": "remind", "parameters": {"type": "object", "properties": {"a": {}}}}
    calls = [Call("remind", json.dumps({"a": value})) for value in ("daily", "never")]
    guesses = Guesses(Model(), FENCE, [function], Named("Remind me."))
    assert guesses.left_out_of(calls, PROMPT) == [Call("remind", "{}")]
