"""Speculator: what may follow, looked up in the sequence's own tokens. Pure.

A model that copies out of its prompt writes what stands there. Where the last tokens stood before,
those behind them are checked in one step, which costs a few single ones and yields up to 32
tokens. Where that was wrong it has cost those steps, so losses are kept small: see `draft`.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localassist.engine.step_plan import CostCurve

NGRAM = 8  # tokens that must agree
_SIZES = (15, 31)  # with the last token, the numbers of rows whose kernels are fast
_LOSS = 0.01  # part of a sequence's steps that may be lost to wrong drafts
_PAYS = 0.55  # single steps that a token of a draft may cost, as some of them will be wrong


class Speculator:
    """Drafts for one sequence."""

    def __init__(
        self, curve: CostCurve, *, is_text: Callable[[int], bool] = lambda _token: True
    ) -> None:
        """Draft nothing yet.

        Args:
            curve: what rows cost.
            is_text: whether a token may stand in an answer. Who repeats a question would otherwise
                be expected to go on with the marks that end a turn.
        """
        self._curve = curve
        self._is_text = is_text
        self._last_seen: dict[tuple[int, ...], int] = {}
        self._num_indexed = 0
        self._source: int | None = None  # what was copied last stands before it
        self._size = _SIZES[0]
        # One may be wrong before anything was gained.
        self._balance = min(self._price(self._size), _PAYS * self._size)

    def draft(self, tokens: Sequence[int]) -> list[int]:
        """Tokens that may follow `tokens`; empty if nothing is known or it would not pay.

        A draft is risked only while its loss is covered by what earlier ones gained, or by a
        hundredth of what was written since.
        """
        self._balance += _LOSS
        at = self._find(tokens)
        self._source = None if at is None else at + 1
        following = [] if at is None else tokens[at : at + self._size]
        text = list(takewhile(self._is_text, following))
        for size in (self._size, _SIZES[0]):
            draft = text[:size]
            # Between the two sizes a step costs more for a token than at either.
            if len(draft) < size > _SIZES[0]:
                continue
            if self._price(len(draft)) <= min(self._balance, _PAYS * len(draft)):
                return draft
        return []

    def checked(self, *, drafted: int, accepted: int) -> None:
        """Of a draft, the first `accepted` tokens were right."""
        if self._source is not None:
            self._source += accepted
        # A step yields one token anyhow.
        self._balance += accepted - self._price(drafted)
        right = accepted == drafted
        self._size = _SIZES[1] if right else _SIZES[0]

    def _price(self, drafted: int) -> float:
        """Single steps that the step of a draft costs beyond one."""
        return self._curve.cost(drafted + 1) / self._curve.cost(1) - 1

    def _find(self, tokens: Sequence[int]) -> int | None:
        """Where the last NGRAM tokens stood before: the position behind them.

        That is where they are being copied from, if they stand there. Else it is the last such
        place, which may be in the copy: what is alike in a text goes on in several ways.
        """
        end = len(tokens)
        if end <= NGRAM:
            return None
        # The last n-gram itself is looked up before it is indexed.
        for stop in range(max(self._num_indexed + 1, NGRAM), end):
            self._last_seen[tuple(tokens[stop - NGRAM : stop])] = stop
        self._num_indexed = end - 1
        last = tuple(tokens[end - NGRAM : end])
        source = self._source
        if source is not None and source < end and tuple(tokens[source - NGRAM : source]) == last:
            return source
        return self._last_seen.get(last)
