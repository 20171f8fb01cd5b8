"""Message: what a user or an assistant said on a thread."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from localassist.types._base import In, Model, WhenSet

MessageStatus = Literal["in_progress", "incomplete", "completed"]
Role = Literal["user", "assistant"]


class FileCitation(Model):
    """Where a sentence comes from: `quote` is a part of the file's text, `page` counts from 1."""

    file_id: str
    quote: str = ""
    page: Annotated[int | None, WhenSet()] = None


class FileCitationAnnotation(Model):
    """A marker of a source; `text[start_index:end_index]` by code points is `text`."""

    end_index: int
    file_citation: FileCitation
    start_index: int
    text: str
    type: Literal["file_citation"] = "file_citation"


class FilePath(Model):
    """A file that code has written."""

    file_id: str


class FilePathAnnotation(Model):
    """A link to a file that code has written."""

    end_index: int
    file_path: FilePath
    start_index: int
    text: str
    type: Literal["file_path"] = "file_path"


Annotation = Annotated[FileCitationAnnotation | FilePathAnnotation, Field(discriminator="type")]


class Text(Model):
    """Text of a content part; annotations point into `value` by code points."""

    annotations: list[Annotation] = []
    value: str


class TextContent(Model):
    """A part of a message that is text."""

    text: Text
    type: Literal["text"] = "text"


class ImageFile(Model):
    """An image that is a file."""

    file_id: str
    detail: Annotated[Literal["auto", "low", "high"] | None, WhenSet()] = None


class ImageFileContent(Model):
    """A part of a message that is a figure or an uploaded image."""

    image_file: ImageFile
    type: Literal["image_file"] = "image_file"


class ImageURL(Model):
    """Where an image is: an http(s) address or a `data:` URI."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImageURLContent(Model):
    """A part of a message that is an image; a text model is told only that it is there."""

    image_url: ImageURL
    type: Literal["image_url"] = "image_url"


MessageContent = Annotated[
    TextContent | ImageURLContent | ImageFileContent, Field(discriminator="type")
]


class IncompleteDetails(Model):
    """Why a message is incomplete."""

    reason: Literal["content_filter", "max_tokens", "run_cancelled", "run_expired", "run_failed"]


class Message(Model):
    """A message. `assistant_id` and `run_id` are None unless a run wrote it."""

    id: str
    assistant_id: str | None = None
    attachments: Annotated[list[Any], In("v2")] = []
    completed_at: Annotated[int | None, In("v2", late=True)] = None
    content: list[MessageContent]
    created_at: int
    file_ids: Annotated[list[str], In("v1")] = []
    incomplete_at: Annotated[int | None, In("v2", late=True)] = None
    incomplete_details: Annotated[IncompleteDetails | None, In("v2", late=True)] = None
    metadata: dict[str, str] = {}
    object: Literal["thread.message"] = "thread.message"
    role: Role
    run_id: str | None = None
    status: Annotated[MessageStatus, In("v2", late=True)] = "completed"
    thread_id: str

    @model_validator(mode="after")
    def _show_files(self) -> Any:
        # v1 shows the files themselves, v2 what they are attached for.
        self.file_ids = [each["file_id"] for each in self.attachments]
        return self

    @property
    def text(self) -> str:
        """The text parts, joined by newlines."""
        return "\n".join(part.text.value for part in self.content if isinstance(part, TextContent))


class TextDelta(Model):
    """More text of a part; annotations carry their index among the part's."""

    annotations: Annotated[list[dict[str, Any]] | None, WhenSet()] = None
    value: str | None = None


class TextContentDelta(Model):
    """A change of the text part at `index`."""

    index: int
    type: Literal["text"] = "text"
    text: TextDelta | None = None


class MessageDelta(Model):
    """What changed in a message."""

    content: list[TextContentDelta]
    role: Role | None = None


class MessageDeltaObject(Model):
    """The data of a `thread.message.delta` event."""

    id: str
    delta: MessageDelta
    object: Literal["thread.message.delta"] = "thread.message.delta"


class MessageFile(Model):
    """A file of a message, in the first generation; its id is the file's."""

    id: str
    created_at: int
    message_id: str
    object: Literal["thread.message.file"] = "thread.message.file"
