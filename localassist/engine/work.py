"""Work: one generation while it is computed: from rows of logits to text."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localassist.engine.repetition import RepetitionWatch
from localassist.engine.request import FinishReason, Generation, TokenEvent
from localassist.engine.sampler import Sampler, exp_sum
from localassist.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence as Rows

    from localassist.engine.backend import Row, Vocabulary
    from localassist.engine.branches import Branches
    from localassist.engine.constraint import Constraint
    from localassist.engine.detokenizer import Detokenizer
    from localassist.engine.sequence import Sequence
    from localassist.engine.speculator import Speculator

# How many of the likeliest tokens are asked one by one before the whole vocabulary is.
_ASKED = 64


class NothingAllowedError(ModelError):
    """The constraint admits no token at all here."""


@dataclass(eq=False)
class Work:
    """A generation and what computing it needs. Owned by the engine's loop."""

    generation: Generation
    sequence: Sequence
    sampler: Sampler
    detokenizer: Detokenizer
    vocabulary: Vocabulary
    constraint: Constraint | None = None
    speculator: Speculator | None = None
    branches: Branches | None = None
    _repetition: RepetitionWatch | None = field(default=None, init=False)
    _forced: list[int] = field(default_factory=list, init=False)
    _has_ended_repetition: bool = field(default=False, init=False)  # since the last event

    def __post_init__(self) -> None:
        if self.constraint is not None and self.constraint.ends_repetition:
            self._repetition = RepetitionWatch(self.vocabulary.token_bytes)

    def take(self, rows: Rows[Row], draft: Rows[int]) -> FinishReason | None:
        """Choose a token for each row, as long as the draft behind it was right.

        Args:
            rows: logits behind the last token and behind each token of the draft.
            draft: tokens that were computed although nobody had chosen them yet.

        Returns:
            Why the answer has ended, or None.

        Raises:
            NothingAllowedError: see there.
        """
        texts: list[str] = []
        reason: FinishReason | None = None
        before = self.sequence.num_generated_tokens
        if before == 0:
            rows = [self._first(rows[0]), *rows[1:]]
        for index, row in enumerate(rows):
            reason = self._take_one(row, texts)
            if reason is not None:
                break
            if index < len(draft) and self.sequence.tokens[-1] != draft[index]:
                break
        taken = self.sequence.tokens[self.sequence.num_prompt_tokens + before :]
        self._speculate(drafted=len(draft), accepted=len(taken) - 1)
        if reason is None:
            self._tell("".join(texts), taken, None)
        else:
            self._tell("".join(texts) + self.detokenizer.flush(), taken, reason)
            self.generation.channel.close()
        return reason

    def end(self, reason: FinishReason) -> None:
        """End the answer as it stands."""
        self._tell(self.detokenizer.flush(), [], reason)
        self.generation.channel.close()

    def _tell(self, text: str, tokens: Rows[int], reason: FinishReason | None) -> None:
        self.generation.num_cached_tokens = self.sequence.num_cached_tokens
        ended, self._has_ended_repetition = self._has_ended_repetition, False
        event = TokenEvent(text, tuple(tokens), reason, ended_repetition=ended)
        self.generation.channel.put(event)

    def _take_one(self, row: Row, texts: list[str]) -> FinishReason | None:
        token = self._choose(row)
        self._note_branch(token, row)
        if self.vocabulary.is_end(token):
            return FinishReason.STOP
        self.sequence.tokens.append(token)
        texts.append(self.detokenizer.push(self.vocabulary.token_bytes(token)))
        if self.detokenizer.stopped:
            return FinishReason.STOP
        if self.constraint is not None and self.constraint.complete:
            return FinishReason.STOP
        if self.sequence.num_generated_tokens >= self.sequence.max_tokens:
            return FinishReason.LENGTH
        return None

    def _note_branch(self, token: int, row: Row) -> None:
        request = self.generation.request
        masked = request.banned_first and not self.sequence.num_generated_tokens
        if self.branches is None or not request.branches_at or masked:
            return
        if any(byte in request.branches_at for byte in self.vocabulary.token_bytes(token)):
            self.branches.note(self.sequence.tokens, row)

    def _first(self, row: Row) -> Row:
        """Note the watched tokens' probabilities and leave out the banned ones."""
        request = self.generation.request
        if request.watched:
            top = float(row.max())
            total = top + math.log(float(exp_sum(row, top)))
            self.generation.first_logprobs = {
                token: float(row[token]) - total for token in request.watched
            }
        if request.banned_first:
            row = row.copy()
            row[list(request.banned_first)] = -math.inf
        return row

    def _choose(self, row: Row) -> int:
        """A token that the constraint allows: almost always the one that was sampled."""
        token = self.sampler.sample(row)
        constraint = self.constraint
        if constraint is None:
            return token
        forced: Rows[int] = self._forced
        if not forced:
            if not constraint.allows(token):
                token = self._choose_another(row, token, constraint)
            forced = self._ending(token, constraint)
        if forced:
            self.sampler.replace(token, forced[0])
            token, *self._forced = forced
        constraint.accept(token)
        return token

    def _ending(self, token: int, constraint: Constraint) -> Rows[int]:
        """Tokens that end what the token would go on to repeat; empty where it does not."""
        if self._repetition is None:
            return ()
        sequence = self.sequence
        endings = self._repetition.endings(sequence.tokens, sequence.num_prompt_tokens, token)
        for text in endings:
            if tokens := constraint.spelled(text):
                self._has_ended_repetition = True
                self._repetition.ended()
                return tokens
        return ()

    def _choose_another(self, row: Row, refused: int, constraint: Constraint) -> int:
        meant = constraint.beginning_of(refused)
        if meant is None:
            meant = constraint.forgotten_before(refused)
        if meant is not None:
            self.sampler.replace(refused, meant)
            return meant
        if self.generation.request.sampling.temperature <= 0:
            # The likeliest that is allowed; most often it is among the first.
            for token in self.sampler.ranked(row, _ASKED):
                if constraint.allows_instead(token, refused):
                    self.sampler.replace(refused, token)
                    return token
        found = self.sampler.best_of(row, constraint.mask_instead(refused))
        if found is None or not constraint.allows(found):  # a mask may hold what is forced first
            raise NothingAllowedError(
                "Nothing that the constraint admits can follow.", code="constraint_failed"
            )
        self.sampler.replace(refused, found)
        return found

    def _speculate(self, *, drafted: int, accepted: int) -> None:
        if self.speculator is None:
            return
        if drafted:
            self.speculator.checked(drafted=drafted, accepted=max(0, accepted))
        self.sequence.draft = self.speculator.draft(self.sequence.tokens)
