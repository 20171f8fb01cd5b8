"""Scheduler: which tokens are computed in the next step. Pure bookkeeping."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from localassist.engine.prefix_cache import CacheOperation, PrefixCache
from localassist.engine.sequence import Sequence, SequenceStatus

# On a CPU, chunks down to 64 tokens cost a few percent; a long one would keep running answers
# and a cancellation waiting for seconds.
PREFILL_CHUNK = 128
PREFILL_CHUNK_BESIDE_DECODE = 64
# Room that a new sequence must find for its answer, so that admitting it does not at once push
# another one out.
ANSWER_HEADROOM = 256


@dataclass(frozen=True)
class Chunk:
    """Tokens of one sequence to be computed in a step, at positions from `start` on."""

    sequence: Sequence
    seq_id: int
    tokens: list[int]
    start: int
    wants_logits: bool


@dataclass(frozen=True)
class Batch:
    """One step: cache operations first, then all chunks in one decode."""

    operations: list[CacheOperation] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)


class Scheduler:
    """Admits sequences, hands out steps, makes room. Owned by the engine's loop."""

    def __init__(self, *, n_ctx: int, num_slots: int, max_running: int, n_batch: int) -> None:
        """Make an empty scheduler.

        Args:
            n_ctx: cells of the context, shared by all slots.
            num_slots: sequences whose tokens the context can tell apart.
            max_running: sequences computed at once; the other slots hold prefixes.
            n_batch: most tokens of a step.
        """
        self._n_ctx = n_ctx
        self._n_batch = n_batch
        self._max_running = max_running
        self._cache = PrefixCache(num_slots=num_slots)
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._operations: list[CacheOperation] = []

    @property
    def idle(self) -> bool:
        """Nothing to do."""
        return not self._waiting and not self._running

    @property
    def sequences(self) -> list[Sequence]:
        """All that are not finished, running ones first."""
        return [*self._running, *self._waiting]

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; it must fit the context by itself."""
        self._waiting.append(sequence)

    def finish(self, sequence: Sequence) -> None:
        """The sequence is done, by itself or by a cancellation; what it computed stays cached."""
        if sequence.status is SequenceStatus.RUNNING:
            self._running.remove(sequence)
            self._cache.release(sequence)
        elif sequence.status is SequenceStatus.WAITING:
            self._waiting.remove(sequence)
        sequence.status = SequenceStatus.FINISHED

    def schedule(self) -> Batch:
        """The next step; without chunks if there is nothing to compute."""
        self._admit()
        self._make_room()
        decoding = [sequence for sequence in self._running if sequence.decoding]
        prefilling = [sequence for sequence in self._running if not sequence.decoding]
        chunks = [self._chunk(sequence, 1) for sequence in decoding[: self._n_batch]]
        budget = PREFILL_CHUNK_BESIDE_DECODE if decoding else PREFILL_CHUNK
        budget = min(budget, self._n_batch - len(chunks))
        # Whoever needs least to answer goes first.
        for sequence in sorted(prefilling, key=lambda sequence: sequence.num_pending_tokens):
            if budget <= 0:
                break
            size = min(budget, sequence.num_pending_tokens)
            chunks.append(self._chunk(sequence, size))
            budget -= size
        operations, self._operations = self._operations, []
        return Batch(operations=operations, chunks=chunks)

    def computed(self, batch: Batch) -> None:
        """The batch was decoded: its tokens are in the context now."""
        for chunk in batch.chunks:
            sequence = chunk.sequence
            if sequence.slot is not None:
                sequence.slot.tokens.extend(chunk.tokens)
                sequence.num_computed_tokens += len(chunk.tokens)

    def relieve(self, batch: Batch) -> bool:
        """The context had no room for `batch`: free some; False if nothing can be freed."""
        wanted = sum(len(chunk.tokens) for chunk in batch.chunks)
        freed = self._cache.evict(num_tokens=wanted)
        if not freed and len(self._running) > 1:
            freed = self._preempt(self._running[-1])
        self._operations += freed
        return bool(freed)

    def reset(self) -> None:
        """Forget everything: the context was cleared after a failure."""
        self._waiting.clear()
        self._running.clear()
        self._operations.clear()
        self._cache = PrefixCache(num_slots=len(self._cache.slots))

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self._max_running:
            sequence = self._waiting[0]
            needed = len(sequence.tokens) + min(ANSWER_HEADROOM, sequence.max_tokens)
            promised = sum(len(other.tokens) + ANSWER_HEADROOM for other in self._running)
            if self._running and promised + needed > self._n_ctx:
                return
            operations = self._cache.acquire(sequence)
            if operations is None:
                return
            self._waiting.popleft()
            self._operations += operations
            if sequence.num_cached_tokens is None:
                sequence.num_cached_tokens = sequence.num_computed_tokens
            sequence.status = SequenceStatus.RUNNING
            self._running.append(sequence)

    def _make_room(self) -> None:
        """Evict idle slots, then the youngest sequences, until this step's tokens fit."""
        while True:
            pending = sum(
                min(sequence.num_pending_tokens, PREFILL_CHUNK) for sequence in self._running
            )
            missing = self._cache.num_tokens + pending - self._n_ctx
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
        self._waiting.appendleft(sequence)
        return self._cache.drop(sequence)

    def _chunk(self, sequence: Sequence, size: int) -> Chunk:
        slot = sequence.slot
        assert slot is not None, "a running sequence has a slot"
        start = sequence.num_computed_tokens
        tokens = sequence.tokens[start : start + size]
        return Chunk(
            sequence=sequence,
            seq_id=slot.seq_id,
            tokens=tokens,
            start=start,
            wants_logits=start + size == len(sequence.tokens),
        )
