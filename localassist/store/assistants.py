"""Rows of assistants."""

from __future__ import annotations

from localassist.store.table import Table
from localassist.types.assistant import Assistant

TABLE = Table(
    "assistant",
    Assistant,
    columns=(
        "id", "created_at", "name", "description", "model", "instructions", "tools",
        "temperature", "top_p", "response_format", "reasoning_effort", "metadata", "tool_resources",
        "attached",
    ),
    json_columns=("tools", "response_format", "metadata", "tool_resources", "attached"),
    defaulted=("temperature", "top_p"),
)  # fmt: skip
