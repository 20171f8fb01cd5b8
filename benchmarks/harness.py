"""Medians with their spread: a line of a table, and a JSON line that names the machine.

The figures of a shared machine wander: what is to be compared is measured in turn, and a difference
counts only where it exceeds the spread that is printed with it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from localassist.engine.cores import processor_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_SHA_DIGITS = 12


@dataclass(frozen=True)
class Target:
    """What the median, or another statistic, may be at most, or has to be `at_least`."""

    limit: float
    statistic: str = "median"
    at_least: bool = False

    def met(self, figures: dict[str, float]) -> bool:
        """Whether the figures keep to it."""
        value = figures[self.statistic]
        return value >= self.limit if self.at_least else value <= self.limit

    @override
    def __str__(self) -> str:
        name = "" if self.statistic == "median" else f" {self.statistic}"
        return f"{'>=' if self.at_least else '<='} {self.limit:g}{name}"


@functools.cache
def _machine() -> dict[str, Any]:
    git = ("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*")
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or None,
        "cpu": processor_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


@functools.cache
def model_facts(path: Path) -> dict[str, str]:
    """Which weights they were."""
    with path.open("rb") as file:
        sha256 = hashlib.sha256()
        while block := file.read(1 << 20):
            sha256.update(block)
    return {"model": path.name, "model_sha256": sha256.hexdigest()[:_SHA_DIGITS]}


@functools.cache
def llama_facts() -> dict[str, Any]:
    """Which llama.cpp it was; asked in a process of its own, where nobody computes."""
    code = (
        "import json; from localassist.engine import llama_library; it = llama_library.load();"
        "print(json.dumps({'llama_cpp': it.version, 'header': it.mark, 'features': it.features,"
        "'splits_evenly': it.splits_evenly}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def report(
    name: str,
    values: Sequence[float],
    *,
    unit: str,
    target: Target | None = None,
    median: float | None = None,
    **facts: Any,
) -> float:
    """Print a line, append its JSON, return the median. `facts` are threads, n_ctx and so on."""
    ordered = sorted(values)
    figures = {
        "median": statistics.median(ordered) if median is None else median,
        "min": ordered[0],
        "max": ordered[-1],
        "p99": ordered[math.ceil(0.99 * len(ordered)) - 1],
    }
    verdict = "" if target is None else f"{target} {'ok' if target.met(figures) else 'MISSED'}"
    p99 = f"p99 {figures['p99']:.3f}" if len(ordered) >= 100 else ""
    print(
        f"{name:<46} {figures['median']:>9.3f} {unit:<6}"
        f" {figures['min']:>9.3f} - {figures['max']:<9.3f} {p99:<11} {verdict}".rstrip(),
        flush=True,
    )
    RESULTS.mkdir(exist_ok=True)
    line = {"name": name, "unit": unit, "rounds": len(ordered), **figures, "target": verdict}
    line |= {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **_machine(), **facts}
    with (RESULTS / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return figures["median"]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Times an action, in milliseconds, after `warmup` calls that are not counted."""

    warmup: int = 20
    repeat: int = 500

    def __call__(
        self, name: str, action: Callable[[], object], *, target: Target | None = None, **facts: Any
    ) -> float:
        """Measure and report; return the median."""
        values = [timed_ms(action) for _ in range(self.warmup + self.repeat)]
        return report(name, values[self.warmup :], unit="ms", target=target, **facts)


@contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """Other programs that want a core each."""
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def timed_ms(action: Callable[[], object]) -> float:
    """How long `action` takes."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def interleave(
    a: Callable[[], float], b: Callable[[], float], *, warmup: int, repeat: int
) -> tuple[list[float], list[float]]:
    """The figures of both sides, measured in turn; which of them goes first changes each round."""
    pairs = []
    for each in range(warmup + repeat):
        if each % 2:
            second, first = b(), a()
        else:
            first, second = a(), b()
        pairs.append((first, second))
    kept = pairs[warmup:]
    return [first for first, _ in kept], [second for _, second in kept]


Side = tuple[str, "Callable[[], float]"]


def compare(
    name: str,
    a: Side,
    b: Side,
    *,
    unit: str,
    repeat: int,
    warmup: int = 1,
    target: Target | None = None,
    **facts: Any,
) -> float:
    """Report both sides, and the ratio a/b of their medians with the rounds' lowest and highest."""
    ours, theirs = interleave(a[1], b[1], warmup=warmup, repeat=repeat)
    for (side, _), values in ((a, ours), (b, theirs)):
        report(f"{name}, {side}", values, unit=unit, **facts)
    rounds = [x / y for x, y in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ours) / statistics.median(theirs)
    label = f"{name}, {a[0]} / {b[0]}"
    return report(label, rounds, unit="ratio", target=target, median=ratio, **facts)
