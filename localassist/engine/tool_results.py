"""How a model is shown what its calls gave. Pure."""

from __future__ import annotations

import itertools
import json
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
_AROUND = " \t\n,;:!?\"'()"
_OPTION_LABEL = re.compile(r"^\(?[A-Za-z][.)]\s+(?=\S)")  # models number them themselves
_LABELLED = re.compile(
    r"\(?(?P<letter>[a-z])(?:(?P<closed>\))|[.:])?(?:\s+(?P<rest>.+))?", re.DOTALL
)
_DENIAL = re.compile(r"\bnot\b|n['\u2019]t\b")
_PAST = "Result of {name}: {output}"
_MAX_PAST_CHARS = 1500
_MOST_LEVELS = 32  # of lists and objects within one another, of an item or its output
_GO_ON = """If my request needs another call, one that was not made yet, write it. If not, answer \
my request in words, using this output."""


@dataclass(frozen=True)
class Answered:
    """A call and what it gave."""

    call: Call
    output: str


@dataclass(frozen=True)
class Paired:
    """An item of the one list among a call's arguments, and what the call gave for it."""

    item: Any
    output: Any

    @property
    def asked(self) -> str:
        """The item, as a person would write it down."""
        return _plain(self.item)

    @property
    def question(self) -> str:
        """Of the item what is asked: neither its options nor terms such as its kind."""
        if not isinstance(self.item, dict):
            return self.asked
        texts = [each for each in self.item.values() if isinstance(each, str)]
        questions = [each for each in texts if "?" in each or "\uff1f" in each]
        return max(questions or [each for each in texts if " " in each] or [self.asked], key=len)

    @property
    def key(self) -> str | None:
        """The answer that the item itself gives, if it has one."""
        members = self.item.items() if isinstance(self.item, dict) else ()
        found = (each for name, each in members if "answer" in name and isinstance(each, str))
        return next(found, None)

    @property
    def options(self) -> list[str]:
        """What there is to choose from; empty if nothing is."""
        return [_OPTION_LABEL.sub("", _plain(each)) for each in _options(self.item)]

    def option(self, index: int) -> str:
        """An option, as a person would write it down."""
        return f"({string.ascii_lowercase[index]}) {self.options[index]}"

    @property
    def response(self) -> str:
        """The output, and what it stands for if it is an option's letter."""
        text = _plain(self.output)
        index = option_named(text, self.options)
        is_letter = len(trimmed(text)) == 1 and trimmed(text).isalpha()
        if index is None or not is_letter or _bare(text) == _bare(self.options[index]):
            return text
        return self.option(index)


def option_named(answer: str, options: Sequence[str]) -> int | None:
    """Which option an answer names, by its text or its letter; None if none or several."""
    plain, texts = _bare(answer), [_bare(option) for option in options]
    if plain in texts:
        return texts.index(plain)
    labelled = _LABELLED.fullmatch(answer.strip().lower())
    if labelled is not None:
        index = string.ascii_lowercase.index(labelled["letter"])
        rest = _bare(labelled["rest"] or "")
        if index < len(options) and (not rest or rest == texts[index] or labelled["closed"]):
            return index
    if _DENIAL.search(plain):
        return None
    named = [index for index, text in enumerate(texts) if text and _within(text, plain)]
    return named[0] if len(named) == 1 else None


def trimmed(text: str) -> str:
    """A text without the marks around it; a point may begin a number."""
    return text.lstrip(_AROUND).rstrip(f".{_AROUND}")


def _bare(text: str) -> str:
    return (trimmed(text) or text.strip()).casefold()


def _within(text: str, whole: str) -> bool:
    """Whether a text stands in another one as words or a number of its own."""
    return re.search(rf"(?<![\w.,/-]){re.escape(text)}(?![\w/]|[.,]\d)", whole) is not None


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
    pairs = [_pairs(each) for each in answered]
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


def _pairs(answered: Answered) -> list[Paired]:
    """Each item of the one list among the arguments, and its output; none if they do not pair up.

    A model that sees two lists does not find which belongs to which.
    """
    try:
        outputs, arguments = _decoded(answered.output), _decoded(answered.call.arguments)
    except (ValueError, RecursionError):
        return []
    values = arguments.values() if isinstance(arguments, dict) else ()
    lists = [value for value in values if isinstance(value, list) and value]
    if len(lists) != 1 or not isinstance(outputs, list) or len(outputs) != len(lists[0]):
        return []
    if not all(map(_is_shallow, (*outputs, *lists[0]))):
        return []
    return [Paired(item, output) for item, output in zip(lists[0], outputs, strict=True)]


def _is_shallow(value: Any, levels: int = _MOST_LEVELS) -> bool:
    """Whether a person would write it down: it is not nested ever deeper."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(each, levels - 1) for each in inner)


def _decoded(text: str) -> Any:
    """A JSON value; half a character that was written as a number becomes a question mark."""
    value = json.dumps(json.loads(text), ensure_ascii=False)
    return json.loads(value.encode("utf-8", "replace"))


def _side_by_side(
    answered: Answered, pairs: Sequence[Paired], verdicts: Sequence[str | None]
) -> str:
    lines = [f"The function {answered.call.name} was called for me. Item by item, it gave:"]
    for number, (pair, told) in enumerate(itertools.zip_longest(pairs, verdicts), 1):
        lines.append(f"{number}. {pair.asked}\n   Response: {pair.response}")
        if told is not None:
            lines.append(f"   {told}")
    return clipped("\n".join(lines))


def _options(item: Any) -> list[Any]:
    """An item's one list, if it has as many members as there are letters at most."""
    if not isinstance(item, dict):
        return []
    lists = [value for value in item.values() if isinstance(value, list)]
    return lists[0] if len(lists) == 1 and len(lists[0]) <= len(string.ascii_lowercase) else []


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
