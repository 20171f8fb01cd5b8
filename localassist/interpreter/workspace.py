"""Workspace: the files of a sandbox's /mnt/data, put and collected through its descriptor.

The other side is hostile: names, links, devices and files that change while they are read. No path
is ever resolved below the descriptor but one component at a time, following no link.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localassist.interpreter.outputs import clean
from localassist.interpreter.sandbox.libc import libc, open_beneath
from localassist.interpreter.sandbox.policy import MB, SPARE_UID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_FILES = 100
MAX_FILE_BYTES = 64 * MB
MAX_TOTAL_BYTES = 256 * MB
MAX_DEPTH = 4
MAX_ENTRIES = 5_000
MAX_NAME_CHARS = 120
_UNSAFE = re.compile(r"[^\w.\- ()\[\]+,=@]")
_MAX_NOTES = 10


@dataclass(frozen=True)
class Collected:
    """A file that code wrote.

    Attributes:
        path: below /mnt/data, as the code named it.
        name: the same without what a file's name should not have.
        data: its bytes, which are never looked into.
    """

    path: str
    name: str
    data: bytes


@dataclass
class _Collection:
    files: list[Collected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    num_entries: int = 0
    num_bytes: int = 0

    def note(self, text: str) -> None:
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(text)


class Workspace:
    """Files of one sandbox. The sandbox should be frozen while they are collected."""

    def __init__(self, data_fd: int, *, maps_users: bool) -> None:
        """Wrap a folder.

        Args:
            data_fd: of the folder; stays the caller's.
            maps_users: the sandbox has a user namespace, in which a host's root does not exist.
        """
        self._fd = data_fd
        self._as_spare_user = os.getuid() == 0 and maps_users
        self._seen: dict[str, tuple[int, int, int]] = {}

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a file of the host's, replacing one of the same name.

        Raises:
            OSError: there is no room, or the code has put a folder in its place.
        """
        name = safe_name(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)
        with _as_spare_user() if self._as_spare_user else contextlib.nullcontext():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, 0o644, dir_fd=self._fd)
        with os.fdopen(fd, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            self._seen[name] = _version(os.fstat(file.fileno()))

    def collect(self) -> tuple[list[Collected], list[str]]:
        """The files that are new or changed since the last time, and what was left out and why."""
        collection = _Collection()
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)
        try:
            self._walk(fd, "", MAX_DEPTH, collection)
        finally:
            os.close(fd)
        return collection.files, collection.notes

    def _walk(self, fd: int, prefix: str, depth: int, collection: _Collection) -> None:
        with os.scandir(fd) as entries:
            for entry in entries:
                collection.num_entries += 1
                if collection.num_entries > MAX_ENTRIES:
                    collection.note(f"only {MAX_ENTRIES} entries of /mnt/data were looked at")
                    return
                with contextlib.suppress(OSError):
                    self._take(fd, entry.name, f"{prefix}{entry.name}", depth, collection)

    def _take(self, fd: int, name: str, path: str, depth: int, collection: _Collection) -> None:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            if depth > 0:
                inner = open_beneath(fd, name, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    self._walk(inner, f"{path}/", depth - 1, collection)
                finally:
                    os.close(inner)
            return
        shown = _shown(path)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            collection.note(f"'{shown}' is not an ordinary file and was left out")
            return
        if self._seen.get(path) == _version(found):
            return
        if (
            found.st_size > MAX_FILE_BYTES
            or collection.num_bytes + found.st_size > MAX_TOTAL_BYTES
            or len(collection.files) >= MAX_FILES
        ):
            collection.note(f"'{shown}' is too large, or one too many, and was left out")
            return
        data = _read(fd, name, found)
        if data is not None:
            self._seen[path] = _version(found)
            collection.num_bytes += len(data)
            collection.files.append(Collected(path, safe_name(path), data))


def safe_name(path: str) -> str:
    """A path's last part in letters, digits and a few signs."""
    text = os.fsencode(path).decode("utf-8", "replace").rpartition("/")[2]
    name = _UNSAFE.sub("_", clean(text))
    if len(name) > MAX_NAME_CHARS:
        stem, dot, suffix = name.rpartition(".")
        keep = MAX_NAME_CHARS - len(dot + suffix)
        name = stem[:keep] + dot + suffix if keep > 0 and stem else name[:MAX_NAME_CHARS]
    return name.lstrip(".-_ ") or "file"


def _read(folder_fd: int, name: str, expected: os.stat_result) -> bytes | None:
    """The bytes of an ordinary file; None if it is not what it was a moment ago."""
    fd = open_beneath(folder_fd, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return None
        if (found.st_ino, found.st_size) != (expected.st_ino, expected.st_size):
            return None
        data = file.read(MAX_FILE_BYTES + 1)
    return data if len(data) == expected.st_size else None


def _version(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _shown(path: str) -> str:
    return clean(os.fsencode(path).decode("utf-8", "replace"))[:80].replace("\n", " ")


@contextlib.contextmanager
def _as_spare_user() -> Iterator[None]:
    """Open as the user that the sandbox knows; holds for this OS thread only."""
    libc.setfsgid(SPARE_UID)
    libc.setfsuid(SPARE_UID)
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(0)
