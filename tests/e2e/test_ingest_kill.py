"""A process that is killed while it indexes: the next one goes on, and nothing is there twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pdf_writer import pdf, write
from watched_embedder import WatchedEmbedder, open_client

from localassist.store import documents
from localassist.store.connection import Store

pytestmark = [pytest.mark.crash, pytest.mark.timeout(180)]

NUM_PAGES = 150
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from watched_embedder import WatchedEmbedder, open_client

class Stopping(WatchedEmbedder):
    def encode(self, texts):
        if self.texts and sys.argv[4] == "held":
            self.may_go_on.clear()
        return super().encode(texts)

def tell(file):
    if file.progress:
        print(file.id, store.id, file.progress, flush=True)

with open_client(Path(sys.argv[2]), embedder=Stopping()) as client:
    store = client.vector_stores.create()
    client.vector_stores.files.upload_and_poll(store.id, file=Path(sys.argv[3]), progress=tell)
    sys.stdin.read()
"""


def page_text(number):
    """About two windows of text, with words that no other page has."""
    lines = [f"Ship {number}-{line} lay at quay q{number} and left again." for line in range(30)]
    return f"Page of the harbour{number}.\n" + "\n".join(lines)


def killed(home, path, *, way):
    """Index a file in another process and kill that half way; the ids and how far it had come."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(Path(__file__).parents[1]), str(home), str(path), way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        file_id, store_id, progress = child.stdout.readline().split()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdin.close()
        child.stdout.close()
    return file_id, store_id, float(progress)


@pytest.mark.parametrize("way", ["held", "running"])
def test_indexing_goes_on_after_a_kill(home, tmp_path, way):
    texts = [page_text(number) for number in range(1, NUM_PAGES + 1)]
    path = write(tmp_path / "port.pdf", pdf(texts))
    file_id, store_id, progress = killed(home, path, way=way)
    assert 0 < progress <= 1
    embedder = WatchedEmbedder()
    with open_client(home, embedder=embedder) as client:
        file = client.vector_stores.files.poll(file_id, store_id)
        assert (file.status, file.last_error) == ("completed", None)
        content = client.vector_stores.files.content(file_id, store_id)
        assert [each.text for each in content.data] == texts
        # What the dead process had done is not done again.
        assert embedder.texts or way == "running"
        assert not any("harbour1." in each for each in embedder.texts)
        for number in (1, NUM_PAGES):
            found = client.vector_stores.search(store_id, query=f"harbour{number}").data
            assert (found[0].page, found[0].content[0].text[:19]) == (
                number, "Page of the harbour",
            )  # fmt: skip
            assert len({(each.page, each.content[0].text) for each in found}) == len(found)
        counts = client.vector_stores.retrieve(store_id).file_counts
        assert (counts.completed, counts.total) == (1, 1)
    check_windows(home, file.document_id)


def check_windows(home, document_id):
    """Each page has its windows, and each of them once, also among the words."""
    store = Store(home, busy_timeout_s=5)
    try:
        connection = store.read()
        windows = documents.all_windows(connection, document_id)
        places = [(window.page, window.start) for window in windows]
        assert places == sorted(set(places))
        assert {page for page, _ in places} == set(range(1, NUM_PAGES + 1))
        (indexed,) = connection.execute("SELECT count(*) FROM window_text").fetchone()
        assert indexed == len(windows)
        document = documents.get(connection, document_id)
        assert (document.num_pages, document.pages_done) == (NUM_PAGES, NUM_PAGES)
    finally:
        store.close()
