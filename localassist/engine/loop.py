"""EngineLoop: inbox, admit, schedule, decode, choose. Owned by one OS thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localassist.engine.backend import DecodeAbortedError, DecodeError, NoRoomError, RestoreError
from localassist.engine.branches import Branches
from localassist.engine.cache_operation import CopyPrefix, Restore, Save, Truncate
from localassist.engine.detokenizer import Detokenizer
from localassist.engine.pace import Pace
from localassist.engine.request import EngineStats, FinishReason, Generation
from localassist.engine.sampler import Sampler
from localassist.engine.scheduler import Batch, Scheduler
from localassist.engine.sequence import Sequence
from localassist.engine.speculator import Speculator
from localassist.engine.work import Work
from localassist.errors import ClosedError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localassist.engine.backend import Backend, Row
    from localassist.engine.cache_operation import CacheOperation
    from localassist.engine.kv_store import KvStore

log = logging.getLogger("localassist.engine")


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How a loop computes.

    Attributes:
        max_running: generations computed at once.
        deterministic: see the setting of that name.
        speculate: look what may follow up in the text so far; see Speculator.
        calibration: folder of the cost curves; None keeps them to this process.
        pause_s: seconds without any request after which there is time for what can wait. One run
            asks several times, some milliseconds apart, and calibrating 32 rows takes 0.2 to 0.5 s.
        busy_s: seconds of computing without such a pause after which any gap will do.
    """

    max_running: int = 8
    deterministic: bool = False
    speculate: bool = True
    calibration: Path | None = None
    pause_s: float = 0.2
    busy_s: float = 5.0


@dataclass
class LoopTimes:
    """Where the worker's time went, in seconds, since it began."""

    num_steps: int = 0
    decode_s: float = 0.0
    busy_s: float = 0.0


