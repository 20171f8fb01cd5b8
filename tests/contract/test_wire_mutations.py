"""Mutations: requests that are right but for one thing are taken or refused, never a failure."""

from __future__ import annotations

import json
from itertools import product

import pytest
from wire import JSON, V1, V2, Wire, error_of

FUNCTION = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "d",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
        "strict": False,
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": False},
}
TURN = {"role": "user", "content": "hi", "metadata": {"a": "1"}, "attachments": []}
RUN = {
    "assistant_id": "asst_x", "model": "m", "instructions": "i", "tools": [FUNCTION],
    "metadata": {"a": "1"}, "temperature": 1, "top_p": 0.5,
    "truncation_strategy": {"type": "auto", "last_messages": None},
    "tool_choice": {"type": "function", "function": {"name": "weather"}},
    "parallel_tool_calls": True, "response_format": "auto", "stream": False,
    "max_prompt_tokens": 300, "max_completion_tokens": 300,
}  # fmt: skip
CHUNKS = {
    "type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
}  # fmt: skip
CALL = {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
RIGHT = [
    (
        "/assistants",
        {
            "model": "m", "name": "n", "description": "d", "instructions": "i", "tools": [FUNCTION],
            "metadata": {"a": "1"}, "temperature": 1, "top_p": 1, "response_format": SCHEMA,
            "tool_resources": {
                "code_interpreter": {"file_ids": []},
                "file_search": {"vector_stores": [{"file_ids": [], "chunking_strategy": CHUNKS}]},
            },
            "reasoning_effort": "low",
        },
    ),
    (
        "/threads",
        {
            "messages": [
                TURN,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "image_url", "image_url": {"url": "data:a", "detail": "low"}},
                    ],
                },
            ],
            "metadata": {"a": "1"},
            "tool_resources": {"file_search": {"vector_store_ids": []}},
        },
    ),
    ("/threads/runs", {**RUN, "thread": {"messages": [TURN]}}),
    (
        "/threads/{thread}/runs",
        {
            **RUN, "additional_instructions": "a", "additional_messages": [TURN],
            "reasoning_effort": "low",
        },
    ),
    ("/threads/{thread}/messages", TURN),
    ("/threads/{thread}/messages/{message}", {"metadata": {"a": "1"}}),
    (
        "/threads/{thread}/runs/{run}/submit_tool_outputs",
        {"tool_outputs": [{"tool_call_id": "call_a", "output": "a"}], "stream": False},
    ),
    (
        "/vector_stores",
        {
            "name": "n", "description": "d", "file_ids": [], "metadata": {"a": "1"},
            "expires_after": {"anchor": "last_active_at", "days": 7}, "chunking_strategy": CHUNKS,
        },
    ),
    (
        "/vector_stores/{store}/search",
        {
            "query": ["a"], "max_num_results": 5, "rewrite_query": False,
            "ranking_options": {"ranker": "auto", "score_threshold": 0.5},
            "filters": {"type": "and", "filters": [{"type": "eq", "key": "a", "value": 1}]},
        },
    ),
    (
        "/vector_stores/{store}/file_batches",
        {"files": [{"file_id": "file-a", "attributes": {"a": 1}, "chunking_strategy": CHUNKS}]},
    ),
    (
        "/chat/completions",
        {
            "model": "m", "temperature": 1, "top_p": 1, "max_tokens": 5, "stop": ["a"], "seed": 1,
            "n": 1,
            "tools": [FUNCTION], "tool_choice": "auto", "parallel_tool_calls": True,
            "presence_penalty": 0, "frequency_penalty": 0, "response_format": {"type": "text"},
            "stream": False, "stream_options": {"include_usage": True}, "metadata": {"a": "1"},
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": [{"type": "text", "text": "a"}]},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_a", "content": "a"},
            ],
        },
    ),
]  # fmt: skip
WRONG = [
    None, True, 0, -1, 1.5, 2**63, 2**64, 10**400, float("nan"), float("inf"), "", "a", "\0",
    "\ud800", "x" * 300, "file-a", "vs_a", [], [1], ["a"], [[]], {}, {"a": 1}, {"type": "a"},
    {"type": []}, {"$ref": "#"}, {"a": {"b": [{}]}},
]  # fmt: skip


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    wire = Wire(tmp_path_factory.mktemp("mutations"))
    yield wire
    wire.close()


@pytest.fixture(scope="module")
def ids(wire):
    run = wire.finished_run()
    messages = wire.ask("GET", f"/threads/{run['thread_id']}/messages")["data"]
    return {
        "assistant": run["assistant_id"],
        "thread": run["thread_id"],
        "run": run["id"],
        "message": messages[0]["id"],
        "store": wire.ask("POST", "/vector_stores", {})["id"],
    }


def places(value, path=()):
    """Where something can be put into a value: at each of its parts, and beside each."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inner:
        if isinstance(each, (dict, list)):
            yield from places(each, (*path, key))
        else:
            yield (*path, key)
    if isinstance(value, dict):
        yield (*path, "extra")


def changed(value, path, other):
    if not path:
        return other
    first, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[first] = changed(value[first], rest, other) if rest else other
    return copy


@pytest.mark.parametrize(("path", "body"), RIGHT, ids=[each[0] for each in RIGHT])
def test_the_bodies_are_right_to_begin_with(wire, ids, path, body):
    reply = wire.send("POST", "/v1" + path.format(**ids), json.dumps(body).encode())
    if reply.status != 200:
        # Right in form: what it names is not there, or has come to its end.
        error = error_of(reply)
        assert (reply.status, error["code"]) in ((404, None), (400, None)), error


@pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize(("path", "body"), RIGHT, ids=[each[0] for each in RIGHT])
def test_one_thing_that_is_wrong_is_no_failure(wire, ids, path, body, version):
    url, refused = "/v1" + path.format(**ids), 0
    for place, other in product(places(body), WRONG):
        tried = changed(body, place, other)
        if isinstance(tried, dict) and tried.get("assistant_id") == "asst_x":
            tried = {**tried, "assistant_id": ids["assistant"]}
        raw = json.dumps(tried).encode()
        reply = wire.send("POST", url, raw, headers={**version, **JSON})
        answer = b"".join(reply.chunks())
        assert reply.status < 500, (place, other, answer)
        if reply.status >= 400:
            assert error_of(reply)["type"] == "invalid_request_error"
            refused += 1
        elif reply.headers["content-type"] == "application/json":
            json.loads(answer)
        else:
            assert b"[DONE]" in answer
    assert refused > len(WRONG)
