"""Rows of the files in vector stores. Such a row's id is its file's: it is unique in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.store.table import Table
from localassist.types.vector_store import VectorStoreFile

if TYPE_CHECKING:
    import sqlite3

    from localassist.store.connection import Transaction

TABLE = Table(
    "vector_store_file",
    VectorStoreFile,
    columns=(
        "id", "vector_store_id", "document_id", "created_at", "status", "last_error",
        "usage_bytes", "chunking_strategy", "attributes", "batch_id", "for_owner",
    ),
    json_columns=("last_error", "chunking_strategy", "attributes"),
    parent="vector_store_id",
)  # fmt: skip

WITH_STATUS = "status = ?"
OF_BATCH = "batch_id = ?"
OF_BATCH_WITH_STATUS = OF_BATCH + " AND status = ?"
_OF_STORE = "vector_store_id = ? AND id = ?"
_OF_STORE_ALL = "vector_store_id = ?"
_OF_FILE = "id = ?"
_IN_STORES = (
    "vector_store_id IN (SELECT value FROM json_each(?)) AND status IN ('in_progress', 'completed')"
)
_IN_STORES_AMONG = _IN_STORES + " AND document_id IN (SELECT value FROM json_each(?))"
_DELETE = """
DELETE FROM vector_store_file WHERE vector_store_id = ? AND id = ? RETURNING seq, vector_store_id
"""
_DELETE_FILE = "DELETE FROM vector_store_file WHERE id = ? RETURNING seq, vector_store_id"
# A file may be in several stores, and in one again and again: the last place counts.
_BURY = "INSERT OR REPLACE INTO tombstone (id, kind, parent_id, seq) VALUES (?, ?, ?, ?)"
_ATTRIBUTES = """
UPDATE vector_store_file SET attributes = json(?) WHERE vector_store_id = ? AND id = ?
"""
_DOCUMENT_ENDED = """
UPDATE vector_store_file SET status = ?, last_error = ?, usage_bytes = ?
WHERE document_id = ? AND status = 'in_progress'
"""
_CANCEL_BATCH = """
UPDATE vector_store_file SET status = 'cancelled' WHERE batch_id = ? AND status = 'in_progress'
"""
_WANTED = "SELECT 1 FROM vector_store_file WHERE document_id = ? AND status = 'in_progress' LIMIT 1"
_UNFINISHED = (
    "SELECT count(*) FROM vector_store_file WHERE " + _IN_STORES + (" AND status = 'in_progress'")
)


def find(
    connection: sqlite3.Connection | Transaction, store_id: str, file_id: str
) -> VectorStoreFile | None:
    """The file of a store, or None."""
    found = TABLE.where(connection, _OF_STORE, (store_id, file_id))
    return found[0] if found else None


def of_store(connection: sqlite3.Connection | Transaction, store_id: str) -> list[VectorStoreFile]:
    """All files of a store."""
    return TABLE.where(connection, _OF_STORE_ALL, (store_id,))


def of_file(connection: sqlite3.Connection | Transaction, file_id: str) -> list[VectorStoreFile]:
    """Where a file is held."""
    return TABLE.where(connection, _OF_FILE, (file_id,))


def in_stores(
    connection: sqlite3.Connection, stores: str, *, among: str | None = None
) -> list[VectorStoreFile]:
    """The files that can be found in stores; these, and the documents of `among`, are JSON lists.

    Without `among`, those of all documents.
    """
    if among is None:
        return TABLE.where(connection, _IN_STORES, (stores,))
    return TABLE.where(connection, _IN_STORES_AMONG, (stores, among))


def num_unfinished(connection: sqlite3.Connection, stores: str) -> int:
    """How many files of stores, whose ids are a JSON list, are still being indexed."""
    return int(connection.execute(_UNFINISHED, (stores,)).fetchone()[0])


def set_attributes(tx: Transaction, store_id: str, file_id: str, attributes: str) -> bool:
    """Replace the attributes, which are a JSON object; False if there is no such file."""
    return tx.execute(_ATTRIBUTES, (attributes, store_id, file_id)).rowcount == 1


def delete(tx: Transaction, store_id: str, file_id: str) -> bool:
    """Take a file out of a store; False if it is not in there."""
    return _bury(tx, tx.execute(_DELETE, (store_id, file_id)).fetchall(), file_id) == 1


def delete_file(tx: Transaction, file_id: str) -> None:
    """Take a file out of every store."""
    _bury(tx, tx.execute(_DELETE_FILE, (file_id,)).fetchall(), file_id)


def _bury(tx: Transaction, rows: list[Any], file_id: str) -> int:
    """Remember where files stood, so that a page can go on after one of them."""
    for seq, store_id in rows:
        tx.execute(_BURY, (f"{store_id}/{file_id}", TABLE.name, store_id, seq))
    return len(rows)


def document_ended(
    tx: Transaction, document_id: int, *, error: str | None, usage_bytes: int
) -> None:
    """A document is indexed, or cannot be: so are the files that waited for it."""
    status = "completed" if error is None else "failed"
    tx.execute(_DOCUMENT_ENDED, (status, error, usage_bytes, document_id))


def cancel_batch(tx: Transaction, batch_id: str) -> None:
    """Give up those files of a batch that are not indexed yet."""
    tx.execute(_CANCEL_BATCH, (batch_id,))


def is_wanted(connection: Any, document_id: int) -> bool:
    """Whether any file waits for a document."""
    return connection.execute(_WANTED, (document_id,)).fetchone() is not None
