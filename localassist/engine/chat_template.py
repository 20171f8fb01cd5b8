"""ChatTemplate: a conversation becomes the prompt that the model was trained on.

The template comes from the model's file and the texts come from users, so neither is trusted: the
template runs in Jinja's sandbox and never sees a text, only a mark in its place. The frame around
the marks is tokenised with control tokens, the texts without: `<|im_end|>` in a message is seven
harmless characters more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.engine.backend import Vocabulary

# Private-use characters: no template has them, and texts are never rendered, so none can clash.
_MARK = re.compile("\ue000([0-9]+)\ue001")


@dataclass(frozen=True)
class ChatMessage:
    """One turn. `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt: `frame` is the template's own, the rest is somebody's text."""

    text: str
    frame: bool


class ChatTemplate:
    """A compiled template. Safe to use from any OS thread."""

    def __init__(self, source: str, *, bos_text: str = "", eos_text: str = "") -> None:
        """Compile it.

        Raises:
            ModelFileError: it is not valid Jinja.
        """
        sandbox = require("jinja2.sandbox", package="jinja2")
        self._errors = require("jinja2.exceptions", package="jinja2").TemplateError
        environment = sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = self._refuse
        environment.globals["strftime_now"] = _no_clock
        self._texts = {"bos_token": bos_text, "eos_token": eos_text}
        try:
            self._template = environment.from_string(source)
        except self._errors as error:
            raise self._broken(error) from error

    def segments(self, messages: Sequence[ChatMessage]) -> list[Segment]:
        """The prompt for the assistant's next turn.

        Templates that know no system turn, or want user and assistant to alternate, are given
        merged turns.

        Raises:
            ModelFileError: the template fails on both forms.
        """
        try:
            return self._render(messages)
        except self._errors:
            try:
                return self._render(_alternate(messages))
            except self._errors as error:
                raise self._broken(error) from error

    def encode(self, messages: Sequence[ChatMessage], vocabulary: Vocabulary) -> list[int]:
        """Tokens of the prompt."""
        segments = self.segments(messages)
        bos = vocabulary.bos_text
        if vocabulary.adds_bos and not (segments and segments[0].text.startswith(bos)):
            segments.insert(0, Segment(bos, frame=True))
        tokens: list[int] = []
        for segment in segments:
            tokens += vocabulary.tokenize(segment.text, parse_special=segment.frame)
        return tokens

    def _render(self, messages: Sequence[ChatMessage]) -> list[Segment]:
        # An empty text stays empty, since templates ask whether there is one.
        marked = [
            {"role": message.role, "content": f"\ue000{index}\ue001" if message.content else ""}
            for index, message in enumerate(messages)
        ]
        rendered = self._template.render(
            messages=marked, add_generation_prompt=True, tools=None, **self._texts
        )
        segments: list[Segment] = []
        position = 0
        for mark in _MARK.finditer(rendered):
            segments.append(Segment(rendered[position : mark.start()], frame=True))
            segments.append(Segment(messages[int(mark[1])].content, frame=False))
            position = mark.end()
        segments.append(Segment(rendered[position:], frame=True))
        return [segment for segment in segments if segment.text]

    def _refuse(self, message: str) -> None:
        raise self._errors(message)

    def _broken(self, error: Any) -> ModelFileError:
        return ModelFileError(
            f"The model's chat template cannot be used: {error}.",
            code="model_bad_chat_template",
            hint="Choose another model, or give one as chat_template in models/manifest.toml.",
        )


def _no_clock(_format: str) -> str:
    # A date in the prompt would change it every day, and with it every cached prefix.
    return ""


def _alternate(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Merge system turns into the following user turn, and neighbours of one role."""
    merged: list[ChatMessage] = []
    for message in messages:
        role = "user" if message.role == "system" else message.role
        if merged and merged[-1].role == role:
            merged[-1] = ChatMessage(role, f"{merged[-1].content}\n\n{message.content}")
        else:
            merged.append(ChatMessage(role, message.content))
    if merged and merged[0].role == "assistant":
        merged.insert(0, ChatMessage("user", ""))
    return merged
