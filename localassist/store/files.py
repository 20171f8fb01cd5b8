"""Rows of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.store.table import Table
from localassist.types.file import StoredFile

if TYPE_CHECKING:
    import sqlite3

    from localassist.store.connection import Transaction

TABLE = Table(
    "file",
    StoredFile,
    columns=("id", "bytes", "created_at", "filename", "purpose", "expires_at", "sha256"),
)
OF_PURPOSE = "purpose = ?"
_REFERRED = "SELECT 1 FROM file WHERE sha256 = ? LIMIT 1"
REFERS_TO = "instr(tool_resources, ?)"
DUE = "expires_at IS NOT NULL AND expires_at <= ?"


def due(connection: sqlite3.Connection | Transaction, now: float) -> list[StoredFile]:
    """The files whose time is over."""
    return TABLE.where(connection, DUE, (now,))


def is_referred_to(connection: sqlite3.Connection | Transaction, sha256: str) -> bool:
    """Whether any file has this content."""
    return connection.execute(_REFERRED, (sha256,)).fetchone() is not None
