"""Even split: each of llama.cpp's threads gets an equal part of a matrix.

By default its threads take a matrix by turns, some 60 KB each, which keeps all of them busy where
some cores are slower than others. Where they are alike it costs much: a core that reads on in one
piece is faster than one that begins anew every two microseconds. With equal parts the 0.5B writes
an answer 1.3 times as fast on two cores and the 1.5B 1.07 times; the numbers that come out are the
same to the last bit, and beside a busy program it slows down less.

llama.cpp does so by itself on machines whose memory is in several nodes, and decides it by a
function that its libraries export, `ggml_is_numa`. Ours of that name (even_split.c) is put before
it, as the dynamic linker allows: whatever is loaded with RTLD_GLOBAL is looked at first. It says
yes to the code that computes matrices and no to everybody else: whoever reads a file would read it
page by page. Where a compiler other than GCC has built llama.cpp, some calls may not come to us.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import sys
from pathlib import Path
from typing import Any

log = logging.getLogger("localassist.engine")

_LIBRARY = Path(__file__).with_name("_even_split.so")
_CPUS = Path("/sys/devices/system/cpu")
_MEASURED_ON = ("x86_64", "AMD64")  # other kernels may compute several rows of a part at once
_ALIKE = 0.85  # what the slowest core may be of the fastest: some are allowed to boost higher


class EvenSplit:
    """The function in the place of llama.cpp's.

    It is switched on once, before anything is computed: threads that disagree in the midst of a
    matrix would leave a part of it out.

    Attributes:
        is_on: whether llama.cpp splits evenly.
    """

    def __init__(self, cpus: Path = _CPUS) -> None:
        """Load it; this has to be done before llama.cpp is loaded.

        Args:
            cpus: the folder in which Linux describes them.
        """
        self.is_on = False
        self._cpus = cpus
        self._library: ctypes.CDLL | None = None
        if not sys.platform.startswith("linux") or platform.machine() not in _MEASURED_ON:
            return
        try:
            self._library = ctypes.CDLL(str(_LIBRARY), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            log.info("matrices are taken by turns: %s", error)

    def switch_on(self, llama: Any) -> None:
        """Have llama.cpp split evenly, if it listens to us and gains by it; sets `is_on`.

        After every step llama.cpp then lets the OS thread that asked for it go on all CPUs.

        Args:
            llama: the llama_cpp module, with its backend initialised.
        """
        library = self._library
        if library is None:
            return
        computes = _computing(llama, ctypes.cast(library.ggml_is_numa, ctypes.c_void_p).value)
        if computes is None:
            log.info("matrices are taken by turns: llama.cpp was there before, or asks nobody")
        elif not cores_alike(self._cpus):
            log.info("matrices are taken by turns: not all cores are known to be alike")
        else:
            # It counts the CPUs, which it needs to know, and moves no thread to a node.
            llama.llama_numa_init(llama.GGML_NUMA_STRATEGY_MIRROR)
            self.is_on = bool(library.localassist_answer(ctypes.c_void_p(computes)))


def cores_alike(cpus: Path = _CPUS) -> bool:
    """Whether the cores that this process may use are about equally fast, as far as is known."""
    if not os.path.exists(cpus / "cpu0"):  # noqa: PTH110  # Path's raises where /sys is shut
        return False
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        try:
            speeds = [
                int((cpus / f"cpu{cpu}" / name).read_text("ascii"))
                for cpu in os.sched_getaffinity(0)
            ]
        except (OSError, ValueError):
            continue
        if min(speeds) < _ALIKE * max(speeds):
            return False
    return True


def _computing(llama: Any, ours: int | None) -> int | None:
    """A function of the code that computes, if that takes our function for its own."""
    libraries = llama.llama_cpp._lib  # looks into those that it was linked with, too
    try:
        registry = libraries["ggml_backend_cpu_reg"]
        find = libraries["ggml_backend_reg_get_proc_address"]
    except AttributeError:  # built with backends that are loaded later
        return None
    registry.restype = find.restype = ctypes.c_void_p
    find.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    asked = find(registry(), b"ggml_backend_cpu_is_numa")
    return ctypes.cast(registry, ctypes.c_void_p).value if asked == ours else None
