from __future__ import annotations

import ctypes
import os
import platform
import sys
import time

import psutil
import pytest

from localassist.engine.cores import IdleCores, processor_name, usable_cores


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine of 4 cores with two threads each, described by files in a folder."""
    for cpu in range(8):
        siblings = f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        describe(tmp_path, {siblings: f"{cpu % 4},{cpu % 4 + 4}\n"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def describe(system, files):
    for name, text in files.items():
        path = system / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("allowed", "cores"), [(range(8), 4), ({0, 4}, 1), ({0, 1}, 2), ({0, 1, 5}, 2), ({3}, 1)]
)
def test_two_threads_of_a_core_count_once(system, monkeypatch, allowed, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(allowed), raising=False)
    assert usable_cores(root=system) == cores


def test_without_a_topology_every_cpu_is_a_core(system):
    assert usable_cores(root=system / "nothing") == 8


@pytest.mark.parametrize(
    ("physical", "count", "cores"), [(6, 8, 6), (1, 2, 1), (None, 8, 8), (None, None, 1)]
)
def test_where_affinity_is_unknown_the_machines_cores_count(
    system, monkeypatch, physical, count, cores
):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: count if logical else physical)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores(root=system) == cores


@pytest.mark.parametrize(("told", "failed", "cores"), [(12, 0, 12), (12, -1, 16), (0, 0, 16)])
def test_of_two_kinds_of_cores_the_fast_ones_count(system, monkeypatch, told, failed, cores):
    class Library:
        @staticmethod
        def sysctlbyname(name, value, _size, _new, _new_size):
            assert name == b"hw.perflevel0.physicalcpu"
            value._obj.value = told
            return failed

    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 16)
    assert usable_cores(root=system) == cores


# --- quotas ---


def quota_1(group, num_us, period_us=100_000):
    """Of a control group of version 1."""
    folder = f"cpu/{group}".rstrip("/")
    return {
        f"{folder}/cpu.cfs_quota_us": f"{num_us}\n",
        f"{folder}/cpu.cfs_period_us": f"{period_us}\n",
    }


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
    describe(system / "sys/fs/cgroup", files)
    assert usable_cores(root=system) == cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"box/cpu.max": "200000 100000\n"}, 2),
        ({"box/cpu.max": "200000 100000\n", "box/inner/cpu.max": "max 100000\n"}, 2),
        ({"box/cpu.max": "300000 100000\n", "box/inner/cpu.max": "100000 100000\n"}, 1),
        ({"box/cpu.max": "100000 100000\n", "box/inner/cpu.max": "300000 100000\n"}, 1),
        ({"cpu.max": "300000 100000\n", "box/cpu.max": "200000 100000\n"}, 2),
        ({"box/inner/below/cpu.max": "100000 100000\n", "beside/cpu.max": "100000 100000\n"}, 4),
        ({"cpu/box/cpu.cfs_quota_us": "100000\n", "cpu/box/cpu.cfs_period_us": "100000\n"}, 4),
    ],
)
def test_the_least_quota_of_all_groups_above_the_process_counts(system, files, cores):
    describe(system, {"proc/self/cgroup": "0::/box/inner\n"})
    describe(system / "sys/fs/cgroup", files)
    assert usable_cores(root=system) == cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        (quota_1("box", 200_000), 2),
        (quota_1("box", 200_000) | quota_1("box/inner", -1), 2),
        (quota_1("box", 300_000) | quota_1("box/inner", 50_000, 50_000), 1),
        (quota_1("box", 100_000) | quota_1("box/inner", 300_000), 1),
        (quota_1("beside", 100_000) | {"memory/cpu.max": "100000 100000\n"}, 4),
        (quota_1("box", 300_000) | {"all/cpu.max": "200000 100000\n"}, 2),
    ],
)
def test_the_least_quota_counts_in_version_1_as_well(system, files, cores):
    told = "5:memory:/\n4:cpuset:/beside\n3:cpu,cpuacct:/box/inner\n0::/all\n"
    describe(system, {"proc/self/cgroup": told})
    describe(system / "sys/fs/cgroup", files)
    assert usable_cores(root=system) == cores


@pytest.mark.parametrize(
    ("told", "files"),
    [
        ("0::/docker/abc\n", {"cpu.max": "200000 100000\n"}),
        ("4:cpu,cpuacct:/docker/abc\n", quota_1("", 200_000)),
    ],
)
def test_of_a_group_that_is_not_mounted_here_the_mounts_root_counts(system, told, files):
    describe(system, {"proc/self/cgroup": told})
    describe(system / "sys/fs/cgroup", files)
    assert usable_cores(root=system) == 2


# --- the processor ---


def test_the_processor_is_called_what_it_calls_itself(tmp_path):
    lines = ["processor\t: {}", "model\t\t: 85", "model name\t: A Chip: 3 GHz", "flags\t: fpu"]
    text = "\n\n".join("\n".join(lines).format(cpu) for cpu in range(2))
    describe(tmp_path, {"proc/cpuinfo": text})
    assert processor_name(root=tmp_path) == "A Chip: 3 GHz"


@pytest.mark.parametrize(("processor", "name"), [("a chip", "a chip"), ("", "arm64")])
@pytest.mark.parametrize("files", [{}, {"proc/cpuinfo": "processor\t: 0\nCPU part\t: 0xd40\n"}])
def test_where_it_does_not_say_its_kind_stands_for_it(
    tmp_path, monkeypatch, files, processor, name
):
    describe(tmp_path, files)
    monkeypatch.setattr(platform, "processor", lambda: processor)
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert processor_name(root=tmp_path) == name


# --- idle ---


class Machine:
    """Its CPUs are idle for parts of the time that passes."""

    def __init__(self, root, num_cpus=8):
        self.root = root
        self.now_s = 5.0
        self.idle_s = {cpu: 100.0 + cpu for cpu in range(num_cpus)}

    def cores(self):
        return IdleCores(idle_s=lambda: dict(self.idle_s), clock=lambda: self.now_s, root=self.root)

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
    assert idle_after(Machine(system), 1.0, idle=idle) == pytest.approx(1.5)


def test_only_cores_count_that_this_process_may_use(system, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 5}, raising=False)
    assert idle_after(Machine(system), 2.0, idle=[1.0] * 8) == pytest.approx(2.0)


def test_idle_cores_are_counted_since_the_beginning(system):
    machine = Machine(system)
    cores = machine.cores()
    cores.begin()
    machine.run(9.0, idle=[1.0] * 8)
    cores.begin()
    machine.run(1.0, idle=[0.0] * 8)
    assert cores.count() == 0


def test_cpus_that_appear_later_count_from_the_next_beginning(system, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    machine = Machine(system)
    cores = machine.cores()
    cores.begin()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    machine.run(1.0, idle=[1.0] * 8)
    assert cores.count() == pytest.approx(1.0)
    cores.begin()
    machine.run(1.0, idle=[1.0] * 8)
    assert cores.count() == pytest.approx(3.0)


def test_what_the_system_does_not_tell_is_not_known(system, monkeypatch):
    machine = Machine(system)
    assert machine.cores().count() is None
    del machine.idle_s[1]  # it is switched off
    assert idle_after(machine, 1.0, idle=[1.0] * 8) is None
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert idle_after(Machine(system), 1.0, idle=[1.0] * 8) is None


def test_idle_time_is_counted_too_coarsely_to_be_looked_at_at_once(system):
    machine = Machine(system)
    cores = machine.cores()
    for _ in range(2):
        cores.begin()
        assert not cores.is_time
        machine.run(0.1, idle=[1.0] * 8)
        assert not cores.is_time
        machine.run(0.15, idle=[1.0] * 8)
        assert cores.is_time
        assert cores.count() == pytest.approx(4.0)


def test_cpus_are_known_by_their_numbers(system, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3}, raising=False)
    machine = Machine(system)
    del machine.idle_s[1]
    assert idle_after(machine, 1.0, idle=[1, 1, 0, 0.5, 1, 1, 1, 1]) == pytest.approx(0.5)


def test_the_system_says_how_long_cpus_were_idle(system, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda _: 100)
    now_s = 0.0
    cores = IdleCores(clock=lambda: now_s, root=system)
    cores.begin()  # there is no such file yet
    assert cores.count() is None
    lines = "cpu  9 9 9 {} 0 0\ncpu0 1 2 3 {} 0 0\ncpu2 1 2 3 {} 5 0\nintr 1 2 3\n"
    describe(system, {"proc/stat": lines.format(1200, 1000, 200)})
    cores.begin()
    now_s = 2.0
    describe(system, {"proc/stat": lines.format(1550, 1150, 400)})
    assert cores.count() == pytest.approx(0.75 + 1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_this_machine_tells():
    cores, deadline = IdleCores(), time.monotonic() + 10
    cores.begin()
    while not cores.is_time:
        assert time.monotonic() < deadline
    count = cores.count()
    assert count is not None
    assert 0 <= count <= (os.cpu_count() or 1)
