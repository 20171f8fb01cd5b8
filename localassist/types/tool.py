"""Tools: functions that an assistant may ask its caller to call, and such calls."""

from __future__ import annotations

from typing import Literal

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


class FunctionToolCall(Model):
    """A call as a step records it."""

    id: str
    function: StepFunction
    type: Literal["function"] = "function"
