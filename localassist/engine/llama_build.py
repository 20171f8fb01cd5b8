"""The installed llama.cpp: what it was compiled with, and whether it could be a faster one.

Our Makefile has a header of ours read before its sources (.build/before_llama.h), which mends what
is wrong or slow in them on some processors, and leaves a number in the library.
"""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path
from typing import Any

log = logging.getLogger("localassist.engine")

_MARK = "localassist_before_llama"
_CPUINFO = Path("/proc/cpuinfo")
_HALVES = "avx512_fp16"


def mark(llama: Any) -> int:
    """The number that our header leaves; 0 if llama.cpp was compiled without it.

    Args:
        llama: the llama_cpp module.
    """
    libraries = llama.llama_cpp._lib  # looks into those that it was linked with, too
    try:
        return ctypes.c_int.in_dll(libraries, _MARK).value
    except ValueError:
        return 0


def attends_slowly(llama: Any, cpuinfo: Path = _CPUINFO) -> bool:
    """Whether it reads long conversations at a third of the speed that is possible here.

    That is so on processors that compute with 16-bit floats, for models whose heads have 64
    numbers, if llama.cpp was compiled for such a processor and without our header.

    Args:
        llama: the llama_cpp module.
        cpuinfo: where Linux describes the processors.
    """
    if mark(llama):
        return False
    try:
        described = cpuinfo.read_text("ascii", "replace")
    except OSError:
        return False
    flags = (line for line in described.splitlines() if line.startswith("flags"))
    return _HALVES in next(flags, "").split()


def warn_if_slow(llama: Any) -> None:
    """Say in the log what can be done, if `attends_slowly`."""
    if attends_slowly(llama):
        log.warning(
            "llama.cpp may read long conversations at a third of the speed that is possible on "
            "this processor: make install in a checkout of localassist compiles one that does not"
        )
