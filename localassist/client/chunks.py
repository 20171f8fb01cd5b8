"""ChunkStream: an answer of `chat.completions.create(stream=True)`, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from localassist.api.chat import ChatStream
    from localassist.types.chat_completion import ChatCompletionChunk


class ChunkStream:
    """Iterate it for the chunks. Closing it ends the generation."""

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        return iter(self._stream)

    def close(self) -> None:
        """Stop."""
        self._stream.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncChunkStream:
    """As ChunkStream, for coroutines."""

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        return self._stream.to_async()

    async def close(self) -> None:
        """Stop."""
        self._stream.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
