"""Threads: how they print, what they are made with, and what goes with them."""

from __future__ import annotations

import json

import pytest

from localassist import Client, ClosedError, NotFoundError, ScriptedBackend, Settings


def printed(obj):
    return json.loads(obj.model_dump_json())


def texts(client, thread):
    return [message.text for message in client.beta.threads.messages.list(thread.id, order="asc")]


def user(*said):
    return [{"role": "user", "content": text} for text in said]


def test_a_thread_prints_as_in_the_document(client):
    thread = client.beta.threads.create()
    shown = printed(thread)
    assert list(shown) == ["id", "created_at", "metadata", "object"]
    assert isinstance(shown.pop("created_at"), int)
    assert shown == {"id": thread.id, "metadata": {}, "object": "thread"}
    prefix, _, body = thread.id.partition("_")
    assert (prefix, len(body), body.isalnum(), body.isascii()) == ("thread", 24, True, True)


def test_a_thread_prints_as_v2_when_told(home):
    settings = Settings(home=home, api_version="v2")
    with Client(settings=settings, backend=ScriptedBackend()) as client:
        thread = client.beta.threads.create()
        again = client.beta.threads.retrieve(thread.id)
    assert list(printed(thread)) == ["id", "created_at", "metadata", "object", "tool_resources"]
    assert printed(thread)["tool_resources"] == {}
    assert printed(again) == printed(thread)


def test_a_thread_is_made_with_its_messages_in_their_order(client):
    said = [f"message {i}" for i in range(32)]
    thread = client.beta.threads.create(messages=user(*said), metadata={"k": "v"})
    assert thread.metadata == {"k": "v"}
    assert [
        message.text
        for message in client.beta.threads.messages.list(thread.id, order="asc", limit=100)
    ] == said


