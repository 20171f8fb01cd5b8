from __future__ import annotations

from statistics import mode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.governor import Governor


class Cores:
    """A machine whose threads wait for one another: one that shares its core delays them all."""

    def __init__(self, num_cores: int) -> None:
        self.num_cores = num_cores
        self.others = 0

    def alone_s(self, num_threads: int) -> float:
        return 1 / num_threads

    def seconds(self, num_threads: int) -> float:
        shared = num_threads + self.others > self.num_cores
        return (2.2 if shared else 1.0) * self.alone_s(num_threads)

    def run(self, governor: Governor, *, steps: int) -> list[int]:
        """Decode; the numbers of threads that the steps were computed with."""
        used = []
        for _ in range(steps):
            used.append(governor.num_threads)
            governor.observe(
                num_rows=1,
                seconds=self.seconds(governor.num_threads),
                expected_s=self.alone_s(self.num_cores),
                fewer_s=self.alone_s(max(1, self.num_cores - 1)),
            )
        return used

    def settle(self, governor: Governor, *, steps: int) -> int:
        """Decode; the number of threads that most of the last steps were computed with."""
        return mode(self.run(governor, steps=steps)[-100:])


class FewChannels(Cores):
    """Its memory keeps no more than four threads busy."""

    def alone_s(self, num_threads: int) -> float:
        return 1 / min(num_threads, 4)


def test_a_quiet_machine_keeps_all_its_threads():
    assert set(Cores(4).run(Governor(4), steps=2000)) == {4}


@pytest.mark.parametrize(("cores", "others"), [(2, 1), (4, 1), (8, 1), (8, 2)])
def test_a_busy_machine_leaves_the_others_their_cores(cores, others):
    machine, governor = Cores(cores), Governor(cores)
    machine.run(governor, steps=100)
    machine.others = others

    assert machine.settle(governor, steps=400) == cores - others


@pytest.mark.parametrize("cores", [2, 4, 8])
def test_a_machine_that_was_busy_from_the_beginning_is_found_out(cores):
    machine, governor = Cores(cores), Governor(cores)
    machine.others = 1
    assert machine.settle(governor, steps=250) == cores - 1


@pytest.mark.parametrize("cores", [2, 4])
def test_the_threads_come_back_when_the_machine_is_quiet_again(cores):
    machine, governor = Cores(cores), Governor(cores)
    machine.others = 1
    machine.run(governor, steps=1500)
    machine.others = 0
    assert machine.settle(governor, steps=1000) == cores


def disturbed(machine, others):
    """Its governor, as soon as another program was met that is gone now."""
    governor = Governor(machine.num_cores)
    machine.run(governor, steps=100)
    machine.others = others
    for _ in range(500):
        if governor.num_threads <= machine.num_cores - others:
            break
        machine.run(governor, steps=1)
    machine.run(governor, steps=10)
    machine.others = 0
    assert governor.num_threads == machine.num_cores - others
    return governor


@pytest.mark.parametrize(("cores", "others"), [(32, 16), (64, 32), (64, 8)])
def test_many_threads_come_back_though_one_more_adds_little(cores, others):
    machine = Cores(cores)
    governor = disturbed(machine, others)
    assert machine.settle(governor, steps=2000) == cores


@pytest.mark.parametrize(("cores", "others"), [(8, 1), (16, 1), (16, 4), (64, 32)])
def test_threads_that_add_nothing_come_back_as_nobody_needs_their_cores(cores, others):
    machine = FewChannels(cores)
    governor = disturbed(machine, others)
    assert machine.settle(governor, steps=2000) == cores


@pytest.mark.parametrize("kind", [Cores, FewChannels])
@pytest.mark.parametrize(("cores", "others"), [(8, 1), (16, 8), (32, 16)])
def test_while_the_machine_is_busy_its_many_threads_stay_away(kind, cores, others):
    machine = kind(cores)
    governor = disturbed(machine, others)
    machine.others = others
    machine.run(governor, steps=1000)
    used = machine.run(governor, steps=1000)
    assert used.count(cores - others) >= 970
    assert max(used) > cores - others


