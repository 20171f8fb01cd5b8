"""Hooks: which of a handler's methods an event calls, and with what. Pure.

The names and the order are the openai SDK's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.types.message import ImageFileContent, Message, Text, TextContent
from localassist.types.stream_event import (
    AssistantStreamEvent,
    MessageDeltaEvent,
    MessageEvent,
    RunEvent,
    RunStepDeltaEvent,
    RunStepEvent,
)

if TYPE_CHECKING:
    from localassist.types.run import Run
    from localassist.types.run_step import RunStep

    Call = tuple[str, tuple[Any, ...]]

_RUN_STOPS = frozenset(
    {"requires_action", "completed", "incomplete", "failed", "cancelled", "expired"}
)
_STEP_ENDS = frozenset({"completed", "failed", "cancelled", "expired"})


class Hooks:
    """Accumulates a run's events.

    Attributes:
        event: the last one.
        run: as it last was.
        step: the one that is or was last in work.
        message: the one that is or was last being written, as far as it has come.
        steps: all, by id.
        messages: those that are complete.
    """

    def __init__(self) -> None:
        self.event: AssistantStreamEvent | None = None
        self.run: Run | None = None
        self.step: RunStep | None = None
        self.message: Message | None = None
        self.steps: dict[str, RunStep] = {}
        self.messages: list[Message] = []
        self._calls: list[dict[str, Any]] = []

    def feed(self, event: AssistantStreamEvent) -> list[Call]:
        """The names of the methods that an event calls, and their arguments."""
        self.event = event
        called: list[Call] = [("on_event", (event,))]
        if isinstance(event, RunEvent):
            self.run = event.data
            if event.event.rpartition(".")[2] in _RUN_STOPS:
                # Calls of functions are complete although their step is not.
                called += [("on_tool_call_done", (call,)) for call in self._calls[-1:]]
                self._calls = []
        elif isinstance(event, RunStepEvent):
            called += self._step(event)
        elif isinstance(event, RunStepDeltaEvent):
            called += self._step_delta(event)
        elif isinstance(event, MessageEvent):
            called += self._message(event)
        elif isinstance(event, MessageDeltaEvent):
            called += self._message_delta(event)
        return called

    def _step(self, event: RunStepEvent) -> list[Call]:
        step = self.step = event.data
        self.steps[step.id] = step
        if event.event == "thread.run.step.created":
            self._calls = []
            return [("on_run_step_created", (step,))]
        if event.event.rpartition(".")[2] in _STEP_ENDS:
            last = [("on_tool_call_done", (call,)) for call in self._calls[-1:]]
            self._calls = []
            return [*last, ("on_run_step_done", (step,))]
        return []

    def _step_delta(self, event: RunStepDeltaEvent) -> list[Call]:
        called: list[Call] = [("on_run_step_delta", (event.data.delta, self.step))]
        for call in event.data.delta.step_details.get("tool_calls") or ():
            if call["index"] >= len(self._calls):
                called += [("on_tool_call_done", (each,)) for each in self._calls[-1:]]
                self._calls.append(_merged({}, call))
                called.append(("on_tool_call_created", (self._calls[-1],)))
            else:
                known = self._calls[call["index"]] = _merged(self._calls[call["index"]], call)
                called.append(("on_tool_call_delta", (call, known)))
        return called

    def _message(self, event: MessageEvent) -> list[Call]:
        message = event.data
        if event.event == "thread.message.created":
            self.message = message.model_copy(deep=True)
            return [("on_message_created", (message,))]
        if event.event == "thread.message.in_progress":
            return []
        self.message = message
        self.messages.append(message)
        called: list[Call] = []
        for part in message.content:
            if isinstance(part, TextContent):
                called.append(("on_text_done", (part.text,)))
            elif isinstance(part, ImageFileContent):
                called.append(("on_image_file_done", (part.image_file,)))
        return [*called, ("on_message_done", (message,))]

    def _message_delta(self, event: MessageDeltaEvent) -> list[Call]:
        message = self.message
        assert message is not None, "its beginning has been announced"
        called: list[Call] = [("on_message_delta", (event.data.delta, message))]
        for part in event.data.delta.content:
            if part.text is None:
                continue
            if part.index >= len(message.content):
                message.content.append(TextContent(text=Text(value="")))
                known = message.content[part.index]
                assert isinstance(known, TextContent), "it was just made"
                known.text.value += part.text.value or ""
                called.append(("on_text_created", (known.text,)))
            else:
                known = message.content[part.index]
                assert isinstance(known, TextContent), "only texts grow"
                known.text.value += part.text.value or ""
            called.append(("on_text_delta", (part.text, known.text)))
        return called


def _merged(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """As the SDK adds deltas up: texts grow, lists grow by index, the rest is replaced."""
    merged = dict(known)
    for key, value in more.items():
        before = merged.get(key)
        if key in ("index", "type", "id", "name") or before is None:
            merged[key] = value
        elif isinstance(value, str) and isinstance(before, str):
            merged[key] = before + value
        elif isinstance(value, dict) and isinstance(before, dict):
            merged[key] = _merged(before, value)
        elif isinstance(value, list) and isinstance(before, list):
            merged[key] = [*before, *value]
        else:
            merged[key] = value
    return merged
