"""Citer: which passage supports a sentence. It is computed, never asked of the model.

A sentence is supported by a sentence of a passage that means the same and shares its rarer words,
if all its numbers and names occur in the passage. What is not proven that way is not cited.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist.retrieval.ranking import STOP_WORDS
from localassist.retrieval.sentences import Span, sentences, trimmed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from localassist.retrieval.embed import Vectors

# Measured on claims with and without support (see benchmarks/citations.py).
MIN_COSINE = 0.45
MIN_COVER = 0.25
# A sentence of the passage that says nearly the same needs no shared words, and the other way.
SURE_COSINE = 0.75
SURE_COVER = 0.75
LOW_COSINE = 0.30
# Numbers in common leave less to be shown.
TELLING_SUM = 0.60
_MIN_WORDS = 4
_MAX_EVIDENCE_CHARS = 400
_MIN_EVIDENCE_WORDS = 3
_WORD = re.compile(r"[^\W_]+(?:['\u2019.\-][^\W_]+)*")
_NUMBER = re.compile(r"\d[\d,.]*\d|\d")
_LIST_MARK = re.compile(r"^\s*(?:[-*\u2022>#]+|\d+[.)]|\*\*)\s*")
_MARKDOWN = re.compile(r"[*_`#]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")
_POSSESSIVE = re.compile(r"['\u2019]s?\Z")
_YEAR = re.compile(r"(?:19|20)\d\d")
_TELLING_DIGITS = 4
_NEGATION_WORDS = (
    "not no never none neither nor cannot can't don't doesn't didn't isn't aren't wasn't weren't "
    "won't without"
)
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
_OPPOSITES = tuple(
    (frozenset(one.split()), frozenset(other.split()))
    for one, other in (
        ("increase increased increases increasing rose grew growth gained higher up",
         "decrease decreased decreases decreasing fell declined decline dropped lower down"),
        ("more above exceeds exceeded", "less fewer below"),
        ("first earliest", "last latest"),
        ("largest highest most maximum", "smallest lowest least minimum"),
        ("before", "after"),
    )
)  # fmt: skip
_SUFFIX = re.compile(r"(?:ies|ing|ed|es|s|ly)\Z")


@dataclass(frozen=True)
class Source:
    """A passage that an answer may be supported by.

    Attributes:
        file_id: of the file.
        filename: of the file.
        page: counts from 1; None where there are no pages.
        text: as it stands in the file.
    """

    file_id: str
    filename: str
    page: int | None
    text: str


@dataclass(frozen=True)
class Citation:
    """What supports a sentence: `quote` is a part of the text of the source at `index`."""

    index: int
    quote: str
    score: float


@dataclass(frozen=True)
class _Evidence:
    source: int
    text: str
    words: frozenset[str]
    numbers: frozenset[str]
    every_word: frozenset[str]


class Citer:
    """Finds support in some passages. Used by one OS thread."""

    def __init__(
        self,
        sources: Sequence[Source],
        encode: Callable[[Sequence[str]], Vectors],
        *,
        question: str = "",
    ) -> None:
        """Cut the passages into evidence and embed that.

        Args:
            sources: where to look.
            encode: makes vectors of length 1.
            question: what is answered. Its names are what the answer is about, and a passage that
                says "we" or "the company" need not say them.
        """
        self._sources = sources
        self._encode = encode
        self._evidence = [
            _Evidence(
                number,
                text,
                frozenset(_stems(text)),
                frozenset(_numbers(text)),
                frozenset(_WORD.findall(text.lower())),
            )
            for number, source in enumerate(sources)
            for text in evidence(source.text)
        ]
        self._vectors = encode([each.text for each in self._evidence]) if self._evidence else None
        self._weights = _idf([each.words for each in self._evidence])
        self._known = [_known(source) for source in sources]
        self._asked = frozenset(_parts(question))

    def cite(self, sentence: str) -> Citation | None:
        """The support of a sentence; None if there is no proof of any."""
        said = _plain(sentence)
        stems, numbers = set(_stems(said)), _numbers(said)
        words = frozenset(_WORD.findall(said.lower()))
        if self._vectors is None or len(_WORD.findall(said)) < _MIN_WORDS or said.endswith("?"):
            return None
        cosines: Any = self._vectors @ self._encode([said])[0]
        total = sum(self._weight(stem) for stem in stems) or 1.0
        best: Citation | None = None
        for number, each in enumerate(self._evidence):
            cosine = float(cosines[number])
            if cosine < LOW_COSINE:
                continue
            cover = sum(self._weight(stem) for stem in stems & each.words) / total
            score = cosine + cover
            if best is not None and score <= best.score:
                continue
            if not _supports(cosine, cover, telling=_telling(numbers, each.numbers)):
                continue
            if self._contradicted(said, each.source) or _opposed(words, each.every_word):
                continue
            best = Citation(each.source, each.text, score)
        return best

    def _weight(self, stem: str) -> float:
        return self._weights.get(stem, self._weights[""])

    def _contradicted(self, said: str, source: int) -> bool:
        """Whether a number or a name of the sentence does not occur in the passage."""
        known = self._known[source]
        if any(number not in known.numbers for number in _numbers(said)):
            return True
        return any(name not in known.words | self._asked for name in _names(said))


@dataclass(frozen=True)
class _Known:
    numbers: frozenset[str]
    words: frozenset[str]


def evidence(text: str) -> list[str]:
    """Parts of a passage that can support a sentence, each a part of its text."""
    parts = [part for span in sentences(text) for part in _short(text, span)]
    # A statement is often made by two sentences, or by a heading and what follows it.
    pairs = [
        Span(first.start, second.stop)
        for first, second in itertools.pairwise(parts)
        if second.stop - first.start <= _MAX_EVIDENCE_CHARS
    ]
    found = [text[span.start : span.stop] for span in (*parts, *pairs)]
    return [each for each in found if len(_WORD.findall(each)) >= _MIN_EVIDENCE_WORDS]


def _short(text: str, span: Span) -> Iterable[Span]:
    """The span, or groups of its lines if it is long: tables have no sentences."""
    if span.stop - span.start <= _MAX_EVIDENCE_CHARS:
        return [span]
    at = text.rfind("\n", span.start + 1, span.start + _MAX_EVIDENCE_CHARS)
    if at < 0:
        at = text.rfind(" ", span.start + 1, span.start + _MAX_EVIDENCE_CHARS)
    if at < 0:
        return [span]
    return [
        trimmed(text, span.start, at),
        *_short(text, trimmed(text, at, span.stop)),
    ]


def _supports(cosine: float, cover: float, *, telling: bool) -> bool:
    if cosine >= SURE_COSINE or (cover >= SURE_COVER and cosine >= LOW_COSINE):
        return True
    if telling:
        return cosine >= LOW_COSINE and cosine + cover >= TELLING_SUM
    return cosine >= MIN_COSINE and cover >= MIN_COVER


def _opposed(said: frozenset[str], known: frozenset[str]) -> bool:
    """Whether one of the two denies what the other says, as far as single words show it."""
    if bool(said & _NEGATIONS) != bool(known & _NEGATIONS):
        return True
    for one, other in _OPPOSITES:
        if said & one and not said & other and known & other and not known & one:
            return True
        if said & other and not said & one and known & one and not known & other:
            return True
    return False


def _telling(said: set[str], known: frozenset[str]) -> bool:
    """Whether numbers in common tell that the same is spoken of; years are in common by chance."""
    common = (number.replace(".", "") for number in said & known if not _YEAR.fullmatch(number))
    return sum(map(len, common)) >= _TELLING_DIGITS


def _plain(sentence: str) -> str:
    return _MARKDOWN.sub("", _LIST_MARK.sub("", sentence.strip())).strip()


def _stems(text: str) -> Iterable[str]:
    for word in _WORD.findall(_THOUSANDS.sub("", text.lower())):
        word = _POSSESSIVE.sub("", word)
        if word not in STOP_WORDS:
            yield _SUFFIX.sub("", word) if len(word) > 4 else word


def _idf(documents: Sequence[frozenset[str]]) -> dict[str, float]:
    """Weights of stems; that of an unknown one is under the empty text."""
    counts: dict[str, int] = {}
    for words in documents:
        for word in words:
            counts[word] = counts.get(word, 0) + 1
    total = len(documents)
    weights = {word: math.log(1 + total / count) for word, count in counts.items()}
    return {**weights, "": math.log(1 + total)}


def _numbers(text: str) -> set[str]:
    return {each.replace(",", "").rstrip(".") for each in _NUMBER.findall(text)}


def _names(said: str) -> set[str]:
    """Words written like names, other than the first one."""
    found = list(_WORD.finditer(said))
    return {
        _POSSESSIVE.sub("", word[0].lower())
        for number, word in enumerate(found)
        if word[0][0].isupper()
        and (number or word[0].isupper())
        and len(word[0]) > 1
        and word[0].lower() not in STOP_WORDS
    }


def _known(source: Source) -> _Known:
    text = f"{source.filename}\n{source.text}"
    return _Known(frozenset(_numbers(text)), frozenset(_parts(text)))


def _parts(text: str) -> set[str]:
    """The words of a text, and the parts of those that are put together."""
    words = {word.lower() for word in _WORD.findall(text)}
    return words | {part for word in words for part in re.split(r"['\u2019.\-]", word)}
