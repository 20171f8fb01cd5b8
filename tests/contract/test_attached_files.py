"""Files of assistants and of messages, as the first generation of the API has them."""

from __future__ import annotations

import asyncio

import pytest

from localassist import AsyncClient, BadRequestError, NotFoundError, ScriptedBackend

GHOST = "file-abc"
NO_FILE = r"^No file found with id 'file-abc'\.$"


@pytest.fixture
def uploaded(client):
    """Makes files and returns their ids."""

    def make(number):
        return [client.files.create(file=b"%d" % i, purpose="assistants").id for i in range(number)]

    return make


@pytest.fixture
def of_assistant(client):
    return client.beta.assistants.files


@pytest.fixture
def of_message(client):
    return client.beta.threads.messages.files


def test_a_file_is_attached_to_an_assistant_and_taken_away(
    client, assistant, uploaded, of_assistant
):
    one, two = uploaded(2)
    made = of_assistant.create(assistant.id, file_id=one)
    assert made.model_dump() == {
        "id": one,
        "assistant_id": assistant.id,
        "created_at": made.created_at,
        "object": "assistant.file",
    }
    of_assistant.create(assistant.id, file_id=two)
    assert of_assistant.retrieve(one, assistant_id=assistant.id) == made
    assert client.beta.assistants.retrieve(assistant.id).file_ids == [one, two]
    assert of_assistant.delete(one, assistant_id=assistant.id).model_dump() == {
        "id": one, "deleted": True, "object": "assistant.file.deleted",
    }  # fmt: skip
    assert client.beta.assistants.retrieve(assistant.id).file_ids == [two]
    assert {each.id for each in client.files.list()} == {one, two}


def test_a_file_that_is_attached_again_is_there_once(client, assistant, uploaded, of_assistant):
    (one,) = uploaded(1)
    assert of_assistant.create(assistant.id, file_id=one) == of_assistant.create(
        assistant.id, file_id=one
    )
    assert [each.id for each in of_assistant.list(assistant.id)] == [one]


def test_files_given_with_the_assistant_are_listed_as_well(client, uploaded, of_assistant):
    ids = uploaded(5)
    assistant = client.beta.assistants.create(model="gpt-4", file_ids=ids[:4])
    of_assistant.create(assistant.id, file_id=ids[4])
    assert [each.id for each in of_assistant.list(assistant.id)] == ids[::-1]
    assert [each.id for each in of_assistant.list(assistant.id, order="asc")] == ids
    page = of_assistant.list(assistant.id, order="asc", limit=2, after=ids[0])
    assert ([each.id for each in page.data], page.has_more) == (ids[1:3], True)
    assert [each.id for each in page] == ids[1:]
    before = of_assistant.list(assistant.id, order="asc", limit=2, before=ids[3])
    assert ([each.id for each in before.data], before.has_more) == (ids[1:3], True)
    client.files.delete(ids[2])
    assert [each.id for each in of_assistant.list(assistant.id, order="asc")] == (ids[:2] + ids[3:])


def test_an_assistant_has_at_most_twenty_files(client, assistant, uploaded, of_assistant):
    *ids, last = uploaded(21)
    for each in ids:
        of_assistant.create(assistant.id, file_id=each)
    with pytest.raises(BadRequestError) as caught:
        of_assistant.create(assistant.id, file_id=last)
    assert (caught.value.code, caught.value.param) == ("array_above_max_length", "file_id")
    assert client.beta.assistants.retrieve(assistant.id).file_ids == ids


def test_files_and_assistants_that_are_not_there(client, assistant, uploaded, of_assistant):
    (one,) = uploaded(1)
    for act in (
        lambda: of_assistant.create(assistant.id, file_id=GHOST),
        lambda: of_assistant.retrieve(GHOST, assistant_id=assistant.id),
        lambda: of_assistant.delete(GHOST, assistant_id=assistant.id),
    ):
        with pytest.raises(NotFoundError, match=NO_FILE):
            act()
    for act in (
        lambda: of_assistant.create("asst_abc", file_id=one),
        lambda: of_assistant.retrieve(one, assistant_id="asst_abc"),
        lambda: of_assistant.list("asst_abc"),
        lambda: of_assistant.delete(one, assistant_id="asst_abc"),
    ):
        with pytest.raises(NotFoundError, match=r"^No assistant found with id 'asst_abc'\.$"):
            act()
    with pytest.raises(BadRequestError, match="after"):
        of_assistant.list(assistant.id, after=one)
    assert client.beta.assistants.retrieve(assistant.id).file_ids == []


def test_files_of_a_message(client, thread, uploaded, of_message):
    one, two = ids = uploaded(2)
    message = client.beta.threads.messages.create(
        thread.id, role="user", content="Look.", file_ids=ids
    )
    found = of_message.retrieve(one, thread_id=thread.id, message_id=message.id)
    assert found.model_dump() == {
        "id": one,
        "created_at": message.created_at,
        "message_id": message.id,
        "object": "thread.message.file",
    }
    listed = of_message.list(message.id, thread_id=thread.id)
    assert [each.id for each in listed] == [two, one]
    first = of_message.list(message.id, thread_id=thread.id, order="asc", limit=1)
    assert ([each.id for each in first.data], first.has_more) == ([one], True)


def test_files_of_messages_that_are_not_there(client, thread, uploaded, of_message):
    message = client.beta.threads.messages.create(thread.id, role="user", content="Look.")
    assert of_message.list(message.id, thread_id=thread.id).data == []
    with pytest.raises(NotFoundError, match=NO_FILE):
        of_message.retrieve(GHOST, thread_id=thread.id, message_id=message.id)
    with pytest.raises(NotFoundError, match=r"^No message found with id 'msg_abc'\.$"):
        of_message.list("msg_abc", thread_id=thread.id)
    with pytest.raises(NotFoundError, match=r"^No thread found with id 'thread_abc'\.$"):
        of_message.list(message.id, thread_id="thread_abc")


def test_the_async_client_has_them_too(home):
    async def scenario():
        async with AsyncClient(home, backend=ScriptedBackend()) as client:
            one = await client.files.create(file=b"1", purpose="assistants")
            assistant = await client.beta.assistants.create(model="gpt-4")
            files = client.beta.assistants.files
            await files.create(assistant.id, file_id=one.id)
            listed = [each.id async for each in files.list(assistant.id)]
            thread = await client.beta.threads.create()
            message = await client.beta.threads.messages.create(
                thread.id, role="user", content="Look.", file_ids=[one.id]
            )
            of_message = client.beta.threads.messages.files
            found = [each.id async for each in of_message.list(message.id, thread_id=thread.id)]
            await files.delete(one.id, assistant_id=assistant.id)
            left = [each.id async for each in files.list(assistant.id)]
            return listed == found == [one.id], left

    assert asyncio.run(scenario()) == (True, [])
