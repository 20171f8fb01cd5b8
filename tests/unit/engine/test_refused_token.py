"""What is taken instead of a token that a constraint refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from grammars import CLOSED, INTEGER, OBJECT, Vocabulary, answer, follow, schema

from localassist.engine.constraint import Grammar, GrammarCompiler
from localassist.engine.request import FinishReason
from localassist.engine.scripted import ScriptedBackend

SCRIPTED = ScriptedBackend()
LINES = Vocabulary(
    b"",
    b"]\n",
    b"2]\n",
    b"]]",
    b'","',
    b'"x',
    b"\xc3\xa9\n",
    b" ]",
    b" 2]",
    b" 10",
    b"150",
    ends=[256],
)
LINE = {text: token for token, text in enumerate(LINES.texts)}


@pytest.mark.parametrize(
    ("grammar", "before", "refused", "beginning"),
    [
        (
            Grammar("regex", r"\[[0-9,]*\]"),
            b"[1",
            b"]\n",
            b"]",
        ),  # only its line break may not follow
        (Grammar("regex", r"\[[0-9,]*\]"), b"[1,", b"2]\n", b"2"),
        (Grammar("regex", r"\[[0-9,]*,\]"), b"[1", b"]\n", None),  # nothing of it may
        (Grammar("regex", r"\[[0-9,]*\]"), b"[1", b"x", None),  # it has no beginning
        (Grammar("regex", "é"), b"", b"\xc3\xa9\n", b"\xc3"),
        (Grammar("regex", r"\[[0-9,]*\]"), b"[1", b" ]", b"]"),  # only the space may not come first
        (Grammar("regex", r"\[[0-9,]*\]"), b"[1,", b" 2]", b"2"),
        (Grammar("regex", r"\[ ?[0-9,]*\]"), b"[", b" 2]", b" "),
        (Grammar("regex", "[0-9]+"), b"5", b" 10", None),  # that would be 510
        (Grammar("regex", "[0-9]{1,2}"), b"", b"150", None),  # and that 15
        (Grammar("regex", r"\[[0-9,]*\]"), b"[1", b"", None),  # the end of the answer
        (Grammar("regex", "[0-9]", trigger="<n>"), b"x", b"]\n", None),  # not yet bound
    ],
)
def test_of_a_refused_token_its_longest_beginning_that_may_follow(
    grammar, before, refused, beginning
):
    constraint = GrammarCompiler(LINES).compile(grammar)
    assert follow(constraint, before)
    found = constraint.beginning_of(LINE[refused])
    assert (None if found is None else LINES.token_bytes(found)) == beginning


DEEP = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"a": INTEGER, "b": {"type": "array", "items": INTEGER}, "c": OBJECT},
        "required": ["a"],
    },
}


@pytest.mark.parametrize(
    ("before", "refused", "forgotten"),
    [
        (b'[{"a": 5', b"]", b"}"),
        (b'[{"a": 5', b"]\n", b"}"),
        (b'[{"a": 5', b" ]", b"}"),
        (b'[{"a": 5, "c": {"b": 6', b"]", b"}"),  # two of them
        (b'[{"a": 5, "b": [6', b"}", b"]"),
        (b'[{"a"', b"]", None),  # there is more to come than a bracket
        (b"[{", b"]", None),
        (b'[{"a": 5}, ', b"]", None),
        (b'[{"a": 5', b"x", None),  # it is no bracket
        (b'[{"a": 5', b"", None),  # the end of the answer
    ],
)
def test_a_bracket_may_have_been_forgotten_before_a_refused_one(before, refused, forgotten):
    constraint = GrammarCompiler(LINES).compile(schema(DEEP))
    assert follow(constraint, before)
    refused = LINE[refused]
    assert not constraint.allows(refused)
    found = constraint.forgotten_before(refused)
    assert (None if found is None else LINES.token_bytes(found)) == forgotten
    if found is not None:
        assert constraint.allows(found)


def test_no_bracket_was_forgotten_where_the_refused_one_closes_nothing():
    constraint = GrammarCompiler(LINES).compile(
        schema({"type": "array", "items": {"type": "array", "items": INTEGER}})
    )
    assert follow(constraint, b"[[5")
    assert constraint.forgotten_before(ord("}")) is None


def test_before_its_trigger_a_grammar_misses_no_bracket():
    constraint = GrammarCompiler(LINES).compile(schema(DEEP, trigger="<n>"))
    assert constraint.forgotten_before(LINE[b"]"]) is None


@pytest.mark.parametrize("vocabulary", [SCRIPTED, LINES])
@pytest.mark.parametrize(
    ("before", "meant", "instead"),
    [
        (b'{"a": 5', b",", b"}"),  # "5, 10": one number is all there is room for
        (b'{"a": 5', b"1", b"}1.e"),  # a digit that is refused for another reason
        (b'{"a": 1e', b",", b"1-"),  # the number is not complete
        (b'{"a"', b",", b":"),
    ],
)
def test_a_number_that_was_ended_does_not_become_another_one(before, meant, instead, vocabulary):
    constraint = GrammarCompiler(vocabulary).compile(
        schema({"type": "object", "properties": {"a": {"type": "number"}}, **CLOSED})
    )
    assert follow(constraint, before)
    mask = constraint.mask_instead(meant[0])
    for byte in b"}1.e-:":
        expected = byte in instead
        assert constraint.allows_instead(byte, meant[0]) == mask[byte] == expected, chr(byte)


def test_where_only_digits_may_follow_they_do():
    constraint = GrammarCompiler(SCRIPTED).compile(Grammar("regex", "[0-9]{3}"))
    assert follow(constraint, b"1")
    assert not constraint.allows_instead(ord("2"), ord("x"))
    mask = constraint.mask_instead(ord("x"))
    assert bytes(np.flatnonzero(mask).tolist()) == b"0123456789"


@pytest.mark.parametrize("reply", ["", "Sure! no", '"', "{}", '"yes"]', "\x00\xff", '"perhaps"'])
def test_a_reply_that_breaks_the_grammar_becomes_a_valid_one(reply):
    text, reason = answer(schema({"enum": ["yes", "no", ["é"]]}), reply)
    assert json.loads(text) in ("yes", "no", ["é"])
    assert reason is FinishReason.STOP


@pytest.mark.parametrize("reply", ["", "Sure: {", '{"a": "x"}', '{"a": 1, "c": 2}', '{"a": 1'])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_drawn_reply_that_breaks_the_grammar_becomes_a_valid_one(reply, seed):
    grammar = schema({**OBJECT, **CLOSED, "required": ["a", "b"]})
    text, reason = answer(grammar, reply, temperature=1.0, seed=seed)
    value = json.loads(text)
    assert reason is FinishReason.STOP
    assert sorted(value) == ["a", "b"]
    assert all(isinstance(number, int) for number in value.values())


def test_a_reply_that_keeps_to_the_grammar_is_not_touched():
    grammar = schema({**OBJECT, **CLOSED, "required": ["a"]})
    assert answer(grammar, '{"a": 12}') == ('{"a": 12}', FinishReason.STOP)


def test_a_reply_is_free_before_the_trigger_and_bound_behind_it():
    text, _ = answer(Grammar("regex", "[0-9]{2}", trigger="<n>"), "Let me see. <n>4x and more")
    assert text[:-1] == "Let me see. <n>4"
    assert text[-1].isdigit()
