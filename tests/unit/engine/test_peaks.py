from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from localassist.engine.peaks import Peaks

ROWS = hnp.arrays(
    np.float32,
    st.integers(1, 300),  # some columns and a part of a line, or no whole column at all
    elements=st.one_of(
        st.floats(-8, 8, width=32), st.sampled_from([-np.inf, 0.0, 3.0])  # ties, and masks
    ),
)  # fmt: skip
LARGE = np.random.Generator(np.random.PCG64(3)).normal(0, 3, 152_001).astype(np.float32)


@given(ROWS)
def test_the_top_is_the_greatest(logits):
    assert Peaks(logits).top == logits.max()


@given(ROWS, st.one_of(st.floats(-9, 9, width=32), st.just(-np.inf)))
def test_what_is_not_less_is_found_in_order(logits, least):
    found = Peaks(logits).at_least(np.float32(least))
    assert found.tolist() == np.flatnonzero(logits >= np.float32(least)).tolist()


@given(ROWS, st.integers(1, 310))
def test_the_best_are_those_of_a_sort(logits, count):
    best = Peaks(logits).best(count)
    wanted = np.argsort(-logits, kind="stable")[:count]
    assert logits[best].tolist() == logits[wanted].tolist()
    assert len(set(best.tolist())) == len(best)
    for value in set(logits[best].tolist()):
        equal = best[logits[best] == value]
        assert equal.tolist() == sorted(equal.tolist())


@pytest.mark.parametrize("count", [1, 40, 5000, 200_000])
def test_the_best_of_a_whole_vocabulary(count):
    wanted = np.argsort(-LARGE, kind="stable")[:count]
    assert Peaks(LARGE).best(count).tolist() == wanted.tolist()


def test_as_many_are_best_as_are_asked_for_whatever_is_not_a_number():
    logits = LARGE[:1000].copy()
    logits[::7] = np.nan
    peaks = Peaks(logits)
    assert np.isnan(peaks.top)
    assert len(set(peaks.best(20).tolist())) == 20


def test_the_row_is_left_as_it_is():
    logits = LARGE.copy()
    logits.flags.writeable = False
    Peaks(logits).best(40)
    assert (logits == LARGE).all()
