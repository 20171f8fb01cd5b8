"""The parameters of every operation, spelled once for all faces; constraints are data.

An absent key was not given, None is null. Both generations of the API are taken: what exists in
one of them only keeps its name here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Interval, Len
from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, with_config
from pydantic.config import ConfigDict
from pydantic_core import PydanticCustomError
from typing_extensions import Required, TypedDict

STRICT = ConfigDict(strict=True, extra="forbid")

MAX_NAME_CHARS = 256
MAX_DESCRIPTION_CHARS = 512
MAX_TEXT_CHARS = 256_000
MAX_IMAGE_URL_CHARS = 20_000_000
MAX_INITIAL_MESSAGES = 32
MAX_OUTPUT_CHARS = 20_000_000


# --- values -------------------------------------------------------------------


def _storable(text: str) -> str:
    # SQLite and C strings end at a NUL, and UTF-8 has no lone surrogates: both would lose text.
    if "\0" in text:
        raise PydanticCustomError("nul_character", "NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise PydanticCustomError("lone_surrogate", "lone surrogate") from None
    return text


Str = Annotated[str, AfterValidator(_storable)]


def _id(prefix: str) -> AfterValidator:
    def check(value: str) -> str:
        body = value.removeprefix(f"{prefix}_")
        if body == value or not body.isalnum() or not body.isascii():
            raise PydanticCustomError("malformed_id", "malformed id", {"prefix": prefix})
        return value

    return AfterValidator(check)


def _file_id(value: str) -> str:
    body = value.removeprefix("file-")
    if body == value or not body.isalnum() or not body.isascii():
        raise PydanticCustomError("malformed_id", "malformed id", {"prefix": "file"})
    return value


FileId = Annotated[Str, AfterValidator(_file_id)]
AssistantId = Annotated[Str, _id("asst")]
ThreadId = Annotated[Str, _id("thread")]
MessageId = Annotated[Str, _id("msg")]
RunId = Annotated[Str, _id("run")]
StepId = Annotated[Str, _id("step")]


def _listed(value: Any) -> Any:
    # The openai SDK takes any iterable; of those, a tuple is the one that people write.
    return list(value) if isinstance(value, tuple) else value


Listed = BeforeValidator(_listed)

Metadata = Annotated[dict[Annotated[Str, Len(0, 64)], Annotated[Str, Len(0, 512)]], Len(0, 16)]
Temperature = Annotated[float, Interval(ge=0, le=2)]
TopP = Annotated[float, Interval(ge=0, le=1)]
Penalty = Annotated[float, Interval(ge=-2, le=2)]
Seed = Annotated[int, Interval(ge=-(2**63), le=2**63 - 1)]
TokenLimit = Annotated[int, Interval(ge=256)]
Instructions = Annotated[Str, Len(0, MAX_TEXT_CHARS)]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Order = Literal["asc", "desc"]


def _function_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise PydanticCustomError("bad_function_name", "function name")
    return name


def _supported_tool(tool: Any) -> Any:
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    if kind in ("retrieval", "file_search"):
        raise PydanticCustomError("tools_unsupported", "tools", {"kind": kind})
    return tool


@with_config(STRICT)
class FunctionParam(TypedDict, total=False):
    """A function that the model may ask for."""

    name: Required[Annotated[Str, Len(1, 64), AfterValidator(_function_name)]]
    parameters: dict[str, Any] | None
    description: Annotated[Str, Len(0, MAX_TEXT_CHARS)] | None
    strict: bool | None


@with_config(STRICT)
class FunctionToolParam(TypedDict):
    """A tool of type function."""

    function: FunctionParam
    type: Literal["function"]


@with_config(STRICT)
class CodeToolParam(TypedDict):
    """The tool that runs code."""

    type: Literal["code_interpreter"]


@with_config(STRICT)
class NamedFunctionParam(TypedDict):
    """The name of a function."""

    name: Str


@with_config(STRICT)
class NamedToolChoice(TypedDict):
    """`tool_choice` of one function."""

    type: Literal["function"]
    function: NamedFunctionParam


def _tool_tag(value: Any) -> str:
    kind = value.get("type") if isinstance(value, Mapping) else None
    return "<code>" if kind == "code_interpreter" else "<function>"


def _choice_tag(value: Any) -> str:
    return "<str>" if isinstance(value, str) else _tool_tag(value)


ToolParam = Annotated[
    Annotated[CodeToolParam, Tag("<code>")] | Annotated[FunctionToolParam, Tag("<function>")],
    Discriminator(_tool_tag),
]
Tools = Annotated[list[Annotated[ToolParam, BeforeValidator(_supported_tool)]], Listed, Len(0, 128)]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<str>")]
    | Annotated[CodeToolParam, Tag("<code>")]
    | Annotated[NamedToolChoice, Tag("<function>")],
    Discriminator(_choice_tag),
]

FileIds = Annotated[list[FileId], Listed, Len(0, 20)]


@with_config(STRICT)
class CodeResources(TypedDict, total=False):
    """Files of the code interpreter."""

    file_ids: FileIds | None


@with_config(STRICT)
class NoSearchResources(TypedDict, total=False):
    """Vector stores, which there are none of yet; an empty list says so."""

    vector_store_ids: Annotated[list[Str], Len(0, 0)] | None


@with_config(STRICT)
class ToolResources(TypedDict, total=False):
    """What the tools have to work with."""

    code_interpreter: CodeResources | None
    file_search: NoSearchResources | None


@with_config(STRICT)
class AttachmentParam(TypedDict, total=False):
    """A file for a tool."""

    file_id: Required[FileId]
    tools: (
        Annotated[list[Annotated[CodeToolParam, BeforeValidator(_supported_tool)]], Listed] | None
    )


Attachments = Annotated[list[AttachmentParam], Listed, Len(0, 20)]


@with_config(STRICT)
class ExpiresAfter(TypedDict):
    """When a file is deleted by itself."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Interval(ge=3600, le=2_592_000)]


