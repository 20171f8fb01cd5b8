"""What every tier does in the same way: limits, a clean process, a first process that ends all."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import traceback
from typing import TYPE_CHECKING, Any

from localassist.interpreter.sandbox.libc import close_all_but

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localassist.interpreter.sandbox.policy import SandboxPolicy

EXIT_FAILED, EXIT_HOST_GONE, EXIT_NO_CHILD = 97, 98, 99


def apply_limits(limits: Mapping[str, int], *, without: tuple[str, ...] = ()) -> None:
    """Set RLIMIT_… for this process and its children; they cannot be raised again."""
    for name, value in limits.items():
        if name not in without:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def start_clean(policy: SandboxPolicy, *, environment: Mapping[str, str], folder: str) -> None:
    """Give the process that will run code no descriptor and no variable of its parents."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    close_all_but(set())
    os.setsid()
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    os.nice(policy.nice)


def tell(lifeline: socket.socket, folders: list[int], **facts: Any) -> None:
    """Send the host the descriptors of the sandbox's folders."""
    socket.send_fds(lifeline, [json.dumps({"ok": True, **facts}).encode()], folders)


def tell_failure(lifeline: socket.socket) -> None:
    """Send the host why there is no sandbox."""
    with contextlib.suppress(OSError):
        lifeline.send(json.dumps({"error": traceback.format_exc(limit=3)}).encode())


def run_and_exit(run: Callable[[], None]) -> None:
    """Run the code that is confined, and never return."""
    try:
        run()
    except BaseException:  # noqa: BLE001  # a fork must not go back into its parent's stack
        os._exit(1)
    os._exit(0)


def watch(child: int, lifeline: socket.socket, *, end: Callable[[int], None] = os._exit) -> None:
    """Reap children until the first one ends or the host goes away, and end with it.

    The host's death is seen by the end of the lifeline. A death signal would come too early: it
    fires when the OS thread ends that started the process.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    poll = select.poll()
    poll.register(lifeline.fileno(), select.POLLIN | select.POLLHUP)
    poll.register(reader, select.POLLIN)
    while True:
        _reap(child, end)
        for fd, _ in poll.poll(5000):
            if fd == lifeline.fileno():
                end(EXIT_HOST_GONE)
            with contextlib.suppress(OSError):
                os.read(reader, 4096)


def _reap(child: int, end: Callable[[int], None]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            end(EXIT_NO_CHILD)
            return
        if pid == 0:
            return
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            end(code if code >= 0 else 128 - code)
