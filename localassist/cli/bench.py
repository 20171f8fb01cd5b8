"""`localassist bench`: how fast answers are on this machine, as a caller of the API sees it."""

from __future__ import annotations

import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer
from typing_extensions import override

from localassist.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.client.client import Client
    from localassist.settings import Settings

INSTRUCTIONS = "You keep the ledger of a harbour, and tell stories of the sea when you are asked."
STORY = "Tell a very long story about {}, and never stop in the middle."
HEROES = ("a tide", "a baker", "a clock", "a bridge", "a comet", "a sonnet", "a vaccine", "a pawn")
# About 20 tokens; the numbers keep lines and histories apart.
LINE = "Entry {}-{}: a ship came in with the evening tide and left again before noon.\n"
QUESTIONS = ("What came in? Say it in one sentence.", "And when?", "When did it leave?")
MOST_TOKENS = 256  # the API takes no less
COSTS_TIMEOUT_S = 120.0


@dataclass
class Speed:
    """What was measured of a model; lists have a value for each conversation.

    Attributes:
        first_answer_s: until the first word of the first answer, with the model being loaded.
        read_tokens_per_s: of a new prompt.
        write_tokens_per_s: of a story, with nothing else going on.
        history_tokens: of a conversation before its second turn.
        next_turn_s: until the first word of the second turn.
        next_turn_read_tokens: that had to be read for it.
        restarted_turn_s: of the third, with the engine closed and opened, and the model loaded.
        restarted_turn_read_tokens: that had to be read for it.
        at_once: stories told at the same time.
        at_once_tokens_per_s: of all of them together.
        at_once_first_s: until the first word of each.
    """

    model: str
    threads: int
    first_answer_s: float
    read_tokens_per_s: list[float]
    write_tokens_per_s: float
    history_tokens: list[int]
    next_turn_s: list[float]
    next_turn_read_tokens: list[int]
    restarted_turn_s: list[float]
    restarted_turn_read_tokens: list[int]
    at_once: int
    at_once_tokens_per_s: float
    at_once_first_s: list[float]

    @override
    def __str__(self) -> str:
        return (
            f"{self.model}, {self.threads} threads, "
            f"first word after {self.first_answer_s:.1f} s with loading\n"
            f"  reads {_spread(self.read_tokens_per_s, 0)} tokens/s, "
            f"writes {self.write_tokens_per_s:.0f}\n"
            f"  the next turn after {median(self.history_tokens):,.0f} tokens begins after "
            f"{_spread(self.next_turn_s, 2)} s, after a restart and loading "
            f"{_spread(self.restarted_turn_s, 2)} s\n"
            f"  {self.at_once} stories at once: {self.at_once_tokens_per_s:.0f} tokens/s, "
            f"beginning after {_spread(self.at_once_first_s, 1)} s"
        )


@dataclass
class _Answer:
    """One streamed answer; its times count from when it was asked for."""

    first_s: float
    last_s: float
    prompt_tokens: int
    new_tokens: int
    tokens: int


def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="MODEL")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Conversations after one another.")] = 3,
    stories: Annotated[int, typer.Option(min=1, max=len(HEROES), help="Stories at once.")] = 8,
    lines: Annotated[int, typer.Option(min=1, help="Lines of 20 tokens to read.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each.")] = False,
) -> None:
    """Measure how fast each MODEL, or the default one, answers on this machine.

    One to three minutes for each. What is asked goes into a temporary folder; nothing else should
    run on the machine meanwhile. Of several values the median is told, with the least and the most.
    """
    from localassist.engine.model_files import ModelFiles
    from localassist.settings import Settings

    settings = Settings.from_env()
    default = settings.model or ModelFiles(settings.models, default=None).manifest.default.name
    for name in names or [default]:
        speed = _measure(settings, name, rounds=rounds, num_lines=lines, heroes=HEROES[:stories])
        typer.echo(json.dumps(asdict(speed)) if as_json else str(speed))


