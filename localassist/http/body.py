"""Bodies of requests: JSON objects and uploads, as parameters of an operation."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from localassist._lazy import require
from localassist.errors import BadRequestError
from localassist.http.message import JSON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localassist.http.message import Request

_MULTIPART = "multipart/form-data"
_READ_BYTES = 1 << 16
_MOST_FILES = 4
_FORM = {"MAX_MEMORY_FILE_SIZE": 1 << 20, "MAX_FIELDS": 100, "MAX_FIELD_SIZE": 1 << 20}
_NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The API expects a JSON payload, but what was sent was not valid "
    "JSON.)"
)
_ENCODED = (("%22", '"'), ("%0D", ""), ("%0A", ""))


@contextmanager
def params_of(request: Request) -> Iterator[dict[str, Any]]:
    """The parameters in a request's body; files among them are closed afterwards.

    Raises:
        BadRequestError: it is no JSON object, or a form that is cut off.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _MULTIPART:
        with ExitStack() as opened:
            yield _form(request, opened)
        return
    body = request.body if isinstance(request.body, bytes) else request.body.read()
    if body and kind not in (JSON, ""):
        raise BadRequestError(
            f"Unsupported content type '{kind[:100]}'. The API expects '{JSON}'.",
            code="unsupported_content_type",
        )
    yield _object(body)


def _object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequestError(_NOT_JSON, code="invalid_json") from None
    if not isinstance(value, dict):
        raise BadRequestError("The body of the request must be a JSON object.", code="invalid_json")
    return value


def _form(request: Request, opened: ExitStack) -> dict[str, Any]:
    multipart = require("python_multipart", package="python-multipart")
    params: dict[str, Any] = {}

    def add_field(field: Any) -> None:
        name = (field.field_name or b"").decode("utf-8", "replace")
        _set(params, name, (field.value or b"").decode("utf-8", "replace"))

    num_files = 0

    def add_file(file: Any) -> None:
        nonlocal num_files
        num_files += 1
        opened.callback(file.close)
        if num_files > _MOST_FILES:
            raise ValueError("there are too many files in it.")
        file.file_object.seek(0)
        name = (file.file_name or b"").decode("utf-8", "replace")
        # As browsers do, the SDK's library encodes what would end the name, and nothing else.
        for encoded, char in _ENCODED:
            name = name.replace(encoded, char)
        _set(params, (file.field_name or b"").decode("utf-8", "replace"), (name, file.file_object))

    stream: BinaryIO = io.BytesIO(request.body) if isinstance(request.body, bytes) else request.body
    headers = {"Content-Type": request.headers["content-type"].encode()}
    try:
        parser = multipart.create_form_parser(headers, add_field, add_file, config=_FORM)
        while chunk := stream.read(_READ_BYTES):
            parser.write(chunk)
        parser.finalize()
    except (multipart.exceptions.FormParserError, ValueError, KeyError) as error:
        raise BadRequestError(
            f"We could not parse the multipart body of your request: {error}",
            code="invalid_multipart",
        ) from None
    return params


def _set(params: dict[str, Any], name: str, value: Any) -> None:
    """Forms spell objects out: `expires_after[seconds]` is a member."""
    outer, bracket, inner = name.partition("[")
    if bracket and inner.endswith("]"):
        known = params.setdefault(outer, {})
        if isinstance(known, dict):
            known[inner[:-1]] = int(value) if str(value).isdigit() else value
    else:
        params[name] = value
