"""Streams over a socket: readers that go, that are slow, and that are many."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import pytest
from serving import served
from wire import JSON, V2, Wire, parsed

from localassist import ScriptedBackend

ORDER = [
    "thread.created", "thread.run.created", "thread.run.queued", "thread.run.in_progress",
    "thread.run.step.created", "thread.run.step.in_progress", "thread.message.created",
    "thread.message.in_progress", "thread.message.delta", "thread.message.completed",
    "thread.run.step.completed", "thread.run.completed", "done",
]  # fmt: skip


@pytest.fixture
def free(home):
    wire = Wire(home, backend=ScriptedBackend(n_ctx=100_000))
    with served(wire.runtime, send_buffer_bytes=4096) as port:
        yield wire, port
    wire.close()


def opened(port, assistant_id, text, *, connection=None):
    """A reply whose events are yet to be read."""
    if connection is None:
        connection = socket.create_connection(("127.0.0.1", port))
    body = json.dumps(
        {
            "assistant_id": assistant_id,
            "thread": {"messages": [{"role": "user", "content": text}]},
            "stream": True,
        }
    ).encode()
    lines = [
        "POST /v1/threads/runs HTTP/1.1", f"Host: 127.0.0.1:{port}",
        *(f"{name}: {value}" for name, value in {**V2, **JSON}.items()),
        f"Content-Length: {len(body)}", "", "",
    ]  # fmt: skip
    connection.sendall("\r\n".join(lines).encode() + body)
    reply = http.client.HTTPResponse(connection)
    reply.begin()
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
    assert reply.headers["content-length"] is None
    return connection, reply


def frames(reply, count):
    """The first frames of a reply, as they come."""
    lines = [reply.readline().decode() for _ in range(3 * count)]
    return parsed("".join(lines))


def assistant_of(wire):
    return wire.ask("POST", "/assistants", {"model": "gpt-4"})["id"]


def run_of(wire, run):
    """The run once it is over."""
    path = f"/threads/{run['thread_id']}/runs/{run['id']}"
    while (found := wire.ask("GET", path))["status"] in ("queued", "in_progress"):
        pass
    return found


def said(events):
    deltas = [data["delta"]["content"][0] for name, data in events if name.endswith("age.delta")]
    return "".join(each["text"]["value"] for each in deltas)


def order(events):
    return [name for name, _ in groupby(name for name, _ in events)]


def test_events_come_as_they_happen(gated, gate):
    wire, port = gated
    connection, reply = opened(port, assistant_of(wire), "hi")
    first = frames(reply, 4)  # nothing has been computed yet
    assert order(first) == ORDER[:4]
    gate.release(1_000_000)
    events = first + parsed(reply.read().decode())
    connection.close()
    assert order(events) == ORDER
    assert said(events) == "You said: hi"


@pytest.mark.parametrize("count", range(1, 12))
def test_a_client_that_goes_at_an_event_does_not_stop_the_run(gated, gate, count):
    wire, port = gated
    connection, reply = opened(port, assistant_of(wire), "hi")
    events = frames(reply, min(count, 4))
    if count > 4:
        gate.release(1_000_000)
        events += frames(reply, count - 4)
    run = next((data for name, data in events if name.startswith("thread.run")), None)
    reply.close()
    connection.close()
    gate.release(1_000_000)
    if run is None:
        run = wire.ask("GET", f"/threads/{events[0][1]['id']}/runs")["data"][0]
    assert run_of(wire, run)["status"] == "completed"
    answer = wire.ask("GET", f"/threads/{run['thread_id']}/messages")["data"][0]
    assert answer["content"][0]["text"]["value"] == "You said: hi"


def test_a_cancelled_run_says_so_in_its_stream(gated, gate):
    wire, port = gated
    connection, reply = opened(port, assistant_of(wire), "word " * 200)
    events = frames(reply, 4)
    gate.release(5)
    while events[-1][0] != "thread.message.delta":
        events += frames(reply, 1)
    run = events[1][1]
    path = f"/threads/{run['thread_id']}/runs/{run['id']}"
    assert wire.ask("POST", f"{path}/cancel")["status"] == "cancelling"
    gate.release(1_000_000)
    events += parsed(reply.read().decode())
    connection.close()
    names = order([each for each in events if each[0] != "thread.message.delta"])
    assert names == [
        *ORDER[:8], "thread.run.cancelling", "thread.run.step.cancelled",
        "thread.message.incomplete", "thread.run.cancelled", "done",
    ]  # fmt: skip
    by_name = dict(events)
    assert by_name["thread.message.incomplete"]["incomplete_details"] == {"reason": "run_cancelled"}
    assert by_name["thread.run.cancelled"] == wire.ask("GET", path)


def test_a_stream_that_is_joined_late_has_every_event_once(gated, gate):
    wire, port = gated
    connection, reply = opened(port, assistant_of(wire), "hi")
    events = frames(reply, 4)
    gate.release(3)
    while events[-1][0] != "thread.message.delta":
        events += frames(reply, 1)
    run = events[1][1]
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/events"
    late = http.client.HTTPConnection("127.0.0.1", port)
    late.request("GET", path, headers=V2)
    joined = late.getresponse()
    gate.release(1_000_000)
    events += parsed(reply.read().decode())
    connection.close()
    again = parsed(joined.read().decode())
    late.close()
    after = parsed(b"".join(wire.send("GET", path).chunks()).decode())
    for each in (again, after):
        assert order(each) == [name for name in ORDER if name in dict(each)]
        assert said(each) == said(events) == "You said: hi"
        assert [one for one in each if not is_delta(one)] == [
            one for one in events if not is_delta(one) and one[0] in dict(each)
        ]
    assert order(again)[-len(ORDER) + 1 :] == ORDER[1:]


def is_delta(event):
    return event[0] == "thread.message.delta"


def test_a_reader_that_does_not_read_holds_nobody_up(free):
    wire, port = free
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    text = "".join(f"{number:04} " for number in range(600))
    _, reply = opened(port, assistant_of(wire), text, connection=connection)
    events = frames(reply, 2)
    run = events[1][1]
    assert run_of(wire, run)["status"] == "completed"
    other, another = opened(port, assistant_of(wire), "hi")
    assert order(parsed(another.read().decode())) == ORDER
    other.close()
    events += parsed(reply.read().decode())
    connection.close()
    assert order(events) == ORDER
    assert said(events) == f"You said: {text}"


def test_clients_that_stream_at_once_get_every_event_once(free):
    wire, port = free
    assistant_id = assistant_of(wire)
    together = threading.Barrier(4)

    def stream(number):
        together.wait()
        connection, reply = opened(port, assistant_id, f"caller {number} " * 20)
        events = parsed(reply.read().decode())
        connection.close()
        return events

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(stream, range(4)))
    threads = set()
    for number, events in enumerate(found):
        assert order(events) == ORDER
        assert said(events) == "You said: " + f"caller {number} " * 20
        counted = [name for name, _ in events if name != "thread.message.delta"]
        assert len(set(counted)) == len(counted)
        threads.add(events[0][1]["id"])
        (message,) = {data["id"] for name, data in events if name.startswith("thread.message")}
        stored = wire.ask("GET", f"/threads/{events[0][1]['id']}/messages/{message}")
        assert stored == dict(events)["thread.message.completed"]
    assert len(threads) == 4
