"""AMX: whether the matrix units of a server's processor can be used through this llama.cpp.

With them the 135M reads a prompt 4.5 times as fast. But llama.cpp 0.3.36 fills in the tiles'
configuration where GCC up to version 12 believes that nobody reads it: the compiler leaves most of
it out, and the first step of more than one token ends the process with an illegal instruction. Our
Makefile has it compiled right (.build/amx_tiles.h); what others have built is tried first, in a
process of its own, which is this file run as a program. It takes a product of two matrices and
0.1 s, and is done on no processor without AMX.
"""

from __future__ import annotations

import ctypes
import logging
import subprocess
import sys
from typing import Any

log = logging.getLogger("localassist.engine")

_NAMED = b"AMX_INT8 = 1"
_TRIAL_S = 30
_NUM_THREADS = 2  # what a thread may do differs from what the first one may
_F32, _Q8_0 = 0, 8  # llama.cpp's numbers of types
_COLUMNS, _OUTPUTS, _ROWS = 64, 256, 32
_BLOCK = b"\x00\x3c" + b"\x01" * 32  # of Q8_0: 1.0 in 16 bits, times 32 ones
_DESCRIPTIONS = 1 << 20  # bytes
_WORKS, _FAILS = 0, 1


def usable(llama: Any) -> bool:
    """Whether weights may be laid out for AMX: it works, or this build does not know it.

    Args:
        llama: the llama_cpp module, with its backend initialised.
    """
    return _NAMED not in llama.llama_print_system_info() or tried(llama.llama_cpp._lib._name)


def tried(library: str) -> bool:
    """Whether a product computed by AMX is right, and its process lives on.

    Args:
        library: the file of llama.cpp's library.
    """
    command = [sys.executable, "-I", "-S", __file__, library]
    try:
        trial = subprocess.run(  # noqa: S603
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_TRIAL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("AMX is not used, for it could not be tried: %s", error)
        return False
    if trial.returncode != _WORKS:
        log.warning(
            "AMX is not used, for this build of llama.cpp fails on it (%d): make install builds "
            "one that does not, after pip cache remove llama_cpp_python",
            trial.returncode,
        )
    return trial.returncode == _WORKS


class _Ggml:
    """Functions of llama.cpp's library, by name, that return pointers."""

    def __init__(self, library: str) -> None:
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


def _multiply(library: str) -> int:
    """Multiply 256 rows of 64 ones by 32 rows of 64 ones; each product is 64."""
    ggml = _Ggml(library)
    layout = _amx_layout(ggml)
    if layout is None:  # no permission from the system: llama.cpp will not use it either
        return _WORKS
    size = ctypes.c_int64
    space = _Space(mem_size=_DESCRIPTIONS, no_alloc=True)
    of_weights, of_others = ggml.ggml_init(space), ggml.ggml_init(space)
    weights = ggml.ggml_new_tensor_2d(of_weights, _Q8_0, size(_COLUMNS), size(_OUTPUTS))
    if not ggml.ggml_backend_alloc_ctx_tensors_from_buft(of_weights, layout):
        return _FAILS
    blocks = _BLOCK * (_COLUMNS // 32 * _OUTPUTS)
    ggml.ggml_backend_tensor_set(weights, blocks, 0, len(blocks))

    rows = ggml.ggml_new_tensor_2d(of_others, _F32, size(_COLUMNS), size(_ROWS))
    products = ggml.ggml_mul_mat(of_others, weights, rows)
    graph = ggml.ggml_new_graph(of_others)
    ggml.ggml_build_forward_expand(graph, products)
    backend = ggml.ggml_backend_cpu_init()
    ggml.ggml_backend_cpu_set_n_threads(backend, _NUM_THREADS)
    if not ggml.ggml_backend_alloc_ctx_tensors(of_others, backend):
        return _FAILS
    ones = (ctypes.c_float * (_COLUMNS * _ROWS))(*[1.0] * (_COLUMNS * _ROWS))
    ggml.ggml_backend_tensor_set(rows, ones, 0, ctypes.sizeof(ones))
    ggml.ggml_backend_graph_compute(backend, graph)
    found = (ctypes.c_float * (_OUTPUTS * _ROWS))()
    ggml.ggml_backend_tensor_get(products, found, 0, ctypes.sizeof(found))
    right = all(abs(value - _COLUMNS) < 1 for value in found)
    return _WORKS if right else _FAILS


def _amx_layout(ggml: _Ggml) -> int | None:
    """llama.cpp's layout of weights for AMX, if it may be used here."""
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


if __name__ == "__main__":
    sys.exit(_multiply(sys.argv[1]))
