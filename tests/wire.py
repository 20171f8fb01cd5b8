"""Wire: requests as bytes, put to the dispatch without a socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from localassist import ScriptedBackend, Settings
from localassist._ids import new_id
from localassist.api.runtime import Runtime
from localassist.http.dispatch import handle
from localassist.http.message import Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localassist.http.message import Reply

V1 = {"openai-beta": "assistants=v1"}
LATE_V1 = {**V1, "x-stainless-package-version": "1.20.0"}
V2 = {"openai-beta": "assistants=v2"}
JSON = {"content-type": "application/json"}


class Wire:
    """A runtime and what is asked of it. A status other than the expected one is a failure."""

    def __init__(
        self,
        home: Path,
        *,
        backend: ScriptedBackend | None = None,
        make_id: Callable[[str], str] = new_id,
        embedder: Any = None,
        **settings: Any,
    ):
        self.runtime = Runtime(
            Settings(home=home, **settings),
            backend=backend or ScriptedBackend(),
            make_id=make_id,
            embedder=embedder,
        )

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """The reply to a request; `headers` replace those of v2 and JSON."""
        path, _, query = path.partition("?")
        given = {**V2, **JSON} if headers is None else headers
        return handle(self.runtime, Request(method, path, query, given, body))

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        status: int = 200,
    ) -> Any:
        """The JSON that answers JSON."""
        raw = b"" if body is None else json.dumps(body).encode()
        reply = self.send(method, "/v1" + path, raw, headers={**JSON, **(headers or V2)})
        found = content(reply)
        assert reply.status == status, found
        return found

    def events(
        self, path: str, body: Any, *, headers: dict[str, str] | None = None
    ) -> list[tuple[str, Any]]:
        """Names and data of a stream, its end included."""
        raw = json.dumps({**body, "stream": True}).encode()
        reply = self.send("POST", "/v1" + path, raw, headers={**JSON, **(headers or V2)})
        assert reply.headers["content-type"] == "text/event-stream", content(reply)
        return parsed(b"".join(reply.chunks()).decode())

    def finished_run(self, text: str = "hi", **params: Any) -> Any:
        """A run to its end on a new thread, as v2 shows it."""
        made = self.ask("POST", "/assistants", {"model": "gpt-4", **params.pop("assistant", {})})
        body = {
            "assistant_id": made["id"],
            "thread": {"messages": [{"role": "user", "content": text}]},
            **params,
        }
        name, run = self.events("/threads/runs", body)[-2]
        assert name.startswith("thread.run."), name
        return run

    def close(self) -> None:
        self.runtime.close()


def content(reply: Reply) -> Any:
    """The JSON of a reply."""
    assert reply.headers["content-type"] == "application/json"
    return json.loads(b"".join(reply.chunks()))


def parsed(text: str) -> list[tuple[str, Any]]:
    """Frames of server-sent events: the name, and the data's JSON or its bare text."""
    frames = []
    for frame in text.removesuffix("\n\n").split("\n\n"):
        first, second = frame.split("\n")
        assert first.startswith("event: "), frame
        assert second.startswith("data: "), frame
        data = second.removeprefix("data: ")
        frames.append(
            (first.removeprefix("event: "), data if data == "[DONE]" else json.loads(data))
        )
    return frames


def error_of(reply: Reply) -> dict[str, Any]:
    """The error that a reply says, in the one form that there is."""
    found = content(reply)
    assert list(found) == ["error"]
    assert list(found["error"]) == ["message", "type", "param", "code"]
    assert found["error"]["message"]
    return found["error"]
