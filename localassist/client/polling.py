"""Waiting for a run: on its events where this process executes it, else by looking again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.api import runs
from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from localassist.api.runtime import Runtime
    from localassist.types.run import Run

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
