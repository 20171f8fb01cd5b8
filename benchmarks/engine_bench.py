"""A benchmark of the engine for one model: what is asked, what is told, and how sides are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.engine_peers import PEERS
from benchmarks.engine_prompts import INSTRUCTIONS, TOPICS, chat
from benchmarks.engine_sides import Side
from benchmarks.harness import compare, llama_facts, model_facts, report
from localassist import Settings
from localassist.engine.cores import usable_cores
from localassist.engine.model_files import ModelFiles

if TYPE_CHECKING:
    from collections.abc import Sequence

N_CTX = 8192


class EngineBench:
    """Of one model; questions take turns with it."""

    def __init__(self, name: str, *, rounds: int, peers: Sequence[str] = tuple(PEERS)) -> None:
        settings = Settings.from_env()
        self.path = ModelFiles(settings.models, default=None).resolve(name).path
        self.rounds, self.peers = rounds, peers
        self.n_threads = settings.n_threads or usable_cores()
        self.label = name.removesuffix("-instruct")
        model = {**model_facts(self.path), "threads": self.n_threads}
        self.facts: dict[str, Any] = {**model, **llama_facts()}
        self._round = 0

    def side(self, kind: str, **options: Any) -> Side:
        """A child that answers; see `engine_sides`."""
        options.setdefault("n_threads", self.n_threads)
        return Side(kind, self.path, n_ctx=N_CTX, **options)

    def report(self, figure: str, values: list[float], *, unit: str, **more: Any) -> None:
        """Print a figure of this model; see `harness.report`."""
        report(f"{self.label}: {figure}", values, unit=unit, **more, **self.facts)

    def compare(self, figure: str, a: Any, b: Any, **more: Any) -> None:
        """Measure two sides in turn, for all rounds; see `harness.compare`."""
        more.setdefault("repeat", self.rounds)
        compare(f"{self.label}: {figure}", a, b, **more, **self.facts)

    def next_round(self) -> int:
        """A number that no prompt has been made of yet."""
        self._round += 1
        return self._round

    def anew(self) -> str:
        """Instructions that nobody has seen yet."""
        return f"Session {self.next_round()}. {INSTRUCTIONS}"

    def chats(self, count: int) -> list[str]:
        """Questions that share such instructions."""
        system = self.anew()
        return [chat(f"Explain {topic} to me.", system=system) for topic in TOPICS[:count]]
