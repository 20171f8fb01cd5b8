"""Text of text files in any of the usual encodings, and of HTML."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from localassist._lazy import require
from localassist.retrieval.extract.page import UnreadableError, cleaned

if TYPE_CHECKING:
    from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MOST_CONTROL = 0.02
_NOT_SHOWN = ("script", "style", "noscript", "template", "svg")


def text_of(path: Path) -> str:
    """A text file's text.

    Raises:
        UnreadableError: it is binary.
    """
    return cleaned(_decoded(path.read_bytes()))


def html_text(path: Path) -> str:
    """The text that a page of HTML shows, a line for each block."""
    bs4 = require("bs4", package="beautifulsoup4")
    soup = bs4.BeautifulSoup(path.read_bytes(), "html.parser")
    for hidden in soup(_NOT_SHOWN):
        hidden.decompose()
    lines = (line.strip() for line in soup.get_text("\n").splitlines())
    return cleaned("\n".join(line for line in lines if line))


def _decoded(data: bytes) -> str:
    encodings = [name for mark, name in _MARKS if data.startswith(mark)][:1]
    if not encodings:
        # UTF-16 without a mark: every other byte of Western text is zero.
        zeros = data[:4000].count(0)
        halves = ("utf-16-le", "utf-16-be") if data[1:2] == b"\0" else ("utf-16-be", "utf-16-le")
        encodings = [halves[0]] if zeros > len(data[:4000]) // 4 else ["utf-8", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _is_text(text):
            return text
    if not data.count(0):
        # Mixed encodings: what is not UTF-8 is shown as missing rather than refused.
        text = data.decode("utf-8", "replace")
        if text.count("\ufffd") < len(text) * _MOST_CONTROL:
            return text
    raise UnreadableError(
        "unsupported_file",
        "unsupported: The file is not text. Text must be UTF-8, UTF-16 or ASCII.",
    )


def _is_text(text: str) -> bool:
    control = sum(1 for char in text[:20_000] if char < " " and char not in "\t\n\r\f\0\b\x1b")
    return control <= len(text[:20_000]) * _MOST_CONTROL and text.count("\0") <= len(text) * 0.01
