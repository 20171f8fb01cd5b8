"""Searcher: from questions to windows, by meaning and by words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from localassist.retrieval import ranking
from localassist.retrieval.rerank import NUM_RERANKED
from localassist.store import documents

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from localassist.retrieval.embed import Embedder, Vectors
    from localassist.retrieval.index import VectorIndex
    from localassist.retrieval.index_cache import IndexCache
    from localassist.retrieval.rerank import Reranker
    from localassist.store.connection import Store

By = Literal["words", "meaning"]
_CANDIDATES = 200  # of each of the two searches
_KNOWN_QUERIES = 256


@dataclass(frozen=True)
class Ranked:
    """A window that was found."""

    window_id: int
    score: float
    cosine: float


@dataclass
class _Found:
    order: list[int] = field(default_factory=list)
    cosines: dict[int, float] = field(default_factory=dict)
    keywords: dict[int, float] = field(default_factory=dict)

    def score(self, window_id: int, best: float) -> float:
        """Half the likeness of meaning, half the keyword match as a share of the `best` one."""
        keyword = self.keywords.get(window_id, 0.0)
        lexical = keyword / (keyword + best) * 2 if best else 0.0
        cosine = min(max(self.cosines.get(window_id, 0.0), 0.0), 1.0)
        return round(0.5 * cosine + 0.5 * min(lexical, 1.0), 6)


class Searcher:
    """Any OS thread may use it."""

    def __init__(
        self,
        store: Store,
        indexes: IndexCache,
        embedder: Callable[[], Embedder],
        reranker: Callable[[], Reranker | None] = lambda: None,
    ) -> None:
        """Load nothing yet.

        Args:
            store: holds the rows.
            indexes: of the vectors.
            embedder: returns the embedding model, which it loads the first time.
            reranker: returns what puts the best windows in order, if there is one.
        """
        self._reranker = reranker
        self._store = store
        self._indexes = indexes
        self._embedder = embedder
        self._embed = lru_cache(_KNOWN_QUERIES)(self._encode_one)

    def _encode_one(self, text: str) -> Vectors:
        vector: Vectors = self._embedder().encode([text])[0]
        return vector

    def rank(
        self,
        queries: Sequence[str],
        store_ids: Sequence[str],
        *,
        among: Collection[int] | None = None,
        by: Collection[By] = ("words", "meaning"),
        rerank: bool = True,
    ) -> list[Ranked]:
        """The best windows of vector stores, best first.

        Args:
            queries: one question, in as many wordings.
            store_ids: where to look.
            among: ids of documents; None for all.
            by: what is looked at.
            rerank: have the reranker put the first ones in order, if there is one.
        """
        found = _Found()
        rankings: list[list[int]] = []
        for text in queries:
            if "words" in by:
                rankings.append(self._by_words(text, store_ids, among, found))
            if "meaning" in by:
                rankings.append(self._by_meaning(text, store_ids, among, found))
        found.order = ranking.fused(rankings)
        if not found.order:
            return []
        self._fill_cosines(queries[0], store_ids, found)
        best = max(found.keywords.values(), default=0.0)
        ranked = [
            Ranked(each, found.score(each, best), found.cosines.get(each, 0.0))
            for each in found.order
        ]
        return self._reranked(queries[0], ranked) if rerank else ranked

    def _reranked(self, question: str, ranked: list[Ranked]) -> list[Ranked]:
        reranker = self._reranker()
        if reranker is None:
            return ranked
        ids = [each.window_id for each in ranked[:NUM_RERANKED]]
        windows = documents.read_windows(self._store.read(), json.dumps(ids))
        head = [each for each in ranked[:NUM_RERANKED] if each.window_id in windows]
        scores = reranker.scores(question, [windows[each.window_id].text for each in head])
        judged = [replace(each, score=score) for each, score in zip(head, scores, strict=True)]
        judged.sort(key=lambda each: -each.score)
        return [*judged, *ranked[NUM_RERANKED:]]

    def _by_words(
        self,
        text: str,
        store_ids: Sequence[str],
        among: Collection[int] | None,
        found: _Found,
    ) -> list[int]:
        match = ranking.match_query(text)
        if not match:
            return []
        hits = documents.keyword_hits(
            self._store.read(),
            match,
            stores=json.dumps(list(store_ids)),
            among=None if among is None else json.dumps(sorted(among)),
            limit=_CANDIDATES,
        )
        for window_id, score in hits:
            found.keywords[window_id] = max(score, found.keywords.get(window_id, 0.0))
        return [window_id for window_id, _ in hits]

    def _by_meaning(
        self,
        text: str,
        store_ids: Sequence[str],
        among: Collection[int] | None,
        found: _Found,
    ) -> list[int]:
        query = self._embed(text)
        only = (
            None
            if among is None
            else documents.windows_of(self._store.read(), json.dumps(sorted(among)))
        )

        def nearest(index: VectorIndex) -> list[tuple[int, float]]:
            inside = None if only is None else [each for each in only if each in index.ids]
            return index.search(query, _CANDIDATES, among=inside)

        hits = [hit for each in store_ids for hit in self._indexes.use(each, nearest)]
        hits.sort(key=lambda hit: -hit[1])
        for window_id, cosine in hits:
            found.cosines[window_id] = max(cosine, found.cosines.get(window_id, -1.0))
        return list(dict.fromkeys(window_id for window_id, _ in hits))[:_CANDIDATES]

    def _fill_cosines(self, text: str, store_ids: Sequence[str], found: _Found) -> None:
        """Cosines of those windows that only their words have brought up."""
        query = self._embed(text)
        missing = [each for each in found.order if each not in found.cosines]

        def fill(index: VectorIndex) -> None:
            for each in missing:
                if each in index.ids and each not in found.cosines:
                    found.cosines[each] = float(index.vector(each) @ query)

        for store_id in store_ids:
            self._indexes.use(store_id, fill)
