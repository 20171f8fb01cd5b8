from __future__ import annotations

import json

import numpy as np
import pytest
from grammars import CLOSED, INTEGER, OBJECT, Vocabulary, answer, follow, schema
from hypothesis import given
from hypothesis import strategies as st

from localassist import BadRequestError, ModelError
from localassist.engine.constraint import MAX_GRAMMAR_CHARS, Grammar, GrammarCompiler
from localassist.engine.scripted import ScriptedBackend

BIG = "a" * (MAX_GRAMMAR_CHARS + 1)
PIECES = Vocabulary(b"", b"", b"<x", b"x>", b"x>4", b"x>a", b"x>12", b"x>\xc3", ends=[256, 257])
PIECE = {text: token for token, text in enumerate(PIECES.texts)}
SCRIPTED = ScriptedBackend()
BYTES = GrammarCompiler(SCRIPTED)


def admits(grammar, text):
    constraint = BYTES.compile(grammar)
    return follow(constraint, text.encode()) and constraint.accepting


def refused(grammar):
    with pytest.raises(BadRequestError) as caught:
        BYTES.compile(grammar)
    assert caught.value.code == "invalid_grammar"


# --- languages ---


@pytest.mark.parametrize(
    ("grammar", "inside", "outside"),
    [
        (schema({"enum": ["yes", 3, None]}), ['"yes"', "3", "null"], ["yes", '"no"', "4", ""]),
        (schema({"items": INTEGER, "minItems": 1, "type": "array"}), ["[1, 22]"], ["[]", "[01]"]),
        (schema({**OBJECT, "required": ["a"]}), ['{"a":1, "b":2}'], ['{"b":2}', '{"a":"1"}']),
        (schema({"type": "string", "pattern": "^[é-ü]+$"}), ['"éü"'], ['"e"', '""']),
        (schema({"type": "string", "format": "date"}), ['"2024-02-29"'], ['"2024-13-01"']),
        (Grammar("regex", "[0-9]{2,3}|é"), ["12", "123", "é"], ["1", "1234", "", "e"]),
        (Grammar("regex", ""), [""], ["x"]),
        (Grammar("lark", 'start: "(" (x ",")* x ")"\nx: /[xy]/'), ["(x)", "(x,y)"], ["()", "(z)"]),
        (Grammar("gbnf", 'root ::= "<" w ("," w)*\nw ::= [a-c]+'), ["<ab,c"], ["<", "<d", "<a,"]),
    ],
    ids=str,
)
def test_a_grammar_admits_its_language_and_nothing_else(grammar, inside, outside):
    assert [text for text in inside if not admits(grammar, text)] == []
    assert [text for text in outside if admits(grammar, text)] == []


def test_a_recursive_schema_nests_as_deep_as_one_likes():
    tree = schema({"properties": {"next": {"$ref": "#"}}, **CLOSED})
    assert admits(tree, '{"next":' * 60 + "{}" + "}" * 60)
    assert not admits(tree, '{"next":{"next":1}}')


def test_ten_thousand_strings_can_be_enumerated():
    grammar = schema({"enum": [f"word {number}" for number in range(10_000)]})
    assert admits(grammar, '"word 9999"')
    assert not admits(grammar, '"word 10000"')


def test_a_constraint_is_complete_where_nothing_can_follow():
    constraint = BYTES.compile(schema({"type": "boolean"}))
    assert follow(constraint, b"tru")
    assert (constraint.complete, constraint.accepting) == (False, False)
    assert follow(constraint, b"e")
    assert (constraint.complete, constraint.accepting) == (True, True)


# --- refusals ---


@pytest.mark.parametrize("kind", ["json_schema", "lark", "gbnf"])
@pytest.mark.parametrize("source", ["", "{", "nope", '{"type":"integer"} x', "\ud800"])
def test_a_malformed_grammar_is_refused(kind, source):
    refused(Grammar(kind, source))


