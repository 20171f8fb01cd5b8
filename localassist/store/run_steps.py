"""Rows of run steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.store.table import Table
from localassist.types.run_step import RunStep

if TYPE_CHECKING:
    import sqlite3

    from localassist.store.connection import Transaction
    from localassist.types.run import Usage

TABLE = Table(
    "run_step",
    RunStep,
    columns=(
        "id", "run_id", "thread_id", "assistant_id", "type", "status", "step_details",
        "created_at", "completed_at", "cancelled_at", "expired_at", "failed_at", "last_error",
        "usage", "metadata",
    ),
    json_columns=("step_details", "last_error", "usage", "metadata"),
    parent="run_id",
)  # fmt: skip

OPEN_OF_RUN = "run_id = ? AND status = 'in_progress'"


def open_of_run(connection: sqlite3.Connection | Transaction, run_id: str) -> list[RunStep]:
    """The steps that a run has begun and not ended."""
    return TABLE.where(connection, OPEN_OF_RUN, (run_id,))


# What code of earlier runs has written is named in the metadata of its steps.
CODE_OF_THREAD = "thread_id = ? AND metadata LIKE '%\"files\"%' ORDER BY seq"


def wrote_files(connection: sqlite3.Connection | Transaction, thread_id: str) -> list[RunStep]:
    """The steps of a thread whose code has written files, in order."""
    return TABLE.where(connection, CODE_OF_THREAD, (thread_id,))


TOOL_CALLS_OF_RUN = "run_id = ? AND type = 'tool_calls' AND status = 'completed' ORDER BY seq"


TOOL_CALLS_OF_RUNS = (
    "run_id IN (SELECT value FROM json_each(?)) AND type = 'tool_calls' AND status = 'completed' "
    "ORDER BY seq"
)


def tool_calls_of_runs(connection: sqlite3.Connection, run_ids: str) -> list[RunStep]:
    """The same of several runs, whose ids are a JSON list."""
    return TABLE.where(connection, TOOL_CALLS_OF_RUNS, (run_ids,))


def tool_calls_of_run(connection: sqlite3.Connection | Transaction, run_id: str) -> list[RunStep]:
    """The steps of a run whose calls have been answered, in order."""
    return TABLE.where(connection, TOOL_CALLS_OF_RUN, (run_id,))


USAGES_OF_RUN = "run_id = ? AND usage IS NOT NULL ORDER BY seq"


def usages_of_run(connection: sqlite3.Connection, run_id: str) -> list[Usage]:
    """What the steps of a run have used, in order."""
    steps = TABLE.where(connection, USAGES_OF_RUN, (run_id,))
    return [step.usage for step in steps if step.usage is not None]
