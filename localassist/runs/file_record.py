"""Records of files: bytes that are kept, and the row that tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.errors import BadRequestError
from localassist.store import files
from localassist.types.file import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localassist.runs.services import Services


def record_file(
    services: Services,
    name: str,
    chunks: Iterable[bytes],
    *,
    purpose: str,
    expires_at: int | None = None,
) -> StoredFile:
    """Keep a file's bytes and then its row: a row always has its bytes.

    Raises:
        BadRequestError: it is too large, or was deleted meanwhile.
    """
    sha256, size = services.blobs.put(chunks)
    stored = StoredFile(
        id=services.new_id("file").replace("_", "-"),
        bytes=size,
        created_at=int(services.now()),
        filename=name,
        purpose=purpose,
        expires_at=expires_at,
        sha256=sha256,
    )
    with services.store.write() as tx:
        files.TABLE.insert(tx, stored)
        if not services.blobs.path(sha256).exists():
            # The last file of the same content was deleted between the two.
            raise BadRequestError("The file was deleted while it was kept. Try again.")
    return stored
