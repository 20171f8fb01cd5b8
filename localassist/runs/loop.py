"""RunLoop: executes one run, from its prompt to its end.

It keeps nothing that is not in the store: a run whose process died is executed again by another.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist.engine.request import Engine, FinishReason
from localassist.errors import ClosedError, LocalAssistError
from localassist.runs.answer import AnswerWriter, Watches
from localassist.runs.answer_format import answer_format
from localassist.runs.code_calls import CodeRunner
from localassist.runs.code_files import Produced
from localassist.runs.file_search import FileSearch
from localassist.runs.function_calls import FunctionCaller
from localassist.runs.model_calls import Interrupted, ModelCalls, OutOfTokens, total
from localassist.runs.prompter import Prompter, PromptTooLong
from localassist.runs.recorder import RunRecorder
from localassist.runs.rounds import Rounds
from localassist.runs.tool_record import require_action
from localassist.runs.tool_step import abandon
from localassist.runs.verdicts import Verdicts
from localassist.store import run_steps
from localassist.types.run import LastError, Run, Usage

if TYPE_CHECKING:
    from localassist.engine.pool import EnginePool
    from localassist.interpreter.interpreter import Interpreter
    from localassist.retrieval.retrieval import Retrieval
    from localassist.runs.services import Services

log = logging.getLogger("localassist.runs")


@dataclass(frozen=True)
class _Turn:
    """What one turn of the model is taken with."""

    model: ModelCalls
    prompter: Prompter
    rounds: Rounds
    caller: FunctionCaller
    coder: CodeRunner


class RunLoop:
    """One execution. `execute` is called by a worker; `cancel` and `abandon` by anybody."""

    def __init__(
        self,
        services: Services,
        engines: EnginePool,
        run: Run,
        *,
        interpreter: Interpreter | None = None,
        retrieval: Retrieval | None = None,
    ) -> None:
        self._services = services
        self._search = FileSearch(services, run, retrieval, is_over=self._is_over)
        self._nearness = retrieval.nearness if retrieval is not None else None
        self._interpreter = interpreter
        self._engines = engines
        self._run = run
        self._recorder = RunRecorder(services, run)
        self._model: ModelCalls | None = None
        self._stop = threading.Event()
        self._abandoned = False
        self._spent: list[Usage] = []

    def cancel(self) -> None:
        """The run's status has changed to `cancelling`: stop what it does."""
        self._stop.set()
        if self._model is not None:
            self._model.stop()

    def abandon(self) -> None:
        """The process is closing: stop without ending the run, so that another one resumes it."""
        self._abandoned = True
        self.cancel()

    def execute(self) -> None:
        """Bring the run to its end; an error of ours fails it."""
        run = self._run
        if self._overdue or not self._recorder.start():
            # It was cancelled before it began, or it is somebody else's by now.
            if not self._expire_if_due():
                self._recorder.end("cancelled")
            return
        try:
            with self._engines.use(run.model) as engine:
                self._answer(engine)
        except ClosedError:
            log.info("left run %s to be resumed", run.id, extra={"run_id": run.id})
        except LocalAssistError as error:
            log.warning("run %s failed: %s", run.id, error, extra={"run_id": run.id})
            self._fail(str(error), code="invalid_prompt" if error.status == 400 else "server_error")
        except Exception as error:
            log.exception("run %s failed", run.id, extra={"run_id": run.id})
            self._fail(f"localassist failed: {error!r}", code="server_error")

    # --- steps ---

    def _answer(self, engine: Engine) -> None:
        """Call the model until it wants functions called or has answered."""
        if self._ended_early(None):
            return
        abandon(self._services, self._run.id)
        connection = self._services.store.read()
        steps = run_steps.tool_calls_of_run(connection, self._run.id)
        self._spent = run_steps.usages_of_run(connection, self._run.id)
        model = ModelCalls(engine, is_over=self._is_over, max_tokens=self._tokens_left)
        self._model = model
        if self._stop.is_set():
            model.stop()
        self._search.restore(steps)
        prompter = Prompter(
            self._services,
            self._run,
            engine,
            self._recorder,
            shown=self._search.shown,
            shrink=self._search.shrink,
        )
        try:
            while not self._take_turn(model, prompter):
                pass
        except Interrupted:
            usage = self._total(model)
            if not self._ended_early(usage):
                self._recorder.end("cancelled", usage=usage)
        except OutOfTokens:
            self._end(FinishReason.LENGTH, model)
        except PromptTooLong as limit:
            self._prompt_too_long(engine, limit)

    @property
    def _tokens_left(self) -> int | None:
        """What `max_completion_tokens` leaves after the steps before; None if it is not given."""
        limit = self._run.max_completion_tokens
        if limit is None:
            return None
        return limit - sum(usage.completion_tokens for usage in self._spent)

    def _is_over(self) -> bool:
        return self._overdue or self._abandoned or self._stop.is_set()

    def _take_turn(self, model: ModelCalls, prompter: Prompter) -> bool:
        """One turn of the model; True if the run rests or has ended."""
        steps = run_steps.tool_calls_of_run(self._services.store.read(), self._run.id)
        rounds = Rounds(steps)
        self._recorder.produced = Produced()
        for step in steps:
            self._recorder.produced.add_step(step)
        turn = _Turn(
            model,
            prompter,
            rounds,
            FunctionCaller(self._run, rounds, model.engine.tools, self._nearness),
            CodeRunner(self._services, self._run, rounds, self._interpreter, is_over=self._is_over),
        )
        return self._called(turn) or self._write(turn)

    def _called(self, turn: _Turn) -> bool:
        """Let the run wait for functions, if the model wants any."""
        caller = turn.caller
        if not caller.functions or turn.coder.forced:
            return False
        system, closing = self._functions_system(turn), turn.rounds.turns(may_call=True)

        def beside_code() -> list[int]:
            functions, code = caller.system_text(None), turn.coder.system_text(None)
            own = self._run.instructions
            every = [functions, code, f"# Your task\n{own}" if own else None]
            return turn.prompter.tokens("\n\n".join(filter(None, every)), closing, calls=True)

        prompt = turn.prompter.tokens(system, closing, calls=True)
        return caller.wants_call(
            turn.model,
            prompt,
            earlier=turn.prompter.earlier,
            asked=turn.prompter.asked(),
            beside_code=beside_code if turn.coder.enabled else None,
        ) and self._wait(turn)

    def _functions_system(self, turn: _Turn) -> str | None:
        """Functions alone: told of code as well, small models answer in words too often."""
        return turn.caller.system_text(self._run.instructions)

    def _wait(self, turn: _Turn) -> bool:
        """Let the run wait for calls; False if all that come have been answered already."""
        system, closing = self._functions_system(turn), turn.rounds.turns(may_call=True)
        prompter, model = turn.prompter, turn.model
        calls = turn.caller.write(
            model,
            prompter.tokens(system, closing, calls=True),
            lambda more: prompter.tokens(system, [*closing, *more], calls=True),
            asked=prompter.asked(),
        )
        if not calls:
            return False
        if self._ended_early(self._total(model)):
            return True
        if not require_action(self._services, self._run, calls, model.take_usage()):
            self._recorder.end("cancelled", usage=self._total(model))
        return True

    def _write(self, turn: _Turn) -> bool:
        """Write a message and end, or do what begins in it; True if the run rests or has ended."""
        wanted = answer_format(self._run.response_format)
        prompter, model = turn.prompter, turn.model
        # Whether functions are called is decided first: passages would draw the model's attention
        # away from them, and what they give answers the question.
        if not turn.rounds.answered:
            self._search.search(model.engine.n_ctx)
        # Once functions have given results, they are not shown: small models would call again.
        hidden = turn.rounds.answered or not turn.caller.functions or turn.coder.shown
        system = (
            turn.coder.system_text(self._run.instructions)
            if hidden
            else self._functions_system(turn)
        )
        system = wanted.system_text(system)
        request = "".join(prompter.asked()[-1:])
        verdict = Verdicts.of_test(model, turn.rounds.answered, request)
        closing = turn.rounds.turns(may_call=False, verdict=verdict)
        prompt = prompter.tokens(system, closing, calls=not hidden)
        writer = AnswerWriter(
            self._run,
            model,
            self._recorder,
            citing=lambda: self._search.citing(number=turn.rounds.count),
        )
        if wanted.schema is not None:
            reason = writer.formatted(
                wanted,
                prompt,
                lambda more: prompter.tokens(system, [*closing, *more], calls=not hidden),
            )
            self._end(reason, model)
            return True
        words_only = turn.coder.must_answer or not turn.coder.enabled
        written = writer.words(
            prompt,
            banned_first=turn.caller.banned_first(model) if words_only else (),
            watches=Watches(turn.caller.watch(), turn.coder.watch(), turn.coder.record),
        )
        if written.code is not None and written.record is not None:
            turn.coder.run_code(written.record, written.code, model.take_usage())
            return False
        if written.reason is None and self._wait(turn):
            return True
        self._end(written.reason or FinishReason.STOP, model)
        return True

    def _total(self, model: ModelCalls) -> Usage | None:
        """Tokens of all the run's calls of the model."""
        return total([*self._spent, *model.usages])

    def _end(self, reason: FinishReason, model: ModelCalls) -> None:
        usage, step_usage = self._total(model), model.take_usage()
        if self._ended_early(usage):
            return
        if reason is FinishReason.LENGTH:
            ended = self._recorder.end(
                "incomplete", reason="max_completion_tokens", usage=usage, step_usage=step_usage
            )
        else:
            ended = self._recorder.end("completed", usage=usage, step_usage=step_usage)
        if not ended and not self._recorder.end("cancelled", usage=usage, step_usage=step_usage):
            log.info("run %s has ended elsewhere", self._run.id, extra={"run_id": self._run.id})

    def _prompt_too_long(self, engine: Engine, limit: PromptTooLong) -> None:
        if limit.from_caller:
            self._recorder.end("incomplete", reason="max_prompt_tokens")
            return
        self._fail(
            f"The instructions and the last message do not fit the {limit.limit} tokens that a "
            f"prompt of '{engine.name}' may have. Shorten them, or raise the setting n_ctx "
            f"(now {engine.n_ctx}).",
            code="invalid_prompt",
        )

    # --- ends that are not the model's ---

    @property
    def _overdue(self) -> bool:
        expires_at = self._run.expires_at
        return expires_at is not None and self._services.now() >= expires_at

    def _ended_early(self, usage: Usage | None) -> bool:
        """End as cancelled or expired if it is time; True if the run needs nothing more."""
        if self._abandoned:
            return True
        if self._expire_if_due(usage):
            return True
        return self._stop.is_set() and self._recorder.end("cancelled", usage=usage)

    def _expire_if_due(self, usage: Usage | None = None) -> bool:
        return self._overdue and self._recorder.end("expired", usage=usage)

    def _fail(self, message: str, *, code: Any) -> None:
        if not self._abandoned:
            self._recorder.end("failed", error=LastError(code=code, message=message))
