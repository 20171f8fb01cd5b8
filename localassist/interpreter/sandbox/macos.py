"""The tier of macOS: a profile for `sandbox-exec`. Experimental: no Mac has tried it yet.

One process that may start no other one, reads Python and the system's libraries, writes its own
folder, and has no network. Nothing bounds how much it writes there but the size of one file, and
that a path exists can be seen. The probe runs code in it before it is used, as it does everywhere.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "/usr/bin/sandbox-exec"
_SYSTEM = ("/usr/lib", "/usr/share/zoneinfo", "/System/Library", "/Library/Fonts")
_NOT_MAC_OS = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# The last rule that fits decides. `system.sb` has what every process of this release of macOS
# needs; what of it leads out is taken back.
_PROFILE = """(version 1)
(deny default)
(import "system.sb")
(deny network*)
(deny mach-lookup)
(deny mach-register)
(deny iokit-open)
(deny ipc-posix-shm*)
(deny process-fork)
(deny process-exec)
(allow process-exec (subpath (param "PYTHON")) (literal (param "PROGRAM")))
(deny process-info*)
(allow process-info* (target self))
(deny signal)
(allow signal (target self))
(allow file-read* file-map-executable {readable})
(allow file-read-metadata {above})
(allow file-read* {devices})
(allow file-write-data (literal "/dev/null"))
(allow file-read* file-write* (subpath (param "DATA")) (subpath (param "RUN")))
(deny file-write-unlink
  (require-all (subpath (param "RUN")) (require-not (subpath (param "TMP")))))
(deny file-link)
(allow system-socket (socket-domain AF_UNIX))
(allow network-bind (local unix-socket (subpath (param "RUN"))))
(allow network-inbound (local unix-socket (subpath (param "RUN"))))
(allow network-outbound (remote unix-socket (subpath (param "RUN"))))
"""


def command(readable: Sequence[str], folder: str, python: Sequence[str]) -> list[str]:
    """The command line of a confined Python.

    Args:
        readable: folders and files that it may read, besides the system's.
        folder: has `data`, and `run` with the kernel's sockets, which it may write.
        python: the command that is confined.
    """
    # What links lead to is what counts. All of /usr holds more than libraries.
    files = [os.path.realpath(path) for path in readable if path not in _NOT_MAC_OS]
    files = list(dict.fromkeys([*files, *_SYSTEM]))
    params = {
        "PYTHON": os.path.realpath(sys.base_prefix),
        "PROGRAM": os.path.realpath(sys.executable),
        "DATA": f"{folder}/data",
        "RUN": f"{folder}/run",
        "TMP": f"{folder}/run/tmp",
        **{f"READ{index}": path for index, path in enumerate(files)},
        **{f"ABOVE{index}": path for index, path in enumerate(_above([*files, folder]))},
    }
    profile = _PROFILE.format(
        readable=" ".join(f'(subpath (param "{key}"))' for key in params if key[:4] == "READ"),
        above=" ".join(f'(literal (param "{key}"))' for key in params if key[:5] == "ABOVE"),
        devices=" ".join(f'(literal "{path}")' for path in _DEVICES),
    )
    # Paths are values of parameters, never part of the profile's text.
    given = [part for key, value in params.items() for part in ("-D", f"{key}={value}")]
    return [PROGRAM, "-p", profile, *given, *python]


def _above(paths: Sequence[str]) -> list[str]:
    """All folders on the way to the paths: who resolves a path looks at each of them."""
    found = {str(parent) for path in paths for parent in Path(path).parents}
    return sorted(found)
