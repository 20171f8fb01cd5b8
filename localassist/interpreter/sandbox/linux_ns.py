"""The tier of namespaces: a root of its own, no network, no process of the host, by pip alone.

    fork server ── A: new namespaces, new root ── B: process 1, watches ── C: runs the code

The folders that the host exchanges files through are file systems inside the sandbox, bounded in
size. B sends their descriptors out, so nothing of the host is mounted writable, and nothing that
code does to paths can lead the host anywhere.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from localassist.interpreter.sandbox import confined, landlock, seccomp
from localassist.interpreter.sandbox.libc import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    close_all_but,
    enter_root,
    keep_capabilities,
    libc,
    make_read_only,
    mount,
    set_capabilities,
    set_dumpable,
    unshare,
)
from localassist.interpreter.sandbox.policy import DATA, DEVICES, HOME, INNER_UID, RUN, SPARE_UID

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from localassist.interpreter.sandbox.policy import SandboxPolicy

_ALL_BUT_USER = (
    CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP
)
_NEW_ROOT = "/tmp/new"  # noqa: S108  # in a mount namespace of our own
_QUIET = MS_NOSUID | MS_NODEV
_FILES = {
    "/etc/passwd": f"user:x:{INNER_UID}:{INNER_UID}::{HOME}:/bin/sh\n",
    "/etc/group": f"user:x:{INNER_UID}:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
DEVICE_PATHS = [f"/dev/{name}" for name in DEVICES]


def spawn(
    policy: SandboxPolicy,
    lifeline: socket.socket,
    prepare: Callable[[], None],
    run: Callable[[], None],
) -> None:
    """Start a sandbox and return; the fork server has one OS thread, as user namespaces want.

    Args:
        policy: its bounds.
        lifeline: the sandbox ends with it; the answer goes through it.
        prepare: called inside, by process 1, before anything runs.
        run: called inside, confined.
    """
    mapped_reader, mapped_writer = os.pipe()
    wanted_reader, wanted_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(wanted_reader)
        os.close(mapped_writer)
        _build(policy, lifeline, (wanted_writer, mapped_reader), prepare, run)
        os._exit(0)
    os.close(wanted_writer)
    os.close(mapped_reader)
    if os.read(wanted_reader, 1):  # only a host that is root is asked
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{name}").write_text(f"{INNER_UID} {SPARE_UID} 1\n", "ascii")
        os.write(mapped_writer, b"m")
    os.close(wanted_reader)
    os.close(mapped_writer)
    os.waitpid(pid, 0)


def _build(
    policy: SandboxPolicy,
    lifeline: socket.socket,
    pipes: tuple[int, int],
    prepare: Callable[[], None],
    run: Callable[[], None],
) -> None:
    """A: makes the namespaces and the root, and leaves them to B."""
    try:
        os.setsid()
        set_dumpable(dumpable=True)
        _enter_namespaces(*pipes)
        sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in policy.readable}
        devices = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in DEVICE_PATHS}
        mount(None, "/", None, MS_REC | MS_PRIVATE)
        _become_inner_user()
        _build_root(policy, sources, devices)
        first = os.fork()
    except BaseException:  # noqa: BLE001  # told to the host; a fork does not return
        confined.tell_failure(lifeline)
        os._exit(confined.EXIT_FAILED)
    if first == 0:
        _first_process(policy, lifeline, prepare, run)


def _enter_namespaces(wanted: int, mapped: int) -> None:
    """Be the inner user of new namespaces.

    A host that is root is mapped to a user that owns nothing: limits on processes do not hold for
    root, and what root owns would be readable.
    """
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)
    if uid == 0:
        os.write(wanted, b"w")
        os.close(wanted)
        if not os.read(mapped, 1):
            raise OSError("the fork server could not map the user")
    else:
        os.close(wanted)
        Path("/proc/self/setgroups").write_text("deny", "ascii")
        Path("/proc/self/uid_map").write_text(f"{INNER_UID} {uid} 1", "ascii")
        Path("/proc/self/gid_map").write_text(f"{INNER_UID} {gid} 1", "ascii")
    unshare(_ALL_BUT_USER)


def _become_inner_user() -> None:
    if os.getuid() == INNER_UID:
        return
    keep_capabilities()
    os.setresgid(INNER_UID, INNER_UID, INNER_UID)
    os.setresuid(INNER_UID, INNER_UID, INNER_UID)
    set_capabilities(everything=True)
    set_dumpable(dumpable=True)


def _build_root(policy: SandboxPolicy, sources: dict[str, int], devices: dict[str, int]) -> None:
    mount("tmpfs", "/tmp", "tmpfs", _QUIET, "mode=0755,size=4m,nr_inodes=4096")  # noqa: S108
    root = Path(_NEW_ROOT)
    root.mkdir()
    mount(_NEW_ROOT, _NEW_ROOT, None, MS_BIND | MS_REC)
    for folder in ("proc", "dev/shm", "tmp", DATA[1:], RUN[1:], "etc", "usr"):
        (root / folder).mkdir(parents=True)
    for name in ("lib", "lib64", "bin", "sbin"):
        if Path(f"/{name}").is_symlink():
            (root / name).symlink_to(Path(f"/{name}").readlink())
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd{target}")
    for path, fd in devices.items():
        _bind(fd, _place(root, path, is_folder=False))
    inodes = f"nr_inodes={policy.inodes}"
    for path, flags, size in (
        ("/dev/shm", MS_NOEXEC, policy.shm_bytes),  # noqa: S108
        ("/tmp", 0, policy.tmp_bytes),  # noqa: S108
        (DATA, 0, policy.data_bytes),
    ):
        mount("tmpfs", f"{root}{path}", "tmpfs", _QUIET | flags, f"mode=1777,size={size},{inodes}")
    options = "mode=0700,size=65536,nr_inodes=64"
    mount("tmpfs", f"{root}{RUN}", "tmpfs", _QUIET | MS_NOEXEC, options)
    for path, fd in sources.items():
        target = _place(root, path, is_folder=stat.S_ISDIR(os.fstat(fd).st_mode))
        _bind(fd, target)
        make_read_only(target)
    for path, text in _FILES.items():
        Path(f"{root}{path}").write_text(text, "ascii")


def _place(root: Path, path: str, *, is_folder: bool) -> str:
    """Where a path of the host appears under the new root."""
    place = Path(f"{root}{path}")
    if is_folder:
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return str(place)


def _bind(fd: int, target: str) -> None:
    mount(f"/proc/self/fd/{fd}", target, None, MS_BIND | MS_REC)


def _first_process(
    policy: SandboxPolicy,
    lifeline: socket.socket,
    prepare: Callable[[], None],
    run: Callable[[], None],
) -> None:
    """B: process 1 of the sandbox. Ends everything when it ends."""
    try:
        # Only processes and oneself: nothing of the machine or the kernel.
        options = "subset=pid,hidepid=invisible"
        mount("proc", f"{_NEW_ROOT}/proc", "proc", _QUIET | MS_NOEXEC, options)
        enter_root(_NEW_ROOT)
        mount(None, "/", None, MS_BIND | MS_REMOUNT | MS_RDONLY | _QUIET)
        libc.sethostname(b"sandbox", 7)
        os.umask(0o077)
        Path(HOME).mkdir()
        prepare()
    except BaseException:  # noqa: BLE001  # told to the host; a fork does not return
        confined.tell_failure(lifeline)
        os._exit(confined.EXIT_FAILED)
    confine_and_watch(policy, lifeline, (DATA, RUN), run)


def confine_and_watch(
    policy: SandboxPolicy,
    lifeline: socket.socket,
    paths: tuple[str, str],
    run: Callable[[], None],
) -> None:
    """As process 1 of a sandbox: start its code, tell the host, and end with either of them.

    Args:
        policy: its bounds.
        lifeline: to the host.
        paths: of the folders whose descriptors the host gets.
        run: called in a child, confined.
    """
    try:
        folders = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in paths]
        close_all_but({lifeline.fileno(), *folders})
        program = seccomp.build_filter(namespaces=True)
        child = os.fork()
        if child == 0:
            confined.run_and_exit(lambda: _confine_and_run(policy, program, run))
        confined.tell(lifeline, folders)
        for fd in folders:
            os.close(fd)
        set_dumpable(dumpable=False)
        confined.apply_limits(policy.limits, without=("NPROC", "AS", "DATA"))
        _lock_down(program)
    except BaseException:  # noqa: BLE001  # told to the host; a fork does not return
        confined.tell_failure(lifeline)
        os._exit(confined.EXIT_FAILED)
    confined.watch(child, lifeline)


def _confine_and_run(policy: SandboxPolicy, program: bytes, run: Callable[[], None]) -> None:
    """C: gives up everything and runs the code."""
    confined.apply_limits(policy.limits)
    confined.start_clean(policy, environment=policy.environment, folder=DATA)
    _lock_down(program)
    run()


def _lock_down(program: bytes) -> None:
    set_capabilities(everything=False)
    if landlock.version():
        writable = [DATA, RUN, "/tmp", "/dev/shm"]  # noqa: S108
        landlock.restrict(readable=["/"], writable=writable, devices=DEVICE_PATHS)
    seccomp.install(program)
