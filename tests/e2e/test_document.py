"""The customer's document on the default model, with its own code."""

from __future__ import annotations

import json
import time

import pytest
from conftest import DEFAULT

from localassist import OpenAI

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(900)]

RUN_KEYS = [
    "id", "assistant_id", "cancelled_at", "completed_at", "created_at", "expires_at", "failed_at",
    "file_ids", "instructions", "last_error", "metadata", "model", "object", "required_action",
    "started_at", "status", "thread_id", "tools",
]  # fmt: skip


def show_json(obj):
    return json.loads(obj.model_dump_json())


def test_the_documents_walk(home, weights, monkeypatch):
    weights(DEFAULT)
    monkeypatch.setenv("LOCALASSIST_HOME", str(home))
    client = OpenAI()
    assistant = client.beta.assistants.create(
        name="Math Tutor",
        instructions="You are a personal math tutor. Answer questions briefly, in a sentence "
        "or less.",
        model="gpt-4-1106-preview",
    )
    assert list(show_json(assistant)) == [
        "id", "created_at", "description", "file_ids", "instructions", "metadata", "model", "name",
        "object", "tools",
    ]  # fmt: skip
    thread = client.beta.threads.create()
    message = client.beta.threads.messages.create(
        thread_id=thread.id,
        role="user",
        content="I need to solve the equation `3x + 11 = 14`. Can you help me?",
    )

    def wait_on_run(run, thread):
        while run.status == "queued" or run.status == "in_progress":
            run = client.beta.threads.runs.retrieve(thread_id=thread.id, run_id=run.id)
            time.sleep(0.05)
        return run

    run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)
    created = show_json(run)
    assert list(created) == RUN_KEYS
    assert (created["status"], created["started_at"]) == ("queued", None)
    assert created["expires_at"] == created["created_at"] + 600

    run = wait_on_run(run, thread)
    done = show_json(run)
    assert list(done) == RUN_KEYS
    assert (done["status"], done["expires_at"], done["last_error"]) == ("completed", None, None)

    messages = show_json(client.beta.threads.messages.list(thread_id=thread.id))
    assert list(messages) == ["data", "object", "first_id", "last_id", "has_more"]
    answer, question = messages["data"]
    assert question["id"] == message.id
    assert (answer["assistant_id"], answer["run_id"]) == (assistant.id, run.id)
    assert "3" in answer["content"][0]["text"]["value"]

    follow_up = client.beta.threads.messages.create(
        thread_id=thread.id, role="user", content="Could you explain this to me?"
    )
    run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)
    run = wait_on_run(run, thread)
    # The second turn computes its own words and not the conversation again.
    usage = run.usage
    assert usage.prompt_tokens - usage.prompt_tokens_details.cached_tokens < 40
    after = client.beta.threads.messages.list(thread_id=thread.id, order="asc", after=follow_up.id)
    assert [m.role for m in after.data] == ["assistant"]

    client = OpenAI()

    def submit_message(assistant_id, thread, user_message):
        client.beta.threads.messages.create(thread_id=thread.id, role="user", content=user_message)
        return client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant_id)

    def get_response(thread):
        return client.beta.threads.messages.list(thread_id=thread.id, order="asc")

    def create_thread_and_run(user_input):
        thread = client.beta.threads.create()
        return thread, submit_message(assistant.id, thread, user_input)

    thread1, run1 = create_thread_and_run(
        "I need to solve the equation `3x + 11 = 14`. Can you help me?"
    )
    thread2, run2 = create_thread_and_run("Could you explain linear algebra to me?")
    thread3, run3 = create_thread_and_run("I don't like math. What can I do?")
    for started, on in ((run1, thread1), (run2, thread2), (run3, thread3)):
        assert wait_on_run(started, on).status == "completed"
        assert [m.role for m in get_response(on)] == ["user", "assistant"]
    run4 = wait_on_run(submit_message(assistant.id, thread3, "Thank you!"), thread3)
    assert run4.status == "completed"
    assert [m.role for m in get_response(thread3)] == ["user", "assistant"] * 2
    assert all(m.content[0].text.value for m in get_response(thread3))
    client.close()
