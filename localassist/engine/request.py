"""What an engine is asked and what it answers."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from localassist._channel import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from localassist.engine.chat_template import ChatMessage
    from localassist.engine.constraint import Constraint, Grammar
    from localassist.engine.tool_dialect import ToolHabits


class FinishReason(str, enum.Enum):
    """Why a generation ended without an error."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen. `temperature` 0 takes the likeliest; `top_k` 0 means all.

    `presence_penalty` and `frequency_penalty` count the answer's own tokens, as in OpenAI's API;
    `repeat_penalty` counts those of the prompt as well, as in llama.cpp.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    seed: int | None = None

    @property
    def filters(self) -> bool:
        """Whether unlikely tokens are left out."""
        return bool(self.top_k or self.top_p < 1 or self.min_p > 0)

    @property
    def penalises(self) -> bool:
        """Whether any penalty has an effect."""
        return bool(self.presence_penalty or self.frequency_penalty or self.repeat_penalty != 1.0)


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt to be continued.

    Attributes:
        prompt_tokens: at least one token.
        sampling: how to choose tokens.
        max_tokens: at most so many new tokens; None leaves it to the context.
        stop: texts that end the answer and are not part of it.
        constraint: what the answer must look like; made by the engine's `constrain`.
        watched: tokens whose probability as the first one is wanted.
        banned_first: tokens that the answer must not begin with.
        branches_at: where a token with one of these bytes is chosen, what else might have been is
            kept; a later request for one token behind the same tokens is answered from it at once.
    """

    prompt_tokens: Sequence[int]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None
    watched: tuple[int, ...] = ()
    banned_first: tuple[int, ...] = ()
    branches_at: bytes = b""


@dataclass(frozen=True)
class TokenEvent:
    """One step of a generation: `text` may be empty while a character is incomplete.

    `ended_repetition` says that it would have gone on with what is repeated, and was not let.
    """

    text: str
    tokens: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    ended_repetition: bool = False

    @property
    def num_tokens(self) -> int:
        """How many were generated."""
        return len(self.tokens)


def _merge_events(earlier: TokenEvent, later: TokenEvent) -> TokenEvent:
    return TokenEvent(
        text=earlier.text + later.text,
        tokens=earlier.tokens + later.tokens,
        finish_reason=later.finish_reason,
        ended_repetition=earlier.ended_repetition or later.ended_repetition,
    )


class Generation:
    """A running answer. Iterate it for its TokenEvents; `cancel` it from any OS thread.

    Attributes:
        num_prompt_tokens: length of the prompt.
        num_cached_tokens: how many of them were not computed again; known at the first event.
        first_logprobs: natural logarithm of the probability of each watched token to be the first;
            known at the first event.
    """

    def __init__(self, request: GenerationRequest, *, cancel: Callable[[Generation], None]) -> None:
        self.request = request
        self.num_prompt_tokens = len(request.prompt_tokens)
        self.num_cached_tokens = 0
        self.first_logprobs: dict[int, float] = {}
        self.channel: Channel[TokenEvent] = Channel(merge=_merge_events)
        self._cancel = cancel

    def __iter__(self) -> Iterator[TokenEvent]:
        return iter(self.channel)

    def cancel(self) -> None:
        """Ask the engine to stop; a last event with CANCELLED follows unless it was done."""
        self._cancel(self)


@dataclass(frozen=True)
class EngineStats:
    """What is going on in an engine.

    Attributes:
        running: generations that are computed.
        waiting: generations that are not.
        waiting_for: what the first of those waits for, or None.
        cells_used: tokens in the context, of running and of idle conversations.
        cells: tokens that it can hold.
        measured: whether it is known what steps cost here, which is measured while nobody asks.
    """

    running: int
    waiting: int
    waiting_for: str | None
    cells_used: int
    cells: int
    measured: bool = True


class Engine(Protocol):
    """What the layers above need of a loaded model."""

    name: str
    sampling_defaults: SamplingParams
    tools: ToolHabits

    @property
    def stats(self) -> EngineStats:
        """What is running and what waits, and for what."""
        ...

    @property
    def n_ctx(self) -> int:
        """Tokens that one conversation can hold, prompt and answer together."""
        ...

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Tokens of a conversation, up to where the assistant's answer begins."""
        ...

    def encode_text(self, text: str) -> list[int]:
        """Tokens of a text, none of them a control token."""
        ...

    def encode_frame(self, text: str) -> list[int]:
        """Tokens of a text of ours, in which names of control tokens mean these."""
        ...

    def encode_on(self, said: Sequence[int], text: str, *, keep: int) -> list[int]:
        """Tokens as of `encode_frame`, but of what a model has said already its own.

        It does not always take the tokens that its text is encoded to.

        Args:
            said: tokens of the model.
            text: ours.
            keep: within so many of its characters their tokens are those of the model.
        """
        ...

    def constrain(self, grammar: Grammar) -> Constraint:
        """A constraint for one generation.

        Raises:
            BadRequestError: code `invalid_grammar`, with what is wrong.
        """
        ...

    def submit(self, request: GenerationRequest) -> Generation:
        """Queue a generation and return at once.

        Raises:
            ContextOverflowError: the prompt leaves no room for an answer.
        """
        ...

    def close(self) -> None:
        """End all generations and free the model."""
        ...
