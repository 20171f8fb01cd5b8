"""What leaves a folder that several processes write to, and how often they count what is there."""

from __future__ import annotations

import errno
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from kv_folder import PART, conversation, files_in, keep, load, shrink, size_of, store_on, write

from localassist.engine.kv_files import Key, KvFiles

NUM_BYTES = 20_000  # of a file; beside that its header is next to nothing
BUDGET = 64 * NUM_BYTES  # so a sixteenth are four files


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "kv"


def files_on(folder, *, of="a model"):
    return KvFiles(folder, fingerprint=of, most_bytes=BUDGET, now=time.time)


def put(files, names):
    for name in names:
        data = np.zeros(NUM_BYTES, np.uint8)
        files.write(Key.of(conversation(name), start=0), data)


@pytest.fixture
def listed(folder, monkeypatch):
    """Folders that were listed."""
    scandir = os.scandir

    def noted(path="."):
        if Path(path).is_relative_to(folder):
            listed.append(path)
        return scandir(path)

    listed = []
    monkeypatch.setattr(os, "scandir", noted)
    return listed


def test_what_a_conversation_left_inside_of_is_as_recent_as_itself(folder):
    first, other = conversation(1), conversation(2)
    second = first[:20] + conversation(3)
    third = second[:40] + conversation(4)
    for path in [*write(folder, first), *write(folder, second, 20)]:
        os.utime(path, (1000, 1000))
    write(folder, other, used_at=2000)
    with store_on(folder) as store:
        keep(store, third, 40)
    shrink(folder, size_of(folder) - 1)
    with store_on(folder) as store:
        assert load(store, third) == len(third)
        assert store.match(other) == 0


def test_two_that_write_keep_to_the_budget_together_within_a_sixteenth(folder):
    both = [files_on(folder, of=name) for name in ("a model", "another model")]
    turns = random.Random(7)
    sizes = []
    for name in range(250):
        put(turns.choice(both), [name])
        sizes.append(size_of(folder))
    assert max(sizes) <= 1.07 * BUDGET
    assert min(sizes[70:]) >= 0.9 * BUDGET


def test_once_it_was_too_much_a_sixteenth_is_freed_and_written_without_counting(folder, listed):
    files = files_on(folder)
    name, before = 0, -1
    while size_of(folder) > before:
        before, name = size_of(folder), name + 1
        put(files, [name])
    assert 0.9 * BUDGET <= size_of(folder) <= BUDGET * 15 // 16
    listed.clear()
    put(files, [1001, 1002, 1003])
    assert listed == []
    put(files, range(1004, 1010))
    assert listed != []
    assert size_of(folder) <= 1.01 * BUDGET


def test_what_was_written_last_stays_if_there_is_room_for_it(folder):
    files = files_on(folder)
    put(files, [1])
    size = size_of(folder)
    for path in files_in(folder):
        os.utime(path, (1000, 1000))
    files = KvFiles(folder, fingerprint="a model", most_bytes=size + 100, now=time.time)
    put(files, [2])
    assert [path.stat().st_mtime > 1000 for path in files_in(folder)] == [True]


def test_a_folder_that_could_not_be_listed_is_counted_as_soon_as_it_can(folder, monkeypatch):
    scandir = os.scandir

    def failing(path="."):
        if Path(path).is_relative_to(folder):
            raise OSError(errno.EIO, "not now")
        return scandir(path)

    files = files_on(folder)
    put(files, range(61))
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", failing)
        put(files, range(100, 105))
    assert len(files_in(folder)) == 66
    put(files, [200])
    assert 0.9 * BUDGET <= size_of(folder) <= 1.01 * BUDGET


def test_what_another_process_ends_writing_during_the_count_does_not_end_the_count(
    folder, monkeypatch
):
    write(folder, conversation(1), used_at=1000)
    (path,) = write(folder, conversation(2))
    half = path.with_name(f".{path.name}.12345.part")
    num_bytes = size_of(folder) - 1
    half.write_bytes(b"x")
    stat = Path.stat

    def ended(path, **options):
        if path == half:
            half.unlink(missing_ok=True)
        return stat(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", ended)
        shrink(folder, num_bytes)
    assert not half.exists()
    assert files_in(folder) == {path}
    with store_on(folder) as store:
        assert load(store, conversation(2)) == PART
