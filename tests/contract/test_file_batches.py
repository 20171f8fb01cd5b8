"""File batches: files that are put into a vector store together."""

from __future__ import annotations

import pytest
from watched_embedder import WatchedEmbedder, open_client

from localassist import BadRequestError, NotFoundError

NO_COUNTS = {"cancelled": 0, "completed": 0, "failed": 0, "in_progress": 0, "total": 0}


@pytest.fixture
def embedder():
    return WatchedEmbedder()


@pytest.fixture
def client(home, embedder):
    with open_client(home, embedder=embedder) as client:
        yield client
        embedder.may_go_on.set()


@pytest.fixture
def store(client):
    return client.vector_stores.create()


@pytest.fixture
def batches(client):
    return client.vector_stores.file_batches


def uploaded(client, number):
    return [
        client.files.create(file=(f"{i}.txt", b"Harbour number %d." % i), purpose="assistants").id
        for i in range(number)
    ]


def test_the_printed_shape(client, store, batches, embedder):
    ids = uploaded(client, 2)
    embedder.may_go_on.clear()
    batch = batches.create(store.id, file_ids=ids)
    assert batch.id.startswith("vsfb_")
    assert batch.model_dump() == {
        "id": batch.id,
        "created_at": batch.created_at,
        "file_counts": {**NO_COUNTS, "in_progress": 2, "total": 2},
        "object": "vector_store.files_batch",
        "status": "in_progress",
        "vector_store_id": store.id,
    }
    embedder.may_go_on.set()
    done = batches.poll(batch.id, store.id)
    assert done.status == "completed"
    assert done.file_counts.model_dump() == {**NO_COUNTS, "completed": 2, "total": 2}
    assert batches.retrieve(batch.id, store.id) == done
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 2


def test_a_batch_lists_its_own_files_only(client, store, batches):
    ids = uploaded(client, 4)
    bad = client.files.create(file=("bad.txt", b""), purpose="assistants").id
    client.vector_stores.files.create_and_poll(store.id, file_id=ids[3])
    batch = batches.create_and_poll(store.id, file_ids=[*ids[:3], bad])

    def listed(**page):
        return [each.id for each in batches.list_files(batch.id, store.id, **page).data]

    assert listed() == [bad, *ids[2::-1]]
    assert listed(filter="failed") == [bad]
    assert listed(filter="completed", order="asc") == ids[:3]
    assert listed(filter="in_progress") == []
    assert listed(order="asc", after=ids[0], limit=1) == [ids[1]]
    assert batch.file_counts.model_dump() == {
        **NO_COUNTS, "completed": 3, "failed": 1, "total": 4,
    }  # fmt: skip


def test_what_is_said_of_a_batch_is_said_of_each_file(client, store, batches):
    sizes = {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}
    chunks = {"type": "static", "static": sizes}
    one, two, three = uploaded(client, 3)
    batches.create_and_poll(
        store.id, file_ids=[one], attributes={"of": "all"}, chunking_strategy=chunks
    )
    batches.create_and_poll(
        store.id,
        files=[
            {"file_id": two, "attributes": {"of": "two"}},
            {"file_id": three, "chunking_strategy": chunks},
        ],
    )
    files = [client.vector_stores.files.retrieve(each, store.id) for each in (one, two, three)]
    assert [each.attributes for each in files] == [{"of": "all"}, {"of": "two"}, {}]
    assert [each.chunking_strategy["static"] == sizes for each in files] == [True, False, True]


def test_a_cancelled_batch_indexes_no_more(client, store, batches, embedder):
    ids = uploaded(client, 3)
    known = client.vector_stores.files.create_and_poll(store.id, file_id=ids[0])
    embedder.may_go_on.clear()
    batch = batches.create(store.id, file_ids=ids[1:])
    cancelled = batches.cancel(batch.id, store.id)
    assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 2)
    embedder.may_go_on.set()
    assert batches.poll(batch.id, store.id) == cancelled
    statuses = {each.id: each.status for each in client.vector_stores.files.list(store.id)}
    assert statuses == {known.id: "completed", ids[1]: "cancelled", ids[2]: "cancelled"}
    found = client.vector_stores.search(store.id, query="harbour number").data
    assert [each.filename for each in found] == ["0.txt"]
    # Put in again, a file is indexed after all.
    assert (
        client.vector_stores.files.create_and_poll(store.id, file_id=ids[1]).status == "completed"
    )


def test_a_finished_batch_stays_completed_when_it_is_cancelled(client, store, batches):
    batch = batches.create_and_poll(store.id, file_ids=uploaded(client, 1))
    assert batches.cancel(batch.id, store.id).file_counts.completed == 1
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 1


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "file_ids"),
        ({"file_ids": []}, "file_ids"),
        ({"file_ids": ["file-a"], "files": [{"file_id": "file-a"}]}, "file_ids"),
        ({"files": [{"attributes": {}}]}, "files[0].file_id"),
        ({"file_ids": ["asst_a"]}, "file_ids"),
        ({"file_ids": [f"file-{i}" for i in range(2001)]}, "file_ids"),
    ],
)
def test_what_is_no_batch_is_refused(store, batches, params, param):
    with pytest.raises(BadRequestError) as caught:
        batches.create(store.id, **params)
    assert caught.value.param.startswith(param)


def test_one_file_that_is_not_there_refuses_the_batch(client, store, batches):
    (good,) = uploaded(client, 1)
    with pytest.raises(NotFoundError, match=r"^No file found with id 'file-abc'\.$"):
        batches.create(store.id, file_ids=[good, "file-abc"])
    assert client.vector_stores.files.list(store.id).data == []


def test_unknown_batches(client, store, batches):
    other = client.vector_stores.create()
    batch = batches.create_and_poll(store.id, file_ids=uploaded(client, 1))
    for act in (batches.retrieve, batches.cancel, batches.list_files):
        with pytest.raises(NotFoundError, match=r"^No file batch found with id 'vsfb_abc'\.$"):
            act("vsfb_abc", store.id)
        with pytest.raises(NotFoundError, match=batch.id):
            act(batch.id, other.id)
        with pytest.raises(NotFoundError, match=r"^Vector store with id 'vs_abc' not found\.$"):
            act(batch.id, "vs_abc")


def test_files_are_uploaded_and_put_in_at_once(client, store, batches):
    ids = uploaded(client, 1)
    batch = batches.upload_and_poll(
        store.id, files=[("x.txt", b"A quay."), ("y.txt", b"A pier.")], file_ids=ids
    )
    assert batch.file_counts.completed == 3
    assert {each.filename for each in client.files.list()} == {"0.txt", "x.txt", "y.txt"}
