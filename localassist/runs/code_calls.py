"""CodeRunner: runs the code that a model writes, until it answers in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from localassist.engine import code_dialect
from localassist.engine.code_dialect import CodeWatch
from localassist.errors import SandboxError
from localassist.runs.code_files import FILES_KEY, CodeFiles
from localassist.runs.code_record import CodeRecord
from localassist.runs.model_calls import Interrupted
from localassist.runs.rounds import FAILED
from localassist.types.tool import CodeLogs, CodeOutput

if TYPE_CHECKING:
    from collections.abc import Callable

    from localassist.interpreter.interpreter import Interpreter, Result
    from localassist.runs.rounds import Rounds
    from localassist.runs.services import Services
    from localassist.types.run import Run, Usage

MAX_ROUNDS = 6
MAX_FAILURES = 3  # one after another
_TOO_OFTEN = "This code was run before, with the output above. Answer in words now."


class CodeRunner:
    """The code tool of one run. Used by the run's worker only."""

    def __init__(
        self,
        services: Services,
        run: Run,
        rounds: Rounds,
        interpreter: Interpreter | None,
        *,
        is_over: Callable[[], bool],
    ) -> None:
        self._services = services
        self._run = run
        self._rounds = rounds
        self._interpreter = interpreter
        self._is_over = is_over
        has_tool = any(tool["type"] == "code_interpreter" for tool in run.tools)
        self.shown = has_tool and run.tool_choice != "none"
        if self.shown and interpreter is None:
            raise SandboxError(
                "Code cannot be confined on this system, so it is not run.",
                code="sandbox_unavailable",
                hint="Remove the tool code_interpreter, or use Linux.",
            )

    @property
    def enabled(self) -> bool:
        """Code that the model writes now is run."""
        rounds = self._rounds
        return self.shown and len(rounds.codes) < MAX_ROUNDS and rounds.num_failed < MAX_FAILURES

    @property
    def forced(self) -> bool:
        """Code is to be run whatever the model wants; holds for the run's first step."""
        if self._rounds.count or not self.enabled:
            return False
        choice = self._run.tool_choice
        only_tool = all(tool["type"] == "code_interpreter" for tool in self._run.tools)
        return choice == {"type": "code_interpreter"} or (choice == "required" and only_tool)

    @property
    def must_answer(self) -> bool:
        """There is an output to be told in words; the answer must not begin with a block."""
        return bool(self._rounds.codes) and not (self.enabled and self._rounds.num_failed)

    def system_text(self, instructions: str | None) -> str | None:
        """The system turn of a model that may have code run."""
        if not self.shown:
            return instructions
        text = code_dialect.INSTRUCTIONS
        return f"{text}\n\n# Your task\n{instructions}" if instructions else text

    def watch(self) -> CodeWatch | None:
        """Looks for code in an answer; None where none is run."""
        if not self.enabled:
            return None
        functions = [tool["function"]["name"] for tool in self._run.tools if "function" in tool]
        return CodeWatch(begun=self.forced, functions=functions)

    def record(self) -> CodeRecord:
        """Begin a step."""
        return CodeRecord(self._services, self._run)

    def run_code(self, record: CodeRecord, code: str, usage: Usage | None) -> None:
        """Run it and complete the step.

        Raises:
            Interrupted: the run is to stop, or is somebody else's.
            SandboxError: code cannot be confined here.
        """
        if not record.start(code):
            raise Interrupted
        known = code in self._rounds.codes
        outputs, metadata = _told(_TOO_OFTEN) if known else self._executed(code)
        if self._is_over():
            raise Interrupted
        if not record.complete(outputs, metadata, usage):
            raise Interrupted

    def _executed(self, code: str) -> tuple[list[CodeOutput], dict[str, str]]:
        assert self._interpreter is not None, "it is not enabled without"
        files = CodeFiles(self._services, self._run)
        result = self._interpreter.execute(
            self._run.thread_id, code, files=files.attached(), cancelled=self._is_over
        )
        metadata = {"sandbox": result.execution.tier}
        if result.execution.status != "ok":
            metadata[FAILED] = result.execution.status
        images, written = files.keep(result)
        if written:
            metadata[FILES_KEY] = json.dumps(written)
        return [*_outputs(result), *images], metadata


def _told(text: str) -> tuple[list[CodeOutput], dict[str, str]]:
    return [CodeLogs(logs=text)], {}


def _outputs(result: Result) -> list[CodeOutput]:
    execution = result.execution
    notes = [f"[{note}]" for note in execution.notes]
    if execution.status == "timeout":
        notes.insert(0, f"[It was stopped after {execution.seconds:.0f} s.]")
    logs = "\n".join(part for part in (execution.logs.rstrip("\n"), *notes) if part)
    return [CodeLogs(logs=logs)] if logs else []
