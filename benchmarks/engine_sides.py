"""What answers prompts in the engine's benchmarks: ours, and the peers, each in a child process.

Apart, because within one process libgomp stops spinning as soon as the teams of two computing
threads exceed the cores, idle or not, and both would be measured at half their speed. A child
reads commands as JSON lines and prints one line for each.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from typing_extensions import override

from benchmarks.engine_gate import Gate
from benchmarks.engine_peers import N_BATCH, PEERS, Streaming
from benchmarks.harness import ROOT
from localassist.engine import llama_library

# --- the parent's view ---


@dataclass(frozen=True)
class Answers:
    """How prompts that were given at once went; seconds from the start."""

    wall_s: float
    firsts_s: list[float]
    times_s: list[list[float]]
    num_tokens: list[int]
    num_cached: list[int]
    texts: list[str]

    @property
    def tokens_per_s(self) -> float:
        """All tokens over the time until the last one."""
        return sum(self.num_tokens) / self.wall_s

    @property
    def decode_per_s(self) -> float:
        """Of the first answer, from its first token to its last."""
        times = self.times_s[0]
        return (self.num_tokens[0] - 1) / (times[-1] - times[0])

    @property
    def first_s(self) -> float:
        """Mean time to a first token."""
        return sum(self.firsts_s) / len(self.firsts_s)

    @property
    def longest_gap_s(self) -> float:
        """Of the first answer."""
        times = self.times_s[0]
        return max(b - a for a, b in itertools.pairwise(times))


class Side:
    """A child."""

    def __init__(
        self, kind: str, path: Path, *, n_threads: int, n_ctx: int = 8192, home: Path | None = None,
        speculate: bool = True, slots: int = 8, repack: bool = True,
        even_split: bool | None = None,
    ) -> None:  # fmt: skip
        self.kind = kind
        self._own_home = None if home else tempfile.TemporaryDirectory()
        home = home or Path(self._own_home.name if self._own_home else "")
        options = {
            "n_threads": n_threads,
            "n_ctx": n_ctx,
            "home": str(home),
            "speculate": speculate,
            "slots": slots,
            "repack": repack,
            "even_split": even_split,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.engine_sides", kind, str(path), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
        )
        self.do("ready")

    def do(self, command: str, **arguments: Any) -> Any:
        """Have the child do something."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([command, arguments]), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the child '{self.kind}' died at '{command}'")
        return json.loads(line)

    def ask(self, *prompts: str, num_tokens: int = 96, **arguments: Any) -> Answers:
        """Give it the prompts at once."""
        return Answers(**self.do("ask", prompts=prompts, num_tokens=num_tokens, **arguments))

    def begin(self, prompt: str, num_tokens: int, **arguments: Any) -> None:
        """Have it begin an answer; `go` continues it."""
        self.do("begin", prompt=prompt, num_tokens=num_tokens, **arguments)

    def go(self, num_steps: int) -> list[float]:
        """Seconds of so many steps more of the answer, or of fewer at its end."""
        return list(self.do("go", num_steps=num_steps))

    def close(self) -> None:
        """End it."""
        self._process.communicate()
        if self._own_home:
            self._own_home.cleanup()


# --- in the child ---


