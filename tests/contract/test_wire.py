"""The wire: each generation's keys in its order, and which generation is meant."""

from __future__ import annotations

import pytest
from wire import LATE_V1, V1, V2, Wire

SHAPES = {"v1": V1, "v1-late": LATE_V1, "v2": V2}

# The fields of the classes of openai 1.2.3, 1.20.0 and 3.57, in their order.
KEYS = {
    ("assistant", "v1"): """
        id created_at description file_ids instructions metadata model name object tools""",
    ("assistant", "v1-late"): """
        id created_at description file_ids instructions metadata model name object tools""",
    ("assistant", "v2"): """
        id created_at description instructions metadata model name object tools response_format
        temperature tool_resources top_p reasoning_effort""",
    ("thread", "v1"): "id created_at metadata object",
    ("thread", "v1-late"): "id created_at metadata object",
    ("thread", "v2"): "id created_at metadata object tool_resources",
    ("message", "v1"): """
        id assistant_id content created_at file_ids metadata object role run_id thread_id""",
    ("message", "v1-late"): """
        id assistant_id completed_at content created_at file_ids incomplete_at incomplete_details
        metadata object role run_id status thread_id""",
    ("message", "v2"): """
        id assistant_id attachments completed_at content created_at incomplete_at
        incomplete_details metadata object role run_id status thread_id""",
    ("run", "v1"): """
        id assistant_id cancelled_at completed_at created_at expires_at failed_at file_ids
        instructions last_error metadata model object required_action started_at status thread_id
        tools""",
    ("run", "v1-late"): """
        id assistant_id cancelled_at completed_at created_at expires_at failed_at file_ids
        incomplete_details instructions last_error max_completion_tokens max_prompt_tokens metadata
        model object required_action response_format started_at status thread_id tool_choice tools
        truncation_strategy usage temperature""",
    ("run", "v2"): """
        id assistant_id cancelled_at completed_at created_at expires_at failed_at
        incomplete_details instructions last_error max_completion_tokens max_prompt_tokens metadata
        model object parallel_tool_calls required_action response_format started_at status
        thread_id tool_choice tools truncation_strategy usage temperature top_p
        reasoning_effort""",
    ("step", "v1"): """
        id assistant_id cancelled_at completed_at created_at expired_at failed_at last_error
        metadata object run_id status step_details thread_id type""",
    ("step", "v1-late"): """
        id assistant_id cancelled_at completed_at created_at expired_at failed_at last_error
        metadata object run_id status step_details thread_id type usage""",
    ("step", "v2"): """
        id assistant_id cancelled_at completed_at created_at expired_at failed_at last_error
        metadata object run_id status step_details thread_id type usage""",
}


@pytest.fixture
def wire(home):
    wire = Wire(home)
    yield wire
    wire.close()


