"""Searcher: from questions to passages, by meaning and by words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from localassist.retrieval import ranking
from localassist.store import documents, vector_store_files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from localassist.retrieval.embed import Embedder, Vectors
    from localassist.retrieval.index import VectorIndex
    from localassist.retrieval.index_cache import IndexCache
    from localassist.store.connection import Store
    from localassist.types.document import StoredWindow
    from localassist.types.vector_store import VectorStoreFile

_CANDIDATES = 200  # of each of the two searches
_KNOWN_QUERIES = 256


@dataclass(frozen=True)
class Passage:
    """Text of one page of one file that was found.

    Attributes:
        file: the file in its store.
        filename: its name.
        windows: neighbours on a page, in order.
        text: all of them, as it stands in the file.
        score: from 0 to 1, for showing and for thresholds; the order is not by it.
        cosine: of the best window to the question.
    """

    file: VectorStoreFile
    filename: str
    windows: tuple[StoredWindow, ...]
    text: str
    score: float
    cosine: float

    @property
    def page(self) -> int | None:
        """Counts from 1; None where the file has no pages."""
        number = self.windows[0].page
        return number if number > 0 else None

    @property
    def num_tokens(self) -> int:
        """Tokens of the embedding model."""
        return sum(window.num_tokens for window in self.windows)


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

    def score(self, window_id: int) -> float:
        """Half the likeness of meaning, half the share of the best keyword match."""
        best = max(self.keywords.values(), default=0.0)
        keyword = self.keywords.get(window_id, 0.0)
        lexical = keyword / (keyword + best) * 2 if best else 0.0
        cosine = min(max(self.cosines.get(window_id, 0.0), 0.0), 1.0)
        return round(0.5 * cosine + 0.5 * min(lexical, 1.0), 6)


class Searcher:
    """Any OS thread may use it."""

    def __init__(self, store: Store, indexes: IndexCache, embedder: Callable[[], Embedder]) -> None:
        """Load nothing yet.

        Args:
            store: holds the rows.
            indexes: of the vectors.
            embedder: returns the embedding model, which it loads the first time.
        """
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
    ) -> list[Ranked]:
        """The best windows of vector stores, best first.

        Args:
            queries: one question, in as many wordings.
            store_ids: where to look.
            among: ids of documents; None for all.
        """
        found = _Found()
        rankings: list[list[int]] = []
        for text in queries:
            rankings += [
                self._by_words(text, store_ids, among, found),
                self._by_meaning(text, store_ids, among, found),
            ]
        found.order = ranking.fused(rankings)
        if not found.order:
            return []
        self._fill_cosines(queries[0], store_ids, found)
        return [
            Ranked(each, found.score(each), found.cosines.get(each, 0.0)) for each in found.order
        ]

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

    def passages(
        self,
        ranked: Sequence[Ranked],
        store_ids: Sequence[str],
        *,
        limit: int,
        max_tokens: int | None = None,
        files: Collection[str] | None = None,
    ) -> list[Passage]:
        """The text of the best windows; those that stand side by side on a page are one passage.

        Args:
            ranked: best first.
            store_ids: where they were looked for.
            limit: at most so many passages.
            max_tokens: of all of them together, in tokens of the embedding model.
            files: ids of the files that they may be of; None for all.
        """
        connection = self._store.read()
        scores = {each.window_id: each for each in ranked}
        rows = documents.read_windows(connection, json.dumps(list(scores)))
        held = self._held(store_ids, files)
        # What was deleted since it was found is left out.
        ordered = [
            rows[each.window_id]
            for each in ranked
            if each.window_id in rows and rows[each.window_id].document_id in held
        ]
        groups = _side_by_side(_within(ordered, max_tokens), limit)
        return [self._passage(held[group[0].document_id], group, scores) for group in groups]

    def head(
        self, store_ids: Sequence[str], *, max_tokens: int, ranked: Sequence[Ranked] = ()
    ) -> list[Passage]:
        """The beginnings of the files, each file's as long as every file can have one.

        Args:
            store_ids: which files.
            max_tokens: of all of them together, in tokens of the embedding model.
            ranked: what was found, for the scores.
        """
        scores = {each.window_id: each for each in ranked}
        held = self._held(store_ids)
        room = max_tokens // max(1, len(held))
        groups: list[list[StoredWindow]] = []
        for document_id in sorted(held):
            windows = documents.head(self._store.read(), document_id, limit=room // 20 + 1)
            pages: dict[int, list[StoredWindow]] = {}
            for window in _within(windows, room):
                pages.setdefault(window.page, []).append(window)
            groups += pages.values()
        return [self._passage(held[group[0].document_id], group, scores) for group in groups]

    def num_tokens(self, store_ids: Sequence[str]) -> int:
        """Tokens of all files together, in those of the embedding model."""
        return documents.num_tokens(self._store.read(), json.dumps(list(store_ids)))

    def _passage(
        self, file: VectorStoreFile, group: list[StoredWindow], scores: Mapping[int, Ranked]
    ) -> Passage:
        windows = tuple(sorted(group, key=lambda window: window.start))
        first, text = windows[0], windows[0].text
        if len(windows) > 1:
            page = documents.page_text(self._store.read(), first.document_id, first.page)
            text = (page or "")[first.start : windows[-1].stop]
        known = [scores[window.id] for window in windows if window.id in scores]
        return Passage(
            file=file,
            filename=self._filename(first.document_id),
            windows=windows,
            text=text,
            score=max((each.score for each in known), default=0.0),
            cosine=max((each.cosine for each in known), default=0.0),
        )

    def _held(
        self, store_ids: Sequence[str], files: Collection[str] | None = None
    ) -> Mapping[int, VectorStoreFile]:
        rows = vector_store_files.in_stores(self._store.read(), json.dumps(list(store_ids)))
        return {
            each.document_id: each for each in reversed(rows) if files is None or each.id in files
        }

    def _filename(self, document_id: int) -> str:
        document = documents.get(self._store.read(), document_id)
        return document.filename if document is not None else ""


def _within(windows: Sequence[StoredWindow], max_tokens: int | None) -> Iterator[StoredWindow]:
    room = max_tokens
    for window in windows:
        if room is not None:
            if window.num_tokens > room:
                return
            room -= window.num_tokens
        yield window


def _side_by_side(windows: Iterator[StoredWindow], limit: int) -> list[list[StoredWindow]]:
    """Windows in groups of neighbours, in the order of each group's best one."""
    groups: list[list[StoredWindow]] = []
    of_window: dict[tuple[int, int, int], list[StoredWindow]] = {}
    for window in windows:
        place = (window.document_id, window.page, window.id)
        before = of_window.get((*place[:2], window.id - 1))
        after = of_window.get((*place[:2], window.id + 1))
        group = before or after
        if group is None:
            if len(groups) == limit:
                break
            group = []
            groups.append(group)
        group.append(window)
        of_window[place] = group
        if before is not None and after is not None and before is not after:
            # It closes a gap: the later group joins the earlier one.
            first, second = sorted((before, after), key=groups.index)
            first += second
            groups.remove(second)
            for each in second:
                of_window[each.document_id, each.page, each.id] = first
            if group is not first:
                of_window[place] = first
    return groups
