"""response_format: JSON of a run and of a chat completion, and what is refused."""

from __future__ import annotations

import json

import pytest
from shapes import ADA, PERSON

from localassist import BadRequestError, Client, ModelError, ScriptedBackend


def by_schema(schema, **more):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


def run_of(client, **params):
    assistant = client.beta.assistants.create(model="gpt-4", instructions="Be brief.")
    return client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Who?"}]},
        **params,
    )


def text_of(client, run):
    return client.beta.threads.messages.list(run.thread_id).data[0].text


def test_an_answer_by_a_schema_fits_it_whatever_the_model_would_say(home):
    with Client(home, backend=ScriptedBackend(lambda _: f"Here you are: {ADA}")) as client:
        run = run_of(
            client, response_format=by_schema(PERSON, strict=True), max_completion_tokens=900
        )
        assert run.response_format == by_schema(PERSON, strict=True)
        if run.status == "completed":
            assert set(json.loads(text_of(client, run))) == {"name", "age"}
        else:
            assert run.incomplete_details.reason == "max_completion_tokens"
            message = client.beta.threads.messages.list(run.thread_id).data[0]
            assert message.status == "completed"


def test_the_right_answer_comes_through_as_it_is(home):
    with Client(home, backend=ScriptedBackend(lambda _: ADA)) as client:
        for wanted in (by_schema(PERSON), by_schema(PERSON, strict=True), {"type": "json_object"}):
            run = run_of(client, response_format=wanted)
            assert (run.status, text_of(client, run)) == ("completed", ADA)
        for wanted in ("auto", {"type": "text"}):
            assert text_of(client, run_of(client, response_format=wanted)) == ADA


def test_an_assistants_format_holds_for_its_runs(home):
    with Client(home, backend=ScriptedBackend(lambda _: "[1]" + ADA)) as client:
        assistant = client.beta.assistants.create(
            model="gpt-4", response_format={"type": "json_object"}
        )
        run = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "Who?"}]},
            max_completion_tokens=300,
        )
        assert run.response_format == {"type": "json_object"}
        assert text_of(client, run).startswith("{")


UNIQUE = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "maxItems": 4}
HOLDER = {"type": "object", "properties": {"n": UNIQUE}, "required": ["n"]}


def test_what_cannot_be_enforced_is_validated_before_it_is_shown(home):
    def reply(text):
        return '{"n": [1, 2]}' if "does not fit" in text else '{"n": [1, 1]}'

    with Client(home, backend=ScriptedBackend(reply)) as client:
        run = run_of(client, response_format=by_schema(HOLDER))
        assert (run.status, text_of(client, run)) == ("completed", '{"n": [1, 2]}')
        assert len(client.beta.threads.messages.list(run.thread_id).data) == 2


def test_an_answer_that_stays_wrong_fails_the_run_and_is_not_shown(home):
    with Client(home, backend=ScriptedBackend(lambda _: '{"n": [1, 1]}')) as client:
        run = run_of(client, response_format=by_schema(HOLDER))
        assert run.status == "failed"
        assert "does not fit the response format: at 'n'" in run.last_error.message
        assert len(client.beta.threads.messages.list(run.thread_id).data) == 1


def test_half_an_object_is_never_complete(home):
    long = json.dumps({"name": "a" * 600, "age": 1})
    with Client(home, backend=ScriptedBackend(lambda _: long)) as client:
        run = run_of(client, response_format=by_schema(PERSON), max_completion_tokens=256)
        assert run.status == "incomplete"
        assert run.incomplete_details.reason == "max_completion_tokens"
        assert client.beta.threads.messages.list(run.thread_id).data[0].status == "incomplete"


def completed(client, **params):
    return client.chat.completions.create(
        model="gpt-4", messages=[{"role": "user", "content": "Who?"}], **params
    )


def test_chat_completions_keep_to_the_format(home):
    with Client(home, backend=ScriptedBackend(lambda _: ADA)) as client:
        for wanted in (by_schema(PERSON), {"type": "json_object"}):
            assert completed(client, response_format=wanted).choices[0].message.content == ADA
        cut = completed(client, response_format={"type": "json_object"}, max_tokens=5)
        assert cut.choices[0].finish_reason == "length"


def test_a_chat_completion_that_does_not_fit_is_an_error(home):
    with (
        Client(home, backend=ScriptedBackend(lambda _: '{"n": [1, 1]}')) as client,
        pytest.raises(ModelError, match="does not fit"),
    ):
        completed(client, response_format=by_schema(HOLDER))


@pytest.mark.parametrize(
    ("wanted", "code", "word"),
    [
        ({"type": "yaml"}, "invalid_value", "json_object"),
        ({"type": "json_schema"}, "missing_required_parameter", "json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "a b"}}, "invalid_value", "pattern"),
        (by_schema({"type": "dict"}), "invalid_json_schema", "dict"),
        (by_schema({"$ref": "https://example.com/a.json"}), "invalid_json_schema", "example"),
        (by_schema(HOLDER, strict=True), "invalid_json_schema", "uniqueItems"),
        (by_schema({**PERSON, "x-guidance": {"lenient": True}}), "invalid_json_schema", "x-guid"),
    ],
)
def test_a_format_that_cannot_be_honoured_is_refused_everywhere(client, thread, wanted, code, word):
    assistant = client.beta.assistants.create(model="gpt-4")
    for act in (
        lambda: client.beta.assistants.create(model="gpt-4", response_format=wanted),
        lambda: client.beta.assistants.update(assistant.id, response_format=wanted),
        lambda: client.beta.threads.runs.create(
            thread.id, assistant_id=assistant.id, response_format=wanted
        ),
        lambda: completed(client, response_format=wanted),
    ):
        with pytest.raises(BadRequestError, match=word) as caught:
            act()
        assert caught.value.code == code
    assert client.beta.assistants.retrieve(assistant.id).response_format == "auto"
    assert client.beta.threads.runs.list(thread.id).data == []


def test_a_schema_that_nests_too_deeply_is_refused_everywhere(client, thread):
    schema = {"type": "integer"}
    for _ in range(1_500):
        schema = {"type": "array", "items": schema}
    assistant = client.beta.assistants.create(model="gpt-4")
    create = client.beta.assistants.create
    update = client.beta.assistants.update
    for act in (
        lambda given: create(model="gpt-4", response_format=given),
        lambda given: update(assistant.id, response_format=given),
        lambda given: client.beta.threads.runs.create(
            thread.id, assistant_id=assistant.id, response_format=given
        ),
        lambda given: completed(client, response_format=given),
        lambda given: completed(client, response_format=given, stream=True),
    ):
        for given in (by_schema(schema), by_schema(schema, strict=True)):
            with pytest.raises(BadRequestError, match="too deeply") as caught:
                act(given)
            told = (caught.value.code, caught.value.param)
            assert told == ("invalid_json_schema", "response_format")
    assert client.beta.threads.runs.list(thread.id).data == []
