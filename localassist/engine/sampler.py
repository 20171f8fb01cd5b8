"""Sampler: the next token from a row of logits, in numpy on the zero-copy view."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.engine.peaks import Peaks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from localassist.engine.request import SamplingParams

    Logits = npt.NDArray[np.float32]

# Tokens of less than this part of the likeliest one's weight are looked at only if need be.
_FEW_WEIGH = 1e-4
# What is cooler is as good as greedy, and its inverse might be infinite.
_COOLEST = 1e-6
# What is so many temperatures below the best logit weighs 1e-7 of it at most.
_FAR = 16.0
_MANY = 0.25
# The same for filters, in turn until what is found is enough.
_LEAST_WEIGHTS = (1e-2, 1e-3, 1e-4, 1e-6)
_SEEDS = 1 << 64


class Sampler:
    """Chooses tokens for one sequence; the same seed and logits give the same tokens."""

    def __init__(self, params: SamplingParams, *, seed: int, prompt: Sequence[int] = ()) -> None:
        """Start a sequence.

        Args:
            params: how to choose.
            seed: any whole number; counted modulo 2**64.
            prompt: what `repeat_penalty` counts besides the answer.
        """
        self._params = params
        self._np: Any = require("numpy", package="numpy")
        self._random = self._np.random.Generator(self._np.random.PCG64(seed % _SEEDS))
        self._next: float | None = None
        self._row: Logits | None = None
        self._is_news = False  # whether the last token had not been seen before
        self._counts: Counter[int] = Counter()
        self._seen: set[int] = set(prompt) if params.repeat_penalty != 1.0 else set()
        self._penalises = params.penalises

    def sample(self, logits: Logits) -> int:
        """Return a token id and count it.

        Args:
            logits: one row, shape (n_vocab,), float32; read only.
        """
        if self._penalises:
            logits = self._penalised(logits)
        token = self._choose(logits)
        if self._penalises:
            self._counts[token] += 1
            self._is_news = token not in self._seen
            self._seen.add(token)
        return token

    def replace(self, token: int, other: int) -> None:
        """What was sampled last may not stand; `other` does instead."""
        if self._penalises:
            self._counts[token] -= 1
            self._counts[other] += 1
            if self._is_news:
                self._seen.discard(token)
            self._seen.add(other)

    def ranked(self, logits: Logits, count: int) -> Iterator[int]:
        """The `count` likeliest tokens, best first."""
        if self._penalises:
            logits = self._penalised(logits)
        return (int(token) for token in Peaks(logits).best(count))

    def best_of(self, logits: Logits, allowed: npt.NDArray[np.bool_]) -> int | None:
        """A token of those that `allowed`, shape (n_vocab,), names; None if it names none."""
        np = self._np
        if not allowed.any():
            return None
        if self._penalises:
            logits = self._penalised(logits)
        token = self._choose(np.where(allowed, logits, np.float32("-inf")))
        return token if allowed[token] else int(allowed.argmax())

    def _choose(self, logits: Logits) -> int:
        params, np = self._params, self._np
        if params.temperature < _COOLEST:
            return int(logits.argmax())
        peaks = Peaks(logits) if params.top_k else None
        top = logits.max() if peaks is None else peaks.top
        if not np.isfinite(top):
            return int(logits.argmax())
        if peaks is not None:
            best = peaks.best(params.top_k)
            weights = self._weights(logits[best], top, out=None)
            return self._draw_of_best(best, weights, total=float(weights.sum()))
        if params.top_p < 1 or params.min_p > 0:
            weights = self._weights(logits, top, out=self._scratch(logits))
            total = float(weights.sum())
            best = self._heaviest(weights, total)
            return self._draw_of_best(best, weights[best], total=total)
        token = self._draw_of_few(logits, top)
        if token is None:
            weights = self._weights(logits, top, out=self._scratch(logits))
            order = np.argsort(weights < _FEW_WEIGH, kind="stable")
            token = self._draw(order, weights[order])
        return token

    def _draw_of_few(self, logits: Logits, top: Any) -> int | None:
        """A token, if it is the same whatever those weigh that are far below the best.

        Of 150,000 tokens some hundred have nearly all the weight; to know what the others weigh
        takes as many exponentials, and only a draw next to where one token ends needs it. None,
        too, where so many are near that computing everything at once is faster.
        """
        np = self._np
        least_near = top - np.float32(_FAR * self._params.temperature)
        near = np.flatnonzero(np.greater_equal(logits, least_near, out=self._flags(logits)))
        if len(near) > _MANY * len(logits):
            return None
        weights = self._weights(logits[near], top, out=None)
        few = np.flatnonzero(weights >= _FEW_WEIGH)
        least = float(weights.sum(dtype=np.float64))
        most = least + (len(logits) - len(near)) * math.exp(-_FAR)
        ends = np.cumsum(weights[few], dtype=np.float64)
        draw = self._peek()
        first, last = np.searchsorted(ends, (draw * least, draw * most), side="right")
        if first != last or first == len(few):
            return None
        self._next = None
        return int(near[few[first]])

    def _weights(self, logits: Logits, top: Any, *, out: Logits | None) -> Logits:
        """Probabilities, the likeliest token's taken for 1."""
        np = self._np
        weights = np.subtract(logits, top, out=out)
        np.multiply(weights, np.float32(1 / self._params.temperature), out=weights)
        return np.exp(weights, out=weights)  # type: ignore[no-any-return]  # numpy is imported late

    def _scratch(self, logits: Logits) -> Logits:
        """A row that is written over at each step: new ones of this size are new memory pages."""
        if self._row is None or len(self._row) != len(logits):
            self._row = self._np.empty(len(logits), self._np.float32)
        return self._row

    def _flags(self, logits: Logits) -> npt.NDArray[np.bool_]:
        """The memory of `_scratch`, as a truth value for each token."""
        flags: npt.NDArray[np.bool_] = self._scratch(logits).view(self._np.bool_)
        return flags[: len(logits)]

    def _peek(self) -> float:
        """The next random number; `_draw` uses it up."""
        if self._next is None:
            self._next = float(self._random.random())
        return self._next

    def _draw(self, candidates: Any, weights: Any, *, total: float | None = None) -> int:
        """One of the candidates by its weight; without `total`, theirs is all there is."""
        np = self._np
        cumulative = np.cumsum(weights, dtype=np.float64)
        total = float(cumulative[-1]) if total is None else total
        draw = self._peek() * total
        self._next = None
        at = int(np.searchsorted(cumulative, draw, side="right"))
        return int(candidates[min(at, len(candidates) - 1)])

    def _heaviest(self, weights: Logits, total: float) -> Any:
        """Tokens among which are all that top_p or min_p leave, best first."""
        params, np = self._params, self._np
        candidates = np.arange(len(weights))
        for least in _LEAST_WEIGHTS:
            found = np.flatnonzero(weights >= least)
            if params.min_p >= least or weights[found].sum() >= params.top_p * total:
                candidates = found
                break
        return candidates[np.argsort(-weights[candidates], kind="stable")]

    def _draw_of_best(self, candidates: Any, weights: Any, *, total: float) -> int:
        """One of those that top_p, then min_p leave of tokens that come best first."""
        params, np = self._params, self._np
        kept = len(weights)
        if params.top_p < 1:
            cumulative = np.cumsum(weights, dtype=np.float64)
            kept = int(np.searchsorted(cumulative, params.top_p * total)) + 1
        if params.min_p > 0:
            kept = min(kept, int((weights >= params.min_p * weights[0]).sum()))
        kept = max(1, min(kept, len(weights)))
        return self._draw(candidates[:kept], weights[:kept])

    def _penalised(self, logits: Logits) -> Logits:
        params, np = self._params, self._np
        changed: Logits = logits.copy()
        if params.repeat_penalty != 1.0 and self._seen:
            seen = np.fromiter(self._seen, np.int64, len(self._seen))
            values = changed[seen]
            changed[seen] = np.where(
                values > 0, values / params.repeat_penalty, values * params.repeat_penalty
            )
        if self._counts:
            tokens = np.fromiter(self._counts.keys(), np.int64, len(self._counts))
            counts = np.fromiter(self._counts.values(), np.float32, len(self._counts))
            changed[tokens] -= params.frequency_penalty * counts + params.presence_penalty * (
                counts > 0
            )
        return changed


def exp_sum(logits: Logits, top: float) -> float:
    """Sum of e to the power of all logits less `top`."""
    np: Any = require("numpy", package="numpy")
    return float(np.exp(logits.astype(np.float64) - top).sum())
