"""Rows of file batches."""

from __future__ import annotations

from localassist.store.table import Table
from localassist.types.vector_store import FileBatch

TABLE = Table(
    "file_batch",
    FileBatch,
    columns=("id", "vector_store_id", "created_at", "cancelled"),
    parent="vector_store_id",
)
