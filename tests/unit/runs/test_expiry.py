"""Runs whose time is over, by a clock that the test sets."""

from __future__ import annotations

import threading

import pytest

from localassist import Client, ScriptedBackend, Settings
from localassist.api.runtime import Runtime


class Clock:
    def __init__(self):
        self.time = 1_700_000_000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate():
    return threading.Semaphore(0)


@pytest.fixture
def client(home, clock, gate):
    settings = Settings(home=home, run_ttl_s=600, max_concurrent_runs=1)
    runtime = Runtime(settings, backend=ScriptedBackend(gate=gate), now=clock)
    with Client.of(runtime) as client:
        yield client
        gate.release(1_000_000)


def start(client, text="hello"):
    assistant = client.beta.assistants.create(model="gpt-4")
    return client.beta.threads.create_and_run(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": text}]}
    )


def test_a_run_expires_600_seconds_after_its_creation(client, clock):
    run = start(client)
    assert run.expires_at == run.created_at + 600
    clock.time += 599
    found = client.beta.threads.runs.retrieve(run.id, run.thread_id)
    assert found.status in ("queued", "in_progress")
    clock.time += 1
    expired = client.beta.threads.runs.retrieve(run.id, run.thread_id)
    assert expired.status == "expired"
    assert expired.expires_at == run.expires_at


def test_an_expired_run_keeps_what_was_written_and_unlocks_the_thread(client, clock, gate):
    assistant = client.beta.assistants.create(model="gpt-4")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hello"}])
    with client.beta.threads.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        gate.release(5)
        for event in stream:
            if event.event == "thread.message.delta":
                break
        clock.time += 600
        names = [event.event for event in stream]
    assert names[-3:] == [
        "thread.run.step.expired",
        "thread.message.incomplete",
        "thread.run.expired",
    ]
    message = client.beta.threads.messages.list(thread.id).data[0]
    assert message.status == "incomplete"
    assert message.incomplete_details.reason == "run_expired"
    assert message.text
    assert "You said".startswith(message.text)
    client.beta.threads.messages.create(thread.id, role="user", content="go on")


def test_a_run_that_never_got_a_worker_expires_without_one(client, clock):
    start(client)
    waiting = start(client)
    clock.time += 600
    assert client.beta.threads.runs.poll(waiting.id, waiting.thread_id).status == "expired"


def test_a_message_can_be_added_where_an_overdue_run_was_not_yet_noticed(client, clock):
    run = start(client)
    clock.time += 600
    client.beta.threads.messages.create(run.thread_id, role="user", content="still there?")
    assert client.beta.threads.runs.retrieve(run.id, run.thread_id).status == "expired"
