"""Extractor: the pages of files, read by a child process that may crash, hang or eat memory."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from localassist.retrieval.extract.page import Page, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SILENCE_S = 60.0  # for one page
_LOOK_S = 0.25
_READ_BYTES = 1 << 16
_CRASHED = "malformed: The file makes its reader fail."
_SILENT = "timeout: Reading a page of the file takes more than {seconds:.0f} s."


class Extractor:
    """One child process, started when first needed. Used by one OS thread at a time."""

    def __init__(self, *, silence_s: float = SILENCE_S) -> None:
        """Start nothing yet.

        Args:
            silence_s: seconds without a page after which a file is given up.
        """
        self._silence_s = silence_s
        self._child: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def pages(
        self, path: Path, name: str, *, start: int = 1, cancelled: Callable[[], bool] = bool
    ) -> tuple[int, Iterator[Page]]:
        """How many pages or sections a file has, and those from the one `start` counts on.

        Raises:
            UnreadableError: its text cannot be had; also while the pages are read.
        """
        lines = self._ask({"path": str(path), "name": name, "start": start}, cancelled)
        return int(next(lines)["count"]), self._pages(lines)

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()

    @staticmethod
    def _pages(lines: Iterator[dict[str, Any]]) -> Iterator[Page]:
        for line in lines:
            yield Page(line["page"], line["text"])

    def _ask(
        self, question: dict[str, Any], cancelled: Callable[[], bool]
    ) -> Iterator[dict[str, Any]]:
        child, done = self._running(), False
        assert child.stdin is not None, "it was opened with a pipe"
        try:
            try:
                child.stdin.write(json.dumps(question).encode() + b"\n")
                child.stdin.flush()
            except OSError:
                raise UnreadableError("server_error", _CRASHED) from None
            while True:
                said = json.loads(self._line(child, cancelled))
                if "error" in said:
                    done = True
                    raise UnreadableError(said["error"], said["message"])
                if "end" in said:
                    done = True
                    return
                yield said
        finally:
            if not done:
                # What it still has to say belongs to a file that nobody wants any more.
                self.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._rest = b""
            environment = {
                name: os.environ[name]
                for name in ("PATH", "HOME", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
                if name in os.environ
            }
            # -P: whatever lies in the current folder is not imported.
            safely = ["-P"] if sys.version_info >= (3, 11) else []
            self._child = subprocess.Popen(  # noqa: S603 - all of it is ours
                [sys.executable, *safely, "-m", "localassist.retrieval.extract.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        return self._child

    def _line(self, child: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> bytes:
        assert child.stdout is not None, "it was opened with a pipe"
        give_up_at = time.monotonic() + self._silence_s
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if cancelled():
                    raise UnreadableError("server_error", "cancelled: Indexing was stopped.")
                if time.monotonic() > give_up_at:
                    raise UnreadableError("invalid_file", _SILENT.format(seconds=self._silence_s))
                if not selector.select(_LOOK_S):
                    continue
                read = os.read(child.stdout.fileno(), _READ_BYTES)
                if not read:
                    raise UnreadableError("invalid_file", _CRASHED)
                self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return line
