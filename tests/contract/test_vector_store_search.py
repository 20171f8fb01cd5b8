"""Searches of a vector store: what is found, in which order, and what is left out."""

from __future__ import annotations

import pytest
from watched_embedder import open_client

from localassist import BadRequestError

HARBOUR = b"The harbour of Oslo was enlarged in 1961. Its new quay is made of granite."
CHEESE = b"Brown cheese is made of whey. The whey is boiled until its sugar turns brown."


@pytest.fixture
def client(home):
    with open_client(home) as client:
        yield client


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


def test_a_search_finds_by_meaning_and_by_words(client):
    store, ids = filled(client, harbour=HARBOUR, cheese=CHEESE)
    page = client.vector_stores.search(store.id, query="When was the port made bigger?")
    best = page.data[0]
    assert best.model_dump() == {
        "attributes": {"topic": "harbour", "size": len(HARBOUR)},
        "content": [{"text": HARBOUR.decode(), "type": "text"}],
        "file_id": ids["harbour"],
        "filename": "harbour.txt",
        "score": best.score,
    }
    assert 0 < best.score <= 1
    shown = page.model_dump()
    assert shown["object"] == "vector_store.search_results.page"
    assert shown["search_query"] == ["When was the port made bigger?"]
    assert (shown["has_more"], shown["next_page"]) == (False, None)
    assert found(client.vector_stores.search(store.id, query="whey"))[0] == "cheese.txt"


def test_what_comes_and_goes_between_searches_is_found_or_not_by_its_meaning(client):
    store, ids = filled(client, harbour=HARBOUR)
    dairy = "Dairy product"  # no word of it is in a file
    assert found(client.vector_stores.search(store.id, query=dairy)) == ["harbour.txt"]
    cheese = upload(client, "cheese.txt", CHEESE)
    client.vector_stores.files.create_and_poll(store.id, file_id=cheese)
    both = client.vector_stores.search(store.id, query=dairy)
    assert found(both) == ["cheese.txt", "harbour.txt"]
    client.vector_stores.files.delete(ids["harbour"], store.id)
    assert found(client.vector_stores.search(store.id, query=dairy)) == ["cheese.txt"]


def test_two_queries_find_what_either_would(client):
    sky = b"The sky is blue because short waves are scattered most."
    store, _ = filled(client, harbour=HARBOUR, cheese=CHEESE, sky=sky)
    both = client.vector_stores.search(
        store.id, query=["granite quay", "boiled whey"], max_num_results=2
    )
    assert set(found(both)) == {"harbour.txt", "cheese.txt"}
    assert both.search_query == ["granite quay", "boiled whey"]


def test_filters_limits_and_thresholds(client):
    store, _ = filled(client, harbour=HARBOUR, cheese=CHEESE)

    def search(**params):
        return client.vector_stores.search(store.id, query="made of granite or whey", **params)

    topic = {"type": "eq", "key": "topic", "value": "cheese"}
    big = {"type": "gt", "key": "size", "value": len(HARBOUR)}
    assert len(search().data) == 2
    assert found(search(filters=topic)) == ["cheese.txt"]
    assert found(search(filters=big)) == ["cheese.txt"]
    assert search(filters={"type": "and", "filters": [topic, {**big, "type": "lte"}]}).data == []
    assert len(search(max_num_results=1).data) == 1
    scores = sorted(each.score for each in search().data)
    assert [
        len(search(ranking_options={"score_threshold": at}).data)
        for at in (scores[0], scores[1], 1.0)
    ] == [2, 1, 0]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": []}, "query"),
        ({"query": "a", "max_num_results": 0}, "max_num_results"),
        ({"query": "a", "max_num_results": 51}, "max_num_results"),
        ({"query": "a", "ranking_options": {"score_threshold": 1.5}}, "ranking_options"),
        ({"query": "a", "filters": {"type": "like", "key": "a", "value": "b"}}, "filters.type"),
        ({"query": "a", "filters": {"type": "eq", "key": "a"}}, "filters.value"),
    ],
)
def test_what_is_no_search_is_refused(client, params, param):
    store = client.vector_stores.create()
    with pytest.raises(BadRequestError) as caught:
        client.vector_stores.search(store.id, **params)
    assert caught.value.param.startswith(param)


def test_an_empty_store_finds_nothing(client):
    store = client.vector_stores.create()
    assert client.vector_stores.search(store.id, query="harbour").data == []
