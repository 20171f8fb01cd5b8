"""The prompt of a run: as much of the conversation as fits, the newest first to be kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localassist.engine.chat_template import ChatMessage
from localassist.types.message import FileCitationAnnotation, Message, TextContent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from localassist.types.message import Text

# Dropping a few messages at a time keeps the beginning of the prompt the same for several turns,
# so that what the engine has computed of it stays of use.
DROP_STEP = 8
_IMAGE_NOTE = "[An image was attached here. You cannot see images.]"


@dataclass(frozen=True)
class Prompt:
    """Tokens to be continued; `num_dropped` messages of the conversation are not among them."""

    tokens: list[int]
    num_dropped: int


def chat_message(message: Message) -> ChatMessage:
    """A message as the model is shown it."""
    parts = [
        _without_markers(part.text) if isinstance(part, TextContent) else _IMAGE_NOTE
        for part in message.content
    ]
    return ChatMessage(message.role, "\n".join(parts))


def _without_markers(text: Text) -> str:
    """A text as the model wrote it: it would imitate our markers, and not be believed."""
    value = text.value
    for each in sorted(text.annotations, key=lambda each: -each.start_index):
        if isinstance(each, FileCitationAnnotation):
            value = value[: each.start_index] + value[each.end_index :]
    return value


def build(
    history: Sequence[Message],
    *,
    instructions: str | None,
    max_tokens: int,
    closing: Sequence[ChatMessage] = (),
    calls: Mapping[str, Sequence[ChatMessage]] | None = None,
    shown: Callable[[str], str] | None = None,
    encode: Callable[[Sequence[ChatMessage]], list[int]],
) -> Prompt | None:
    """The longest prompt of at most `max_tokens`; None if even the last message is too long.

    Args:
        history: the conversation, oldest first.
        instructions: the system turn; always kept whole.
        max_tokens: what the prompt may take of the context.
        closing: turns after it that are not of the conversation; kept whole.
        calls: turns that came before a message, by its id.
        shown: makes of the user's last message what the model is shown of it.
        encode: turns a conversation into the tokens of its prompt.
    """
    system = [ChatMessage("system", instructions)] if instructions else []
    turns = [chat_message(message) for message in history]
    before = [(calls or {}).get(message.id, ()) for message in history]
    asked = next((at for at in reversed(range(len(turns))) if turns[at].role == "user"), None)
    if shown is not None and asked is not None:
        turns[asked] = replace(turns[asked], content=shown(turns[asked].content))

    def prompt(num_dropped: int) -> Prompt | None:
        kept = zip(before[num_dropped:], turns[num_dropped:], strict=True)
        spoken = [each for earlier, turn in kept for each in (*earlier, turn)]
        tokens = encode([*system, *spoken, *closing])
        return Prompt(tokens, num_dropped) if len(tokens) <= max_tokens else None

    if whole := prompt(0):
        return whole
    coarse = range(DROP_STEP, len(turns), DROP_STEP)
    return _first_fitting(coarse, prompt) or _first_fitting(range(1, len(turns)), prompt)


def _first_fitting(candidates: range, prompt: Callable[[int], Prompt | None]) -> Prompt | None:
    """The prompt that drops least. The more is dropped the shorter it is: bisection."""
    best: Prompt | None = None
    low, high = 0, len(candidates)
    while low < high:
        middle = (low + high) // 2
        found = prompt(candidates[middle])
        if found is None:
            low = middle + 1
        else:
            best, high = found, middle
    return best
