"""Records of code that is run: how it is written, and what it gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.runs.tool_step import ToolStep
from localassist.types.tool import CodeOutput, CodeToolCall, RunCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.runs.services import Services
    from localassist.types.run import Run, Usage


class CodeRecord:
    """One step of code. Used by the run's worker only."""

    def __init__(self, services: Services, run: Run) -> None:
        """Announce a step whose code is being written."""
        self._services = services
        self._run = run
        self._num_sent = 0
        self._call = CodeToolCall(id=services.new_id("call"), code_interpreter=RunCode(input=""))
        begun = {"id": self._call.id, **_grown({"input": "", "outputs": []})}
        self._step = ToolStep(services, run, self._call, begun)

    def add_input(self, code: str) -> None:
        """The code has grown to `code`."""
        grown = code[self._num_sent :]
        if grown:
            self._num_sent = len(code)
            event = self._step.delta(_grown({"input": grown}))
            self._services.bus.publish(self._run.id, [event])

    def start(self, code: str) -> bool:
        """The code is complete and begins to run; False if the run is not ours any more."""
        self.add_input(code)
        self._call.code_interpreter.input = code
        return self._step.save()

    def complete(
        self, outputs: Sequence[CodeOutput], metadata: dict[str, str], usage: Usage | None
    ) -> bool:
        """Record what the code gave; False if the run is not ours any more."""
        self._call.code_interpreter.outputs = list(outputs)
        indexed = [{"index": index, **output.model_dump()} for index, output in enumerate(outputs)]
        deltas = [self._step.delta(_grown({"outputs": indexed}))] if indexed else []
        return self._step.complete(deltas=deltas, metadata=metadata, usage=usage)


def _grown(code: dict[str, Any]) -> dict[str, Any]:
    return {"type": "code_interpreter", "code_interpreter": code}
