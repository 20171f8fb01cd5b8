"""Scheduler: which tokens are computed in the next step. Pure bookkeeping.

A step of the engine's loop is `admit`, whose operations prepare the context, and `schedule`, whose
batch is then decoded; `computed` takes note of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localassist.engine.cache_operation import CacheOperation, Restore, Save
from localassist.engine.prefix_cache import PUT_OUT_ROWS, PrefixCache
from localassist.engine.request import EngineStats
from localassist.engine.sequence import Sequence, SequenceStatus
from localassist.engine.step_plan import StepPlan

if TYPE_CHECKING:
    from localassist.engine.stored import Stored

# Room that a new sequence must find for its answer, so that admitting it does not at once push
# another one out.
ANSWER_HEADROOM = 256
# A waiting prompt counts as shorter by this part of what others computed meanwhile, so that a
# long one comes to its turn.
_AGEING = 0.5
# With `deterministic`, prompts are computed in blocks of this many tokens, each for itself.
EXACT_BLOCK = 128


@dataclass(frozen=True)
class Chunk:
    """Tokens of one sequence to be computed in a step, at positions from `start` on.

    The logits of the last `num_logits` tokens are wanted: 0 inside a prompt, 1 at its end and
    while decoding, more when a draft is checked.
    """

    sequence: Sequence
    seq_id: int
    tokens: list[int]
    start: int
    num_logits: int


@dataclass(frozen=True)
class Batch:
    """One step.

    Attributes:
        chunks: what is computed.
        num_prefilled: how many of the tokens belong to prompts.
        num_rows: what the backend has to compute at least, where a larger step costs less.
        apart: its two chunks are computed at once, each with half of the threads.
    """

    chunks: list[Chunk] = field(default_factory=list)
    num_prefilled: int = 0
    num_rows: int = 0
    apart: bool = False

    @property
    def num_tokens(self) -> int:
        """Tokens of all chunks."""
        return sum(len(chunk.tokens) for chunk in self.chunks)


class Scheduler:
    """Admits sequences, hands out steps, makes room. Owned by the engine's loop."""

    def __init__(
        self,
        *,
        n_ctx: int,
        num_slots: int,
        max_running: int,
        n_batch: int,
        plan: StepPlan | None = None,
        stored: Stored | None = None,
        deterministic: bool = False,
        side_ctx: int = 0,
    ) -> None:
        """Make an empty scheduler.

        Args:
            n_ctx: cells of the context, shared by all slots.
            num_slots: sequences whose tokens the context can tell apart.
            max_running: sequences computed at once; the other slots hold prefixes.
            n_batch: most tokens of a step.
            plan: sizes of steps.
            stored: what is hibernated.
            deterministic: one sequence after the other, in a context that holds nothing else.
            side_ctx: tokens of a sequence that can be computed apart.
        """
        self._n_ctx = n_ctx
        self._n_batch = n_batch
        self.side_ctx = side_ctx
        self._deterministic = deterministic
        self._max_running = 1 if deterministic else max_running
        self.plan = plan or StepPlan()
        self._cache = PrefixCache(
            num_slots=1 if deterministic else num_slots,
            n_ctx=n_ctx,
            stored=stored,
            block=EXACT_BLOCK if deterministic else 1,
        )
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._operations: list[CacheOperation] = []
        self._num_prefilled = 0
        self._num_served = 0
        # What the context is believed to hold; the backend may know better.
        self._capacity = n_ctx
        self._waiting_for: str | None = None

    @property
    def idle(self) -> bool:
        """Nothing to do."""
        return not self._waiting and not self._running

    @property
    def sequences(self) -> list[Sequence]:
        """All that are not finished, running ones first."""
        return [*self._running, *self._waiting]

    @property
    def stats(self) -> EngineStats:
        """A picture of now."""
        return EngineStats(
            running=len(self._running),
            waiting=len(self._waiting),
            waiting_for=self._waiting_for if self._waiting else None,
            cells_used=self._cache.cells.num_used,
            cells=self._n_ctx,
        )

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; it must fit the context by itself."""
        sequence.queued_at = self._num_prefilled
        self._waiting.append(sequence)

    def finish(self, sequence: Sequence) -> None:
        """The sequence is done, by itself or by a cancellation; what it computed stays cached."""
        if sequence.status is SequenceStatus.RUNNING:
            self._running.remove(sequence)
            self._cache.release(sequence)
            self._capacity = self._n_ctx
        elif sequence.status is SequenceStatus.WAITING:
            self._waiting.remove(sequence)
        sequence.status = SequenceStatus.FINISHED

    def admit(self) -> list[CacheOperation]:
        """Let waiting sequences run where there is room, and make room for the next step."""
        if not self._running:
            self._capacity = self._n_ctx
        self._put_out()
        num_restored = self._admit() if self._waiting else 0
        self._make_room(num_restored)
        operations, self._operations = self._operations, []
        # What makes room comes before what needs it.
        restores = [each for each in operations if isinstance(each, Restore)]
        others = [each for each in operations if not isinstance(each, Restore)]
        return [*others, *(each for each in restores if each.sequence.slot is not None)]

    def restored(self, sequence: Sequence, end: int) -> int:
        """A Restore was carried out up to the token `end`; returns how many may stay."""
        kept = self._cache.restored(sequence, end)
        self._note_cached(sequence)
        return kept

    def schedule(self) -> Batch:
        """The next step; without chunks if there is nothing to compute."""
        decoding = [sequence for sequence in self._running if sequence.decoding]
        prefilling = [sequence for sequence in self._running if not sequence.decoding]
        if self._deterministic:
            return self._exact_step(decoding or prefilling)
        if not prefilling:
            return self._decoding_step(decoding)
        chunks = [self._chunk(sequence, 1) for sequence in decoding[: self._n_batch]]
        num_rows = len(chunks)
        budget = self.plan.chunk(
            num_rows=num_rows,
            num_pending=sum(sequence.num_pending_tokens for sequence in prefilling),
            limit=self._n_batch - num_rows,
        )
        # Whoever needs least to answer goes first.
        for sequence in sorted(prefilling, key=self._remaining):
            if budget <= 0:
                break
            size = min(budget, sequence.num_pending_tokens)
            chunks.append(self._chunk(sequence, size))
            budget -= size
        num_tokens = sum(len(chunk.tokens) for chunk in chunks)
        # A tile would read the contexts of all its tokens for each of them.
        depth = _depth(chunks[0]) if len(chunks) == 1 else None
        padded = self.plan.padded(num_tokens, depth=depth)
        return Batch(
            chunks,
            num_prefilled=num_tokens - num_rows,
            num_rows=self._if_room(padded, at_least=num_tokens),
        )

    def computed(self, batch: Batch) -> None:
        """The batch was decoded: its tokens are in the context now."""
        for chunk in batch.chunks:
            sequence = chunk.sequence
            assert sequence.slot is not None, "a computed sequence has a slot"
            # A number of its own for each, so that those of one step take turns as well.
            self._num_served += 1
            sequence.last_served = self._num_served
            self._cache.append(sequence.slot, chunk.tokens)
            sequence.num_computed_tokens += len(chunk.tokens)
        self._num_prefilled += batch.num_prefilled

    def rewind(self, sequence: Sequence) -> None:
        """The end of a draft was refused: only what is in `sequence.tokens` stays computed."""
        if sequence.slot is not None:
            length = len(sequence.tokens) - 1
            self._operations += self._cache.rewind(sequence.slot, length)
            sequence.num_computed_tokens = min(sequence.num_computed_tokens, length)

    def relieve(self, batch: Batch) -> bool:
        """The context had no room for `batch`: free some; False if nothing can be freed."""
        # Believe it until a sequence ends: else what is pushed out would come back at once.
        num_rows = max(batch.num_tokens, batch.num_rows)
        self._capacity = min(self._capacity, self._cache.cells.num_used + num_rows - 1)
        if num_rows > batch.num_tokens:  # it may fit without padding
            return True
        freed = self._cache.evict(num_tokens=batch.num_tokens)
        if not freed and len(self._running) > 1:
            freed = self._preempt(self._running[-1])
        self._operations += freed
        return bool(freed)

    def put_out_all(self) -> list[CacheOperation]:
        """Nobody runs, and what comes would be measured beside cells that answers never have."""
        return self._cache.put_out((), num_rows=PUT_OUT_ROWS)

    @property
    def has_unsaved(self) -> bool:
        """Whether `unsaved` has something."""
        return self._cache.has_unsaved

    def unsaved(self) -> Save | None:
        """The next piece of an idle conversation to hibernate."""
        return self._cache.unsaved()

    def reset(self) -> None:
        """Forget everything: the context was cleared after a failure."""
        self._waiting.clear()
        self._running.clear()
        self._operations.clear()
        self._cache.clear()

    # --- steps ---

    def _decoding_step(self, decoding: list[Sequence]) -> Batch:
        """What yields a token at the least cost; least recently served sequences first."""
        if not decoding:
            return Batch()
        decoding.sort(key=lambda sequence: sequence.last_served)
        if len(decoding) == 1 and decoding[0].draft:
            return Batch([self._draft_chunk(decoding[0])])
        curve = self.plan.curve
        most = min(len(decoding), self._n_batch)
        if curve.apart_pays(most) and (pair := self._pair(decoding)):
            return Batch([self._chunk(sequence, 1) for sequence in pair], apart=True)
        size = curve.group(most)
        chunks = [self._chunk(sequence, 1) for sequence in decoding[:size]]
        return Batch(chunks, num_rows=self._if_room(curve.padded(size), at_least=size))

    def _if_room(self, num_rows: int, *, at_least: int) -> int:
        room = min(self._capacity - self._cache.cells.num_used, self._n_batch)
        return num_rows if num_rows <= room else at_least

    def _pair(self, decoding: list[Sequence]) -> list[Sequence]:
        """The first sequence and the next one beside which it can be computed, if there is any."""
        first, *others = decoding
        for other in others:
            shorter = min(first.num_computed_tokens, other.num_computed_tokens)
            if shorter < self.side_ctx:
                return [first, other]
        return []

    def _exact_step(self, running: list[Sequence]) -> Batch:
        if not running:
            return Batch()
        sequence = running[0]
        to_block_end = EXACT_BLOCK - sequence.num_computed_tokens % EXACT_BLOCK
        size = 1 if sequence.decoding else min(to_block_end, sequence.num_pending_tokens)
        prefilled = 0 if sequence.decoding else size
        return Batch([self._chunk(sequence, size)], num_prefilled=prefilled)

    def _remaining(self, sequence: Sequence) -> float:
        waited = self._num_prefilled - sequence.queued_at
        return sequence.num_pending_tokens - _AGEING * waited

    def _chunk(self, sequence: Sequence, size: int) -> Chunk:
        start = sequence.num_computed_tokens
        tokens = sequence.tokens[start : start + size]
        at_end = start + size == len(sequence.tokens)
        return Chunk(sequence, _seq_id(sequence), tokens, start, num_logits=int(at_end))

    def _draft_chunk(self, sequence: Sequence) -> Chunk:
        room = self._n_ctx - self._cache.cells.num_used - 1
        tokens = [sequence.tokens[-1], *sequence.draft[: max(0, min(room, self._n_batch - 1))]]
        start = sequence.num_computed_tokens
        return Chunk(sequence, _seq_id(sequence), tokens, start, num_logits=len(tokens))

    # --- room ---

    def _put_out(self) -> None:
        """Take out of the context what whoever computes would only skip."""
        if self.idle:
            return
        wanted = [sequence.tokens for sequence in self.sequences]
        if self._running:
            self._operations += self._cache.put_out(wanted)
            return
        first = self._waiting[0]
        num_rows = len(first.tokens) - self._cache.longest_prefix(first) + _headroom(first)
        self._operations += self._cache.put_out(wanted, num_rows=num_rows)
        if len(wanted) == 1:
            self._operations += self._cache.gather(first, num_rows=num_rows)

    def _admit(self) -> int:
        """Admit what can be; returns how many cells their restored tokens will take."""
        num_restored = 0
        self._waiting_for = None
        for sequence in list(self._waiting):
            if len(self._running) >= self._max_running:
                self._waiting_for = f"one of the {self._max_running} running answers to end"
                break
            if self._running and not self._has_room(sequence):
                self._waiting_for = "room in the context"
                break
            operations = self._cache.acquire(sequence)
            if operations is None:
                # The next in line may have nothing in common with what this one waits for.
                self._waiting_for = "the same beginning, which is being computed"
                continue
            self._waiting.remove(sequence)
            self._operations += operations
            num_restored += sum(
                each.end - each.start for each in operations if isinstance(each, Restore)
            )
            self._note_cached(sequence)
            sequence.status = SequenceStatus.RUNNING
            self._running.append(sequence)
        return num_restored

    def _note_cached(self, sequence: Sequence) -> None:
        # A sequence that was pushed out and comes back has been told of already.
        if sequence.num_generated_tokens == 0 and not sequence.was_preempted:
            sequence.num_cached_tokens = sequence.num_computed_tokens

    def _has_room(self, newcomer: Sequence) -> bool:
        promised = sum(other.num_pending_tokens + _headroom(other) for other in self._running)
        needed = len(newcomer.tokens) - self._cache.running_prefix(newcomer) + _headroom(newcomer)
        return self._cache.cells.num_pinned + promised + needed <= self._capacity

    def _make_room(self, num_restored: int) -> None:
        """Evict idle slots, then the youngest sequences, until this step's tokens fit."""
        while True:
            cells = self._cache.cells
            pending = sum(
                min(sequence.num_pending_tokens + len(sequence.draft), self._n_batch)
                for sequence in self._running
            )
            missing = cells.num_used + num_restored + min(pending, self._n_batch) - self._capacity
            if missing <= 0:
                return
            freed = self._cache.evict(num_tokens=missing)
            if not freed:
                if len(self._running) <= 1:
                    return
                freed = self._preempt(self._running[-1])
            self._operations += freed

    def _preempt(self, sequence: Sequence) -> list[CacheOperation]:
        self._running.remove(sequence)
        sequence.status = SequenceStatus.WAITING
        sequence.was_preempted = True
        self._waiting.appendleft(sequence)
        return self._cache.drop(sequence)


def _headroom(sequence: Sequence) -> int:
    left = sequence.max_tokens - sequence.num_generated_tokens
    return min(ANSWER_HEADROOM, left)


def _depth(chunk: Chunk) -> float:
    """How many tokens come before one of the chunk's, on average."""
    return chunk.start + len(chunk.tokens) / 2


def _seq_id(sequence: Sequence) -> int:
    assert sequence.slot is not None, "a running sequence has a slot"
    return sequence.slot.seq_id
