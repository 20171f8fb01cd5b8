from __future__ import annotations

import pytest

from localassist.engine.control_groups import control_groups, read_lines


def groups(root, controller="memory"):
    """Version and path of each group, as seen from where they are mounted."""
    mount = root / "sys/fs/cgroup"
    found = control_groups(controller, root=root)
    return [(version, str(folder.relative_to(mount))) for version, folder in found]


def tell(root, text):
    path = root / "proc/self/cgroup"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"0::/\n", [(2, ".")]),
        (b"0::/box/inner\n", [(2, "box/inner"), (2, "box"), (2, ".")]),
        (b"4:memory:/box\n", [(1, "memory/box"), (1, "memory")]),
        (b"4:cpu,memory:/\n3:cpu:/box\n0::/\n", [(1, "memory"), (2, ".")]),
        (b"4:memory_of_others:/box\n", []),
    ],
)
def test_each_group_above_the_process_comes_after_what_is_inside_it(tmp_path, text, found):
    tell(tmp_path, text)
    assert groups(tmp_path) == found


@pytest.mark.parametrize("text", [None, b"", b"\xff\xfe"])
def test_where_no_group_is_told_the_mounts_roots_are_looked_at(tmp_path, text):
    if text is not None:
        tell(tmp_path, text)
    assert groups(tmp_path, "cpu") == [(1, "cpu"), (2, ".")]


def test_what_cannot_be_read_has_no_lines(tmp_path):
    (tmp_path / "text").write_text("one\ntwo\n")
    (tmp_path / "bytes").write_bytes(b"\xff\n")
    read = [read_lines(tmp_path / name) for name in ("text", "bytes", "nothing", "")]
    assert read == [["one", "two"], [], [], []]
