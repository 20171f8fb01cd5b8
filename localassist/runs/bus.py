"""EventBus: what happens in a run, for whoever in this process listens.

Lifecycle events are published after their transaction is committed; deltas are not stored at all.
Publishing never waits for a reader.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from localassist._channel import Channel
from localassist.types.message import MessageDelta, MessageDeltaObject, TextContentDelta, TextDelta
from localassist.types.stream_event import (
    AssistantStreamEvent,
    MessageDeltaEvent,
    RunEvent,
    ThreadEvent,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.types.message import FileCitationAnnotation

_FEW_EVENTS = 64  # above, the pieces of a text are kept as one
_MAX_LOGS = 64  # runs whose events can be had from their beginning
_STREAM_ENDS = frozenset(
    f"thread.run.{status}"
    for status in ("requires_action", "completed", "incomplete", "failed", "cancelled", "expired")
)


class Subscription(Channel[AssistantStreamEvent]):
    """The events of one run from now on; it closes where the run's stream ends."""

    def __init__(self, bus: EventBus, run_id: str, *, deltas: bool) -> None:
        super().__init__(merge=merge_deltas)
        self._bus = bus
        self._run_id = run_id
        self.deltas = deltas

    def cancel(self) -> None:
        """Stop listening; the run goes on."""
        self._bus.drop(self._run_id, self)
        self.close()


class EventBus:
    """Subscriptions by run. Every method may be called from any OS thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._logs: OrderedDict[str, list[AssistantStreamEvent]] = OrderedDict()

    def subscribe(self, run_id: str, *, deltas: bool = True) -> Subscription:
        """Listen to a run; without `deltas` only to what changes its state."""
        subscription = Subscription(self, run_id, deltas=deltas)
        with self._lock:
            self._subscriptions.setdefault(run_id, []).append(subscription)
        return subscription

    def publish(self, run_id: str, events: Sequence[AssistantStreamEvent]) -> None:
        """Hand the events to the run's listeners, in order."""
        with self._lock:
            self._log(run_id, events)
            listening = list(self._subscriptions.get(run_id, ()))
            ends = any(map(_ends, events))
            if ends:
                self._subscriptions.pop(run_id, None)
        for subscription in listening:
            for event in events:
                if subscription.deltas or not isinstance(event, MessageDeltaEvent):
                    subscription.put(event)
            if ends:
                subscription.close()

    def _log(self, run_id: str, events: Sequence[AssistantStreamEvent]) -> None:
        """Keep the events of a run, if from its beginning; those of ended runs go first."""
        log = self._logs.get(run_id)
        if log is None:
            first = events[0]
            begins = isinstance(first, RunEvent) and first.event == "thread.run.created"
            if not begins and not isinstance(first, ThreadEvent):
                return
            log = self._logs[run_id] = []
        for event in events:
            merged = merge_deltas(log[-1], event) if log and len(log) > _FEW_EVENTS else None
            if merged is None:
                log.append(event)
            else:
                log[-1] = merged
        self._logs.move_to_end(run_id)
        if len(self._logs) > _MAX_LOGS:
            ended = (key for key, kept in self._logs.items() if _ends(kept[-1]))
            self._logs.pop(next(ended, run_id), None)

    def join(self, run_id: str) -> Subscription | None:
        """Listen to a run from its beginning; None if that is not known here any more.

        It ends where the run's last stream has ended, if no other has begun since.
        """
        subscription = Subscription(self, run_id, deltas=True)
        with self._lock:
            log = self._logs.get(run_id)
            if log is None:
                return None
            for event in log:
                subscription.put(event)
            if _ends(log[-1]):
                subscription.close()
            else:
                self._subscriptions.setdefault(run_id, []).append(subscription)
        return subscription

    def drop(self, run_id: str, subscription: Subscription) -> None:
        """End a subscription."""
        with self._lock:
            listening = self._subscriptions.get(run_id, [])
            if subscription in listening:
                listening.remove(subscription)
            if not listening:
                self._subscriptions.pop(run_id, None)

    def close(self) -> None:
        """End all subscriptions."""
        with self._lock:
            every = [each for listening in self._subscriptions.values() for each in listening]
            self._subscriptions.clear()
        for subscription in every:
            subscription.close()


def _ends(event: AssistantStreamEvent) -> bool:
    return isinstance(event, RunEvent) and event.event in _STREAM_ENDS


def text_delta(message_id: str, text: str, *, first: bool) -> MessageDeltaEvent:
    """The event for more text of a message; the first one opens the part."""
    delta = TextDelta(value=text, annotations=[] if first else None)
    return MessageDeltaEvent(
        data=MessageDeltaObject(
            id=message_id, delta=MessageDelta(content=[TextContentDelta(index=0, text=delta)])
        )
    )


def citation_delta(
    message_id: str, annotation: FileCitationAnnotation, *, index: int
) -> MessageDeltaEvent:
    """The event for a marker and what it stands for, which is the message's `index`th."""
    delta = TextDelta(
        value=annotation.text, annotations=[{"index": index, **annotation.model_dump()}]
    )
    return MessageDeltaEvent(
        data=MessageDeltaObject(
            id=message_id, delta=MessageDelta(content=[TextContentDelta(index=0, text=delta)])
        )
    )


def merge_deltas(
    earlier: AssistantStreamEvent, later: AssistantStreamEvent
) -> AssistantStreamEvent | None:
    """One delta that says what both say; None for anything else."""
    if not isinstance(earlier, MessageDeltaEvent) or not isinstance(later, MessageDeltaEvent):
        return None
    if earlier.data.id != later.data.id:
        return None
    a, b = earlier.data.delta.content[0].text, later.data.delta.content[0].text
    if a is None or b is None or a.annotations or b.annotations:
        return None
    return text_delta(
        earlier.data.id, (a.value or "") + (b.value or ""), first=a.annotations is not None
    )
