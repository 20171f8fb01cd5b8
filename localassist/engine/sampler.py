"""Sampler: the next token from a row of logits, in numpy on the zero-copy view."""

from __future__ import annotations

import math
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.engine.filters import drawn_of_filtered
from localassist.engine.likely import Likely
from localassist.engine.peaks import Peaks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from localassist.engine.peaks import Logits
    from localassist.engine.request import SamplingParams

# What is cooler is as good as greedy, and its inverse might be infinite.
_COOLEST = 1e-6
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
        self._random = Random(seed % _SEEDS)  # noqa: S311  # nothing is kept secret by it
        self._peaks = Peaks()
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
        self._peaks.read(logits)
        return (int(token) for token in self._peaks.best(count))

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
        if self._params.temperature < _COOLEST:
            return int(logits.argmax())
        self._peaks.read(logits)
        if not math.isfinite(self._peaks.top):
            return int(logits.argmax())
        if self._params.filters:
            return drawn_of_filtered(self._peaks, self._random.random(), self._params)
        return Likely(self._peaks, self._params.temperature).draw(self._random.random)

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
