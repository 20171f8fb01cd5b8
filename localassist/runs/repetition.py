"""Repetition: small models can say the same for ever, and nothing else would stop them. Pure."""

from __future__ import annotations

# So long that somebody who asks for a sentence a hundred times gets it thirty times at least.
_TAIL_CHARS = 2000
_MOST_PERIOD = 200
_EVERY_CHARS = 200


class Repetition:
    """Looks at an answer while it grows."""

    def __init__(self) -> None:
        self._tail = ""
        self._unseen = 0

    def feed(self, text: str) -> bool:
        """Whether all that has come lately is one piece again and again."""
        self._tail = (self._tail + text)[-_TAIL_CHARS:]
        self._unseen += len(text)
        if self._unseen < _EVERY_CHARS or len(self._tail) < _TAIL_CHARS:
            return False
        self._unseen = 0
        tail = self._tail
        return any(tail[period:] == tail[:-period] for period in range(1, _MOST_PERIOD + 1))
