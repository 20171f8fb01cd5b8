"""Run steps: how they print, and what they say of their run."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from localassist import Client, NotFoundError, ScriptedBackend, Settings

V1_KEYS = [
    "id", "assistant_id", "cancelled_at", "completed_at", "created_at", "expired_at", "failed_at",
    "last_error", "metadata", "object", "run_id", "status", "step_details", "thread_id", "type",
]  # fmt: skip


def printed(obj):
    return json.loads(obj.model_dump_json())


def run_on(client, assistant, text="hi"):
    return client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": text}]}
    )


def test_a_step_tells_which_message_it_wrote(client, assistant):
    run = run_on(client, assistant)
    page = client.beta.threads.runs.steps.list(thread_id=run.thread_id, run_id=run.id, order="asc")
    (step,) = page.data
    answer = client.beta.threads.messages.list(run.thread_id).data[0]
    shown = printed(step)
    assert list(shown) == V1_KEYS
    assert run.created_at <= shown["created_at"] <= shown["completed_at"] <= run.completed_at
    assert shown == {
        "id": step.id, "assistant_id": assistant.id, "cancelled_at": None,
        "completed_at": shown["completed_at"], "created_at": shown["created_at"],
        "expired_at": None, "failed_at": None, "last_error": None, "metadata": {},
        "object": "thread.run.step", "run_id": run.id, "status": "completed",
        "step_details": {
            "message_creation": {"message_id": answer.id}, "type": "message_creation",
        },
        "thread_id": run.thread_id, "type": "message_creation",
    }  # fmt: skip
    assert list(shown["step_details"]) == ["message_creation", "type"]
    assert re.fullmatch("step_[A-Za-z0-9]{24}", step.id)
    assert printed(page) == {
        "data": [shown],
        "object": "list",
        "first_id": step.id,
        "last_id": step.id,
        "has_more": False,
    }


def test_a_step_of_v2_has_its_usage(home):
    settings = Settings(home=home, api_version="v2")
    with Client(settings=settings, backend=ScriptedBackend()) as client:
        run = run_on(client, client.beta.assistants.create(model="gpt-4"))
        (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id).data
    assert list(printed(step)) == [*V1_KEYS, "usage"]
    assert printed(step)["usage"] == printed(run)["usage"]


def test_a_step_is_retrieved_by_its_ids(client, assistant):
    run = run_on(client, assistant)
    steps = client.beta.threads.runs.steps
    (step,) = steps.list(run.id, thread_id=run.thread_id).data
    for found in (
        steps.retrieve(step.id, thread_id=run.thread_id, run_id=run.id),
        steps.retrieve(step_id=step.id, thread_id=run.thread_id, run_id=run.id),
        steps.retrieve(step.id, run.thread_id, run.id),
    ):
        assert printed(found) == printed(step)


def test_a_step_is_found_only_in_its_own_run(client, assistant):
    run, other = run_on(client, assistant), run_on(client, assistant)
    steps = client.beta.threads.runs.steps
    (step,) = steps.list(run.id, thread_id=run.thread_id).data
    for ids, message in (
        ((other.thread_id, other.id), f"No run step found with id '{step.id}'."),
        ((run.thread_id, other.id), f"No run found with id '{other.id}'."),
        ((other.thread_id, run.id), f"No run found with id '{run.id}'."),
    ):
        with pytest.raises(NotFoundError) as caught:
            steps.retrieve(step.id, *ids)
        assert caught.value.message == message
        assert (caught.value.status, caught.value.code, caught.value.param) == (404, None, None)


def test_steps_are_listed_by_run(client, assistant):
    runs = [run_on(client, assistant), run_on(client, assistant)]
    listed = [
        [step.run_id for step in client.beta.threads.runs.steps.list(run.id, run.thread_id)]
        for run in runs
    ]
    assert listed == [[run.id] for run in runs]


def test_a_run_that_never_started_has_no_steps(home, gate):
    settings = Settings(home=home, max_concurrent_runs=1)
    with Client(settings=settings, backend=ScriptedBackend(gate=gate)) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        threads = client.beta.threads
        threads.create_and_run(assistant_id=assistant.id)
        waiting = threads.create_and_run(assistant_id=assistant.id)
        threads.runs.cancel(waiting.id, thread_id=waiting.thread_id)
        threads.runs.poll(waiting.id, thread_id=waiting.thread_id)
        page = threads.runs.steps.list(waiting.id, thread_id=waiting.thread_id)
        gate.release(1_000_000)
    assert list(printed(page).values()) == [[], "list", None, None, False]


def test_the_step_of_a_cancelled_run_is_cancelled(gated_client, gate):
    threads = gated_client.beta.threads
    assistant = gated_client.beta.assistants.create(model="gpt-4")
    thread = threads.create(messages=[{"role": "user", "content": "x" * 400}])
    gate.release(5)
    with threads.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        run_id = next(e.data.id for e in stream if e.event == "thread.run.in_progress")
        begun = next(e.data for e in stream if e.event == "thread.run.step.in_progress")
        assert (begun.status, begun.completed_at) == ("in_progress", None)
        (open_step,) = threads.runs.steps.list(run_id, thread_id=thread.id).data
        assert (open_step.id, open_step.status) == (begun.id, "in_progress")
        threads.runs.cancel(run_id, thread_id=thread.id)
        gate.release(1_000_000)
        ended = next(e.data for e in stream if e.event == "thread.run.step.cancelled")
    (step,) = threads.runs.steps.list(run_id, thread_id=thread.id).data
    assert printed(step) == printed(ended)
    assert (step.id, step.status, step.completed_at) == (begun.id, "cancelled", None)
    assert step.cancelled_at >= step.created_at


def test_the_step_of_a_failed_run_says_why(home):
    calls = itertools.count()

    def reply(text):
        if text == "break" and next(calls) == 5:
            raise RuntimeError("scripted failure")
        return f"You said: {text}"

    with Client(home, backend=ScriptedBackend(reply)) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        run = run_on(client, assistant, "break")
        (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id).data
        message = client.beta.threads.messages.list(run.thread_id).data[0]
    assert (run.status, step.status) == ("failed", "failed")
    assert printed(step)["last_error"] == printed(run)["last_error"]
    assert (step.failed_at, step.completed_at) == (run.failed_at, None)
    assert "scripted failure" in step.last_error.message
    assert (message.id, message.text) == (step.step_details.message_creation.message_id, "You s")
    assert (message.status, message.incomplete_details.reason) == ("incomplete", "run_failed")
