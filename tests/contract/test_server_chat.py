"""Chat completions over a socket: they take as long as a model does, and hold nobody up."""

from __future__ import annotations

import http.client
import json
import time

import pytest
from wire import JSON, V2

PATIENCE_S = 20


def asked(port, text, **options):
    """A connection whose answer is yet to come."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": text}], **options}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), JSON)
    return connection


def in_work(wire):
    return sum(each.running + each.waiting for each in wire.runtime.engines.stats().values())


def wait_for(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_ends_its_answer(gated, gate, stream):
    wire, port = gated
    connection = asked(port, "word " * 500, stream=stream)
    wait_for(lambda: in_work(wire) == 1)
    gate.release(3)
    connection.close()
    released = 3
    while in_work(wire):  # a step has to be computed for the cancellation to be seen
        gate.release()
        released += 1
        time.sleep(0.01)
    assert released < 500, "it wrote on for nobody"


def test_who_waits_for_an_answer_gets_it(gated, gate):
    wire, port = gated
    connection = asked(port, "hi")
    wait_for(lambda: in_work(wire) == 1)
    gate.release(1_000_000)
    with connection.getresponse() as reply:
        assert reply.status == 200
        message = json.loads(reply.read())["choices"][0]["message"]
    connection.close()
    assert message["content"] == "You said: hi"


def test_answers_that_are_waited_for_do_not_hold_up_other_requests(gated, gate):
    wire, port = gated
    waiting = [asked(port, f"{'word ' * 50}{number}") for number in range(12)]

    def all_in_work():
        gate.release()  # whoever has come is seen at the next step
        return in_work(wire) == len(waiting)

    wait_for(all_in_work)
    quick = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    quick.request("GET", "/v1/assistants", headers=V2)
    assert quick.getresponse().status == 200
    quick.close()
    gate.release(1_000_000)
    for number, connection in enumerate(waiting):
        reply = json.loads(connection.getresponse().read())
        connection.close()
        assert reply["choices"][0]["message"]["content"].endswith(f" {number}")
