"""Meant: the functions that parts of a request are for, by their meaning.

Of "Find all primes below 50. Then get the Fibonacci series" small models do the first. Which
function a sentence is for the embedding model tells more surely than they tell whether another
call is wanted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localassist.engine.tool_dialect import Call
    from localassist.retrieval.nearness import Nearness

# A part is surely for a function that it is so near to, and so much nearer than to any other one.
# Of Berkeley's questions with several functions, 4 of 177 that are so named are not wanted.
_NEAR = 0.47
_AHEAD = 0.1
_WORKS_ON_TEXT = re.compile(
    r"\b(?:correct|paraphras|proofread|quot|rephras|rewrit|summari[sz]|translat)\w*", re.IGNORECASE
)


class Meant:
    """What a request is for, of several functions.

    Attributes:
        surely: functions that some part of it is for.
        possibly: functions that some part of it may be for; none if that cannot be told.
    """

    def __init__(self, names: Sequence[str], cosines: Sequence[Sequence[float]]) -> None:
        """Tell it from the nearness of its parts.

        Args:
            names: of the functions.
            cosines: of each part with each function.
        """
        surely, possibly = set(), set()
        for row in cosines:
            best = max(row)
            near = {name for name, one in zip(names, row, strict=True) if one >= best - _AHEAD}
            possibly |= near
            if best > _NEAR and len(near) == 1:
                surely |= near
        self.surely, self.possibly = frozenset(surely), frozenset(possibly)

    @classmethod
    def by(cls, request: str, nearness: Nearness, offers: Mapping[str, str]) -> Meant:
        """Of a request, by what functions do, under their names.

        Who wants a text translated does not want what it says.
        """
        if len(offers) < 2 or _WORKS_ON_TEXT.search(request):
            return cls((), ())
        return cls([*offers], nearness.of_parts(request, [*offers.values()]))

    def missing_in(self, calls: Sequence[Call]) -> frozenset[str]:
        """Functions that are surely meant and that no call is of."""
        return self.surely - {call.name for call in calls}

    def among(self, calls: Sequence[Call]) -> list[Call]:
        """The calls without those of functions that no part is for, unless all are such."""
        meant = [call for call in calls if call.name in self.possibly]
        return meant or list(calls)
