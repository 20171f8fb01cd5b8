"""Prompter: the prompts of one run, out of its thread, within the model's context."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localassist.engine.tool_results import clipped
from localassist.runs import prompt
from localassist.runs.rounds import Rounds
from localassist.store import messages, run_steps
from localassist.types.run import Run, Truncation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from localassist.engine.chat_template import ChatMessage
    from localassist.engine.request import Engine
    from localassist.engine.tool_dialect import Earlier
    from localassist.runs.recorder import RunRecorder
    from localassist.runs.services import Services
    from localassist.types.message import Message
    from localassist.types.run_step import RunStep

log = logging.getLogger("localassist.runs")

# The shortest answer that a prompt must leave room for, as far as the context allows.
ANSWER_TOKENS = 1024
# What tools have given is cut further where the context is too small for it.
_CLOSING_CHARS = (2000, 800, 300)
_LAST_TURNS = 2  # what is left of them at last: the code that ran last, and its output
_LATEST_MESSAGES = 6  # so many are read for the user's last two
_SMALLEST_MESSAGE_TOKENS = 4  # a turn's frame alone; bounds how much history is worth reading


class PromptTooLong(Exception):  # how a run ends, not what went wrong
    """Not even the instructions and the last message fit.

    Attributes:
        limit: tokens that the prompt may have.
        from_caller: the run's `max_prompt_tokens` is the limit.
    """

    def __init__(self, limit: int, *, from_caller: bool) -> None:
        super().__init__(limit)
        self.limit = limit
        self.from_caller = from_caller


@dataclass(frozen=True)
class _Limit:
    tokens: int
    from_caller: bool


class Prompter:
    """Builds prompts. Used by the run's worker only."""

    def __init__(
        self,
        services: Services,
        run: Run,
        engine: Engine,
        recorder: RunRecorder,
        *,
        shown: Callable[[str], str] | None = None,
        shrink: Callable[[], bool] = bool,
    ) -> None:
        """Build prompts for `run`.

        Args:
            services: of the data folder.
            run: whose prompts they are.
            engine: of its model.
            recorder: is told of messages that do not fit.
            shown: makes of the last question what the model sees of it.
            shrink: makes that shorter where it does not fit; False if it cannot.
        """
        self._shown = shown
        self._shrink = shrink
        self._services = services
        self._run = run
        self._engine = engine
        self._recorder = recorder
        self._limit = _limit(run, engine.n_ctx)
        # What the last prompt with functions in view shows of earlier answers.
        self.earlier: Earlier = "nothing"

    def tokens(
        self, system: str | None, closing: Sequence[ChatMessage] = (), *, calls: bool = False
    ) -> list[int]:
        """The prompt for the assistant's next turn.

        Args:
            system: the system turn.
            closing: turns that are not of the thread, after it.
            calls: whether functions are in view, and so what earlier runs have called.

        Raises:
            PromptTooLong: see there.
        """
        run, connection, limit = self._run, self._services.store.read(), self._limit
        strategy = run.truncation_strategy
        wanted = strategy.last_messages if strategy is not None else None
        most = max(1, limit.tokens // _SMALLEST_MESSAGE_TOKENS)
        history = messages.history(
            connection,
            thread_id=run.thread_id,
            run_id=run.id,
            limit=most if wanted is None else min(wanted, most),
        )
        past = self._past_calls(history) if calls else {}
        built = self._built(history, system, closing, past)
        while built is None and self._shrink():
            built = self._built(history, system, closing, past)
        if built is None:
            raise PromptTooLong(limit.tokens, from_caller=limit.from_caller)
        total = messages.count(connection, thread_id=run.thread_id, run_id=run.id)
        # What the caller's own `last_messages` leaves out is no surprise to be reported.
        asked_for = total if wanted is None else min(wanted, total)
        dropped = asked_for - len(history) + built.num_dropped
        if dropped > 0:
            self._report(dropped, len(built.tokens))
        return built.tokens

    def asked(self) -> list[str]:
        """What the user said last, and the time before, oldest first."""
        latest = messages.history(
            self._services.store.read(),
            thread_id=self._run.thread_id,
            run_id=self._run.id,
            limit=_LATEST_MESSAGES,
        )
        said = [prompt.chat_message(each).content for each in latest if each.role == "user"]
        return said[-2:]

    def _built(
        self,
        history: Sequence[Message],
        system: str | None,
        closing: Sequence[ChatMessage],
        past: Mapping[str, Sequence[ChatMessage]],
    ) -> prompt.Prompt | None:
        """The prompt, with what tools have given cut as far as need be; None if it does not fit."""
        cuts: list[tuple[Sequence[ChatMessage], int | None]] = [(closing, None)]
        if closing:
            cuts += [(closing, most) for most in _CLOSING_CHARS]
            cuts.append((closing[-_LAST_TURNS:], _CLOSING_CHARS[-1]))
        for kept, most in cuts:
            turns = [
                turn if most is None else replace(turn, content=clipped(turn.content, most))
                for turn in kept
            ]
            built = prompt.build(
                history,
                instructions=system,
                max_tokens=self._limit.tokens,
                closing=turns,
                calls=past,
                shown=self._shown,
                encode=self._engine.encode_chat,
            )
            if built is not None:
                return built
        return None

    def _past_calls(self, history: Sequence[Message]) -> dict[str, list[ChatMessage]]:
        """By the id of the first message of each earlier run, the calls of functions before it."""
        first: dict[str, str] = {}
        for message in history:
            if message.role == "assistant" and message.run_id not in (None, self._run.id):
                first.setdefault(str(message.run_id), message.id)
        spoken = any(each.role == "assistant" and each.run_id != self._run.id for each in history)
        self.earlier = "words" if spoken else "nothing"
        if not first:
            return {}
        steps = run_steps.tool_calls_of_runs(self._services.store.read(), json.dumps(list(first)))
        by_run: dict[str, list[RunStep]] = {}
        for step in steps:
            by_run.setdefault(step.run_id, []).append(step)
        dialect = self._engine.tools.dialect
        turns = {
            first[run_id]: Rounds(of_run).past_turns(dialect) for run_id, of_run in by_run.items()
        }
        if any(turns.values()):
            self.earlier = "calls"
        return turns

    def _report(self, dropped: int, num_tokens: int) -> None:
        log.warning(
            "run %s: %d messages do not fit the context", self._run.id, dropped,
            extra={"run_id": self._run.id},
        )  # fmt: skip
        self._recorder.note_truncation(
            Truncation(
                dropped_messages=dropped,
                prompt_tokens=num_tokens,
                max_prompt_tokens=self._limit.tokens,
            )
        )


def _limit(run: Run, n_ctx: int) -> _Limit:
    answer = min(run.max_completion_tokens or ANSWER_TOKENS, n_ctx // 4)
    room = n_ctx - answer
    if run.max_prompt_tokens is not None and run.max_prompt_tokens < room:
        return _Limit(run.max_prompt_tokens, from_caller=True)
    return _Limit(room, from_caller=False)
