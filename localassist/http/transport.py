"""openai_client: the real openai SDK on a data folder, in this process and without a socket."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.api import runtime as runtimes
from localassist.errors import ClosedError
from localassist.http.dispatch import handle
from localassist.http.message import Request
from localassist.settings import Settings

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterator

    from localassist.api.runtime import Runtime
    from localassist.http.message import Reply

_BASE_URL = "http://localassist/v1"
_CALLS = 16  # operations at once of one async client; streams and waits take no OS thread


def openai_transport(
    home: str | os.PathLike[str] | None = None,
    library: Any = None,
    *,
    settings: Settings | None = None,
    runtime: Runtime | None = None,
) -> Any:
    """A transport for an HTTP client that an openai client of your own is given.

    Args:
        home: the data folder; by default that of the settings.
        library: the module `httpx` or `httpx2`; by default the one that your openai uses.
        settings: replace the environment's.
        runtime: used instead of opening one; it is not closed with the transport.

    Returns:
        An object that is both `library.BaseTransport` and `library.AsyncBaseTransport`.
    """
    library = library or _library()
    shared = runtime is None
    if runtime is None:
        runtime = runtimes.acquire(Settings.from_env(home=home) if settings is None else settings)
    return _transport_class(library)(runtime, shared=shared)


def openai_client(home: str | os.PathLike[str] | None = None, **kwargs: Any) -> Any:
    """An `openai.OpenAI` whose requests never leave this process.

    Args:
        home: the data folder; by default that of the settings.
        **kwargs: of `openai.OpenAI`; `settings` and `runtime` are those of `openai_transport`.
    """
    return _made(home, "OpenAI", "Client", kwargs)


def async_openai_client(home: str | os.PathLike[str] | None = None, **kwargs: Any) -> Any:
    """As `openai_client`: an `openai.AsyncOpenAI`."""
    return _made(home, "AsyncOpenAI", "AsyncClient", kwargs)


def _made(home: Any, name: str, http_client: str, kwargs: dict[str, Any]) -> Any:
    openai, library = require("openai", package="openai"), _library()
    own = {key: kwargs.pop(key) for key in ("settings", "runtime") if key in kwargs}
    transport = openai_transport(home, library, **own)
    client = getattr(library, http_client)(transport=transport, base_url=_BASE_URL, timeout=None)
    given = {"api_key": "localassist", "base_url": _BASE_URL, "http_client": client, **kwargs}
    try:
        return getattr(openai, name)(**given)
    except BaseException:
        transport.close()
        raise


def _library() -> Any:
    """The HTTP library of the openai SDK: httpx2 from 3.0.0 on, httpx before."""
    openai = require("openai", package="openai")
    modern = int(openai.__version__.partition(".")[0]) >= 3
    name = "httpx2" if modern else "httpx"
    return sys.modules.get(name) or require(name, package=name)


class _Body:
    """The body of a reply, read as it is made."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def __iter__(self) -> Iterator[bytes]:
        return self._reply.chunks()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._reply.chunks_async()

    def close(self) -> None:
        self._reply.close()

    async def aclose(self) -> None:
        self._reply.close()


class _Carrier:
    """Carries requests to the operations of a runtime."""

    library: Any
    body: type[_Body]

    def __init__(self, runtime: Runtime, *, shared: bool) -> None:
        self._runtime: Runtime | None = runtime
        self._shared = shared
        self._pool: ThreadPoolExecutor | None = None

    def handle_request(self, request: Any) -> Any:
        request.read()
        return self._response(request, handle(self._open(), _request(request)))

    async def handle_async_request(self, request: Any) -> Any:
        await request.aread()
        runtime, asked = self._open(), _request(request)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_CALLS, thread_name_prefix="openai-call")
        loop = asyncio.get_running_loop()
        reply = await loop.run_in_executor(self._pool, handle, runtime, asked)
        return self._response(request, reply)

    def close(self) -> None:
        runtime, self._runtime = self._runtime, None
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        if runtime is not None and self._shared:
            runtimes.release(runtime)

    async def aclose(self) -> None:
        self.close()

    def _open(self) -> Runtime:
        if self._runtime is None:
            raise self.library.TransportError(str(ClosedError("The client is closed.")))
        try:
            self._runtime.check_process()
        except ClosedError as error:
            raise self.library.TransportError(str(error)) from error
        return self._runtime

    def _response(self, request: Any, reply: Reply) -> Any:
        return self.library.Response(
            reply.status, headers=reply.headers, stream=self.body(reply), request=request
        )


def _transport_class(library: Any) -> Any:
    """Both libraries have the same interface, under their own names."""
    body = type("Body", (_Body, library.SyncByteStream, library.AsyncByteStream), {})
    bases = (_Carrier, library.BaseTransport, library.AsyncBaseTransport)
    return type("LocalTransport", bases, {"library": library, "body": body})


def _request(request: Any) -> Request:
    return Request(
        method=request.method,
        path=request.url.raw_path.partition(b"?")[0].decode("ascii"),
        query=request.url.query.decode("ascii"),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.content,
    )