def test_first_messages_may_be_of_both_roles_and_have_metadata(client):
    thread = client.beta.threads.create(
        messages=[
            {"role": "user", "content": "hi", "metadata": {"n": "1"}},
            {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
        ]
    )
    found = client.beta.threads.messages.list(thread.id, order="asc").data
    assert [(m.role, m.text, m.metadata) for m in found] == [
        ("user", "hi", {"n": "1"}),
        ("assistant", "hello", {}),
    ]
    assert [(m.assistant_id, m.run_id) for m in found] == [(None, None)] * 2


def test_a_tuple_of_messages_is_as_good_as_a_list(client):
    # The openai SDK takes any iterable here.
    thread = client.beta.threads.create(messages=tuple(user("hi")))
    assert texts(client, thread) == ["hi"]


@pytest.mark.parametrize(
    "params",
    [
        {"messages": None, "metadata": None, "tool_resources": None},
        {"messages": [], "metadata": {}, "tool_resources": {}},
        {"extra_headers": None, "extra_query": None, "extra_body": None, "timeout": None},
        {"extra_headers": {"OpenAI-Beta": "assistants=v2"}, "timeout": 3},
    ],
)
def test_nulls_empty_values_and_sdk_options_are_as_good_as_nothing(client, params):
    thread = client.beta.threads.create(**params)
    assert (thread.metadata, texts(client, thread)) == ({}, [])


def test_metadata_is_replaced_as_a_whole_and_null_leaves_it(client):
    thread = client.beta.threads.create(metadata={"a": "1", "b": "2"})

    def update(**params):
        updated = client.beta.threads.update(thread.id, **params)
        assert client.beta.threads.retrieve(thread.id).metadata == updated.metadata
        return updated.metadata

    assert update(metadata={"c": "3"}) == {"c": "3"}
    assert update(metadata=None, tool_resources=None) == {"c": "3"}
    assert update() == {"c": "3"}
    assert update(metadata={}) == {}


def test_an_update_changes_nothing_but_the_metadata(client):
    thread = client.beta.threads.create(messages=user("hi"))
    updated = client.beta.threads.update(thread.id, metadata={"a": "1"})
    assert printed(updated) == {**printed(thread), "metadata": {"a": "1"}}
    assert texts(client, thread) == ["hi"]


def test_metadata_holds_sixteen_pairs_of_64_and_512_characters(client):
    metadata = {f"{i:0>64}": "ü" * 512 for i in range(16)}
    thread = client.beta.threads.create(metadata=metadata)
    assert client.beta.threads.retrieve(thread.id).metadata == metadata


def test_a_deleted_thread_is_gone_with_its_messages_and_runs(client, assistant):
    thread = client.beta.threads.create(messages=user("hi"))
    run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
    (answer, _) = client.beta.threads.messages.list(thread.id).data
    other = client.beta.threads.create(messages=user("stays"))

    assert printed(client.beta.threads.delete(thread.id)) == {
        "id": thread.id,
        "deleted": True,
        "object": "thread.deleted",
    }
    threads = client.beta.threads
    for call in (
        lambda: threads.retrieve(thread.id),
        lambda: threads.update(thread.id, metadata={}),
        lambda: threads.delete(thread.id),
        lambda: threads.messages.list(thread.id),
        lambda: threads.messages.retrieve(answer.id, thread_id=thread.id),
        lambda: threads.messages.create(thread.id, role="user", content="x"),
        lambda: threads.runs.list(thread.id),
        lambda: threads.runs.retrieve(run.id, thread_id=thread.id),
        lambda: threads.runs.create(thread.id, assistant_id=assistant.id),
        lambda: threads.runs.steps.list(run.id, thread_id=thread.id),
    ):
        with pytest.raises(NotFoundError) as caught:
            call()
        assert caught.value.message == f"No thread found with id '{thread.id}'."
    assert texts(client, other) == ["stays"]


def test_deleting_a_thread_stops_its_run_and_frees_the_engine(gated_client, gate):
    threads = gated_client.beta.threads
    assistant = gated_client.beta.assistants.create(model="gpt-4")
    doomed = threads.create(messages=user("x" * 500))
    with threads.runs.stream(doomed.id, assistant_id=assistant.id) as stream:
        gate.release()
        run = next(event.data for event in stream if event.event == "thread.run.in_progress")
        assert threads.delete(doomed.id).deleted
        assert [event.event for event in stream][-1] == "thread.run.cancelled"
    with pytest.raises(NotFoundError):
        threads.runs.retrieve(run.id, thread_id=doomed.id)

    gate.release(1_000_000)
    other = threads.create(messages=user("hi"))
    assert threads.runs.create_and_poll(other.id, assistant_id=assistant.id).status == "completed"
    assert texts(gated_client, other) == ["hi", "You said: hi"]


def test_threads_outlive_their_client(home):
    with Client(home, backend=ScriptedBackend()) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        thread = client.beta.threads.create(messages=user("hi"), metadata={"k": "v"})
        run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        steps = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id)
        messages = client.beta.threads.messages.list(thread.id)
    with Client(home, backend=ScriptedBackend()) as client:
        threads = client.beta.threads
        assert printed(threads.retrieve(thread.id)) == printed(thread)
        assert printed(threads.messages.list(thread.id)) == printed(messages)
        assert printed(threads.runs.retrieve(run.id, thread_id=thread.id)) == printed(run)
        assert printed(threads.runs.list(thread.id))["data"] == [printed(run)]
        assert printed(threads.runs.steps.list(run.id, thread_id=thread.id)) == printed(steps)


def test_clients_with_engines_of_their_own_see_each_others_work(home):
    with (
        Client(home, backend=ScriptedBackend()) as one,
        Client(home, backend=ScriptedBackend(lambda text: f"two: {text}")) as two,
    ):
        assistant = one.beta.assistants.create(model="gpt-4")
        thread = two.beta.threads.create(messages=user("hi"))
        run = one.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
        assert two.beta.threads.runs.poll(run.id, thread_id=thread.id).status == "completed"
        two.beta.threads.messages.create(thread.id, role="user", content="again")
        two.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        assert texts(one, thread) == ["hi", "You said: hi", "again", "two: again"]


def test_a_closed_client_says_so(home):
    client = Client(home, backend=ScriptedBackend())
    thread = client.beta.threads.create()
    client.close()
    client.close()
    for call in (
        lambda: client.beta.threads.create(),
        lambda: client.beta.threads.retrieve(thread.id),
        lambda: client.beta.threads.messages.list(thread.id),
    ):
        with pytest.raises(ClosedError):
            call()
