"""EnginePool: the loaded models of a process. A model is loaded at its first use."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from localassist.errors import ClosedError, ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localassist.engine.request import Engine, EngineStats


class EnginePool:
    """Engines by model. Every method may be called from any OS thread."""

    def __init__(self, load: Callable[[str], Engine], *, key: Callable[[str], str]) -> None:
        """Make an empty pool.

        Args:
            load: returns an engine for the name of a model.
            key: what the names have in common that mean the same weights.
        """
        self._load = load
        self._key = key
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}
        self._engines: dict[str, Engine] = {}  # least recently used first
        self._users: dict[str, int] = {}
        self._closed = False

    @contextmanager
    def use(self, name: str) -> Iterator[Engine]:
        """The model's engine, loaded if need be; it stays loaded while it is in use.

        Raises:
            ModelError: it cannot be loaded.
        """
        key = self._key(name)
        engine = self._acquire(key, name)
        try:
            yield engine
        finally:
            with self._lock:
                self._users[key] -= 1

    def stats(self) -> dict[str, EngineStats]:
        """What is going on, by the name of the loaded model."""
        with self._lock:
            engines = list(self._engines.values())
        return {engine.name: engine.stats for engine in engines}

    def close(self) -> None:
        """Close every engine; open generations end with ClosedError."""
        with self._lock:
            self._closed = True
            engines, self._engines = list(self._engines.values()), {}
        for engine in engines:
            engine.close()

    def _acquire(self, key: str, name: str) -> Engine:
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            with self._lock:
                if self._closed:
                    raise ClosedError("The client is closed.")
                engine = self._engines.pop(key, None)
                self._users[key] = self._users.get(key, 0) + 1
            try:
                engine = engine or self._load_with_room(name)
            except BaseException:
                with self._lock:
                    self._users[key] -= 1
                raise
            with self._lock:
                self._engines[key] = engine
            return engine

    def _load_with_room(self, name: str) -> Engine:
        while True:
            try:
                return self._load(name)
            except ModelTooLargeError:
                if not self._unload_one():
                    raise

    def _unload_one(self) -> bool:
        """Close the idle engine that was not used for longest; False if there is none."""
        with self._lock:
            idle = [name for name in self._engines if not self._users.get(name)]
            engine = self._engines.pop(idle[0]) if idle else None
        if engine is None:
            return False
        engine.close()
        return True
