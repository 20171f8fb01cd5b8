"""PrefixCache: which tokens have their keys and values in which slot of the context.

Pure bookkeeping: it decides, and says what the backend has to do. A slot is a llama.cpp sequence
id; `slot.tokens` is exactly what the context holds for it. What has been hibernated is found
through `Stored`, which knows no context.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localassist.engine.cache_operation import CopyPrefix, Restore, Save, Truncate
from localassist.engine.cells import Cells
from localassist.engine.stored import NothingStored

if TYPE_CHECKING:
    from collections.abc import Sequence as Tokens

    from localassist.engine.cache_operation import CacheOperation
    from localassist.engine.sequence import Sequence
    from localassist.engine.stored import Stored

MIN_COPY_TOKENS = 16  # below that, copying costs more than it saves
MIN_RESTORE_TOKENS = 32
# A sequence waits for a prefix that another one is just computing if it saves this much.
MIN_AWAITED_TOKENS = 16
# Bounds how long a save keeps running answers waiting: about 5 ms.
MAX_SAVED_TOKENS = 512
MIN_SAVED_TOKENS = 16
# A cell that others' rows skip so often has cost them as much as its token takes to restore: 3 to
# 40 times from memory (benchmarks/idle_cells.py); from disk the 0.5B's take 10 us, not 3.
PUT_OUT_ROWS = 32


@dataclass(eq=False)
class Slot:
    """A sequence id of the context and the tokens that it holds.

    Attributes:
        seq_id: llama.cpp's number.
        tokens: what is there.
        cells: where; labels of the bookkeeping.
        owner: the running sequence that computes on it.
        num_saved: how many of the tokens are hibernated as well.
        was_mended: what turned out not to be hibernated was marked so since it was released.
        num_shared: the longest prefix that was ever copied from or to it.
        num_exact: tokens that were computed in whole aligned blocks; see `block`.
        last_used: a count that grows with every release.
        idle_since: rows of all slots that had been computed when its sequence ended, or when it was
            last looked at and stayed.
    """

    seq_id: int
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    owner: Sequence | None = None
    num_saved: int = 0
    was_mended: bool = False
    num_shared: int = 0
    num_exact: int = 0
    last_used: int = 0
    idle_since: int = 0


def common_prefix(a: Tokens[object], b: Tokens[object]) -> int:
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


@dataclass(frozen=True)
class _Source:
    """Where a sequence's beginning can be had."""

    slot: Slot | None
    live: int
    stored: int


