"""Rounds: what a run's tools have given so far, as its model is shown it.

Read out of the run's steps, so that a run goes on in another process as it would have in this one.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from localassist.engine import code_dialect
from localassist.engine.chat_template import ChatMessage
from localassist.engine.tool_dialect import Call
from localassist.engine.tool_results import Answered, answered_text, clipped, past_text
from localassist.types.run_step import ToolCallsStepDetails
from localassist.types.tool import (
    CodeLogs,
    CodeToolCall,
    FileSearchToolCall,
    FunctionToolCall,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localassist.engine.paired import Paired
    from localassist.engine.tool_dialect import ToolDialect
    from localassist.types.run_step import RunStep
    from localassist.types.tool import ToolCall

FAILED = "failed"  # in a step's metadata: the code ended with an error


class Rounds:
    """The tool calls of a run, in order."""

    def __init__(self, steps: Sequence[RunStep]) -> None:
        """Read completed steps of tool calls."""
        self._steps = [
            (step, step.step_details.tool_calls)
            for step in steps
            if isinstance(step.step_details, ToolCallsStepDetails)
            # What a search found stands in the question, not behind it.
            and not any(
                isinstance(call, FileSearchToolCall) for call in step.step_details.tool_calls
            )
        ]

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self._steps)

    @property
    def answered(self) -> list[Answered]:
        """The functions that were called."""
        return [
            _answered(call)
            for _, calls in self._steps
            for call in calls
            if isinstance(call, FunctionToolCall)
        ]

    @property
    def codes(self) -> list[str]:
        """The code that was run."""
        return [
            call.code_interpreter.input
            for _, calls in self._steps
            for call in calls
            if isinstance(call, CodeToolCall)
        ]

    @property
    def num_failed(self) -> int:
        """How many of the last rounds were code that failed."""
        failed = itertools.takewhile(_failed, (step for step, _ in reversed(self._steps)))
        return sum(1 for _ in failed)

    def past_turns(self, dialect: ToolDialect) -> list[ChatMessage]:
        """The calls of functions of a run that has ended, and what they gave, as the model's own.

        A model that sees but the words that it answered with answers the like in words again.
        """
        turns: list[ChatMessage] = []
        for _, calls in self._steps:
            answered = [_answered(call) for call in calls if isinstance(call, FunctionToolCall)]
            if answered:
                written = dialect.written([each.call for each in answered])
                turns.append(ChatMessage("assistant", written))
                turns.append(ChatMessage("user", past_text(answered)))
        return turns

    def turns(
        self, *, may_call: bool, verdict: Callable[[Paired], str | None] | None = None
    ) -> list[ChatMessage]:
        """The conversation's turns after the thread's own.

        Args:
            may_call: whether the model is asked for further calls of functions, or for the answer.
            verdict: what is known of a response; None if they are not to be judged.
        """
        turns: list[ChatMessage] = []
        answered: list[Answered] = []
        for step, calls in self._steps:
            for call in calls:
                if isinstance(call, FunctionToolCall):
                    answered.append(_answered(call))
                    continue
                turns += _answered_turn(answered, may_call=may_call, verdict=verdict)
                answered = []
                turns += _code_turns(call, failed=_failed(step))
        return [*turns, *_answered_turn(answered, may_call=may_call, verdict=verdict)]


def _answered(call: FunctionToolCall) -> Answered:
    made = Call(call.function.name, call.function.arguments)
    return Answered(made, call.function.output or "")


def _failed(step: RunStep) -> bool:
    return FAILED in step.metadata


def _answered_turn(
    answered: Sequence[Answered],
    *,
    may_call: bool,
    verdict: Callable[[Paired], str | None] | None,
) -> list[ChatMessage]:
    if not answered:
        return []
    return [ChatMessage("user", answered_text(answered, may_call=may_call, verdict=verdict))]


def _code_turns(call: ToolCall, *, failed: bool) -> list[ChatMessage]:
    assert isinstance(call, CodeToolCall), "the other kind was treated"
    ran = call.code_interpreter
    parts = [output.logs for output in ran.outputs if isinstance(output, CodeLogs)]
    figures = len(ran.outputs) - len(parts)
    if figures:
        parts.append(f"[{figures} figure{'s' if figures > 1 else ''} shown to the user]")
    output = clipped("\n".join(parts))
    return [
        ChatMessage("assistant", code_dialect.written(ran.input)),
        ChatMessage("user", code_dialect.output_text(output, failed=failed)),
    ]
