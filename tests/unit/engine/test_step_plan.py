from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.step_plan import (
    ALONE_S,
    BESIDE_ANSWERS_S,
    LONGEST_GAP_S,
    MEASURED_ROWS,
    TILE,
    CostCurve,
    StepPlan,
)

CURVES = st.builds(
    CostCurve,
    st.dictionaries(st.sampled_from(MEASURED_ROWS), st.floats(0.001, 1.0)),
)


def plan_at(rate: float, *, small: float | None = None) -> StepPlan:
    """A plan that has seen whole tiles go at `rate` tokens a second, and smaller steps too."""
    plan = StepPlan()
    plan.observe_prefill(num_tokens=TILE, seconds=TILE / rate)
    plan.observe_prefill(num_tokens=16, seconds=16 / (small or rate))
    return plan


# --- costs ---


@pytest.mark.parametrize(
    ("num_rows", "seconds"),
    [(1, 1.0), (2, 1.5), (3, 2.0), (7, 6.0), (8, 7.0), (16, 14.0), (40, 35.0)],
)
def test_costs_are_measured_interpolated_and_beyond_the_last_one_proportional(num_rows, seconds):
    curve = CostCurve({1: 1.0, 3: 2.0, 8: 7.0})
    assert curve.cost(num_rows) == pytest.approx(seconds)


def test_fewer_rows_than_were_measured_cost_what_the_least_ones_do():
    assert CostCurve({4: 1.0, 8: 2.0}).cost(2) == 1.0


def test_before_anything_is_measured_more_rows_cost_more_but_each_of_them_less():
    curve = CostCurve()
    costs = [curve.cost(rows) for rows in range(1, 33)]
    each = [cost / rows for rows, cost in enumerate(costs, start=1)]
    assert costs == sorted(costs)
    assert each == sorted(each, reverse=True)


@pytest.mark.parametrize(
    ("seconds", "num_rows", "padded"),
    [
        ({3: 1.0, 4: 0.5, 8: 0.9}, 3, 4),  # the faster kernel
        ({3: 1.0, 4: 0.98}, 3, 3),  # not worth it
        ({3: 1.0, 4: 1.2}, 3, 3),
        ({3: 1.0, 8: 0.1}, 3, 3),  # more than twice the rows
        ({1: 1.0, 2: 0.1}, 1, 1),  # measured beside another program, or it would cost less
        ({4: 1.0}, 4, 4),
        ({}, 5, 5),
    ],
)
def test_a_group_is_padded_where_a_larger_step_costs_less(seconds, num_rows, padded):
    assert CostCurve(seconds).padded(num_rows) == padded


@pytest.mark.parametrize(
    ("seconds", "num_rows", "group"),
    [
        ({1: 1.0, 2: 1.1, 4: 1.2, 8: 1.3}, 8, 8),  # as many as there are
        ({1: 1.0, 4: 1.2, 5: 9.0, 8: 9.0}, 8, 4),  # the kernels for 5 to 8 are slow
        ({1: 1.0, 2: 2.0, 4: 4.0}, 4, 4),  # all the same: whoever can go on does
        ({1: 1.0, 2: 3.0, 4: 9.0}, 4, 1),
        ({3: 2.0, 4: 1.0}, 3, 3),  # three in the step of four
    ],
)
def test_a_step_continues_as_many_answers_as_make_a_token_cheapest(seconds, num_rows, group):
    assert CostCurve(seconds).group(num_rows) == group


@given(CURVES, st.integers(1, 40))
def test_padding_never_costs_anything(curve, num_rows):
    padded = curve.padded(num_rows)
    assert num_rows <= padded <= 2 * num_rows
    assert curve.cost(padded) <= curve.cost(num_rows)


@given(CURVES, st.integers(1, 40))
def test_no_other_group_makes_a_token_cheaper(curve, num_rows):
    def each(size):
        return curve.cost(curve.padded(size)) / size

    group = curve.group(num_rows)
    assert 1 <= group <= num_rows
    assert each(group) <= min(each(size) for size in range(1, num_rows + 1)) + 1e-5


@pytest.mark.parametrize(("num_rows", "pays"), [(1, False), (2, True), (3, True), (8, False)])
def test_two_answers_are_computed_apart_where_a_group_costs_more(num_rows, pays):
    seconds = {1: 0.015, 2: 0.036, 3: 0.045, 4: 0.046, 8: 0.062, 16: 0.2}
    assert CostCurve(seconds, apart_s=0.018).apart_pays(num_rows) is pays
    assert CostCurve(seconds, apart_s=0.031).apart_pays(num_rows) is False
    assert CostCurve(seconds).apart_pays(num_rows) is False


# --- prompts ---


@pytest.mark.parametrize(
    ("rate", "num_rows", "total"),
    [
        (5000, 0, 512),
        (800, 0, 384),  # 0.48 s
        (200, 0, 64),  # 0.32 s
        (80, 0, 64),  # 0.8 s: a whole tile is worth it
        (50, 0, 32),  # a whole tile would take longer than anybody should wait
        (5000, 8, 512),
        (1000, 8, 128),
        (450, 8, 64),  # 0.142 s
        (220, 8, 64),  # 0.291 s: a whole tile is worth it
        (150, 8, 32),
        (10, 8, 16),  # whatever it takes, the prompt gets on
        (65, 2, 16),  # 0.25 s
        (45, 3, 12),
        (45, 4, 16),  # of twelve, too many would be the answers' own
        (30, 2, 8),
        (30, 3, 12),  # 0.4 s, but of eight, too many would be theirs
        (10, 2, 8),
        (10, 0, 16),
    ],
)
def test_a_step_takes_as_much_prompt_as_others_can_wait_for(rate, num_rows, total):
    chunk = plan_at(rate).chunk(num_rows=num_rows, num_pending=4096, limit=4096)
    assert chunk + num_rows == total