@with_config(STRICT)
class TextFormat(TypedDict):
    """`response_format` of plain text."""

    # The other two have classes of their own; a wrong value is told of all three.
    type: Literal["text", "json_object", "json_schema"]


def _tag(texts: str, objects: str) -> Discriminator:
    """Tell a string from anything else, so that an error speaks of the branch that was meant."""
    return Discriminator(lambda value: texts if isinstance(value, str) else objects)


@with_config(STRICT)
class JsonObjectFormat(TypedDict):
    """`response_format` of any JSON object."""

    type: Literal["json_object"]


@with_config(STRICT)
class JsonSchemaParam(TypedDict, total=False):
    """A schema for answers. With `strict`, it is refused unless all of it can be enforced."""

    name: Required[Annotated[Str, Len(1, 64), AfterValidator(_function_name)]]
    description: Annotated[Str, Len(0, MAX_TEXT_CHARS)] | None
    schema: dict[str, Any] | None
    strict: bool | None


@with_config(STRICT)
class JsonSchemaFormat(TypedDict):
    """`response_format` of JSON by a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchemaParam


_FORMATS = ("text", "json_object", "json_schema")


def _format_tag(value: Any) -> str:
    if isinstance(value, str):
        return "<str>"
    kind = value.get("type") if isinstance(value, Mapping) else None
    return f"<{kind}>" if kind in _FORMATS else "<text>"


ResponseFormat = Annotated[
    Annotated[Literal["auto"], Tag("<str>")]
    | Annotated[TextFormat, Tag("<text>")]
    | Annotated[JsonObjectFormat, Tag("<json_object>")]
    | Annotated[JsonSchemaFormat, Tag("<json_schema>")],
    Discriminator(_format_tag),
]


@with_config(STRICT)
class TruncationStrategyParam(TypedDict, total=False):
    """How much of the thread the model is shown."""

    type: Required[Literal["auto", "last_messages"]]
    last_messages: Annotated[int, Interval(ge=1)] | None


@with_config(STRICT)
class TextPart(TypedDict):
    """A text part of a message."""

    type: Literal["text"]
    text: Annotated[Str, Len(1, MAX_TEXT_CHARS)]


@with_config(STRICT)
class ImageURLParam(TypedDict, total=False):
    """Where an image is."""

    url: Required[Annotated[Str, Len(1, MAX_IMAGE_URL_CHARS)]]
    detail: Literal["auto", "low", "high"] | None


@with_config(STRICT)
class ImageURLPart(TypedDict):
    """An image part of a message."""

    type: Literal["image_url"]
    image_url: ImageURLParam


ContentPart = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[ImageURLPart, Tag("<image_url>")],
    Discriminator(
        lambda part: (
            "<image_url>"
            if isinstance(part, Mapping) and part.get("type") == "image_url"
            else "<text>"
        )
    ),
]
Content = Annotated[
    Annotated[Str, Len(1, MAX_TEXT_CHARS), Tag("<str>")]
    | Annotated[list[ContentPart], Listed, Len(1, 1000), Tag("<parts>")],
    Discriminator(lambda value: "<parts>" if isinstance(value, (list, tuple)) else "<str>"),
]


# --- operations ---------------------------------------------------------------


class RequestOptions(TypedDict, total=False):
    """What the openai SDK lets every call take; without a request they have no effect."""

    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, object] | None
    extra_body: object | None
    timeout: object | None


@with_config(STRICT)
class NoParams(RequestOptions, total=False):
    """Parameters of an operation that takes only ids."""


@with_config(STRICT)
class ListParams(RequestOptions, total=False):
    """A page: `after` and `before` are ids of the list's objects."""

    limit: Annotated[int, Interval(ge=1, le=100)] | None
    order: Order | None
    after: Str | None
    before: Str | None


