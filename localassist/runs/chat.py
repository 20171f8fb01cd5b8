"""Answering: one answer to a list of messages, with the machinery that runs use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from localassist.engine.chat_template import ChatMessage
from localassist.engine.request import FinishReason, GenerationRequest
from localassist.errors import BadRequestError, ModelError
from localassist.runs.answer_format import answer_format, is_json
from localassist.runs.function_calls import FunctionCaller
from localassist.runs.model_calls import ModelCalls, OutOfTokens, total
from localassist.runs.rounds import Rounds
from localassist.runs.verdicts import Verdicts
from localassist.types.run import Run, Usage
from localassist.types.run_step import RunStep, ToolCallsStepDetails
from localassist.types.tool import FunctionToolCall, StepFunction

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from localassist.engine.request import Engine, SamplingParams
    from localassist.engine.tool_dialect import Call, Earlier, ToolDialect
    from localassist.retrieval.nearness import Nearness
    from localassist.runs.answer_format import AnswerFormat

_SAMPLED = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")
_NOBODY = "none"  # the id of what is not stored


@dataclass(frozen=True)
class Text:
    """More words."""

    text: str


@dataclass(frozen=True)
class ToolCalls:
    """Functions that the caller is to call."""

    calls: Sequence[Call]


@dataclass(frozen=True)
class Ended:
    """The answer is complete."""

    reason: Literal["stop", "length", "tool_calls"]
    usage: Usage


Event = Text | ToolCalls | Ended


class Answering:
    """Writes one answer. Used by one OS thread."""

    def __init__(
        self,
        engine: Engine,
        params: Mapping[str, Any],
        tools: list[dict[str, Any]],
        *,
        now: int,
        stopped: threading.Event,
        nearness: Nearness | None = None,
    ) -> None:
        """Prepare.

        Args:
            engine: the loaded model.
            params: of a chat completion.
            tools: its functions, checked.
            now: seconds since the epoch.
            stopped: set when nobody wants the answer any more.
            nearness: compares requests with functions.

        Raises:
            BadRequestError: the messages do not follow on one another.
        """
        self._engine = engine
        self._params = params
        limit = params.get("max_completion_tokens") or params.get("max_tokens")
        self._model = ModelCalls(engine, is_over=stopped.is_set, max_tokens=limit)
        self._talk = Talk(params["messages"])
        run = _as_run(params, tools, now, instructions=self._talk.system)
        self._rounds = Rounds(self._talk.steps())
        self._caller = FunctionCaller(
            run, self._rounds, engine.tools, nearness, seed=params.get("seed")
        )

    def events(self) -> Iterator[Event]:
        """The answer.

        Raises:
            Interrupted: nobody wants it any more.
            ModelError: it does not fit the response format.
        """
        try:
            yield from self._events()
        except OutOfTokens:
            yield self._ended("length")

    def _events(self) -> Iterator[Event]:
        caller = self._caller
        if caller.functions:
            prompt = self._prompt(caller.system_text(self._talk.system), may_call=True)
            earlier = self._talk.earlier
            if caller.wants_call(self._model, prompt, earlier=earlier, asked=self._talk.asked):
                calls = caller.write(self._model, prompt, self._extended, asked=self._talk.asked)
                if calls:
                    yield ToolCalls(calls)
                    yield self._ended("tool_calls")
                    return
        yield from self._words()

    def _words(self) -> Iterator[Event]:
        caller, wanted = self._caller, answer_format(self._params.get("response_format"))
        hidden = self._rounds.answered or not caller.functions
        system = self._talk.system if hidden else caller.system_text(self._talk.system)
        system = wanted.system_text(system)
        if wanted.schema is not None:
            yield from self._formatted(wanted, system, calls=not hidden)
            return
        prompt = self._prompt(system, may_call=False, calls=not hidden)
        reason = FinishReason.STOP
        for event in self._model.generate(
            self._request(prompt, banned_first=caller.banned_first(self._model))
        ):
            if event.text:
                yield Text(event.text)
            reason = event.finish_reason or reason
        yield self._ended("length" if reason is FinishReason.LENGTH else "stop")

    def _formatted(
        self, wanted: AnswerFormat, system: str | None, *, calls: bool
    ) -> Iterator[Event]:
        """JSON; where the grammar cannot say all of its schema, it is validated and then shown."""
        grammar = wanted.enforced(self._engine)
        is_live = not grammar.lenient
        prompt, wrong = self._prompt(system, may_call=False, calls=calls), ""
        for _ in range(1 if is_live else 2):
            text, reason = "", FinishReason.STOP
            constraint = self._engine.constrain(grammar)
            for event in self._model.generate(self._request(prompt, constraint=constraint)):
                text += event.text
                if event.text and is_live:
                    yield Text(event.text)
                reason = event.finish_reason or reason
            cut = reason is FinishReason.LENGTH
            wrong = "" if cut or self._was_stopped(text) else wanted.wrong(text)
            if not wrong:
                if text and not is_live:
                    yield Text(text)
                yield self._ended("length" if cut else "stop")
                return
            again = wanted.repair_turns(text, wrong)
            prompt = self._prompt(system, may_call=False, calls=calls, more=again)
        raise ModelError(
            f"The model's answer does not fit the response format: {wrong}",
            code="answer_invalid",
            hint="Simplify the schema, or use a larger model.",
        )

    def _was_stopped(self, text: str) -> bool:
        """Whether one of the caller's stop texts has cut JSON off; nothing else does."""
        return bool(self._params.get("stop")) and not is_json(text)

    def _request(self, prompt: list[int], **more: Any) -> GenerationRequest:
        return GenerationRequest(
            prompt_tokens=prompt,
            sampling=_sampling(self._params, self._engine.sampling_defaults),
            stop=_stop_texts(self._params.get("stop")),
            **more,
        )

    def _prompt(
        self, system: str | None, *, may_call: bool, calls: bool = True,
        more: Sequence[ChatMessage] = (),
    ) -> list[int]:  # fmt: skip
        first = [ChatMessage("system", system)] if system else []
        said = self._talk.turns(self._engine.tools.dialect if calls else None)
        verdict = None
        if not may_call:
            request = "".join(self._talk.asked[-1:])
            verdict = Verdicts.of_test(self._model, self._rounds.answered, request)
        turns = self._rounds.turns(may_call=may_call, verdict=verdict)
        return self._engine.encode_chat([*first, *said, *turns, *more])

    def _extended(self, more: Sequence[ChatMessage]) -> list[int]:
        return self._prompt(self._caller.system_text(self._talk.system), may_call=True, more=more)

    def _ended(self, reason: Literal["stop", "length", "tool_calls"]) -> Ended:
        usage = total(self._model.usages)
        assert usage is not None, "the model was called"
        return Ended(reason, usage)


