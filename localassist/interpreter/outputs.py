"""OutputCollector: what a cell gave, out of messages that its code may have forged.

The key of the messages is in the sandbox, so nothing about them can be believed: they are bounded,
reduced to text and images, and cleaned of what a terminal or a page would act on.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "error", "timeout", "died", "cancelled"]

MAX_TEXT_CHARS = 100_000
MAX_IMAGES = 10
MAX_IMAGE_BYTES = 8 << 20
MAX_MESSAGES = 20_000
_MAX_TRACEBACK_CHARS = 8_000
_SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
# Sequences that drive a terminal, control characters, and those that turn text around.
_UNWANTED = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]|[\ud800-\udfff]"
)


@dataclass(frozen=True)
class Image:
    """A figure. `media_type` is `image/png` or `image/jpeg`, and the data begins like one."""

    media_type: str
    data: bytes


@dataclass(frozen=True)
class Execution:
    """What became of a cell.

    Attributes:
        status: `ok` and `error` are the code's own; the others are what ended it.
        logs: what it printed, its last value and its traceback.
        images: its figures.
        notes: what the model should know besides, a line each.
        tier: the sandbox it ran in.
        seconds: how long it took.
    """

    status: Status
    logs: str
    images: tuple[Image, ...] = ()
    notes: tuple[str, ...] = ()
    tier: str = ""
    seconds: float = 0.0


@dataclass
class _Text:
    """Head and tail of a text of any length, in bounded memory."""

    limit: int
    head: list[str] = field(default_factory=list)
    tail: str = ""
    num_head: int = 0
    num_lost: int = 0

    def add(self, text: str) -> None:
        room = self.limit // 2 - self.num_head
        if room > 0:
            self.head.append(text[:room])
            self.num_head += len(text[:room])
            text = text[room:]
        if not text:
            return
        # What is far longer than the limit is cut before it is copied.
        self.num_lost += max(0, len(text) - self.limit)
        self.tail += text[-self.limit :]
        extra = len(self.tail) - self.limit // 2
        if extra > self.limit:
            self.tail = self.tail[extra:]
            self.num_lost += extra

    def get(self) -> str:
        extra = max(0, len(self.tail) - self.limit // 2)
        lost = self.num_lost + extra
        between = f"\n[... {lost:,} characters left out ...]\n" if lost else ""
        return "".join(self.head) + between + self.tail[extra:]


class OutputCollector:
    """Takes the messages of one cell."""

    def __init__(self, message_id: str) -> None:
        """Wait for what belongs to the request `message_id`."""
        self._message_id = message_id
        self._text = _Text(MAX_TEXT_CHARS)
        self.images: list[Image] = []
        self.status: Status | None = None
        self.idle = False
        self.replied = False
        self.exits = False
        self.num_messages = 0

    @property
    def flooded(self) -> bool:
        """There are more messages than any honest cell sends."""
        return self.num_messages > MAX_MESSAGES

    @property
    def logs(self) -> str:
        """The text so far."""
        return self._text.get()

    def take(self, message: Any) -> None:
        """A message of any shape."""
        parent = _dict(_dict(message).get("parent_header"))
        if parent.get("msg_id") != self._message_id:
            return
        self.num_messages += 1
        kind, content = message.get("msg_type"), _dict(message.get("content"))
        if kind == "status" and content.get("execution_state") == "idle":
            self.idle = True
        elif kind == "execute_reply":
            self.replied = True
            # The only thing in a payload that is believed, and only to wait for the end.
            self.exits = "ask_exit" in str(content.get("payload"))[:1000]
            if self.status is None:
                self.status = "error" if content.get("status") == "error" else "ok"
        elif kind == "stream":
            self._add(content.get("text"))
        elif kind == "error":
            self.status = "error"
            self._add_traceback(content)
        elif kind in ("execute_result", "display_data"):
            self._display(_dict(content.get("data")))

    def _add(self, text: Any) -> None:
        if isinstance(text, str) and text:
            self._text.add(clean(text))

    def _add_traceback(self, content: dict[str, Any]) -> None:
        lines = content.get("traceback")
        text = "\n".join(map(str, lines[:200])) if isinstance(lines, list) else ""
        self._add(
            text[-_MAX_TRACEBACK_CHARS:] or f"{content.get('ename')}: {content.get('evalue')}"
        )

    def _display(self, data: dict[str, Any]) -> None:
        for media_type, signature in _SIGNATURES.items():
            image = _image(data.get(media_type), signature)
            if image is not None:
                if len(self.images) < MAX_IMAGES:
                    self.images.append(Image(media_type, image))
                return
        text = data.get("text/plain")
        if isinstance(text, str):
            self._add(f"{text}\n" if not text.endswith("\n") else text)


def clean(text: str) -> str:
    """A text without what a terminal or a reader's eye would be misled by."""
    return _UNWANTED.sub("", text)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _image(value: Any, signature: bytes) -> bytes | None:
    if not isinstance(value, str) or len(value) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        return None
    try:
        data = base64.b64decode(value, validate=False)
    except (binascii.Error, ValueError):
        return None
    return data if data.startswith(signature) else None
