"""IndexCache: the index of each vector store, kept in step with the rows that it is made from.

The rows are the truth. An index in memory, or on the disk, is of a generation of its store; one of
another generation is brought up to date by what differs, and one that is lost is built again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.retrieval.embed import DIM
from localassist.retrieval.index import VectorIndex
from localassist.store import documents, vector_stores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import TypeVar

    from localassist.retrieval.embed import Vectors
    from localassist.store.connection import Store

    R = TypeVar("R")

log = logging.getLogger("localassist.retrieval")

# A smaller one is built from the rows as fast as it is read from the disk.
MIN_SAVED = 2_000
_UNFINISHED_S = 600
_READ_AT_ONCE = 20_000


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    index: VectorIndex | None = None
    generation: int = -1
    saved: int = -1


class IndexCache:
    """Any OS thread may use it."""

    def __init__(self, store: Store, folder: Path, *, max_open: int = 16) -> None:
        """Open nothing yet.

        Args:
            store: holds the rows.
            folder: holds the saved indexes; it may be lost at any time.
            max_open: indexes kept in memory, those used last.
        """
        self._store = store
        self._folder = folder
        self._max_open = max_open
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def use(self, store_id: str, work: Callable[[VectorIndex], R]) -> R:
        """Do `work` with the store's index as it is now."""
        entry = self._entry(store_id)
        with entry.lock:
            return work(self._current(store_id, entry))

    def forget(self, store_id: str) -> None:
        """The store is gone."""
        with self._lock:
            self._entries.pop(store_id, None)
        for path in self._saved(store_id):
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete the files of stores that are gone, and what killed processes left unfinished."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            store_id = path.name.partition("-")[0]
            gone = vector_stores.generation(self._store.read(), store_id) < 0
            with contextlib.suppress(FileNotFoundError):  # another process sweeps as well
                old = time.time() - path.stat().st_mtime > _UNFINISHED_S
                if gone or (path.suffix != ".faiss" and old):
                    path.unlink()

    def save(self) -> None:
        """Write down what has changed and is worth it."""
        with self._lock:
            entries = list(self._entries.items())
        for store_id, entry in entries:
            with entry.lock:
                self._save(store_id, entry)

    def _entry(self, store_id: str) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(store_id, _Entry())
            self._entries.move_to_end(store_id)
            beyond = len(self._entries) - self._max_open
            dropped = [self._entries.popitem(last=False) for _ in range(max(0, beyond))]
        for other, each in dropped:
            with each.lock:
                self._save(other, each)
        return entry

    def _current(self, store_id: str, entry: _Entry) -> VectorIndex:
        connection = self._store.read()
        # The number is read before the rows: what changes in between is found the next time.
        generation = vector_stores.generation(connection, store_id)
        if entry.index is None:
            entry.index, entry.generation = self._load(store_id)
            entry.saved = entry.generation
        if entry.generation != generation:
            wanted = set(documents.window_ids(connection, json.dumps([store_id])))
            index = entry.index
            if index is None or index.outgrown or len(index.ids ^ wanted) > len(wanted):
                index = VectorIndex.build(*self._vectors(wanted))
            else:
                index.remove(list(index.ids - wanted))
                index.add(*self._vectors(wanted - index.ids))
            entry.index, entry.generation = index, generation
        assert entry.index is not None, "a store without an index has no generation either"
        return entry.index

    def _vectors(self, ids: Iterable[int]) -> tuple[Sequence[int], Vectors]:
        numpy: Any = require("numpy", package="numpy")
        ordered = sorted(ids)
        matrix: Vectors = numpy.empty((len(ordered), DIM), numpy.float32)
        found: list[int] = []
        for start in range(0, len(ordered), _READ_AT_ONCE):
            part = json.dumps(ordered[start : start + _READ_AT_ONCE])
            rows = documents.vectors(self._store.read(), part)
            joined = b"".join(vector for _, vector in rows)
            block = numpy.frombuffer(joined, numpy.float16).reshape(-1, DIM)
            matrix[len(found) : len(found) + len(rows)] = block
            found += [window_id for window_id, _ in rows]
        return found, matrix[: len(found)]

    # --- on the disk ---

    def _saved(self, store_id: str) -> list[Path]:
        return list(self._folder.glob(f"{store_id}-*.faiss"))

    def _load(self, store_id: str) -> tuple[VectorIndex | None, int]:
        for path in self._saved(store_id):
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                return VectorIndex.load(path), int(path.stem.rpartition("-")[2])
            log.warning("the saved index %s cannot be read; it is built again", path.name)
            path.unlink(missing_ok=True)
        return None, -2

    def _save(self, store_id: str, entry: _Entry) -> None:
        index = entry.index
        if index is None or entry.generation == entry.saved or len(index.ids) < MIN_SAVED:
            return
        try:
            index.save(self._folder / f"{store_id}-{entry.generation}.faiss")
        except (OSError, RuntimeError) as error:
            log.warning("the index of %s is not saved: %s", store_id, error)
            return
        entry.saved = entry.generation
        for path in self._saved(store_id):
            if path.stem != f"{store_id}-{entry.generation}":
                path.unlink(missing_ok=True)
