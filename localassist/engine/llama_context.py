"""LlamaContext: one context of a loaded model, with its batch.

It belongs to one OS thread at a time. llama.cpp aborts the process where its rules are broken, so
what goes into a batch is what the scheduler has counted.
"""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.engine.backend import (
    DecodeAbortedError,
    DecodeError,
    NoRoomError,
    RestoreError,
)
from localassist.errors import ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.engine.backend import Data, Row
    from localassist.engine.scheduler import Chunk

_NO_ROOM = 1
_ABORTED = 2
_WITH_DATA = True


class LlamaContext:
    """Keys and values of several sequence ids in unified f16 cells.

    Attributes:
        n_ctx: cells, as llama.cpp has rounded them.
    """

    def __init__(
        self, llama: Any, model: Any, *, n_ctx: int, n_batch: int, num_sequences: int,
        n_threads: int, n_vocab: int, filler: int, stop: ctypes.Array[ctypes.c_char],
        keeps_cpus: bool = False,
    ) -> None:  # fmt: skip
        """Make an empty one.

        Args:
            llama: the llama_cpp module.
            model: llama.cpp's pointer.
            n_ctx: cells, shared by all sequence ids.
            n_batch: most tokens of a step; more than `num_sequences`, or llama.cpp aborts.
            num_sequences: ids from 0 on; one more is our own, for what is there for a moment.
            n_threads: CPU threads.
            n_vocab: length of a row of logits.
            filler: a token for rows that nobody reads.
            stop: computing gives up while it holds a text that is not empty.
            keeps_cpus: the OS thread is put back on the CPUs that it was on before a step.

        Raises:
            ModelTooLargeError: no memory for it.
        """
        self._np: Any = require("numpy", package="numpy")
        self._llama = llama
        self._n_batch, self._n_vocab = n_batch, n_vocab
        self._scratch, self._filler = num_sequences, filler
        params = llama.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = n_batch
        params.n_seq_max = num_sequences + 1
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = n_threads
        self._context = llama.llama_init_from_model(model, params)
        if not self._context:
            raise ModelTooLargeError(
                f"No memory for a context of {n_ctx} tokens.",
                code="model_too_large",
                hint="Lower the setting n_ctx or choose a smaller model.",
            )
        self.n_ctx = int(llama.llama_n_ctx(self._context))
        self._memory = llama.llama_get_memory(self._context)
        self._make_batch()
        self._keeps_cpus = keeps_cpus
        self._stop = stop
        self._set_abort_callback()

    def _make_batch(self) -> None:
        """Back a llama_batch with numpy arrays, which are filled by slices and not by items."""
        np, size = self._np, self._n_batch
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._counts = np.ones(size, np.int32)
        self._seq_ids = np.zeros(size, np.int32)
        self._wanted = np.zeros(size, np.int8)
        addresses = self._seq_ids.ctypes.data + 4 * np.arange(size, dtype=np.uint64)
        self._seq_id_pointers = addresses.astype(np.uint64)
        int32s, int8s = ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_int8)
        batch = self._llama.llama_batch()
        batch.token = ctypes.cast(self._tokens.ctypes.data, int32s)
        batch.pos = ctypes.cast(self._positions.ctypes.data, int32s)
        batch.n_seq_id = ctypes.cast(self._counts.ctypes.data, int32s)
        batch.seq_id = ctypes.cast(self._seq_id_pointers.ctypes.data, ctypes.POINTER(int32s))
        batch.logits = ctypes.cast(self._wanted.ctypes.data, int8s)
        self._batch = batch

    def _set_abort_callback(self) -> None:
        """Let llama.cpp ask a byte of ours, between operations, whether to give up.

        It wants a C function of one pointer. One written in Python would be called 150 times a
        token and wait for the interpreter's lock each time; `strlen` of our buffer is one that
        is there already: 0 while it holds the empty string, 1 once something is written into it.
        """
        try:
            address = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
        except (AttributeError, OSError, TypeError):  # Windows: a step is waited for instead
            return
        assert address is not None, "strlen has an address"
        function = ctypes.cast(address, self._llama.ggml_abort_callback)
        data = ctypes.cast(self._stop, ctypes.c_void_p)
        self._llama.llama_set_abort_callback(self._context, function, data)

    def decode(self, chunks: Sequence[Chunk], *, num_rows: int = 0) -> list[list[Row]]:
        """Compute the chunks in one batch; see Backend."""
        end = 0
        ends: list[int] = []
        for chunk in chunks:
            begin, end = end, end + len(chunk.tokens)
            self._put(chunk.tokens, begin, start=chunk.start, seq_id=chunk.seq_id)
            self._wanted[begin:end] = 0
            self._wanted[end - chunk.num_logits : end] = 1
            ends.append(end)
        if num_rows > end:
            self._put([self._filler] * (num_rows - end), end, start=0, seq_id=self._scratch)
            # Where all rows have logits, it is also their kernel that wants so many rows.
            self._wanted[end:num_rows] = self._wanted[:end].all()
        self._decode(max(end, num_rows))
        if num_rows > end:
            self.truncate(self._scratch, 0)
        return [
            [self._logits(row) for row in range(end - chunk.num_logits, end)]
            for chunk, end in zip(chunks, ends, strict=True)
        ]

    def _put(self, tokens: Sequence[int], begin: int, *, start: int, seq_id: int) -> None:
        """Fill the batch from `begin` on."""
        end = begin + len(tokens)
        self._tokens[begin:end] = tokens
        self._positions[begin:end] = range(start, start + len(tokens))
        self._seq_ids[begin:end] = seq_id

    def _decode(self, num_tokens: int) -> None:
        self._batch.n_tokens = num_tokens
        cpus = os.sched_getaffinity(0) if self._keeps_cpus else None
        result = self._llama.llama_decode(self._context, self._batch)
        if cpus is not None and os.sched_getaffinity(0) != cpus:
            with suppress(OSError):  # none of them is left to this process
                os.sched_setaffinity(0, cpus)
        if result == 0:
            return
        if result == _NO_ROOM:
            raise NoRoomError("The context is full.", code="context_full")
        self.truncate(self._scratch, 0)
        if result == _ABORTED:
            raise DecodeAbortedError("The step was given up.")
        raise DecodeError(f"llama.cpp could not compute a batch (code {result}).")

    def _logits(self, row: int) -> Row:
        pointer = self._llama.llama_get_logits_ith(self._context, row)
        view: Row = self._np.ctypeslib.as_array(pointer, (self._n_vocab,))
        return view

    def use_threads(self, num_threads: int) -> None:
        """Compute with so many CPU threads from now on."""
        self._llama.llama_set_n_threads(self._context, num_threads, num_threads)

    def time_rows(self, num_rows: int) -> float | None:
        """Seconds of a step of so many rows; None without room for it, or if aborted."""
        self._put([self._filler] * num_rows, 0, start=0, seq_id=self._scratch)
        self._wanted[:num_rows] = 1
        started = time.perf_counter()
        try:
            self._decode(num_rows)
        except (NoRoomError, DecodeAbortedError):
            return None
        seconds = time.perf_counter() - started
        self.truncate(self._scratch, 0)
        return seconds

    def truncate(self, seq_id: int, length: int) -> None:
        """Keep the first `length` tokens of a sequence id."""
        self._llama.llama_memory_seq_rm(self._memory, seq_id, length, -1)

    def copy_prefix(self, source_id: int, seq_id: int, length: int) -> None:
        """Give an empty sequence id the first `length` tokens of another one; moves no bytes."""
        self._llama.llama_memory_seq_cp(self._memory, source_id, seq_id, 0, length)

    def save(self, seq_id: int, *, start: int, end: int) -> Data:
        """Keys and values of the tokens `start` to `end` of a sequence id."""
        # llama.cpp saves whole sequences: the range becomes one for the moment.
        llama = self._llama
        llama.llama_memory_seq_cp(self._memory, seq_id, self._scratch, start, end)
        size = llama.llama_state_seq_get_size(self._context, self._scratch)
        data: Data = self._np.empty(size, self._np.uint8)
        written = llama.llama_state_seq_get_data(
            self._context, _bytes_of(data), size, self._scratch
        )
        self.truncate(self._scratch, 0)
        return data[:written]

    def restore(self, seq_id: int, data: Data, *, start: int, end: int) -> None:
        """Append the tokens at positions `start` to `end` out of what `save` returned."""
        llama = self._llama
        read = llama.llama_state_seq_set_data(
            self._context, _bytes_of(data), len(data), self._scratch
        )
        first = llama.llama_memory_seq_pos_min(self._memory, self._scratch)
        last = llama.llama_memory_seq_pos_max(self._memory, self._scratch)
        whole = read == len(data) and 0 <= first <= start and last >= end - 1
        if whole:
            llama.llama_memory_seq_cp(self._memory, self._scratch, seq_id, start, end)
        self.truncate(self._scratch, 0)
        if not whole:
            raise RestoreError("saved keys and values could not be read back.")

    def clear(self) -> None:
        """Empty it."""
        self._llama.llama_memory_clear(self._memory, _WITH_DATA)

    def close(self) -> None:
        """Free it."""
        if self._context:
            self._llama.llama_free(self._context)
            self._context = None


def _bytes_of(data: Data) -> Any:
    return ctypes.cast(data.ctypes.data, ctypes.POINTER(ctypes.c_uint8))
