"""Kernels: how fast they start and answer, beside a plain one, and how a runaway cell ends.

python -m benchmarks.interpreter [--rounds 20]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import Target, report
from localassist.interpreter.fork_server import ForkServer
from localassist.interpreter.interpreter import Interpreter
from localassist.interpreter.probe import best_tier
from localassist.interpreter.sandbox.policy import python_policy
from localassist.interpreter.targets import PlainTarget, SandboxTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from localassist.interpreter.sandbox.policy import Tier

_STUBBORN = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"


def _ms(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def starts(server: ForkServer, tier: Tier, rounds: int) -> None:
    """A kernel's start and its first `1+1`, each side in turn."""
    ours: list[float] = []
    plain: list[float] = []
    ours_trip: list[float] = []
    plain_trip: list[float] = []
    idle: list[float] = []

    def first(make: Callable[[], SandboxTarget | PlainTarget], into: list[float]) -> object:
        started = time.perf_counter()
        target = make()
        target.run("1+1", timeout_s=20)
        into.append((time.perf_counter() - started) * 1000)
        return target

    for _ in range(rounds):
        sandboxed = first(lambda: SandboxTarget(server, tier), ours)
        usual = first(PlainTarget, plain)
        for target, into in ((sandboxed, ours_trip), (usual, plain_trip)):
            assert isinstance(target, (SandboxTarget, PlainTarget))
            into += [_ms(lambda t=target: t.run("1+1", timeout_s=20)) for _ in range(5)]  # type: ignore[misc]  # bound at once
        assert isinstance(sandboxed, SandboxTarget)
        idle.append(sandboxed.memory_bytes() / 2**20)
        sandboxed.close()
        assert isinstance(usual, PlainTarget)
        usual.close()
    fresh = report("from the fork server to the first 1+1", ours, unit="ms")
    slow = report("a plain kernel to the first 1+1", plain, unit="ms")
    report("  ratio", [fresh / slow], unit="", target=Target(0.25))
    one = report("1+1", ours_trip, unit="ms")
    other = report("1+1 in a plain kernel", plain_trip, unit="ms")
    report("  ratio", [one / other], unit="", target=Target(1.5))
    report("an idle kernel, shared pages divided", idle, unit="MB", target=Target(45))


def spares(rounds: int) -> None:
    """A kernel from the spare, to its first `1+1`."""
    with tempfile.TemporaryDirectory() as folder:
        interpreter = Interpreter(Path(folder), max_kernels=3)
        interpreter.execute("first", "1")
        values = []
        for number in range(rounds):
            time.sleep(0.6)  # the next spare is started beside
            name = f"conversation {number}"
            values.append(_ms(lambda name=name: interpreter.execute(name, "1+1")))  # type: ignore[misc]  # bound at once
        interpreter.close()
    report("from the spare to the first 1+1", values, unit="ms", target=Target(15))


def endings(server: ForkServer, tier: Tier, rounds: int) -> None:
    """How long over its second a cell goes on, and how long a kill takes."""
    for label, code, limit in (
        ("overrun, interruptible", "while True: pass", 500.0),
        ("overrun, not interruptible", _STUBBORN, 2500.0),
    ):
        values = []
        for _ in range(max(3, rounds // 4)):
            target = SandboxTarget(server, tier)
            values.append(_ms(lambda t=target, c=code: t.run(c, timeout_s=1)) - 1000)  # type: ignore[misc]  # bound at once
            target.close()
        report(label, values, unit="ms", target=Target(limit))
    kills = []
    for _ in range(rounds):
        target = SandboxTarget(server, tier)
        target.run("1", timeout_s=20)
        kills.append(_ms(target.close))
    report("every process gone after a kill", kills, unit="ms", target=Target(200))


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        server = ForkServer(Path(cache))
        tier = best_tier(server, python_policy())
        print(f"tier {tier}")
        starts(server, tier, options.rounds)
        endings(server, tier, options.rounds)
        server.close()
    spares(options.rounds)


if __name__ == "__main__":
    main()
