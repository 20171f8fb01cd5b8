"""Nearness: whether a request is near in meaning to anything that is on offer."""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING, NamedTuple

from localassist._lazy import require

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from localassist.retrieval.embed import Embedder

log = logging.getLogger("localassist.retrieval")

# The embedding model has read English only. A request is taken for English by these words, none of
# which its neighbours have, unless one of theirs is in it.
_ENGLISH = re.compile(
    r"\b(?:and|calculate|can|compute|convert|could|create|determine|does|find|from|get|give|how|if"
    r"|it|my|need|of|please|should|show|tell|thank|that|the|there|these|this|to|want|were|what|when"
    r"|where|which|who|why|with|would|you|your)\b",
    re.IGNORECASE,
)
_FOREIGN = re.compile(
    r"\b(?:der|die|das|dem|ist|und|ich|nicht|mit|ein|eine|einen|für|wie|het|een|naar|ik|wat|zijn"
    r"|jeg|og|ikke|hva|hvad|det|som|av|är|och|att|le|est|une|que|qui|dans|pour"
    r"|una|por|para|il|di|che|della|nel|são|uma|jest|nie|się)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")
_LEAST_ENGLISH = 0.1  # of the words
# The model reads 256 tokens: of a longer text, its beginning and its end.
_HEAD_CHARS, _TAIL_CHARS = 600, 400
_BEFORE_CHARS = 400
_MAX_KNOWN = 512
# Where a request may go on with something else.
_PART_END = re.compile(
    r"(?<=[.?!;:])\s+|\n+|,?\s+(?:additionally|after that|also|and|as well as|but|finally|lastly"
    r"|plus|then|while)\s+|,\s+",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"(?<!\w)(?:\"[^\"]{0,2000}\"|“[^”]{0,2000}”|'[^'\n]{0,2000}'(?!\w))")
_QUOTES = "\"“”'"
_PART_WORDS = 3  # fewer say nothing
# A text of more is no request but something to work on.
_MAX_PARTS = 32
_MAX_PARTED_CHARS = 4000


class Part(NamedTuple):
    """A part of a request, and its cosines with all offers."""

    text: str
    cosines: list[float]


class Nearness:
    """Compares requests with offers. Any OS thread may use it."""

    def __init__(self, embedder: Callable[[], Embedder | None]) -> None:
        """Compare by the vectors of an embedder, or not at all where there is none."""
        self._embedder = embedder
        self._lock = threading.Lock()
        self._known: dict[str, np.ndarray] = {}
        self._broken = False

    def nearest(
        self, request: str, offers: Sequence[str], *, within: Sequence[str] = ()
    ) -> float | None:
        """The largest cosine of the request, or of it within its context, and any offer.

        Args:
            request: what somebody asks for.
            offers: descriptions.
            within: what was said before, each put before the request in turn: alone, it may be
                no more than *and in Paris?*

        Returns:
            -1 to 1; None if it cannot be told: there is no fast embedding model, or it has not
            read the language.
        """
        texts = [request, *(f"{before[-_BEFORE_CHARS:]}\n{request}" for before in within if before)]
        cosines = self._cosines([part for text in texts for part in _ends(text)], offers, request)
        return None if cosines is None else float(cosines.max())

    def of_parts(self, request: str, offers: Sequence[str]) -> list[Part]:
        """The parts of a request, such as its sentences, and how near they are to all offers.

        What it quotes is nothing that it asks for.

        Args:
            request: what somebody asks for.
            offers: descriptions.

        Returns:
            Those of three words at least; none where it cannot be told, as by `nearest`, or where
            the request is a long text.
        """
        parts = [part[:_HEAD_CHARS] for part in _parts(request)]
        if not 0 < len(parts) <= _MAX_PARTS:
            return []
        cosines = self._cosines(parts, offers, request)
        rows = () if cosines is None else cosines
        return [
            Part(text, [float(one) for one in row])
            for text, row in zip(parts, rows, strict=cosines is not None)
        ]

    def _cosines(
        self, texts: Sequence[str], offers: Sequence[str], request: str
    ) -> np.ndarray | None:
        """Of texts out of a request with offers, shape (texts, offers)."""
        if self._broken or not offers or not is_english(request):
            return None
        if not all(map(_may_be_english, offers)):
            return None
        try:
            embedder = self._embedder()
            if embedder is None:
                return None
            offered = self._vectors(embedder, offers)
            return embedder.encode(texts) @ offered.T  # type: ignore[no-any-return]  # numpy's
        except Exception:  # nobody has asked for this model: whatever is wrong with it, runs go on
            log.exception("requests are not compared with functions any more")
            self._broken = True
            return None

    def _vectors(self, embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
        """Of offers, which are the same in many requests."""
        with self._lock:
            known = {text: self._known[text] for text in texts if text in self._known}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, embedder.encode(new), strict=True))
        with self._lock:
            if len(self._known) > _MAX_KNOWN:
                self._known.clear()
            self._known.update(known)
        np = require("numpy", package="numpy")
        return np.stack([known[text] for text in texts])  # type: ignore[no-any-return]  # lazily


def is_english(text: str) -> bool:
    """Whether a text is in English, as far as common words tell."""
    if _FOREIGN.search(text):
        return False
    return len(_ENGLISH.findall(text)) > _LEAST_ENGLISH * len(_WORD.findall(text))


def _may_be_english(text: str) -> bool:
    letters = "".join(_WORD.findall(text))
    return bool(letters) and letters.isascii() and not _FOREIGN.search(text)


def _parts(request: str) -> list[str]:
    if len(request) > _MAX_PARTED_CHARS:
        return []
    text = re.sub(r"[^\S\n]+", " ", request).strip()
    if text[:1] in _QUOTES and text[-1:] in _QUOTES:
        text = text[1:-1]  # then it is the request that stands in quotes
    parts = _PART_END.split(_QUOTED.sub(" ", text))
    return [part for part in parts if len(_WORD.findall(part)) >= _PART_WORDS]


def _ends(text: str) -> list[str]:
    if len(text) <= _HEAD_CHARS + _TAIL_CHARS:
        return [text]
    return [text[:_HEAD_CHARS], text[-_TAIL_CHARS:]]
