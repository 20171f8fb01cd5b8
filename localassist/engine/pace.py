"""Pace: what steps take on this machine, and with how many threads they are computed.

Calibration measures it, the governor judges by it, and the scheduler plans with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.engine.calibration import Calibration
from localassist.engine.governor import Governor

if TYPE_CHECKING:
    from pathlib import Path

    from localassist.engine.backend import Backend
    from localassist.engine.scheduler import Batch, Scheduler

# So many steps one after the other that take less than this part of what was calibrated mean that
# other programs disturbed the calibration.
_TOO_OFTEN = 20
_MUCH_FASTER = 0.75
# A step of a prompt that takes so many times what its rows take on a quiet machine has met another
# program, unless it lies far into a conversation; one that takes less than this has not.
_MUCH_SLOWER, _HARDLY_SLOWER = 2.0, 1.2


class Pace:
    """Of one backend. Owned by the engine's loop."""

    def __init__(
        self, backend: Backend, scheduler: Scheduler, *, folder: Path | None, fixed: bool
    ) -> None:
        """Read what was measured before, and use all threads.

        Args:
            backend: computes.
            scheduler: is told what to expect.
            folder: of the cost curves; None keeps them to this process.
            fixed: nothing is measured, and the number of threads never changes.
        """
        self._backend = backend
        self._scheduler = scheduler
        self._fixed = fixed
        self._calibration = Calibration(backend, folder)
        self._governor = Governor(1 if fixed else backend.max_threads)
        if fixed:
            self._governor.num_threads = backend.max_threads
        self._faster: list[tuple[int, float, bool]] = []
        self._reads_slowly = False
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
        try:
            self._calibration.measure()
        finally:
            if self._calibration.done:
                self._governor.rebased()
                self.use_threads()
            else:  # whoever asks next would get the threads that were measured
                self._use_backend()

    def observe(self, batch: Batch, seconds: float) -> None:
        """A step took so long."""
        num_rows = max(batch.num_tokens, batch.num_rows)
        if batch.num_prefilled:
            self._observe_prefill(num_rows, seconds)
            return
        if self._reads_slowly:
            # The governor judges steps of answers, by those before the prompt.
            self._reads_slowly = False
            self._use_backend()
        before = self._governor.num_threads, self._governor.has_all
        apart_s = self._quiet.apart_s if batch.apart else None
        expected_s = self._quiet.cost(num_rows) if apart_s is None else apart_s
        if apart_s is not None:
            self._governor.observe_apart(seconds=seconds, expected_s=apart_s)
        else:
            self._governor.observe(num_rows=num_rows, seconds=seconds, expected_s=expected_s)
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

    def _use_backend(self) -> None:
        """With the threads that pay; spinning long pays as long as all of them do."""
        self._backend.use_threads(self._governor.num_threads)
        self._backend.spin_long(on=self._governor.has_all and not self._reads_slowly)

    def _observe_prefill(self, num_rows: int, seconds: float) -> None:
        self._scheduler.plan.observe_prefill(num_tokens=num_rows, seconds=seconds)
        if not self._quiet.seconds or self._fixed:
            return
        most = _HARDLY_SLOWER if self._reads_slowly else _MUCH_SLOWER
        if self._reads_slowly != (seconds > most * self._quiet.cost(num_rows)):
            self._reads_slowly = not self._reads_slowly
            self._use_backend()

    def _believe_steps(self) -> None:
        """Calibration was disturbed: what the last steps have taken counts instead."""
        self._calibration.again()
        for num_rows, seconds, apart in self._faster:
            self._calibration.lower(num_rows, seconds, apart=apart)
        self._faster = []
        self._governor.rebased()
