"""FunctionCaller: whether the model wants functions called, and with which arguments.

The first token decides: how likely it is that the answer begins with a fence. Then the opener is
written for the model and the calls follow under a grammar of the functions' schemas, so that what
is submitted is valid whatever the model is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from localassist.engine import tool_dialect
from localassist.engine.request import FinishReason, GenerationRequest, SamplingParams
from localassist.engine.tool_dialect import Answered, Call
from localassist.errors import ModelError
from localassist.types.run_step import ToolCallsStepDetails

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localassist.engine.request import Engine, Generation
    from localassist.types.run import Run
    from localassist.types.run_step import RunStep

# Inside calls the run's temperature does not hold: it is for prose.
_CALL_TEMPERATURE = 0.2
_MAX_CALL_TOKENS = 1536
# A call is made above this logarithm of the opener's probability, by size of the model. Of 24
# questions of the Berkeley collection that want a call, all lie above (Qwen2.5-Coder 1.5B: -0.77,
# 0.5B: -0.94); of 12 that do not, half lie below.
_THRESHOLD = -0.9
_SMALL_THRESHOLD = -1.0
_SMALL_MODELS = ("0.5b", "135m", "360m")


@dataclass(frozen=True)
class Decision:
    """What the model wants: calls, or none; and the tokens it took."""

    calls: list[Call]
    num_tokens: int


class FunctionCaller:
    """The functions of one run. Used by the run's worker only."""

    def __init__(self, run: Run, answered_steps: Sequence[RunStep]) -> None:
        self._choice = run.tool_choice
        self._parallel = run.parallel_tool_calls
        self.answered = [
            Answered(Call(call.function.name, call.function.arguments), call.function.output or "")
            for step in answered_steps
            if isinstance(step.step_details, ToolCallsStepDetails)
            for call in step.step_details.tool_calls
        ]
        # Small models call again instead of answering while the functions stay in view.
        self.functions: list[dict[str, Any]] = (
            [] if self.answered or self._choice == "none"
            else [tool["function"] for tool in run.tools if tool["type"] == "function"]
        )  # fmt: skip
        if self._named is not None:
            self.functions = [each for each in self.functions if each["name"] == self._named]

    @property
    def _named(self) -> str | None:
        return self._choice["function"]["name"] if isinstance(self._choice, dict) else None

    @property
    def forced(self) -> bool:
        """A call is to be made whatever the model wants."""
        return self._choice == "required" or self._named is not None

    def system_text(self, instructions: str | None) -> str | None:
        """The system turn."""
        if not self.functions:
            return instructions
        return tool_dialect.system_text(instructions, self.functions)

    def closing_text(self) -> str | None:
        """A last user turn with what the functions gave, or None."""
        return tool_dialect.answered_text(self.answered) if self.answered else None

    def decide(
        self, engine: Engine, prompt: list[int], submit: Callable[[GenerationRequest], Generation]
    ) -> Decision:
        """Ask the model.

        Raises:
            ModelError: it began calls and did not end them in the room there is.
        """
        if not self.forced and not self._wants_call(engine, prompt, submit):
            return Decision([], 0)
        opener = engine.encode_text(tool_dialect.OPENER)
        most = 1 if self._named is not None or not self._parallel else tool_dialect.MAX_CALLS
        constraint = engine.constrain(tool_dialect.calls_grammar(self.functions, most=most))
        generation = submit(
            GenerationRequest(
                prompt_tokens=[*prompt, *opener],
                sampling=replace(engine.sampling_defaults, temperature=_CALL_TEMPERATURE),
                max_tokens=_MAX_CALL_TOKENS,
                constraint=constraint,
            )
        )
        events = list(generation)
        text = "".join(event.text for event in events)
        num_tokens = sum(event.num_tokens for event in events)
        if events[-1].finish_reason is FinishReason.CANCELLED:
            return Decision([], num_tokens)
        return Decision(_complete(text), num_tokens)

    def banned_first(self, engine: Engine) -> tuple[int, ...]:
        """Tokens that an answer in words must not begin with."""
        if not self.functions and not self.answered:
            return ()
        texts = (tool_dialect.FENCE, tool_dialect.OPENER, "[{")
        return tuple({engine.encode_text(text)[0] for text in texts})

    def _wants_call(
        self, engine: Engine, prompt: list[int], submit: Callable[[GenerationRequest], Generation]
    ) -> bool:
        opener = engine.encode_text(tool_dialect.OPENER)[0]
        generation = submit(
            GenerationRequest(
                prompt_tokens=prompt,
                sampling=SamplingParams(),
                max_tokens=1,
                watched=(opener,),
            )
        )
        for _ in generation:
            pass
        small = any(name in engine.name.lower() for name in _SMALL_MODELS)
        threshold = _SMALL_THRESHOLD if small else _THRESHOLD
        return generation.first_logprobs.get(opener, float("-inf")) > threshold


def _complete(text: str) -> list[Call]:
    try:
        return tool_dialect.parse_calls(text)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ModelError(
            f"The model began a call and did not end it within {_MAX_CALL_TOKENS} tokens.",
            code="call_incomplete",
            hint="Give the function fewer parameters, or use a larger model.",
        ) from error
