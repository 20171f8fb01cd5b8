"""The states of a run and the ways between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.errors import LocalAssistError

if TYPE_CHECKING:
    from localassist.types.run import RunStatus

TRANSITIONS: dict[RunStatus, tuple[RunStatus, ...]] = {
    "queued": ("in_progress", "cancelling", "cancelled", "failed", "expired"),
    "in_progress": (
        "requires_action", "completed", "incomplete", "failed", "cancelling", "expired",
    ),
    "requires_action": ("queued", "cancelling", "expired", "failed"),
    "cancelling": ("cancelled", "completed", "incomplete", "failed", "expired"),
    "cancelled": (),
    "failed": (),
    "completed": (),
    "incomplete": (),
    "expired": (),
}  # fmt: skip

TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
ACTIVE = frozenset(TRANSITIONS) - TERMINAL
CANCELLABLE: tuple[RunStatus, ...] = tuple(
    status for status, following in TRANSITIONS.items() if "cancelling" in following
)


def sources(to: RunStatus) -> tuple[RunStatus, ...]:
    """The states from which a run may go to `to`."""
    found = tuple(status for status, following in TRANSITIONS.items() if to in following)
    if not found:
        raise LocalAssistError(f"No run goes to '{to}'.")
    return found
