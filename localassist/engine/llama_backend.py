"""LlamaBackend: llama.cpp through llama-cpp-python's low-level API; the only file that imports it.

After loading, the vocabulary may be used from any OS thread; everything else belongs to the
engine's loop. llama.cpp aborts the process where its rules are broken, so the file and the memory
are checked before it is called.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.engine.backend import (
    DecodeAbortedError,
    DecodeError,
    NoRoomError,
    RestoreError,
)
from localassist.errors import ModelFileError, ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localassist.engine.backend import Data, Row
    from localassist.engine.scheduler import Chunk

log = logging.getLogger("localassist.llama")

N_BATCH = 512
# Prefixes that can be told apart; free of cost with a unified cache. One more is our own.
N_SEQ_MAX = 32
_MOST_SEQ = 256  # llama.cpp's own limit
_NO_ROOM = 1
_ABORTED = 2
_NO_BOS = False
_WITH_DATA = True
_PIECE_BYTES = 256
_SPIN_COUNT = "5000"
_LOG_LEVELS = {2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR, 5: logging.DEBUG}
_set_up = threading.Lock()
# What llama.cpp says when we tell it to stop: no error, though it calls it one.
_OF_ABORTS = (
    "graph_compute_async failed with error 1",
    "failed to compute graph, compute status: 1",
    "removing memory module entries",
    "failed to decode, ret = 2",
)
_log_callback: Any = None  # llama.cpp keeps the pointer: it must outlive every model


def _bound_spinning() -> None:
    """Let llama.cpp's threads sleep soon while they wait for one another.

    By default libgomp's spin for milliseconds at each of several hundred barriers of a token. As
    soon as other programs take cores, they spin away the time of the thread they wait for. Beside
    two busy programs on two cores a prompt is read 1.8 to 2.4 times as fast with this count, and in
    the worst minutes of a shared machine a token of 15 ms took 3 s without a bound, 0.2 s with
    twice this one. On a quiet machine it costs nothing; sleeping at once doubles a token's time.
    libgomp reads it once, when it is loaded; who has set it, or its relatives, is not overruled.
    """
    if not any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")):
        os.environ["GOMP_SPINCOUNT"] = _SPIN_COUNT


def _library() -> Any:
    """The llama_cpp module, its log led to ours, its backend initialised once."""
    global _log_callback
    _bound_spinning()
    llama = require("llama_cpp", package="llama-cpp-python")
    with _set_up:
        if _log_callback is None:

            @llama.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes
            def forward(level: int, text: bytes, _user_data: int) -> None:
                said = text.decode("utf-8", "replace").rstrip()
                aborted = any(each in said for each in _OF_ABORTS)
                known = logging.DEBUG if aborted else _LOG_LEVELS.get(level, logging.DEBUG)
                log.log(known, "%s", said)

            llama.llama_log_set(forward, ctypes.c_void_p(0))
            llama.llama_backend_init()
            _log_callback = forward
    return llama


class LlamaBackend:
    """A GGUF, loaded, with one context shared by all sequences (unified f16 cache)."""

    n_batch = N_BATCH

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int,
        n_threads: int,
        chat_template: str,
        fingerprint: str = "",
        num_sequences: int = N_SEQ_MAX,
        n_gpu_layers: int | None = None,
    ) -> None:
        """Load the file.

        Args:
            path: a file whose header was checked.
            n_ctx: tokens of the context.
            n_threads: most CPU threads.
            chat_template: Jinja source, from the header or the manifest.
            fingerprint: of the file's content.
            num_sequences: sequence ids that can be used.
            n_gpu_layers: layers on a GPU; None: all of them if the build of llama.cpp has one.

        Raises:
            ModelFileError: llama.cpp refuses the file.
            ModelTooLargeError: no memory for the context.
        """
        self._np: Any = require("numpy", package="numpy")
        self._llama = llama = _library()
        params = llama.llama_model_default_params()
        if n_gpu_layers is None:
            n_gpu_layers = -1 if llama.llama_supports_gpu_offload() else 0
        params.n_gpu_layers = n_gpu_layers
        self._model = llama.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ModelFileError(
                f"llama.cpp cannot load '{path.name}'.",
                code="model_file_unsupported",
                hint="Fetch it again or choose another model; the log localassist.llama says why.",
            )
        self.n_seq_max = num_sequences
        self.max_threads = n_threads
        self._scratch = num_sequences
        self._context = llama.llama_init_from_model(
            self._model, self._context_params(n_ctx=n_ctx, n_threads=n_threads)
        )
        if not self._context:
            llama.llama_model_free(self._model)
            raise ModelTooLargeError(
                f"No memory for a context of {n_ctx} tokens of '{path.name}'.",
                code="model_too_large",
                hint="Lower the setting n_ctx or choose a smaller model.",
            )
        self.n_ctx = int(llama.llama_n_ctx(self._context))
        self._memory = llama.llama_get_memory(self._context)
        self._vocab = llama.llama_model_get_vocab(self._model)
        self.n_vocab = int(llama.llama_vocab_n_tokens(self._vocab))
        self._pieces: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}
        build = llama.llama_print_system_info().decode("utf-8", "replace")
        self.fingerprint = f"{fingerprint}|{llama.__version__}|{build}|{n_gpu_layers}|f16 unified"
        self.chat_template = chat_template
        self.adds_bos = bool(llama.llama_vocab_get_add_bos(self._vocab))
        self.bos_text = self._special_text(llama.llama_vocab_bos(self._vocab))
        self._eos = max(0, llama.llama_vocab_eos(self._vocab))
        self.eos_text = self._special_text(self._eos)
        self._make_batch()
        self._stop = self._set_abort_callback()

    def _context_params(self, *, n_ctx: int, n_threads: int) -> Any:
        params = self._llama.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = N_BATCH
        params.n_seq_max = self._scratch + 1
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = n_threads
        return params

    def _make_batch(self) -> None:
        """Back a llama_batch with numpy arrays, which are filled by slices and not by items."""
        np = self._np
        self._tokens = np.zeros(N_BATCH, np.int32)
        self._positions = np.zeros(N_BATCH, np.int32)
        self._counts = np.ones(N_BATCH, np.int32)
        self._seq_ids = np.zeros(N_BATCH, np.int32)
        self._wanted = np.zeros(N_BATCH, np.int8)
        addresses = self._seq_ids.ctypes.data + 4 * np.arange(N_BATCH, dtype=np.uint64)
        self._seq_id_pointers = addresses.astype(np.uint64)
        int32s, int8s = ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_int8)
        batch = self._llama.llama_batch()
        batch.token = ctypes.cast(self._tokens.ctypes.data, int32s)
        batch.pos = ctypes.cast(self._positions.ctypes.data, int32s)
        batch.n_seq_id = ctypes.cast(self._counts.ctypes.data, int32s)
        batch.seq_id = ctypes.cast(self._seq_id_pointers.ctypes.data, ctypes.POINTER(int32s))
        batch.logits = ctypes.cast(self._wanted.ctypes.data, int8s)
        self._batch = batch

    def _set_abort_callback(self) -> Any:
        """Let llama.cpp ask a byte of ours, between operations, whether to give up.

        It wants a C function of one pointer. One written in Python would be called 150 times a
        token and wait for the interpreter's lock each time; `strlen` of our buffer is one that
        is there already: 0 while it holds the empty string, 1 once something is written into it.
        """
        stop = ctypes.create_string_buffer(2)
        try:
            address = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
        except (AttributeError, OSError, TypeError):  # Windows: a step is waited for instead
            return stop
        assert address is not None, "strlen has an address"
        function = ctypes.cast(address, self._llama.ggml_abort_callback)
        data = ctypes.cast(stop, ctypes.c_void_p)
        self._llama.llama_set_abort_callback(self._context, function, data)
        return stop

    # --- vocabulary ---

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokens of `text`; see Vocabulary."""
        data = text.encode()
        capacity = len(data) + 8
        tokens = (ctypes.c_int32 * capacity)()
        count = self._llama.llama_tokenize(
            self._vocab, data, len(data), tokens, capacity, _NO_BOS, parse_special
        )
        if count < 0:
            raise ModelFileError(f"The tokenizer failed on a text of {len(data)} bytes.")
        return list(tokens[:count])

    def token_bytes(self, token: int) -> bytes:
        """Bytes of a token; empty for control tokens."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._piece(token, special=False)
        return piece

    def is_end(self, token: int) -> bool:
        """Whether the token ends an answer."""
        ends = self._ends.get(token)
        if ends is None:
            ends = bool(self._llama.llama_vocab_is_eog(self._vocab, token))
            self._ends[token] = ends
        return ends

    def _piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        size = self._llama.llama_token_to_piece(
            self._vocab, token, buffer, _PIECE_BYTES, 0, special
        )
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = self._llama.llama_token_to_piece(self._vocab, token, buffer, -size, 0, special)
        return buffer.raw[: max(size, 0)]

    def _special_text(self, token: int) -> str:
        return "" if token < 0 else self._piece(token, special=True).decode("utf-8", "replace")

    # --- context ---

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
            padding = [chunks[0].tokens[0]] * (num_rows - end)
            self._put(padding, end, start=0, seq_id=self._scratch)
            self._wanted[end:num_rows] = 1
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
        result = self._llama.llama_decode(self._context, self._batch)
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
        view: Row = self._np.ctypeslib.as_array(pointer, (self.n_vocab,))
        return view

    def abort(self) -> None:
        """Have the running `decode`, or the next one, give up soon."""
        self._stop[0] = b"!"

    def resume(self) -> None:
        """Take `abort` back."""
        self._stop[0] = b"\0"

    def use_threads(self, num_threads: int) -> None:
        """Compute with so many CPU threads from now on."""
        self._llama.llama_set_n_threads(self._context, num_threads, num_threads)

    def time_rows(self, num_rows: int) -> float | None:
        """Seconds of a step of `num_rows` tokens; None if the context has no room for it."""
        self._put([self._eos] * num_rows, 0, start=0, seq_id=self._scratch)
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
        """Empty the whole context."""
        self._llama.llama_memory_clear(self._memory, _WITH_DATA)

    def close(self) -> None:
        """Free context and model."""
        if self._context:
            self._llama.llama_free(self._context)
            self._llama.llama_model_free(self._model)
            self._context = self._model = None


def _bytes_of(data: Data) -> Any:
    return ctypes.cast(data.ctypes.data, ctypes.POINTER(ctypes.c_uint8))


def num_sequences(max_running: int) -> int:
    """Sequence ids for so many running answers, with room for idle ones beside them."""
    return min(max(N_SEQ_MAX, 2 * max_running), _MOST_SEQ - 1)
