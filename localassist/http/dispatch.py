"""Dispatch: from a request to a reply, without a socket.

Nothing is raised: what goes wrong is an error's JSON with its status.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from localassist.api.chat import ChatStream
from localassist.api.operation import OPTIONS
from localassist.errors import BadRequestError, LocalAssistError
from localassist.http import routes, sse
from localassist.http.body import params_of
from localassist.http.generation import refuse_foreign
from localassist.http.message import BYTES, EVENTS, Reply, json_reply
from localassist.http.shape import BETA_PATHS, printed, shape_of
from localassist.runs.bus import Subscription

if TYPE_CHECKING:
    from localassist.api.operation import Operation
    from localassist.api.runtime import Runtime
    from localassist.http.message import Request
    from localassist.http.shape import Shape

log = logging.getLogger("localassist.http")

POLL_AFTER_MS = 100
# What the SDK's helpers poll.
_POLLED = frozenset(
    {
        "beta.threads.runs.retrieve",
        "vector_stores.files.retrieve",
        "vector_stores.file_batches.retrieve",
    }
)
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_LISTS = frozenset({"include"})
_NUMBERS = frozenset({"limit"})


def handle(runtime: Runtime, request: Request) -> Reply:
    """Answer a request."""
    started = time.perf_counter()
    request_id = runtime.new_id("req")
    try:
        reply = _answer(runtime, request)
    except LocalAssistError as error:
        reply = error_reply(error.status, error.body)
    except Exception as error:
        log.exception("%s %s failed", request.method, request.path)
        reply = error_reply(500, _unexpected(error))
    reply.headers["x-request-id"] = request_id
    reply.headers["openai-processing-ms"] = str(int((time.perf_counter() - started) * 1000))
    return reply


def error_reply(status: int, body: dict[str, Any]) -> Reply:
    """The reply for an error. What fails here fails again: it is not to be retried."""
    headers = {"x-should-retry": "false"} if status >= 500 else {}
    return json_reply(status, {"error": body}, headers)


def _answer(runtime: Runtime, request: Request) -> Reply:
    segments = request.segments()
    match = routes.match(segments)
    if not match.routes:
        return _no_route(404, f"Invalid URL ({request.method} {request.path[:200]})")
    route = match.routes.get(request.method)
    if route is None:
        return _no_route(405, f"Not allowed to {request.method} on {request.path[:200]}.")
    # A request that does not say its generation is told so before anything else is looked at.
    default = runtime.settings.http_version
    shape = shape_of(request.headers, segments, default=default, stream=False)
    with params_of(request) as body:
        if segments[0] in BETA_PATHS:
            refuse_foreign(body, shape)
        stream = body.get("stream") is True and route.stream is not None
        operation = route.stream if stream else route.plain
        assert operation is not None, "a path's stream has a plain operation beside it"
        if stream:
            body.pop("stream")
        given = {**body, **_query(request, body)}
        if foreign := sorted(given.keys() & (OPTIONS | match.ids.keys())):
            raise BadRequestError(
                f"Unknown parameter: '{foreign[0]}'.", code="unknown_parameter", param=foreign[0]
            )
        result = operation.call(runtime, **given, **match.ids)
    stream = stream or isinstance(result, Subscription)
    shape = shape_of(request.headers, segments, default=default, stream=stream)
    return _reply(operation, result, shape)


def _query(request: Request, body: dict[str, Any]) -> dict[str, Any]:
    """Parameters from the query, of the types that an operation takes."""
    found: dict[str, Any] = {}
    for raw, value in request.pairs():
        name = raw.removesuffix("[]")
        if name in _LISTS:
            found.setdefault(name, []).append(value)
        elif name in _NUMBERS:
            found[name] = int(value) if _NUMBER.fullmatch(value) else value
        else:
            found[name] = value
    if both := found.keys() & body.keys():
        raise BadRequestError(f"'{min(both)}' is given twice.", param=min(both))
    return found


def _reply(operation: Operation, result: Any, shape: Shape) -> Reply:
    if isinstance(result, bytes):
        return Reply(200, {"content-type": BYTES, "content-length": str(len(result))}, result)
    if isinstance(result, Subscription):
        return _events(result, shape)
    if isinstance(result, ChatStream):
        return _chunks(result)
    headers = {"openai-version": "2020-10-01"}
    if operation.name in _POLLED:
        headers["openai-poll-after-ms"] = str(POLL_AFTER_MS)
    return json_reply(200, printed(result, shape), headers)


def _events(subscription: Subscription, shape: Shape) -> Reply:
    def frame(event: Any) -> bytes:
        return sse.frame(printed(event.data, shape), name=_event_name(event.event, shape))

    stream = sse.EventStream(subscription, frame, on_close=subscription.cancel)
    return Reply(200, _stream_headers(), stream)


def _chunks(chat: ChatStream) -> Reply:
    def frame(chunk: Any) -> bytes:
        return sse.frame(printed(chunk, "v2"))

    stream = sse.EventStream(chat, frame, named=False, on_close=chat.cancel)
    return Reply(200, _stream_headers(), stream)


def _event_name(name: str, shape: Shape) -> str:
    """The first generation has no `incomplete` run; its clients are told of a failure."""
    return "thread.run.failed" if shape != "v2" and name == "thread.run.incomplete" else name


def _stream_headers() -> dict[str, str]:
    return {"content-type": EVENTS, "cache-control": "no-cache", "x-accel-buffering": "no"}


def _no_route(status: int, message: str) -> Reply:
    error = BadRequestError(message)
    return error_reply(status, error.body)


def _unexpected(error: Exception) -> dict[str, Any]:
    return {
        "message": f"localassist failed: {error!r}",
        "type": "server_error",
        "param": None,
        "code": None,
    }
