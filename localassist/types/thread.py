"""Thread: a conversation. It belongs to no assistant."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from localassist.types._base import In, Model


class Thread(Model):
    """A conversation."""

    id: str
    created_at: int
    metadata: dict[str, str] = {}
    object: Literal["thread"] = "thread"
    tool_resources: Annotated[dict[str, Any] | None, In("v2")] = {}
