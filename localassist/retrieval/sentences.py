"""Where sentences end: a rule of punctuation, paragraphs and lines, the same for all text."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A dot after one of these, or after one letter, ends no sentence.
_SHORT_WORDS = (
    "mr mrs ms dr prof sr jr st no nos vs etc fig figs eq eqs sec ch vol pp ed eds al approx dept "
    "est inc ltd co corp cf jan feb mar apr jun jul aug sep sept oct nov dec u.s e.g i.e"
)
_SHORT = frozenset(_SHORT_WORDS.split())
_END = re.compile(
    r"""(?P<stop>[.!?]+["')\]\u201d\u2019]*)(?P<gap>\s+)(?=["'(\[\u201c\u2018]?[^\W_a-z])"""
    r"""|[\u3002\uff01\uff1f\u061f\u06d4]+["')\]\u201d\u300d]*\s*"""
    r"""|\n[ \t]*\n\s*"""
    r"""|\n(?=[ \t]*(?:[-*\u2022\u25cf#>|]|\d+[.)]\s))"""
)
_STOPPED = re.compile(r"""([.!?\u3002\uff01\uff1f]+)["')\]*_\u201d\u2019]*\Z""")
_LOOK_BACK_CHARS = 24
_LAST_WORD = re.compile(r"[^\s(\[\"']+\Z")


@dataclass(frozen=True)
class Span:
    """Code points of a text, from `start` up to `stop`."""

    start: int
    stop: int


def sentences(text: str) -> list[Span]:
    """The sentences of a text, without the white space around them; none is empty."""
    found, start = [], 0
    for match in _END.finditer(text):
        if match["stop"] is not None and _is_short(
            text[max(start, match.start() - _LOOK_BACK_CHARS) : match.start()], match["stop"]
        ):
            continue
        found.append(trimmed(text, start, match.end()))
        start = match.end()
    found.append(trimmed(text, start, len(text)))
    return [span for span in found if span.start < span.stop]


def trimmed(text: str, start: int, stop: int) -> Span:
    """The span without the white space at its ends."""
    while start < stop and text[start].isspace():
        start += 1
    while stop > start and text[stop - 1].isspace():
        stop -= 1
    return Span(start, stop)


def _is_short(before: str, stop: str) -> bool:
    if stop != ".":
        return False
    word = _LAST_WORD.search(before)
    if word is None:
        return False
    last = word[0].lower()
    return last in _SHORT or (len(last) == 1 and last.isalpha())


def ends_sentence(text: str) -> bool:
    """Whether a text, if white space follows, has just ended a sentence."""
    match = _STOPPED.search(text)
    return match is not None and not _is_short(
        text[max(0, match.start() - _LOOK_BACK_CHARS) : match.start()], match[1]
    )
