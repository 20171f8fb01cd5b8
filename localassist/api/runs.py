"""Operations on runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from localassist.api import files, locks, vector_stores
from localassist.api import messages as message_operations
from localassist.api import threads as thread_operations
from localassist.api._given import given
from localassist.api.assistants import not_found as no_assistant
from localassist.api.response_format import check_response_format
from localassist.api.tool_resources import hold_thread_files, stored_resources
from localassist.api.tools import check_tool_choice, stored_tools
from localassist.errors import BadRequestError, NotFoundError
from localassist.runs import state
from localassist.runs.endings import Ending, end_run, run_event
from localassist.runs.tool_record import open_call_ids, resume
from localassist.store import assistants, leases, runs, threads
from localassist.types._base import ListPage
from localassist.types.params import (
    ListParams,
    MetadataParams,
    NoParams,
    RunCreateParams,
    SubmitToolOutputsParams,
    ThreadRunParams,
)
from localassist.types.run import Run
from localassist.types.stream_event import AssistantStreamEvent, ThreadEvent
from localassist.types.tool import searched_stores
from localassist.types.values import RunId, ThreadId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localassist.api.runtime import Runtime
    from localassist.api.threads import NewThread
    from localassist.runs.bus import Subscription
    from localassist.store.connection import Transaction
    from localassist.types.assistant import Assistant
    from localassist.types.message import Message

_OVERRIDES = (
    "max_prompt_tokens", "max_completion_tokens", "truncation_strategy", "tool_choice",
    "parallel_tool_calls", "metadata",
)  # fmt: skip
_INHERITED = ("temperature", "top_p", "response_format", "reasoning_effort")


def create_run(runtime: Runtime, thread_id: ThreadId, **params: Unpack[RunCreateParams]) -> Run:
    """Start an assistant on a thread and return at once."""
    order = _order_on_thread(runtime, thread_id, params)
    return _start(runtime, order)


def stream_run(
    runtime: Runtime, thread_id: ThreadId, **params: Unpack[RunCreateParams]
) -> Subscription:
    """Start an assistant on a thread and return its events."""
    return _start_stream(runtime, _order_on_thread(runtime, thread_id, params))


def join_run(
    runtime: Runtime, run_id: RunId, thread_id: ThreadId, **params: Unpack[NoParams]
) -> Subscription:
    """Return a run's events from its beginning, also when it has gone on for a while."""
    find(runtime, run_id, thread_id)
    subscription = runtime.bus.join(run_id)
    if subscription is None:
        raise BadRequestError(
            f"The events of run {run_id} are not known to this process.",
            code="no_events",
            hint="Wait for it by runs.poll, and list its steps and messages.",
        )
    return subscription


def create_thread_and_run(runtime: Runtime, **params: Unpack[ThreadRunParams]) -> Run:
    """Create a thread and start an assistant on it."""
    return _start(runtime, _order_with_thread(runtime, params))


def stream_thread_and_run(runtime: Runtime, **params: Unpack[ThreadRunParams]) -> Subscription:
    """Create a thread, start an assistant on it and return the run's events."""
    return _start_stream(runtime, _order_with_thread(runtime, params))


def retrieve_run(
    runtime: Runtime, run_id: RunId, thread_id: ThreadId, **params: Unpack[NoParams]
) -> Run:
    """Return a run. One whose time is over is expired by this at the latest."""
    return find(runtime, run_id, thread_id)


def update_run(
    runtime: Runtime, run_id: RunId, thread_id: ThreadId, **params: Unpack[MetadataParams]
) -> Run:
    """Replace the metadata."""
    find(runtime, run_id, thread_id)
    metadata = params.get("metadata")
    with runtime.store.write() as tx:
        if metadata is not None:
            runs.TABLE.update(tx, run_id, metadata=metadata)
    return find(runtime, run_id, thread_id)


def list_runs(runtime: Runtime, thread_id: ThreadId, **params: Unpack[ListParams]) -> ListPage[Run]:
    """List a thread's runs, newest first."""
    thread_operations.find(runtime, thread_id)
    with runtime.store.write() as tx:
        locks.active_run(runtime, tx, thread_id)
    return runs.TABLE.page(runtime.store.read(), parent_id=thread_id, **given(params))


