"""Spinning: how long llama.cpp's threads stay awake while they wait for one another.

They wait several hundred times a token. A thread that sleeps has to be woken, which takes longer
than what it waits for; one that stays awake beside a busy program spins away the time of the thread
it waits for. So they spin long while this process has its cores for itself, and shortly otherwise.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("localassist.engine")

# A millisecond on a Xeon of 2023 (libgomp reckons with 0.2), more than is between most steps.
_LONG = "20000"
# Elsewhere a spin may take a few cycles; so many are libgomp's own.
_LONG_ELSEWHERE = "300000"
_X86 = ("x86_64", "amd64", "i686")
# With more CPUs than this no crowd is made, for a process may not be allowed so many more threads,
# and libgomp ends it then; and nobody spins so long.
_MOST_CPUS = 16
_MIDDLE = "5000"
_COUNT, _POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"


class Spinning:
    """Of the process: libgomp keeps one count for all threads.

    It reads from the environment, once, how long they spin, and it has them spin 1,000 times only
    (100 if waiting is not to be active) as soon as it has more threads than there are CPUs, as with
    two models. Nothing else changes it later, so whoever wants them to spin shortly has a team made
    that does nothing.
    """

    def __init__(self, *, num_cpus: int | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            num_cpus: that the process may use; None: as the system says.
        """
        self._num_cpus = num_cpus or _usable_cpus()
        self._wants_short: set[int] = set()
        self._changing = threading.Lock()
        self._crowd: _Crowd | None = None
        self._is_ours = False
        self._gomp: Any = None

    @property
    def is_led(self) -> bool:
        """Whether threads spin as they are told here."""
        return self._gomp is not None

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Tell libgomp, if it is loaded within.

        Who has set one of the two variables is not overruled. The second one does not stay: other
        libraries take it for leave to wait for ever.
        """
        count = self._count
        # A process that started this one may have left our count.
        self._is_ours = _POLICY not in os.environ and os.environ.get(_COUNT, count) == count
        if not self._is_ours:
            yield
            return
        os.environ[_COUNT] = count
        os.environ[_POLICY] = "active"
        try:
            yield
        finally:
            del os.environ[_POLICY]

    @property
    def _count(self) -> str:
        if platform.machine().lower() not in _X86:
            return _LONG_ELSEWHERE
        return _LONG if self._num_cpus <= _MOST_CPUS else _MIDDLE

    def use(self, library: Any) -> None:
        """Find libgomp among what a library of llama.cpp's was linked with, if it was."""
        # LLVM's has the same functions, but knows no count.
        is_gomp = hasattr(library, "GOMP_parallel") and not hasattr(library, "__kmpc_fork_call")
        if self._is_ours and is_gomp and self._num_cpus <= _MOST_CPUS:
            self._gomp = library

    def shorten(self, owner: object, *, on: bool) -> None:
        """Have all threads spin shortly as long as any owner wants it; from any OS thread."""
        if self._gomp is None:
            return
        with self._changing:
            if on:
                self._wants_short.add(id(owner))
            else:
                self._wants_short.discard(id(owner))
            if self._wants_short and self._crowd is None:
                self._crowd = self._new_crowd()
            elif not self._wants_short and self._crowd is not None:
                self._crowd.leave()
                self._crowd = None

    def _new_crowd(self) -> _Crowd | None:
        try:
            return _Crowd(self._gomp, self._num_cpus + 1)
        except RuntimeError as error:  # no further thread can be started
            log.warning("threads go on spinning long: %s", error)
            self._gomp = None
            return None


class _Crowd:
    """A team of threads. They sleep."""

    def __init__(self, gomp: Any, num_threads: int) -> None:
        self._gomp, self._num_threads = gomp, num_threads
        self._is_there, self._may_leave = threading.Event(), threading.Event()
        # libgomp counts a team as long as the OS thread lives that it was made by.
        self._thread = threading.Thread(target=self._stay, name="engine-crowd", daemon=True)
        self._thread.start()
        self._is_there.wait()

    def leave(self) -> None:
        """End the threads."""
        self._may_leave.set()
        self._thread.join()

    def _stay(self) -> None:
        try:
            # Each of them calls a function of one pointer that does nothing.
            text = ctypes.create_string_buffer(1)
            count, flags = ctypes.c_uint(self._num_threads), ctypes.c_uint(0)
            self._gomp.GOMP_parallel(ctypes.CDLL(None).strlen, text, count, flags)
        finally:
            self._is_there.set()
        self._may_leave.wait()


def _usable_cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
