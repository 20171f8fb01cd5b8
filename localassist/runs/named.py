"""Named: what a request names, and whether calls are of that. Pure.

Small models stop a list of calls too early, or go on and vary what they have called for. What a
request names says better than they do which calls are missing and which were not asked for.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from localassist.engine.tool_dialect import Call

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_SENTENCE_END = re.compile(r"(?<=[.?!:])\s+|\n+")
_NUMBERS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "1", "eleven": "11", "twelve": "12",
}  # fmt: skip
# They name nothing.
_SMALL_WORDS = frozenset(
    (
        "a", "an", "and", "are", "as", "at", "be", "by", "can", "could", "do", "does", "for",
        "from", "how", "i", "if", "in", "is", "it", "its", "me", "my", "not", "of", "on", "or",
        "so", "that", "the", "then", "there", "these", "this", "to", "was", "we", "were", "what",
        "when", "where", "which", "who", "why", "will", "with", "would", "you", "your",
    )
)  # fmt: skip
_STEM = 5  # letters by which two forms of a word are taken for one
_CODE = 5  # letters of a code such as MSFT or LAX at most, which the request spells out
# Without any of these, a request is for one thing.
_SEVERAL = re.compile(r"[,;]|\b(?:also|and|as well|both|each|plus|then)\b", re.IGNORECASE)
# Whoever says so wants calls for what is not named one by one.
_EACH = re.compile(
    r"\b(?:all|any|both|compare|different|each|every|several|various|versus|vs)\b", re.IGNORECASE
)


class Named:
    """The words and numbers of a request.

    Attributes:
        entities: what stands out in it: numbers, and words with a capital within a sentence.
    """

    def __init__(
        self, request: str, *, told: Sequence[str] = (), choices: frozenset[str] = frozenset()
    ) -> None:
        """Read it.

        Args:
            request: what the user wants.
            told: what else may name values, such as instructions and what was said before.
            choices: values that a schema lists.
        """
        self._known = _words("\n".join((request, *told)))
        self._choices = choices
        self._is_for_one = _SEVERAL.search(request) is None
        self._asks_for_each = _EACH.search(request) is not None
        self.entities = frozenset(_entities(request))

    def missing_in(self, calls: Sequence[Call]) -> frozenset[str]:
        """The entities that are in no argument of the calls; none if one thing is wanted."""
        if self._is_for_one:
            return frozenset()
        used: set[str] = set()
        for call in calls:
            used |= _words_of(call)
        return self.entities - used

    def is_variation(self, call: Call, earlier: Sequence[Call]) -> bool:
        """Whether a call differs from an earlier one of its function only in what nobody named.

        As long as there are fewer calls than entities missing in them, another text may well stand
        for one: who asks for the capitals of France and Italy does not name them.
        """
        if self._asks_for_each:
            return False
        may_mean = len(earlier) < len(self.missing_in(earlier))
        new = dict(_values(json.loads(call.arguments)))
        for other in earlier:
            old = dict(_values(json.loads(other.arguments)))
            if other.name == call.name and not any(
                self._names(new.get(path), old.get(path))
                or (may_mean and self._is_free(new.get(path), old.get(path)))
                for path in new.keys() | old.keys()
            ):
                return True
        return False

    def _is_free(self, value: Any, instead_of: Any) -> bool:
        return isinstance(value, str) and value != instead_of and value not in self._choices

    def _names(self, value: Any, instead_of: Any) -> bool:
        """Whether what is new in a value was named."""
        if value == instead_of or value is None or isinstance(value, bool):
            return False
        text = str(value)
        if text.isupper() and len(text) <= _CODE:
            return True
        return any(word in self._known for word in _words(text) - _words(str(instead_of)))


def choices_of(schema: Any) -> frozenset[str]:
    """The texts that a JSON schema, or a list of functions, lists as values."""
    found: set[str] = set()
    if isinstance(schema, dict):
        listed = schema.get("enum")
        found.update(each for each in listed or () if isinstance(each, str))
    for inner in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(inner, dict | list):
            found |= choices_of(inner)
    return frozenset(found)


def covers(call: Call, missing: frozenset[str]) -> bool:
    """Whether the call is about something of what is missing."""
    return bool(_words_of(call) & missing)


def _entities(text: str) -> Iterator[str]:
    for sentence in _SENTENCE_END.split(text):
        for place, word in enumerate(_WORD.findall(sentence)):
            stands_out = word[0].isdigit() or (place and word[0].isupper() and len(word) > 1)
            if stands_out and (form := _form(word)) not in _SMALL_WORDS:
                yield form


def _words_of(call: Call) -> set[str]:
    return _words(" ".join(str(value) for _path, value in _values(json.loads(call.arguments))))


def _words(text: str) -> set[str]:
    """Words and numbers of a text, each in one form, without those that name nothing."""
    return {_form(word) for word in _WORD.findall(text)} - _SMALL_WORDS


def _form(word: str) -> str:
    if word[0].isdigit():
        whole, _, part = word.replace(",", "").partition(".")
        # How many zeros a number has, and whether it is a percentage, is a matter of its unit.
        return (whole + part).strip("0") or "0"
    lower = word.casefold()
    return _NUMBERS.get(lower, lower[:_STEM])


def _values(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The leaves of arguments, with their places."""
    inner: Mapping[Any, Any] | None = None
    if isinstance(value, dict):
        inner = value
    elif isinstance(value, list):
        inner = dict(enumerate(value))
    if inner is None:
        yield path, value
        return
    for key, each in inner.items():
        yield from _values(each, (*path, key))
