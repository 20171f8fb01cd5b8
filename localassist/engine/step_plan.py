"""StepPlan: how many rows and how much prompt a step computes, from what rows cost here.

On a CPU a step's time is no smooth function of its rows: some numbers of rows go through faster
kernels than smaller ones do. So the costs are measured, and a group of rows may even be padded.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Rows whose cost is measured; between them it is interpolated.
MEASURED_ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 24, 31, 32)
# Before anything was measured: every further row costs 0.6 of the first.
_PRIOR_ROW = 0.6
_PRIOR_SECONDS = 0.03
_PADDING_PAYS = 0.97  # a padded step must cost this part of the plain one

# llama.cpp's attention reads the context once for 64 rows, and row by row for fewer: far into a
# conversation, 32 rows take almost as long as 64. So steps with a prompt are whole tiles, unless
# running answers would have to wait too long.
TILE = 64
# What attention adds to a token's cost for each token before it, in a whole tile and row by row, as
# parts of that cost; and what a token of a smaller step costs beside one of a tile. Measured on
# models of 0.1 to 1.5 billion parameters, which differ little; the least of the gain is counted on.
_TILED_ATTENTION, _SMALL_ATTENTION = 2.2e-4, 5e-4
_SMALL_COST = 1.05
_SIZES = (512, 384, 256, 192, 128, 64, 32, 16)
# Where even 16 rows would keep answers waiting for too long: twelve read as fast, eight a seventh
# slower. At most so many of them may be the answers' own, or nothing would be read.
_FEWER, _LEAST_PARTS = (12, 8), 4
# How long running answers are kept waiting by somebody else's prompt: what a step may take anyway,
# what it may take for the sake of a whole tile, and what else it may be expected to take; steps of
# fewer rows took up to a third more than was expected.
BESIDE_ANSWERS_S = 0.15
LONGEST_GAP_S = 0.32
_LONGEST_SMALL_S = 0.26
# How long new arrivals wait for the step of a prompt that is alone.
ALONE_S = 0.5
_FOLLOW = 0.4  # weight of the newest observation of a speed


class CostCurve:
    """Seconds of a step by its number of rows, on an otherwise idle machine. Does not change.

    Attributes:
        seconds: by number of rows; empty before it was measured.
        apart_s: of two rows at once, each with half of the threads; None if there is no such step.
    """

    def __init__(
        self, seconds: Mapping[int, float] | None = None, *, apart_s: float | None = None
    ) -> None:
        self.seconds = dict(seconds or {})
        self.apart_s = apart_s
        self._known = sorted(self.seconds)
        self._padded: dict[int, int] = {}
        self._groups: dict[int, int] = {}

    def cost(self, num_rows: int) -> float:
        """Seconds of a step of `num_rows`, at least 1; interpolated, or guessed if need be."""
        known = self._known
        if not known:
            return _PRIOR_SECONDS * (1 + _PRIOR_ROW * (num_rows - 1))
        at = bisect_left(known, num_rows)
        if at == len(known):
            return self.seconds[known[-1]] * num_rows / known[-1]
        high = known[at]
        if high == num_rows or at == 0:
            return self.seconds[high]
        low = known[at - 1]
        part = (num_rows - low) / (high - low)
        return self.seconds[low] * (1 - part) + self.seconds[high] * part

    def padded(self, num_rows: int) -> int:
        """The number of rows, at least `num_rows`, whose step costs least.

        One row is never padded: two read the same weights, and can seem to cost less only where
        the one was measured beside another program. Its steps could never show that then.
        """
        if num_rows == 1:
            return 1
        if num_rows not in self._padded:
            larger = [rows for rows in self._known if num_rows < rows <= 2 * num_rows]
            best = min(larger, key=self.cost, default=num_rows)
            pays = self.cost(best) < _PADDING_PAYS * self.cost(num_rows)
            self._padded[num_rows] = best if pays else num_rows
        return self._padded[num_rows]

    def group(self, num_rows: int) -> int:
        """How many of `num_rows` answers to continue in a step, so that a token costs least.

        Whoever was served least recently comes first, so over several steps everybody is served
        alike, and the least cost of a token in one step is the least cost altogether.
        """
        if num_rows not in self._groups:
            sizes = range(num_rows, 0, -1)
            costs = {size: self.cost(self.padded(size)) / size for size in sizes}
            self._groups[num_rows] = min(costs, key=lambda size: costs[size])
        return self._groups[num_rows]

    def apart_pays(self, num_rows: int) -> bool:
        """Whether a token costs least where two of so many answers are continued apart."""
        if self.apart_s is None or num_rows == 1:
            return False
        size = self.group(num_rows)
        return self.apart_s / 2 <= self.cost(self.padded(size)) / size


class StepPlan:
    """Sizes of steps. Owned by the scheduler; `observe_prefill` keeps the speeds up to date."""

    def __init__(self, curve: CostCurve | None = None) -> None:
        self.curve = curve or CostCurve()
        # Tokens a second of steps of whole tiles, and of smaller ones.
        self._tiled_rate: float | None = None
        self._small_rate: float | None = None

    def chunk(self, *, num_rows: int, num_pending: int, limit: int) -> int:
        """Tokens of prompt for a step that also continues `num_rows` answers.

        Args:
            num_rows: answers.
            num_pending: tokens of all prompts that are being read.
            limit: at most so many.
        """
        most_s = BESIDE_ANSWERS_S if num_rows else ALONE_S
        gap_s = LONGEST_GAP_S if num_rows else 2 * ALONE_S
        total = next((size for size in _SIZES if self.seconds(size) <= most_s), 0)
        if total < TILE:
            total = TILE if self.seconds(TILE) <= gap_s else self._less_than_a_tile(num_rows)
        size = max(total - num_rows, 1)
        # A step for the few that would be left costs as much as half a tile.
        few_left = 0 < num_pending - size <= TILE // 2
        if few_left and self.seconds(num_pending + num_rows) <= gap_s:
            size = num_pending
        return min(size, limit)

    def _less_than_a_tile(self, num_rows: int) -> int:
        most_s = _LONGEST_SMALL_S if num_rows else 2 * ALONE_S
        fewer = (size for size in _FEWER if 0 < _LEAST_PARTS * num_rows <= size)
        sizes = [*(size for size in _SIZES if size < TILE), *fewer]
        return next((size for size in sizes if self.seconds(size) <= most_s), sizes[-1])

    def padded(self, num_tokens: int, *, depth: float | None) -> int:
        """Rows of a step that reads prompt: more than its tokens where that costs less.

        Args:
            num_tokens: of the step.
            depth: how many tokens come before one of them, on average; None if they belong to
                several sequences, which no tile is made of.
        """
        if depth is None:
            return self.curve.padded(num_tokens)
        tile = TILE * (1 + _TILED_ATTENTION * depth)
        plain = num_tokens * (_SMALL_COST + _SMALL_ATTENTION * depth)
        if num_tokens < TILE and tile < _PADDING_PAYS * plain:
            return TILE
        return self.curve.padded(num_tokens)

    def seconds(self, num_tokens: int) -> float:
        """How long a step of so many rows, most of them of a prompt, will take."""
        tiled, small = self._tiled_rate, self._small_rate
        guess = 32 / self.curve.cost(32)
        if num_tokens < TILE:
            return num_tokens / (small or tiled or guess)
        return num_tokens / (tiled or small or guess)

    def observe_prefill(self, *, num_tokens: int, seconds: float) -> None:
        """A step of so many rows, most of them of a prompt or its padding, took so long."""
        if num_tokens < _FEWER[-1] or seconds <= 0:
            return
        rate = num_tokens / seconds
        if num_tokens < TILE:
            self._small_rate = _followed(self._small_rate, rate)
            # Nothing says how fast whole tiles are while none is tried, but that they are not
            # slower.
            if self._tiled_rate is not None:
                self._tiled_rate = max(self._tiled_rate, self._small_rate)
        else:
            self._tiled_rate = _followed(self._tiled_rate, rate)


def _followed(before: float | None, now: float) -> float:
    return now if before is None else before + _FOLLOW * (now - before)
