"""Rows of documents, their pages and windows, and the keyword index over these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.types.document import Document, StoredWindow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from localassist.store.connection import Transaction
    from localassist.types.document import NewWindow

_COLUMNS = "id, sha256, filename, status, error, num_pages, pages_done, usage_bytes"
_ADD = """
INSERT INTO document (sha256, filename, status) VALUES (?, ?, 'pending')
ON CONFLICT (sha256, filename) DO NOTHING
"""
_BY_CONTENT = f"SELECT {_COLUMNS} FROM document WHERE sha256 = ? AND filename = ?"
_BY_ID = f"SELECT {_COLUMNS} FROM document WHERE id = ?"
_TWIN = f"""
SELECT {_COLUMNS} FROM document
WHERE sha256 = ? AND id <> ? AND filename LIKE ? AND status = 'completed'
"""
_CLAIMABLE = f"""
SELECT {_COLUMNS}, owner, claimed_until FROM document
WHERE status = 'pending' AND id IN (
    SELECT document_id FROM vector_store_file WHERE status = 'in_progress'
) ORDER BY id LIMIT 1000
"""
_CLAIM = """
UPDATE document SET owner = ?, claimed_until = ?
WHERE id = ? AND status = 'pending' AND owner IS ?
"""
_RENEW = "UPDATE document SET claimed_until = ? WHERE owner = ? AND status = 'pending'"
_RELEASE = "UPDATE document SET owner = NULL, claimed_until = NULL WHERE id = ? AND owner = ?"
_HELD = "SELECT 1 FROM document WHERE id = ? AND owner = ? AND status = 'pending'"
_PAGE = "INSERT OR REPLACE INTO page (document_id, number, text) VALUES (?, ?, ?)"
_WINDOW = """
INSERT INTO window (document_id, page, start, stop, num_tokens, vector) VALUES (?, ?, ?, ?, ?, ?)
"""
_INDEX = """
INSERT INTO window_text (rowid, title, text)
SELECT id, title, text FROM window_content WHERE id IN (
    SELECT id FROM window WHERE document_id = ? AND id > ?
)
"""
_LAST_WINDOW = "SELECT coalesce(max(id), 0) FROM window"
_PROGRESS = """
UPDATE document
SET num_pages = ?, pages_done = max(pages_done, ?), usage_bytes = usage_bytes + ? WHERE id = ?
"""
_FINISH = """
UPDATE document SET status = ?, error = ?, owner = NULL, claimed_until = NULL
WHERE id = ? AND status = 'pending'
"""
_RETRY = """
UPDATE document SET status = 'pending', error = NULL, num_pages = NULL, pages_done = 0,
    usage_bytes = 0 WHERE id = ? AND status = 'failed'
"""
_NO_SIZE = "UPDATE document SET usage_bytes = 0 WHERE id = ?"
_HAS_TEXT = "SELECT 1 FROM window WHERE document_id = ? LIMIT 1"
_COPY_PAGES = """
INSERT INTO page (document_id, number, text) SELECT ?, number, text FROM page WHERE document_id = ?
"""
_COPY_WINDOWS = """
INSERT INTO window (document_id, page, start, stop, num_tokens, vector)
SELECT ?, page, start, stop, num_tokens, vector FROM window WHERE document_id = ? ORDER BY id
"""
_COPY_COUNTS = """
UPDATE document SET (num_pages, pages_done, usage_bytes) = (
    SELECT num_pages, pages_done, usage_bytes FROM document WHERE id = ?
) WHERE id = ?
"""
_UNINDEX = """
INSERT INTO window_text (window_text, rowid, title, text)
SELECT 'delete', id, title, text FROM window_content WHERE id IN (
    SELECT id FROM window WHERE document_id = ?
)
"""
_OF_CONTENT = "SELECT id FROM document WHERE sha256 = ?"
_DELETE = "DELETE FROM document WHERE id = ?"
_DELETE_PARTS = (
    "DELETE FROM window WHERE document_id = ?",
    "DELETE FROM page WHERE document_id = ?",
)

_IN_STORES = """
window.document_id IN (
    SELECT document_id FROM vector_store_file
    WHERE vector_store_id IN (SELECT value FROM json_each(?))
    AND status IN ('in_progress', 'completed')
)
"""
_WINDOW_IDS = "SELECT id FROM window WHERE " + _IN_STORES
_VECTORS = "SELECT id, vector FROM window WHERE id IN (SELECT value FROM json_each(?))"
_KEYWORD_HITS = f"""
SELECT window_text.rowid, -bm25(window_text, 2.0, 1.0) AS score
FROM window_text JOIN window ON window.id = window_text.rowid
WHERE window_text MATCH ?1 AND {_IN_STORES.replace("?", "?2")}
AND (?3 IS NULL OR window.document_id IN (SELECT value FROM json_each(?3)))
ORDER BY score DESC LIMIT ?4
"""
_WINDOWS_OF = "SELECT id FROM window WHERE document_id IN (SELECT value FROM json_each(?))"
_READ = """
SELECT window.id, window.document_id, window.page, window.start, window.stop, window.num_tokens,
       substr(page.text, window.start + 1, window.stop - window.start) AS text
