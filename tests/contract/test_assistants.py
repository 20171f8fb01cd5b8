"""Assistants: how they print, change, last and go."""

from __future__ import annotations

import json

import pytest

from localassist import BadRequestError, Client, NotFoundError, ScriptedBackend, Settings

V1_KEYS = [
    "id", "created_at", "description", "file_ids", "instructions", "metadata", "model", "name",
    "object", "tools",
]  # fmt: skip
V2_KEYS = [
    "id", "created_at", "description", "instructions", "metadata", "model", "name", "object",
    "tools", "response_format", "temperature", "tool_resources", "top_p", "reasoning_effort",
]  # fmt: skip
NULLS = dict.fromkeys(
    ["name", "description", "instructions", "tools", "file_ids", "tool_resources", "metadata",
     "temperature", "top_p", "response_format", "reasoning_effort"]
)  # fmt: skip


def printed(obj):
    return json.loads(obj.model_dump_json())


def names(client):
    return [each.name for each in client.beta.assistants.list()]


def test_an_assistant_prints_as_in_the_document(client):
    assistant = client.beta.assistants.create(
        name="Math Tutor",
        instructions="You are a personal math tutor.",
        model="gpt-4-1106-preview",
    )
    shown = printed(assistant)
    assert list(shown) == V1_KEYS
    assert isinstance(shown.pop("created_at"), int)
    assert shown == {
        "id": assistant.id,
        "description": None,
        "file_ids": [],
        "instructions": "You are a personal math tutor.",
        "metadata": {},
        "model": "gpt-4-1106-preview",
        "name": "Math Tutor",
        "object": "assistant",
        "tools": [],
    }
    prefix, _, body = assistant.id.partition("_")
    assert (prefix, len(body), body.isalnum(), body.isascii()) == ("asst", 24, True, True)


def test_an_assistant_prints_as_v2_when_told(home):
    settings = Settings(home=home, api_version="v2")
    with Client(settings=settings, backend=ScriptedBackend()) as client:
        created = client.beta.assistants.create(model="gpt-4")
        again = client.beta.assistants.retrieve(created.id)
        page = client.beta.assistants.list()
        updated = client.beta.assistants.update(created.id, name="n")
    shown = printed(created)
    assert list(shown) == V2_KEYS
    assert (shown["temperature"], shown["top_p"]) == (1.0, 1.0)
    assert (shown["response_format"], shown["tool_resources"]) == ("auto", {})
    assert printed(again) == printed(page)["data"][0] == shown
    assert printed(updated) == {**shown, "name": "n"}


def test_both_versions_show_the_same_assistant(home):
    with Client(home, backend=ScriptedBackend()) as v1:
        made = v1.beta.assistants.create(model="gpt-4", name="n", temperature=0.5, top_p=0.25)
        assert list(printed(made)) == V1_KEYS
        assert made.temperature == 0.5
    with Client(settings=Settings(home=home, api_version="v2"), backend=ScriptedBackend()) as v2:
        shown = printed(v2.beta.assistants.retrieve(made.id))
    assert (shown["temperature"], shown["top_p"], shown["name"]) == (0.5, 0.25, "n")


def test_a_list_of_assistants_is_a_page_newest_first(client):
    first = client.beta.assistants.create(model="gpt-4", name="first")
    last = client.beta.assistants.create(model="gpt-4", name="last")
    assert printed(client.beta.assistants.list()) == {
        "data": [printed(last), printed(first)],
        "object": "list",
        "first_id": last.id,
        "last_id": first.id,
        "has_more": False,
    }


def test_an_empty_list_has_no_ids(client):
    shown = printed(client.beta.assistants.list())
    assert list(shown) == ["data", "object", "first_id", "last_id", "has_more"]
    assert list(shown.values()) == [[], "list", None, None, False]


def test_an_update_changes_only_what_is_given(client):
    made = client.beta.assistants.create(
        model="gpt-4", name="n", description="d", instructions="i", metadata={"a": "1"}
    )
    for change in (
        {"name": "other"},
        {"instructions": "other"},
        {"metadata": {"b": "2"}},
        {"model": "gpt-4o"},
        {"tools": []},
        {},
    ):
        before = printed(client.beta.assistants.retrieve(made.id))
        updated = client.beta.assistants.update(made.id, **change)
        assert printed(updated) == {**before, **change}
        assert printed(client.beta.assistants.retrieve(made.id)) == printed(updated)


@pytest.mark.parametrize("field", ["name", "description", "instructions"])
def test_null_clears_a_text(client, field):
    made = client.beta.assistants.create(model="gpt-4", **{field: "text"})
    assert getattr(client.beta.assistants.update(made.id, **{field: None}), field) is None
    assert getattr(client.beta.assistants.retrieve(made.id), field) is None