def paths_of(run):
    """Where the objects of a run are, by their kind."""
    thread = f"/threads/{run['thread_id']}"
    return {
        "assistant": f"/assistants/{run['assistant_id']}",
        "thread": thread,
        "message": f"{thread}/messages",
        "run": f"{thread}/runs/{run['id']}",
        "step": f"{thread}/runs/{run['id']}/steps",
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_every_object_has_the_keys_of_its_generation_in_their_order(wire, shape):
    paths = paths_of(wire.finished_run())
    for kind, path in paths.items():
        found = wire.ask("GET", path, headers=SHAPES[shape])
        for each in found["data"] if found["object"] == "list" else [found]:
            assert list(each) == KEYS[kind, shape].split(), kind


@pytest.mark.parametrize("shape", SHAPES)
def test_events_have_the_keys_of_their_generation(wire, shape):
    made = wire.ask("POST", "/assistants", {"model": "gpt-4"})
    headers = SHAPES[shape]
    events = wire.events("/threads/runs", {"assistant_id": made["id"]}, headers=headers)
    # Whoever streams in the first generation knows its late fields.
    shown = "v2" if shape == "v2" else "v1-late"
    kinds = {"thread": "thread", "thread.run": "run", "thread.run.step": "step"}
    seen = set()
    for _, data in events[:-1]:
        kind = kinds.get(data["object"], data["object"].removeprefix("thread."))
        if not kind.endswith("delta"):
            assert list(data) == KEYS[kind, shown].split(), kind
            seen.add(kind)
    assert seen == {"thread", "run", "step", "message"}
    assert events[-1] == ("done", "[DONE]")


@pytest.mark.parametrize("headers", SHAPES.values(), ids=SHAPES)
def test_a_page_says_the_rest_in_the_order_of_the_document(wire, headers):
    empty = wire.ask("GET", "/assistants", headers=headers)
    # openai 1.2.3 declares `data` only and prints the others as they came.
    assert [key for key in empty if key != "data"] == ["object", "first_id", "last_id", "has_more"]
    assert empty == {
        "data": [], "object": "list", "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip
    ids = [wire.ask("POST", "/assistants", {"model": "gpt-4"})["id"] for _ in range(3)]
    page = wire.ask("GET", "/assistants?limit=2", headers=headers)
    assert [each["id"] for each in page["data"]] == [ids[2], ids[1]]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[2], ids[1], True)


def test_values_have_the_form_of_their_generation(wire):
    run = wire.finished_run(assistant={"tools": [{"type": "code_interpreter"}]})
    paths = paths_of(run)
    assert run["truncation_strategy"] == {"type": "auto", "last_messages": None}
    assert (run["response_format"], run["tool_choice"], run["parallel_tool_calls"]) == (
        "auto", "auto", True,
    )  # fmt: skip
    answer, question = wire.ask("GET", paths["message"], headers=V1)["data"]
    text = {"text": {"annotations": [], "value": "You said: hi"}, "type": "text"}
    assert answer["content"] == [text]
    assert list(answer["content"][0]) == ["text", "type"]
    assert (question["assistant_id"], question["run_id"], question["metadata"]) == (None, None, {})
    (step,) = wire.ask("GET", paths["step"], headers=V1)["data"]
    assert step["step_details"] == {
        "message_creation": {"message_id": answer["id"]},
        "type": "message_creation",
    }
    usage = wire.ask("GET", paths["run"])["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert wire.ask("GET", paths["thread"])["tool_resources"] == {}


def test_search_has_the_name_of_each_generation(wire):
    made = wire.ask(
        "POST", "/assistants", {"model": "m", "tools": [{"type": "retrieval"}]}, headers=V1
    )
    assert made["tools"] == [{"type": "retrieval"}]
    path = f"/assistants/{made['id']}"
    assert wire.ask("GET", path)["tools"] == [{"type": "file_search"}]
    changed = wire.ask("POST", path, {"tools": [{"type": "file_search"}]})
    assert changed["tools"] == [{"type": "file_search"}]
    assert wire.ask("GET", path, headers=LATE_V1)["tools"] == [{"type": "retrieval"}]
    page = wire.ask("GET", "/assistants", headers=V1)
    assert page["data"][0]["tools"] == [{"type": "retrieval"}]


@pytest.mark.parametrize("path", ["/files", "/models", "/vector_stores"])
def test_what_has_one_generation_only_needs_no_header(wire, path):
    assert wire.ask("GET", path, headers={"x-nothing": ""})["object"] == "list"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_setting_says_what_is_meant_where_nothing_is_said(home, version):
    wire = Wire(home, http_version=version)
    bare = {"x-nothing": ""}
    made = wire.ask("POST", "/assistants", {"model": "m"}, headers=bare)
    assert list(made) == KEYS["assistant", version].split()
    other = {"v1": V2, "v2": V1}[version]
    spoken = wire.ask("GET", f"/assistants/{made['id']}", headers=other)
    assert list(spoken) != list(made)
    wire.close()


@pytest.mark.parametrize(
    ("betas", "shape"),
    [
        ("assistants=v1, realtime=v1", "v1"),
        ("realtime=v1,assistants=v2", "v2"),
        ("  assistants=v2  ,", "v2"),
    ],
)
def test_the_generation_is_found_among_other_betas(wire, betas, shape):
    made = wire.ask("POST", "/assistants", {"model": "m"}, headers={"openai-beta": betas})
    assert list(made) == KEYS["assistant", shape].split()


@pytest.mark.parametrize("sdk", ["1.2.3", "1.8.0"])
def test_the_first_sdks_are_not_shown_the_late_fields(wire, sdk):
    paths = paths_of(wire.finished_run())
    headers = {**V1, "x-stainless-package-version": sdk}
    assert list(wire.ask("GET", paths["run"], headers=headers)) == KEYS["run", "v1"].split()


@pytest.mark.parametrize("shape", ["v1", "v1-late"])
def test_an_incomplete_run_is_a_failed_one_to_the_first_generation(wire, shape):
    run = wire.finished_run("x" * 500, max_completion_tokens=256)
    assert (run["status"], run["incomplete_details"]) == (
        "incomplete", {"reason": "max_completion_tokens"},
    )  # fmt: skip
    path = paths_of(run)["run"]
    (listed,) = wire.ask("GET", path.rsplit("/", 1)[0], headers=SHAPES[shape])["data"]
    found = wire.ask("GET", path, headers=SHAPES[shape])
    assert found == listed
    assert found["status"] == "failed"
    assert list(found) == KEYS["run", shape].split()
    assert found["last_error"]["code"] == "server_error"
    assert found["last_error"]["message"]
    assert wire.ask("GET", path)["status"] == "incomplete"


def test_a_stream_tells_the_first_generation_of_a_failure(wire):
    made = wire.ask("POST", "/assistants", {"model": "m"})
    body = {
        "assistant_id": made["id"],
        "thread": {"messages": [{"role": "user", "content": "x" * 500}]},
        "max_completion_tokens": 256,
    }
    name, run = wire.events("/threads/runs", body, headers=LATE_V1)[-2]
    assert (name, run["status"]) == ("thread.run.failed", "failed")
    name, run = wire.events("/threads/runs", body)[-2]
    assert (name, run["status"]) == ("thread.run.incomplete", "incomplete")


def test_pollers_are_told_how_often_to_ask(wire):
    run = wire.finished_run()
    store = wire.ask("POST", "/vector_stores", {})
    reply = wire.send("GET", "/v1" + paths_of(run)["run"])
    assert 1 <= int(reply.headers["openai-poll-after-ms"]) < 1000
    for path in (f"/vector_stores/{store['id']}", paths_of(run)["thread"]):
        assert "openai-poll-after-ms" not in wire.send("GET", "/v1" + path).headers
