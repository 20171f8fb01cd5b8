"""Citing: an answer while it grows, with a marker behind each sentence that is supported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localassist.retrieval.sentences import ends_sentence
from localassist.types.message import FileCitation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from localassist.retrieval.cite import Citation, Citer, Source

_FENCE = "```"
# What a model prints when it cites by itself: it is not to be believed, and ours is put instead.
_OWN_MARKER = re.compile(r"[ \t]*(?:\[\d{1,3}(?:, ?\d{1,3})*\]|\u3010[^\u3010\u3011]{0,40}\u3011)")
_MAYBE_MARKER = re.compile(r"[ \t]*(?:\[[\d, ]{0,12}|\u3010[^\u3010\u3011]{0,40})?\Z")


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
    """Divides a growing answer into sentences. Used by the run's worker only."""

    def __init__(self, citer: Citer) -> None:
        self._citer = citer
        self._held = ""
        self._sentence = ""
        self._in_code = False

    def feed(self, text: str) -> Iterator[Piece]:
        """What of the answer is certain by now."""
        text = _OWN_MARKER.sub("", self._held + text)
        # The beginning of a marker of the model's, or white space before one, has to wait.
        at = _MAYBE_MARKER.search(text)
        cut = len(text) if at is None else at.start()
        self._held, text = text[cut:], text[:cut]
        yield from self._divided(text)

    def flush(self) -> Iterator[Piece]:
        """What was held back, and the last sentence's citation."""
        held, self._held = self._held, ""
        yield from self._divided(held.rstrip() if _OWN_MARKER.fullmatch(held) else held)
        yield from self._ended()

    def _divided(self, text: str) -> Iterator[Piece]:
        start = 0
        for at, char in enumerate(text):
            if char.isspace() and self._is_end(self._sentence + text[start:at], char):
                self._sentence += text[start:at]
                yield from _piece(text[start:at])
                yield from self._ended()
                start = at
        self._sentence += text[start:]
        yield from _piece(text[start:])

    def _is_end(self, sentence: str, char: str) -> bool:
        return bool(sentence.strip()) and (char == "\n" or ends_sentence(sentence))

    def _ended(self) -> Iterator[Piece]:
        sentence, self._sentence = self._sentence, ""
        fenced = sentence.count(_FENCE) % 2 == 1
        inside = self._in_code or fenced
        self._in_code = self._in_code != fenced
        if inside or not sentence.strip():
            return
        citation = self._citer.cite(sentence)
        if citation is not None:
            yield Piece(citation=citation)


def _piece(text: str) -> Iterator[Piece]:
    if text:
        yield Piece(text)
