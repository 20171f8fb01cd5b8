"""Streams: the events of a run, as they happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from typing_extensions import override

from localassist.client.closing import AsyncClosing, Closing
from localassist.client.event_handler import AssistantEventHandler, AsyncAssistantEventHandler
from localassist.client.hooks import Hooks
from localassist.types.stream_event import AssistantStreamEvent, MessageDeltaEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from localassist.runs.bus import Subscription
    from localassist.settings import ApiVersion
    from localassist.types.message import Message
    from localassist.types.run import Run
    from localassist.types.run_step import RunStep

T = TypeVar("T")


def _text(event: AssistantStreamEvent) -> str:
    if not isinstance(event, MessageDeltaEvent):
        return ""
    parts = (part.text.value for part in event.data.delta.content if part.text is not None)
    return "".join(value for value in parts if value)


def _there(value: T | None, what: str) -> T:
    if value is None:
        raise RuntimeError(f"The stream has brought no {what}.")
    return value


class RunStream(Closing):
    """Iterate it for the run's events until it ends or needs an action.

    Closing it does not cancel the run.
    """

    def __init__(
        self,
        subscription: Subscription,
        *,
        version: ApiVersion,
        handler: AssistantEventHandler | None = None,
    ) -> None:
        self._subscription = subscription
        self._version = version
        self._handler = handler or AssistantEventHandler()
        self._hooks = self._handler._hooks = Hooks()
        self._events = self._heard()

    def __iter__(self) -> Iterator[AssistantStreamEvent]:
        return self._events

    def __next__(self) -> AssistantStreamEvent:
        return next(self._events)

    def _heard(self) -> Iterator[AssistantStreamEvent]:
        """The events, once: whoever iterates again goes on where the last one stopped."""
        handler = self._handler
        try:
            for event in self._subscription:
                event.data.in_version(self._version)
                for name, arguments in self._hooks.feed(event):
                    getattr(handler, name)(*arguments)
                yield event.in_version(self._version)
        except Exception as error:
            handler.on_exception(error)
            raise
        finally:
            handler.on_end()

    @property
    def text_deltas(self) -> Iterator[str]:
        """The text of the answer, piece by piece."""
        return (text for text in map(_text, self) if text)

    def until_done(self) -> None:
        """Wait for the end; the handler hears everything."""
        for _ in self:
            pass

    def get_final_run(self) -> Run:
        """Wait for the end, and return the run as it then is."""
        self.until_done()
        return _there(self._hooks.run, "run")

    def get_final_run_steps(self) -> list[RunStep]:
        """Wait for the end, and return the steps."""
        self.until_done()
        return _there(list(self._hooks.steps.values()) or None, "step")

    def get_final_messages(self) -> list[Message]:
        """Wait for the end, and return the messages that the run wrote."""
        self.until_done()
        return _there(self._hooks.messages or None, "message")

    @override
    def close(self) -> None:
        """Stop listening."""
        self._subscription.cancel()


class AsyncRunStream(AsyncClosing):
    """As RunStream, for coroutines."""

    def __init__(
        self,
        subscription: Subscription,
        *,
        version: ApiVersion,
        handler: AsyncAssistantEventHandler | None = None,
    ) -> None:
        self._subscription = subscription
        self._version = version
        self._handler = handler or AsyncAssistantEventHandler()
        self._hooks = self._handler._hooks = Hooks()
        self._events = self._heard()

    def __aiter__(self) -> AsyncIterator[AssistantStreamEvent]:
        return self._events

    async def __anext__(self) -> AssistantStreamEvent:
        return await anext(self._events)

    async def _heard(self) -> AsyncIterator[AssistantStreamEvent]:
        """As that of RunStream."""
        handler = self._handler
        try:
            async for event in self._subscription.to_async():
                event.data.in_version(self._version)
                for name, arguments in self._hooks.feed(event):
                    await getattr(handler, name)(*arguments)
                yield event.in_version(self._version)
        except Exception as error:
            await handler.on_exception(error)
            raise
        finally:
            await handler.on_end()

    @property
    async def text_deltas(self) -> AsyncIterator[str]:
        """The text of the answer, piece by piece."""
        async for event in self:
            if text := _text(event):
                yield text

    async def until_done(self) -> None:
        """Wait for the end; the handler hears everything."""
        async for _ in self:
            pass

    async def get_final_run(self) -> Run:
        """Wait for the end, and return the run as it then is."""
        await self.until_done()
        return _there(self._hooks.run, "run")

    async def get_final_run_steps(self) -> list[RunStep]:
        """Wait for the end, and return the steps."""
        await self.until_done()
        return _there(list(self._hooks.steps.values()) or None, "step")

    async def get_final_messages(self) -> list[Message]:
        """Wait for the end, and return the messages that the run wrote."""
        await self.until_done()
        return _there(self._hooks.messages or None, "message")

    @override
    async def close(self) -> None:
        """Stop listening."""
        self._subscription.cancel()
