"""Likely: the tokens of a row that weigh something, one by one, and bounds for all the others.

Of 150,000 tokens some ten have nearly all the weight. To know what the others weigh takes as many
exponentials; to draw a token by its weight, and most often to filter, takes no more than bounds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from localassist.engine.peaks import Logits, Peaks

# Tokens of this part of the likeliest one's weight are looked at one by one.
LEAST_WEIGHT = 1e-3
# Columns with a token of such a weight are summed, others taken for the most they can weigh; where
# too many are, those with one of the next weight, or none.
_LEAST_IN_COLUMNS = (1e-5, 1e-4, 1e-3)
_MANY_COLUMNS = 0.25


class Likely:
    """Of one row, at one temperature. The likeliest token weighs 1.

    Between two steps the weights have passed through the caches, so the first call of anything in
    numpy costs some 10 us: there are few of them, and where there are methods, these.

    Attributes:
        tokens: ids of those that weigh LEAST_WEIGHT or more, ascending, shape (k,); none where too
            many columns hold such a token.
        weights: of theirs, shape (k,).
        others: what all other tokens weigh together, at least and at most.
    """

    def __init__(self, peaks: Peaks, temperature: float) -> None:
        """Weigh them.

        Args:
            peaks: of a row whose greatest logit is a finite number.
            temperature: that logits are divided by; above 0.
        """
        self._peaks, self._temperature = peaks, temperature
        self._bounds: Logits = peaks.weigh(peaks.maxima, temperature, out=peaks.maxima.copy())
        self._columns: Any = self._likely_columns()
        block = peaks.lines[:, self._columns]
        peaks.weigh(block, temperature, out=block)
        if peaks.overlaps:  # what is in two lines counts in the second
            block[:-1, self._columns >= peaks.distance] = 0
        self._inside: Logits = block.ravel()
        places = (self._inside >= LEAST_WEIGHT).nonzero()[0]
        self.tokens = self._tokens(places.tolist())
        self.weights: list[float] = self._inside[places].tolist()
        all_inside, near = float(self._inside.sum()), sum(self.weights)
        self._bounds[self._columns] = 0
        outside = len(peaks.lines) * float(self._bounds.sum())
        self.others = max(0.0, all_inside - near), max(0.0, all_inside - near + outside)

    def _likely_columns(self) -> Any:
        for least in _LEAST_IN_COLUMNS:
            columns = (self._bounds >= least).nonzero()[0]
            if len(columns) <= max(1, _MANY_COLUMNS * len(self._bounds)):
                return columns
        return columns[:0]

    def _tokens(self, places: list[int]) -> list[int]:
        """Ids of what lies in the likely columns, line by line."""
        width, distance = len(self._columns), self._peaks.distance
        columns = self._columns.tolist()
        return [each // width * distance + columns[each % width] for each in places]

    def draw(self, random: Callable[[], float]) -> int:
        """A token by its weight, without knowing what all of them weigh.

        Outside the likely columns every token is drawn as if it weighed as much as the greatest one
        of its column. One that weighs less is taken only so often; else everything is drawn anew.
        """
        ends = list(accumulate(self.weights, initial=0.0))
        outside: Any = None
        at_least, at_most = self.others
        while True:
            amount = random() * (ends[-1] + at_most)
            if amount < ends[-1]:
                return self.tokens[bisect_right(ends, amount) - 1]
            if amount < ends[-1] + at_least:
                token = self._faint(amount - ends[-1])
            else:
                if outside is None:
                    outside = self._bounds.cumsum(dtype="float64")
                token = self._outside(outside, random)
            if token is not None:
                return token

    def _faint(self, amount: float) -> int | None:
        """A token of the likely columns that weighs less; None at the end, by rounding."""
        ends = (self._inside * (self._inside < LEAST_WEIGHT)).cumsum(dtype="float64")
        place = int(ends.searchsorted(amount, side="right"))
        return self._tokens([place])[0] if place < len(ends) else None

    def _outside(self, ends: Any, random: Callable[[], float]) -> int | None:
        """A token of the other columns; None if it weighs less than it was drawn for."""
        peaks = self._peaks
        column = int(ends.searchsorted(random() * float(ends[-1]), side="right"))
        line = int(random() * len(peaks.lines))
        if column >= (len(ends) if line == len(peaks.lines) - 1 else peaks.distance):
            return None
        logit = float(peaks.lines[line, column])
        weight = math.exp((logit - peaks.top) / self._temperature)
        taken = random() * float(self._bounds[column]) < weight
        return line * peaks.distance + column if taken else None
