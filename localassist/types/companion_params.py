"""Parameters of the companions: chat completions and embeddings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Interval, Len
from pydantic import Discriminator, Tag, with_config
from typing_extensions import Required, TypedDict

from localassist.types.params import Content, RequestOptions, ResponseFormat
from localassist.types.tool_params import FunctionToolParam, NamedToolChoice
from localassist.types.values import (
    MAX_OUTPUT_CHARS,
    STRICT,
    FunctionName,
    Listed,
    Metadata,
    Penalty,
    ReasoningEffort,
    Seed,
    Str,
    Temperature,
    TopP,
)


def _branch(value: Any) -> str:
    return "<str>" if isinstance(value, str) else "<other>"


_StopText = Annotated[Str, Len(1, 1000)]
StopTexts = Annotated[
    Annotated[_StopText, Tag("<str>")]
    | Annotated[list[_StopText], Listed, Len(0, 4), Tag("<other>")],
    Discriminator(_branch),
]


@with_config(STRICT)
class CalledFunctionParam(TypedDict):
    """A function that was called, with the JSON text of its arguments."""

    name: FunctionName
    arguments: Annotated[Str, Len(0, MAX_OUTPUT_CHARS)]


@with_config(STRICT)
class ToolCallParam(TypedDict):
    """A call that the model has made earlier."""

    id: Str
    type: Literal["function"]
    function: CalledFunctionParam


@with_config(STRICT)
class ChatMessageParam(TypedDict, total=False):
    """One message of a chat completion."""

    role: Required[Literal["system", "developer", "user", "assistant", "tool"]]
    content: Content | None
    name: Str | None
    tool_calls: Annotated[list[ToolCallParam], Listed, Len(0, 128)] | None
    tool_call_id: Str | None
    refusal: Str | None


@with_config(STRICT)
class StreamOptionsParam(TypedDict, total=False):
    """What a stream tells beside the text."""

    include_usage: bool | None
    include_obfuscation: bool | None


ChatToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<str>")]
    | Annotated[NamedToolChoice, Tag("<other>")],
    Discriminator(_branch),
]


@with_config(STRICT)
class ChatCompletionParams(RequestOptions, total=False):
    """Parameters of `chat.completions.create`. The last group is taken and has no effect here."""

    messages: Required[Annotated[list[ChatMessageParam], Listed, Len(1, 10_000)]]
    model: Required[Annotated[Str, Len(1, 4096)]]
    temperature: Temperature | None
    top_p: TopP | None
    max_tokens: Annotated[int, Interval(ge=1, le=2**31 - 1)] | None
    max_completion_tokens: Annotated[int, Interval(ge=1, le=2**31 - 1)] | None
    stop: StopTexts | None
    seed: Seed | None
    response_format: ResponseFormat | None
    presence_penalty: Penalty | None
    frequency_penalty: Penalty | None
    tools: Annotated[list[FunctionToolParam], Listed, Len(0, 128)] | None
    tool_choice: ChatToolChoice | None
    parallel_tool_calls: bool | None
    stream: bool | None
    stream_options: StreamOptionsParam | None

    n: Literal[1] | None
    logprobs: Literal[False] | None
    user: Str | None
    metadata: Metadata | None
    store: bool | None
    service_tier: Str | None
    reasoning_effort: ReasoningEffort | None


_EmbeddedText = Annotated[Str, Len(1, 2_000_000)]


@with_config(STRICT)
class EmbeddingCreateParams(RequestOptions, total=False):
    """Parameters of `embeddings.create`. Only texts can be embedded: ids are another model's."""

    input: Required[
        Annotated[
            Annotated[_EmbeddedText, Tag("<str>")]
            | Annotated[list[_EmbeddedText], Listed, Len(1, 2048), Tag("<other>")],
            Discriminator(_branch),
        ]
    ]
    model: Required[Annotated[Str, Len(1, 4096)]]
    encoding_format: Literal["float", "base64"] | None
    dimensions: Annotated[int, Interval(ge=1, le=384)] | None
    user: Str | None
