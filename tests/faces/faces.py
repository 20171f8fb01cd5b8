"""Faces: every way to reach the API, so that one scenario is run on all of them.

The older SDKs need another HTTP library than the installed one: each has a process of its own,
see `worker.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import time
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from localassist import (
    AsyncClient,
    Client,
    LocalAssistError,
    ScriptedBackend,
    Settings,
    async_openai_client,
    openai_client,
)
from localassist.api.runtime import Runtime

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

NATIVE = ("native", "native-async")
SOCKET = ("socket",)
IN_PROCESS = ("openai-3", "openai-3-async")
OLDER = ("openai-1.20.0", "openai-1.2.3")
ALL = (*NATIVE, *IN_PROCESS, *OLDER, *SOCKET)
STREAMING = tuple(name for name in ALL if name != "openai-1.2.3")
N_CTX = 100_000  # a scripted token is a byte


@dataclass(frozen=True)
class Error:
    """What a face says is wrong."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None


@dataclass
class Face:
    """A client, and the little in which faces are spelled differently.

    Attributes:
        name: one of ALL.
        client: used like `openai.OpenAI()`.
        runtime: what it reaches.
    """

    name: str
    client: Any
    runtime: Runtime
    version: str = field(init=False)

    def __post_init__(self) -> None:
        self.version = "v1" if self.name in ("native", *OLDER) else "v2"

    def searching(self, *file_ids: str) -> dict[str, Any]:
        """Parameters of an assistant that searches files, in the face's own generation."""
        if self.version == "v1":
            return {"tools": [{"type": "retrieval"}], "file_ids": list(file_ids)}
        store = self.client.vector_stores.create(file_ids=list(file_ids))
        resources = {"file_search": {"vector_store_ids": [store.id]}}
        return {"tools": [{"type": "file_search"}], "tool_resources": resources}

    def unknown(self, **params: Any) -> dict[str, Any]:
        """Arguments for parameters that there are not."""
        return params if self.name in NATIVE else {"extra_body": params}

    def ended(self, run: Any) -> Any:
        """The run once nothing happens by itself any more."""
        while run.status in ("queued", "in_progress", "cancelling"):
            time.sleep(0.01)
            run = self.client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
        return run

    def error(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Error:
        """What a call is refused with."""
        with pytest.raises(Exception) as caught:  # noqa: PT011 - two packages have their own
            call(*args, **kwargs)
        error = caught.value
        if isinstance(error, LocalAssistError):
            return Error(error.status, error.message, error.param, error.code)
        if not hasattr(error, "response"):
            raise error
        body = error.response.json()["error"]
        assert (error.param, error.code) == (body["param"], body["code"])
        return Error(error.status_code, body["message"], body["param"], body["code"])


def printed(value: Any) -> dict[str, Any]:
    """The JSON of an object, as the document's `show_json` shows it."""
    return json.loads(value.model_dump_json())


@contextmanager
def opened(
    name: str,
    home: Path,
    *,
    reply: Any = None,
    embedder: Any = None,
    gate: threading.Semaphore | None = None,
) -> Iterator[Face]:
    """A face on a new data folder, with a model that answers by `reply` as `gate` lets it."""
    settings = Settings(home=home, api_version="v2" if name == "native-async" else "v1")
    backend = ScriptedBackend(reply, n_ctx=N_CTX, gate=gate)
    runtime = Runtime(settings, backend=backend, embedder=embedder)
    with ExitStack() as closing, warnings.catch_warnings():
        # The third generation of the SDK calls all of this deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        if name not in NATIVE:  # those close it themselves
            closing.callback(runtime.close)
        yield Face(name, _client(name, runtime, closing), runtime)


def _client(name: str, runtime: Runtime, closing: ExitStack) -> Any:
    if name == "native":
        return closing.enter_context(Client.of(runtime))
    if name == "socket":
        import openai
        from serving import served

        port = closing.enter_context(served(runtime))
        url = f"http://127.0.0.1:{port}/v1"
        return closing.enter_context(openai.OpenAI(api_key="any", base_url=url, max_retries=0))
    if name.endswith("async"):
        loop = asyncio.new_event_loop()
        closing.callback(loop.close)
        client = (
            AsyncClient.of(runtime)
            if name == "native-async"
            else async_openai_client(runtime=runtime, max_retries=0)
        )
        closing.callback(lambda: loop.run_until_complete(client.close()))
        return Blocking(client, loop)
    return closing.enter_context(openai_client(runtime=runtime, max_retries=0))


class Blocking:
    """An async client, page or stream whose calls are waited for."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        resource = type(found).__name__.startswith("Async")
        return Blocking(found, self._loop) if resource or inspect.ismethod(found) else found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._inner(*args, **kwargs)
        if inspect.isawaitable(result):
            result = self._wait(result)
        asynchronous = hasattr(result, "__aiter__") or hasattr(result, "__aenter__")
        return Blocking(result, self._loop) if asynchronous else result

    def __iter__(self) -> Iterator[Any]:
        items = aiter(self._inner)
        while True:
            try:
                yield self._wait(anext(items))
            except StopAsyncIteration:
                return

    def __enter__(self) -> Any:
        return Blocking(self._wait(self._inner.__aenter__()), self._loop)

    def __exit__(self, *error: object) -> None:
        self._wait(self._inner.__aexit__(*error))

    def _wait(self, pending: Any) -> Any:
        async def result() -> Any:
            return await pending

        return self._loop.run_until_complete(result())


@dataclass(frozen=True)
class Scenario:
    """What is run on a face.

    Attributes:
        function: takes the face.
        reply: of the scripted model.
        embeds: it needs the embedding model.
    """

    function: Callable[[Face], None]
    reply: Any
    embeds: bool

    def run(self, name: str, home: Path) -> None:
        """Run it on a face of this process."""
        embedder = None
        if self.embeds:
            from watched_embedder import real_embedder

            embedder = real_embedder()
        with opened(name, home, reply=self.reply, embedder=embedder) as face:
            self.function(face)


def on_faces(*names: str, reply: Any = None, embeds: bool = False) -> Any:
    """Make a test of a scenario, which is run on each of these faces."""

    def decorate(function: Callable[[Face], None]) -> Any:
        scenario = Scenario(function, reply, embeds)

        @pytest.mark.parametrize("name", names)
        def test(name: str, home: Path, workers: Any) -> None:
            if name in OLDER:
                workers(name).run(scenario, home)
            else:
                scenario.run(name, home)

        test.scenario = scenario
        return test

    return decorate
