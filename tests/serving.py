"""Serving: the app under uvicorn in an OS thread, on a free port of this machine."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from localassist.http.app import App

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localassist.api.runtime import Runtime


@contextmanager
def served(
    runtime: Runtime, *, send_buffer_bytes: int | None = None, **options: Any
) -> Iterator[int]:
    """Serve a runtime and yield the port; `options` are those of the app."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if send_buffer_bytes is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    config = uvicorn.Config(
        App(runtime, **options),
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=1,
        ws="none",
    )
    server = uvicorn.Server(config)
    worker = threading.Thread(target=server.run, args=([listening],))
    worker.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        worker.join()
        listening.close()
