"""Shapes: which generation of the API a request speaks, and objects printed in it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

from localassist.errors import BadRequestError
from localassist.types._base import CONTEXT_KEY, LATE_V1, ListPage, Model
from localassist.types.run import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localassist.settings import ApiVersion

Shape = Literal["v1", "v1-late", "v2"]

_LATE: Shape = LATE_V1  # type: ignore[assignment]  # it is one of them
BETA_PATHS = ("assistants", "threads")
_FIRST_V2_SDK = (1, 21)
_FIRST_LATE_SDK = (1, 9)
_MISSING = (
    "You must provide the 'OpenAI-Beta' header to access the Assistants API. Please try again by "
    "setting the header 'OpenAI-Beta: assistants=v2'."
)
_INCOMPLETE = {"code": "server_error", "message": "The run has reached the limit of its tokens."}


def shape_of(
    headers: Mapping[str, str], segments: Sequence[str], *, default: ApiVersion | None, stream: bool
) -> Shape:
    """The shape that a request wants its answer in.

    Args:
        headers: of the request.
        segments: of its path.
        default: for requests that do not say it; None refuses them, as the real service did.
        stream: the answer is a stream, which only the last SDKs of the first generation know.

    Raises:
        BadRequestError: it does not say it and has to.
    """
    sdk = _sdk_version(headers)
    version: ApiVersion
    said = _said(headers)
    if said is not None:
        version = said
    elif segments[:1] and segments[0] in BETA_PATHS:
        if default is None:
            raise BadRequestError(_MISSING, code="invalid_beta")
        version = default
    else:
        version = "v1" if sdk is not None and sdk < _FIRST_V2_SDK else "v2"
    if version == "v1" and (stream or (sdk is not None and sdk >= _FIRST_LATE_SDK)):
        return _LATE
    return version


def _said(headers: Mapping[str, str]) -> ApiVersion | None:
    betas = [each.strip() for each in headers.get("openai-beta", "").split(",")]
    if "assistants=v2" in betas:
        return "v2"
    return "v1" if "assistants=v1" in betas else None


def _sdk_version(headers: Mapping[str, str]) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", headers.get("x-stainless-package-version", ""))
    return None if match is None else (int(match[1]), int(match[2]))


def printed(value: Model, shape: Shape) -> str:
    """JSON of an object in a shape."""
    if shape != "v2" and _has_incomplete_run(value):
        # The first generation's clients would wait for ever: they do not know this end.
        dumped = value.model_dump(mode="json", context={CONTEXT_KEY: shape})
        for run in dumped["data"] if isinstance(value, ListPage) else [dumped]:
            if run["status"] == "incomplete":
                run.update(status="failed", last_error=_INCOMPLETE)
        return json.dumps(dumped, ensure_ascii=False)
    return value.model_dump_json(context={CONTEXT_KEY: shape})


def _has_incomplete_run(value: Any) -> bool:
    if isinstance(value, Run):
        return value.status == "incomplete"
    return isinstance(value, ListPage) and any(map(_has_incomplete_run, value.data))
