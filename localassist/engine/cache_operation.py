"""CacheOperation: what the prefix cache tells the backend or the store to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localassist.engine.sequence import Sequence


@dataclass(frozen=True)
class Truncate:
    """Tell the backend to keep the first `length` tokens of a slot."""

    seq_id: int
    length: int


@dataclass(frozen=True)
class CopyPrefix:
    """Tell the backend to give an empty slot the first `length` tokens of another one."""

    source_id: int
    seq_id: int
    length: int


@dataclass(frozen=True)
class Restore:
    """Tell the backend to append the hibernated tokens from `start` to `end` to a sequence's slot.

    It may turn out that fewer can be had.
    """

    sequence: Sequence
    seq_id: int
    start: int
    end: int


@dataclass(frozen=True)
class Save:
    """Tell the store to hibernate tokens `start` to `len(tokens)` of a slot that holds `tokens`."""

    seq_id: int
    tokens: list[int]
    start: int


CacheOperation = Truncate | CopyPrefix | Restore | Save
