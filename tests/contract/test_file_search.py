"""Runs that search files: attached in every way of both generations, and shown to the model."""

from __future__ import annotations

import pytest
from watched_embedder import N_CTX, open_client

from localassist import BadRequestError, NotFoundError, ScriptedBackend

HARBOUR = b"The harbour of Oslo was enlarged in 1961. Its new quay is made of granite."
CHEESE = b"Brown cheese is made of whey. The whey is boiled until its sugar turns brown."
CODE = {"type": "code_interpreter"}
RETRIEVAL = {"type": "retrieval"}
SEARCH = {"type": "file_search"}
CONTENT = "step_details.tool_calls[*].file_search.results[*].content"
QUESTION = "What was enlarged, and what is made of whey?"
DAY_S = 86400


class Asked:
    """A model that keeps what it is asked."""

    def __init__(self):
        self.questions = []

    def __call__(self, text):
        if not self.questions or self.questions[-1] != text:
            self.questions.append(text)
        return "I see."


@pytest.fixture
def asked():
    return Asked()


@pytest.fixture(params=["v1", "v2"])
def client(home, asked, request):
    backend = ScriptedBackend(asked, n_ctx=N_CTX)
    with open_client(home, backend=backend, api_version=request.param) as client:
        yield client


@pytest.fixture
def harbour(client):
    return client.files.create(file=("harbour.txt", HARBOUR), purpose="assistants").id


@pytest.fixture
def cheese(client):
    return client.files.create(file=("cheese.txt", CHEESE), purpose="assistants").id


def stored(client, *file_ids):
    return client.vector_stores.create(file_ids=list(file_ids)).id


def searching(vector_store_id):
    return {"file_search": {"vector_store_ids": [vector_store_id]}}


def says(text=QUESTION, **params):
    return [{"role": "user", "content": text, **params}]


def run_on(client, assistant, thread, **params):
    run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id, **params)
    assert run.status == "completed", run.last_error
    return run


def search_of(client, run, **params):
    """The one search that a run has recorded, as the client prints it."""
    steps = client.beta.threads.runs.steps.list(run.id, run.thread_id, order="asc", **params)
    first, second = steps.data
    assert (first.type, first.status, second.type) == (
        "tool_calls", "completed", "message_creation",
    )  # fmt: skip
    (call,) = first.model_dump()["step_details"]["tool_calls"]
    assert call.pop("id").startswith("call_")
    return call


def shown(asked):
    """Names of the files of which the model was shown all, with the last question."""
    question = asked.questions[-1]
    assert question.endswith(QUESTION)
    every = {"harbour": HARBOUR, "cheese": CHEESE}
    return {name for name, text in every.items() if text.decode() in question}


# --- whose files ---


@pytest.mark.parametrize("first", ["tools", "files", "both"])
def test_files_of_an_assistant_are_searched_in_whatever_order_it_got_them(
    client, asked, harbour, first
):
    given = {"tools": {"tools": [RETRIEVAL]}, "files": {"file_ids": [harbour]}}
    given["both"] = {**given["tools"], **given["files"]}
    assistant = client.beta.assistants.create(model="gpt-4", **given[first])
    assistant = client.beta.assistants.update(assistant.id, **given["both"])
    run_on(client, assistant, client.beta.threads.create(messages=says()))
    assert shown(asked) == {"harbour"}
    client.beta.assistants.update(assistant.id, name="still there")
    run_on(client, assistant, client.beta.threads.create(messages=says()))
    assert shown(asked) == {"harbour"}


def test_a_file_that_an_assistant_has_no_more_is_not_searched(client, asked, harbour, cheese):
    assistant = client.beta.assistants.create(
        model="gpt-4", tools=[RETRIEVAL], file_ids=[harbour, cheese]
    )
    run_on(client, assistant, client.beta.threads.create(messages=says()))
    assert shown(asked) == {"harbour", "cheese"}
    client.beta.assistants.update(assistant.id, file_ids=[cheese])
    run_on(client, assistant, client.beta.threads.create(messages=says()))
    assert shown(asked) == {"cheese"}
    client.files.delete(cheese)
    run_on(client, assistant, client.beta.threads.create(messages=says()))
    assert shown(asked) == set()