@pytest.mark.parametrize("field", ["metadata", "temperature", "top_p", "model", "tools"])
def test_null_leaves_what_has_no_null(client, field):
    made = client.beta.assistants.create(
        model="gpt-4", metadata={"a": "1"}, temperature=0.5, top_p=0.5
    )
    updated = client.beta.assistants.update(made.id, **{field: None})
    assert getattr(updated, field) == getattr(made, field)


def test_nulls_are_as_good_as_nothing_given(client):
    plain = client.beta.assistants.create(model="gpt-4")
    nulls = client.beta.assistants.create(model="gpt-4", **NULLS)
    both = [{**printed(each), "id": "", "created_at": 0} for each in (plain, nulls)]
    assert both[0] == both[1]
    updated = client.beta.assistants.update(plain.id, model=None, **NULLS)
    assert printed(updated) == printed(plain)


@pytest.mark.parametrize("empty", [{"tools": []}, {"file_ids": []}, {"tool_resources": {}}])
def test_empty_lists_of_tools_and_files_are_taken(client, empty):
    assert client.beta.assistants.create(model="gpt-4", **empty).tools == []


@pytest.mark.parametrize("model", ["gpt-4-1106-preview", "gpt-4o-mini", "o3-mini", "chatgpt-4o"])
def test_openai_names_are_echoed(client, model):
    made = client.beta.assistants.create(model=model)
    assert client.beta.assistants.retrieve(made.id).model == model


@pytest.mark.parametrize(
    "text",
    ["", " ", "grüße ☃ 👩‍👩‍👧", "a\r\nb\tc", "'; DROP TABLE assistant; --", "\u202e\ufeff\x07"],
)
def test_texts_come_back_unchanged(client, text):
    made = client.beta.assistants.create(
        model="gpt-4", name=text, instructions=text, metadata={text[:64]: text}
    )
    found = client.beta.assistants.retrieve(made.id)
    assert (found.name, found.instructions, found.metadata) == (text, text, {text[:64]: text})
    assert printed(found)["name"] == text


def test_a_deleted_assistant_is_gone(client):
    keeper = client.beta.assistants.create(model="gpt-4", name="keeper")
    gone = client.beta.assistants.create(model="gpt-4", name="gone")
    assert printed(client.beta.assistants.delete(gone.id)) == {
        "id": gone.id,
        "deleted": True,
        "object": "assistant.deleted",
    }
    assert names(client) == [keeper.name]
    for call in (
        lambda: client.beta.assistants.retrieve(gone.id),
        lambda: client.beta.assistants.update(gone.id, name="n"),
        lambda: client.beta.assistants.delete(gone.id),
    ):
        with pytest.raises(NotFoundError) as caught:
            call()
        assert caught.value.message == f"No assistant found with id '{gone.id}'."


def test_unknown_models_are_refused_where_they_are_named(home):
    with Client(home) as client:
        assistants, threads = client.beta.assistants, client.beta.threads
        made = assistants.create(model="gpt-4", name="kept")
        thread = threads.create()
        for call in (
            lambda: assistants.create(model="no-such-model"),
            lambda: assistants.update(made.id, model="no-such-model", name="changed"),
            lambda: threads.runs.create(thread.id, assistant_id=made.id, model="no-such-model"),
            lambda: threads.create_and_run(assistant_id=made.id, model="no-such-model"),
        ):
            with pytest.raises(BadRequestError) as caught:
                call()
            error = caught.value
            assert error.message == "The requested model 'no-such-model' does not exist."
            assert (error.status, error.code, error.param) == (400, "model_not_found", "model")
        assert [(each.name, each.model) for each in assistants.list()] == [("kept", "gpt-4")]
        assert threads.runs.list(thread.id).data == []


@pytest.mark.parametrize("name", ["~nobody-of-that-name/x.gguf", "/no/such/file.gguf", "x" * 4096])
def test_names_that_are_no_file_are_unknown_models(home, name):
    with Client(home) as client, pytest.raises(BadRequestError) as caught:
        client.beta.assistants.create(model=name)
    assert caught.value.code == "model_not_found"


def test_clients_of_one_folder_share_everything(home):
    with Client(home) as one, Client(home) as two:
        made = one.beta.assistants.create(model="gpt-4", name="shared")
        assert printed(two.beta.assistants.retrieve(made.id)) == printed(made)
        two.beta.assistants.update(made.id, name="renamed")
        assert names(one) == ["renamed"]
    with Client(home) as three:
        assert names(three) == ["renamed"]


def test_closing_one_client_leaves_the_other_open(home):
    with Client(home) as one:
        with Client(home) as two:
            two.beta.assistants.create(model="gpt-4", name="a")
        one.beta.assistants.create(model="gpt-4", name="b")
        assert names(one) == ["b", "a"]
