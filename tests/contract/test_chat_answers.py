"""Chat completions: what their seed, their limit and their stop texts do to calls and to JSON."""

from __future__ import annotations

import itertools
import json

import pytest
from shapes import ADA, PERSON, WEATHER

from localassist import Client, ModelError, ScriptedBackend

LETTERS = [*b"abcdefghijklmnopqrstuvwxyz"]
CITY = "abcdefghijklmnop"
UNIQUE = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "maxItems": 4}
HOLDER = {"type": "object", "properties": {"n": UNIQUE}, "required": ["n"]}
WRONG, RIGHT = '{"n": [1, 1]}', '{"n": [1, 2]}'


class Undecided(ScriptedBackend):
    """Finds every small letter as likely as the one that it would say."""

    def decode(self, chunks, *, num_rows=0):
        rows = super().decode(chunks, num_rows=num_rows)
        for row in itertools.chain(*rows):
            if row.argmax() in LETTERS:
                row[LETTERS] = row.max()
        return rows


def calls_of(*cities):
    calls = [{"name": "weather", "arguments": {"city": city}} for city in cities]
    return "```json\n" + json.dumps(calls)


def by_schema(schema):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def completed(client, **params):
    return client.chat.completions.create(
        model="gpt-4", messages=[{"role": "user", "content": "go"}], **params
    )


def streamed(client, **params):
    """The text, the calls and the last reason of a streamed answer."""
    choices = [chunk.choices[0] for chunk in completed(client, stream=True, **params)]
    text = "".join(each.delta.content or "" for each in choices)
    return text, [each.delta.tool_calls for each in choices], choices[-1].finish_reason


def test_a_seed_holds_inside_calls(home):
    def arguments(seed):
        answer = completed(client, tools=[WEATHER], temperature=1, seed=seed)
        (call,) = answer.choices[0].message.tool_calls
        return call.function.arguments

    with Client(home, backend=Undecided(lambda _: calls_of(CITY))) as client:
        drawn = {seed: arguments(seed) for seed in (1, 2, 3)}
        assert {seed: arguments(seed) for seed in drawn} == drawn
    assert len(set(drawn.values())) == len(drawn)
    assert all(len(json.loads(each)["city"]) == len(CITY) for each in drawn.values())


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_limit_that_is_met_inside_a_call_ends_the_answer(home, name, choice):
    params = {"tools": [WEATHER], "tool_choice": choice, name: 20}
    with Client(home, backend=ScriptedBackend(lambda _: calls_of("Oslo"))) as client:
        answer = completed(client, **params)
        (found,) = answer.choices
        assert (found.finish_reason, found.message.tool_calls) == ("length", None)
        assert not found.message.content
        assert answer.usage.completion_tokens == 20
        text, calls, reason = streamed(client, **params)
        assert (text, any(calls), reason) == ("", False, "length")


def test_calls_before_the_one_in_which_the_limit_is_met_are_made(home):
    with Client(home, backend=ScriptedBackend(lambda _: calls_of("Oslo", "x y" * 40))) as client:
        answer = completed(client, tools=[WEATHER], max_tokens=100)
        (call,) = answer.choices[0].message.tool_calls
        assert json.loads(call.function.arguments) == {"city": "Oslo"}
        assert answer.usage.completion_tokens == 100


def test_a_limit_that_is_met_inside_a_second_try_of_a_call_ends_the_answer(home):
    def reply(text):
        numbers = [*range(9)] if "That is not valid" in text else [1, 1]
        return "```json\n" + json.dumps([{"name": "pick", "arguments": {"n": numbers}}])

    parameters = {**HOLDER, "properties": {"n": {**UNIQUE, "maxItems": 9}}}
    pick = {"type": "function", "function": {"name": "pick", "parameters": parameters}}
    with Client(home, backend=ScriptedBackend(reply)) as client:
        answer = completed(client, tools=[pick], max_tokens=80)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 80


def repairing(text):
    return RIGHT if "does not fit" in text else WRONG


def test_what_cannot_be_enforced_has_a_second_try(home):
    with Client(home, backend=ScriptedBackend(repairing)) as client:
        answer = completed(client, response_format=by_schema(HOLDER))
    (found,) = answer.choices
    assert (found.message.content, found.finish_reason) == (RIGHT, "stop")
    assert answer.usage.completion_tokens == len(WRONG) + len(RIGHT)


def test_what_cannot_be_enforced_is_streamed_once_it_is_known_to_fit(home):
    with Client(home, backend=ScriptedBackend(repairing)) as client:
        text, _, reason = streamed(client, response_format=by_schema(HOLDER))
    assert (text, reason) == (RIGHT, "stop")


def test_nothing_of_an_answer_that_stays_wrong_is_streamed(home):
    with (
        Client(home, backend=ScriptedBackend(lambda _: WRONG)) as client,
        pytest.raises(ModelError, match="does not fit") as caught,
    ):
        completed(client, response_format=by_schema(HOLDER), stream=True)
    assert caught.value.code == "answer_invalid"


def test_a_limit_holds_for_both_tries_together(home):
    limit = len(WRONG) + 6
    with Client(home, backend=ScriptedBackend(repairing)) as client:
        answer = completed(client, response_format=by_schema(HOLDER), max_tokens=limit)
    (found,) = answer.choices
    assert (found.message.content, found.finish_reason) == (RIGHT[:6], "length")
    assert answer.usage.completion_tokens == limit


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "json_object"},
        by_schema(PERSON),
        by_schema({**PERSON, "not": {"required": ["x"]}}),
    ],
    ids=["object", "schema", "unenforceable"],
)
def test_a_stop_text_may_cut_json_off(home, wanted):
    cut = '{"name": "Ada", '
    params = {"response_format": wanted, "stop": ['"age"', "zzz"]}
    with Client(home, backend=ScriptedBackend(lambda _: ADA)) as client:
        (found,) = completed(client, **params).choices
        assert (found.message.content, found.finish_reason) == (cut, "stop")
        text, _, reason = streamed(client, **params)
        assert (text, reason) == (cut, "stop")


def test_a_stop_text_does_not_excuse_json_that_is_whole_and_wrong(home):
    with (
        Client(home, backend=ScriptedBackend(lambda _: WRONG)) as client,
        pytest.raises(ModelError, match="does not fit"),
    ):
        completed(client, response_format=by_schema(HOLDER), stop="zzz")
