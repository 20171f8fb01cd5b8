"""Tools: functions that an assistant may ask its caller to call, and such calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from localassist.types._base import Model


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


ToolCall = Annotated[CodeToolCall | FunctionToolCall, Field(discriminator="type")]


def code_files(tool_resources: Mapping[str, Any] | None) -> list[str]:
    """Ids of the files that the code interpreter has, out of `tool_resources`."""
    return list(((tool_resources or {}).get("code_interpreter") or {}).get("file_ids") or ())
