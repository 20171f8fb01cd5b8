from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kv_folder import conversation, data_of, load, shrink, size_of, store_on, write

from localassist.engine.kv_files import Key


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "kv"


def write_whole(folder, tokens):
    """Have another process keep the tokens in one file."""
    with store_on(folder) as store:
        store.keep(tokens, start=0, data=data_of(tokens))
    return file_of(folder, tokens)


def file_of(folder, tokens):
    (path,) = folder.glob(f"*/{Key.of(tokens, start=0).name}")
    return path


def common(first, second):
    alike = [one == other for one, other in zip(first, second, strict=False)]
    return [*alike, False].index(False)


# --- what is gone ---


def test_a_shorter_conversation_is_had_where_a_longer_one_was_removed_by_another_process(folder):
    longer = conversation(1, parts=2)
    path = write_whole(folder, longer)
    write_whole(folder, longer[:40])
    with store_on(folder, ram=0) as store:
        assert store.match(longer) == load(store, longer) == 64
        os.utime(path, (1000, 1000))
        shrink(folder, size_of(folder) - 1)
        assert not path.exists()
        assert store.match(longer) == 40
        assert load(store, longer) == 40
        write_whole(folder, longer)
        assert store.match(longer) == load(store, longer) == 64


def test_what_is_in_memory_is_had_although_its_file_is_removed(folder):
    tokens = conversation(1)
    with store_on(folder) as store:
        store.keep(tokens, start=0, data=data_of(tokens))
        while store.num_pending:
            pass
        file_of(folder, tokens).unlink()
        assert store.match(tokens) == load(store, tokens) == len(tokens)


def test_a_folder_that_cannot_be_listed_for_a_moment_is_not_taken_for_an_empty_one(
    folder, monkeypatch
):
    tokens = conversation(1, parts=2)
    path, _ = write(folder, tokens)
    scandir, listed = os.scandir, []

    def failing(path="."):
        if Path(path).is_relative_to(folder):
            listed.append(path)
            raise OSError(errno.EIO, "not now")
        return scandir(path)

    with store_on(folder, ram=0) as store:
        assert store.match(tokens) == len(tokens)
        os.utime(path.parent, (1, 1))  # so that it is listed again
        with monkeypatch.context() as patched:
            patched.setattr(os, "scandir", failing)
            assert store.match(tokens) == load(store, tokens) == len(tokens)
            assert listed
        assert load(store, tokens) == len(tokens)


def test_a_folder_that_may_not_be_entered_any_more_holds_nothing(folder, monkeypatch):
    tokens = conversation(1)
    (path,) = write(folder, tokens)
    scandir, stat = os.scandir, Path.stat

    def refused(at):
        if Path(at).is_relative_to(path.parent):
            raise PermissionError(errno.EACCES, "not for you")

    def refusing_scandir(at="."):
        refused(at)
        return scandir(at)

    def refusing_stat(at, **options):
        refused(at)
        return stat(at, **options)

    with store_on(folder, ram=0) as store:
        assert store.match(tokens) == len(tokens)
        os.utime(path.parent, (1, 1))
        with monkeypatch.context() as patched:
            patched.setattr(os, "scandir", refusing_scandir)
            patched.setattr(Path, "stat", refusing_stat)
            assert store.match(tokens) == 0


# --- among many ---


BEGINNING = st.text("ab", min_size=1, max_size=4)
ENDS = st.lists(st.text("abc", min_size=1, max_size=8), min_size=1, max_size=60)


@given(BEGINNING, ENDS, st.lists(st.text("abc", max_size=9), max_size=10))
def test_among_many_that_leave_at_one_point_what_reaches_furthest_is_found(beginning, ends, asked):
    kept = [list(f"{beginning}{end}".encode()) for end in ends]
    with store_on(None) as store:
        store.keep(kept[0][: len(beginning)], start=0, data=data_of(kept[0][: len(beginning)]))
        for tokens in kept:
            store.keep(tokens, start=len(beginning), data=data_of(tokens, len(beginning)))
        for end in [*ends, *asked]:
            wanted = list(f"{beginning}{end}".encode())
            reach = max(common(tokens, wanted) for tokens in kept)
            assert store.match(wanted) == load(store, wanted) == reach


NUMBERS = itertools.count()


@settings(max_examples=20)
@given(ENDS, st.sets(st.integers(0, 59)))
def test_among_many_of_which_some_were_removed_what_reaches_furthest_is_found(tmp_path, ends, gone):
    folder = tmp_path / f"{next(NUMBERS)}"
    kept = [list(end.encode()) for end in dict.fromkeys(ends)]
    with store_on(folder) as store:
        for tokens in kept:
            store.keep(tokens, start=0, data=data_of(tokens))
    left = [tokens for place, tokens in enumerate(kept) if place not in gone]
    with store_on(folder, ram=0) as store:
        assert store.match(kept[0]) == len(kept[0])
        for tokens in kept:
            if tokens not in left:
                file_of(folder, tokens).unlink()
        for wanted in kept:
            reach = max((common(tokens, wanted) for tokens in left), default=0)
            assert store.match(wanted) == load(store, wanted) == reach
