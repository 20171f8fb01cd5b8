"""What of llama.cpp's speed reaches one answer, and what the engine adds to it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from benchmarks.engine_prompts import SCHEMA, chat, story
from benchmarks.harness import Target, busy_programs

if TYPE_CHECKING:
    from benchmarks.engine_bench import EngineBench
    from benchmarks.engine_sides import Side

# Sides that take turns: how many steps at a time, how often, and how many answers.
STEPS_A_TURN, TURNS_AN_ANSWER, ANSWERS_A_ROUND = 6, 16, 2
SAMPLINGS: dict[str, dict[str, Any]] = {
    "temperature 0": {},
    "temperature 0.8": {"temperature": 0.8},
    "at the model's own settings": {"own_sampling": True},
}


def stream(bench: EngineBench) -> None:
    """One answer, beside the bare loop."""
    ours, bare = bench.side("ours", speculate=False), bench.side("bare")
    for figure, sampling in SAMPLINGS.items():
        prompt = chat("Write a long letter about the sea.")
        bench.compare(
            f"one stream, {figure}",
            ("ours", lambda p=prompt, how=sampling: ours.ask(p, **how).decode_per_s),
            ("bare", lambda p=prompt: bare.ask(p).decode_per_s),
            unit="tok/s",
            target=Target(0.97, at_least=True),
        )
    shares = [
        ours.do("share", prompt=chat("Write a long letter about the sea."), num_tokens=96)
        for _ in range(bench.rounds)
    ]
    bench.report("Python's share of a step", shares, unit="", target=Target(0.02))
    ours.close()
    bare.close()


def layouts(bench: EngineBench) -> None:
    """Weights as they are in the file, beside those that llama.cpp lays out anew."""
    for name, even in (("equal parts", True), ("by turns", False)):
        if even and not bench.facts["splits_evenly"]:
            print(f"layouts, {name}: not on this machine; skipped")
            continue
        in_file = bench.side("bare", repack=False, even_split=even)
        anew = bench.side("bare", even_split=even)
        _layouts(bench, name, in_file, anew)
        in_file.close()
        anew.close()


def _layouts(bench: EngineBench, name: str, in_file: Side, anew: Side) -> None:
    prompt = chat(story(480))
    for figure, unit, read in (
        ("reading 500 tokens", "s", lambda side: side.ask(prompt, num_tokens=1).first_s),
        ("one stream", "tok/s", lambda side: side.ask(prompt, num_tokens=33).decode_per_s),
    ):
        bench.compare(
            f"{figure}, {name}, weights",
            ("in the file", lambda read=read: read(in_file)),
            ("anew", lambda read=read: read(anew)),
            unit=unit,
        )


def steps(bench: EngineBench) -> None:
    """The steps of one answer, beside the bare loop's: a few in turn, as machines wander."""
    prompt = chat("Write a long letter about the sea.")
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in SAMPLINGS}
    with tempfile.TemporaryDirectory() as folder:  # of what steps were measured to cost
        for _ in range(bench.rounds):
            # New ones each time: where memory happens to lie makes a percent.
            ours = bench.side("ours", speculate=False, home=Path(folder))
            bare = bench.side("bare")
            for name, sampling in SAMPLINGS.items():
                rounds[name].append(_in_turn(ours, bare, prompt, sampling))
            ours.close()
            bare.close()
    for name, pairs in rounds.items():
        for index, side in enumerate(("ours", "bare")):
            values = [1 / pair[index] for pair in pairs]
            bench.report(f"steps in turn, {name}, {side}", values, unit="/s")
        bench.report(
            f"steps in turn, {name}, ours / bare",
            [theirs / mine for mine, theirs in pairs],
            unit="ratio",
            target=Target(0.97, at_least=True),
        )


def _in_turn(ours: Side, bare: Side, prompt: str, sampling: dict[str, Any]) -> tuple[float, float]:
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


def constrained(bench: EngineBench) -> None:
    """An answer by a schema, beside a free one."""
    ours = bench.side("ours", speculate=False)
    prompt = chat("Plan a museum day as JSON: a title, and steps with what, level, minutes.")
    bench.compare(
        "decode, by a schema / free",
        ("by a schema", lambda: ours.ask(prompt, schema=SCHEMA).decode_per_s),
        ("free", lambda: ours.ask(prompt).decode_per_s),
        unit="tok/s",
        target=Target(0.97, at_least=True),
    )
    ours.close()


