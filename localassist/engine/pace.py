"""Pace: what steps take here, with how many threads they are computed, and how these wait.

Calibration measures it, the governor and contention judge by it, and the scheduler plans with it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from localassist.engine.calibration import Calibration
from localassist.engine.contention import Contention
from localassist.engine.cores import IdleCores
from localassist.engine.governor import Governor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localassist.engine.backend import Backend
    from localassist.engine.scheduler import Batch, Scheduler

# So many steps one after the other that take less than this part of what was calibrated mean that
# other programs disturbed the calibration.
_TOO_OFTEN = 20
_MUCH_FASTER = 0.75
# So many steps with all threads that met nobody, and what was measured beside somebody is measured
# again; doubled each time, for somebody may come whenever nobody asks.
_QUIET_STEPS = 20
# For so many steps it is looked whether cores are idle that were given up.
_LOOKED_AT_STEPS = 8
# So many tokens of a prompt take all threads, whatever the governor says.
_MUCH_PROMPT = 16


class Pace:
    """Of one backend. Owned by the engine's loop."""

    def __init__(
        self, backend: Backend, scheduler: Scheduler, *, folder: Path | None, fixed: bool,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = time.process_time, idle_cores: IdleCores | None = None,
    ) -> None:  # fmt: skip
        """Read what was measured before, and use all threads.

        Args:
            backend: computes.
            scheduler: is told what to expect.
            folder: of the cost curves; None keeps them to this process.
            fixed: nothing is measured, and the number of threads never changes.
            clock: seconds.
            cpu_clock: CPU seconds of this process.
            idle_cores: those of the system.
        """
        self._backend = backend
        self._scheduler = scheduler
        self._fixed = fixed
        self._calibration = Calibration(backend, folder)
        self._governor = Governor(1 if fixed else backend.max_threads)
        if fixed:
            self._governor.num_threads = backend.max_threads
        self._faster: list[tuple[int, float, bool]] = []
        self._contention = Contention(backend.max_threads if backend.keeps_awake else 1)
        self._num_quiet, self._quiet_steps = 0, _QUIET_STEPS
        self._idle_cores = idle_cores or IdleCores()
        # Steps with fewer threads since idle cores are looked at, their CPU time, and since when.
        self._num_fewer, self._fewer_cpu_s, self._looked_at_s = 0, 0.0, 0.0
        self._clock, self._cpu_clock = clock, cpu_clock
        self.use_threads()

    @property
    def known(self) -> bool:
        """Whether nothing is left to be measured."""
        return self._fixed or self._calibration.done

    def measure(self) -> None:
        """Measure one step more, if any is left; takes up to half a second."""
        if self.known:
            return
        self._backend.spin_long(on=True)
        started, cpu_started = self._clock(), self._cpu_clock()
        try:
            num_threads = self._calibration.measure()
            seconds, cpu_s = self._clock() - started, self._cpu_clock() - cpu_started
            if self._contention.met(seconds=seconds, cpu_s=cpu_s, num_threads=num_threads):
                self._calibration.note_disturbed()
        finally:
            if self._calibration.done:
                self._governor.rebased()
                self.use_threads()
            else:  # whoever asks next would get the threads that were measured
                self._use_backend()

    def observe(self, batch: Batch, seconds: float, *, cpu_s: float) -> None:
        """A step took so long, and so much CPU time of this process."""
        num_rows = max(batch.num_tokens, batch.num_rows)
        reads = bool(batch.num_prefilled)
        takes_all = self._governor.num_threads >= self._backend.max_threads
        if not batch.apart and (takes_all or batch.num_prefilled >= _MUCH_PROMPT):
            self._observe_contention(seconds, cpu_s)
        if reads:
            self._scheduler.plan.observe_prefill(num_tokens=num_rows, seconds=seconds)
            return
        before = self._governor.num_threads, self._governor.has_all
        apart_s = self._quiet.apart_s if batch.apart else None
        expected_s = self._quiet.cost(num_rows) if apart_s is None else apart_s
        if apart_s is not None:
            self._governor.observe_apart(seconds=seconds, expected_s=apart_s)
        else:
            # Where CPU time is missing somebody is there, and nothing need be reckoned.
            fewer_s = 0.0 if self._contention.is_there else self._fewer.cost(num_rows)
            self._governor.observe(
                num_rows=num_rows, seconds=seconds, expected_s=expected_s, fewer_s=fewer_s
            )
        self._observe_idle(cpu_s)
        faster = bool(self._quiet.seconds) and seconds < _MUCH_FASTER * expected_s
        self._faster = [*self._faster, (num_rows, seconds, batch.apart)] if faster else []
        misjudged = len(self._faster) == _TOO_OFTEN
        if misjudged:
            self._believe_steps()
        if misjudged or (self._governor.num_threads, self._governor.has_all) != before:
            self.use_threads()

    def use_threads(self) -> None:
        """Have the next steps computed, and planned, with the threads that are best now."""
        num_threads = self._governor.num_threads
        self._use_backend()
        self._scheduler.side_ctx = self._backend.side_ctx
        self._scheduler.plan.curve = self._calibration.curve(num_threads)
        self._quiet = self._calibration.curve(self._backend.max_threads)
        self._fewer = self._calibration.curve(self._backend.max_threads - 1)

    def _use_backend(self) -> None:
        """With the threads that pay; spinning long pays as long as all of them do."""
        self._backend.use_threads(self._governor.num_threads)
        self._backend.spin_long(on=self._governor.has_all and not self._contention.is_there)

    def _observe_contention(self, seconds: float, cpu_s: float) -> None:
        before = self._contention.is_there
        self._contention.observe(seconds=seconds, cpu_s=cpu_s)
        if self._contention.is_there != before:
            self._use_backend()
        self._num_quiet = 0 if self._contention.is_there else self._num_quiet + 1
        is_doubted = self._calibration.was_disturbed and self._calibration.done
        if is_doubted and self._num_quiet >= self._quiet_steps:
            self._calibration.again()
            self._num_quiet, self._quiet_steps = 0, 2 * self._quiet_steps

    def _observe_idle(self, cpu_s: float) -> None:
        """Fewer threads see nothing of a core that somebody has left; the system does.

        What our own threads leave idle while they wait is no free core.
        """
        if self._governor.has_all:
            self._num_fewer = 0
            return
        self._num_fewer += 1
        self._fewer_cpu_s += cpu_s
        if self._num_fewer == 1:
            self._fewer_cpu_s, self._looked_at_s = 0.0, self._clock()
            self._idle_cores.begin()
        elif self._num_fewer > _LOOKED_AT_STEPS and self._idle_cores.is_time:
            num_idle = self._idle_cores.count()
            seconds = self._clock() - self._looked_at_s
            waiting = max(0.0, self._governor.num_threads - self._fewer_cpu_s / seconds)
            self._governor.observe_idle((num_idle or 0.0) - waiting)
            self._num_fewer = 0

    def _believe_steps(self) -> None:
        """Calibration was disturbed: what the last steps have taken counts instead."""
        self._calibration.again()
        for num_rows, seconds, apart in self._faster:
            self._calibration.lower(num_rows, seconds, apart=apart)
        self._faster = []
        self._governor.rebased()