FROM window JOIN page ON page.document_id = window.document_id AND page.number = window.page
"""
_READ_THESE = _READ + "WHERE window.id IN (SELECT value FROM json_each(?))"
_READ_HEAD = _READ + "WHERE window.document_id = ? ORDER BY window.id LIMIT ?"
_READ_ALL = _READ + "WHERE window.document_id = ? ORDER BY window.id"
_NUM_TOKENS = "SELECT coalesce(sum(num_tokens), 0) FROM window WHERE " + _IN_STORES
_PAGE_TEXT = "SELECT text FROM page WHERE document_id = ? AND number = ?"
_PAGE_TEXTS = "SELECT text FROM page WHERE document_id = ? ORDER BY abs(number)"


def add(tx: Transaction, *, sha256: str, filename: str) -> Document:
    """The document of a file's bytes and name, which is new unless it is known."""
    tx.execute(_ADD, (sha256, filename))
    return _document(tx.execute(_BY_CONTENT, (sha256, filename)).fetchone())


def get(connection: sqlite3.Connection | Transaction, document_id: int) -> Document | None:
    """The document, or None."""
    row = connection.execute(_BY_ID, (document_id,)).fetchone()
    return None if row is None else _document(row)


def twin(
    connection: sqlite3.Connection | Transaction, document: Document, *, suffix: str
) -> Document | None:
    """An indexed document of the same bytes under another name that ends alike, or None."""
    keys = (document.sha256, document.id, f"%{suffix}")
    row = connection.execute(_TWIN, keys).fetchone()
    return None if row is None else _document(row)


def claimable(
    connection: sqlite3.Connection,
) -> list[tuple[Document, str | None, float]]:
    """Documents to be indexed, oldest first, with who has claimed each and until when."""
    rows = connection.execute(_CLAIMABLE).fetchall()
    return [(_document(row), row["owner"], row["claimed_until"] or 0.0) for row in rows]


def claim(tx: Transaction, document_id: int, *, owner: str, was: str | None, until: float) -> bool:
    """Claim a document that `was` somebody's or nobody's; False if that has changed."""
    return tx.execute(_CLAIM, (owner, until, document_id, was)).rowcount == 1


def renew(tx: Transaction, *, owner: str, until: float) -> None:
    """Prolong an owner's claims."""
    tx.execute(_RENEW, (until, owner))


def release(tx: Transaction, document_id: int, *, owner: str) -> None:
    """Give a claim up."""
    tx.execute(_RELEASE, (document_id, owner))


def held(tx: Transaction, document_id: int, *, owner: str) -> bool:
    """Whether a document is there, pending, and claimed by `owner`."""
    return tx.execute(_HELD, (document_id, owner)).fetchone() is not None


def extend(
    tx: Transaction,
    document_id: int,
    *,
    num_pages: int,
    pages: Sequence[tuple[int, str]],
    windows: Iterable[NewWindow],
) -> None:
    """Add the next pages and their windows."""
    (last,) = tx.execute(_LAST_WINDOW).fetchone()
    size = 0
    for number, text in pages:
        tx.execute(_PAGE, (document_id, number, text))
        size += len(text.encode())
    for each in windows:
        row = (each.page, each.start, each.stop, each.num_tokens, each.vector)
        tx.execute(_WINDOW, (document_id, *row))
        size += len(each.vector)
    tx.execute(_INDEX, (document_id, last))
    done = abs(pages[-1][0]) if pages else 0
    tx.execute(_PROGRESS, (num_pages, done, size, document_id))


def finish(tx: Transaction, document_id: int, *, error: str | None = None) -> bool:
    """The document is complete, or has failed; False if it is neither here nor pending."""
    status = "completed" if error is None else "failed"
    return tx.execute(_FINISH, (status, error, document_id)).rowcount == 1


