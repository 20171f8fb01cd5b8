"""Sequence: one generation as the scheduler sees it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localassist.engine.prefix_cache import Slot


class SequenceStatus(enum.Enum):
    """Where a sequence stands."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(eq=False)
class Sequence:
    """Tokens of a prompt and of what was generated for it.

    Attributes:
        tokens: prompt and answer so far.
        num_prompt_tokens: how many of `tokens` were given.
        max_tokens: at most so many generated tokens.
        num_computed_tokens: how many of `tokens` have their keys and values in the context.
        num_cached_tokens: how many of those were there already at the first admission.
        slot: where they are, while running.
        queued_at: tokens of prompts that had been computed when it came.
        last_served: a count that grows with every sequence that a step computes for.
        was_preempted: its slot was taken from it once.
        draft: tokens that may follow, to be checked in one step.
    """

    tokens: list[int]
    num_prompt_tokens: int
    max_tokens: int
    num_computed_tokens: int = 0
    num_cached_tokens: int = 0
    status: SequenceStatus = SequenceStatus.WAITING
    slot: Slot | None = field(default=None, repr=False)
    queued_at: int = 0
    last_served: int = 0
    was_preempted: bool = False
    draft: list[int] = field(default_factory=list)

    @property
    def num_generated_tokens(self) -> int:
        """Length of the answer so far."""
        return len(self.tokens) - self.num_prompt_tokens

    @property
    def num_pending_tokens(self) -> int:
        """Tokens to be computed before the next one can be chosen; 1 while decoding."""
        return len(self.tokens) - self.num_computed_tokens

    @property
    def decoding(self) -> bool:
        """Past its prompt: every step yields a token."""
        return self.num_pending_tokens == 1 and self.num_generated_tokens > 0
