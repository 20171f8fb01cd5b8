"""Assistants on every face: made, changed, listed, deleted."""

from __future__ import annotations

from faces.faces import ALL, OLDER, on_faces, printed


@on_faces(*ALL)
def test_an_assistant_is_made_changed_and_deleted(face):
    assistants = face.client.beta.assistants
    made = assistants.create(
        name="Tutor", instructions="Be brief.", model="gpt-4-1106-preview", metadata={"a": "1"}
    )
    assert made.id.startswith("asst_")
    assert (made.object, made.model, made.name) == ("assistant", "gpt-4-1106-preview", "Tutor")
    assert (made.description, made.instructions, made.tools) == (None, "Be brief.", [])
    assert made.metadata == {"a": "1"}
    assert printed(assistants.retrieve(made.id)) == printed(made)
    changed = assistants.update(made.id, tools=[{"type": "code_interpreter"}], name=None)
    assert [tool.type if hasattr(tool, "type") else tool["type"] for tool in changed.tools] == [
        "code_interpreter"
    ]
    assert (changed.name, changed.instructions, changed.id) == (None, "Be brief.", made.id)
    gone = assistants.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "assistant.deleted")
    assert assistants.list().data == []


@on_faces(*ALL)
def test_an_assistant_shows_the_keys_of_its_generation(face):
    made = printed(face.client.beta.assistants.create(model="gpt-4"))
    first = ["id", "created_at", "description"]
    then = ["instructions", "metadata", "model", "name", "object", "tools"]
    if face.version == "v1":
        assert list(made) == [*first, "file_ids", *then]
    else:
        assert list(made)[: len(first + then)] == [*first, *then]
        assert set(made) - {*first, *then} == {
            "response_format", "temperature", "tool_resources", "top_p", "reasoning_effort",
        }  # fmt: skip


@on_faces(*ALL)
def test_a_list_goes_on_to_its_end_in_both_orders(face):
    assistants = face.client.beta.assistants
    ids = [assistants.create(model="gpt-4", name=str(number)).id for number in range(7)]
    assert [each.id for each in assistants.list()] == ids[::-1]
    assert [each.id for each in assistants.list(limit=3)] == ids[::-1]
    assert [each.id for each in assistants.list(order="asc", limit=2)] == ids
    page = assistants.list(order="asc", limit=2, after=ids[1])
    assert [each.id for each in page.data] == ids[2:4]
    assert [each.id for each in page.get_next_page().data] == ids[4:6]
    assert [each.id for each in assistants.list(before=ids[4], limit=2).data] == [ids[6], ids[5]]


@on_faces(*ALL)
def test_a_page_says_where_it_begins_and_ends(face):
    assistants = face.client.beta.assistants
    ids = [assistants.create(model="gpt-4").id for _ in range(3)]
    found = printed(assistants.list(limit=2))
    keys = ["data", "object", "first_id", "last_id", "has_more"]
    assert sorted(found) == sorted(keys)
    if face.name in (*OLDER, "native"):
        assert list(found) == keys
    assert (found["first_id"], found["last_id"], found["has_more"]) == (ids[2], ids[1], True)
    assert printed(assistants.list())["has_more"] is False


@on_faces(*ALL)
def test_deleting_while_listing_reaches_all(face):
    assistants = face.client.beta.assistants
    for _ in range(5):
        assistants.create(model="gpt-4")
    for each in assistants.list(limit=2):
        assistants.delete(each.id)
    assert assistants.list().data == []
