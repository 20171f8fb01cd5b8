"""Corners of the wire that were wrong once."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from serving import served
from wire import JSON, V2, Wire, content

from localassist import Client, ScriptedBackend
from localassist.http.app import App
from localassist.http.server import listening_socket, server

CHAT = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}], "stream": True}
UNANSWERED = {
    "role": "assistant",
    "tool_calls": [
        {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""}}
    ],
}


@pytest.fixture
def wire(home):
    wire = Wire(home, backend=ScriptedBackend(lambda _: "one\u2028two\u0085three"))
    yield wire
    wire.close()


@pytest.mark.parametrize("limit", ["--5", "9" * 5000, "5-", "+1", "\u0665"])
def test_a_limit_that_is_no_number_is_refused(wire, limit):
    reply = wire.send("GET", f"/v1/assistants?limit={limit}")
    assert (reply.status, content(reply)["error"]["param"]) == (400, "limit")


def test_a_schema_that_nests_too_deeply_is_refused(wire):
    schema = {"type": "object"}
    for _ in range(225):
        schema = {"type": "object", "properties": {"a": schema}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    wire.ask("POST", "/assistants", {"model": "gpt-4", "tools": [tool]}, status=400)


@pytest.mark.parametrize("key", ["thread_id", "timeout", "extra_body", "extra_headers"])
def test_what_is_no_parameter_of_the_wire_is_refused(wire, key):
    thread = wire.ask("POST", "/threads", {})["id"]
    body = {"role": "user", "content": "hi", key: "thread_other"}
    error = wire.ask("POST", f"/threads/{thread}/messages", body, status=400)["error"]
    assert (error["code"], error["param"]) == ("unknown_parameter", key)


def test_the_generation_is_asked_for_before_the_body_is_read(wire):
    reply = wire.send("POST", "/v1/threads", b"{", headers=JSON)
    assert content(reply)["error"]["code"] == "invalid_beta"


def test_a_chat_stream_that_cannot_be_is_refused_before_it_begins(wire):
    body = {**CHAT, "messages": [*CHAT["messages"], UNANSWERED]}
    error = wire.ask("POST", "/chat/completions", body, status=400)["error"]
    assert "call_a" in error["message"]
    long = {**CHAT, "messages": [{"role": "user", "content": "word " * 20_000}]}
    assert wire.ask("POST", "/chat/completions", long, status=400)["error"]["code"]


def test_what_old_sdks_take_for_ends_of_lines_is_escaped(wire):
    reply = wire.send("POST", "/v1/chat/completions", json.dumps(CHAT).encode())
    text = b"".join(reply.chunks()).decode()
    assert not any(char in text for char in "\u2028\u2029\u0085")
    chunks = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert said == "one\u2028two\u0085three"


@pytest.mark.parametrize(
    ("name", "stored"), [("..", "upload"), ("e\0t\nc", "etc"), ("a/..", "upload")]
)
def test_a_file_gets_a_name_that_can_stand_in_a_folder(wire, name, stored):
    client = Client.of(wire.runtime)
    assert client.files.create(file=(name, b"x"), purpose="assistants").filename == stored


def test_a_quotation_mark_in_a_files_name_arrives(wire):
    form = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a %22b%22.txt"\r\n\r\nx\r\n'
        b"--b--\r\n"
    )
    headers = {**V2, "content-type": "multipart/form-data; boundary=b"}
    reply = wire.send("POST", "/v1/files", form, headers=headers)
    assert content(reply)["filename"] == 'a "b".txt'


def test_many_runs_at_once_can_each_be_joined_from_their_beginning(wire):
    made = wire.ask("POST", "/assistants", {"model": "gpt-4"})
    body = {"assistant_id": made["id"], "thread": {"messages": CHAT["messages"]}}
    runs = [wire.ask("POST", "/threads/runs", body) for _ in range(80)]
    joined = 0
    for run in runs:
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/events"
        reply = wire.send("GET", path)
        if reply.status == 400:  # it has been forgotten, which is said
            assert content(reply)["error"]["code"] == "no_events"
        else:
            joined += 1
            assert next(reply.chunks()).startswith(b"event: thread.created")
            reply.close()
    assert joined >= 32


@pytest.mark.parametrize("head", ["Host: [", "Host: [::1", "Host: a@localhost", "Origin: http://["])
def test_a_broken_name_is_refused(wire, head):
    with served(wire.runtime) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        host = "" if head.startswith("Host") else "Host: 127.0.0.1\r\n"
        connection.sendall(f"GET /v1/models HTTP/1.1\r\n{host}{head}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 403")


def test_a_head_that_does_not_end_is_dropped(wire):
    listening = listening_socket("127.0.0.1", 0)
    running = server(App(wire.runtime), header_s=0.2)
    worker = threading.Thread(target=running.run, args=([listening],))
    worker.start()
    try:
        with socket.create_connection(listening.getsockname()) as connection:
            connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: lo")
            assert connection.recv(100) == b""
    finally:
        running.should_exit = True
        worker.join()
