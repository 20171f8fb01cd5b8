"""The parameters of every operation, spelled once for all faces; constraints are data.

An absent key was not given, None is null. Both generations of the API are taken: what exists in
one of them only keeps its name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Interval, Len
from pydantic import Discriminator, Tag, with_config
from typing_extensions import Required, TypedDict

from localassist.types.tool_params import (
    Attachments,
    FileIds,
    NewToolResources,
    ToolChoice,
    ToolResources,
    Tools,
)
from localassist.types.values import (
    MAX_DESCRIPTION_CHARS,
    MAX_IMAGE_URL_CHARS,
    MAX_INITIAL_MESSAGES,
    MAX_NAME_CHARS,
    MAX_OUTPUT_CHARS,
    MAX_TEXT_CHARS,
    STRICT,
    AssistantId,
    FileId,
    FunctionName,
    Instructions,
    Listed,
    Metadata,
    Order,
    ReasoningEffort,
    RunId,
    Str,
    Temperature,
    TokenLimit,
    TopP,
)


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

    name: Required[FunctionName]
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
class ImageFileParam(TypedDict, total=False):
    """Which file an image is."""

    file_id: Required[FileId]
    detail: Literal["auto", "low", "high"] | None


@with_config(STRICT)
class ImageFilePart(TypedDict):
    """An image part of a message, of an uploaded file."""

    type: Literal["image_file"]
    image_file: ImageFileParam


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
    Annotated[TextPart, Tag("<text>")]
    | Annotated[ImageFilePart, Tag("<image_file>")]
    | Annotated[ImageURLPart, Tag("<image_url>")],
    Discriminator(
        lambda part: (
            f"<{part['type']}>"
            if isinstance(part, Mapping) and part.get("type") in ("image_url", "image_file")
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


Include = Literal["step_details.tool_calls[*].file_search.results[*].content"]
Includes = Annotated[list[Include], Listed, Len(0, 10)]


@with_config(STRICT)
class StepParams(RequestOptions, total=False):
    """Parameters of the operations on one step."""

    include: Includes | None


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
class StepListParams(ListParams, total=False):
    """A page of steps."""

    include: Includes | None


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
    metadata: Metadata | None
    temperature: Temperature | None
    top_p: TopP | None
    response_format: ResponseFormat | None
    reasoning_effort: ReasoningEffort | None


@with_config(STRICT)
class AssistantCreateParams(_AssistantFields, total=False):
    """Parameters of `assistants.create`."""

    model: Required[Annotated[Str, Len(1, 4096)]]
    tool_resources: NewToolResources | None


@with_config(STRICT)
class AssistantUpdateParams(_AssistantFields, total=False):
    """Parameters of `assistants.update`: what is not given stays."""

    model: Annotated[Str, Len(1, 4096)] | None
    tool_resources: ToolResources | None


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
    tool_resources: NewToolResources | None


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
    include: Includes | None
    reasoning_effort: ReasoningEffort | None


@with_config(STRICT)
class ThreadRunParams(_RunFields, total=False):
    """Parameters of `threads.create_and_run`."""

    thread: ThreadParam | None
    tool_resources: ToolResources | None


@with_config(STRICT)
class AssistantFileCreateParams(RequestOptions, total=False):
    """Parameters of `assistants.files.create`."""

    file_id: Required[FileId]


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
