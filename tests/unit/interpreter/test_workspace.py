"""Files of a hostile folder: collected through its descriptor, following nothing."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.interpreter import workspace
from localassist.interpreter.workspace import MAX_NAME_CHARS, Workspace, safe_name


@contextmanager
def opened(folder):
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Workspace(fd, maps_users=False)
    finally:
        os.close(fd)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def collected(space):
    files, notes = space.collect()
    return {each.path: each.data for each in files}, notes


def test_what_is_new_or_changed_is_collected_once(data):
    with opened(data) as space:
        space.put("in.csv", [b"1,", b"2"])
        assert (data / "in.csv").read_bytes() == b"1,2"
        (data / "out.txt").write_bytes(b"x")
        (data / "deep").mkdir()
        (data / "deep" / "er.txt").write_bytes(b"y")
        assert collected(space) == ({"out.txt": b"x", "deep/er.txt": b"y"}, [])
        assert collected(space) == ({}, [])
        (data / "in.csv").write_bytes(b"changed")
        assert collected(space) == ({"in.csv": b"changed"}, [])


def test_nothing_but_ordinary_files_is_taken(data, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (data / "link").symlink_to(secret)
    (data / "folder").symlink_to(tmp_path)
    (data / "magic").symlink_to("/proc/self/environ")
    os.link(secret, data / "hard")
    os.mkfifo(data / "pipe")
    with socket.socket(socket.AF_UNIX) as listening, opened(data) as space:
        listening.bind(str(data / "socket"))
        found, notes = collected(space)
    assert found == {}
    assert len(notes) == 6
    assert all("not an ordinary file" in note for note in notes)


def test_a_link_where_a_file_is_to_be_put_is_replaced_not_followed(data, tmp_path):
    outside = tmp_path / "outside"
    (data / "up.csv").symlink_to(outside)
    with opened(data) as space:
        space.put("up.csv", [b"data"])
    assert not outside.exists()
    assert (data / "up.csv").read_bytes() == b"data"
    assert not (data / "up.csv").is_symlink()


def test_a_folder_in_the_way_is_an_error_and_no_more(data):
    (data / "up.csv").mkdir()
    with opened(data) as space, pytest.raises(OSError, match=r"."):
        space.put("up.csv", [b"data"])


def test_there_is_an_end_to_files_bytes_and_entries(data, monkeypatch):
    monkeypatch.setattr(workspace, "MAX_FILES", 3)
    monkeypatch.setattr(workspace, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(workspace, "MAX_ENTRIES", 8)
    for number in range(12):
        (data / f"f{number}").write_bytes(b"12345")
    (data / "big").write_bytes(b"x" * 11)
    with opened(data) as space:
        found, notes = collected(space)
    assert len(found) == 3
    assert notes[-1] == "only 8 entries of /mnt/data were looked at"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b/report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("a\nb\x1b[31m\u202e.txt", "a_b.txt"),
        ("a<script>.html", "a_script_.html"),
        ("", "file"),
        ("...", "file"),
        ("x" * 300 + ".csv", "x" * (MAX_NAME_CHARS - 4) + ".csv"),
    ],
)
def test_names_are_made_safe(path, name):
    assert safe_name(path) == name


@given(st.text(max_size=300))
def test_no_name_can_be_a_path_or_an_option(path):
    name = safe_name(path)
    assert 0 < len(name) <= MAX_NAME_CHARS
    assert not set(name) & set("/\\\n\0<>:\x1b")
    assert name[0] not in ".-"
