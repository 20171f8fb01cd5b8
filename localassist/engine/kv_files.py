"""KvFiles: the files of hibernated conversations.

They are a cache: nothing in them is believed that is not of this model and build, of exactly the
tokens that were asked for, and whole. A file appears whole, by renaming, and is named after what it
holds, so several processes may share a folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import zlib
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from localassist._lazy import require

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from localassist.engine.backend import Data

log = logging.getLogger("localassist.engine.kv")

DIGEST_BYTES = 16
SUFFIX = ".kv"
_MAGIC = b"LAKV0002"
_HEAD = struct.Struct("<8sII")  # magic, length of the JSON header, its crc32
_MAX_HEADER_BYTES = 1 << 20
_PART_SUFFIX = ".part"
_COARSE_CLOCK_S = 2.0
_ABANDONED_S = 3600.0  # a file half written for so long belongs to a process that is dead
# This part of the budget may be written before others' files are counted again, and so much is
# freed beyond what is needed, for counting takes 20 us a file.
_SLACK = 16


@dataclass(frozen=True)
class Key:
    """What a file holds: the tokens of every conversation that begins so, from `start` on.

    Attributes:
        prefix: digest of the tokens before `start`.
        start: how many those are.
        through: digest of those and its own.
        tokens: its own.
    """

    prefix: bytes
    start: int
    through: bytes
    tokens: array[int]

    @classmethod
    def of(cls, tokens: Sequence[int], *, start: int) -> Key:
        """The key of `tokens[start:]`."""
        whole = array("i", tokens)
        hashed = hashlib.sha256(whole[:start].tobytes())
        prefix = hashed.digest()[:DIGEST_BYTES]
        hashed.update(whole[start:].tobytes())
        return cls(prefix, start, hashed.digest()[:DIGEST_BYTES], whole[start:])

    @property
    def name(self) -> str:
        """Of the file."""
        return f"{self.prefix.hex()}-{self.start}-{self.through.hex()}{SUFFIX}"


@dataclass(frozen=True)
class _Header:
    key: Key
    num_bytes: int
    crc32: int
    offset: int


class KvFiles:
    """One model's folder inside the folder of all models. Safe to use from any OS thread."""

    def __init__(
        self, root: Path, *, fingerprint: str, most_bytes: int, now: Callable[[], float]
    ) -> None:
        """Touch nothing yet.

        Args:
            root: the folder of all models.
            fingerprint: of the weights, the build and the layout of the context.
            most_bytes: budget of `root`.
            now: seconds since the epoch.
        """
        self._np: Any = require("numpy", package="numpy")
        digest = hashlib.sha256(fingerprint.encode()).hexdigest()[: 2 * DIGEST_BYTES]
        self._root = root
        self._folder = root / digest
        self._fingerprint = fingerprint
        self._most_bytes = most_bytes
        self._now = now
        self._seen_mtime = -1
        self._in_root = 0
        self._written = 0  # since it was counted
        self._keep_to_budget()

    def names(self) -> list[str] | None:
        """Names of all files, or None if nothing has changed since the last call."""
        try:
            mtime = self._folder.stat().st_mtime_ns
            if mtime == self._seen_mtime:
                return None
            found = [each.name for each in os.scandir(self._folder) if each.name.endswith(SUFFIX)]
        except OSError:
            self._seen_mtime = -1
            return []
        # A clock of the file system may stand still while another file is written.
        settled = self._now() - mtime / 1e9 > _COARSE_CLOCK_S
        self._seen_mtime = mtime if settled else -1
        return found

    def key(self, name: str) -> Key | None:
        """What a file says it holds; one that is not ours is removed, and None."""
        path = self._folder / name
        try:
            with path.open("rb") as file:
                header = self._header(file)
                whole = header and os.fstat(file.fileno()).st_size
        except OSError:
            return None
        if header is None or whole != header.offset + header.num_bytes or header.key.name != name:
            self._remove_damaged(path)
            return None
        return header.key

    def exists(self, key: Key) -> bool:
        """Whether there is a file for it."""
        try:
            return (self._folder / key.name).is_file()
        except OSError:  # it may not be looked at any more
            return False

    def read(self, key: Key) -> Data | None:
        """The data of a file, or None: it is gone, or was not what it should be and is gone now."""
        path = self._folder / key.name
        try:
            with path.open("rb", buffering=0) as file:
                header = self._header(file)
                if header is not None and header.key == key:
                    data: Data = self._np.empty(header.num_bytes, self._np.uint8)
                    whole = file.readinto(data.data) == len(data) and not file.read(1)
                    if whole and zlib.crc32(data.data) == header.crc32:
                        return data
        except OSError as error:
            log.debug("cannot read '%s': %s", path.name, error)
            return None
        self._remove_damaged(path)
        return None

    def write(self, key: Key, data: Data) -> None:
        """Write a file and keep to the budget.

        Raises:
            OSError: it could not be written; there is nothing of it.
        """
        header = json.dumps(
            {
                "fingerprint": self._fingerprint,
                "prefix": key.prefix.hex(),
                "start": key.start,
                "through": key.through.hex(),
                "tokens": key.tokens.tolist(),
                "num_bytes": len(data),
                "crc32": zlib.crc32(data.data),
            }
        ).encode()
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{key.name}.{os.getpid()}-{id(self)}{_PART_SUFFIX}"
        try:
            with part.open("wb", buffering=0) as file:
                file.write(_HEAD.pack(_MAGIC, len(header), zlib.crc32(header)) + header)
                view = data.data
                while len(view):
                    view = view[file.write(view) :]
            part.replace(self._folder / key.name)
        except OSError:
            _remove(part)
            raise
        self._written += len(data)
        if self._in_root + self._written > self._most_bytes or self._is_time_to_count:
            self._keep_to_budget()

    def touch(self, key: Key) -> None:
        """The file was used just now."""
        now = self._now()
        try:
            os.utime(self._folder / key.name, (now, now))
        except OSError:
            log.debug("'%s' is gone", key.name)

    def _header(self, file: BinaryIO | Any) -> _Header | None:
        """The header at the beginning of a file; None if it is not one of ours."""
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        magic, length, crc = _HEAD.unpack(head)
        if magic != _MAGIC or length > _MAX_HEADER_BYTES:
            return None
        text = file.read(length)
        if len(text) < length or zlib.crc32(text) != crc:
            return None
        try:
            told = json.loads(text)
            prefix, through = bytes.fromhex(told["prefix"]), bytes.fromhex(told["through"])
            key = Key(prefix, int(told["start"]), through, array("i", told["tokens"]))
            if told["fingerprint"] != self._fingerprint:
                return None
            return _Header(key, int(told["num_bytes"]), int(told["crc32"]), _HEAD.size + length)
        except (ValueError, KeyError, TypeError, OverflowError):
            return None

    def _remove_damaged(self, path: Path) -> None:
        log.warning("removed '%s', which is damaged or of something else", path.name)
        _remove(path)

    @property
    def _is_time_to_count(self) -> bool:
        """Whether others, who have the same budget, may have written much meanwhile."""
        return self._written > self._most_bytes // _SLACK

    def _keep_to_budget(self) -> None:
        """Count; if it is too much, remove the files used least recently until there is room."""
        try:
            self._remove_abandoned()
            files = [_File.of(path) for path in self._root.glob(f"*/*{SUFFIX}")]
        except OSError as error:
            log.debug("cannot list '%s': %s", self._root, error)
            return
        found = _chained([file for file in files if file is not None])
        total = sum(file.size for file in found)
        if total > self._most_bytes:
            # Of those used at one time, what comes later in a conversation goes first: without its
            # beginning it is of no use.
            *older, newest = sorted(found, key=lambda file: (file.used_at, -file.start))
            for file in [*older, newest]:
                slack = 0 if file is newest else self._most_bytes // _SLACK
                if total <= self._most_bytes - slack:
                    break
                _remove(file.path)
                total -= file.size
        self._in_root, self._written = total, 0

    def _remove_abandoned(self) -> None:
        for part in self._root.glob(f"*/.*{_PART_SUFFIX}"):
            try:
                written_at = part.stat().st_mtime
            except OSError:  # its writer has just ended it
                continue
            if written_at < self._now() - _ABANDONED_S:
                _remove(part)


@dataclass
class _File:
    path: Path
    prefix: str
    start: int
    through: str
    size: int
    used_at: float

    @classmethod
    def of(cls, path: Path) -> _File | None:
        try:
            prefix, start, through = path.name.removesuffix(SUFFIX).split("-")
            stat = path.stat()
            return cls(path, prefix, int(start), through, stat.st_size, round(stat.st_mtime))
        except (OSError, ValueError):
            return None


def _chained(files: list[_File]) -> list[_File]:
    """The same files; whatever continues one makes it as recent as itself."""
    by_end = {(file.path.parent, file.through): file for file in files}
    for file in sorted(files, key=lambda file: -file.start):
        before = by_end.get((file.path.parent, file.prefix))
        if before is not None:
            before.used_at = max(before.used_at, file.used_at)
    return files


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.debug("cannot remove '%s': %s", path.name, error)
