"""Build hook: compile localassist/engine/even_split.c where there is a compiler for it.

Without one the package is as it is, and an answer is written more slowly.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCE = "localassist/engine/even_split.c"
_LIBRARY = "localassist/engine/_even_split.so"


class EvenSplitHook(BuildHookInterface):
    """Adds the library to a wheel, which then is one of this platform."""

    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile it: for an editable installation in place, else into a folder of our own."""
        if self.target_name != "wheel" or not sys.platform.startswith("linux"):
            return
        root = Path(self.root)
        if version == "editable":
            library = root / _LIBRARY
        else:
            self._folder = tempfile.TemporaryDirectory()
            library = Path(self._folder.name, "_even_split.so")
        if not self._compile(root / _SOURCE, library):
            return
        if version != "editable":
            build_data["force_include"][str(library)] = _LIBRARY
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove that folder."""
        if self._folder is not None:
            self._folder.cleanup()

    def _compile(self, source: Path, library: Path) -> bool:
        said = ""
        configured = shlex.split(sysconfig.get_config_var("CC") or "cc")[:1]
        for compiler in (*configured, "cc", "clang"):
            arguments = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)]
            try:
                subprocess.run(arguments, check=True, capture_output=True, text=True)  # noqa: S603
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", None) or str(error)
            else:
                return True
        self.app.display_warning(f"one answer at a time will be slower: {said}")
        return False
