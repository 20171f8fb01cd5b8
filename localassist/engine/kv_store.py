"""KvStore: keys and values of idle conversations, in memory and on disk.

What a conversation's tokens were computed to is kept in segments of some hundred tokens. A
segment is found by the digest of all tokens before it, so that the segments of all conversations
form one radix tree: what several begin with is kept once, a turn adds only its own tokens, and a
lost segment costs only what comes after it.

The engine's loop calls; one OS thread writes the files behind it.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
from array import array
from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localassist.engine.kv_files import DIGEST_BYTES, Key, KvFiles
from localassist.engine.prefix_cache import common_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from localassist.engine.backend import Data

log = logging.getLogger("localassist.engine.kv")

_PENDING_BYTES = 256 << 20  # what may wait for a slow disk beyond the budget of memory


@dataclass(eq=False)
class Segment:
    """A piece of a conversation.

    Attributes:
        key: which.
        data: keys and values, while in memory.
        on_disk: whether its file was written or seen.
        last_used: a count that grows with every use.
    """

    key: Key
    data: Data | None = None
    on_disk: bool = False
    last_used: int = 0

    @property
    def start(self) -> int:
        """Position of its first token."""
        return self.key.start


@dataclass(frozen=True)
class Piece:
    """A segment, of which the tokens before position `end` are wanted."""

    segment: Segment
    end: int


class KvStore:
    """Hibernated state of one model. Only the engine's loop may call it."""

    def __init__(
        self,
        folder: Path | None,
        *,
        fingerprint: str,
        ram_bytes: int,
        disk_bytes: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Read what is there.

        Args:
            folder: the data folder's `kv`, shared by all models; None keeps to memory.
            fingerprint: of the weights, the build and the layout of the context.
            ram_bytes: budget in memory.
            disk_bytes: budget of the whole folder.
            now: seconds since the epoch.
        """
        self._files: KvFiles | None = None
        self._ram_bytes = ram_bytes
        self._by_prefix: dict[bytes, list[Segment]] = {}
        self._by_name: dict[str, Segment] = {}
        self._starts: list[int] = []  # positions at which segments begin, ascending
        self._in_ram: set[Segment] = set()
        self._ram_used = 0
        self._clock = 0
        self._queue: queue.SimpleQueue[Segment | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # of everything above
        self._writer: threading.Thread | None = None
        if folder is not None and disk_bytes > 0:
            self._files = KvFiles(folder, fingerprint=fingerprint, most_bytes=disk_bytes, now=now)
            self._writer = threading.Thread(target=self._write_all, name="kv-writer", daemon=True)
            self._writer.start()

    @property
    def num_pending(self) -> int:
        """Segments that are not on disk yet; 0 without a disk."""
        with self._lock:
            return sum(not each.on_disk for each in self._in_ram) if self._files else 0

    # --- finding ---

    def match(self, tokens: Sequence[int]) -> int:
        """Length of the longest prefix of `tokens` that is kept."""
        pieces = self.pieces(tokens)
        return pieces[-1].end if pieces else 0

    def at_hand(self, tokens: Sequence[int]) -> int:
        """How many of `tokens` are in memory, or in files that are there; is no use of them."""
        with self._lock:
            found = self._cover(array("i", tokens))
        end = 0
        for piece in found:
            if not self._is_there(piece.segment):
                break
            end = piece.end
        return end

    def _is_there(self, segment: Segment) -> bool:
        there = segment.data is not None
        return there or (self._files is not None and self._files.exists(segment.key))

    def pieces(self, tokens: Sequence[int]) -> list[Piece]:
        """Segments that together hold the longest kept prefix, each reaching further.

        What one conversation shares with another may end inside a segment, and the next one may
        begin before that point: every segment that begins where it is already covered counts.
        """
        self._look_at_folder()
        with self._lock:
            found = self._cover(array("i", tokens))
            self._clock += 1
            for piece in found:
                piece.segment.last_used = self._clock
        return found

    def load(self, segment: Segment) -> Data | None:
        """Keys and values of a segment, or None if they cannot be had any more."""
        data = segment.data
        if data is None and self._files is not None:
            data = self._files.read(segment.key)
        if data is None:
            with self._lock:
                self._forget(segment)
        elif segment.on_disk and self._files is not None:
            self._files.touch(segment.key)
        return data

    def _cover(self, wanted: array[int]) -> list[Piece]:
        hashed = hashlib.sha256()
        num_hashed = 0
        found: list[Piece] = []
        best: Piece | None = None
        starts = iter(self._starts)
        start = next(starts, None)
        while True:
            reach = found[-1].end if found else 0
            while start is not None and start <= reach:
                hashed.update(wanted[num_hashed:start].tobytes())
                num_hashed = start
                best = self._furthest(hashed.digest(), wanted, best)
                start = next(starts, None)
            if best is None or best.end <= reach:
                return found
            found.append(best)

    def _furthest(self, prefix: bytes, wanted: array[int], best: Piece | None) -> Piece | None:
        """Of `best` and the segments behind `prefix`, what reaches furthest into `wanted`."""
        siblings = self._by_prefix.get(prefix[:DIGEST_BYTES])
        if not siblings:
            return best
        # They are sorted by their tokens: what has most in common is next to where it would be.
        following = wanted[siblings[0].start :]
        at = bisect_left(siblings, following, key=_tokens)
        for segment in siblings[max(0, at - 1) : at + 1]:
            tokens = segment.key.tokens
            end = segment.start + common_prefix(tokens, following[: len(tokens)])
            if best is None or end > best.end:
                best = Piece(segment, end)
        return best

    # --- keeping ---

    def keep(self, tokens: Sequence[int], *, start: int, data: Data) -> None:
        """Take over `data`, the keys and values of `tokens[start:]`."""
        key = Key.of(tokens, start=start)
        known = self._by_name.get(key.name)
        if known is not None:
            if known.data is not None or (self._files is not None and self._files.exists(key)):
                return
            with self._lock:
                self._forget(known)
        before = self.pieces(tokens)  # its beginning is used as recently as itself
        with self._lock:
            if key.name in self._by_name:  # another process has just written it
                return
            if self._files and self._ram_used + len(data) > self._ram_bytes + _PENDING_BYTES:
                return
            segment = Segment(key, data=data, last_used=self._clock)
            self._index(segment)
            self._in_ram.add(segment)
            self._ram_used += len(data)
            if self._files is None:
                self._shrink_ram()
        if self._files is not None:
            for piece in before:
                if piece.segment.on_disk:
                    self._files.touch(piece.segment.key)
            self._queue.put(segment)

    def close(self) -> None:
        """Write what is not written yet."""
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join()

    # --- the index; the lock is held ---

    def _index(self, segment: Segment) -> None:
        self._by_name[segment.key.name] = segment
        insort(self._by_prefix.setdefault(segment.key.prefix, []), segment, key=_tokens)
        at = bisect_left(self._starts, segment.start)
        if self._starts[at : at + 1] != [segment.start]:
            self._starts.insert(at, segment.start)

    def _forget(self, segment: Segment) -> None:
        if self._by_name.get(segment.key.name) is segment:
            del self._by_name[segment.key.name]
        siblings = self._by_prefix.get(segment.key.prefix, [])
        if segment in siblings:
            siblings.remove(segment)
        if not siblings:
            self._by_prefix.pop(segment.key.prefix, None)
        self._drop_data(segment)

    def _drop_data(self, segment: Segment) -> None:
        if segment in self._in_ram and segment.data is not None:
            self._in_ram.remove(segment)
            self._ram_used -= len(segment.data)
        segment.data = None

    def _shrink_ram(self) -> None:
        """Let go of the data used least recently, of a conversation the end first."""
        if self._ram_used <= self._ram_bytes:
            return
        for segment in sorted(self._in_ram, key=lambda each: (each.last_used, -each.start)):
            if self._ram_used <= self._ram_bytes:
                return
            if self._files is None:
                self._forget(segment)
            elif segment.on_disk:
                self._drop_data(segment)

    # --- the folder ---

    def _look_at_folder(self) -> None:
        """Index what other processes have written since the last look, forget what is gone."""
        if self._files is None:
            return
        names = self._files.names()
        if names is None:
            return
        for name in names:
            if name not in self._by_name and (key := self._files.key(name)) is not None:
                with self._lock:
                    self._index(Segment(key, on_disk=True))
        with self._lock:
            gone = [self._by_name[name] for name in self._by_name.keys() - names]
            for segment in gone:
                # What has been written since it was listed is there all the same.
                if segment.on_disk and not self._is_there(segment):
                    self._forget(segment)

    def _write_all(self) -> None:
        assert self._files is not None, "there is a writer only for a folder"
        while (segment := self._queue.get()) is not None:
            data = segment.data
            if data is None:
                continue
            try:
                self._files.write(segment.key, data)
            except OSError as error:
                log.warning("an idle conversation cannot be kept on disk: %s", error)
                with self._lock:
                    self._forget(segment)
                continue
            with self._lock:
                segment.on_disk = True
                self._shrink_ram()


def _tokens(segment: Segment) -> array[int]:
    return segment.key.tokens
