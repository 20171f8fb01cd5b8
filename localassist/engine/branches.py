"""Branches: what else a model might have said where it said something, kept for a later look.

Once calls are written, one asks how likely it was that they ended, or went on with something else.
The logits were there when the token was chosen. To compute them again takes more than a token does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.engine.backend import Row

_MOST_BYTES = 32 << 20  # 55 rows of a vocabulary of 152,000
_REFERENCE_BYTES = 8


class Branches:
    """The last rows of logits that were noted. Owned by the engine's loop."""

    def __init__(self, *, most_bytes: int = _MOST_BYTES) -> None:
        """Know nothing yet; keep so many bytes at most."""
        self._most_bytes = most_bytes
        self._num_bytes = 0
        self._rows: dict[tuple[int, ...], Row] = {}  # oldest first

    def note(self, tokens: Sequence[int], row: Row) -> None:
        """Keep a copy of the logits, shape (n_vocab,), behind a prompt and its answer so far."""
        key = tuple(tokens)
        self._drop(key)
        self._rows[key] = row.copy()
        self._num_bytes += _size(key, row)
        while self._num_bytes > self._most_bytes:
            self._drop(next(iter(self._rows)))

    def behind(self, tokens: Sequence[int]) -> Row | None:
        """The logits behind exactly these tokens, if they are kept."""
        return self._rows.get(tuple(tokens))

    def _drop(self, key: tuple[int, ...]) -> None:
        row = self._rows.pop(key, None)
        if row is not None:
            self._num_bytes -= _size(key, row)


def _size(key: tuple[int, ...], row: Row) -> int:
    return row.nbytes + _REFERENCE_BYTES * len(key)
