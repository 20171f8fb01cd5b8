"""Vector stores: made, changed, listed, searched, expired and deleted."""

from __future__ import annotations

import asyncio

import pytest
from watched_embedder import WatchedEmbedder, open_client

from localassist import AsyncClient, BadRequestError, NotFoundError

HARBOUR = b"The harbour of Oslo was enlarged in 1961. Its new quay is made of granite."
CHEESE = b"Brown cheese is made of whey. The whey is boiled until its sugar turns brown."
NO_COUNTS = {"cancelled": 0, "completed": 0, "failed": 0, "in_progress": 0, "total": 0}
DAY_S = 86400


@pytest.fixture
def embedder():
    return WatchedEmbedder()


@pytest.fixture
def client(home, embedder):
    with open_client(home, embedder=embedder) as client:
        yield client
        embedder.may_go_on.set()


def upload(client, name, data):
    return client.files.create(file=(name, data), purpose="assistants").id


def filled(client, **files):
    """A store with indexed files, whose attribute `topic` is their name; and their ids."""
    store = client.vector_stores.create()
    ids = {}
    for topic, data in files.items():
        ids[topic] = upload(client, f"{topic}.txt", data)
        file = client.vector_stores.files.create_and_poll(
            store.id, file_id=ids[topic], attributes={"topic": topic, "size": len(data)}
        )
        assert file.status == "completed", file.last_error
    return store, ids


def found(page):
    return [each.filename for each in page.data]


def test_the_printed_shape(client):
    store = client.vector_stores.create(name="Papers", metadata={"a": "1"})
    assert store.id.startswith("vs_")
    assert store.model_dump() == {
        "id": store.id,
        "created_at": store.created_at,
        "file_counts": NO_COUNTS,
        "last_active_at": store.created_at,
        "metadata": {"a": "1"},
        "name": "Papers",
        "object": "vector_store",
        "status": "completed",
        "usage_bytes": 0,
        "expires_after": None,
        "expires_at": None,
    }
    assert client.vector_stores.retrieve(store.id) == store


def test_an_unnamed_store_has_no_name(client):
    assert client.vector_stores.create().name is None
    described = client.vector_stores.create(description="All of them.")
    assert described.model_dump()["description"] == "All of them."


def test_what_is_not_given_stays(client):
    store = client.vector_stores.create(name="a", metadata={"k": "v"})
    renamed = client.vector_stores.update(store.id, name="b")
    assert (renamed.name, renamed.metadata) == ("b", {"k": "v"})
    client.vector_stores.update(store.id, metadata={"k": "w"})
    cleared = client.vector_stores.update(store.id, name=None)
    assert (cleared.name, cleared.metadata) == (None, {"k": "w"})
    assert client.vector_stores.retrieve(store.id) == cleared


def test_stores_are_listed_newest_first_and_in_pages(client):
    ids = [client.vector_stores.create(name=str(i)).id for i in range(5)]
    assert [each.id for each in client.vector_stores.list(limit=2)] == ids[::-1]
    page = client.vector_stores.list(limit=2, order="asc", after=ids[1])
    assert ([each.id for each in page.data], page.has_more) == (ids[2:4], True)
    assert client.beta.vector_stores.list(limit=1).data[0].id == ids[-1]


def test_a_deleted_store_is_gone_and_its_files_stay(client):
    store, ids = filled(client, harbour=HARBOUR)
    assert client.vector_stores.delete(store.id).model_dump() == {
        "id": store.id, "deleted": True, "object": "vector_store.deleted",
    }  # fmt: skip
    with pytest.raises(NotFoundError):
        client.vector_stores.search(store.id, query="harbour")
    assert client.files.content(ids["harbour"]).read() == HARBOUR


def test_unknown_stores_and_files_have_the_apis_texts(client):
    stores = client.vector_stores
    store = stores.create()
    no_store = "Vector store with id 'vs_abc' not found."
    for act in (
        lambda: stores.retrieve("vs_abc"),
        lambda: stores.update("vs_abc", name="a"),
        lambda: stores.delete("vs_abc"),
        lambda: stores.search("vs_abc", query="a"),
        lambda: stores.files.list("vs_abc"),
        lambda: stores.files.create("vs_abc", file_id="file-abc"),
        lambda: stores.files.delete("file-abc", "vs_abc"),
        lambda: stores.file_batches.create("vs_abc", file_ids=["file-abc"]),
    ):
        with pytest.raises(NotFoundError) as caught:
            act()
        assert str(caught.value) == no_store
        assert (caught.value.param, caught.value.code) == (None, None)
    for act in (
        lambda: stores.create(file_ids=["file-abc"]),
        lambda: stores.files.create(store.id, file_id="file-abc"),
        lambda: stores.file_batches.create(store.id, file_ids=["file-abc"]),
    ):
        with pytest.raises(NotFoundError) as caught:
            act()
        assert str(caught.value) == "No file found with id 'file-abc'."
    assert [each.id for each in stores.list()] == [store.id]


