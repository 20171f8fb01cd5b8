from __future__ import annotations

import numpy as np

from localassist.engine.branches import Branches


def row(value):
    return np.full(100, value, np.float32)  # 400 bytes


def test_a_row_is_found_behind_exactly_its_tokens():
    branches, given = Branches(), row(1)
    branches.note([1, 2, 3], given)
    given[:] = 9  # llama.cpp writes the next one there
    assert (branches.behind((1, 2, 3)) == 1).all()
    assert branches.behind([1, 2]) is None
    assert branches.behind([1, 2, 3, 4]) is None


def test_the_oldest_rows_go_first():
    branches = Branches(most_bytes=1000)
    for token, value in ((1, 1), (2, 2), (1, 3), (3, 4)):
        branches.note([token], row(value))
    assert branches.behind([2]) is None
    assert [branches.behind([token])[0] for token in (1, 3)] == [3, 4]


def test_what_is_too_large_is_not_kept():
    branches = Branches(most_bytes=399)
    branches.note([1], row(1))
    assert branches.behind([1]) is None
