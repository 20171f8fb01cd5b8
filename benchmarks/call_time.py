"""How much longer a call takes than the model by itself: its prompt, and as many tokens.

Both sides in one process, in turn. No prompt is known to the cache, of either side: each has a
beginning of its own.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import berkeley
from benchmarks.function_runs import QUIZ, QUIZ_REQUEST, TUTOR, ask, calls_of
from benchmarks.harness import ROOT, report
from localassist.engine.request import GenerationRequest
from localassist.engine.tool_dialect import Call as Written

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localassist import Client
    from localassist.engine.request import Engine
    from localassist.types.run import Usage

_TIMED = 12  # calls of each kind
_KNOWN = 32  # tokens with which all prompts begin, at most


@dataclass(frozen=True)
class _Timed:
    """A run, and what it was: `made` counts the tokens of its calls, without what was dropped."""

    seconds: float
    usage: Usage
    made: int


def overheads(client: Client, name: str, folder: Path) -> None:
    """Print a call's time over the model's own: of one function, and where there are several."""
    # What is loaded or measured once in a process is no part of a call's time.
    started = time.perf_counter()
    ask(client, [QUIZ, {**QUIZ, "name": "show"}], QUIZ_REQUEST, tool_choice="required")
    print(f"{name}: the first call of the process {time.perf_counter() - started:.1f} s")
    overhead(client, name, "one function", [([QUIZ], QUIZ_REQUEST)] * _TIMED)
    for category in ("multiple", "parallel_multiple"):
        questions = berkeley.load(folder, category, _TIMED)
        overhead(client, name, category, [(each.functions, each.text) for each in questions])


def overhead(
    client: Client, name: str, label: str, asked: Sequence[tuple[list[dict[str, Any]], str]]
) -> None:
    """Print calls' time over that of as many tokens as were written, and as the calls have."""
    of_written, of_made = [], []
    with client._runtime.engines.use(name) as engine:
        for number, (functions, text) in enumerate(asked):
            called = _called(client, engine, functions, text, head=f"{label} {number}: ")
            most = max(called.usage.completion_tokens, called.made) if called else 0
            prompt_tokens = called.usage.prompt_tokens if called else 0
            alone = _alone(engine, f"{label} {number}: ", prompt_tokens, most)
            if called is None or not called.made or len(alone) < most:
                print(f"{name}: {label} {number} is left out: no call, or too short a text alone")
                continue
            of_written.append(called.seconds / alone[called.usage.completion_tokens - 1])
            of_made.append(called.seconds / alone[called.made - 1])
    if of_written:
        report(f"{name}: {label}, calls over the model's own time", of_written, unit="")
        report(f"{name}: {label}, over that for the calls made alone", of_made, unit="")
    else:
        print(f"{name}: {label}: nothing was measured")


def _called(
    client: Client, engine: Engine, functions: list[dict[str, Any]], text: str, *, head: str
) -> _Timed | None:
    """A run that is to call; None if it failed."""
    # A function's description is the first that differs in a prompt.
    first, *others = functions
    functions = [{**first, "description": head + first.get("description", "")}, *others]
    started = time.perf_counter()
    run = ask(client, functions, text, instructions=TUTOR, tool_choice="required", temperature=0)
    seconds = time.perf_counter() - started
    steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id).data
    usage = steps[0].usage if steps else None
    if usage is None:
        return None
    details = usage.prompt_tokens_details
    assert details.cached_tokens < _KNOWN, "the prompt is a new one"
    calls = [Written(name, json.dumps(given)) for name, given in calls_of(run)]
    made = len(engine.encode_text(engine.tools.dialect.written(calls))) if calls else 0
    return _Timed(seconds, usage, made)


def _alone(engine: Engine, head: str, prompt_tokens: int, max_tokens: int) -> list[float]:
    """Seconds until each token of an answer of the model alone, on a text of other words."""
    if not max_tokens:
        return []
    words = (ROOT / "README.md").read_text("utf-8")
    prompt = [*engine.encode_text(head), *engine.encode_text(words)][:prompt_tokens]
    started, reached = time.perf_counter(), []
    for event in engine.submit(GenerationRequest(prompt_tokens=prompt, max_tokens=max_tokens)):
        reached += [time.perf_counter() - started] * event.num_tokens
    return reached