def cancel_run(
    runtime: Runtime, run_id: RunId, thread_id: ThreadId, **params: Unpack[NoParams]
) -> Run:
    """Ask a run to stop. It answers `cancelling` and becomes `cancelled` soon after."""
    run = find(runtime, run_id, thread_id)
    waiting = run.status == "requires_action"
    with runtime.store.write() as tx:
        if not runs.advance(
            tx, run_id, expected=state.CANCELLABLE, to="cancelling", required_action=None
        ):
            run = _stored(tx, run_id) or run
            raise BadRequestError(f"Cannot cancel run with status '{run.status}'.")
        run = _stored(tx, run_id) or run
        runtime.services.announce(tx, run_id, [run_event(run)])
    if waiting:  # nobody executes it
        end_run(runtime.services, run_id, Ending("cancelled"))
    else:
        runtime.executor.cancel(run_id)
    return run


def submit_tool_outputs(
    runtime: Runtime, run_id: RunId, thread_id: ThreadId, **params: Unpack[SubmitToolOutputsParams]
) -> Run:
    """Hand in what the functions gave, and let the run go on."""
    return _submit(runtime, find(runtime, run_id, thread_id), params)


def stream_tool_outputs(
    runtime: Runtime, run_id: RunId, thread_id: ThreadId, **params: Unpack[SubmitToolOutputsParams]
) -> Subscription:
    """As `submit_tool_outputs`; returns the events from then on."""
    run = find(runtime, run_id, thread_id)
    subscription = runtime.bus.subscribe(run.id)
    try:
        _submit(runtime, run, params)
    except BaseException:
        subscription.cancel()
        raise
    return subscription


def _submit(runtime: Runtime, run: Run, params: Mapping[str, Any]) -> Run:
    outputs = {each["tool_call_id"]: each.get("output") or "" for each in params["tool_outputs"]}
    given_ids = [each["tool_call_id"] for each in params["tool_outputs"]]
    with runtime.store.write() as tx:
        stored = _stored(tx, run.id) or run
        if stored.status != "requires_action":
            raise BadRequestError(f'Runs in status "{stored.status}" do not accept tool outputs.')
        expected = open_call_ids(tx, run.id)
        if sorted(given_ids) != sorted(expected):
            raise BadRequestError(f"Expected tool outputs for call_ids {expected}, got {given_ids}")
        lease_s = runtime.settings.lease_s
        leases.grant(tx, run.id, owner=runtime.services.owner, expires_at=runtime.now() + lease_s)
        resumed = resume(runtime.services, tx, run.id, outputs)
    runtime.executor.submit(run.id)
    return resumed


def find(runtime: Runtime, run_id: str, thread_id: str) -> Run:
    """The run as it is now, or the API's 404."""
    connection = runtime.store.read()
    run = runs.TABLE.get(connection, run_id)
    if run is None or run.thread_id != thread_id:
        thread_operations.find(runtime, thread_id)
        raise NotFoundError(f"No run found with id '{run_id}'.")
    if locks.overdue(runtime, run):
        end_run(runtime.services, run_id, Ending("expired"))
        run = runs.TABLE.get(connection, run_id) or run
    return run


# --- creation -----------------------------------------------------------------


@dataclass(frozen=True)
class _Order:
    """A run that is asked for, checked and not stored yet.

    Attributes:
        run_id: the id it will have.
        thread_id: where it runs.
        params: what the caller gave.
        messages: to be added to the thread before.
        new_thread: the thread, if it has to be created.
    """

    run_id: str
    thread_id: str
    params: Mapping[str, Any]
    messages: list[Message]
    new_thread: NewThread | None = None


def _order_on_thread(runtime: Runtime, thread_id: str, params: Mapping[str, Any]) -> _Order:
    _check_request(runtime, params)
    extra = [
        message_operations.build(runtime, thread_id, param)
        for param in params.get("additional_messages") or []
    ]
    return _Order(runtime.new_id("run"), thread_id, params, extra)


def _order_with_thread(runtime: Runtime, params: Mapping[str, Any]) -> _Order:
    _check_request(runtime, params)
    stored_resources(runtime, {"tool_resources": params.get("tool_resources")})  # refuses
    new = thread_operations.build(runtime, dict(params.get("thread") or {}))
    return _Order(runtime.new_id("run"), new.thread.id, params, [], new_thread=new)


def _check_request(runtime: Runtime, params: Mapping[str, Any]) -> None:
    files.delete_due(runtime)  # what has expired is not searched any more
    if params.get("model") is not None:
        runtime.check_model(params["model"])
    strategy = params.get("truncation_strategy")
    if strategy and strategy["type"] == "last_messages" and not strategy.get("last_messages"):
        raise BadRequestError(
            "Missing required parameter: 'truncation_strategy.last_messages'.",
            code="missing_required_parameter",
            param="truncation_strategy.last_messages",
        )


