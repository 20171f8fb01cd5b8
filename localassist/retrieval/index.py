"""VectorIndex: the vectors of one vector store, searched exactly; above two millions, in part."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.retrieval.embed import DIM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localassist.retrieval.embed import Vectors

# Exact search in float32 up to here, above it in float16: half the memory.
MAX_FLAT = 200_000
# Above this, vectors are divided among lists, and the lists nearest to a query are searched.
MAX_EXACT = 2_000_000
# Measured at 2.1 million windows: of the 100 nearest, a sixteenth of the lists has 0.999, in
# 4 ms instead of 51.
_LIST_SIZE = 1_024
_SEARCHED = 1 / 16
_TRAINED_ON = 64  # vectors for each list
_TRAIN_ROUNDS = 6
_GROWN = 1.2  # this much beyond what a kind is for, another kind is built


class VectorIndex:
    """Ids and vectors. Not for use by several OS threads at once."""

    def __init__(self, index: Any, ids: set[int]) -> None:
        """Wrap FAISS's index: one that knows its ids, an IndexIDMap2 or an IndexIVF."""
        self._index = index
        self._ids = ids
        self._num_lists = int(getattr(index, "nlist", 0))

    @classmethod
    def build(cls, ids: Sequence[int], vectors: Vectors) -> VectorIndex:
        """An index of the kind that pays for so many vectors.

        Args:
            ids: one for each vector.
            vectors: of length 1, float32 [n, 384].
        """
        faiss = require("faiss", package="faiss-cpu")
        half = faiss.ScalarQuantizer.QT_fp16
        index: Any
        if len(ids) <= MAX_FLAT:
            index = faiss.IndexIDMap2(faiss.IndexFlatIP(DIM))
        elif len(ids) <= MAX_EXACT:
            exact = faiss.IndexScalarQuantizer(DIM, half, faiss.METRIC_INNER_PRODUCT)
            index = faiss.IndexIDMap2(exact)
        else:
            index = _divided(vectors)
        made = cls(index, set())
        made.add(ids, vectors)
        return made

    @classmethod
    def load(cls, path: Path) -> VectorIndex:
        """Read what `save` wrote.

        Raises:
            OSError, RuntimeError: it cannot be read.
        """
        faiss = require("faiss", package="faiss-cpu")
        index = faiss.read_index(str(path))
        if hasattr(index, "id_map"):
            return cls(index, set(faiss.vector_to_array(index.id_map).tolist()))
        ids: set[int] = set()
        lists = index.invlists
        for number in range(index.nlist):
            if size := lists.list_size(number):
                ids.update(faiss.rev_swig_ptr(lists.get_ids(number), size).tolist())
        return cls(index, ids)

    @property
    def ids(self) -> set[int]:
        """What is in it."""
        return self._ids

    @property
    def outgrown(self) -> bool:
        """Whether another kind of index pays by now."""
        if self._num_lists:
            # Too few are not worth it, and would be missed: most lists that are searched are empty.
            few = _GROWN * len(self._ids) < MAX_EXACT
            return few or len(self._ids) > 4 * _LIST_SIZE * self._num_lists
        faiss = require("faiss", package="faiss-cpu")
        flat = "Flat" in type(faiss.downcast_index(self._index.index)).__name__
        return len(self._ids) > _GROWN * (MAX_FLAT if flat else MAX_EXACT)

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Add vectors under new ids."""
        if len(ids):
            numpy: Any = require("numpy", package="numpy")
            self._index.add_with_ids(vectors, numpy.asarray(ids, numpy.int64))
            self._ids.update(ids)

    def remove(self, ids: Sequence[int]) -> None:
        """Remove vectors."""
        if ids:
            numpy: Any = require("numpy", package="numpy")
            # Of ids that are not there, the lists' map would take others out.
            known = [each for each in ids if each in self._ids]
            self._index.remove_ids(numpy.asarray(known, numpy.int64))
            self._ids.difference_update(known)

    def search(
        self, query: Vectors, limit: int, *, among: Sequence[int] | None = None
    ) -> list[tuple[int, float]]:
        """The nearest vectors of a query, float32 [384], with their cosines, best first."""
        faiss = require("faiss", package="faiss-cpu")
        parameters: Any = None
        if self._num_lists:
            parameters = faiss.SearchParametersIVF(
                nprobe=max(1, int(self._num_lists * _SEARCHED)) if among is None
                # What is left of a filter may lie in any list, and is little to search.
                else self._num_lists
            )  # fmt: skip
        if among is not None:
            numpy: Any = require("numpy", package="numpy")
            selector = faiss.IDSelectorBatch(numpy.asarray(among, numpy.int64))
            parameters = parameters or faiss.SearchParameters()
            parameters.sel = selector
        limit = min(limit, len(self._ids) if among is None else len(among))
        if not limit:
            return []
        scores, ids = self._index.search(query.reshape(1, -1), limit, params=parameters)
        return [
            (int(each), float(score))
            for each, score in zip(ids[0], scores[0], strict=True)
            if each >= 0
        ]

    def vector(self, window_id: int) -> Vectors:
        """The vector of an id."""
        vector: Vectors = self._index.reconstruct(window_id)
        return vector

    def save(self, path: Path) -> None:
        """Write it so that a reader finds all of it or nothing."""
        faiss = require("faiss", package="faiss-cpu")
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            faiss.write_index(self._index, str(unfinished))
            unfinished.replace(path)
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)


def _divided(vectors: Vectors) -> Any:
    """An empty index whose lists divide vectors such as these."""
    faiss = require("faiss", package="faiss-cpu")
    numpy: Any = require("numpy", package="numpy")
    num_lists = max(1, len(vectors) // _LIST_SIZE)
    nearest = faiss.IndexFlatIP(DIM)
    index = faiss.IndexIVFScalarQuantizer(
        nearest, DIM, num_lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.own_fields = True
    nearest.this.disown()
    # Residuals would have to be computed again for each list that is searched.
    index.by_residual = False
    index.cp.niter = _TRAIN_ROUNDS
    index.cp.spherical = True
    step = max(1, len(vectors) // (num_lists * _TRAINED_ON))
    index.train(numpy.ascontiguousarray(vectors[::step]))
    # The map of ids to places is what makes removing and reading back right.
    index.set_direct_map_type(faiss.DirectMap.Hashtable)
    return index