def left_alone(cores, others):
    """A machine that was busy for long, and its governor, which has just tried in vain."""
    machine, governor = Cores(cores), Governor(cores)
    machine.others = others
    settled = machine.settle(governor, steps=1500)
    used = machine.run(governor, steps=1)
    for in_trial in (True, False):  # the next one begins, and ends
        for _ in range(500):
            if (used[-1] != settled) is in_trial:
                break
            used += machine.run(governor, steps=1)
    machine.run(governor, steps=60)
    return machine, governor


@pytest.mark.parametrize(
    ("cores", "before", "after", "is_told"),
    [(8, 4, 2, True), (32, 16, 8, True), (8, 4, 2, False), (8, 4, 1, False)],
)
def test_cores_come_back_that_others_leave_after_a_long_time(cores, before, after, is_told):
    machine, governor = left_alone(cores, before)
    machine.others = after
    for _ in range(60 if is_told else 1000):
        if is_told:
            governor.observe_idle(cores - after - governor.num_threads - 0.05)
        machine.run(governor, steps=8)
    assert machine.settle(governor, steps=400) == cores - after


@pytest.mark.parametrize(("cores", "others"), [(2, 1), (4, 1), (8, 4)])
def test_the_threads_come_back_at_once_when_cores_are_idle(cores, others):
    machine, governor = left_alone(cores, others)
    machine.others = 0
    for _ in range(3):
        governor.observe_idle(cores - governor.num_threads - 0.05)
        machine.run(governor, steps=8)
    assert governor.num_threads == cores


@pytest.mark.parametrize("num_cores", [0.0, 0.5, 0.75])
def test_half_a_core_is_not_idle(num_cores):
    machine, governor = left_alone(2, 1)
    governor.observe_idle(num_cores)
    assert machine.run(governor, steps=100) == [1] * 100


def test_idle_cores_that_are_of_no_use_are_tried_less_and_less_often():
    """A limit of the control group, say: the cores are idle, but not for us."""
    machine, governor = left_alone(4, 1)
    used = []
    for _ in range(250):
        governor.observe_idle(1.0)
        used += machine.run(governor, steps=8)
    assert 0 < used.count(4) <= 40


def test_what_was_idle_before_is_forgotten_when_other_steps_are_expected():
    machine, governor = left_alone(2, 1)
    governor.observe_idle(1.0)
    governor.rebased()
    assert machine.run(governor, steps=10) == [1] * 10


def test_all_threads_look_for_no_idle_cores():
    machine, governor = Cores(2), Governor(2)
    machine.run(governor, steps=100)
    governor.observe_idle(1.0)
    assert set(machine.run(governor, steps=100)) == {2}


@pytest.mark.parametrize("most", [2, 8])
def test_another_expectation_of_the_same_steps_begins_no_trial(most):
    governor = Governor(most)
    for _ in range(10):
        governor.observe(num_rows=1, seconds=0.012, expected_s=0.065)
    governor.rebased()
    for _ in range(10):
        governor.observe(num_rows=1, seconds=0.012, expected_s=0.012)
        assert governor.num_threads == most


def test_a_trial_ends_with_the_expectation_that_it_began_with():
    governor = Governor(2)
    for seconds in [1.0] * 6 + [3.0] * 6:
        if governor.num_threads == 2:
            governor.observe(num_rows=1, seconds=seconds, expected_s=1.0)
    assert governor.num_threads == 1
    governor.rebased()
    assert governor.num_threads == 2


def apart(governor, *, ratio, steps):
    for _ in range(steps):
        governor.observe_apart(seconds=0.02 * ratio, expected_s=0.02)


def test_two_lanes_on_a_quiet_machine_bring_the_threads_back_soon():
    machine, governor = Cores(2), Governor(2)
    machine.others = 1
    machine.run(governor, steps=1500)
    assert governor.num_threads == 1
    apart(governor, ratio=1.05, steps=10)
    assert governor.num_threads == 2
    machine.others = 0
    assert set(machine.run(governor, steps=300)) == {2}


def test_two_lanes_on_a_busy_machine_change_nothing():
    machine, governor = Cores(2), Governor(2)
    machine.others = 1
    machine.run(governor, steps=1500)
    apart(governor, ratio=1.9, steps=1000)
    assert governor.num_threads == 1
    quiet = Governor(2)
    apart(quiet, ratio=1.9, steps=1000)
    assert quiet.num_threads == 2


