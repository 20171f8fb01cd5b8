"""Sampler: the next token from a row of logits, in numpy on the zero-copy view."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from localassist._lazy import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from localassist.engine.request import SamplingParams

    Logits = npt.NDArray[np.float32]

# Tokens of less than this part of the likeliest one's weight are looked at only if need be.
_FEW_WEIGH = 1e-4
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
        np = self._np
        if self._penalises:
            logits = self._penalised(logits)
        best = np.argpartition(-logits, min(count, len(logits) - 1))[:count]
        order = np.argsort(-logits[best], kind="stable")
        return (int(token) for token in best[order])

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
        if params.temperature <= 0:
            return int(logits.argmax())
        top = logits.max()
        if not np.isfinite(top):
            return int(logits.argmax())
        weights = self._scratch(logits)
        np.subtract(logits, top, out=weights)
        np.multiply(weights, np.float32(1 / params.temperature), out=weights)
        np.exp(weights, out=weights)
        total = float(weights.sum())
        # Of 150,000 tokens some hundred have nearly all the weight; the rest is seldom needed.
        few = np.flatnonzero(weights >= _FEW_WEIGH)
        if params.top_k or params.top_p < 1 or params.min_p > 0:
            return self._draw(*self._likeliest(weights, few, total))
        if self._peek() * total < weights[few].sum():
            return self._draw(few, weights[few], total=total)
        rest = np.flatnonzero(weights < _FEW_WEIGH)
        order = np.concatenate([few, rest])
        return self._draw(order, weights[order], total=total)

    def _scratch(self, logits: Logits) -> Logits:
        """A row that is written over at each step: new ones of this size are new memory pages."""
        if self._row is None or len(self._row) != len(logits):
            self._row = self._np.empty(len(logits), self._np.float32)
        return self._row

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

    def _likeliest(self, weights: Any, few: Any, total: float) -> tuple[Any, Any]:
        """Tokens that top_k, then top_p, then min_p leave, best first, and their weights."""
        params, np = self._params, self._np
        enough = len(few) >= params.top_k if params.top_k else True
        if not params.top_k and params.top_p < 1:
            enough = weights[few].sum() >= params.top_p * total
        elif not params.top_k:
            enough = params.min_p >= _FEW_WEIGH
        candidates = few if enough else np.arange(len(weights))
        weights = weights[candidates]
        if params.top_k and len(candidates) > params.top_k:
            part = np.argpartition(-weights, params.top_k)[: params.top_k]
            candidates, weights = candidates[part], weights[part]
        order = np.argsort(-weights, kind="stable")
        candidates, weights = candidates[order], weights[order]
        if params.top_k:
            total = float(weights.sum())
        kept = len(weights)
        if params.top_p < 1:
            cumulative = np.cumsum(weights, dtype=np.float64)
            kept = int(np.searchsorted(cumulative, params.top_p * total)) + 1
        if params.min_p > 0:
            kept = min(kept, int((weights >= params.min_p * weights[0]).sum()))
        kept = max(1, min(kept, len(weights)))
        return candidates[:kept], weights[:kept]

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
