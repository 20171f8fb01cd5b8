"""From a function of the API to a method of a resource, sync and async, with its types kept."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any, Concatenate, TypeVar, get_type_hints

from typing_extensions import ParamSpec

from localassist.api.operation import OPTIONS, Operation
from localassist.api.operations import BY_HANDLER
from localassist.client.chunks import AsyncChunkStream, ChunkStream
from localassist.client.pagination import AsyncCursorPage, AsyncPaginator, CursorPage
from localassist.client.streaming import AsyncRunStream, RunStream
from localassist.errors import ClosedError
from localassist.types._base import ListPage, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor

    from localassist.api.chat import ChatStream
    from localassist.api.runtime import Runtime
    from localassist.runs.bus import Subscription

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Resource:
    """A group of methods on one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime


class AsyncResource(Resource):
    """The same for coroutines; calls run in a small pool, since everything below blocks."""

    def __init__(self, runtime: Runtime, pool: Executor) -> None:
        super().__init__(runtime)
        self._pool = pool


def method(handler: Callable[Concatenate[Runtime, P], R]) -> Callable[Concatenate[Resource, P], R]:
    """A method that checks its arguments and calls `handler`."""
    operation = BY_HANDLER[handler]

    @functools.wraps(handler)
    def call(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return _call(operation, self._runtime, args, kwargs)  # type: ignore[no-any-return]  # the handler's type

    return _described(call, operation)


def list_method(
    handler: Callable[Concatenate[Runtime, P], ListPage[T]],
) -> Callable[Concatenate[Resource, P], CursorPage[T]]:
    """As `method`; the page can be iterated beyond its end."""
    operation = BY_HANDLER[handler]

    @functools.wraps(handler)
    def call(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> CursorPage[T]:
        def fetch(**more: Any) -> ListPage[T]:
            return _call(operation, self._runtime, args, {**kwargs, **more})  # type: ignore[no-any-return]  # the handler's type

        return CursorPage.of(fetch(), fetch)

    return _described(call, operation)


def stream_method(
    handler: Callable[Concatenate[Runtime, P], Subscription],
) -> Callable[Concatenate[Resource, P], RunStream]:
    """As `method`; the result yields the run's events."""
    operation = BY_HANDLER[handler]

    @functools.wraps(handler)
    def call(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> RunStream:
        handler: Any = kwargs.pop("event_handler", None)
        subscription = operation.call(self._runtime, *args, **kwargs)
        version = self._runtime.settings.api_version
        return RunStream(subscription, version=version, handler=handler)

    return _described(call, operation)


def joinable_stream_method(
    handler: Callable[Concatenate[Runtime, P], Subscription],
    join: Callable[..., Subscription],
) -> Callable[Concatenate[Resource, P], RunStream]:
    """As `stream_method`; with `run_id`, the events of a run that has begun, from its beginning."""
    begin, joined = stream_method(handler), stream_method(join)

    @functools.wraps(handler)
    def call(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> RunStream:
        if "run_id" in kwargs:
            return joined(self, *args, **kwargs)
        return begin(self, *args, **kwargs)

    return _described(call, BY_HANDLER[handler])


def async_joinable_stream_method(
    handler: Callable[Concatenate[Runtime, P], Subscription],
    join: Callable[..., Subscription],
) -> Callable[Concatenate[AsyncResource, P], Coroutine[Any, Any, AsyncRunStream]]:
    """As `joinable_stream_method`, for coroutines."""
    begin, joined = async_stream_method(handler), async_stream_method(join)

    @functools.wraps(handler)
    async def call(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncRunStream:
        if "run_id" in kwargs:
            return await joined(self, *args, **kwargs)
        return await begin(self, *args, **kwargs)

    return _described(call, BY_HANDLER[handler])


def streamable_method(
    handler: Callable[Concatenate[Runtime, P], R],
    stream_handler: Callable[Concatenate[Runtime, P], Subscription],
) -> Callable[Concatenate[Resource, P], R]:
    """As `method`; with `stream=True` it is the stream method, as in the openai SDK."""
    plain, stream = method(handler), stream_method(stream_handler)

    @functools.wraps(handler)
    def call(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("stream") is True:
            return stream(self, *args, **kwargs)  # type: ignore[return-value]  # typed users call `stream`
        return plain(self, *args, **kwargs)

    return _described(call, BY_HANDLER[handler])


def async_method(
    handler: Callable[Concatenate[Runtime, P], R],
) -> Callable[Concatenate[AsyncResource, P], Coroutine[Any, Any, R]]:
    """As `method`, for coroutines."""
    operation = BY_HANDLER[handler]

    @functools.wraps(handler)
    async def call(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await _in_pool(self, lambda: _call(operation, self._runtime, args, kwargs))

    return _described(call, operation)


def async_list_method(
    handler: Callable[Concatenate[Runtime, P], ListPage[T]],
) -> Callable[Concatenate[AsyncResource, P], AsyncPaginator[T]]:
    """As `list_method`; the result can be awaited for a page or iterated for everything."""
    operation = BY_HANDLER[handler]

    @functools.wraps(handler)
    def call(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncPaginator[T]:
        async def fetch(**more: Any) -> AsyncCursorPage[T]:
            def page() -> ListPage[T]:
                return _call(operation, self._runtime, args, {**kwargs, **more})  # type: ignore[no-any-return]  # the handler's type

            return AsyncCursorPage.of(await _in_pool(self, page), fetch)

        return AsyncPaginator(fetch)

    return _described(call, operation)


def async_stream_method(
    handler: Callable[Concatenate[Runtime, P], Subscription],
) -> Callable[Concatenate[AsyncResource, P], Coroutine[Any, Any, AsyncRunStream]]:
    """As `stream_method`, for coroutines."""
    operation = BY_HANDLER[handler]

    @functools.wraps(handler)
    async def call(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncRunStream:
        runtime = self._runtime
        handler: Any = kwargs.pop("event_handler", None)
        subscription = await _in_pool(self, lambda: operation.call(runtime, *args, **kwargs))
        return AsyncRunStream(subscription, version=runtime.settings.api_version, handler=handler)

    return _described(call, operation)


def async_streamable_method(
    handler: Callable[Concatenate[Runtime, P], R],
    stream_handler: Callable[Concatenate[Runtime, P], Subscription],
) -> Callable[Concatenate[AsyncResource, P], Coroutine[Any, Any, R]]:
    """As `streamable_method`, for coroutines."""
    plain, stream = async_method(handler), async_stream_method(stream_handler)

    @functools.wraps(handler)
    async def call(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("stream") is True:
            return await stream(self, *args, **kwargs)  # type: ignore[return-value]  # typed users call `stream`
        return await plain(self, *args, **kwargs)

    return _described(call, BY_HANDLER[handler])


def chunked_method(
    handler: Callable[Concatenate[Runtime, P], R],
    stream_handler: Callable[Concatenate[Runtime, P], ChatStream],
) -> Callable[Concatenate[Resource, P], R]:
    """As `method`; with `stream=True` it returns the answer's chunks."""
    plain, streamed = BY_HANDLER[handler], BY_HANDLER[stream_handler]

    @functools.wraps(handler)
    def call(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("stream") is True:
            return ChunkStream(streamed.call(self._runtime, *args, **kwargs))  # type: ignore[return-value]  # as in the openai SDK
        return _call(plain, self._runtime, args, kwargs)  # type: ignore[no-any-return]  # the handler's type

    return _described(call, plain)


def async_chunked_method(
    handler: Callable[Concatenate[Runtime, P], R],
    stream_handler: Callable[Concatenate[Runtime, P], ChatStream],
) -> Callable[Concatenate[AsyncResource, P], Coroutine[Any, Any, R]]:
    """As `chunked_method`, for coroutines."""
    plain, streamed = BY_HANDLER[handler], BY_HANDLER[stream_handler]

    @functools.wraps(handler)
    async def call(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> R:
        runtime = self._runtime
        if kwargs.get("stream") is True:
            stream = await _in_pool(self, lambda: streamed.call(runtime, *args, **kwargs))
            return AsyncChunkStream(stream)  # type: ignore[return-value]  # as in the openai SDK
        return await _in_pool(self, lambda: _call(plain, runtime, args, kwargs))

    return _described(call, plain)


def _call(operation: Operation, runtime: Runtime, args: Any, kwargs: Any) -> Any:
    result = operation.call(runtime, *args, **kwargs)
    if isinstance(result, Model):
        in_version(result, runtime)
    return result


def in_version(result: Model, runtime: Runtime) -> None:
    """Have an object, or a page and all its objects, print in the version of the settings."""
    version = runtime.settings.api_version
    result.in_version(version)
    for each in getattr(result, "data", ()):
        each.in_version(version)


async def _in_pool(resource: AsyncResource, work: Callable[[], R]) -> R:
    try:
        pending = asyncio.get_running_loop().run_in_executor(resource._pool, work)
    except RuntimeError as error:  # the pool was shut down
        raise ClosedError("The client is closed.") from error
    return await pending


def _described(call: Callable[P, R], operation: Operation) -> Callable[P, R]:
    """Give `help()` and editors the parameters by name instead of `**params`."""
    handler = operation.handler
    ids = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for name in operation.path_params
    ]
    names = [name for name in _param_names(handler) if name not in OPTIONS]
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in names
    ]
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    call.__signature__ = inspect.Signature([this, *ids, *keywords])  # type: ignore[attr-defined]  # read by inspect
    return call


def _param_names(handler: Callable[..., Any]) -> list[str]:
    shim = type("Hints", (), {"__annotations__": {"params": handler.__annotations__["params"]}})
    unpacked = get_type_hints(shim, globalns=handler.__globals__)["params"]
    return list(unpacked.__args__[0].__annotations__)
