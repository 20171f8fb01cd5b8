"""ToolDialect: how a model is shown functions, and how its calls are read. Pure.

Qwen2.5-Coder, asked by its own template, never writes the tags that the template shows; a JSON list
in a fence is what it writes by itself. So that is what it is asked for, behind its opener under a
grammar, and the instructions come last, or they are forgotten over the functions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist.engine.constraint import Grammar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FENCE = "```"
OPENER = "```json\n["
MAX_CALLS = 8
MAX_OUTPUT_CHARS = 6000
_SHOWN = ("name", "description", "parameters")

_FUNCTIONS = """# Functions
You can call these functions:
<tools>
{listed}
</tools>

If the functions can do what the user asks, reply with nothing but a JSON list of calls:
```json
[{{"name": "<function name>", "arguments": {{"<parameter>": <value>}}}}]
```
Put one object in the list for every call that is needed: if the user names several cities, items, \
dates or values, call the function once for each of them.
If no function fits the request, do not write JSON: answer in plain words."""
_TASK = """# Your task
{instructions}
Everything you write, also in the arguments of functions, must fit this task."""
_OUTPUT = """The function {name} was called for me, with these arguments:
{arguments}
It gave this output:
{output}"""
_ANSWER = """Now answer my request in words, using this output. Judge what is in it by the \
arguments: say of each part whether it is right, and what is right where it is not. Do not call a \
function again and do not write JSON."""


@dataclass(frozen=True)
class Call:
    """A function's name and the JSON text of its arguments."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Answered:
    """A call and what it gave."""

    call: Call
    output: str


def system_text(instructions: str | None, functions: Sequence[Mapping[str, Any]]) -> str:
    """The system turn of a model that may call `functions`: each a dict as in the API."""
    listed = "\n".join(
        json.dumps({key: each[key] for key in _SHOWN if each.get(key)}, ensure_ascii=False)
        for each in functions
    )
    shown = _FUNCTIONS.format(listed=listed)
    return f"{shown}\n\n{_TASK.format(instructions=instructions)}" if instructions else shown


def answered_text(answered: Sequence[Answered]) -> str:
    """The user turn that shows the model what its calls gave."""
    parts = [_paired(each) or _whole(each) for each in answered]
    return "\n\n".join([*parts, _ANSWER])


def calls_grammar(functions: Sequence[Mapping[str, Any]], *, most: int) -> Grammar:
    """What may follow OPENER: up to `most` calls of these functions, each by its schema."""
    names, rules = [], []
    for index, each in enumerate(functions):
        schema = each.get("parameters") or {"type": "object", "properties": {}}
        schema = {"additionalProperties": False, **schema}
        names.append(f"call{index}")
        begin = json.dumps(f'{{"name": {json.dumps(each["name"])}, "arguments": ')
        rules.append(
            f'call{index}: {begin} args{index} "}}"\nargs{index}: %json {json.dumps(schema)}'
        )
    more = f'(", " call){{0,{most - 1}}}' if most > 1 else ""
    lines = [f'start: call {more} "]"', f"call: {' | '.join(names)}", *rules]
    return Grammar("lark", "\n".join(lines))


def parse_calls(text: str) -> list[Call]:
    """The calls of a text that OPENER began; each of those that repeat one another once.

    Raises:
        ValueError: it is not a list of calls, for example because it was cut off.
    """
    calls: list[Call] = []
    for each in json.loads(f"[{text}"):
        arguments = json.dumps(each["arguments"], ensure_ascii=False)
        call = Call(each["name"], arguments)
        if call not in calls:
            calls.append(call)
    return calls


def _whole(answered: Answered) -> str:
    return _OUTPUT.format(
        name=answered.call.name,
        arguments=_clipped(answered.call.arguments),
        output=_clipped(answered.output),
    )


def _paired(answered: Answered) -> str | None:
    """Each item of the one list among the arguments beside its item of the output.

    A model that sees two lists does not find which belongs to which. None if they do not pair up.
    """
    try:
        outputs, arguments = json.loads(answered.output), json.loads(answered.call.arguments)
    except ValueError:
        return None
    lists = [value for value in arguments.values() if isinstance(value, list) and value]
    if len(lists) != 1 or not isinstance(outputs, list) or len(outputs) != len(lists[0]):
        return None
    lines = [f"The function {answered.call.name} was called for me. Item by item, it gave:"]
    for number, (item, output) in enumerate(zip(lists[0], outputs, strict=True), 1):
        shown = item if isinstance(item, str) else _plain(item)
        lines.append(f"{number}. {shown}\n   Output for {number}: {_plain(output)}")
    return _clipped("\n".join(lines))


def _plain(value: Any) -> str:
    """A value without JSON's signs, as far as it is simple."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_plain(each)}" for key, each in value.items())
    return json.dumps(value, ensure_ascii=False)


def _clipped(text: str) -> str:
    """Head and tail of a text that is too long, and how much is left out."""
    if len(text) <= MAX_OUTPUT_CHARS:
        return text
    half = MAX_OUTPUT_CHARS // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n[... {left_out:,} characters left out ...]\n{text[-half:]}"
