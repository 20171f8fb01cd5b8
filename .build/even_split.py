"""Build hook: compile localassist/engine/even_split.c where there is a compiler for it.

Without one the package is as it is, and an answer is written more slowly.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCE = "localassist/engine/even_split.c"
_LIBRARY = "localassist/engine/_even_split.so"


class EvenSplitHook(BuildHookInterface):
    """Adds the library to a wheel, which then is one of this platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile it, in place."""
        if self.target_name != "wheel" or not sys.platform.startswith("linux"):
            return
        root = Path(self.root)
        compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[:1]
        for command in (compiler, ["cc"], ["clang"]):
            arguments = [*command, "-O2", "-shared", "-fPIC", "-o", root / _LIBRARY, root / _SOURCE]
            try:
                subprocess.run(arguments, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                continue
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"py3-none-{platform}"
            build_data["pure_python"] = False
            build_data["artifacts"].append(_LIBRARY)
            return
        self.app.display_warning("no C compiler: one answer at a time will be slower")
