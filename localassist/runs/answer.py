"""AnswerWriter: the message that a run writes, in words or in the format that was asked for."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from localassist.engine import code_dialect
from localassist.engine.request import FinishReason, GenerationRequest, SamplingParams
from localassist.errors import ModelError
from localassist.runs.model_calls import Interrupted
from localassist.runs.repetition import Repetition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from localassist.engine.chat_template import ChatMessage
    from localassist.engine.code_dialect import CodeWatch
    from localassist.engine.tool_dialect import ProseWatch
    from localassist.runs.answer_format import AnswerFormat
    from localassist.runs.citing import Citing, Piece
    from localassist.runs.code_record import CodeRecord
    from localassist.runs.model_calls import ModelCalls
    from localassist.runs.recorder import RunRecorder
    from localassist.types.run import Run

log = logging.getLogger("localassist.runs")

_CODE_TEMPERATURE = 0.2


@dataclass(frozen=True)
class Watches:
    """What may begin in an answer in words.

    Attributes:
        calls: of functions.
        code: to be run; None where none is.
        begin_code: makes the record of code.
    """

    calls: ProseWatch
    code: CodeWatch | None
    begin_code: Callable[[], CodeRecord]


@dataclass(frozen=True)
class Written:
    """How an answer in words ended.

    Attributes:
        reason: why the model stopped; None if a call or code began.
        code: code to be run.
        record: of that code.
    """

    reason: FinishReason | None
    code: str | None = None
    record: CodeRecord | None = None


class AnswerWriter:
    """Writes one message. Used by the run's worker only."""

    def __init__(
        self,
        run: Run,
        model: ModelCalls,
        recorder: RunRecorder,
        *,
        citing: Callable[[], Citing | None] = lambda: None,
    ) -> None:
        """Write for `run`; `citing` makes what cites the answer's sentences, if anything does."""
        self._make_citing = citing
        self._citing: Citing | None = None
        self._run = run
        self._model = model
        self._recorder = recorder

    def words(
        self, prompt: list[int], *, banned_first: tuple[int, ...], watches: Watches
    ) -> Written:
        """Write a text while it grows, until it ends or a call or code begins in it.

        What came before a call or code is a message of its own, completed.

        Raises:
            Interrupted: the run is to stop.
        """
        code = watches.code
        request = self._request(prompt, banned_first=banned_first)
        if code is not None and code.begun:
            return self._code(request, "", code, watches.begin_code)
        text, reason = "", None
        repetition = Repetition()
        events = self._model.generate(request)
        for event in events:
            if self._citing is None and not text:
                # While the model goes on to its second word.
                self._citing = self._make_citing()
            kept = repetition.feed(event.text)
            new = event.text[:kept]
            text += new
            words = new if code is None else code.feed(new)
            self._record(watches.calls.feed(words))
            reason = event.finish_reason
            if kept is not None:
                log.warning("run %s repeats itself, and is ended", self._run.id)
                events.close()
                reason = FinishReason.LENGTH
                break
            if watches.calls.found or (code is not None and code.begun):
                events.close()
                self._record(watches.calls.flush())
                self._end_citing()
                if self._recorder.has_message:
                    self._recorder.close_message(self._model.take_usage())
                if watches.calls.found:
                    return Written(reason=None)
                assert code is not None, "it has begun"
                return self._code(request, text, code, watches.begin_code, ended=reason)
        if code is not None:
            self._record(watches.calls.feed(code.flush()))
        self._record(watches.calls.flush())
        self._end_citing()
        self._recorder.open_message()
        return Written(reason)

    def _code(
        self,
        request: GenerationRequest,
        text: str,
        code: CodeWatch,
        begin: Callable[[], CodeRecord],
        *,
        ended: FinishReason | None = None,
    ) -> Written:
        """Go on to the end of a block that has begun, at a temperature that code bears."""
        record = begin()
        record.add_input(code.code)
        closed = code.done
        if ended is None and not closed:
            ended = self._rest(request, text, code, record)
        if ended is FinishReason.LENGTH and not code.done:
            return Written(FinishReason.LENGTH)
        return Written(reason=None, code=code.code, record=record)

    def _rest(
        self, request: GenerationRequest, text: str, code: CodeWatch, record: CodeRecord
    ) -> FinishReason | None:
        """The rest of the block that `text` has begun; why it ended, if not by its fence.

        Without a text, the block's opener is written for the model.
        """
        engine = self._model.engine
        cool = min(request.sampling.temperature, _CODE_TEMPERATURE)
        request = replace(
            request,
            prompt_tokens=[
                *request.prompt_tokens,
                *engine.encode_text(text or code_dialect.OPENER),
            ],
            sampling=replace(request.sampling, temperature=cool),
            banned_first=(),
        )
        events = self._model.generate(request, goes_on=bool(text))
        for event in events:
            code.feed(event.text)
            record.add_input(code.code)
            if code.done:
                events.close()
                return None
            if event.finish_reason is not None:
                return event.finish_reason
        return None

    def formatted(
        self,
        wanted: AnswerFormat,
        prompt: list[int],
        extend: Callable[[Sequence[ChatMessage]], list[int]],
    ) -> FinishReason:
        """Write JSON.

        Where the grammar can say all of the schema, the answer is recorded while it grows. Where it
        cannot, it is validated first, and the model has a second try.

        Raises:
            ModelError: the answer does not fit; what was recorded stays incomplete.
            Interrupted: the run is to stop.
        """
        grammar = wanted.enforced(self._model.engine)
        live = not grammar.lenient
        wrong = ""
        for _ in range(1 if live else 2):
            text = ""
            constraint = self._model.engine.constrain(grammar)
            for event in self._model.generate(self._request(prompt, constraint=constraint)):
                text += event.text
                if live:
                    self._record(event.text)
                if event.finish_reason is FinishReason.LENGTH:
                    self._record("" if live else text)
                    return FinishReason.LENGTH
            wrong = wanted.wrong(text)
            if not wrong:
                self._record("" if live else text)
                return FinishReason.STOP
            prompt = extend(wanted.repair_turns(text, wrong))
        raise ModelError(
            f"The model's answer does not fit the response format: {wrong}",
            code="answer_invalid",
            hint="Simplify the schema, or use a larger model.",
        )

    def _record(self, text: str) -> None:
        """Append to the message, which is begun with its first text."""
        if self._citing is None:
            self._put(text)
        else:
            self._put_cited(self._citing, self._citing.text.feed(text))

    def _end_citing(self) -> None:
        """Append what was held back for its citation."""
        if self._citing is not None:
            self._put_cited(self._citing, self._citing.text.flush())
            self._citing = None

    def _put_cited(self, citing: Citing, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            self._put(piece.text)
            if piece.citation is not None:
                self._recorder.add_citation(*citing.shown(piece.citation))

    def _put(self, text: str) -> None:
        if not text:
            return
        self._recorder.open_message()
        if not self._recorder.add_text(text):
            raise Interrupted

    def _request(self, prompt: list[int], **more: Any) -> GenerationRequest:
        return GenerationRequest(
            prompt_tokens=prompt,
            sampling=_sampling(self._run, self._model.engine.sampling_defaults),
            **more,
        )


def _sampling(run: Run, defaults: SamplingParams) -> SamplingParams:
    """The model's defaults, but for what the caller has given."""
    sampling = defaults
    if "temperature" in run.model_fields_set and run.temperature is not None:
        sampling = replace(sampling, temperature=run.temperature)
    if "top_p" in run.model_fields_set and run.top_p is not None:
        sampling = replace(sampling, top_p=run.top_p)
    return sampling
