"""RunLoop: executes one run, from its prompt to its end.

It keeps nothing that is not in the store: a run whose process died is executed again by another.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from localassist.engine.request import (
    Engine,
    FinishReason,
    Generation,
    GenerationRequest,
    SamplingParams,
)
from localassist.errors import ClosedError, LocalAssistError
from localassist.runs import prompt
from localassist.runs.function_calls import FunctionCaller
from localassist.runs.recorder import RunRecorder, Services
from localassist.runs.tool_record import require_action
from localassist.store import messages, run_steps
from localassist.types.run import LastError, PromptTokensDetails, Run, Truncation, Usage

if TYPE_CHECKING:
    from localassist.engine.pool import EnginePool

log = logging.getLogger("localassist.runs")

# The shortest answer that a prompt must leave room for, as far as the context allows.
ANSWER_TOKENS = 1024
_SMALLEST_MESSAGE_TOKENS = 4  # a turn's frame alone; bounds how much history is worth reading
_LOOK_S = 0.25  # between two looks at the clock and the flags while the model is silent


@dataclass(frozen=True)
class _PromptLimit:
    """Tokens that the prompt may have, and whether the caller set them."""

    tokens: int
    from_caller: bool


class RunLoop:
    """One execution. `execute` is called by a worker; `cancel` and `abandon` by anybody."""

    def __init__(self, services: Services, engines: EnginePool, run: Run) -> None:
        self._services = services
        self._engines = engines
        self._run = run
        self._recorder = RunRecorder(services, run)
        self._generation: Generation | None = None
        self._stop = threading.Event()
        self._abandoned = False
        self._spent: list[Usage] = []

    def cancel(self) -> None:
        """The run's status has changed to `cancelling`: stop what it does."""
        self._stop.set()
        if self._generation is not None:
            self._generation.cancel()

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
        """One model call, recorded as one message."""
        if self._ended_early(None):
            return
        run = self._run
        steps = run_steps.tool_calls_of_run(self._services.store.read(), run.id)
        self._spent = [step.usage for step in steps if step.usage is not None]
        caller = FunctionCaller(run, steps)
        built, limit = self._prompt(engine, caller)
        if built is None:
            self._prompt_too_long(engine, limit)
            return
        if caller.functions and self._called(engine, caller, built):
            return
        generation = self._submit(
            engine,
            GenerationRequest(
                prompt_tokens=built.tokens,
                sampling=_sampling(run, engine.sampling_defaults),
                max_tokens=run.max_completion_tokens,
                banned_first=caller.banned_first(engine),
            ),
        )
        num_tokens, reason = self._follow(generation)
        self._end(reason, _usage(generation, num_tokens))

    def _called(self, engine: Engine, caller: FunctionCaller, built: prompt.Prompt) -> bool:
        """Let the run wait for functions, if the model wants any; True if it rests or has ended."""
        decision = caller.decide(engine, built.tokens, lambda asked: self._submit(engine, asked))
        num_prompt, num_tokens = len(built.tokens), decision.num_tokens
        usage = Usage(
            completion_tokens=num_tokens,
            prompt_tokens=num_prompt,
            total_tokens=num_prompt + num_tokens,
        )
        if self._ended_early(self._total(usage)):
            return True
        if not decision.calls:
            return False
        if not require_action(self._services, self._run, decision.calls, usage):
            self._recorder.end("cancelled", usage=self._total(usage))
        return True

    def _submit(self, engine: Engine, request: GenerationRequest) -> Generation:
        generation = engine.submit(request)
        self._generation = generation
        if self._stop.is_set():
            generation.cancel()
        return generation

    def _total(self, usage: Usage) -> Usage:
        """The usage with that of the run's earlier model calls."""
        spent = [*self._spent, usage]
        return Usage(
            completion_tokens=sum(each.completion_tokens for each in spent),
            prompt_tokens=sum(each.prompt_tokens for each in spent),
            total_tokens=sum(each.total_tokens for each in spent),
            prompt_tokens_details=usage.prompt_tokens_details,
        )

    def _prompt(
        self, engine: Engine, caller: FunctionCaller
    ) -> tuple[prompt.Prompt | None, _PromptLimit]:
        run, connection = self._run, self._services.store.read()
        limit = _prompt_limit(run, engine.n_ctx)
        strategy = run.truncation_strategy
        wanted = strategy.last_messages if strategy is not None else None
        most = max(1, limit.tokens // _SMALLEST_MESSAGE_TOKENS)
        history = messages.history(
            connection,
            thread_id=run.thread_id,
            run_id=run.id,
            limit=most if wanted is None else min(wanted, most),
        )
        total = messages.count(connection, thread_id=run.thread_id, run_id=run.id)
        built = prompt.build(
            history,
            instructions=caller.system_text(run.instructions),
            max_tokens=limit.tokens,
            closing=caller.closing_text(),
            encode=engine.encode_chat,
        )
        if built is not None:
            # What the caller's own `last_messages` leaves out is no surprise to be reported.
            asked_for = total if wanted is None else min(wanted, total)
            dropped = asked_for - len(history) + built.num_dropped
            if dropped > 0:
                self._report_truncation(dropped, built, limit)
        return built, limit

    def _report_truncation(self, dropped: int, built: prompt.Prompt, limit: _PromptLimit) -> None:
        log.warning(
            "run %s: %d messages do not fit the context", self._run.id, dropped,
            extra={"run_id": self._run.id},
        )  # fmt: skip
        self._recorder.note_truncation(
            Truncation(
                dropped_messages=dropped,
                prompt_tokens=len(built.tokens),
                max_prompt_tokens=limit.tokens,
            )
        )

    def _prompt_too_long(self, engine: Engine, limit: _PromptLimit) -> None:
        if limit.from_caller:
            self._recorder.end("incomplete", reason="max_prompt_tokens")
            return
        self._fail(
            f"The instructions and the last message do not fit the {limit.tokens} tokens that a "
            f"prompt of '{engine.name}' may have. Shorten them, or raise the setting n_ctx "
            f"(now {engine.n_ctx}).",
            code="invalid_prompt",
        )

    def _follow(self, generation: Generation) -> tuple[int, FinishReason | None]:
        """Record the answer while it grows; None as the reason if it was stopped from here."""
        num_tokens = 0
        opened = False
        while not generation.channel.exhausted:
            event = generation.channel.get(timeout_s=_LOOK_S)
            if self._overdue or self._abandoned:
                generation.cancel()
                return num_tokens, None
            if event is None:
                continue
            if not opened and event.finish_reason is not FinishReason.CANCELLED:
                self._recorder.open_message()
                opened = True
            num_tokens += event.num_tokens
            if not self._recorder.add_text(event.text):
                generation.cancel()
                return num_tokens, None
            if event.finish_reason is not None:
                return num_tokens, event.finish_reason
        return num_tokens, None

    def _end(self, reason: FinishReason | None, usage: Usage) -> None:
        total = self._total(usage)
        if self._ended_early(total):
            return
        if reason is FinishReason.STOP:
            ended = self._recorder.end("completed", usage=total, step_usage=usage)
        elif reason is FinishReason.LENGTH:
            ended = self._recorder.end(
                "incomplete", reason="max_completion_tokens", usage=total, step_usage=usage
            )
        else:
            ended = self._recorder.end("cancelled", usage=total, step_usage=usage)
        if not ended and not self._recorder.end("cancelled", usage=total, step_usage=usage):
            log.info("run %s has ended elsewhere", self._run.id, extra={"run_id": self._run.id})

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


def _prompt_limit(run: Run, n_ctx: int) -> _PromptLimit:
    answer = min(run.max_completion_tokens or ANSWER_TOKENS, n_ctx // 4)
    room = n_ctx - answer
    if run.max_prompt_tokens is not None and run.max_prompt_tokens < room:
        return _PromptLimit(run.max_prompt_tokens, from_caller=True)
    return _PromptLimit(room, from_caller=False)


def _sampling(run: Run, defaults: SamplingParams) -> SamplingParams:
    """The model's defaults, but for what the caller has given."""
    sampling = defaults
    if "temperature" in run.model_fields_set and run.temperature is not None:
        sampling = replace(sampling, temperature=run.temperature)
    if "top_p" in run.model_fields_set and run.top_p is not None:
        sampling = replace(sampling, top_p=run.top_p)
    return sampling


def _usage(generation: Generation, num_tokens: int) -> Usage:
    return Usage(
        completion_tokens=num_tokens,
        prompt_tokens=generation.num_prompt_tokens,
        total_tokens=generation.num_prompt_tokens + num_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=generation.num_cached_tokens),
    )