class Ours(Streaming):
    """The engine of this project."""

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        from localassist import Settings
        from localassist.api.runtime import Runtime

        self._settings = Settings(
            home=Path(options["home"]), model=path, n_ctx=options["n_ctx"],
            n_threads=options["n_threads"],
        )  # fmt: skip
        self._runtime = Runtime(self._settings)
        self._using = self._runtime.engines.use(path)
        self._engine: Any = self._using.__enter__()
        engine: Any = self._engine
        loop = engine._loop
        loop._settings = replace(loop._settings, speculate=options["speculate"])
        self.rest()
        self._busy = False
        self._gate: Gate | None = None

    @override
    def stream(self, prompt: str, **arguments: Any) -> Any:
        from localassist.engine.constraint import Grammar
        from localassist.engine.request import GenerationRequest, SamplingParams

        grammar = arguments.get("schema")
        if arguments.get("own_sampling"):
            sampling = replace(self._engine.sampling_defaults, seed=1)
        else:
            sampling = SamplingParams(temperature=arguments.get("temperature", 0.0), seed=1)
        generation = self._engine.submit(
            GenerationRequest(
                prompt_tokens=self._engine._backend.tokenize(prompt, parse_special=True),
                max_tokens=arguments["num_tokens"],
                sampling=sampling,
                constraint=self._engine.constrain(Grammar("json_schema", json.dumps(grammar)))
                if grammar
                else None,
            )
        )
        for event in generation:
            yield event.text, event.num_tokens, generation.num_cached_tokens

    def begin(self, prompt: str, num_tokens: int, **arguments: Any) -> None:
        """Begin an answer; what it says is read as by any caller."""
        self._gate = Gate(self._engine._loop)
        self._gate.begin(lambda: list(self.stream(prompt, num_tokens=num_tokens, **arguments)))

    def go(self, num_steps: int) -> list[float]:
        """Seconds of so many steps of the answer."""
        return self._gate.go(num_steps) if self._gate else []

    def rest(self) -> None:
        """Wait until it has nothing left to measure or to hibernate, which would disturb others."""
        loop = self._engine._loop
        while not loop.pace.known or loop._scheduler.has_unsaved:
            time.sleep(0.05)

    def busy(self, on: bool) -> None:  # noqa: FBT001  # a command
        """Keep one Python thread of this process busy."""
        self._busy = on
        if on:
            threading.Thread(target=self._spin, daemon=True).start()

    def _spin(self) -> None:
        count = 0
        while self._busy:
            count += 1

    def cancel(
        self, prompt: str, after_s: float, num_tokens: int, *, decoding: bool
    ) -> dict[str, float]:
        """Seconds from a cancellation to the last event, and of a step before it, if there was.

        It comes so long after the first token, or without `decoding` after the request.
        """
        from localassist.engine.request import FinishReason, GenerationRequest

        tokens = self._engine._backend.tokenize(prompt, parse_special=True)
        generation = self._engine.submit(
            GenerationRequest(prompt_tokens=tokens, max_tokens=num_tokens)
        )
        cancelled: list[float] = []

        def cancel() -> None:
            cancelled.append(time.perf_counter())
            generation.cancel()

        timer = threading.Timer(after_s, cancel)
        times_s: list[float] = []
        last = None
        if not decoding:
            timer.start()
        for event in generation:
            if decoding and not times_s:
                timer.start()
            times_s.append(time.perf_counter())
            last = event.finish_reason
        if last is not FinishReason.CANCELLED:
            raise RuntimeError(f"it had ended already: {last}")
        steps = [b - a for a, b in itertools.pairwise(times_s[:-1])]
        return {
            "seconds": times_s[-1] - cancelled[0],
            "step_s": median(steps) if steps else float("nan"),
        }

    def hibernate(self, prompt: str, *, writes: bool) -> dict[str, float]:
        """Seconds for each 1,000 tokens: out of the context and from files back, or into files."""
        from localassist.engine.kv_files import Key

        loop, backend = self._engine._loop, self._engine._backend
        self.ask([prompt], num_tokens=1)
        while self._engine.stats.running or loop._scheduler.has_unsaved:
            time.sleep(0.01)
        tokens = backend.tokenize(prompt, parse_special=True)[:-1]
        slot = max(loop._scheduler._cache.slots, key=lambda slot: len(slot.tokens))
        count = len(slot.tokens) // 512 * 512
        kv = self._engine._kv
        while kv.num_pending:
            time.sleep(0.01)
        started = time.perf_counter()
        saved = [
            backend.save(slot.seq_id, start=start, end=start + 512)
            for start in range(0, count, 512)
        ]
        saved_at = time.perf_counter()
        for segment in kv._by_name.values():
            segment.data = None
        free = next(each for each in loop._scheduler._cache.slots if not each.tokens)
        restoring = time.perf_counter()
        position = 0
        for piece in kv.pieces(tokens):
            data = kv.load(piece.segment)
            backend.restore(free.seq_id, data, start=position, end=piece.end)
            position = piece.end
        restored = time.perf_counter()
        backend.truncate(free.seq_id, 0)
        figures = {
            "save_s": (saved_at - started) * 1000 / count,
            "restore_s": (restored - restoring) * 1000 / position,
        }
        if writes:  # what a disk has just been given keeps it busy, so nothing else is asked then
            written_s = 0.0
            for number, data in enumerate(saved, 1):
                key = Key.of(tokens[: 512 * number], start=512 * (number - 1))
                writing = time.perf_counter()
                kv._files.write(key, data)
                written_s += time.perf_counter() - writing
            figures = {"write_s": written_s * 1000 / count}
        return figures

    def share(self, prompt: str, num_tokens: int) -> float:
        """Part of the worker's time that is not llama.cpp's, over one answer."""
        llama, times = self._engine._backend._llama, self._engine.times
        decode, computed_s = llama.llama_decode, 0.0

        def timed(*arguments: Any) -> Any:
            nonlocal computed_s
            started = time.perf_counter()
            try:
                return decode(*arguments)
            finally:
                computed_s += time.perf_counter() - started

        busy_s, llama.llama_decode = times.busy_s, timed
        try:
            self.ask([prompt], num_tokens=num_tokens)
            time.sleep(0.05)  # the loop's last round is counted at its end
        finally:
            llama.llama_decode = decode
        return float(1 - computed_s / (times.busy_s - busy_s))

    def close(self) -> None:
        if self._gate:
            self._gate.open()
        self._using.__exit__(None, None, None)
        self._runtime.close()


