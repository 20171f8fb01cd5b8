"""WorkerThread: an OS thread that does one thing after another for another one."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class WorkerThread:
    """Begins at once, and ends when it is closed.

    A pool of concurrent.futures takes nothing any more once the main thread has ended, while
    daemon threads, as runs and engines have, and those of the caller still work.
    """

    def __init__(self, name: str) -> None:
        """Start it.

        Args:
            name: for people.
        """
        self._todo: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def start(self, function: Callable[[], T]) -> Future[T]:
        """Have it done."""
        future: Future[T] = Future()
        self._todo.put((function, future))
        return future

    def close(self) -> None:
        """End the thread, after what it has to do."""
        self._todo.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (todo := self._todo.get()) is not None:
            function, future = todo
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  # whoever waits is told
                future.set_exception(error)
