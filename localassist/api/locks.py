"""The lock of a thread: while a run is active on it, nothing may be added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.runs import state
from localassist.runs.endings import Ending, end_run_in
from localassist.store import runs

if TYPE_CHECKING:
    from localassist.api.runtime import Runtime
    from localassist.store.connection import Transaction
    from localassist.types.run import Run


def overdue(runtime: Runtime, run: Run) -> bool:
    """Whether an unfinished run's time is over."""
    expires_at = run.expires_at
    return run.status in state.ACTIVE and expires_at is not None and runtime.now() >= expires_at


def active_run(runtime: Runtime, tx: Transaction, thread_id: str) -> Run | None:
    """The run that locks the thread; one whose time is over is expired instead."""
    active = runs.active_of_thread(tx, thread_id)
    if active is not None and overdue(runtime, active):
        end_run_in(runtime.services, tx, active.id, Ending("expired"))
        return None
    return active
