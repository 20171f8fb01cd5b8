"""Chat completions: the stateless companion, in its simplest form."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Unpack

from localassist.api.response_format import check_response_format
from localassist.engine.chat_template import ChatMessage
from localassist.engine.request import FinishReason, GenerationRequest, SamplingParams
from localassist.errors import ModelError
from localassist.runs.answer_format import AnswerFormat, answer_format
from localassist.types.chat_completion import ChatCompletion, ChatCompletionMessage, Choice
from localassist.types.params import ChatCompletionParams
from localassist.types.run import PromptTokensDetails, Usage

_SAMPLED = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localassist.api.runtime import Runtime


def create_chat_completion(
    runtime: Runtime, **params: Unpack[ChatCompletionParams]
) -> ChatCompletion:
    """Answer a list of messages and keep nothing."""
    runtime.check_model(params["model"])
    check_response_format(params.get("response_format"))
    wanted = answer_format(params.get("response_format"))
    with runtime.engines.use(params["model"]) as engine:
        grammar = wanted.enforced(engine) if wanted.schema is not None else None
        generation = engine.submit(
            GenerationRequest(
                prompt_tokens=engine.encode_chat(_turns(params["messages"], wanted)),
                constraint=None if grammar is None else engine.constrain(grammar),
                sampling=_sampling(params, engine.sampling_defaults),
                max_tokens=params.get("max_completion_tokens") or params.get("max_tokens"),
                stop=_stop_texts(params.get("stop")),
            )
        )
        text: list[str] = []
        num_tokens = 0
        reason: Literal["stop", "length"] = "stop"
        for event in generation:
            text.append(event.text)
            num_tokens += event.num_tokens
            if event.finish_reason is FinishReason.LENGTH:
                reason = "length"
    if grammar is not None and reason == "stop" and (wrong := wanted.wrong("".join(text))):
        raise ModelError(
            f"The model's answer does not fit the response format: {wrong}",
            code="answer_invalid",
            hint="Simplify the schema, or use a larger model.",
        )
    prompt_tokens = generation.num_prompt_tokens
    return ChatCompletion(
        id=runtime.new_id("chatcmpl").replace("_", "-"),
        created=int(runtime.now()),
        model=params["model"],
        choices=[
            Choice(finish_reason=reason, message=ChatCompletionMessage(content="".join(text)))
        ],
        usage=Usage(
            completion_tokens=num_tokens,
            prompt_tokens=prompt_tokens,
            total_tokens=prompt_tokens + num_tokens,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=generation.num_cached_tokens),
        ),
    )


def _turns(messages: Sequence[Mapping[str, Any]], wanted: AnswerFormat) -> list[ChatMessage]:
    turns = [_turn(each) for each in messages]
    if not wanted.told:
        return turns
    first = turns.pop(0).content if turns[0].role == "system" else None
    return [ChatMessage("system", wanted.system_text(first) or ""), *turns]


def _turn(message: Mapping[str, Any]) -> ChatMessage:
    role, content = message["role"], message["content"]
    if not isinstance(content, str):
        content = "\n".join(part["text"] for part in content if part["type"] == "text")
    return ChatMessage("system" if role == "developer" else role, content)


def _sampling(params: Mapping[str, Any], defaults: SamplingParams) -> SamplingParams:
    wanted = {name: params[name] for name in _SAMPLED if params.get(name) is not None}
    return replace(defaults, **wanted)


def _stop_texts(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)
