"""The real embedding model, watched: what it was given, and when it may go on."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from localassist import Client, ScriptedBackend, Settings
from localassist.api.runtime import Runtime
from localassist.retrieval import embed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localassist.retrieval.embed import Embedder, Vectors

# A scripted token is a byte: passages need many.
N_CTX = 200_000


@cache
def real_embedder() -> Embedder:
    """The model that `make models` has fetched."""
    return embed.load(Settings.from_env().models / embed.MODEL, n_threads=2)


class WatchedEmbedder:
    """Embeds as the real model does.

    Attributes:
        texts: all that it was given.
        may_go_on: cleared, it holds every call.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.may_go_on.wait()
        self.texts += texts
        return real_embedder().encode(texts)

    def token_starts(self, text: str) -> Sequence[int]:
        return real_embedder().token_starts(text)


def open_client(
    home: Path,
    *,
    face: type = Client,
    backend: ScriptedBackend | None = None,
    **runtime: object,
) -> Client:
    """A client on a scripted model, which has a token for each byte, and real embeddings."""
    settings = Settings(home=home, api_version=runtime.pop("api_version", "v1"))
    runtime.setdefault("embedder", real_embedder())
    return face.of(Runtime(settings, backend=backend or ScriptedBackend(n_ctx=N_CTX), **runtime))
