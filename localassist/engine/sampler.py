"""Sampler: the next token from a row of logits, in numpy on the zero-copy view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist._lazy import require

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from localassist.engine.request import SamplingParams

# A token this many nats below the likeliest has a probability under e-20 of it: never sampled in
# practice, and leaving it out keeps 150,000 others out of the sort.
_NEGLIGIBLE_NATS = 20.0


class Sampler:
    """Chooses tokens for one sequence; the same seed and logits give the same tokens."""

    def __init__(self, params: SamplingParams, *, seed: int) -> None:
        self._params = params
        self._np: Any = require("numpy", package="numpy")
        self._random = self._np.random.Generator(self._np.random.PCG64(seed))

    def sample(self, logits: npt.NDArray[np.float32]) -> int:
        """Return a token id.

        Args:
            logits: one row, shape (n_vocab,), float32; read only.
        """
        params = self._params
        if params.temperature <= 0:
            return int(logits.argmax())
        np = self._np
        top = float(logits.max())
        if not np.isfinite(top):
            return int(logits.argmax())
        floor = top - _NEGLIGIBLE_NATS * max(params.temperature, 1e-3)
        candidates = np.flatnonzero(logits >= floor)
        order = np.argsort(-logits[candidates], kind="stable")
        candidates = candidates[order]
        if params.top_k:
            candidates = candidates[: params.top_k]
        scaled = (logits[candidates].astype(np.float64) - top) / params.temperature
        weights = np.exp(scaled)
        weights /= weights.sum()
        kept = len(weights)
        if params.top_p < 1:
            kept = int(np.searchsorted(np.cumsum(weights), params.top_p)) + 1
        if params.min_p > 0:
            kept = min(kept, int((weights >= params.min_p * weights[0]).sum()))
        cumulative = np.cumsum(weights[: max(1, kept)])
        draw = self._random.random() * cumulative[-1]
        return int(candidates[int(np.searchsorted(cumulative, draw, side="right"))])