def _measure(
    settings: Settings, name: str, *, rounds: int, num_lines: int, heroes: Sequence[str]
) -> Speed:
    from localassist import Client
    from localassist.engine.cores import usable_cores

    with tempfile.TemporaryDirectory(prefix="localassist-bench-") as folder:
        home = Path(folder)
        with Client(home, model=name, settings=settings) as client:
            _say(f"{name}: loading it")
            hello = _ask(client, "Say hello.")
            if not settings.deterministic:
                _say("measuring what a step costs here")
                _wait_for_costs(client)
            _say("one conversation after another")
            histories = [
                "".join(LINE.format(each, line) for line in range(num_lines))
                for each in range(rounds)
            ]
            thread_ids = [client.beta.threads.create().id for _ in histories]
            read = [
                _ask(client, history + QUESTIONS[0], thread_id=thread_id)
                for thread_id, history in zip(thread_ids, histories, strict=True)
            ]
            second = [_ask(client, QUESTIONS[1], thread_id=each) for each in thread_ids]
            story = _ask(client, STORY.format("a lighthouse"))
            _say("stories at once")
            asked = time.perf_counter()
            answers = _ask_at_once(client, [STORY.format(hero) for hero in heroes])
            wall_s = time.perf_counter() - asked
        with Client(home, model=name, settings=settings) as client:
            _say("the conversations again, after a restart")
            _ask(client, "Say hello.")
            third = [_ask(client, QUESTIONS[2], thread_id=each) for each in thread_ids]
    return Speed(
        model=name,
        threads=settings.n_threads or usable_cores(),
        first_answer_s=hello.first_s,
        read_tokens_per_s=[each.new_tokens / each.first_s for each in read],
        write_tokens_per_s=_write_tokens_per_s(story),
        history_tokens=[each.prompt_tokens + each.tokens for each in read],
        next_turn_s=[each.first_s for each in second],
        next_turn_read_tokens=[each.new_tokens for each in second],
        restarted_turn_s=[each.first_s for each in third],
        restarted_turn_read_tokens=[each.new_tokens for each in third],
        at_once=len(answers),
        at_once_tokens_per_s=sum(each.tokens for each in answers) / wall_s,
        at_once_first_s=[each.first_s for each in answers],
    )


def _wait_for_costs(client: Client) -> None:
    """Until the engine knows what steps cost, which it measures while nobody asks."""
    deadline = time.monotonic() + COSTS_TIMEOUT_S
    while not all(engine.measured for engine in client.status().values()):
        if time.monotonic() > deadline:
            _say("that takes too long: going on without it")
            return
        time.sleep(0.1)


def _ask(client: Client, question: str, *, thread_id: str | None = None) -> _Answer:
    """Have a question answered, in a new conversation unless one is given, and time it."""
    threads = client.beta.threads
    thread_id = thread_id or threads.create().id
    threads.messages.create(thread_id=thread_id, role="user", content=question)
    assistant = client.beta.assistants.create(model="gpt-4", instructions=INSTRUCTIONS)
    asked = time.perf_counter()
    with threads.runs.stream(
        thread_id, assistant_id=assistant.id, max_completion_tokens=MOST_TOKENS
    ) as stream:
        times = [time.perf_counter() - asked for _text in stream.text_deltas]
    (run,) = threads.runs.list(thread_id=thread_id, limit=1).data
    if not times or run.usage is None:
        said = run.last_error.message if run.last_error else f"its run is {run.status}"
        raise ModelError(
            f"There is no answer to be timed: {said}",
            code="no_answer",
            hint="Ask the model something with localassist demo --model, or measure another one.",
        )
    cached = run.usage.prompt_tokens_details.cached_tokens
    return _Answer(
        first_s=times[0],
        last_s=times[-1],
        prompt_tokens=run.usage.prompt_tokens,
        new_tokens=run.usage.prompt_tokens - cached,
        tokens=run.usage.completion_tokens,
    )


def _ask_at_once(client: Client, questions: Sequence[str]) -> list[_Answer]:
    pool = ThreadPoolExecutor(len(questions))
    try:
        return list(pool.map(lambda question: _ask(client, question), questions))
    except BaseException:
        client.close()  # or the pool would wait for the other answers
        raise
    finally:
        pool.shutdown()


def _write_tokens_per_s(story: _Answer) -> float:
    if story.tokens < MOST_TOKENS // 4:
        _say(f"its story has only {story.tokens} tokens, so how fast it writes is a rough figure")
    return (story.tokens - 1) / max(story.last_s - story.first_s, 1e-9)


def _spread(values: Sequence[float], digits: int) -> str:
    """The median, with the least and the most where there are several."""
    told = f"{median(values):.{digits}f}"
    return f"{told} ({min(values):.{digits}f} to {max(values):.{digits}f})" if values[1:] else told


def _say(text: str) -> None:
    typer.echo(text, err=True)
