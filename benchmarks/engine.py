"""What of llama.cpp's speed reaches a caller, and what the cache of prefixes saves.

The yardstick is a loop around llama_decode on the same tokens and number of threads, in a process
of its own: within one process, libgomp stops spinning as soon as the teams of two computing threads
exceed the cores, idle or not, and both would be measured at half their speed. Answers are greedy,
hence the same each time.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import ROOT, Target, compare, model_facts, report
from localassist import Client, Settings
from localassist.engine.chat_template import ChatMessage
from localassist.engine.governor import usable_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALL = ("smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct")
DEFAULT = "qwen2.5-coder-1.5b-instruct"
N_CTX = 4096
ANSWER_TOKENS = 256  # the least that a run accepts as its limit
ROUNDS = 5
NUM_RUNS = 3
AT_LEAST_BARE = Target(0.95, at_least=True)
# About 500 tokens; longer than an answer, so that each round continues the last one's slot.
STORY = (
    "The harbour master kept a ledger of every ship that came in, and of some that did not. "
    "On quiet evenings she read the names aloud, and the gulls on the sill seemed to listen. "
) * 13


# --- the yardstick, in a child ---


def serve_bare(path: str, n_threads: int) -> None:
    """A greedy loop around llama_decode: a prompt and a length come in, a speed goes out."""
    import llama_cpp as llama
    import numpy as np

    params = llama.llama_model_default_params()
    params.n_gpu_layers = 0
    model = llama.llama_model_load_from_file(path.encode(), params)
    settings = llama.llama_context_default_params()
    settings.n_ctx = N_CTX
    settings.n_threads = settings.n_threads_batch = n_threads
    context = llama.llama_init_from_model(model, settings)
    memory = llama.llama_get_memory(context)
    n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))

    def following(tokens: Any) -> int:
        pointer = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        if llama.llama_decode(context, llama.llama_batch_get_one(pointer, len(tokens))):
            raise RuntimeError("llama_decode failed")
        logits = llama.llama_get_logits_ith(context, -1)
        return int(np.ctypeslib.as_array(logits, (n_vocab,)).argmax())

    one = np.zeros(1, np.int32)
    for line in sys.stdin:
        prompt, num_tokens = json.loads(line)
        llama.llama_memory_clear(memory, True)  # noqa: FBT003
        one[0] = following(np.array(prompt, np.int32))
        started = time.perf_counter()
        for _ in range(num_tokens - 1):
            one[0] = following(one)
        print((num_tokens - 1) / (time.perf_counter() - started), flush=True)


class Bare:
    """The child."""

    def __init__(self, path: Path, *, n_threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.engine", "--bare", str(path), str(n_threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
        )

    def tokens_per_s(self, prompt: Sequence[int], *, num_tokens: int) -> float:
        """The speed from the first of `num_tokens` to the last."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([prompt, num_tokens]), file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


# --- our side ---


@dataclass(frozen=True)
class Answer:
    """How a streamed run went; times in seconds from the call."""

    first_s: float
    last_s: float
    usage: Any

    @property
    def tokens_per_s(self) -> float:
        """From the first token to the last."""
        return float((self.usage.completion_tokens - 1) / (self.last_s - self.first_s))


class Conversation:
    """A thread, and an assistant that answers on it, greedily."""

    def __init__(self, client: Client, model: str) -> None:
        self._threads = client.beta.threads
        self._assistant = client.beta.assistants.create(model=model, temperature=0)
        self._thread = self._threads.create()

    def ask(self, text: str) -> Answer:
        """Say something, and follow the answer."""
        self._threads.messages.create(self._thread.id, role="user", content=text)
        times: list[float] = []
        started = time.perf_counter()
        run: Any = None
        stream: Any = self._threads.runs.create(
            self._thread.id,
            assistant_id=self._assistant.id,
            max_completion_tokens=ANSWER_TOKENS,
            stream=True,
        )
        for event in stream:
            if event.event == "thread.message.delta":
                times.append(time.perf_counter() - started)
            elif event.event.startswith("thread.run."):
                run = event.data
        assert run.status in ("completed", "incomplete"), run
        return Answer(times[0], times[-1], run.usage)


