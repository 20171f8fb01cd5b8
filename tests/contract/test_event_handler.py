"""Handlers hear of a run under the SDK's names, and a stream can be joined late."""

from __future__ import annotations

import asyncio

import pytest

from localassist import (
    AssistantEventHandler,
    AsyncAssistantEventHandler,
    AsyncClient,
    BadRequestError,
    Client,
    ScriptedBackend,
)

ANSWER = "It is four. That is all."
HOOKS = [name for name in vars(AssistantEventHandler) if name.startswith("on_")]


class Heard(AssistantEventHandler):
    def __init__(self):
        self.calls = []

    def texts(self, name):
        return [arguments[0] for called, arguments in self.calls if called == name]


class AsyncHeard(AsyncAssistantEventHandler):
    def __init__(self):
        self.calls = []


def _record(name):
    def hook(self, *arguments):
        self.calls.append((name, arguments))

    return hook


def _record_async(name):
    async def hook(self, *arguments):
        self.calls.append((name, arguments))

    return hook


for _name in HOOKS:
    setattr(Heard, _name, _record(_name))
    setattr(AsyncHeard, _name, _record_async(_name))


@pytest.fixture
def client(home):
    with Client(home, backend=ScriptedBackend(lambda _: ANSWER)) as client:
        yield client


def begin(client, **more):
    assistant = client.beta.assistants.create(model="gpt-4", **more)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "2 + 2?"}])
    return {"thread_id": thread.id, "assistant_id": assistant.id}


def test_a_text_is_heard_from_its_beginning_to_its_end(client):
    handler = Heard()
    with client.beta.threads.runs.stream(**begin(client), event_handler=handler) as stream:
        stream.until_done()
    names = [name for name, _ in handler.calls if name not in ("on_event", "on_text_delta")]
    assert [name for name in names if name != "on_message_delta"] == [
        "on_run_step_created", "on_message_created", "on_text_created", "on_text_done",
        "on_message_done", "on_run_step_done", "on_end",
    ]  # fmt: skip
    assert "".join(delta.value for delta in handler.texts("on_text_delta")) == ANSWER
    assert handler.texts("on_text_done")[0].value == ANSWER
    assert handler.current_run.status == "completed"
    assert handler.current_message_snapshot.text == ANSWER


def test_what_is_asked_for_at_the_end_is_there(client):
    stream = client.beta.threads.runs.stream(**begin(client))
    (message,) = stream.get_final_messages()
    assert message.text == ANSWER
    assert stream.get_final_run().status == "completed"
    assert [step.type for step in stream.get_final_run_steps()] == ["message_creation"]


def test_a_snapshot_grows_with_its_deltas(client):
    grown = []

    class Growing(AssistantEventHandler):
        def on_text_delta(self, delta, snapshot):
            grown.append((delta.value, snapshot.value, self.current_message_snapshot.text))

    with client.beta.threads.runs.stream(**begin(client), event_handler=Growing()) as stream:
        stream.until_done()
    so_far = ""
    for value, snapshot, message in grown:
        so_far += value
        assert snapshot == message == so_far
    assert so_far == ANSWER


def test_an_error_of_a_handler_is_heard_and_raised(client):
    class Failing(Heard):
        def on_text_created(self, text):
            raise ValueError("no")

    handler = Failing()
    with pytest.raises(ValueError, match="no"):
        client.beta.threads.runs.stream(**begin(client), event_handler=handler).until_done()
    assert [name for name, _ in handler.calls[-2:]] == ["on_exception", "on_end"]


def test_coroutines_hear_the_same(home, client):
    sync = Heard()
    client.beta.threads.runs.stream(**begin(client), event_handler=sync).until_done()

    async def listen():
        handler = AsyncHeard()
        async with (
            AsyncClient(home, backend=ScriptedBackend(lambda _: ANSWER)) as other,
            await other.beta.threads.runs.stream(**begin(client), event_handler=handler) as stream,
        ):
            await stream.until_done()
        return handler

    names = [name for name, _ in asyncio.run(listen()).calls]
    assert names == [name for name, _ in sync.calls]


def test_a_stream_that_is_joined_late_has_every_event_once(client):
    order = begin(client)
    with client.beta.threads.runs.stream(**order) as first:
        seen = [event.event for event in first]
        run = first.get_final_run()
    late = client.beta.threads.runs.stream(run_id=run.id, thread_id=order["thread_id"])
    assert [event.event for event in late] == seen
    again = client.beta.threads.runs.stream(run_id=run.id, thread_id=order["thread_id"])
    assert "".join(again.text_deltas) == ANSWER


def test_a_run_of_an_earlier_process_cannot_be_joined(home):
    with Client(home, backend=ScriptedBackend(lambda _: ANSWER)) as client:
        run = client.beta.threads.runs.create_and_poll(**begin(client))
    with (
        Client(home, backend=ScriptedBackend(lambda _: ANSWER)) as client,
        pytest.raises(BadRequestError, match="not known to this process"),
    ):
        client.beta.threads.runs.stream(run_id=run.id, thread_id=run.thread_id)


def test_a_call_of_a_function_is_done_when_the_run_waits_for_it(home):
    call = '```json\n[{"name": "roll", "arguments": {}}]\n```'
    handler = Heard()
    with Client(home, backend=ScriptedBackend(lambda _: call)) as client:
        tool = {"type": "function", "function": {"name": "roll", "parameters": {}}}
        order = begin(client, tools=[tool])
        with client.beta.threads.runs.stream(
            **order, tool_choice="required", event_handler=handler
        ) as stream:
            assert stream.get_final_run().status == "requires_action"
    (done,) = handler.texts("on_tool_call_done")
    assert done["function"]["name"] == "roll"
    assert [name for name, _ in handler.calls].count("on_end") == 1
