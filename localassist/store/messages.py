"""Rows of messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from localassist.store.table import Table
from localassist.types.message import Message

if TYPE_CHECKING:
    import sqlite3

    from localassist.store.connection import Transaction
    from localassist.types._base import ListPage

TABLE = Table(
    "message",
    Message,
    columns=(
        "id", "thread_id", "role", "status", "content", "assistant_id", "run_id", "created_at",
        "completed_at", "incomplete_at", "incomplete_details", "metadata", "attachments",
    ),
    json_columns=("content", "incomplete_details", "metadata", "attachments"),
    parent="thread_id",
)  # fmt: skip

_ATTACHMENTS = (
    "SELECT attachments FROM message WHERE thread_id = ? AND attachments <> '[]' ORDER BY seq"
)
OF_RUN = "run_id = ?"
_SEEN = "thread_id = ? AND (run_id IS NOT ? OR status <> 'in_progress') AND content <> '[]'"
HISTORY = _SEEN + " ORDER BY seq DESC LIMIT ?"
_COUNT = "SELECT count(*) FROM message WHERE " + _SEEN
OPEN_OF_RUN = "run_id = ? AND status = 'in_progress'"


def page_of_run(
    connection: sqlite3.Connection, *, thread_id: str, run_id: str, **page: Any
) -> ListPage[Message]:
    """A page of the messages that one run wrote."""
    return TABLE.page(connection, parent_id=thread_id, also=OF_RUN, values=(run_id,), **page)


def history(
    connection: sqlite3.Connection, *, thread_id: str, run_id: str, limit: int
) -> list[Message]:
    """The newest messages that `run_id` is to see, oldest first: all but the one it writes."""
    return TABLE.where(connection, HISTORY, (thread_id, run_id, limit))[::-1]


def count(connection: sqlite3.Connection, *, thread_id: str, run_id: str) -> int:
    """How many messages there are for `run_id` to see."""
    return int(connection.execute(_COUNT, (thread_id, run_id)).fetchone()[0])


def open_of_run(connection: sqlite3.Connection | Transaction, run_id: str) -> list[Message]:
    """The messages that a run has begun and not ended."""
    return TABLE.where(connection, OPEN_OF_RUN, (run_id,))


def attachments_of_thread(connection: Transaction, thread_id: str) -> list[dict[str, Any]]:
    """What is attached to the messages of a thread, oldest first."""
    rows = connection.execute(_ATTACHMENTS, (thread_id,))
    return [each for (attachments,) in rows for each in json.loads(attachments)]
