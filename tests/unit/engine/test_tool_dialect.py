"""Tool dialects: golden transcripts of what models write, and how they are read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.constraint import ByteVocabulary, GrammarCompiler
from localassist.engine.json_schema import problems
from localassist.engine.tool_dialect import (
    FENCE,
    TAGS,
    Call,
    CallReader,
    ProseWatch,
    arguments_schema,
    dialect_of,
)

WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
TIME = {"name": "time"}
OSLO = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'
ROME = '{"name": "get_weather", "arguments": {"city": "Rome"}}'


def pieces(text, size):
    return [text[start : start + size] for start in range(0, len(text), size)]


def read(text, size=3):
    reader = CallReader()
    for piece in pieces(text, size):
        reader.feed(piece)
    return reader


@pytest.mark.parametrize("dialect", [FENCE, TAGS])
@pytest.mark.parametrize("size", [1, 3, 200])
def test_a_call_is_shown_to_the_model_as_it_wrote_it(dialect, size):
    pretty = '{"name": "get_weather", "arguments": {\n  "city":"Oslo" }}'
    calls = read(f"{pretty}{dialect.separator}{ROME}{dialect.closer}", size).calls
    assert calls == [
        Call("get_weather", '{"city": "Oslo"}'),
        Call("get_weather", '{"city": "Rome"}'),
    ]
    assert dialect.begun(calls) == f"{dialect.opener}{pretty}{dialect.separator}{ROME}"


# --- what may be written ---


def admits(grammar, text):
    constraint = GrammarCompiler(ByteVocabulary()).compile(grammar)
    for byte in text.encode():
        if not constraint.allows(byte):
            return False
        constraint.accept(byte)
    return constraint.accepting


@pytest.mark.parametrize("dialect", [FENCE, TAGS])
def test_calls_in_the_dialects_own_form_are_admitted(dialect):
    grammar = dialect.grammar([WEATHER, TIME], most=2)
    time = '{"name": "time", "arguments": {}}'
    for calls in ([OSLO], [OSLO, ROME], [time], [time, OSLO]):
        assert admits(grammar, dialect.separator.join(calls) + dialect.closer)
    assert not admits(grammar, dialect.separator.join([OSLO, ROME, time]) + dialect.closer)
    assert not admits(grammar, OSLO)
    for wrong in (
        OSLO.replace("Oslo", '"'),
        OSLO.replace("city", "town"),
        OSLO.replace('"Oslo"', "1"),
        OSLO.replace("get_weather", "get"),
        OSLO.replace('"Oslo"', '"Oslo", "more": 1'),
    ):
        assert not admits(grammar, wrong + dialect.closer)


@pytest.mark.parametrize("dialect", [FENCE, TAGS])
def test_further_calls_follow_where_no_space_ends_the_text(dialect):
    calls = [Call("time", "{}"), Call("get_weather", json.dumps({"city": "Rome"}))]
    followed = dialect.followed(calls[:1])
    rest = dialect.written(calls).removesuffix(dialect.end).removeprefix(followed)
    assert not followed.endswith(" ")
    assert followed + rest + dialect.end == dialect.written(calls)
    assert admits(dialect.grammar([WEATHER, TIME], most=1, further=True), rest)


def test_a_schema_may_speak_of_the_grammars_own_words():
    odd = {
        "name": "odd",
        "parameters": {
            "type": "object",
            "properties": {"a": {"enum": ["%json {", "100%", "\\u0025"]}},
            "description": "start: %json {} %json",
        },
    }
    for value in ("%json {", "100%", "\\u0025"):
        text = json.dumps({"name": "odd", "arguments": {"a": value}})
        assert admits(FENCE.grammar([odd], most=1), text + "]")


def test_leniently_the_rest_of_a_schema_still_holds():
    picky = {
        "name": "f",
        "parameters": {
            "type": "object",
            "properties": {
                "n": {"type": "array", "uniqueItems": True, "items": {"type": "integer"}}
            },
            "required": ["n"],
        },
    }
    grammar = FENCE.grammar([picky], most=1, lenient=True)
    assert admits(grammar, '{"name": "f", "arguments": {"n": [1, 1]}}]')
    assert not admits(grammar, '{"name": "f", "arguments": {"n": ["1"]}}]')


def test_arguments_are_an_object_of_known_keys_unless_the_schema_says_otherwise():
    assert arguments_schema({"name": "f"})["additionalProperties"] is False
    free = {"name": "f", "parameters": {"additionalProperties": True}}
    assert arguments_schema(free) == {"type": "object", "additionalProperties": True}


NODE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "inside": {"$ref": "#/$defs/node"}},
    "required": ["name"],
}
PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}


@pytest.mark.parametrize(
    ("parameters", "right", "wrong"),
    [
        (
            {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
            {"name": "a", "inside": {"name": "b", "inside": {"name": "c"}}},
            {"name": "a", "inside": {}},
        ),
        ({"allOf": [PLACE, POINT]}, {"city": "Rome", "x": 1}, {"city": "Rome"}),
        ({"anyOf": [PLACE, POINT]}, {"x": 1}, {"y": 1}),
        ({"oneOf": [PLACE, POINT]}, {"city": "Rome"}, {"city": "Rome", "x": 1}),
    ],
    ids=["$ref", "allOf", "anyOf", "oneOf"],
)
def test_arguments_fit_parameters_that_stand_elsewhere(parameters, right, wrong):
    schema = arguments_schema({"name": "f", "parameters": parameters})
    assert problems(right, schema) == []
    assert problems(wrong, schema) != []
    assert problems([right], schema) != []
    grammar = FENCE.grammar([{"name": "f", "parameters": parameters}], most=1, lenient=True)
    assert admits(grammar, json.dumps({"name": "f", "arguments": right}) + "]")


# --- what is shown ---


@pytest.mark.parametrize("dialect", [FENCE, TAGS])
def test_instructions_come_last(dialect):
    text = dialect.system_text("Teach {maths}.", [WEATHER])
    assert "get_weather({" in text
    assert dialect.opener in text
    assert text.index("Teach {maths}.") > text.index("get_weather({")
    assert "Your task" not in dialect.system_text(None, [WEATHER])


def test_the_dialect_is_the_manifests_or_the_templates():
    assert dialect_of("... <tool_call> ...") is TAGS
    assert dialect_of("{{ messages }}") is FENCE
    assert dialect_of("... <tool_call> ...", named="fence") is FENCE
    assert dialect_of("... <tool_call> ...", model="Qwen2.5-Coder-7B") is FENCE


# --- transcripts ---

TRANSCRIPTS = {
    "one call": (f"{OSLO}]", ["Oslo"]),
    "two calls": (f"{OSLO}, {ROME}]\n```", ["Oslo", "Rome"]),
    "tagged": (f"{OSLO}\n</tool_call>\n<tool_call>\n{ROME}\n</tool_call>", ["Oslo", "Rome"]),
    "cut off": (f"{OSLO}, {ROME[:-9]}", ["Oslo"]),
    "braces in a text": (OSLO.replace("Oslo", "}{") + "]", ["}{"]),
    "escapes": (OSLO.replace("Oslo", '\\u00d8rsta \\"x\\"') + "]", ['Ørsta "x"']),
    "nothing": ("", []),
}


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(("text", "cities"), TRANSCRIPTS.values(), ids=TRANSCRIPTS.keys())
def test_calls_are_read_as_they_come(text, cities, size):
    reader = read(text, size)
    assert [json.loads(call.arguments)["city"] for call in reader.calls] == cities
    assert reader.refused is None
    assert reader.broken_off == (text == TRANSCRIPTS["cut off"][0])


def test_a_call_that_is_there_already_ends_the_list():
    reader = read(f"{OSLO}, {ROME}, {OSLO}, {ROME}")
    assert reader.refused == Call("get_weather", '{"city": "Oslo"}')
    assert [call.arguments for call in reader.calls] == ['{"city": "Oslo"}', '{"city": "Rome"}']
    assert reader.calls[0] == Call("get_weather", '{"city": "Oslo"}')


def nested(depth):
    return f'{{"name": "f", "arguments": {{"a": {"[" * depth}{"]" * depth}}}}}'


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_a_call_that_nests_deeper_than_can_be_read_is_none(depth):
    reader = CallReader()
    reader.feed(f"{OSLO}, {nested(depth)}, {ROME}]")
    reader.feed("\n```")
    assert reader.calls == [Call("get_weather", '{"city": "Oslo"}')]
    assert reader.broken_off


def test_however_deep_a_call_nests_reading_it_is_no_error():
    for depth in range(500, 1_100):
        reader = CallReader()
        reader.feed(nested(depth))
        assert reader.broken_off != bool(reader.calls)


PROSE = {
    "fence": f"You can use `get_weather`:\n```json\n{OSLO}\n```",
    "fenced list": f"Sure.\n\n```json\n[\n  {OSLO}\n]\n```",
    "fence without a word": f"Sure.\n```\n{OSLO}",
    "tags": f"Sure. <tool_call>\n{OSLO}\n</tool_call>",
    "bare, on a line of its own": f"Sure.\n{OSLO}",
    "pretty": 'Sure.\n```json\n{\n    "name" : "get_weather",\n    "arguments": {"city": "Oslo"}}',
}
WORDS = {
    "plain": "The answer is 4.",
    "code": "```python\nprint({'name': 'get_weather'})\n```",
    "another object": '```json\n{"name": "someone", "age": 3}\n```\nDone.',
    "inline": 'The object {"name": "get_weather"} is a call.',
    "a list": "[1] says so.\n[2] does not.",
    "unfinished": '```json\n{"name": "get_wea',
    "less": "1 < 2 and a <tool_box>",
}


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE.keys())
def test_a_call_in_the_middle_of_words_is_found(text, size):
    watch = ProseWatch(["get_weather", "time"])
    words = "".join(watch.feed(piece) for piece in pieces(text, size))
    assert watch.found
    assert words == text[: len(words)]
    assert words.strip() in ("Sure.", "You can use `get_weather`:")
    assert watch.flush() == ""


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("text", WORDS.values(), ids=WORDS.keys())
def test_words_come_through_whole(text, size):
    watch = ProseWatch(["get_weather", "time"])
    words = "".join(watch.feed(piece) for piece in pieces(text, size)) + watch.flush()
    assert not watch.found
    assert words == text


@given(
    st.lists(st.sampled_from(["```", "json", "[", "{", '"name"', ":", " ", "\n", "a", "`", "<"]))
)
def test_nothing_that_is_no_call_is_lost(parts):
    watch = ProseWatch(["get_weather"])
    assert "".join(watch.feed(part) for part in parts) + watch.flush() == "".join(parts)


def test_without_functions_nothing_is_held_back():
    watch = ProseWatch([])
    assert watch.feed('```json\n{"name": "get_weather"') == '```json\n{"name": "get_weather"'
