"""Operations on threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from localassist.api import messages as message_operations
from localassist.api.tool_resources import NewStores, drop_owned, stored_resources
from localassist.errors import NotFoundError
from localassist.runs.endings import Ending, end_run_in
from localassist.store import runs, threads
from localassist.types._base import Deleted
from localassist.types.params import NoParams, ThreadCreateParams, ThreadUpdateParams
from localassist.types.thread import Thread
from localassist.types.values import ThreadId

if TYPE_CHECKING:
    from localassist.api.runtime import Runtime
    from localassist.store.connection import Transaction
    from localassist.types.message import Message


def create_thread(runtime: Runtime, **params: Unpack[ThreadCreateParams]) -> Thread:
    """Create a thread, with up to 32 messages."""
    new = build(runtime, dict(params))
    with runtime.store.write() as tx:
        insert(runtime, tx, new)
    return find(runtime, new.thread.id)


def retrieve_thread(runtime: Runtime, thread_id: ThreadId, **params: Unpack[NoParams]) -> Thread:
    """Return a thread."""
    return find(runtime, thread_id)


def update_thread(
    runtime: Runtime, thread_id: ThreadId, **params: Unpack[ThreadUpdateParams]
) -> Thread:
    """Replace the metadata or the files of tools."""
    with runtime.store.write() as tx:
        before = threads.TABLE.get(tx, thread_id)
        if before is None:
            raise not_found(thread_id)
        resources, new_stores = stored_resources(runtime, params, before.tool_resources)
        changes: dict[str, Any] = {"metadata": params.get("metadata"), "tool_resources": resources}
        changes = {name: value for name, value in changes.items() if value is not None}
        if changes:
            threads.TABLE.update(tx, thread_id, **changes)
        new_stores.insert(tx, expires=True)
    return find(runtime, thread_id)


def delete_thread(runtime: Runtime, thread_id: ThreadId, **params: Unpack[NoParams]) -> Deleted:
    """Delete a thread with its messages and runs; an active run is cancelled first."""
    with runtime.store.write() as tx:
        active = runs.active_of_thread(tx, thread_id)
        if active is not None:
            runs.advance(tx, active.id, expected=(active.status,), to="cancelling")
            end_run_in(runtime.services, tx, active.id, Ending("cancelled"))
        if not threads.TABLE.delete(tx, thread_id):
            raise not_found(thread_id)
        drop_owned(runtime, tx, thread_id)
    if active is not None:
        runtime.executor.cancel(active.id)
    if runtime.interpreter is not None:
        runtime.interpreter.forget(thread_id)
    return Deleted(id=thread_id, object="thread.deleted")


def find(runtime: Runtime, thread_id: str) -> Thread:
    """The thread, or the API's 404."""
    thread = threads.TABLE.get(runtime.store.read(), thread_id)
    if thread is None:
        raise not_found(thread_id)
    return thread


@dataclass(frozen=True)
class NewThread:
    """A thread, its first messages and the vector stores it asks for, not stored yet."""

    thread: Thread
    messages: list[Message]
    stores: NewStores


def build(runtime: Runtime, params: dict[str, Any]) -> NewThread:
    """A new thread, not stored yet."""
    resources, stores = stored_resources(runtime, params)
    thread = Thread(
        id=runtime.new_id("thread"),
        created_at=int(runtime.now()),
        metadata=params.get("metadata") or {},
        tool_resources=resources or {},
    )
    first = [
        message_operations.build(runtime, thread.id, param)
        for param in params.get("messages") or []
    ]
    return NewThread(thread, first, stores)


def insert(runtime: Runtime, tx: Transaction, new: NewThread) -> None:
    """Store what `build` made."""
    new.stores.insert(tx, expires=True)
    threads.TABLE.insert(tx, new.thread)
    for message in new.messages:
        message_operations.insert(runtime, tx, message)


def not_found(thread_id: str) -> NotFoundError:
    """The API's 404."""
    return NotFoundError(f"No thread found with id '{thread_id}'.")