class Talk:
    """A list of messages, divided: the system's, what was said, and the calls since then."""

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Divide it.

        Raises:
            BadRequestError: its messages do not follow on one another.
        """
        self.system: str | None = None
        # What was said, and between it the calls that led to an answer.
        self._said: list[ChatMessage | Rounds] = []
        self._calls: list[FunctionToolCall] = []
        for index, message in enumerate(messages):
            self._add(message, f"messages[{index}]")
        if open_calls := [call.id for call in self._calls if call.function.output is None]:
            raise BadRequestError(
                "An assistant message with 'tool_calls' must be followed by tool messages "
                "responding to each 'tool_call_id'. The following tool_call_ids did not have "
                f"response messages: {', '.join(open_calls)}",
                param="messages",
            )

    def _add(self, message: Mapping[str, Any], path: str) -> None:
        role, text = message["role"], _text(message.get("content"))
        if role == "tool":
            self._answer(message.get("tool_call_id"), text, path)
        elif role in ("system", "developer"):
            self.system = text if self.system is None else f"{self.system}\n\n{text}"
        elif role == "user":
            self._put_calls()
            self._said.append(ChatMessage("user", text))
        else:
            calls = message.get("tool_calls") or ()
            self._calls += [
                FunctionToolCall(
                    id=call["id"],
                    function=StepFunction(
                        name=call["function"]["name"], arguments=call["function"]["arguments"]
                    ),
                )
                for call in calls
            ]
            if text and not calls:
                self._put_calls()
                self._said.append(ChatMessage("assistant", text))

    def _put_calls(self) -> None:
        """The calls so far belong to what is over."""
        if self._calls:
            self._said.append(Rounds(_steps(self._calls)))
            self._calls = []

    @property
    def earlier(self) -> Earlier:
        """What there is of earlier answers."""
        if any(isinstance(each, Rounds) for each in self._said):
            return "calls"
        return "words" if any(each.role == "assistant" for each in self.turns(None)) else "nothing"

    def turns(self, dialect: ToolDialect | None) -> list[ChatMessage]:
        """What was said; with the calls in between, written in a dialect, if one is given."""
        turns: list[ChatMessage] = []
        for each in self._said:
            if isinstance(each, ChatMessage):
                turns.append(each)
            elif dialect is not None:
                turns += each.past_turns(dialect)
        return turns

    def _answer(self, call_id: str | None, text: str, path: str) -> None:
        for call in self._calls:
            if call.id == call_id:
                call.function.output = text
                return
        raise BadRequestError(
            f"Invalid '{path}.tool_call_id': no message before it has a call '{call_id}'.",
            code="invalid_value",
            param=f"{path}.tool_call_id",
        )

    @property
    def asked(self) -> list[str]:
        """What the user said last, and the time before, oldest first."""
        return [turn.content for turn in self.turns(None) if turn.role == "user"][-2:]

    def steps(self) -> list[RunStep]:
        """The calls since the last question, as a run's step has them."""
        return _steps(self._calls)


def _steps(calls: Sequence[FunctionToolCall]) -> list[RunStep]:
    """A step that is never stored; none without calls."""
    if not calls:
        return []
    return [
        RunStep(
            id=_NOBODY,
            assistant_id=_NOBODY,
            created_at=0,
            run_id=_NOBODY,
            status="completed",
            step_details=ToolCallsStepDetails(tool_calls=list(calls)),
            thread_id=_NOBODY,
            type="tool_calls",
        )
    ]


def _as_run(
    params: Mapping[str, Any], tools: list[dict[str, Any]], now: int, *, instructions: str | None
) -> Run:
    """A run of the same settings, which is never stored."""
    given = {
        name: params[name]
        for name in ("tool_choice", "parallel_tool_calls", "temperature", "top_p")
        if params.get(name) is not None
    }
    return Run(
        id=_NOBODY,
        assistant_id=_NOBODY,
        created_at=now,
        model=params["model"],
        status="in_progress",
        thread_id=_NOBODY,
        instructions=instructions,
        tools=tools,
        **given,
    )


def _text(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _sampling(params: Mapping[str, Any], defaults: SamplingParams) -> SamplingParams:
    wanted = {name: params[name] for name in _SAMPLED if params.get(name) is not None}
    return replace(defaults, **wanted)


def _stop_texts(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)
