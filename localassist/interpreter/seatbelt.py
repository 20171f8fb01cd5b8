"""SeatbeltServer: kernels on macOS, which has neither namespaces nor a fork that keeps libraries.

The host's end of `sandbox/macos.py`. A kernel is a process of its own that starts as slowly as a
plain one; it ends with the host by the end of its standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from localassist.errors import SandboxError
from localassist.interpreter.fork_server import Sandbox
from localassist.interpreter.sandbox import macos

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localassist.interpreter.sandbox.policy import SandboxPolicy, Tier

_KILL_S = 10.0
_PS = "/bin/ps"
_STDERR = "stderr"
_MAX_WORDS = 500
_INNER = """
import sys
sys.path.insert(0, sys.argv[1])
from localassist.interpreter.seatbelt import run_inside
run_inside(sys.argv[2])
"""


class SeatbeltSandbox(Sandbox):
    """One confined process, which can start no other one."""

    def __init__(self, process: subprocess.Popen[bytes], folder: str) -> None:
        self.tier = "seatbelt"
        self.pid = process.pid
        self.run_path = f"{folder}/run"
        self.data_fd = os.open(f"{folder}/data", os.O_RDONLY | os.O_DIRECTORY)
        self.run_fd = os.open(self.run_path, os.O_RDONLY | os.O_DIRECTORY)
        self._process = process
        self._folder = folder
        # Its other end is closed when the process has ended, which makes it readable.
        self._pidfd, closed_at_end = os.pipe()
        threading.Thread(
            target=_close_after, args=(process, closed_at_end), name="kernel-watch", daemon=True
        ).start()

    @override
    def processes(self) -> list[int]:
        """The one that there is."""
        return [self.pid] if self.alive else []

    @override
    def freeze(self) -> None:
        """Nothing: a process that stands still would not see that the host has ended."""

    @override
    def thaw(self) -> None:
        """Nothing, see `freeze`."""

    @override
    def last_words(self) -> str:
        """What sandbox-exec says of a profile that it does not take."""
        with contextlib.suppress(OSError), Path(f"{self.run_path}/{_STDERR}").open("rb") as file:
            return file.read(_MAX_WORDS).decode("utf-8", "replace").strip()
        return ""

    @override
    def memory_bytes(self) -> int:
        """Of the process."""
        with contextlib.suppress(OSError, ValueError):  # too many processes; it has just ended
            done = subprocess.run(  # noqa: S603  # the system's, by its path
                [_PS, "-o", "rss=", "-p", str(self.pid)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            return int(done.stdout) * 1024
        return 0

    @override
    def exact_memory_bytes(self) -> int:
        """The same: nothing is shared with another kernel."""
        return self.memory_bytes()

    @override
    def kill(self) -> None:
        """End it, and wait for it."""
        assert self._process is not None, "it was given"
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_S)

    @override
    def close(self) -> None:
        """Kill it and give everything back."""
        if self._pidfd < 0:
            return
        self.kill()
        assert self._process is not None, "it was given"
        assert self._folder is not None, "it was given"
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.close()
        for fd in (self.data_fd, self.run_fd, self._pidfd):
            os.close(fd)
        self._pidfd = -1
        shutil.rmtree(self._folder, ignore_errors=True)


class SeatbeltServer:
    """Starts sandboxes, one process each. Has the surface of ForkServer."""

    alive = True

    def __init__(
        self, confined: Callable[[Sequence[str], str, Sequence[str]], list[str]] = macos.command
    ) -> None:
        """Start nothing yet.

        Args:
            confined: makes the command line of a confined Python; for tests, without a Mac.
        """
        self._confined = confined

    def spawn(
        self,
        policy: SandboxPolicy,
        connection: dict[str, Any],
        *,
        tier: Tier,  # noqa: ARG002  # there is one
    ) -> SeatbeltSandbox:
        """Start a kernel in a new folder of its own.

        Raises:
            SandboxError: it could not be started.
        """
        # Resolved: the profile compares what links lead to.
        folder = os.path.realpath(tempfile.mkdtemp(prefix="localassist-code-"))
        try:
            process = self._start(policy, connection, folder)
            return SeatbeltSandbox(process, folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise SandboxError(f"No sandbox: {error}", code="sandbox_failed") from error

    def _start(
        self, policy: SandboxPolicy, connection: dict[str, Any], folder: str
    ) -> subprocess.Popen[bytes]:
        temporary = f"{folder}/run/tmp"
        for path in (f"{folder}/data", f"{folder}/run", temporary):
            Path(path).mkdir(mode=0o700)
        settings = {"limits": policy.limits, "nice": policy.nice}
        Path(folder, "run", "settings.json").write_text(json.dumps(settings), "ascii")
        inner = {**connection, "ip": f"{folder}/run/k"}
        Path(folder, "run", "connection.json").write_text(json.dumps(inner), "ascii")
        package = Path(__file__).parents[1]
        python = [sys.executable, "-I", "-B", "-c", _INNER, str(package.parent), folder]
        environment = {
            **policy.environment, "HOME": temporary, "TMPDIR": temporary,
            "MPLCONFIGDIR": f"{temporary}/mpl", "IPYTHONDIR": f"{temporary}/.ipython",
        }  # fmt: skip
        with Path(folder, "run", _STDERR).open("wb") as stderr:
            return subprocess.Popen(  # noqa: S603  # the system's sandbox-exec, by its path
                self._confined([*policy.readable, str(package)], folder, python),
                env=environment,
                cwd=f"{folder}/data",
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )

    def close(self) -> None:
        """Nothing is left: what it has started goes on until it is closed."""


def run_inside(folder: str) -> None:
    """What the confined Python runs: a kernel, within its limits, until the host goes away."""
    import resource

    from localassist.interpreter import kernel_main

    settings = json.loads(Path(folder, "run", "settings.json").read_text("ascii"))
    for name, value in settings["limits"].items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:
            with contextlib.suppress(ValueError, OSError):  # more than the user may have
                resource.setrlimit(kind, (value, value))
    os.nice(settings["nice"])
    os.umask(0o077)
    threading.Thread(target=_end_with_host, args=(os.dup(0),), daemon=True).start()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    kernel_main.preload()
    kernel_main.run_kernel(f"{folder}/run", data_folder=f"{folder}/data")


def _end_with_host(lifeline: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(lifeline, 64):
            pass
    os.kill(os.getpid(), signal.SIGKILL)


def _close_after(process: subprocess.Popen[bytes], fd: int) -> None:
    process.wait()
    os.close(fd)
