"""Embeddings: vectors of texts."""

from __future__ import annotations

from typing import Literal

from localassist.types._base import Model


class Embedding(Model):
    """A vector: numbers, or the base64 of little-endian float32."""

    embedding: list[float] | str
    index: int
    object: Literal["embedding"] = "embedding"


class EmbeddingUsage(Model):
    """Tokens of the embedding model."""

    prompt_tokens: int
    total_tokens: int


class CreateEmbeddingResponse(Model):
    """The vectors of some texts, in their order."""

    data: list[Embedding]
    model: str
    object: Literal["list"] = "list"
    usage: EmbeddingUsage
