"""Calibration: what a step costs here, measured once while nobody asks and kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from typing import TYPE_CHECKING, Any

from localassist.engine.step_plan import MEASURED_ROWS, CostCurve

if TYPE_CHECKING:
    from pathlib import Path

    from localassist.engine.backend import Backend

log = logging.getLogger("localassist.engine")

# Stands for a step of two rows apart, where others have their number of rows.
_APART = 0
# The least of so many times: what disturbs a measurement only ever adds to it.
_REPEATS = 3


class Calibration:
    """Cost curves of one backend by number of threads. Owned by the engine's loop.

    `measure` does one step at a time, so that whoever asks meanwhile waits for one step at most.
    """

    def __init__(self, backend: Backend, folder: Path | None) -> None:
        """Read what was measured before.

        Args:
            backend: what is measured.
            folder: where the curves of all models are kept; None keeps them to this process.
        """
        self._backend = backend
        self._of = backend.fingerprint + ("|even" if backend.splits_evenly else "")
        digest = hashlib.sha256(f"{self._of}|{backend.max_threads}".encode()).hexdigest()
        self._path = None if folder is None else folder / f"{digest[:32]}.json"
        self._todo = self._all_steps()
        self._seconds: dict[int, dict[int, float]] = {}
        if self._load():
            most = self._seconds[backend.max_threads]
            known = _APART in most or not backend.side_ctx
            self._todo = [] if known else [(backend.max_threads, _APART)] * _REPEATS

    def _all_steps(self) -> list[tuple[int, int]]:
        """Numbers of threads and of rows, the first one last.

        What is repeated lies apart: while a process starts, all of its first steps are disturbed.
        """
        most = self._backend.max_threads
        steps = [
            (num_threads, num_rows)
            for num_threads in sorted({most, max(1, most - 1)}, reverse=True)
            for _ in range(_REPEATS)
            for num_rows in MEASURED_ROWS
        ]
        if self._backend.side_ctx:
            steps += [(most, _APART)] * _REPEATS
        return steps[::-1]

    def again(self) -> None:
        """What was measured was disturbed by other programs: measure it again.

        The lesser of both times counts, so that nothing is lost by it.
        """
        if self.done:
            self._todo = self._all_steps()

    def lower(self, num_rows: int, seconds: float, *, apart: bool = False) -> None:
        """Steps of so many rows, or of two apart, take less with all threads than was measured."""
        known = self._seconds.get(self._backend.max_threads, {})
        step = _APART if apart else num_rows
        if step in known:
            known[step] = min(seconds, known[step])

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

    def measure(self) -> None:
        """Measure one step."""
        num_threads, num_rows = self._todo[-1]
        self._backend.use_threads(num_threads)
        apart = num_rows == _APART
        seconds = self._backend.time_apart() if apart else self._backend.time_rows(num_rows)
        self._todo.pop()
        if seconds is None:  # full of idle conversations; the next process may have room
            self._todo.clear()
        else:
            known = self._seconds.setdefault(num_threads, {})
            known[num_rows] = min(seconds, known.get(num_rows, seconds))
        numbers = {num_threads for num_threads, _rows in self._all_steps()}
        if self.done and all(_whole(self._seconds.get(each, {})) for each in numbers):
            self._store()

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


def _whole(seconds: dict[int, float]) -> bool:
    return seconds.keys() - {_APART} == set(MEASURED_ROWS)
