"""RunRecorder: writes down what a run does, and announces it.

Every change is one transaction and is published after its commit; only the deltas of a growing
message live in memory, with its row brought up to date at most once a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist.runs import state
from localassist.runs.bus import EventBus, citation_delta, text_delta
from localassist.store import leases, messages, run_steps, runs
from localassist.types.message import (
    FileCitation,
    FileCitationAnnotation,
    FilePathAnnotation,
    ImageFile,
    ImageFileContent,
    IncompleteDetails,
    Message,
    Text,
    TextContent,
)
from localassist.types.run import LastError, Run, RunIncompleteDetails, RunStatus, Truncation, Usage
from localassist.types.run_step import (
    MessageCreation,
    MessageCreationStepDetails,
    RunStep,
    RunStepDelta,
    RunStepDeltaObject,
    StepDetails,
)
from localassist.types.stream_event import (
    AssistantStreamEvent,
    MessageEvent,
    RunEvent,
    RunStepDeltaEvent,
    RunStepEvent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localassist.runs.code_files import Produced
    from localassist.store.blobs import Blobs
    from localassist.store.connection import Store, Transaction

CHECKPOINT_S = 1.0


@dataclass(frozen=True)
class Services:
    """What runs work with.

    Attributes:
        store: the data folder.
        blobs: the bytes of files.
        bus: who listens.
        now: seconds since the epoch.
        new_id: makes an id of a prefix.
        owner: this process, in leases.
        lease_s: how long a lease lasts without a heartbeat.
    """

    store: Store
    blobs: Blobs
    bus: EventBus
    now: Callable[[], float]
    new_id: Callable[[str], str]
    owner: str
    lease_s: float

    def announce(self, tx: Transaction, run_id: str, events: list[AssistantStreamEvent]) -> None:
        """Publish the events once `tx` is committed."""
        tx.after_commit(lambda: self.bus.publish(run_id, events))


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
        _end_message(tx, each, ending, now) for each in messages.open_of_run(tx, run_id)
    ]
    closed_steps = [_end_step(tx, each, ending, now) for each in run_steps.open_of_run(tx, run_id)]
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


def _end_message(tx: Transaction, message: Message, ending: Ending, now: int) -> MessageEvent:
    if ending.text is not None:
        message.content = _text_content(ending.text, ending.citations)
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


def _end_step(tx: Transaction, step: RunStep, ending: Ending, now: int) -> RunStepEvent:
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


def _text_content(text: str, citations: Sequence[FileCitationAnnotation]) -> list[Any]:
    return [TextContent(text=Text(value=text, annotations=list(citations)))]


def _rows(message: Message) -> list[dict[str, Any]]:
    return [part.model_dump() for part in message.content]


def new_step(
    services: Services, run: Run, details: StepDetails, *, usage: Usage | None = None
) -> RunStep:
    """A step that has begun."""
    return RunStep(
        id=services.new_id("step"),
        thread_id=run.thread_id,
        assistant_id=run.assistant_id,
        run_id=run.id,
        status="in_progress",
        type=details.type,
        step_details=details,
        created_at=int(services.now()),
        usage=usage,
    )


def step_delta(step: RunStep, call: dict[str, Any]) -> RunStepDeltaEvent:
    """The event that a tool call of a step has grown by `call`."""
    details = {"type": "tool_calls", "tool_calls": [call]}
    return RunStepDeltaEvent(
        data=RunStepDeltaObject(id=step.id, delta=RunStepDelta(step_details=details))
    )


class RunRecorder:
    """Records one execution of a run. Used by the run's worker only."""

    def __init__(self, services: Services, run: Run) -> None:
        self._services = services
        self._run = run
        self._message_id: str | None = None
        self._text: list[str] = []
        self._num_chars = 0
        self._citations: list[FileCitationAnnotation] = []
        self.produced: Produced | None = None
        self._next_checkpoint = 0.0

    @property
    def text(self) -> str | None:
        """The open message so far; None while there is none."""
        return None if self._message_id is None else "".join(self._text)

    def start(self) -> bool:
        """Go to `in_progress`, also when taken over from a dead process; False if it may not."""
        services, run = self._services, self._run
        with services.store.write() as tx:
            if not leases.held(tx, run.id, owner=services.owner):
                return False
            if not runs.advance(
                tx,
                run.id,
                expected=("queued", "in_progress"),
                to="in_progress",
                started_at=int(services.now()),
            ):
                return False
            started = runs.TABLE.get(tx, run.id)
            assert started is not None, "it was updated above"
            services.announce(tx, run.id, [run_event(started)])
        return True

    def note_truncation(self, truncation: Truncation) -> None:
        """Write into the run what of the conversation the model is not shown."""
        with self._services.store.write() as tx:
            runs.TABLE.update(tx, self._run.id, truncation=truncation)

    def open_message(self) -> None:
        """Begin a step and its message, if need be; those of a dead process are begun again."""
        if self._message_id is not None:
            return
        services, run = self._services, self._run
        now = int(services.now())
        with services.store.write() as tx:
            message = next(iter(messages.open_of_run(tx, run.id)), None)
            step = next(iter(run_steps.open_of_run(tx, run.id)), None)
            if message is None or step is None:
                message = self._new_message(now)
                created = MessageCreation(message_id=message.id)
                details = MessageCreationStepDetails(message_creation=created)
                step = new_step(services, run, details)
                messages.TABLE.insert(tx, message)
                run_steps.TABLE.insert(tx, step)
            message.content = []
            events: list[AssistantStreamEvent] = [
                RunStepEvent(event="thread.run.step.created", data=step),
                RunStepEvent(event="thread.run.step.in_progress", data=step),
                MessageEvent(event="thread.message.created", data=message),
                MessageEvent(event="thread.message.in_progress", data=message),
            ]
            services.announce(tx, run.id, events)
        self._message_id = message.id
        self._next_checkpoint = services.now() + CHECKPOINT_S

    def add_text(self, text: str) -> bool:
        """Append to the open message; False if the run has been taken from us or is to stop."""
        if self._message_id is None or not text:
            return True
        event = text_delta(self._message_id, text, first=not self._text)
        self._services.bus.publish(self._run.id, [event])
        self._append(text)
        if self._services.now() < self._next_checkpoint:
            return True
        return self._checkpoint(self._message_id)

    def add_citation(self, marker: str, citation: FileCitation) -> None:
        """Append a marker to the open message, with what it stands for."""
        if self._message_id is None:
            return
        annotation = FileCitationAnnotation(
            text=marker,
            start_index=self._num_chars,
            end_index=self._num_chars + len(marker),
            file_citation=citation,
        )
        event = citation_delta(self._message_id, annotation, index=len(self._citations))
        self._services.bus.publish(self._run.id, [event])
        self._citations.append(annotation)
        self._append(marker)

    def _append(self, text: str) -> None:
        self._text.append(text)
        self._num_chars += len(text)

    def close_message(self, usage: Usage) -> None:
        """Complete the open message and its step; the run goes on."""
        if self._message_id is None:
            return
        services, now = self._services, int(self._services.now())
        ending = Ending(
            "completed", text=self.text, citations=tuple(self._citations), step_usage=usage
        )
        with services.store.write() as tx:
            events: list[AssistantStreamEvent] = [
                _end_message(tx, each, ending, now)
                for each in messages.open_of_run(tx, self._run.id)
            ]
            events += [
                _end_step(tx, each, ending, now) for each in run_steps.open_of_run(tx, self._run.id)
            ]
            services.announce(tx, self._run.id, events)
        self._message_id, self._text = None, []
        self._num_chars, self._citations = 0, []

    def end(self, to: RunStatus, **ending: Any) -> bool:
        """End the run with its message as it stands; see Ending."""
        return end_run(
            self._services,
            self._run.id,
            Ending(
                to=to,
                text=self.text,
                citations=tuple(self._citations),
                produced=self.produced,
                owner=self._services.owner,
                **ending,
            ),
        )

    def _checkpoint(self, message_id: str) -> bool:
        services = self._services
        self._next_checkpoint = services.now() + CHECKPOINT_S
        with services.store.write() as tx:
            run = runs.TABLE.get(tx, self._run.id)
            if run is None or run.status != "in_progress":
                return False
            if not leases.held(tx, run.id, owner=services.owner):
                return False
            parts = _text_content("".join(self._text), self._citations)
            content = [part.model_dump() for part in parts]
            messages.TABLE.update(tx, message_id, content=content)
        return True

    def _new_message(self, now: int) -> Message:
        run = self._run
        return Message(
            id=self._services.new_id("msg"),
            thread_id=run.thread_id,
            assistant_id=run.assistant_id,
            run_id=run.id,
            role="assistant",
            status="in_progress",
            content=[],
            created_at=now,
        )
