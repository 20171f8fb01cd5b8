"""Records of called functions: a run begins to wait for their outputs, and goes on with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.runs.endings import run_event
from localassist.runs.steps import new_step, step_delta
from localassist.store import leases, run_steps, runs
from localassist.types.run_step import RunStep, ToolCallsStepDetails
from localassist.types.stream_event import RunStepEvent
from localassist.types.tool import (
    CalledFunction,
    FunctionToolCall,
    RequiredAction,
    RequiredFunctionCall,
    StepFunction,
    SubmitToolOutputs,
    ToolCall,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localassist.engine.tool_dialect import Call
    from localassist.runs.services import Services
    from localassist.store.connection import Transaction
    from localassist.types.run import Run, Usage
    from localassist.types.stream_event import AssistantStreamEvent


def require_action(
    services: Services, run: Run, calls: Sequence[Call], usage: Usage | None
) -> bool:
    """Store the calls and let the run wait for their outputs, in one transaction.

    Returns:
        False if the run may not: it was cancelled, has ended, or is somebody else's by now.
    """
    step = _calls_step(services, run, calls, usage)
    action = _action(step)
    with services.store.write() as tx:
        if not leases.held(tx, run.id, owner=services.owner):
            return False
        if not runs.advance(
            tx, run.id, expected=("in_progress",), to="requires_action", required_action=action
        ):
            return False
        run_steps.TABLE.insert(tx, step)
        # Nobody executes it until the outputs come.
        leases.release(tx, run.id)
        waiting = runs.TABLE.get(tx, run.id)
        assert waiting is not None, "it was updated above"
        services.announce(tx, run.id, [*_opening(step), run_event(waiting)])
    return True


def open_call_ids(tx: Transaction, run_id: str) -> list[str]:
    """Ids of the calls that a run waits for."""
    return [call.id for step in _open_steps(tx, run_id) for call in _calls(step)]


def resume(services: Services, tx: Transaction, run_id: str, outputs: Mapping[str, str]) -> Run:
    """Store the outputs, by id of the call, and queue the run; inside a transaction."""
    now = int(services.now())
    events: list[AssistantStreamEvent] = []
    for step in _open_steps(tx, run_id):
        for call in _calls(step):
            call.function.output = outputs[call.id]
        run_steps.TABLE.update(
            tx, step.id, status="completed", completed_at=now, step_details=step.step_details
        )
        step.status, step.completed_at = "completed", now
        events.append(RunStepEvent(event="thread.run.step.completed", data=step))
    runs.advance(tx, run_id, expected=("requires_action",), to="queued", required_action=None)
    run = runs.TABLE.get(tx, run_id)
    assert run is not None, "it was updated above"
    services.announce(tx, run_id, [*events, run_event(run)])
    return run


def _calls(step: RunStep) -> list[FunctionToolCall]:
    details = step.step_details
    calls = details.tool_calls if isinstance(details, ToolCallsStepDetails) else []
    return [call for call in calls if isinstance(call, FunctionToolCall)]


def _open_steps(tx: Transaction, run_id: str) -> list[RunStep]:
    return [step for step in run_steps.open_of_run(tx, run_id) if step.type == "tool_calls"]


def _calls_step(
    services: Services, run: Run, calls: Sequence[Call], usage: Usage | None
) -> RunStep:
    made: list[ToolCall] = [
        FunctionToolCall(
            id=services.new_id("call"),
            function=StepFunction(name=call.name, arguments=call.arguments),
        )
        for call in calls
    ]
    return new_step(services, run, ToolCallsStepDetails(tool_calls=made), usage=usage)


def _action(step: RunStep) -> RequiredAction:
    calls = [
        RequiredFunctionCall(
            id=call.id,
            function=CalledFunction(name=call.function.name, arguments=call.function.arguments),
        )
        for call in _calls(step)
    ]
    return RequiredAction(submit_tool_outputs=SubmitToolOutputs(tool_calls=calls))


def _opening(step: RunStep) -> list[AssistantStreamEvent]:
    """The events of a step that begins with its calls, in the API's order."""
    empty = step.model_copy(update={"step_details": ToolCallsStepDetails(tool_calls=[])})
    events: list[AssistantStreamEvent] = [
        RunStepEvent(event="thread.run.step.created", data=empty),
        RunStepEvent(event="thread.run.step.in_progress", data=empty),
    ]
    for index, call in enumerate(_calls(step)):
        name = {"name": call.function.name, "arguments": "", "output": None}
        begun = {"index": index, "id": call.id, "type": "function", "function": name}
        arguments = {"arguments": call.function.arguments}
        grown = {"index": index, "type": "function", "function": arguments}
        events += [step_delta(step, begun), step_delta(step, grown)]
    return events
