"""The fork server's process: has everything loaded, and forks a confined kernel for each request.

It never runs code of a model, has one OS thread, and nothing of the host in its environment. A
request is one datagram: JSON, and the lifeline of the sandbox that is wanted.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import socket
import sys
from pathlib import Path
from typing import Any

from localassist.interpreter import kernel_main
from localassist.interpreter.sandbox import linux_landlock, linux_ns
from localassist.interpreter.sandbox.libc import become_subreaper, set_dumpable
from localassist.interpreter.sandbox.policy import RUN, WITHOUT_NAMESPACES, SandboxPolicy

MAX_REQUEST = 1 << 18
CONNECTION_FILE = "connection.json"


def main(control_fd: int) -> None:
    """Serve until the host goes away."""
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    become_subreaper()
    if os.getuid() != 0:
        set_dumpable(dumpable=False)
    settings = json.loads(control.recv(MAX_REQUEST))
    os.environ.update(settings["environment"])
    kernel_main.preload()
    gc.collect()
    gc.freeze()  # so that a fork's collector does not touch, and copy, every page
    control.send(json.dumps({"pid": os.getpid(), "os_threads": _num_os_threads()}).encode())
    while True:
        readable, _, _ = select.select([control], [], [], 1.0)
        _reap()
        if readable:
            message, fds, _, _ = socket.recv_fds(control, MAX_REQUEST, 1)
            if not message:
                os._exit(0)
            _serve(json.loads(message), fds[0])


def _serve(request: dict[str, Any], lifeline_fd: int) -> None:
    policy = SandboxPolicy.from_json(request["policy"])
    connection = request["connection"]
    with socket.socket(fileno=lifeline_fd) as lifeline:
        if request["tier"] in WITHOUT_NAMESPACES:
            folder = request["folder"]
            run = f"{folder}/run"
            linux_landlock.spawn(
                policy,
                lifeline,
                folder,
                lambda: _write(run, {**connection, "ip": f"{run}/k"}),
                lambda: kernel_main.run_kernel(run, data_folder=f"{folder}/data"),
                confine=request["tier"] != "none",
            )
        else:
            linux_ns.spawn(
                policy,
                lifeline,
                lambda: _write(RUN, {**connection, "ip": f"{RUN}/k"}),
                lambda: kernel_main.run_kernel(RUN),
            )


def _write(folder: str, connection: dict[str, Any]) -> None:
    Path(folder, CONNECTION_FILE).write_text(json.dumps(connection), "ascii")


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _num_os_threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


if __name__ == "__main__":
    main(int(sys.argv[1]))
