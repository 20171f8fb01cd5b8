from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from localassist.engine.backend import DecodeError
from localassist.engine.pace import Pace
from localassist.engine.step_plan import StepPlan

ROW_S = 0.2  # of one row, with two threads


class FakeBackend:
    """Its second thread halves every step; notes how it is told to compute.

    Its threads get `share` of the CPU time that they want.
    """

    fingerprint, splits_evenly, side_ctx = "a model", False, 0

    def __init__(self, max_threads=2, *, keeps_awake=True, row_s=ROW_S):
        self.row_s = row_s
        self.keeps_awake = keeps_awake
        self.max_threads = self.num_threads = max_threads
        self.spins_long = False
        self.spun_while_timed = set()
        self.fails_after = None  # so many steps that were timed
        self.num_timed = 0
        self.share, self.is_full = 1.0, False
        self.now_s = self.cpu_s = 0.0
        self.num_idle = None  # cores

    def use_threads(self, num_threads):
        self.num_threads = num_threads

    def spin_long(self, on):
        self.spins_long = on

    def time_rows(self, num_rows):
        if self.is_full:
            return None
        self.spun_while_timed.add(self.spins_long)
        self.num_timed += 1
        if self.num_timed == self.fails_after:
            raise DecodeError("no memory")
        seconds = self.row_s * num_rows * self.max_threads / self.num_threads / self.share
        self.now_s += seconds
        self.cpu_s += self.num_threads * self.share * seconds
        return seconds


class FakeIdleCores:
    """The system tells nothing of less than 0.2 s."""

    def __init__(self, backend):
        self.backend = backend
        self.began_s = 0.0
        self.num_asked = 0

    def begin(self):
        self.began_s = self.backend.now_s

    @property
    def is_time(self):
        return self.backend.now_s - self.began_s >= 0.2

    def count(self):
        assert self.is_time
        self.num_asked += 1
        return self.backend.num_idle


def new_pace(backend, *, fixed=False, folder=None):
    scheduler = SimpleNamespace(plan=StepPlan(), side_ctx=0)
    backend.idle_cores = FakeIdleCores(backend)
    backend.pace = Pace(
        backend, scheduler, folder=folder, fixed=fixed, clock=lambda: backend.now_s,
        cpu_clock=lambda: backend.cpu_s, idle_cores=backend.idle_cores,
    )  # fmt: skip
    return backend.pace


def measured_pace(backend, **given):
    pace = new_pace(backend, **given)
    while not pace.known:
        pace.measure()
    return pace


def answer(backend, *, seconds=ROW_S, share=1.0, times=1):
    batch = SimpleNamespace(num_tokens=1, num_rows=0, num_prefilled=0, apart=False)
    for _ in range(times):
        backend.pace.observe(batch, seconds, cpu_s=share * backend.num_threads * seconds)


def prompt(backend, num_tokens=64, *, share=1.0, seconds=10.0):
    batch = SimpleNamespace(
        num_tokens=num_tokens, num_rows=0, num_prefilled=num_tokens, apart=False
    )
    backend.pace.observe(batch, seconds, cpu_s=share * backend.max_threads * seconds)


def test_threads_spin_long_as_long_as_they_get_their_time():
    backend = FakeBackend()
    pace = new_pace(backend)
    assert backend.spins_long
    while not pace.known:
        pace.measure()
    for share in (1.0, 0.85, 0.98) * 100:
        answer(backend, share=share)
        assert backend.spins_long
    assert backend.spun_while_timed == {True}


@pytest.mark.parametrize("max_threads", [2, 4])
def test_beside_another_program_they_spin_shortly_until_it_is_gone(max_threads):
    backend = FakeBackend(max_threads)
    measured_pace(backend)
    answer(backend, times=50)

    tried = []
    for _ in range(200):  # all threads wait for the one whose core is taken
        is_crowded = backend.num_threads == max_threads
        tried += [backend.spins_long] * is_crowded
        answer(backend, seconds=5 * ROW_S if is_crowded else 1.5 * ROW_S)
    assert not backend.spins_long
    assert tried[-4:] == [False] * 4, "all threads are tried again while somebody is still there"

    for _ in range(500):
        answer(backend, seconds=ROW_S * max_threads / backend.num_threads)
    assert backend.num_threads == max_threads
    assert backend.spins_long


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("step", [prompt, answer])
def test_a_step_that_did_not_get_its_time_is_followed_by_short_spins(step, fixed):
    backend = FakeBackend()
    new_pace(backend, fixed=fixed)
    step(backend, share=0.5)
    assert not backend.spins_long
    step(backend, share=0.8)  # threads that sleep get less
    assert not backend.spins_long
    step(backend, share=0.9)
    assert backend.spins_long


def test_whether_somebody_is_still_there_is_looked_at_with_long_spins_now_and_then():
    """Where many threads sleep, time is missing with nobody there."""
    backend = FakeBackend(max_threads=8)
    new_pace(backend, fixed=True)
    spins = []
    for _ in range(500):
        prompt(backend, share=0.7)
        spins.append(backend.spins_long)
    assert 0 < sum(spins) < 20


def test_a_single_thread_waits_for_nobody():
    backend = FakeBackend(max_threads=1)
    new_pace(backend)
    prompt(backend, share=0.3)
    assert backend.spins_long


