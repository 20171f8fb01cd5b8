"""Embedders: from texts to vectors. The same model, in torch and in a faster copy of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from localassist._lazy import require
from localassist.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    Vectors = np.ndarray[Any, np.dtype[np.float32]]

MODEL = "all-MiniLM-L6-v2"
DIM = 384
MAX_TOKENS = 256  # two of them are the model's own marks
FAST_FILE = "model-int8.onnx"
_BATCH_TOKENS = 256  # measured: more is no faster, and texts disturb one another


class Embedder(Protocol):
    """Makes vectors. Any OS thread may use it."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, float32 [n, 384]. Text beyond the model's 256 tokens is not read."""

    def token_starts(self, text: str) -> Sequence[int]:
        """Where each token of a text begins, in code points."""


class Tokens:
    """The model's tokens. Any OS thread may use it."""

    def __init__(self, folder: Path) -> None:
        tokenizers = require("tokenizers", package="tokenizers")
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise missing_model(folder)
        self._cut = tokenizers.Tokenizer.from_file(str(path))
        self._cut.enable_truncation(MAX_TOKENS)
        self._cut.no_padding()
        self._whole = tokenizers.Tokenizer.from_file(str(path))
        self._whole.no_truncation()
        self._whole.no_padding()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids with the model's marks, as far as the model reads."""
        return [each.ids for each in self._cut.encode_batch(list(texts))]

    def starts(self, text: str) -> list[int]:
        """Where each token begins, in code points."""
        encoded = self._whole.encode(text, add_special_tokens=False)
        return [start for start, _ in encoded.offsets]


class FastEmbedder:
    """The copy that `optimize` makes, in ONNX Runtime. Needs no torch."""

    def __init__(self, folder: Path, *, n_threads: int) -> None:
        """Load it.

        Args:
            folder: of the model, with the copy in it.
            n_threads: CPU threads that one call uses, each for batches of its own: threads that
                share one batch wait for one another, and are a tenth slower.
        """
        self._n_threads = n_threads
        ort = require("onnxruntime", package="onnxruntime")
        self._tokens = Tokens(folder)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(
            str(folder / FAST_FILE), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Embedder."""
        numpy: Any = require("numpy", package="numpy")
        ids = self._tokens.ids(texts)
        vectors: Vectors = numpy.zeros((len(ids), DIM), numpy.float32)

        def compute(batch: list[int]) -> None:
            longest = len(ids[batch[-1]])
            padded = numpy.zeros((len(batch), longest), numpy.int64)
            mask = numpy.zeros_like(padded)
            for row, index in enumerate(batch):
                padded[row, : len(ids[index])] = ids[index]
                mask[row, : len(ids[index])] = 1
            vectors[batch] = self._session.run(
                None,
                {
                    "input_ids": padded,
                    "attention_mask": mask,
                    "token_type_ids": numpy.zeros_like(padded),
                },
            )[0]

        _shared_out(_batches([len(each) for each in ids]), compute, n_threads=self._n_threads)
        return vectors

    def token_starts(self, text: str) -> Sequence[int]:
        """See Embedder."""
        return self._tokens.starts(text)


class ReferenceEmbedder:
    """sentence-transformers with the model's own weights, in torch."""

    def __init__(self, folder: Path) -> None:
        """Load it, without any network."""
        self._tokens = Tokens(folder)
        if not (folder / "model.safetensors").is_file():
            raise missing_model(folder)
        library = require("sentence_transformers", package="sentence-transformers")
        self._model = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        self._lock = threading.Lock()

    @property
    def model(self) -> Any:
        """The torch module, for export."""
        return self._model

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Embedder."""
        with self._lock:
            vectors: Vectors = self._model.encode(
                list(texts), batch_size=16, normalize_embeddings=True, show_progress_bar=False
            )
        return vectors

    def token_starts(self, text: str) -> Sequence[int]:
        """See Embedder."""
        return self._tokens.starts(text)


def load(folder: Path, *, n_threads: int) -> Embedder:
    """The faster copy where there is one, else the model itself.

    Raises:
        ModelFileError: the model is not there.
    """
    if (folder / FAST_FILE).is_file():
        return FastEmbedder(folder, n_threads=n_threads)
    return ReferenceEmbedder(folder)


def missing_model(folder: Path) -> ModelFileError:
    """The error that there is no embedding model."""
    return ModelFileError(
        f"The embedding model is not at '{folder}'.",
        code="model_missing",
        hint=f"Fetch it with: localassist models fetch {MODEL}",
    )


def _shared_out(
    batches: Sequence[list[int]], compute: Callable[[list[int]], None], *, n_threads: int
) -> None:
    """Have several OS threads compute; returns when all is done, and raises what one has met."""
    waiting = list(batches)[::-1]
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while waiting and not errors:
                try:
                    batch = waiting.pop()
                except IndexError:
                    return
                compute(batch)
        except BaseException as error:  # noqa: BLE001  # raised below
            errors.append(error)

    # Daemons, as who calls may be one: pools take nothing once the main thread has ended.
    helpers = [
        threading.Thread(target=work, name="embedding", daemon=True)
        for _ in range(min(n_threads, len(batches)) - 1)
    ]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of texts that are computed together: of like lengths, so that little is padding."""
    found: list[list[int]] = []
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] * (len(batch) + 1) > _BATCH_TOKENS:
            found.append(batch)
            batch = []
        batch.append(index)
    return [*found, batch] if batch else found
