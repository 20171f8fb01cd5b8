"""Tools: functions that an assistant may ask its caller to call, and such calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    WrapSerializer,
    model_serializer,
)

from localassist.types._base import CONTEXT_KEY, Model, WhenSet, printed_version


class CalledFunction(Model):
    """A function and the JSON text of the arguments it is to be called with."""

    arguments: str
    name: str


class RequiredFunctionCall(Model):
    """A call that the run waits for."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class SubmitToolOutputs(Model):
    """The calls whose outputs are to be submitted, all together."""

    tool_calls: list[RequiredFunctionCall]


class RequiredAction(Model):
    """What a run in `requires_action` waits for."""

    submit_tool_outputs: SubmitToolOutputs
    type: Literal["submit_tool_outputs"] = "submit_tool_outputs"


class StepFunction(Model):
    """A called function; `output` is None until it is submitted."""

    arguments: str
    name: str
    output: str | None = None


class CodeLogs(Model):
    """What code printed."""

    logs: str
    type: Literal["logs"] = "logs"


class CodeImageFile(Model):
    """The file of a figure."""

    file_id: str


class CodeImage(Model):
    """A figure that code drew."""

    image: CodeImageFile
    type: Literal["image"] = "image"


CodeOutput = Annotated[CodeLogs | CodeImage, Field(discriminator="type")]


class RunCode(Model):
    """Code and what it gave."""

    input: str
    outputs: list[CodeOutput] = []


class CodeToolCall(Model):
    """Code that was run, as a step records it."""

    id: str
    code_interpreter: RunCode
    type: Literal["code_interpreter"] = "code_interpreter"


class FunctionToolCall(Model):
    """A call as a step records it."""

    id: str
    function: StepFunction
    type: Literal["function"] = "function"


class FoundText(Model):
    """Text that a search has found."""

    text: str
    type: Literal["text"] = "text"


class FileSearchResult(Model):
    """A passage that a search has found. `page` counts from 1."""

    file_id: str
    file_name: str
    score: float
    content: Annotated[list[FoundText] | None, WhenSet()] = None
    page: Annotated[int | None, WhenSet()] = None


class FileSearch(Model):
    """A search and what it found."""

    ranking_options: Annotated[dict[str, Any] | None, WhenSet()] = None
    results: Annotated[list[FileSearchResult] | None, WhenSet()] = None


class FileSearchToolCall(Model):
    """A search of files, as a step records it. The first generation shows that there was one."""

    id: str
    file_search: FileSearch = FileSearch()
    type: Literal["file_search"] = "file_search"

    @model_serializer(mode="wrap")
    def _print_call(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        if printed_version(self, info).startswith("v1"):
            return {"id": self.id, "retrieval": {}, "type": "retrieval"}
        return dict(handler(self))


ToolCall = Annotated[
    CodeToolCall | FileSearchToolCall | FunctionToolCall, Field(discriminator="type")
]


def _print_tool(tool: Any, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
    version = (info.context or {}).get(CONTEXT_KEY)
    first = isinstance(version, str) and version.startswith("v1")
    if first and isinstance(tool, Mapping) and tool.get("type") == "file_search":
        return {"type": "retrieval"}
    return handler(tool)


# A tool as it was given, under the later generation's name; the first one prints its own.
StoredTool = Annotated[Any, WrapSerializer(_print_tool)]


def searched_stores(tool_resources: Mapping[str, Any] | None) -> list[str]:
    """Ids of the vector stores that are searched, out of `tool_resources`."""
    return list(((tool_resources or {}).get("file_search") or {}).get("vector_store_ids") or ())


def without_code_file(tool_resources: Mapping[str, Any] | None, file_id: str) -> dict[str, Any]:
    """The resources without a file of the code interpreter."""
    left = [each for each in code_files(tool_resources) if each != file_id]
    return {**(tool_resources or {}), "code_interpreter": {"file_ids": left}}


def code_files(tool_resources: Mapping[str, Any] | None) -> list[str]:
    """Ids of the files that the code interpreter has, out of `tool_resources`."""
    return list(((tool_resources or {}).get("code_interpreter") or {}).get("file_ids") or ())
