"""Errors on the wire: JSON with the service's texts, whatever generation asks."""

from __future__ import annotations

import re

import pytest
from wire import JSON, LATE_V1, V1, V2, Wire, error_of

from localassist._ids import new_id

MISSING_BETA = {
    "message": (
        "You must provide the 'OpenAI-Beta' header to access the Assistants API. Please try again "
        "by setting the header 'OpenAI-Beta: assistants=v2'."
    ),
    "type": "invalid_request_error",
    "param": None,
    "code": "invalid_beta",
}


@pytest.fixture
def wire(home):
    wire = Wire(home)
    yield wire
    wire.close()


@pytest.mark.parametrize("beta", [{}, {"openai-beta": ""}, {"openai-beta": "assistants=v3"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/assistants"),
        ("GET", "/v1/assistants/asst_x"),
        ("POST", "/v1/threads"),
        ("GET", "/v1/threads/thread_x/messages"),
        ("POST", "/v1/threads/thread_x/runs/run_x/cancel"),
    ],
)
def test_a_request_without_its_generation_is_refused_as_the_service_did(wire, method, path, beta):
    reply = wire.send(method, path, headers={**JSON, **beta})
    assert (reply.status, error_of(reply)) == (400, MISSING_BETA)


def test_every_reply_has_an_id_of_its_own(wire):
    replies = [
        wire.send("GET", "/v1/assistants"),
        wire.send("GET", "/v1/assistants"),
        wire.send("GET", "/v1/nowhere"),
        wire.send("GET", "/v1/threads/thread_x"),
        wire.send("POST", "/v1/assistants", b"{"),
    ]
    ids = [reply.headers["x-request-id"] for reply in replies]
    assert all(re.fullmatch(r"req_[A-Za-z0-9]+", each) for each in ids)
    assert len(set(ids)) == len(ids)


ERRORS = [
    ("GET", "/assistants/asst_x", None, 404, "No assistant found with id 'asst_x'.", None, None),
    ("GET", "/threads/thread_x", None, 404, "No thread found with id 'thread_x'.", None, None),
    ("GET", "/files/file-x", None, 404, "No such File object: file-x", "id", None),
    (
        "GET", "/threads/foo", None, 400,
        "Invalid 'thread_id': 'foo'. Expected an ID that begins with 'thread'.",
        "thread_id", "invalid_value",
    ),
    (
        "POST", "/assistants", {"model": "m", "bar": 1}, 400,
        "Unknown parameter: 'bar'.", "bar", "unknown_parameter",
    ),
    (
        "POST", "/assistants", {}, 400,
        "Missing required parameter: 'model'.", "model", "missing_required_parameter",
    ),
    (
        "POST", "/assistants", {"model": "m", "name": 1}, 400,
        "Invalid type for 'name': expected a string, but got an integer instead.",
        "name", "invalid_type",
    ),
    (
        "GET", "/assistants?limit=101", None, 400,
        "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 "
        "instead.", "limit", "integer_above_max_value",
    ),
    ("GET", "/foo", None, 404, "Invalid URL (GET /v1/foo)", None, None),
]  # fmt: skip


@pytest.mark.parametrize("headers", [V1, LATE_V1, V2], ids=["v1", "v1-late", "v2"])
@pytest.mark.parametrize("case", ERRORS, ids=[f"{each[0]} {each[1]}" for each in ERRORS])
def test_an_error_has_the_text_of_the_service(wire, case, headers):
    method, path, body, status, message, param, code = case
    found = wire.ask(method, path, body, status=status, headers=headers)
    assert found == {
        "error": {
            "message": message, "type": "invalid_request_error", "param": param, "code": code,
        }
    }  # fmt: skip


def test_only_what_fails_in_the_server_is_not_to_be_retried(home):
    def make_id(prefix):
        if prefix == "asst":
            raise RuntimeError(prefix)
        return new_id(prefix)

    wire = Wire(home, make_id=make_id)
    reply = wire.send("POST", "/v1/assistants", b'{"model": "m"}')
    assert (reply.status, error_of(reply)["type"]) == (500, "server_error")
    assert reply.headers["x-should-retry"] == "false"
    assert "x-should-retry" not in wire.send("GET", "/v1/nowhere").headers
    wire.close()