@with_config(STRICT)
class MessageListParams(ListParams, total=False):
    """A page of messages."""

    run_id: RunId | None


@with_config(STRICT)
class MetadataParams(RequestOptions, total=False):
    """Parameters of the updates that change only metadata."""

    metadata: Metadata | None


@with_config(STRICT)
class _AssistantFields(RequestOptions, total=False):
    name: Annotated[Str, Len(0, MAX_NAME_CHARS)] | None
    description: Annotated[Str, Len(0, MAX_DESCRIPTION_CHARS)] | None
    instructions: Instructions | None
    tools: Tools | None
    file_ids: FileIds | None
    tool_resources: ToolResources | None
    metadata: Metadata | None
    temperature: Temperature | None
    top_p: TopP | None
    response_format: ResponseFormat | None
    reasoning_effort: ReasoningEffort | None


@with_config(STRICT)
class AssistantCreateParams(_AssistantFields, total=False):
    """Parameters of `assistants.create`."""

    model: Required[Annotated[Str, Len(1, 4096)]]


@with_config(STRICT)
class AssistantUpdateParams(_AssistantFields, total=False):
    """Parameters of `assistants.update`: what is not given stays."""

    model: Annotated[Str, Len(1, 4096)] | None


@with_config(STRICT)
class _MessageFields(TypedDict, total=False):
    role: Required[Literal["user", "assistant"]]
    content: Required[Content]
    file_ids: Annotated[FileIds, Len(0, 10)] | None
    attachments: Attachments | None
    metadata: Metadata | None


@with_config(STRICT)
class MessageParam(_MessageFields, total=False):
    """A message inside another operation's parameters."""


@with_config(STRICT)
class MessageCreateParams(RequestOptions, _MessageFields, total=False):
    """Parameters of `messages.create`."""


@with_config(STRICT)
class _ThreadFields(TypedDict, total=False):
    messages: Annotated[list[MessageParam], Listed, Len(0, MAX_INITIAL_MESSAGES)] | None
    metadata: Metadata | None
    tool_resources: ToolResources | None


