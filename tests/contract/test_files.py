"""Files: uploaded in every way, listed, read, deleted, and kept once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from localassist import AsyncClient, BadRequestError, Client, NotFoundError, ScriptedBackend
from localassist.api.runtime import Runtime
from localassist.settings import Settings


def blobs(home):
    return sorted(path.name for path in Path(home, "blobs").rglob("*") if path.is_file())


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"a,b\n1,2\n")
    return path


def test_a_file_is_taken_in_every_form_that_the_sdk_takes(client, document):
    create = client.files.create
    with document.open("rb") as opened:
        by_handle = create(file=opened, purpose="assistants")
    by_path = create(file=document, purpose="assistants")
    by_tuple = create(file=("b.csv", b"a,b\n1,2\n"), purpose="assistants")
    by_typed_tuple = create(file=("c.csv", io.BytesIO(b"a,b\n1,2\n"), "text/csv"), purpose="vision")
    by_bytes = create(file=b"a,b\n1,2\n", purpose="assistants")
    found = [by_handle, by_path, by_tuple, by_typed_tuple, by_bytes]
    assert [each.filename for each in found] == [
        "data.csv", "data.csv", "b.csv", "c.csv", "upload",
    ]  # fmt: skip
    for each in found:
        assert (each.bytes, each.object, each.status) == (8, "file", "processed")
        assert each.id.startswith("file-")
        assert client.files.retrieve(each.id) == each
        assert client.files.content(each.id).read() == b"a,b\n1,2\n"
    assert client.files.retrieve_content(by_path.id) == "a,b\n1,2\n"
    assert [each.id for each in client.files.list()] == [each.id for each in reversed(found)]
    assert [each.id for each in client.files.list(purpose="vision")] == [by_typed_tuple.id]


def test_the_printed_shape(client, document):
    shown = client.files.create(file=document, purpose="assistants").model_dump()
    assert list(shown) == [
        "id", "bytes", "created_at", "filename", "object", "purpose", "status", "status_details",
    ]  # fmt: skip


def test_the_same_bytes_are_kept_once_and_as_long_as_anybody_has_them(home, client):
    first = client.files.create(file=b"same", purpose="assistants")
    second = client.files.create(file=b"same", purpose="assistants")
    assert len(blobs(home)) == 1
    assert client.files.delete(first.id).model_dump() == {
        "id": first.id, "deleted": True, "object": "file",
    }  # fmt: skip
    assert client.files.content(second.id).text == "same"
    client.files.delete(second.id)
    assert blobs(home) == []


def test_content_has_the_sdks_methods(client, tmp_path):
    file = client.files.create(file=b'{"a": 1}', purpose="assistants")
    content = client.files.content(file.id)
    assert content.json() == {"a": 1}
    assert b"".join(content.iter_bytes(3)) == content.content == b'{"a": 1}'
    content.write_to_file(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b'{"a": 1}'


def test_a_file_that_is_not_there(client):
    for act in (client.files.retrieve, client.files.delete, client.files.content):
        with pytest.raises(NotFoundError) as caught:
            act("file-abc")
        assert str(caught.value) == "No such File object: file-abc"
        assert caught.value.param == "id"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"file": b"x"}, "purpose"),
        ({"purpose": "assistants"}, "file"),
        ({"file": b"x", "purpose": "fun"}, "purpose"),
        ({"file": 5, "purpose": "assistants"}, "file"),
        ({"file": io.StringIO("text"), "purpose": "assistants"}, "file"),
        ({"file": Path("/no/such/file"), "purpose": "assistants"}, "file"),
    ],
)
def test_what_is_no_upload_is_refused_and_leaves_nothing(home, client, params, param):
    with pytest.raises(BadRequestError) as caught:
        client.files.create(**params)
    assert caught.value.param == param
    assert client.files.list().data == []
    assert blobs(home) == []


def test_a_file_of_too_many_bytes_is_refused_while_it_is_read(home, client):
    class Endless:
        name = "endless.bin"
        num_read = 0

        def read(self, size):
            self.num_read += size
            return b"\0" * size

    endless = Endless()
    with pytest.raises(BadRequestError) as caught:
        client.files.create(file=endless, purpose="assistants")
    assert caught.value.code == "file_too_large"
    assert endless.num_read < 600 * 1024 * 1024
    assert blobs(home) == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\\b.txt", "b.txt"),
        ("x" * 999 + ".pdf", "x" * 251 + ".pdf"),
    ],
)
def test_a_name_is_a_name_and_not_a_path(client, name, kept):
    assert client.files.create(file=(name, b"x"), purpose="assistants").filename == kept


def test_a_file_ends_when_it_was_asked_to(home):
    now = [1_000_000.0]
    runtime = Runtime(Settings(home=home), backend=ScriptedBackend(), now=lambda: now[0])
    with Client.of(runtime) as client:
        file = client.files.create(
            file=b"x", purpose="assistants", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        assert file.expires_at == 1_003_600
        now[0] += 3601
        with pytest.raises(NotFoundError):
            client.files.content(file.id)
        assert client.files.list().data == []
        assert blobs(home) == []


async def _async_round(home):
    async with AsyncClient(home, backend=ScriptedBackend()) as client:
        file = await client.files.create(file=b"x", purpose="assistants")
        content = await client.files.content(file.id)
        listed = [each.id async for each in await client.files.list()]
        return content.read(), listed == [file.id]


def test_the_async_client_has_files_too(home):
    import asyncio

    assert asyncio.run(_async_round(home)) == (b"x", True)


# --- attached ---

CODE = {"type": "code_interpreter"}


def test_assistants_show_their_files_in_both_generations(client):
    one = client.files.create(file=b"1", purpose="assistants")
    two = client.files.create(file=b"2", purpose="assistants")
    old = client.beta.assistants.create(model="gpt-4", tools=[CODE], file_ids=[one.id])
    assert old.file_ids == [one.id]
    assert old.tool_resources == {"code_interpreter": {"file_ids": [one.id]}}
    new = client.beta.assistants.create(
        model="gpt-4", tools=[CODE], tool_resources={"code_interpreter": {"file_ids": [two.id]}}
    )
    assert new.file_ids == [two.id]
    client.beta.assistants.update(new.id, file_ids=[one.id])
    assert client.beta.assistants.retrieve(new.id).file_ids == [one.id]
    client.beta.assistants.update(new.id, name="x")
    assert client.beta.assistants.retrieve(new.id).file_ids == [one.id]
    client.beta.assistants.update(new.id, file_ids=[])
    assert client.beta.assistants.retrieve(new.id).file_ids == []


def test_files_of_messages_become_the_threads(client):
    one = client.files.create(file=b"1", purpose="assistants")
    two = client.files.create(file=b"2", purpose="assistants")
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": "a", "file_ids": [one.id]}]
    )
    message = client.beta.threads.messages.create(
        thread.id, role="user", content="b", attachments=[{"file_id": two.id, "tools": [CODE]}]
    )
    assert message.file_ids == [two.id]
    assert message.attachments == [{"file_id": two.id, "tools": [CODE]}]
    resources = client.beta.threads.retrieve(thread.id).tool_resources
    assert resources == {"code_interpreter": {"file_ids": [one.id, two.id]}}


def test_a_file_that_is_not_there_is_attached_nowhere(client, thread, assistant):
    ghost = "file-000000000000000000000000"
    for act in (
        lambda: client.beta.assistants.create(model="gpt-4", tools=[CODE], file_ids=[ghost]),
        lambda: client.beta.assistants.update(assistant.id, file_ids=[ghost]),
        lambda: client.beta.threads.messages.create(
            thread.id, role="user", content="a", file_ids=[ghost]
        ),
        lambda: client.beta.threads.create(
            tool_resources={"code_interpreter": {"file_ids": [ghost]}}
        ),
    ):
        with pytest.raises(NotFoundError, match=ghost):
            act()
    assert client.beta.threads.messages.list(thread.id).data == []
    assert len(client.beta.assistants.list().data) == 1
    with pytest.raises(BadRequestError, match="file"):
        client.beta.assistants.create(model="gpt-4", file_ids=["asst_1"])
