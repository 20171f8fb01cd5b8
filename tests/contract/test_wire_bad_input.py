"""Bad input on the wire: whatever comes in, an error's JSON with a status below 500 goes out."""

from __future__ import annotations

import json

import pytest
from wire import JSON, V2, Wire, content, error_of

FORM = {**V2, "content-type": "multipart/form-data; boundary=edge"}


@pytest.fixture
def wire(home):
    wire = Wire(home)
    yield wire
    wire.close()


@pytest.fixture
def made(wire):
    """Ids of objects to try things on."""
    return {
        "assistant": wire.ask("POST", "/assistants", {"model": "m"})["id"],
        "thread": wire.ask("POST", "/threads", {})["id"],
        "store": wire.ask("POST", "/vector_stores", {})["id"],
    }


def form(*parts):
    """A form of parts: the rest of their first header, and their content."""
    head = b"--edge\r\nContent-Disposition: form-data; "
    return b"".join(head + name + b"\r\n\r\n" + data + b"\r\n" for name, data in parts) + (
        b"--edge--\r\n"
    )


PURPOSE = (b'name="purpose"', b"assistants")
FILE = (b'name="file"; filename="a.txt"', b"harbour")


def nested(depth):
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"}", b"{]", b"nope", b"'a'", b'{"model": }', b'{"model": "m"} trailing', b"\xff\xfe",
        b'{"model": "\xff"}', b'{"model": ' + b"9" * 5000 + b"}", nested(100_000), b"[" * 100_000,
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_json_is_refused(wire, body):
    reply = wire.send("POST", "/v1/assistants", body)
    error = error_of(reply)
    assert reply.status == 400
    assert error["message"].startswith("We could not parse the JSON body of your request.")
    assert wire.ask("GET", "/assistants")["data"] == []


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"a"', b"true", b'[{"model": "m"}]'])
def test_json_that_is_no_object_is_refused(wire, body):
    reply = wire.send("POST", "/v1/assistants", body)
    assert (reply.status, error_of(reply)["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("depth", [10, 100, 300, 1_000])
@pytest.mark.parametrize(
    "where", ["%s", '{"model":"m","metadata":%s}', '{"model":"m","tools":[%s]}']
)
def test_deep_nesting_is_refused(wire, depth, where):
    reply = wire.send("POST", "/v1/assistants", where.encode() % nested(depth))
    assert reply.status == 400
    assert error_of(reply)["message"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"]
)
def test_another_content_type_is_refused(wire, kind):
    headers = {**V2, "content-type": kind}
    reply = wire.send("POST", "/v1/assistants", b'{"model": "m"}', headers=headers)
    assert (reply.status, error_of(reply)["code"]) == (400, "unsupported_content_type")
    assert wire.ask("GET", "/assistants")["data"] == []


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;"]
)
def test_json_is_known_by_its_other_spellings(wire, kind):
    headers = {**V2, "content-type": kind}
    assert wire.send("POST", "/v1/assistants", b'{"model": "m"}', headers=headers).status == 200


def test_a_form_that_is_cut_off_stores_nothing(wire):
    whole = form(PURPOSE, FILE)
    for length in range(whole.index(b"harbour") + len(b"harbour")):
        reply = wire.send("POST", "/v1/files", whole[:length], headers=FORM)
        assert (reply.status, bool(error_of(reply)["message"])) == (400, True), length
    assert wire.ask("GET", "/files")["data"] == []
    assert wire.send("POST", "/v1/files", whole, headers=FORM).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"garbage", form(), form(PURPOSE), form(FILE),
        form(PURPOSE, (b'name="file"', b"text")),
        form((b'name="purpose"', b"holiday"), FILE), form((b'filename="a.txt"', b"x")),
        form(PURPOSE, (b'name="file[a]"; filename="a.txt"', b"x")),
        form(PURPOSE, FILE, (b'name="colour"', b"red")),
        form(PURPOSE, FILE, (b'name="expires_after[seconds]"', b"9" * 5000)),
        form(PURPOSE, FILE, (b'name="expires_after[seconds]"', "\u00b2".encode())),
        form(PURPOSE, FILE, (b'name="expires_after"', b"3600")),
        form((b'name="purpose"; filename="p"', b"assistants"), FILE),
    ],
    ids=range(14),
)  # fmt: skip
def test_a_wrong_form_is_refused(wire, body):
    reply = wire.send("POST", "/v1/files", body, headers=FORM)
    assert reply.status == 400
    assert error_of(reply)["type"] == "invalid_request_error"
    assert wire.ask("GET", "/files")["data"] == []


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; b=a"]
)
def test_a_form_without_its_edge_is_refused(wire, kind):
    headers = {**V2, "content-type": kind}
    reply = wire.send("POST", "/v1/files", form(PURPOSE, FILE), headers=headers)
    assert reply.status == 400
    assert error_of(reply)["message"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\boot.ini"])
def test_an_upload_has_no_folder(wire, name):
    part = (f'name="file"; filename="{name}"'.encode(), b"x")
    reply = wire.send("POST", "/v1/files", form(PURPOSE, part), headers=FORM)
    found = content(reply)
    if reply.status == 200:
        assert "/" not in found["filename"]
        assert found["filename"] not in ("", ".", "..")
    else:
        assert reply.status == 400
        assert found["error"]["message"]


@pytest.mark.parametrize("path", ["/etc/hostname", ["/etc/hostname"], {"path": "/etc/hostname"}])
def test_json_names_no_file_of_the_server(wire, path):
    reply = wire.send(
        "POST", "/v1/files", json.dumps({"file": path, "purpose": "assistants"}).encode()
    )
    assert (reply.status, error_of(reply)["param"]) == (400, "file")


@pytest.mark.parametrize(
    "path",
    [
        "/", "", "*", "/v1", "/v1/", "/v2/assistants", "/v1/foo", "/v1/assistants/asst_x/foo",
        "/v1//assistants", "//v1/assistants", "/v1/assistants/", "/v1/threads//messages",
        "/v1/files/%2e%2e/assistants", "/v1/./assistants", "/v1/files/../assistants",
        "/v1%2fassistants", "/v1/%00", "/v1/assistants%00", "/v1/v1/assistants",
        "/v1/assistants;a=b", "/v1/ASSISTANTS",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "BREW"])
def test_an_unknown_path_is_no_other_one(wire, method, path):
    reply = wire.send(method, path, b'{"role": "user", "content": "a"}')
    assert (reply.status, error_of(reply)["message"]) == (404, f"Invalid URL ({method} {path})")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW", "get"])
def test_a_method_that_a_path_lacks_is_refused(wire, method):
    reply = wire.send(method, "/v1/assistants", b"")
    assert reply.status == 405
    assert method in error_of(reply)["message"]


@pytest.mark.parametrize(
    "part",
    [
        "thread_%00", "%00", "..", "%2e%2e", "%2e%2e%2fassistants", "thread_a%2fmessages",
        "thread_%ff", "thread_a%20", "thread_%E2%82%AC", "asst_a", "thread_", "%", "%zz",
        "thread_" + "a" * 10_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("rest", ["", "/messages", "/runs/run_a"])
def test_an_odd_id_finds_nothing(wire, part, rest):
    reply = wire.send("GET", f"/v1/threads/{part}{rest}")
    # A well-formed one is looked up, all others are told what an id looks like.
    assert reply.status == (404 if part.endswith("aaa") else 400)
    assert error_of(reply)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=a", "limit"), ("limit=", "limit"), ("limit=1.5", "limit"), ("limit=1e1", "limit"),
        ("limit=0", "limit"), ("limit=-1", "limit"), ("limit=101", "limit"),
        ("limit=%00", "limit"), ("limit[]=a", "limit"), ("limit=true", "limit"),
        ("order=up", "order"), ("order=", "order"), ("order[]=up", "order"), ("after=", "after"),
        ("after=%00", "after"), ("before=%FF", "before"), ("after=msg_nowhere", "after"),
        ("colour=red", "colour"), ("stream=true", "stream"), ("metadata=a", "metadata"),
        ("include[]=a", "include"), ("run_id=x", "run_id"),
    ],
)  # fmt: skip
def test_a_wrong_query_says_which_parameter_it_is(wire, query, param):
    reply = wire.send("GET", f"/v1/assistants?{query}")
    assert (reply.status, error_of(reply)["param"]) == (400, param)


def test_a_parameter_is_given_once(wire, made):
    reply = wire.send("POST", "/v1/assistants?model=a", b'{"model": "b"}')
    assert (reply.status, error_of(reply)["message"]) == (400, "'model' is given twice.")
    wire.ask("POST", "/assistants", {"model": "m"})
    for query in ("limit=1&limit=1", "order=desc&order=desc", "limit[]=1&limit=1"):
        reply = wire.send("GET", f"/v1/assistants?{query}")
        if reply.status == 200:
            assert len(content(reply)["data"]) in (1, 2)
        else:
            assert (reply.status, bool(error_of(reply)["message"])) == (400, True)


def test_thousands_of_parameters_are_refused(wire):
    query = "&".join(f"p{number}=1" for number in range(20_000))
    reply = wire.send("GET", f"/v1/assistants?{query}")
    assert (reply.status, error_of(reply)["code"]) == (400, "unknown_parameter")


@pytest.mark.parametrize("value", ["\\ud800", "a\\u0000b"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/assistants", '{"model": "%s"}'),
        ("/assistants", '{"model": "m", "name": "%s"}'),
        ("/assistants", '{"model": "m", "metadata": {"%s": "a"}}'),
        ("/assistants", '{"model": "m", "metadata": {"a": "%s"}}'),
        ("/assistants", '{"model": "m", "reasoning_effort": "%s"}'),
        ("/assistants", '{"model": "m", "%s": 1}'),
        ("/assistants", '{"model": "m", "tools": [{"type": "%s"}]}'),
        ("/assistants", '{"model": "m", "response_format": "%s"}'),
        ("/threads", '{"messages": [{"role": "%s", "content": "a"}]}'),
        ("/threads", '{"messages": [{"role": "user", "content": "%s"}]}'),
        ("/threads/runs", '{"assistant_id": "%s"}'),
        ("/chat/completions", '{"model": "m", "messages": [{"role": "user", "content": "%s"}]}'),
        ("/embeddings", '{"model": "m", "input": ["%s"]}'),
        ("/vector_stores", '{"name": "%s"}'),
    ],
)
def test_text_that_cannot_be_stored_is_refused(wire, path, body, value):
    reply = wire.send("POST", f"/v1{path}", (body % value).encode())
    assert reply.status == 400
    assert error_of(reply)["type"] == "invalid_request_error"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
@pytest.mark.parametrize("name", ["temperature", "top_p"])
def test_a_number_that_is_none_is_refused(wire, name, number):
    reply = wire.send("POST", "/v1/assistants", f'{{"model": "m", "{name}": {number}}}'.encode())
    assert (reply.status, error_of(reply)["param"]) == (400, name)


def test_odd_headers_are_no_failure(wire):
    for value in ("\u00ff", "x" * 100_000, "1.", "..", "99999999999999999999.1", "-1.2"):
        headers = {**V2, **JSON, "x-stainless-package-version": value}
        assert wire.send("GET", "/v1/assistants", headers=headers).status == 200