def test_files_of_messages_are_searched(client, asked, harbour, cheese):
    assistant = client.beta.assistants.create(model="gpt-4", tools=[RETRIEVAL])
    thread = client.beta.threads.create(messages=says("Hello.", file_ids=[harbour]))
    client.beta.threads.messages.create(
        thread.id,
        role="user",
        content=QUESTION,
        attachments=[{"file_id": cheese, "tools": [SEARCH]}],
    )
    run_on(client, assistant, thread)
    assert shown(asked) == {"harbour", "cheese"}


def test_what_is_attached_for_code_alone_is_not_searched(client, asked, harbour, cheese):
    assistant = client.beta.assistants.create(model="gpt-4", tools=[SEARCH])
    attachments = [
        {"file_id": harbour, "tools": [SEARCH]},
        {"file_id": cheese, "tools": [CODE]},
    ]
    thread = client.beta.threads.create(messages=says(attachments=attachments))
    run_on(client, assistant, thread)
    assert shown(asked) == {"harbour"}


def test_stores_of_assistant_and_thread_are_searched_together(client, asked, harbour, cheese):
    assistant = client.beta.assistants.create(
        model="gpt-4", tools=[SEARCH], tool_resources=searching(stored(client, harbour))
    )
    thread = client.beta.threads.create(
        messages=says(), tool_resources=searching(stored(client, cheese))
    )
    run_on(client, assistant, thread)
    assert shown(asked) == {"harbour", "cheese"}


def test_stores_are_made_where_files_are_named(client, asked, harbour, cheese):
    def new(file_id):
        made = {"file_ids": [file_id], "metadata": {"made": "so"}}
        return {"file_search": {"vector_stores": [made]}}

    assistant = client.beta.assistants.create(
        model="gpt-4", tools=[SEARCH], tool_resources=new(harbour)
    )
    thread = client.beta.threads.create(messages=says(), tool_resources=new(cheese))
    run_on(client, assistant, thread)
    assert shown(asked) == {"harbour", "cheese"}
    stores = [
        client.vector_stores.retrieve(each.tool_resources["file_search"]["vector_store_ids"][0])
        for each in (assistant, client.beta.threads.retrieve(thread.id))
    ]
    assert [each.metadata for each in stores] == [{"made": "so"}] * 2
    weekly = {"anchor": "last_active_at", "days": 7}
    assert [each.expires_after for each in stores] == [None, weekly]


def test_a_run_searches_the_stores_that_it_was_given(client, asked, harbour, cheese):
    assistant = client.beta.assistants.create(
        model="gpt-4", tools=[SEARCH], tool_resources=searching(stored(client, harbour))
    )
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": says()},
        tool_resources=searching(stored(client, cheese)),
    )
    assert run.status == "completed"
    assert shown(asked) == {"cheese"}


def test_the_files_of_another_thread_are_never_found(client, asked, harbour, cheese):
    assistant = client.beta.assistants.create(model="gpt-4", tools=[RETRIEVAL])
    one = client.beta.threads.create(messages=says(file_ids=[harbour]))
    other = client.beta.threads.create(messages=says(file_ids=[cheese]))
    for thread, found in ((one, {"harbour"}), (other, {"cheese"}), (one, {"harbour"})):
        run_on(client, assistant, thread)
        assert shown(asked) == found


