"""Owners: names of processes, written beside the work that they have claimed."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def new_owner(new_id: Callable[[str], str]) -> str:
    """A name for this process in leases."""
    return f"{_machine()}/{os.getpid()}/{new_id('proc')}"


def owner_may_live(owner: str) -> bool:
    """False if the owner is known to be dead: a process of this machine that is gone."""
    machine, _, rest = owner.partition("/")
    pid = rest.partition("/")[0]
    if machine != _machine() or not pid.isdigit() or os.name == "nt":
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    """This machine and its process numbering: a container has its own."""
    try:
        return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()
