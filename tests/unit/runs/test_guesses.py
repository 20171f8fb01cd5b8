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

    def __init__(self):
        self.engine = self
        self.asked = []

    def encode_frame(self, text):
        return list(text.replace("<|end|>", "\0").encode())

    def encode_text(self, text):
        return list(text.encode())

    def first_logprob(self, prompt, token):
        self.asked.append(bytes([*prompt[len(PROMPT) :], token]).decode())
        return -1.0


def left(request, arguments, *, required=("text",), schema=None):
    model = Model()
    properties = {name: {} for name in arguments}
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    function = {"name": "remind", "parameters": {**parameters, **(schema or {})}}
    guesses = Guesses(model, FENCE, [function], Named(request))
    [call] = guesses.left_out_of([Call("remind", json.dumps(arguments))], PROMPT)
    return json.loads(call.arguments), model


def test_what_nobody_named_and_the_model_is_not_sure_of_is_left_out():
    kept, model = left(
        "Remind me of the dentist.", {"text": "dentist", "repeat": "daily", "priority": 5}
    )
    assert kept == {"text": "dentist"}
    begun = FENCE.opener + '{"name": "remind", "arguments": {"text": "dentist"'
    assert model.asked == [begun + "}"] * 2  # the second one without the first


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


def test_what_is_required_is_kept():
    arguments = {"text": "dentist", "repeat": "daily"}
    assert left("My dentist", arguments, required=["text", "repeat"])[0] == arguments


def test_what_the_schema_wants_beside_another_argument_is_kept():
    arguments = {"text": "dentist", "repeat": "daily"}
    schema = {"dependentRequired": {"text": ["repeat"]}}
    assert left("My dentist", arguments, schema=schema)[0] == arguments


def test_what_the_model_was_sure_of_is_kept(monkeypatch):
    monkeypatch.setattr(Model, "first_logprob", lambda *_: -3.0)
    arguments = {"text": "table", "guests": 2}
    assert left("A table for me and my wife", arguments)[0] == arguments


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
