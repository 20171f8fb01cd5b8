"""Streams on every face that has them: each event once, in its order, and what it carries."""

from __future__ import annotations

from itertools import groupby

from faces.faces import STREAMING, on_faces, printed
from faces.scripts import OSLO_AND_ROME, WEATHER

BEGIN = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
STEP = ["thread.run.step.created", "thread.run.step.in_progress"]
MESSAGE = [
    *STEP, "thread.message.created", "thread.message.in_progress", "thread.message.delta",
    "thread.message.completed", "thread.run.step.completed",
]  # fmt: skip
END = ["thread.run.completed"]
# Those that have the openai SDK's own handlers.
HANDLED = ("openai-3", "openai-1.20.0", "socket")
# What splits a line in one place or another, and what takes many bytes.
ODD = 'a\nb\r\nc\u2028d\u2029e\x85f\x0bg\x1ch ☃ \U0001f6a2 "data: x" \\n'


def thread_of(face, text):
    return face.client.beta.threads.create(messages=[{"role": "user", "content": text}])


def assistant_of(face, **params):
    return face.client.beta.assistants.create(model="gpt-4", **params)


def names(events):
    """Names in their order, those that follow themselves once."""
    return [name for name, _ in groupby(event.event for event in events)]


def deltas(events, name):
    return [event.data.delta for event in events if event.event == name]


def streamed_text(events):
    parts = [delta.content[0].text for delta in deltas(events, "thread.message.delta")]
    return "".join(part.value or "" for part in parts)


@on_faces(*STREAMING)
def test_words_come_in_the_documented_order(face):
    runs = face.client.beta.threads.runs
    thread, assistant = thread_of(face, "hi"), assistant_of(face)
    events = list(runs.create(thread.id, assistant_id=assistant.id, stream=True))
    assert names(events) == [*BEGIN, *MESSAGE, *END]
    assert streamed_text(events) == "You said: hi"
    by_name = {event.event: event.data for event in events}
    assert by_name["thread.run.created"].status == "queued"
    assert by_name["thread.message.created"].content == []
    assert by_name["thread.message.created"].status == "in_progress"
    assert by_name["thread.message.completed"].content[0].text.value == "You said: hi"
    first, *others = deltas(events, "thread.message.delta")
    assert (first.content[0].index, first.content[0].text.annotations) == (0, [])
    assert all(each.content[0].text.annotations is None for each in others)
    run = runs.retrieve(by_name["thread.run.completed"].id, thread_id=thread.id)
    assert printed(run) == printed(by_name["thread.run.completed"])
    (step,) = runs.steps.list(run_id=run.id, thread_id=thread.id).data
    assert printed(step) == printed(by_name["thread.run.step.completed"])


@on_faces(*STREAMING)
def test_a_thread_that_is_made_comes_first(face):
    threads = face.client.beta.threads
    events = list(
        threads.create_and_run(
            assistant_id=assistant_of(face).id,
            thread={"messages": [{"role": "user", "content": "hi"}], "metadata": {"a": "1"}},
            stream=True,
        )
    )
    assert names(events) == ["thread.created", *BEGIN, *MESSAGE, *END]
    assert printed(threads.retrieve(events[0].data.id)) == {
        key: value
        for key, value in printed(events[0].data).items()
        if key != "enabled"  # the later SDKs' own
    }
    assert events[1].data.thread_id == events[0].data.id


@on_faces(*STREAMING, reply=OSLO_AND_ROME)
def test_calls_end_a_stream_and_their_outputs_begin_another(face):
    runs = face.client.beta.threads.runs
    thread, assistant = thread_of(face, "call"), assistant_of(face, tools=[WEATHER])
    events = list(runs.create(thread.id, assistant_id=assistant.id, stream=True))
    assert names(events) == [
        *BEGIN, *STEP, "thread.run.step.delta", "thread.run.requires_action",
    ]  # fmt: skip
    assert events[3].data.step_details.tool_calls == []
    run = events[-1].data
    calls = run.required_action.submit_tool_outputs.tool_calls
    grown = {}
    for delta in deltas(events, "thread.run.step.delta"):
        for call in printed(delta)["step_details"]["tool_calls"]:
            if call.get("id"):
                assert call["index"] not in grown
                assert call["function"]["arguments"] == ""
                grown[call["index"]] = [call["id"], call["function"]["name"], ""]
            else:
                grown[call["index"]][2] += call["function"]["arguments"]
    assert list(grown) == [0, 1]
    assert list(grown.values()) == [
        [call.id, call.function.name, call.function.arguments] for call in calls
    ]

    outputs = [{"tool_call_id": call.id, "output": "rain"} for call in calls]
    more = list(
        runs.submit_tool_outputs(run.id, thread_id=thread.id, tool_outputs=outputs, stream=True)
    )
    assert names(more) == [
        "thread.run.step.completed", "thread.run.queued", "thread.run.in_progress", *MESSAGE, *END,
    ]  # fmt: skip
    assert [call.function.output for call in more[0].data.step_details.tool_calls] == ["rain"] * 2
    assert streamed_text(more) == "Done: 2 outputs."


