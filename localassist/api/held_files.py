"""Which files vector stores hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.api import files
from localassist.errors import BadRequestError, NotFoundError
from localassist.store import documents, vector_store_files, vector_stores
from localassist.types.vector_store import AUTO_CHUNKS, VectorStoreFile

if TYPE_CHECKING:
    from localassist.api.runtime import Runtime
    from localassist.store.connection import Transaction


def attach(
    runtime: Runtime,
    tx: Transaction,
    vector_store_id: str,
    file_id: str,
    *,
    chunking: dict[str, Any] | None = None,
    attributes: Any = None,
    batch_id: str | None = None,
    for_owner: bool = False,
) -> None:
    """Put a file that exists into a vector store; again, what failed is tried once more."""
    # It may have been deleted since the caller looked.
    if vector_stores.TABLE.get(tx, vector_store_id) is None:
        raise NotFoundError(f"Vector store with id '{vector_store_id}' not found.")
    stored = files.find(runtime, file_id)
    document = documents.add(tx, sha256=stored.sha256, filename=stored.filename)
    documents.retry(tx, document.id)
    vector_store_files.delete(tx, vector_store_id, file_id)
    known = document.status == "completed"
    vector_store_files.TABLE.insert(
        tx,
        VectorStoreFile(
            id=file_id,
            created_at=int(runtime.now()),
            vector_store_id=vector_store_id,
            document_id=document.id,
            status="completed" if known else "in_progress",
            usage_bytes=document.usage_bytes if known else 0,
            attributes=attributes or {},
            chunking_strategy=chunking or AUTO_CHUNKS,
            batch_id=batch_id,
            for_owner=for_owner,
        ),
    )
    vector_stores.changed(tx, vector_store_id)
    if not known:
        tx.after_commit(runtime.retrieval.ingester.notify)


def detach(tx: Transaction, vector_store_id: str, file_id: str) -> bool:
    """Take a file out of a vector store; False if it is not in there."""
    vector_stores.changed(tx, vector_store_id)
    return vector_store_files.delete(tx, vector_store_id, file_id)


def stored_chunking(strategy: Any) -> dict[str, Any]:
    """A chunking strategy as it is stored and shown.

    Raises:
        BadRequestError: chunks overlap by more than half.
    """
    if strategy is None or strategy["type"] == "auto":
        return AUTO_CHUNKS
    sizes = strategy["static"]
    if sizes["chunk_overlap_tokens"] * 2 > sizes["max_chunk_size_tokens"]:
        raise BadRequestError(
            "Invalid 'chunking_strategy.static.chunk_overlap_tokens': it may be at most half of "
            "'max_chunk_size_tokens'.",
            code="invalid_value",
            param="chunking_strategy.static.chunk_overlap_tokens",
        )
    return dict(strategy)
