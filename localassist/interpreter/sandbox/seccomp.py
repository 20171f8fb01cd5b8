"""Filters of system calls, as programs of the kernel's packet filter, without libseccomp.

An allow-list: what is not named fails. The two tiers without and with namespaces differ in what
must be refused by number because nothing else refuses it.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from dataclasses import dataclass, field

from localassist.interpreter.sandbox.libc import check, libc
from localassist.interpreter.sandbox.syscalls import ALLOWED, DENIED, MACHINES

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_NUMBER_OFFSET, _ARCH_OFFSET, _ARGS_OFFSET = 0, 4, 16
_X32 = 0x40000000
_MAX_PROGRAM = 4096

_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE_MASK = 1, 1, 0xF
_NEW_NAMESPACES = 0x7E020000
_SET_ID_BITS = 0o6000
# Terminal sizes and modes, bytes to be read, close-on-exec, non-blocking: what files and pipes
# are asked. Nothing that types into a terminal or reaches a device.
_IOCTLS = (
    0x5401, 0x5402, 0x5403, 0x5404, 0x540F, 0x5410, 0x5413, 0x5414, 0x541B, 0x5421, 0x5450, 0x5451,
)  # fmt: skip
# Death signal, dumpable (only to read), names of threads, no new privileges, capabilities (to
# read), seccomp (further filters), timer slack, names of memory.
_PRCTLS = (1, 2, 3, 7, 8, 15, 16, 21, 22, 23, 38, 39, 53, 0x53564D41)
# Programs look for these and do without; an error other than "not there" would stop them.
_NOT_THERE = (
    "clone3", "memfd_create", "memfd_secret", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "userfaultfd", "bpf", "perf_event_open", "statmount", "listmount",
)  # fmt: skip
_METADATA = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat", "utime",
    "utimes", "utimensat", "futimesat",
)  # fmt: skip


@dataclass
class _Program:
    """Instructions, and the calls that they treat."""

    column: int
    code: list[bytes] = field(default_factory=list)
    treated: set[str] = field(default_factory=set)

    def add(self, *instructions: bytes) -> None:
        self.code.extend(instructions)

    def treat(self, name: str, *body: bytes) -> None:
        """Run `body`, which returns, for a call."""
        entry = ALLOWED.get(name) or DENIED.get(name)
        self.treated.add(name)
        if entry is not None and (number := entry[self.column]) is not None:
            self.add(_jump(_EQUAL, number, 0, len(body)), *body)


def _step(code: int, value: int) -> bytes:
    return struct.pack("HBBI", code, 0, 0, value & 0xFFFFFFFF)


def _jump(code: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value & 0xFFFFFFFF)


def _argument(index: int, *, high: bool = False) -> bytes:
    return _step(_LOAD, _ARGS_OFFSET + 8 * index + (4 if high else 0))


def _fail(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)


_PASS = _step(_RETURN, _ALLOW)


def _only(index: int, values: tuple[int, ...], otherwise: int) -> list[bytes]:
    """Pass if an argument is one of the values."""
    body = [_argument(index)]
    for value in values:
        body += [_jump(_EQUAL, value, 0, 1), _PASS]
    return [*body, _fail(otherwise)]


def build_filter(*, namespaces: bool, machine: str | None = None, own_pid: int = 0) -> bytes:
    """The program for a confined process.

    Args:
        namespaces: whether it has namespaces of its own; if not, other processes, sockets of the
            host and metadata of its files have to be refused here.
        machine: as `platform.machine()` names it.
        own_pid: of the process, where there are no namespaces.
    """
    column, architecture = MACHINES[machine or platform.machine()]
    program = _Program(column)
    program.add(
        _step(_LOAD, _ARCH_OFFSET),
        _jump(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_OFFSET),
    )
    if column == 0:
        program.add(_jump(_AT_LEAST, _X32, 0, 1), _fail(errno.ENOSYS))
    if namespaces:
        _with_namespaces(program)
    else:
        _without_namespaces(program, own_pid)
    no_family = errno.EAFNOSUPPORT
    program.treat("socketpair", *_only(0, (_AF_UNIX,), no_family))
    program.treat(
        "clone", _argument(0), _jump(_ANY_BIT, _NEW_NAMESPACES, 0, 1), _fail(errno.EPERM), _PASS
    )
    program.treat("personality", *_only(0, (0, 0xFFFFFFFF), errno.EPERM))
    program.treat("ioctl", *_only(1, _IOCTLS, errno.ENOTTY))
    program.treat("prctl", *_only(0, _PRCTLS, errno.EPERM))
    program.treat("seccomp", _fail(errno.EPERM))
    for name in _NOT_THERE:
        program.treat(name, _fail(errno.ENOSYS))
    for name in ALLOWED:
        if name not in program.treated:
            program.treat(name, _PASS)
    for name in DENIED:
        if name not in program.treated:
            program.treat(name, _fail(errno.EPERM))
    program.add(_fail(errno.ENOSYS))
    if len(program.code) >= _MAX_PROGRAM:
        raise ValueError(f"a filter of {len(program.code)} instructions")
    return b"".join(program.code)


def _with_namespaces(program: _Program) -> None:
    program.treat("socket", *_only(0, (_AF_UNIX,), errno.EAFNOSUPPORT))
    for name, index in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2)):
        bits = _jump(_ANY_BIT, _SET_ID_BITS, 0, 1)
        program.treat(name, _argument(index), bits, _fail(errno.EPERM), _PASS)


def _without_namespaces(program: _Program, own_pid: int) -> None:
    # Datagrams could be addressed to a service of the host by its path; streams need connect.
    program.treat(
        "socket",
        _argument(0),
        _jump(_EQUAL, _AF_UNIX, 0, 4),
        _argument(1),
        _step(_AND, _SOCK_TYPE_MASK),
        _jump(_EQUAL, _SOCK_STREAM, 0, 1),
        _PASS,
        _fail(errno.EAFNOSUPPORT),
    )
    program.treat("connect", _fail(errno.ECONNREFUSED))
    unaddressed = (
        _argument(4),
        _jump(_EQUAL, 0, 0, 3),
        _argument(4, high=True),
        _jump(_EQUAL, 0, 0, 1),
        _PASS,
        _fail(errno.EPERM),
    )
    program.treat("sendto", *unaddressed)
    # Landlock does not mediate these. They seem to succeed, for programs that copy files.
    for name in _METADATA:
        program.treat(name, _fail(0))
    program.treat("prlimit64", *_only(0, (0, own_pid), errno.EPERM))


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def install(program: bytes) -> None:
    """Filter this process's calls, and those of all its children, from now on.

    Raises:
        OSError: the kernel has no such filters.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    found = _Filter(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p).value)
    check(libc.prctl(38, 1, 0, 0, 0), "no_new_privs")
    check(libc.prctl(22, 2, ctypes.byref(found), 0, 0), "seccomp")
