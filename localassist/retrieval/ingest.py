"""Ingester: indexes the files of vector stores, in the background, in pieces that survive a kill.

Each piece is one transaction: some pages of some documents with their windows and vectors. What a
dead process leaves is gone on with where its last piece ended.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist._owner import owner_may_live
from localassist.errors import ClosedError, HomeError, LocalAssistError
from localassist.retrieval.extract.extractor import Extractor
from localassist.retrieval.extract.page import Page, UnreadableError
from localassist.retrieval.windows import windows
from localassist.store import documents, vector_store_files, vector_stores
from localassist.types.document import Document, NewWindow

if TYPE_CHECKING:
    from collections.abc import Callable

    from localassist.retrieval.embed import Embedder
    from localassist.retrieval.index_cache import IndexCache
    from localassist.store.blobs import Blobs
    from localassist.store.connection import Store

log = logging.getLogger("localassist.retrieval")

# Written together: so many vectors take about half a second.
PIECE_WINDOWS = 96
_CLAIMED_AT_ONCE = 64
_NO_TEXT = json.dumps(
    {"code": "invalid_file", "message": "no_text: The file has no text that could be found."}
)
_IDLE_S = 5.0
_RETRY_S = 1.0


@dataclass
class _Part:
    """Pages of one document that are about to be written."""

    document: Document
    num_pages: int = 0
    pages: list[Page] = field(default_factory=list)
    windows: list[tuple[int, int, int, int]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    ended: bool = False
    error: str | None = None


class Ingester:
    """One worker. `notify`, `wait` and `close` may be called from any OS thread."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        indexes: IndexCache,
        embedder: Callable[[], Embedder],
        *,
        owner: str,
        now: Callable[[], float],
        lease_s: float,
        extractor: Extractor | None = None,
    ) -> None:
        """Start nothing yet; `notify` does.

        Args:
            store: holds the rows.
            blobs: hold the bytes of files.
            indexes: are written down when there is nothing else to do.
            embedder: returns the embedding model, which it loads the first time.
            owner: this process.
            now: seconds since the epoch.
            lease_s: how long a claim lasts without being renewed.
            extractor: reads files.
        """
        self._store = store
        self._blobs = blobs
        self._indexes = indexes
        self._embedder = embedder
        self._owner = owner
        self._now = now
        self._lease_s = lease_s
        self._extractor = extractor or Extractor()
        self._progress = threading.Condition()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._worker: threading.Thread | None = None
        self._has_claims = False

    def notify(self) -> None:
        """There may be something to index."""
        with self._progress:
            if self._closing.is_set():
                return
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="ingester", daemon=True)
                self._worker.start()
        self._wake.set()

    def resume(self) -> None:
        """Go on with what dead processes have left, if anything."""
        if self._worker is None and documents.claimable(self._store.read()):
            self.notify()

    def renew(self) -> None:
        """Prolong the claims of this process; to be called often while it lives."""
        if self._has_claims:
            with self._store.write() as tx:
                documents.renew(tx, owner=self._owner, until=self._now() + self._lease_s)

    def wait(
        self,
        store_ids: list[str],
        *,
        timeout_s: float | None = None,
        cancelled: Callable[[], bool] = bool,
    ) -> bool:
        """Wait until no file of the stores is being indexed; False if that is not so in time."""
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        stores = json.dumps(store_ids)
        while vector_store_files.num_unfinished(self._store.read(), stores):
            if cancelled() or (give_up_at is not None and time.monotonic() > give_up_at):
                return False
            with self._progress:
                self._progress.wait(0.1)
        return True

    def wait_for_piece(self, timeout_s: float) -> None:
        """Wait until something more is indexed, or so long."""
        with self._progress:
            self._progress.wait(timeout_s)

    def close(self) -> None:
        """Stop; what is not done is gone on with by whoever opens the folder next."""
        with self._progress:
            self._closing.set()
        self._wake.set()
        if self._worker is not None:
            self._worker.join()
        self._extractor.close()

    # --- the worker ---

    def _work(self) -> None:
        swept = False
        while not self._closing.is_set():
            self._wake.wait(_IDLE_S)
            self._wake.clear()
            try:
                if not swept:
                    swept = True
                    self._indexes.sweep()
                while not self._closing.is_set() and (claimed := self._claim()):
                    self._has_claims = True
                    self._index(claimed)
                self._has_claims = False
                self._indexes.save()
            except ClosedError:
                return
            except Exception:  # a worker outlives whatever a document does to it
                log.exception("indexing stopped; it is tried again")
                self._closing.wait(_RETRY_S)
                self._wake.set()

    def _claim(self) -> list[Document]:
        claimed: list[Document] = []
        now = self._now()
        for document, owner, until in documents.claimable(self._store.read()):
            if owner not in (None, self._owner) and until > now and owner_may_live(owner):
                continue
            with self._store.write() as tx:
                if documents.claim(
                    tx, document.id, owner=self._owner, was=owner, until=now + self._lease_s
                ):
                    claimed.append(document)
            if len(claimed) == _CLAIMED_AT_ONCE:
                break
        return claimed

    def _index(self, claimed: list[Document]) -> None:
        parts: list[_Part] = []
        for document in claimed:
            if self._closing.is_set():
                break
            if any(part.document.sha256 == document.sha256 for part in parts):
                self._write(parts)  # then it is known, and need not be read again
            part = _Part(document)
            parts.append(part)
            try:
                if self._copied(part):
                    parts.pop()
                    continue
                self._read(part, parts)
                part.ended = True
            except UnreadableError as error:
                part.ended = not self._closing.is_set()
                part.error = json.dumps({"code": error.code, "message": error.message})
            except (HomeError, ClosedError):
                raise  # it is not the document's fault, and passes
            except Exception as error:
                log.exception("a document could not be read")
                part.ended = True
                message = str(error) if isinstance(error, LocalAssistError) else repr(error)
                part.error = json.dumps({"code": "server_error", "message": message})
            if _num_windows(parts) >= PIECE_WINDOWS:
                self._write(parts)
        self._write(parts)

    def _copied(self, part: _Part) -> bool:
        """Take over what is known of the same bytes under another name."""
        document = part.document
        if document.pages_done:
            return False
        with self._store.write() as tx:
            twin = documents.twin(tx, document, suffix=PurePath(document.filename).suffix)
            if twin is None or not documents.held(tx, document.id, owner=self._owner):
                return False
            documents.copy(tx, twin.id, document.id)
            documents.finish(tx, document.id)
            vector_store_files.document_ended(
                tx, document.id, error=None, usage_bytes=twin.usage_bytes
            )
            vector_stores.changed_with(tx, document.id)
        self._tell()
        return True

    def _read(self, part: _Part, parts: list[_Part]) -> None:
        document = part.document
        path = self._blobs.path(document.sha256)
        if not path.is_file():
            raise UnreadableError("server_error", "missing: The file was deleted.")
        embedder = self._embedder()
        part.num_pages, pages = self._extractor.pages(
            path,
            document.filename,
            start=document.pages_done + 1,
            cancelled=self._closing.is_set,
        )
        for page in pages:
            if self._closing.is_set():
                raise UnreadableError("server_error", "cancelled: The client was closed.")
            part.pages.append(page)
            for each in windows(page.text, embedder.token_starts):
                part.windows.append((page.number, each.start, each.stop, each.num_tokens))
                part.texts.append(page.text[each.start : each.stop])
            if _num_windows(parts) >= PIECE_WINDOWS and not self._write(parts, keep=part):
                raise UnreadableError("server_error", "gone: Nobody wants the file any more.")

    def _write(self, parts: list[_Part], *, keep: _Part | None = None) -> bool:
        """Embed and write what has been read; False if nobody wants the part to be kept."""
        vectors = self._embedded(parts)
        kept, at = True, 0
        with self._store.write() as tx:
            documents.renew(tx, owner=self._owner, until=self._now() + self._lease_s)
            for part in parts:
                own = vectors[at : at + len(part.texts)]
                at += len(part.texts)
                document = part.document
                wanted = vector_store_files.is_wanted(tx, document.id)
                if not documents.held(tx, document.id, owner=self._owner) or not wanted:
                    documents.release(tx, document.id, owner=self._owner)
                    kept = kept and part is not keep
                    continue
                self._write_part(tx, part, own)
        for part in parts:
            part.pages, part.windows, part.texts = [], [], []
        parts[:] = [] if keep is None else [keep]
        self._tell()
        return kept

    def _embedded(self, parts: list[_Part]) -> list[bytes]:
        """Vectors of all texts of the parts; where that fails, so do the parts."""
        texts = [text for part in parts for text in part.texts]
        try:
            return _halved(self._embedder().encode(texts)) if texts else []
        except Exception as error:
            log.exception("texts could not be embedded")
            message = f"The text could not be embedded ({error!r})."
            for part in parts:
                part.ended = True
                part.error = json.dumps({"code": "server_error", "message": message})
                part.pages, part.windows, part.texts = [], [], []
            return []

    def _write_part(self, tx: Any, part: _Part, vectors: list[bytes]) -> None:
        document_id = part.document.id
        if part.error is None or part.pages:
            documents.extend(
                tx,
                document_id,
                num_pages=part.num_pages,
                pages=[(page.number, page.text) for page in part.pages],
                windows=[
                    NewWindow(*where, vector)
                    for where, vector in zip(part.windows, vectors, strict=True)
                ],
            )
        if part.ended:
            if part.error is None and not documents.has_text(tx, document_id):
                part.error = _NO_TEXT
            if part.error is not None:
                documents.clear(tx, document_id)
            documents.finish(tx, document_id, error=part.error)
            document = documents.get(tx, document_id)
            assert document is not None, "it is held"
            vector_store_files.document_ended(
                tx, document_id, error=part.error, usage_bytes=document.usage_bytes
            )
        vector_stores.changed_with(tx, document_id)

    def _tell(self) -> None:
        with self._progress:
            self._progress.notify_all()


def _num_windows(parts: list[_Part]) -> int:
    return sum(len(part.windows) for part in parts)


def _halved(vectors: Any) -> list[bytes]:
    numpy: Any = require("numpy", package="numpy")
    return [row.tobytes() for row in vectors.astype(numpy.float16)]
