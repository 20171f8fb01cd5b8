"""What the standard library does not offer of Linux: mounts, namespaces, capabilities."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from localassist.interpreter.sandbox.syscalls import number

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x20000, 0x2000000, 0x4000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x8000000, 0x10000000, 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MNT_DETACH = 2
_CAPABILITY_VERSION = 0x20080522
_NUM_CAPABILITIES = 64

# What openat2 refuses on its way: other file systems, links of /proc, links, parents.
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08


def check(result: int, what: str) -> int:
    """The result of a call, or its error."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def system_call(name: str, *arguments: object) -> int:
    """A call by its number.

    Raises:
        OSError: it failed, or there is no such call on this machine.
    """
    found = number(name)
    if found is None:
        raise OSError(errno.ENOSYS, f"{name}: not on this machine")
    return check(libc.syscall(found, *arguments), name)


def _text(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def mount(
    source: str | None,
    target: str,
    kind: str | None = None,
    flags: int = 0,
    data: str | None = None,
) -> None:
    """Mount as the system call does."""
    result = libc.mount(
        _text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(data)
    )
    check(result, f"mount {kind or source} on {target}")


def unshare(flags: int) -> None:
    """Leave the parent's namespaces for new ones."""
    check(libc.unshare(flags), f"unshare {flags:#x}")


def make_read_only(path: str) -> None:
    """A mount and all below it: nothing is written, and devices and set-uid bits mean nothing."""
    attributes = struct.pack("QQQQ", MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    try:
        system_call(
            "mount_setattr",
            _AT_FDCWD,
            ctypes.c_char_p(os.fsencode(path)),
            _AT_RECURSIVE,
            ctypes.c_char_p(attributes),
            ctypes.c_size_t(len(attributes)),
        )
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        # Before Linux 5.12, one mount at a time.
        keep = os.statvfs(path).f_flag & MS_NOEXEC
        flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | keep
        mount(None, path, None, flags)


def enter_root(path: str) -> None:
    """Make a mount the root of all that this process sees."""
    os.chdir(path)
    system_call("pivot_root", b".", b".")
    check(libc.umount2(b".", _MNT_DETACH), "umount the old root")
    os.chdir("/")


def set_capabilities(*, everything: bool) -> None:
    """Have every capability in the own user namespace, or none and never again."""
    if not everything:
        for capability in range(_NUM_CAPABILITIES):
            if libc.prctl(24, capability, 0, 0, 0) < 0:
                break
        libc.prctl(47, 4, 0, 0, 0)  # no ambient ones
    low, high = (0xFFFFFFFF, 0x1FF) if everything else (0, 0)
    header = struct.pack("II", _CAPABILITY_VERSION, 0)
    data = struct.pack("IIIIII", low, low, 0, high, high, 0)
    system_call("capset", ctypes.c_char_p(header), ctypes.c_char_p(data))
    if not everything:
        libc.prctl(28, 0x2F, 0, 0, 0)  # root's uid gives none back


def set_dumpable(*, dumpable: bool) -> None:
    """Whether /proc shows this process to others of its user."""
    libc.prctl(4, int(dumpable), 0, 0, 0)


def become_subreaper() -> None:
    """Orphans below this process become its children."""
    libc.prctl(36, 1, 0, 0, 0)


def keep_capabilities() -> None:
    """Through the next change of the uid."""
    libc.prctl(8, 1, 0, 0, 0)


def open_beneath(folder_fd: int, name: str, flags: int) -> int:
    """Open what lies directly in a folder, following no link of any kind.

    Raises:
        OSError: it is not there, or it is a link.
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE)
    try:
        return system_call(
            "openat2",
            folder_fd,
            ctypes.c_char_p(os.fsencode(name)),
            ctypes.c_char_p(how),
            ctypes.c_size_t(len(how)),
        )
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        # Before Linux 5.6. A name without a slash has no way on which a link could lie.
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor from 3 on that is not in `kept`."""
    low = 3
    for fd in sorted(kept):
        os.closerange(low, max(low, fd))
        low = max(low, fd + 1)
    os.closerange(low, 65536)
