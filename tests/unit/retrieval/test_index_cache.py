"""The cache of indexes: in step with the rows, whatever happens to what is saved of them."""

from __future__ import annotations

import numpy as np
import pytest

from localassist.retrieval.embed import DIM
from localassist.retrieval.index import VectorIndex
from localassist.retrieval.index_cache import MIN_SAVED, IndexCache
from localassist.store import documents, vector_store_files, vector_stores
from localassist.store.connection import Store
from localassist.types.document import NewWindow
from localassist.types.vector_store import VectorStore, VectorStoreFile

STORE = "vs_000000000000000000000001"


def unit_vectors(number, *, seed=0):
    made = np.random.default_rng(seed).standard_normal((number, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def vectors():
    return unit_vectors(50)


@pytest.fixture
def store(home):
    store = Store(home, busy_timeout_s=5)
    with store.write() as tx:
        vector_stores.TABLE.insert(tx, VectorStore(id=STORE, created_at=0))
    yield store
    store.close()


def hold(store, name, vectors):
    """Put a document with these vectors into the vector store."""
    with store.write() as tx:
        document = documents.add(tx, sha256=name, filename=name)
        windows = [NewWindow(-1, at, at + 1, 1, row.astype(np.float16).tobytes())
                   for at, row in enumerate(vectors)]  # fmt: skip
        documents.extend(
            tx, document.id, num_pages=1, pages=[(-1, "x" * len(vectors))], windows=windows
        )
        documents.finish(tx, document.id)
        vector_store_files.TABLE.insert(
            tx,
            VectorStoreFile(
                id=f"file-{name}",
                created_at=0,
                vector_store_id=STORE,
                document_id=document.id,
                status="completed",
            ),
        )
        vector_stores.changed(tx, STORE)


def drop(store, name):
    with store.write() as tx:
        vector_store_files.delete(tx, STORE, f"file-{name}")
        vector_stores.changed(tx, STORE)


def wanted(store):
    return set(documents.window_ids(store.read(), f'["{STORE}"]'))


def held(cache):
    return cache.use(STORE, lambda index: set(index.ids))


def scores(cache, query, limit=3):
    return [score for _, score in cache.use(STORE, lambda index: index.search(query, limit))]


def saved(home):
    return sorted((home / "index").glob("*.faiss"))


@pytest.fixture
def many():
    return unit_vectors(MIN_SAVED, seed=1)


def test_the_index_follows_the_rows(store, home, vectors):
    cache = IndexCache(store, home / "index")
    assert held(cache) == set()
    hold(store, "one", vectors[:10])
    assert len(held(cache)) == 10
    hold(store, "two", vectors[10:40])
    assert held(cache) == wanted(store)
    assert scores(cache, vectors[20], 1) == [pytest.approx(1.0, abs=1e-3)]
    drop(store, "two")
    assert held(cache) == wanted(store)
    assert scores(cache, vectors[20], 1) != [pytest.approx(1.0, abs=1e-3)]
    drop(store, "one")
    assert held(cache) == set()


def test_a_small_index_is_not_saved(store, home, vectors):
    hold(store, "one", vectors)
    cache = IndexCache(store, home / "index")
    held(cache)
    cache.save()
    assert saved(home) == []


def test_a_saved_index_is_used_by_the_next_process(store, home, many):
    hold(store, "one", many)
    first = IndexCache(store, home / "index")
    expected = scores(first, many[5])
    first.save()
    (path,) = saved(home)
    # If it were built from the rows, taking a vector away from the file would not be seen.
    changed = VectorIndex.load(path)
    changed.remove([min(changed.ids)])
    changed.save(path)
    second = IndexCache(store, home / "index")
    assert len(held(second)) == MIN_SAVED - 1
    assert scores(second, many[5]) == expected


@pytest.mark.parametrize("damage", ["deleted", "cut", "empty"])
def test_a_lost_index_is_built_again(store, home, many, damage):
    hold(store, "one", many)
    first = IndexCache(store, home / "index")
    expected = scores(first, many[5])
    first.save()
    (path,) = saved(home)
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 1000 if damage == "cut" else 0])
    second = IndexCache(store, home / "index")
    assert held(second) == wanted(store)
    assert scores(second, many[5]) == expected
    second.save()
    assert held(IndexCache(store, home / "index")) == wanted(store)


def test_a_stale_index_is_brought_up_to_date(store, home, many, vectors):
    hold(store, "one", many)
    hold(store, "two", vectors[:20])
    first = IndexCache(store, home / "index")
    held(first)
    first.save()
    before = saved(home)
    drop(store, "two")
    hold(store, "three", vectors[20:])
    second = IndexCache(store, home / "index")
    assert held(second) == wanted(store)
    assert scores(second, vectors[30], 1) == [pytest.approx(1.0, abs=1e-3)]
    assert scores(second, vectors[3], 1) != [pytest.approx(1.0, abs=1e-3)]
    second.save()
    after = saved(home)
    assert (len(after), after == before) == (1, False)


def test_a_store_that_is_gone_leaves_no_file(store, home, many):
    hold(store, "one", many)
    cache = IndexCache(store, home / "index")
    held(cache)
    cache.save()
    cache.forget(STORE)
    assert saved(home) == []


def test_only_so_many_indexes_stay_open(store, home, vectors):
    hold(store, "one", vectors)
    cache = IndexCache(store, home / "index", max_open=1)
    kept = cache.use(STORE, lambda index: index)
    assert cache.use(STORE, lambda index: index) is kept
    assert cache.use("vs_other", lambda index: index.ids) == set()
    assert cache.use(STORE, lambda index: index) is not kept
    assert held(cache) == wanted(store)