class EngineBench:
    """The figures of one model."""

    def __init__(self, client: Client, name: str, *, rounds: int) -> None:
        self._client = client
        self._name = name
        self._rounds = rounds
        self._path = client._runtime.models.resolve(name).path
        self._n_threads = client.settings.n_threads or usable_cores()
        self._facts: dict[str, Any] = {
            **model_facts(self._path),
            "threads": self._n_threads,
            "n_ctx": N_CTX,
        }
        self._label = name.removesuffix("-instruct")

    def _ask_anew(self, text: str) -> Answer:
        return Conversation(self._client, self._name).ask(text)

    def _report(self, figure: str, values: Sequence[float], *, unit: str) -> None:
        report(f"{self._label}: {figure}", values, unit=unit, **self._facts)

    def decode(self) -> None:
        """The streamed run beside the bare loop."""
        question = f"{STORY}\nContinue this story at great length."
        with self._client._runtime.engines.use(self._name) as engine:
            prompt = engine.encode_chat([ChatMessage("user", question)])
        usage = self._ask_anew(question).usage
        assert usage.prompt_tokens == len(prompt), usage
        bare = Bare(self._path, n_threads=self._n_threads)
        compare(
            f"{self._label}: decode",
            ("run", lambda: self._ask_anew(question).tokens_per_s),
            ("bare", lambda: bare.tokens_per_s(prompt, num_tokens=usage.completion_tokens)),
            unit="tok/s",
            repeat=self._rounds,
            target=AT_LEAST_BARE,
            prompt_tokens=len(prompt),
            completion_tokens=usage.completion_tokens,
            **self._facts,
        )
        bare.close()

    def second_turn(self) -> None:
        """How much of a conversation is computed again when it goes on."""
        turns: tuple[list[Answer], list[Answer]] = ([], [])
        for each in range(self._rounds):
            conversation = Conversation(self._client, self._name)
            # The number keeps the rounds from sharing their prefix.
            turns[0].append(conversation.ask(f"{each}. {STORY}\nWho is this about? Be brief."))
            turns[1].append(conversation.ask("And what did she read? Be brief."))
        for number, answers in enumerate(turns, 1):
            prompts = [answer.usage.prompt_tokens for answer in answers]
            cached = [answer.usage.prompt_tokens_details.cached_tokens for answer in answers]
            self._report(f"turn {number}, prompt", prompts, unit="tokens")
            self._report(f"turn {number}, of it cached", cached, unit="tokens")
            first_ms = [answer.first_s * 1000 for answer in answers]
            self._report(f"turn {number}, first delta", first_ms, unit="ms")

    def several_at_once(self) -> None:
        """Runs together, beside as many one after the other."""
        walls_s: dict[int, list[float]] = {NUM_RUNS: [], 1: []}
        first_ms: dict[int, list[float]] = {NUM_RUNS: [], 1: []}
        texts = [f"Write a long poem about the number {number}." for number in range(NUM_RUNS)]

        def tokens_per_s(at_once: int) -> float:
            started = time.perf_counter()
            with ThreadPoolExecutor(at_once) as pool:
                answers = list(pool.map(self._ask_anew, texts))
            walls_s[at_once].append(time.perf_counter() - started)
            first_ms[at_once].append(sum(each.first_s for each in answers) / NUM_RUNS * 1000)
            num_tokens: int = sum(each.usage.completion_tokens for each in answers)
            return num_tokens / walls_s[at_once][-1]

        compare(
            f"{self._label}: {NUM_RUNS} runs",
            ("at once", lambda: tokens_per_s(NUM_RUNS)),
            ("in turn", lambda: tokens_per_s(1)),
            unit="tok/s",
            repeat=max(3, self._rounds // 2),
            **self._facts,
        )
        for at_once, how in ((NUM_RUNS, "at once"), (1, "in turn")):
            self._report(f"{NUM_RUNS} {how}, wall", walls_s[at_once][1:], unit="s")
            self._report(f"{NUM_RUNS} {how}, mean first delta", first_ms[at_once][1:], unit="ms")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="the default model as well")
    parser.add_argument("--models", nargs="+", help="these models instead")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--bare", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        serve_bare(options.bare[0], int(options.bare[1]))
        return
    for name in options.models or (*SMALL, *([DEFAULT] if options.all else [])):
        with tempfile.TemporaryDirectory() as home:
            settings = replace(Settings.from_env(), home=Path(home), n_ctx=N_CTX)
            # A client for each model: two loaded ones would slow each other down.
            with Client(settings=settings) as client:
                bench = EngineBench(client, name, rounds=options.rounds)
                bench.decode()
                bench.second_turn()
                bench.several_at_once()


if __name__ == "__main__":
    main()
