"""Files of vector stores: put in, indexed or not, shown, changed and taken out."""

from __future__ import annotations

import pytest
from pdf_writer import locked_pdf, pdf, scanned_pdf
from watched_embedder import WatchedEmbedder, open_client, real_embedder

from localassist import BadRequestError, NotFoundError

HARBOUR = b"The harbour of Oslo was enlarged in 1961. Its new quay is made of granite."


class AfterFirstPiece(WatchedEmbedder):
    """Holds what comes after the first piece of a document; questions pass."""

    def encode(self, texts):
        if self.texts and len(texts) > 1:
            self.may_go_on.wait()
        self.texts += texts
        return real_embedder().encode(texts)


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


def upload(client, name, data):
    return client.files.create(file=(name, data), purpose="assistants").id


def attach(client, store, name, data, **params):
    file_id = upload(client, name, data)
    return client.vector_stores.files.create_and_poll(store.id, file_id=file_id, **params)


def found(client, store, query="harbour"):
    return [each.filename for each in client.vector_stores.search(store.id, query=query).data]


def test_the_printed_shape(client, store, embedder):
    file_id = upload(client, "a.txt", HARBOUR)
    embedder.may_go_on.clear()
    file = client.vector_stores.files.create(store.id, file_id=file_id, attributes={"a": "b"})
    assert file.model_dump() == {
        "id": file_id,
        "created_at": file.created_at,
        "last_error": None,
        "object": "vector_store.file",
        "status": "in_progress",
        "usage_bytes": 0,
        "vector_store_id": store.id,
        "attributes": {"a": "b"},
        "chunking_strategy": {
            "type": "static",
            "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
        },
    }
    embedder.may_go_on.set()
    done = client.vector_stores.files.poll(file_id, store.id)
    assert (done.status, done.last_error) == ("completed", None)
    assert done.usage_bytes > len(HARBOUR)
    assert client.vector_stores.files.retrieve(file_id, store.id) == done


def test_the_content_is_the_text_of_each_page(client, store):
    file = attach(client, store, "a.pdf", pdf(["On the first page.", "On the second one."]))
    content = client.vector_stores.files.content(file.id, store.id).model_dump()
    assert content == {
        "object": "vector_store.file_content.page",
        "data": [
            {"text": "On the first page.", "type": "text"},
            {"text": "On the second one.", "type": "text"},
        ],
        "has_more": False,
        "next_page": None,
    }


def test_a_result_says_on_which_page_it_was_found(client, store):
    attach(client, store, "a.pdf", pdf(["Cheese is made of whey.", HARBOUR.decode()]))
    (first, second) = client.vector_stores.search(store.id, query="harbour of Oslo").data
    assert [(each.page, each.content[0].text) for each in (first, second)] == [
        (2, HARBOUR.decode()),
        (1, "Cheese is made of whey."),
    ]


def test_attributes_are_replaced(client, store):
    file = attach(client, store, "a.txt", HARBOUR, attributes={"a": "b", "n": 1.5, "x": True})
    assert file.attributes == {"a": "b", "n": 1.5, "x": True}
    updated = client.vector_stores.files.update(file.id, store.id, attributes={"c": 2})
    assert updated.attributes == {"c": 2}
    assert client.vector_stores.files.retrieve(file.id, store.id).attributes == {"c": 2}
    nothing = client.vector_stores.search(
        store.id, query="harbour", filters={"type": "eq", "key": "a", "value": "b"}
    )
    assert nothing.data == []


@pytest.mark.parametrize(
    "attributes",
    [
        {str(i): 1 for i in range(17)},
        {"k" * 65: "v"},
        {"k": "v" * 513},
        {"k": ["v"]},
        {"k": None},
    ],
)
def test_impossible_attributes_are_refused(client, store, attributes):
    file_id = upload(client, "a.txt", HARBOUR)
    with pytest.raises(BadRequestError) as caught:
        client.vector_stores.files.create(store.id, file_id=file_id, attributes=attributes)
    assert caught.value.param.startswith("attributes")
    assert client.vector_stores.files.list(store.id).data == []


def test_a_file_that_is_taken_out_is_not_found_and_stays(client, store):
    file = attach(client, store, "a.txt", HARBOUR)
    deleted = client.vector_stores.files.delete(file.id, store.id)
    assert deleted.model_dump() == {
        "id": file.id, "deleted": True, "object": "vector_store.file.deleted",
    }  # fmt: skip
    assert found(client, store) == []
    assert client.files.content(file.id).read() == HARBOUR
    for act in (
        client.vector_stores.files.retrieve,
        client.vector_stores.files.delete,
        client.vector_stores.files.content,
    ):
        with pytest.raises(NotFoundError, match=f"No file found with id '{file.id}'"):
            act(file.id, store.id)


def test_a_deleted_file_leaves_every_store(client, store):
    other = client.vector_stores.create()
    file = attach(client, store, "a.txt", HARBOUR)
    client.vector_stores.files.create_and_poll(other.id, file_id=file.id)
    assert found(client, store) == found(client, other) == ["a.txt"]
    client.files.delete(file.id)
    for each in (store, other):
        assert found(client, each) == []
        assert client.vector_stores.files.list(each.id).data == []
        assert client.vector_stores.retrieve(each.id).file_counts.total == 0


