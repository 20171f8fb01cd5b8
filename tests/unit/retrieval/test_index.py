"""The vector index: exact, changed in place, saved and loaded."""

from __future__ import annotations

import numpy as np
import pytest

from localassist.retrieval.embed import DIM
from localassist.retrieval.index import VectorIndex


def unit_vectors(number, *, seed=0):
    made = np.random.default_rng(seed).standard_normal((number, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def vectors():
    return unit_vectors(50)


@pytest.fixture
def index(vectors):
    return VectorIndex.build(range(100, 150), vectors)


def test_the_nearest_come_first_with_their_cosines(index, vectors):
    found = index.search(vectors[7], 5)
    expected = np.argsort(-(vectors @ vectors[7]))[:5]
    assert [each for each, _ in found] == [100 + int(each) for each in expected]
    assert [score for _, score in found] == pytest.approx(sorted(vectors @ vectors[7])[:-6:-1])
    assert found[0] == (107, pytest.approx(1.0))


def test_only_some_are_searched_if_it_is_told_so(index, vectors):
    found = index.search(vectors[7], 10, among=[101, 102, 140])
    assert sorted(each for each, _ in found) == [101, 102, 140]
    assert index.search(vectors[7], 10, among=[]) == []


def test_what_is_removed_is_not_found_and_what_is_added_is(index, vectors):
    index.remove([107, 108])
    assert 107 not in [each for each, _ in index.search(vectors[7], 50)]
    assert index.ids == set(range(100, 150)) - {107, 108}
    index.add([7], vectors[7:8])
    assert index.search(vectors[7], 1) == [(7, pytest.approx(1.0))]
    assert index.vector(7) == pytest.approx(vectors[7])
    index.remove([])
    index.add([], vectors[:0])
    assert len(index.ids) == 49


def test_more_is_asked_for_than_there_is(index, vectors):
    assert len(index.search(vectors[0], 1000)) == 50
    index.remove(range(100, 150))
    assert index.search(vectors[0], 10) == []


def test_a_saved_index_is_the_same(index, vectors, tmp_path):
    path = tmp_path / "new" / "a.faiss"
    index.save(path)
    assert [each.name for each in path.parent.iterdir()] == ["a.faiss"]
    loaded = VectorIndex.load(path)
    assert loaded.ids == index.ids
    assert loaded.search(vectors[3], 9) == index.search(vectors[3], 9)
    loaded.remove([103])
    assert loaded.search(vectors[3], 1) != index.search(vectors[3], 1)


@pytest.mark.parametrize("damage", ["lost", "empty", "cut", "other"])
def test_a_damaged_file_is_told_of(index, tmp_path, damage):
    path = tmp_path / "a.faiss"
    index.save(path)
    if damage == "lost":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes(
            {"empty": b"", "cut": whole[: len(whole) // 2], "other": b"x" * 99}[damage]
        )
    with pytest.raises((OSError, RuntimeError)):
        VectorIndex.load(path)
