"""The server: who may reach it, and what it takes."""

from __future__ import annotations

import http.client
import json
import logging
import socket

import pytest
from serving import served
from wire import JSON, V2, Wire

from localassist.http import app

KEY = "a long random text"


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    wire = Wire(tmp_path_factory.mktemp("server"))
    yield wire
    wire.close()


@pytest.fixture(scope="module")
def port(wire):
    with served(wire.runtime) as port:
        yield port


@pytest.fixture(scope="module")
def locked_port(wire):
    with served(wire.runtime, api_key=KEY, hosts=None) as port:
        yield port


@pytest.fixture
def made(wire):
    """How many assistants a test has made."""

    def count():
        return len(wire.ask("GET", "/assistants?limit=100")["data"])

    before = count()
    return lambda: count() - before


def ask(port, method, path, body=None, **headers):
    """Status, JSON and headers of the reply."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    given = {**V2, **JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, body, given)
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    return reply.status, json.loads(text) if text else None, reply.headers


def refusal(port, path="/v1/assistants", **headers):
    status, found, _ = ask(port, "GET", path, **headers)
    assert list(found) == ["error"]
    assert found["error"]["type"] == "invalid_request_error"
    return status, found["error"]["code"]


def sent(port, data):
    """What comes back for bytes, until the server closes or says that it is done."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(data)
        return received(connection)


def received(connection):
    reply = http.client.HTTPResponse(connection)
    reply.begin()
    return reply.status, json.loads(reply.read())


