"""Parameters of tools: functions, code, what they may work with, and which is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Len
from pydantic import BeforeValidator, Discriminator, Tag, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import Required, TypedDict

from localassist.types.values import (
    MAX_TEXT_CHARS,
    STRICT,
    FileId,
    FunctionName,
    Listed,
    Str,
)


def _supported_tool(tool: Any) -> Any:
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    if kind in ("retrieval", "file_search"):
        raise PydanticCustomError("tools_unsupported", "tools", {"kind": kind})
    return tool


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

    function: FunctionParam
    type: Literal["function"]


@with_config(STRICT)
class CodeToolParam(TypedDict):
    """The tool that runs code."""

    type: Literal["code_interpreter"]


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
    return "<code>" if kind == "code_interpreter" else "<function>"


def _choice_tag(value: Any) -> str:
    return "<str>" if isinstance(value, str) else _tool_tag(value)


ToolParam = Annotated[
    Annotated[CodeToolParam, Tag("<code>")] | Annotated[FunctionToolParam, Tag("<function>")],
    Discriminator(_tool_tag),
]
Tools = Annotated[list[Annotated[ToolParam, BeforeValidator(_supported_tool)]], Listed, Len(0, 128)]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<str>")]
    | Annotated[CodeToolParam, Tag("<code>")]
    | Annotated[NamedToolChoice, Tag("<function>")],
    Discriminator(_choice_tag),
]

FileIds = Annotated[list[FileId], Listed, Len(0, 20)]


@with_config(STRICT)
class CodeResources(TypedDict, total=False):
    """Files of the code interpreter."""

    file_ids: FileIds | None


@with_config(STRICT)
class NoSearchResources(TypedDict, total=False):
    """Vector stores, which there are none of yet; an empty list says so."""

    vector_store_ids: Annotated[list[Str], Len(0, 0)] | None


@with_config(STRICT)
class ToolResources(TypedDict, total=False):
    """What the tools have to work with."""

    code_interpreter: CodeResources | None
    file_search: NoSearchResources | None


@with_config(STRICT)
class AttachmentParam(TypedDict, total=False):
    """A file for a tool."""

    file_id: Required[FileId]
    tools: (
        Annotated[list[Annotated[CodeToolParam, BeforeValidator(_supported_tool)]], Listed] | None
    )


Attachments = Annotated[list[AttachmentParam], Listed, Len(0, 20)]
