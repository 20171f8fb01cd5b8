"""Backend: what the engine's loop needs of llama.cpp, and of what stands in for it in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from localassist.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from localassist.engine.scheduler import Chunk

    Row = npt.NDArray[np.float32]
    Data = npt.NDArray[np.uint8]


class NoRoomError(ModelError):
    """The context has no free cells for a batch; nothing of it was computed."""


class DecodeError(ModelError):
    """A batch could not be computed."""


class DecodeAbortedError(ModelError):
    """`abort` was called; the context may hold a part of each chunk."""


class RestoreError(ModelError):
    """Saved keys and values do not fit this context; nothing of them is in it."""


class Vocabulary(Protocol):
    """Text to tokens and back. Safe to call from any OS thread."""

    chat_template: str
    bos_text: str
    eos_text: str
    adds_bos: bool
    n_vocab: int

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokens of `text`; with `parse_special`, control tokens' names become control tokens."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """Bytes of a token; empty for control tokens."""
        ...

    def is_end(self, token: int) -> bool:
        """Whether the token ends an answer."""
        ...


class Context(Protocol):
    """Keys and values of several sequences. It belongs to one OS thread at a time.

    Attributes:
        n_ctx: cells, shared by all sequence ids.
    """

    n_ctx: int

    def decode(self, chunks: Sequence[Chunk], *, num_rows: int = 0) -> list[list[Row]]:
        """Compute the chunks in one batch, which is filled up to `num_rows` tokens.

        Returns:
            For each chunk the logits of its last `num_logits` tokens, each of shape (n_vocab,),
            valid until the next call.

        Raises:
            NoRoomError: no free cells; nothing was computed.
            DecodeAbortedError: `abort` was called.
            DecodeError: it failed; the context may hold a part of each chunk.
        """
        ...

    def use_threads(self, num_threads: int) -> None:
        """Continue answers with so many CPU threads from now on; prompts may take them all."""
        ...

    def time_rows(self, num_rows: int) -> float | None:
        """Seconds of a step of `num_rows` tokens; None without room for it, or if aborted."""
        ...

    def truncate(self, seq_id: int, length: int) -> None:
        """Keep the first `length` tokens of a sequence id."""
        ...

    def copy_prefix(self, source_id: int, seq_id: int, length: int) -> None:
        """Give an empty sequence id the first `length` tokens of another one.

        Raises:
            NoRoomError: they have to be brought together first, and there are no free cells.
        """
        ...

    def save(self, seq_id: int, *, start: int, end: int) -> Data:
        """Keys and values of the tokens `start` to `end` of a sequence id."""
        ...

    def restore(self, seq_id: int, data: Data, *, start: int, end: int) -> None:
        """Append the tokens at positions `start` to `end` out of what `save` returned.

        Raises:
            RestoreError: there is no room, or `data` is not of this context.
        """
        ...

    def clear(self) -> None:
        """Empty the whole context."""
        ...

    def close(self) -> None:
        """Free its memory."""
        ...


class Backend(Context, Vocabulary, Protocol):
    """A model and its context. Only the engine's loop may call more than vocabulary and `abort`.

    Attributes:
        n_seq_max: sequence ids that may be used, from 0 on.
        n_batch: most tokens of a step.
        max_threads: CPU threads that it may use.
        fingerprint: of the weights, the build and the layout of keys and values.
        splits_evenly: whether threads take equal parts of a matrix; changes times, not values.
        keeps_awake: whether a step keeps all of its threads on a core from its beginning to its
            end, so that CPU time which is missing is what other programs had.
    """

    n_seq_max: int
    n_batch: int
    max_threads: int
    fingerprint: str
    splits_evenly: bool
    keeps_awake: bool

    def decode_apart(self, chunks: Sequence[Chunk]) -> list[list[Row]]:
        """Compute two chunks of a token at once, each with its share of the CPU threads.

        One of them must end within the first `side_ctx` tokens. Returns and raises as `decode`.
        """
        ...

    @property
    def side_ctx(self) -> int:
        """Tokens of a sequence that can be computed apart; 0 if none can."""
        ...

    def time_apart(self) -> float | None:
        """Seconds of a row in each lane at once; None if nothing can be, or it was aborted."""
        ...

    def spin_long(self, *, on: bool) -> None:
        """Keep CPU threads awake while they wait for one another, until this is taken back.

        It pays as long as no other program wants their cores. Another model of the process may
        have all threads spin shortly nevertheless.
        """
        ...

    def abort(self) -> None:
        """Have the running `decode`, or the next one, give up soon; from any OS thread."""
        ...

    def resume(self) -> None:
        """Take `abort` back."""
        ...
