"""Text of Word documents and presentations."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.retrieval.extract.page import Page, UnreadableError, cleaned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_UNPACKED_BYTES = 300_000_000


def check_unpacked(path: Path) -> None:
    """Refuse an archive that would unpack to more than a document has.

    Raises:
        UnreadableError: it would.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(each.file_size for each in archive.infolist())
    if size > _MOST_UNPACKED_BYTES:
        raise UnreadableError(
            "invalid_file",
            f"too_large: The file unpacks to {size:,} bytes; {_MOST_UNPACKED_BYTES:,} is the most.",
        )


def docx_text(path: Path) -> str:
    """Paragraphs and tables of a Word document, in their order."""
    document = require("docx", package="python-docx").Document(str(path))
    return cleaned("\n".join(_blocks(document)))


def _blocks(document: Any) -> Iterator[str]:
    for block in document.iter_inner_content():
        if hasattr(block, "rows"):
            for row in block.rows:
                # A merged cell is given once for each column that it covers.
                cells = dict.fromkeys(cell.text.strip() for cell in row.cells)
                yield " | ".join(cell for cell in cells if cell)
        else:
            yield block.text


def pptx_pages(path: Path) -> list[Page]:
    """A page for each slide: its texts, tables and notes."""
    deck = require("pptx", package="python-pptx").Presentation(str(path))
    return [
        Page(number, cleaned("\n".join(_slide(slide))))
        for number, slide in enumerate(deck.slides, 1)
    ]


def _slide(slide: Any) -> Iterator[str]:
    yield from _shapes(slide.shapes)
    if slide.has_notes_slide:
        yield slide.notes_slide.notes_text_frame.text


def _shapes(shapes: Any) -> Iterator[str]:
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        elif shape.has_text_frame:
            yield shape.text_frame.text
        elif getattr(shape, "has_table", False):
            for row in shape.table.rows:
                yield " | ".join(cell.text for cell in row.cells)
