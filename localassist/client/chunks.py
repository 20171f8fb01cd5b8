"""ChunkStream: an answer of `chat.completions.create(stream=True)`, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from localassist.client.closing import AsyncClosing, Closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from localassist.api.chat import ChatStream
    from localassist.types.chat_completion import ChatCompletionChunk


class ChunkStream(Closing):
    """Iterate it for the chunks. Closing it ends the generation."""

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        return iter(self._stream)

    @override
    def close(self) -> None:
        """Stop."""
        self._stream.cancel()


class AsyncChunkStream(AsyncClosing):
    """As ChunkStream, for coroutines."""

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        return self._stream.to_async()

    @override
    async def close(self) -> None:
        """Stop."""
        self._stream.cancel()
