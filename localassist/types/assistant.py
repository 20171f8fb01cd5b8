"""Assistant: a model with instructions and tools."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from localassist.types._base import In, Model, Stored
from localassist.types.tool import StoredTool, code_files


class Assistant(Model):
    """An assistant. `model` is the name that was asked for, also where another one runs."""

    id: str
    created_at: int
    description: str | None = None
    file_ids: Annotated[list[str], In("v1")] = []
    instructions: str | None = None
    metadata: dict[str, str] = {}
    model: str
    name: str | None = None
    object: Literal["assistant"] = "assistant"
    tools: list[StoredTool] = []
    response_format: Annotated[str | dict[str, Any] | None, In("v2")] = "auto"
    temperature: Annotated[float | None, In("v2")] = 1.0
    tool_resources: Annotated[dict[str, Any] | None, In("v2")] = {}
    top_p: Annotated[float | None, In("v2")] = 1.0
    reasoning_effort: Annotated[str | None, In("v2")] = None
    # When the first generation's files were attached, by their ids.
    attached: Annotated[dict[str, int], Stored()] = {}

    @model_validator(mode="after")
    def _show_files(self) -> Any:
        # v1 shows in one list what v2 shows by tool.
        self.file_ids = code_files(self.tool_resources)
        return self


class AssistantFile(Model):
    """A file that is attached to an assistant, in the first generation; its id is the file's."""

    id: str
    assistant_id: str
    created_at: int
    object: Literal["assistant.file"] = "assistant.file"
