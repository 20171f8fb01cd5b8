"""Cores: which ones this process may use, and how much of them nobody uses."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.engine.control_groups import SYSTEM, control_groups, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_LEAST_S = 0.2  # idle time is counted in hundredths of a second


class IdleCores:
    """How many cores were idle for some time. Where the system does not tell, nothing is known."""

    def __init__(
        self,
        *,
        idle_s: Callable[[], Mapping[int, float]] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        root: Path = SYSTEM,
    ) -> None:
        """Look at nothing yet.

        Args:
            idle_s: for each CPU, by its number, how long it has been idle since it was started.
            clock: seconds.
            root: where `proc` and `sys` are mounted.
        """
        self._idle_s = idle_s or (lambda: _idle_s(root))
        self._clock = clock
        self._root = root
        self._allowed: set[int] = set()
        self._cores: list[list[int]] = []
        self._began_s = 0.0
        self._before: Mapping[int, float] = {}

    def begin(self) -> None:
        """The time that is looked at begins now."""
        if (allowed := _allowed_cpus()) != self._allowed:
            self._allowed, self._cores = allowed, _allowed_cores(self._root)
        self._began_s, self._before = self._clock(), self._idle_s()

    @property
    def is_time(self) -> bool:
        """Whether `begin` was long enough ago."""
        return self._clock() - self._began_s >= _LEAST_S

    def count(self) -> float | None:
        """Idle cores since `begin`, on average; None if the system does not tell.

        A core on which one of two CPUs is busy is not idle.
        """
        seconds, now, before = self._clock() - self._began_s, self._idle_s(), self._before
        cpus = [cpu for core in self._cores for cpu in core]
        if not cpus or not all(cpu in now and cpu in before for cpu in cpus):
            return None
        idle = {cpu: min(1.0, max(0.0, now[cpu] - before[cpu]) / seconds) for cpu in cpus}
        return sum(min(idle[cpu] for cpu in core) for core in self._cores)


def _idle_s(root: Path) -> Mapping[int, float]:
    lines = read_lines(root / "proc" / "stat")
    if not lines:
        return {}
    ticks = os.sysconf("SC_CLK_TCK")
    # "cpu3", and times as a user, with low priority, in the system, idle, ...; "cpu" is all of them
    rows = (line.split() for line in lines if line.startswith("cpu"))
    return {int(row[0][3:]): int(row[4]) / ticks for row in rows if row[0] != "cpu"}


def usable_cores(*, root: Path = SYSTEM) -> int:
    """Physical cores that this process may use; at least 1.

    Two threads on one core share its arithmetic units: decoding gains nothing and loses when
    another program runs. A quota of a control group counts as that many cores.

    Args:
        root: where `proc` and `sys` are mounted.
    """
    cores = len(_allowed_cores(root)) or _physical_cores()
    quotas = [int(quota) for quota in _quotas(root)]
    return max(1, min([cores, *quotas]))


def processor_name(*, root: Path = SYSTEM) -> str:
    """What the processor calls itself."""
    told = (line.partition(":") for line in read_lines(root / "proc" / "cpuinfo"))
    names = (name.strip() for key, _, name in told if key.strip() == "model name")
    return next(names, "") or platform.processor() or platform.machine()


def _allowed_cores(root: Path) -> list[list[int]]:
    """CPUs that this process may use, those of a core together; empty where that is not told."""
    cores: dict[str, list[int]] = {}
    for cpu in sorted(_allowed_cpus()):
        cores.setdefault(_siblings(cpu, root), []).append(cpu)
    return list(cores.values())


def _allowed_cpus() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # on macOS and Windows
        return set()


def _siblings(cpu: int, root: Path) -> str:
    told = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    return "".join(read_lines(told)) or str(cpu)


def _physical_cores() -> int:
    """Those of the machine, on macOS and Windows."""
    if (fast := _fast_cores()) is not None:
        return fast
    psutil: Any = require("psutil", package="psutil")
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def _fast_cores() -> int | None:
    """Of Apple's processors, the cores that are not made for efficiency: these hold others up."""
    count, size = ctypes.c_int32(0), ctypes.c_size_t(4)
    try:
        ask = ctypes.CDLL(None).sysctlbyname
    except (AttributeError, OSError, TypeError):  # another system
        return None
    name = b"hw.perflevel0.physicalcpu"
    failed = ask(name, ctypes.byref(count), ctypes.byref(size), None, ctypes.c_size_t(0))
    return None if failed or count.value < 1 else count.value


def _quotas(root: Path) -> Iterator[float]:
    """Of each control group above this process that has one, in CPUs."""
    for version, folder in control_groups("cpu", root=root):
        if version == 2:
            told = " ".join(read_lines(folder / "cpu.max")).split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            told = [line for name in names for line in read_lines(folder / name)]
        try:
            quota, period = map(int, told)
        except ValueError:  # "max", or no such file
            continue
        if quota > 0 and period > 0:
            yield quota / period
