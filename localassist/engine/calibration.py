"""Calibration: what a step costs here, measured once while nobody asks and kept on disk.

Many machines are faster and slower by turns, for seconds at a time. Steps are grouped by how much
one number of rows costs beside another, so what is measured within a second or two is compared.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from statistics import median_low
from typing import TYPE_CHECKING, Any

from localassist.engine.cores import processor_name
from localassist.engine.step_plan import MEASURED_ROWS, CostCurve

if TYPE_CHECKING:
    from pathlib import Path

    from localassist.engine.backend import Backend

log = logging.getLogger("localassist.engine")

# Stands for a step of two rows apart, where others have their number of rows.
_APART = 0
# So many times each number of rows is timed.
_PASSES = 4
# With more than this part of the steps disturbed by other programs, medians are disturbed, too.
_DISTURBED = 0.2
# A step of another number of rows than the last one builds llama.cpp's graph anew, which takes a
# millisecond: of a shorter step than this one more than a hundredth.
_SHORT_S = 0.1
# Raised when something else is measured: older curves are not used any more.
_METHOD = 3


class Calibration:
    """Cost curves of one backend by number of threads. Owned by the engine's loop.

    `measure` does one step at a time, or a few short ones, so that whoever asks meanwhile waits for
    no more than that.

    Attributes:
        was_disturbed: the curves are those of a busy machine; they are used, but not kept.
    """

    def __init__(
        self, backend: Backend, folder: Path | None, *, processor: str | None = None
    ) -> None:
        """Read what was measured before.

        Args:
            backend: what is measured.
            folder: where the curves of all models are kept; None keeps them to this process.
            processor: what it is called; None asks the system. Folders move, and machines change.
        """
        self._backend = backend
        split = "|even" if backend.splits_evenly else ""
        processor = processor_name() if processor is None else processor
        self._of = f"{backend.fingerprint}{split}|{processor}|{_METHOD}"
        digest = hashlib.sha256(f"{self._of}|{backend.max_threads}".encode()).hexdigest()
        self._path = None if folder is None else folder / f"{digest[:32]}.json"
        self._todo = self._all_steps()
        self._passes: dict[int, list[dict[int, float]]] = {}
        self._again = False
        self.was_disturbed = False
        self._num_watched = self._num_disturbed = 0
        self._apart_ratios: list[float] = []  # to the time of a single row
        self._lowered: dict[int, float] = {}  # what steps have taken since
        self._seconds: dict[int, dict[int, float]] = {}
        if self._load():
            known = _APART in self._seconds[backend.max_threads] or not backend.side_ctx
            self._todo = [] if known else [(backend.max_threads, _APART)] * _PASSES

    def _all_steps(self) -> list[tuple[int, int]]:
        """Numbers of threads and of rows, the first one last.

        What is repeated lies apart: while a process starts, all of its first steps are disturbed.
        """
        most = self._backend.max_threads
        steps = [
            (num_threads, num_rows)
            for num_threads in sorted({most, max(1, most - 1)}, reverse=True)
            for _ in range(_PASSES)
            for num_rows in MEASURED_ROWS
        ]
        if self._backend.side_ctx:
            steps += [(most, _APART)] * _PASSES
        return steps[::-1]

    def again(self) -> None:
        """What was measured was disturbed by other programs: measure it again.

        The new curve replaces the old one, lowered as a whole to what steps have taken since: it
        may have been measured while the machine was slow.
        """
        if self.done:
            self._todo = self._all_steps()
            self._passes, self._apart_ratios, self._lowered = {}, [], {}
            self._num_watched = self._num_disturbed = 0
            self._again = True

    def note_disturbed(self) -> None:
        """The step that was measured last met another program."""
        self._num_disturbed += 1

    def lower(self, num_rows: int, seconds: float, *, apart: bool = False) -> None:
        """Steps of so many rows, or of two apart, take less with all threads than was measured."""
        known = self._seconds.get(self._backend.max_threads, {})
        step = _APART if apart else num_rows
        if step in known and seconds < known[step]:
            known[step] = self._lowered[step] = seconds

    @property
    def done(self) -> bool:
        """Whether nothing is left to be measured."""
        return not self._todo

    def curve(self, num_threads: int) -> CostCurve:
        """The curve for so many threads, or for the number nearest to it."""
        whole = [threads for threads, seconds in self._seconds.items() if _whole(seconds)]
        if not whole:
            return CostCurve()
        nearest = self._seconds[min(whole, key=lambda known: abs(known - num_threads))]
        rows = {num_rows: nearest[num_rows] for num_rows in MEASURED_ROWS}
        most = self._seconds.get(self._backend.max_threads, {})
        apart_s = most.get(_APART) if self._backend.side_ctx else None
        if apart_s is not None and num_threads < self._backend.max_threads:
            # Another program has a core: with two of them, both lanes do what one thread would.
            apart_s = 2 * rows[1]
        return CostCurve(rows, apart_s=apart_s)

    def measure(self) -> int:
        """Measure one step. Where that fails, the others are left out.

        Returns:
            The number of threads.
        """
        num_threads, num_rows = self._todo[-1]
        self._backend.use_threads(num_threads)
        left: list[tuple[int, int]] = []
        try:
            if num_rows == _APART:
                has_room = self._measure_apart()
            else:
                has_room = self._measure_rows(num_threads, num_rows)
            self._num_watched += num_threads > 1  # one thread never waits for another
            if has_room:  # or else full of idle conversations; the next process may have room
                left = self._todo[:-1]
            if not left and (has_room or num_rows == _APART):
                self._conclude()
        finally:
            self._todo = left
        return num_threads

    def _conclude(self) -> None:
        self.was_disturbed = self._num_disturbed > _DISTURBED * self._num_watched
        numbers = {num_threads for num_threads, _rows in self._all_steps()}
        whole = all(_whole(self._seconds.get(each, {})) for each in numbers)
        if whole and not self.was_disturbed:
            self._store()

    def _measure_rows(self, num_threads: int, num_rows: int) -> bool:
        """Time one step of a pass; False without room for it.

        Answers take many steps of one number of rows, so where it matters the second one counts.
        """
        seconds = self._backend.time_rows(num_rows)
        if seconds is not None and seconds < _SHORT_S:
            seconds = self._backend.time_rows(num_rows)
        if seconds is None:
            return False
        passes = self._passes.setdefault(num_threads, [])
        if num_rows == MEASURED_ROWS[0]:
            passes.append({})
        passes[-1][num_rows] = seconds
        if num_rows == MEASURED_ROWS[-1]:
            known = self._seconds.get(num_threads, {})
            if len(passes) == _PASSES or not (self._again and _whole(known)):
                found = _settled(passes)
                self._seconds[num_threads] = {**known, **self._lower_all(found, num_threads)}
        return True

    def _lower_all(self, found: dict[int, float], num_threads: int) -> dict[int, float]:
        """The curve at the level of what steps have taken meanwhile, if that was less."""
        if num_threads != self._backend.max_threads:
            return found
        scales = [
            taken_s / found[rows] for rows, taken_s in self._lowered.items() if rows != _APART
        ]
        scale = min(1.0, *scales) if scales else 1.0
        return {rows: scale * seconds for rows, seconds in found.items()}

    def _measure_apart(self) -> bool:
        """Time two rows apart beside a single one."""
        for _ in range(2):  # the first one of each pays for the change of team
            single_s = self._backend.time_rows(1)
        for _ in range(2):
            apart_s = self._backend.time_apart()
        if single_s is None or apart_s is None:
            return False
        self._apart_ratios.append(apart_s / single_s)
        most = self._seconds[self._backend.max_threads]
        apart_s = median_low(self._apart_ratios) * most[1]
        most[_APART] = min(apart_s, self._lowered.get(_APART, apart_s))
        return True

    def _load(self) -> bool:
        if self._path is None:
            return False
        try:
            kept: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
            curves = {
                int(threads): {int(rows): float(value) for rows, value in seconds.items()}
                for threads, seconds in kept["seconds"].items()
            }
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return False
        if kept.get("of") != self._of or self._backend.max_threads not in curves:
            return False
        if any(not _whole(curve) or min(curve.values()) <= 0 for curve in curves.values()):
            return False
        self._seconds = curves
        return True

    def _store(self) -> None:
        if self._path is None:
            return
        text = json.dumps({"of": self._of, "seconds": self._seconds})
        part = self._path.with_suffix(f".{os.getpid()}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text, "utf-8")
            part.replace(self._path)
        except OSError as error:
            log.warning("the speed of this machine cannot be noted down: %s", error)


def _settled(passes: list[dict[int, float]]) -> dict[int, float]:
    """Seconds by number of rows, as in the fastest pass; what disturbed single steps is left out.

    A pass is as slow as its steps are beside what they take usually, and a step takes as long,
    beside that, as it does in most passes.
    """
    usual = {rows: median_low(each[rows] for each in passes) for rows in passes[0]}
    slowness = [median_low(each[rows] / usual[rows] for rows in usual) for each in passes]
    return {
        rows: min(slowness)
        * median_low(each[rows] / slow for each, slow in zip(passes, slowness, strict=True))
        for rows in usual
    }


def _whole(seconds: dict[int, float]) -> bool:
    return seconds.keys() - {_APART} == set(MEASURED_ROWS)