def test_counts_follow_the_files(client, embedder):
    embedder.may_go_on.clear()
    good, bad = upload(client, "a.txt", HARBOUR), upload(client, "a.pdf", b"no PDF")
    store = client.vector_stores.create(file_ids=[good, bad])
    assert (store.status, store.usage_bytes) == ("in_progress", 0)
    assert store.file_counts.model_dump() == {**NO_COUNTS, "in_progress": 2, "total": 2}
    embedder.may_go_on.set()
    for file_id in (good, bad):
        client.vector_stores.files.poll(file_id, store.id)
    store = client.vector_stores.retrieve(store.id)
    assert (store.status, store.usage_bytes > len(HARBOUR)) == ("completed", True)
    assert store.file_counts.model_dump() == {
        **NO_COUNTS, "completed": 1, "failed": 1, "total": 2,
    }  # fmt: skip
    client.vector_stores.files.delete(bad, store.id)
    client.files.delete(good)
    store = client.vector_stores.retrieve(store.id)
    assert (store.file_counts.model_dump(), store.usage_bytes) == (NO_COUNTS, 0)


# --- chunks and expiry ---


def static(size, overlap):
    sizes = {"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}
    return {"type": "static", "static": sizes}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, static(800, 400)),
        ({"type": "auto"}, static(800, 400)),
        (static(100, 50), static(100, 50)),
        (static(4096, 0), static(4096, 0)),
    ],
)
def test_chunks_are_as_they_were_asked_for(client, given, shown):
    file_id = upload(client, "a.txt", HARBOUR)
    store = client.vector_stores.create(file_ids=[file_id], chunking_strategy=given)
    (file,) = client.vector_stores.files.list(store.id).data
    assert file.chunking_strategy == shown


@pytest.mark.parametrize(
    ("strategy", "param"),
    [
        (static(99, 0), "chunking_strategy.static.max_chunk_size_tokens"),
        (static(4097, 0), "chunking_strategy.static.max_chunk_size_tokens"),
        (static(100, 51), "chunking_strategy.static.chunk_overlap_tokens"),
        (static(100, -1), "chunking_strategy.static.chunk_overlap_tokens"),
        ({"type": "static"}, "chunking_strategy.static"),
        ({"type": "clever"}, "chunking_strategy.type"),
    ],
)
def test_impossible_chunks_are_refused(client, strategy, param):
    file_id = upload(client, "a.txt", HARBOUR)
    with pytest.raises(BadRequestError) as caught:
        client.vector_stores.create(file_ids=[file_id], chunking_strategy=strategy)
    assert caught.value.param == param
    assert client.vector_stores.list().data == []


def test_a_store_expires_when_nobody_uses_it(home):
    now = [1_000_000.0]
    with open_client(home, now=lambda: now[0]) as client:
        expiry = {"anchor": "last_active_at", "days": 2}
        store = client.vector_stores.create(expires_after=expiry)
        assert (store.expires_after, store.expires_at) == (expiry, 1_000_000 + 2 * DAY_S)
        now[0] += DAY_S
        client.vector_stores.search(store.id, query="anything")
        used = client.vector_stores.retrieve(store.id)
        assert (used.last_active_at, used.expires_at) == (now[0], now[0] + 2 * DAY_S)
        now[0] += 2 * DAY_S
        assert client.vector_stores.retrieve(store.id).status == "expired"
        kept = client.vector_stores.create(expires_after=expiry)
        assert client.vector_stores.update(kept.id, expires_after=None).expires_at is None
        now[0] += 9 * DAY_S
        assert client.vector_stores.retrieve(kept.id).status == "completed"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"anchor": "created_at", "days": 1}, "expires_after.anchor"),
        ({"anchor": "last_active_at", "days": 0}, "expires_after.days"),
        ({"anchor": "last_active_at", "days": 366}, "expires_after.days"),
        ({"anchor": "last_active_at"}, "expires_after.days"),
    ],
)
def test_an_impossible_expiry_is_refused(client, wrong, param):
    with pytest.raises(BadRequestError) as caught:
        client.vector_stores.create(expires_after=wrong)
    assert caught.value.param == param


def test_the_async_client_has_stores_too(home):
    async def scenario():
        async with open_client(home, face=AsyncClient) as client:
            store = await client.vector_stores.create(name="a")
            file = await client.vector_stores.files.upload_and_poll(
                store.id, file=("harbour.txt", HARBOUR), attributes={"n": 1}
            )
            batch = await client.vector_stores.file_batches.upload_and_poll(
                store.id, files=[("cheese.txt", CHEESE)]
            )
            page = await client.vector_stores.search(store.id, query="harbour")
            listed = [each.id async for each in client.vector_stores.files.list(store.id)]
            content = await client.vector_stores.files.content(file.id, store.id)
            await client.vector_stores.update(store.id, name="b")
            name = (await client.vector_stores.retrieve(store.id)).name
            deleted = (await client.vector_stores.delete(store.id)).deleted
            return [
                file.status, batch.file_counts.completed, found(page)[0], file.id in listed,
                len(listed), content.data[0].text, name, deleted,
            ]  # fmt: skip

    assert asyncio.run(scenario()) == [
        "completed", 1, "harbour.txt", True, 2, HARBOUR.decode(), "b", True,
    ]  # fmt: skip
