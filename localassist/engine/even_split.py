"""Even split: each of llama.cpp's threads gets an equal part of a matrix.

By default its threads take a matrix by turns, some 60 KB each, which keeps all of them busy where
some cores are slower than others. Where they are alike it costs much: a core that reads on in one
piece is faster than one that begins anew every two microseconds. With equal parts the 0.5B writes
an answer 1.3 times as fast on two cores and the 1.5B 1.07 times; the numbers that come out are the
same to the last bit, and beside a busy program it slows down less.

llama.cpp does so by itself on machines whose memory is in several nodes, and decides it by a
function that its libraries export, `ggml_is_numa`. Ours of that name (even_split.c) is put before
it, as the dynamic linker allows: whatever is loaded with RTLD_GLOBAL is looked at first. It is
installed where a compiler was there to build it, and asked only where that does no harm.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("localassist.engine")

_LIBRARY = Path(__file__).with_name("_even_split.so")
_CPUS = Path("/sys/devices/system/cpu")
_NODE_OF_NONE = 4  # the strategy of llama_numa_init that moves no thread to a node
_ALIKE = 0.85  # what the slowest core may be of the fastest: some are allowed to boost higher


class EvenSplit:
    """The function in the place of llama.cpp's.

    It is switched on once, before anything is computed: threads that disagree in the midst of a
    matrix would leave a part of it out.
    """

    def __init__(self, cpus: Path = _CPUS) -> None:
        """Load it; this has to be done before llama.cpp is loaded.

        Args:
            cpus: the folder in which Linux describes them.
        """
        self._cpus = cpus
        self._library: ctypes.CDLL | None = None
        if not _LIBRARY.exists():
            return
        try:
            self._library = ctypes.CDLL(str(_LIBRARY), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            log.info("llama.cpp's threads take matrices by turns: %s", error)

    def switch_on(self, llama: Any) -> bool:
        """Have llama.cpp split evenly, if it listens to us and it does no harm; True if it does.

        Args:
            llama: the llama_cpp module.
        """
        library = self._library
        if library is None or not self._heard_by(llama):
            return False
        if not (self._cores_alike() and self._unpinned()):
            return False
        # After every step llama.cpp lets its thread go on all CPUs that it has counted here.
        llama.llama_numa_init(_NODE_OF_NONE)
        ctypes.c_int.in_dll(library, "localassist_even_split").value = 1
        return True

    @contextmanager
    def loading(self) -> Iterator[None]:
        """On this OS thread a file is loaded, which llama.cpp would read otherwise page by page."""
        if self._library is None:
            yield
            return
        self._library.localassist_loads(1)
        try:
            yield
        finally:
            self._library.localassist_loads(0)

    def _heard_by(self, llama: Any) -> bool:
        """Whether llama.cpp itself takes our function for its own."""
        assert self._library is not None, "there is a function"
        try:
            libraries = llama.llama_cpp._lib  # looks into those that it was linked with, too
            registry = libraries.ggml_backend_cpu_reg
            find = libraries.ggml_backend_reg_get_proc_address
        except AttributeError:  # built with backends that are loaded later
            return False
        registry.restype = find.restype = ctypes.c_void_p
        find.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        ours = ctypes.cast(self._library.ggml_is_numa, ctypes.c_void_p).value
        return bool(find(registry(), b"ggml_backend_cpu_is_numa") == ours)

    def _cores_alike(self) -> bool:
        """Whether the cores of this process are about equally fast; True if nobody says."""
        for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
            try:
                speeds = [
                    int((self._cpus / f"cpu{cpu}" / name).read_text("ascii"))
                    for cpu in os.sched_getaffinity(0)
                ]
            except (OSError, ValueError):
                continue
            if min(speeds) < _ALIKE * max(speeds):
                return False
        return True

    def _unpinned(self) -> bool:
        """Whether a thread that is let go on all CPUs may use none that it could not use before."""
        cpus = self._counted_cpus()
        wider: list[bool] = []

        def try_it() -> None:
            before = os.sched_getaffinity(0)  # of this OS thread alone
            try:
                os.sched_setaffinity(0, range(cpus))
            except (OSError, ValueError):  # none of those is there
                wider.append(True)
                return
            wider.append(os.sched_getaffinity(0) != before)

        thread = threading.Thread(target=try_it, name="engine-affinity")
        thread.start()
        thread.join()
        return wider == [False]

    def _counted_cpus(self) -> int:
        """CPUs, counted as llama.cpp counts them."""
        return next(number for number in count() if not (self._cpus / f"cpu{number}").exists())
