"""SandboxProvisioner: sandboxed kernels for any program that uses jupyter-client.

A kernel spec asks for it by `"metadata": {"kernel_provisioner": {"provisioner_name":
"localassist-sandbox"}}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Unicode
from typing_extensions import override

from localassist.interpreter.fork_server import KernelServer, open_server
from localassist.interpreter.kernel import SandboxedKernel
from localassist.interpreter.probe import best_tier
from localassist.interpreter.sandbox.policy import TIERS, python_policy

if TYPE_CHECKING:
    from jupyter_client.connect import KernelConnectionInfo

    from localassist.interpreter.sandbox.policy import Tier

_lock = threading.Lock()
_server: KernelServer | None = None


def _fork_server() -> KernelServer:
    """One for the process, started at its first use."""
    global _server  # one for the process
    with _lock:
        if _server is None or not _server.alive:
            _server = open_server(Path(tempfile.gettempdir(), f"localassist-fonts-{os.getuid()}"))
        return _server


class SandboxProvisioner(KernelProvisionerBase):
    """Starts kernels in the best sandbox of this machine, or not at all."""

    tier = Unicode("", help="One of this system's tiers; empty for the best one.").tag(config=True)
    _kernel: SandboxedKernel | None = None

    @property
    @override
    def has_process(self) -> bool:
        return self._kernel is not None

    @override
    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        # What the spec wants started is not: the fork server has it. Nothing of the host's
        # environment goes in.
        kwargs = await super().pre_launch(cmd=[], **kwargs)
        return {**kwargs, "env": {}}

    @override
    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        self._kernel = await asyncio.to_thread(self._start)
        self.connection_info = dict(self._kernel.connection)  # type: ignore[assignment]  # a name for dict
        return self.connection_info

    def _start(self) -> SandboxedKernel:
        server, policy = _fork_server(), python_policy()
        known: dict[str, Tier] = {name: name for name in TIERS}
        tier = known.get(self.tier) or best_tier(server, policy)
        return SandboxedKernel(server, policy, tier=tier)

    @override
    async def poll(self) -> int | None:
        if self._kernel is not None and self._kernel.sandbox.alive:
            return None
        return 1

    @override
    async def wait(self) -> int | None:
        while self._kernel is not None and self._kernel.sandbox.alive:
            await asyncio.sleep(0.02)
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
        return 0

    @override
    async def send_signal(self, signum: int) -> None:
        if self._kernel is None or signum == 0:
            return
        if signum == signal.SIGINT:
            self._kernel.sandbox.signal_kernel(signum)
        else:
            await self.kill()

    @override
    async def kill(self, restart: bool = False) -> None:  # jupyter's
        if self._kernel is not None:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._kernel.sandbox.kill)

    @override
    async def terminate(self, restart: bool = False) -> None:  # jupyter's
        await self.kill(restart=restart)

    @override
    async def cleanup(self, restart: bool = False) -> None:  # jupyter's
        """Nothing is left: `wait` gives everything back."""
