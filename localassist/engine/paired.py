"""Paired: an item that a function was called with, and what the call gave for it. Pure.

A quiz is called with its questions and gives the responses, in their order.
"""

from __future__ import annotations

import json
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_AROUND = " \t\n,;:!?\"'()"
_OPTION_LABEL = re.compile(r"^\(?[A-Za-z][.)]\s+(?=\S)")  # models number them themselves
_LABELLED = re.compile(
    r"\(?(?P<letter>[a-z])(?:(?P<closed>\))|[.:])?(?:\s+(?P<rest>.+))?", re.DOTALL
)
_DENIAL = re.compile(r"\bnot\b|n['\u2019]t\b")
_MOST_LEVELS = 32  # of lists and objects within one another, of an item or its output


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


def paired(arguments: str, output: str) -> list[Paired]:
    """Each item of the one list among a call's arguments, and its output; none without such pairs.

    A model that sees two lists does not find which belongs to which.

    Args:
        arguments: JSON, or what a model wrote for it.
        output: what the function gave; any text.
    """
    try:
        outputs, given = _decoded(output), _decoded(arguments)
    except (ValueError, RecursionError):
        return []
    values = given.values() if isinstance(given, dict) else ()
    lists = [value for value in values if isinstance(value, list) and value]
    if len(lists) != 1 or not isinstance(outputs, list) or len(outputs) != len(lists[0]):
        return []
    if not all(map(_is_shallow, (*outputs, *lists[0]))):
        return []
    return [Paired(item, gave) for item, gave in zip(lists[0], outputs, strict=True)]


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


def _is_shallow(value: Any, levels: int = _MOST_LEVELS) -> bool:
    """Whether a person would write it down: it is not nested ever deeper."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(each, levels - 1) for each in inner)


def _decoded(text: str) -> Any:
    """A JSON value; half a character that was written as a number becomes a question mark."""
    value = json.dumps(json.loads(text), ensure_ascii=False)
    return json.loads(value.encode("utf-8", "replace"))


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
