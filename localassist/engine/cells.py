"""Cells: how many places of the context are taken, where prefixes are shared.

With a unified cache a copied prefix takes no place of its own: each cell counts the slots that
hold it. New tokens go where llama.cpp puts them, into the first cells that are free; where it
differs, as tokens are aside in another lane or were restored in pieces that overlap, only
`PrefixCache` judges a little worse.
"""

from __future__ import annotations

import heapq


class Cells:
    """Counts of one context. Pure bookkeeping.

    Attributes:
        num_used: cells that some slot holds.
        num_pinned: those of them that a running sequence holds, which cannot be evicted.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.num_used = 0
        self.num_pinned = 0
        self._holders = [0] * capacity
        self._pins = [0] * capacity
        self._free = list(range(capacity))  # a heap

    def take(self, count: int) -> list[int]:
        """New cells of a running sequence."""
        while len(self._free) < count:  # the backend found room that we did not know of
            heapq.heappush(self._free, len(self._holders))
            self._holders.append(0)
            self._pins.append(0)
        taken = [heapq.heappop(self._free) for _ in range(count)]
        for cell in taken:
            self._holders[cell] = self._pins[cell] = 1
        self.num_used += count
        self.num_pinned += count
        return taken

    def share(self, cells: list[int]) -> None:
        """One more slot, not running yet, holds these cells."""
        for cell in cells:
            self._holders[cell] += 1

    def drop(self, cells: list[int]) -> None:
        """One slot, not running, holds these cells no more."""
        for cell in cells:
            self._holders[cell] -= 1
            if not self._holders[cell]:
                heapq.heappush(self._free, cell)
                self.num_used -= 1

    def gain_of_moving(self, cells: list[int]) -> int:
        """How much nearer to the beginning these would end, were they freed and taken anew.

        0 if another slot holds one of them, which would stay where it is.
        """
        if any(self._holders[cell] > 1 for cell in cells):
            return 0
        places = heapq.nsmallest(len(cells), [*self._free, *cells])
        return max(cells) - places[-1]

    def pin(self, cells: list[int]) -> None:
        """The slot that holds these cells begins to run."""
        for cell in cells:
            if not self._pins[cell]:
                self.num_pinned += 1
            self._pins[cell] += 1

    def unpin(self, cells: list[int]) -> None:
        """The slot that holds these cells runs no more."""
        for cell in cells:
            self._pins[cell] -= 1
            if not self._pins[cell]:
                self.num_pinned -= 1
