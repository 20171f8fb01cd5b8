"""Control groups: where Linux keeps the limits of this process, in version 1 and 2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM = Path("/")


def control_groups(controller: str, *, root: Path = SYSTEM) -> Iterator[tuple[int, Path]]:
    """The version and the folder of each group above this process, the innermost first.

    Args:
        controller: what is limited, as version 1 names it: `memory`, `cpu`.
        root: where `proc` and `sys` are mounted.
    """
    # Where the process is told no group, there may be limits at the mount's root.
    told = read_lines(root / "proc" / "self" / "cgroup") or [f"1:{controller}:/", "0::/"]
    for line in told:
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            version, mount = 2, root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            version, mount = 1, root / "sys/fs/cgroup" / controller
        else:
            continue
        # Inside a container the group's path may be the host's, which is not mounted here: the
        # mount's own root is then the container's group.
        inner = mount / group.lstrip("/")
        for folder in dict.fromkeys((inner, *inner.parents)):
            if folder.is_relative_to(mount):
                yield version, folder


def read_lines(path: Path) -> list[str]:
    """Lines of a file of the system; none if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
