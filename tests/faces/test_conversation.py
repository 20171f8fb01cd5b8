"""Threads, messages and runs on every face."""

from __future__ import annotations

from faces.faces import ALL, on_faces, printed


def texts(messages):
    return [each.content[0].text.value for each in messages]


@on_faces(*ALL)
def test_a_thread_is_made_changed_and_deleted(face):
    threads = face.client.beta.threads
    made = threads.create(metadata={"a": "1"})
    assert (made.object, made.metadata) == ("thread", {"a": "1"})
    assert printed(threads.retrieve(made.id)) == printed(made)
    assert threads.update(made.id, metadata={"b": "2"}).metadata == {"b": "2"}
    gone = threads.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "thread.deleted")
    assert face.error(threads.retrieve, made.id).status == 404


@on_faces(*ALL)
def test_messages_are_listed_from_a_cursor_in_both_orders(face):
    messages = face.client.beta.threads.messages
    thread = face.client.beta.threads.create(messages=[{"role": "user", "content": "m0"}])
    made = [
        messages.create(thread_id=thread.id, role="user", content=f"m{number}")
        for number in range(1, 6)
    ]
    assert texts(messages.list(thread_id=thread.id)) == ["m5", "m4", "m3", "m2", "m1", "m0"]
    assert texts(messages.list(thread.id, order="asc", limit=4).data) == ["m0", "m1", "m2", "m3"]
    after = messages.list(thread_id=thread.id, order="asc", after=made[1].id)
    assert texts(after.data) == ["m3", "m4", "m5"]
    assert texts(messages.list(thread.id, before=made[3].id).data) == ["m5"]
    assert texts(messages.list(thread.id, order="asc", limit=1, after=made[0].id)) == [
        "m2", "m3", "m4", "m5",
    ]  # fmt: skip


@on_faces(*ALL)
def test_a_message_keeps_what_it_was_given(face):
    messages = face.client.beta.threads.messages
    thread = face.client.beta.threads.create()
    made = messages.create(thread.id, role="user", content="hi ☃", metadata={"a": "1"})
    assert (made.object, made.role, made.thread_id) == ("thread.message", "user", thread.id)
    assert (made.assistant_id, made.run_id, made.metadata) == (None, None, {"a": "1"})
    assert printed(made)["content"] == [
        {"text": {"annotations": [], "value": "hi ☃"}, "type": "text"}
    ]
    changed = messages.update(made.id, thread_id=thread.id, metadata={"b": "2"})
    assert (changed.metadata, texts([changed])) == ({"b": "2"}, ["hi ☃"])
    assert printed(messages.retrieve(made.id, thread_id=thread.id)) == printed(changed)
    assert messages.update(made.id, thread_id=thread.id, metadata={}).metadata == {}


@on_faces(*ALL)
def test_the_document_s_conversation(face):
    beta = face.client.beta
    assistant = beta.assistants.create(model="gpt-4", instructions="Be brief.")
    thread = beta.threads.create()
    asked = beta.threads.messages.create(thread_id=thread.id, role="user", content="hi")
    run = beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)
    assert (run.object, run.status, run.started_at, run.completed_at) == (
        "thread.run", "queued", None, None,
    )  # fmt: skip
    assert run.expires_at == run.created_at + 600
    assert (run.model, run.instructions, run.tools) == ("gpt-4", "Be brief.", [])
    run = face.ended(run)
    assert (run.status, run.expires_at, run.last_error, run.required_action) == (
        "completed", None, None, None,
    )  # fmt: skip
    assert run.completed_at >= run.started_at >= run.created_at
    answers = beta.threads.messages.list(thread_id=thread.id, order="asc", after=asked.id)
    (answer,) = answers.data
    assert (answer.role, texts([answer])) == ("assistant", ["You said: hi"])
    assert (answer.assistant_id, answer.run_id) == (assistant.id, run.id)
    (step,) = beta.threads.runs.steps.list(run_id=run.id, thread_id=thread.id).data
    assert (step.object, step.type, step.status) == (
        "thread.run.step", "message_creation", "completed",
    )  # fmt: skip
    assert step.step_details.message_creation.message_id == answer.id
    found = beta.threads.runs.steps.retrieve(step.id, thread_id=thread.id, run_id=run.id)
    assert printed(found) == printed(step)
    beta.threads.messages.create(thread_id=thread.id, role="user", content="and again")
    again = face.ended(beta.threads.runs.create(thread.id, assistant_id=assistant.id))
    assert [each.id for each in beta.threads.runs.list(thread.id)] == [again.id, run.id]
    assert texts(beta.threads.messages.list(thread.id).data)[0] == "You said: and again"


@on_faces(*ALL)
def test_a_thread_is_made_and_run_at_once(face):
    beta = face.client.beta
    assistant = beta.assistants.create(model="gpt-4")
    runs = [
        beta.threads.create_and_run(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": f"caller {number}"}]},
            metadata={"number": str(number)},
        )
        for number in range(3)
    ]
    for number, run in enumerate(runs):
        assert run.metadata == {"number": str(number)}
        assert face.ended(run).status == "completed"
        said = texts(beta.threads.messages.list(run.thread_id))
        assert said == [f"You said: caller {number}", f"caller {number}"]
    changed = beta.threads.runs.update(runs[0].id, thread_id=runs[0].thread_id, metadata={"a": "1"})
    assert (changed.metadata, changed.status) == ({"a": "1"}, "completed")


@on_faces(*ALL)
def test_a_run_has_its_own_settings(face):
    beta = face.client.beta
    assistant = beta.assistants.create(model="gpt-4", instructions="Be brief.")
    thread = beta.threads.create(messages=[{"role": "user", "content": "hi"}])
    run = beta.threads.runs.create(
        thread.id, assistant_id=assistant.id, model="gpt-3.5-turbo", instructions="Be long."
    )
    assert (run.model, run.instructions) == ("gpt-3.5-turbo", "Be long.")
    assert face.ended(run).status == "completed"
    assert beta.assistants.retrieve(assistant.id).instructions == "Be brief."
