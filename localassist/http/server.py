"""The server's socket: uvicorn, which also drops whoever does not finish asking."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from localassist.http.app import App

HEADER_S = 20.0  # for the whole head of a request
_GRACE_S = 5
_MAX_HEAD_BYTES = 65536


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes any that is free.

    Raises:
        BadRequestError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off the delay of small packets only where the protocol is said.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise BadRequestError(
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            code="address_unusable",
            param="port",
            hint="Choose another one with --port; 0 takes any that is free.",
        ) from None
    listening.listen()  # who comes before the server has begun has to wait only
    return listening


def server(app: App, *, header_s: float = HEADER_S, grace_s: int = _GRACE_S) -> Any:
    """A `uvicorn.Server`; run it with `run(sockets=[...])`.

    Args:
        app: answers.
        header_s: seconds that the head of a request may take.
        grace_s: seconds that open replies get when it ends.
    """
    uvicorn = require("uvicorn", package="localassist[server]")
    config = uvicorn.Config(
        app,
        http=_protocol(header_s),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=grace_s,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
    )
    return uvicorn.Server(config)


class _Impatient:
    """Closes a connection whose request's head does not come to its end; before uvicorn's class."""

    header_s: float
    loop: Any
    transport: Any
    cycle: Any
    _deadline: Any = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)  # type: ignore[misc]  # uvicorn's
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)  # type: ignore[misc]  # uvicorn's
        if self._idle:
            self._wait()
        else:
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)  # type: ignore[misc]  # uvicorn's

    @property
    def _idle(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_s, self._give_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._idle:
            self.transport.close()


def _protocol(header_s: float) -> Any:
    base: Any = require("uvicorn.protocols.http.h11_impl", package="localassist[server]")
    return type("Impatient", (_Impatient, base.H11Protocol), {"header_s": header_s})
