"""The embedding model is the one it is said to be, and its faster copy is close to it."""

from __future__ import annotations

import shutil

import pytest

from localassist import Settings
from localassist.errors import ModelError, ModelFileError
from localassist.retrieval import optimize
from localassist.retrieval.embed import FAST_FILE, MODEL, FastEmbedder, ReferenceEmbedder, load

pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

FOLDER = Settings.from_env().models / MODEL
KNOWN = [0.1302, -0.0158, -0.0367, 0.0580, -0.0598, 0.0331, 0.0301, 0.0289]  # the first 8 of 384


@pytest.fixture(scope="module")
def reference():
    return ReferenceEmbedder(FOLDER)


def test_the_model_gives_the_vector_that_is_known(reference):
    vector = reference.encode(["The cat sat on the mat."])[0]
    assert vector.shape == (384,)
    assert vector[:8].tolist() == pytest.approx(KNOWN, abs=2e-4)
    assert float(vector @ vector) == pytest.approx(1, abs=1e-5)


def test_the_copy_is_close_to_the_model(reference):
    copy = load(FOLDER, n_threads=2)
    assert isinstance(copy, FastEmbedder)
    for text in optimize.PROBES:
        cosine = float(copy.encode([text])[0] @ reference.encode([text])[0])
        assert cosine >= optimize.MIN_COSINE


def test_a_copy_is_made_and_used_from_then_on(tmp_path):
    folder = tmp_path / MODEL
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns(FAST_FILE))
    assert isinstance(load(folder, n_threads=1), ReferenceEmbedder)
    assert optimize.optimize(folder) >= optimize.MIN_COSINE
    assert isinstance(load(folder, n_threads=1), FastEmbedder)


def test_a_copy_that_is_not_close_enough_is_not_kept(tmp_path, monkeypatch):
    folder = tmp_path / MODEL
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns(FAST_FILE))
    monkeypatch.setattr(optimize, "MIN_COSINE", 0.99999)
    with pytest.raises(ModelError, match="cosine"):
        optimize.optimize(folder)
    assert not (folder / FAST_FILE).exists()
    assert not list(folder.glob(".optimize-*"))


def test_a_missing_model_is_said_with_the_way_to_it(tmp_path):
    with pytest.raises(ModelFileError, match="localassist models fetch all-MiniLM-L6-v2"):
        load(tmp_path, n_threads=1)
