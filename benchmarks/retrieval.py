"""How fast files are indexed and searched, beside the usual way and beside the parts it is made of.

python -m benchmarks.retrieval --pdfs DIR [--only ingest embedding process query large known]

`--pdfs` is a folder of long PDFs, for example annual reports.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Target, compare, report, timed_ms
from localassist import Client, ScriptedBackend, Settings
from localassist.engine.cores import usable_cores
from localassist.retrieval import ranking
from localassist.retrieval.embed import DIM, MODEL, FastEmbedder, ReferenceEmbedder
from localassist.retrieval.extract.extractor import Extractor
from localassist.retrieval.windows import windows
from localassist.store import documents, vector_store_files, vector_stores
from localassist.types.document import NewWindow
from localassist.types.vector_store import VectorStoreFile

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK, _OVERLAP = 800, 400
_WORDS = (
    "ship", "harbour", "granite", "quay", "winter", "market", "river", "bridge", "north", "engine",
    "paper", "copper",
)  # fmt: skip
_LOAD_AND_ENCODE = """
import sys
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu", local_files_only=True)
model.encode(["What was the revenue?"])
"""
_OPEN_AND_SEARCH = """
import sys
from localassist import Client, ScriptedBackend, Settings
client = Client(settings=Settings(home=sys.argv[1]), backend=ScriptedBackend())
assert client.vector_stores.search(sys.argv[2], query="What was the revenue?").data
client.close()
"""


def _client(home: str) -> Client:
    return Client(settings=Settings(home=Path(home)), backend=ScriptedBackend())


def ingest(pdfs: list[Path], folder: Path) -> None:
    """Pages a second of whole files, and the share of the time that embedding alone takes."""
    fast = FastEmbedder(folder, n_threads=usable_cores())
    reference = ReferenceEmbedder(folder)
    extractor = Extractor()
    num_pages = 0
    texts: list[str] = []
    for path in pdfs:
        count, pages = extractor.pages(path, path.name)
        num_pages += count
        for page in pages:
            cut = windows(page.text, fast.token_starts)
            texts += [page.text[each.start : each.stop] for each in cut]
    extractor.close()

    def ours() -> float:
        with tempfile.TemporaryDirectory() as home, _client(home) as client:
            store = client.vector_stores.create()
            uploads: list[Any] = list(pdfs)
            started = time.perf_counter()
            client.vector_stores.file_batches.upload_and_poll(store.id, files=uploads)
            return num_pages / (time.perf_counter() - started)

    def alone() -> float:
        started = time.perf_counter()
        fast.encode(texts)
        return num_pages / (time.perf_counter() - started)

    target = Target(0.8, at_least=True)
    compare("pages a second", ("ours", ours), ("embedding alone", alone), unit="1/s", repeat=3,
            target=target)  # fmt: skip
    usual = ("usual way", lambda: num_pages / _usual_way(pdfs, reference))
    compare("pages a second", ("ours", ours), usual, unit="1/s", repeat=1, warmup=0,
            target=Target(3, at_least=True))  # fmt: skip


def _usual_way(pdfs: list[Path], reference: ReferenceEmbedder) -> float:
    """Seconds of pypdf, chunks of 800 tokens that overlap by 400, and sentence-transformers."""
    import pypdf

    started = time.perf_counter()
    for path in pdfs:
        text = "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
        starts = [*reference.token_starts(text), len(text)]
        step = _CHUNK - _OVERLAP
        bounds = [(at, min(at + _CHUNK, len(starts) - 1)) for at in range(0, len(starts), step)]
        reference.encode([text[starts[first] : starts[last]] for first, last in bounds])
    return time.perf_counter() - started


def _is_locked(path: Path) -> bool:
    """Whether pypdf alone cannot read it, which is the usual way."""
    import pypdf

    try:
        return bool(pypdf.PdfReader(path).is_encrypted)
    except pypdf.errors.DependencyError:
        return True


def embedding(pdfs: list[Path], folder: Path) -> None:
    """The faster copy of the model beside the model."""
    fast = FastEmbedder(folder, n_threads=usable_cores())
    reference = ReferenceEmbedder(folder)
    extractor = Extractor()
    texts = [
        page.text[each.start : each.stop]
        for page in extractor.pages(pdfs[0], pdfs[0].name)[1]
        for each in windows(page.text, fast.token_starts)
    ][:200]
    extractor.close()
    compare(
        "200 windows",
        ("torch", lambda: timed_ms(lambda: reference.encode(texts))),
        ("ours", lambda: timed_ms(lambda: fast.encode(texts))),
        unit="ms",
        repeat=3,
        target=Target(3.5, at_least=True),
    )


def process(pdfs: list[Path], folder: Path) -> None:
    """A new process that searches a store, beside one that only loads the usual library."""
    with tempfile.TemporaryDirectory() as home:
        with _client(home) as client:
            store = client.vector_stores.create()
            client.vector_stores.files.upload_and_poll(store.id, file=pdfs[0])
        search = [sys.executable, "-c", _OPEN_AND_SEARCH, home, store.id]
        load = [sys.executable, "-c", _LOAD_AND_ENCODE, str(folder)]
        for name, number, unit, goal in (("time", 0, "s", 0.15), ("memory", 1, "MB", 0.35)):
            compare(
                f"{name} of a new process",
                ("ours", lambda n=number: _run(search)[n]),  # type: ignore[misc]  # bound at once
                ("usual", lambda n=number: _run(load)[n]),  # type: ignore[misc]  # as above
                unit=unit,
                repeat=5,
                target=Target(goal),
            )


def _run(command: list[str]) -> tuple[float, float]:
    """Seconds and megabytes of a process."""
    probe = (
        "import resource, subprocess, sys, time\n"
        "started = time.perf_counter()\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, "
        "stderr=subprocess.DEVNULL)\n"
        "print(time.perf_counter() - started, "
        "resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, *command], capture_output=True, text=True, check=True
    )
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def _fill(client: Client, num_files: int, per_file: int) -> str:
    """A store of made-up windows."""
    runtime = client._runtime
    store = client.vector_stores.create()
    random = np.random.default_rng(0)
    for number in range(num_files):
        vectors = random.standard_normal((per_file, DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        texts = [" ".join(random.choice(_WORDS, 60)) for _ in range(per_file)]
        upload: Any = (f"{number}.txt", f"{number}".encode())
        file = client.files.create(file=upload, purpose="assistants")
        with runtime.store.write() as tx:
            sha256 = tx.execute("SELECT sha256 FROM file WHERE id = ?", (file.id,)).fetchone()[0]
            document = documents.add(tx, sha256=sha256, filename=file.filename)
            pages = [(-1 - index, text) for index, text in enumerate(texts)]
            rows = [
                NewWindow(-1 - index, 0, len(text), 60, vector.astype(np.float16).tobytes())
                for index, (text, vector) in enumerate(zip(texts, vectors, strict=True))
            ]
            documents.extend(tx, document.id, num_pages=per_file, pages=pages, windows=rows)
            documents.finish(tx, document.id)
            vector_store_files.TABLE.insert(
                tx,
                VectorStoreFile(
                    id=file.id,
                    created_at=0,
                    vector_store_id=store.id,
                    document_id=document.id,
                    status="completed",
                ),
            )
            vector_stores.changed(tx, store.id)
    return store.id


def query(folder: Path) -> None:
    """A search among 10,000 windows, beside the parts that it cannot do without."""
    embedder = FastEmbedder(folder, n_threads=usable_cores())
    texts = [f"{a} {b} {c}?" for a in _WORDS for b in _WORDS[:6] for c in _WORDS[6:]]
    with tempfile.TemporaryDirectory() as home, _client(home) as client:
        store = _fill(client, 100, 100)
        client.vector_stores.search(store, query="warm")
        runtime = client._runtime
        asked = iter(texts * 4)

        def search() -> float:
            text = next(asked)
            return timed_ms(lambda: client.vector_stores.search(store, query=text))

        def parts() -> float:
            text = next(asked)

            def work() -> None:
                vector = embedder.encode([text])[0]
                runtime.retrieval.indexes.use(store, lambda index: index.search(vector, 200))
                documents.keyword_hits(
                    runtime.store.read(), ranking.match_query(text), stores=json.dumps([store]),
                    among=None, limit=200,
                )  # fmt: skip

            return timed_ms(work)

        compare("a search in 10,000 windows", ("ours", search), ("its parts", parts), unit="ms",
                repeat=100, warmup=5, target=Target(1.5))  # fmt: skip


def large() -> None:
    """A store of 100,000 windows: opened, searched after its index was lost, and made smaller."""
    with tempfile.TemporaryDirectory() as home:
        with _client(home) as client:
            store = _fill(client, 100, 1000)
            client.vector_stores.search(store, query="harbour")
        index = Path(home) / "index"

        def first_search(*, lost: bool) -> float:
            if lost:
                for path in index.iterdir():
                    path.unlink()
            with _client(home) as client:
                retrieval = client._runtime.retrieval
                return timed_ms(lambda: retrieval.indexes.use(store, lambda index: len(index.ids)))

        opened = [first_search(lost=False) for _ in range(5)]
        report("100,000 windows, index opened", opened, unit="ms", target=Target(500))
        rebuilt = [first_search(lost=True) for _ in range(3)]
        report("100,000 windows, lost index rebuilt", rebuilt, unit="ms", target=Target(3000))
        with _client(home) as client:
            client.vector_stores.search(store, query="harbour")
            files = [each.id for each in client.vector_stores.files.list(store, limit=10).data]
            deleted = [timed_ms(lambda f=each: client.files.delete(f)) for each in files]  # type: ignore[misc]  # bound at once
            report("a file of 1,000 of them deleted", deleted, unit="ms", target=Target(100))
            after = timed_ms(lambda: client.vector_stores.search(store, query="quay"))
            report("the first search after that", [after], unit="ms")


def known(pdfs: list[Path]) -> None:
    """The same file into another store."""
    with tempfile.TemporaryDirectory() as home, _client(home) as client:
        file = client.files.create(file=pdfs[0], purpose="assistants")

        def attach() -> float:
            store = client.vector_stores.create()
            return timed_ms(
                lambda: client.vector_stores.files.create_and_poll(store.id, file_id=file.id)
            )

        first = attach()
        again = [attach() for _ in range(10)]
        report("a file indexed for the first time", [first], unit="ms")
        report("the same file into another store", again, unit="ms")
        ratio = first / statistics.median(again)
        report("how much faster", [ratio], unit="ratio", target=Target(50, at_least=True))


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pdfs", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    chosen = parser.parse_args()
    pdfs = [path for path in sorted(chosen.pdfs.glob("*.pdf")) if not _is_locked(path)][:4]
    folder = Settings().models / MODEL
    parts: dict[str, Callable[[], None]] = {
        "ingest": lambda: ingest(pdfs, folder),
        "embedding": lambda: embedding(pdfs, folder),
        "process": lambda: process(pdfs, folder),
        "query": lambda: query(folder),
        "large": large,
        "known": lambda: known(pdfs),
    }
    for name, part in parts.items():
        if not chosen.only or name in chosen.only:
            part()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report("memory of this process", [peak], unit="MB")


if __name__ == "__main__":
    main()
