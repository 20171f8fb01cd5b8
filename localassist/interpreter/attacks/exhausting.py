"""Attacks that take more than there is."""

from __future__ import annotations

from localassist.interpreter.attacks.attack import Attack

ATTACKS: tuple[Attack, ...] = (
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
