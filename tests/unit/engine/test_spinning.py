from __future__ import annotations

import os
import platform

import pytest

from localassist.engine.spinning import Spinning

COUNT, POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"


class FakeLibrary:
    """Of llama.cpp's, linked with libgomp; notes the sizes of teams."""

    def __init__(self):
        self.teams = []

    def GOMP_parallel(self, _function, _data, count, _flags):  # libgomp's name
        self.teams.append(count.value)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    monkeypatch.setenv(COUNT, "")  # so that what a test leaves is taken back
    monkeypatch.delenv(COUNT)
    monkeypatch.delenv(POLICY, raising=False)


def loaded(library, *, num_cpus=4):
    spinning = Spinning(num_cpus=num_cpus)
    with spinning.loading():
        pass
    spinning.use(library)
    return spinning


def test_whoever_wants_it_first_makes_a_team_of_more_threads_than_cpus():
    library = FakeLibrary()
    spinning = loaded(library)
    spinning.shorten("a", on=False)
    assert library.teams == []
    spinning.shorten("a", on=True)
    spinning.shorten("a", on=True)
    spinning.shorten("b", on=True)
    assert library.teams == [5]


def test_it_lasts_until_nobody_wants_it():
    library = FakeLibrary()
    spinning = loaded(library)
    spinning.shorten("a", on=True)
    spinning.shorten("b", on=True)
    spinning.shorten("a", on=False)
    spinning.shorten("a", on=True)
    assert len(library.teams) == 1
    spinning.shorten("a", on=False)
    spinning.shorten("b", on=False)
    spinning.shorten("b", on=True)
    assert len(library.teams) == 2
    spinning.shorten("b", on=False)


@pytest.mark.parametrize("given", [{COUNT: "7"}, {POLICY: "passive"}])
def test_what_the_caller_has_set_stays_and_nothing_is_changed(monkeypatch, given):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    spinning = Spinning(num_cpus=4)
    with spinning.loading():
        assert {name: os.environ[name] for name in (COUNT, POLICY) if name in os.environ} == given
    library = FakeLibrary()
    spinning.use(library)
    spinning.shorten("a", on=True)
    assert library.teams == []


def test_what_a_process_left_that_started_this_one_is_not_the_callers():
    loaded(FakeLibrary())
    assert os.environ[COUNT]
    library = FakeLibrary()
    spinning = loaded(library)
    spinning.shorten("a", on=True)
    assert library.teams == [5]
    spinning.shorten("a", on=False)


def test_where_nothing_can_shorten_them_they_do_not_spin_so_long(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    counts = []
    for num_cpus in (4, 100):
        os.environ.pop(COUNT, None)
        library = FakeLibrary()
        loaded(library, num_cpus=num_cpus).shorten("a", on=True)
        counts.append((int(os.environ[COUNT]), len(library.teams)))
    (long, one), (middle, none) = counts
    assert long > middle
    assert (one, none) == (1, 0)


@pytest.mark.parametrize("num_cpus", [4, 100])
@pytest.mark.parametrize(
    ("machine", "is_x86"),
    [("x86_64", True), ("AMD64", True), ("aarch64", False), ("arm64", False), ("riscv64", False)],
)
def test_elsewhere_than_on_x86_they_spin_as_often_as_libgomp_has_them(
    monkeypatch, machine, is_x86, num_cpus
):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    loaded(FakeLibrary(), num_cpus=num_cpus)
    assert (os.environ[COUNT] != "300000") is is_x86


@pytest.mark.parametrize(
    "library", [object(), type("LLVM", (FakeLibrary,), {"__kmpc_fork_call": 0})()]
)
def test_another_library_of_threads_is_left_alone(library):
    loaded(library).shorten("a", on=True)
    assert getattr(library, "teams", []) == []


def test_where_no_thread_can_be_started_answers_go_on(monkeypatch, caplog):
    def refuse(_self):
        raise RuntimeError("can't start new thread")

    spinning = loaded(FakeLibrary())
    monkeypatch.setattr("threading.Thread.start", refuse)
    spinning.shorten("a", on=True)
    spinning.shorten("a", on=False)
    spinning.shorten("a", on=True)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
