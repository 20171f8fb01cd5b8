"""Serving: the app under uvicorn in an OS thread, on a free port of this machine."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from localassist.http.app import App
from localassist.http.server import listening_socket, server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localassist.api.runtime import Runtime


@contextmanager
def served(
    runtime: Runtime, *, send_buffer_bytes: int | None = None, **options: Any
) -> Iterator[int]:
    """Serve a runtime and yield the port; `options` are those of the app."""
    listening = listening_socket("127.0.0.1", 0)
    if send_buffer_bytes is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    running = server(App(runtime, **options), grace_s=1)
    worker = threading.Thread(target=running.run, args=([listening],))
    worker.start()
    try:
        yield listening.getsockname()[1]
    finally:
        running.should_exit = True
        worker.join()
        listening.close()
