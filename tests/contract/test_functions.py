"""Functions: what is stored of them, the run that waits for their outputs, and how it goes on."""

from __future__ import annotations

import json
import threading

import pytest

from localassist import BadRequestError, Client, NotFoundError, ScriptedBackend
from localassist.api.runtime import Runtime

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "time"}}


def calling(*calls):
    """A model that makes these calls when asked, and repeats what the functions gave."""
    listed = ", ".join(
        f'{{"name": "{name}", "arguments": {json.dumps(arguments)}}}' for name, arguments in calls
    )

    def reply(text):
        if "It gave this output" in text:
            return f"Done: {text.count('It gave this output')} outputs."
        if text.startswith("call"):
            return f"```json\n[{listed}]"
        return "Just words."

    return reply


OSLO_AND_ROME = calling(("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"}))


def started(client, text="call", *, tools=(WEATHER,), **params):
    assistant = client.beta.assistants.create(model="gpt-4", tools=list(tools))
    thread = client.beta.threads.create(messages=[{"role": "user", "content": text}])
    runs = client.beta.threads.runs
    return runs.create_and_poll(thread.id, assistant_id=assistant.id, **params)


def calls_of(run):
    return run.required_action.submit_tool_outputs.tool_calls


def outputs(run, *texts):
    return [
        {"tool_call_id": call.id, "output": text}
        for call, text in zip(calls_of(run), texts, strict=True)
    ]


def test_a_run_waits_for_every_call_and_goes_on_with_the_outputs(home):
    with Client(home, backend=ScriptedBackend(OSLO_AND_ROME)) as client:
        run = started(client)
        assert (run.status, run.completed_at) == ("requires_action", None)
        assert run.started_at is not None
        assert run.expires_at == run.created_at + 600
        found = [json.loads(call.function.arguments)["city"] for call in calls_of(run)]
        assert found == ["Oslo", "Rome"]
        submitted = client.beta.threads.runs.submit_tool_outputs(
            thread_id=run.thread_id, run_id=run.id, tool_outputs=outputs(run, "rain", "sun")
        )
        assert (submitted.status, submitted.required_action) == ("queued", None)
        assert submitted.started_at == run.started_at
        done = client.beta.threads.runs.poll(run.id, thread_id=run.thread_id)
        assert (done.status, done.last_error) == ("completed", None)
        message = client.beta.threads.messages.list(run.thread_id).data[0]
        assert message.text == "Done: 2 outputs."
        first, second = client.beta.threads.runs.steps.list(
            run.id, thread_id=run.thread_id, order="asc"
        ).data
    assert (first.type, first.status, second.type) == (
        "tool_calls",
        "completed",
        "message_creation",
    )
    assert [call.function.output for call in first.step_details.tool_calls] == ["rain", "sun"]
    assert [call.id for call in first.step_details.tool_calls] == [c.id for c in calls_of(run)]
    assert done.usage.total_tokens > second.usage.total_tokens > 0


def test_the_action_and_the_tools_print_as_in_the_document(home):
    with Client(home, backend=ScriptedBackend(calling(("weather", {"city": "Oslo"})))) as client:
        run = started(client)
        (call,) = calls_of(run)
        printed = json.loads(run.model_dump_json())
        assistant = client.beta.assistants.retrieve(run.assistant_id)
    assert printed["required_action"] == {
        "submit_tool_outputs": {
            "tool_calls": [
                {
                    "id": call.id,
                    "function": {"arguments": '{"city": "Oslo"}', "name": "weather"},
                    "type": "function",
                }
            ]
        },
        "type": "submit_tool_outputs",
    }
    (tool,) = json.loads(assistant.model_dump_json())["tools"]
    assert tool == WEATHER
    assert (list(tool), list(tool["function"])) == (
        ["function", "type"],
        ["name", "parameters", "description"],
    )


def test_words_are_an_answer_too(home):
    with Client(home, backend=ScriptedBackend(OSLO_AND_ROME)) as client:
        run = started(client, "hello")
        assert (run.status, run.required_action) == ("completed", None)


@pytest.mark.parametrize(
    ("choice", "status", "count"),
    [
        ("none", "completed", 0),
        ("required", "requires_action", 2),
        ({"type": "function", "function": {"name": "weather"}}, "requires_action", 1),
    ],
)
def test_a_choice_of_the_caller_holds(home, choice, status, count):
    with Client(home, backend=ScriptedBackend(OSLO_AND_ROME)) as client:
        run = started(client, tool_choice=choice)
        assert run.status == status
        assert len(calls_of(run) if run.required_action else []) == count


