"""The server: the operations over a socket, for whoever may reach it."""

from __future__ import annotations

import asyncio
import hmac
import logging
import tempfile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from localassist._lazy import require
from localassist.http.dispatch import error_reply, handle
from localassist.http.message import Request, json_reply
from localassist.store.blobs import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

    from localassist.api.runtime import Runtime
    from localassist.http.message import Reply

    Scope = Mapping[str, Any]
    Receive = Callable[[], Awaitable[Mapping[str, Any]]]
    Send = Callable[[Mapping[str, Any]], Awaitable[None]]

log = logging.getLogger("localassist.http")

MAX_UPLOAD_BYTES = MAX_BYTES + (1 << 20)  # the form around the file
MAX_JSON_BYTES = 64 << 20
MAX_HEADERS = 200
BODY_SILENCE_S = 30.0  # between two pieces of a request's body
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_IN_MEMORY_BYTES = 1 << 20
_CALLS = 32  # operations at once; streams take no OS thread
_UPLOADS = ("/v1/files", "/files")
_FORBIDDEN = {"type": "invalid_request_error", "param": None}


class TooLargeError(Exception):
    """A body has more bytes than it may."""


class App:
    """An ASGI application. It serves one runtime and does not close it."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        api_key: str | None = None,
        hosts: Collection[str] | None = LOOPBACK,
        body_silence_s: float = BODY_SILENCE_S,
    ) -> None:
        """Serve a runtime.

        Args:
            runtime: what is served.
            api_key: what a request has to bring, or None where none is needed.
            hosts: names that a request may call this server by; others are a page of a browser
                whose name was made to point here. None: any.
            body_silence_s: seconds without a piece of its body after which a request is dropped.
        """
        concurrency = require("starlette.concurrency", package="starlette")
        self._runtime = runtime
        self._api_key = api_key
        self._hosts = hosts
        self._body_silence_s = body_silence_s
        self._run: Any = concurrency.run_in_threadpool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        reply = self._refused(scope)
        if reply is None:
            with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as body:
                reply = await self._read(scope, receive, body)
                if reply is None:
                    request = _request(scope, body)
                    reply = await self._run(handle, self._runtime, request)
        log.info(
            "%s %s %d", scope["method"], scope["path"], reply.status,
            extra={"request_id": reply.headers.get("x-request-id")},
        )  # fmt: skip
        await _send(reply, receive, send)

    def _refused(self, scope: Scope) -> Reply | None:
        """The reply to a request that must not reach the operations, or None."""
        if len(scope["headers"]) > MAX_HEADERS:
            return error_reply(431, {**_FORBIDDEN, "message": "Too many headers.", "code": None})
        headers = _headers(scope)
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            message = "This server is not known by that name. Use the address that it printed."
            return error_reply(403, {**_FORBIDDEN, "message": message, "code": "host_not_allowed"})
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            message = "Pages of other sites may not use this server."
            return error_reply(
                403, {**_FORBIDDEN, "message": message, "code": "origin_not_allowed"}
            )
        if scope["path"] == "/health":
            return json_reply(200, {"status": "ok"})
        if self._api_key is not None and not self._knows_key(headers):
            message = "Incorrect API key provided. It is the one that the server was started with."
            return error_reply(401, {**_FORBIDDEN, "message": message, "code": "invalid_api_key"})
        return None

    def _knows_key(self, headers: Mapping[str, str]) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        expected = (self._api_key or "").encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(key.strip().encode(), expected)

    async def _read(self, scope: Scope, receive: Receive, body: Any) -> Reply | None:
        """Write the request's body into a file; a reply if that cannot be."""
        most = MAX_UPLOAD_BYTES if scope["path"] in _UPLOADS else MAX_JSON_BYTES
        try:
            async for piece in _pieces(receive, most=most, silence_s=self._body_silence_s):
                if body.tell() > _IN_MEMORY_BYTES:  # it is on the disk by now
                    await self._run(body.write, piece)
                else:
                    body.write(piece)
        except TooLargeError:
            message = f"The request has more than {most:,} bytes, which is the most."
            return error_reply(413, {**_FORBIDDEN, "message": message, "code": "too_large"})
        except asyncio.TimeoutError:
            message = "The request's body did not come in time."
            return error_reply(408, {**_FORBIDDEN, "message": message, "code": "timeout"})
        except ConnectionError:
            return error_reply(400, {**_FORBIDDEN, "message": "It went away.", "code": None})
        body.seek(0)
        return None


async def _pieces(receive: Receive, *, most: int, silence_s: float) -> AsyncIterator[bytes]:
    more, size = True, 0
    while more:
        message = await asyncio.wait_for(receive(), silence_s)
        if message["type"] == "http.disconnect":
            raise ConnectionError
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise TooLargeError
        yield piece
        more = message.get("more_body", False)


async def _send(reply: Reply, receive: Receive, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if isinstance(reply.body, bytes):
        await send({"type": "http.response.body", "body": reply.body})
        return
    # Whoever is gone stops listening; the run goes on.
    gone = asyncio.ensure_future(_disconnected(receive))
    gone.add_done_callback(lambda _: reply.close())
    try:
        async for chunk in reply.chunks_async():
            if gone.done():
                return
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        reply.close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _request(scope: Scope, body: Any) -> Request:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return Request(
        method=scope["method"],
        path=raw.decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=_headers(scope),
        body=body,
    )


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    return urlsplit(f"//{host}").hostname or ""
