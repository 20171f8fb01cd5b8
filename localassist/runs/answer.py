"""AnswerWriter: the message that a run writes, in words or in the format that was asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from localassist.engine.chat_template import ChatMessage
from localassist.engine.request import FinishReason, GenerationRequest, SamplingParams
from localassist.errors import ModelError
from localassist.runs.model_calls import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localassist.engine.tool_dialect import ProseWatch
    from localassist.runs.answer_format import AnswerFormat
    from localassist.runs.model_calls import ModelCalls
    from localassist.runs.recorder import RunRecorder
    from localassist.types.run import Run

_REPAIR = """That does not fit: {problems}
Write the answer again."""


class AnswerWriter:
    """Writes one message. Used by the run's worker only."""

    def __init__(self, run: Run, model: ModelCalls, recorder: RunRecorder) -> None:
        self._run = run
        self._model = model
        self._recorder = recorder

    def words(
        self, prompt: list[int], *, banned_first: tuple[int, ...], watch: ProseWatch
    ) -> FinishReason | None:
        """Write a text while it grows.

        Returns:
            Why it ended; None if a call begins in it, before which the message was completed.

        Raises:
            Interrupted: the run is to stop.
        """
        reason = None
        events = self._model.generate(self._request(prompt, banned_first=banned_first))
        for event in events:
            self._record(watch.feed(event.text))
            reason = event.finish_reason
            if watch.found:
                events.close()
                self._recorder.close_message(self._model.usages[-1])
                return None
        self._record(watch.flush())
        self._recorder.open_message()
        return reason

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
            turns = [
                ChatMessage("assistant", text),
                ChatMessage("user", _REPAIR.format(problems=wrong)),
            ]
            prompt = extend(turns)
        raise ModelError(
            f"The model's answer does not fit the response format: {wrong}",
            code="answer_invalid",
            hint="Simplify the schema, or use a larger model.",
        )

    def _record(self, text: str) -> None:
        """Append to the message, which is begun with its first text."""
        if not text:
            return
        self._recorder.open_message()
        if not self._recorder.add_text(text):
            raise Interrupted

    def _request(self, prompt: list[int], **more: Any) -> GenerationRequest:
        return GenerationRequest(
            prompt_tokens=prompt,
            sampling=_sampling(self._run, self._model.engine.sampling_defaults),
            max_tokens=self._run.max_completion_tokens,
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
