"""Errors on every face: the service's status, text, parameter and code."""

from __future__ import annotations

from faces.faces import ALL, Error, on_faces
from faces.scripts import OSLO_AND_ROME, WEATHER


@on_faces(*ALL)
def test_what_is_not_there_is_told(face):
    beta = face.client.beta
    thread = beta.threads.create()
    assistant = beta.assistants.create(model="gpt-4")
    steps = beta.threads.runs.steps
    for call, message in (
        (lambda: beta.assistants.retrieve("asst_x"), "No assistant found with id 'asst_x'."),
        (lambda: beta.assistants.delete("asst_x"), "No assistant found with id 'asst_x'."),
        (lambda: beta.threads.retrieve("thread_x"), "No thread found with id 'thread_x'."),
        (
            lambda: beta.threads.messages.create("thread_x", role="user", content="a"),
            "No thread found with id 'thread_x'.",
        ),
        (
            lambda: beta.threads.messages.retrieve("msg_x", thread_id=thread.id),
            "No message found with id 'msg_x'.",
        ),
        (
            lambda: beta.threads.runs.retrieve("run_x", thread_id=thread.id),
            "No run found with id 'run_x'.",
        ),
        (
            lambda: beta.threads.runs.create(thread.id, assistant_id="asst_x"),
            "No assistant found with id 'asst_x'.",
        ),
        (
            lambda: beta.threads.runs.create("thread_x", assistant_id=assistant.id),
            "No thread found with id 'thread_x'.",
        ),
        (
            lambda: steps.list(run_id="run_x", thread_id=thread.id).data,
            "No run found with id 'run_x'.",
        ),
    ):
        assert face.error(call) == Error(404, message)
    assert face.error(face.client.files.retrieve, "file-x") == Error(
        404, "No such File object: file-x", "id"
    )


@on_faces(*ALL)
def test_a_wrong_parameter_is_told(face):
    beta = face.client.beta
    create = beta.assistants.create
    assert face.error(create, model="m", **face.unknown(colour="red")) == Error(
        400, "Unknown parameter: 'colour'.", "colour", "unknown_parameter"
    )
    assert face.error(create, model="m", name=1) == Error(
        400,
        "Invalid type for 'name': expected a string, but got an integer instead.",
        "name",
        "invalid_type",
    )
    many = {str(number): "" for number in range(17)}
    assert face.error(create, model="m", metadata=many) == Error(
        400,
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
        "metadata",
        "object_above_max_properties",
    )
    assert face.error(lambda: beta.assistants.list(limit=101).data) == Error(
        400,
        "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 "
        "instead.",
        "limit",
        "integer_above_max_value",
    )
    assert face.error(beta.threads.retrieve, "foo") == Error(
        400,
        "Invalid 'thread_id': 'foo'. Expected an ID that begins with 'thread'.",
        "thread_id",
        "invalid_value",
    )
    long = [{"role": "user", "content": "a"}] * 33
    assert face.error(beta.threads.create, messages=long) == Error(
        400,
        "Invalid 'messages': array too long. Expected an array with maximum length 32, but got an "
        "array with length 33 instead.",
        "messages",
        "array_above_max_length",
    )
    assert beta.assistants.list().data == []


@on_faces(*ALL, reply=OSLO_AND_ROME)
def test_a_locked_thread_says_by_which_run(face):
    beta = face.client.beta
    assistant = beta.assistants.create(model="gpt-4", tools=[WEATHER])
    thread = beta.threads.create(messages=[{"role": "user", "content": "call"}])
    run = face.ended(beta.threads.runs.create(thread.id, assistant_id=assistant.id))
    assert run.status == "requires_action"
    say = {"role": "user", "content": "more"}
    assert face.error(beta.threads.messages.create, thread.id, **say) == Error(
        400, f"Can't add messages to {thread.id} while a run {run.id} is active."
    )
    assert face.error(beta.threads.runs.create, thread.id, assistant_id=assistant.id) == Error(
        400, f"Thread {thread.id} already has an active run {run.id}."
    )
    # What the lock leaves free.
    assert beta.threads.update(thread.id, metadata={"a": "1"}).metadata == {"a": "1"}
    other = beta.threads.create(messages=[{"role": "user", "content": "hello"}])
    ended = face.ended(beta.threads.runs.create(other.id, assistant_id=assistant.id))
    assert ended.status == "completed"
    beta.threads.runs.cancel(run.id, thread_id=thread.id)
    assert face.ended(beta.threads.runs.retrieve(run.id, thread_id=thread.id)).status == (
        "cancelled"
    )
    beta.threads.messages.create(thread.id, **say)


@on_faces(*ALL)
def test_a_run_that_is_over_takes_nothing(face):
    beta = face.client.beta
    assistant = beta.assistants.create(model="gpt-4")
    run = face.ended(beta.threads.create_and_run(assistant_id=assistant.id))
    assert face.error(beta.threads.runs.cancel, run.id, thread_id=run.thread_id) == Error(
        400, "Cannot cancel run with status 'completed'."
    )
    assert face.error(
        beta.threads.runs.submit_tool_outputs, run.id, thread_id=run.thread_id, tool_outputs=[]
    ) == Error(400, 'Runs in status "completed" do not accept tool outputs.')
