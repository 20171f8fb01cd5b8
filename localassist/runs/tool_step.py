"""ToolStep: a step of one tool of ours, there while the tool works, complete when it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.runs.steps import new_step, step_delta
from localassist.store import leases, run_steps
from localassist.types.run import LastError
from localassist.types.run_step import ToolCallsStepDetails, without_found_text
from localassist.types.stream_event import RunStepEvent
from localassist.types.tool import CodeToolCall, FileSearchToolCall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.runs.services import Services
    from localassist.types.run import Run, Usage
    from localassist.types.tool import ToolCall


class ToolStep:
    """Used by the run's worker only."""

    def __init__(self, services: Services, run: Run, call: ToolCall, begun: dict[str, Any]) -> None:
        """Store and announce a step that has begun.

        Args:
            services: of the data folder.
            run: whose step it is.
            call: of the tool; it is changed while the tool works.
            begun: what the first delta says of it, beside its index.
        """
        self._services = services
        self._run = run
        self._step = new_step(services, run, ToolCallsStepDetails(tool_calls=[call]))
        empty = self._step.model_copy(update={"step_details": ToolCallsStepDetails(tool_calls=[])})
        with services.store.write() as tx:
            run_steps.TABLE.insert(tx, self._step)
            services.announce(
                tx,
                run.id,
                [
                    RunStepEvent(event="thread.run.step.created", data=empty),
                    RunStepEvent(event="thread.run.step.in_progress", data=empty),
                    self.delta(begun),
                ],
            )

    def delta(self, grown: dict[str, Any]) -> Any:
        """The event that the call has grown."""
        return step_delta(self._step, {"index": 0, **grown})

    def save(self) -> bool:
        """Write the call down as it is now; False if the run is not ours any more."""
        with self._services.store.write() as tx:
            if not leases.held(tx, self._run.id, owner=self._services.owner):
                return False
            run_steps.TABLE.update(tx, self._step.id, step_details=self._step.step_details)
        return True

    def complete(
        self,
        *,
        deltas: Sequence[Any] = (),
        metadata: dict[str, str] | None = None,
        usage: Usage | None = None,
    ) -> bool:
        """Record what the tool gave; False if the run is not ours any more."""
        services, step = self._services, self._step
        step.status, step.completed_at = "completed", int(services.now())
        step.metadata, step.usage = metadata or {}, usage
        with services.store.write() as tx:
            if not leases.held(tx, self._run.id, owner=services.owner):
                return False
            run_steps.TABLE.update(
                tx,
                step.id,
                status=step.status,
                completed_at=step.completed_at,
                step_details=step.step_details,
                metadata=step.metadata,
                usage=usage,
            )
            shown = without_found_text(step.model_copy(deep=True))
            done = RunStepEvent(event="thread.run.step.completed", data=shown)
            services.announce(tx, self._run.id, [*deltas, done])
        return True

    def fail(self, message: str) -> None:
        """Record that it could not be done."""
        _fail(self._services, self._run.id, [self._step], message)


def abandon(services: Services, run_id: str) -> None:
    """Fail the steps that another process, which has died, was at; they are done again."""
    steps = [
        step
        for step in run_steps.open_of_run(services.store.read(), run_id)
        if isinstance(step.step_details, ToolCallsStepDetails)
        and any(
            isinstance(call, (CodeToolCall, FileSearchToolCall))
            for call in step.step_details.tool_calls
        )
    ]
    if steps:
        _fail(services, run_id, steps, "The process that was at it has ended.")


def _fail(services: Services, run_id: str, steps: Sequence[Any], message: str) -> None:
    now, error = int(services.now()), LastError(code="server_error", message=message)
    with services.store.write() as tx:
        for step in steps:
            step.status, step.failed_at, step.last_error = "failed", now, error
            run_steps.TABLE.update(tx, step.id, status="failed", failed_at=now, last_error=error)
            event = RunStepEvent(event="thread.run.step.failed", data=step)
            services.announce(tx, run_id, [event])