def has_text(connection: Transaction, document_id: int) -> bool:
    """Whether there is anything in a document that can be found."""
    return connection.execute(_HAS_TEXT, (document_id,)).fetchone() is not None


def clear(tx: Transaction, document_id: int) -> None:
    """Delete the pages and windows of a document."""
    tx.execute(_NO_SIZE, (document_id,))
    tx.execute(_UNINDEX, (document_id,))
    for statement in _DELETE_PARTS:
        tx.execute(statement, (document_id,))


def retry(tx: Transaction, document_id: int) -> None:
    """Have a document that failed read again."""
    tx.execute(_RETRY, (document_id,))


def copy(tx: Transaction, source: int, target: int) -> None:
    """Give `target` the pages and windows of `source`."""
    (last,) = tx.execute(_LAST_WINDOW).fetchone()
    tx.execute(_COPY_PAGES, (target, source))
    tx.execute(_COPY_WINDOWS, (target, source))
    tx.execute(_INDEX, (target, last))
    tx.execute(_COPY_COUNTS, (source, target))


def delete_of_content(tx: Transaction, sha256: str) -> None:
    """Delete the documents of some bytes, which no vector store may hold any more."""
    for (document_id,) in tx.execute(_OF_CONTENT, (sha256,)).fetchall():
        clear(tx, document_id)
        tx.execute(_DELETE, (document_id,))


# --- search ---


def window_ids(connection: sqlite3.Connection, stores: str) -> list[int]:
    """Ids of all windows in vector stores, whose ids are a JSON list."""
    return [row[0] for row in connection.execute(_WINDOW_IDS, (stores,))]


def vectors(connection: sqlite3.Connection, ids: str) -> list[tuple[int, bytes]]:
    """Vectors by the windows' ids, which are a JSON list."""
    return [(row[0], row[1]) for row in connection.execute(_VECTORS, (ids,))]


def keyword_hits(
    connection: sqlite3.Connection, match: str, *, stores: str, among: str | None, limit: int
) -> list[tuple[int, float]]:
    """The best windows of a full-text query with their scores, best first.

    Args:
        connection: a reading connection.
        match: in the language of FTS5.
        stores: ids of vector stores, as a JSON list.
        among: ids of documents, as a JSON list; None for all.
        limit: at most so many.
    """
    rows = connection.execute(_KEYWORD_HITS, (match, stores, among, limit))
    return [(row[0], row[1]) for row in rows]


def windows_of(connection: sqlite3.Connection, documents: str) -> list[int]:
    """Ids of the windows of documents, whose ids are a JSON list."""
    return [row[0] for row in connection.execute(_WINDOWS_OF, (documents,))]


def read_windows(connection: sqlite3.Connection, ids: str) -> dict[int, StoredWindow]:
    """Windows by id; the ids are a JSON list."""
    return {row["id"]: _window(row) for row in connection.execute(_READ_THESE, (ids,))}


def head(connection: sqlite3.Connection, document_id: int, *, limit: int) -> list[StoredWindow]:
    """The first windows of a document."""
    return [_window(row) for row in connection.execute(_READ_HEAD, (document_id, limit))]


def all_windows(connection: sqlite3.Connection, document_id: int) -> list[StoredWindow]:
    """The windows of a document, in order."""
    return [_window(row) for row in connection.execute(_READ_ALL, (document_id,))]


def num_tokens(connection: sqlite3.Connection, stores: str) -> int:
    """Tokens of all windows in vector stores."""
    return int(connection.execute(_NUM_TOKENS, (stores,)).fetchone()[0])


def page_text(connection: sqlite3.Connection, document_id: int, number: int) -> str | None:
    """The text of a page; None if it is gone."""
    row = connection.execute(_PAGE_TEXT, (document_id, number)).fetchone()
    return None if row is None else str(row[0])


def page_texts(connection: sqlite3.Connection, document_id: int) -> list[str]:
    """The texts of all pages."""
    return [row[0] for row in connection.execute(_PAGE_TEXTS, (document_id,))]


def _document(row: sqlite3.Row) -> Document:
    return Document(
        **{name: row[name] for name in Document.__dataclass_fields__}  # sqlite3.Row is no mapping
    )


def _window(row: sqlite3.Row) -> StoredWindow:
    return StoredWindow(*row)
