"""More windows than are searched exactly: how much is found, how fast, and what it costs to keep.

There is no corpus of millions of windows here: real windows are embedded, and mixed two and two
with noise until there are enough. The questions are real sentences of them. Both sides are asked
in turn: the exact 16-bit index, and the lists that are used above `index.MAX_EXACT`.

    python -m benchmarks.retrieval_millions --pdfs DIR [--count 2100000]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Target, report, timed_ms
from localassist import Settings
from localassist.engine.cores import usable_cores
from localassist.retrieval import index as kinds
from localassist.retrieval.embed import DIM, MODEL, FastEmbedder
from localassist.retrieval.extract.extractor import Extractor
from localassist.retrieval.index import VectorIndex
from localassist.retrieval.windows import windows

if TYPE_CHECKING:
    from collections.abc import Sequence

_REAL = 3_000
_BLOCK = 100_000
_QUESTIONS = 100
_WANTED = 100  # candidates that a search takes


def real(pdfs: Sequence[Path], embedder: FastEmbedder) -> tuple[Any, Any]:
    """Vectors of windows, and of the first sentences of some of them."""
    extractor = Extractor()
    texts: list[str] = []
    for path in pdfs:
        for page in extractor.pages(path, path.name)[1]:
            texts += [
                page.text[w.start : w.stop] for w in windows(page.text, embedder.token_starts)
            ]
    extractor.close()
    step = max(1, len(texts) // _REAL)
    chosen = texts[::step][:_REAL]
    asked = [each.split(". ")[0][:200] for each in chosen[:: max(1, len(chosen) // _QUESTIONS)]]
    print(f"{len(chosen)} real windows of {len(texts)}, {len(asked)} questions", flush=True)
    return embedder.encode(chosen), embedder.encode(asked)[:_QUESTIONS]


def many(vectors: Any, count: int) -> Any:
    """So many vectors like these."""
    random = np.random.default_rng(0)
    made = np.empty((count, DIM), np.float32)
    for start in range(0, count, _BLOCK):
        block = made[start : start + _BLOCK]
        one, other = (vectors[random.integers(0, len(vectors), len(block))] for _ in range(2))
        share = random.uniform(0, 0.5, (len(block), 1)).astype(np.float32)
        block[:] = (1 - share) * one + share * other
        block += random.standard_normal(block.shape, np.float32) * np.float32(0.3 / DIM**0.5)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return made


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pdfs", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2_100_000)
    chosen = parser.parse_args()
    embedder = FastEmbedder(Settings.from_env().models / MODEL, n_threads=usable_cores())
    base, questions = real(sorted(chosen.pdfs.glob("*.pdf"))[:8], embedder)
    vectors, ids = many(base, chosen.count), range(chosen.count)

    started = time.perf_counter()
    limit, kinds.MAX_EXACT = kinds.MAX_EXACT, chosen.count
    exact = VectorIndex.build(ids, vectors)
    report("the exact index built", [time.perf_counter() - started], unit="s")
    started = time.perf_counter()
    kinds.MAX_EXACT = min(limit, chosen.count - 1)
    lists = VectorIndex.build(ids, vectors)
    report("the lists built", [time.perf_counter() - started], unit="s")

    truth, took = [], []
    for question in questions:
        started = time.perf_counter()
        truth.append({each for each, _ in exact.search(question, _WANTED)})
        took.append((time.perf_counter() - started) * 1000)
    report(f"exact search of {chosen.count:,}", took, unit="ms")
    standard = kinds._SEARCHED
    for part in (1 / 64, 1 / 32, 1 / 16, 1 / 8):
        kinds._SEARCHED = part
        took, found = [], []
        for question, right in zip(questions, truth, strict=True):
            started = time.perf_counter()
            got = {each for each, _ in lists.search(question, _WANTED)}
            took.append((time.perf_counter() - started) * 1000)
            found.append(len(got & right) / len(right))
        mark = " (ours)" if part == standard else ""
        report(f"one list in {1 / part:.0f} searched{mark}", took, unit="ms")
        print(f"  of the exact index's {_WANTED}: {statistics.mean(found):.3f} found, "
              f"{min(found):.2f} at least")  # fmt: skip
    kinds._SEARCHED = standard

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.faiss")
        report("written", [timed_ms(lambda: lists.save(path)) / 1000], unit="s")
        report("opened", [timed_ms(lambda: VectorIndex.load(path)) / 1000], unit="s")
        report("its size", [path.stat().st_size / 2**20], unit="MB")

    def remove(start: int) -> None:
        lists.remove(range(start, start + 1000))

    def add(start: int) -> None:
        lists.add(range(start, start + 1000), vectors[start : start + 1000])

    starts = range(0, 10_000, 1000)
    gone = [timed_ms(partial(remove, start)) for start in starts]
    report("1,000 windows removed", gone, unit="ms", target=Target(100))
    came = [timed_ms(partial(add, start)) for start in starts]
    report("1,000 windows added", came, unit="ms")


if __name__ == "__main__":
    main()
