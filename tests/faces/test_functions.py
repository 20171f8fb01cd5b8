"""Functions on every face: a run waits for outputs, takes them all at once, and goes on."""

from __future__ import annotations

import json

from faces.faces import ALL, on_faces, printed
from faces.scripts import OSLO_AND_ROME, WEATHER


def waiting(face):
    """A run that waits for two outputs."""
    assistant = face.client.beta.assistants.create(model="gpt-4", tools=[WEATHER])
    run = face.client.beta.threads.create_and_run(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "call"}]}
    )
    return face.ended(run)


def outputs_of(run, *texts):
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [
        {"tool_call_id": call.id, "output": text} for call, text in zip(calls, texts, strict=True)
    ]


@on_faces(*ALL, reply=OSLO_AND_ROME)
def test_a_run_waits_for_outputs_and_goes_on_with_them(face):
    runs = face.client.beta.threads.runs
    run = waiting(face)
    assert (run.status, run.completed_at) == ("requires_action", None)
    assert run.expires_at == run.created_at + 600
    calls = run.required_action.submit_tool_outputs.tool_calls
    assert [(call.type, call.function.name) for call in calls] == [("function", "weather")] * 2
    cities = [json.loads(call.function.arguments)["city"] for call in calls]
    assert cities == ["Oslo", "Rome"]
    (step,) = runs.steps.list(run_id=run.id, thread_id=run.thread_id).data
    assert (step.type, step.status) == ("tool_calls", "in_progress")
    assert [call.function.output for call in step.step_details.tool_calls] == [None, None]

    submitted = runs.submit_tool_outputs(
        thread_id=run.thread_id, run_id=run.id, tool_outputs=outputs_of(run, "rain", "sun")
    )
    assert (submitted.status, submitted.required_action) == ("queued", None)
    assert (submitted.started_at, submitted.expires_at) == (run.started_at, run.expires_at)
    done = face.ended(submitted)
    assert (done.status, done.required_action) == ("completed", None)
    answer = face.client.beta.threads.messages.list(run.thread_id).data[0]
    assert answer.content[0].text.value == "Done: 2 outputs."
    first, second = runs.steps.list(run_id=run.id, thread_id=run.thread_id, order="asc").data
    assert (first.id, first.status, second.type) == (step.id, "completed", "message_creation")
    assert [call.function.output for call in first.step_details.tool_calls] == ["rain", "sun"]
    assert [call.id for call in first.step_details.tool_calls] == [call.id for call in calls]


@on_faces(*ALL, reply=OSLO_AND_ROME)
def test_an_action_is_printed_as_in_the_document(face):
    run = waiting(face)
    found = printed(run)["required_action"]
    first, second = run.required_action.submit_tool_outputs.tool_calls
    assert found == {
        "submit_tool_outputs": {
            "tool_calls": [
                {
                    "id": call.id,
                    "function": {"arguments": f'{{"city": "{city}"}}', "name": "weather"},
                    "type": "function",
                }
                for call, city in ((first, "Oslo"), (second, "Rome"))
            ]
        },
        "type": "submit_tool_outputs",
    }
    assert list(found) == ["submit_tool_outputs", "type"]
    assert list(found["submit_tool_outputs"]["tool_calls"][0]) == ["id", "function", "type"]
    (tool,) = printed(face.client.beta.assistants.retrieve(run.assistant_id))["tools"]
    # A later SDK adds the fields that it knows of.
    assert {key: value for key, value in tool["function"].items() if value is not None} == (
        WEATHER["function"]
    )


@on_faces(*ALL, reply=OSLO_AND_ROME)
def test_outputs_must_be_complete(face):
    runs = face.client.beta.threads.runs
    run = waiting(face)
    given = outputs_of(run, "rain", "sun")
    ids = [each["tool_call_id"] for each in given]
    for wrong in (given[1:], [], [*given, {"tool_call_id": "call_x", "output": ""}]):
        error = face.error(
            runs.submit_tool_outputs, run.id, thread_id=run.thread_id, tool_outputs=wrong
        )
        got = [each["tool_call_id"] for each in wrong]
        assert (error.status, error.param, error.code) == (400, None, None)
        assert error.message == f"Expected tool outputs for call_ids {ids}, got {got}"
    assert runs.retrieve(run.id, thread_id=run.thread_id).status == "requires_action"


@on_faces(*ALL, reply=OSLO_AND_ROME)
def test_a_waiting_run_is_cancelled(face):
    runs = face.client.beta.threads.runs
    run = waiting(face)
    cancelled = runs.cancel(run.id, thread_id=run.thread_id)
    assert (cancelled.status, cancelled.required_action) == ("cancelling", None)
    done = face.ended(cancelled)
    assert (done.status, done.completed_at) == ("cancelled", None)
    assert done.cancelled_at >= run.started_at
    (step,) = runs.steps.list(run_id=run.id, thread_id=run.thread_id).data
    assert step.status == "cancelled"
    face.client.beta.threads.messages.create(run.thread_id, role="user", content="more")
