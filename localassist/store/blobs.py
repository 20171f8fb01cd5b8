"""Blobs: the bytes of files, each kept once under the hash of its content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from typing import TYPE_CHECKING

from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_BYTES = 512 * 1024 * 1024
CHUNK_BYTES = 1 << 20


class Blobs:
    """A folder of blobs. Any OS thread and any process may use it."""

    def __init__(self, folder: Path) -> None:
        """Make nothing yet."""
        self._folder = folder

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Write a blob to the disk for good, and return its sha256 and its size in bytes.

        Raises:
            BadRequestError: it has more than 512 MB; nothing is left of it.
        """
        folder = self._folder / "new"
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / secrets.token_hex(8)
        sha256, size = hashlib.sha256(), 0
        try:
            with unfinished.open("xb") as file:
                for chunk in chunks:
                    size += len(chunk)
                    _check_size(size)
                    sha256.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            path = self.path(sha256.hexdigest())
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return sha256.hexdigest(), size

    def path(self, sha256: str) -> Path:
        """Where a blob is."""
        return self._folder / sha256[:2] / sha256

    def read(self, sha256: str) -> Iterator[bytes]:
        """The bytes in chunks of at most a megabyte.

        Raises:
            OSError: it is not there.
        """
        with self.path(sha256).open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def delete(self, sha256: str) -> None:
        """Remove a blob that no file refers to."""
        with contextlib.suppress(OSError):
            self.path(sha256).unlink(missing_ok=True)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise BadRequestError(
            f"The file has more than {MAX_BYTES:,} bytes, which is the most.",
            code="file_too_large",
            param="file",
        )


def _sync_folder(folder: Path) -> None:
    """A name survives a power cut only once its folder is written."""
    with contextlib.suppress(OSError):  # some systems do not open folders
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