def test_repeated_calls_are_made_once_and_one_at_a_time_if_asked(home):
    twice = calling(("weather", {"city": "Oslo"}), ("weather", {"city": "Oslo"}))
    with Client(home, backend=ScriptedBackend(twice)) as client:
        assert len(calls_of(started(client))) == 1
    with Client(home, backend=ScriptedBackend(OSLO_AND_ROME)) as client:
        assert len(calls_of(started(client, parallel_tool_calls=False))) == 1


def test_outputs_must_be_those_that_are_waited_for(home):
    with Client(home, backend=ScriptedBackend(OSLO_AND_ROME)) as client:
        run = started(client)
        submit = client.beta.threads.runs.submit_tool_outputs
        ids = [call.id for call in calls_of(run)]
        for given in ([], ids[1:], [*ids, "call_other"], [ids[0], ids[0]]):
            with pytest.raises(BadRequestError) as caught:
                submit(
                    run.id,
                    thread_id=run.thread_id,
                    tool_outputs=[{"tool_call_id": each, "output": "x"} for each in given],
                )
            expected = f"Expected tool outputs for call_ids {ids}, got {given}"
            assert caught.value.message == expected
        assert client.beta.threads.runs.retrieve(run.id, run.thread_id).status == "requires_action"
        submit(run.id, thread_id=run.thread_id, tool_outputs=outputs(run, "a", "b"))
        client.beta.threads.runs.poll(run.id, thread_id=run.thread_id)
        with pytest.raises(BadRequestError) as caught:
            submit(run.id, thread_id=run.thread_id, tool_outputs=outputs(run, "a", "b"))
    assert caught.value.message == 'Runs in status "completed" do not accept tool outputs.'


def test_a_waiting_run_locks_its_thread_and_can_be_cancelled(home):
    with Client(home, backend=ScriptedBackend(OSLO_AND_ROME)) as client:
        run = started(client)
        with pytest.raises(BadRequestError, match="while a run"):
            client.beta.threads.messages.create(run.thread_id, role="user", content="more")
        cancelled = client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
        assert (cancelled.status, cancelled.required_action) == ("cancelling", None)
        ended = client.beta.threads.runs.poll(run.id, thread_id=run.thread_id)
        (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id).data
        assert (ended.status, step.status) == ("cancelled", "cancelled")
        client.beta.threads.messages.create(run.thread_id, role="user", content="more")


def test_a_waiting_run_expires(home):
    clock = {"now": 1000.0}
    runtime = Runtime(
        Client(home).settings, backend=ScriptedBackend(OSLO_AND_ROME), now=lambda: clock["now"]
    )
    with Client.of(runtime) as client:
        run = started(client)
        clock["now"] += 601
        ended = client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
        assert (ended.status, ended.required_action) == ("expired", None)


def test_a_waiting_run_goes_on_in_another_process(home):
    with Client(home, backend=ScriptedBackend(OSLO_AND_ROME)) as client:
        run = started(client)
    with Client(home, backend=ScriptedBackend(OSLO_AND_ROME)) as client:
        done = client.beta.threads.runs.submit_tool_outputs_and_poll(
            run.id, run.thread_id, tool_outputs=outputs(run, "rain", "sun")
        )
        assert done.status == "completed"


def test_a_stream_ends_where_the_run_waits_and_another_one_goes_on(home):
    with Client(home, backend=ScriptedBackend(OSLO_AND_ROME)) as client:
        assistant = client.beta.assistants.create(model="gpt-4", tools=[WEATHER])
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "call"}])
        runs = client.beta.threads.runs
        events = list(runs.stream(thread.id, assistant_id=assistant.id))
        assert [each.event for each in events] == [
            "thread.run.created", "thread.run.queued", "thread.run.in_progress",
            "thread.run.step.created", "thread.run.step.in_progress",
            *["thread.run.step.delta"] * 4, "thread.run.requires_action",
        ]  # fmt: skip
        run = events[-1].data
        more = runs.submit_tool_outputs_stream(
            run.id, thread_id=thread.id, tool_outputs=outputs(run, "rain", "sun")
        )
        names = [each.event for each in more if each.event != "thread.message.delta"]
    assert names[:3] == ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
    assert names[-1] == "thread.run.completed"


def test_a_long_output_is_cut_visibly(home):
    seen = []

    def reply(text):
        seen.append(text)
        return OSLO_AND_ROME(text)

    with Client(home, backend=ScriptedBackend(reply, n_ctx=30_000)) as client:
        run = started(client)
        text = "a" * 9_000 + "b" * 9_000
        client.beta.threads.runs.submit_tool_outputs_and_poll(
            run.id, run.thread_id, tool_outputs=outputs(run, text, "")
        )
    assert "[... 12,000 characters left out ...]" in seen[-1]
    assert seen[-1].count("a" * 3_000) == seen[-1].count("b" * 3_000) == 1


