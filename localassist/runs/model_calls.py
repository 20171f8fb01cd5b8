"""ModelCalls: the model as one run calls it, with the run's end in view and its tokens counted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from localassist.engine.request import FinishReason, GenerationRequest, SamplingParams
from localassist.types.run import PromptTokensDetails, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from localassist.engine.request import Engine, Generation, TokenEvent

_LOOK_S = 0.25  # between two looks at whether the run is over while the model is silent


class Interrupted(Exception):  # not an error: the run is to stop
    """The run was cancelled, is overdue or is to be left to another process."""


class OutOfTokens(Exception):  # not an error either
    """All calls together have written as much as they may."""


class ModelCalls:
    """Calls of one execution. `stop` may be called from any OS thread, the rest by its worker."""

    def __init__(
        self, engine: Engine, *, is_over: Callable[[], bool], max_tokens: int | None = None
    ) -> None:
        """Make no call yet.

        Args:
            engine: the loaded model.
            is_over: whether the run is to stop; asked several times a second.
            max_tokens: that all calls together may write; None is no limit.
        """
        self.engine = engine
        self._is_over = is_over
        self._max_tokens = max_tokens
        self._generation: Generation | None = None
        self._stopped = False
        self._usages: list[Usage] = []
        self._told: Usage | None = None

    def stop(self) -> None:
        """Have the running call, and every later one, raise Interrupted."""
        self._stopped = True
        if self._generation is not None:
            self._generation.cancel()

    @property
    def usages(self) -> Sequence[Usage]:
        """Tokens of each call so far, the running one included."""
        return self._usages

    def take_usage(self) -> Usage | None:
        """Tokens since this was asked last: those of one step; None if there was no call."""
        now, told = total(self._usages), self._told
        self._told = now
        if now is None or told is None:
            return now
        return Usage(
            completion_tokens=now.completion_tokens - told.completion_tokens,
            prompt_tokens=now.prompt_tokens - told.prompt_tokens,
            total_tokens=now.total_tokens - told.total_tokens,
            prompt_tokens_details=now.prompt_tokens_details,
        )

    @property
    def is_out_of_tokens(self) -> bool:
        """Whether all calls together have written as much as they may."""
        return self._left is not None and self._left <= 0

    @property
    def _left(self) -> int | None:
        if self._max_tokens is None:
            return None
        return self._max_tokens - sum(each.completion_tokens for each in self._usages)

    def generate(
        self, request: GenerationRequest, *, goes_on: bool = False
    ) -> Generator[TokenEvent, None, None]:
        """Answer a prompt. Closing the generator ends the generation.

        Args:
            request: what to answer.
            goes_on: the prompt is the last one and its answer so far; counted as one call.

        Raises:
            Interrupted: the run is to stop; what came before has been yielded.
            OutOfTokens: none is left for this call.
            ContextOverflowError: the prompt leaves no room for an answer.
        """
        generation = self._submit(self._limited(request))
        earlier = self._usages.pop() if goes_on else _usage(generation, 0)
        self._usages.append(earlier)
        num_tokens = 0
        try:
            while not generation.channel.exhausted:
                if self._is_over():
                    raise Interrupted
                event = generation.channel.get(timeout_s=_LOOK_S)
                if event is None:
                    continue
                num_tokens += event.num_tokens
                self._usages[-1] = _longer(earlier, num_tokens, generation)
                if event.finish_reason is not FinishReason.CANCELLED or event.text:
                    yield event
                if event.finish_reason is FinishReason.CANCELLED:
                    raise Interrupted
        finally:
            generation.cancel()

    def _limited(self, request: GenerationRequest) -> GenerationRequest:
        """The request, for no more tokens than are left."""
        left = self._left
        if left is None:
            return request
        if left <= 0:
            raise OutOfTokens
        return replace(request, max_tokens=min(left, request.max_tokens or left))

    def first_logprob(self, prompt: Sequence[int], token: int) -> float:
        """Logarithm of the probability that `token` begins the answer. Not counted as usage.

        Raises:
            Interrupted: the run is to stop.
        """
        return self.first_logprobs(prompt, [token])[token]

    def first_logprobs(self, prompt: Sequence[int], tokens: Sequence[int]) -> dict[int, float]:
        """The same of several tokens.

        Raises:
            Interrupted: the run is to stop.
        """
        request = GenerationRequest(
            prompt_tokens=prompt, sampling=SamplingParams(), max_tokens=1, watched=tuple(tokens)
        )
        found = self._ended(request)[0].first_logprobs
        return {token: found.get(token, float("-inf")) for token in tokens}

    def reply(self, prompt: Sequence[int], *, max_tokens: int) -> str:
        """The likeliest answer to a question that nobody else has asked. Not counted as usage.

        Raises:
            Interrupted: the run is to stop.
        """
        request = GenerationRequest(
            prompt_tokens=prompt, sampling=SamplingParams(), max_tokens=max_tokens
        )
        return self._ended(request)[1]

    def _ended(self, request: GenerationRequest) -> tuple[Generation, str]:
        """A generation that has ended, and its text."""
        generation, text = self._submit(request), ""
        while not generation.channel.exhausted:
            if self._is_over():
                generation.cancel()
                raise Interrupted
            event = generation.channel.get(timeout_s=_LOOK_S)
            if event is not None:
                text += event.text
                if event.finish_reason is FinishReason.CANCELLED:
                    raise Interrupted
        return generation, text

    def _submit(self, request: GenerationRequest) -> Generation:
        generation = self.engine.submit(request)
        self._generation = generation
        if self._stopped:
            generation.cancel()
        return generation


def total(usages: Sequence[Usage]) -> Usage | None:
    """Tokens of several calls together; None of none."""
    if not usages:
        return None
    return Usage(
        completion_tokens=sum(each.completion_tokens for each in usages),
        prompt_tokens=sum(each.prompt_tokens for each in usages),
        total_tokens=sum(each.total_tokens for each in usages),
        prompt_tokens_details=usages[-1].prompt_tokens_details,
    )


def _longer(earlier: Usage, num_tokens: int, generation: Generation) -> Usage:
    """A call's usage once it has given more tokens."""
    known = earlier.prompt_tokens_details if earlier.completion_tokens else None
    return Usage(
        completion_tokens=earlier.completion_tokens + num_tokens,
        prompt_tokens=earlier.prompt_tokens,
        total_tokens=earlier.total_tokens + num_tokens,
        prompt_tokens_details=known
        or PromptTokensDetails(cached_tokens=generation.num_cached_tokens),
    )


def _usage(generation: Generation, num_tokens: int) -> Usage:
    return Usage(
        completion_tokens=num_tokens,
        prompt_tokens=generation.num_prompt_tokens,
        total_tokens=generation.num_prompt_tokens + num_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=generation.num_cached_tokens),
    )
