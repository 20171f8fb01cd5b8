"""The server: the operations over a socket, for whoever may reach it."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from localassist._caller import watch_by
from localassist.http import routes
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

R = TypeVar("R")
log = logging.getLogger("localassist.http")

MAX_UPLOAD_BYTES = MAX_BYTES + (1 << 20)  # the form around the file
MAX_JSON_BYTES = 64 << 20
MAX_HEADERS = 200
BODY_SILENCE_S = 30.0  # between two pieces of a request's body
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]@:/\s]+))(?::[0-9]{1,5})?")
_MIN_BYTES_A_SECOND = 20_000
_IN_MEMORY_BYTES = 1 << 20
# Operations at once: those that take milliseconds, and those that wait for a model, which must
# not keep the others waiting. Streams of runs take no OS thread.
_CALLS, _LONG_CALLS = 8, 32
_LONG = frozenset({"chat/completions", "embeddings"})
_UPLOADS = ("/v1/files", "/files")


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
        self._runtime = runtime
        self._api_key = api_key
        self._hosts = hosts
        self._body_silence_s = body_silence_s
        # A pool of our own: its threads, and with them their connections, are not made anew.
        self._pool = ThreadPoolExecutor(_CALLS, thread_name_prefix="http-call")
        self._long_pool = ThreadPoolExecutor(_LONG_CALLS, thread_name_prefix="http-long-call")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            self._pool.shutdown(wait=False)
            self._long_pool.shutdown(wait=False)
            return
        if scope["type"] != "http":
            return
        reply = self._refused(scope)
        if reply is None:
            with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as body:
                reply = await self._read(scope, receive, body)
                if reply is None:
                    reply = await self._answer(_request(scope, body), receive)
        reply.headers.setdefault("x-request-id", self._runtime.new_id("req"))
        log.info(
            "%s %s %d", scope["method"], _raw_path(scope), reply.status,
            extra={"request_id": reply.headers.get("x-request-id")},
        )  # fmt: skip
        await _send(reply, receive, send)

    async def _answer(self, request: Request, receive: Receive) -> Reply:
        if routes.only_reads_a_row(request.method, request.segments()):
            # It takes less than handing it to another OS thread, and readers wait for nobody.
            return handle(self._runtime, request)
        if "/".join(request.segments()).strip("/") not in _LONG:
            return await self._run(handle, self._runtime, request)
        gone = threading.Event()
        watching = asyncio.ensure_future(_disconnected(receive))
        watching.add_done_callback(lambda task: None if task.cancelled() else gone.set())

        def answer() -> Reply:
            watch_by(gone)
            return handle(self._runtime, request)

        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._long_pool, copy_context().run, answer)
        except asyncio.CancelledError:
            gone.set()
            raise
        finally:
            watching.cancel()

    async def _run(self, work: Callable[..., R], *arguments: Any) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, work, *arguments)

    def _refused(self, scope: Scope) -> Reply | None:
        """The reply to a request that must not reach the operations, or None."""
        if len(scope["headers"]) > MAX_HEADERS:
            return _refusal(431, "Too many headers.", None)
        headers = _headers(scope)
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            message = "This server is not known by that name. Use the address that it printed."
            return _refusal(403, message, "host_not_allowed")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            message = "Pages of other sites may not use this server."
            return _refusal(403, message, "origin_not_allowed")
        if scope["path"] == "/health":
            return json_reply(200, {"status": "ok"})
        if self._api_key is not None and not self._knows_key(headers):
            message = "Incorrect API key provided. It is the one that the server was started with."
            return _refusal(401, message, "invalid_api_key")
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
            return _refusal(413, message, "too_large")
        except asyncio.TimeoutError:
            message = "The request's body did not come in time."
            return _refusal(408, message, "timeout")
        except ConnectionError:
            return _refusal(400, "It went away.", None)
        body.seek(0)
        return None


async def _pieces(receive: Receive, *, most: int, silence_s: float) -> AsyncIterator[bytes]:
    more, size = True, 0
    loop = asyncio.get_running_loop()
    started = loop.time()
    while more:
        message = await asyncio.wait_for(receive(), silence_s)
        if message["type"] == "http.disconnect":
            raise ConnectionError
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise TooLargeError
        # A byte now and then is no body either.
        if loop.time() - started > silence_s + size / _MIN_BYTES_A_SECOND:
            raise asyncio.TimeoutError
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
    return Request(
        method=scope["method"],
        path=_raw_path(scope),
        query=scope["query_string"].decode("latin-1"),
        headers=_headers(scope),
        body=body,
    )


def _raw_path(scope: Scope) -> str:
    """The path as it came, with what would break a line of the log still encoded."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("ascii", "replace")
    return raw.decode("latin-1")


def _headers(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    match = _HOST.fullmatch(host)
    return "" if match is None else (match[1] or match[2]).lower()


def _refusal(status: int, message: str, code: str | None) -> Reply:
    body = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return error_reply(status, body)
