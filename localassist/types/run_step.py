"""RunStep: one thing that a run did."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from localassist.types._base import In, Model, printed_version
from localassist.types.run import LastError, Usage
from localassist.types.tool import FileSearchToolCall, ToolCall

RunStepStatus = Literal["in_progress", "cancelled", "failed", "completed", "expired"]


class MessageCreation(Model):
    """The message that a step wrote."""

    message_id: str


class MessageCreationStepDetails(Model):
    """Details of a step that wrote a message."""

    message_creation: MessageCreation
    type: Literal["message_creation"] = "message_creation"


class ToolCallsStepDetails(Model):
    """Details of a step that called tools."""

    tool_calls: list[ToolCall]
    type: Literal["tool_calls"] = "tool_calls"


StepDetails = Annotated[
    MessageCreationStepDetails | ToolCallsStepDetails, Field(discriminator="type")
]


class RunStep(Model):
    """A step of a run."""

    id: str
    assistant_id: str
    cancelled_at: int | None = None
    completed_at: int | None = None
    created_at: int
    expired_at: int | None = None
    failed_at: int | None = None
    last_error: LastError | None = None
    metadata: dict[str, str] = {}
    object: Literal["thread.run.step"] = "thread.run.step"
    run_id: str
    status: RunStepStatus
    step_details: StepDetails
    thread_id: str
    type: Literal["message_creation", "tool_calls"]
    usage: Annotated[Usage | None, In("v2", late=True)] = None


class RunStepDelta(Model):
    """What changed in a step: its details, with an index in each item of a list."""

    step_details: dict[str, Any]

    @model_serializer(mode="wrap")
    def _print_delta(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        printed = dict(handler(self))
        calls = printed["step_details"].get("tool_calls") or ()
        if printed_version(self, info).startswith("v1"):
            for call in calls:
                if call.get("type") == "file_search":
                    del call["file_search"]
                    call.update(type="retrieval", retrieval={})
        return printed


class RunStepDeltaObject(Model):
    """The data of a `thread.run.step.delta` event."""

    id: str
    delta: RunStepDelta
    object: Literal["thread.run.step.delta"] = "thread.run.step.delta"


def without_found_text(step: RunStep) -> RunStep:
    """The step, with the text that a search has found taken away."""
    for call in getattr(step.step_details, "tool_calls", ()):
        if isinstance(call, FileSearchToolCall):
            for result in call.file_search.results or ():
                result.content = None
    return step
