"""Retrieval: what the rest of the house uses of this room, opened on one data folder."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from localassist.retrieval import embed
from localassist.retrieval.index_cache import IndexCache
from localassist.retrieval.ingest import Ingester
from localassist.retrieval.nearness import Nearness
from localassist.retrieval.passages import PassageReader
from localassist.retrieval.rerank import Rerankers
from localassist.retrieval.search import Searcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localassist.retrieval.embed import Embedder
    from localassist.store.blobs import Blobs
    from localassist.store.connection import Store


class Retrieval:
    """Indexing and search. Any OS thread may use it; nothing is loaded before it is needed."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        *,
        model: Path,
        n_threads: int,
        owner: str,
        now: Callable[[], float],
        lease_s: float,
        embedder: Embedder | None = None,
        reranker: Path | None = None,
    ) -> None:
        """Open the data folder's.

        Args:
            store: holds the rows.
            blobs: hold the bytes of files.
            model: folder of the embedding model.
            n_threads: CPU threads of one call of it.
            owner: this process.
            now: seconds since the epoch.
            lease_s: how long a claim of a file lasts without being renewed.
            embedder: used instead of the model; for tests of logic.
            reranker: folder of a cross-encoder, where one may be.
        """
        self._model = model
        self._n_threads = n_threads
        self._embedder = embedder
        self._lock = threading.Lock()
        self.indexes = IndexCache(store, store.home / "index")
        rerankers = Rerankers(reranker) if reranker is not None else None
        self.searcher = Searcher(
            store, self.indexes, self.embedder, rerankers.get if rerankers else lambda: None
        )
        self.reader = PassageReader(store)
        self.nearness = Nearness(self._fast_embedder)
        self.ingester = Ingester(
            store, blobs, self.indexes, self.embedder, owner=owner, now=now, lease_s=lease_s
        )

    def embedder(self) -> Embedder:
        """The embedding model, loaded.

        Raises:
            ModelFileError: it is not there.
        """
        with self._lock:
            if self._embedder is None:
                self._embedder = embed.load(self._model, n_threads=self._n_threads)
        return self._embedder

    def _fast_embedder(self) -> Embedder | None:
        """The embedding model, unless it is not there or takes torch to load."""
        if self._embedder is None and not (self._model / embed.FAST_FILE).is_file():
            return None
        return self.embedder()

    def close(self) -> None:
        """Stop indexing and write the indexes down."""
        self.ingester.close()
        self.indexes.save()
