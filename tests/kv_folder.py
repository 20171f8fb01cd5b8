"""A folder of hibernated conversations; what a token is computed to depends on all before it."""

from __future__ import annotations

import os
import zlib
from array import array
from contextlib import closing

import numpy as np

from localassist.engine.kv_store import KvStore

PLENTY = 1 << 30
PART = 32  # tokens that are kept at once
SIZE = 64  # bytes of a token


def data_of(tokens, start=0):
    sums = [zlib.crc32(array("i", tokens[:end])) for end in range(start + 1, len(tokens) + 1)]
    return np.repeat(np.array(sums, np.uint32), SIZE // 4).view(np.uint8)


def conversation(name, parts=1):
    return [1000 * name + place for place in range(PART * parts)]


def store_on(folder, *, of="a model", ram=PLENTY, disk=PLENTY):
    return closing(KvStore(folder, fingerprint=of, ram_bytes=ram, disk_bytes=disk))


def keep(store, tokens, start=0):
    for at in range(start, len(tokens), PART):
        part = tokens[: at + PART]
        store.keep(part, start=at, data=data_of(part, at))


def load(store, tokens):
    """How many tokens can be had; what is had must be what was kept."""
    position = 0
    for piece in store.pieces(tokens):
        data = store.load(piece.segment)
        if data is None:
            break
        begin, end = ((at - piece.segment.start) * SIZE for at in (position, piece.end))
        assert bytes(data[begin:end]) == bytes(data_of(tokens[: piece.end], position))
        position = piece.end
    return position


def files_in(folder):
    return set(folder.glob("*/*.kv"))


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write(folder, tokens, start=0, *, of="a model", used_at=None):
    """Have another process keep the tokens; the files of their parts in order."""
    files = []
    for at in range(start, len(tokens), PART):
        before = files_in(folder)
        with store_on(folder, of=of) as store:
            keep(store, tokens[: at + PART], at)
        files += files_in(folder) - before
    for path in files:
        if used_at is not None:
            os.utime(path, (used_at, used_at))
    return files


def shrink(folder, num_bytes):
    """Have another process open the folder with a smaller budget."""
    with store_on(folder, disk=num_bytes):
        pass
