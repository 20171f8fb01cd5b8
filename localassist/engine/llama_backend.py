"""LlamaBackend: llama.cpp through llama-cpp-python's low-level API; the only file that imports it.

After loading, the vocabulary may be used from any OS thread; everything else belongs to the
engine's loop. llama.cpp aborts the process where its rules are broken, so the file and the memory
are checked before it is called.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.engine.backend import DecodeError, NoRoomError
from localassist.errors import ModelFileError, ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from localassist.engine.scheduler import Chunk

log = logging.getLogger("localassist.llama")

N_BATCH = 512
N_SEQ_MAX = 32  # prefixes that can be told apart; free of cost with a unified cache
_NO_ROOM = 1
_NO_BOS = False
_WITH_DATA = True
_PIECE_BYTES = 256
_LOG_LEVELS = {2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR, 5: logging.DEBUG}
_set_up = threading.Lock()
_log_callback: Any = None  # llama.cpp keeps the pointer: it must outlive every model


def _library() -> Any:
    """The llama_cpp module, its log led to ours, its backend initialised once."""
    global _log_callback
    llama = require("llama_cpp", package="llama-cpp-python")
    with _set_up:
        if _log_callback is None:

            @llama.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes
            def forward(level: int, text: bytes, _user_data: int) -> None:
                log.log(
                    _LOG_LEVELS.get(level, logging.DEBUG),
                    "%s",
                    text.decode("utf-8", "replace").rstrip(),
                )

            llama.llama_log_set(forward, ctypes.c_void_p(0))
            llama.llama_backend_init()
            _log_callback = forward
    return llama


class LlamaBackend:
    """A GGUF, loaded, with one context shared by `N_SEQ_MAX` sequences (unified f16 cache)."""

    n_seq_max = N_SEQ_MAX
    n_batch = N_BATCH

    def __init__(self, path: Path, *, n_ctx: int, n_threads: int, chat_template: str) -> None:
        """Load the file.

        Args:
            path: a file whose header was checked.
            n_ctx: tokens of the context.
            n_threads: CPU threads.
            chat_template: Jinja source, from the header or the manifest.

        Raises:
            ModelFileError: llama.cpp refuses the file.
            ModelTooLargeError: no memory for the context.
        """
        self._np: Any = require("numpy", package="numpy")
        self._llama = llama = _library()
        params = llama.llama_model_default_params()
        params.n_gpu_layers = 0
        self._model = llama.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ModelFileError(
                f"llama.cpp cannot load '{path.name}'.",
                code="model_file_unsupported",
                hint="Fetch it again or choose another model; the log localassist.llama says why.",
            )
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
        self._n_vocab = int(llama.llama_vocab_n_tokens(self._vocab))
        self.chat_template = chat_template
        self.adds_bos = bool(llama.llama_vocab_get_add_bos(self._vocab))
        self.bos_text = self._special_text(llama.llama_vocab_bos(self._vocab))
        self.eos_text = self._special_text(llama.llama_vocab_eos(self._vocab))
        self._make_batch()

    def _context_params(self, *, n_ctx: int, n_threads: int) -> Any:
        params = self._llama.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = N_BATCH
        params.n_seq_max = N_SEQ_MAX
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
        return self._piece(token, special=False)

    def is_end(self, token: int) -> bool:
        """Whether the token ends an answer."""
        return bool(self._llama.llama_vocab_is_eog(self._vocab, token))

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

    def decode(self, chunks: Sequence[Chunk]) -> list[npt.NDArray[np.float32] | None]:
        """Compute the chunks in one batch; see Backend."""
        end = 0
        rows: list[int | None] = []
        for chunk in chunks:
            begin, end = end, end + len(chunk.tokens)
            self._tokens[begin:end] = chunk.tokens
            self._positions[begin:end] = range(chunk.start, chunk.start + len(chunk.tokens))
            self._seq_ids[begin:end] = chunk.seq_id
            self._wanted[begin:end] = 0
            self._wanted[end - 1] = chunk.wants_logits
            rows.append(end - 1 if chunk.wants_logits else None)
        self._batch.n_tokens = end
        result = self._llama.llama_decode(self._context, self._batch)
        if result == _NO_ROOM:
            raise NoRoomError("The context is full.", code="context_full")
        if result != 0:
            raise DecodeError(f"llama.cpp could not compute a batch (code {result}).")
        return [None if row is None else self._logits(row) for row in rows]

    def _logits(self, row: int) -> npt.NDArray[np.float32]:
        pointer = self._llama.llama_get_logits_ith(self._context, row)
        view: npt.NDArray[np.float32] = self._np.ctypeslib.as_array(pointer, (self._n_vocab,))
        return view

    def truncate(self, seq_id: int, length: int) -> None:
        """Keep the first `length` tokens of a sequence id."""
        self._llama.llama_memory_seq_rm(self._memory, seq_id, length, -1)

    def copy_prefix(self, source_id: int, seq_id: int, length: int) -> None:
        """Give an empty sequence id the first `length` tokens of another one; moves no bytes."""
        self._llama.llama_memory_seq_cp(self._memory, source_id, seq_id, 0, length)

    def clear(self) -> None:
        """Empty the whole context."""
        self._llama.llama_memory_clear(self._memory, _WITH_DATA)

    def close(self) -> None:
        """Free context and model."""
        if self._context:
            self._llama.llama_free(self._context)
            self._llama.llama_model_free(self._model)
            self._context = self._model = None