def test_trials_on_a_busy_machine_become_rare():
    machine, governor = Cores(4), Governor(4)
    machine.others = 1
    machine.run(governor, steps=1500)
    used = machine.run(governor, steps=1000)
    assert 0 < used.count(4) <= 25


@pytest.mark.parametrize("cores", [2, 4])
def test_fewer_threads_are_tried_no_longer_than_it_takes_to_see_that_they_are_slower(cores):
    """Behind a long conversation all steps take longer than was expected; nobody is to blame."""
    machine, governor = Cores(cores), Governor(cores)
    used = []
    for _ in range(60):
        used.append(governor.num_threads)
        seconds = 1.5 * machine.seconds(governor.num_threads)
        governor.observe(num_rows=1, seconds=seconds, expected_s=1 / cores)
    fewer = set(used) - {cores}
    assert fewer
    assert [used.count(num_threads) for num_threads in fewer] == [2] * len(fewer)


@pytest.mark.parametrize(
    ("fewer", "slowness", "used"),
    [(1.5, 1.4, {2}), (1.5, 1.7, {1, 2}), (1.9, 1.7, {2}), (0.0, 1.4, {1, 2}), (2.0, 1.9, {2})],
)
def test_fewer_threads_are_tried_where_undisturbed_they_would_be_faster(fewer, slowness, used):
    """A machine that is slower by turns."""
    governor, seen = Governor(2), set()
    for step in range(600):
        seen.add(governor.num_threads)
        slow = slowness if step % 100 >= 50 else 1.0
        governor.observe(num_rows=1, seconds=0.05 * slow, expected_s=0.05, fewer_s=0.05 * fewer)
    assert seen == used


def test_steps_that_lose_little_by_a_thread_do_not_speak_for_those_that_lose_much():
    governor, seen = Governor(2), set()
    for step in range(600):
        seen.add(governor.num_threads)
        slow = 1.5 if step % 100 >= 50 else 1.0
        rows, fewer = (1, 1.8) if step % 2 else (8, 1.1)
        expected_s = 0.05 * rows
        governor.observe(
            num_rows=rows, seconds=slow * expected_s, expected_s=expected_s,
            fewer_s=fewer * expected_s,
        )  # fmt: skip
    assert seen == {2}


def test_what_fewer_threads_take_is_not_believed_beyond_what_a_thread_can_give():
    """It was measured beside another program, say; four threads are no more than 4/3 of three."""
    machine, governor = Cores(4), Governor(4)
    machine.others = 1
    used = []
    for _ in range(200):
        used.append(governor.num_threads)
        seconds = machine.seconds(governor.num_threads)
        governor.observe(num_rows=1, seconds=seconds, expected_s=0.25, fewer_s=2.5)
    assert mode(used) == 3


@pytest.mark.parametrize("slow", [1, 2])
def test_a_few_slow_steps_change_the_threads_for_a_moment_at_most(slow):
    machine, governor = Cores(2), Governor(2)
    machine.run(governor, steps=100)
    machine.others = 1
    machine.run(governor, steps=slow)
    machine.others = 0
    assert machine.settle(governor, steps=150) == 2


def test_steps_of_different_numbers_of_rows_are_compared_by_what_they_should_take():
    governor = Governor(4)
    for rows in [1, 8, 1, 8, 2, 16, 1] * 50:
        governor.observe(num_rows=rows, seconds=0.01 * rows, expected_s=0.01 * rows)
        assert governor.num_threads == 4


@pytest.mark.parametrize(("num_rows", "expected_s"), [(0, 1.0), (1, 0.0), (1, -1.0)])
def test_steps_that_say_nothing_are_ignored(num_rows, expected_s):
    governor = Governor(2)
    for _ in range(50):
        governor.observe(num_rows=1, seconds=1.0, expected_s=1.0)
    for _ in range(50):
        governor.observe(num_rows=num_rows, seconds=100.0, expected_s=expected_s)
    assert governor.num_threads == 2


@given(st.integers(-1, 6), st.lists(st.floats(0, 50), max_size=300), st.floats(0, 50))
def test_there_is_always_a_thread_and_never_more_than_allowed(most, times, fewer_s):
    governor = Governor(most)
    for seconds in times:
        governor.observe(num_rows=1, seconds=seconds, expected_s=1.0, fewer_s=fewer_s)
        assert 1 <= governor.num_threads <= max(1, most)
