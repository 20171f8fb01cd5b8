"""Endings: how a run, its steps and its messages end, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist.runs import state
from localassist.store import leases, messages, run_steps, runs
from localassist.types.message import (
    FileCitationAnnotation,
    FilePathAnnotation,
    ImageFile,
    ImageFileContent,
    IncompleteDetails,
    Message,
    Text,
    TextContent,
)
from localassist.types.run import LastError, Run, RunIncompleteDetails, RunStatus, Usage
from localassist.types.stream_event import (
    AssistantStreamEvent,
    MessageEvent,
    RunEvent,
    RunStepEvent,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.runs.code_files import Produced
    from localassist.runs.services import Services
    from localassist.store.connection import Transaction
    from localassist.types.run_step import RunStep


@dataclass(frozen=True)
class Ending:
    """How a run ends.

    Attributes:
        to: its last status.
        text: what its open message says at last; None leaves what was last written down.
        citations: of that text.
        produced: what code has made, which the message shows.
        error: why it failed.
        reason: the limit that ended it.
        usage: tokens of all its model calls.
        step_usage: tokens of the one that its open step is about; None: all of them.
        owner: write only if this process still holds the run's lease; None: whoever holds it.
    """

    to: RunStatus
    text: str | None = None
    citations: Sequence[FileCitationAnnotation] = ()
    produced: Produced | None = None
    error: LastError | None = None
    reason: str | None = None
    usage: Usage | None = None
    step_usage: Usage | None = None
    owner: str | None = None


_RUN_TIMESTAMP = {
    "completed": "completed_at",
    "failed": "failed_at",
    "cancelled": "cancelled_at",
}
_STEP_ENDING = {
    "completed": ("completed", "completed_at"),
    "incomplete": ("completed", "completed_at"),
    "failed": ("failed", "failed_at"),
    "cancelled": ("cancelled", "cancelled_at"),
    "expired": ("expired", "expired_at"),
}
_MESSAGE_REASON: dict[str, Any] = {
    "incomplete": "max_tokens",
    "failed": "run_failed",
    "cancelled": "run_cancelled",
    "expired": "run_expired",
}


def end_run(services: Services, run_id: str, ending: Ending) -> bool:
    """End a run and whatever it has open, in one transaction.

    Returns:
        False if it cannot end that way: it has ended already, or another process executes it.
    """
    with services.store.write() as tx:
        if ending.owner is not None and not leases.held(tx, run_id, owner=ending.owner):
            return False
        return end_run_in(services, tx, run_id, ending)


def end_run_in(services: Services, tx: Transaction, run_id: str, ending: Ending) -> bool:
    """As `end_run`, inside a transaction."""
    now = int(services.now())
    run_values: dict[str, Any] = {
        "last_error": ending.error,
        "usage": ending.usage,
        "required_action": None,
        "incomplete_details": None
        if ending.to != "incomplete"
        else RunIncompleteDetails.model_validate({"reason": ending.reason}),
    }
    if ending.to in _RUN_TIMESTAMP:
        run_values[_RUN_TIMESTAMP[ending.to]] = now
    if ending.to != "expired":
        run_values["expires_at"] = None
    if not runs.advance(tx, run_id, expected=state.sources(ending.to), to=ending.to, **run_values):
        return False
    leases.release(tx, run_id)
    closed_messages = [
        end_message(tx, each, ending, now) for each in messages.open_of_run(tx, run_id)
    ]
    closed_steps = [end_step(tx, each, ending, now) for each in run_steps.open_of_run(tx, run_id)]
    run = runs.TABLE.get(tx, run_id)
    assert run is not None, "it was updated above"
    # An answer that is done is announced before its step; one that was broken off, after it.
    done = ending.to in ("completed", "incomplete")
    first, second = (closed_messages, closed_steps) if done else (closed_steps, closed_messages)
    events: list[AssistantStreamEvent] = [*first, *second, run_event(run)]
    services.announce(tx, run_id, events)
    return True


def run_event(run: Run, name: str | None = None) -> RunEvent:
    """The event that a run has reached its status, or `name` of it."""
    return RunEvent.model_validate({"event": f"thread.run.{name or run.status}", "data": run})


def end_message(tx: Transaction, message: Message, ending: Ending, now: int) -> MessageEvent:
    """End an open message as its run does, and return the event of it."""
    if ending.text is not None:
        message.content = text_content(ending.text, ending.citations)
        if ending.produced is not None:
            _show(message, ending.text, ending.citations, ending.produced)
    reason = _MESSAGE_REASON.get(ending.to)
    if reason is None:
        message.status, message.completed_at = "completed", now
    else:
        message.status, message.incomplete_at = "incomplete", now
        message.incomplete_details = IncompleteDetails(reason=reason)
    messages.TABLE.update(
        tx,
        message.id,
        content=_rows(message),
        attachments=message.attachments,
        status=message.status,
        completed_at=message.completed_at,
        incomplete_at=message.incomplete_at,
        incomplete_details=message.incomplete_details,
    )
    return MessageEvent.model_validate(
        {"event": f"thread.message.{message.status}", "data": message}
    )


def end_step(tx: Transaction, step: RunStep, ending: Ending, now: int) -> RunStepEvent:
    """End an open step as its run does, and return the event of it."""
    status, timestamp = _STEP_ENDING[ending.to]
    values: dict[str, Any] = {
        "status": status,
        timestamp: now,
        "last_error": ending.error,
        "usage": ending.step_usage or ending.usage,
    }
    run_steps.TABLE.update(tx, step.id, **values)
    ended = step.model_copy(update=values)
    return RunStepEvent.model_validate({"event": f"thread.run.step.{status}", "data": ended})


def _show(
    message: Message,
    text: str,
    citations: Sequence[FileCitationAnnotation],
    produced: Produced,
) -> None:
    """Let a message show figures and files: as parts, as links in its text, as attachments."""
    annotations: list[FileCitationAnnotation | FilePathAnnotation]
    annotations = [*citations, *produced.annotations(text)]
    annotations.sort(key=lambda each: each.start_index)
    annotated = Text(value=text, annotations=annotations)
    message.content = [
        TextContent(text=annotated),
        *(ImageFileContent(image_file=ImageFile(file_id=each)) for each in produced.images),
    ]
    message.attachments = [
        {"file_id": file_id, "tools": [{"type": "code_interpreter"}]}
        for file_id in produced.files.values()
    ]
    message.file_ids = list(produced.files.values())


def text_content(text: str, citations: Sequence[FileCitationAnnotation]) -> list[Any]:
    """The content of a message that is a text."""
    return [TextContent(text=Text(value=text, annotations=list(citations)))]


def _rows(message: Message) -> list[dict[str, Any]]:
    return [part.model_dump() for part in message.content]