@pytest.mark.parametrize(
    "grammar",
    [
        *(Grammar("regex", source) for source in ("(", "(?=a)b", r"\bword", "\ud800", BIG)),
        *(Grammar("gbnf", source) for source in ("root ::= none", 'a ::= "a"', 'root ::= "a')),
        Grammar("lark", "start: missing"),
        *(schema({"$ref": target}) for target in ("#/$defs/none", "https://example.com/a.json")),
        *(schema(value) for value in (3, None, {"type": "nothing"}, {"minLength": -1})),
    ],
    ids=lambda grammar: ascii(grammar.source[:30]),
)
def test_what_refers_to_nothing_or_cannot_be_read_is_refused(grammar):
    refused(grammar)


@pytest.mark.parametrize(
    "grammar",
    [
        *(schema(value) for value in (False, {"enum": []}, {"$ref": "#"})),
        schema({"type": "integer", "minimum": 5, "maximum": 3}),
        Grammar("regex", r"[^\s\S]"),
        Grammar("lark", "start: start"),
        Grammar("gbnf", "root ::= root"),
    ],
    ids=lambda grammar: grammar.source,
)
def test_a_language_without_a_word_gives_an_error_and_no_answer(grammar):
    with pytest.raises((BadRequestError, ModelError)) as caught:
        answer(grammar, "hello")
    assert caught.value.code in ("invalid_grammar", "constraint_failed")


@pytest.mark.parametrize(
    "unsupported",
    [
        {"not": INTEGER},
        {"if": INTEGER, "then": {"minimum": 1}, "else": False},
        {"type": "array", "uniqueItems": True},
        {"type": "array", "contains": INTEGER},
        {"type": "array", "minContains": 2},
        {"type": "array", "prefixItems": [INTEGER], "unevaluatedItems": False},
        {**OBJECT, "unevaluatedProperties": False},
        {**OBJECT, "propertyNames": {"pattern": "^a"}},
        {**OBJECT, "dependentRequired": {"a": ["b"]}},
        {**OBJECT, "dependentSchemas": {"a": {"required": ["b"]}}},
        {**OBJECT, "dependencies": {"a": ["b"]}},
        {**OBJECT, "minProperties": 1},
        {**OBJECT, "maxProperties": 1},
        {"oneOf": [INTEGER, {"type": "number"}]},
        {"type": "string", "format": "unheard-of"},
        {"type": "string", "pattern": "^(?=a)b"},
        {"$dynamicRef": "#a"},
    ],
    ids=json.dumps,
)
def test_a_keyword_that_cannot_be_enforced_is_refused_at_any_depth(unsupported):
    refused(schema(unsupported))
    refused(schema({"properties": {"x": {"type": "array", "items": unsupported}}}))


LENIENT = {"not": INTEGER, "x-guidance": {"lenient": True}}


@pytest.mark.parametrize(
    "grammar",
    [
        schema(LENIENT),
        schema({"oneOf": [INTEGER, {}], "x-guidance": {"coerce_one_of": True}}),
        Grammar("lark", f"start: %json {json.dumps(LENIENT)}"),
        Grammar("lark", json.dumps({"grammars": [{"json_schema": LENIENT}]})),
    ],
    ids=lambda grammar: grammar.source,
)
def test_no_grammar_can_ask_for_keywords_to_be_ignored(grammar):
    refused(grammar)


def test_a_property_may_have_any_name():
    names = schema({"properties": dict.fromkeys(("x-guidance", "not", "$ref"), INTEGER)})
    assert admits(names, '{"x-guidance":1,"not":2,"$ref":3}')
    assert not admits(names, '{"x-guidance":"a"}')


@pytest.mark.parametrize(
    ("value", "outside"),
    [
        ({"patternProperties": {"^n": INTEGER}}, '{"n1":"x"}'),
        ({"properties": {"a": INTEGER}, "required": ["a"], "minProperties": 2}, '{"a":1}'),
        ({"maxProperties": 1}, '{"a":1,"b":2}'),
    ],
    ids=["pattern", "least", "most"],
)
def test_rules_on_properties_hold(value, outside):
    assert not admits(schema({"type": "object", **value}), outside)


