"""Vector stores: collections of files that are searched together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from localassist.types._base import Model, Stored, WhenSet

AUTO_CHUNKS: dict[str, Any] = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
}
FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]


class FileCounts(Model):
    """How many files of a store or a batch have which status."""

    cancelled: int = 0
    completed: int = 0
    failed: int = 0
    in_progress: int = 0
    total: int = 0


class VectorStore(Model):
    """A collection of files. `usage_bytes` counts the text and the vectors."""

    id: str
    created_at: int
    file_counts: FileCounts = FileCounts()
    last_active_at: int | None = None
    metadata: dict[str, str] = {}
    name: str | None = None
    object: Literal["vector_store"] = "vector_store"
    status: Literal["in_progress", "completed", "expired"] = "completed"
    usage_bytes: int = 0
    expires_after: dict[str, Any] | None = None
    expires_at: int | None = None
    description: Annotated[str | None, WhenSet()] = None
    # Who made it without being asked by name: an assistant or a thread. Its end is the store's.
    owner: Annotated[str | None, Stored()] = None


class FileError(Model):
    """Why a file could not be indexed. `message` begins with a word that programs may read."""

    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class VectorStoreFile(Model):
    """A file in a vector store; its id is the file's."""

    id: str
    created_at: int
    last_error: FileError | None = None
    object: Literal["vector_store.file"] = "vector_store.file"
    status: FileStatus = "in_progress"
    usage_bytes: int = 0
    vector_store_id: str
    attributes: dict[str, str | float | bool] = {}
    chunking_strategy: dict[str, Any] = AUTO_CHUNKS
    progress: Annotated[float | None, WhenSet()] = None
    document_id: Annotated[int, Stored()]
    batch_id: Annotated[str | None, Stored()] = None
    # It is there because the store's owner has it attached, and only as long.
    for_owner: Annotated[bool, Stored()] = False


class FileBatch(Model):
    """Files that were put into a vector store together."""

    id: str
    created_at: int
    file_counts: FileCounts = FileCounts()
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    status: FileStatus = "in_progress"
    vector_store_id: str
    cancelled: Annotated[bool, Stored()] = False


class TextChunk(Model):
    """A piece of a file's text."""

    text: str
    type: Literal["text"] = "text"


class SearchResult(Model):
    """A passage that was found. `score` is from 0 to 1; `page` counts from 1."""

    attributes: dict[str, str | float | bool] = {}
    content: list[TextChunk]
    file_id: str
    filename: str
    score: float
    page: Annotated[int | None, WhenSet()] = None


class SearchPage(Model):
    """The answer of a search, best first."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[SearchResult]
    has_more: bool = False
    next_page: str | None = None


class FileContentPage(Model):
    """The text of a file as it was read, a part for each page or chunk."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[TextChunk]
    has_more: bool = False
    next_page: str | None = None
