"""Page: a piece of a document's text; and why a document has none."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]

SECTION_CHARS = 40_000
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])(?:\ufffe|\x02|\u00ad|-)[ \t]*\n[ \t]*(?=[^\W\d_A-Z])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_SPACES = re.compile(r"[ \t\u00a0]+")
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}


@dataclass(frozen=True)
class Page:
    """Text of one page.

    Attributes:
        number: counts from 1; from -1 downwards where the document has no pages of its own.
        text: without control characters.
    """

    number: int
    text: str


class UnreadableError(Exception):
    """A document whose text cannot be had.

    Attributes:
        code: the API's code.
        message: a word for programs, a colon, and a sentence for its reader.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message


def sections(text: str) -> list[Page]:
    """A text without pages, in pieces that can be worked on one by one."""
    found: list[Page] = []
    start = 0
    while start < len(text) or not found:
        stop = min(start + SECTION_CHARS, len(text))
        if stop < len(text):
            # At the last paragraph, line or word that ends in the second half.
            for end in ("\n\n", "\n", " "):
                at = text.rfind(end, start + SECTION_CHARS // 2, stop)
                if at > 0:
                    stop = at + len(end)
                    break
        found.append(Page(-len(found) - 1, text[start:stop]))
        start = stop
    return found


def cleaned(text: str) -> str:
    """Text as it is indexed: words that a line broke are whole, ligatures are letters."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _BROKEN_WORD.sub("", text).translate(_LIGATURES)
    return _SPACES.sub(" ", _CONTROL.sub("", text))
