from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from localassist.engine.likely import LEAST_WEIGHT, Likely
from localassist.engine.peaks import Peaks

ROWS = hnp.arrays(
    np.float32,
    st.integers(1, 300) | st.integers(1020, 1100),
    elements=st.one_of(st.floats(-40, 8, width=32), st.sampled_from([-np.inf, 0.0, 8.0])),
).filter(lambda logits: np.isfinite(logits.max()))
TEMPERATURES = st.floats(0.05, 10)


def likely_of(logits, temperature):
    peaks = Peaks()
    peaks.read(logits)
    return Likely(peaks, temperature)


def weights_of(logits, temperature):
    return np.exp((logits.astype(np.float64) - logits.max()) / temperature)


@given(ROWS, TEMPERATURES)
def test_what_weighs_something_is_named_and_the_others_are_bounded(logits, temperature):
    likely = likely_of(logits, temperature)
    weights = weights_of(logits, temperature)
    assert likely.tokens == sorted(set(likely.tokens))
    if likely.tokens:  # none where too many columns hold likely tokens
        heavy = set(np.flatnonzero(weights >= LEAST_WEIGHT * 1.001).tolist())
        assert heavy <= set(likely.tokens)
    for token, weight in zip(likely.tokens, likely.weights, strict=True):
        assert weight >= LEAST_WEIGHT
        assert weight == pytest.approx(weights[token], rel=1e-3)
    least, most = likely.others
    left = np.delete(weights, likely.tokens).sum()
    assert least <= left * (1 + 1e-3) + 1e-4
    assert left <= most * (1 + 1e-3) + 1e-4


def rows():
    """Vocabularies that 32 divides and not, with few likely tokens, many, and nothing but these."""
    random = np.random.Generator(np.random.PCG64(11))
    for size in (1, 31, 1055, 4096, 5001):
        yield f"{size} alike", np.zeros(size, np.float32)
        yield f"{size} apart", random.normal(0, 4, size).astype(np.float32)
        one_likely = random.normal(-9, 1, size).astype(np.float32)
        one_likely[size // 2] = 0.0
        yield f"{size} and one likely", one_likely
        faint = np.full(size, -20.0, np.float32)
        faint[np.arange(size) % max(1, size // 32) < size // 200] = np.log(LEAST_WEIGHT * 0.9)
        faint[[size // 3, size // 4]] = 0.0, -0.1
        yield f"{size} and many that weigh little", faint
        in_two_lines = np.full(size, -9.0, np.float32)
        in_two_lines[size // min(32, size) :: max(1, size // min(32, size))] = -1.0
        in_two_lines[0] = 0.0
        yield f"{size} in a column", in_two_lines


LOGITS = dict(rows())


@pytest.mark.parametrize("name", LOGITS)
@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_they_weigh(name, temperature):
    """Chi-squared over groups of tokens that weigh alike; false alarm in one of 10,000 seeds."""
    logits, count, random = LOGITS[name], 4000, Random(5)
    likely = likely_of(logits, temperature)
    seen = Counter(likely.draw(random.random) for _ in range(count))
    weights = weights_of(logits, temperature)
    expected = count * weights / weights.sum()
    order = np.argsort(-expected, kind="stable")
    drawn = np.array([seen[token] for token in order.tolist()], np.float64)
    # Groups in which ten or more are expected.
    group = (np.cumsum(expected[order]) // 10).astype(int)
    wanted, found = np.bincount(group, expected[order]), np.bincount(group, drawn)
    kept = wanted > 5
    difference = ((found - wanted)[kept] ** 2 / wanted[kept]).sum()
    freedom = max(1, int(kept.sum()) - 1)
    assert difference < freedom + 4 * np.sqrt(2 * freedom) + 8
    assert set(seen) <= set(range(len(logits)))


def test_the_same_numbers_give_the_same_tokens():
    logits = np.random.Generator(np.random.PCG64(2)).normal(0, 3, 5000).astype(np.float32)
    first, second = (
        [likely_of(logits, 1.0).draw(random.random) for _ in range(50)]
        for random in (Random(7), Random(7))
    )
    assert first == second


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_one_number_is_mostly_enough(spread):
    """To draw a token takes more of them only where an unlikely one is tried."""
    random = np.random.Generator(np.random.PCG64(4))
    logits = random.normal(-14, spread, 32_000).astype(np.float32)
    logits[5] = 0.0
    numbers = Random(3)
    used = []
    likely = likely_of(logits, 1.0)
    for _ in range(200):
        likely.draw(lambda: used.append(1) or numbers.random())
    assert len(used) < 300
