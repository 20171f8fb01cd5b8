"""Parameters of tools: functions, code, what they may work with, and which is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Interval, Len
from pydantic import AfterValidator, Discriminator, Tag, with_config
from typing_extensions import Required, TypedDict

from localassist.types.values import (
    MAX_TEXT_CHARS,
    STRICT,
    FileId,
    FunctionName,
    Listed,
    Metadata,
    Score,
    Str,
    VectorStoreId,
    named_file_search,
)


@with_config(STRICT)
class FunctionParam(TypedDict, total=False):
    """A function that the model may ask for."""

    name: Required[FunctionName]
    parameters: dict[str, Any] | None
    description: Annotated[Str, Len(0, MAX_TEXT_CHARS)] | None
    strict: bool | None


@with_config(STRICT)
class FunctionToolParam(TypedDict):
    """A tool of type function."""

    # The other two have classes of their own; a wrong value is told of all three.
    type: Literal["code_interpreter", "function", "file_search"]
    function: FunctionParam


@with_config(STRICT)
class CodeToolParam(TypedDict):
    """The tool that runs code."""

    type: Literal["code_interpreter"]


@with_config(STRICT)
class RankingOptionsParam(TypedDict, total=False):
    """How results of a search are ranked, and which are too bad to be given."""

    ranker: Literal["auto", "none", "default_2024_08_21", "default-2024-11-15"] | None
    score_threshold: Score | None


@with_config(STRICT)
class FileSearchParam(TypedDict, total=False):
    """How a run searches."""

    max_num_results: Annotated[int, Interval(ge=1, le=50)] | None
    ranking_options: RankingOptionsParam | None


@with_config(STRICT)
class FileSearchToolParam(TypedDict, total=False):
    """The tool that searches files; `retrieval` is its older name."""

    type: Required[
        Annotated[Literal["file_search", "retrieval"], AfterValidator(named_file_search)]
    ]
    file_search: FileSearchParam | None


@with_config(STRICT)
class BuiltInToolParam(TypedDict):
    """A tool by its type."""

    type: Annotated[
        Literal["code_interpreter", "file_search", "retrieval"], AfterValidator(named_file_search)
    ]


@with_config(STRICT)
class NamedFunctionParam(TypedDict):
    """The name of a function."""

    name: Str


@with_config(STRICT)
class NamedToolChoice(TypedDict):
    """`tool_choice` of one function."""

    type: Literal["function"]
    function: NamedFunctionParam


def _tool_tag(value: Any) -> str:
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind in ("file_search", "retrieval"):
        return "<search>"
    return "<code>" if kind == "code_interpreter" else "<function>"


def _choice_tag(value: Any) -> str:
    if isinstance(value, str):
        return "<str>"
    return "<function>" if _tool_tag(value) == "<function>" else "<built-in>"


ToolParam = Annotated[
    Annotated[CodeToolParam, Tag("<code>")]
    | Annotated[FileSearchToolParam, Tag("<search>")]
    | Annotated[FunctionToolParam, Tag("<function>")],
    Discriminator(_tool_tag),
]
Tools = Annotated[list[ToolParam], Listed, Len(0, 128)]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<str>")]
    | Annotated[BuiltInToolParam, Tag("<built-in>")]
    | Annotated[NamedToolChoice, Tag("<function>")],
    Discriminator(_choice_tag),
]

FileIds = Annotated[list[FileId], Listed, Len(0, 20)]


@with_config(STRICT)
class CodeResources(TypedDict, total=False):
    """Files of the code interpreter."""

    file_ids: FileIds | None


@with_config(STRICT)
class StaticChunksParam(TypedDict):
    """Sizes of chunks in tokens; the overlap is at most half of a chunk."""

    max_chunk_size_tokens: Annotated[int, Interval(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Interval(ge=0, le=2048)]


@with_config(STRICT)
class StaticChunkingParam(TypedDict):
    """`chunking_strategy` by sizes."""

    type: Literal["static"]
    static: StaticChunksParam


@with_config(STRICT)
class AutoChunkingParam(TypedDict):
    """`chunking_strategy` of our choice."""

    # The other one has a class of its own; a wrong value is told of both.
    type: Literal["auto", "static"]


ChunkingStrategy = Annotated[
    Annotated[AutoChunkingParam, Tag("<auto>")] | Annotated[StaticChunkingParam, Tag("<static>")],
    Discriminator(
        lambda value: (
            "<static>" if isinstance(value, Mapping) and value.get("type") == "static" else "<auto>"
        )
    ),
]


@with_config(STRICT)
class NewStoreParam(TypedDict, total=False):
    """A vector store that is made for an assistant or a thread."""

    file_ids: Annotated[list[FileId], Listed, Len(0, 10_000)] | None
    chunking_strategy: ChunkingStrategy | None
    metadata: Metadata | None


@with_config(STRICT)
class SearchResources(TypedDict, total=False):
    """Vector stores that are searched."""

    vector_store_ids: Annotated[list[VectorStoreId], Listed, Len(0, 1)] | None


@with_config(STRICT)
class NewSearchResources(SearchResources, total=False):
    """Vector stores that are searched, or that are to be made."""

    vector_stores: Annotated[list[NewStoreParam], Listed, Len(0, 1)] | None


@with_config(STRICT)
class ToolResources(TypedDict, total=False):
    """What the tools have to work with."""

    code_interpreter: CodeResources | None
    file_search: SearchResources | None


@with_config(STRICT)
class NewToolResources(TypedDict, total=False):
    """What the tools of a new object have to work with."""

    code_interpreter: CodeResources | None
    file_search: NewSearchResources | None


@with_config(STRICT)
class AttachmentParam(TypedDict, total=False):
    """A file for a tool."""

    file_id: Required[FileId]
    tools: Annotated[list[BuiltInToolParam], Listed] | None


Attachments = Annotated[list[AttachmentParam], Listed, Len(0, 20)]
