"""EngineLoop: inbox, schedule, decode, sample, emit. Owned by one OS thread."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localassist.engine.backend import DecodeError, NoRoomError
from localassist.engine.detokenizer import Detokenizer
from localassist.engine.prefix_cache import CopyPrefix
from localassist.engine.request import FinishReason, Generation, TokenEvent
from localassist.engine.sampler import Sampler
from localassist.engine.scheduler import Batch, Scheduler
from localassist.engine.sequence import Sequence
from localassist.errors import ClosedError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from localassist.engine.backend import Backend
    from localassist.engine.prefix_cache import CacheOperation

log = logging.getLogger("localassist.engine")


@dataclass(eq=False)
class _Work:
    """A generation and what computing it needs."""

    generation: Generation
    sequence: Sequence
    sampler: Sampler
    detokenizer: Detokenizer


class EngineLoop:
    """`submit`, `cancel` and `stop` are for any OS thread; `run` is the worker itself."""

    def __init__(self, backend: Backend, *, max_running: int, new_seed: Callable[[], int]) -> None:
        self._backend = backend
        self._scheduler = Scheduler(
            n_ctx=backend.n_ctx,
            num_slots=backend.n_seq_max,
            max_running=max_running,
            n_batch=backend.n_batch,
        )
        self._new_seed = new_seed
        self._work: dict[int, _Work] = {}
        self._inbox: deque[Generation] = deque()
        self._cancelled: deque[Generation] = deque()
        self._wake = threading.Condition()
        self._stopping = False

    # --- any OS thread ---

    def submit(self, generation: Generation) -> None:
        """Queue a generation."""
        with self._wake:
            if self._stopping:
                raise ClosedError("The engine is closed.")
            self._inbox.append(generation)
            self._wake.notify()

    def cancel(self, generation: Generation) -> None:
        """End a generation at the next step."""
        with self._wake:
            self._cancelled.append(generation)
            self._wake.notify()

    def stop(self) -> None:
        """Make `run` return; open generations end with an error."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    # --- the worker ---

    def run(self) -> None:
        """Compute until stopped."""
        while self._wait():
            self._take_inbox()
            batch = self._scheduler.schedule()
            if batch.chunks:
                self._step(batch)
        self._fail_all(ClosedError("The engine was closed while it answered."))

    def _wait(self) -> bool:
        with self._wake:
            while not (
                self._stopping or self._inbox or self._cancelled or not self._scheduler.idle
            ):
                self._wake.wait()
            return not self._stopping

    def _take_inbox(self) -> None:
        with self._wake:
            arrived, self._inbox = self._inbox, deque()
            cancelled, self._cancelled = self._cancelled, deque()
        for generation in arrived:
            self._admit(generation)
        for generation in cancelled:
            for work in list(self._work.values()):
                if work.generation is generation:
                    self._finish(work, FinishReason.CANCELLED)

    def _admit(self, generation: Generation) -> None:
        request = generation.request
        room = self._backend.n_ctx - len(request.prompt_tokens)
        sequence = Sequence(
            tokens=list(request.prompt_tokens),
            num_prompt_tokens=len(request.prompt_tokens),
            max_tokens=room if request.max_tokens is None else min(room, request.max_tokens),
        )
        seed = request.sampling.seed
        self._work[id(sequence)] = _Work(
            generation=generation,
            sequence=sequence,
            sampler=Sampler(request.sampling, seed=self._new_seed() if seed is None else seed),
            detokenizer=Detokenizer(stop=request.stop),
        )
        self._scheduler.add(sequence)

    def _step(self, batch: Batch) -> None:
        try:
            self._apply(batch.operations)
            rows = self._backend.decode(batch.chunks)
        except NoRoomError as error:
            if not self._scheduler.relieve(batch):
                self._fail_all(error)
            return
        except DecodeError as error:
            log.exception("a batch of %d chunks failed", len(batch.chunks))
            self._fail_all(error)
            return
        self._scheduler.computed(batch)
        for chunk, row in zip(batch.chunks, rows, strict=True):
            work = self._work.get(id(chunk.sequence))
            if row is not None and work is not None:
                self._emit(work, row)

    def _apply(self, operations: list[CacheOperation]) -> None:
        for operation in operations:
            if isinstance(operation, CopyPrefix):
                self._backend.copy_prefix(operation.source_id, operation.seq_id, operation.length)
            else:
                self._backend.truncate(operation.seq_id, operation.length)

    def _emit(self, work: _Work, row: npt.NDArray[np.float32]) -> None:
        sequence, detokenizer = work.sequence, work.detokenizer
        token = work.sampler.sample(row)
        if sequence.num_cached_tokens is not None:
            work.generation.num_cached_tokens = sequence.num_cached_tokens
        if self._backend.is_end(token):
            self._finish(work, FinishReason.STOP)
            return
        sequence.tokens.append(token)
        text = detokenizer.push(self._backend.token_bytes(token))
        if detokenizer.stopped:
            self._finish(work, FinishReason.STOP, text=text, num_tokens=1)
        elif sequence.num_generated_tokens >= sequence.max_tokens:
            self._finish(work, FinishReason.LENGTH, text=text, num_tokens=1)
        else:
            work.generation.channel.put(TokenEvent(text))

    def _finish(
        self, work: _Work, reason: FinishReason, *, text: str = "", num_tokens: int = 0
    ) -> None:
        del self._work[id(work.sequence)]
        self._scheduler.finish(work.sequence)
        text += work.detokenizer.flush()
        channel = work.generation.channel
        channel.put(TokenEvent(text, num_tokens=num_tokens, finish_reason=reason))
        channel.close()

    def _fail_all(self, error: Exception) -> None:
        """End every generation with `error` and start from an empty context."""
        works, self._work = list(self._work.values()), {}
        with self._wake:
            waiting, self._inbox = list(self._inbox), deque()
        self._scheduler.reset()
        if not self._stopping:
            self._backend.clear()
        for generation in [work.generation for work in works] + waiting:
            generation.channel.close(error)

    def fail(self, error: Exception) -> None:
        """The worker met an error of our own: end every generation with it."""
        self._fail_all(error if isinstance(error, ModelError) else _wrap(error))


def _wrap(error: Exception) -> ModelError:
    wrapped = ModelError(f"The engine failed: {error!r}.", code="engine_failed")
    wrapped.__cause__ = error
    return wrapped
