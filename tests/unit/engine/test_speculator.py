from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localassist.engine.speculator import NGRAM, Speculator
from localassist.engine.step_plan import MEASURED_ROWS, CostCurve

CHEAP = CostCurve({1: 1.0, 16: 2.0, 32: 3.0})  # a draft of 15 costs one step beyond the first
DEAR = CostCurve({1: 1.0, 16: 11.0, 32: 22.0})  # a draft of 15 costs ten steps
FAIR = CostCurve({1: 1.0, 16: 9.0, 32: 16.0})  # a draft of 15 costs eight steps
SEEN = list(range(100, 200))


def repeating(start: int, length: int = NGRAM) -> list[int]:
    """Text that ends with a piece of what it begins with."""
    return [*SEEN, 1, 2, 3, *SEEN[start : start + length]]


@pytest.mark.parametrize(
    ("tokens", "draft"),
    [
        (repeating(10), SEEN[18:33]),
        (repeating(0), SEEN[8:23]),
        (repeating(10, NGRAM - 1), []),  # too little agrees
        (repeating(88), [*SEEN[96:], 1, 2, 3, *SEEN[88:96]]),  # what follows until the end
        (SEEN, []),
        (SEEN[:NGRAM], []),
        ([], []),
        ([7] * NGRAM, []),
    ],
)
def test_what_stood_behind_the_last_tokens_before_may_follow_again(tokens, draft):
    assert Speculator(CHEAP).draft(tokens) == draft


def test_a_draft_ends_before_the_marks_of_the_chat():
    end_of_turn = SEEN[18]
    speculator = Speculator(CHEAP, is_text=lambda token: token != end_of_turn)
    assert speculator.draft(repeating(0)) == SEEN[8:18]
    assert speculator.draft(repeating(10)) == []


def test_the_latest_place_counts():
    head = list(range(NGRAM))
    tokens = [*head, 50, 51, 52, *head, 60, 61, 62, *head]
    assert Speculator(CHEAP).draft(tokens)[:3] == [60, 61, 62]


@given(st.lists(st.integers(0, 2), max_size=120), st.lists(st.integers(1, 20), max_size=20))
def test_a_draft_is_always_a_piece_of_the_text_behind_the_same_tokens(tokens, steps):
    speculator = Speculator(CHEAP)
    end = 0
    for step in [*steps, len(tokens)]:
        end = min(end + step, len(tokens))
        text = tokens[:end]
        draft = speculator.draft(text)
        places = range(NGRAM, end)
        found = [at for at in places if text[at - NGRAM : at] == text[end - NGRAM :]]
        assert draft in ([text[at:][:15] for at in found] or [[]])


def test_what_is_copied_goes_on_where_it_comes_from():
    """Two lines begin alike; the copy of the first is no place to copy the second one from."""
    alike = list(range(20, 40))
    source = [1, *alike, 2, *alike, 3, *range(50, 70)]
    copied = source[:NGRAM]
    speculator = Speculator(CHEAP)
    accepted = []
    while len(copied) < 41:
        draft = speculator.draft([*source, *copied])
        right = source[len(copied) :][: len(draft)] == draft
        accepted.append(len(draft) if right else None)
        speculator.checked(drafted=len(draft), accepted=len(draft))
        copied = source[: len(copied) + len(draft) + 1]
    assert accepted == [15, 31]


def test_a_draft_has_a_size_that_is_fast():
    speculator = Speculator(CHEAP)
    speculator.checked(drafted=15, accepted=15)
    # 23 tokens follow, and 24 rows are dearer than 16.
    assert speculator.draft(repeating(80)) == [*SEEN[88:], 1, 2, 3]


def test_after_a_draft_that_was_right_the_next_one_is_longer_and_after_a_wrong_one_short_again():
    speculator = Speculator(CHEAP)
    text = repeating(0)
    speculator.checked(drafted=15, accepted=15)
    assert len(speculator.draft(text)) == 31
    speculator.checked(drafted=31, accepted=30)
    assert len(speculator.draft(text)) == 15


@pytest.mark.parametrize("curve", [DEAR, CostCurve()])
def test_where_many_rows_cost_much_nothing_is_risked(curve):
    assert Speculator(curve).draft(repeating(10)) == []


def test_one_wrong_draft_is_risked_where_a_right_one_would_gain_much():
    speculator = Speculator(FAIR)
    draft = speculator.draft(repeating(10))
    assert len(draft) == 15
    speculator.checked(drafted=15, accepted=0)
    assert speculator.draft(repeating(10)) == []


def test_where_a_longer_draft_is_too_dear_the_short_one_goes_on():
    speculator = Speculator(CostCurve({1: 1.0, 16: 8.9, 32: 17.9}))
    for _ in range(20):
        draft = speculator.draft(repeating(10))
        assert len(draft) == 15
        speculator.checked(drafted=15, accepted=15)
        if speculator.draft(repeating(10)) == SEEN[18:49]:
            return  # enough was gained for the longer one
    pytest.fail("the longer one never came")


def test_wrong_drafts_end_soon_and_are_tried_again_later():
    speculator = Speculator(CHEAP)
    tried = []
    for _ in range(1000):
        draft = speculator.draft(repeating(10))
        tried.append(bool(draft))
        if draft:
            speculator.checked(drafted=len(draft), accepted=0)
    assert tried[0]
    assert sum(tried[:100]) <= 6
    assert sum(tried[100:]) >= 8


def test_right_drafts_go_on_for_ever():
    speculator = Speculator(CHEAP)
    for _ in range(200):
        draft = speculator.draft(repeating(10))
        assert draft
        speculator.checked(drafted=len(draft), accepted=len(draft))


@example({1: 1.0, 12: 6.0, 16: 1.2, 32: 2.0}, 11, [0.0] * 30)  # 12 rows cost more than 16 do
@given(
    st.fixed_dictionaries({rows: st.floats(1.0, 6.0) for rows in MEASURED_ROWS}),
    st.integers(1, 40),
    st.lists(st.floats(0, 1), min_size=1, max_size=100),
)
def test_drafts_never_cost_more_than_the_first_loss_and_a_hundredth_of_the_steps(
    seconds, period, rights
):
    curve = CostCurve(seconds)
    speculator = Speculator(curve)
    tokens = SEEN[:period] * (2 + NGRAM)
    lost = 0.0
    for count, right in enumerate(rights, start=1):
        draft = speculator.draft(tokens)
        if draft:
            accepted = int(right * len(draft))
            speculator.checked(drafted=len(draft), accepted=accepted)
            lost += curve.cost(len(draft) + 1) / curve.cost(1) - 1 - accepted
        first = max(0, min(curve.cost(16) / curve.cost(1) - 1, 8.25))
        assert lost <= first + 0.01 * count + 1e-6
        tokens.append(tokens[-period])
