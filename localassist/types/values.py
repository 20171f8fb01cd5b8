"""Values of parameters: ids, texts and numbers with their limits, spelled once for all faces."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from annotated_types import Interval, Len
from pydantic import AfterValidator, BeforeValidator
from pydantic.config import ConfigDict
from pydantic_core import PydanticCustomError

STRICT = ConfigDict(strict=True, extra="forbid")

MAX_NAME_CHARS = 256
MAX_DESCRIPTION_CHARS = 512
MAX_TEXT_CHARS = 256_000
MAX_IMAGE_URL_CHARS = 20_000_000
MAX_INITIAL_MESSAGES = 32
MAX_OUTPUT_CHARS = 20_000_000


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


def named_file_search(tool: str) -> str:
    """The later generation's name of a tool."""
    return "file_search" if tool == "retrieval" else tool


FileId = Annotated[Str, AfterValidator(_file_id)]
VectorStoreId = Annotated[Str, _id("vs")]
FileBatchId = Annotated[Str, _id("vsfb")]
Score = Annotated[float, Interval(ge=0, le=1)]
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
TokenLimit = Annotated[int, Interval(ge=256, le=2**31 - 1)]
Instructions = Annotated[Str, Len(0, MAX_TEXT_CHARS)]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Order = Literal["asc", "desc"]


def _function_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise PydanticCustomError("bad_function_name", "function name")
    return name


FunctionName = Annotated[Str, Len(1, 64), AfterValidator(_function_name)]
