"""Chat completions, models and embeddings on every face."""

from __future__ import annotations

import math

from faces.faces import ALL, Error, on_faces
from faces.scripts import OSLO_AND_ROME, WEATHER

USER = [{"role": "user", "content": "hi ☃"}]


@on_faces(*ALL)
def test_a_chat_is_answered(face):
    answer = face.client.chat.completions.create(model="gpt-4", messages=USER)
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model) == ("chat.completion", "gpt-4")
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "You said: hi ☃")
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0


@on_faces(*ALL)
def test_a_chat_comes_in_chunks(face):
    chunks = list(
        face.client.chat.completions.create(
            model="gpt-4", messages=[{"role": "user", "content": "a\nb ☃"}], stream=True
        )
    )
    assert {(chunk.object, chunk.model) for chunk in chunks} == {("chat.completion.chunk", "gpt-4")}
    assert len({chunk.id for chunk in chunks}) == 1
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == "You said: a\nb ☃"
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]


@on_faces(*ALL, reply=OSLO_AND_ROME)
def test_a_chat_calls_functions(face):
    create = face.client.chat.completions.create
    asked = [{"role": "user", "content": "call"}]
    answer = create(model="gpt-4", messages=asked, tools=[WEATHER])
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    found = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert found == [("weather", '{"city": "Oslo"}'), ("weather", '{"city": "Rome"}')]
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in choice.message.tool_calls
    ]
    said = {"role": "assistant", "content": None, "tool_calls": calls}
    given = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in calls]
    final = create(model="gpt-4", messages=[*asked, said, *given], tools=[WEATHER])
    assert final.choices[0].message.content == "Done: 2 outputs."
    error = face.error(create, model="gpt-4", messages=[*asked, said, given[0]], tools=[WEATHER])
    assert (error.status, error.param) == (400, "messages")
    assert error.message.endswith(calls[1]["id"])


@on_faces(*ALL)
def test_models_are_listed(face):
    models = list(face.client.models.list().data)
    assert models
    for each in models:
        assert (each.object, isinstance(each.created, int)) == ("model", True)
        assert face.client.models.retrieve(each.id) == each
    assert face.client.models.retrieve("gpt-4").id == "gpt-4"
    error = face.error(face.client.models.retrieve, "nobody")
    assert (error.param, error.code) == ("model", "model_not_found")


@on_faces(*ALL, embeds=True)
def test_texts_are_embedded(face):
    create = face.client.embeddings.create
    found = create(model="any", input=["a harbour", "a port", "cheese"])
    assert [each.index for each in found.data] == [0, 1, 2]
    harbour, port, cheese = (each.embedding for each in found.data)
    assert all(math.isclose(sum(x * x for x in each), 1, abs_tol=1e-3) for each in (harbour, port))
    assert dot(harbour, port) > dot(harbour, cheese)
    alone = create(model="any", input="a harbour").data[0].embedding
    floats = create(model="any", input="a harbour", encoding_format="float").data[0].embedding
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(floats, alone, strict=True))
    assert dot(alone, harbour) > 0.98
    assert face.error(create, model="any", input=[]) == Error(
        400,
        "Invalid 'input': array too short. Expected an array with minimum length 1, but got an "
        "array with length 0 instead.",
        "input",
        "array_below_min_length",
    )


def dot(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))