@given(
    st.floats(0.5, 1e5),
    st.floats(0.5, 1e5),
    st.integers(0, 300),
    st.integers(1, 2000),
    st.integers(1, 512),
    CURVES,
)
def test_there_is_always_some_prompt_in_a_step_and_never_too_much(
    tiled, small, num_rows, num_pending, limit, curve
):
    plan = plan_at(tiled, small=small)
    plan.curve = curve
    chunk = plan.chunk(num_rows=num_rows, num_pending=num_pending, limit=limit)
    assert 1 <= chunk <= limit
    if 1 < chunk < limit and chunk + num_rows > 16:
        gap = LONGEST_GAP_S if num_rows else 2 * ALONE_S
        assert plan.seconds(chunk + num_rows) <= gap


@pytest.mark.parametrize(
    ("num_pending", "chunk"),
    [(65, 65), (96, 96), (97, 64), (128, 64), (64, 64)],
)
def test_a_few_tokens_get_no_step_of_their_own(num_pending, chunk):
    assert plan_at(200).chunk(num_rows=0, num_pending=num_pending, limit=512) == chunk


@pytest.mark.parametrize(
    ("num_tokens", "depth", "num_rows"),
    [
        (63, 0, 64),  # the faster kernels alone are worth it
        (56, 0, 56),
        (56, 1000, 64),  # row by row, attention takes longer
        (45, 100, 45),
        (45, 4000, 64),
        (20, 100_000, 20),  # a tile is three times as many rows
        (64, 4000, 64),
        (100, 4000, 100),
        (63, None, 63),  # of several conversations
    ],
)
def test_a_prompt_is_padded_to_a_tile_where_row_by_row_costs_more(num_tokens, depth, num_rows):
    assert StepPlan().padded(num_tokens, depth=depth) == num_rows


def test_a_short_prompt_is_padded_as_a_group_of_answers_is():
    plan = StepPlan(CostCurve({12: 1.1, 15: 1.4, 16: 1.0}))
    assert [plan.padded(size, depth=0) for size in (12, 14, 16)] == [16, 16, 16]
    assert StepPlan(CostCurve({12: 1.0, 15: 1.4, 16: 1.3})).padded(12, depth=0) == 12


@given(CURVES, st.integers(1, 512), st.none() | st.floats(0, 1e6))
def test_a_padded_prompt_is_never_much_more_than_it_is(curve, num_tokens, depth):
    num_rows = StepPlan(curve).padded(num_tokens, depth=depth)
    assert num_tokens <= num_rows <= 2.2 * num_tokens


def test_running_answers_do_not_wait_longer_for_the_last_few_tokens():
    assert plan_at(220).chunk(num_rows=4, num_pending=80, limit=512) == TILE - 4


def test_running_answers_wait_less_than_nobody_does():
    plan = plan_at(600)
    alone = plan.chunk(num_rows=0, num_pending=4096, limit=512)
    beside = plan.chunk(num_rows=2, num_pending=4096, limit=512)
    assert plan.seconds(beside + 2) <= BESIDE_ANSWERS_S < plan.seconds(alone) <= ALONE_S


@pytest.mark.parametrize(("num_tokens", "seconds"), [(7, 9.0), (0, 1.0), (64, 0.0), (64, -1.0)])
def test_steps_that_say_nothing_about_the_speed_are_ignored(num_tokens, seconds):
    plan = plan_at(1000)
    before = plan.seconds(16), plan.seconds(128)
    plan.observe_prefill(num_tokens=num_tokens, seconds=seconds)
    assert (plan.seconds(16), plan.seconds(128)) == before


def test_the_speeds_of_whole_tiles_and_of_smaller_steps_are_told_apart():
    plan = plan_at(1000, small=100)
    assert plan.seconds(128) == pytest.approx(0.128)
    assert plan.seconds(32) == pytest.approx(0.32)


def test_a_change_of_speed_is_followed():
    plan = plan_at(1000)
    for _ in range(20):
        plan.observe_prefill(num_tokens=128, seconds=128 / 200)
    assert plan.seconds(200) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("num_rows", [0, 8])
def test_steps_grow_again_when_a_busy_machine_becomes_quiet(num_rows):
    plan = plan_at(1000)
    before = plan.chunk(num_rows=num_rows, num_pending=4096, limit=512)

    def read_prompts(rate):
        for _ in range(500):
            num_tokens = plan.chunk(num_rows=num_rows, num_pending=4096, limit=512) + num_rows
            plan.observe_prefill(num_tokens=num_tokens, seconds=num_tokens / rate)

    read_prompts(20)
    assert plan.chunk(num_rows=num_rows, num_pending=4096, limit=512) + num_rows < TILE
    read_prompts(1000)

    assert plan.chunk(num_rows=num_rows, num_pending=4096, limit=512) == before
