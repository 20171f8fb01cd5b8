"""Guesses: optional arguments that a model has filled although nobody asked for them.

Small models do: a recipe for tomato soup is to be vegan. What the request names is kept,
and what the model was sure to fill: that "for me and my wife" means two guests is in no word of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist.engine.json_schema import problems
from localassist.engine.prefix_cache import common_prefix
from localassist.engine.tool_dialect import Call, arguments_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localassist.engine.tool_dialect import ToolDialect
    from localassist.runs.model_calls import ModelCalls
    from localassist.runs.named import Named

# Logarithm of the probability that the arguments end before one, below which it is kept. What
# is left to other tokens says nothing: they begin the same argument in another form.
_HARDLY = -2.3
_NEVER = float("-inf")
_FEW_WORDS = 3  # a longer text is not chosen but composed


@dataclass(frozen=True)
class Guesses:
    """Finds them in calls of some functions. Used by one run's worker.

    Attributes:
        model: asked how sure it is.
        dialect: its form of calls.
        functions: dicts as in the API.
        named: what is asked for.
    """

    model: ModelCalls
    dialect: ToolDialect
    functions: Sequence[Mapping[str, Any]]
    named: Named

    def left_out_of(self, calls: Sequence[Call], prompt: Sequence[int]) -> list[Call]:
        """The calls without them, each as valid as it was.

        Args:
            calls: that the model wrote.
            prompt: it wrote them behind.

        Raises:
            Interrupted: the run is to stop.
        """
        kept: list[Call] = []
        for call in calls:
            cleaned = self._cleaned(call, kept, prompt)
            if cleaned not in kept:
                kept.append(cleaned)
        return kept

    def _cleaned(self, call: Call, before: Sequence[Call], prompt: Sequence[int]) -> Call:
        schema = next(arguments_schema(each) for each in self.functions
                      if each["name"] == call.name)  # fmt: skip
        arguments: dict[str, Any] = json.loads(call.arguments)
        rest = dict(arguments)
        for name, value in arguments.items():
            if name in schema.get("required", ()) or not self._may_be_guessed(value):
                continue
            without = {key: each for key, each in rest.items() if key != name}
            if problems(without, schema):
                continue
            earlier = list(rest)[: list(rest).index(name)]
            begun = {key: rest[key] for key in earlier}
            if self._end(call.name, begun, name, before, prompt) > _HARDLY:
                rest = without
        return call if rest == arguments else Call(call.name, _written(rest))

    def _may_be_guessed(self, value: Any) -> bool:
        """Whether it is a choice that no word of the request is for.

        A text with digits may be a date or a time that was asked for in words.
        """
        choices = value if isinstance(value, list) else [value]
        return bool(choices) and all(
            (isinstance(each, (int, float)) and not isinstance(each, bool))
            or (isinstance(each, str) and len(each.split()) <= _FEW_WORDS
                and not any(map(str.isdigit, each)))
            for each in choices
        ) and not self.named.names_some_of(value)  # fmt: skip

    def _end(
        self,
        function: str,
        begun: Mapping[str, Any],
        name: str,
        before: Sequence[Call],
        prompt: Sequence[int],
    ) -> float:
        """Logarithm of the probability that the arguments end instead of going on with one."""
        encode = self.model.engine.encode_frame
        text = self.dialect.begun([*before, Call(function, _written(begun))])[:-2]
        on = f"{text}{', ' if begun else ''}{json.dumps(name)}: "
        end = f"{text}}}}}{self.dialect.closer}{self.dialect.end}"
        if encode(on) != self.model.engine.encode_text(on):
            return _NEVER  # texts in it read as control tokens
        more, over = encode(on), encode(end)
        common = common_prefix(more, over)
        if common == min(len(more), len(over)):
            return _NEVER
        return self.model.first_logprob([*prompt, *over[:common]], over[common])


def _written(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False)
