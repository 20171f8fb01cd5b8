"""Request and Reply: HTTP without input and output."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from localassist.http.sse import EventStream

JSON = "application/json"
BYTES = "application/octet-stream"
EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Request:
    """What came in.

    Attributes:
        method: in capital letters.
        path: percent-encoded, without the query.
        query: the part after the question mark.
        headers: by their names in small letters.
        body: bytes, or a file that is read from its start.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | BinaryIO = b""

    def segments(self) -> list[str]:
        """The path's parts, decoded, without the version's prefix."""
        parts = [unquote(part) for part in self.path.split("/")[1:]]
        return parts[1:] if parts[:1] == ["v1"] else parts

    def pairs(self) -> list[tuple[str, str]]:
        """The query's names and values, in order."""
        return parse_qsl(self.query, keep_blank_values=True)


@dataclass(frozen=True)
class Reply:
    """What goes out: bytes, or events as they happen."""

    status: int
    headers: dict[str, str]
    body: bytes | EventStream

    def chunks(self) -> Iterator[bytes]:
        """The body, piece by piece."""
        if isinstance(self.body, bytes):
            yield self.body
        else:
            yield from self.body

    async def chunks_async(self) -> AsyncIterator[bytes]:
        """The same for a coroutine."""
        if isinstance(self.body, bytes):
            yield self.body
        else:
            async for chunk in self.body.to_async():
                yield chunk

    def close(self) -> None:
        """Nobody reads any more; what the reply is about goes on."""
        if not isinstance(self.body, bytes):
            self.body.close()


def json_reply(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply of JSON."""
    body = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return Reply(status, {"content-type": JSON, **(headers or {})}, body.encode("utf-8", "replace"))
