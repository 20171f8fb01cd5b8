"""LlamaBackend: a model, through llama-cpp-python's low-level API.

After loading, the vocabulary may be used from any OS thread; everything else belongs to the
engine's loop. llama.cpp aborts the process where its rules are broken, so the file and the memory
are checked before it is called.
"""

from __future__ import annotations

import ctypes
import logging
from contextlib import closing
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.engine import llama_library
from localassist.engine.lanes import Lanes
from localassist.engine.llama_context import LlamaContext
from localassist.engine.worker_thread import WorkerThread
from localassist.errors import ModelFileError, ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from localassist.engine.backend import Data, Row
    from localassist.engine.scheduler import Chunk

log = logging.getLogger("localassist.engine")

N_BATCH = 512
# Prefixes that can be told apart; free of cost with a unified cache. One more is our own.
N_SEQ_MAX = 32
_MOST_SEQ = 256  # llama.cpp's own limit
_NO_BOS = False
_PIECE_BYTES = _VALUE_BYTES = 256


class LlamaBackend:
    """A GGUF, loaded, with a context shared by all sequences, and a second lane beside it."""

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
        side_ctx: int = 0,
        has_side_room: Callable[[], bool] = lambda: True,
        even_split: bool = True,
        repack: bool = True,
    ) -> None:
        """Load the file.

        Args:
            path: a file whose header was checked.
            n_ctx: tokens of the context.
            n_threads: most CPU threads.
            chat_template: Jinja source, from the header or the manifest.
            fingerprint: of the file's content.
            num_sequences: sequence ids that can be used.
            n_gpu_layers: layers on a GPU; None: all of them if the build of llama.cpp has one, and
                none if they cannot be loaded there.
            side_ctx: tokens of a second context, made when it is needed; 0: none.
            has_side_room: says then whether there is memory for it.
            even_split: let threads take equal parts of a matrix, where that can be had; what the
                first model of the process was loaded with holds for all.
            repack: let llama.cpp lay weights out anew for the processor, where it can.

        Raises:
            ModelFileError: llama.cpp refuses the file.
            ModelTooLargeError: no memory for the context.
        """
        self._np: Any = require("numpy", package="numpy")
        library = llama_library.load(even_split=even_split)
        self._llama = llama = library.module
        self.splits_evenly = library.splits_evenly
        self._spinning = library.spinning
        extra_layouts = repack and library.extra_layouts
        wanted = -1 if n_gpu_layers is None else n_gpu_layers
        gpu_layers = wanted if llama.llama_supports_gpu_offload() else 0
        self._model = self._load(path, gpu_layers, extra_layouts=extra_layouts)
        if not self._model and gpu_layers and n_gpu_layers is None:
            log.warning("'%s' cannot be loaded onto the GPU; the CPU computes", path.name)
            gpu_layers = 0
            self._model = self._load(path, gpu_layers, extra_layouts=extra_layouts)
        if not self._model:
            raise ModelFileError(
                f"llama.cpp cannot load '{path.name}'.",
                code="model_file_unsupported",
                hint="Fetch it again or choose another model; the log localassist.llama says why.",
            )
        self._refuse_states(path.name)
        self.keeps_awake = library.spinning.is_led and not gpu_layers
        self.n_seq_max = num_sequences
        self.max_threads = n_threads
        self._vocab = llama.llama_model_get_vocab(self._model)
        self.n_vocab = int(llama.llama_vocab_n_tokens(self._vocab))
        self._pieces: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}
        layout = "f16 unified" + ("" if extra_layouts else ", weights as in the file")
        known = (library.version, library.mark, library.features, gpu_layers, layout)
        self.chat_template = chat_template
        self.adds_bos = bool(llama.llama_vocab_get_add_bos(self._vocab))
        self.bos_text = self._special_text(llama.llama_vocab_bos(self._vocab))
        self.eos_text = self._special_text(llama.llama_vocab_eos(self._vocab))
        self._stop = ctypes.create_string_buffer(2)
        try:
            main = self._new_context(n_ctx, n_batch=N_BATCH)
        except ModelTooLargeError:
            llama.llama_model_free(self._model)
            raise
        self.n_ctx = main.n_ctx
        positions = "|long positions" if self._has_long_positions else ""
        self.fingerprint = "|".join(map(str, (fingerprint, *known))) + positions
        self._lanes = Lanes(
            main,
            num_threads=n_threads,
            make_side=lambda: self._new_side(side_ctx, has_side_room),
            side_ctx=side_ctx if self._bears_side(side_ctx) and not gpu_layers else 0,
        )

    def _load(self, path: Path, gpu_layers: int, *, extra_layouts: bool) -> Any:
        """llama.cpp's pointer; None if it refuses."""
        params = self._llama.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.use_extra_bufts = extra_layouts
        # libgomp counts the threads that lay out weights for AMX as long as the one lives that
        # called them, and has all others wait less, see spinning: it ends here.
        with closing(WorkerThread("engine-loading")) as loading:
            load = self._llama.llama_model_load_from_file
            return loading.start(lambda: load(str(path).encode(), params)).result()

    def _refuse_states(self, name: str) -> None:
        """A state in which all tokens are mixed can neither be cut nor shared."""
        llama, model = self._llama, self._model
        if llama.llama_model_is_recurrent(model) or llama.llama_model_is_hybrid(model):
            llama.llama_model_free(model)
            self._model = None
            raise ModelFileError(
                f"'{name}' is a recurrent model: it keeps a state instead of keys and values.",
                code="model_file_unsupported",
                hint="Choose a model that has attention in every layer.",
            )

    def _bears_side(self, side_ctx: int) -> bool:
        """Whether keys and values can go from one context to a smaller one and back."""
        if side_ctx <= self.n_seq_max:  # a batch must hold a row of each
            return False
        slides = self._llama.llama_model_n_swa(self._model) > 0  # of windows, a part is saved
        return not slides and not (self._has_long_positions and side_ctx <= self._original_ctx)

    @property
    def _original_ctx(self) -> int:
        """Tokens of context from which on positions are turned in another way; 0: none are."""
        said = self._metadata("{arch}.rope.scaling.original_context_length")
        return int(said) if said.isdecimal() else 0

    @property
    def _has_long_positions(self) -> bool:
        """Whether this context is one of those; keys are of no use in the others."""
        return 0 < self._original_ctx < self.n_ctx

    def _metadata(self, key: str) -> str:
        """A value of the file's header by its key; empty if there is none."""
        buffer = ctypes.create_string_buffer(_VALUE_BYTES)
        if "{arch}" in key:
            key = key.format(arch=self._metadata("general.architecture"))
        size = self._llama.llama_model_meta_val_str(self._model, key.encode(), buffer, _VALUE_BYTES)
        return buffer.value.decode("utf-8", "replace") if size >= 0 else ""

    def _new_side(self, n_ctx: int, has_room: Callable[[], bool]) -> LlamaContext:
        if not has_room():
            raise ModelTooLargeError("No memory for a second context.", code="model_too_large")
        return self._new_context(n_ctx, n_batch=self.n_seq_max + 1)

    def _new_context(self, n_ctx: int, *, n_batch: int) -> LlamaContext:
        return LlamaContext(
            self._llama, self._model, n_ctx=n_ctx, n_batch=n_batch, num_sequences=self.n_seq_max,
            n_threads=self.max_threads, n_vocab=self.n_vocab, stop=self._stop,
            keeps_cpus=self.splits_evenly,
            filler=max(0, self._llama.llama_vocab_eos(self._vocab)),
        )  # fmt: skip

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
        return self._lanes.decode(chunks, num_rows=num_rows)

    def decode_apart(self, chunks: Sequence[Chunk]) -> list[list[Row]]:
        """Compute two chunks at once; see Backend."""
        return self._lanes.decode_apart(chunks)

    @property
    def side_ctx(self) -> int:
        """Cells of the second lane; 0 without one."""
        return self._lanes.side_ctx

    def abort(self) -> None:
        """Have the running `decode`, or the next one, give up soon."""
        self._stop[0] = b"!"

    def resume(self) -> None:
        """Take `abort` back."""
        self._stop[0] = b"\0"

    def use_threads(self, num_threads: int) -> None:
        """Compute with so many CPU threads from now on."""
        self._lanes.use_threads(num_threads)

    def spin_long(self, *, on: bool) -> None:
        """Keep CPU threads awake while they wait for one another; see Backend."""
        self._spinning.shorten(self, on=not on)

    def time_rows(self, num_rows: int) -> float | None:
        """Seconds of a step of `num_rows` tokens; None if the context has no room for it."""
        return self._lanes.time_rows(num_rows)

    def time_apart(self) -> float | None:
        """Seconds of a row in each lane; see Backend."""
        return self._lanes.time_apart()

    def truncate(self, seq_id: int, length: int) -> None:
        """Keep the first `length` tokens of a sequence id."""
        self._lanes.truncate(seq_id, length)

    def copy_prefix(self, source_id: int, seq_id: int, length: int) -> None:
        """Give an empty sequence id the first `length` tokens of another one."""
        self._lanes.copy_prefix(source_id, seq_id, length)

    def save(self, seq_id: int, *, start: int, end: int) -> Data:
        """Keys and values of the tokens `start` to `end` of a sequence id."""
        return self._lanes.save(seq_id, start=start, end=end)

    def restore(self, seq_id: int, data: Data, *, start: int, end: int) -> None:
        """Append the tokens at positions `start` to `end` out of what `save` returned."""
        self._lanes.restore(seq_id, data, start=start, end=end)

    def clear(self) -> None:
        """Empty the whole context."""
        self._lanes.clear()

    def close(self) -> None:
        """Free contexts and model."""
        if self._model:
            self._spinning.shorten(self, on=False)
            self._lanes.close()
            self._llama.llama_model_free(self._model)
            self._model = None


def num_sequences(max_running: int) -> int:
    """Sequence ids for so many running answers, with room for idle ones beside them."""
    return min(max(N_SEQ_MAX, 2 * max_running), _MOST_SEQ - 1)