def _start_stream(runtime: Runtime, order: _Order) -> Subscription:
    subscription = runtime.bus.subscribe(order.run_id)
    try:
        _start(runtime, order)
    except BaseException:
        subscription.cancel()
        raise
    return subscription


def _start(runtime: Runtime, order: _Order) -> Run:
    """Store the run and what belongs to it in one transaction, then have it executed."""
    with runtime.store.write() as tx:
        run = _store(runtime, tx, order)
        leases.grant(
            tx,
            run.id,
            owner=runtime.services.owner,
            expires_at=runtime.now() + runtime.settings.lease_s,
        )
        opening: list[AssistantStreamEvent] = [run_event(run, "created"), run_event(run)]
        if order.new_thread is not None:
            opening.insert(0, ThreadEvent(data=order.new_thread.thread))
        runtime.services.announce(tx, run.id, opening)
    runtime.executor.submit(run.id)
    return run


def _store(runtime: Runtime, tx: Transaction, order: _Order) -> Run:
    if order.new_thread is not None:
        thread_operations.insert(runtime, tx, order.new_thread)
    elif threads.TABLE.get(tx, order.thread_id) is None:
        raise thread_operations.not_found(order.thread_id)
    assistant = assistants.TABLE.get(tx, order.params["assistant_id"])
    if assistant is None:
        raise no_assistant(order.params["assistant_id"])
    _check_idle(runtime, tx, order.thread_id)
    for message in order.messages:
        message_operations.insert(runtime, tx, message)
    run = _build(runtime, assistant, order)
    runs.TABLE.insert(tx, run)
    if any(tool["type"] == "file_search" for tool in run.tools):
        _prepare_search(runtime, tx, run)
    return run


def _prepare_search(runtime: Runtime, tx: Transaction, run: Run) -> None:
    """Have the thread's files in a store, and the stores of the run live on."""
    thread = threads.TABLE.get(tx, run.thread_id)
    assert thread is not None, "it was looked up above"
    for stores, param in (
        (searched_stores(thread.tool_resources), "thread_id"),
        (run.vector_store_ids, "assistant_id"),
    ):
        vector_stores.check_usable(runtime, stores, param=param, gone_is_fine=True)
    hold_thread_files(runtime, tx, thread)
    vector_stores.touch(
        runtime, tx, [*run.vector_store_ids, *searched_stores(thread.tool_resources)]
    )


def _check_idle(runtime: Runtime, tx: Transaction, thread_id: str) -> None:
    active = locks.active_run(runtime, tx, thread_id)
    if active is not None:
        # Clients read both ids out of this text.
        raise BadRequestError(f"Thread {thread_id} already has an active run {active.id}.")


def _build(runtime: Runtime, assistant: Assistant, order: _Order) -> Run:
    now, params = int(runtime.now()), order.params
    values = given({name: params.get(name) for name in (*_OVERRIDES, *_INHERITED)})
    for name in _INHERITED:
        if name not in values and name in assistant.model_fields_set:
            values[name] = getattr(assistant, name)
    tools = params.get("tools")
    tools = assistant.tools if tools is None else stored_tools(tools)
    check_tool_choice(params.get("tool_choice"), tools)
    check_response_format(values.get("response_format"), tools)
    return Run(
        tools=tools,
        id=order.run_id,
        thread_id=order.thread_id,
        assistant_id=assistant.id,
        status="queued",
        model=params.get("model") or assistant.model,
        instructions=_instructions(assistant, params),
        file_ids=_resource(params, "code_interpreter", "file_ids", assistant.file_ids),
        vector_store_ids=_resource(
            params, "file_search", "vector_store_ids", searched_stores(assistant.tool_resources)
        ),
        created_at=now,
        expires_at=now + runtime.settings.run_ttl_s,
        **values,
    )


def _resource(params: Mapping[str, Any], tool: str, name: str, inherited: list[str]) -> list[str]:
    """What a run's own `tool_resources` say of a tool, else the assistant's."""
    own = ((params.get("tool_resources") or {}).get(tool) or {}).get(name)
    return inherited if own is None else list(own)


def _instructions(assistant: Assistant, params: Mapping[str, Any]) -> str | None:
    own = params.get("instructions")
    parts = (assistant.instructions if own is None else own, params.get("additional_instructions"))
    given_parts = [part for part in parts if part]
    return "\n".join(given_parts) if given_parts else own


def _stored(tx: Transaction, run_id: str) -> Run | None:
    return runs.TABLE.get(tx, run_id)
