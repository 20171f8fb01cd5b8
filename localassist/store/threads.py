"""Rows of threads."""

from __future__ import annotations

from localassist.store.table import Table
from localassist.types.thread import Thread

TABLE = Table(
    "thread",
    Thread,
    columns=("id", "created_at", "metadata", "tool_resources"),
    json_columns=("metadata", "tool_resources"),
)
