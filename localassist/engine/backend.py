"""Backend: what the engine's loop needs of llama.cpp, and of what stands in for it in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from localassist.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from localassist.engine.scheduler import Chunk


class NoRoomError(ModelError):
    """The context has no free cells for a batch; nothing of it was computed."""


class DecodeError(ModelError):
    """A batch could not be computed."""


class Vocabulary(Protocol):
    """Text to tokens and back. Safe to call from any OS thread."""

    chat_template: str
    bos_text: str
    eos_text: str
    adds_bos: bool

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokens of `text`; with `parse_special`, control tokens' names become control tokens."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """Bytes of a token; empty for control tokens."""
        ...

    def is_end(self, token: int) -> bool:
        """Whether the token ends an answer."""
        ...


class Backend(Vocabulary, Protocol):
    """A model and its context. Apart from the vocabulary, only the engine's loop may call it."""

    n_ctx: int
    n_seq_max: int
    n_batch: int

    def decode(self, chunks: Sequence[Chunk]) -> list[npt.NDArray[np.float32] | None]:
        """Compute the chunks in one batch.

        Returns:
            For each chunk the logits of its last token, shape (n_vocab,), valid until the next
            call, or None where they are not wanted.

        Raises:
            NoRoomError: no free cells; nothing was computed.
            DecodeError: it failed; the context may hold a part of each chunk.
        """
        ...

    def truncate(self, seq_id: int, length: int) -> None:
        """Keep the first `length` tokens of a sequence id."""
        ...

    def copy_prefix(self, source_id: int, seq_id: int, length: int) -> None:
        """Give an empty sequence id the first `length` tokens of another one."""
        ...

    def clear(self) -> None:
        """Empty the whole context."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...