def test_a_cursor_is_a_place_in_its_own_store(client, store):
    other = client.vector_stores.create()
    ids = [upload(client, f"{i}.txt", HARBOUR + bytes([65 + i])) for i in range(4)]
    for file_id in ids:
        client.vector_stores.files.create(store.id, file_id=file_id)
    for file_id in reversed(ids):
        client.vector_stores.files.create(other.id, file_id=file_id)

    def after(store_id, file_id, **page):
        return [
            each.id for each in client.vector_stores.files.list(store_id, after=file_id, **page)
        ]

    assert after(store.id, ids[2]) == [ids[1], ids[0]]
    assert after(other.id, ids[2]) == [ids[3]]
    assert after(store.id, ids[2], order="asc") == [ids[3]]
    assert after(other.id, ids[2], order="asc", limit=1) == [ids[1], ids[0]]
    stranger = upload(client, "x.txt", b"x")
    with pytest.raises(BadRequestError, match="after"):
        client.vector_stores.files.list(store.id, after=stranger)


def test_files_are_listed_by_their_status(client, store):
    good = attach(client, store, "a.txt", HARBOUR)
    bad = attach(client, store, "b.txt", b"")

    def listed(status):
        return [each.id for each in client.vector_stores.files.list(store.id, filter=status)]

    assert [listed(each) for each in ("completed", "failed", "in_progress", "cancelled")] == [
        [good.id], [bad.id], [], [],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "code", "word", "said"),
    [
        ("a.txt", b"", "invalid_file", "empty", "empty"),
        ("a.pdf", b"Not a PDF at all.", "invalid_file", "malformed", "not a PDF"),
        ("a.pdf", pdf([]), "invalid_file", "no_text", "no pages"),
        ("a.pdf", scanned_pdf(3), "invalid_file", "no_text", "OCR"),
        ("a.pdf", locked_pdf(["Secret."], password="p"), "invalid_file", "encrypted", "password"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0", "unsupported_file", "unsupported", "[.png]"),
    ],
)
def test_a_file_without_text_fails_and_says_why(client, store, name, data, code, word, said):
    file = attach(client, store, name, data)
    assert (file.status, file.last_error.code) == ("failed", code)
    start, _, sentence = file.last_error.message.partition(": ")
    assert start == word
    assert said in sentence
    assert found(client, store) == []


def test_a_failed_file_does_not_keep_others_from_being_found(client, store):
    attach(client, store, "a.pdf", b"%PDF-1.4 and nothing more")
    attach(client, store, "b.txt", HARBOUR)
    assert found(client, store) == ["b.txt"]


def test_a_name_of_a_thousand_characters(client, store):
    file = attach(client, store, "n" * 1000 + ".pdf", pdf([HARBOUR.decode()]))
    assert file.status == "completed"
    (name,) = found(client, store)
    assert (len(name), name[-5:]) == (255, "n.pdf")


def test_the_same_bytes_are_embedded_once(client, store, embedder):
    attach(client, store, "a.txt", HARBOUR)
    assert embedder.texts == [HARBOUR.decode()]
    other = client.vector_stores.create()
    again = attach(client, other, "a.txt", HARBOUR)
    renamed = attach(client, other, "b.txt", HARBOUR)
    assert (again.status, renamed.status) == ("completed", "completed")
    assert embedder.texts == [HARBOUR.decode()]
    assert sorted(found(client, other)) == ["a.txt", "b.txt"]


def test_a_long_file_shows_its_progress_and_is_searched_meanwhile(home):
    embedder = AfterFirstPiece()
    embedder.may_go_on.clear()
    pages = [f"Page {i} tells of the harbour number {i}." for i in range(1, 301)]
    seen = []

    with open_client(home, embedder=embedder) as client:
        store = client.vector_stores.create()

        def look(file):
            if file.progress is not None:
                seen.append(file.progress)
            if file.progress and not embedder.may_go_on.is_set():
                seen.append(found(client, store, "harbour number 7")[0])
                embedder.may_go_on.set()

        file = client.vector_stores.files.upload_and_poll(
            store.id, file=("long.pdf", pdf(pages)), progress=look
        )
        assert (file.status, file.progress) == ("completed", None)
        content = client.vector_stores.files.content(file.id, store.id)
    assert [each.text for each in content.data] == pages
    progress = [each for each in seen if isinstance(each, float)]
    assert progress == sorted(progress)
    assert 0 < max(progress) <= 1
    assert "long.pdf" in seen


@pytest.mark.parametrize("goes", ["file", "store", "from store"])
def test_what_goes_while_it_is_indexed_leaves_nothing(client, store, embedder, goes):
    embedder.may_go_on.clear()
    file_id = upload(client, "a.txt", HARBOUR)
    client.vector_stores.files.create(store.id, file_id=file_id)
    if goes == "file":
        client.files.delete(file_id)
    elif goes == "store":
        client.vector_stores.delete(store.id)
    else:
        client.vector_stores.files.delete(file_id, store.id)
    embedder.may_go_on.set()
    other = client.vector_stores.create()
    after = attach(client, other, "b.txt", HARBOUR + b" It is deep.")
    assert after.status == "completed"
    assert found(client, other) == ["b.txt"]
    if goes != "store":
        assert found(client, store) == []
        assert client.vector_stores.retrieve(store.id).file_counts.total == 0