class EngineLoop:
    """`submit`, `cancel` and `stop` are for any OS thread; `run` is the worker itself.

    Attributes:
        pace: what steps take.
        times: where the worker's time went.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        new_seed: Callable[[], int],
        settings: LoopSettings | None = None,
        kv: KvStore | None = None,
    ) -> None:
        settings = settings or LoopSettings()
        self._backend = backend
        self._kv = kv
        self._settings = settings
        self._scheduler = Scheduler(
            n_ctx=backend.n_ctx,
            num_slots=backend.n_seq_max,
            max_running=settings.max_running,
            n_batch=backend.n_batch,
            stored=kv,
            deterministic=settings.deterministic,
            side_ctx=backend.side_ctx,
        )
        self.pace = Pace(
            backend, self._scheduler, folder=settings.calibration, fixed=settings.deterministic
        )
        self._new_seed = new_seed
        # Another kernel has computed them than would compute them again.
        self._branches = None if settings.deterministic else Branches()
        self._work: dict[int, Work] = {}
        self._prefilling: list[Generation] = []
        self._inbox: deque[Generation] = deque()
        self._cancelled: deque[Generation] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._leisure_at_s = 0.0  # of the time that the worker was busy
        self.times = LoopTimes()

    # --- any OS thread ---

    def submit(self, generation: Generation) -> None:
        """Queue a generation."""
        with self._wake:
            if self._stopping:
                raise ClosedError("The engine is closed.")
            self._inbox.append(generation)
            self._wake.notify()

    def cancel(self, generation: Generation) -> None:
        """End a generation after the running step; one that reads its prompt, at once."""
        with self._wake:
            self._cancelled.append(generation)
            if any(each is generation for each in self._prefilling):
                self._backend.abort()
            self._wake.notify()

    def stop(self) -> None:
        """Make `run` return; open generations end with an error."""
        with self._wake:
            self._stopping = True
            self._backend.abort()
            self._wake.notify()

    @property
    def stats(self) -> EngineStats:
        """A picture of now; `waiting_for` says why generations wait."""
        return replace(self._scheduler.stats, measured=self.pace.known)

    # --- the worker ---

    def run(self) -> None:
        """Compute until stopped; then hibernate what is idle."""
        while self._wait():
            started = time.perf_counter()
            self._take_inbox()
            self._carry_out(self._scheduler.admit())
            batch = self._scheduler.schedule()
            if batch.chunks:
                self._step(batch)
            if not self._scheduler.idle:  # else the same run may be about to ask again
                self._hibernate_one()
            self.times.busy_s += time.perf_counter() - started
        self._backend.resume()
        self._fail_all(ClosedError("The engine was closed while it answered."), clear=False)
        self._save_all()

    def _wait(self) -> bool:
        """Wait for work; once nobody has asked for a while, do what can wait, piece by piece."""
        paused = False
        while True:
            with self._wake:
                if self._stopping:
                    return False
                if self._inbox or self._cancelled or not self._scheduler.idle:
                    return True
                if self.pace.known and not self._scheduler.has_unsaved:
                    self._wake.wait()
                    continue
                is_overdue = self.times.busy_s > self._leisure_at_s + self._settings.busy_s
                if not paused and not is_overdue:
                    paused = not self._wake.wait(self._settings.pause_s)
                    continue
            self._leisure_at_s = self.times.busy_s
            if is_overdue:
                self._save_all()
                self._measure()
            elif not self._hibernate_one():
                self._measure()

    def _measure(self) -> None:
        if not self.pace.known:
            self._carry_out(self._scheduler.put_out_all())
            self.pace.measure()

    def _take_inbox(self) -> None:
        with self._wake:
            self._prefilling = []
            if not self._stopping:
                self._backend.resume()
            arrived, self._inbox = self._inbox, deque()
            cancelled, self._cancelled = self._cancelled, deque()
        for generation in arrived:
            self._admit(generation)
        for generation in cancelled:
            for work in list(self._work.values()):
                if work.generation is generation:
                    self._drop(work)
                    work.end(FinishReason.CANCELLED)

    def _admit(self, generation: Generation) -> None:
        request = generation.request
        room = self._backend.n_ctx - len(request.prompt_tokens)
        speculate = self._may_speculate and request.constraint is None and request.max_tokens != 1
        sequence = Sequence(
            tokens=list(request.prompt_tokens),
            num_prompt_tokens=len(request.prompt_tokens),
            max_tokens=room if request.max_tokens is None else min(room, request.max_tokens),
        )
        seed = request.sampling.seed
        work = Work(
            generation=generation,
            sequence=sequence,
            sampler=Sampler(
                request.sampling,
                seed=self._new_seed() if seed is None else seed,
                prompt=request.prompt_tokens,
            ),
            detokenizer=Detokenizer(stop=request.stop),
            vocabulary=self._backend,
            constraint=request.constraint,
            speculator=Speculator(self._scheduler.plan.curve, is_text=self._is_text)
            if speculate
            else None,
            branches=self._branches,
        )
        self._work[id(sequence)] = work
        row = self._row_of_branch(work)
        if row is None:
            self._scheduler.add(sequence)
        else:  # nothing is to be computed
            sequence.num_cached_tokens = sequence.num_prompt_tokens
            work.take([row], [])
            del self._work[id(sequence)]

    def _row_of_branch(self, work: Work) -> Row | None:
        """What the one token that is wanted is chosen from, if it was there before."""
        only_one = work.sequence.max_tokens == 1 and work.constraint is None
        if self._branches is None or not only_one:
            return None
        return self._branches.behind(work.sequence.tokens)

    def _is_text(self, token: int) -> bool:
        return bool(self._backend.token_bytes(token))

    @property
    def _may_speculate(self) -> bool:
        """Whether what may follow is looked for; without measured costs nobody knows if it pays."""
        settings, curve = self._settings, self._scheduler.plan.curve
        return settings.speculate and not settings.deterministic and bool(curve.seconds)

    # --- a step ---

    def _step(self, batch: Batch) -> None:
        with self._wake:
            self._prefilling = [
                self._work[id(chunk.sequence)].generation
                for chunk in batch.chunks
                if not chunk.sequence.decoding
            ]
        started, cpu_started = time.perf_counter(), time.process_time()
        try:
            rows = self._decode(batch)
        except NoRoomError as error:
            if not self._scheduler.relieve(batch):
                self._fail_all(error)
            return
        except DecodeAbortedError:
            for chunk in batch.chunks:
                self._backend.truncate(chunk.seq_id, chunk.start)
            return
        except DecodeError as error:
            log.exception("a batch of %d chunks failed", len(batch.chunks))
            self._fail_all(error)
            return
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
        self._note_time(batch, seconds, cpu_s)
        self._scheduler.computed(batch)
        for chunk, chunk_rows in zip(batch.chunks, rows, strict=True):
            if chunk_rows:
                # Only where a draft is checked, more than one row is wanted.
                self._take(chunk.sequence, chunk_rows, chunk.tokens[1 - len(chunk_rows) :])

    def _decode(self, batch: Batch) -> list[list[Row]]:
        try:
            if batch.apart:
                return self._decode_apart(batch)
            return self._backend.decode(batch.chunks, num_rows=batch.num_rows)
        finally:
            # Who cancels from now on has nothing to abort.
            with self._wake:
                self._prefilling = []

    def _decode_apart(self, batch: Batch) -> list[list[Row]]:
        rows = self._backend.decode_apart(batch.chunks)
        if self._backend.side_ctx != self._scheduler.side_ctx:  # it turned out not to be usable
            self.pace.use_threads()
        return rows

    def _take(self, sequence: Sequence, rows: list[Row], following: list[int]) -> None:
        work = self._work[id(sequence)]
        draft = following if len(rows) > 1 else []
        try:
            reason = work.take(rows, draft)
        except ModelError as error:  # of its constraint; others have nothing to do with it
            self._drop(work)
            work.generation.channel.close(error)
            return
        if draft:
            self._scheduler.rewind(sequence)
        if reason is not None:
            self._drop(work)

    def _note_time(self, batch: Batch, seconds: float, cpu_s: float) -> None:
        self.times.num_steps += 1
        self.times.decode_s += seconds
        self.pace.observe(batch, seconds, cpu_s=cpu_s)

    # --- the cache ---

    def _carry_out(self, operations: list[CacheOperation]) -> None:
        for operation in operations:
            if isinstance(operation, CopyPrefix):
                self._backend.copy_prefix(operation.source_id, operation.seq_id, operation.length)
            elif isinstance(operation, Truncate):
                self._backend.truncate(operation.seq_id, operation.length)
            elif isinstance(operation, Save):
                self._save(operation)
            else:
                self._restore(operation)

    def _save(self, save: Save) -> None:
        if self._kv is not None:
            data = self._backend.save(save.seq_id, start=save.start, end=len(save.tokens))
            self._kv.keep(save.tokens, start=save.start, data=data)

    def _restore(self, restore: Restore) -> None:
        """Bring back as much as there is; what is missing is computed again."""
        assert self._kv is not None, "only what was stored is restored"
        position = restore.start
        for piece in self._kv.pieces(restore.sequence.tokens[: restore.end]):
            if piece.end <= position:
                continue
            data = self._kv.load(piece.segment)
            if data is None:
                break
            try:
                self._backend.restore(restore.seq_id, data, start=position, end=piece.end)
            except RestoreError as error:
                log.warning("hibernated tokens cannot be used: %s", error)
                break
            position = piece.end
        kept = self._scheduler.restored(restore.sequence, position)
        if kept < position:
            self._backend.truncate(restore.seq_id, kept)

    def _hibernate_one(self) -> bool:
        save = self._scheduler.unsaved() if self._scheduler.has_unsaved else None
        if save is None:
            return False
        self._save(save)
        return True

    def _save_all(self) -> None:
        while self._hibernate_one():
            pass

    # --- ends ---

    def _drop(self, work: Work) -> None:
        del self._work[id(work.sequence)]
        self._scheduler.finish(work.sequence)

    def _fail_all(self, error: Exception, *, clear: bool = True) -> None:
        """End every generation with `error`; with `clear`, start from an empty context."""
        works, self._work = list(self._work.values()), {}
        with self._wake:
            waiting, self._inbox = list(self._inbox), deque()
        for work in works:
            self._scheduler.finish(work.sequence)
        if clear:
            self._scheduler.reset()
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
