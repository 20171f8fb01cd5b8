"""Files on every face: uploaded, listed, read, deleted, and searched with a citation."""

from __future__ import annotations

from faces.faces import ALL, Error, on_faces, printed

HARBOUR = b"The harbour of Oslo was enlarged in 1961. Its new quay is made of granite."
CHEESE = b"Brown cheese is made of whey. The whey is boiled until its sugar turns brown."
ENLARGED = "The harbour of Oslo was enlarged in 1961."


def upload(face, name, data):
    return face.client.files.create(file=(name, data), purpose="assistants")


@on_faces(*ALL)
def test_a_file_is_uploaded_read_and_deleted(face):
    files = face.client.files
    made = upload(face, "harbour.txt", HARBOUR)
    assert made.id.startswith("file-")
    assert (made.object, made.filename, made.purpose, made.status) == (
        "file", "harbour.txt", "assistants", "processed",
    )  # fmt: skip
    assert made.bytes == len(HARBOUR)
    assert printed(files.retrieve(made.id)) == printed(made)
    assert files.content(made.id).read() == HARBOUR
    gone = files.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "file")
    assert face.error(files.retrieve, made.id) == Error(
        404, f"No such File object: {made.id}", "id"
    )


@on_faces(*ALL)
def test_bytes_are_a_file_without_a_name(face):
    data = bytes(range(256)) * 300
    made = face.client.files.create(file=data, purpose="assistants")
    assert (made.filename, made.bytes) == ("upload", len(data))
    assert face.client.files.content(made.id).read() == data
    empty = face.client.files.create(file=("empty.txt", b""), purpose="assistants")
    assert (empty.bytes, face.client.files.content(empty.id).read()) == (0, b"")


@on_faces(*ALL)
def test_a_name_keeps_its_letters(face):
    names = ["blåbær ☃.txt", "a;b=c.txt", "a 'b' %20.txt", "ab"]
    ids = [upload(face, name, name.encode()).id for name in names]
    assert [face.client.files.retrieve(each).filename for each in ids] == names


@on_faces(*ALL)
def test_files_are_listed_by_purpose(face):
    ids = [upload(face, f"{number}.txt", b"a").id for number in range(3)]
    assert [each.id for each in face.client.files.list()] == ids[::-1]
    assert [each.id for each in face.client.files.list(purpose="assistants")] == ids[::-1]
    assert list(face.client.files.list(purpose="fine-tune")) == []


@on_faces(*ALL, reply=lambda _: ENLARGED, embeds=True)
def test_an_answer_cites_the_file_that_it_is_from(face):
    beta = face.client.beta
    harbour = upload(face, "harbour.txt", HARBOUR)
    cheese = upload(face, "cheese.txt", CHEESE)
    assistant = beta.assistants.create(model="gpt-4", **face.searching(harbour.id, cheese.id))
    run = face.ended(
        beta.threads.create_and_run(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "When was the harbour enlarged?"}]},
        )
    )
    assert (run.status, run.last_error) == ("completed", None)
    message = beta.threads.messages.list(run.thread_id).data[0]
    text = message.content[0].text
    (annotation,) = text.annotations
    assert annotation.type == "file_citation"
    assert text.value[annotation.start_index : annotation.end_index] == annotation.text
    assert text.value.replace(annotation.text, "") == ENLARGED
    assert annotation.file_citation.file_id == harbour.id
    assert annotation.file_citation.quote == ENLARGED
    assert face.client.files.retrieve(annotation.file_citation.file_id).filename == "harbour.txt"
    first, second = beta.threads.runs.steps.list(
        run_id=run.id, thread_id=run.thread_id, order="asc"
    ).data
    assert (first.type, second.type) == ("tool_calls", "message_creation")
    (call,) = printed(first)["step_details"]["tool_calls"]
    if face.version == "v1":
        assert call == {"id": call["id"], "retrieval": {}, "type": "retrieval"}
    else:
        assert call["type"] == "file_search"
        assert {each["file_id"] for each in call["file_search"]["results"]} == {
            harbour.id, cheese.id,
        }  # fmt: skip


@on_faces(*ALL)
def test_a_file_of_an_assistant_must_be_there(face):
    error = face.error(
        lambda: face.client.beta.assistants.create(model="gpt-4", **face.searching("file-abc"))
    )
    assert 400 <= error.status < 500
    assert "file-abc" in error.message
    assert face.client.beta.assistants.list().data == []
