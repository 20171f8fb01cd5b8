"""Rerankers: a model that reads question and passage together puts the best ones in order.

None comes with localassist, as no package carries the weights of one. A folder of a cross-encoder
that sentence-transformers can load, put beside the other models as `reranker`, is used.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Protocol

from localassist._lazy import require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger("localassist.retrieval")

FOLDER = "reranker"
# Passages that are read again: a cross-encoder of six layers takes some 10 ms for each.
NUM_RERANKED = 40


class Reranker(Protocol):
    """Judges passages. Any OS thread may use it."""

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """For each text, between 0 and 1, how well it answers the question."""
        ...


class CrossEncoder:
    """A cross-encoder in torch."""

    def __init__(self, folder: Path) -> None:
        """Load it, without any network."""
        torch = require("torch", package="torch")
        library = require("sentence_transformers", package="sentence-transformers")
        self._model: Any = library.CrossEncoder(
            str(folder),
            device="cpu",
            local_files_only=True,
            num_labels=1,
            activation_fn=torch.nn.Sigmoid(),
        )
        self._lock = threading.Lock()

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """See Reranker."""
        with self._lock:
            found = self._model.predict(
                [(question, text) for text in texts], batch_size=8, show_progress_bar=False
            )
        return [float(score) for score in found]


class Rerankers:
    """The reranker of a folder, loaded at its first use, or none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: Reranker | None = None
        self._looked = False

    def get(self) -> Reranker | None:
        """None where there is none, or one that cannot be loaded, of which the log tells."""
        with self._lock:
            if not self._looked:
                self._looked = True
                self._loaded = self._load()
        return self._loaded

    def _load(self) -> Reranker | None:
        if not (self._folder / "config.json").is_file():
            return None
        try:
            return CrossEncoder(self._folder)
        except Exception as error:  # noqa: BLE001  # whatever a foreign folder makes of the library
            log.warning("the reranker at '%s' cannot be used: %s", self._folder, error)
            return None
