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

_WORD = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|[^\W\d_]+")
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
_SEVERAL = re.compile(
    r"[,;&\n]|\b(?:also|all|and|any|as well|both|compare|different|each|eight|eleven|every|few|five"
    r"|four|nine|or|others?|plus|seven|several|six|some|ten|then|three|twelve|two|various|versus"
    r"|vs)\b",
    re.IGNORECASE,
)
_MOST_ENTITIES = 16  # a text with more is no list of what is wanted, but something to work on


class Named:
    """The words and numbers of a request.

    Attributes:
        entities: what stands out in it: numbers, and words with a capital within a sentence.
    """

    def __init__(self, request: str, *, told: Sequence[str] = ()) -> None:
        """Read it.

        Args:
            request: what the user wants.
            told: what else may name values, such as instructions and what was said before.
        """
        self._known = _words("\n".join((request, *told)))
        self._is_for_one = _SEVERAL.search(request) is None
        self.entities = frozenset(_entities(request))

    def missing_in(self, calls: Sequence[Call]) -> frozenset[str]:
        """The entities that are in no argument of the calls; none if one thing is wanted."""
        if self._is_for_one or len(self.entities) > _MOST_ENTITIES:
            return frozenset()
        used: set[str] = set()
        for call in calls:
            used |= _words_of(call)
        return self.entities - used

    def is_variation(self, call: Call, earlier: Sequence[Call]) -> bool:
        """Whether one thing is wanted, and the call says it once more.

        It differs then from an earlier call of its function only in what nobody named.
        """
        if not self._is_for_one:
            return False
        new = dict(_values(json.loads(call.arguments)))
        for other in earlier:
            old = dict(_values(json.loads(other.arguments)))
            if other.name == call.name and not any(
                self._names(new.get(path), old.get(path)) for path in new.keys() | old.keys()
            ):
                return True
        return False

    def names_some_of(self, value: Any) -> bool:
        """Whether a word or number of a value was named, or is short for one that was."""
        return any(
            known.startswith(word) if len(word) > 1 and word.isalpha() else word == known
            for word in _words(" ".join(str(each) for _path, each in _values(value)))
            for known in self._known
        )

    def _names(self, value: Any, instead_of: Any) -> bool:
        """Whether what is new in a value was named."""
        if value == instead_of or value is None or isinstance(value, bool):
            return False
        text = str(value)
        if text.isupper() and len(text) <= _CODE:
            return True
        new = _raw_words(text) - _raw_words(str(instead_of))
        return any(_form(word) in self._known for word in new)


def covers(call: Call, missing: frozenset[str]) -> bool:
    """Whether the call is about something of what is missing."""
    return bool(_words_of(call) & missing)


def says_all_of(call: Call, earlier: Sequence[Call]) -> bool:
    """Whether the call says all that an earlier one of its function does, and something more."""
    new = dict(_values(json.loads(call.arguments))).items()
    return any(
        other.name == call.name and dict(_values(json.loads(other.arguments))).items() <= new
        for other in earlier
    )


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
    return {_form(word) for word in _raw_words(text)} - _SMALL_WORDS


def _raw_words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}


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
