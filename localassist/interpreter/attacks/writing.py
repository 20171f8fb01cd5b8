"""Attacks that change files of the host, or have it follow links."""

from __future__ import annotations

from localassist.interpreter.attacks.attack import Attack

ATTACKS: tuple[Attack, ...] = (
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
)
