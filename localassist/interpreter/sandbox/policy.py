"""SandboxPolicy: what a confined process may see and use."""

from __future__ import annotations

import os
import site
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

# The last is no sandbox at all; only a setting chooses it.
Tier = Literal["ns", "bwrap", "landlock", "seatbelt", "none"]
WITHOUT_NAMESPACES = ("landlock", "seatbelt", "none")
TIERS: tuple[Tier, ...] = ("seatbelt",) if sys.platform == "darwin" else ("ns", "bwrap", "landlock")

MB = 1 << 20
DATA = "/mnt/data"
RUN = "/run/k"
HOME = "/tmp/home"  # noqa: S108  # inside, where it is private
# Inside, nobody is root; outside, a host's root is mapped to a user that owns nothing.
INNER_UID = 1000
SPARE_UID = 61184
DEVICES = ("null", "zero", "full", "random", "urandom")
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts",
    "/etc/ssl/openssl.cnf",
)  # fmt: skip


def _environment() -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": HOME,
        "TMPDIR": "/tmp",  # noqa: S108  # inside it is a private file system
        "USER": "user",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": f"{HOME}/mpl",
        "IPYTHONDIR": f"{HOME}/.ipython",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
    }


def _limits() -> dict[str, int]:
    return {
        "AS": 4096 * MB,
        "DATA": 2048 * MB,
        "NPROC": 96,
        "NOFILE": 512,
        "FSIZE": 512 * MB,
        "CORE": 0,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
        "STACK": 8 * MB,
        "SIGPENDING": 512,
    }


@dataclass(frozen=True, kw_only=True)
class SandboxPolicy:
    """Bounds of one sandbox.

    Attributes:
        readable: folders and files of the host that are seen, read-only, where they are.
        data_bytes: size of /mnt/data.
        tmp_bytes: size of /tmp.
        shm_bytes: size of /dev/shm.
        inodes: files in each of them.
        memory_bytes: of all processes together; watched from outside, so it can be passed briefly.
        limits: of each process, by the names of RLIMIT_.
        environment: all of it; nothing of the host's is handed on.
        nice: added to the host's niceness.
    """

    readable: tuple[str, ...]
    data_bytes: int = 512 * MB
    tmp_bytes: int = 256 * MB
    shm_bytes: int = 128 * MB
    inodes: int = 8192
    memory_bytes: int = 2048 * MB
    limits: dict[str, int] = field(default_factory=_limits)
    environment: dict[str, str] = field(default_factory=_environment)
    nice: int = 5

    def to_json(self) -> dict[str, Any]:
        """As it is sent to the fork server."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SandboxPolicy:
        """What `to_json` gave."""
        return cls(**{**values, "readable": tuple(values["readable"])})


def python_policy(**changes: Any) -> SandboxPolicy:
    """The policy of a kernel of this interpreter: its library, its packages, the system's.

    Never all of `sys.path`: its first entry is the folder of the user's own script.
    """
    packages = [Path(path) for path in site.getsitepackages() if Path(path).is_dir()]
    wanted = [*map(Path, _SYSTEM), Path(os.path.realpath(sys.base_prefix)), *packages]
    if sys.prefix != sys.base_prefix:
        wanted += [Path(sys.prefix) / "bin", Path(sys.prefix) / "pyvenv.cfg"]
    kept: list[Path] = []
    for path in wanted:
        # The system's links are made anew inside; what lies below another one is seen already.
        linked = str(path) in _SYSTEM and path.is_symlink()
        known = any(path == other or other in path.parents for other in kept)
        if path.exists() and not linked and not known:
            kept.append(path)
    return SandboxPolicy(readable=tuple(map(str, kept)), **changes)
