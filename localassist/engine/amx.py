"""AMX: whether the matrix units of a server's processor can be used through this llama.cpp.

With them the 135M reads a prompt 4.5 times as fast. But llama.cpp 0.3.36 fills in the tiles'
configuration where GCC up to version 12 believes that nobody reads it: the compiler leaves most of
it out, and the first step of more than one token ends the process with an illegal instruction. Our
Makefile has it compiled right (.build/before_llama.h). A build for AMX is tried before it is used,
in a process of its own, which is this file run as a program: a product of two matrices, in 0.05 s.
"""

from __future__ import annotations

import ctypes
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

log = logging.getLogger("localassist.engine")

_NAMED = b"AMX_INT8 = 1"
_TRIAL_S = 30
_NUM_THREADS = 2  # what a thread may do differs from what the first one may
_F32, _Q8_0 = 0, 8  # llama.cpp's numbers of types
_COLUMNS, _OUTPUTS, _ROWS = 64, 256, 32
_BLOCK = b"\x00\x3c" + b"\x01" * 32  # of Q8_0: 1.0 in 16 bits, times 32 ones
_DESCRIPTIONS = 1 << 20  # bytes
# How the trial ends; 1 is Python's own word for an error that nobody has caught.
_WORKS, _WRONG = 0, 3
_REMEDY = (
    "llama.cpp is slower so; make install in a checkout of localassist compiles one for which this "
    "need not be"
)


def usable(llama: Any) -> bool:
    """Whether weights may be laid out for AMX: it works, or this build does not know it.

    Args:
        llama: the llama_cpp module, with its backend initialised.
    """
    return _NAMED not in llama.llama_print_system_info() or works(llama.llama_cpp._lib._name)


def works(library: str) -> bool:
    """Whether a product computed by AMX is right, and its process lives on.

    Args:
        library: the file of llama.cpp's library.
    """
    if getattr(sys, "frozen", False) or not sys.executable or not Path(__file__).is_file():
        log.warning("AMX is not used, for there is no Python here to try it: %s", _REMEDY)
        return False
    try:
        trial = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-S", __file__, library],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_TRIAL_S,
            start_new_session=True,  # or Ctrl-C would be taken for a failure
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("AMX is not used, for it could not be tried (%s): %s", error, _REMEDY)
        return False
    if trial.returncode != _WORKS:
        said = trial.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        log.warning("AMX is not used, for trying it ended with status %d (%s): %s",
                    trial.returncode, said or "it said nothing", _REMEDY)  # fmt: skip
    return trial.returncode == _WORKS


class Ggml:
    """Functions of llama.cpp's library, by name, that return pointers."""

    def __init__(self, library: str) -> None:
        """Load it."""
        self._library = ctypes.CDLL(library)

    def __getattr__(self, name: str) -> Any:
        function = self._library[name]
        function.restype = ctypes.c_void_p

        def call(*arguments: Any) -> Any:
            # An int alone would be cut to 32 bits, which a pointer is not.
            return function(*(ctypes.c_void_p(a) if type(a) is int else a for a in arguments))

        return call


class _Space(ctypes.Structure):
    """ggml_init_params: room for what describes tensors, not for their values."""

    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


def multiplies(ggml: Ggml, layout: int, *, block: bytes = _BLOCK) -> bool:
    """Whether 256 rows of 64 ones times 32 rows of 64 ones are 64 everywhere.

    Args:
        ggml: the library.
        layout: llama.cpp's buffer type for the first matrix.
        block: 32 weights as they are in a file, of which the first matrix is made.
    """
    size = ctypes.c_int64
    space = _Space(mem_size=_DESCRIPTIONS, no_alloc=True)
    of_weights, of_others = ggml.ggml_init(space), ggml.ggml_init(space)
    weights = ggml.ggml_new_tensor_2d(of_weights, _Q8_0, size(_COLUMNS), size(_OUTPUTS))
    rows = ggml.ggml_new_tensor_2d(of_others, _F32, size(_COLUMNS), size(_ROWS))
    if not ggml.ggml_backend_alloc_ctx_tensors_from_buft(of_weights, layout):
        return False
    # Only now: it is by its memory that llama.cpp knows how to multiply it.
    products = ggml.ggml_mul_mat(of_others, weights, rows)
    graph = ggml.ggml_new_graph(of_others)
    ggml.ggml_build_forward_expand(graph, products)
    backend = ggml.ggml_backend_cpu_init()
    ggml.ggml_backend_cpu_set_n_threads(backend, _NUM_THREADS)
    if not ggml.ggml_backend_alloc_ctx_tensors(of_others, backend):
        return False
    blocks = block * (_COLUMNS // 32 * _OUTPUTS)
    ggml.ggml_backend_tensor_set(weights, blocks, 0, len(blocks))
    ones = (ctypes.c_float * (_COLUMNS * _ROWS))(*[1.0] * (_COLUMNS * _ROWS))
    ggml.ggml_backend_tensor_set(rows, ones, 0, ctypes.sizeof(ones))
    ggml.ggml_backend_graph_compute(backend, graph)
    found = (ctypes.c_float * (_OUTPUTS * _ROWS))()
    ggml.ggml_backend_tensor_get(products, found, 0, ctypes.sizeof(found))
    return all(abs(value - _COLUMNS) < 1 for value in found)


def _amx_layout(ggml: Ggml) -> int | None:
    """llama.cpp's buffer type for AMX, if the system lets it be used here."""
    registry = ggml.ggml_backend_cpu_reg()
    find = ggml.ggml_backend_reg_get_proc_address
    layouts_of = ctypes.cast(
        find(registry, b"ggml_backend_dev_get_extra_bufts"),
        ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p),
    )
    layouts = layouts_of(ggml.ggml_backend_reg_dev_get(registry, 0))
    for layout in layouts:
        if not layout:
            break
        if ctypes.string_at(ggml.ggml_backend_buft_name(layout)) == b"AMX":
            return int(layout)
    return None


def _try(library: str) -> int:
    ggml = Ggml(library)
    layout = _amx_layout(ggml)
    # Without a permission from the system llama.cpp does not use it either.
    return _WORKS if layout is None or multiplies(ggml, layout) else _WRONG


if __name__ == "__main__":
    sys.exit(_try(sys.argv[1]))
