from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from localassist.engine.peaks import Peaks

ROWS = hnp.arrays(
    np.float32,
    st.integers(1, 300) | st.integers(1020, 1100),  # lines that overlap, and some that do not
    elements=st.one_of(
        st.floats(-8, 8, width=32), st.sampled_from([-np.inf, 0.0, 3.0])  # ties, and masks
    ),
)  # fmt: skip
LARGE = np.random.Generator(np.random.PCG64(3)).normal(0, 3, 152_001).astype(np.float32)


def peaks_of(logits):
    peaks = Peaks()
    peaks.read(logits)
    return peaks


@given(ROWS)
def test_the_top_is_the_greatest(logits):
    assert peaks_of(logits).top == logits.max()


@given(ROWS)
def test_every_token_lies_where_it_is_said_to(logits):
    peaks = peaks_of(logits)
    num_lines, num_columns = peaks.lines.shape
    ids = peaks.distance * np.arange(num_lines)[:, None] + np.arange(num_columns)
    assert set(ids.ravel().tolist()) == set(range(len(logits)))
    assert (peaks.lines == logits[ids]).all()
    assert peaks.overlaps == (ids.size > len(logits))


@given(ROWS, ROWS)
def test_the_next_row_may_be_of_another_size(first, second):
    peaks = peaks_of(first)
    peaks.read(second)
    assert peaks.top == second.max()
    assert peaks.maxima.tolist() == peaks.lines.max(axis=0).tolist()


@given(ROWS, st.integers(1, 310))
def test_the_best_are_those_of_a_sort(logits, count):
    best = peaks_of(logits).best(count)
    wanted = np.argsort(-logits, kind="stable")[:count]
    assert logits[best].tolist() == logits[wanted].tolist()
    assert len(set(best.tolist())) == len(best)
    for value in set(logits[best].tolist()):
        equal = best[logits[best] == value]
        assert equal.tolist() == sorted(equal.tolist())


@pytest.mark.parametrize("count", [1, 40, 1000, 5000, 200_000])
def test_the_best_of_a_whole_vocabulary(count):
    wanted = np.argsort(-LARGE, kind="stable")[:count]
    assert peaks_of(LARGE).best(count).tolist() == wanted.tolist()


def test_as_many_are_best_as_are_asked_for_whatever_is_not_a_number():
    logits = LARGE[:1000].copy()
    logits[::7] = np.nan
    peaks = peaks_of(logits)
    assert np.isnan(peaks.top)
    assert len(set(peaks.best(20).tolist())) == 20


def test_the_row_is_left_as_it_is():
    logits = LARGE.copy()
    logits.flags.writeable = False
    peaks_of(logits).best(40)
    assert (logits == LARGE).all()


def test_the_likeliest_weighs_one():
    peaks = peaks_of(np.array([1.0, 3.0, 2.0], np.float32))
    weights = peaks.weigh(peaks.logits, 0.5, out=np.empty(3, np.float32))
    assert weights.tolist() == pytest.approx([np.exp(-4), 1, np.exp(-2)])
