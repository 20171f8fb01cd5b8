"""Messages: how they print, their parts, and their place in a thread."""

from __future__ import annotations

import json

import pytest

from localassist import BadRequestError, Client, NotFoundError, ScriptedBackend, Settings

V1_KEYS = [
    "id", "assistant_id", "content", "created_at", "file_ids", "metadata", "object", "role",
    "run_id", "thread_id",
]  # fmt: skip
V2_KEYS = [
    "id", "assistant_id", "attachments", "completed_at", "content", "created_at", "incomplete_at",
    "incomplete_details", "metadata", "object", "role", "run_id", "status", "thread_id",
]  # fmt: skip
QUESTION = "I need to solve the equation `3x + 11 = 14`. Can you help me?"


def printed(obj):
    return json.loads(obj.model_dump_json())


def say(client, thread, text, **more):
    return client.beta.threads.messages.create(thread.id, role="user", content=text, **more)


def texts(client, thread):
    return [each.text for each in client.beta.threads.messages.list(thread.id, order="asc")]


def test_a_message_prints_as_in_the_document(client, thread):
    message = client.beta.threads.messages.create(
        thread_id=thread.id, role="user", content=QUESTION
    )
    shown = printed(message)
    assert list(shown) == V1_KEYS
    assert isinstance(shown.pop("created_at"), int)
    assert shown == {
        "id": message.id,
        "assistant_id": None,
        "content": [{"text": {"annotations": [], "value": QUESTION}, "type": "text"}],
        "file_ids": [],
        "metadata": {},
        "object": "thread.message",
        "role": "user",
        "run_id": None,
        "thread_id": thread.id,
    }
    (part,) = shown["content"]
    assert (list(part), list(part["text"])) == (["text", "type"], ["annotations", "value"])
    prefix, _, body = message.id.partition("_")
    assert (prefix, len(body), body.isalnum(), body.isascii()) == ("msg", 24, True, True)


def test_a_message_prints_as_v2_when_told(home):
    settings = Settings(home=home, api_version="v2")
    with Client(settings=settings, backend=ScriptedBackend()) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        thread = client.beta.threads.create()
        say(client, thread, "hi")
        client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        answer, question = printed(client.beta.threads.messages.list(thread.id))["data"]
    assert list(answer) == list(question) == V2_KEYS
    for each in (answer, question):
        assert (each["status"], each["attachments"]) == ("completed", [])
        assert (each["incomplete_at"], each["incomplete_details"]) == (None, None)
        assert each["completed_at"] >= each["created_at"]


def test_the_list_prints_as_in_the_document(client, assistant, thread):
    question = say(client, thread, QUESTION)
    run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
    shown = printed(client.beta.threads.messages.list(thread_id=thread.id))
    assert list(shown) == ["data", "object", "first_id", "last_id", "has_more"]
    answer = shown["data"][0]
    assert shown == {
        "data": [answer, printed(question)],
        "object": "list",
        "first_id": answer["id"],
        "last_id": question.id,
        "has_more": False,
    }
    assert list(answer) == V1_KEYS
    assert (answer["assistant_id"], answer["run_id"]) == (assistant.id, run.id)
    assert (answer["role"], answer["thread_id"]) == ("assistant", thread.id)
    assert answer["content"] == [
        {"text": {"annotations": [], "value": f"You said: {QUESTION}"}, "type": "text"}
    ]


def test_the_answer_alone_follows_the_last_question(client, assistant, thread):
    say(client, thread, QUESTION)
    client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
    message = say(client, thread, "Could you explain this to me?")
    run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
    page = client.beta.threads.messages.list(thread_id=thread.id, order="asc", after=message.id)
    assert [(m.text, m.run_id) for m in page.data] == [
        ("You said: Could you explain this to me?", run.id)
    ]
    assert (page.first_id, page.last_id, page.has_more) == (page.data[0].id, page.data[0].id, False)


def test_a_page_can_be_read_as_the_document_reads_it(client, assistant, thread):
    say(client, thread, "Thank you!")
    client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
    messages = client.beta.threads.messages.list(thread_id=thread.id, order="asc")
    assert [f"{m.role}: {m.content[0].text.value}" for m in messages] == [
        "user: Thank you!",
        "assistant: You said: Thank you!",
    ]


def test_parts_are_kept_in_order(client, thread):
    parts = [
        {"type": "text", "text": "look:"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "text", "text": "well?"},
    ]
    message = say(client, thread, parts)
    shown = printed(client.beta.threads.messages.retrieve(message.id, thread_id=thread.id))
    assert shown["content"] == [
        {"text": {"annotations": [], "value": "look:"}, "type": "text"},
        {"image_url": {"url": "https://example.org/a.png", "detail": "auto"}, "type": "image_url"},
        {"image_url": {"url": "data:image/png;base64,AA", "detail": "low"}, "type": "image_url"},
        {"text": {"annotations": [], "value": "well?"}, "type": "text"},
    ]


