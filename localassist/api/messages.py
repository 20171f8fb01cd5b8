"""Operations on messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from localassist.api import locks
from localassist.api._given import given
from localassist.api.tool_resources import hold_attachments, stored_attachments
from localassist.errors import BadRequestError, NotFoundError
from localassist.store import messages, threads
from localassist.types._base import Deleted, ListPage
from localassist.types.message import Message
from localassist.types.params import (
    MessageCreateParams,
    MessageListParams,
    MetadataParams,
    NoParams,
)
from localassist.types.values import MessageId, ThreadId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localassist.api.runtime import Runtime
    from localassist.store.connection import Transaction


def create_message(
    runtime: Runtime, thread_id: ThreadId, **params: Unpack[MessageCreateParams]
) -> Message:
    """Append a message to a thread; refused while a run is active on it."""
    message = build(runtime, thread_id, params)
    with runtime.store.write() as tx:
        _check_unlocked(runtime, tx, thread_id)
        insert(runtime, tx, message)
    return message


def retrieve_message(
    runtime: Runtime, message_id: MessageId, thread_id: ThreadId, **params: Unpack[NoParams]
) -> Message:
    """Return a message of a thread."""
    return find(runtime, message_id, thread_id)


def update_message(
    runtime: Runtime, message_id: MessageId, thread_id: ThreadId, **params: Unpack[MetadataParams]
) -> Message:
    """Replace the metadata."""
    find(runtime, message_id, thread_id)
    metadata = params.get("metadata")
    with runtime.store.write() as tx:
        if metadata is not None:
            messages.TABLE.update(tx, message_id, metadata=metadata)
    return find(runtime, message_id, thread_id)


def delete_message(
    runtime: Runtime, message_id: MessageId, thread_id: ThreadId, **params: Unpack[NoParams]
) -> Deleted:
    """Delete a message; refused while a run is active on the thread."""
    with runtime.store.write() as tx:
        _check_unlocked(runtime, tx, thread_id, verb="delete messages from")
        message = messages.TABLE.get(tx, message_id)
        if message is None or message.thread_id != thread_id:
            raise _not_found(message_id)
        messages.TABLE.delete(tx, message_id)
    return Deleted(id=message_id, object="thread.message.deleted")


def list_messages(
    runtime: Runtime, thread_id: ThreadId, **params: Unpack[MessageListParams]
) -> ListPage[Message]:
    """List a thread's messages, newest first; `run_id` leaves those that one run wrote."""
    connection = runtime.store.read()
    _check_exists(connection, thread_id)
    page = given(params)
    run_id = page.pop("run_id", None)
    if run_id is not None:
        return messages.page_of_run(connection, thread_id=thread_id, run_id=run_id, **page)
    return messages.TABLE.page(connection, parent_id=thread_id, **page)


def find(runtime: Runtime, message_id: str, thread_id: str) -> Message:
    """The message, or the API's 404."""
    connection = runtime.store.read()
    message = messages.TABLE.get(connection, message_id)
    if message is None or message.thread_id != thread_id:
        _check_exists(connection, thread_id)
        raise _not_found(message_id)
    return message


def build(runtime: Runtime, thread_id: str, params: Mapping[str, Any]) -> Message:
    """A message of the caller, not stored yet. Its content is always a list of parts."""
    content = params["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    now = int(runtime.now())
    return Message.model_validate(
        {
            "id": runtime.new_id("msg"),
            "thread_id": thread_id,
            "role": params["role"],
            "content": [_stored_part(part) for part in parts],
            "created_at": now,
            "completed_at": now,
            "metadata": params.get("metadata") or {},
            "attachments": stored_attachments(runtime, params),
        }
    )


def insert(runtime: Runtime, tx: Transaction, message: Message) -> None:
    """Store what `build` made; its files become the thread's."""
    messages.TABLE.insert(tx, message)
    if message.attachments:
        thread = threads.TABLE.get(tx, message.thread_id)
        assert thread is not None, "its message was just inserted"
        resources = hold_attachments(
            runtime, tx, thread.tool_resources, message.attachments, thread_id=thread.id
        )
        threads.TABLE.update(tx, message.thread_id, tool_resources=resources)


def _stored_part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "text", "text": {"value": part["text"], "annotations": []}}
    if part["type"] == "image_file":
        return {"type": "image_file", "image_file": given(part["image_file"])}
    return {"type": "image_url", "image_url": given(part["image_url"])}


def _check_unlocked(
    runtime: Runtime, tx: Transaction, thread_id: str, *, verb: str = "add messages to"
) -> None:
    _check_exists(tx, thread_id)
    active = locks.active_run(runtime, tx, thread_id)
    if active is not None:
        # Clients read both ids out of this text.
        raise BadRequestError(f"Can't {verb} {thread_id} while a run {active.id} is active.")


def _check_exists(connection: Any, thread_id: str) -> None:
    if threads.TABLE.get(connection, thread_id) is None:
        raise NotFoundError(f"No thread found with id '{thread_id}'.")


def _not_found(message_id: str) -> NotFoundError:
    return NotFoundError(f"No message found with id '{message_id}'.")
