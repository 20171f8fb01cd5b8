"""RunExecutor: who executes which run, and when.

A pool of OS threads executes the runs of this process; one more, the watcher, prolongs their
leases, passes on cancellations that other processes asked for, ends overdue runs and takes over
those whose process died.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

from localassist._owner import owner_may_live
from localassist.errors import ClosedError, LocalAssistError
from localassist.runs.endings import Ending, end_run
from localassist.runs.loop import RunLoop
from localassist.store import leases, runs

if TYPE_CHECKING:
    from localassist.engine.pool import EnginePool
    from localassist.interpreter.interpreter import Interpreter
    from localassist.retrieval.retrieval import Retrieval
    from localassist.runs.services import Services

log = logging.getLogger("localassist.runs")

WATCH_S = 0.5


class RunExecutor:
    """Executes runs. Every method may be called from any OS thread."""

    def __init__(
        self,
        services: Services,
        engines: EnginePool,
        *,
        max_concurrent_runs: int,
        interpreter: Interpreter | None = None,
        retrieval: Retrieval | None = None,
        watch_s: float = WATCH_S,
    ) -> None:
        self._services = services
        self._engines = engines
        self._interpreter = interpreter
        self._retrieval = retrieval
        self._max_workers = max_concurrent_runs
        self._watch_s = watch_s
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._workers: list[threading.Thread] = []
        self._idle_workers = 0
        self._queued: set[str] = set()
        self._loops: dict[str, RunLoop] = {}
        self._closing = threading.Event()
        self._next_heartbeat = 0.0
        self._next_renewal = 0.0
        self._watcher = threading.Thread(target=self._watch, name="run-watcher", daemon=True)

    def start(self) -> None:
        """Take over what dead processes left, and watch from now on."""
        self._adopt_orphans()
        self._watcher.start()

    def submit(self, run_id: str) -> None:
        """Execute a run whose lease this process holds, as soon as a worker is free."""
        with self._lock:
            if self._closing.is_set():
                raise ClosedError("The client is closed.")
            self._queued.add(run_id)
            if self._idle_workers < len(self._queued) and len(self._workers) < self._max_workers:
                worker = threading.Thread(
                    target=self._work, name=f"run-worker-{len(self._workers)}", daemon=True
                )
                self._workers.append(worker)
                worker.start()
        self._queue.put(run_id)

    def cancel(self, run_id: str) -> None:
        """A run went to `cancelling`: stop it if it is ours."""
        with self._lock:
            loop = self._loops.get(run_id)
            waiting = loop is None and run_id in self._queued
        if loop is not None:
            loop.cancel()
        elif waiting:
            end_run(self._services, run_id, Ending("cancelled"))

    def close(self) -> None:
        """Stop; runs that are not done stay as they are, for another process to resume."""
        self._closing.set()
        with self._lock:
            loops, workers = list(self._loops.values()), list(self._workers)
        for loop in loops:
            loop.abandon()
        for _ in workers:
            self._queue.put(None)
        for worker in workers:
            worker.join()
        if self._watcher.ident is not None:
            self._watcher.join()
        with self._services.store.write() as tx:
            leases.heartbeat(tx, owner=self._services.owner, expires_at=0.0)

    # --- workers ---

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle_workers += 1
            run_id = self._queue.get()
            with self._lock:
                self._idle_workers -= 1
            if run_id is None or self._closing.is_set():
                return
            try:
                self._execute(run_id)
            except Exception:  # a worker outlives whatever a run does to it
                log.exception("the worker of run %s failed", run_id, extra={"run_id": run_id})
            finally:
                with self._lock:
                    self._loops.pop(run_id, None)

    def _execute(self, run_id: str) -> None:
        with self._lock:
            self._queued.discard(run_id)
            run = runs.TABLE.get(self._services.store.read(), run_id)
            if run is None or run.status not in ("queued", "in_progress", "cancelling"):
                return
            loop = self._loops[run_id] = RunLoop(
                self._services,
                self._engines,
                run,
                interpreter=self._interpreter,
                retrieval=self._retrieval,
            )
        loop.execute()

    # --- the watcher ---

    def _watch(self) -> None:
        while not self._closing.wait(self._watch_s):
            try:
                self._watch_once()
            except (LocalAssistError, OSError):
                log.exception("the watcher could not do its round")

    def _watch_once(self) -> None:
        services = self._services
        now = services.now()
        if self._interpreter is not None:
            self._interpreter.reap()
        if self._retrieval is not None:
            self._retrieval.ingester.resume()
        own = leases.own_statuses(services.store.read(), services.owner)
        if own and now >= self._next_heartbeat:
            self._next_heartbeat = now + services.lease_s / 3
            with services.store.write() as tx:
                leases.heartbeat(tx, owner=services.owner, expires_at=now + services.lease_s)
        if self._retrieval is not None and now >= self._next_renewal:
            self._next_renewal = now + services.lease_s / 3
            self._retrieval.ingester.renew()
        for run_id, status in own.items():
            if status == "cancelling":
                self.cancel(run_id)
        for run in runs.overdue(services.store.read(), int(now)):
            if run.id not in self._loops:  # a run in work ends itself, with its text and usage
                end_run(services, run.id, Ending("expired"))
        self._adopt_orphans()

    def _adopt_orphans(self) -> None:
        services = self._services
        now = services.now()
        for lease in leases.of_others(services.store.read(), services.owner):
            if lease.expires_at > now and owner_may_live(lease.owner):
                continue
            with services.store.write() as tx:
                taken = leases.take_over(
                    tx, lease, owner=services.owner, expires_at=now + services.lease_s
                )
            if taken:
                log.info("resuming run %s", lease.run_id, extra={"run_id": lease.run_id})
                self.submit(lease.run_id)
