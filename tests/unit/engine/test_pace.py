from __future__ import annotations

from types import SimpleNamespace

import pytest

from localassist.engine.backend import DecodeError
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
        self.fails_after = None  # so many steps that were timed
        self.num_timed = 0

    def use_threads(self, num_threads):
        self.num_threads = num_threads

    def spin_long(self, *, on):
        self.spins_long = on

    def time_rows(self, num_rows):
        self.spun_while_timed.add(self.spins_long)
        self.num_timed += 1
        if self.num_timed == self.fails_after:
            raise DecodeError("no memory")
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
    prompt(pace, 64, seconds=1.9 * 64 * ROW_S)
    assert backend.spins_long
    prompt(pace, 64, seconds=2.5 * 64 * ROW_S)
    assert not backend.spins_long
    prompt(pace, 64, seconds=1.6 * 64 * ROW_S)  # as it is beside another program with short spins
    assert not backend.spins_long


@pytest.mark.parametrize("ends", ["an answer", "a prompt that is read fast"])
def test_it_is_not_for_ever(ends):
    backend = FakeBackend()
    pace = measured_pace(backend)
    prompt(pace, 64, seconds=2.5 * 64 * ROW_S)
    if ends == "an answer":
        answer(pace, seconds=2 * ROW_S)  # what answers take, the governor judges
    else:
        prompt(pace, 64, seconds=1.1 * 64 * ROW_S)
    assert backend.spins_long


def test_however_often_prompts_were_read_slowly_it_is_no_matter_of_course():
    backend = FakeBackend()
    pace = measured_pace(backend)
    for _ in range(9):
        prompt(pace, 64, seconds=2.5 * 64 * ROW_S)
        assert not backend.spins_long
        answer(pace, seconds=ROW_S)


def test_few_tokens_of_a_prompt_may_take_what_their_rows_take():
    backend = FakeBackend()
    pace = measured_pace(backend)
    for _ in range(9):
        prompt(pace, 64, seconds=64 * ROW_S / 8)  # eight rows of a tile cost one by itself
    prompt(pace, 3, seconds=3 * ROW_S)
    assert backend.spins_long


def test_before_anything_was_measured_nothing_is_slow():
    backend = FakeBackend()
    prompt(new_pace(backend), 64, seconds=1000.0)
    assert backend.spins_long


def test_measuring_leaves_threads_as_they_are_used():
    backend = FakeBackend()
    pace = measured_pace(backend)
    answer(pace, seconds=0.1 * ROW_S, times=20)  # so fast that all is measured again
    assert not pace.known
    prompt(pace, 64, seconds=2.5 * 64 * ROW_S)
    pace.measure()
    assert not backend.spins_long
    assert backend.spun_while_timed == {True}


@pytest.mark.parametrize("nth", [1, 3, 60, 100])
def test_a_step_that_fails_ends_measuring_and_leaves_threads_as_they_were(nth):
    backend = FakeBackend()
    backend.fails_after = nth
    pace = new_pace(backend)
    with pytest.raises(DecodeError):
        while True:
            pace.measure()
            assert not pace.known
    assert pace.known
    assert (backend.num_threads, backend.spins_long) == (2, True)
    num_timed = backend.num_timed
    pace.measure()
    assert backend.num_timed == num_timed


def test_with_a_fixed_number_of_threads_they_spin_long():
    backend = FakeBackend()
    pace = new_pace(backend, fixed=True)
    answer(pace, seconds=100 * ROW_S, times=50)
    prompt(pace, 64, seconds=1000.0)
    assert (backend.spins_long, backend.num_threads) == (True, 2)
