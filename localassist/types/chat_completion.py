"""ChatCompletion: the stateless companion of the Assistants API."""

from __future__ import annotations

from typing import Literal

from localassist.types._base import Model
from localassist.types.run import Usage


class ChatCompletionMessage(Model):
    """What the model answered."""

    content: str | None
    refusal: None = None
    role: Literal["assistant"] = "assistant"


class Choice(Model):
    """One answer. `finish_reason` is `length` when a limit cut it."""

    finish_reason: Literal["stop", "length"]
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
