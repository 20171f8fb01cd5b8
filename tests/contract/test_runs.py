"""Runs: how they print, what they take over, the lock of their thread, and how they are stopped."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from localassist import BadRequestError, Client, NotFoundError, ScriptedBackend, Settings

V1_KEYS = [
    "id", "assistant_id", "cancelled_at", "completed_at", "created_at", "expires_at", "failed_at",
    "file_ids", "instructions", "last_error", "metadata", "model", "object", "required_action",
    "started_at", "status", "thread_id", "tools",
]  # fmt: skip
V2_KEYS = [
    "id", "assistant_id", "cancelled_at", "completed_at", "created_at", "expires_at", "failed_at",
    "incomplete_details", "instructions", "last_error", "max_completion_tokens",
    "max_prompt_tokens", "metadata", "model", "object", "parallel_tool_calls", "required_action",
    "response_format", "started_at", "status", "thread_id", "tool_choice", "tools",
    "truncation_strategy", "usage", "temperature", "top_p", "reasoning_effort",
]  # fmt: skip
NULLS = dict.fromkeys(
    ["model", "instructions", "tools", "metadata", "temperature", "top_p", "max_prompt_tokens",
     "max_completion_tokens", "truncation_strategy", "tool_choice", "parallel_tool_calls",
     "response_format", "stream"]
)  # fmt: skip


def printed(obj):
    return json.loads(obj.model_dump_json())


def user(*said):
    return [{"role": "user", "content": text} for text in said]


def texts(client, thread_id):
    return [each.text for each in client.beta.threads.messages.list(thread_id, order="asc")]


def prompt_tokens(*turns):
    """Tokens of a conversation as the scripted model reads it: a byte each, two for a turn."""
    return sum(len(f"{role}\n{text}") + 2 for role, text in turns) + len("+assistant\n")


def test_a_run_prints_as_in_the_document(client, assistant):
    thread = client.beta.threads.create(messages=user("hi"))
    created = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)
    done = printed(client.beta.threads.runs.poll(created.id, thread_id=thread.id))
    created = printed(created)
    assert list(created) == list(done) == V1_KEYS
    assert created == {
        "id": created["id"], "assistant_id": assistant.id, "cancelled_at": None,
        "completed_at": None, "created_at": created["created_at"],
        "expires_at": created["created_at"] + 600, "failed_at": None, "file_ids": [],
        "instructions": "Be brief.", "last_error": None, "metadata": {}, "model": "gpt-4",
        "object": "thread.run", "required_action": None, "started_at": None, "status": "queued",
        "thread_id": thread.id, "tools": [],
    }  # fmt: skip
    assert created["created_at"] <= done["started_at"] <= done["completed_at"]
    times = {name: done[name] for name in ("started_at", "completed_at")}
    assert done == {**created, **times, "status": "completed", "expires_at": None}
    assert re.fullmatch("run_[A-Za-z0-9]{24}", created["id"])


def test_a_run_prints_as_v2_when_told(home):
    settings = Settings(home=home, api_version="v2")
    with Client(settings=settings, backend=ScriptedBackend()) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        created = client.beta.threads.create_and_run(
            assistant_id=assistant.id, thread={"messages": user("hi")}
        )
        done = client.beta.threads.runs.poll(created.id, thread_id=created.thread_id)
        listed = client.beta.threads.runs.list(created.thread_id)
    assert list(printed(created)) == list(printed(done)) == V2_KEYS
    assert printed(listed)["data"] == [printed(done)]
    expected = {
        "usage": None, "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto",
        "response_format": "auto", "parallel_tool_calls": True, "incomplete_details": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
    }  # fmt: skip
    assert {name: printed(created)[name] for name in expected} == expected
    usage = printed(done)["usage"]
    assert usage["prompt_tokens"] == prompt_tokens(("user", "hi"))
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize(
    ("given", "instructions"),
    [
        ({}, "base"),
        ({"instructions": None, "additional_instructions": None}, "base"),
        ({"instructions": "own"}, "own"),
        ({"additional_instructions": "more"}, "base\nmore"),
        ({"instructions": "own", "additional_instructions": "more"}, "own\nmore"),
    ],
)
def test_instructions_are_the_assistants_or_the_runs_and_more(client, given, instructions):
    assistant = client.beta.assistants.create(model="gpt-4", instructions="base")
    thread = client.beta.threads.create(messages=user("hi"))
    run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id, **given)
    assert run.instructions == instructions
    assert run.usage.prompt_tokens == prompt_tokens(("system", instructions), ("user", "hi"))
    assert client.beta.assistants.retrieve(assistant.id).instructions == "base"


def test_additional_messages_come_before_the_answer(client, assistant):
    thread = client.beta.threads.create(messages=user("first"))
    run = client.beta.threads.runs.create_and_poll(
        thread.id,
        assistant_id=assistant.id,
        additional_messages=[
            {"role": "assistant", "content": "noted"},
            {"role": "user", "content": "second", "metadata": {"k": "v"}},
        ],
    )
    found = client.beta.threads.messages.list(thread.id, order="asc").data
    assert [(m.role, m.text, m.run_id, m.metadata) for m in found] == [
        ("user", "first", None, {}),
        ("assistant", "noted", None, {}),
        ("user", "second", None, {"k": "v"}),
        ("assistant", "You said: second", run.id, {}),
    ]


def test_create_and_run_makes_the_thread(client, assistant):
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": user("hi"), "metadata": {"a": "1"}},
        instructions="own",
        metadata={"b": "2"},
    )
    assert (run.status, run.instructions, run.metadata) == ("completed", "own", {"b": "2"})
    assert client.beta.threads.retrieve(run.thread_id).metadata == {"a": "1"}
    assert texts(client, run.thread_id) == ["hi", "You said: hi"]


@pytest.mark.parametrize("given", [{}, {"thread": None}, {"thread": {}}, {**NULLS, "thread": None}])
def test_create_and_run_needs_only_an_assistant(client, assistant, given):
    run = client.beta.threads.create_and_run_poll(assistant_id=assistant.id, **given)
    assert (run.status, run.instructions, run.model) == ("completed", "Be brief.", "gpt-4")
    assert len(texts(client, run.thread_id)) == 1


def test_nulls_are_as_good_as_nothing_given(client, assistant):
    thread = client.beta.threads.create(messages=user("hi"))
    more = dict.fromkeys(["additional_instructions", "additional_messages", "reasoning_effort"])
    create = client.beta.threads.runs.create_and_poll
    shown = [
        printed(create(thread.id, assistant_id=assistant.id, **given))
        for given in ({}, {**NULLS, **more})
    ]
    changing = {"id", "created_at", "started_at", "completed_at"}
    plain, nulls = ({k: v for k, v in run.items() if k not in changing} for run in shown)
    assert plain == nulls


def test_a_run_keeps_the_settings_of_its_creation(gated_client, gate):
    assistants, runs = gated_client.beta.assistants, gated_client.beta.threads.runs
    assistant = assistants.create(model="gpt-4", instructions="old", temperature=0.5)
    thread = gated_client.beta.threads.create(messages=user("hi"))
    run = runs.create(thread.id, assistant_id=assistant.id)
    assistants.update(assistant.id, instructions="new", model="gpt-4o", temperature=1.5)
    assistants.delete(assistant.id)
    gate.release(1_000_000)
    done = runs.poll(run.id, thread_id=thread.id)
    assert (done.status, done.instructions, done.model) == ("completed", "old", "gpt-4")
    assert (done.temperature, done.assistant_id) == (0.5, assistant.id)
    assert done.usage.prompt_tokens == prompt_tokens(("system", "old"), ("user", "hi"))


def test_a_deleted_assistant_runs_no_more(client, assistant, thread):
    client.beta.assistants.delete(assistant.id)
    with pytest.raises(NotFoundError) as caught:
        client.beta.threads.runs.create(
            thread.id, assistant_id=assistant.id, additional_messages=user("x")
        )
    assert caught.value.message == f"No assistant found with id '{assistant.id}'."
    assert (texts(client, thread.id), client.beta.threads.runs.list(thread.id).data) == ([], [])


@pytest.mark.parametrize("models", [("gpt-4", "gpt-4"), ("gpt-4", "gpt-3.5-turbo")])
def test_two_assistants_take_turns_on_a_thread(client, models):
    tutors = [client.beta.assistants.create(model=model) for model in models]
    thread = client.beta.threads.create()
    turns = []
    for index, tutor in enumerate((*tutors, *tutors)):
        client.beta.threads.messages.create(thread.id, role="user", content=str(index))
        run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=tutor.id)
        turns.append(("user", str(index)))
        assert (run.status, run.last_error) == ("completed", None)
        assert run.usage.prompt_tokens == prompt_tokens(*turns)
        turns.append(("assistant", f"You said: {index}"))
    answers = client.beta.threads.messages.list(thread.id, order="asc").data[1::2]
    assert [each.assistant_id for each in answers] == [tutors[i % 2].id for i in range(4)]
    assert len({each.run_id for each in answers}) == 4


def test_a_thread_is_locked_while_a_run_is_active(gated_client, gate):
    threads = gated_client.beta.threads
    assistant = gated_client.beta.assistants.create(model="gpt-4")
    thread = threads.create(messages=user("hi"))
    (said,) = threads.messages.list(thread.id).data
    run = threads.runs.create(thread.id, assistant_id=assistant.id)
    locked = {
        f"Can't add messages to {thread.id} while a run {run.id} is active.": lambda: (
            threads.messages.create(thread.id, role="user", content="x")
        ),
        f"Can't delete messages from {thread.id} while a run {run.id} is active.": lambda: (
            threads.messages.delete(said.id, thread_id=thread.id)
        ),
        f"Thread {thread.id} already has an active run {run.id}.": lambda: threads.runs.create(
            thread.id, assistant_id=assistant.id, additional_messages=user("x")
        ),
    }
    caught = []
    for text, call in locked.items():
        with pytest.raises(BadRequestError) as error:
            call()
        assert error.value.body == {
            "message": text, "type": "invalid_request_error", "param": None, "code": None,
        }  # fmt: skip
        caught.append(str(error.value))
    # The patterns with which agency-swarm reads these texts.
    add = r"Can't add messages to thread_([a-zA-Z0-9]+) while a run run_([a-zA-Z0-9]+) is active\."
    ids = (thread.id.removeprefix("thread_"), run.id.removeprefix("run_"))
    assert re.search(add, caught[0]).groups() == ids
    assert re.search(r"Thread (\w+) already has an active run (\w+)", caught[2]).groups() == (
        thread.id, run.id,
    )  # fmt: skip

    threads.update(thread.id, metadata={"a": "1"})
    threads.messages.update(said.id, thread_id=thread.id, metadata={"a": "1"})
    assert threads.runs.update(run.id, thread_id=thread.id, metadata={"a": "1"}).metadata
    assert [each.id for each in threads.runs.list(thread.id)] == [run.id]
    other = threads.create_and_run(assistant_id=assistant.id)
    gate.release(1_000_000)
    assert threads.runs.poll(run.id, thread_id=thread.id).metadata == {"a": "1"}
    assert threads.runs.poll(other.id, thread_id=other.thread_id).status == "completed"
    threads.messages.create(thread.id, role="user", content="free again")
    assert texts(gated_client, thread.id) == ["hi", "You said: hi", "free again"]


def test_of_many_runs_asked_for_at_once_a_thread_gets_one(gated_client, gate):
    assistant = gated_client.beta.assistants.create(model="gpt-4")
    thread = gated_client.beta.threads.create(messages=user("hi"))

    def start(index):
        try:
            return gated_client.beta.threads.runs.create(
                thread.id, assistant_id=assistant.id, additional_messages=user(str(index))
            )
        except BadRequestError as error:
            return str(error)

    with ThreadPoolExecutor(8) as callers:
        results = list(callers.map(start, range(24)))
    (run,) = (each for each in results if not isinstance(each, str))
    refused = f"Thread {thread.id} already has an active run {run.id}."
    assert [each for each in results if isinstance(each, str)] == [refused] * 23
    gate.release(1_000_000)
    gated_client.beta.threads.runs.poll(run.id, thread_id=thread.id)
    assert len(texts(gated_client, thread.id)) == 3


def test_three_runs_go_on_at_once_and_may_be_awaited_in_any_order(gated_client, gate):
    runs = gated_client.beta.threads.runs
    assistant = gated_client.beta.assistants.create(model="gpt-4")
    started = [
        gated_client.beta.threads.create_and_run(
            assistant_id=assistant.id, thread={"messages": user(str(i))}
        )
        for i in range(3)
    ]
    found = [runs.retrieve(each.id, thread_id=each.thread_id).status for each in started]
    assert set(found) <= {"queued", "in_progress"}
    gate.release(1_000_000)
    for i, run in reversed(list(enumerate(started))):
        assert runs.poll(run.id, thread_id=run.thread_id).status == "completed"
        assert texts(gated_client, run.thread_id) == [str(i), f"You said: {i}"]


def test_a_queued_run_is_cancelled_without_having_started(home, gate):
    settings = Settings(home=home, max_concurrent_runs=1)
    with Client(settings=settings, backend=ScriptedBackend(gate=gate)) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        first, second = (client.beta.threads.create_and_run(assistant_id=assistant.id)
                         for _ in range(2))  # fmt: skip
        runs = client.beta.threads.runs
        answer = runs.cancel(second.id, thread_id=second.thread_id)
        assert (answer.status, answer.required_action) == ("cancelling", None)
        done = runs.poll(second.id, thread_id=second.thread_id)
        assert (done.status, done.started_at, done.expires_at) == ("cancelled", None, None)
        assert done.cancelled_at >= second.created_at
        assert texts(client, second.thread_id) == []
        gate.release(1_000_000)
        assert runs.poll(first.id, thread_id=first.thread_id).status == "completed"


def test_a_run_in_progress_is_cancelled_and_keeps_what_it_said(gated_client, gate):
    threads = gated_client.beta.threads
    assistant = gated_client.beta.assistants.create(model="gpt-4")
    thread = threads.create(messages=user("x" * 400))
    gate.release(5)
    with threads.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        seen = []
        for event in stream:
            seen.append(event)
            if event.event == "thread.message.delta" and len(seen) <= 8:
                run_id = seen[0].data.id
                assert threads.runs.cancel(run_id, thread_id=thread.id).status == "cancelling"
                gate.release(1_000_000)
    assert [e.event for e in seen if e.event.startswith("thread.run.c")] == [
        "thread.run.created", "thread.run.cancelling", "thread.run.cancelled",
    ]  # fmt: skip
    run = threads.runs.retrieve(run_id, thread_id=thread.id)
    assert (run.status, run.completed_at, run.expires_at) == ("cancelled", None, None)
    message = threads.messages.list(thread.id).data[0]
    assert (message.status, message.incomplete_details.reason) == ("incomplete", "run_cancelled")
    assert message.text
    assert f"You said: {'x' * 400}".startswith(message.text)
    with pytest.raises(BadRequestError, match=r"^Cannot cancel run with status 'cancelled'\.$"):
        threads.runs.cancel(run_id, thread_id=thread.id)
    threads.messages.create(thread.id, role="user", content="free again")


def test_a_finished_run_cannot_be_cancelled(client, assistant, thread):
    run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
    with pytest.raises(BadRequestError) as caught:
        client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
    assert caught.value.message == "Cannot cancel run with status 'completed'."
    assert (caught.value.param, caught.value.code) == (None, None)
    assert printed(client.beta.threads.runs.retrieve(run.id, thread_id=thread.id)) == printed(run)


@pytest.mark.parametrize(
    ("given", "kept"), [({"b": "2"}, {"b": "2"}), (None, {"a": "1"}), ({}, {})]
)
def test_an_update_replaces_the_metadata_and_nothing_else(client, assistant, thread, given, kept):
    runs = client.beta.threads.runs
    run = runs.create_and_poll(thread.id, assistant_id=assistant.id, metadata={"a": "1"})
    assert run.metadata == {"a": "1"}
    updated = runs.update(run.id, thread_id=thread.id, metadata=given)
    assert printed(updated) == {**printed(run), "metadata": kept}
    assert printed(runs.retrieve(run.id, thread_id=thread.id)) == printed(updated)


@pytest.mark.parametrize("verb", ["retrieve", "update", "cancel", "poll"])
def test_a_run_is_found_only_on_its_own_thread(client, assistant, thread, verb):
    run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
    other = client.beta.threads.create()
    with pytest.raises(NotFoundError) as caught:
        getattr(client.beta.threads.runs, verb)(run.id, thread_id=other.id)
    assert caught.value.message == f"No run found with id '{run.id}'."


def test_waiting_for_a_run_while_creating_it_takes_no_stream(client, assistant, thread):
    with pytest.raises(BadRequestError) as caught:
        client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id, stream=True)
    assert caught.value.param == "stream"
    assert client.beta.threads.runs.list(thread.id).data == []
