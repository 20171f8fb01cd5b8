"""Operations on assistants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from localassist.api._given import given, only_given
from localassist.api.response_format import check_response_format
from localassist.api.tool_resources import drop_owned, hold, stored_resources
from localassist.api.tools import stored_tools
from localassist.errors import NotFoundError
from localassist.store import assistants
from localassist.types._base import Deleted, ListPage
from localassist.types.assistant import Assistant
from localassist.types.params import (
    AssistantCreateParams,
    AssistantUpdateParams,
    ListParams,
    NoParams,
)
from localassist.types.values import AssistantId

if TYPE_CHECKING:
    from localassist.api.runtime import Runtime
    from localassist.store.connection import Transaction

# Two spellings of one thing.
_TOOLING = ("file_ids", "tool_resources")
_NEVER_NULL = ("metadata", "tools", "temperature", "top_p", "response_format", "model")


def create_assistant(runtime: Runtime, **params: Unpack[AssistantCreateParams]) -> Assistant:
    """Create an assistant. `model` is a local model's name, or any of OpenAI's."""
    runtime.check_model(params["model"])
    tools = stored_tools(params.get("tools"))
    check_response_format(params.get("response_format"), tools)
    resources, new_stores = stored_resources(runtime, params)
    now = int(runtime.now())
    assistant = Assistant(
        id=runtime.new_id("asst"),
        created_at=now,
        **only_given(params, without=(*_TOOLING, "tools")),
        tools=tools,
        tool_resources=resources or {},
        attached=dict.fromkeys(params.get("file_ids") or (), now),
    )
    with runtime.store.write() as tx:
        new_stores.insert(tx, expires=False)
        assistants.TABLE.insert(tx, assistant)
        hold_attached(runtime, tx, assistant.id)
    return find(runtime, assistant.id)


def retrieve_assistant(
    runtime: Runtime, assistant_id: AssistantId, **params: Unpack[NoParams]
) -> Assistant:
    """Return an assistant."""
    return find(runtime, assistant_id)


def update_assistant(
    runtime: Runtime, assistant_id: AssistantId, **params: Unpack[AssistantUpdateParams]
) -> Assistant:
    """Change what is given; null clears a text and leaves everything else as it is."""
    if (model := params.get("model")) is not None:
        runtime.check_model(model)
    changes: dict[str, Any] = {
        name: value
        for name, value in params.items()
        if name not in _TOOLING and (value is not None or name not in _NEVER_NULL)
    }
    if "tools" in changes:
        changes["tools"] = stored_tools(changes["tools"])
    with runtime.store.write() as tx:
        before = assistants.TABLE.get(tx, assistant_id)
        if before is None:
            raise not_found(assistant_id)
        resources, new_stores = stored_resources(runtime, params, before.tool_resources)
        if resources is not None:
            changes["tool_resources"] = resources
        if (file_ids := params.get("file_ids")) is not None:
            now = int(runtime.now())
            changes["attached"] = {each: before.attached.get(each, now) for each in file_ids}
        if "tools" in changes or "response_format" in changes:
            check_response_format(
                changes.get("response_format", before.response_format),
                changes.get("tools", before.tools),
            )
        if changes:
            assistants.TABLE.update(tx, assistant_id, **changes)
        new_stores.insert(tx, expires=False)
        hold_attached(runtime, tx, assistant_id)
    return find(runtime, assistant_id)


def delete_assistant(
    runtime: Runtime, assistant_id: AssistantId, **params: Unpack[NoParams]
) -> Deleted:
    """Delete an assistant; its threads, messages and runs stay."""
    with runtime.store.write() as tx:
        if not assistants.TABLE.delete(tx, assistant_id):
            raise not_found(assistant_id)
        drop_owned(runtime, tx, assistant_id)
    return Deleted(id=assistant_id, object="assistant.deleted")


def list_assistants(runtime: Runtime, **params: Unpack[ListParams]) -> ListPage[Assistant]:
    """List assistants, newest first."""
    return assistants.TABLE.page(runtime.store.read(), **given(params))


def hold_attached(runtime: Runtime, tx: Transaction, assistant_id: str) -> None:
    """Have the first generation's files searched, if the assistant searches at all."""
    assistant = assistants.TABLE.get(tx, assistant_id)
    if assistant is None or not any(tool["type"] == "file_search" for tool in assistant.tools):
        return
    resources = hold(
        runtime, tx, assistant.tool_resources, list(assistant.attached), owner=assistant_id
    )
    if resources != assistant.tool_resources:
        assistants.TABLE.update(tx, assistant_id, tool_resources=resources)


def find(runtime: Runtime, assistant_id: str) -> Assistant:
    """The assistant, or the API's 404."""
    assistant = assistants.TABLE.get(runtime.store.read(), assistant_id)
    if assistant is None:
        raise not_found(assistant_id)
    return assistant


def not_found(assistant_id: str) -> NotFoundError:
    """The API's 404."""
    return NotFoundError(f"No assistant found with id '{assistant_id}'.")
