"""Guesses: optional arguments that a model has filled although nobody asked for them.

Small models do: a recipe for tomato soup is to be vegan, an open question of a quiz has choices.
What the request names is kept, and what the model was sure to fill: that "for me and my wife" means
two guests is in no word of it.
"""

from __future__ import annotations

import json
from copy import copy
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from localassist.engine.json_schema import problems
from localassist.engine.prefix_cache import common_prefix
from localassist.engine.tool_dialect import Call, arguments_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from localassist.engine.tool_dialect import ToolDialect
    from localassist.runs.model_calls import ModelCalls
    from localassist.runs.named import Named

    Path = tuple[Any, ...]  # of an argument: names of properties and places in lists

# Logarithm of the probability that an object ends before one, below which it is kept. What
# is left to other tokens says nothing: they begin the same argument in another form.
_HARDLY = -2.3
# The same within a list, whose items are meant to be alike: 0.4.
_HARDLY_IN_LIST = -0.9
_NEVER = float("-inf")
_MOST_IN_LISTS = 32  # of a call: each may take the time of a token
_FEW_WORDS = 3  # a longer text is not chosen but composed


@dataclass(frozen=True)
class Guesses:
    """Finds them in calls of some functions. Used by one run's worker.

    Attributes:
        model: asked how sure it is.
        dialect: its form of calls.
        functions: dicts as in the API.
        named: what is asked for.
        said: tokens in which the model wrote the calls.
    """

    model: ModelCalls
    dialect: ToolDialect
    functions: Sequence[Mapping[str, Any]]
    named: Named
    said: Sequence[int] = ()

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
        rest = arguments
        for path in self._candidates(arguments):
            *place, name = path
            item = _at(rest, place)
            fewer = {key: item[key] for key in item if key != name}
            without = _with(rest, place, fewer)
            if (place and not fewer) or problems(without, schema):
                continue
            # Of other items as the model wrote them: behind one without it, it leaves it out.
            shown = _with(arguments, place, item)
            hardly = _HARDLY_IN_LIST if place else _HARDLY
            if self._end(call.name, shown, path, before, prompt) > hardly:
                rest = without
        return call if rest == arguments else Call(call.name, _written(rest))

    def _candidates(self, arguments: Mapping[str, Any]) -> list[Path]:
        """Places of what may be guessed; not in lists that are so long that some would stay."""
        places = [*_properties(arguments)]
        found = [each for each in places if self._may_be_guessed(_at(arguments, each))]
        alone = [each for each in found if len(each) == 1]
        return found if len(found) - len(alone) <= _MOST_IN_LISTS else alone

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
        arguments: Mapping[str, Any],
        path: Path,
        before: Sequence[Call],
        prompt: Sequence[int],
    ) -> float:
        """Logarithm of the probability that an object ends instead of going on with a property."""
        engine = self.model.engine
        *place, name = path
        begun = Call(function, f"{_text_before(arguments, path)}{_written(name)}: ")
        fewer = _with(arguments, place, _earlier(_at(arguments, place), name))
        ended = Call(function, _written(fewer))
        on = self.dialect.begun([*before, begun])[:-1]
        end = self.dialect.written([*before, ended])
        if engine.encode_frame(on) != engine.encode_text(on):
            return _NEVER  # texts in it read as control tokens
        keep = common_prefix(on, end)
        more, over = (engine.encode_on(self.said, text, keep=keep) for text in (on, end))
        common = common_prefix(more, over)
        if common == min(len(more), len(over)):
            return _NEVER
        return self.model.first_logprob([*prompt, *over[:common]], over[common])


def _properties(value: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """Places of the arguments, and of properties of objects in lists, as they are written."""
    for name, each in value.items():
        yield (*path, name)
        for index, item in enumerate(each if isinstance(each, list) else ()):
            if isinstance(item, dict):
                yield from _properties(item, (*path, name, index))


def _at(value: Any, path: Sequence[Any]) -> Any:
    for step in path:
        value = value[step]
    return value


def _with(value: Any, path: Sequence[Any], new: Any) -> Any:
    """A value with something else at a path."""
    if not path:
        return new
    first, *rest = path
    changed = copy(value)
    changed[first] = _with(value[first], rest, new)
    return changed


def _earlier(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The properties before one."""
    return dict(takewhile(lambda each: each[0] != name, item.items()))


def _text_before(value: Any, path: Sequence[Any]) -> str:
    """A value as it is written, up to the name of a path's property."""
    item = _at(value, path[:-1])
    text = _written(_cut(value, path))[: -len(path)]  # each step of a path is a bracket to close
    return f"{text}, " if _earlier(item, path[-1]) else text


def _cut(value: Any, path: Sequence[Any]) -> Any:
    """A value with nothing from a path on."""
    first, *rest = path
    if isinstance(value, list):
        return [*value[:first], _cut(value[first], rest)]
    earlier = _earlier(value, first)
    return {**earlier, first: _cut(value[first], rest)} if rest else earlier


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
