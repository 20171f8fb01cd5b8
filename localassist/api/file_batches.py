"""Operations on file batches: files that are put into a vector store together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import Unpack

from localassist.api import files, held_files, vector_store_files, vector_stores
from localassist.api._given import given
from localassist.errors import BadRequestError, NotFoundError
from localassist.store import file_batches
from localassist.store import vector_store_files as rows
from localassist.store import vector_stores as store_rows
from localassist.types._base import ListPage
from localassist.types.params import NoParams
from localassist.types.search_params import FileBatchCreateParams, VectorStoreFileListParams
from localassist.types.values import FileBatchId, VectorStoreId
from localassist.types.vector_store import FileBatch, VectorStoreFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from localassist.api.runtime import Runtime


def create_file_batch(
    runtime: Runtime, vector_store_id: VectorStoreId, **params: Unpack[FileBatchCreateParams]
) -> FileBatch:
    """Put files into a vector store together; they are indexed in the background."""
    vector_stores.find(runtime, vector_store_id)
    members = _members(params)
    param = "files" if params.get("files") else "file_ids"
    files.check_exist(runtime, [each["file_id"] for each in members], param=param)
    chunkings = [held_files.stored_chunking(each.get("chunking_strategy")) for each in members]
    batch = FileBatch(
        id=runtime.new_id("vsfb"),
        created_at=int(runtime.now()),
        vector_store_id=vector_store_id,
    )
    with runtime.store.write() as tx:
        file_batches.TABLE.insert(tx, batch)
        for each, chunking in zip(members, chunkings, strict=True):
            held_files.attach(
                runtime,
                tx,
                vector_store_id,
                each["file_id"],
                chunking=chunking,
                attributes=each.get("attributes"),
                batch_id=batch.id,
            )
    return _find(runtime, batch.id, vector_store_id)


def retrieve_file_batch(
    runtime: Runtime,
    batch_id: FileBatchId,
    vector_store_id: VectorStoreId,
    **params: Unpack[NoParams],
) -> FileBatch:
    """Return a file batch, with how many of its files are indexed."""
    return _find(runtime, batch_id, vector_store_id)


def cancel_file_batch(
    runtime: Runtime,
    batch_id: FileBatchId,
    vector_store_id: VectorStoreId,
    **params: Unpack[NoParams],
) -> FileBatch:
    """Give up the files of a batch that are not indexed yet."""
    _find(runtime, batch_id, vector_store_id)
    with runtime.store.write() as tx:
        rows.cancel_batch(tx, batch_id)
        file_batches.TABLE.update(tx, batch_id, cancelled=True)
        store_rows.changed(tx, vector_store_id)
    return _find(runtime, batch_id, vector_store_id)


def list_file_batch_files(
    runtime: Runtime,
    batch_id: FileBatchId,
    vector_store_id: VectorStoreId,
    **params: Unpack[VectorStoreFileListParams],
) -> ListPage[VectorStoreFile]:
    """List the files of a batch, newest first."""
    _find(runtime, batch_id, vector_store_id)
    page = given(params)
    status = page.pop("filter", None)
    also, values = rows.OF_BATCH, [batch_id]
    if status is not None:
        also, values = rows.OF_BATCH_WITH_STATUS, [batch_id, status]
    return vector_store_files.listed(
        runtime, vector_store_id, {**page, "also": also, "values": values}
    )


def _members(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    file_ids, members = params.get("file_ids"), params.get("files")
    if (file_ids is None) == (members is None):
        raise BadRequestError(
            "Give either 'file_ids' or 'files'.",
            code="missing_required_parameter" if file_ids is None else "invalid_request",
            param="file_ids",
        )
    if members is not None:
        return list(members)
    shared = {
        "attributes": params.get("attributes"),
        "chunking_strategy": params.get("chunking_strategy"),
    }
    return [{"file_id": file_id, **shared} for file_id in file_ids or ()]


def _find(runtime: Runtime, batch_id: str, vector_store_id: str) -> FileBatch:
    connection = runtime.store.read()
    batch = file_batches.TABLE.get(connection, batch_id)
    if batch is None or batch.vector_store_id != vector_store_id:
        vector_stores.find(runtime, vector_store_id)
        raise NotFoundError(f"No file batch found with id '{batch_id}'.")
    batch.file_counts = store_rows.batch_counts(connection, batch_id)
    if batch.file_counts.in_progress:
        batch.status = "in_progress"
    else:
        batch.status = "cancelled" if batch.cancelled else "completed"
    return batch
