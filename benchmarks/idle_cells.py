"""What idle conversations cost those that are answered, and what bringing them back costs.

Attention skips the cells of idle conversations one by one. Rows of a conversation of 450 tokens are
timed in turn with seven idle ones of 1,000 tokens beside it and without them, and those are
restored out of memory. What comes out is how many rows skip a token before that has cost as much as
restoring it: `PUT_OUT_ROWS` of the prefix cache should be near it.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.engine import DEFAULT, SMALL
from benchmarks.engine_prompts import story
from benchmarks.harness import model_facts, report
from localassist import Settings
from localassist.engine.cores import usable_cores
from localassist.engine.llama_backend import LlamaBackend
from localassist.engine.model_files import ModelFiles
from localassist.engine.scheduler import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH, LENGTH, NUM_IDLE = 450, 1000, 7
ROWS = (1, 8, 16, 64)


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


class Crowd:
    """One conversation, id 0, and idle ones, which are saved."""

    def __init__(self, backend: LlamaBackend) -> None:
        self._backend = backend
        self._tokens = backend.tokenize(story(2 * LENGTH), parse_special=False)
        self._saved = []
        self._compute(0, DEPTH)
        for seq_id in range(1, NUM_IDLE + 1):
            self._compute(seq_id, LENGTH)
            self._saved.append(backend.save(seq_id, start=0, end=LENGTH))

    def _compute(self, seq_id: int, end: int) -> None:
        for start in range(0, end, 256):
            tokens = self._tokens[start : min(start + 256, end)]
            self._backend.decode([Chunk(None, seq_id, tokens, start, num_logits=1)])  # type: ignore[arg-type]

    def rows(self, count: int) -> float:
        """Seconds of so many rows of the first conversation; the least of five."""
        tokens = self._tokens[DEPTH : DEPTH + count]
        chunk = Chunk(None, 0, tokens, DEPTH, num_logits=1)  # type: ignore[arg-type]
        found = []
        for _ in range(5):
            found.append(seconds(lambda: self._backend.decode([chunk])))
            self._backend.truncate(0, DEPTH)
        return min(found)

    def leave(self) -> None:
        """The idle ones are put out."""
        for seq_id in range(1, NUM_IDLE + 1):
            self._backend.truncate(seq_id, 0)

    def come_back(self) -> None:
        """And restored."""
        for seq_id, data in enumerate(self._saved, start=1):
            self._backend.restore(seq_id, data, start=0, end=LENGTH)


def measure(name: str, *, rounds: int) -> None:
    """Report one model."""
    path = ModelFiles(Settings.from_env().models, default=None).resolve(name).path
    label = name.removesuffix("-instruct")
    facts: dict[str, Any] = {**model_facts(path), "threads": usable_cores()}
    backend = LlamaBackend(path, n_ctx=8192, n_threads=usable_cores(), chat_template="")
    crowd = Crowd(backend)
    beside: dict[int, list[float]] = {count: [] for count in ROWS}
    alone: dict[int, list[float]] = {count: [] for count in ROWS}
    restored = []
    for _ in range(rounds):
        for count in ROWS:
            beside[count].append(crowd.rows(count))
        crowd.leave()
        for count in ROWS:
            alone[count].append(crowd.rows(count))
        restored.append(seconds(crowd.come_back))
    backend.close()
    num_cells = NUM_IDLE * LENGTH
    for count in ROWS:
        for who, values in (("beside 7,000 idle cells", beside[count]), ("alone", alone[count])):
            figures = [1000 * value for value in values]
            report(f"{label}: {count} rows {who}", figures, unit="ms", **facts)
    report(
        f"{label}: restoring a token", [1e6 * value / num_cells for value in restored], unit="us",
        **facts,
    )  # fmt: skip
    for count in ROWS:
        skipping_s = (median(beside[count]) - median(alone[count])) / count
        figure = f"{label}: rows that cost as much as restoring, {count} at once"
        if skipping_s > 0:
            report(figure, [median(restored) / skipping_s], unit="rows", **facts)
        else:
            print(f"{figure}: no difference beyond the noise")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=[*SMALL, DEFAULT])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for name in options.models:
        measure(name, rounds=options.rounds)


if __name__ == "__main__":
    main()
