"""Signatures: what a model is shown of a function."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localassist.engine.signature import signature


def shown(properties, required=(), **more):
    schema = {"type": "object", "properties": properties, "required": list(required), **more}
    return signature({"name": "f", "parameters": schema})


def test_a_function_is_shown_with_what_it_does_and_takes():
    assert signature(
        {
            "name": "get_weather",
            "description": "The weather now.\nNot the forecast.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "A city."},
                    "unit": {"enum": ["celsius", "fahrenheit"], "default": "celsius"},
                },
                "required": ["city"],
            },
        }
    ) == (
        "// The weather now.\n"
        "// Not the forecast.\n"
        "get_weather({\n"
        "  // A city.\n"
        "  city: string,\n"
        '  // default "celsius"\n'
        '  unit?: "celsius" | "fahrenheit",\n'
        "})"
    )


def test_a_function_without_parameters_has_empty_ones():
    assert signature({"name": "now"}) == "now({})"
    assert signature({"name": "now", "parameters": {"type": "object"}}) == "now({})"


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer"}, "integer"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "array", "items": {"type": "number"}}, "number[]"),
        ({"type": "array"}, "any[]"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, 'Array<"a" | "b">'),
        ({"const": "x"}, '"x"'),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "string | integer"),
        ({"$ref": "#/$defs/point"}, "{\n    x: number,\n  }"),
        ({"$ref": "https://example.com/a.json"}, "any"),
        ({}, "any"),
        (True, "any"),
    ],
)
def test_types(schema, kind):
    definitions = {
        "point": {
            "type": "object",
            "properties": {"x": {"type": "number"}},
            "required": ["x"],
        }
    }
    assert f"  a: {kind},\n" in shown({"a": schema}, ["a"], **{"$defs": definitions})


def test_bounds_stand_in_a_comment():
    text = shown({"n": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many."}})
    assert "  // How many.; at least 1; at most 9\n  n?: integer," in text


def test_a_property_with_an_odd_name_is_quoted():
    assert '  "a b"?: string,' in shown({"a b": {"type": "string"}})


def test_a_schema_that_holds_itself_ends():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    text = shown({"head": {"$ref": "#/$defs/node"}}, **{"$defs": {"node": node}})
    assert text.count("next?") < 20
    circle = {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}
    assert "x?: any" in shown({"x": {"$ref": "#/$defs/a"}}, **{"$defs": circle})


PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
POINT = {"type": "object", "properties": {"x": {"type": "number"}}}
NODE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "inside": {"$ref": "#/$defs/node"}},
    "required": ["name"],
}
DEFINED = {"$defs": {"node": NODE, "place": PLACE, "either": {"anyOf": [PLACE, POINT]}}}
CITY, X = "{\n  city: string,\n}", "{\n  x?: number,\n}"


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"$ref": "#/$defs/place"}, CITY),
        ({"$ref": "#/$defs/place", "description": "Where."}, CITY),
        ({"allOf": [{"$ref": "#/$defs/place"}]}, CITY),
        ({"allOf": [PLACE, POINT]}, "{\n  city: string,\n  x?: number,\n}"),
        ({"allOf": [PLACE], **POINT}, "{\n  city: string,\n  x?: number,\n}"),
        ({"allOf": [{"allOf": [PLACE]}, POINT]}, "{\n  city: string,\n  x?: number,\n}"),
        ({"anyOf": [PLACE, POINT]}, f"{CITY} | {X}"),
        ({"oneOf": [{"$ref": "#/$defs/place"}, POINT]}, f"{CITY} | {X}"),
        ({"$ref": "#/$defs/either"}, f"{CITY} | {X}"),
        ({"$ref": "#/$defs/none"}, "{}"),
        ({"allOf": [{"properties": PLACE["properties"]}], "required": ["city"]}, CITY),
        (
            {"properties": {"at": {"allOf": [{"$ref": "#/$defs/place"}], "description": "Where."}}},
            "{\n  // Where.\n  at?: {\n    city: string,\n  },\n}",
        ),
        (
            {"properties": {"n": {"allOf": [{"enum": [1, 2]}], "default": 1}}},
            "{\n  // default 1\n  n?: 1 | 2,\n}",
        ),
    ],
    ids=str,
)
def test_parameters_are_shown_wherever_they_stand(schema, text):
    assert signature({"name": "f", "parameters": {**schema, **DEFINED}}) == f"f({text})"


def test_parameters_of_which_one_or_another_is_needed_are_shown():
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "x": {"type": "number"}},
        "anyOf": [{"required": ["city"]}, {"required": ["x"]}],
    }
    text = signature({"name": "f", "parameters": schema})
    assert "city?: string" in text
    assert "x?: number" in text


def test_parameters_that_hold_themselves_are_shown():
    text = signature({"name": "f", "parameters": {"$ref": "#/$defs/node", **DEFINED}})
    assert text.startswith("f({\n  name: string,\n  inside?: {\n    name: string,\n")
    assert len(text) < 2000
    circle = {"allOf": [{"$ref": "#"}], "properties": {"a": {"type": "integer"}}}
    assert "  a?: integer," in signature({"name": "f", "parameters": circle})
    for key in ("allOf", "anyOf"):
        many = {key: [{"$ref": "#"}] * 9}
        assert len(signature({"name": "f", "parameters": many})) < 10_000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "properties",
                        "items",
                        "enum",
                        "anyOf",
                        "allOf",
                        "$ref",
                        "required",
                        "a",
                    ]
                ),
                inner,
            )
        ),
        max_leaves=20,
    )
)
@example({"properties": True})
@example({"properties": {"a": {}}, "required": True})
def test_whatever_the_schema_is_something_is_shown(schema):
    json.dumps(schema)
    assert signature({"name": "f", "parameters": {"properties": {"a": schema}}}).startswith("f({")
    for key in ("anyOf", "oneOf", "allOf", "$ref", "properties"):
        assert signature({"name": "f", "parameters": {key: schema}}).startswith("f(")
