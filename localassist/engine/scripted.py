"""ScriptedBackend: stands in for llama.cpp where the logic is tested, not the model.

It answers by a function from the prompt to the reply, one byte a token, and reads both from the
tokens that its cache really holds: wrong bookkeeping of the cache gives a wrong answer. Users test
their own assistants with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.engine.backend import (
    DecodeAbortedError,
    DecodeError,
    NoRoomError,
    RestoreError,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from localassist.engine.backend import Data, Row
    from localassist.engine.scheduler import Chunk

_BEGIN, _END = 256, 257
_BEGIN_TEXT, _END_TEXT = "<|turn|>", "<|end|>"
_N_VOCAB = 258
CHAT_TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message.role }}\n{{ message.content }}<|end|>"
    "{% endfor %}<|turn|>assistant{{ '\n' }}"
)
_ANSWER = b"assistant\n"


class ScriptedBackend:
    """A backend whose answers are given by `reply`."""

    n_seq_max = 32
    n_batch = 512
    side_ctx = 0
    n_vocab = _N_VOCAB
    max_threads = 1
    fingerprint = "scripted"
    splits_evenly = False
    keeps_awake = False
    chat_template = CHAT_TEMPLATE
    bos_text = eos_text = ""
    adds_bos = False

    def __init__(
        self,
        reply: Callable[[str], str] | None = None,
        *,
        n_ctx: int = 4096,
        gate: threading.Semaphore | None = None,
    ) -> None:
        """Make an empty context.

        Args:
            reply: gets the last user turn and returns the answer; by default it repeats the turn.
            n_ctx: cells.
            gate: acquired once for every batch, so that a test decides when time passes.
        """
        self._np: Any = require("numpy", package="numpy")
        self._reply = reply or (lambda text: f"You said: {text}")
        self._gate = gate
        self.n_ctx = n_ctx
        self.num_computed_tokens = 0
        self._aborted = False
        self._cells: dict[int, list[int]] = {seq_id: [] for seq_id in range(self.n_seq_max)}

    # --- vocabulary ---

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """A token a byte; with `parse_special` the two control tokens as well."""
        if not parse_special:
            return list(text.encode())
        tokens: list[int] = []
        for index, turn in enumerate(text.split(_BEGIN_TEXT)):
            tokens += [_BEGIN] if index else []
            for ended, part in enumerate(turn.split(_END_TEXT)):
                tokens += [_END] if ended else []
                tokens += part.encode()
        return tokens

    def token_bytes(self, token: int) -> bytes:
        """The byte; empty for control tokens."""
        return bytes([token]) if token < _BEGIN else b""

    def is_end(self, token: int) -> bool:
        """Whether it is the end token."""
        return token == _END

    # --- context ---

    def decode(self, chunks: Sequence[Chunk], *, num_rows: int = 0) -> list[list[Row]]:
        """Append the chunks' tokens; the wanted rows point at the scripted answer's next byte."""
        if self._gate is not None:
            self._gate.acquire()
        if self._aborted:
            raise DecodeAbortedError("The step was given up.")
        used = sum(len(cells) for cells in self._cells.values())
        if used + max(num_rows, sum(len(chunk.tokens) for chunk in chunks)) > self.n_ctx:
            raise NoRoomError("The context is full.", code="context_full")
        rows: list[list[Row]] = []
        for chunk in chunks:
            cells = self._cells[chunk.seq_id]
            if len(cells) != chunk.start:
                raise DecodeError(f"{len(cells)} cells, but a chunk starts at {chunk.start}.")
            cells.extend(chunk.tokens)
            self.num_computed_tokens += len(chunk.tokens)
            first = len(cells) - chunk.num_logits + 1
            rows.append([self._row(cells[:end]) for end in range(first, len(cells) + 1)])
        return rows

    def decode_apart(self, chunks: Sequence[Chunk]) -> list[list[Row]]:
        """There is one lane, and nobody is asked to compute beside it."""
        return self.decode(chunks)

    def abort(self) -> None:
        """Have the running `decode`, or the next one, give up."""
        self._aborted = True

    def resume(self) -> None:
        """Take `abort` back."""
        self._aborted = False

    def use_threads(self, num_threads: int) -> None:
        """Nothing is computed with threads."""

    def spin_long(self, *, on: bool) -> None:
        """Nothing is computed with threads."""

    def time_rows(self, num_rows: int) -> float | None:  # noqa: ARG002  # the protocol's
        """There is nothing to be measured."""
        return None

    def time_apart(self) -> float | None:
        """There is one lane."""
        return None

    def save(self, seq_id: int, *, start: int, end: int) -> Data:
        """The cells themselves."""
        tokens = self._np.array([start, *self._cells[seq_id][start:end]], self._np.int32)
        data: Data = tokens.view(self._np.uint8)
        return data

    def restore(self, seq_id: int, data: Data, *, start: int, end: int) -> None:
        """Append saved cells."""
        cells = self._cells[seq_id]
        first, *tokens = data.view(self._np.int32).tolist()
        wanted = tokens[start - first : end - first]
        if len(cells) != start or len(wanted) != end - start:
            raise RestoreError(f"{len(cells)} cells, but what is restored starts at {start}.")
        cells.extend(wanted)

    def _row(self, cells: list[int]) -> Row:
        turn = len(cells) - cells[::-1].index(_BEGIN)
        answered = bytes(cells[turn + len(_ANSWER) :])
        answer = self._reply(_last_user_turn(cells[: turn - 1])).encode()
        token = answer[len(answered)] if len(answered) < len(answer) else _END
        row: Row = self._np.zeros(_N_VOCAB, self._np.float32)
        row[token] = 100.0
        return row

    def truncate(self, seq_id: int, length: int) -> None:
        """Keep the first `length` tokens."""
        del self._cells[seq_id][length:]

    def copy_prefix(self, source_id: int, seq_id: int, length: int) -> None:
        """Copy cells."""
        if self._cells[seq_id]:
            raise DecodeError(f"sequence id {seq_id} is not empty.")
        self._cells[seq_id] = self._cells[source_id][:length]

    def clear(self) -> None:
        """Empty the context."""
        for cells in self._cells.values():
            cells.clear()

    def close(self) -> None:
        """Nothing to free."""


def _last_user_turn(tokens: list[int]) -> str:
    text = ""
    turn: list[int] = []
    for token in tokens:
        if token == _BEGIN:
            turn = []
        elif token == _END:
            role, _, content = bytes(turn).partition(b"\n")
            text = content.decode("utf-8", "replace") if role == b"user" else text
        else:
            turn.append(token)
    return text