def test_both_of_a_store_and_a_new_one_are_refused(client, harbour):
    both = {"vector_store_ids": [stored(client)], "vector_stores": [{"file_ids": [harbour]}]}
    before = [each.id for each in client.vector_stores.list()]
    with pytest.raises(BadRequestError, match="vector_store"):
        client.beta.threads.create(tool_resources={"file_search": both})
    with pytest.raises(NotFoundError, match=r"^Vector store with id 'vs_abc' not found\.$"):
        client.beta.threads.create(tool_resources=searching("vs_abc"))
    assert [each.id for each in client.vector_stores.list()] == before


# --- what is recorded ---


def test_the_step_of_a_search(client, harbour):
    assistant = client.beta.assistants.create(model="gpt-4", tools=[SEARCH], file_ids=[harbour])
    run = run_on(client, assistant, client.beta.threads.create(messages=says()))
    if client.settings.api_version == "v1":
        for include in ({}, {"include": [CONTENT]}):
            assert search_of(client, run, **include) == {"retrieval": {}, "type": "retrieval"}
        return
    call = search_of(client, run)
    (result,) = call["file_search"]["results"]
    assert call == {
        "file_search": {
            "ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.0},
            "results": [{"file_id": harbour, "file_name": "harbour.txt", "score": result["score"]}],
        },
        "type": "file_search",
    }
    (result,) = search_of(client, run, include=[CONTENT])["file_search"]["results"]
    assert result["content"] == [{"text": HARBOUR.decode(), "type": "text"}]


def test_tools_print_under_the_name_of_their_generation(client):
    name = {"v1": "retrieval", "v2": "file_search"}[client.settings.api_version]
    for tool in (RETRIEVAL, SEARCH):
        assistant = client.beta.assistants.create(model="gpt-4", tools=[tool])
        assert assistant.model_dump()["tools"] == [{"type": name}]


def test_a_run_without_files_or_without_the_tool_records_no_search(client, asked, harbour):
    searcher = client.beta.assistants.create(model="gpt-4", tools=[SEARCH])
    talker = client.beta.assistants.create(model="gpt-4")
    for assistant, thread in (
        (searcher, client.beta.threads.create(messages=says())),
        (talker, client.beta.threads.create(messages=says(file_ids=[harbour]))),
    ):
        run = run_on(client, assistant, thread)
        steps = client.beta.threads.runs.steps.list(run.id, run.thread_id).data
        assert [step.type for step in steps] == ["message_creation"]
        assert shown(asked) == set()


# --- how long stores live ---


def test_stores_that_were_made_for_somebody_go_with_them(client, harbour, cheese):
    assistant = client.beta.assistants.create(model="gpt-4", tools=[RETRIEVAL], file_ids=[harbour])
    named = stored(client, harbour)
    thread = client.beta.threads.create(messages=says(file_ids=[cheese]))
    run_on(client, assistant, thread)
    assert len(client.vector_stores.list().data) == 3
    client.beta.threads.delete(thread.id)
    assert len(client.vector_stores.list().data) == 2
    client.beta.assistants.delete(assistant.id)
    assert [each.id for each in client.vector_stores.list()] == [named]
    assert {each.id for each in client.files.list()} == {harbour, cheese}


def test_a_run_on_a_thread_whose_store_has_expired_is_refused(home, asked):
    now = [1_000_000.0]
    backend = ScriptedBackend(asked, n_ctx=N_CTX)
    with open_client(home, backend=backend, now=lambda: now[0]) as client:
        file = client.files.create(file=("cheese.txt", CHEESE), purpose="assistants")
        assistant = client.beta.assistants.create(model="gpt-4", tools=[SEARCH])
        attachments = [{"file_id": file.id, "tools": [SEARCH]}]
        thread = client.beta.threads.create(messages=says(attachments=attachments))
        for _ in range(2):  # its use prolongs it
            now[0] += 6 * DAY_S
            run_on(client, assistant, thread)
        now[0] += 8 * DAY_S
        with pytest.raises(BadRequestError, match="expired") as caught:
            client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
        assert caught.value.code == "vector_store_expired"
        assert len(client.beta.threads.runs.list(thread.id).data) == 2
