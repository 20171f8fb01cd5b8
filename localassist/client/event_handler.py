"""AssistantEventHandler: override what you want to hear of a run, as with the openai SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localassist.client.hooks import Hooks
    from localassist.types.message import ImageFile, Message, MessageDelta, Text, TextDelta
    from localassist.types.run import Run
    from localassist.types.run_step import RunStep, RunStepDelta
    from localassist.types.stream_event import AssistantStreamEvent


class _State:
    """What a handler can ask for while it is called."""

    _hooks: Hooks | None = None

    def _of(self, name: str) -> Any:
        return None if self._hooks is None else getattr(self._hooks, name)

    @property
    def current_event(self) -> AssistantStreamEvent | None:
        """The event that is being handled."""
        event: AssistantStreamEvent | None = self._of("event")
        return event

    @property
    def current_run(self) -> Run | None:
        """The run as it last was."""
        run: Run | None = self._of("run")
        return run

    @property
    def current_run_step_snapshot(self) -> RunStep | None:
        """The step in work, or the last one."""
        step: RunStep | None = self._of("step")
        return step

    @property
    def current_message_snapshot(self) -> Message | None:
        """The message that is being written, as far as it has come."""
        message: Message | None = self._of("message")
        return message


class AssistantEventHandler(_State):
    """Pass an object of a subclass as `event_handler`. Every method may be left out."""

    def on_event(self, event: AssistantStreamEvent) -> None:
        """Anything happened."""

    def on_run_step_created(self, run_step: RunStep) -> None:
        """A step began."""

    def on_run_step_delta(self, delta: RunStepDelta, snapshot: RunStep) -> None:
        """A step grew."""

    def on_run_step_done(self, run_step: RunStep) -> None:
        """A step ended."""

    def on_tool_call_created(self, tool_call: dict[str, Any]) -> None:
        """A tool is being called."""

    def on_tool_call_delta(self, delta: dict[str, Any], snapshot: dict[str, Any]) -> None:
        """A call of a tool grew."""

    def on_tool_call_done(self, tool_call: dict[str, Any]) -> None:
        """A call of a tool is complete."""

    def on_message_created(self, message: Message) -> None:
        """A message began."""

    def on_message_delta(self, delta: MessageDelta, snapshot: Message) -> None:
        """A message grew."""

    def on_message_done(self, message: Message) -> None:
        """A message ended."""

    def on_text_created(self, text: Text) -> None:
        """A text began."""

    def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        """A text grew."""

    def on_text_done(self, text: Text) -> None:
        """A text is complete."""

    def on_image_file_done(self, image_file: ImageFile) -> None:
        """A figure is there."""

    def on_exception(self, exception: Exception) -> None:
        """Something went wrong while listening; it is raised afterwards."""

    def on_timeout(self) -> None:
        """Never called here; the SDK's."""

    def on_end(self) -> None:
        """Nothing more comes."""


class AsyncAssistantEventHandler(_State):
    """As AssistantEventHandler, for coroutines."""

    async def on_event(self, event: AssistantStreamEvent) -> None:
        """Anything happened."""

    async def on_run_step_created(self, run_step: RunStep) -> None:
        """A step began."""

    async def on_run_step_delta(self, delta: RunStepDelta, snapshot: RunStep) -> None:
        """A step grew."""

    async def on_run_step_done(self, run_step: RunStep) -> None:
        """A step ended."""

    async def on_tool_call_created(self, tool_call: dict[str, Any]) -> None:
        """A tool is being called."""

    async def on_tool_call_delta(self, delta: dict[str, Any], snapshot: dict[str, Any]) -> None:
        """A call of a tool grew."""

    async def on_tool_call_done(self, tool_call: dict[str, Any]) -> None:
        """A call of a tool is complete."""

    async def on_message_created(self, message: Message) -> None:
        """A message began."""

    async def on_message_delta(self, delta: MessageDelta, snapshot: Message) -> None:
        """A message grew."""

    async def on_message_done(self, message: Message) -> None:
        """A message ended."""

    async def on_text_created(self, text: Text) -> None:
        """A text began."""

    async def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        """A text grew."""

    async def on_text_done(self, text: Text) -> None:
        """A text is complete."""

    async def on_image_file_done(self, image_file: ImageFile) -> None:
        """A figure is there."""

    async def on_exception(self, exception: Exception) -> None:
        """Something went wrong while listening; it is raised afterwards."""

    async def on_timeout(self) -> None:
        """Never called here; the SDK's."""

    async def on_end(self) -> None:
        """Nothing more comes."""
