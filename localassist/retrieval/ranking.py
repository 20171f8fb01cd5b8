"""Ranking: full-text queries out of questions, and one order out of two."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RRF_K = 60
_WORD = re.compile(r"\w+")
# They are in every passage: leaving them out changes no order and makes a query twice as fast.
_STOP_WORDS = (
    "a an and are as at be been but by can do does did for from had has have how i if in into is "
    "it its me my no not of on or our should so such that the their them then there these they "
    "this to was we were what when where which who why will with would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
_MOST_WORDS = 64


def words(text: str) -> list[str]:
    """The words that say something, in lower case, each once; all of them if none does."""
    every = list(dict.fromkeys(_WORD.findall(text.lower())))
    return [word for word in every if word not in STOP_WORDS] or every


def match_query(text: str) -> str:
    """A query of SQLite's full-text search for any of the words; empty if there are none."""
    # Quoted, a word is never an operator.
    return " OR ".join(f'"{word}"' for word in words(text)[:_MOST_WORDS])


def fused(
    rankings: Iterable[Sequence[int]], *, weights: Sequence[float] | None = None
) -> list[int]:
    """One order out of several, by reciprocal ranks (Cormack, Clarke and Buettcher, 2009)."""
    scores: dict[int, float] = {}
    for number, ranking in enumerate(rankings):
        weight = 1.0 if weights is None else weights[number]
        for rank, each in enumerate(ranking, 1):
            scores[each] = scores.get(each, 0.0) + weight / (RRF_K + rank)
    return sorted(scores, key=lambda each: -scores[each])