@with_config(STRICT)
class ThreadParam(_ThreadFields, total=False):
    """A thread inside another operation's parameters."""


@with_config(STRICT)
class ThreadCreateParams(RequestOptions, _ThreadFields, total=False):
    """Parameters of `threads.create`."""


@with_config(STRICT)
class ThreadUpdateParams(RequestOptions, total=False):
    """Parameters of `threads.update`."""

    metadata: Metadata | None
    tool_resources: ToolResources | None


@with_config(STRICT)
class _RunFields(RequestOptions, total=False):
    assistant_id: Required[AssistantId]
    model: Annotated[Str, Len(1, 4096)] | None
    instructions: Instructions | None
    tools: Tools | None
    metadata: Metadata | None
    temperature: Temperature | None
    top_p: TopP | None
    max_prompt_tokens: TokenLimit | None
    max_completion_tokens: TokenLimit | None
    truncation_strategy: TruncationStrategyParam | None
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    response_format: ResponseFormat | None
    stream: bool | None


@with_config(STRICT)
class ToolOutputParam(TypedDict, total=False):
    """What a call of a function gave."""

    tool_call_id: Required[Str]
    output: Annotated[Str, Len(0, MAX_OUTPUT_CHARS)] | None


@with_config(STRICT)
class SubmitToolOutputsParams(RequestOptions, total=False):
    """Parameters of `runs.submit_tool_outputs`: the outputs of all calls at once."""

    tool_outputs: Required[Annotated[list[ToolOutputParam], Listed, Len(0, 1000)]]
    stream: bool | None


@with_config(STRICT)
class RunCreateParams(_RunFields, total=False):
    """Parameters of `runs.create`."""

    additional_instructions: Instructions | None
    additional_messages: Annotated[list[MessageParam], Listed, Len(0, MAX_INITIAL_MESSAGES)] | None
    reasoning_effort: ReasoningEffort | None


@with_config(STRICT)
class ThreadRunParams(_RunFields, total=False):
    """Parameters of `threads.create_and_run`."""

    thread: ThreadParam | None
    tool_resources: ToolResources | None


FilePurpose = Literal["assistants", "fine-tune", "vision", "user_data", "batch", "evals"]


@with_config(STRICT)
class FileCreateParams(RequestOptions, total=False):
    """Parameters of `files.create`. `file` is bytes, a path, an open file, or a tuple of both."""

    file: Required[Any]
    purpose: Required[FilePurpose]
    expires_after: ExpiresAfter | None


@with_config(STRICT)
class FileListParams(RequestOptions, total=False):
    """A page of files."""

    purpose: Str | None
    limit: Annotated[int, Interval(ge=1, le=10_000)] | None
    order: Order | None
    after: Str | None


_StopText = Annotated[Str, Len(1, 1000)]
StopTexts = Annotated[
    Annotated[_StopText, Tag("<str>")]
    | Annotated[list[_StopText], Listed, Len(0, 4), Tag("<list>")],
    _tag("<str>", "<list>"),
]


@with_config(STRICT)
class ChatMessageParam(TypedDict):
    """One message of a chat completion."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content


@with_config(STRICT)
class ChatCompletionParams(RequestOptions, total=False):
    """Parameters of `chat.completions.create`, in its simplest form."""

    messages: Required[Annotated[list[ChatMessageParam], Listed, Len(1, 10_000)]]
    model: Required[Annotated[Str, Len(1, 4096)]]
    temperature: Temperature | None
    top_p: TopP | None
    max_tokens: Annotated[int, Interval(ge=1)] | None
    max_completion_tokens: Annotated[int, Interval(ge=1)] | None
    stop: StopTexts | None
    seed: Seed | None
    response_format: ResponseFormat | None
    presence_penalty: Penalty | None
    frequency_penalty: Penalty | None
