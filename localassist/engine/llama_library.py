"""The llama.cpp library of this process: set up once; the only file that imports llama_cpp."""

from __future__ import annotations

import ctypes
import logging
import threading
from dataclasses import dataclass
from typing import Any

from localassist._lazy import require
from localassist.engine import amx, llama_build
from localassist.engine.even_split import EvenSplit
from localassist.engine.spinning import Spinning

log = logging.getLogger("localassist.llama")

_LOG_LEVELS = {2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR, 5: logging.DEBUG}
# What llama.cpp says when we tell it to stop: no error, though it calls it one.
_OF_ABORTS = (
    "graph_compute_async failed with error 1",
    "failed to compute graph, compute status: 1",
    "removing memory module entries",
    "failed to decode, ret = 2",
)
_set_up = threading.Lock()
_loaded: LlamaLibrary | None = None
_log_callback: Any = None  # llama.cpp keeps the pointer: it must outlive every model


@dataclass(frozen=True)
class LlamaLibrary:
    """llama.cpp, loaded.

    Attributes:
        module: llama_cpp, with its backend initialised.
        version: of llama-cpp-python.
        features: of the processor that it was compiled for, as it names them.
        mark: see `llama_build.mark`.
        attends_slowly: see `llama_build.attends_slowly`.
        splits_evenly: threads take equal parts of a matrix.
        extra_layouts: weights may be laid out otherwise than in the file; not where AMX fails.
        spinning: how long its threads stay awake.
    """

    module: Any
    version: str
    features: str
    mark: int
    attends_slowly: bool
    splits_evenly: bool
    extra_layouts: bool
    spinning: Spinning


def load(*, even_split: bool = True) -> LlamaLibrary:
    """Load and set up llama.cpp, the first time; its log goes to ours.

    Args:
        even_split: let threads take equal parts of a matrix, where that can be had. What the first
            caller in the process says holds for all.
    """
    global _loaded
    with _set_up:
        if _loaded is None:
            _loaded = _load(EvenSplit() if even_split else None)
        return _loaded


def _load(even_split: EvenSplit | None) -> LlamaLibrary:
    spinning = Spinning()
    with spinning.loading():
        llama = require("llama_cpp", package="llama-cpp-python")
    spinning.use(llama.llama_cpp._lib)
    _lead_log(llama)
    llama.llama_backend_init()
    attends_slowly = llama_build.attends_slowly(llama)
    if attends_slowly:
        log.warning("llama.cpp: %s", llama_build.SLOW)
    extra_layouts = amx.usable(llama)
    if even_split is not None:  # last, for it cannot be taken back
        even_split.switch_on(llama)
    return LlamaLibrary(
        module=llama,
        version=llama.__version__,
        features=llama.llama_print_system_info().decode("utf-8", "replace"),
        mark=llama_build.mark(llama),
        attends_slowly=attends_slowly,
        splits_evenly=even_split is not None and even_split.is_on,
        extra_layouts=extra_layouts,
        spinning=spinning,
    )


def _lead_log(llama: Any) -> None:
    """Have llama.cpp's log go to the logger localassist.llama."""
    global _log_callback

    @llama.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes
    def forward(level: int, text: bytes, _user_data: int) -> None:
        said = text.decode("utf-8", "replace").rstrip()
        aborted = any(each in said for each in _OF_ABORTS)
        known = logging.DEBUG if aborted else _LOG_LEVELS.get(level, logging.DEBUG)
        log.log(known, "%s", said)

    llama.llama_log_set(forward, ctypes.c_void_p(0))
    _log_callback = forward
