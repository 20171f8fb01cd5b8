"""Chat completions: the stateless companion. Nothing is kept."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from localassist._caller import caller_gone
from localassist._channel import Channel
from localassist.api.response_format import check_response_format
from localassist.api.tools import check_tool_choice, stored_tools
from localassist.errors import BadRequestError, ClosedError, LocalAssistError
from localassist.runs.chat import Answering, Ended, Text, ToolCalls
from localassist.runs.model_calls import Interrupted
from localassist.types.chat_completion import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    Choice,
    ChoiceDelta,
    ChunkChoice,
)
from localassist.types.companion_params import ChatCompletionParams
from localassist.types.tool import CalledFunction, RequiredFunctionCall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from localassist.api.runtime import Runtime
    from localassist.runs.chat import Event

_MAX_STREAMS = 32
_NOBODY_WAITS = "Nobody waits for this answer any more."


class ChatStream(Channel[ChatCompletionChunk]):
    """The chunks of one answer, as they come. Closing it ends the generation."""

    def __init__(self, stopped: threading.Event) -> None:
        super().__init__()
        self.stopped = stopped

    def cancel(self) -> None:
        """Nobody reads any more."""
        self.stopped.set()
        self.close()


def create_chat_completion(
    runtime: Runtime, **params: Unpack[ChatCompletionParams]
) -> ChatCompletion:
    """Answer a list of messages and keep nothing."""
    text: list[str] = []
    calls: list[RequiredFunctionCall] | None = None
    ended: Ended | None = None
    try:
        for event in _events(runtime, params, caller_gone()):
            if isinstance(event, Text):
                text.append(event.text)
            elif isinstance(event, ToolCalls):
                calls = _calls(runtime, event)
            else:
                ended = event
    except Interrupted:
        raise ClosedError(_NOBODY_WAITS) from None
    assert ended is not None, "an answer ends, or raises"
    return ChatCompletion(
        **_head(runtime, params),
        choices=[
            Choice(
                finish_reason=ended.reason,
                message=ChatCompletionMessage(
                    content=None if calls else "".join(text), tool_calls=calls
                ),
            )
        ],
        usage=ended.usage,
    )


def stream_chat_completion(runtime: Runtime, **params: Unpack[ChatCompletionParams]) -> ChatStream:
    """Answer a list of messages, piece by piece."""
    _check(runtime, params)
    with _streams_lock:
        if len(_streams) >= _MAX_STREAMS:
            raise BadRequestError(
                f"There are {_MAX_STREAMS} streams already, which is the most.",
                code="too_many_streams",
                hint="Try again when one has ended.",
            )
    events = _events(runtime, params, stopped := caller_gone())
    # What is wrong with the request shows before the first event, while there is a status yet.
    try:
        first = next(events)
    except Interrupted:
        raise ClosedError(_NOBODY_WAITS) from None
    stream = ChatStream(stopped)
    worker = threading.Thread(
        target=_write,
        args=(runtime, params, stream, itertools.chain([first], events)),
        name="chat-stream",
        daemon=True,
    )
    with _streams_lock:
        _streams.add(worker)
    worker.start()
    return stream


_streams: set[threading.Thread] = set()
_streams_lock = threading.Lock()


def _write(
    runtime: Runtime, params: Mapping[str, Any], stream: ChatStream, events: Iterator[Event]
) -> None:
    try:
        for chunk in _chunks(runtime, params, events):
            stream.put(chunk)
        stream.close()
    except (Interrupted, ClosedError):
        stream.close()
    except LocalAssistError as error:
        stream.close(error)
    except Exception as error:  # noqa: BLE001 - whoever reads is told
        stream.close(error)
    finally:
        with _streams_lock:
            _streams.discard(threading.current_thread())


def _chunks(
    runtime: Runtime, params: Mapping[str, Any], events: Iterator[Event]
) -> Iterator[ChatCompletionChunk]:
    head = _head(runtime, params)

    def chunk(delta: ChoiceDelta, **more: Any) -> ChatCompletionChunk:
        return ChatCompletionChunk(**head, choices=[ChunkChoice(delta=delta, **more)])

    yield chunk(ChoiceDelta(role="assistant", content=""))
    for event in events:
        if isinstance(event, Text):
            yield chunk(ChoiceDelta(content=event.text))
        elif isinstance(event, ToolCalls):
            for index, call in enumerate(_calls(runtime, event)):
                function = {"name": call.function.name, "arguments": ""}
                begun = {"index": index, "id": call.id, "type": "function", "function": function}
                yield chunk(ChoiceDelta(tool_calls=[begun]))
                grown = {"index": index, "function": {"arguments": call.function.arguments}}
                yield chunk(ChoiceDelta(tool_calls=[grown]))
        else:
            yield chunk(ChoiceDelta(), finish_reason=event.reason)
            if (params.get("stream_options") or {}).get("include_usage"):
                yield ChatCompletionChunk(**head, choices=[], usage=event.usage)


def _events(
    runtime: Runtime, params: Mapping[str, Any], stopped: threading.Event
) -> Iterator[Event]:
    tools = _check(runtime, params)
    with runtime.engines.use(params["model"]) as engine:
        answering = Answering(
            engine,
            params,
            tools,
            now=int(runtime.now()),
            stopped=stopped,
            nearness=runtime.retrieval.nearness,
        )
        yield from answering.events()


def _check(runtime: Runtime, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tools, as they are stored elsewhere; refuses what cannot be done."""
    runtime.check_model(params["model"])
    tools = stored_tools(params.get("tools"))
    check_tool_choice(params.get("tool_choice"), tools)
    check_response_format(params.get("response_format"))
    return tools


def _head(runtime: Runtime, params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": runtime.new_id("chatcmpl").replace("_", "-"),
        "created": int(runtime.now()),
        "model": params["model"],
    }


def _calls(runtime: Runtime, event: ToolCalls) -> list[RequiredFunctionCall]:
    return [
        RequiredFunctionCall(
            id=runtime.new_id("call"),
            function=CalledFunction(name=call.name, arguments=call.arguments),
        )
        for call in event.calls
    ]
