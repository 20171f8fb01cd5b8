"""Parameters of vector stores and of search."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Interval, Len
from pydantic import AllowInfNan, Discriminator, Tag, with_config
from typing_extensions import Required, TypedDict

from localassist.types.params import ListParams, RequestOptions
from localassist.types.tool_params import ChunkingStrategy, RankingOptionsParam
from localassist.types.values import (
    MAX_DESCRIPTION_CHARS,
    MAX_NAME_CHARS,
    STRICT,
    FileId,
    Listed,
    Metadata,
    Str,
)

MAX_BATCH_FILES = 2000
MAX_QUERY_CHARS = 20_000

AttributeValue = Annotated[
    Annotated[Str, Len(0, 512), Tag("<str>")]
    | Annotated[bool, Tag("<bool>")]
    | Annotated[float, AllowInfNan(allow_inf_nan=False), Tag("<number>")],
    Discriminator(
        lambda value: (
            "<str>"
            if isinstance(value, str)
            else "<bool>"
            if isinstance(value, bool)
            else "<number>"
        )
    ),
]
Attributes = Annotated[dict[Annotated[Str, Len(0, 64)], AttributeValue], Len(0, 16)]


@with_config(STRICT)
class StoreExpiryParam(TypedDict):
    """When a vector store that nobody uses expires."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Interval(ge=1, le=365)]


@with_config(STRICT)
class VectorStoreCreateParams(RequestOptions, total=False):
    """Parameters of `vector_stores.create`."""

    file_ids: Annotated[list[FileId], Listed, Len(0, MAX_BATCH_FILES)] | None
    name: Annotated[Str, Len(0, MAX_NAME_CHARS)] | None
    description: Annotated[Str, Len(0, MAX_DESCRIPTION_CHARS)] | None
    metadata: Metadata | None
    expires_after: StoreExpiryParam | None
    chunking_strategy: ChunkingStrategy | None


@with_config(STRICT)
class VectorStoreUpdateParams(RequestOptions, total=False):
    """Parameters of `vector_stores.update`: what is not given stays."""

    name: Annotated[Str, Len(0, MAX_NAME_CHARS)] | None
    metadata: Metadata | None
    expires_after: StoreExpiryParam | None


@with_config(STRICT)
class VectorStoreFileCreateParams(RequestOptions, total=False):
    """Parameters of `vector_stores.files.create`."""

    file_id: Required[FileId]
    attributes: Attributes | None
    chunking_strategy: ChunkingStrategy | None


class StoreUploadParams(TypedDict, total=False):
    """What is said of a file that is uploaded into a vector store."""

    attributes: Attributes | None
    chunking_strategy: ChunkingStrategy | None


@with_config(STRICT)
class VectorStoreFileUpdateParams(RequestOptions, total=False):
    """Parameters of `vector_stores.files.update`."""

    attributes: Required[Attributes | None]


@with_config(STRICT)
class VectorStoreFileListParams(ListParams, total=False):
    """A page of a vector store's or a batch's files."""

    filter: Literal["in_progress", "completed", "failed", "cancelled"] | None


@with_config(STRICT)
class BatchFileParam(TypedDict, total=False):
    """One file of a batch."""

    file_id: Required[FileId]
    attributes: Attributes | None
    chunking_strategy: ChunkingStrategy | None


@with_config(STRICT)
class FileBatchCreateParams(RequestOptions, total=False):
    """Parameters of `vector_stores.file_batches.create`: `file_ids` or `files`."""

    file_ids: Annotated[list[FileId], Listed, Len(1, MAX_BATCH_FILES)] | None
    files: Annotated[list[BatchFileParam], Listed, Len(1, MAX_BATCH_FILES)] | None
    attributes: Attributes | None
    chunking_strategy: ChunkingStrategy | None


_Query = Annotated[Str, Len(1, MAX_QUERY_CHARS)]


@with_config(STRICT)
class VectorStoreSearchParams(RequestOptions, total=False):
    """Parameters of `vector_stores.search`. `filters` is checked where it is used."""

    query: Required[
        Annotated[
            Annotated[_Query, Tag("<str>")]
            | Annotated[list[_Query], Listed, Len(1, 32), Tag("<list>")],
            Discriminator(lambda value: "<list>" if isinstance(value, (list, tuple)) else "<str>"),
        ]
    ]
    filters: dict[str, Any] | None
    max_num_results: Annotated[int, Interval(ge=1, le=50)] | None
    ranking_options: RankingOptionsParam | None
    rewrite_query: bool | None
