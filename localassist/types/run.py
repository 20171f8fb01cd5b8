"""Run: one execution of an assistant on a thread."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from localassist.types._base import In, Model, Stored, WhenSet
from localassist.types.tool import RequiredAction, StoredTool

RunStatus = Literal[
    "queued",
    "in_progress",
    "requires_action",
    "cancelling",
    "cancelled",
    "failed",
    "completed",
    "incomplete",
    "expired",
]


class PromptTokensDetails(Model):
    """Where the prompt's tokens came from; `cached_tokens` did not have to be computed again."""

    cached_tokens: int = 0


class Usage(Model):
    """Tokens of all model calls of a run, the whole history of the thread included."""

    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails = PromptTokensDetails()


class LastError(Model):
    """Why a run or a step failed."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class RunIncompleteDetails(Model):
    """Which limit ended a run."""

    reason: Literal["max_completion_tokens", "max_prompt_tokens"]


class TruncationStrategy(Model):
    """How much of the thread the model is shown."""

    type: Literal["auto", "last_messages"] = "auto"
    last_messages: int | None = None


class Truncation(Model):
    """What of the thread the model was not shown, because it did not fit."""

    dropped_messages: int
    prompt_tokens: int
    max_prompt_tokens: int


class Run(Model):
    """A run. Its settings are those of its creation, whatever becomes of the assistant."""

    id: str
    assistant_id: str
    cancelled_at: int | None = None
    completed_at: int | None = None
    created_at: int
    expires_at: int | None = None
    failed_at: int | None = None
    file_ids: Annotated[list[str], In("v1")] = []
    incomplete_details: Annotated[RunIncompleteDetails | None, In("v2", late=True)] = None
    instructions: str | None = None
    last_error: LastError | None = None
    max_completion_tokens: Annotated[int | None, In("v2", late=True)] = None
    max_prompt_tokens: Annotated[int | None, In("v2", late=True)] = None
    metadata: dict[str, str] = {}
    model: str
    object: Literal["thread.run"] = "thread.run"
    parallel_tool_calls: Annotated[bool, In("v2")] = True
    required_action: RequiredAction | None = None
    response_format: Annotated[str | dict[str, Any] | None, In("v2", late=True)] = "auto"
    started_at: int | None = None
    status: RunStatus
    thread_id: str
    tool_choice: Annotated[str | dict[str, Any] | None, In("v2", late=True)] = "auto"
    tools: list[StoredTool] = []
    truncation_strategy: Annotated[TruncationStrategy | None, In("v2", late=True)] = (
        TruncationStrategy()
    )
    usage: Annotated[Usage | None, In("v2", late=True)] = None
    temperature: Annotated[float | None, In("v2", late=True)] = 1.0
    top_p: Annotated[float | None, In("v2")] = 1.0
    reasoning_effort: Annotated[str | None, In("v2")] = None
    truncation: Annotated[Truncation | None, WhenSet()] = None
    # The assistant's, or what the run was given instead; the thread's are looked up when searching.
    vector_store_ids: Annotated[list[str], Stored()] = []
