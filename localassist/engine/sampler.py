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

# A token this many nats below the likeliest has a probability under e-20 of it: never sampled in
# practice, and leaving it out keeps 150,000 others out of the sort.
_NEGLIGIBLE_NATS = 20.0
_FEW = 1024  # candidates that are sorted at once; almost always enough
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
            self._seen.add(token)
        return token

    def replace(self, token: int, other: int) -> None:
        """What was sampled last may not stand; `other` does instead."""
        if self._penalises:
            self._counts[token] -= 1
            self._counts[other] += 1
            self._seen.add(other)

    def ranked(self, logits: Logits, count: int) -> Iterator[int]:
        """The `count` likeliest tokens, best first."""
        np = self._np
        best = np.argpartition(-logits, min(count, len(logits) - 1))[:count]
        order = np.argsort(-logits[best], kind="stable")
        return (int(token) for token in best[order])

    def best_of(self, logits: Logits, allowed: npt.NDArray[np.bool_]) -> int | None:
        """A token of those that `allowed`, shape (n_vocab,), names; None if it names none."""
        np = self._np
        if not allowed.any():
            return None
        return self._choose(np.where(allowed, logits, np.float32("-inf")))

    def _choose(self, logits: Logits) -> int:
        params, np = self._params, self._np
        if params.temperature <= 0:
            return int(logits.argmax())
        top = float(logits.max())
        if not np.isfinite(top):
            return int(logits.argmax())
        candidates = np.flatnonzero(logits >= top - _NEGLIGIBLE_NATS * params.temperature)
        values = logits[candidates].astype(np.float64)
        weights = np.exp((values - top) / params.temperature)
        if params.top_k or params.top_p < 1 or params.min_p > 0:
            candidates, weights = self._likeliest(candidates, weights)
        cumulative = np.cumsum(weights)
        draw = self._random.random() * cumulative[-1]
        at = int(np.searchsorted(cumulative, draw, side="right"))
        return int(candidates[min(at, len(candidates) - 1)])

    def _likeliest(self, candidates: Any, weights: Any) -> tuple[Any, Any]:
        """What top_k, then top_p, then min_p leave, best first."""
        params, np = self._params, self._np
        total = float(weights.sum())
        few = params.top_k or _FEW
        if len(weights) > few:
            part = np.argpartition(-weights, few)[:few]
            enough = params.top_k or weights[part].sum() >= params.top_p * total
            if enough:
                candidates, weights = candidates[part], weights[part]
        order = np.argsort(-weights, kind="stable")
        candidates, weights = candidates[order], weights[order]
        if params.top_k:
            total = float(weights.sum())
        kept = len(weights)
        if params.top_p < 1:
            kept = int(np.searchsorted(np.cumsum(weights), params.top_p * total)) + 1
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
