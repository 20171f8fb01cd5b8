"""Landlock: a process gives up all files but those that it names, for itself and its children."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from typing import TYPE_CHECKING

from localassist.interpreter.sandbox.libc import check, libc, system_call

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_MAKE_SOCK, _MAKE_FIFO, _MAKE_SYM = 1 << 9, 1 << 10, 1 << 12
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST_VERSION = (1 << 13) - 1
_NET = 0b11  # bind and connect of TCP
_SCOPE = 0b11  # abstract sockets and signals
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_CHANGE = (
    _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SOCK
    | _MAKE_FIFO | _MAKE_SYM | _REFER | _TRUNCATE
)  # fmt: skip
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_CREATE_VERSION = 1
_RULE_PATH_BENEATH = 1


def version() -> int:
    """What the kernel knows of it; 0 if nothing."""
    try:
        return system_call("landlock_create_ruleset", None, ctypes.c_size_t(0), _CREATE_VERSION)
    except OSError:
        return 0


def restrict(
    *, readable: Sequence[str], writable: Sequence[str], devices: Sequence[str] = ()
) -> None:
    """From now on, only these paths. With version 4 no TCP, with 6 no signals to the outside.

    Raises:
        OSError: the kernel does not know Landlock.
    """
    known = version()
    handled = _FIRST_VERSION
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        handled |= right if known >= since else 0
    attributes = struct.pack("QQQ", handled, _NET if known >= 4 else 0, _SCOPE if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    ruleset = system_call(
        "landlock_create_ruleset", ctypes.c_char_p(attributes), ctypes.c_size_t(size), 0
    )
    try:
        for paths, rights in (
            (readable, _READ),
            (writable, _CHANGE),
            (devices, _READ_FILE | _WRITE_FILE),
        ):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        check(libc.prctl(38, 1, 0, 0, 0), "no_new_privs")
        system_call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no right
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, fd)
        system_call("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(fd)
