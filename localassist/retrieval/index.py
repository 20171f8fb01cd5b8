"""VectorIndex: the vectors of one vector store, searched exactly."""

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


class VectorIndex:
    """Ids and vectors. Not for use by several OS threads at once."""

    def __init__(self, index: Any, ids: set[int]) -> None:
        self._index = index
        self._ids = ids

    @classmethod
    def build(cls, ids: Sequence[int], vectors: Vectors) -> VectorIndex:
        """An index of the kind that pays for so many vectors.

        Args:
            ids: one for each vector.
            vectors: of length 1, float32 [n, 384].
        """
        faiss = require("faiss", package="faiss-cpu")
        inner: Any
        if len(ids) <= MAX_FLAT:
            inner = faiss.IndexFlatIP(DIM)
        else:
            inner = faiss.IndexScalarQuantizer(
                DIM, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
        made = cls(faiss.IndexIDMap2(inner), set())
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
        ids = faiss.vector_to_array(index.id_map)
        return cls(index, set(ids.tolist()))

    @property
    def ids(self) -> set[int]:
        """What is in it."""
        return self._ids

    @property
    def outgrown(self) -> bool:
        """Whether another kind of index pays by now."""
        return len(self._ids) > MAX_FLAT * 1.2 and "Flat" in type(self._inner()).__name__

    def _inner(self) -> Any:
        faiss = require("faiss", package="faiss-cpu")
        return faiss.downcast_index(self._index.index)

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
            self._index.remove_ids(numpy.asarray(ids, numpy.int64))
            self._ids.difference_update(ids)

    def search(
        self, query: Vectors, limit: int, *, among: Sequence[int] | None = None
    ) -> list[tuple[int, float]]:
        """The nearest vectors of a query, float32 [384], with their cosines, best first."""
        faiss = require("faiss", package="faiss-cpu")
        parameters = None
        if among is not None:
            numpy: Any = require("numpy", package="numpy")
            selector = faiss.IDSelectorBatch(numpy.asarray(among, numpy.int64))
            parameters = faiss.SearchParameters(sel=selector)
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
