"""Fuzz: random requests to every route; never a failure of the server, always an error's form."""

from __future__ import annotations

import json
from urllib.parse import quote

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import JSON, V1, V2, Wire, error_of

from localassist.api.operations import OPERATIONS

DIM = 384
ROUTES = sorted({(each.method, each.path): each for each in OPERATIONS}.items())
NAMES = sorted({name for each in OPERATIONS for name in each.params} | {"type", "function", "a"})
WORDS = [
    "", "user", "auto", "function", "code_interpreter", "assistants", "asc", "static", "eq", "and",
    "json_schema", "json_object", "completed", "last_messages", "\0", "\ud800", "\u2028", "x" * 600,
]  # fmt: skip
PARTS = ["..", "\0", "a/b", " ", "\u20ac", "file-", "run_x", "x" * 300]


class FlatEmbedder:
    """Embeds everything alike."""

    def encode(self, texts):
        return numpy.ones((len(texts), DIM), numpy.float32)

    def token_starts(self, text):
        return range(len(text))


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    wire = Wire(tmp_path_factory.mktemp("fuzz"), embedder=FlatEmbedder())
    yield wire
    wire.close()


@pytest.fixture(scope="module")
def ids(wire):
    """An object of every kind, by the name of its id in a path."""
    form = (
        b'--e\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        b'--e\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nabc\r\n--e--'
    )
    headers = {**V2, "content-type": "multipart/form-data; boundary=e"}
    file_id = json.loads(wire.send("POST", "/v1/files", form, headers=headers).body)["id"]
    run = wire.finished_run()
    wire.ask("POST", f"/assistants/{run['assistant_id']}", {"file_ids": [file_id]}, headers=V1)
    path = f"/threads/{run['thread_id']}"
    said = {"role": "user", "content": "a", "file_ids": [file_id]}
    store = wire.ask("POST", "/vector_stores", {})["id"]
    batch = wire.ask("POST", f"/vector_stores/{store}/file_batches", {"file_ids": [file_id]})
    return {
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "run_id": run["id"],
        "message_id": wire.ask("POST", f"{path}/messages", said, headers=V1)["id"],
        "step_id": wire.ask("GET", f"{path}/runs/{run['id']}/steps")["data"][0]["id"],
        "file_id": file_id,
        "vector_store_id": store,
        "batch_id": batch["id"],
        "model": "gpt-4",
    }


texts = st.sampled_from(WORDS) | st.text(st.characters(codec=None), max_size=20)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | texts
    | st.sampled_from(["$id"])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | texts, inner, max_size=3)
    ),
    max_leaves=8,
)
queries = st.lists(
    st.tuples(
        st.sampled_from(["limit", "order", "after", "before", "include[]", "run_id", "a"]),
        st.sampled_from(["", "1", "-1", "asc", "\0", "1e5", "999", "None"]) | texts,
    ),
    max_size=3,
)


@st.composite
def requests(draw):
    (method, path), operation = draw(st.sampled_from(ROUTES))
    names = sorted(operation.params)
    keys = st.sampled_from(names or NAMES) | st.sampled_from(NAMES)
    body = draw(st.dictionaries(keys, values, max_size=5))
    ids = {
        part[1:-1]: draw(st.just("$id") | st.sampled_from(PARTS))
        for part in path.split("/")
        if part.startswith("{")
    }
    # What has an effect beyond this test's folder and time is not asked for.
    body.pop("tool_choice", None)
    return method, path, ids, draw(queries), body


def with_ids(value, ids, name):
    """The value with every `$id` replaced by the id of the parameter that it stands in."""
    if value == "$id":
        return ids.get(name, ids.get(name.removesuffix("s"), "$id"))
    if isinstance(value, dict):
        return {key: with_ids(inner, ids, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_ids(inner, ids, name) for inner in value]
    return value


def sent(wire, method, path, query, raw, headers):
    text = "&".join(
        f"{quote(name)}={quote(value, errors='surrogatepass')}" for name, value in query
    )
    reply = wire.send(method, f"/v1{path}" + (f"?{text}" if text else ""), raw, headers=headers)
    body = b"".join(reply.chunks())
    assert reply.status < 500, (method, path, query, raw, body)
    if reply.status >= 400:
        assert error_of(reply)["type"] == "invalid_request_error"
    return reply


@settings(max_examples=600)
@given(request=requests(), version=st.sampled_from([V1, V2]))
def test_random_parameters_are_taken_or_refused(wire, ids, request, version):
    method, path, path_ids, query, body = request
    for name, part in path_ids.items():
        part = ids[name] if part == "$id" else part
        # Deleting what the other examples need would end them all in 404.
        part = part if method != "DELETE" else part + "x"
        path = path.replace(f"{{{name}}}", quote(part, safe=""), 1)
    raw = json.dumps({key: with_ids(value, ids, key) for key, value in body.items()}).encode()
    sent(wire, method, path, query, raw if method == "POST" else b"", {**version, **JSON})


@settings(max_examples=200)
@given(
    route=st.sampled_from(ROUTES),
    raw=st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()),
    kind=st.sampled_from(
        ["application/json", "multipart/form-data; boundary=e", "text/plain", "", "\u00ff;"]
    ),
)
def test_random_bodies_are_taken_or_refused(wire, ids, route, raw, kind):
    (method, path), _ = route
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", value if method != "DELETE" else "gone")
    sent(wire, method, path, [], raw, {**V2, "content-type": kind})


@settings(max_examples=200)
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "x"]),
    path=st.text(st.sampled_from("/%.20fevV1athsridn_{}-\\?#;: \u00e9"), max_size=40)
    | st.lists(st.sampled_from(["v1", "threads", "runs", "files", "%2e%2e", "", "thread_a"]))
    .map("/".join),
)  # fmt: skip
def test_random_paths_are_found_or_not(wire, method, path):
    sent(wire, method, f"/{path}".removeprefix("/v1"), [], b"", {**V2, **JSON})


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: " ".join(route[0]))
def test_the_fuzz_reaches_every_route(wire, ids, route):
    (method, path), _ = route
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", value)
    if method == "GET":
        assert wire.send(method, f"/v1{path}", headers=V2).status == 200
    else:
        reply = wire.send(method, f"/v1{path}", b'{"unknown": 1}')
        assert (reply.status, error_of(reply)["code"]) in (
            (400, "unknown_parameter"),
            (400, "missing_required_parameter"),
        )
