from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.engine.chat_template import ChatMessage
from localassist.engine.constraint import Grammar
from localassist.engine.repetition import RepetitionWatch
from localassist.engine.request import FinishReason, GenerationRequest
from localassist.engine.scripted import ScriptedBackend
from localassist.engine.thread_engine import ThreadEngine

ONE = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
ENDLESS = 1200  # bytes, each a token


def events_of(reply, schema=ONE, *, ends_repetition=True):
    """What comes from the engine when its model wants to say `reply`."""
    engine = ThreadEngine(ScriptedBackend(lambda _: reply), name="scripted")
    grammar = Grammar("json_schema", json.dumps(schema), ends_repetition=ends_repetition)
    try:
        request = GenerationRequest(
            engine.encode_chat([ChatMessage("user", "?")]),
            max_tokens=ENDLESS,
            constraint=engine.constrain(grammar),
        )
        return list(engine.submit(request))
    finally:
        engine.close()


def answer(reply, schema=ONE, **options):
    """What the engine says, and why it stops."""
    events = events_of(reply, schema, **options)
    return "".join(event.text for event in events), events[-1].finish_reason


def ended(begin, again):
    """The argument of an answer that would repeat `again` for ever."""
    text, reason = answer(begin + again * ENDLESS)
    assert reason is FinishReason.STOP
    assert len(text) < 900
    return json.loads(text)["a"]


@pytest.mark.parametrize(
    "item", ["0", '"ha"', "[0, 0, 0]", '{"x": [1], "y": ",]"}', '"\\""', '"a,b"', '"\\"["', "{}"]
)
def test_a_list_that_never_ends_is_closed_behind_an_item(item):
    found = ended('{"a": ["\\"", ', f"{item}, ")
    assert set(map(json.dumps, found[1:])) == {json.dumps(json.loads(item))}
    assert 512 <= len(f"{item}, ") * len(found) < 700


# The grammar writes no character as a number.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4)


@settings(max_examples=30)
@given(
    st.recursive(
        TEXT | st.integers() | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=2),
        max_leaves=4,
    ).filter(lambda item: len(json.dumps(item, ensure_ascii=False).encode()) < 60)
)
def test_any_item_that_is_repeated_stays_whole(item):
    found = ended('{"a": [', f"{json.dumps(item, ensure_ascii=False)}, ")
    assert found == [item] * len(found)


@pytest.mark.parametrize("again", ["ha ", "é", "\\n", "], ", '\\", [', "a, "])
def test_a_text_that_never_ends_is_closed(again):
    begin = '{"a": "Well, '
    found = ended(begin, again)
    assert found.startswith("Well, ")
    assert len(found) > 250
    assert (json.loads(f'"{again}"') * ENDLESS).startswith(found.removeprefix("Well, "))


def test_an_inner_list_is_closed_and_the_outer_one_goes_on():
    text, reason = answer('{"a": [[1, ' + "0, " * ENDLESS)
    assert reason is FinishReason.STOP
    inner, *_rest = json.loads(text)["a"]
    assert inner[:170] == [1, *[0] * 169]


def test_what_is_written_counts_and_not_what_was_wanted():
    """Of each `0.0` in a list of whole numbers something is refused."""
    numbers = {"type": "array", "items": {"type": "integer"}}
    schema = {**ONE, "properties": {"a": numbers}}
    text, reason = answer('{"a": [' + "0.0, " * ENDLESS, schema)
    assert reason is FinishReason.STOP
    assert set(json.loads(text)["a"]) == {0}


@pytest.mark.parametrize(
    ("begin", "found"),
    [
        ('{"a": 0.', pytest.approx(1 / 3)),
        ('{"a": [1, 0.', [1, pytest.approx(1 / 3)]),
        ('{"a": {"x": 0.', {"x": pytest.approx(1 / 3)}),
    ],
)
def test_a_number_that_never_ends_is_ended(begin, found):
    assert ended(begin, "3") == found


@pytest.mark.parametrize("begin", ['{"a": 1', '{"a": 0.5e1', '{"a": [1, 2'])
def test_a_whole_number_or_exponent_is_not_cut_off(begin):
    """It would be another one: what the model wanted to say cannot be told."""
    reply = begin + "0" * ENDLESS
    assert answer(reply) == (reply[:ENDLESS], FinishReason.LENGTH)


def test_behind_such_a_number_a_property_may_follow():
    schema = {**ONE, "properties": {"a": {"type": "number"}, "b": {"type": "boolean"}}}
    text, _reason = answer('{"a": 0.' + "142857" * ENDLESS, {**schema, "required": ["a", "b"]})
    assert json.loads(text)["a"] == pytest.approx(1 / 7)
    assert "b" in json.loads(text)


def test_an_object_that_never_ends_is_closed():
    found = ended('{"a": {"x": 0, ', '"y": 0, ')
    assert found == {"x": 0, "y": 0}


def test_what_is_deeper_each_time_is_not_closed():
    reply = '{"a": ' + "[0, " * ENDLESS
    assert answer(reply) == (reply[:ENDLESS], FinishReason.LENGTH)


def test_behind_it_the_answer_goes_on():
    schema = {**ONE, "properties": {"a": {}, "b": {"type": "integer"}}, "required": ["a", "b"]}
    text, _reason = answer('{"a": [' + "0, " * ENDLESS, schema)
    assert sorted(json.loads(text)) == ["a", "b"]


def test_a_list_that_must_be_longer_is_not_closed_before():
    schema = {**ONE, "properties": {"a": {"type": "array", "minItems": 250, "maxItems": 400}}}
    text, _reason = answer('{"a": [' + "0, " * ENDLESS, schema)
    assert json.loads(text)["a"] == [0] * 250


@pytest.mark.parametrize(
    "value",
    [[0] * 165, "ha " * 165, [*range(250)], [[row, *[0] * 20] for row in range(14)]],
    ids=["zeros", "text", "numbers", "rows"],
)
def test_what_ends_by_itself_is_left_alone(value):
    reply = json.dumps({"a": value})
    assert answer(reply) == (reply, FinishReason.STOP)


def test_where_nobody_asks_for_it_nothing_is_closed():
    text, reason = answer('{"a": [' + "0, " * ENDLESS, ends_repetition=False)
    assert reason is FinishReason.LENGTH
    assert text == ('{"a": [' + "0, " * ENDLESS)[:ENDLESS]


@pytest.mark.parametrize(("count", "times"), [(100, 0), (ENDLESS, 1)])
def test_it_is_told_when_something_was_ended(count, times):
    events = events_of('{"a": [' + "0, " * count + "0]}")
    assert sum(event.ended_repetition for event in events) == times


def test_a_token_may_hold_the_end_of_an_item_and_what_follows():
    pieces = {1: b'["', 2: b"ha", 3: b'",', 4: b' "'}
    watch = RepetitionWatch(pieces.__getitem__)
    tokens = [1, *[2, 3, 4] * 200, 2]
    found = {}
    for size in range(513, len(tokens)):
        if endings := watch.endings(tokens[:size], 0, tokens[size]):
            found[tokens[size]] = endings[0]
    assert found == {3: b'"]'}
