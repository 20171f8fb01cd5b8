"""Chat completions: the stateless companion, in its simplest form."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Unpack

from localassist.engine.chat_template import ChatMessage
from localassist.engine.request import FinishReason, GenerationRequest, SamplingParams
from localassist.types.chat_completion import ChatCompletion, ChatCompletionMessage, Choice
from localassist.types.params import ChatCompletionParams
from localassist.types.run import PromptTokensDetails, Usage

_SAMPLED = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localassist.api.runtime import Runtime


def create_chat_completion(
    runtime: Runtime, **params: Unpack[ChatCompletionParams]
) -> ChatCompletion:
    """Answer a list of messages and keep nothing."""
    runtime.check_model(params["model"])
    with runtime.engines.use(params["model"]) as engine:
        generation = engine.submit(
            GenerationRequest(
                prompt_tokens=engine.encode_chat([_turn(each) for each in params["messages"]]),
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