# --- which tokens may follow ---


@given(
    st.sampled_from(
        [
            schema({**OBJECT, **CLOSED}),
            schema({"type": "array", "items": {"enum": ["é", 1.5, None]}}),
            Grammar("regex", "(x>|[0-9]{1,3}|é)*"),
            Grammar("gbnf", 'root ::= "a" root "b" | "x"'),
            Grammar("regex", "[0-9]{3}|é", trigger="<x>"),
            schema(True, trigger="x>x"),
        ]
    ),
    st.sampled_from([SCRIPTED, PIECES]),
    st.data(),
)
def test_mask_and_allows_agree_wherever_an_answer_gets(grammar, vocabulary, data):
    constraint = GrammarCompiler(vocabulary).compile(grammar)
    tokens = range(vocabulary.n_vocab)
    for _ in range(data.draw(st.integers(0, 12))):
        following = [t for t in tokens if not vocabulary.is_end(t) and constraint.allows(t)]
        if not following:
            break
        constraint.accept(data.draw(st.sampled_from(following)))
    mask = constraint.mask()
    assert mask.shape == (vocabulary.n_vocab,)
    # Of several end tokens: see the next test.
    assert [t for t in tokens if mask[t] != constraint.allows(t) and t != 257] == []


def test_every_token_that_ends_an_answer_is_in_the_mask():
    """Models have several; the one that ends a turn need not be the first."""
    constraint = GrammarCompiler(PIECES).compile(Grammar("regex", "[0-9]+"))
    assert not constraint.mask()[PIECES.ends].any()
    constraint.accept(ord("7"))
    assert [constraint.allows(end) for end in PIECES.ends] == [True, True]
    assert constraint.mask()[PIECES.ends].tolist() == [True, True]


@pytest.mark.parametrize("text", [b"</s>", b"8"])
def test_an_end_token_that_has_a_text_may_come_only_at_the_end(text):
    constraint = GrammarCompiler(Vocabulary(text, ends=[256])).compile(Grammar("regex", "[0-9]+"))
    assert (constraint.allows(256), constraint.mask()[256]) == (False, False)
    constraint.accept(ord("7"))
    assert (constraint.allows(256), constraint.mask()[256]) == (True, True)


# --- triggers ---


def test_a_trigger_may_end_inside_a_token():
    constraint = GrammarCompiler(PIECES).compile(Grammar("regex", "[0-9]{3}|é", trigger="<x>"))
    assert follow(constraint, b"anything <")
    allowed = {text for text, token in PIECE.items() if text and constraint.allows(token)}
    assert set(PIECES.texts[256:]) & allowed == {b"<x", b"x>", b"x>4", b"x>12", b"x>\xc3"}
    constraint.accept(PIECE[b"x>12"])
    assert [text for text, token in PIECE.items() if constraint.allows(token)] == [
        bytes([digit]) for digit in b"0123456789"
    ]
    assert follow(constraint, b"3")
    assert constraint.complete


def test_a_token_may_end_inside_a_character_behind_the_trigger():
    constraint = GrammarCompiler(PIECES).compile(Grammar("regex", "é", trigger="<x>"))
    constraint.accept(PIECE[b"<"])
    constraint.accept(PIECE[b"x>\xc3"])
    assert np.flatnonzero(constraint.mask()).tolist() == [0xA9]


def test_a_trigger_is_found_behind_a_part_of_itself():
    constraint = BYTES.compile(Grammar("regex", "[0-9]", trigger="aab"))
    assert follow(constraint, b"aaab")
    assert not constraint.allows(ord("a"))
    assert constraint.allows(ord("1"))


def test_before_the_trigger_an_answer_may_end_anywhere():
    constraint = BYTES.compile(Grammar("regex", "[0-9]+", trigger="<n>"))
    assert follow(constraint, b"words <n")
    assert constraint.accepting
    assert not constraint.complete
    assert constraint.allows(257)
    assert follow(constraint, b">")
    assert not constraint.accepting
    assert not constraint.allows(257)
