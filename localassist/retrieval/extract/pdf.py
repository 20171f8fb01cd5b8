"""Pages of PDFs: pypdfium2 reads first, since it is many times faster; pypdf where it cannot."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.retrieval.extract.page import Page, UnreadableError, cleaned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ENCRYPTED = UnreadableError(
    "invalid_file",
    "encrypted: The PDF needs a password. Save it without one and upload it again.",
)


def pages(path: Path, start: int) -> tuple[int, Iterator[Page]]:
    """How many pages there are, and those from the number `start` on.

    Raises:
        UnreadableError: it is encrypted, or no reader can make anything of it.
    """
    pdfium = require("pypdfium2", package="pypdfium2")
    try:
        document = pdfium.PdfDocument(path)
        count = len(document)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            return _second_reader(path, start, encrypted=True)
        return _second_reader(path, start)
    if not count:
        return _second_reader(path, start)
    return count, _pdfium_pages(document, start, count, pdfium.PdfiumError)


def _pdfium_pages(
    document: Any, start: int, count: int, failure: type[Exception]
) -> Iterator[Page]:
    for number in range(start, count + 1):
        text = ""
        # One page that cannot be read does not take the others with it.
        with contextlib.suppress(failure):
            page = document[number - 1]
            textpage = page.get_textpage()
            text = textpage.get_text_bounded()
            textpage.close()
            page.close()
        yield Page(number, cleaned(text))


def _second_reader(
    path: Path, start: int, *, encrypted: bool = False
) -> tuple[int, Iterator[Page]]:
    pypdf = require("pypdf", package="pypdf")
    try:
        reader = pypdf.PdfReader(path, strict=False)
        locked = reader.is_encrypted and not reader.decrypt("")
        count = 0 if locked else len(reader.pages)
    except Exception as error:  # noqa: BLE001 - pypdf raises whatever a broken file leads it to
        if encrypted:
            raise _ENCRYPTED from None
        raise UnreadableError(
            "invalid_file", f"malformed: The PDF is damaged and cannot be read ({error})."
        ) from None
    if locked:
        raise _ENCRYPTED
    if not count:
        raise UnreadableError("invalid_file", "no_text: The PDF has no pages.")
    return count, _pypdf_pages(reader, start, count)


def _pypdf_pages(reader: Any, start: int, count: int) -> Iterator[Page]:
    for number in range(start, count + 1):
        text = ""
        with contextlib.suppress(Exception):  # as above; the kinds of errors are open
            text = reader.pages[number - 1].extract_text()
        yield Page(number, cleaned(text))
