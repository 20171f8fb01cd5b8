"""Several conversations: at once, in turn, behind a long history, and kept in files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import engine_goals
from benchmarks.engine_peers import installed
from benchmarks.engine_prompts import chat, story
from benchmarks.harness import Target, busy_programs

if TYPE_CHECKING:
    from benchmarks.engine_bench import EngineBench
    from benchmarks.engine_sides import Side

# Of llama.cpp's servers, one that has several slots keeps conversations in them, while one that has
# one has to fetch them back from its cache in RAM; node-llama-cpp keeps a sequence for each.
TURN_SLOTS = {"server": 8, "xllamacpp": 1, "node-llama-cpp": 4}


def chats(bench: EngineBench) -> None:
    """Several at once, beside the peers."""
    ours = bench.side("ours")
    for kind in installed(*bench.peers):
        _against(bench, ours, kind)
    ours.close()


def _against(bench: EngineBench, ours: Side, kind: str) -> None:
    peer = bench.side(kind)
    for count in (3, 8):
        firsts: dict[str, list[float]] = {"ours": [], kind: []}

        def run(side: Side, count: int = count, firsts: Any = firsts) -> float:
            answers = side.ask(*bench.chats(count))
            firsts[side.kind].append(answers.first_s)
            return answers.tokens_per_s

        bench.compare(
            f"{count} chats, total", ("ours", lambda: run(ours)), (kind, lambda: run(peer)),
            unit="tok/s",
            target=engine_goals.total(bench.label, kind, count),
        )  # fmt: skip
        pairs = zip(firsts["ours"][1:], firsts[kind][1:], strict=True)
        for who in firsts:
            bench.report(f"{count} chats, mean first token, {who}", firsts[who][1:], unit="s")
        bench.report(
            f"{count} chats, mean first token, ours / {kind}", [a / b for a, b in pairs],
            unit="ratio",
            target=engine_goals.first_token(bench.label, kind, count),
        )  # fmt: skip
    if kind == "lock":
        with busy_programs(1):
            for count in (3, 8):
                bench.compare(
                    f"{count} chats beside a busy program, total",
                    ("ours", lambda n=count: ours.ask(*bench.chats(n)).tokens_per_s),
                    (kind, lambda n=count: peer.ask(*bench.chats(n)).tokens_per_s),
                    unit="tok/s",
                    target=Target(0.98 if count == 3 else 1.2, at_least=True),
                )
    peer.close()


def company(bench: EngineBench) -> None:
    """An answer after seven other conversations of 900 tokens, beside one by itself."""
    after, alone = bench.side("ours", speculate=False), bench.side("ours", speculate=False)

    def ask(side: Side) -> float:
        for each in (after, alone):
            each.do("rest")
        return side.ask(chat("Write a long letter about the hills.")).decode_per_s

    for each in range(7):
        after.ask(chat(story(900, first=1000 * each)), num_tokens=2)
    bench.compare(
        "after seven other conversations / by itself",
        ("after", lambda: ask(after)),
        ("alone", lambda: ask(alone)),
        unit="tok/s",
        target=Target(0.97, at_least=True),
    )
    after.close()
    alone.close()


def history(bench: EngineBench) -> None:
    """A turn after 6,000 tokens: beside reading only its new words, and in a new process."""
    with tempfile.TemporaryDirectory() as home:
        ours, bare = bench.side("ours", home=Path(home)), bench.side("bare")
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
        bench.compare(
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
            ours = bench.side("ours", home=Path(home))
            values.append(ours.ask(prompt, num_tokens=2).first_s / read_s)
            ours.close()
    bench.report(
        "the same in a new process / reading it again", values, unit="ratio",
        target=Target(0.02),
    )  # fmt: skip


def gaps(bench: EngineBench) -> None:
    """How long a running answer pauses while a prompt of 2,000 tokens is read."""
    ours = bench.side("ours", speculate=False)
    values = []
    for each in range(bench.rounds):
        # Given at once, the short one is read first.
        answers = ours.ask(
            chat(f"{each}. Write a long story about a lighthouse."),
            chat(story(2000, first=1000 * each)),
            num_tokens=120,
        )
        values.append(answers.longest_gap_s * 1000)
    ours.close()
    target = Target(350) if "0.5b" in bench.label else None
    bench.report("longest gap while 2,000 tokens are read", values, unit="ms", target=target)


def turns(bench: EngineBench) -> None:
    """The second turn of four interleaved conversations, beside the peers' own caches."""
    kinds = installed(*(kind for kind in bench.peers if kind in TURN_SLOTS))
    sides = [bench.side("ours"), *(bench.side(kind, slots=TURN_SLOTS[kind]) for kind in kinds)]
    firsts: list[list[float]] = [[] for _ in sides]
    for each in range(bench.rounds):
        pasts = [story(400, first=1000 * each + 100 * number) for number in range(4)]
        for side, values in zip(sides, firsts, strict=True):
            answers = [side.ask(chat(past), num_tokens=16).texts[0] for past in pasts]
            for past, answer in zip(pasts, answers, strict=True):
                prompt = chat(past, answer, "And then?")
                values.append(side.ask(prompt, num_tokens=4).first_s)
    figure = "second of 4 interleaved, first token"
    for side, values in zip(sides, firsts, strict=True):
        bench.report(f"{figure}, {side.kind}", values, unit="s")
        side.close()
    for kind, values in zip(kinds, firsts[1:], strict=True):
        bench.report(
            f"{figure}, ours / {kind}",
            [a / b for a, b in zip(firsts[0], values, strict=True)],
            unit="ratio",
            median=median(firsts[0]) / median(values),
            target=Target(0.8) if kind == "xllamacpp" else None,
        )


def hibernation(bench: EngineBench) -> None:
    """Keys and values out of the context, into files, and from there back."""
    ours = bench.side("ours")
    target = Target(15) if "0.5b" in bench.label else None
    for names, writes in ((("save", "restore"), False), (("write",), True)):
        figures = []
        for _ in range(bench.rounds):
            past = chat(story(2000, first=1000 * bench.next_round()))
            figures.append(ours.do("hibernate", prompt=past, writes=writes))
        for name in names:
            values = [figure[f"{name}_s"] * 1000 for figure in figures]
            bench.report(f"{name} 1,000 tokens", values, unit="ms", target=target)
        target = None  # another OS thread writes, behind the engine
    ours.close()
