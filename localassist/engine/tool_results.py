"""How a model is shown what its calls gave. Pure."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localassist.engine.paired import paired

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localassist.engine.paired import Paired
    from localassist.engine.tool_dialect import Call

MAX_OUTPUT_CHARS = 6000
_OUTPUT = """The function {name} was called for me, with these arguments:
{arguments}
It gave this output:
{output}"""
_ANSWER = """Now answer my request in words, using this output. Do not call a function again and \
do not write JSON."""
_VERDICTS = """Now answer my request in words: for each item, tell the verdict and the right \
answer. {rest}Do not call a function again and do not write JSON."""
_REST = """Where there is no verdict, work out the right answer yourself; a response that does not \
agree with it, or does not answer, is wrong. """
_PAST = "Result of {name}: {output}"
_MAX_PAST_CHARS = 1500
_GO_ON = """If my request needs another call, one that was not made yet, write it. If not, answer \
my request in words, using this output."""


@dataclass(frozen=True)
class Answered:
    """A call and what it gave."""

    call: Call
    output: str


def answered_text(
    answered: Sequence[Answered],
    *,
    may_call: bool,
    verdict: Callable[[Paired], str | None] | None = None,
) -> str:
    """The user turn that shows the model what its calls gave.

    Args:
        answered: the run's calls, in order.
        may_call: whether it is asked for further calls, or for the answer.
        verdict: what is known of a response; None if they are not to be judged.
    """
    pairs = [paired(each.call.arguments, each.output) for each in answered]
    verdicts = [[verdict(pair) for pair in of_call] if verdict else [] for of_call in pairs]
    shown = [
        _side_by_side(each, of_call, told) if of_call else _whole(each)
        for each, of_call, told in zip(answered, pairs, verdicts, strict=True)
    ]
    last = _ANSWER
    if may_call:
        last = _GO_ON
    elif verdict is not None and all(pairs):
        all_told = all(each is not None for told in verdicts for each in told)
        last = _VERDICTS.format(rest="" if all_told else _REST)
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


def _side_by_side(
    answered: Answered, pairs: Sequence[Paired], verdicts: Sequence[str | None]
) -> str:
    lines = [f"The function {answered.call.name} was called for me. Item by item, it gave:"]
    for number, (pair, told) in enumerate(itertools.zip_longest(pairs, verdicts), 1):
        lines.append(f"{number}. {pair.asked}\n   Response: {pair.response}")
        if told is not None:
            lines.append(f"   {told}")
    return clipped("\n".join(lines))
