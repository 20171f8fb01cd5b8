"""Operations on run steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from localassist.api import runs as run_operations
from localassist.api._given import given
from localassist.errors import NotFoundError
from localassist.store import run_steps
from localassist.types._base import ListPage
from localassist.types.params import StepListParams, StepParams
from localassist.types.run_step import RunStep, without_found_text
from localassist.types.values import RunId, StepId, ThreadId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localassist.api.runtime import Runtime


def retrieve_run_step(
    runtime: Runtime,
    step_id: StepId,
    thread_id: ThreadId,
    run_id: RunId,
    **params: Unpack[StepParams],
) -> RunStep:
    """Return a step of a run."""
    run_operations.find(runtime, run_id, thread_id)
    step = run_steps.TABLE.get(runtime.store.read(), step_id)
    if step is None or step.run_id != run_id:
        raise NotFoundError(f"No run step found with id '{step_id}'.")
    return _shown(step, params)


def list_run_steps(
    runtime: Runtime, run_id: RunId, thread_id: ThreadId, **params: Unpack[StepListParams]
) -> ListPage[RunStep]:
    """List a run's steps, newest first."""
    run_operations.find(runtime, run_id, thread_id)
    page = given(params)
    page.pop("include", None)
    found = run_steps.TABLE.page(runtime.store.read(), parent_id=run_id, **page)
    for step in found.data:
        _shown(step, params)
    return found


def _shown(step: RunStep, params: Mapping[str, Any]) -> RunStep:
    """A step without the text that a search has found, unless it is asked for."""
    return step if params.get("include") else without_found_text(step)
