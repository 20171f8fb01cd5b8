"""Operations on vector stores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from localassist.api import files, held_files
from localassist.api._given import given
from localassist.errors import BadRequestError, NotFoundError
from localassist.retrieval import filters
from localassist.store import vector_store_files as file_rows
from localassist.store import vector_stores
from localassist.types._base import Deleted, ListPage
from localassist.types.params import ListParams, NoParams
from localassist.types.search_params import (
    VectorStoreCreateParams,
    VectorStoreSearchParams,
    VectorStoreUpdateParams,
)
from localassist.types.values import VectorStoreId
from localassist.types.vector_store import SearchPage, SearchResult, TextChunk, VectorStore

if TYPE_CHECKING:
    from localassist.api.runtime import Runtime
    from localassist.retrieval.passages import Passage
    from localassist.store.connection import Transaction

_DEFAULT_RESULTS = 10
_DAY_S = 86400


def create_vector_store(runtime: Runtime, **params: Unpack[VectorStoreCreateParams]) -> VectorStore:
    """Create a vector store; its files are indexed in the background."""
    file_ids = params.get("file_ids") or []
    files.check_exist(runtime, file_ids, param="file_ids")
    chunking = held_files.stored_chunking(params.get("chunking_strategy"))
    store = build(runtime, dict(params))
    with runtime.store.write() as tx:
        vector_stores.TABLE.insert(tx, store)
        for file_id in file_ids:
            held_files.attach(runtime, tx, store.id, file_id, chunking=chunking)
    return find(runtime, store.id)


def retrieve_vector_store(
    runtime: Runtime, vector_store_id: VectorStoreId, **params: Unpack[NoParams]
) -> VectorStore:
    """Return a vector store, with how many of its files are indexed."""
    return find(runtime, vector_store_id)


def update_vector_store(
    runtime: Runtime, vector_store_id: VectorStoreId, **params: Unpack[VectorStoreUpdateParams]
) -> VectorStore:
    """Change what is given; null clears the name and the expiry."""
    store = find(runtime, vector_store_id)
    changes: dict[str, Any] = {
        name: value for name, value in params.items() if value is not None or name != "metadata"
    }
    if "expires_after" in changes:
        last = store.last_active_at or store.created_at
        changes["expires_at"] = expiry(changes["expires_after"], last)
    with runtime.store.write() as tx:
        if changes and not vector_stores.TABLE.update(tx, vector_store_id, **changes):
            raise not_found(vector_store_id)
    return find(runtime, vector_store_id)


def delete_vector_store(
    runtime: Runtime, vector_store_id: VectorStoreId, **params: Unpack[NoParams]
) -> Deleted:
    """Delete a vector store; its files stay."""
    with runtime.store.write() as tx:
        if not vector_stores.TABLE.delete(tx, vector_store_id):
            raise not_found(vector_store_id)
    runtime.retrieval.indexes.forget(vector_store_id)
    return Deleted(id=vector_store_id, object="vector_store.deleted")


def list_vector_stores(runtime: Runtime, **params: Unpack[ListParams]) -> ListPage[VectorStore]:
    """List vector stores, newest first."""
    connection = runtime.store.read()
    page = vector_stores.TABLE.page(connection, **given(params))
    for store in page.data:
        vector_stores.with_counts(connection, store, runtime.now())
    return page


def search_vector_store(
    runtime: Runtime, vector_store_id: VectorStoreId, **params: Unpack[VectorStoreSearchParams]
) -> SearchPage:
    """Search a vector store by meaning and by words."""
    check_usable(runtime, [vector_store_id], param="vector_store_id")
    query = params["query"]
    queries = [query] if isinstance(query, str) else list(query)
    wanted = params.get("filters")
    among = found_files = None
    if wanted is not None:
        passes = filters.compiled(wanted)
        rows = file_rows.in_stores(runtime.store.read(), json.dumps([vector_store_id]))
        passing = [row for row in rows if passes(row.attributes)]
        among = {row.document_id for row in passing}
        found_files = {row.id for row in passing}
    options = params.get("ranking_options") or {}
    passages = runtime.retrieval.reader.chunked(
        runtime.retrieval.searcher.rank(
            queries, [vector_store_id], among=among, rerank=options.get("ranker") != "none"
        ),
        [vector_store_id],
        limit=params.get("max_num_results") or _DEFAULT_RESULTS,
        files=found_files,
    )
    threshold = options.get("score_threshold") or 0.0
    with runtime.store.write() as tx:
        touch(runtime, tx, [vector_store_id])
    return SearchPage(
        search_query=queries,
        data=[_result(each) for each in passages if each.score >= threshold],
    )


def find(runtime: Runtime, vector_store_id: str) -> VectorStore:
    """The vector store with its counts, or the API's 404."""
    connection = runtime.store.read()
    store = vector_stores.TABLE.get(connection, vector_store_id)
    if store is None:
        raise not_found(vector_store_id)
    return vector_stores.with_counts(connection, store, runtime.now())


def check_usable(
    runtime: Runtime, vector_store_ids: list[str], *, param: str, gone_is_fine: bool = False
) -> None:
    """Refuse vector stores that are not there or have expired.

    Args:
        runtime: whose they are.
        vector_store_ids: which.
        param: the parameter that names them.
        gone_is_fine: say nothing of those that were deleted.

    Raises:
        NotFoundError: there is none of that id.
        BadRequestError: it has expired.
    """
    for vector_store_id in vector_store_ids:
        if gone_is_fine and vector_stores.TABLE.get(runtime.store.read(), vector_store_id) is None:
            continue
        if find(runtime, vector_store_id).status == "expired":
            raise BadRequestError(
                f"Vector store {vector_store_id} is expired.",
                code="vector_store_expired",
                param=param,
                hint="Create another one from its files.",
            )


def build(runtime: Runtime, params: dict[str, Any], *, owner: str | None = None) -> VectorStore:
    """A new vector store, not stored yet."""
    now = int(runtime.now())
    expires_after = params.get("expires_after")
    return VectorStore(
        id=runtime.new_id("vs"),
        created_at=now,
        name=params.get("name"),
        description=params.get("description"),
        metadata=params.get("metadata") or {},
        expires_after=expires_after,
        expires_at=expiry(expires_after, now),
        last_active_at=now,
        owner=owner,
    )


def not_found(vector_store_id: str) -> NotFoundError:
    """The API's 404."""
    return NotFoundError(f"Vector store with id '{vector_store_id}' not found.")


def expiry(expires_after: Any, last_active_at: int) -> int | None:
    """When a vector store expires that is not used any more."""
    return None if expires_after is None else last_active_at + expires_after["days"] * _DAY_S


def touch(runtime: Runtime, tx: Transaction, vector_store_ids: list[str]) -> None:
    """Vector stores are used: they expire so much later."""
    vector_stores.touch(tx, json.dumps(vector_store_ids), int(runtime.now()))


def _result(passage: Passage) -> SearchResult:
    return SearchResult(
        attributes=passage.file.attributes,
        content=[TextChunk(text=passage.text)],
        file_id=passage.file.id,
        filename=passage.filename,
        score=passage.score,
        page=passage.page,
    )