@on_faces(*STREAMING)
def test_a_reader_that_leaves_does_not_stop_the_run(face):
    runs = face.client.beta.threads.runs
    thread, assistant = thread_of(face, "hi"), assistant_of(face)
    with runs.create(thread.id, assistant_id=assistant.id, stream=True) as stream:
        for event in stream:
            run = event.data
            break
    assert face.ended(run).status == "completed"
    answer = face.client.beta.threads.messages.list(thread.id).data[0]
    assert answer.content[0].text.value == "You said: hi"


@on_faces(*STREAMING)
def test_a_refusal_comes_before_the_stream(face):
    runs = face.client.beta.threads.runs
    thread = thread_of(face, "hi")
    error = face.error(lambda: list(runs.create(thread.id, assistant_id="asst_x", stream=True)))
    assert (error.status, error.message) == (404, "No assistant found with id 'asst_x'.")


@on_faces(*STREAMING)
def test_odd_text_arrives_as_it_was_said(face):
    thread, assistant = thread_of(face, ODD), assistant_of(face)
    events = list(
        face.client.beta.threads.runs.create(thread.id, assistant_id=assistant.id, stream=True)
    )
    assert streamed_text(events) == f"You said: {ODD}"


@on_faces(*HANDLED, reply=OSLO_AND_ROME)
def test_an_event_handler_is_called_for_everything(face):
    from openai import AssistantEventHandler
    from typing_extensions import override

    class Handler(AssistantEventHandler):
        def __init__(self):
            super().__init__()
            self.said = []

        @override
        def on_event(self, event):
            self.said.append(event.event)

        @override
        def on_tool_call_created(self, tool_call):
            self.said.append(f"call {tool_call.function.name}")

        @override
        def on_text_delta(self, delta, snapshot):
            self.text = snapshot.value

    runs = face.client.beta.threads.runs
    thread, assistant = thread_of(face, "call"), assistant_of(face, tools=[WEATHER])
    handler = Handler()
    with runs.create_and_stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=handler
    ) as stream:
        stream.until_done()
    run = handler.current_run
    assert run.status == "requires_action"
    assert handler.said.count("call weather") == 2
    outputs = [
        {"tool_call_id": call.id, "output": "sun"}
        for call in run.required_action.submit_tool_outputs.tool_calls
    ]
    handler = Handler()
    with runs.submit_tool_outputs_stream(
        thread_id=thread.id, run_id=run.id, tool_outputs=outputs, event_handler=handler
    ) as stream:
        stream.until_done()
    assert handler.text == "Done: 2 outputs."
    assert handler.get_final_run().status == "completed"
    (message,) = handler.get_final_messages()
    assert message.content[0].text.value == "Done: 2 outputs."
    assert handler.get_final_run_steps()[-1].type == "message_creation"


@on_faces(*STREAMING, reply=OSLO_AND_ROME)
def test_the_helpers_that_wait_return_the_end(face):
    threads = face.client.beta.threads
    assistant = assistant_of(face, tools=[WEATHER])
    run = threads.runs.create_and_poll(
        thread_id=thread_of(face, "call").id, assistant_id=assistant.id
    )
    assert run.status == "requires_action"
    outputs = [
        {"tool_call_id": call.id, "output": "sun"}
        for call in run.required_action.submit_tool_outputs.tool_calls
    ]
    done = threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs
    )
    assert done.status == "completed"
    made = threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "hello"}]}
    )
    assert made.status == "completed"
