"""What is searched goes away in the very moment of the search."""

from __future__ import annotations

import contextlib
import threading

import pytest
from watched_embedder import N_CTX, open_client, real_embedder

from localassist import NotFoundError, ScriptedBackend

HARBOUR = b"The harbour of Oslo was enlarged in 1961. Its new quay is made of granite."
CHEESE = b"Brown cheese is made of whey. The whey is boiled until its sugar turns brown."
QUESTION = "Which harbour was enlarged?"
PATIENCE_S = 30


class Meanwhile:
    """The real embedding model; while it embeds the question, something else happens, once."""

    def __init__(self):
        self.action = None

    def encode(self, texts):
        if self.action is not None and list(texts) == [QUESTION]:
            action, self.action = self.action, None
            other = threading.Thread(target=action, daemon=True)
            other.start()
            other.join(PATIENCE_S)
            assert not other.is_alive(), "the search holds what the other needs"
        return real_embedder().encode(texts)

    def token_starts(self, text):
        return real_embedder().token_starts(text)


@pytest.fixture
def embedder():
    return Meanwhile()


@pytest.fixture
def client(home, embedder):
    backend = ScriptedBackend(lambda _: "I see.", n_ctx=N_CTX)
    with open_client(home, embedder=embedder, backend=backend) as client:
        yield client


@pytest.fixture
def store(client):
    file_ids = [
        client.files.create(file=(name, data), purpose="assistants").id
        for name, data in (("harbour.txt", HARBOUR), ("cheese.txt", CHEESE))
    ]
    store = client.vector_stores.create(file_ids=file_ids)
    for file_id in file_ids:
        client.vector_stores.files.poll(file_id, vector_store_id=store.id)
    return store


def file_named(client, name):
    return next(each.id for each in client.files.list() if each.filename == name)


def test_a_store_that_is_deleted_during_its_search_is_not_found_or_searched(
    client, store, embedder
):
    embedder.action = lambda: client.vector_stores.delete(store.id)
    with contextlib.suppress(NotFoundError):  # or what there was when it began
        client.vector_stores.search(store.id, query=QUESTION)
    assert embedder.action is None
    with pytest.raises(NotFoundError):
        client.vector_stores.search(store.id, query=QUESTION)
    other = client.vector_stores.create(file_ids=[file_named(client, "harbour.txt")])
    client.vector_stores.files.poll(file_named(client, "harbour.txt"), vector_store_id=other.id)
    assert client.vector_stores.search(other.id, query=QUESTION).data[0].filename == "harbour.txt"


def test_a_file_that_is_deleted_during_a_search_leaves_the_others(client, store, embedder):
    gone = file_named(client, "harbour.txt")
    embedder.action = lambda: client.files.delete(gone)
    page = client.vector_stores.search(store.id, query=QUESTION)
    assert embedder.action is None
    assert "cheese.txt" in {each.filename for each in page.data}
    after = client.vector_stores.search(store.id, query=QUESTION)
    assert [each.filename for each in after.data] == ["cheese.txt"]


@pytest.mark.parametrize("what", ["store", "file"])
def test_a_run_whose_search_loses_its_ground_comes_to_an_end(client, store, embedder, what):
    assistant = client.beta.assistants.create(
        model="gpt-4",
        tools=[{"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
    )
    actions = {
        "store": lambda: client.vector_stores.delete(store.id),
        "file": lambda: client.files.delete(file_named(client, "harbour.txt")),
    }
    embedder.action = actions[what]
    thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    assert embedder.action is None
    assert run.status == "completed", run.last_error
