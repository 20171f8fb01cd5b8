"""The first process inside bubblewrap: prepares as the fork server does, and starts the kernel."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from localassist.interpreter import kernel_main
from localassist.interpreter.sandbox import linux_ns
from localassist.interpreter.sandbox.policy import DATA, HOME, RUN, SandboxPolicy

MAX_REQUEST = 1 << 18


def main(lifeline_fd: int) -> None:
    """Take the request, and watch over the kernel until either end goes away."""
    lifeline = socket.socket(fileno=lifeline_fd)
    request = json.loads(lifeline.recv(MAX_REQUEST))
    policy = SandboxPolicy.from_json(request["policy"])
    os.umask(0o077)
    Path(HOME).mkdir()
    connection = {**request["connection"], "ip": f"{RUN}/k"}
    Path(RUN, "connection.json").write_text(json.dumps(connection), "ascii")
    linux_ns.confine_and_watch(policy, lifeline, (DATA, RUN), _run)


def _run() -> None:
    kernel_main.preload()
    kernel_main.run_kernel(RUN)
