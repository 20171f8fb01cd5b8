"""What a file is: by its first bytes, then by its name, then by whether it reads as text."""

from __future__ import annotations

import zipfile
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from localassist.retrieval.extract.page import UnreadableError

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["pdf", "docx", "pptx", "html", "text"]

_HTML = frozenset({".html", ".htm", ".xhtml"})
_PDF_WITHIN = 1024  # readers allow that much before the header
_SIGNATURES = {
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"RIFF": "a media file",
    b"\x1f\x8b": "a compressed archive",
    b"7z\xbc\xaf": "a compressed archive",
    b"Rar!": "a compressed archive",
    b"\xd0\xcf\x11\xe0": "an old Office document; save it as .docx or .pptx",
    b"\x7fELF": "a program",
    b"MZ\x90": "a program",
}
SUPPORTED = (
    ".c .cpp .cs .css .csv .docx .go .html .java .js .json .md .pdf .php .pptx .py .rb .sh "
    ".tex .ts .txt"
)


def kind_of(path: Path, name: str) -> Kind:
    """What a file is.

    Raises:
        UnreadableError: it is none of those that have text.
    """
    with path.open("rb") as file:
        head = file.read(_PDF_WITHIN)
    suffix = PurePath(name).suffix.lower()
    if not head:
        raise UnreadableError("invalid_file", "empty: The file is empty.")
    if b"%PDF-" in head:
        return "pdf"
    if suffix == ".pdf":
        raise UnreadableError("invalid_file", "malformed: The file is not a PDF.")
    if head.startswith(b"PK\x03\x04"):
        return _office_kind(path)
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature):
            raise _unsupported(suffix, f"it is {what}")
    if suffix in (".docx", ".pptx"):
        raise UnreadableError("invalid_file", f"malformed: The file is not a {suffix[1:]}.")
    return "html" if suffix in _HTML else "text"


def _office_kind(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = frozenset(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        raise UnreadableError("invalid_file", "malformed: The archive is damaged.") from None
    if "word/document.xml" in names:
        return "docx"
    if "ppt/presentation.xml" in names:
        return "pptx"
    raise _unsupported("", "it is an archive")


def _unsupported(suffix: str, what: str) -> UnreadableError:
    return UnreadableError(
        "unsupported_file",
        f"unsupported: Files with extensions [{suffix or 'none'}] are not supported for retrieval "
        f"({what}). Supported are: {SUPPORTED}.",
    )
