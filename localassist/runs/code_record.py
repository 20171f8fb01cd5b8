"""Records of code that is run: a step that is there while the code runs, and what it gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.runs.recorder import new_step, step_delta
from localassist.store import leases, run_steps
from localassist.types.run import LastError
from localassist.types.run_step import ToolCallsStepDetails
from localassist.types.stream_event import RunStepEvent
from localassist.types.tool import CodeOutput, CodeToolCall, FileSearchToolCall, RunCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.runs.recorder import Services
    from localassist.types.run import Run, Usage


class CodeRecord:
    """One step of code. Used by the run's worker only."""

    def __init__(self, services: Services, run: Run) -> None:
        """Announce a step whose code is being written."""
        self._services = services
        self._run = run
        self._num_sent = 0
        call = CodeToolCall(id=services.new_id("call"), code_interpreter=RunCode(input=""))
        self._step = new_step(services, run, ToolCallsStepDetails(tool_calls=[call]))
        self._call = call
        with services.store.write() as tx:
            run_steps.TABLE.insert(tx, self._step)
            empty = self._step.model_copy(
                update={"step_details": ToolCallsStepDetails(tool_calls=[])}
            )
            services.announce(
                tx,
                run.id,
                [
                    RunStepEvent(event="thread.run.step.created", data=empty),
                    RunStepEvent(event="thread.run.step.in_progress", data=empty),
                    self._delta({"input": "", "outputs": []}, id=call.id),
                ],
            )

    def add_input(self, code: str) -> None:
        """The code has grown to `code`."""
        grown = code[self._num_sent :]
        if grown:
            self._num_sent = len(code)
            self._services.bus.publish(self._run.id, [self._delta({"input": grown})])

    def start(self, code: str) -> bool:
        """The code is complete and begins to run; False if the run is not ours any more."""
        self.add_input(code)
        self._call.code_interpreter.input = code
        with self._services.store.write() as tx:
            if not leases.held(tx, self._run.id, owner=self._services.owner):
                return False
            run_steps.TABLE.update(tx, self._step.id, step_details=self._step.step_details)
        return True

    def complete(
        self, outputs: Sequence[CodeOutput], metadata: dict[str, str], usage: Usage
    ) -> bool:
        """Record what the code gave; False if the run is not ours any more."""
        services, step = self._services, self._step
        self._call.code_interpreter.outputs = list(outputs)
        step.status, step.completed_at = "completed", int(services.now())
        step.metadata, step.usage = metadata, usage
        with services.store.write() as tx:
            if not leases.held(tx, self._run.id, owner=services.owner):
                return False
            run_steps.TABLE.update(
                tx,
                step.id,
                status=step.status,
                completed_at=step.completed_at,
                step_details=step.step_details,
                metadata=metadata,
                usage=usage,
            )
            indexed = [
                {"index": index, **output.model_dump()} for index, output in enumerate(outputs)
            ]
            events: list[Any] = [self._delta({"outputs": indexed})] if indexed else []
            done = RunStepEvent(event="thread.run.step.completed", data=step)
            services.announce(tx, self._run.id, [*events, done])
        return True

    def _delta(self, code: dict[str, Any], **more: Any) -> Any:
        call = {"index": 0, **more, "type": "code_interpreter", "code_interpreter": code}
        return step_delta(self._step, call)


def abandon_code(services: Services, run_id: str) -> None:
    """Fail the steps whose code was running when another process died; it is written again."""
    now = int(services.now())
    error = LastError(code="server_error", message="The process that did this has ended.")
    with services.store.write() as tx:
        for step in run_steps.open_of_run(tx, run_id):
            details = step.step_details
            if isinstance(details, ToolCallsStepDetails) and any(
                isinstance(call, (CodeToolCall, FileSearchToolCall)) for call in details.tool_calls
            ):
                run_steps.TABLE.update(
                    tx, step.id, status="failed", failed_at=now, last_error=error
                )
                step.status, step.failed_at, step.last_error = "failed", now, error
                event = RunStepEvent(event="thread.run.step.failed", data=step)
                services.announce(tx, run_id, [event])
