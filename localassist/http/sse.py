"""EventStream: events as server-sent events."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from localassist.errors import LocalAssistError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from localassist._channel import Channel

log = logging.getLogger("localassist.http")

_LINE_ENDS = ("\u0085", "\u2028", "\u2029")
_DONE = b"event: done\ndata: [DONE]\n\n"
_DONE_UNNAMED = b"data: [DONE]\n\n"


class EventStream:
    """Bytes of the events that a channel yields, ended by `[DONE]`.

    An error after the first byte cannot be a status any more: it is an event of its own.
    """

    def __init__(
        self,
        events: Channel[Any],
        frame: Callable[[Any], bytes],
        *,
        named: bool = True,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """Stream `events`.

        Args:
            events: are read by this stream alone.
            frame: makes the bytes of one.
            named: the end has a name, as the ends of runs have.
            on_close: called when nobody reads any more.
        """
        self._events = events
        self._frame = frame
        self._named = named
        self._done = _DONE if named else _DONE_UNNAMED
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        try:
            for event in self._events:
                yield self._frame(event)
        except Exception as error:  # noqa: BLE001 - the reader is told, whatever it was
            yield self._error(error)
        else:
            yield self._done

    async def to_async(self) -> AsyncIterator[bytes]:
        """The same for a coroutine."""
        try:
            async for event in self._events.to_async():
                yield self._frame(event)
        except Exception as error:  # noqa: BLE001 - as above
            yield self._error(error)
        else:
            yield self._done

    def _error(self, error: Exception) -> bytes:
        if isinstance(error, LocalAssistError):
            body: dict[str, Any] = error.body
        else:
            log.error("a stream failed", exc_info=error)
            body = {"message": repr(error), "type": "server_error", "param": None, "code": None}
        return frame(json.dumps({"error": body}), name="error" if self._named else None)

    def close(self) -> None:
        """Nobody reads any more."""
        self._on_close()


def frame(data: str, *, name: str | None = None) -> bytes:
    """One event; `data` is a single line."""
    head = "" if name is None else f"event: {name}\n"
    # Old SDKs take these for ends of lines.
    for char in _LINE_ENDS:
        if char in data:
            data = data.replace(char, f"\\u{ord(char):04x}")
    return f"{head}data: {data}\n\n".encode()
