"""Steps of runs: how they begin and grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.types.run_step import RunStep, RunStepDelta, RunStepDeltaObject, StepDetails
from localassist.types.stream_event import RunStepDeltaEvent

if TYPE_CHECKING:
    from localassist.runs.services import Services
    from localassist.types.run import Run, Usage


def new_step(
    services: Services, run: Run, details: StepDetails, *, usage: Usage | None = None
) -> RunStep:
    """A step that has begun."""
    return RunStep(
        id=services.new_id("step"),
        thread_id=run.thread_id,
        assistant_id=run.assistant_id,
        run_id=run.id,
        status="in_progress",
        type=details.type,
        step_details=details,
        created_at=int(services.now()),
        usage=usage,
    )


def step_delta(step: RunStep, call: dict[str, Any]) -> RunStepDeltaEvent:
    """The event that a tool call of a step has grown by `call`."""
    details = {"type": "tool_calls", "tool_calls": [call]}
    return RunStepDeltaEvent(
        data=RunStepDeltaObject(id=step.id, delta=RunStepDelta(step_details=details))
    )