class Bare:
    """A greedy loop around llama_decode."""

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        if options["even_split"] is not None:  # set up as we do; else as it is by itself
            llama_library.load(even_split=options["even_split"])
        import llama_cpp as llama
        import numpy as np

        self._llama, self._np = llama, np
        params = llama.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = options["repack"]
        self._model = llama.llama_model_load_from_file(path.encode(), params)
        settings = llama.llama_context_default_params()
        settings.n_ctx, settings.n_batch = options["n_ctx"], N_BATCH
        settings.n_ubatch = N_BATCH
        settings.n_threads = settings.n_threads_batch = options["n_threads"]
        self._context = llama.llama_init_from_model(self._model, settings)
        self._memory = llama.llama_get_memory(self._context)
        self._vocab = llama.llama_model_get_vocab(self._model)
        self._n_vocab = llama.llama_vocab_n_tokens(self._vocab)

    def _tokens(self, text: str) -> Any:
        data = text.encode()
        tokens = (ctypes.c_int32 * (len(data) + 8))()
        count = self._llama.llama_tokenize(
            self._vocab, data, len(data), tokens, len(tokens), False, True
        )
        return self._np.array(tokens[:count], self._np.int32)

    def _following(self, tokens: Any) -> int:
        for start in range(0, len(tokens), N_BATCH):
            part = tokens[start : start + N_BATCH]
            pointer = part.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
            batch = self._llama.llama_batch_get_one(pointer, len(part))
            if self._llama.llama_decode(self._context, batch):
                raise RuntimeError("llama_decode failed")
        logits = self._llama.llama_get_logits_ith(self._context, -1)
        return int(self._np.ctypeslib.as_array(logits, (self._n_vocab,)).argmax())

    def ask(self, prompts: list[str], num_tokens: int, **_arguments: Any) -> dict[str, Any]:
        tokens = self._tokens(prompts[0])
        self._llama.llama_memory_clear(self._memory, True)
        started = time.perf_counter()
        one = self._np.zeros(1, self._np.int32)
        one[0] = self._following(tokens)
        times = [time.perf_counter() - started]
        for _ in range(num_tokens - 1):
            one[0] = self._following(one)
            times.append(time.perf_counter() - started)
        return {
            "wall_s": times[-1], "firsts_s": times[:1], "times_s": [times],
            "num_tokens": [num_tokens], "num_cached": [0], "texts": [""],
        }  # fmt: skip

    def begin(self, prompt: str, num_tokens: int, **_arguments: Any) -> None:
        self._llama.llama_memory_clear(self._memory, True)
        self._one = self._np.full(1, self._following(self._tokens(prompt)), self._np.int32)
        self._num_left = num_tokens - 1

    def go(self, num_steps: int) -> list[float]:
        stamps = [time.perf_counter()]
        while self._num_left and len(stamps) <= num_steps:
            self._one[0] = self._following(self._one)
            self._num_left -= 1
            stamps.append(time.perf_counter())
        return [b - a for a, b in itertools.pairwise(stamps)]

    def new_tokens(self, prompt: str, start: int) -> float:
        """Seconds to read a prompt's tokens from `start` on; those before are there already."""
        tokens = self._tokens(prompt)
        if self._llama.llama_memory_seq_pos_max(self._memory, 0) + 1 < start:
            self._llama.llama_memory_clear(self._memory, True)
            self._following(tokens[:start])
        self._llama.llama_memory_seq_rm(self._memory, 0, start, -1)
        started = time.perf_counter()
        self._following(tokens[start:])
        return time.perf_counter() - started

    def close(self) -> None:
        """Nothing."""


KINDS: dict[str, Any] = {"ours": Ours, "bare": Bare, **PEERS}


def serve() -> None:
    """Be the child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("path")
    parser.add_argument("options", type=json.loads)
    given = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr
    side = KINDS[given.kind](given.path, given.options)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        result = None if command == "ready" else getattr(side, command)(**arguments)
        print(json.dumps(result), file=answers, flush=True)
    side.close()


if __name__ == "__main__":
    serve()
