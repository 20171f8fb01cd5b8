"""Which files tools have: both generations' spellings, stored as the later one's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.api import files
from localassist.types.tool import code_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from localassist.api.runtime import Runtime


def stored_resources(runtime: Runtime, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """`tool_resources` of an assistant's or thread's parameters; None if none are given.

    Raises:
        NotFoundError: a file that is not there.
    """
    resources, file_ids = params.get("tool_resources"), params.get("file_ids")
    if resources is None and file_ids is None:
        return None
    given = code_files(resources) if file_ids is None else file_ids
    param = "file_ids" if file_ids is not None else "tool_resources.code_interpreter.file_ids"
    files.check_exist(runtime, given, param=param)
    return with_code_files({}, given) if given or resources else {}


def with_code_files(resources: Mapping[str, Any] | None, file_ids: Iterable[str]) -> dict[str, Any]:
    """The resources with further files for the code interpreter, each once, in order."""
    known = [*code_files(resources), *file_ids]
    return {**(resources or {}), "code_interpreter": {"file_ids": list(dict.fromkeys(known))}}


def stored_attachments(runtime: Runtime, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`attachments` of a message's parameters.

    Raises:
        NotFoundError: a file that is not there.
    """
    attachments = [
        {"file_id": each["file_id"], "tools": each.get("tools") or [{"type": "code_interpreter"}]}
        for each in params.get("attachments") or ()
    ]
    attachments += [
        {"file_id": file_id, "tools": [{"type": "code_interpreter"}]}
        for file_id in params.get("file_ids") or ()
    ]
    ids = [each["file_id"] for each in attachments]
    files.check_exist(
        runtime, ids, param="attachments" if params.get("attachments") else "file_ids"
    )
    return attachments
