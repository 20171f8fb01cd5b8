"""Schemas: what the grammar cannot say and is checked of a finished value."""

from __future__ import annotations

import json

import pytest

from localassist.engine.constraint import Grammar, check_grammar
from localassist.engine.json_schema import GRAMMAR_FORMATS, problems


def fits(text, schema):
    return problems(json.loads(text), schema) == []


@pytest.mark.parametrize(
    ("value", "factor", "is_multiple"),
    [
        ("19.99", 0.01, True),
        ("0.3", 0.1, True),
        ("-1.1", 0.1, True),
        ("1.13", 0.01, True),
        ("5", 0.5, True),
        ("6", 2, True),
        ("0", 7, True),
        ("4.0", 2, True),
        ("1e22", 1, True),
        ("1e22", 10, True),
        ("1e22", 0.01, True),
        ("1e-7", 1e-8, True),
        ("19.995", 0.01, False),
        ("0.35", 0.1, False),
        ("7", 2, False),
        ("1e22", 3, False),
        ("4.5", 2, False),
        ("1e-9", 1e-8, False),
    ],
)
def test_multiples_are_those_of_the_decimals_that_are_written(value, factor, is_multiple):
    assert fits(value, {"multipleOf": factor}) is is_multiple
    assert fits(f"[{value}]", {"items": {"type": "number", "multipleOf": factor}}) is is_multiple


@pytest.mark.parametrize("value", ["true", "false", "null", '"7"', "[7]"])
def test_what_is_no_number_is_a_multiple_of_everything(value):
    assert fits(value, {"multipleOf": 2})


def test_an_integer_of_any_length_has_its_multiples():
    assert fits("5" * 400, {"multipleOf": 5})
    assert not fits("5" * 400, {"multipleOf": 10})


def test_a_number_that_is_no_multiple_is_named_with_its_place():
    schema = {"properties": {"price": {"multipleOf": 0.01}}}
    (problem,) = problems({"price": 19.995}, schema)
    assert (problem.path, problem.message) == ("price", "19.995 is not a multiple of 0.01")


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("regex", "^a+$", "("),
        ("idn-email", "ä@example.org", "nobody"),
    ],
)
@pytest.mark.parametrize("draft", [None, "http://json-schema.org/draft-07/schema#"])
def test_formats_are_checked(name, inside, outside, draft):
    schema = {"type": "string", "format": name, **({"$schema": draft} if draft else {})}
    assert fits(json.dumps(inside), schema)
    assert not fits(json.dumps(outside), schema)


def test_a_format_is_left_to_grammars_that_enforce_it():
    assert fits('"2023-02-29"', {"type": "string", "format": "date"})
    for name in GRAMMAR_FORMATS:
        check_grammar(Grammar("json_schema", json.dumps({"type": "string", "format": name})))


@pytest.mark.parametrize("name", ["unheard-of", "color"])
def test_a_format_that_nobody_knows_is_no_rule(name):
    assert fits('"anything"', {"type": "string", "format": name})


def test_a_format_is_one_of_texts_only():
    assert fits("3", {"format": "regex"})


@pytest.mark.parametrize("value", ["1e999", "-1e999"])
def test_what_is_beyond_all_numbers_is_a_multiple_of_none(value):
    assert not fits(value, {"multipleOf": 0.01})
