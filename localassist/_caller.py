"""The caller: whether whoever asked for something still waits for it.

The server knows when a client has gone; what takes long looks here.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar

_gone: ContextVar[threading.Event | None] = ContextVar("caller_gone", default=None)


def watch_by(gone: threading.Event) -> None:
    """In this context, `gone` is set once nobody waits any more."""
    _gone.set(gone)


def caller_gone() -> threading.Event:
    """An event that is set when nobody waits any more; never, where nobody watches."""
    return _gone.get() or threading.Event()
