"""Citing: an answer while it grows, with a marker behind each sentence that is supported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localassist.retrieval.sentences import ends_sentence
from localassist.types.message import FileCitation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from localassist.retrieval.cite import Citation, Citer, Source

_FENCE = "```"
_STOPS = ".!?"
# What a model prints when it cites by itself: it is not to be believed, and ours is put instead.
# In square brackets it is a citation only where a sentence ends: `a[1]` and `[1, 2]` are not.
_GROUPS = r"(?:\[\d{1,2}(?:, ?\d{1,2})*\])+"
_WAITS = re.compile(
    rf"[ \t]*(?:(?:{_GROUPS})?(?:\[[\d, ]{{0,20}})?|{_GROUPS}[.!?]|\u3010[^\u3010\u3011\n]{{0,40}})"
)
_NUMBERED = re.compile(rf"[ \t]*{_GROUPS}([.!?]?)(\s?)")
_BRACKETED = re.compile(r"[ \t]*\u3010[^\u3010\u3011\n]{0,40}\u3011")


@dataclass(frozen=True)
class Piece:
    """More of the answer: text, or the citation of the sentence that has just ended."""

    text: str = ""
    citation: Citation | None = None


class Citing:
    """How one message cites.

    Attributes:
        text: the message while it grows.
    """

    def __init__(self, sources: Sequence[Source], citer: Citer, *, number: int) -> None:
        """Cite from `sources`; `number` tells this message's markers from others'."""
        self.text = CitingText(citer)
        self._sources = sources
        self._number = number

    def shown(self, citation: Citation) -> tuple[str, FileCitation]:
        """The marker of a citation, and what it stands for."""
        source = self._sources[citation.index]
        marker = f"\u3010{self._number}:{citation.index}\u2020source\u3011"
        return marker, FileCitation(file_id=source.file_id, quote=citation.quote, page=source.page)


class CitingText:
    """Divides a growing answer into sentences. Used by the run's worker only.

    It goes by single characters, so that it does not matter in which pieces the answer comes.
    """

    def __init__(self, citer: Citer) -> None:
        self._citer = citer
        self._held = ""
        self._last = ""
        self._sentence = ""
        self._ticks = 0
        self._in_code = False

    def feed(self, text: str) -> Iterator[Piece]:
        """What of the answer is certain by now."""
        return _joined(piece for char in text for piece in self._step(char))

    def flush(self) -> Iterator[Piece]:
        """What was held back, and the last sentence's citation."""
        held, self._held = self._held, ""
        yield from _joined(self._words(self._without_marker(held)))
        yield from self._ended()

    def _step(self, char: str) -> Iterator[Piece]:
        self._held += char
        if not self._in_code and _WAITS.fullmatch(self._held):
            return
        held, self._held = self._held, ""
        yield from self._words(held if self._in_code else self._without_marker(held))

    def _without_marker(self, held: str) -> str:
        """What is held, without a marker of the model's."""
        if _BRACKETED.fullmatch(held):
            return ""
        numbered = _NUMBERED.fullmatch(held)
        if numbered is not None and (numbered[1] or (self._last and self._last in _STOPS)):
            return numbered[1] + numbered[2]
        return held

    def _words(self, text: str) -> Iterator[Piece]:
        for char in text:
            if char.isspace() and self._is_end(char):
                yield from self._ended()
            self._sentence += char
            self._last = char
            self._ticks = self._ticks + 1 if char == "`" else 0
            if self._ticks == len(_FENCE):
                self._in_code, self._ticks = not self._in_code, 0
            yield Piece(char)

    def _is_end(self, char: str) -> bool:
        sentence = self._sentence
        return bool(sentence.strip()) and (char == "\n" or ends_sentence(sentence))

    def _ended(self) -> Iterator[Piece]:
        sentence, self._sentence = self._sentence, ""
        if self._in_code or _FENCE in sentence or not sentence.strip():
            return
        citation = self._citer.cite(sentence)
        if citation is not None:
            yield Piece(citation=citation)


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same with neighbouring texts as one."""
    text = ""
    for piece in pieces:
        text += piece.text
        if piece.citation is not None:
            if text:
                yield Piece(text)
            text = ""
            yield piece
    if text:
        yield Piece(text)
