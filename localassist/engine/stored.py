"""Stored: what is hibernated, for those who decide what is computed and what is restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence as Tokens


class Stored(Protocol):
    """What is hibernated."""

    def match(self, tokens: Tokens[int]) -> int:
        """Length of the longest prefix of `tokens` that can be restored."""
        ...

    def at_hand(self, tokens: Tokens[int]) -> int:
        """How many of the first of `tokens` are there just now."""
        ...


class NothingStored:
    """Hibernation is switched off."""

    def match(self, tokens: Tokens[int]) -> int:  # noqa: ARG002  # the protocol's
        """Nothing can be restored."""
        return 0

    def at_hand(self, tokens: Tokens[int]) -> int:  # noqa: ARG002  # the protocol's
        """Nothing is at hand."""
        return 0
