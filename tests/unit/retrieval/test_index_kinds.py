"""The three kinds of index behave alike: what is in them, what is found, what is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.retrieval import index as module
from localassist.retrieval.embed import DIM
from localassist.retrieval.index import VectorIndex

NUM = 400


def unit_vectors(number, *, seed=0):
    """Clustered, as those of texts are."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((20, DIM)).astype(np.float32)
    made = centres[random.integers(0, 20, number)]
    made += 0.7 * random.standard_normal((number, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


VECTORS = unit_vectors(NUM)
KINDS = {"exact": (NUM * 2, NUM * 4), "half": (10, NUM * 4), "lists": (10, 20)}


@pytest.fixture(params=KINDS)
def kind(request, monkeypatch):
    flat, exact = KINDS[request.param]
    monkeypatch.setattr(module, "MAX_FLAT", flat)
    monkeypatch.setattr(module, "MAX_EXACT", exact)
    monkeypatch.setattr(module, "_LIST_SIZE", 20)
    # Of 20 lists all are searched here; how much is found otherwise is the benchmark's to tell.
    monkeypatch.setattr(module, "_SEARCHED", 1.0)
    return request.param


def nearest(query, held, limit):
    """The truth, in float16 as the larger kinds hold it."""
    ids = sorted(held)
    scores = np.array([held[each] for each in ids], np.float16).astype(np.float32) @ query
    order = np.argsort(-scores, kind="stable")[:limit]
    return {ids[each]: float(scores[each]) for each in order}


def check(index, held):
    assert index.ids == set(held)
    for position in (0, 7, 99):
        query = VECTORS[position]
        found = index.search(query, 10)
        expected = nearest(query, held, 10)
        assert [score for _, score in found] == pytest.approx(
            sorted(expected.values(), reverse=True), abs=2e-3
        )
        assert len({each for each, _ in found}) == len(found)
        for each, score in found:
            assert score == pytest.approx(float(held[each] @ query), abs=2e-3)


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, NUM - 1)), max_size=40))
@settings(max_examples=30)
def test_whatever_is_added_and_removed_it_holds_just_that(kind, steps):
    held = {1000 + number: VECTORS[number] for number in range(0, NUM, 2)}
    index = VectorIndex.build(sorted(held), np.array([held[each] for each in sorted(held)]))
    for adds, number in steps:
        key = 1000 + number
        if adds and key not in held:
            index.add([key], VECTORS[number : number + 1])
            held[key] = VECTORS[number]
        elif not adds:
            index.remove([key])
            held.pop(key, None)
    check(index, held)
    for each in list(held)[:20]:
        assert index.vector(each) == pytest.approx(held[each], abs=2e-3)


def test_saved_and_loaded_it_is_the_same_and_goes_on(kind, tmp_path):
    index = VectorIndex.build(range(NUM), VECTORS)
    index.remove(range(0, NUM, 3))
    index.save(tmp_path / "a.faiss")
    loaded = VectorIndex.load(tmp_path / "a.faiss")
    held = {number: VECTORS[number] for number in range(NUM) if number % 3}
    check(loaded, held)
    loaded.remove([1, 2])
    loaded.add([5_000_000_000], VECTORS[:1])
    del held[1], held[2]
    held[5_000_000_000] = VECTORS[0]
    check(loaded, held)
    assert loaded.search(VECTORS[0], 1)[0][0] == 5_000_000_000


def test_a_filter_finds_what_it_names_wherever_it_lies(kind, monkeypatch):
    monkeypatch.setattr(module, "_SEARCHED", 0.05)
    index = VectorIndex.build(range(NUM), VECTORS)
    among = list(range(3, NUM, 40))
    found = index.search(VECTORS[0], 100, among=among)
    assert sorted(each for each, _ in found) == among


def test_what_is_looked_for_is_in_the_list_that_is_searched(kind, monkeypatch):
    monkeypatch.setattr(module, "_SEARCHED", 0.0)  # one list
    index = VectorIndex.build(range(NUM), VECTORS)
    found = [index.search(VECTORS[number], 1)[0][0] for number in range(NUM)]
    assert np.mean([each == number for number, each in enumerate(found)]) > 0.99


def test_an_id_that_is_not_there_takes_no_other_with_it(kind):
    index = VectorIndex.build(range(NUM), VECTORS)
    index.remove([NUM + 5, -3, 4, 4_000_000_000])
    assert index.ids == set(range(NUM)) - {4}
    assert len(index.search(VECTORS[0], NUM)) == NUM - 1


def test_one_that_has_outgrown_its_kind_says_so(kind):
    still, no_longer = {"exact": (960, 961), "half": (1920, 1921), "lists": (1600, 1601)}[kind]
    index = VectorIndex.build(range(NUM), VECTORS)
    index.add(range(NUM, still), unit_vectors(still - NUM, seed=1))
    assert not index.outgrown
    index.add([no_longer], VECTORS[:1])
    assert index.outgrown


def test_lists_that_little_is_left_in_are_given_up(monkeypatch):
    monkeypatch.setattr(module, "MAX_FLAT", 10)
    monkeypatch.setattr(module, "MAX_EXACT", 300)
    monkeypatch.setattr(module, "_LIST_SIZE", 20)
    index = VectorIndex.build(range(NUM), VECTORS)
    index.remove(range(250, NUM))
    assert not index.outgrown
    index.remove([249])
    assert index.outgrown
