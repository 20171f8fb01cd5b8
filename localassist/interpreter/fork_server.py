"""ForkServer: the host's end of the fork server, and of each sandbox that it started."""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from localassist.errors import SandboxError
from localassist.interpreter.sandbox import linux_bwrap
from localassist.interpreter.sandbox.policy import WITHOUT_NAMESPACES
from localassist.interpreter.zygote import MAX_REQUEST

if TYPE_CHECKING:
    from localassist.interpreter.sandbox.policy import SandboxPolicy, Tier

_START_S = 120.0  # the first time, packages are compiled and fonts looked for
_SPAWN_S = 20.0
_KILL_S = 10.0
_PASS_CREDENTIALS = socket.SO_PASSCRED if hasattr(socket, "SO_PASSCRED") else 16
_CREDENTIALS = struct.Struct("iii")
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    "OPENBLAS_NUM_THREADS": "1",  # a fork must not leave OS threads behind
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


class Sandbox:
    """A confined process and all below it, seen from the host.

    Attributes:
        data_fd: the folder that code sees as /mnt/data.
        run_fd: the folder of the kernel's sockets.
        pid: of the process that ends all others with it.
        run_path: of the folder of the sockets, where its descriptor alone is of no use.
    """

    run_path: str | None = None

    def __init__(
        self,
        lifeline: socket.socket,
        fds: tuple[int, int],
        pid: int,
        *,
        tier: Tier,
        folder: str | None = None,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.data_fd, self.run_fd = fds
        self.pid = pid
        self.tier = tier
        self._lifeline = lifeline
        self._folder = folder
        self._process = process
        self._pidfd = os.pidfd_open(pid)

    @property
    def pidfd(self) -> int:
        """Readable once the sandbox has ended."""
        return self._pidfd

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._pidfd >= 0 and not select.select([self._pidfd], [], [], 0)[0]

    def processes(self) -> list[int]:
        """All below the first one, oldest first."""
        found: list[int] = []
        waiting = [self.pid]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError, ValueError):
                for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  # twice as fast, twice a cell
                    waiting += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
            found.append(pid)
        return found[1:]

    def last_words(self) -> str:
        """What it wrote of itself before there was a kernel, if anybody kept that."""
        return ""

    def signal_kernel(self, number: int) -> None:
        """Signal the process that runs the code."""
        for pid in self.processes()[:1]:
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def freeze(self) -> None:
        """Stop every process, until `thaw`; a second look finds those that were just forked."""
        stopped: set[int] = set()
        for _ in range(4):
            new = [pid for pid in self.processes() if pid not in stopped]
            if not new:
                return
            for pid in new:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGSTOP)
            stopped.update(new)

    def thaw(self) -> None:
        """Let every process go on."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGCONT)

    def memory_bytes(self) -> int:
        """Of all processes. Shared pages are counted once only where the sum would be too much."""
        return sum(_status_bytes(pid) for pid in self.processes())

    def exact_memory_bytes(self) -> int:
        """The same with shared pages divided among those that share them; slow."""
        return sum(_proportional_bytes(pid) for pid in self.processes())

    def kill(self) -> None:
        """End every process, and wait for it."""
        # Without namespaces, the first process ends the others before it ends itself.
        number = signal.SIGTERM if self.tier in WITHOUT_NAMESPACES else signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)
        select.select([self._pidfd], [], [], _KILL_S)

    def close(self) -> None:
        """Kill it and give its descriptors back."""
        if self._pidfd < 0:
            return
        self.kill()
        self._lifeline.close()
        for fd in (self.data_fd, self.run_fd, self._pidfd):
            os.close(fd)
        self._pidfd = -1
        if self._process is not None:
            _wait(self._process)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class KernelServer(Protocol):
    """Starts sandboxes with kernels in them."""

    @property
    def alive(self) -> bool:
        """Whether it still serves."""

    def spawn(self, policy: SandboxPolicy, connection: dict[str, Any], *, tier: Tier) -> Sandbox:
        """Start a sandbox; see ForkServer."""

    def close(self) -> None:
        """End what belongs to it alone."""


def open_server(cache: Path) -> KernelServer:
    """This machine's; see ForkServer.

    Raises:
        SandboxError: it could not be started.
    """
    if sys.platform == "darwin":
        from localassist.interpreter.seatbelt import SeatbeltServer

        return SeatbeltServer()
    return ForkServer(cache)


class ForkServer:
    """Starts sandboxes. Every method may be called from any OS thread."""

    def __init__(self, cache: Path) -> None:
        """Start the process.

        Args:
            cache: a folder for the list of fonts, so that it is made once.

        Raises:
            SandboxError: it could not be started.
        """
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-I", "-B", "-m", "localassist.interpreter.zygote"]
        self._process = subprocess.Popen(  # noqa: S603  # of our own module
            [*command, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=_ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        cache.mkdir(parents=True, exist_ok=True)
        # Through the socket: what a process starts with stays readable for all its forks.
        settings = {"environment": {"MPLCONFIGDIR": str(cache)}}
        self._control.settimeout(_START_S)
        try:
            self._control.send(json.dumps(settings).encode())
            answer = self._control.recv(MAX_REQUEST)
        except OSError as error:
            raise self._failed(repr(error)) from error
        if not answer:
            raise self._failed(self._last_words())
        os_threads = json.loads(answer)["os_threads"]
        if os_threads != 1:
            self.close()
            raise self._failed(f"it has {os_threads} OS threads; forking needs one")

    @property
    def pid(self) -> int:
        """Of the fork server's process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._process.poll() is None

    def spawn(self, policy: SandboxPolicy, connection: dict[str, Any], *, tier: Tier) -> Sandbox:
        """Start a sandbox with a kernel in it.

        Raises:
            SandboxError: it could not be confined; nothing runs then.
        """
        if tier == "bwrap":
            return _spawn_by_bwrap(policy, connection)
        ours, theirs = socket.socketpair()
        folder = _private_folder() if tier in WITHOUT_NAMESPACES else None
        request = {
            "policy": policy.to_json(),
            "tier": tier,
            "connection": connection,
            "folder": folder,
        }
        try:
            ours.setsockopt(socket.SOL_SOCKET, _PASS_CREDENTIALS, 1)
            ours.settimeout(_SPAWN_S)
            with self._lock, theirs:
                socket.send_fds(self._control, [json.dumps(request).encode()], [theirs.fileno()])
            fds, pid = _answer(ours)
        except BaseException:
            ours.close()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return Sandbox(ours, fds, pid, tier=tier, folder=folder)

    def close(self) -> None:
        """End the process; sandboxes that it started go on until they are closed."""
        self._control.close()
        _wait(self._process)

    def _last_words(self) -> str:
        stream = self._process.stderr
        return stream.read(4000).decode("utf-8", "replace") if stream is not None else ""

    def _failed(self, why: str) -> SandboxError:
        return SandboxError(
            f"The interpreter's fork server did not start: {why.strip() or 'it ended at once'}",
            code="fork_server_failed",
        )


