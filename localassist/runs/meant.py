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
    from localassist.retrieval.nearness import Nearness, Part

# A part is for a function that it is so near to, and so much nearer than to any other one. Measured
# on the handed-over half of Berkeley's questions with several functions.
_NEAR = 0.47
_AHEAD = 0.1
# Who wants a text translated does not want what it says.
_WORKS_ON_TEXT = re.compile(
    r"\b(?:correct|paraphras|proofread|quot|rephras|rewrit|summari[sz]|translat)\w*", re.IGNORECASE
)
# A cosine knows nothing of what is not, or not yet, to be done.
_NO_REQUEST = re.compile(
    r"\b(?:already|cannot|if|instead|never|no|not|unless|without)\b|n['\u2019]t\b", re.IGNORECASE
)


class Meant:
    """What a request is for, of several functions.

    Attributes:
        functions: those that some part of it is for.
    """

    def __init__(self, names: Sequence[str], parts: Sequence[Part]) -> None:
        """Tell it from the nearness of its parts.

        Args:
            names: of the functions.
            parts: what they say, and their cosines with each function.
        """
        found = set()
        for part in parts:
            best = max(part.cosines)
            near = [name for name, one in zip(names, part.cosines, strict=True)
                    if one >= best - _AHEAD]  # fmt: skip
            if best > _NEAR and len(near) == 1 and not _NO_REQUEST.search(part.text):
                found.add(near[0])
        self.functions = frozenset(found)

    @classmethod
    def by(cls, request: str, nearness: Nearness, offers: Mapping[str, str]) -> Meant:
        """Of a request, by what functions do, under their names."""
        if len(offers) < 2 or _WORKS_ON_TEXT.search(request):
            return cls((), ())
        return cls([*offers], nearness.of_parts(request, [*offers.values()]))

    def missing_in(self, calls: Sequence[Call]) -> frozenset[str]:
        """Functions that are meant and that no call is of."""
        return self.functions - {call.name for call in calls}
