"""Lanes: a second context beside the first, in which a row is computed at the same time.

llama.cpp's threads wait for one another after every matrix, and where they take it by turns they
read it slower than one reads it from end to end: two cores decode an answer only 1.2 to 1.8 times
as fast as one does. Two answers, each by itself on half the cores, are read for undisturbed:
together they take 1.2 to 1.6 times the tokens a second.

To its owner this is one context. What one lane has computed is copied to the other when it is
needed there: 0.06 ms for a token, 2 to 5 ms for a thousand.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, TypeVar

from localassist.engine.backend import NoRoomError, RestoreError
from localassist.engine.worker_thread import WorkerThread
from localassist.errors import ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localassist.engine.backend import Context, Data, Row
    from localassist.engine.scheduler import Chunk

T = TypeVar("T")
log = logging.getLogger("localassist.engine")

# From so many rows on, those of a prompt take all threads: 5 to 46 % less time than with one of two
# on a quiet machine, and the same beside a busy program (135M: up to 12 % more).
_MANY_ROWS = 8
_COPIED_TOKENS = 512  # at once, which bounds the memory that a copy takes


class Lanes:
    """The main lane, which can hold everything, and the side lane. Owned by one OS thread.

    Of each sequence id both hold a beginning, and the longer one is all of it.

    Attributes:
        side_ctx: cells of the side lane; 0 without one, also where it turned out to be unusable.
    """

    def __init__(
        self, main: Context, *, num_threads: int, make_side: Callable[[], Context] | None = None,
        side_ctx: int = 0,
    ) -> None:  # fmt: skip
        """Put them side by side.

        Args:
            main: an empty context.
            num_threads: CPU threads, all in all.
            make_side: makes the side lane when it is needed first.
            side_ctx: how many cells that will have.
        """
        self._main = main
        self._side: Context | None = None
        self._make_side = make_side
        self.side_ctx = side_ctx if make_side is not None and num_threads > 1 else 0
        self._most_threads = self._num_threads = num_threads
        self._main_threads = 0
        self._main_length: dict[int, int] = {}
        self._side_length: dict[int, int] = {}  # least recently used first
        self._side_worker: WorkerThread | None = None

    # --- computing ---

    def decode(self, chunks: Sequence[Chunk], *, num_rows: int = 0) -> list[list[Row]]:
        """Compute the chunks in one batch in the main lane; see Backend."""
        for chunk in chunks:
            self._bring_back(chunk.seq_id, chunk.start)
        reads = _reads_prompt(chunks, num_rows=num_rows)
        self._use_main_threads(self._most_threads if reads else self._num_threads)
        rows = self._main.decode(chunks, num_rows=num_rows)
        for chunk in chunks:
            self._main_length[chunk.seq_id] = chunk.start + len(chunk.tokens)
        return rows

    def decode_apart(self, chunks: Sequence[Chunk]) -> list[list[Row]]:
        """Compute two chunks at once, each with its share of the threads; see Backend."""
        here, there = self._assigned(*chunks)
        side = self._prepared_side()
        if side is None or not self._brought_to_side(side, there):
            return self.decode(chunks)
        self._bring_back(here.seq_id, here.start)
        self._use_main_threads(self._most_threads - self._side_threads)
        try:
            rows_here, rows_there = self._at_once(
                lambda: self._main.decode([here]), lambda: side.decode([there])
            )
        except BaseException:
            self._main.truncate(here.seq_id, here.start)
            side.truncate(there.seq_id, there.start)
            raise
        self._main_length[here.seq_id] = here.start + len(here.tokens)
        self._side_length[there.seq_id] = there.start + len(there.tokens)
        return [*rows_here, *rows_there] if here is chunks[0] else [*rows_there, *rows_here]

    def use_threads(self, num_threads: int) -> None:
        """Continue answers with so many CPU threads from now on."""
        self._num_threads = num_threads

    def time_rows(self, num_rows: int) -> float | None:
        """Seconds of a step; see Backend."""
        self._use_main_threads(self._num_threads)
        return self._main.time_rows(num_rows)

    def time_apart(self) -> float | None:
        """Seconds of a row in each lane; see Backend."""
        side = self._prepared_side()
        if side is None:
            return None
        self._use_main_threads(self._most_threads - self._side_threads)
        started = time.perf_counter()
        both = self._at_once(lambda: self._main.time_rows(1), lambda: side.time_rows(1))
        return None if None in both else time.perf_counter() - started

    # --- contents ---

    def truncate(self, seq_id: int, length: int) -> None:
        """Keep the first `length` tokens of a sequence id."""
        self._main.truncate(seq_id, length)
        self._main_length[seq_id] = min(length, self._main_length.get(seq_id, 0))
        if self._side is not None and seq_id in self._side_length:
            self._side.truncate(seq_id, length)
            self._side_length[seq_id] = min(length, self._side_length[seq_id])
            if not length:
                del self._side_length[seq_id]

    def copy_prefix(self, source_id: int, seq_id: int, length: int) -> None:
        """Give an empty sequence id the first `length` tokens of another one."""
        self._bring_back(source_id, length)
        self._main.copy_prefix(source_id, seq_id, length)
        self._main_length[seq_id] = length

    def save(self, seq_id: int, *, start: int, end: int) -> Data:
        """Keys and values of the tokens `start` to `end` of a sequence id."""
        if self._side is not None and self._main_length.get(seq_id, 0) < end:
            return self._side.save(seq_id, start=start, end=end)
        return self._main.save(seq_id, start=start, end=end)

    def restore(self, seq_id: int, data: Data, *, start: int, end: int) -> None:
        """Append the tokens at positions `start` to `end` out of what `save` returned."""
        try:
            self._bring_back(seq_id, start)
        except NoRoomError as error:
            raise RestoreError(str(error)) from error
        self._main.restore(seq_id, data, start=start, end=end)
        self._main_length[seq_id] = end

    def clear(self) -> None:
        """Empty both."""
        self._main.clear()
        self._main_length.clear()
        if self._side is not None:
            self._side.clear()
            self._side_length.clear()

    def close(self) -> None:
        """Free both."""
        self._end_side_worker()
        if self._side is not None:
            self._side.close()
            self._side = None
        self._main.close()

    # --- between the lanes ---

    def _bring_back(self, seq_id: int, length: int) -> None:
        """Have the main lane hold the first `length` tokens."""
        start = self._main_length.get(seq_id, 0)
        if start >= length or self._side is None:
            return
        for begin, end in _pieces(start, length):
            data = self._side.save(seq_id, start=begin, end=end)
            try:
                self._main.restore(seq_id, data, start=begin, end=end)
            except RestoreError as error:
                raise NoRoomError("The context is full.", code="context_full") from error
            self._main_length[seq_id] = end

    def _brought_to_side(self, side: Context, chunk: Chunk) -> bool:
        """Have the side lane hold what is before the chunk; False if it has no room."""
        seq_id, start = chunk.seq_id, chunk.start
        held = self._side_length.pop(seq_id, 0)
        self._side_length[seq_id] = held
        try:
            self._make_room_aside(side, seq_id, start + len(chunk.tokens))
            for begin, end in _pieces(held, start):
                data = self._main.save(seq_id, start=begin, end=end)
                side.restore(seq_id, data, start=begin, end=end)
                self._side_length[seq_id] = end
        except NoRoomError:  # of the main lane, for what another sequence has aside
            return False
        except RestoreError as error:
            self._give_up_side(error)
            return False
        return True

    def _make_room_aside(self, side: Context, seq_id: int, length: int) -> None:
        others = [each for each in self._side_length if each != seq_id]
        used = sum(self._side_length[each] for each in others)
        for other in others:
            if used + length <= self.side_ctx:
                return
            used -= self._side_length[other]
            self._bring_back(other, self._side_length[other])
            side.truncate(other, 0)
            del self._side_length[other]

    def _assigned(self, a: Chunk, b: Chunk) -> tuple[Chunk, Chunk]:
        """The chunk for the main lane and the one for the side, so that least is copied."""

        def copied(here: Chunk, there: Chunk) -> float:
            if there.start + len(there.tokens) > self.side_ctx:
                return float("inf")
            missing = there.start - self._side_length.get(there.seq_id, 0)
            return missing + here.start - self._main_length.get(here.seq_id, 0)

        return (a, b) if copied(a, b) <= copied(b, a) else (b, a)

    # --- threads ---

    @property
    def _side_threads(self) -> int:
        return self._most_threads // 2

    def _use_main_threads(self, num_threads: int) -> None:
        if num_threads == self._most_threads and self._side_threads > 1:
            # While a team of its own waits there, that of the main lane spins too little.
            self._end_side_worker()
        if num_threads != self._main_threads:
            self._main.use_threads(num_threads)
            self._main_threads = num_threads

    def _prepared_side(self) -> Context | None:
        if self._side is None and self.side_ctx and self._make_side is not None:
            try:
                self._side = self._make_side()
            except ModelTooLargeError as error:
                self._give_up_side(error)
                return None
            self._side.use_threads(self._side_threads)
        return self._side

    def _give_up_side(self, error: Exception) -> None:
        """Compute nothing apart any more; what the side lane holds is brought back when needed."""
        log.warning("answers are not computed apart any more: %s", error)
        self.side_ctx = 0

    def _at_once(self, here: Callable[[], T], there: Callable[[], T]) -> tuple[T, T]:
        """Do both, and return when neither is at work any more."""
        if self._side_worker is None:
            self._side_worker = WorkerThread("engine-side")
        running = self._side_worker.start(there)
        try:
            return here(), running.result()
        finally:
            wait([running])

    def _end_side_worker(self) -> None:
        if self._side_worker is not None:
            self._side_worker.close()
            self._side_worker = None


def _reads_prompt(chunks: Sequence[Chunk], *, num_rows: int) -> bool:
    """Whether a step reads so much prompt that all threads are worth it.

    How fast answers go on with some threads is compared, so they only take those they are given.
    """
    num_tokens = sum(len(chunk.tokens) for chunk in chunks)
    answers_only = num_tokens == sum(chunk.num_logits for chunk in chunks)
    return max(num_tokens, num_rows) >= _MANY_ROWS and not answers_only


def _pieces(start: int, end: int) -> list[tuple[int, int]]:
    """A range of tokens, in pieces that are copied one by one."""
    begins = range(start, end, _COPIED_TOKENS)
    return [(begin, min(begin + _COPIED_TOKENS, end)) for begin in begins]
