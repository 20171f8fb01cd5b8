"""Records of searches: a step that is there while the files are searched, and what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.runs.recorder import new_step, step_delta
from localassist.store import leases, run_steps
from localassist.types.run import LastError
from localassist.types.run_step import ToolCallsStepDetails, without_found_text
from localassist.types.stream_event import RunStepEvent
from localassist.types.tool import FileSearchToolCall

if TYPE_CHECKING:
    from localassist.runs.recorder import Services
    from localassist.types.run import Run
    from localassist.types.tool import FileSearchResult


class SearchRecord:
    """One step of a search. Used by the run's worker only."""

    def __init__(self, services: Services, run: Run) -> None:
        """Announce a search that begins."""
        self._services = services
        self._run = run
        self._call = FileSearchToolCall(id=services.new_id("call"))
        details = ToolCallsStepDetails(tool_calls=[self._call])
        self._step = new_step(services, run, details)
        with services.store.write() as tx:
            run_steps.TABLE.insert(tx, self._step)
            empty = self._step.model_copy(
                update={"step_details": ToolCallsStepDetails(tool_calls=[])}
            )
            begun = {"index": 0, "id": self._call.id, "type": "file_search", "file_search": {}}
            services.announce(
                tx,
                run.id,
                [
                    RunStepEvent(event="thread.run.step.created", data=empty),
                    RunStepEvent(event="thread.run.step.in_progress", data=empty),
                    step_delta(self._step, begun),
                ],
            )

    def complete(
        self, results: list[FileSearchResult], ranking_options: dict[str, Any] | None
    ) -> bool:
        """Record what was found; False if the run is not ours any more."""
        services, step = self._services, self._step
        self._call.file_search.results = results
        self._call.file_search.ranking_options = ranking_options or {
            "ranker": "default_2024_08_21",
            "score_threshold": 0.0,
        }
        step.status, step.completed_at = "completed", int(services.now())
        with services.store.write() as tx:
            if not leases.held(tx, self._run.id, owner=services.owner):
                return False
            run_steps.TABLE.update(
                tx,
                step.id,
                status=step.status,
                completed_at=step.completed_at,
                step_details=step.step_details,
            )
            shown = without_found_text(step.model_copy(deep=True))
            done = RunStepEvent(event="thread.run.step.completed", data=shown)
            services.announce(tx, self._run.id, [done])
        return True

    def fail(self) -> None:
        """Record that it could not be done."""
        services, step = self._services, self._step
        error = LastError(code="server_error", message="The files could not be searched.")
        step.status, step.failed_at, step.last_error = "failed", int(services.now()), error
        with services.store.write() as tx:
            run_steps.TABLE.update(
                tx, step.id, status="failed", failed_at=step.failed_at, last_error=error
            )
            event = RunStepEvent(event="thread.run.step.failed", data=step)
            services.announce(tx, self._run.id, [event])
