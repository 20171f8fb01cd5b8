"""Filters: what top_k, then top_p, then min_p leave of a row, and a draw among it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from localassist.engine.likely import LEAST_WEIGHT, Likely

if TYPE_CHECKING:
    from localassist.engine.peaks import Indices, Logits, Peaks
    from localassist.engine.request import SamplingParams

# Once all tokens are weighed, what is left is looked for among those of such a weight first.
_LEAST_OF_ALL = 1e-5


def drawn_of_filtered(peaks: Peaks, position: float, params: SamplingParams) -> int:
    """The token at a position of the weight that filters leave.

    Args:
        peaks: of the row; its greatest logit is a finite number.
        position: from 0, where the heaviest one begins, to 1.
        params: temperature, above 0, and filters.
    """
    if params.top_p >= 1 and params.min_p < LEAST_WEIGHT:
        return _drawn_after_all(peaks, position, params)  # some of what is left weighs little
    likely = Likely(peaks, params.temperature)
    weights = likely.weights
    order = sorted(range(len(weights)), key=weights.__getitem__, reverse=True)
    heaviest_first = [weights[each] for each in order]
    least, most = likely.others
    if params.top_k:  # of the others, as many as are missing
        least, most = 0.0, min(most, max(0, params.top_k - len(order)) * LEAST_WEIGHT)
    kept = _num_kept(heaviest_first, params, others=least)
    if kept is None or kept != _num_kept(heaviest_first, params, others=most):
        return _drawn_after_all(peaks, position, params)
    ends = list(accumulate(heaviest_first[:kept]))
    return likely.tokens[order[min(bisect_right(ends, position * ends[-1]), kept - 1)]]


def _num_kept(weights: list[float], params: SamplingParams, *, others: float) -> int | None:
    """How many are left of tokens, the heaviest first; None if lighter ones may be left, too.

    top_p or a min_p that no lighter token reaches must be among the filters.

    Args:
        weights: of the heaviest.
        params: filters.
        others: what all lighter ones weigh together.
    """
    kept = len(weights)
    if not kept:
        return None
    if 0 < params.top_k <= kept:
        kept, others = params.top_k, 0.0
    if params.top_p < 1:
        ends = list(accumulate(weights[:kept]))
        reached = bisect_left(ends, params.top_p * (ends[-1] + others)) + 1
        if reached > kept and others:
            return None
        kept = min(kept, reached)
    if params.min_p > 0:
        kept = max(1, bisect_right(weights, -params.min_p, hi=kept, key=lambda each: -each))
    return kept


def _drawn_after_all(peaks: Peaks, position: float, params: SamplingParams) -> int:
    """The same after a look at every token."""
    if params.top_k:
        tokens = peaks.best(params.top_k)
        logits = peaks.logits[tokens]
        weights = peaks.weigh(logits, params.temperature, out=logits)
        total = float(weights.sum(dtype="float64"))
    else:
        tokens, weights, total = _all(peaks, params)
    ends = weights.cumsum(dtype="float64")
    kept = len(ends)
    if params.top_p < 1:
        kept = min(kept, int(ends.searchsorted(params.top_p * total)) + 1)
    if params.min_p > 0:
        kept = max(1, min(kept, int((weights >= params.min_p).sum())))
    ends = ends[:kept]
    return int(tokens[min(int(ends.searchsorted(position * ends[-1], side="right")), kept - 1)])


def _all(peaks: Peaks, params: SamplingParams) -> tuple[Indices, Logits, float]:
    """Tokens of which top_p and min_p leave the first ones, their weights, and that of all."""
    weights = peaks.weigh(peaks.logits, params.temperature, out=peaks.logits.copy())
    total = float(weights.sum(dtype="float64"))
    tokens = (weights >= _LEAST_OF_ALL).nonzero()[0]
    reached = params.top_p < 1 and float(weights[tokens].sum()) >= params.top_p * total
    if not reached and params.min_p < _LEAST_OF_ALL:
        tokens = (weights >= 0).nonzero()[0]
    tokens = tokens[(-weights[tokens]).argsort(kind="stable")]
    return tokens, weights[tokens], total
