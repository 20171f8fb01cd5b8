"""Attack: something that hostile code tries, and the way to see that it succeeded.

An attack prints a line that begins with REACHED when it got what it must not get; some are seen
from outside instead. The words in capitals between @ are filled in with what the host has put out
as bait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Category = Literal["read", "net", "write", "link", "escape", "surface", "dos", "output"]
Sign = Literal[
    "printed", "hit", "outside", "planted", "collected", "victim", "processes", "busy", "memory"
]  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        id: short, for lists.
        category: what it is after.
        title: in words.
        code: what is run.
        sign: how its success is seen.
        expected: why it succeeds in a tier all the same, by the tier's name.
        quick: part of the short suite.
        ruinous: it would hurt the machine where nothing confines it, so it is only tried inside.
    """

    id: str
    category: Category
    title: str
    code: str
    sign: Sign = "printed"
    expected: tuple[tuple[str, str], ...] = ()
    quick: bool = False
    ruinous: bool = False
