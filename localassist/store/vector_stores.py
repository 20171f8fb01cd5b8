"""Rows of vector stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.store.table import Table
from localassist.types.vector_store import FileCounts, VectorStore

if TYPE_CHECKING:
    import sqlite3

    from localassist.store.connection import Transaction

TABLE = Table(
    "vector_store",
    VectorStore,
    columns=(
        "id", "created_at", "name", "description", "metadata", "expires_after", "expires_at",
        "last_active_at", "owner",
    ),
    json_columns=("metadata", "expires_after"),
)  # fmt: skip

OWNED = "owner = ?"
_COUNTS = """
SELECT status, count(*), coalesce(sum(usage_bytes), 0) FROM vector_store_file
WHERE vector_store_id = ? GROUP BY status
"""
_BATCH_COUNTS = """
SELECT status, count(*), 0 FROM vector_store_file WHERE batch_id = ? GROUP BY status
"""
_TOUCH = """
UPDATE vector_store SET last_active_at = ?,
    expires_at = ? + 86400 * json_extract(expires_after, '$.days')
WHERE id IN (SELECT value FROM json_each(?))
"""
_GENERATION = "SELECT generation FROM vector_store WHERE id = ?"
_CHANGED = "UPDATE vector_store SET generation = generation + 1 WHERE id = ?"
_CHANGED_WITH = """
UPDATE vector_store SET generation = generation + 1
WHERE id IN (SELECT vector_store_id FROM vector_store_file WHERE document_id = ?)
"""


def owned(connection: sqlite3.Connection | Transaction, owner: str) -> VectorStore | None:
    """The store that was made for an assistant or a thread, or None."""
    found = TABLE.where(connection, OWNED, (owner,))
    return found[0] if found else None


def with_counts(
    connection: sqlite3.Connection | Transaction, store: VectorStore, now: float
) -> VectorStore:
    """Fill in what is counted: files, bytes and the status."""
    store.file_counts, store.usage_bytes = _counted(connection, _COUNTS, store.id)
    if store.expires_at is not None and store.expires_at <= now:
        store.status = "expired"
    else:
        store.status = "in_progress" if store.file_counts.in_progress else "completed"
    return store


def batch_counts(connection: sqlite3.Connection | Transaction, batch_id: str) -> FileCounts:
    """How many files of a batch have which status."""
    return _counted(connection, _BATCH_COUNTS, batch_id)[0]


def touch(tx: Transaction, ids: str, now: int) -> None:
    """Stores, whose ids are a JSON list, are used: they expire so much later."""
    tx.execute(_TOUCH, (now, now, ids))


def generation(connection: sqlite3.Connection, store_id: str) -> int:
    """A number that changes with what is found in the store; -1 if there is no such store."""
    row = connection.execute(_GENERATION, (store_id,)).fetchone()
    return -1 if row is None else int(row[0])


def changed(tx: Transaction, store_id: str) -> None:
    """Something else is found in the store."""
    tx.execute(_CHANGED, (store_id,))


def changed_with(tx: Transaction, document_id: int) -> None:
    """Something else is found in all stores that hold a document."""
    tx.execute(_CHANGED_WITH, (document_id,))


def _counted(
    connection: sqlite3.Connection | Transaction, sql: str, key: str
) -> tuple[FileCounts, int]:
    counts, size = FileCounts(), 0
    for status, number, part in connection.execute(sql, (key,)):
        setattr(counts, status, number)
        counts.total += number
        size += part
    return counts, size