def raw(method, path, *headers, body=b""):
    lines = [f"{method} {path} HTTP/1.1", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_it_is_reached_by_the_names_of_this_machine(port, name):
    for host in (name, f"{name}:{port}"):
        status, found, _ = ask(port, "GET", "/v1/assistants", host=host)
        assert (status, found["object"]) == (200, "list")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "0.0.0.0",
        "127.0.0.2", "", "[::2]:80",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/assistants", "/health"])
def test_another_name_is_refused(port, host, path):
    assert refusal(port, path, host=host) == (403, "host_not_allowed")


def test_a_request_without_a_name_is_refused(port):
    status, found = sent(port, b"GET /v1/assistants HTTP/1.0\r\nOpenAI-Beta: assistants=v2\r\n\r\n")
    assert (status, found["error"]["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1", "file://"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_page_of_another_site_is_refused(port, made, origin, method):
    status, found, headers = ask(port, method, "/v1/assistants", b'{"model": "m"}', origin=origin)
    assert (status, found["error"]["code"]) == (403, "origin_not_allowed")
    assert not [name for name in headers if name.lower().startswith("access-control-")]
    assert made() == 0


def test_a_page_of_its_own_is_let_in(port):
    assert ask(port, "GET", "/v1/assistants", origin=f"http://127.0.0.1:{port}")[0] == 200


def test_the_key_is_asked_for(locked_port):
    status, found, _ = ask(locked_port, "GET", "/v1/assistants", authorization=f"Bearer {KEY}")
    assert (status, found["object"]) == (200, "list")
    assert ask(locked_port, "GET", "/v1/models", authorization=f"bearer {KEY}")[0] == 200


@pytest.mark.parametrize(
    "given",
    [
        None, "", "Bearer", "Bearer ", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", KEY,
        "Bearer \u00ff\u00fe", f"Bearer {KEY} {KEY}", "Bearer " + "x" * 10_000,
    ],
)  # fmt: skip
def test_another_key_is_refused_and_nothing_is_done(locked_port, made, given):
    headers = {} if given is None else {"authorization": given}
    for path in ("/v1/assistants", "/v1/nowhere", "/"):
        assert refusal(locked_port, path, **headers) == (401, "invalid_api_key")
    ask(locked_port, "POST", "/v1/assistants", b'{"model": "m"}', **headers)
    assert made() == 0


def test_with_a_key_it_has_any_name(locked_port):
    headers = {"host": "box.lan:8000", "authorization": f"Bearer {KEY}"}
    assert ask(locked_port, "GET", "/v1/assistants", **headers)[0] == 200


def test_its_health_is_told_to_whoever_asks(port, locked_port):
    for each in (port, locked_port):
        assert ask(each, "GET", "/health")[:2] == (200, {"status": "ok"})


def test_paths_are_those_that_were_sent(port):
    for path in ("/v1//assistants", "/v1/%2e%2e/health", "/v1/files/%2e%2e%2f", "//", "/v1/%00"):
        status, found, _ = ask(port, "GET", path)
        assert status in (400, 404)
        assert found["error"]["message"]
    status, found, _ = ask(port, "GET", "/v1/threads/thread_%C3%A9")
    assert (status, found["error"]["param"]) == (400, "thread_id")


def test_every_answer_of_an_operation_has_an_id(port):
    ids = [ask(port, "GET", path)[2]["x-request-id"] for path in ("/v1/models", "/v1/nowhere")]
    assert all(each.startswith("req_") for each in ids)
    assert ids[0] != ids[1]


def form(size):
    head = b'--e\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    return (
        head % (b"purpose", b"", b"assistants")
        + head % (b"file", b'; filename="a.txt"', b"x" * size)
        + b"--e--\r\n"
    )


def test_a_body_that_is_too_large_is_refused(port, made, monkeypatch):
    monkeypatch.setattr(app, "MAX_JSON_BYTES", 1_000)
    body = json.dumps({"model": "m", "instructions": "x" * 900}).encode()
    for size, expected in ((1_000, 200), (1_001, 413), (5_000_000, 413)):
        status, found, _ = ask(port, "POST", "/v1/assistants", body + b" " * (size - len(body)))
        assert status == expected
        assert status == 200 or found["error"]["code"] == "too_large"
    assert made() == 1


def test_a_body_of_unknown_length_is_counted(port, monkeypatch):
    monkeypatch.setattr(app, "MAX_JSON_BYTES", 1_000)
    piece = b"190\r\n" + b" " * 400 + b"\r\n"
    head = raw(
        "POST", "/v1/assistants", f"Host: 127.0.0.1:{port}", "OpenAI-Beta: assistants=v2",
        "Transfer-Encoding: chunked",
    )  # fmt: skip
    assert sent(port, head + piece * 3)[0] == 413
    status, found = sent(port, head + piece * 2 + b"0\r\n\r\n")
    assert (status, found["error"]["code"]) == (400, "invalid_json")


def test_an_upload_may_be_larger_than_json(port, wire, monkeypatch):
    monkeypatch.setattr(app, "MAX_JSON_BYTES", 1_000)
    monkeypatch.setattr(app, "MAX_UPLOAD_BYTES", 3_000_000)
    kind = "multipart/form-data; boundary=e"
    status, found, _ = ask(port, "POST", "/v1/files", form(2_500_000), content_type=kind)
    assert (status, found["bytes"]) == (200, 2_500_000)
    status, found, _ = ask(port, "POST", "/v1/files", form(3_000_000), content_type=kind)
    assert (status, found["error"]["code"]) == (413, "too_large")
    assert ask(port, "POST", "/v1/vector_stores", form(2_000), content_type=kind)[0] == 413
    assert len(wire.ask("GET", "/files")["data"]) == 1


def test_too_many_headers_are_refused(port, monkeypatch):
    monkeypatch.setattr(app, "MAX_HEADERS", 20)
    assert ask(port, "GET", "/v1/models", **{f"x_{number}": "a" for number in range(15)})[0] == 200
    assert refusal(port, **{f"x_{number}": "a" for number in range(20)}) == (431, None)


def test_a_body_that_stops_coming_is_dropped(wire, made):
    with served(wire.runtime, body_silence_s=0.1) as port:
        head = raw(
            "POST", "/v1/assistants", f"Host: 127.0.0.1:{port}", "OpenAI-Beta: assistants=v2",
            "Content-Type: application/json", "Content-Length: 14",
        )  # fmt: skip
        status, found = sent(port, head + b'{"mod')
        assert (status, found["error"]["code"]) == (408, "timeout")
        assert sent(port, head + b'{"model": "m"}')[0] == 200
    assert made() == 1


def test_a_client_that_goes_in_the_middle_of_its_body_leaves_nothing(port, made):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            raw("POST", "/v1/assistants", f"Host: 127.0.0.1:{port}", "Content-Length: 100",
                "Content-Type: application/json", body=b'{"model": "m"}')
        )  # fmt: skip
    assert ask(port, "GET", "/health")[0] == 200
    assert made() == 0


@pytest.mark.parametrize(
    "data",
    [b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\r\n\r\n"],
)
def test_what_is_no_http_does_not_stop_it(port, data):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert not connection.recv(10_000).startswith(b"HTTP/1.1 2")
    assert ask(port, "GET", "/health")[0] == 200


def test_the_log_says_what_was_asked_and_nothing_of_its_content(locked_port, caplog):
    caplog.set_level(logging.DEBUG, logger="localassist.http")
    body = json.dumps({"model": "m", "instructions": "nobody may know"}).encode()
    path = "/v1/assistants?limit=hidden"
    reply = ask(locked_port, "POST", "/v1/assistants", body, authorization=f"Bearer {KEY}")
    ask(locked_port, "GET", path, authorization=f"Bearer {KEY}")
    first, second = [each for each in caplog.records if each.name == "localassist.http"]
    assert first.getMessage() == "POST /v1/assistants 200"
    assert first.request_id == reply[2]["x-request-id"]
    assert second.getMessage() == "GET /v1/assistants 400"
    for text in ("nobody may know", KEY, "hidden"):
        assert text not in caplog.text
