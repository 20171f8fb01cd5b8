"""The extractor's child: what it does to itself costs one file, and no other."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from pdf_writer import pdf, write

from localassist.retrieval.extract.extractor import Extractor
from localassist.retrieval.extract.page import Page, UnreadableError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are read from /proc")

HELLO = "The harbour was enlarged in 1961."


@pytest.fixture
def extractor():
    extractor = Extractor()
    yield extractor
    extractor.close()


@pytest.fixture
def read(extractor, tmp_path):
    """Reads the pages of bytes under a name."""

    def pages(name, data):
        count, found = extractor.pages(write(tmp_path / "blob", data), name)
        return count, list(found)

    return pages


def children():
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(each) for each in path.read_text(encoding="utf-8").split()]


@pytest.mark.crash
def test_a_reader_that_is_killed_costs_one_file(extractor, read, tmp_path):
    before = children()
    many = write(tmp_path / "many", pdf([HELLO] * 3000))
    _, pages = extractor.pages(many, "a.pdf")
    assert next(pages) == Page(1, HELLO)
    (child,) = set(children()) - set(before)
    os.kill(child, signal.SIGKILL)
    with pytest.raises(UnreadableError, match=r"^malformed: ") as caught:
        list(pages)
    assert caught.value.code == "invalid_file"
    assert read("a.txt", HELLO.encode()) == (1, [Page(-1, HELLO)])


def test_a_reader_that_is_silent_is_given_up(tmp_path):
    os.mkfifo(tmp_path / "blob")  # nobody ever writes into it
    before = children()
    extractor = Extractor(silence_s=0.5)
    with pytest.raises(UnreadableError, match=r"^timeout: ") as caught:
        extractor.pages(tmp_path / "blob", "a.txt")
    assert caught.value.code == "invalid_file"
    assert children() == before


def test_reading_is_cancelled(extractor, tmp_path):
    os.mkfifo(tmp_path / "blob")
    with pytest.raises(UnreadableError, match=r"^cancelled: ") as caught:
        extractor.pages(tmp_path / "blob", "a.txt", cancelled=lambda: True)
    assert caught.value.code == "server_error"


def test_pages_that_nobody_wants_do_not_come_with_the_next_file(extractor, read, tmp_path):
    path = write(tmp_path / "many", pdf([HELLO] * 50))
    _, pages = extractor.pages(path, "a.pdf")
    next(pages)
    pages.close()
    assert read("b.txt", b"Another file.") == (1, [Page(-1, "Another file.")])
