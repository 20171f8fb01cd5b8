"""Operations on files as the first generation attaches them: to assistants and to messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import Unpack

from localassist.api import assistants, files, messages
from localassist.api._given import given
from localassist.errors import BadRequestError, NotFoundError
from localassist.store import assistants as assistant_rows
from localassist.types._base import Deleted, ListPage
from localassist.types.assistant import AssistantFile
from localassist.types.message import MessageFile
from localassist.types.params import AssistantFileCreateParams, ListParams, NoParams
from localassist.types.tool import code_files
from localassist.types.values import AssistantId, FileId, MessageId, ThreadId

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeVar

    from localassist.api.runtime import Runtime
    from localassist.store.connection import Transaction
    from localassist.types.assistant import Assistant

    F = TypeVar("F", AssistantFile, MessageFile)

_MAX_FILES = 20
_DEFAULT_LIMIT = 20


def create_assistant_file(
    runtime: Runtime, assistant_id: AssistantId, **params: Unpack[AssistantFileCreateParams]
) -> AssistantFile:
    """Attach a file to an assistant."""
    file_id = params["file_id"]
    files.check_exist(runtime, [file_id], param="file_id")
    with runtime.store.write() as tx:
        assistant = _found(tx, assistant_id)
        attached = _attached(assistant)
        attached.setdefault(file_id, int(runtime.now()))
        if len(attached) > _MAX_FILES:
            raise BadRequestError(
                f"An assistant can have at most {_MAX_FILES} files.",
                code="array_above_max_length",
                param="file_id",
            )
        _attach(runtime, tx, assistant, attached)
    return _assistant_file(assistant_id, file_id, attached[file_id])


def retrieve_assistant_file(
    runtime: Runtime, file_id: FileId, assistant_id: AssistantId, **params: Unpack[NoParams]
) -> AssistantFile:
    """Return a file of an assistant."""
    attached = _attached(assistants.find(runtime, assistant_id))
    if file_id not in attached:
        raise _no_file(file_id)
    return _assistant_file(assistant_id, file_id, attached[file_id])


def list_assistant_files(
    runtime: Runtime, assistant_id: AssistantId, **params: Unpack[ListParams]
) -> ListPage[AssistantFile]:
    """List an assistant's files, those attached last first."""
    attached = _attached(assistants.find(runtime, assistant_id))
    return _page(
        [_assistant_file(assistant_id, file_id, at) for file_id, at in attached.items()],
        given(params),
    )


def delete_assistant_file(
    runtime: Runtime, file_id: FileId, assistant_id: AssistantId, **params: Unpack[NoParams]
) -> Deleted:
    """Take a file from an assistant; the file itself stays."""
    with runtime.store.write() as tx:
        assistant = _found(tx, assistant_id)
        attached = _attached(assistant)
        if file_id not in attached:
            raise _no_file(file_id)
        left = {each: at for each, at in attached.items() if each != file_id}
        _attach(runtime, tx, assistant, left)
    return Deleted(id=file_id, object="assistant.file.deleted")


def retrieve_message_file(
    runtime: Runtime,
    file_id: FileId,
    thread_id: ThreadId,
    message_id: MessageId,
    **params: Unpack[NoParams],
) -> MessageFile:
    """Return a file of a message."""
    for each in _message_files(runtime, message_id, thread_id):
        if each.id == file_id:
            return each
    raise _no_file(file_id)


def list_message_files(
    runtime: Runtime, message_id: MessageId, thread_id: ThreadId, **params: Unpack[ListParams]
) -> ListPage[MessageFile]:
    """List a message's files, the last one first."""
    return _page(_message_files(runtime, message_id, thread_id), given(params))


def _found(tx: Transaction, assistant_id: str) -> Assistant:
    assistant = assistant_rows.TABLE.get(tx, assistant_id)
    if assistant is None:
        raise assistants.not_found(assistant_id)
    return assistant


def _attached(assistant: Assistant) -> dict[str, int]:
    """What is attached, in order; files that the later generation gave it count as well."""
    attached = dict(assistant.attached)
    for file_id in code_files(assistant.tool_resources):
        attached.setdefault(file_id, assistant.created_at)
    return {each: at for each, at in attached.items() if each in assistant.file_ids}


def _attach(
    runtime: Runtime, tx: Transaction, assistant: Assistant, attached: dict[str, int]
) -> None:
    resources = {
        **(assistant.tool_resources or {}),
        "code_interpreter": {"file_ids": list(attached)},
    }
    assistant_rows.TABLE.update(tx, assistant.id, attached=attached, tool_resources=resources)
    assistants.hold_attached(runtime, tx, assistant.id)


def _message_files(runtime: Runtime, message_id: str, thread_id: str) -> list[MessageFile]:
    message = messages.find(runtime, message_id, thread_id)
    return [
        MessageFile(id=file_id, created_at=message.created_at, message_id=message_id)
        for file_id in message.file_ids
    ]


def _assistant_file(assistant_id: str, file_id: str, created_at: int) -> AssistantFile:
    return AssistantFile(id=file_id, assistant_id=assistant_id, created_at=created_at)


def _page(every: Sequence[F], page: dict[str, Any]) -> ListPage[F]:
    """One page of a list that is short enough to be had whole."""
    ordered = list(every) if page.get("order") == "asc" else list(reversed(every))
    ids = [each.id for each in ordered]
    for name in ("after", "before"):
        if page.get(name) is not None and page[name] not in ids:
            raise BadRequestError(
                f"Invalid '{name}': '{page[name]}' is not in this list.",
                code="invalid_value",
                param=name,
            )
    start = ids.index(page["after"]) + 1 if "after" in page else 0
    stop = ids.index(page["before"]) if "before" in page else len(ids)
    limit = page.get("limit") or _DEFAULT_LIMIT
    if "before" in page and "after" not in page:
        start = max(0, stop - limit)
    data = ordered[start : min(stop, start + limit)]
    return ListPage(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=start > 0 if "before" in page and "after" not in page else start + limit < stop,
    )


def _no_file(file_id: str) -> NotFoundError:
    return NotFoundError(f"No file found with id '{file_id}'.")
