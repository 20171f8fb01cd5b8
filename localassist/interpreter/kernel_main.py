"""What runs inside the sandbox: ipykernel, without what it would do to the machine around it.

Imported by the fork server, which has loaded everything before the process is confined.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Used by kernels for every cell, or loaded by them late; and what models import first.
_PRELOADED = (
    "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "IPython.core.completerlib",
    "IPython.core.debugger", "IPython.core.oinspect", "IPython.extensions.storemagic",
    "IPython.utils.wildcard", "tornado.platform.asyncio", "tornado.queues", "tornado.locks",
    "email.parser", "encodings.idna", "encodings.latin_1", "encodings.ascii", "http.client", "cmd",
    "code", "pydoc", "csv", "decimal", "fractions", "statistics", "sqlite3", "zipfile",
    "numpy", "pandas", "matplotlib.pyplot", "matplotlib.font_manager",
    "matplotlib.backends.backend_agg", "matplotlib_inline.backend_inline",
    "matplotlib_inline.config",
)  # fmt: skip
_DATA = "/mnt/data"
_PIECE_CHARS = 1 << 18
_MOST_UNSENT_CHARS = 1 << 22
_OF_PATHS = (
    "open", "stat", "lstat", "listdir", "scandir", "mkdir", "remove", "unlink", "rename", "replace",
    "rmdir", "chdir", "access", "readlink", "link", "symlink", "truncate",
)  # fmt: skip


def preload() -> None:
    """Load what every kernel needs; what is not installed is left out."""
    # A debugger of 150 modules that nobody can attach to.
    sys.modules["debugpy"] = None  # type: ignore[assignment]  # means: not to be imported
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def run_kernel(folder: str, *, data_folder: str | None = None) -> None:
    """Run a kernel until it is told to stop.

    Args:
        folder: holds `connection.json`; the kernel's sockets come beside it.
        data_folder: what `/mnt/data` means, where there is no such folder.
    """
    from ipykernel.kernelapp import IPKernelApp
    from traitlets.config import Config

    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # or every fork would draw the same numbers
    _adapt_output(f"{folder}/pipe")
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    app: Any = IPKernelApp.instance(
        config=config, connection_file=f"{folder}/connection.json", log_level=50
    )
    if data_folder is not None:
        _alias_data(data_folder)
    sys.argv = ["ipykernel_launcher"]
    app.initialize([])
    if "matplotlib_inline.backend_inline" in sys.modules:
        # Loaded before there was a shell, it would show figures as text.
        sys.modules["matplotlib_inline.backend_inline"]._enable_matplotlib_integration()
    app.shell.system = functools.partial(_system, app.shell)
    app.start()


def _adapt_output(path: str) -> None:
    """Output in pieces, and that of children through a file: TCP, ipykernel's way, would abort."""
    import zmq
    from ipykernel import iostream as loaded

    iostream: Any = loaded
    address = f"ipc://{path}"

    def pipe_in(self: Any) -> None:
        self._pipe_uuid = os.urandom(16)
        self._pipe_port = 0
        socket = self.socket.context.socket(zmq.PULL)
        socket.linger = 0
        socket.bind(address)
        self._pipe_in = iostream.ZMQStream(socket, self.io_loop)
        self._pipe_in.on_recv(self._handle_pipe_msg)

    def pipe_out(_self: Any) -> Any:
        context = zmq.Context()
        socket = context.socket(zmq.PUSH)
        socket.linger = 3000
        socket.connect(address)
        return context, socket

    plain_write = iostream.OutStream.write

    def write(self: Any, text: str) -> int | None:
        # One message of any size would be refused by the host, and with it all that follow.
        for start in range(0, len(text), _PIECE_CHARS):
            plain_write(self, text[start : start + _PIECE_CHARS])
            self._unsent = getattr(self, "_unsent", 0) + min(len(text), _PIECE_CHARS)
            if self._unsent > _MOST_UNSENT_CHARS or len(text) > _PIECE_CHARS:
                self.flush()
                self._unsent = 0
        return len(text)

    iostream.OutStream.write = write
    iostream.IOPubThread._setup_pipe_in = pipe_in
    iostream.IOPubThread._setup_pipe_out = pipe_out


def _system(shell: Any, command: str) -> None:
    """`!command`, which IPython runs in a terminal; here there is none."""
    process = subprocess.Popen(  # noqa: S602  # this is what the sandbox is for
        command, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    assert process.stdout is not None, "it is a pipe"
    for line in process.stdout:
        sys.stdout.write(line)
    shell.user_ns["_exit_code"] = process.wait()


def _alias_data(folder: str) -> None:
    """Let Python find `/mnt/data` in `folder`. A convenience: nothing depends on it."""
    import builtins
    import io

    from IPython.core import interactiveshell

    shell: Any = interactiveshell

    def real(path: Any) -> Any:
        text = os.fspath(path) if isinstance(path, os.PathLike) else path
        if isinstance(text, str) and (text == _DATA or text.startswith(f"{_DATA}/")):
            return folder + text[len(_DATA) :]
        return path

    def aliased(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*map(real, args), **kwargs)

        return call

    for name in _OF_PATHS:
        setattr(os, name, aliased(getattr(os, name)))
    builtins.open = io.open = aliased(io.open)
    shell.io_open = io.open  # IPython gives cells a copy of its own
