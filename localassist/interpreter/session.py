"""KernelSession: runs cells in a kernel, within time and memory, whatever their code does."""

from __future__ import annotations

import contextlib
import select
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from typing_extensions import override

from localassist.interpreter.outputs import Execution, OutputCollector, Status
from localassist.interpreter.sandbox.policy import WITHOUT_NAMESPACES
from localassist.interpreter.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from localassist.interpreter.kernel import SandboxedKernel

DEFAULT_TIMEOUT_S = 120.0
MAX_CODE_CHARS = 1_000_000  # the kernel sends it back in one message
_POLL_MS = 20
_GRACE_S = 1.0  # after an interrupt, and again after a signal
_EXIT_S = 3.0
_LATE_OUTPUT_S = 1.0  # how long output may come after the reply: a message may be lost
_WATCH_S = 0.1
_MAX_MESSAGE_BYTES = 8 << 20
_MAX_QUEUED = 32
_BATCH = 64
_SOCKET_KINDS = {"iopub": zmq.SUB, "shell": zmq.DEALER, "control": zmq.DEALER}


class _Client(BlockingKernelClient):
    """A client that takes no message of any size and no number of them."""

    @override
    def _create_connected_socket(
        self, channel: str, identity: bytes | None = None
    ) -> zmq.Socket[Any]:
        socket: zmq.Socket[Any] = self.context.socket(_SOCKET_KINDS[channel])
        socket.linger = 0
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE_BYTES)
        socket.setsockopt(zmq.RCVHWM, _MAX_QUEUED)
        if identity:
            socket.identity = identity
        socket.connect(self._make_url(channel))
        return socket


@dataclass
class _Deadline:
    """When the cell has to end, and what has been done about it."""

    at: float
    stage: int = 0


class KernelSession:
    """A kernel with its client. Used by one OS thread at a time; `interrupt` by any."""

    def __init__(self, kernel: SandboxedKernel) -> None:
        """Connect to a kernel that has started."""
        self.kernel = kernel
        self.workspace = Workspace(
            kernel.sandbox.data_fd, maps_users=kernel.tier not in WITHOUT_NAMESPACES
        )
        self._client = _Client(context=zmq.Context.instance())
        self._client.load_connection_info(kernel.connection)
        self._client.allow_stdin = False
        self._client.start_channels(stdin=False, hb=False)
        self._frozen = False
        self._replied_at = 0.0

    @property
    def alive(self) -> bool:
        """Whether variables and imports are still there."""
        return self.kernel.sandbox.alive

    def execute(
        self,
        code: str,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Execution:
        """Run a cell and freeze the sandbox.

        Args:
            code: anything.
            timeout_s: then it is interrupted, and killed if that does not help.
            cancelled: asked several times a second; ends the cell like the timeout.
        """
        if len(code) > MAX_CODE_CHARS:
            logs = f"The code has {len(code):,} characters; at most {MAX_CODE_CHARS:,} are run."
            return Execution("error", logs, tier=self.kernel.tier)
        sandbox = self.kernel.sandbox
        if self._frozen:
            sandbox.thaw()
            self._frozen = False
        started = time.monotonic()
        message_id = self._client.execute(code, allow_stdin=False, store_history=False)
        collector = OutputCollector(message_id)
        status, notes = self._follow(collector, _Deadline(started + timeout_s), cancelled)
        if collector.exits:  # it has answered, and ends a moment later
            select.select([sandbox.pidfd], [], [], _EXIT_S)
        if sandbox.alive:
            sandbox.freeze()
            self._frozen = True
        return Execution(
            status=status,
            logs=collector.logs,
            images=tuple(collector.images),
            notes=tuple(notes),
            tier=self.kernel.tier,
            seconds=time.monotonic() - started,
        )

    def close(self) -> None:
        """End the kernel."""
        for channel in self._channels:
            channel.stop()
        self.kernel.close()

    @property
    def _channels(self) -> tuple[Any, Any, Any]:
        client = self._client
        return client.iopub_channel, client.shell_channel, client.control_channel

    # --- one cell ---

    def _follow(
        self, collector: OutputCollector, deadline: _Deadline, cancelled: Callable[[], bool]
    ) -> tuple[Status, list[str]]:
        sandbox = self.kernel.sandbox
        poller = zmq.Poller()
        for channel in (self._client.iopub_channel, self._client.shell_channel):
            poller.register(channel.socket, zmq.POLLIN)
        poller.register(sandbox.pidfd, zmq.POLLIN)
        next_look = 0.0
        why: Status = "timeout"
        while True:
            ready = dict(poller.poll(_POLL_MS))
            now = time.monotonic()
            self._drain(collector)
            if self._complete(collector, now):
                return (why if deadline.stage else collector.status or "ok"), []
            if sandbox.pidfd in ready:
                return "died", ["the process ended"]
            if now >= next_look:
                next_look = now + _WATCH_S
                if self._too_much_memory():
                    sandbox.kill()
                    limit = self.kernel.policy.memory_bytes >> 20
                    return "died", [f"it used more than {limit:,} MB of memory"]
                if deadline.stage == 0 and cancelled():
                    why, deadline.at = "cancelled", now
            if collector.flooded and deadline.stage == 0:
                deadline.at = now
            if now > deadline.at and self._press(deadline, now):
                return why, ["it did not stop when it was interrupted"]

    def _complete(self, collector: OutputCollector, now: float) -> bool:
        """Whether the cell has ended, and its output has come or will not come."""
        if not collector.replied:
            self._replied_at = now
        return collector.replied and (collector.idle or now - self._replied_at > _LATE_OUTPUT_S)

    def _press(self, deadline: _Deadline, now: float) -> bool:
        """Interrupt, then signal, then kill; True once it was killed."""
        deadline.stage += 1
        deadline.at = now + _GRACE_S
        if deadline.stage == 1:
            message = self._client.session.msg("interrupt_request", content={})
            self._client.control_channel.send(message)
        elif deadline.stage == 2:
            self.kernel.sandbox.signal_kernel(signal.SIGINT)
        else:
            self.kernel.sandbox.kill()
            return True
        return False

    def _too_much_memory(self) -> bool:
        sandbox, limit = self.kernel.sandbox, self.kernel.policy.memory_bytes
        if sandbox.memory_bytes() <= limit:
            return False
        return sandbox.exact_memory_bytes() > limit

    def _drain(self, collector: OutputCollector) -> None:
        for channel in (self._client.iopub_channel, self._client.shell_channel):
            for _ in range(_BATCH):
                try:
                    frames = channel.socket.recv_multipart(zmq.NOBLOCK)
                except zmq.ZMQError:
                    break
                # Whatever the frames are made to be, they are one message less.
                with contextlib.suppress(Exception):
                    collector.take(self._message(frames))

    def _message(self, frames: list[bytes]) -> Any:
        session = self._client.session
        _, message = session.feed_identities(frames, copy=True)
        return session.deserialize(message, content=True, copy=True)
