"""Functions whose parameters stand elsewhere than beside `properties`, or have odd rules."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from localassist import Client, ScriptedBackend
from localassist.engine.json_schema import problems
from localassist.engine.tool_dialect import arguments_schema

NAME = {"type": "string"}
BASE = {"type": "object", "properties": {"name": NAME}, "required": ["name"]}
PLACES = [
    {
        "type": "object",
        "properties": {"city": NAME},
        "required": ["city"],
        "additionalProperties": False,
    },
    {
        "type": "object",
        "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
        "required": ["lat", "lon"],
        "additionalProperties": False,
    },
]


class Folder(BaseModel):
    name: str
    inside: Folder | None = None


FOLDERS = {"name": "a", "inside": {"name": "b", "inside": {"name": "c"}}}
MADE = {
    "$ref": (Folder.model_json_schema(), FOLDERS),
    "$ref to a union": (
        {"$ref": "#/$defs/place", "$defs": {"place": {"anyOf": PLACES}}},
        {"city": "Rome"},
    ),
    "allOf": (
        {
            "allOf": [{"$ref": "#/$defs/base"}, {"properties": {"age": {"type": "integer"}}}],
            "$defs": {"base": BASE},
        },
        {"name": "Ada", "age": 36},
    ),
    "allOf and properties": (
        {"allOf": [BASE], "properties": {"age": {"type": "integer"}}, "required": ["age"]},
        {"name": "Ada", "age": 36},
    ),
    "anyOf": ({"anyOf": PLACES}, {"lat": 59.5, "lon": 10.25}),
    "anyOf and properties": (
        {
            "properties": {"name": NAME, "age": {"type": "integer"}},
            "anyOf": [{"required": ["name"]}, {"required": ["age"]}],
        },
        {"age": 36},
    ),
    "oneOf": ({"oneOf": PLACES}, {"city": "Rome"}),
}


def started(client, parameters):
    tool = {"type": "function", "function": {"name": "act", "parameters": parameters}}
    assistant = client.beta.assistants.create(model="gpt-4", tools=[tool])
    assert assistant.tools[0]["function"]["parameters"] == parameters
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "go"}])
    return client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)


def called(arguments):
    return "```json\n" + json.dumps([{"name": "act", "arguments": arguments}])


def arguments_of(run):
    assert run.status == "requires_action", run.last_error
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [json.loads(call.function.arguments) for call in calls]


@pytest.mark.parametrize(("parameters", "arguments"), MADE.values(), ids=MADE.keys())
def test_a_function_is_called_with_its_parameters_wherever_they_stand(home, parameters, arguments):
    with Client(home, backend=ScriptedBackend(lambda _: called(arguments))) as client:
        assert arguments_of(started(client, parameters)) == [arguments]


@pytest.mark.parametrize(
    ("rule", "wrong", "right"),
    [
        ({"type": "string", "format": "regex"}, "(", "^a"),
        ({"type": "string", "format": "idn-email"}, "nobody", "a@example.org"),
        ({"type": "number", "multipleOf": 0.01, "not": {"const": 1}}, 1, 19.99),
    ],
    ids=["regex", "idn-email", "multiple"],
)
def test_a_value_that_only_validation_refuses_is_written_again(home, rule, wrong, right):
    def reply(text):
        return called({"value": right if "That is not valid" in text else wrong})

    parameters = {"type": "object", "properties": {"value": rule}, "required": ["value"]}
    with Client(home, backend=ScriptedBackend(reply)) as client:
        assert arguments_of(started(client, parameters)) == [{"value": right}]


def test_no_parameter_is_made_up_where_branches_only_say_what_is_needed():
    parameters = {
        "properties": {"name": NAME, "age": {"type": "integer"}},
        "anyOf": [{"required": ["name"]}, {"required": ["age"]}],
    }
    schema = arguments_schema({"name": "act", "parameters": parameters})
    assert problems({"name": "Ada"}, schema) == []
    assert problems({"name": "Ada", "made_up": 1}, schema) != []
