from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.filters import drawn_of_filtered
from localassist.engine.peaks import Peaks
from localassist.engine.request import SamplingParams

FILTERED = st.builds(
    SamplingParams,
    temperature=st.floats(0.1, 3),
    top_p=st.one_of(st.just(1.0), st.floats(0, 1)),
    top_k=st.one_of(st.just(0), st.integers(0, 60)),
    min_p=st.one_of(st.just(0.0), st.floats(1e-6, 1)),
).filter(lambda params: params.filters)


def peaks_of(logits):
    peaks = Peaks()
    peaks.read(logits)
    return peaks


def by_the_textbook(logits, position, params):
    """Every token that rounding may make of it."""
    order = np.argsort(-logits, kind="stable")
    weights = np.exp((logits[order].astype(np.float64) - logits.max()) / params.temperature)
    found: set[int] = set()
    for nudge in (-1e-5, 0.0, 1e-5):
        kept = len(weights)
        if params.top_k:
            kept = min(kept, params.top_k)
        if params.top_p < 1:
            reached = np.cumsum(weights[:kept])
            kept = min(
                kept, int(np.searchsorted(reached, params.top_p * reached[-1] * (1 + nudge))) + 1
            )
        if params.min_p > 0:
            kept = max(1, min(kept, int((weights >= params.min_p * (1 + nudge)).sum())))
        ends = np.cumsum(weights[:kept])
        around = np.array([position - 1e-5, position + 1e-5]) * ends[-1]
        first, last = np.searchsorted(ends, around, side="right").tolist()
        found.update(order[min(first, kept - 1) : last + 1].tolist())
    return found


@given(
    st.integers(0, 2**32), st.sampled_from([5, 40, 700, 2048]), st.floats(0.5, 6),
    st.floats(0, 1, exclude_max=True), FILTERED,
)  # fmt: skip
def test_it_is_the_token_that_a_sort_of_all_gives(seed, size, spread, position, params):
    logits = np.random.Generator(np.random.PCG64(seed)).normal(0, spread, size).astype(np.float32)
    found = drawn_of_filtered(peaks_of(logits), position, params)
    assert found in by_the_textbook(logits, position, params)


@pytest.mark.parametrize(("others", "weight"), [(900, 8e-4), (900, 5e-4), (100_000, 9e-6)])
@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=1.0, top_p=0.3),
        SamplingParams(temperature=1.0, top_p=0.6),
        SamplingParams(temperature=1.0, top_p=0.99),
        SamplingParams(temperature=1.0, top_k=3, top_p=0.9999),
        SamplingParams(temperature=1.0, top_k=600, top_p=0.9),
        SamplingParams(temperature=1.0, min_p=6e-4),
        SamplingParams(temperature=1.0, min_p=1e-6),
        SamplingParams(temperature=1.0, top_p=0.8, min_p=6e-4),
    ],
    ids=str,
)
def test_what_weighs_little_counts_where_it_is_much_together(others, weight, params):
    """Tokens that are not looked at one by one, near the likely one and far from it."""
    logits = np.full(128_000, -40.0, np.float32)
    logits[-others:] = np.log(weight) - np.linspace(0, 0.01, others)  # hardly two alike
    logits[77] = 0.0
    for position in (0.0, 0.35, 0.7, 0.99):
        found = drawn_of_filtered(peaks_of(logits), position, params)
        assert found in by_the_textbook(logits, position, params)


class Sparing(Peaks):
    """Neither weighs nor orders a row's tokens."""

    def weigh(self, logits, temperature, *, out):
        assert logits.size < len(self.logits) / 4
        return super().weigh(logits, temperature, out=out)

    def best(self, count):
        raise AssertionError(count)


@pytest.mark.parametrize("top_k", [0, 1, 5, 40, 4000])
def test_in_rows_like_those_of_a_model_bounds_are_enough(top_k):
    random = np.random.Generator(np.random.PCG64(1))
    params = SamplingParams(temperature=0.2, top_p=0.95, top_k=top_k, min_p=0.05)
    for position in np.linspace(0, 0.99, 20).tolist():
        logits = random.normal(0, 2, 32_000).astype(np.float32)
        logits[random.integers(0, 32_000, 8)] += 14
        peaks = Sparing()
        peaks.read(logits)
        assert drawn_of_filtered(peaks, position, params) in by_the_textbook(
            logits, position, params
        )


@pytest.mark.parametrize("params", [SamplingParams(temperature=1.0, top_p=0.0),
                                    SamplingParams(temperature=1.0, top_k=1),
                                    SamplingParams(temperature=1.0, min_p=1.0)])  # fmt: skip
def test_the_strictest_filters_leave_the_likeliest(params):
    logits = np.array([0.1, 0.5, 0.4], np.float32)
    assert {drawn_of_filtered(peaks_of(logits), each, params) for each in (0.0, 0.5, 0.99)} == {1}
