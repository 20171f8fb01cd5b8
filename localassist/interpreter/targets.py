"""What is attacked: a kernel in a tier of the sandbox, and a plain one, to try the attacks."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.interpreter.kernel import SandboxedKernel
from localassist.interpreter.sandbox.policy import python_policy
from localassist.interpreter.session import KernelSession

if TYPE_CHECKING:
    from localassist.interpreter.fork_server import KernelServer
    from localassist.interpreter.sandbox.policy import Tier


class SandboxTarget:
    """A kernel in a sandbox."""

    def __init__(self, server: KernelServer, tier: Tier) -> None:
        self.name: str = tier
        self._session = KernelSession(SandboxedKernel(server, python_policy(), tier=tier))
        self._closed = False

    def run(self, code: str, *, timeout_s: float) -> str:
        """Run a cell and return what it printed."""
        return self._session.execute(code, timeout_s=timeout_s).logs

    def collect(self) -> list[bytes]:
        """The files that the host would take from it."""
        return [each.data for each in self._session.workspace.collect()[0]]

    def processes(self) -> list[int]:
        """Everything that runs in it."""
        return [] if self._closed else self._session.kernel.sandbox.processes()

    def memory_bytes(self) -> int:
        """Of all its processes, shared pages divided among those that share them."""
        return self._session.kernel.sandbox.exact_memory_bytes()

    def close(self) -> None:
        """End it."""
        if not self._closed:
            self._closed = True
            self._session.close()


class PlainTarget:
    """A kernel as Jupyter starts it, with the host's files, network and variables."""

    name = "plain"

    def __init__(self) -> None:
        manager = require("jupyter_client.manager", package="jupyter-client")
        self._folder = tempfile.mkdtemp(prefix="localassist-plain-")
        self._manager: Any = manager.KernelManager(kernel_name="python3")
        self._manager.start_kernel(cwd=self._folder)
        self._client: Any = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self._pid: int = self._manager.provisioner.pid
        self._closed = False

    def run(self, code: str, *, timeout_s: float) -> str:
        """Run a cell and return what it printed."""
        printed: list[str] = []

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "error":
                printed.append("\n".join(content["traceback"]))

        # Where it writes its files is what /mnt/data is for a confined one.
        code = code.replace("/mnt/data", self._folder)
        try:
            self._client.execute_interactive(
                code, timeout=timeout_s, allow_stdin=False, output_hook=take
            )
        except TimeoutError:
            self._manager.interrupt_kernel()
        return "".join(printed)

    def collect(self) -> list[bytes]:
        """The files of its folder, read as a careless host would."""
        found = []
        for root, _, names in os.walk(self._folder, followlinks=True):
            for name in names:
                with contextlib.suppress(OSError):
                    found.append(Path(root, name).read_bytes()[: 1 << 20])
        return found

    def processes(self) -> list[int]:
        """The kernel and all below it."""
        found, waiting = [], [self._pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    waiting += [int(each) for each in (task / "children").read_text().split()]
        return found

    def close(self) -> None:
        """End it."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception):
            self._manager.shutdown_kernel(now=True)
        self._client.stop_channels()
        shutil.rmtree(self._folder, ignore_errors=True)
