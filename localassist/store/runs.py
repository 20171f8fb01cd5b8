"""Rows of runs. A change of status is a compare-and-swap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.store.table import Table
from localassist.types.run import Run

if TYPE_CHECKING:
    import sqlite3

    from localassist.store.connection import Transaction

TABLE = Table(
    "run",
    Run,
    columns=(
        "id", "thread_id", "assistant_id", "status", "model", "instructions", "tools", "metadata",
        "created_at", "expires_at", "started_at", "cancelled_at", "failed_at", "completed_at",
        "temperature", "top_p", "max_prompt_tokens", "max_completion_tokens",
        "truncation_strategy", "response_format", "tool_choice", "parallel_tool_calls",
        "reasoning_effort", "last_error", "incomplete_details", "usage", "truncation",
        "required_action", "file_ids", "vector_store_ids",
    ),
    json_columns=(
        "tools", "metadata", "truncation_strategy", "response_format", "tool_choice",
        "last_error", "incomplete_details", "usage", "truncation", "required_action",
        "file_ids", "vector_store_ids",
    ),
    defaulted=("temperature", "top_p"),
    parent="thread_id",
)  # fmt: skip

ACTIVE = "status IN ('queued', 'in_progress', 'requires_action', 'cancelling')"
ACTIVE_OF_THREAD = "thread_id = ? AND " + ACTIVE
OVERDUE = ACTIVE + " AND expires_at <= ?"


def active_of_thread(connection: sqlite3.Connection | Transaction, thread_id: str) -> Run | None:
    """The run that locks the thread, or None."""
    found = TABLE.where(connection, ACTIVE_OF_THREAD, (thread_id,))
    return found[0] if found else None


def overdue(connection: sqlite3.Connection, now: int) -> list[Run]:
    """Active runs whose time is over."""
    return TABLE.where(connection, OVERDUE, (now,))


def advance(
    tx: Transaction, run_id: str, *, expected: tuple[str, ...], to: str, **values: Any
) -> bool:
    """Set the status to `to` if it is one of `expected`; False if it is not."""
    # The statuses are words of our own state machine, never text from outside.
    when = " OR ".join(f"status = '{status}'" for status in expected)
    return TABLE.update(tx, run_id, when=when, status=to, **values)