def refused(client, *functions, **params):
    tools = [{"type": "function", "function": each} for each in functions]
    with pytest.raises(BadRequestError) as caught:
        client.beta.assistants.create(model="gpt-4", tools=tools, **params)
    assert client.beta.assistants.list().data == []
    return caught.value


@pytest.mark.parametrize(
    ("function", "code", "param"),
    [
        ({"name": "a" * 65}, "string_above_max_length", "tools[0].function.name"),
        ({"name": "a b"}, "invalid_value", "tools[0].function.name"),
        ({}, "missing_required_parameter", "tools[0].function.name"),
        ({"name": "a", "extra": 1}, "unknown_parameter", "tools[0].function.extra"),
        ({"name": "a", "parameters": []}, "invalid_type", "tools[0].function.parameters"),
        (
            {"name": "a", "parameters": {"type": "string"}},
            "invalid_function_parameters",
            "tools[0].function.parameters",
        ),
        (
            {
                "name": "a",
                "parameters": {"type": "object", "not": {"required": ["b"]}},
                "strict": True,
            },
            "invalid_function_parameters",
            "tools[0].function.parameters",
        ),
        (
            {"name": "a", "parameters": {"$ref": "https://example.com/schema.json"}},
            "invalid_function_parameters",
            "tools[0].function.parameters",
        ),
    ],
)
def test_a_function_that_cannot_be_honoured_is_refused(client, function, code, param):
    error = refused(client, function)
    assert (error.code, error.param) == (code, param)


def test_a_refused_schema_says_which_keyword_it_is(client):
    schema = {"type": "object", "not": {}}
    error = refused(client, {"name": "a", "parameters": schema, "strict": True})
    assert '"not"' in error.message
    assert "'a'" in error.message


def test_two_functions_of_one_name_and_too_many_are_refused(client):
    assert refused(client, TIME["function"], TIME["function"]).param == "tools[1].function.name"
    many = [{"name": f"f{number}"} for number in range(129)]
    assert refused(client, *many).code == "array_above_max_length"


def test_a_tool_that_there_is_not_is_refused_with_words(client):
    known = "'code_interpreter', 'function' and 'file_search'"
    with pytest.raises(BadRequestError, match=f"'browser'. Supported values are: {known}") as told:
        client.beta.assistants.create(model="gpt-4", tools=[{"type": "browser"}])
    assert told.value.param == "tools[0].type"


def test_a_choice_without_its_function_is_refused(client, assistant, thread):
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        with pytest.raises(BadRequestError) as caught:
            client.beta.threads.runs.create(
                thread.id, assistant_id=assistant.id, tool_choice=choice
            )
        assert caught.value.param == "tool_choice"
    assert client.beta.threads.runs.list(thread.id).data == []


def test_a_call_that_is_cut_off_fails_the_run_with_words(home):
    endless = calling(("weather", {"city": " ".join(map(str, range(2_000)))}))("call")
    # The second try is no better.
    with Client(home, backend=ScriptedBackend(lambda _: endless, n_ctx=30_000)) as client:
        run = started(client)
    assert run.status == "failed"
    assert "did not end" in run.last_error.message


def test_a_text_in_a_call_that_says_the_same_for_ever_is_ended(home):
    endless = calling(("weather", {"city": "x" * 5_000}))
    with Client(home, backend=ScriptedBackend(endless, n_ctx=30_000)) as client:
        run = started(client)
    assert run.status == "requires_action", run.last_error
    (call,) = calls_of(run)
    city = json.loads(call.function.arguments)["city"]
    assert city == "x" * len(city)
    assert 500 < len(city) < 700


def test_cancelling_while_the_model_writes_a_call_ends_the_run(home):
    gate = threading.Semaphore(0)
    with Client(home, backend=ScriptedBackend(OSLO_AND_ROME, gate=gate)) as client:
        assistant = client.beta.assistants.create(model="gpt-4", tools=[WEATHER])
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "call"}])
        runs = client.beta.threads.runs
        run = runs.create(thread.id, assistant_id=assistant.id)
        gate.release(30)
        while runs.retrieve(run.id, thread.id).status == "queued":
            pass
        runs.cancel(run.id, thread_id=thread.id)
        gate.release(1_000_000)
        assert runs.poll(run.id, thread_id=thread.id).status == "cancelled"


def test_an_unknown_run_takes_no_outputs(client, thread):
    with pytest.raises(NotFoundError):
        client.beta.threads.runs.submit_tool_outputs("run_x", thread_id=thread.id, tool_outputs=[])