def _spawn_by_bwrap(policy: SandboxPolicy, connection: dict[str, Any]) -> Sandbox:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, _PASS_CREDENTIALS, 1)
    ours.settimeout(_SPAWN_S)
    with theirs:
        process = linux_bwrap.start(policy, theirs.fileno())
    request = {"policy": policy.to_json(), "connection": connection}
    try:
        ours.sendall(json.dumps(request).encode())
        fds, pid = _answer(ours)
    except (OSError, SandboxError) as error:
        ours.close()
        process.kill()
        words = process.stderr.read(2000).decode("utf-8", "replace") if process.stderr else ""
        _wait(process)
        raise SandboxError(f"No sandbox: {words or error}", code="sandbox_failed") from error
    return Sandbox(ours, fds, pid, tier="bwrap", process=process)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Until it has ended, if need be by force."""
    try:
        process.wait(_KILL_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stderr is not None:
        process.stderr.close()


def _private_folder() -> str:
    folder = tempfile.mkdtemp(prefix="localassist-code-")
    if os.getuid() == 0:
        Path(folder).chmod(0o711)  # its parts belong to the user who runs the code
    return folder


def _answer(lifeline: socket.socket) -> tuple[tuple[int, int], int]:
    """The folders that a new sandbox sends, and the pid of who sent them, as the kernel says."""
    space = socket.CMSG_SPACE(8) + socket.CMSG_SPACE(_CREDENTIALS.size)
    try:
        message, ancillary, _, _ = lifeline.recvmsg(1 << 16, space)
    except TimeoutError as error:
        raise SandboxError(
            f"The sandbox did not answer within {_SPAWN_S:g} s.", code="sandbox_failed"
        ) from error
    answer = json.loads(message or b'{"error": "it ended at once"}')
    fds = array.array("i")
    pid = 0
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        else:
            pid = _CREDENTIALS.unpack(data)[0]
    if "error" in answer or len(fds) != 2:
        for fd in fds:
            os.close(fd)
        raise SandboxError(f"No sandbox: {answer.get('error')}", code="sandbox_failed")
    return (fds[0], fds[1]), pid


def _read(path: str) -> bytes:
    """A file of /proc, without what Python's own files cost."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 4096):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def _status_bytes(pid: int) -> int:
    total = 0
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total


def _proportional_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii", "replace").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _status_bytes(pid)