@pytest.mark.parametrize(
    "text", [" ", "\n", "grüße ☃ 👩‍👩‍👧", "<|turn|>user\nx<|end|>", "\x01\x7f\u202e", "x" * 256_000]
)
def test_texts_come_back_unchanged(client, thread, text):
    message = say(client, thread, text)
    found = client.beta.threads.messages.retrieve(message.id, thread_id=thread.id)
    assert found.content[0].text.value == text
    assert json.loads(found.model_dump_json())["content"][0]["text"]["value"] == text


def test_ten_megabytes_fit_in_parts_of_allowed_size(client, thread):
    parts = [{"type": "text", "text": f"{i:02}" * 125_000} for i in range(40)]
    message = say(client, thread, parts)
    found = client.beta.threads.messages.retrieve(message.id, thread_id=thread.id)
    assert [part.text.value for part in found.content] == [part["text"] for part in parts]


def test_an_image_of_ten_megabytes_is_kept(client, thread):
    url = "data:image/png;base64," + "A" * 10_000_000
    message = say(client, thread, [{"type": "image_url", "image_url": {"url": url}}])
    found = client.beta.threads.messages.retrieve(message.id, thread_id=thread.id)
    assert found.content[0].image_url.url == url


def test_a_text_of_ten_megabytes_is_refused_in_few_words(client, thread):
    with pytest.raises(BadRequestError) as caught:
        say(client, thread, "x" * 10_000_000)
    assert caught.value.message == (
        "Invalid 'content': string too long. Expected a string with maximum length 256000, "
        "but got a string with length 10000000 instead."
    )
    assert texts(client, thread) == []


@pytest.mark.parametrize(
    "nulls",
    [
        {"file_ids": None, "attachments": None, "metadata": None},
        {"file_ids": [], "attachments": [], "metadata": {}},
    ],
)
def test_nulls_and_empty_values_are_as_good_as_nothing(client, thread, nulls):
    shown = printed(say(client, thread, "hi", **nulls))
    assert (shown["file_ids"], shown["metadata"]) == ([], {})
    assert texts(client, thread) == ["hi"]


def test_metadata_is_replaced_as_a_whole_and_nothing_else_changes(client, thread):
    message = say(client, thread, "hi", metadata={"a": "1", "b": "2"})
    update = client.beta.threads.messages.update
    for given, kept in (({"c": "3"}, {"c": "3"}), (None, {"c": "3"}), ({}, {})):
        updated = update(message.id, thread_id=thread.id, metadata=given)
        assert printed(updated) == {**printed(message), "metadata": kept}
        found = client.beta.threads.messages.retrieve(message.id, thread_id=thread.id)
        assert printed(found) == printed(updated)


def test_a_deleted_message_is_gone_and_unheard(client, assistant, thread):
    say(client, thread, "kept")
    gone = say(client, thread, "gone")
    assert printed(client.beta.threads.messages.delete(gone.id, thread_id=thread.id)) == {
        "id": gone.id,
        "deleted": True,
        "object": "thread.message.deleted",
    }
    with pytest.raises(NotFoundError) as caught:
        client.beta.threads.messages.retrieve(gone.id, thread_id=thread.id)
    assert caught.value.message == f"No message found with id '{gone.id}'."
    client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
    assert texts(client, thread) == ["kept", "You said: kept"]


@pytest.mark.parametrize("verb", ["retrieve", "update", "delete"])
def test_a_message_is_found_only_in_its_own_thread(client, thread, verb):
    message = say(client, thread, "hi")
    other = client.beta.threads.create()
    params = {"metadata": {"a": "1"}} if verb == "update" else {}
    with pytest.raises(NotFoundError) as caught:
        getattr(client.beta.threads.messages, verb)(message.id, thread_id=other.id, **params)
    assert caught.value.message == f"No message found with id '{message.id}'."
    found = client.beta.threads.messages.retrieve(message.id, thread_id=thread.id)
    assert printed(found) == printed(message)


def test_run_id_leaves_what_one_run_wrote(client, assistant, thread):
    runs = []
    for text in ("one", "two"):
        say(client, thread, text)
        runs.append(client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id))
    for run, text in zip(runs, ("one", "two"), strict=True):
        page = client.beta.threads.messages.list(thread.id, run_id=run.id)
        assert [each.text for each in page] == [f"You said: {text}"]
    unknown = client.beta.threads.messages.list(thread.id, run_id="run_unknown")
    assert (unknown.data, unknown.first_id, unknown.has_more) == ([], None, False)
    assert len(client.beta.threads.messages.list(thread.id, run_id=None).data) == 4


def test_the_same_words_twice_are_two_messages(client, thread):
    assert say(client, thread, "hi").id != say(client, thread, "hi").id
    assert texts(client, thread) == ["hi", "hi"]
