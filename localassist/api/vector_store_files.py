"""Operations on the files of vector stores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from localassist.api import files, held_files, vector_stores
from localassist.api._given import given
from localassist.errors import NotFoundError
from localassist.store import documents
from localassist.store import vector_store_files as rows
from localassist.types._base import Deleted, ListPage
from localassist.types.params import NoParams
from localassist.types.search_params import (
    VectorStoreFileCreateParams,
    VectorStoreFileListParams,
    VectorStoreFileUpdateParams,
)
from localassist.types.values import FileId, VectorStoreId
from localassist.types.vector_store import FileContentPage, TextChunk, VectorStoreFile

if TYPE_CHECKING:
    from localassist.api.runtime import Runtime


def create_vector_store_file(
    runtime: Runtime,
    vector_store_id: VectorStoreId,
    **params: Unpack[VectorStoreFileCreateParams],
) -> VectorStoreFile:
    """Put a file into a vector store; it is indexed in the background."""
    vector_stores.find(runtime, vector_store_id)
    file_id = params["file_id"]
    files.check_exist(runtime, [file_id], param="file_id")
    chunking = held_files.stored_chunking(params.get("chunking_strategy"))
    with runtime.store.write() as tx:
        held_files.attach(
            runtime,
            tx,
            vector_store_id,
            file_id,
            chunking=chunking,
            attributes=params.get("attributes"),
        )
    return find(runtime, file_id, vector_store_id)


def retrieve_vector_store_file(
    runtime: Runtime, file_id: FileId, vector_store_id: VectorStoreId, **params: Unpack[NoParams]
) -> VectorStoreFile:
    """Return a file of a vector store, with how far it is indexed."""
    return find(runtime, file_id, vector_store_id)


def update_vector_store_file(
    runtime: Runtime,
    file_id: FileId,
    vector_store_id: VectorStoreId,
    **params: Unpack[VectorStoreFileUpdateParams],
) -> VectorStoreFile:
    """Replace the attributes."""
    vector_stores.find(runtime, vector_store_id)
    attributes = json.dumps(params.get("attributes") or {})
    with runtime.store.write() as tx:
        if not rows.set_attributes(tx, vector_store_id, file_id, attributes):
            raise _no_file(file_id)
    return find(runtime, file_id, vector_store_id)


def delete_vector_store_file(
    runtime: Runtime, file_id: FileId, vector_store_id: VectorStoreId, **params: Unpack[NoParams]
) -> Deleted:
    """Take a file out of a vector store; the file itself stays."""
    vector_stores.find(runtime, vector_store_id)
    with runtime.store.write() as tx:
        if not held_files.detach(tx, vector_store_id, file_id):
            raise _no_file(file_id)
    return Deleted(id=file_id, object="vector_store.file.deleted")


def list_vector_store_files(
    runtime: Runtime, vector_store_id: VectorStoreId, **params: Unpack[VectorStoreFileListParams]
) -> ListPage[VectorStoreFile]:
    """List the files of a vector store, newest first."""
    vector_stores.find(runtime, vector_store_id)
    page = given(params)
    status = page.pop("filter", None)
    if status is not None:
        page.update(also=rows.WITH_STATUS, values=(status,))
    return listed(runtime, vector_store_id, page)


def vector_store_file_content(
    runtime: Runtime, file_id: FileId, vector_store_id: VectorStoreId, **params: Unpack[NoParams]
) -> FileContentPage:
    """Return the text that was read from a file, a part for each page."""
    file = find(runtime, file_id, vector_store_id)
    texts = documents.page_texts(runtime.store.read(), file.document_id)
    return FileContentPage(data=[TextChunk(text=text) for text in texts])


def find(runtime: Runtime, file_id: str, vector_store_id: str) -> VectorStoreFile:
    """The file of a vector store, or the API's 404."""
    vector_stores.find(runtime, vector_store_id)
    found = rows.find(runtime.store.read(), vector_store_id, file_id)
    if found is None:
        raise _no_file(file_id)
    return _with_progress(runtime, found)


def listed(
    runtime: Runtime, vector_store_id: str, page: dict[str, Any]
) -> ListPage[VectorStoreFile]:
    """A page of a vector store's files."""
    found = rows.TABLE.page(runtime.store.read(), parent_id=vector_store_id, **page)
    for each in found.data:
        _with_progress(runtime, each)
    return found


def _with_progress(runtime: Runtime, file: VectorStoreFile) -> VectorStoreFile:
    if file.status == "in_progress":
        document = documents.get(runtime.store.read(), file.document_id)
        if document is not None and document.num_pages:
            file.progress = round(document.pages_done / document.num_pages, 3)
    return file


def _no_file(file_id: str) -> NotFoundError:
    return NotFoundError(f"No file found with id '{file_id}' in the vector store.")
