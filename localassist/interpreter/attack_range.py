"""AttackRange: puts out bait on the host, lets attacks run in a kernel, and sees what they got."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from localassist.interpreter.attacks.attack import Attack

_TIMEOUT_S = 8.0
_MAX_PROCESSES = 150
_MAX_GROWTH_BYTES = 256 << 20
_MAX_BUSY_S = 0.2  # of the processor, in a second after the cell
_PLANTED = "localassist_planted.py"
_SECRET_VARIABLE = "LOCALASSIST_TEST_API_KEY"  # noqa: S105  # a name


class Target(Protocol):
    """A kernel that is attacked."""

    name: str

    def run(self, code: str, *, timeout_s: float) -> str:
        """Run a cell and return what it printed."""
        ...

    def collect(self) -> list[bytes]:
        """The files that the host would take from it."""
        ...

    def processes(self) -> list[int]:
        """Everything that runs in it."""
        ...

    def close(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What became of an attack: it was `held`, or it got `out`; `evidence` is what was seen."""

    attack: Attack
    out: bool
    evidence: str
    tier: str

    @property
    def expected(self) -> str | None:
        """Why it may get out in this tier."""
        return dict(self.attack.expected).get(self.tier)


class AttackRange:
    """A folder with secrets, services that count their visitors, and a process to be hurt."""

    def __init__(self) -> None:
        """Put everything out."""
        self._secret = f"canary-{secrets.token_hex(12)}"
        self._mark = f"localassist-{secrets.token_hex(6)}"
        # Seconds that no other process sleeps, those of another range included.
        self._seconds = f"4242.{secrets.randbelow(10**9):09d}"
        self._folder = Path(tempfile.mkdtemp(prefix="localassist-range-"))
        self._folder.chmod(0o755)
        self._outside = self._folder / "outside"
        self._secret_file = self._folder / "secret.txt"
        self._secret_file.write_text(self._secret, "ascii")
        self._hits = 0
        self._sockets: list[socket.socket] = []
        os.environ[_SECRET_VARIABLE] = self._secret  # as people have their keys
        self._bait = self._secret_file.open("rb")  # a descriptor that must not be inherited
        self._values = self._services() | {
            "SECRET": self._secret,
            "SECRETFILE": str(self._secret_file),
            "BAIT": self._folder.name,
            "OUTSIDE": str(self._outside),
            "HOSTPID": str(os.getpid()),
            "VICTIMMARK": self._mark,
            "SLEEPMARK": self._seconds,
            "PLANTED": _PLANTED,
        }
        self._shared = Path("/dev/shm", self._values["ABSTRACT"])  # noqa: S108  # bait
        with contextlib.suppress(OSError):
            self._shared.write_text(self._secret, "ascii")
        self._victim = self._new_victim()

    def close(self) -> None:
        """Take everything away."""
        os.environ.pop(_SECRET_VARIABLE, None)
        self._victim.kill()
        self._victim.wait()
        for each in self._sockets:
            each.close()
        self._bait.close()
        with contextlib.suppress(OSError):
            self._shared.unlink()
        ctypes.CDLL(None).shmctl(self._segment, 0, None)
        shutil.rmtree(self._folder, ignore_errors=True)

    def attack(self, start: Callable[[], Target], attack: Attack) -> Outcome:
        """Let one attack run in a kernel of its own."""
        self._prepare()
        target = start()
        try:
            return self._judge(target, attack)
        finally:
            target.close()
            _kill_marked(self._seconds)

    def attack_all(
        self, start: Callable[[], Target], attacks: Sequence[Attack]
    ) -> Iterator[Outcome]:
        """Let the attacks run one after the other."""
        for attack in attacks:
            yield self.attack(start, attack)

    # --- one attack ---

    def _prepare(self) -> None:
        shutil.rmtree(self._outside, ignore_errors=True)
        self._outside.mkdir()
        self._outside.chmod(0o777)
        mode = self._outside / "mode"
        mode.write_text("", "ascii")
        mode.chmod(0o600)
        if self._victim.poll() is not None:
            self._victim = self._new_victim()
        self._hits = 0

    def _judge(self, target: Target, attack: Attack) -> Outcome:
        code = attack.code
        for name, value in {**self._values, "VICTIM": str(self._victim.pid)}.items():
            code = code.replace(f"@{name}@", value)
        memory = _own_memory()
        most, growth = [0], [0]
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.1):
                most[0] = max(most[0], len(target.processes()))
                growth[0] = max(growth[0], _own_memory() - memory)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            printed = target.run(code, timeout_s=_TIMEOUT_S)
        finally:
            over.set()
            watcher.join()
        out, evidence = self._seen(target, attack, printed, most[0], growth[0])
        return Outcome(attack, out, evidence, target.name)

    def _seen(
        self, target: Target, attack: Attack, printed: str, most: int, growth: int
    ) -> tuple[bool, str]:
        told = next((line for line in printed.splitlines() if line.startswith("REACHED")), "")
        last = printed.strip().splitlines()[-1][-120:] if printed.strip() else ""
        if attack.sign == "printed":
            return bool(told), told or last
        time.sleep(0.3)
        if attack.sign == "hit":
            return self._hits > 0, f"{self._hits} visits; {last}"
        if attack.sign == "outside":
            mode = self._outside / "mode"
            planted = [path.name for path in self._outside.iterdir() if path != mode]
            changed = mode.exists() and bool(mode.stat().st_mode & 0o022)
            return bool(planted) or changed, f"{planted} {last}"
        if attack.sign == "planted":
            found = [path for path in set(map(Path, sys.path)) if (path / _PLANTED).exists()]
            for path in found:
                (path / _PLANTED).unlink(missing_ok=True)
            return bool(found), f"found in {[str(path) for path in found]}"
        if attack.sign == "collected":
            taken = [data for data in target.collect() if self._secret.encode() in data]
            return bool(taken), f"{len(taken)} secrets; {last}"
        if attack.sign == "victim":
            return self._victim.poll() is not None, last
        if attack.sign == "memory":
            return growth > _MAX_GROWTH_BYTES, f"the host grew by {growth >> 20} MB"
        if attack.sign == "busy":
            busy = _busy(target.processes())
            return busy > _MAX_BUSY_S, f"{busy:.2f} s of the processor in a second"
        target.close()
        time.sleep(0.3)
        left = _marked(self._seconds)
        return bool(left) or most > _MAX_PROCESSES, f"{most} at most, {len(left)} left behind"

    # --- bait ---

    def _services(self) -> dict[str, str]:
        name = f"localassist-{secrets.token_hex(6)}"
        unix, datagram = self._folder / "stream.sock", self._folder / "datagram.sock"
        tcp = self._serve(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        udp = self._serve(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self._serve(socket.AF_UNIX, socket.SOCK_STREAM, str(unix))
        self._serve(socket.AF_UNIX, socket.SOCK_DGRAM, str(datagram))
        self._serve(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{name}")
        for path in (unix, datagram):
            path.chmod(0o777)
        key = secrets.randbelow(1 << 30) + 1
        libc = ctypes.CDLL(None)
        libc.shmat.restype = ctypes.c_void_p
        self._segment = libc.shmget(key, 4096, 0o1666)
        at = libc.shmat(self._segment, None, 0)
        if self._segment >= 0 and at:
            ctypes.memmove(at, self._secret.encode(), len(self._secret))
        return {
            "TCP": str(tcp[1]), "UDP": str(udp[1]), "UNIX": str(unix), "DATAGRAM": str(datagram),
            "ABSTRACT": name, "SHMKEY": str(key),
        }  # fmt: skip

    def _serve(self, family: int, kind: int, address: object) -> tuple[str, int]:
        served = socket.socket(family, kind)
        served.bind(address)  # type: ignore[arg-type]  # of the family
        self._sockets.append(served)
        if kind == socket.SOCK_STREAM:
            served.listen()

        def count() -> None:
            with contextlib.suppress(OSError):
                while True:
                    if kind == socket.SOCK_STREAM:
                        served.accept()[0].close()
                    else:
                        served.recv(16)
                    self._hits += 1

        threading.Thread(target=count, daemon=True).start()
        name = served.getsockname()
        return name if isinstance(name, tuple) else ("", 0)

    def _new_victim(self) -> subprocess.Popen[bytes]:
        code = "import time; time.sleep(3600)"
        return subprocess.Popen([sys.executable, "-c", code, self._mark])  # noqa: S603  # our own


def _own_memory() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _busy(pids: Sequence[int]) -> float:
    """Seconds of the processor that processes use in a second."""
    before = _cpu_s(pids)
    time.sleep(1)
    return _cpu_s(pids) - before


def _cpu_s(pids: Sequence[int]) -> float:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            fields = (
                Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rsplit(")", 1)[1].split()
            )
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _marked(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def _kill_marked(mark: str) -> None:
    for pid in _marked(mark):
        with contextlib.suppress(OSError):
            os.kill(pid, 9)
