"""Operations on files."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from localassist.api._given import given
from localassist.errors import BadRequestError, NotFoundError
from localassist.runs.file_record import record_file
from localassist.store import (
    assistants,
    documents,
    files,
    threads,
    vector_store_files,
    vector_stores,
)
from localassist.store.blobs import CHUNK_BYTES
from localassist.types._base import ListPage
from localassist.types.file import FileDeleted, FileObject
from localassist.types.params import FileCreateParams, FileListParams, NoParams
from localassist.types.tool import without_code_file
from localassist.types.values import FileId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from localassist.api.runtime import Runtime
    from localassist.store.connection import Transaction
    from localassist.types.file import StoredFile

_MAX_NAME_CHARS = 255
_NO_NAME = "upload"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def create_file(runtime: Runtime, **params: Unpack[FileCreateParams]) -> FileObject:
    """Upload a file: a path, bytes, an open file, or a tuple of a name and one of these."""
    delete_due(runtime)
    name, chunks = _opened(params["file"])
    expires_after = params.get("expires_after")
    now = int(runtime.now())
    stored = record_file(
        runtime.services,
        _file_name(name),
        chunks,
        purpose=params["purpose"],
        expires_at=None if expires_after is None else now + expires_after["seconds"],
    )
    return stored.shown()


def retrieve_file(runtime: Runtime, file_id: FileId, **params: Unpack[NoParams]) -> FileObject:
    """Return a file's description."""
    return find(runtime, file_id).shown()


def list_files(runtime: Runtime, **params: Unpack[FileListParams]) -> ListPage[FileObject]:
    """List files, newest first."""
    delete_due(runtime)
    page = given(params)
    purpose = page.pop("purpose", None)
    also: dict[str, Any] = {}
    if purpose is not None:
        also = {"also": files.OF_PURPOSE, "values": (purpose,)}
    found = files.TABLE.page(runtime.store.read(), **{"limit": 10_000, **page}, **also)
    return ListPage[FileObject](
        data=[each.shown() for each in found.data],
        first_id=found.first_id,
        last_id=found.last_id,
        has_more=found.has_more,
    )


def delete_file(runtime: Runtime, file_id: FileId, **params: Unpack[NoParams]) -> FileDeleted:
    """Delete a file. What refers to it goes on without it."""
    stored = find(runtime, file_id)
    with runtime.store.write() as tx:
        if not _delete(runtime, tx, stored):
            raise _no_file(file_id)
    return FileDeleted(id=file_id)


def _delete(runtime: Runtime, tx: Transaction, stored: StoredFile) -> bool:
    """Delete a row, and the bytes with the last row that has them."""
    if not files.TABLE.delete(tx, stored.id):
        return False
    for held in vector_store_files.of_file(tx, stored.id):
        vector_stores.changed(tx, held.vector_store_id)
    vector_store_files.delete_file(tx, stored.id)
    for table in (assistants.TABLE, threads.TABLE):
        for each in table.where(tx, files.REFERS_TO, (stored.id,)):
            resources = without_code_file(each.tool_resources, stored.id)
            table.update(tx, each.id, tool_resources=resources)
    # Inside the transaction: a file of the same content cannot come in between.
    if not files.is_referred_to(tx, stored.sha256):
        documents.delete_of_content(tx, stored.sha256)
        runtime.blobs.delete(stored.sha256)
    return True


def delete_due(runtime: Runtime) -> None:
    """Delete the files that were to be kept for a time only."""
    if files.due(runtime.store.read(), runtime.now()):
        with runtime.store.write() as tx:
            for stored in files.due(tx, runtime.now()):
                _delete(runtime, tx, stored)


def file_content(runtime: Runtime, file_id: FileId, **params: Unpack[NoParams]) -> bytes:
    """Return a file's bytes."""
    return b"".join(read(runtime, find(runtime, file_id)))


def find(runtime: Runtime, file_id: str) -> StoredFile:
    """The file, or the API's 404."""
    stored = files.TABLE.get(runtime.store.read(), file_id)
    if stored is None or _is_due(runtime, stored):
        raise _no_file(file_id)
    return stored


def read(runtime: Runtime, stored: StoredFile) -> Iterator[bytes]:
    """The bytes of a file."""
    try:
        yield from runtime.blobs.read(stored.sha256)
    except FileNotFoundError:
        raise _no_file(stored.id) from None


def exists(runtime: Runtime, file_id: str) -> bool:
    """Whether a file is there."""
    stored = files.TABLE.get(runtime.store.read(), file_id)
    return stored is not None and not _is_due(runtime, stored)


def check_exist(runtime: Runtime, file_ids: Sequence[str], *, param: str) -> None:
    """Refuse files that are not there.

    Raises:
        NotFoundError: the API's 404 of files that are referred to.
    """
    for file_id in file_ids:
        if not exists(runtime, file_id):
            raise NotFoundError(f"No file found with id '{file_id}'.", param=param)


def _is_due(runtime: Runtime, stored: StoredFile) -> bool:
    return stored.expires_at is not None and stored.expires_at <= runtime.now()


def _no_file(file_id: str) -> NotFoundError:
    return NotFoundError(f"No such File object: {file_id}", param="id")


def _file_name(name: str) -> str:
    """A name without folders, of a length that file systems take."""
    # Names of Linux are bytes; what of them is no text is shown as missing.
    name = name.encode("utf-8", "replace").decode().replace("\0", "")
    name = _CONTROL.sub("", name)
    name = PurePath(name.replace("\\", "/")).name or _NO_NAME
    if name in (".", ".."):
        name = _NO_NAME
    if len(name) <= _MAX_NAME_CHARS:
        return name
    suffix = PurePath(name).suffix[:20]
    return name[: _MAX_NAME_CHARS - len(suffix)] + suffix


def _opened(given_file: Any) -> tuple[str, Iterable[bytes]]:
    """The name and the chunks of what a caller gave, as the openai SDK takes it."""
    if isinstance(given_file, (tuple, list)) and len(given_file) >= 2:
        _, chunks = _opened(given_file[1])
        return str(given_file[0] or _NO_NAME), chunks
    if isinstance(given_file, (bytes, bytearray)):
        return _NO_NAME, [bytes(given_file)]
    if isinstance(given_file, os.PathLike):
        path = Path(given_file)
        if not path.is_file():
            raise BadRequestError(f"There is no file '{path}'.", param="file")
        return path.name, _file_chunks(path)
    if hasattr(given_file, "read"):
        name = getattr(given_file, "name", None)
        return (Path(name).name if isinstance(name, str) else _NO_NAME), _chunks(given_file)
    raise BadRequestError(
        f"Invalid type for 'file': expected bytes, a path, an open file or a tuple, but got "
        f"{type(given_file).__name__}.",
        code="invalid_type",
        param="file",
    )


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from _chunks(file)


def _chunks(file: Any) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        if isinstance(chunk, str):
            raise BadRequestError(
                "The file is open for text. Open it with mode 'rb'.",
                code="invalid_type",
                param="file",
            )
        yield chunk
