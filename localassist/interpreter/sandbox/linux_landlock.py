"""The tier without namespaces: where none may be made, as in Docker's default confinement.

    fork server ── B: reaps and watches, not confined ── C: runs the code

No file of the host can be opened but those of the policy, no socket but streams inside, no signal
sent out. That a path exists, its size and its times can still be seen, and the number of files is
bounded only by a watcher outside.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from localassist.interpreter.sandbox import confined, landlock, seccomp
from localassist.interpreter.sandbox.libc import (
    become_subreaper,
    close_all_but,
    libc,
    set_capabilities,
    set_dumpable,
)
from localassist.interpreter.sandbox.linux_ns import DEVICE_PATHS
from localassist.interpreter.sandbox.policy import SPARE_UID

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from localassist.interpreter.sandbox.policy import SandboxPolicy

LEAST_VERSION = 6  # signals and abstract sockets are left to Landlock
_DEATH_SIGNAL = 1
_NUM_SPARE_UIDS = 4096


def spawn(
    policy: SandboxPolicy,
    lifeline: socket.socket,
    folder: str,
    prepare: Callable[[], None],
    run: Callable[[], None],
    *,
    confine: bool = True,
) -> None:
    """Start a sandbox in a new folder of the host, and return.

    Args:
        policy: its bounds.
        lifeline: the sandbox ends with it; the answer goes through it.
        folder: gets `data` and `run`; the host makes it and removes it.
        prepare: called before anything runs.
        run: called confined, in `data`.
        confine: without it there is no sandbox: the code may do all that the host's user may.
    """
    if os.fork():
        return
    try:
        os.setsid()
        become_subreaper()
        set_dumpable(dumpable=True)
        data, run_folder = f"{folder}/data", f"{folder}/run"
        for path in (data, run_folder, f"{run_folder}/tmp"):  # noqa: S108  # in our own
            Path(path).mkdir(mode=0o700)
        prepare()
        user = _user()
        if confine:
            _give_away(folder, user)
        folders = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in (data, run_folder)]
        close_all_but({lifeline.fileno(), *folders})
        used = _processes_of(user)
        child = os.fork()
        if child == 0:
            started = _confine_and_run if confine else _run_unconfined
            confined.run_and_exit(lambda: started(policy, folder, (user, used), run))
        confined.tell(lifeline, folders)
        for fd in folders:
            os.close(fd)
    except BaseException:  # noqa: BLE001  # told to the host; a fork does not return
        confined.tell_failure(lifeline)
        os._exit(confined.EXIT_FAILED)
    signal.signal(signal.SIGTERM, lambda *_: _end(128 + signal.SIGTERM))
    confined.watch(child, lifeline, end=_end)


def environment(policy: SandboxPolicy, folder: str) -> dict[str, str]:
    """The policy's, with the paths that exist in this tier."""
    temporary = f"{folder}/run/tmp"
    return {
        **policy.environment,
        "HOME": temporary,
        "TMPDIR": temporary,
        "MPLCONFIGDIR": f"{temporary}/mpl",
        "IPYTHONDIR": f"{temporary}/.ipython",
    }


def _user() -> int:
    """Who runs the code. Under root, each sandbox is a user of its own.

    A limit on processes counts all of a user's: what other sandboxes have would loosen it once
    they end.
    """
    return SPARE_UID + os.getpid() % _NUM_SPARE_UIDS if os.getuid() == 0 else os.getuid()


def _give_away(folder: str, user: int) -> None:
    """To the user who runs the code, if that is not the host's."""
    if os.getuid() != 0:
        return
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(f"{root}/{name}", user, user, follow_symlinks=False)


def _processes_of(uid: int) -> int:
    """OS threads of a user; a limit on them counts those that are there already."""
    count = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                count += sum(1 for _ in (entry / "task").iterdir())
    return count


def _confine_and_run(
    policy: SandboxPolicy, folder: str, who: tuple[int, int], run: Callable[[], None]
) -> None:
    user, used = who
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    limits = {**policy.limits, "NPROC": policy.limits["NPROC"] + used}
    confined.apply_limits(limits)
    own = environment(policy, folder)
    confined.start_clean(policy, environment=own, folder=f"{folder}/data")
    libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    with contextlib.suppress(OSError):  # who was never root has none to give up
        set_capabilities(everything=False)
    landlock.restrict(
        readable=["/bin", "/proc/self", *policy.readable],
        writable=[f"{folder}/data", f"{folder}/run"],
        devices=DEVICE_PATHS,
    )
    seccomp.install(seccomp.build_filter(namespaces=False, own_pid=os.getpid()))
    run()


def _run_unconfined(
    policy: SandboxPolicy,
    folder: str,
    who: tuple[int, int],  # noqa: ARG001  # as its counterpart
    run: Callable[[], None],
) -> None:
    own = environment(policy, folder)
    confined.start_clean(policy, environment=own, folder=f"{folder}/data")
    libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    run()


def _end(code: int) -> None:
    """Kill everything below, however fast it forks, and exit."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    for _ in range(400):
        pids = children.read_text("ascii").split()
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.002)
    os._exit(code)
