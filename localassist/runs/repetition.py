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

    def feed(self, text: str) -> int | None:
        """How much of `text` is left when all that has come is one piece again and again.

        None while it is not. It does not matter in which pieces the answer comes.
        """
        for at, char in enumerate(text, 1):
            self._tail += char
            self._unseen += 1
            if self._unseen == _EVERY_CHARS:
                self._unseen = 0
                self._tail = self._tail[-_TAIL_CHARS:]
                if len(self._tail) == _TAIL_CHARS and self._is_periodic():
                    return at
        return None

    def _is_periodic(self) -> bool:
        tail = self._tail
        return any(tail[period:] == tail[:-period] for period in range(1, _MOST_PERIOD + 1))
