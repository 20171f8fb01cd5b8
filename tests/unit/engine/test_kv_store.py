"""What a token is computed to depends on all before it; so does the data in these tests."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import zlib
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kv_folder import (
    PART,
    SIZE,
    conversation,
    data_of,
    files_in,
    keep,
    load,
    shrink,
    size_of,
    store_on,
    write,
)

from localassist.engine.prefix_cache import common_prefix


def budget_for(num_bytes):
    """Of a folder in which so much is left once a sixteenth of the budget was freed."""
    return num_bytes * 16 // 15 + 1


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "kv"


# --- finding ---


@pytest.mark.parametrize("options", [{}, {"ram": 0}, {"disk": 0}])
def test_what_was_kept_is_had_again_as_far_as_the_tokens_agree(folder, options):
    tokens = conversation(1, parts=3)
    with store_on(folder, **options) as store:
        keep(store, tokens)
        asked = [tokens, [*tokens, 5], tokens[:70], tokens[:70] + [5] * 50, [5, *tokens], []]
        assert [load(store, each) for each in asked] == [96, 96, 70, 70, 0, 0]
        assert [store.match(each) for each in asked] == [96, 96, 70, 70, 0, 0]


def test_a_conversation_may_leave_another_one_inside_a_segment(folder):
    first = conversation(1, parts=3)
    second = first[:50] + conversation(2)
    with store_on(folder, disk=0) as store:
        keep(store, first)
        keep(store, second, 50)
        assert load(store, second) == len(second)
        assert load(store, first) == len(first)
        assert load(store, first[:50] + conversation(3)) == 50


def test_a_part_without_its_beginning_is_of_no_use_until_that_comes(folder):
    tokens = conversation(1, parts=2)
    with store_on(folder, disk=0) as store:
        keep(store, tokens, PART)
        assert store.match(tokens) == 0
        keep(store, tokens[:PART])
        assert load(store, tokens) == len(tokens)


KEPT = st.lists(st.tuples(st.text("ab", min_size=1, max_size=12), st.integers(0, 11)), max_size=12)


def check_against(store, kept, wanted):
    """Compare with a plain search for the longest prefix that the kept pieces cover."""
    reach, before = 0, -1
    while reach > before:
        before = reach
        for tokens, start in kept:
            common = common_prefix(tokens, wanted)
            if start <= min(reach, common):
                reach = max(reach, common)
    assert store.match(wanted) == load(store, wanted) == reach


@given(KEPT, st.lists(st.text("ab", max_size=14), min_size=1, max_size=5))
def test_exactly_what_the_kept_pieces_cover_is_found_and_had(kept, wanted):
    kept = [(list(text.encode()), min(start, len(text) - 1)) for text, start in kept]
    with store_on(None) as store:
        for tokens, start in kept:
            store.keep(tokens, start=start, data=data_of(tokens, start))
        for text in [*wanted, *(bytes(tokens).decode() for tokens, _ in kept)]:
            check_against(store, kept, list(text.encode()))


NUMBERS = itertools.count()


@settings(max_examples=15)
@given(KEPT)
def test_a_store_that_is_opened_again_finds_everything(tmp_path, kept):
    folder = tmp_path / f"{next(NUMBERS)}"
    kept = [(list(text.encode()), min(start, len(text) - 1)) for text, start in kept]
    with store_on(folder) as store:
        for tokens, start in kept:
            store.keep(tokens, start=start, data=data_of(tokens, start))
    with store_on(folder, ram=0) as store:
        for tokens, _ in kept:
            check_against(store, kept, tokens)


def test_two_stores_on_one_folder_see_what_the_other_one_writes(folder):
    first, second = conversation(1), conversation(2)
    with store_on(folder) as store:
        assert store.match(first) == 0
        write(folder, first)
        os.utime(next(iter(files_in(folder))).parent, (1, 1))  # the clock may be a coarse one
        assert load(store, first) == PART
        write(folder, second)
        assert load(store, second) == PART


def test_stores_of_two_models_on_one_folder_do_not_mix(folder):
    write(folder, conversation(1), of="another model")
    with store_on(folder) as store:
        assert store.match(conversation(1)) == 0
    assert len(files_in(folder)) == 1


# --- what is not to be believed ---


def flipped(at):
    def damage(path, other):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    return damage


def truncated(size):
    return lambda path, other: path.write_bytes(path.read_bytes()[:size])


def garbage(data):
    return lambda path, other: path.write_bytes(data)


def headed(header):
    """A header that is whole, but says something else."""
    head = b"LAKV0001" + array("I", [len(header), zlib.crc32(header)]).tobytes() + header
    return garbage(head)


def appended(path, other):
    path.write_bytes(path.read_bytes() + b"x")


def replaced(path, other):
    shutil.copy(other, path)


BEFORE, AFTER = "before it was found", "after it was found"
DAMAGES = {
    "no bytes": garbage(b""),
    "other bytes": garbage(b"what is this" * 1000),
    "zeros": garbage(b"\0" * 5000),
    "no header": truncated(16),
    "half a header": truncated(100),
    "half the data": truncated(-SIZE * PART // 2),
    "one byte less": truncated(-1),
    "flipped magic": flipped(0),
    "flipped length": flipped(8),
    "flipped top of the length": flipped(11),
    "flipped checksum": flipped(12),
    "flipped header": flipped(40),
    "flipped data": flipped(-SIZE * PART),
    "flipped end": flipped(-1),
    "an empty header": headed(b"{}"),
    "a header of another kind": headed(b"[1, 2]"),
}


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_removed_and_never_loaded(folder, when, damage):
    tokens = conversation(1, parts=2)
    first, second = write(folder, tokens)
    if when is BEFORE:
        damage(second, None)
    with store_on(folder, ram=0) as store:
        if when is AFTER:
            assert store.match(tokens) == 2 * PART
            damage(second, None)
        assert load(store, tokens) == PART
        assert store.match(tokens) == PART
        assert not second.exists()
        assert first.exists()
        keep(store, tokens, PART)
        assert load(store, tokens) == 2 * PART
    assert second.exists()


@pytest.mark.parametrize(
    ("when", "damage", "other"),
    [
        (BEFORE, appended, (conversation(1), "a model")),
        (BEFORE, replaced, (conversation(1), "another model")),
        (AFTER, replaced, (conversation(1), "another model")),
        (AFTER, replaced, (conversation(2), "a model")),
        (AFTER, replaced, (conversation(2) + conversation(1), "a model")),
    ],
)
def test_a_file_of_something_else_is_removed_and_never_loaded(folder, when, damage, other):
    tokens = conversation(1)
    (path,) = write(folder, tokens)
    source = write(folder, other[0], of=other[1])[-1:] or [path]
    with store_on(folder, ram=0) as store:
        if when is AFTER:
            assert store.match(tokens) == PART
        damage(path, source[0])
        assert load(store, tokens) == 0
        assert store.match(tokens) == 0
    assert not path.exists()


# --- budgets ---


@pytest.mark.parametrize("options", [{"folder": None}, {"disk": 0}, {}])
def test_without_any_budget_nothing_is_kept(tmp_path, options):
    options = {"folder": tmp_path / "kv", "ram": 0, "disk": 0, **options}
    with store_on(options.pop("folder"), **options) as store:
        keep(store, conversation(1))
        assert store.match(conversation(1)) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("touched", "lost"), [(None, 1), (1, 2)])
def test_memory_lets_go_of_what_was_used_least_recently(touched, lost):
    with store_on(None, ram=2 * PART * SIZE) as store:
        keep(store, conversation(1))
        keep(store, conversation(2))
        if touched:
            load(store, conversation(touched))
        keep(store, conversation(3))
        found = [name for name in (1, 2, 3) if load(store, conversation(name))]
    assert found == [name for name in (1, 2, 3) if name != lost]


@pytest.mark.parametrize("loaded", [False, True])
def test_memory_lets_go_of_the_end_of_a_conversation_before_its_beginning(loaded):
    tokens = conversation(1, parts=3)
    with store_on(None, ram=3 * PART * SIZE) as store:
        keep(store, tokens)
        if loaded:
            load(store, tokens)
        keep(store, conversation(2))
        assert load(store, conversation(2)) == PART
        assert load(store, tokens) == 2 * PART


@pytest.mark.parametrize(("touched", "lost"), [(None, 1), (1, 2)])
def test_the_disk_lets_go_of_what_was_used_least_recently(folder, touched, lost):
    for name in (1, 2):
        write(folder, conversation(name), used_at=1000 * name)
    with store_on(folder) as store:
        if touched:
            load(store, conversation(touched))
    with store_on(folder, disk=budget_for(size_of(folder))) as store:
        keep(store, conversation(3))
    with store_on(folder) as store:
        found = [name for name in (1, 2, 3) if load(store, conversation(name))]
    assert found == [name for name in (1, 2, 3) if name != lost]


@pytest.mark.parametrize(("parts", "used_at"), [(1, [9, 9, 9]), (2, [9, 9, 9]), (1, [3, 9, 9])])
def test_the_disk_lets_go_of_the_end_of_a_conversation_before_its_beginning(folder, parts, used_at):
    tokens = conversation(1, parts=3)
    files = write(folder, tokens)
    for path, seconds in zip(files, used_at, strict=True):
        os.utime(path, (seconds, seconds))
    removed = sum(path.stat().st_size for path in files[-parts:])
    shrink(folder, budget_for(size_of(folder) - removed))
    with store_on(folder) as store:
        assert load(store, tokens) == (3 - parts) * PART


def test_the_budget_of_the_disk_is_that_of_all_models_together(folder):
    write(folder, conversation(1), of="another model", used_at=1000)
    write(folder, conversation(2))
    shrink(folder, size_of(folder) - 1)
    with store_on(folder) as store:
        assert load(store, conversation(2)) == PART
    assert len(files_in(folder)) == 1


def test_what_a_killed_process_left_half_written_does_not_stay_for_ever(folder):
    (path,) = write(folder, conversation(1))
    half = path.with_name(f".{path.name}.12345.part")
    half.write_bytes(b"x" * 50_000)
    os.utime(half, (1000, 1000))
    shrink(folder, 20_000)
    assert size_of(folder) <= 20_000


# --- a disk that fails ---


def test_a_full_disk_loses_only_what_it_has_no_room_for(folder, monkeypatch):
    replace, failures = Path.replace, [OSError(errno.ENOSPC, "the disk is full")]

    def full_once(path, target):
        if failures:
            raise failures.pop()
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full_once)
    with store_on(folder) as store:
        keep(store, conversation(1))
        keep(store, conversation(2))
    assert store.match(conversation(1)) == 0
    with store_on(folder) as store:
        assert [load(store, conversation(name)) for name in (1, 2)] == [0, PART]
    assert [path for path in folder.rglob("*") if path.is_file()] == list(files_in(folder))


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_where_a_folder_should_be_is_left_alone(folder, whole):
    write(folder, conversation(1))
    (blocked,) = [folder] if whole else folder.iterdir()
    shutil.rmtree(blocked)
    blocked.write_text("a file")
    with store_on(folder) as store:
        keep(store, conversation(1))
        keep(store, conversation(2))
    assert blocked.read_text() == "a file"


def test_a_folder_that_is_deleted_meanwhile_loses_only_what_was_in_it(folder):
    tokens = conversation(1, parts=2)
    write(folder, tokens)
    with store_on(folder, ram=0) as store:
        assert store.match(tokens) == len(tokens)
        shutil.rmtree(folder)
        assert load(store, tokens) == 0
        assert store.match(tokens) == 0
        keep(store, tokens)
        assert load(store, tokens) == len(tokens)
    with store_on(folder) as store:
        assert load(store, tokens) == len(tokens)


def test_only_what_is_in_memory_or_in_a_file_that_is_there_is_at_hand(folder):
    tokens = conversation(1, parts=3)
    files = write(folder, tokens)
    with store_on(folder, ram=0) as store:
        assert store.match(tokens) == len(tokens)
        asked = [tokens, tokens[:-1], [*tokens, 7]]
        assert [store.at_hand(each) for each in asked] == [96, 95, 96]
        files[1].unlink()
        assert [store.at_hand(each) for each in asked] == [PART] * 3
        files[0].unlink()
        assert [store.at_hand(each) for each in asked] == [0] * 3

    with store_on(None) as store:
        keep(store, tokens)
        assert store.at_hand(tokens) == len(tokens)
        assert store.at_hand(conversation(2)) == 0


def test_a_folder_that_cannot_be_listed_does_not_end_the_writing(folder, monkeypatch):
    write(folder, conversation(1))
    scandir = os.scandir

    def failing(path="."):
        if Path(path).is_relative_to(folder):
            raise FileNotFoundError(errno.ENOENT, "deleted a moment ago")
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", failing)
        with store_on(folder) as store:
            keep(store, conversation(2))
    with store_on(folder) as store:
        assert load(store, conversation(2)) == PART
