"""Windows: what is embedded and found. They end where sentences do, and never cross a page."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localassist.retrieval.sentences import Span, sentences, trimmed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    # Where each token of a text begins, in code points.
    TokenStarts = Callable[[str], Sequence[int]]

MAX_TOKENS = 240
_MOST_CHARS_A_TOKEN = 8


@dataclass(frozen=True)
class Window:
    """A span of a page, with its length in tokens of the embedding model."""

    start: int
    stop: int
    num_tokens: int


def windows(text: str, token_starts: TokenStarts, *, max_tokens: int = MAX_TOKENS) -> list[Window]:
    """Cut a page into windows of about the same length, none longer than `max_tokens`."""
    starts = token_starts(text)

    def count(span: Span) -> int:
        tokens = bisect.bisect_left(starts, span.stop) - bisect.bisect_left(starts, span.start)
        # Whatever has no spaces is one token to the embedding model, and thousands to others.
        return max(tokens, (span.stop - span.start) // _MOST_CHARS_A_TOKEN)

    pieces = [piece for span in sentences(text) for piece in _pieces(text, span, count, max_tokens)]
    total = sum(count(piece) for piece in pieces)
    if not total:
        return []
    # A page's last window would otherwise be whatever is left over, often a few words.
    wanted = total / -(-total // max_tokens)
    found: list[Window] = []
    group: list[Span] = []
    size = 0
    for piece in pieces:
        tokens = count(piece)
        if group and (size + tokens > max_tokens or size + tokens / 2 > wanted):
            found.append(Window(group[0].start, group[-1].stop, size))
            group, size = [], 0
        group.append(piece)
        size += tokens
    if group:
        found.append(Window(group[0].start, group[-1].stop, size))
    return [window for window in found if window.num_tokens]


def _pieces(text: str, span: Span, count: Callable[[Span], int], max_tokens: int) -> Iterator[Span]:
    """A sentence, or parts of one that is too long: its lines, else its words, else anything."""
    if count(span) <= max_tokens:
        yield span
        return
    for separator in ("\n", " "):
        at = text.find(separator, span.start + (span.stop - span.start) // 2, span.stop - 1)
        if at < 0:
            at = text.rfind(separator, span.start + 1, span.stop)
        if at > 0:
            break
    else:
        at = (span.start + span.stop) // 2 - 1
    for start, stop in itertools.pairwise((span.start, at + 1, span.stop)):
        part = trimmed(text, start, stop)
        if part.start < part.stop:
            yield from _pieces(text, part, count, max_tokens)


def chunks(
    pages: Sequence[Sequence[Window]], *, max_tokens: int, overlap: int
) -> list[tuple[int, int]]:
    """The API's chunks, as ranges of windows: from the first up to, not including, the last.

    Args:
        pages: the windows of a document.
        max_tokens: of a chunk; a window is never cut.
        overlap: tokens that a chunk has in common with the one before, at most.
    """
    sizes = [window.num_tokens for page in pages for window in page]
    found: list[tuple[int, int]] = []
    first = 0
    while first < len(sizes):
        last, size = first, 0
        while last < len(sizes) and (last == first or size + sizes[last] <= max_tokens):
            size += sizes[last]
            last += 1
        found.append((first, last))
        if last == len(sizes):
            break
        following, shared = last, 0
        # The next one begins inside this one, but must reach beyond its end.
        while following > first + 1 and shared + sizes[following - 1] <= min(
            overlap, max_tokens - sizes[last]
        ):
            following -= 1
            shared += sizes[following]
        first = following
    return found
