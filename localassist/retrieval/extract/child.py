"""The process that reads files. It is told one file a line, and answers with a line a page."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localassist.retrieval.extract import office, pdf, plain
from localassist.retrieval.extract.kinds import kind_of
from localassist.retrieval.extract.page import UnreadableError, sections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localassist.retrieval.extract.page import Page

MEMORY_BYTES = 2_000_000_000
_MOST_CHARS = 25_000_000  # 5,000,000 tokens
_MOST_CHARS_A_PAGE = 200_000
_PAGE_S = 120
_FEW_CHARS = 10  # a page with less has no text of its own, only its number
_SCANNED = 0.9


def read(path: Path, name: str, start: int) -> tuple[int, Iterator[Page]]:
    """How many pages or sections a file has, and those from the one that `start` counts on.

    Raises:
        UnreadableError: see there.
    """
    kind = kind_of(path, name)
    if kind == "pdf":
        return pdf.pages(path, start)
    if kind == "pptx":
        office.check_unpacked(path)
        found = office.pptx_pages(path)
        return len(found), iter(found[start - 1 :])
    if kind == "docx":
        office.check_unpacked(path)
        text = office.docx_text(path)
    else:
        text = plain.html_text(path) if kind == "html" else plain.text_of(path)
    found = sections(text)
    return len(found), iter(found[start - 1 :])


def answer(path: Path, name: str, start: int) -> Iterator[dict[str, Any]]:
    """The lines about one file, ending with `end` or `error`."""
    try:
        count, found = read(path, name, start)
        yield {"count": count}
        seen = _Seen()
        for page in found:
            seen.add(page)
            # A page is worked on as a whole: what is longer than a book's chapter is cut.
            yield {"page": page.number, "text": page.text[:_MOST_CHARS_A_PAGE]}
            _still_wanted()
        if start == 1:
            seen.check_text()
        yield {"end": True}
    except UnreadableError as error:
        yield {"error": error.code, "message": error.message}
    except MemoryError:
        message = "too_large: Reading the file needs more memory than it may have."
        yield {"error": "invalid_file", "message": message}
    except RecursionError:
        yield {"error": "invalid_file", "message": "malformed: The file nests too deeply."}
    except Exception as error:  # noqa: BLE001 - whatever a broken file leads a reader to
        kind = type(error).__name__
        message = f"malformed: The file cannot be read ({kind}: {str(error)[:200]})."
        yield {"error": "invalid_file", "message": message}


class _Seen:
    """What the pages so far have been like."""

    def __init__(self) -> None:
        self._num_pages = self._num_empty = self._num_chars = 0
        self._paged = self._has_text = False

    def add(self, page: Page) -> None:
        self._num_pages += 1
        self._num_chars += len(page.text)
        length = len(page.text.strip())
        self._has_text = self._has_text or length > 0
        self._num_empty += length < _FEW_CHARS
        self._paged = page.number > 0
        if self._num_chars > _MOST_CHARS:
            raise UnreadableError(
                "invalid_file", "too_many_tokens: The file has more than 5,000,000 tokens of text."
            )

    def check_text(self) -> None:
        """Refuse a file without text; a page or two with a few words are no text of a scan."""
        if self._paged and self._num_empty > self._num_pages * _SCANNED:
            raise UnreadableError(
                "invalid_file",
                "no_text: The file has no text, only images of pages. Run text recognition (OCR) "
                "on it and upload the result.",
            )
        if not self._has_text:
            raise UnreadableError("invalid_file", "no_text: The file has no text.")


def _still_wanted() -> None:
    """Nobody but the clock ends a reader that hangs after its parent was killed."""
    if hasattr(signal, "alarm"):
        signal.alarm(_PAGE_S)


def limit() -> None:
    """Take from this process what reading files does not need."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve until the other side closes its end."""
    limit()
    # Libraries print; the answers have a stream of their own.
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        told = json.loads(line)
        _still_wanted()
        for said in answer(Path(told["path"]), told["name"], told["start"]):
            out.write(json.dumps(said) + "\n")
            out.flush()
        if hasattr(signal, "alarm"):
            signal.alarm(0)


if __name__ == "__main__":
    main()