def test_threads_that_wait_for_a_gpu_asleep_say_nothing_of_other_programs(tmp_path):
    backend = FakeBackend(keeps_awake=False)
    backend.share = 0.1
    measured_pace(backend, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    prompt(backend, share=0.1)
    assert backend.spins_long


def test_measuring_spins_long_and_leaves_threads_as_they_are_used():
    backend = FakeBackend()
    pace = new_pace(backend)
    prompt(backend, share=0.5)
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


def test_what_was_measured_beside_another_program_is_measured_again_once_it_is_gone(tmp_path):
    backend = FakeBackend()
    backend.share = 0.5
    pace = measured_pace(backend, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    answer(backend, seconds=2 * ROW_S, share=0.5, times=50)
    assert pace.known

    backend.share = 1.0
    answer(backend, seconds=1.6 * ROW_S, times=30)  # not so fast that it would be doubted for that
    assert not pace.known
    while not pace.known:
        pace.measure()
    (kept,) = tmp_path.iterdir()
    assert json.loads(kept.read_text("utf-8"))["seconds"]["2"]["1"] == pytest.approx(ROW_S)


def test_a_few_disturbed_steps_are_no_matter(tmp_path):
    backend = FakeBackend()
    pace = new_pace(backend, folder=tmp_path)
    while not pace.known:
        backend.share = 0.5 if backend.num_timed in (5, 6, 40) else 1.0
        pace.measure()
    assert len(list(tmp_path.iterdir())) == 1
    answer(backend, times=50)
    assert pace.known


def test_nothing_of_a_busy_machine_is_kept_where_measuring_again_is_cut_short(tmp_path):
    backend = FakeBackend()
    backend.share = 0.5
    pace = measured_pace(backend, folder=tmp_path)
    answer(backend, seconds=1.6 * ROW_S, times=30)
    backend.is_full = True
    pace.measure()
    assert pace.known
    assert list(tmp_path.iterdir()) == []

    backend.is_full, backend.share = False, 1.0
    answer(backend, seconds=1.6 * ROW_S, times=60)
    while not pace.known:
        pace.measure()
    assert len(list(tmp_path.iterdir())) == 1


def test_it_is_measured_again_less_and_less_often():
    """Somebody may come in each pause, while a user's own programs run, and be gone in between."""
    backend = FakeBackend()
    backend.share = 0.5
    pace = measured_pace(backend)
    num_times = 0
    for _ in range(1000):
        answer(backend, seconds=1.6 * ROW_S)
        num_times += not pace.known
        while not pace.known:
            pace.measure()
    assert 3 < num_times < 8


@pytest.mark.parametrize(
    ("slowness", "share", "tried"), [(1.8, 1.0, {2}), (2.5, 1.0, {1, 2}), (1.8, 0.6, {1, 2})]
)
def test_fewer_threads_are_tried_where_they_were_faster_or_time_is_missing(slowness, share, tried):
    backend = FakeBackend()
    measured_pace(backend)
    answer(backend, times=100)
    used = set()
    for _ in range(100):
        used.add(backend.num_threads)
        answer(backend, seconds=slowness * ROW_S, share=share)
    assert used == tried


def test_a_moment_tells_nothing():
    backend = FakeBackend()
    new_pace(backend)
    prompt(backend, share=0.0, seconds=0.0005)
    assert backend.spins_long
    prompt(backend, share=0.5)
    prompt(backend, share=1.0, seconds=0.0005)
    assert not backend.spins_long


def work(backend, *, steps, busy, pause_s=0.0, share=1.0):
    """Go on beside a program on one of two cores, or by itself; used threads."""
    used = []
    for _ in range(steps):
        used.append(backend.num_threads)
        slow = 4 if busy and backend.num_threads == 2 else 1
        seconds = backend.row_s * 2 / backend.num_threads * slow
        backend.now_s += seconds + pause_s
        answer(backend, seconds=seconds, share=0.5 if slow > 1 else share)
    return used


def left_alone(**given):
    """Of two cores another program had one for long; whether it still does was tried just now."""
    backend = FakeBackend(**given)
    backend.num_idle = 0.0
    measured_pace(backend)
    used = work(backend, steps=1500, busy=True)
    for wanted in (2, 1):  # the next trial begins, and ends
        for _ in range(500):
            if used[-1] == wanted:
                break
            used += work(backend, steps=1, busy=True)
    work(backend, steps=60, busy=True)
    return backend


@pytest.mark.parametrize("row_s", [ROW_S, 0.004])
def test_a_core_that_another_program_has_left_is_used_again_soon(row_s):
    backend = left_alone(row_s=row_s)
    assert set(work(backend, steps=100, busy=True)) == {1}
    backend.num_idle = 1.0
    used = work(backend, steps=70, busy=False)
    assert used[-20:] == [2] * 20


@pytest.mark.parametrize(
    ("num_idle", "pause_s", "share"), [(1.0, 5.0, 1.0), (1.0, 0.0, 0.7), (None, 0.0, 1.0)]
)
def test_what_the_engine_leaves_idle_itself_is_no_free_core(num_idle, pause_s, share):
    backend = left_alone()
    work(backend, steps=20, busy=True, pause_s=pause_s, share=share)
    backend.num_idle = num_idle
    assert set(work(backend, steps=100, busy=True, pause_s=pause_s, share=share)) == {1}


def test_a_system_that_never_tells_is_not_asked_at_every_step():
    backend = left_alone()
    backend.num_idle, before = None, backend.idle_cores.num_asked
    work(backend, steps=90, busy=True)
    assert 0 < backend.idle_cores.num_asked - before <= 10
