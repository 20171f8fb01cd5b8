"""Writes PDFs: plain bytes with the text that a test needs, so that no file has to be kept."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
# A grey box where a scanner would have put its picture.
_BOX = b"0.8 g 72 72 400 600 re f"


def pdf(texts: Sequence[str]) -> bytes:
    """A PDF with a page for each text, whose lines become lines of the page."""
    return _document([_drawn(text) for text in texts])


def scanned_pdf(num_pages: int) -> bytes:
    """A PDF whose pages show something and have no text."""
    return _document([_BOX] * num_pages)


def locked_pdf(texts: Sequence[str], *, password: str) -> bytes:
    """A PDF that opens with a password; with an empty one, it opens without being asked."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(texts))))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def write(path: Path, data: bytes) -> Path:
    """Write a file and return its path."""
    path.write_bytes(data)
    return path


def _drawn(text: str) -> bytes:
    lines = b" ".join(
        b"(%s) Tj T*" % line.translate(_ESCAPED).encode("cp1252") for line in text.split("\n")
    )
    return b"BT /F1 11 Tf 13 TL 50 780 Td %s ET" % lines


_ESCAPED = str.maketrans({"\\": r"\\", "(": r"\(", ")": r"\)"})


def _document(drawings: Sequence[bytes]) -> bytes:
    first_page = 4
    kids = b" ".join(b"%d 0 R" % (first_page + 2 * at) for at in range(len(drawings)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(drawings)),
        _FONT,
    ]
    for at, drawing in enumerate(drawings):
        content = first_page + 2 * at + 1
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % content,
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
        ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    xref = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        xref,
    )
    return bytes(out)
