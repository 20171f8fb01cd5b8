"""Cores: which ones this process may use, and how much of them nobody uses."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TOPOLOGY = Path("/sys/devices/system/cpu")
_STAT = Path("/proc/stat")
_CGROUP = Path("/sys/fs/cgroup")
_LEAST_S = 0.2  # idle time is counted in hundredths of a second


class IdleCores:
    """How many cores were idle for some time. Where the system does not tell, nothing is known."""

    def __init__(
        self,
        *,
        idle_s: Callable[[], Mapping[int, float]] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Look at nothing yet.

        Args:
            idle_s: for each CPU, by its number, how long it has been idle since it was started.
            clock: seconds.
        """
        self._idle_s = idle_s or _idle_s
        self._clock = clock
        self._cores = _allowed_cores()
        self._began_s = 0.0
        self._before: Mapping[int, float] = {}

    def begin(self) -> None:
        """The time that is looked at begins now."""
        self._began_s, self._before = self._clock(), self._idle_s()

    def count(self) -> float | None:
        """Idle cores since `begin`, on average; None if that is not known, or not yet.

        A core on which one of two CPUs is busy is not idle.
        """
        seconds, now, before = self._clock() - self._began_s, self._idle_s(), self._before
        cpus = [cpu for core in self._cores for cpu in core]
        told = bool(cpus) and all(cpu in now and cpu in before for cpu in cpus)
        if seconds < _LEAST_S or not told:
            return None
        idle = {cpu: min(1.0, max(0.0, now[cpu] - before[cpu]) / seconds) for cpu in cpus}
        return sum(min(idle[cpu] for cpu in core) for core in self._cores)


def _idle_s() -> Mapping[int, float]:
    try:
        lines = _STAT.read_text("ascii").splitlines()
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return {}
    # "cpu3", and times as a user, with low priority, in the system, idle, ...; "cpu" is all of them
    rows = (line.split() for line in lines if line.startswith("cpu"))
    return {int(row[0][3:]): int(row[4]) / ticks for row in rows if row[0] != "cpu"}


def usable_cores() -> int:
    """Physical cores that this process may use; at least 1.

    Two threads on one core share its arithmetic units: decoding gains nothing and loses when
    another program runs. A limit of the control group counts as that many cores.
    """
    cores = len(_allowed_cores())
    if not cores:
        return max(1, (os.cpu_count() or 2) // 2)
    return max(1, min(cores, _cgroup_limit()))


def _allowed_cores() -> list[list[int]]:
    """CPUs that this process may use, those of a core together; empty where that is not told."""
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # on macOS and Windows
        return []
    cores: dict[str, list[int]] = {}
    for cpu in sorted(allowed):
        cores.setdefault(_siblings(cpu), []).append(cpu)
    return list(cores.values())


def _siblings(cpu: int) -> str:
    try:
        return (_TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text("ascii")
    except OSError:
        return str(cpu)


def _cgroup_limit() -> int:
    """Whole cores that the control group's quota leaves; many where there is none."""
    unlimited = 1 << 16
    try:
        quota, period = (_CGROUP / "cpu.max").read_text("ascii").split()
    except (OSError, ValueError):
        try:
            quota = (_CGROUP / "cpu" / "cpu.cfs_quota_us").read_text("ascii").strip()
            period = (_CGROUP / "cpu" / "cpu.cfs_period_us").read_text("ascii").strip()
        except OSError:
            return unlimited
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return unlimited
    return max(1, int(cores)) if cores > 0 else unlimited
