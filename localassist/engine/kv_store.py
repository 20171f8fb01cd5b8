"""KvStore: keys and values of idle conversations, in memory and on disk.

What a conversation's tokens were computed to is kept in segments of some hundred tokens. A
segment is found by the digest of all tokens before it, so that the segments of all conversations
form one radix tree: what several begin with is kept once, a turn adds only its own tokens, and a
lost segment costs only what comes after it. The files are a cache: nothing in them is believed
that is not of this model, of this build, of exactly these tokens, and whole.

The engine's loop calls; one OS thread writes the files behind it. Several processes may share a
folder: a file appears whole, by renaming, and is named after what it holds.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import struct
import threading
import zlib
from array import array
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.engine.prefix_cache import common_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    Data = npt.NDArray[np.uint8]

log = logging.getLogger("localassist.engine.kv")

_MAGIC = b"LAKV0001"
_HEAD = struct.Struct("<8sII")  # magic, length of the JSON header, its crc32
_MAX_HEADER_BYTES = 1 << 20
_DIGEST_BYTES = 16
_SUFFIX = ".kv"
_PENDING_BYTES = 256 << 20  # what may wait for a slow disk beyond the budget of memory


@dataclass(eq=False)
class Segment:
    """Tokens `start` to `start + len(tokens)` of every conversation that begins with `prefix`.

    Attributes:
        prefix: digest of the tokens before.
        start: how many those are.
        tokens: its own tokens.
        name: what its file is called, after what it holds.
        path: its file; it need not exist.
        data: keys and values, while in memory.
        on_disk: whether the file was written or seen.
    """

    prefix: bytes
    start: int
    tokens: array[int]
    name: str
    path: Path | None
    data: Data | None = None
    on_disk: bool = False


@dataclass(frozen=True)
class Piece:
    """A segment, of which the tokens before position `end` are wanted."""

    segment: Segment
    end: int


class KvStore:
    """Hibernated state of one model. Only the engine's loop may call it."""

    def __init__(
        self, folder: Path | None, *, fingerprint: str, ram_bytes: int, disk_bytes: int
    ) -> None:
        """Read what is there.

        Args:
            folder: the data folder's `kv`, shared by all models; None keeps to memory.
            fingerprint: of the weights, the build and the layout of the context.
            ram_bytes: budget in memory.
            disk_bytes: budget of the whole folder.
        """
        digest = hashlib.sha256(fingerprint.encode()).hexdigest()[: 2 * _DIGEST_BYTES]
        self._np: Any = require("numpy", package="numpy")
        self._fingerprint = fingerprint
        self._root = folder if disk_bytes > 0 else None
        self._folder = None if self._root is None else self._root / digest
        self._ram_bytes = ram_bytes
        self._disk_bytes = disk_bytes
        self._by_prefix: dict[bytes, list[Segment]] = {}
        self._by_name: dict[str, Segment] = {}
        self._starts: list[int] = []  # positions at which segments begin, ascending
        self._in_ram: OrderedDict[int, Segment] = OrderedDict()
        self._ram_used = 0
        self._folder_mtime = -1
        self._queue: queue.SimpleQueue[Segment | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # of everything above
        self._writer: threading.Thread | None = None
        if self._folder is not None:
            self._writer = threading.Thread(target=self._write_all, name="kv-writer", daemon=True)
            self._writer.start()

    # --- finding ---

    def match(self, tokens: Sequence[int]) -> int:
        """Length of the longest prefix of `tokens` that is kept."""
        pieces = self.pieces(tokens)
        return pieces[-1].end if pieces else 0

    def pieces(self, tokens: Sequence[int]) -> list[Piece]:
        """Segments that together hold the longest kept prefix, each reaching further.

        What one conversation shares with another may end inside a segment, and the next one may
        begin before that point: every segment that begins where it is already covered counts.
        """
        self._look_at_folder()
        wanted = array("i", tokens)
        hashed = hashlib.sha256()
        num_hashed = 0
        found: list[Piece] = []
        best: Piece | None = None
        with self._lock:
            starts = iter(self._starts)
            start = next(starts, None)
            while True:
                reach = found[-1].end if found else 0
                while start is not None and start <= reach:
                    hashed.update(wanted[num_hashed:start].tobytes())
                    num_hashed = start
                    best = self._furthest(hashed.digest(), start, wanted, best)
                    start = next(starts, None)
                if best is None or best.end <= reach:
                    return found
                found.append(best)

    def _furthest(
        self, prefix: bytes, start: int, wanted: array[int], best: Piece | None
    ) -> Piece | None:
        """Of `best` and the segments behind `prefix`, what reaches furthest into `wanted`."""
        for segment in self._by_prefix.get(prefix[:_DIGEST_BYTES], ()):
            stop = start + len(segment.tokens)
            end = start + common_prefix(segment.tokens, wanted[start:stop])
            if best is None or end > best.end:
                best = Piece(segment, end)
        return best

    def load(self, segment: Segment) -> Data | None:
        """Keys and values of a segment, or None if they cannot be had any more."""
        with self._lock:
            data = segment.data
            if data is not None:
                self._in_ram.move_to_end(id(segment))
        if data is None and segment.path is not None:
            data = self._read(segment)
            if data is None:
                with self._lock:
                    self._forget(segment)
        if segment.path is not None and segment.on_disk:
            _touch(segment.path)
        return data

    # --- keeping ---

    def keep(self, tokens: Sequence[int], *, start: int, data: Data) -> None:
        """Take over `data`, the keys and values of `tokens[start:]`."""
        prefix = _digest(tokens[:start])
        own = array("i", tokens[start:])
        name = f"{prefix.hex()}-{start}-{_digest(own).hex()}{_SUFFIX}"
        with self._lock:
            most = self._ram_bytes if self._writer is None else self._ram_bytes + _PENDING_BYTES
            if name in self._by_name or (self._writer and self._ram_used + len(data) > most):
                return
            path = None if self._folder is None else self._folder / name
            segment = Segment(prefix, start, own, name, path, data=data)
            self._index(segment)
            self._in_ram[id(segment)] = segment
            self._ram_used += len(data)
            if self._writer is None:
                self._shrink_ram()
        if self._writer is not None:
            self._queue.put(segment)

    def close(self) -> None:
        """Write what is not written yet."""
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join()

    # --- the index ---

    def _index(self, segment: Segment) -> None:
        self._by_name[segment.name] = segment
        self._by_prefix.setdefault(segment.prefix, []).append(segment)
        at = bisect_left(self._starts, segment.start)
        if self._starts[at : at + 1] != [segment.start]:
            self._starts.insert(at, segment.start)

    def _forget(self, segment: Segment) -> None:
        """Take a segment out of the index; the lock is held."""
        self._by_name.pop(segment.name, None)
        siblings = self._by_prefix.get(segment.prefix, [])
        if segment in siblings:
            siblings.remove(segment)
        if not siblings:
            self._by_prefix.pop(segment.prefix, None)
        self._drop_data(segment)

    def _drop_data(self, segment: Segment) -> None:
        if self._in_ram.pop(id(segment), None) is not None and segment.data is not None:
            self._ram_used -= len(segment.data)
        segment.data = None

    def _shrink_ram(self) -> None:
        """Let go of the data that was used least recently and need not be written any more."""
        for segment in list(self._in_ram.values()):
            if self._ram_used <= self._ram_bytes:
                return
            if segment.on_disk:
                self._drop_data(segment)
            elif self._writer is None:
                self._forget(segment)

    # --- the folder ---

    def _look_at_folder(self) -> None:
        """Index what other processes have written since the last look."""
        if self._folder is None:
            return
        try:
            mtime = self._folder.stat().st_mtime_ns
            if mtime == self._folder_mtime:
                return
            self._folder_mtime = mtime
            entries = [entry for entry in os.scandir(self._folder) if entry.name.endswith(_SUFFIX)]
        except OSError:
            return
        for entry in entries:
            if entry.name in self._by_name:
                continue
            segment = self._open(self._folder / entry.name)
            if segment is not None:
                with self._lock:
                    if entry.name not in self._by_name:
                        self._index(segment)

    def _open(self, path: Path) -> Segment | None:
        """The segment of a file, by its header; a file that is not ours is removed."""
        try:
            with path.open("rb") as file:
                header = self._header(file.read(_HEAD.size), file.read)
                size = os.fstat(file.fileno()).st_size
        except OSError:
            return None
        if header is None or size != header["offset"] + header["num_bytes"]:
            log.warning("removed '%s', which is damaged or of another model", path.name)
            _remove(path)
            return None
        tokens = array("i", header["tokens"])
        prefix = bytes.fromhex(header["prefix"])
        return Segment(prefix, header["start"], tokens, path.name, path, on_disk=True)

    def _header(self, head: bytes, read: Any) -> dict[str, Any] | None:
        if len(head) < _HEAD.size:
            return None
        magic, length, crc = _HEAD.unpack(head)
        if magic != _MAGIC or length > _MAX_HEADER_BYTES:
            return None
        text = read(length)
        if len(text) < length or zlib.crc32(text) != crc:
            return None
        header: dict[str, Any] = json.loads(text)
        if header["fingerprint"] != self._fingerprint:
            return None
        header["offset"] = _HEAD.size + length
        return header

    def _read(self, segment: Segment) -> Data | None:
        assert segment.path is not None, "it is read from its file"
        try:
            with segment.path.open("rb", buffering=0) as file:
                header = self._header(file.read(_HEAD.size), file.read)
                if header is not None and array("i", header["tokens"]) == segment.tokens:
                    data: Data = self._np.empty(header["num_bytes"], self._np.uint8)
                    if (
                        file.readinto(data.data) == len(data)
                        and zlib.crc32(data.data) == header["crc32"]
                    ):
                        return data
        except OSError as error:
            log.debug("cannot read '%s': %s", segment.path.name, error)
            return None
        log.warning("removed '%s', which is damaged", segment.path.name)
        _remove(segment.path)
        return None

    # --- the writer ---

    def _write_all(self) -> None:
        assert self._folder is not None, "there is a writer only for a folder"
        assert self._root is not None, "there is a writer only for a folder"
        in_folder = _limit(self._root, self._disk_bytes)
        while (segment := self._queue.get()) is not None:
            data = segment.data
            if data is None:
                continue
            try:
                self._write(segment, data)
            except OSError as error:
                log.warning("an idle conversation cannot be kept on disk: %s", error)
                with self._lock:
                    self._forget(segment)
                continue
            in_folder += len(data)
            if in_folder > self._disk_bytes:
                in_folder = _limit(self._root, self._disk_bytes)
            with self._lock:
                segment.on_disk = True
                self._shrink_ram()

    def _write(self, segment: Segment, data: Data) -> None:
        assert segment.path is not None, "there is a writer only for a folder"
        header = json.dumps(
            {
                "fingerprint": self._fingerprint,
                "prefix": segment.prefix.hex(),
                "start": segment.start,
                "tokens": segment.tokens.tolist(),
                "num_bytes": len(data),
                "crc32": zlib.crc32(data.data),
            }
        ).encode()
        segment.path.parent.mkdir(parents=True, exist_ok=True)
        part = segment.path.with_name(f".{segment.path.name}.{os.getpid()}.part")
        try:
            with part.open("wb", buffering=0) as file:
                file.write(_HEAD.pack(_MAGIC, len(header), zlib.crc32(header)) + header)
                view = data.data
                while len(view):
                    view = view[file.write(view) :]
            part.replace(segment.path)
        except OSError:
            _remove(part)
            raise


def _digest(tokens: Sequence[int]) -> bytes:
    return hashlib.sha256(array("i", tokens).tobytes()).digest()[:_DIGEST_BYTES]


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        log.debug("'%s' is gone", path.name)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.debug("cannot remove '%s': %s", path.name, error)


def _limit(root: Path, most_bytes: int) -> int:
    """Remove the files used least recently until the rest keeps to the budget; its size.

    Of those used at one time, what comes later in a conversation goes first: without its
    beginning it is of no use.
    """
    files: list[tuple[float, int, int, Path]] = []
    for path in root.glob(f"*/*{_SUFFIX}"):
        try:
            stat = path.stat()
            start = int(path.name.split("-")[1])
        except (OSError, IndexError, ValueError):
            continue
        files.append((round(stat.st_mtime), -start, stat.st_size, path))
    files.sort(key=lambda file: file[:2])
    total = sum(size for _, _, size, _ in files)
    for _, _, size, path in files:
        if total <= most_bytes:
            break
        _remove(path)
        total -= size
    return total
