"""Runs a command as Docker's default profile would: no namespaces, no mounts.

python docker_like.py COMMAND ...
"""

from __future__ import annotations

import errno
import os
import platform
import sys

from localassist.interpreter.sandbox import seccomp
from localassist.interpreter.sandbox.syscalls import MACHINES, number

_REFUSED = (
    "unshare", "mount", "umount2", "setns", "pivot_root", "move_mount", "open_tree", "fsopen",
    "fsmount", "mount_setattr", "bpf", "keyctl", "add_key", "request_key", "userfaultfd",
    "perf_event_open",
)  # fmt: skip


def _program():
    step, jump = seccomp._step, seccomp._jump
    _, architecture = MACHINES[platform.machine()]
    code = [
        step(seccomp._LOAD, 4),
        jump(seccomp._EQUAL, architecture, 1, 0),
        step(seccomp._RETURN, seccomp._KILL),
        step(seccomp._LOAD, 0),
    ]
    for name in _REFUSED:
        code += [jump(seccomp._EQUAL, number(name), 0, 1), seccomp._fail(errno.EPERM)]
    code += [jump(seccomp._EQUAL, number("clone3"), 0, 1), seccomp._fail(errno.ENOSYS)]
    code += [
        jump(seccomp._EQUAL, number("clone"), 0, 4),
        step(seccomp._LOAD, 16),
        jump(seccomp._ANY_BIT, 0x7E020000, 0, 1),
        seccomp._fail(errno.EPERM),
        seccomp._PASS,
        seccomp._PASS,
    ]
    return b"".join(code)


if __name__ == "__main__":
    seccomp.install(_program())
    os.execv(sys.argv[1], sys.argv[1:])
