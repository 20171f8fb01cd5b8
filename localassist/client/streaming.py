"""Streams: the events of a run, as they happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.types.stream_event import AssistantStreamEvent, MessageDeltaEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from localassist.runs.bus import Subscription
    from localassist.settings import ApiVersion


def _text(event: AssistantStreamEvent) -> str:
    if not isinstance(event, MessageDeltaEvent):
        return ""
    parts = (part.text.value for part in event.data.delta.content if part.text is not None)
    return "".join(value for value in parts if value)


class RunStream:
    """Iterate it for the run's events until it ends or needs an action.

    Closing it does not cancel the run.
    """

    def __init__(self, subscription: Subscription, *, version: ApiVersion) -> None:
        self._subscription = subscription
        self._version = version

    def __iter__(self) -> Iterator[AssistantStreamEvent]:
        for event in self._subscription:
            event.data.in_version(self._version)
            yield event.in_version(self._version)

    @property
    def text_deltas(self) -> Iterator[str]:
        """The text of the answer, piece by piece."""
        return (text for text in map(_text, self) if text)

    def close(self) -> None:
        """Stop listening."""
        self._subscription.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncRunStream:
    """As RunStream, for coroutines."""

    def __init__(self, subscription: Subscription, *, version: ApiVersion) -> None:
        self._subscription = subscription
        self._version = version

    async def __aiter__(self) -> AsyncIterator[AssistantStreamEvent]:
        async for event in self._subscription.to_async():
            event.data.in_version(self._version)
            yield event.in_version(self._version)

    async def close(self) -> None:
        """Stop listening."""
        self._subscription.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
