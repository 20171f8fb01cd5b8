"""Operations on run steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import Unpack

from localassist.api import runs as run_operations
from localassist.api._given import given
from localassist.errors import NotFoundError
from localassist.store import run_steps
from localassist.types._base import ListPage
from localassist.types.params import ListParams, NoParams
from localassist.types.run_step import RunStep
from localassist.types.values import RunId, StepId, ThreadId

if TYPE_CHECKING:
    from localassist.api.runtime import Runtime


def retrieve_run_step(
    runtime: Runtime,
    step_id: StepId,
    thread_id: ThreadId,
    run_id: RunId,
    **params: Unpack[NoParams],
) -> RunStep:
    """Return a step of a run."""
    run_operations.find(runtime, run_id, thread_id)
    step = run_steps.TABLE.get(runtime.store.read(), step_id)
    if step is None or step.run_id != run_id:
        raise NotFoundError(f"No run step found with id '{step_id}'.")
    return step


def list_run_steps(
    runtime: Runtime, run_id: RunId, thread_id: ThreadId, **params: Unpack[ListParams]
) -> ListPage[RunStep]:
    """List a run's steps, newest first."""
    run_operations.find(runtime, run_id, thread_id)
    return run_steps.TABLE.page(runtime.store.read(), parent_id=run_id, **given(params))
