"""PrefixCache: which tokens have their keys and values in which slot of the context.

Pure bookkeeping: it decides, and says what the backend has to do. A slot is a llama.cpp sequence
id; `slot.tokens` is exactly what the context holds for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence as Tokens

    from localassist.engine.sequence import Sequence

MIN_COPY_TOKENS = 16  # below that, copying costs more than it saves


@dataclass(eq=False)
class Slot:
    """A sequence id of the context and the tokens that it holds."""

    seq_id: int
    tokens: list[int] = field(default_factory=list)
    owner: Sequence | None = None
    last_used: int = 0


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


CacheOperation = Truncate | CopyPrefix


def common_prefix(a: Tokens[int], b: Tokens[int]) -> int:
    """Length of the longest common prefix; by slices, as they compare at C speed."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


class PrefixCache:
    """The slots of one context."""

    def __init__(self, *, num_slots: int) -> None:
        self.slots = [Slot(seq_id) for seq_id in range(num_slots)]
        self._clock = 0

    @property
    def num_tokens(self) -> int:
        """Cells in use; a copied prefix is counted for every slot, so this is an upper bound."""
        return sum(len(slot.tokens) for slot in self.slots)

    def acquire(self, sequence: Sequence) -> list[CacheOperation] | None:
        """Give `sequence` the slot that saves it most; None while all are taken.

        Sets its slot and number of computed tokens. The last token is always computed, since
        its logits are wanted.
        """
        free = [slot for slot in self.slots if slot.owner is None]
        if not free:
            return None
        usable = sequence.tokens[:-1]
        own = max(free, key=lambda slot: common_prefix(slot.tokens, usable))
        length = common_prefix(own.tokens, usable)
        operations: list[CacheOperation] = []
        # A short match must not cost another conversation its cache: continue a slot in place
        # only if most of it is kept.
        if length and 2 * length >= len(own.tokens):
            slot = own
            if length < len(slot.tokens):
                operations.append(Truncate(slot.seq_id, length))
        else:
            source = max(self.slots, key=lambda slot: common_prefix(slot.tokens, usable))
            length = common_prefix(source.tokens, usable)
            length = length if length >= MIN_COPY_TOKENS else 0
            slot = min(
                (slot for slot in free if slot is not source or len(free) == 1),
                key=lambda slot: (bool(slot.tokens), slot.last_used),
            )
            if slot is source:
                operations.append(Truncate(slot.seq_id, length))
            else:
                if slot.tokens:
                    operations.append(Truncate(slot.seq_id, 0))
                if length:
                    operations.append(CopyPrefix(source.seq_id, slot.seq_id, length))
        slot.tokens = usable[:length]
        slot.owner = sequence
        sequence.slot = slot
        sequence.num_computed_tokens = length
        return operations

    def release(self, sequence: Sequence) -> None:
        """The sequence is done; its tokens stay for whoever continues them."""
        slot = sequence.slot
        if slot is not None:
            self._clock += 1
            slot.owner, slot.last_used, sequence.slot = None, self._clock, None

    def drop(self, sequence: Sequence) -> list[CacheOperation]:
        """Take the slot from a running sequence, which has to be computed again later."""
        slot = sequence.slot
        if slot is None:
            return []
        self.release(sequence)
        slot.tokens = []
        sequence.num_computed_tokens = 0
        return [Truncate(slot.seq_id, 0)]

    def evict(self, *, num_tokens: int) -> list[CacheOperation]:
        """Empty idle slots, least recently used first, until `num_tokens` cells are freed."""
        operations: list[CacheOperation] = []
        freed = 0
        for slot in sorted(self.slots, key=lambda slot: slot.last_used):
            if freed >= num_tokens:
                break
            if slot.owner is None and slot.tokens:
                freed += len(slot.tokens)
                slot.tokens = []
                operations.append(Truncate(slot.seq_id, 0))
        return operations
