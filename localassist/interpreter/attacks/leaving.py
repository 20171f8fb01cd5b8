"""Attacks on other processes, on users and on the kernel's own interfaces."""

from __future__ import annotations

from localassist.interpreter.attacks.attack import Attack


def _syscall(name: str, numbers: tuple[int, int], arguments: str, *, fine: str = "r >= 0") -> str:
    """Code that makes a system call by its number on x86_64 or aarch64."""
    return f"""
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True); libc.syscall.restype = ctypes.c_long
nr = {{"x86_64": {numbers[0]}, "aarch64": {numbers[1]}}}[platform.machine()]
buffer = ctypes.create_string_buffer(4096)
r = libc.syscall(nr, {arguments})
print("REACHED {name}" if {fine} else f"held {{ctypes.get_errno()}}")
"""


ATTACKS: tuple[Attack, ...] = (
    Attack(
        "escape-ptrace",
        "escape",
        "trace a process of the host",
        """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print("REACHED" if libc.ptrace(16, @VICTIM@, 0, 0) == 0 else "")
""",
    ),
    Attack(
        "escape-kill",
        "escape",
        "kill a process of the host",
        """
import os
os.kill(@VICTIM@, 9)
""",
        sign="victim",
        quick=True,
    ),
    Attack(
        "escape-kill-all",
        "escape",
        "kill everything",
        """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.kill(-1, 15)
""",
        sign="victim",
        ruinous=True,
    ),
    Attack(
        "escape-vm-read",
        "escape",
        "copy another process's memory",
        _syscall("process_vm_readv", (310, 270), "@VICTIM@, buffer, 1, buffer, 1, 0", fine="r > 0"),
    ),
    Attack(
        "escape-root",
        "escape",
        "become root",
        """
import os
for action in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0)):
    try: action(); print("REACHED" if os.getuid() == 0 else "")
    except OSError: pass
""",
        quick=True,
        ruinous=True,
    ),
    Attack(
        "escape-sudo",
        "escape",
        "become root by a program that may",
        """
import subprocess
for command in (["su", "-c", "id"], ["sudo", "-n", "id"], ["mount"]):
    try: out = subprocess.run(command, capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.SubprocessError): continue
    if "uid=0" in out: print("REACHED")
""",
    ),
    Attack(
        "escape-shm-file",
        "escape",
        "meet the host in /dev/shm",
        """
import os
for name in os.listdir("/dev/shm"):
    if "@ABSTRACT@" in name: print("REACHED", name)
""",
    ),
    Attack(
        "surface-userns",
        "surface",
        "make a user namespace, and be root in it",
        _syscall("unshare", (272, 97), "0x10000000"),
    ),
    Attack(
        "surface-mount",
        "surface",
        "mount",
        _syscall("mount", (165, 40), 'b"none", b"/tmp", b"tmpfs", 0, 0'),
        ruinous=True,
    ),
    Attack(
        "surface-keyctl",
        "surface",
        "use the kernel's keyring",
        _syscall("keyctl", (250, 219), "0, -3, 0", fine="r >= 0"),
    ),
    Attack(
        "surface-bpf",
        "surface",
        "load a program into the kernel",
        _syscall("bpf", (321, 280), "0, buffer, 72", fine="r >= 0"),
    ),
    Attack(
        "surface-perf",
        "surface",
        "open performance counters",
        _syscall("perf_event_open", (298, 241), "buffer, 0, -1, -1, 0", fine="r >= 0"),
    ),
    Attack(
        "surface-io-uring",
        "surface",
        "go around the filter by io_uring",
        _syscall("io_uring_setup", (425, 425), "4, buffer"),
    ),
    Attack(
        "surface-userfaultfd",
        "surface",
        "handle page faults",
        _syscall("userfaultfd", (323, 282), "1"),
    ),
    Attack(
        "surface-memfd",
        "surface",
        "keep memory that no limit counts",
        _syscall("memfd_create", (319, 279), 'b"x", 0'),
    ),
    Attack(
        "surface-personality",
        "surface",
        "switch off random addresses",
        _syscall("personality", (135, 92), "0x40000", fine="r >= 0"),
    ),
    Attack(
        "surface-syslog",
        "surface",
        "read the kernel's log",
        _syscall("syslog", (103, 116), "3, buffer, 4096"),
    ),
    Attack(
        "surface-handle",
        "surface",
        "open a file by its handle",
        _syscall("name_to_handle_at", (303, 264), '-100, b"/", buffer, buffer, 0', fine="r >= 0"),
    ),
    Attack(
        "surface-raw",
        "surface",
        "open a raw socket",
        """
import socket
s = socket.socket(17, socket.SOCK_RAW, 0); print("REACHED a packet socket")
""",
    ),
    Attack(
        "surface-shmget",
        "surface",
        "make a segment that outlives the process",
        _syscall("shmget", (29, 194), "0, 4096, 0o1600"),
    ),
)
