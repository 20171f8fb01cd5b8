"""Runtime: the one place where everything is wired together, one for each set of settings."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from localassist._ids import new_id
from localassist._owner import new_owner
from localassist.engine.cores import usable_cores
from localassist.engine.manifest import Tooling
from localassist.engine.model_files import (
    ModelFiles,
    check_chat,
    check_memory,
    content_fingerprint,
    context_size,
    has_context_room,
)
from localassist.engine.pool import EnginePool
from localassist.engine.request import SamplingParams
from localassist.engine.tool_dialect import ToolHabits, dialect_of
from localassist.errors import ClosedError
from localassist.retrieval.embed import MODEL as EMBEDDING_MODEL
from localassist.retrieval.rerank import FOLDER as RERANKER_FOLDER
from localassist.retrieval.retrieval import Retrieval
from localassist.runs.bus import EventBus
from localassist.runs.executor import RunExecutor
from localassist.runs.services import Services
from localassist.store.blobs import Blobs
from localassist.store.connection import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from localassist.engine.backend import Backend
    from localassist.engine.kv_store import KvStore
    from localassist.engine.loop import LoopSettings
    from localassist.engine.model_files import ModelFile
    from localassist.engine.request import Engine
    from localassist.interpreter.interpreter import Interpreter
    from localassist.interpreter.sandbox.policy import Tier
    from localassist.retrieval.embed import Embedder
    from localassist.settings import Settings

log = logging.getLogger("localassist.api")


class Runtime:
    """An open data folder, its models and its runs. Any OS thread may use it."""

    def __init__(
        self,
        settings: Settings,
        *,
        backend: Backend | None = None,
        now: Callable[[], float] = time.time,
        make_id: Callable[[str], str] = new_id,
        embedder: Embedder | None = None,
    ) -> None:
        """Open the data folder, and resume what a dead process left there.

        Args:
            settings: see Settings.
            backend: answers for every model instead of a GGUF; for tests.
            now: seconds since the epoch.
            make_id: makes an id of a prefix.
            embedder: used instead of the embedding model; for tests.
        """
        self._process = os.getpid()
        self.settings = settings
        self.now = now
        self.new_id = make_id
        self.models = ModelFiles(settings.models, default=settings.model)
        self._backend = backend
        self.store = Store(settings.home, busy_timeout_s=settings.busy_timeout_s)
        self.blobs = Blobs(settings.home / "blobs")
        self.bus = EventBus()
        self.engines = EnginePool(self._load_engine, key=self._engine_key)
        self.services = Services(
            store=self.store,
            blobs=self.blobs,
            bus=self.bus,
            now=now,
            new_id=make_id,
            owner=new_owner(make_id),
            lease_s=settings.lease_s,
        )
        self.retrieval = Retrieval(
            self.store,
            self.blobs,
            model=settings.models / EMBEDDING_MODEL,
            n_threads=settings.n_threads or usable_cores(),
            owner=self.services.owner,
            now=now,
            lease_s=settings.lease_s,
            embedder=embedder,
            reranker=settings.models / RERANKER_FOLDER,
        )
        self.interpreter = _interpreter(settings)
        self.executor = RunExecutor(
            self.services,
            self.engines,
            max_concurrent_runs=settings.max_concurrent_runs,
            interpreter=self.interpreter,
            retrieval=self.retrieval,
        )
        self.executor.start()
        self.retrieval.ingester.resume()

    def check_model(self, name: str) -> None:
        """Refuse a model that no run could use.

        Raises:
            BadRequestError: code `model_not_found`.
        """
        if self._backend is None and not self.models.knows(name):
            self.models.resolve(name)

    @property
    def is_of_parent(self) -> bool:
        """Whether this process was forked from the one that opened it: its OS threads are there."""
        return os.getpid() != self._process

    def check_process(self) -> None:
        """Refuse a call that nobody would answer.

        Raises:
            ClosedError: see `is_of_parent`.
        """
        if self.is_of_parent:
            raise ClosedError(
                "The client was opened before this process was forked.",
                hint="Fork first and open clients then, or start the process by 'spawn'.",
            )

    def _engine_key(self, name: str) -> str:
        return "" if self._backend is not None else str(self.models.resolve(name).path)

    def close(self) -> None:
        """Stop the runs, which stay resumable, and free everything."""
        if self.is_of_parent:
            return
        self.executor.close()
        self.retrieval.close()
        if self.interpreter is not None:
            self.interpreter.close()
        self.engines.close()
        self.bus.close()
        self.store.close()

    def _load_engine(self, name: str) -> Engine:
        from localassist.engine.thread_engine import ThreadEngine

        if self._backend is not None:
            return ThreadEngine(
                self._backend,
                name=name,
                settings=self._loop_settings,
                kv=self._kv_store(self._backend),
            )
        model = self.models.resolve(name)
        with ExitStack() as on_failure:  # a chat template that cannot be used, say
            backend = self._load_backend(model)
            on_failure.callback(backend.close)
            kv = self._kv_store(backend)
            if kv is not None:
                on_failure.callback(kv.close)
            engine = ThreadEngine(
                backend,
                name=model.name,
                settings=self._loop_settings,
                kv=kv,
                sampling_defaults=SamplingParams(**vars(model.sampling)),
                tools=_habits(model, backend.chat_template),
            )
            on_failure.pop_all()
        return engine

    @property
    def _loop_settings(self) -> LoopSettings:
        from localassist.engine.loop import LoopSettings

        return LoopSettings(
            max_running=self.settings.max_concurrent_runs,
            deterministic=self.settings.deterministic,
            calibration=self.settings.home / "speed",
        )

    def _kv_store(self, backend: Backend) -> KvStore | None:
        from localassist.engine.kv_store import KvStore

        settings = self.settings
        if not settings.kv_ram_mb and not settings.kv_disk_mb:
            return None
        return KvStore(
            settings.home / "kv",
            fingerprint=f"{backend.fingerprint}|{settings.deterministic}",
            ram_bytes=settings.kv_ram_mb * 1_000_000,
            disk_bytes=settings.kv_disk_mb * 1_000_000,
        )

    def _load_backend(self, model: ModelFile) -> Backend:
        from localassist.engine.llama_backend import LlamaBackend, num_sequences

        header, settings = model.header, self.settings
        chat_template = check_chat(header)
        n_ctx = context_size(header, settings.n_ctx)
        check_memory(header, n_ctx=n_ctx)
        started = time.perf_counter()
        backend = LlamaBackend(
            model.path,
            n_ctx=n_ctx,
            n_threads=settings.n_threads or usable_cores(),
            chat_template=chat_template,
            fingerprint=content_fingerprint(model.path),
            num_sequences=num_sequences(settings.max_concurrent_runs),
            n_gpu_layers=settings.n_gpu_layers,
            side_ctx=0 if settings.deterministic else n_ctx // 2,
            has_side_room=lambda: has_context_room(header, n_ctx=n_ctx // 2),
            even_split=settings.even_split,
            repack=settings.repack,
        )
        log.info("loaded %s in %.1f s", model.name, time.perf_counter() - started)
        return backend


def _interpreter(settings: Settings) -> Interpreter | None:
    """None where there is no kind of sandbox; runs that want code run then say so."""
    if sys.platform not in ("linux", "darwin"):
        return None
    from localassist.interpreter.interpreter import Interpreter

    tiers: dict[str, Tier] = {
        "sandboxed:ns": "ns",
        "sandboxed:bwrap": "bwrap",
        "sandboxed:landlock": "landlock",
        "sandboxed:seatbelt": "seatbelt",
        "unsandboxed-i-accept-the-risk": "none",
    }
    tier = tiers.get(settings.code_interpreter)
    if tier == "none":
        log.warning("code of models runs without a sandbox: it may do all that you may do")
    return Interpreter(settings.home / "interpreter", tier=tier)


def _habits(model: ModelFile, template: str) -> ToolHabits:
    tools = model.entry.tools if model.entry is not None else Tooling()
    dialect = dialect_of(template, model=model.name, named=tools.dialect)
    return ToolHabits(
        dialect,
        call_above=tools.call_above,
        again_above=tools.again_above,
        talked_above=tools.talked_above,
        later_above=tools.later_above,
        near_weight=tools.near_weight,
        near_centre=tools.near_centre,
    )


_lock = threading.Lock()
_shared: dict[Settings, tuple[Runtime, int]] = {}
_left: list[Runtime] = []  # the parent's; what they have open is not to be closed


def acquire(settings: Settings) -> Runtime:
    """The runtime of these settings: clients of one process share it."""
    with _lock:
        runtime, users = _shared.get(settings, (None, 0))
        if runtime is None:
            runtime = Runtime(settings)
        _shared[settings] = (runtime, users + 1)
        return runtime


def release(runtime: Runtime) -> None:
    """One client less; the last one closes the runtime."""
    with _lock:
        found, users = _shared.get(runtime.settings, (None, 0))
        if found is runtime and users > 1:
            _shared[runtime.settings] = (runtime, users - 1)
            return
        if found is runtime:
            del _shared[runtime.settings]
    runtime.close()


def _leave_to_parent() -> None:
    """In a process that was forked: whoever held the lock is not there, nor are the runs."""
    global _lock
    _lock = threading.Lock()
    _left.extend(runtime for runtime, _ in _shared.values())
    _shared.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_leave_to_parent)


@atexit.register
def _close_all() -> None:
    # An engine's worker must not be inside llama.cpp when the interpreter goes away.
    with _lock:
        runtimes = [runtime for runtime, _ in _shared.values()]
        _shared.clear()
    for runtime in runtimes:
        runtime.close()
