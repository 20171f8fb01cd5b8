"""Peaks: the logits of a row that are near its greatest, found without looking at each of them."""

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
    then little of it.

    Attributes:
        top: the greatest logit; not a number if any is not.
    """

    def __init__(self, logits: Logits) -> None:
        """Read the row once.

        Args:
            logits: shape (n,), n > 0; read only.
        """
        self._np: Any = require("numpy", package="numpy")
        self._logits = logits
        self._width = len(logits) // _NUM_LINES
        in_lines = self._width * _NUM_LINES
        self._lines = logits[:in_lines].reshape(_NUM_LINES, self._width)
        # Behind the columns, what filled no further line.
        self._maxima = self._np.concatenate([self._lines.max(axis=0), logits[in_lines:]])
        self.top = self._maxima.max()

    def at_least(self, least: np.float32) -> Indices:
        """Where the row is not less than that, in ascending order, shape (k,).

        Of a row with what is not a number it may be less than that.
        """
        np, width = self._np, self._width
        found = np.flatnonzero(self._maxima >= least)
        if len(found) > _MANY * len(self._maxima):
            return np.flatnonzero(self._logits >= least)  # type: ignore[no-any-return]  # numpy
        split = np.searchsorted(found, width)
        columns, behind = found[:split], found[split:]
        lines, at = np.nonzero(self._lines[:, columns] >= least)
        inside = lines * width + columns[at]
        return np.concatenate([inside, behind + (_NUM_LINES - 1) * width])  # type: ignore[no-any-return]  # numpy

    def best(self, count: int) -> Indices:
        """Where the `count` greatest are, the greatest first, shape (count,); all of a shorter row.

        Equal ones are in ascending order; which of those that are equal to the least come in is
        open. Of a row with what is not a number it may be others, but so many.
        """
        np = self._np
        near: Indices = np.zeros(0, np.intp)
        if count < len(self._maxima):
            # So many columns hold something as great, so nothing that is less can be among them.
            near = self.at_least(np.partition(self._maxima, -count)[-count])
        if len(near) < count:  # or there is what is not a number
            near = np.arange(len(self._logits))
        values = -self._logits[near]
        if len(near) > count:
            part = np.sort(np.argpartition(values, count)[:count])
            near, values = near[part], values[part]
        return near[np.argsort(values, kind="stable")]  # type: ignore[no-any-return]  # numpy
