"""Client and AsyncClient: a data folder, opened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from localassist.api import runtime as runtimes
from localassist.api.runtime import Runtime
from localassist.client.async_file_resources import AsyncFiles, AsyncVectorStores
from localassist.client.async_resources import AsyncBeta, AsyncChat, AsyncEmbeddings, AsyncModels
from localassist.client.closing import AsyncClosing, Closing
from localassist.client.file_resources import Files, VectorStores
from localassist.client.resources import Beta, Chat, Embeddings, Models
from localassist.settings import Settings

if TYPE_CHECKING:
    import os

    from typing_extensions import Self

    from localassist.engine.backend import Backend
    from localassist.engine.request import EngineStats

_ASYNC_CALLS = 8  # short operations at once; streams and waits take no OS thread


class _Face:
    """What both clients have in common: a runtime, shared within the process."""

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        model: str | None = None,
        settings: Settings | None = None,
        backend: Backend | None = None,
    ) -> None:
        """Open a data folder; clients of the same settings share everything.

        Args:
            home: the data folder; by default `LOCALASSIST_HOME`, else the user's data folder.
            model: the default chat model: a name, or a path to a GGUF.
            settings: replaces the environment's settings; `home` and `model` still win.
            backend: answers for every model instead of a GGUF, see ScriptedBackend; such a client
                shares nothing but the data folder.

        Raises:
            HomeError: the folder cannot be used.
            BadRequestError: a setting is wrong.
        """
        if settings is None:
            settings = Settings.from_env(home=home, model=model)
        else:
            settings = replace(
                settings,
                home=settings.home if home is None else Path(home),
                model=settings.model if model is None else model,
            )
        self._shared = backend is None
        self._runtime = (
            runtimes.acquire(settings) if backend is None else Runtime(settings, backend=backend)
        )
        self._closed = False

    @classmethod
    def of(cls, runtime: Runtime) -> Self:
        """A client on a runtime of your own, with its own clock or ids; closing it closes both."""
        client = cls.__new__(cls)
        client._runtime, client._shared, client._closed = runtime, False, False
        return client

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._runtime.settings

    def status(self) -> dict[str, EngineStats]:
        """What is going on in this process, by the name of the loaded model.

        `waiting_for` says why runs that are `in_progress` do not answer yet.
        """
        return self._runtime.engines.stats()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._shared:
            runtimes.release(self._runtime)
        else:
            self._runtime.close()


class Client(_Face, Closing):
    """The Assistants API on this machine; used like `openai.OpenAI()`."""

    @cached_property
    def beta(self) -> Beta:
        """Assistants and threads."""
        return Beta(self._runtime)

    @cached_property
    def chat(self) -> Chat:
        """Chat completions."""
        return Chat(self._runtime)

    @cached_property
    def files(self) -> Files:
        """Files."""
        return Files(self._runtime)

    @cached_property
    def vector_stores(self) -> VectorStores:
        """Vector stores."""
        return VectorStores(self._runtime)

    @cached_property
    def embeddings(self) -> Embeddings:
        """Embeddings."""
        return Embeddings(self._runtime)

    @cached_property
    def models(self) -> Models:
        """Models."""
        return Models(self._runtime)

    @override
    def close(self) -> None:
        """Stop; runs that are not done are resumed by the next client of the folder."""
        self._close()


class AsyncClient(_Face, AsyncClosing):
    """As Client, for coroutines."""

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_ASYNC_CALLS, thread_name_prefix="async-call")

    @cached_property
    def beta(self) -> AsyncBeta:
        """Assistants and threads."""
        return AsyncBeta(self._runtime, self._pool)

    @cached_property
    def chat(self) -> AsyncChat:
        """Chat completions."""
        return AsyncChat(self._runtime, self._pool)

    @cached_property
    def files(self) -> AsyncFiles:
        """Files."""
        return AsyncFiles(self._runtime, self._pool)

    @cached_property
    def vector_stores(self) -> AsyncVectorStores:
        """Vector stores."""
        return AsyncVectorStores(self._runtime, self._pool)

    @cached_property
    def embeddings(self) -> AsyncEmbeddings:
        """Embeddings."""
        return AsyncEmbeddings(self._runtime, self._pool)

    @cached_property
    def models(self) -> AsyncModels:
        """Models."""
        return AsyncModels(self._runtime, self._pool)

    @override
    async def close(self) -> None:
        """Stop; runs that are not done are resumed by the next client of the folder."""
        self._pool.shutdown()
        self._close()
