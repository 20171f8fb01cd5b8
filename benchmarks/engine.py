"""What of llama.cpp's speed reaches a caller, and what the engine adds to it.

Every figure is a ratio to a yardstick that is measured in turn with it: a bare loop around
llama_decode, llama-cpp-python's `Llama` under a lock, and those of llama-server (LLAMA_SERVER names
the program), xllamacpp (XLLAMACPP_PYTHON names a Python that has it) and node-llama-cpp
(NODE_LLAMA_CPP names the folder of its node_modules) that are there. `--only` picks questions by
name, `--peers` peers.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from benchmarks import engine_goals
from benchmarks.engine_peers import PEERS, installed
from benchmarks.engine_prompts import INSTRUCTIONS, SCHEMA, TOPICS, chat, story
from benchmarks.engine_sides import Side
from benchmarks.harness import Target, busy_programs, compare, llama_facts, model_facts, report
from localassist import Settings
from localassist.engine.cores import usable_cores
from localassist.engine.model_files import ModelFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SMALL = ("smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct")
DEFAULT = "qwen2.5-coder-1.5b-instruct"
N_CTX = 8192
# Of llama.cpp's servers, one that has several slots keeps conversations in them, while one that has
# one has to fetch them back from its cache in RAM; node-llama-cpp keeps a sequence for each.
TURN_SLOTS = {"server": 8, "xllamacpp": 1, "node-llama-cpp": 4}
# Sides that take turns: how many steps at a time, how often, and how many answers.
STEPS_A_TURN, TURNS_AN_ANSWER, ANSWERS_A_ROUND = 6, 16, 2
SAMPLINGS: dict[str, dict[str, Any]] = {
    "temperature 0": {},
    "temperature 0.8": {"temperature": 0.8},
    "at the model's own settings": {"own_sampling": True},
}


class EngineBench:
    """The questions, for one model."""

    def __init__(self, name: str, *, rounds: int, peers: Sequence[str] = tuple(PEERS)) -> None:
        settings = Settings.from_env()
        self._path = ModelFiles(settings.models, default=None).resolve(name).path
        self._rounds, self._peers = rounds, peers
        self._n_threads = settings.n_threads or usable_cores()
        self._label = name.removesuffix("-instruct")
        model = {**model_facts(self._path), "threads": self._n_threads}
        self._facts: dict[str, Any] = {**model, **llama_facts()}
        self._round = 0

    # --- helpers ---

    def _side(self, kind: str, **options: Any) -> Side:
        options.setdefault("n_threads", self._n_threads)
        return Side(kind, self._path, n_ctx=N_CTX, **options)

    def _report(self, figure: str, values: list[float], *, unit: str, **more: Any) -> None:
        report(f"{self._label}: {figure}", values, unit=unit, **more, **self._facts)

    def _compare(self, figure: str, a: Any, b: Any, **more: Any) -> None:
        more.setdefault("repeat", self._rounds)
        compare(f"{self._label}: {figure}", a, b, **more, **self._facts)

    def _anew(self) -> str:
        """Instructions that nobody has seen yet."""
        self._round += 1
        return f"Session {self._round}. {INSTRUCTIONS}"

    def _chats(self, count: int) -> list[str]:
        system = self._anew()
        return [chat(f"Explain {topic} to me.", system=system) for topic in TOPICS[:count]]

    # --- questions ---

    def stream(self) -> None:
        """One answer, beside the bare loop."""
        ours, bare = self._side("ours", speculate=False), self._side("bare")
        for figure, sampling in SAMPLINGS.items():
            prompt = chat("Write a long letter about the sea.")
            self._compare(
                f"one stream, {figure}",
                ("ours", lambda p=prompt, how=sampling: ours.ask(p, **how).decode_per_s),
                ("bare", lambda p=prompt: bare.ask(p).decode_per_s),
                unit="tok/s",
                target=Target(0.97, at_least=True),
            )
        shares = [
            ours.do("share", prompt=chat("Write a long letter about the sea."), num_tokens=96)
            for _ in range(self._rounds)
        ]
        self._report("Python's share of a step", shares, unit="", target=Target(0.02))
        ours.close()
        bare.close()

    def layouts(self) -> None:
        """Weights as they are in the file, beside those that llama.cpp lays out anew."""
        for name, even in (("equal parts", True), ("by turns", False)):
            if even and not self._facts["splits_evenly"]:
                print(f"layouts, {name}: not on this machine; skipped")
                continue
            in_file = self._side("bare", repack=False, even_split=even)
            anew = self._side("bare", even_split=even)
            self._layouts(name, in_file, anew)
            in_file.close()
            anew.close()

    def _layouts(self, name: str, in_file: Side, anew: Side) -> None:
        prompt = chat(story(480))
        for figure, unit, read in (
            ("reading 500 tokens", "s", lambda side: side.ask(prompt, num_tokens=1).first_s),
            ("one stream", "tok/s", lambda side: side.ask(prompt, num_tokens=33).decode_per_s),
        ):
            self._compare(
                f"{figure}, {name}, weights",
                ("in the file", lambda read=read: read(in_file)),
                ("anew", lambda read=read: read(anew)),
                unit=unit,
            )

    def steps(self) -> None:
        """The steps of one answer, beside the bare loop's: a few in turn, as machines wander."""
        prompt = chat("Write a long letter about the sea.")
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in SAMPLINGS}
        with tempfile.TemporaryDirectory() as folder:  # of what steps were measured to cost
            for _ in range(self._rounds):
                # New ones each time: where memory happens to lie makes a percent.
                ours = self._side("ours", speculate=False, home=Path(folder))
                bare = self._side("bare")
                for name, sampling in SAMPLINGS.items():
                    rounds[name].append(self._in_turn(ours, bare, prompt, sampling))
                ours.close()
                bare.close()
        for name, pairs in rounds.items():
            for index, side in enumerate(("ours", "bare")):
                values = [1 / pair[index] for pair in pairs]
                self._report(f"steps in turn, {name}, {side}", values, unit="/s")
            self._report(
                f"steps in turn, {name}, ours / bare",
                [theirs / mine for mine, theirs in pairs],
                unit="ratio",
                target=Target(0.97, at_least=True),
            )

    def _in_turn(
        self, ours: Side, bare: Side, prompt: str, sampling: dict[str, Any]
    ) -> tuple[float, float]:
        """Seconds of a step of each, over some answers, a few steps at a time."""
        sides = ours, bare
        seconds: tuple[list[float], list[float]] = [], []
        for _ in range(ANSWERS_A_ROUND):
            for side in sides:
                side.begin(prompt, 1 + TURNS_AN_ANSWER * STEPS_A_TURN, **sampling)
            for turn in range(TURNS_AN_ANSWER):
                order = (0, 1) if turn % 2 == 0 else (1, 0)  # ours ends last, and then rests
                done = {index: sides[index].go(STEPS_A_TURN) for index in order}
                length = min(map(len, done.values()))
                for index, steps in done.items():
                    # The first step finds threads asleep and caches that are the other side's.
                    seconds[index].extend(steps[1:length])
        return fmean(seconds[0]), fmean(seconds[1])

    def chats(self) -> None:
        """Several at once, beside the peers."""
        ours = self._side("ours")
        for kind in installed(*self._peers):
            self._against(ours, kind)
        ours.close()

    def _against(self, ours: Side, kind: str) -> None:
        peer = self._side(kind)
        for count in (3, 8):
            firsts: dict[str, list[float]] = {"ours": [], kind: []}

            def run(side: Side, count: int = count, firsts: Any = firsts) -> float:
                answers = side.ask(*self._chats(count))
                firsts[side.kind].append(answers.first_s)
                return answers.tokens_per_s

            self._compare(
                f"{count} chats, total", ("ours", lambda: run(ours)), (kind, lambda: run(peer)),
                unit="tok/s",
                target=engine_goals.total(self._label, kind, count),
            )  # fmt: skip
            pairs = zip(firsts["ours"][1:], firsts[kind][1:], strict=True)
            for who in firsts:
                self._report(f"{count} chats, mean first token, {who}", firsts[who][1:], unit="s")
            self._report(
                f"{count} chats, mean first token, ours / {kind}", [a / b for a, b in pairs],
                unit="ratio",
                target=engine_goals.first_token(self._label, kind, count),
            )  # fmt: skip
        if kind == "lock":
            with busy_programs(1):
                for count in (3, 8):
                    self._compare(
                        f"{count} chats beside a busy program, total",
                        ("ours", lambda n=count: ours.ask(*self._chats(n)).tokens_per_s),
                        (kind, lambda n=count: peer.ask(*self._chats(n)).tokens_per_s),
                        unit="tok/s",
                        target=Target(0.98 if count == 3 else 1.2, at_least=True),
                    )
        peer.close()

    def company(self) -> None:
        """An answer after seven other conversations of 900 tokens, beside one by itself."""
        after, alone = self._side("ours", speculate=False), self._side("ours", speculate=False)

        def ask(side: Side) -> float:
            for each in (after, alone):
                each.do("rest")
            return side.ask(chat("Write a long letter about the hills.")).decode_per_s

        for each in range(7):
            after.ask(chat(story(900, first=1000 * each)), num_tokens=2)
        self._compare(
            "after seven other conversations / by itself",
            ("after", lambda: ask(after)),
            ("alone", lambda: ask(alone)),
            unit="tok/s",
            target=Target(0.97, at_least=True),
        )
        after.close()
        alone.close()

    def history(self) -> None:
        """A turn after 6,000 tokens: beside reading only its new words, and in a new process."""
        with tempfile.TemporaryDirectory() as home:
            ours, bare = self._side("ours", home=Path(home)), self._side("bare")
            past = story(6000)
            answer = ours.ask(chat(past), num_tokens=24)
            read_s = answer.first_s
            # What differs comes first, or the last question is a prefix of the next one.
            questions = [f"{number}: which ship came in at this number?" for number in range(99)]
            prompts = [chat(past, answer.texts[0], question) for question in questions]
            cached = ours.ask(prompts[0], num_tokens=2).num_cached[0]
            bare.do("new_tokens", prompt=prompts[0], start=cached)
            nth = iter(prompts[1:])
            again = iter(prompts[1:])
            self._compare(
                "turn after 6,000 tokens, first token",
                ("ours", lambda: ours.ask(next(nth), num_tokens=2).first_s),
                ("new words only", lambda: bare.do("new_tokens", prompt=next(again), start=cached)),
                unit="s",
                target=Target(1.1),
                cached=cached,
            )
            ours.close()
            bare.close()
            values = []
            for prompt in prompts[-3:]:
                ours = self._side("ours", home=Path(home))
                values.append(ours.ask(prompt, num_tokens=2).first_s / read_s)
                ours.close()
        self._report(
            "the same in a new process / reading it again", values, unit="ratio",
            target=Target(0.02),
        )  # fmt: skip

    def constrained(self) -> None:
        """An answer by a schema, beside a free one."""
        ours = self._side("ours", speculate=False)
        prompt = chat("Plan a museum day as JSON: a title, and steps with what, level, minutes.")
        self._compare(
            "decode, by a schema / free",
            ("by a schema", lambda: ours.ask(prompt, schema=SCHEMA).decode_per_s),
            ("free", lambda: ours.ask(prompt).decode_per_s),
            unit="tok/s",
            target=Target(0.97, at_least=True),
        )
        ours.close()

    def busy(self) -> None:
        """Beside a busy program: the governor against fixed numbers of threads."""
        if self._n_threads == 1:
            print("busy: one thread, nothing to choose; skipped")
            return
        ours = self._side("ours", speculate=False)
        # The best fixed number is one less than all, beside a program that takes one core.
        counts = sorted({1, self._n_threads - 1, self._n_threads})
        fixed = [self._side("bare", n_threads=count) for count in counts]
        prompt = chat("Write a long letter about the mountains.")
        with busy_programs(1):
            sides = [ours, *fixed]
            figures: list[list[float]] = [[] for _ in sides]
            # Of as many tokens, for the machine's speed changes within a minute; but bare threads
            # that share a core can take seconds for one.
            lengths = (*[128] * len(counts), 8)
            for _ in range(self._rounds + 1):
                for side, values, length in zip(sides, figures, lengths, strict=True):
                    values.append(side.ask(prompt, num_tokens=length).decode_per_s)
        names = ("governed", *(f"{count} threads" for count in counts))
        for name, values in zip(names, figures, strict=True):
            self._report(f"beside a busy program, {name}", values[1:], unit="tok/s")
        best = max(median(values[1:]) for values in figures[1:])
        self._report(
            "beside a busy program, governed / better fixed",
            [value / best for value in figures[0][1:]],
            unit="ratio",
            target=Target(0.95, at_least=True),
        )
        for side in sides:
            side.close()

    def reading(self) -> None:
        """A prompt while other programs want all cores, beside as many threads of a bare loop."""
        ours, bare = self._side("ours"), self._side("bare")

        def read(side: Side) -> float:
            self._round += 1
            past = story(400, first=1000 * self._round)
            return side.ask(chat(past), num_tokens=1).first_s

        with busy_programs(self._n_threads):
            self._compare(
                "reading 400 tokens while others want all cores",
                ("ours", lambda: read(ours)),
                ("bare", lambda: read(bare)),
                unit="s",
            )
        ours.close()
        bare.close()

    def copying(self) -> None:
        """Drafts out of the text so far, for what is copied and for anything else."""
        on, off = self._side("ours"), self._side("ours", speculate=False)
        passage = story(70, first=41)
        copy = chat(f"{passage}\nRepeat this text exactly, and nothing else.", system="You copy.")
        other = chat("Invent a fable about a fox and a clock.")
        for figure, prompt, target in (("copying", copy, 1.8), ("anything else", other, 0.98)):
            self._compare(
                f"{figure}, with drafts / without",
                ("with drafts", lambda p=prompt: on.ask(p, num_tokens=70).decode_per_s),
                ("without", lambda p=prompt: off.ask(p, num_tokens=70).decode_per_s),
                unit="tok/s",
                target=Target(target, at_least=True),
            )
        on.close()
        off.close()

    def gaps(self) -> None:
        """How long a running answer pauses while a prompt of 2,000 tokens is read."""
        ours = self._side("ours", speculate=False)
        values = []
        for each in range(self._rounds):
            # Given at once, the short one is read first.
            answers = ours.ask(
                chat(f"{each}. Write a long story about a lighthouse."),
                chat(story(2000, first=1000 * each)),
                num_tokens=120,
            )
            values.append(answers.longest_gap_s * 1000)
        ours.close()
        target = Target(350) if "0.5b" in self._label else None
        self._report("longest gap while 2,000 tokens are read", values, unit="ms", target=target)

    def turns(self) -> None:
        """The second turn of four interleaved conversations, beside the peers' own caches."""
        kinds = installed(*(kind for kind in self._peers if kind in TURN_SLOTS))
        sides = [self._side("ours"), *(self._side(kind, slots=TURN_SLOTS[kind]) for kind in kinds)]
        firsts: list[list[float]] = [[] for _ in sides]
        for each in range(self._rounds):
            pasts = [story(400, first=1000 * each + 100 * number) for number in range(4)]
            for side, values in zip(sides, firsts, strict=True):
                answers = [side.ask(chat(past), num_tokens=16).texts[0] for past in pasts]
                for past, answer in zip(pasts, answers, strict=True):
                    prompt = chat(past, answer, "And then?")
                    values.append(side.ask(prompt, num_tokens=4).first_s)
        figure = "second of 4 interleaved, first token"
        for side, values in zip(sides, firsts, strict=True):
            self._report(f"{figure}, {side.kind}", values, unit="s")
            side.close()
        for kind, values in zip(kinds, firsts[1:], strict=True):
            self._report(
                f"{figure}, ours / {kind}",
                [a / b for a, b in zip(firsts[0], values, strict=True)],
                unit="ratio",
                median=median(firsts[0]) / median(values),
                target=Target(0.8) if kind == "xllamacpp" else None,
            )

    def lock(self) -> None:
        """Beside a busy Python thread of the caller's own program; with one thread of llama.cpp."""
        ours = self._side("ours", n_threads=1, speculate=False)
        prompt = chat("Write a long letter about the desert.")

        def decode(*, busy: bool) -> float:
            ours.do("busy", on=busy)
            speed = ours.ask(prompt).decode_per_s
            ours.do("busy", on=False)
            return speed

        self._compare(
            "one thread, caller's Python busy / idle",
            ("busy", lambda: decode(busy=True)),
            ("idle", lambda: decode(busy=False)),
            unit="tok/s",
            target=Target(0.85, at_least=True),
        )
        ours.close()

    def cancelling(self) -> None:
        """From a cancellation to the end of the answer."""
        ours = self._side("ours")
        long, short = chat(story(4000)), chat("Write a long letter about the sea.")
        for figure, prompt, after_s in (
            ("cancel while decoding", short, 0.5),
            ("cancel while 4,000 tokens are read", long, 1.0),
        ):
            taken = [
                ours.do(
                    "cancel", prompt=prompt, after_s=after_s + 0.07 * each, num_tokens=300,
                    decoding=prompt is short,
                )
                for each in range(self._rounds)
            ]  # fmt: skip
            values = [each["seconds"] * 1000 for each in taken]
            self._report(figure, values, unit="ms", target=Target(100))
            if prompt is short:
                steps = [each["seconds"] / each["step_s"] for each in taken]
                self._report(f"{figure}, over a step", steps, unit="ratio", target=Target(1))
        ours.close()

    def hibernation(self) -> None:
        """Keys and values out of the context, into files, and from there back."""
        ours = self._side("ours")
        target = Target(15) if "0.5b" in self._label else None
        for names, writes in ((("save", "restore"), False), (("write",), True)):
            figures = []
            for _ in range(self._rounds):
                self._round += 1
                past = chat(story(2000, first=1000 * self._round))
                figures.append(ours.do("hibernate", prompt=past, writes=writes))
            for name in names:
                values = [figure[f"{name}_s"] * 1000 for figure in figures]
                self._report(f"{name} 1,000 tokens", values, unit="ms", target=target)
            target = None  # another OS thread writes, behind the engine
        ours.close()


QUESTIONS: tuple[Callable[[EngineBench], None], ...] = (
    EngineBench.stream, EngineBench.layouts, EngineBench.steps, EngineBench.chats,
    EngineBench.company, EngineBench.history, EngineBench.constrained,
    EngineBench.busy, EngineBench.reading, EngineBench.copying, EngineBench.gaps,
    EngineBench.turns, EngineBench.lock, EngineBench.cancelling, EngineBench.hibernation,
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