class PrefixCache:
    """The slots of one context."""

    def __init__(
        self, *, num_slots: int, n_ctx: int, stored: Stored | None = None, block: int = 1
    ) -> None:
        """Make empty slots.

        Args:
            num_slots: sequence ids.
            n_ctx: cells that they share.
            stored: what is hibernated.
            block: only prefixes of whole blocks of so many tokens are used again, and only where
                each block was computed as one; 1 uses everything.
        """
        self.slots = [Slot(seq_id) for seq_id in range(num_slots)]
        self.cells = Cells(n_ctx)
        self._stored = stored or NothingStored()
        self._block = block
        self._clock = 0
        self._num_rows = 0

    def acquire(self, sequence: Sequence) -> list[CacheOperation] | None:
        """Give `sequence` the slot that saves it most.

        None while all slots are taken, or while it is better to wait for what another sequence is
        just computing. Sets its slot and number of computed tokens. The last token is always
        computed, since its logits are wanted.
        """
        free = [slot for slot in self.slots if slot.owner is None]
        if not free:
            return None
        usable = sequence.tokens[:-1]
        source = self._source(usable)
        if self._worth_waiting(usable, max(source.live, source.stored)):
            return None
        operations: list[CacheOperation] = []
        slot = self._place(source, free, operations)
        self._begin(slot, sequence, usable[: source.live])
        start = len(slot.tokens)
        if source.stored >= start + MIN_RESTORE_TOKENS:
            operations.append(Restore(sequence, slot.seq_id, start, source.stored))
        return operations

    def running_prefix(self, sequence: Sequence) -> int:
        """How many of the sequence's tokens will share the cells of a running one."""
        lengths = (common_prefix(slot.tokens, sequence.tokens) for slot in self.slots if slot.owner)
        return max(lengths, default=0)

    def clear(self) -> None:
        """The context was emptied."""
        self.slots = [Slot(slot.seq_id) for slot in self.slots]
        self.cells = Cells(self.cells.capacity)

    def restored(self, sequence: Sequence, end: int) -> int:
        """A Restore was carried out: the slot holds the sequence's first `end` tokens.

        Returns:
            How many of them may stay: whole blocks.
        """
        end = max(sequence.num_computed_tokens, self._whole(end))
        slot = sequence.slot
        assert slot is not None, "a running sequence has a slot"
        added = sequence.tokens[sequence.num_computed_tokens : end]
        self._extend(slot, added)
        slot.num_saved = slot.num_exact = len(slot.tokens)
        sequence.num_computed_tokens = len(slot.tokens)
        return end

    def append(self, slot: Slot, tokens: Tokens[int]) -> None:
        """The tokens were computed at the end of a running sequence's slot."""
        self._num_rows += len(tokens)
        self._extend(slot, tokens)

    def _extend(self, slot: Slot, tokens: Tokens[int]) -> None:
        start = len(slot.tokens)
        slot.tokens.extend(tokens)
        slot.cells.extend(self.cells.take(len(tokens)))
        whole = len(tokens) == self._block or self._block == 1
        if whole and slot.num_exact == start and start % self._block == 0:
            slot.num_exact = len(slot.tokens)

    def rewind(self, slot: Slot, length: int) -> list[CacheOperation]:
        """A running sequence takes back what it computed beyond `length`."""
        if length >= len(slot.tokens):
            return []
        dropped = slot.cells[length:]
        self.cells.unpin(dropped)
        self._cut(slot, length)
        return [Truncate(slot.seq_id, length)]

    def release(self, sequence: Sequence) -> None:
        """The sequence is done; its tokens stay for whoever continues them."""
        slot = sequence.slot
        if slot is not None:
            self._clock += 1
            self.cells.unpin(slot.cells)
            slot.owner, slot.last_used, sequence.slot = None, self._clock, None
            slot.was_mended = False
            slot.idle_since = self._num_rows

    def drop(self, sequence: Sequence) -> list[CacheOperation]:
        """Take the slot from a running sequence, which has to go on from the store later."""
        slot = sequence.slot
        if slot is None:
            return []
        self.release(sequence)
        sequence.num_computed_tokens = 0
        return self._evict_to(slot, 0)

    def evict(self, *, num_tokens: int) -> list[CacheOperation]:
        """Free up to `num_tokens` cells of idle slots, what can least be shared first.

        That is the end of a conversation, beyond what it has in common with another one; then the
        rest of it; each time the least recently used first.
        """
        operations: list[CacheOperation] = []
        enough = self.cells.num_used - num_tokens
        idle = sorted(
            (slot for slot in self.slots if slot.owner is None and slot.tokens),
            key=lambda slot: slot.last_used,
        )
        for keep_shared in (True, False):
            for slot in idle:
                if self.cells.num_used <= enough:
                    return operations
                length = slot.num_shared if keep_shared else 0
                if length < len(slot.tokens):
                    operations += self._evict_to(slot, length)
        return operations

    def put_out(self, wanted: Tokens[list[int]], *, num_rows: int = 0) -> list[CacheOperation]:
        """Take idle conversations out of the context that cost more there than to bring back.

        Attention skips the cells of others one by one, for each row in each head and layer: beside
        seven idle conversations of 1,000 tokens eight rows took a third to a half longer. Only what
        is hibernated goes.

        Args:
            wanted: tokens of the sequences that run and wait; what they begin with stays.
            num_rows: how many rows are about to be computed, where nobody ran before.
        """
        operations: list[CacheOperation] = []
        for slot in self.slots:
            if self._num_rows + num_rows - slot.idle_since < PUT_OUT_ROWS or not self._rests(slot):
                continue
            slot.idle_since = self._num_rows
            length = max((common_prefix(slot.tokens, tokens) for tokens in wanted), default=0)
            missed = len(slot.tokens) - length
            if missed >= MIN_RESTORE_TOKENS and self._is_at_hand(slot):
                if slot.num_saved < len(slot.tokens):
                    operations.append(Save(slot.seq_id, slot.tokens[:], slot.num_saved))
                    slot.num_saved = len(slot.tokens)
                operations += self._evict_to(slot, length)
        return operations

    def gather(self, sequence: Sequence, *, num_rows: int) -> list[CacheOperation]:
        """Have what a sequence continues restored, if it lies far behind free cells.

        Attention goes over all cells up to the last one that anybody holds, free ones as well. Of
        use while nobody runs: what is restored takes the first free cells.

        Args:
            sequence: which; it does not run yet.
            num_rows: how many rows it will compute.
        """
        usable = sequence.tokens[:-1]
        slot = max(self.slots, key=lambda slot: common_prefix(slot.tokens, usable))
        live = common_prefix(slot.tokens, usable)
        continued = live >= MIN_RESTORE_TOKENS and 2 * live >= len(slot.tokens)
        if not continued or not self._rests(slot) or slot.num_saved < len(slot.tokens):
            return []
        gain = self.cells.gain_of_moving(slot.cells)
        if gain * num_rows < len(slot.tokens) * PUT_OUT_ROWS:
            return []
        return self._evict_to(slot, 0) if self._is_at_hand(slot) else []

    def longest_prefix(self, sequence: Sequence) -> int:
        """How many of a sequence's first tokens the context holds."""
        return max(common_prefix(slot.tokens, sequence.tokens) for slot in self.slots)

    def _rests(self, slot: Slot) -> bool:
        """Whether an idle slot is hibernated, but for a few tokens."""
        num_unsaved = len(slot.tokens) - slot.num_saved
        few = slot.num_saved > 0 and num_unsaved < MIN_SAVED_TOKENS
        return slot.owner is None and few and self._block == 1

    def _is_at_hand(self, slot: Slot) -> bool:
        """Whether all that was saved of a slot is still there; what is not is saved once more."""
        length = self._stored.at_hand(slot.tokens[: slot.num_saved])
        if length == slot.num_saved:
            return True
        if not slot.was_mended:  # a budget may be too small for it
            slot.was_mended, slot.num_saved = True, length
        return False

    @property
    def has_unsaved(self) -> bool:
        """Whether `unsaved` has something."""
        # Asked at every step, while most slots are empty or saved.
        return any(
            len(slot.tokens) > slot.num_saved and slot.owner is None and self._num_unsaved(slot) > 0
            for slot in self.slots
        )

    def unsaved(self) -> Save | None:
        """The next piece of an idle conversation that is worth hibernating, newest first."""
        for slot in sorted(self.slots, key=lambda slot: -slot.last_used):
            if slot.owner is None and (save := self._next_save(slot)) is not None:
                return save
        return None

    # --- acquiring ---

    def _source(self, usable: list[int]) -> _Source:
        lengths = [(self._reusable(slot, usable), slot) for slot in self.slots]
        live, slot = max(lengths, key=lambda found: found[0])
        stored = self._whole(self._stored.match(usable))
        return _Source(slot if live else None, live, stored)

    def _reusable(self, slot: Slot, usable: list[int]) -> int:
        length = common_prefix(slot.tokens, usable)
        return length if self._block == 1 else self._whole(min(length, slot.num_exact))

    def _whole(self, length: int) -> int:
        return length // self._block * self._block

    def _worth_waiting(self, usable: list[int], already: int) -> bool:
        """Whether a running prefill will soon have much more of these tokens than there is now."""
        for slot in self.slots:
            other = slot.owner
            if other is not None and other.num_pending_tokens > 1:
                common = common_prefix(other.tokens, usable)
                if common >= max(already, len(slot.tokens)) + MIN_AWAITED_TOKENS:
                    return True
        return False

    def _place(self, source: _Source, free: list[Slot], operations: list[CacheOperation]) -> Slot:
        """A free slot, made to hold the first `source.live` tokens."""
        own = source.slot
        # A short match must not cost another conversation its cache: continue a slot in place
        # only if most of it is kept.
        in_place = own is not None and own.owner is None and 2 * source.live >= len(own.tokens)
        if own is not None and (in_place or (len(free) == 1 and free[0] is own)):
            operations += self._evict_to(own, source.live)
            return own
        slot = min(
            (slot for slot in free if slot is not own),
            key=lambda slot: (bool(slot.tokens), slot.last_used),
        )
        operations += self._evict_to(slot, 0)
        if own is not None and source.live >= MIN_COPY_TOKENS:
            operations.append(CopyPrefix(own.seq_id, slot.seq_id, source.live))
            self._share(own, slot, source.live)
        return slot

    def _share(self, source: Slot, slot: Slot, length: int) -> None:
        slot.tokens, slot.cells = source.tokens[:length], source.cells[:length]
        self.cells.share(slot.cells)
        slot.num_saved = min(length, source.num_saved)
        slot.num_exact = min(length, source.num_exact)
        slot.num_shared = length
        source.num_shared = max(source.num_shared, length)

    def _begin(self, slot: Slot, sequence: Sequence, expected: list[int]) -> None:
        # A match too short to be copied leaves the slot empty.
        assert slot.tokens in (expected, []), "the slot holds what was found"
        self.cells.pin(slot.cells)
        slot.owner, sequence.slot = sequence, slot
        sequence.num_computed_tokens = len(slot.tokens)

    # --- giving up ---

    def _evict_to(self, slot: Slot, length: int) -> list[CacheOperation]:
        """Shorten an idle slot; all of it is hibernated before, unless a few tokens are dropped."""
        if length >= len(slot.tokens):
            return []
        operations: list[CacheOperation] = []
        if len(slot.tokens) - max(length, slot.num_saved) >= MIN_SAVED_TOKENS:
            while (save := self._next_save(slot)) is not None:
                operations.append(save)
        self._cut(slot, length)
        return [*operations, Truncate(slot.seq_id, length)]

    def _num_unsaved(self, slot: Slot) -> int:
        """Tokens that are worth saving; 0 if they are too few."""
        if isinstance(self._stored, NothingStored):
            return 0
        count = self._whole(slot.num_exact) - slot.num_saved
        return count if count >= MIN_SAVED_TOKENS else 0

    def _next_save(self, slot: Slot) -> Save | None:
        count = self._num_unsaved(slot)
        if not count:
            return None
        start = slot.num_saved
        # A few that would be left could never be saved by themselves.
        whole = count < MAX_SAVED_TOKENS + MIN_SAVED_TOKENS
        slot.num_saved += count if whole else MAX_SAVED_TOKENS
        return Save(slot.seq_id, slot.tokens[: slot.num_saved], start)

    def _cut(self, slot: Slot, length: int) -> None:
        self.cells.drop(slot.cells[length:])
        del slot.tokens[length:], slot.cells[length:]
        slot.num_saved = min(slot.num_saved, length)
        slot.num_shared = min(slot.num_shared, length)
        slot.num_exact = min(slot.num_exact, length)
