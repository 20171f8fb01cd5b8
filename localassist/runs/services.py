"""Services: what runs work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from localassist.runs.bus import EventBus
    from localassist.store.blobs import Blobs
    from localassist.store.connection import Store, Transaction
    from localassist.types.stream_event import AssistantStreamEvent


@dataclass(frozen=True)
class Services:
    """What runs work with.

    Attributes:
        store: the data folder.
        blobs: the bytes of files.
        bus: who listens.
        now: seconds since the epoch.
        new_id: makes an id of a prefix.
        owner: this process, in leases.
        lease_s: how long a lease lasts without a heartbeat.
    """

    store: Store
    blobs: Blobs
    bus: EventBus
    now: Callable[[], float]
    new_id: Callable[[str], str]
    owner: str
    lease_s: float

    def announce(self, tx: Transaction, run_id: str, events: list[AssistantStreamEvent]) -> None:
        """Publish the events once `tx` is committed."""
        tx.after_commit(lambda: self.bus.publish(run_id, events))
