from __future__ import annotations

import os
import sys
import time

import pytest

from localassist.engine import cores as module
from localassist.engine.cores import IdleCores, usable_cores


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine of 4 cores with two threads each, described by files in a folder."""
    for cpu in range(8):
        file = tmp_path / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    monkeypatch.setattr(module, "_TOPOLOGY", tmp_path)
    monkeypatch.setattr(module, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cgroup" / "cpu").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("allowed", "cores"), [(range(8), 4), ({0, 4}, 1), ({0, 1}, 2), ({0, 1, 5}, 2), ({3}, 1)]
)
def test_two_threads_of_a_core_count_once(system, monkeypatch, allowed, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(allowed), raising=False)
    assert usable_cores() == cores


def test_without_a_topology_every_cpu_is_a_core(system, monkeypatch):
    monkeypatch.setattr(module, "_TOPOLOGY", system / "nothing")
    assert usable_cores() == 8


@pytest.mark.parametrize(("count", "cores"), [(8, 4), (1, 1), (None, 1)])
def test_where_affinity_is_unknown_half_the_cpus_are_cores(system, monkeypatch, count, cores):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores() == cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 4),
        ({"cpu.max": "100000 0\n"}, 4),
        ({"cpu.max": "what is this\n"}, 4),
        ({"cpu.max": ""}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000\n"}, 4),
    ],
)
def test_a_limit_of_the_control_group_counts_as_so_many_cores(system, files, cores):
    for name, text in files.items():
        (system / "cgroup" / name).write_text(text)
    assert usable_cores() == cores


# --- idle ---


class Machine:
    """Its CPUs are idle for parts of the time that passes."""

    def __init__(self, num_cpus=8):
        self.now_s = 5.0
        self.idle_s = {cpu: 100.0 + cpu for cpu in range(num_cpus)}

    def cores(self):
        return IdleCores(idle_s=lambda: dict(self.idle_s), clock=lambda: self.now_s)

    def run(self, seconds, *, idle):
        self.now_s += seconds
        for cpu in self.idle_s:
            self.idle_s[cpu] += idle[cpu] * seconds


def idle_after(machine, seconds, *, idle):
    cores = machine.cores()
    cores.begin()
    machine.run(seconds, idle=idle)
    return cores.count()


def test_a_core_is_idle_when_both_of_its_threads_are(system):
    idle = [1.0, 1.0, 0.5, 0.0, 1.0, 0.0, 1.0, 1.0]
    assert idle_after(Machine(), 1.0, idle=idle) == pytest.approx(1.5)


def test_only_cores_count_that_this_process_may_use(system, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 5}, raising=False)
    assert idle_after(Machine(), 2.0, idle=[1.0] * 8) == pytest.approx(2.0)


def test_idle_cores_are_counted_since_the_beginning(system):
    machine = Machine()
    cores = machine.cores()
    cores.begin()
    machine.run(9.0, idle=[1.0] * 8)
    cores.begin()
    machine.run(1.0, idle=[0.0] * 8)
    assert cores.count() == 0


def test_what_the_system_does_not_tell_is_not_known(system, monkeypatch):
    machine = Machine()
    assert machine.cores().count() is None
    assert idle_after(Machine(), 0.1, idle=[1.0] * 8) is None
    del machine.idle_s[1]  # it is switched off
    assert idle_after(machine, 1.0, idle=[1.0] * 8) is None
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert idle_after(Machine(), 1.0, idle=[1.0] * 8) is None


def test_cpus_are_known_by_their_numbers(system, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3}, raising=False)
    machine = Machine()
    del machine.idle_s[1]
    assert idle_after(machine, 1.0, idle=[1, 1, 0, 0.5, 1, 1, 1, 1]) == pytest.approx(0.5)


def test_the_system_says_how_long_cpus_were_idle(system, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda _: 100)
    stat = tmp_path / "stat"
    monkeypatch.setattr(module, "_STAT", stat)
    now_s = 0.0
    cores = IdleCores(clock=lambda: now_s)
    cores.begin()  # there is no such file yet
    assert cores.count() is None
    lines = "cpu  9 9 9 {} 0 0\ncpu0 1 2 3 {} 0 0\ncpu2 1 2 3 {} 5 0\nintr 1 2 3\n"
    stat.write_text(lines.format(1200, 1000, 200))
    cores.begin()
    now_s = 2.0
    stat.write_text(lines.format(1550, 1150, 400))
    assert cores.count() == pytest.approx(0.75 + 1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_this_machine_tells():
    cores, deadline = IdleCores(), time.monotonic() + 10
    cores.begin()
    while (count := cores.count()) is None:
        assert time.monotonic() < deadline
    assert 0 <= count <= (os.cpu_count() or 1)
