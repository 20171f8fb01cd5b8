"""ChatCompletion: the stateless companion of the Assistants API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from localassist.types._base import Model, WhenSet
from localassist.types.run import Usage
from localassist.types.tool import RequiredFunctionCall

FinishReason = Literal["stop", "length", "tool_calls"]


class ChatCompletionMessage(Model):
    """What the model answered: words, or calls of functions."""

    content: str | None
    refusal: None = None
    role: Literal["assistant"] = "assistant"
    tool_calls: Annotated[list[RequiredFunctionCall] | None, WhenSet()] = None


class Choice(Model):
    """One answer. `finish_reason` is `length` when a limit cut it."""

    finish_reason: FinishReason
    index: int = 0
    logprobs: None = None
    message: ChatCompletionMessage


class ChatCompletion(Model):
    """The answer to a list of messages."""

    id: str
    choices: list[Choice]
    created: int
    model: str
    object: Literal["chat.completion"] = "chat.completion"
    system_fingerprint: str | None = None
    usage: Usage


class ChoiceDelta(Model):
    """What has been added to an answer."""

    content: Annotated[str | None, WhenSet()] = None
    role: Annotated[Literal["assistant"] | None, WhenSet()] = None
    tool_calls: Annotated[list[dict[str, Any]] | None, WhenSet()] = None


class ChunkChoice(Model):
    """More of one answer; the last one says why it ended."""

    delta: ChoiceDelta
    finish_reason: FinishReason | None = None
    index: int = 0
    logprobs: None = None


class ChatCompletionChunk(Model):
    """More of the answer to a list of messages."""

    id: str
    choices: list[ChunkChoice]
    created: int
    model: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    system_fingerprint: str | None = None
    usage: Annotated[Usage | None, WhenSet()] = None
