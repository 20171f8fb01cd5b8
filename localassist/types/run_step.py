"""RunStep: one thing that a run did."""

from __future__ import annotations

from typing import Annotated, Literal

from localassist.types._base import In, Model
from localassist.types.run import LastError, Usage

RunStepStatus = Literal["in_progress", "cancelled", "failed", "completed", "expired"]


class MessageCreation(Model):
    """The message that a step wrote."""

    message_id: str


class MessageCreationStepDetails(Model):
    """Details of a step that wrote a message."""

    message_creation: MessageCreation
    type: Literal["message_creation"] = "message_creation"


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
    step_details: MessageCreationStepDetails
    thread_id: str
    type: Literal["message_creation"] = "message_creation"
    usage: Annotated[Usage | None, In("v2")] = None
