"""SandboxedKernel: a kernel in a sandbox, and how to reach it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localassist.errors import SandboxError

if TYPE_CHECKING:
    from localassist.interpreter.fork_server import KernelServer
    from localassist.interpreter.sandbox.policy import SandboxPolicy, Tier

PORTS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}
_READY_S = 30.0
_LOOK_S = 0.001


class SandboxedKernel:
    """A started kernel. `connection` is what jupyter-client calls connection info."""

    def __init__(self, server: KernelServer, policy: SandboxPolicy, *, tier: Tier) -> None:
        """Start it and wait for its sockets.

        Raises:
            SandboxError: it could not be confined, or did not start.
        """
        self.tier = tier
        self.policy = policy
        key = secrets.token_hex(32)
        settings: dict[str, Any] = {
            **{f"{channel}_port": port for channel, port in PORTS.items()},
            "transport": "ipc",
            "signature_scheme": "hmac-sha256",
            "kernel_name": "python3",
        }
        self.sandbox = server.spawn(policy, {**settings, "key": key}, tier=tier)
        self._links = tempfile.mkdtemp(prefix="localassist-kernel-")
        self._pins: list[int] = []
        try:
            self._pin_sockets()
        except BaseException:
            self.close()
            raise
        # What jupyter-client calls connection info.
        self.connection: Any = {**settings, "ip": f"{self._links}/k", "key": key.encode()}

    def close(self) -> None:
        """End it."""
        self.sandbox.close()
        for fd in self._pins:
            os.close(fd)
        self._pins = []
        shutil.rmtree(self._links, ignore_errors=True)

    def _pin_sockets(self) -> None:
        """Hold each socket itself: its name may lead elsewhere as soon as code runs."""
        deadline = time.monotonic() + _READY_S
        for port in PORTS.values():
            name = f"k-{port}"
            while not self._pin(name, port):
                if not self.sandbox.alive:
                    words = f" {self.sandbox.last_words()}".rstrip()
                    raise SandboxError(f"The kernel ended at once.{words}", code="kernel_failed")
                if time.monotonic() > deadline:
                    raise SandboxError("The kernel did not start in time.", code="kernel_failed")
                time.sleep(_LOOK_S)

    def _pin(self, name: str, port: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            if self.sandbox.run_path is not None:
                return self._link(name, port)
            flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, dir_fd=self.sandbox.run_fd)
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.close(fd)
                raise SandboxError("The kernel's socket is not a socket.", code="kernel_failed")
            self._pins.append(fd)
            Path(self._links, f"k-{port}").symlink_to(f"/proc/self/fd/{fd}")
            return True
        return False

    def _link(self, name: str, port: int) -> bool:
        """The same where a socket cannot be held: what is inside may not remove its name."""
        found = os.stat(name, dir_fd=self.sandbox.run_fd, follow_symlinks=False)
        if not stat.S_ISSOCK(found.st_mode):
            raise SandboxError("The kernel's socket is not a socket.", code="kernel_failed")
        Path(self._links, f"k-{port}").symlink_to(f"{self.sandbox.run_path}/{name}")
        return True
