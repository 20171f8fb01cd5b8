"""Peaks: what is greatest in a row of logits, found without looking at each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist._lazy import require

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Logits = npt.NDArray[np.float32]
    Indices = npt.NDArray[np.intp]

# Lines that a row is laid out in. Their columns' maxima are vector instructions over whole lines.
_NUM_LINES = 32
# With more of the columns than this, looking at the whole row is faster.
_MANY = 0.25


class Peaks:
    """A row of logits, laid out in lines one below the other, and what is greatest in each column.

    Of 150,000 tokens the likely ones lie in some ten of 4,800 columns: the row is read once, and
    then little of it. A line begins with the few logits that its predecessor ends with where the
    row cannot be divided evenly.

    Attributes:
        logits: the row, shape (n,).
        lines: the same, shape (lines, columns).
        distance: from the beginning of a line to that of the next one.
        maxima: of the columns, shape (columns,).
        top: the greatest logit; not a number if any is not.
    """

    logits: Logits
    lines: Logits
    top: float

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._np: Any = require("numpy", package="numpy")
        self._length = self.distance = 0
        self.maxima: Logits = self._np.empty(0, self._np.float32)

    def read(self, logits: Logits) -> None:
        """Go over a row once.

        Args:
            logits: shape (n,), n > 0, float32, contiguous; to be left as it is.
        """
        if len(logits) != self._length:
            self._lay_out(len(logits))
        self.logits = logits
        self.lines = self._np.ndarray(self._shape, logits.dtype, logits, strides=self._strides)
        self.lines.max(axis=0, out=self.maxima)
        self.top = float(self.maxima.max())

    def _lay_out(self, length: int) -> None:
        self._length = length
        num_lines = min(_NUM_LINES, max(1, length // _NUM_LINES))  # no fewer columns than lines
        self.distance = length // num_lines
        self._shape = num_lines, length - (num_lines - 1) * self.distance
        self.maxima = self._np.empty(self._shape[1], self._np.float32)
        self._strides = self.distance * self.maxima.itemsize, self.maxima.itemsize

    @property
    def overlaps(self) -> bool:
        """Whether lines begin with what the one before ends with."""
        return len(self.maxima) > self.distance

    def weigh(self, logits: Logits, temperature: float, *, out: Logits) -> Logits:
        """Write into `out` what tokens of such logits weigh; the likeliest token weighs 1."""
        np = self._np
        np.subtract(logits, self.top, out=out)
        np.multiply(out, 1 / temperature, out=out)
        return np.exp(out, out=out)  # type: ignore[no-any-return]  # numpy is imported late

    def best(self, count: int) -> Indices:
        """Where the `count` greatest are, the greatest first, shape (count,); all of a shorter row.

        Equal ones are in ascending order; which of those that are equal to the least come in is
        open. Of a row with what is not a number it may be others, but so many.
        """
        np = self._np
        near: Indices = np.zeros(0, np.intp)
        if count < _MANY * len(self.maxima):
            # So many columns hold something as great, so nothing that is less can be among them.
            near = self._at_least(np.partition(self.maxima, -count)[-count])
        if len(near) < count:  # or there is what is not a number
            near = np.arange(len(self.logits))
        values = -self.logits[near]
        if len(near) > count:
            part = np.sort(np.argpartition(values, count)[:count])
            near, values = near[part], values[part]
        return near[np.argsort(values, kind="stable")]  # type: ignore[no-any-return]  # numpy

    def _at_least(self, least: np.float32) -> Indices:
        """Where the row is not less than that, in ascending order, shape (k,)."""
        columns = (self.maxima >= least).nonzero()[0]
        lines, at = (self.lines[:, columns] >= least).nonzero()
        return self._np.unique(lines * self.distance + columns[at])  # type: ignore[no-any-return]  # numpy
