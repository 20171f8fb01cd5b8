"""A gate in an engine's loop, so that its steps and another side's can be timed in turn."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Gate:
    """Lets an engine make so many steps of an answer at a time, so that two sides take turns."""

    def __init__(self, loop: Any) -> None:
        self._loop, self._step = loop, loop._step
        self._may_go, self._has_stopped = threading.Semaphore(0), threading.Event()
        self._num_left = 0
        self._is_open = True
        self._stamps: list[float] = []

    def begin(self, answer: Callable[[], Any]) -> None:
        """Have a thread read an answer, and return when its first token is there."""

        def read() -> None:
            try:
                answer()
            finally:
                self.open()

        self._num_left, self._is_open = 0, False
        self._has_stopped.clear()
        self._loop._step = self._stop_before
        threading.Thread(target=read, daemon=True).start()
        self._has_stopped.wait()

    def go(self, num_steps: int) -> list[float]:
        """Seconds of so many steps, what comes between two of them included."""
        if self._is_open:
            return []
        self._has_stopped.clear()
        self._num_left = num_steps
        self._may_go.release()
        self._has_stopped.wait()
        return [b - a for a, b in itertools.pairwise(self._stamps)]

    def open(self) -> None:
        """Let everything pass, for the answer has ended, or should."""
        self._is_open = True
        self._loop._step = self._step
        self._may_go.release()
        self._has_stopped.set()

    def _stop_before(self, batch: Any) -> None:
        if not batch.num_prefilled:
            self._stamps.append(time.perf_counter())
            if not self._num_left and not self._is_open:
                self._has_stopped.set()
                self._may_go.acquire()
                self._stamps = [time.perf_counter()]
            self._num_left -= 1
        self._step(batch)
