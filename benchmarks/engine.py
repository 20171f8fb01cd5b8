"""What of llama.cpp's speed reaches a caller, and what the engine adds to it.

Every figure is a ratio to a yardstick that is measured in turn with it: a bare loop around
llama_decode, llama-cpp-python's `Llama` under a lock, and those of llama-server (LLAMA_SERVER names
the program), xllamacpp (XLLAMACPP_PYTHON names a Python that has it) and node-llama-cpp
(NODE_LLAMA_CPP names the folder of its node_modules) that are there. `--only` picks questions by
name, `--peers` peers.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from benchmarks import engine_answers, engine_chats
from benchmarks.engine_bench import EngineBench
from benchmarks.engine_peers import PEERS

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = ("smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct")
DEFAULT = "qwen2.5-coder-1.5b-instruct"

QUESTIONS: tuple[Callable[[EngineBench], None], ...] = (
    engine_answers.stream, engine_answers.layouts, engine_answers.steps, engine_chats.chats,
    engine_chats.company, engine_chats.history, engine_answers.constrained,
    engine_answers.busy, engine_answers.reading, engine_answers.copying, engine_chats.gaps,
    engine_chats.turns, engine_answers.lock, engine_answers.cancelling, engine_chats.hibernation,
)  # fmt: skip


def main() -> None:
    """Measure."""
    names = [question.__name__ for question in QUESTIONS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="the default model as well")
    parser.add_argument("--models", nargs="+", help="these models instead")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=tuple(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name in options.models or (*SMALL, *([DEFAULT] if options.all else [])):
        bench = EngineBench(name, rounds=options.rounds, peers=options.peers)
        for question in QUESTIONS:
            if question.__name__ in options.only:
                question(bench)


if __name__ == "__main__":
    main()
