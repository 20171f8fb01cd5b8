"""PassageReader: from windows that were found to the passages that are shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist.retrieval.windows import Window, chunks
from localassist.store import documents, vector_store_files
from localassist.types.vector_store import AUTO_CHUNKS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from localassist.retrieval.search import Ranked
    from localassist.store.connection import Store
    from localassist.types.document import StoredWindow
    from localassist.types.vector_store import VectorStoreFile

# A chunk that says so much of what a better one says already is left out.
_MOST_IN_COMMON = 0.5
_MOST_HEADS = 2
_WINDOWS_A_PASSAGE = 4  # more of them are seldom neighbours, and each has to be read


@dataclass(frozen=True)
class Passage:
    """Text of one file that was found: of one page, unless the file's chunks were asked for.

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


class PassageReader:
    """Any OS thread may use it."""

    def __init__(self, store: Store) -> None:
        self._store = store

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
        ordered, held = self._read(ranked[: limit * _WINDOWS_A_PASSAGE], store_ids, files)
        groups = _side_by_side(_within(ordered, max_tokens), limit)
        scores = {each.window_id: each for each in ranked}
        return [self._passage(held[group[0].document_id], group, scores) for group in groups]

    def chunked(
        self,
        ranked: Sequence[Ranked],
        store_ids: Sequence[str],
        *,
        limit: int,
        files: Collection[str] | None = None,
    ) -> list[Passage]:
        """As `passages`; of a file whose chunks were asked for, the chunks of the best windows."""
        ordered, held = self._read(ranked[: limit * _WINDOWS_A_PASSAGE], store_ids, files)
        asked = {
            key: _Chunks(documents.all_windows(self._store.read(), key), file.chunking_strategy)
            for key, file in held.items()
            if file.chunking_strategy != AUTO_CHUNKS
        }
        scores = {each.window_id: each for each in ranked}
        groups: list[list[StoredWindow]] = []
        if not asked:
            groups = _side_by_side(iter(ordered), limit)
            ordered = []
        for window in ordered:
            known = asked.get(window.document_id)
            group = [window] if known is None else known.around(window)
            if not any(_repeats(group, other) for other in groups):
                groups.append(group)
            if len(groups) == limit:
                break
        return [self._passage(held[group[0].document_id], group, scores) for group in groups]

    def _read(
        self, ranked: Sequence[Ranked], store_ids: Sequence[str], files: Collection[str] | None
    ) -> tuple[list[StoredWindow], Mapping[int, VectorStoreFile]]:
        """The windows, best first, without those that were deleted since they were found."""
        ids = json.dumps([each.window_id for each in ranked])
        rows = documents.read_windows(self._store.read(), ids)
        held = self._held(store_ids, {row.document_id for row in rows.values()}, files)
        ordered = [
            rows[each.window_id]
            for each in ranked
            if each.window_id in rows and rows[each.window_id].document_id in held
        ]
        return ordered, held

    def head(
        self, store_ids: Sequence[str], *, max_tokens: int, ranked: Sequence[Ranked] = ()
    ) -> list[Passage]:
        """The beginnings of the first files, each as long as there is room.

        Args:
            store_ids: which files.
            max_tokens: of all of them together, in tokens of the embedding model.
            ranked: what was found, for the scores.
        """
        scores = {each.window_id: each for each in ranked}
        held = self._held(store_ids)
        first = sorted(held)[:_MOST_HEADS]
        room = max_tokens // max(1, len(first))
        groups: list[list[StoredWindow]] = []
        for document_id in first:
            windows = documents.head(self._store.read(), document_id, limit=room // 20 + 1)
            pages: dict[int, list[StoredWindow]] = {}
            for window in _within(windows, room):
                pages.setdefault(window.page, []).append(window)
            groups += pages.values()
        return [self._passage(held[group[0].document_id], group, scores) for group in groups]

    def whole(self, store_ids: Sequence[str], *, ranked: Sequence[Ranked] = ()) -> list[Passage]:
        """All of the files, a passage for each page; `ranked` is what was found, for the scores."""
        scores = {each.window_id: each for each in ranked}
        held = self._held(store_ids)
        found = []
        for document_id in sorted(held):
            pages: dict[int, list[StoredWindow]] = {}
            for window in documents.all_windows(self._store.read(), document_id):
                pages.setdefault(window.page, []).append(window)
            found += [self._passage(held[document_id], group, scores) for group in pages.values()]
        return found

    def num_tokens(self, store_ids: Sequence[str]) -> int:
        """Tokens of all files together, in those of the embedding model."""
        return documents.num_tokens(self._store.read(), json.dumps(list(store_ids)))

    def _passage(
        self, file: VectorStoreFile, group: list[StoredWindow], scores: Mapping[int, Ranked]
    ) -> Passage:
        windows = tuple(sorted(group, key=lambda window: (abs(window.page), window.start)))
        pages: dict[int, list[StoredWindow]] = {}
        for window in windows:
            pages.setdefault(window.page, []).append(window)
        known = [scores[window.id] for window in windows if window.id in scores]
        return Passage(
            file=file,
            filename=self._filename(windows[0].document_id),
            windows=windows,
            text="\n".join(self._text(of_page) for of_page in pages.values()),
            score=max((each.score for each in known), default=0.0),
            cosine=max((each.cosine for each in known), default=0.0),
        )

    def _text(self, windows: list[StoredWindow]) -> str:
        """What neighbours on a page say, as it stands there."""
        first, last = windows[0], windows[-1]
        if first is last:
            return first.text
        page = documents.page_text(self._store.read(), first.document_id, first.page)
        return (page or "")[first.start : last.stop]

    def _held(
        self,
        store_ids: Sequence[str],
        among: Collection[int] | None = None,
        files: Collection[str] | None = None,
    ) -> Mapping[int, VectorStoreFile]:
        rows = vector_store_files.in_stores(
            self._store.read(),
            json.dumps(list(store_ids)),
            among=None if among is None else json.dumps(sorted(among)),
        )
        return {
            each.document_id: each for each in reversed(rows) if files is None or each.id in files
        }

    def _filename(self, document_id: int) -> str:
        document = documents.get(self._store.read(), document_id)
        return document.filename if document is not None else ""


class _Chunks:
    """The chunks of one document."""

    def __init__(self, windows: list[StoredWindow], strategy: Mapping[str, Any]) -> None:
        self._windows = windows
        self._at = {window.id: index for index, window in enumerate(windows)}
        sizes = strategy["static"]
        self._chunks = chunks(
            [[Window(each.start, each.stop, each.num_tokens) for each in windows]],
            max_tokens=sizes["max_chunk_size_tokens"],
            overlap=sizes["chunk_overlap_tokens"],
        )

    def around(self, window: StoredWindow) -> list[StoredWindow]:
        """The chunk that has the window farthest from its ends."""
        at = self._at[window.id]
        holding = [(first, last) for first, last in self._chunks if first <= at < last]
        first, last = max(holding, key=lambda chunk: min(at - chunk[0], chunk[1] - 1 - at))
        return self._windows[first:last]


def _repeats(group: Sequence[StoredWindow], other: Sequence[StoredWindow]) -> bool:
    common = {window.id for window in group} & {window.id for window in other}
    return len(common) >= _MOST_IN_COMMON * len(group)


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
