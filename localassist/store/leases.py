"""Leases: which process executes which run. An expired lease may be taken over by anyone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from localassist.store.connection import Transaction

_GRANT = "INSERT INTO lease (run_id, owner, expires_at) VALUES (?, ?, ?)"
_TAKE = "UPDATE lease SET owner = ?, expires_at = ? WHERE run_id = ? AND owner = ?"
_HEARTBEAT = "UPDATE lease SET expires_at = ? WHERE owner = ?"
_RELEASE = "DELETE FROM lease WHERE run_id = ?"
_HELD = "SELECT 1 FROM lease WHERE run_id = ? AND owner = ?"
_FOREIGN = "SELECT run_id, owner, expires_at FROM lease WHERE owner <> ? ORDER BY run_id"
_OWN = """
    SELECT run.id, run.status FROM lease JOIN run ON run.id = lease.run_id WHERE lease.owner = ?
"""


@dataclass(frozen=True)
class Lease:
    """A claim of `owner` on a run; `expires_at` is in seconds since the epoch."""

    run_id: str
    owner: str
    expires_at: float


def grant(tx: Transaction, run_id: str, *, owner: str, expires_at: float) -> None:
    """Give a new run to `owner`."""
    tx.execute(_GRANT, (run_id, owner, expires_at))


def take_over(tx: Transaction, lease: Lease, *, owner: str, expires_at: float) -> bool:
    """Take a run from a dead owner; False if somebody else was first."""
    return tx.execute(_TAKE, (owner, expires_at, lease.run_id, lease.owner)).rowcount == 1


def heartbeat(tx: Transaction, *, owner: str, expires_at: float) -> None:
    """Prolong all leases of `owner`."""
    tx.execute(_HEARTBEAT, (expires_at, owner))


def held(tx: Transaction, run_id: str, *, owner: str) -> bool:
    """Whether the run is still `owner`'s; a sleeping laptop can lose it to another process."""
    return tx.execute(_HELD, (run_id, owner)).fetchone() is not None


def release(tx: Transaction, run_id: str) -> None:
    """End the lease of a run that is over."""
    tx.execute(_RELEASE, (run_id,))


def of_others(connection: sqlite3.Connection, owner: str) -> list[Lease]:
    """The leases that `owner` does not hold."""
    return [Lease(*row) for row in connection.execute(_FOREIGN, (owner,))]


def own_statuses(connection: sqlite3.Connection, owner: str) -> dict[str, str]:
    """Status by run id of the runs that `owner` executes."""
    return {row[0]: row[1] for row in connection.execute(_OWN, (owner,))}
