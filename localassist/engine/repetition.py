"""RepetitionWatch: sees that JSON under a constraint says the same for ever, and how it can end.

Small models begin a list of zeros, a text of one word or the digits of a third, and never end it.
A constraint cannot help: each further zero is in its language. So the list, text or fraction is
ended, and the answer goes on behind it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Tokens that say the same again before it is taken for endless: 170 zeros of a list, while whoever
# asks for a board of ten by ten gets it.
_LEAST = 512
_LONGEST = 64  # tokens of what is said again
_EVERY = 32  # tokens between two looks
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_FRACTION = re.compile(rb"\.\d+\Z")
_TEXT = re.compile(rb'"[^"]*"')


class RepetitionWatch:
    """Watches one answer, which begins outside of any text of its JSON."""

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        """See nothing yet; `token_bytes` is the vocabulary's."""
        self._token_bytes = token_bytes
        self._period = 0

    def endings(self, tokens: Sequence[int], start: int, token: int) -> Sequence[bytes]:
        """What could be written in place of a token that would go on with what is repeated.

        Args:
            tokens: those before it.
            start: where in them the answer begins.
            token: chosen to be the next, as the constraint allows it.

        Returns:
            Texts that end the list, text or fraction, the first that the constraint allows being
            meant; none where nothing is repeated, or it cannot be ended here.
        """
        size = len(tokens) - start
        if size < _LEAST:
            return ()
        if not self._period and size % _EVERY == 0:
            self._period = _period(tokens[-_LEAST:])
        if not self._period or token != tokens[-self._period]:
            self._period = 0
            return ()
        again = self._text(tokens[-self._period :])
        return _endings(self._text(tokens[start:]), again, len(self._token_bytes(token)))

    def ended(self) -> None:
        """One of the endings is written: what follows is something else."""
        self._period = 0

    def _text(self, tokens: Sequence[int]) -> bytes:
        return b"".join(map(self._token_bytes, tokens))


def _period(tokens: Sequence[int]) -> int:
    """After how many tokens the same ones come again; 0 if they do not."""
    for period in range(1, _LONGEST + 1):
        if tokens[period:] == tokens[:-period]:
            return period
    return 0


def _endings(before: bytes, again: bytes, size: int) -> Sequence[bytes]:
    """What ends list, text or fraction in place of the first `size` bytes of what comes again."""
    if _is_in_text(before) and b'"' not in _ESCAPED.sub(b"", again):
        return () if _ESCAPED.sub(b"", before).endswith(b"\\") else (b'"',)
    if again.isdigit():  # of a fraction: a whole number would become another one
        return (b"]", b"}", b",") if _FRACTION.search(before) else ()
    for place in range(size):
        is_comma = again[place : place + 1] == b"," and not _is_in_text(before + again[:place])
        # Within an item of what is repeated, brackets would close that were opened before it.
        if is_comma and _is_balanced(again[place:] + again[:place]):
            return [again[:place] + bracket for bracket in (b"]", b"}")]
    return ()


def _is_in_text(json: bytes) -> bool:
    return _ESCAPED.sub(b"", json).count(b'"') % 2 == 1


def _is_balanced(json: bytes) -> bool:
    """Whether it opens each bracket that it closes."""
    depth = 0
    for bracket in re.findall(rb"[\[\]{}]", _TEXT.sub(b"", _ESCAPED.sub(b"", json))):
        depth += 1 if bracket in b"[{" else -1
        if depth < 0:
            return False
    return depth == 0
