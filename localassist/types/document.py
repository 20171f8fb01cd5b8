"""Documents: the text of files, in the pieces that are embedded and found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DocumentStatus = Literal["pending", "completed", "failed"]


@dataclass(frozen=True)
class Document:
    """The text of a file.

    Attributes:
        id: its number.
        sha256: of the file's bytes.
        filename: which is searched as well.
        status: whether it is indexed.
        error: code and message if that failed, as JSON.
        num_pages: pages or sections; None until it is known.
        pages_done: how many of them are indexed.
        usage_bytes: of text and vectors.
    """

    id: int
    sha256: str
    filename: str
    status: DocumentStatus
    error: str | None
    num_pages: int | None
    pages_done: int
    usage_bytes: int


@dataclass(frozen=True)
class NewWindow:
    """A window to be stored: its page, its span there in code points, and its vector."""

    page: int
    start: int
    stop: int
    num_tokens: int
    vector: bytes


@dataclass(frozen=True)
class StoredWindow:
    """A window with its text. `page` is below 0 where the document has no pages."""

    id: int
    document_id: int
    page: int
    start: int
    stop: int
    num_tokens: int
    text: str