def busy(bench: EngineBench) -> None:
    """Beside a busy program: the governor against fixed numbers of threads."""
    if bench.n_threads == 1:
        print("busy: one thread, nothing to choose; skipped")
        return
    ours = bench.side("ours", speculate=False)
    # The best fixed number is one less than all, beside a program that takes one core.
    counts = sorted({1, bench.n_threads - 1, bench.n_threads})
    fixed = [bench.side("bare", n_threads=count) for count in counts]
    prompt = chat("Write a long letter about the mountains.")
    with busy_programs(1):
        sides = [ours, *fixed]
        figures: list[list[float]] = [[] for _ in sides]
        # Of as many tokens, for the machine's speed changes within a minute; but bare threads
        # that share a core can take seconds for one.
        lengths = (*[128] * len(counts), 8)
        for _ in range(bench.rounds + 1):
            for side, values, length in zip(sides, figures, lengths, strict=True):
                values.append(side.ask(prompt, num_tokens=length).decode_per_s)
    names = ("governed", *(f"{count} threads" for count in counts))
    for name, values in zip(names, figures, strict=True):
        bench.report(f"beside a busy program, {name}", values[1:], unit="tok/s")
    best = max(median(values[1:]) for values in figures[1:])
    bench.report(
        "beside a busy program, governed / better fixed",
        [value / best for value in figures[0][1:]],
        unit="ratio",
        target=Target(0.95, at_least=True),
    )
    for side in sides:
        side.close()


def reading(bench: EngineBench) -> None:
    """A prompt while other programs want all cores, beside as many threads of a bare loop."""
    ours, bare = bench.side("ours"), bench.side("bare")

    def read(side: Side) -> float:
        past = story(400, first=1000 * bench.next_round())
        return side.ask(chat(past), num_tokens=1).first_s

    with busy_programs(bench.n_threads):
        bench.compare(
            "reading 400 tokens while others want all cores",
            ("ours", lambda: read(ours)),
            ("bare", lambda: read(bare)),
            unit="s",
        )
    ours.close()
    bare.close()


def copying(bench: EngineBench) -> None:
    """Drafts out of the text so far, for what is copied and for anything else."""
    on, off = bench.side("ours"), bench.side("ours", speculate=False)
    passage = story(70, first=41)
    copy = chat(f"{passage}\nRepeat this text exactly, and nothing else.", system="You copy.")
    other = chat("Invent a fable about a fox and a clock.")
    for figure, prompt, target in (("copying", copy, 1.8), ("anything else", other, 0.98)):
        bench.compare(
            f"{figure}, with drafts / without",
            ("with drafts", lambda p=prompt: on.ask(p, num_tokens=70).decode_per_s),
            ("without", lambda p=prompt: off.ask(p, num_tokens=70).decode_per_s),
            unit="tok/s",
            target=Target(target, at_least=True),
        )
    on.close()
    off.close()


def lock(bench: EngineBench) -> None:
    """Beside a busy Python thread of the caller's own program; with one thread of llama.cpp."""
    ours = bench.side("ours", n_threads=1, speculate=False)
    prompt = chat("Write a long letter about the desert.")

    def decode(*, busy: bool) -> float:
        ours.do("busy", on=busy)
        speed = ours.ask(prompt).decode_per_s
        ours.do("busy", on=False)
        return speed

    bench.compare(
        "one thread, caller's Python busy / idle",
        ("busy", lambda: decode(busy=True)),
        ("idle", lambda: decode(busy=False)),
        unit="tok/s",
        target=Target(0.85, at_least=True),
    )
    ours.close()


def cancelling(bench: EngineBench) -> None:
    """From a cancellation to the end of the answer."""
    ours = bench.side("ours")
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
            for each in range(bench.rounds)
        ]  # fmt: skip
        values = [each["seconds"] * 1000 for each in taken]
        bench.report(figure, values, unit="ms", target=Target(100))
        if prompt is short:
            steps = [each["seconds"] / each["step_s"] for each in taken]
            bench.report(f"{figure}, over a step", steps, unit="ratio", target=Target(1))
    ours.close()
