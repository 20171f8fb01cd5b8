"""Embeddings: the vectors that searches use, for programs of your own."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from localassist._lazy import require
from localassist.types.companion_params import EmbeddingCreateParams
from localassist.types.embedding import CreateEmbeddingResponse, Embedding, EmbeddingUsage

if TYPE_CHECKING:
    from localassist.api.runtime import Runtime


def create_embeddings(
    runtime: Runtime, **params: Unpack[EmbeddingCreateParams]
) -> CreateEmbeddingResponse:
    """Embed texts. Whatever `model` is asked for, it is the local one; longer texts are cut."""
    given = params["input"]
    texts = [given] if isinstance(given, str) else list(given)
    embedder = runtime.retrieval.embedder()
    vectors: Any = embedder.encode(texts)
    if (wanted := params.get("dimensions")) is not None:
        numpy: Any = require("numpy", package="numpy")
        vectors = vectors[:, :wanted]
        vectors = vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    as_text = params.get("encoding_format") == "base64"
    num_tokens = sum(len(embedder.token_starts(text)) for text in texts)
    return CreateEmbeddingResponse(
        data=[
            Embedding(
                index=index,
                embedding=base64.b64encode(vector.astype("<f4").tobytes()).decode()
                if as_text
                else vector.tolist(),
            )
            for index, vector in enumerate(vectors)
        ],
        model=params["model"],
        usage=EmbeddingUsage(prompt_tokens=num_tokens, total_tokens=num_tokens),
    )
