"""How a model is shown what its calls gave. Pure."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.engine.tool_dialect import Call

MAX_OUTPUT_CHARS = 6000
_OUTPUT = """The function {name} was called for me, with these arguments:
{arguments}
It gave this output:
{output}"""
_ANSWER = """Now answer my request in words, using this output. Do not call a function again and \
do not write JSON."""
_JUDGE = """Now answer my request in words. For each item, first work out the right answer \
yourself, then say whether the response agrees with it. A response that does not answer is wrong. \
Do not call a function again and do not write JSON."""
_PAST = "Result of {name}: {output}"
_MAX_PAST_CHARS = 1500
_GO_ON = """If my request needs another call, one that was not made yet, write it. If not, answer \
my request in words, using this output."""


@dataclass(frozen=True)
class Answered:
    """A call and what it gave."""

    call: Call
    output: str


def answered_text(answered: Sequence[Answered], *, may_call: bool) -> str:
    """The user turn that shows the model what its calls gave.

    Args:
        answered: the run's calls, in order.
        may_call: whether it is asked for further calls, or for the answer.
    """
    pairs = [_paired(each) for each in answered]
    shown = [pair or _whole(each) for pair, each in zip(pairs, answered, strict=True)]
    last = _GO_ON if may_call else _JUDGE if all(pairs) else _ANSWER
    return "\n\n".join([*shown, last])


def past_text(answered: Sequence[Answered]) -> str:
    """The user turn that shows what calls of an earlier answer gave."""
    return "\n".join(
        _PAST.format(name=each.call.name, output=clipped(each.output, _MAX_PAST_CHARS))
        for each in answered
    )


def clipped(text: str, most: int = MAX_OUTPUT_CHARS) -> str:
    """Head and tail of a text that is too long, and how much is left out."""
    if len(text) <= most:
        return text
    half = most // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n[... {left_out:,} characters left out ...]\n{text[-half:]}"


def _whole(answered: Answered) -> str:
    return _OUTPUT.format(
        name=answered.call.name,
        arguments=clipped(answered.call.arguments),
        output=clipped(answered.output),
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
        meant = _option_meant(item, output)
        response = _plain(output) if meant is None else f"({output.strip(').')}) {_plain(meant)}"
        lines.append(f"{number}. {_plain(item)}\n   Response: {response}")
    return clipped("\n".join(lines))


def _option_meant(item: Any, output: Any) -> Any:
    """What a single letter stands for beside its item's one list of options; None if nothing."""
    if not isinstance(item, dict) or not isinstance(output, str):
        return None
    letter = output.strip().rstrip(".)").lower()
    lists = [value for value in item.values() if isinstance(value, list)]
    if len(lists) != 1 or len(letter) != 1 or letter not in string.ascii_lowercase:
        return None
    index = string.ascii_lowercase.index(letter)
    return lists[0][index] if index < len(lists[0]) else None


def _plain(value: Any) -> str:
    """A value as a person would write it down, as far as it is simple."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return " ".join(_plain_member(each) for each in value.values())
    if isinstance(value, list) and len(value) <= len(string.ascii_lowercase):
        letters = zip(string.ascii_lowercase, value, strict=False)
        return " ".join(f"({letter}) {_plain(each)}" for letter, each in letters)
    return json.dumps(value, ensure_ascii=False)


def _plain_member(value: Any) -> str:
    is_term = isinstance(value, str) and " " not in value
    return f"[{value}]" if is_term else _plain(value)
