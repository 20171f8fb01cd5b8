"""Attacks that read what is the host's."""

from __future__ import annotations

from localassist.interpreter.attacks.attack import Attack

_STAT_REASON = "without namespaces, names and sizes of the host's files can be seen"

ATTACKS: tuple[Attack, ...] = (
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
)
