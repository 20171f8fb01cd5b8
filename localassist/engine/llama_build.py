"""The installed llama.cpp: what it was compiled with, and whether it could be a faster one.

Our Makefile has a header of ours read before its sources (.build/before_llama.h), which mends what
is wrong or slow in them on some processors, and leaves a number in the library.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

SLOW = (
    "behind a long conversation it may write up to three times as slowly as this processor can; "
    "make install in a checkout of localassist compiles one that does not"
)
_MARK = "localassist_before_llama"
_HIDES_HALVES = 2  # the header's number since it keeps llama.cpp from 16-bit floats
_CPUINFO = Path("/proc/cpuinfo")
_HALVES, _WIDE = "avx512_fp16", b"AVX512 = 1"


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
    """Whether it writes behind a long conversation more slowly than is possible here.

    That is so on processors that compute with 16-bit floats, where 128 does not divide a head, if
    llama.cpp was compiled for this very processor and without our header. Compilers that do not
    know such processors, as GCC 11, make no slow one, which cannot be told from outside.

    Args:
        llama: the llama_cpp module.
        cpuinfo: where Linux describes the processors.
    """
    if mark(llama) >= _HIDES_HALVES or _WIDE not in llama.llama_print_system_info():
        return False
    try:
        described = cpuinfo.read_text("ascii", "replace")
    except OSError:
        return False
    flags = (line for line in described.splitlines() if line.startswith("flags"))
    return _HALVES in next(flags, "").split()
