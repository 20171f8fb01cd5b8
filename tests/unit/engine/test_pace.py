from __future__ import annotations

from types import SimpleNamespace

import pytest

from localassist.engine.pace import Pace
from localassist.engine.step_plan import StepPlan

ROW_S = 0.2  # of one row, with two threads


class FakeBackend:
    """Its second thread halves every step; notes how it is told to compute."""

    fingerprint, splits_evenly, side_ctx = "a model", False, 0

    def __init__(self, max_threads=2):
        self.max_threads = self.num_threads = max_threads
        self.spins_long = False
        self.spun_while_timed = set()

    def use_threads(self, num_threads):
        self.num_threads = num_threads

    def spin_long(self, *, on):
        self.spins_long = on

    def time_rows(self, num_rows):
        self.spun_while_timed.add(self.spins_long)
        return ROW_S * num_rows * self.max_threads / self.num_threads


def new_pace(backend, *, fixed=False):
    scheduler = SimpleNamespace(plan=StepPlan(), side_ctx=0)
    return Pace(backend, scheduler, folder=None, fixed=fixed)


def measured_pace(backend):
    pace = new_pace(backend)
    while not pace.known:
        pace.measure()
    return pace


def answer(pace, *, seconds, times=1):
    batch = SimpleNamespace(num_tokens=1, num_rows=0, num_prefilled=0, apart=False)
    for _ in range(times):
        pace.observe(batch, seconds)


def prompt(pace, num_tokens, *, seconds):
    batch = SimpleNamespace(
        num_tokens=num_tokens, num_rows=0, num_prefilled=num_tokens, apart=False
    )
    pace.observe(batch, seconds)


def test_threads_spin_long_until_somebody_else_shows():
    backend = FakeBackend()
    pace = new_pace(backend)
    assert backend.spins_long
    while not pace.known:
        pace.measure()
    answer(pace, seconds=ROW_S, times=500)
    assert backend.spins_long
    assert backend.spun_while_timed == {True}


@pytest.mark.parametrize("max_threads", [2, 4])
def test_beside_another_program_they_spin_shortly_until_it_is_gone(max_threads):
    backend = FakeBackend(max_threads)
    pace = measured_pace(backend)
    answer(pace, seconds=ROW_S, times=50)

    tried = []
    for _ in range(200):  # all threads wait for the one whose core is taken
        is_crowded = backend.num_threads == max_threads
        tried += [backend.spins_long] * is_crowded
        answer(pace, seconds=5 * ROW_S if is_crowded else 1.5 * ROW_S)
    assert not backend.spins_long
    assert tried[-4:] == [False] * 4, "all threads are tried again while somebody is still there"

    for _ in range(500):
        answer(pace, seconds=ROW_S * max_threads / backend.num_threads)
    assert backend.num_threads == max_threads
    assert backend.spins_long


def test_a_prompt_that_is_read_slowly_is_read_on_with_short_spins():
    backend = FakeBackend()
    pace = measured_pace(backend)
    prompt(pace, 64, seconds=64 * ROW_S)
    prompt(pace, 64, seconds=1.3 * 64 * ROW_S)
    assert backend.spins_long
    prompt(pace, 64, seconds=2 * 64 * ROW_S)
    assert not backend.spins_long
    prompt(pace, 64, seconds=64 * ROW_S)
    assert not backend.spins_long
    answer(pace, seconds=ROW_S)
    assert backend.spins_long


def test_few_tokens_of_a_prompt_may_take_what_their_rows_take():
    backend = FakeBackend()
    pace = measured_pace(backend)
    for _ in range(9):
        prompt(pace, 64, seconds=64 * ROW_S / 8)  # eight rows of a tile cost one by itself
    prompt(pace, 3, seconds=3 * ROW_S)
    assert backend.spins_long


def test_measuring_leaves_threads_as_they_are_used():
    backend = FakeBackend()
    pace = new_pace(backend)
    prompt(pace, 64, seconds=100.0)
    pace.measure()
    assert not backend.spins_long
    assert backend.spun_while_timed == {True}


def test_with_a_fixed_number_of_threads_they_spin_long():
    backend = FakeBackend()
    pace = new_pace(backend, fixed=True)
    answer(pace, seconds=100 * ROW_S, times=50)
    assert (backend.spins_long, backend.num_threads) == (True, 2)
