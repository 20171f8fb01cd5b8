"""Waiting: for a run, on its events where this process executes it, and for files to be indexed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from localassist.api import runs
from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeVar

    from localassist.api.runtime import Runtime
    from localassist.types.run import Run

    R = TypeVar("R")

# The openai SDK's `poll` returns at these.
DONE = frozenset({"requires_action", "cancelled", "completed", "failed", "expired", "incomplete"})
_LOOK_S = 0.25  # another process's runs send no events here


def refuse_stream(params: Mapping[str, Any]) -> None:
    """Refuse `stream=True` where the caller is given the run at its end.

    Raises:
        BadRequestError: it is set.
    """
    if params.get("stream"):
        raise BadRequestError(
            "Invalid 'stream': whoever waits for the run's end gets no stream.",
            code="invalid_value",
            param="stream",
            hint="Leave it out, or use the stream method.",
        )


def wait_for_run(runtime: Runtime, *, run_id: str, thread_id: str) -> Run:
    """Return the run once it is over or needs an action."""
    subscription = runtime.bus.subscribe(run_id, deltas=False)
    try:
        while (run := runs.find(runtime, run_id, thread_id)).status not in DONE:
            subscription.discard(_LOOK_S)
        return run
    finally:
        subscription.cancel()


async def wait_for_run_async(
    runtime: Runtime, find: Callable[[], Awaitable[Run]], *, run_id: str
) -> Run:
    """As `wait_for_run`, without keeping an OS thread; `find` returns the run as it is now."""
    subscription = runtime.bus.subscribe(run_id, deltas=False)
    try:
        while (run := await find()).status not in DONE:
            await subscription.ready_async(_LOOK_S)
            subscription.discard(0)
        return run
    finally:
        subscription.cancel()


def wait_for_index(runtime: Runtime, find: Callable[[], R], is_done: Callable[[R], bool]) -> R:
    """Return what `find` finds once it is done; looks whenever a piece has been indexed."""
    while not is_done(found := find()):
        runtime.retrieval.ingester.wait_for_piece(_LOOK_S)
    return found


async def wait_for_index_async(find: Callable[[], Awaitable[R]], is_done: Callable[[R], bool]) -> R:
    """As `wait_for_index`, without keeping an OS thread."""
    while not is_done(found := await find()):
        await asyncio.sleep(_LOOK_S / 2)
    return found
