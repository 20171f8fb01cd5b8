"""What one generation of the API does not know is refused over HTTP as the service did."""

from __future__ import annotations

import pytest
from wire import LATE_V1, V1, V2, Wire

TURN = {"role": "user", "content": "hi"}


@pytest.fixture
def wire(home):
    wire = Wire(home)
    yield wire
    wire.close()


@pytest.fixture
def assistant_id(wire):
    return wire.ask("POST", "/assistants", {"model": "gpt-4"})["id"]


@pytest.fixture
def thread_id(wire):
    return wire.ask("POST", "/threads", {})["id"]


UNKNOWN = [
    (V2, "/assistants", {"model": "m", "file_ids": []}, "file_ids"),
    (V2, "/assistants/{assistant}", {"file_ids": None}, "file_ids"),
    (V2, "/threads", {"messages": [TURN, {**TURN, "file_ids": []}]}, "messages[1].file_ids"),
    (V2, "/threads/{thread}/messages", {**TURN, "file_ids": []}, "file_ids"),
    (
        V2, "/threads/{thread}/runs",
        {"assistant_id": "{assistant}", "additional_messages": [{**TURN, "file_ids": []}]},
        "additional_messages[0].file_ids",
    ),
    (
        V2, "/threads/runs",
        {"assistant_id": "{assistant}", "thread": {"messages": [{**TURN, "file_ids": []}]}},
        "thread.messages[0].file_ids",
    ),
    (V1, "/assistants", {"model": "m", "tool_resources": {}}, "tool_resources"),
    (LATE_V1, "/assistants", {"model": "m", "tool_resources": {}}, "tool_resources"),
    (V1, "/threads", {"tool_resources": {}}, "tool_resources"),
    (V1, "/threads", {"messages": [{**TURN, "attachments": []}]}, "messages[0].attachments"),
    (
        V1, "/threads/runs",
        {"assistant_id": "{assistant}", "thread": {"tool_resources": {}}},
        "thread.tool_resources",
    ),
]  # fmt: skip


def filled(value, **ids):
    if isinstance(value, str):
        return value.format(**ids)
    return {name: filled(each, **ids) if isinstance(each, str) else each
            for name, each in value.items()}  # fmt: skip


@pytest.mark.parametrize(("headers", "path", "body", "param"), UNKNOWN)
def test_a_parameter_of_the_other_generation_is_unknown(
    wire, assistant_id, thread_id, headers, path, body, param
):
    ids = {"assistant": assistant_id, "thread": thread_id}
    error = wire.ask("POST", filled(path, **ids), filled(body, **ids), headers=headers, status=400)
    assert error["error"] == {
        "message": f"Unknown parameter: '{param}'.",
        "type": "invalid_request_error",
        "param": param,
        "code": "unknown_parameter",
    }
    assert wire.ask("GET", f"/threads/{thread_id}/messages")["data"] == []


@pytest.mark.parametrize(
    ("headers", "tool", "known"),
    [(V2, "retrieval", "file_search"), (V1, "file_search", "retrieval")],
)
def test_the_tool_of_the_other_generation_is_refused(wire, assistant_id, headers, tool, known):
    body = {"model": "m", "tools": [{"type": "code_interpreter"}, {"type": tool}]}
    error = wire.ask("POST", "/assistants", body, headers=headers, status=400)["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "tools[1].type")
    assert f"'{known}'" in error["message"]
    body["tools"][1]["type"] = known
    assert len(wire.ask("POST", "/assistants", body, headers=headers)["tools"]) == 2


def test_vector_stores_take_files_whatever_the_header_says(wire):
    for headers in (V1, V2):
        assert wire.ask("POST", "/vector_stores", {"file_ids": []}, headers=headers)["id"]
