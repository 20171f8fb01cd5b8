"""RunRecorder: writes down what a run does, and announces it.

Every change is one transaction and is published after its commit; only the deltas of a growing
message live in memory, with its row brought up to date at most once a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.runs.bus import citation_delta, text_delta
from localassist.runs.endings import (
    Ending,
    end_message,
    end_run,
    end_step,
    run_event,
    text_content,
)
from localassist.runs.steps import new_step
from localassist.store import leases, messages, run_steps, runs
from localassist.types.message import FileCitation, FileCitationAnnotation, Message
from localassist.types.run_step import MessageCreation, MessageCreationStepDetails
from localassist.types.stream_event import AssistantStreamEvent, MessageEvent, RunStepEvent

if TYPE_CHECKING:
    from localassist.runs.code_files import Produced
    from localassist.runs.services import Services
    from localassist.types.run import Run, RunStatus, Truncation, Usage

CHECKPOINT_S = 1.0


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

    @property
    def has_message(self) -> bool:
        """Whether a message is open."""
        return self._message_id is not None

    def close_message(self, usage: Usage | None) -> None:
        """Complete the open message and its step; the run goes on."""
        services, now = self._services, int(self._services.now())
        ending = Ending(
            "completed", text=self.text, citations=tuple(self._citations), step_usage=usage
        )
        with services.store.write() as tx:
            events: list[AssistantStreamEvent] = [
                end_message(tx, each, ending, now)
                for each in messages.open_of_run(tx, self._run.id)
            ]
            events += [
                end_step(tx, each, ending, now) for each in run_steps.open_of_run(tx, self._run.id)
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
            parts = text_content("".join(self._text), self._citations)
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
