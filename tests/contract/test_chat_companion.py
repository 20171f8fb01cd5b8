"""Chat completions: functions, formats, chunks and what ends them, of both clients."""

from __future__ import annotations

import base64
import json
import math
import struct
import threading
import time

import pytest
from faces.faces import IN_PROCESS, NATIVE, Error, opened, printed
from faces.scripts import OSLO_AND_ROME, WEATHER
from shapes import ADA, PERSON
from watched_embedder import real_embedder
from wire import JSON, Wire, error_of

CALL = [{"role": "user", "content": "call"}]
TIME = {"type": "function", "function": {"name": "time"}}
DIM = 384


@pytest.fixture(params=[*NATIVE, *IN_PROCESS])
def open_face(request, home):
    """Opens the face with a model that answers by a function."""

    def face(reply=None, **options):
        return opened(request.param, home, reply=reply, **options)

    return face


def chat(face, messages=CALL, **params):
    return face.client.chat.completions.create(model="gpt-4", messages=messages, **params)


def calls_of(answer):
    return answer.choices[0].message.tool_calls


def said(answer):
    """The assistant's message that made calls, as it is sent back."""
    calls = [printed(call) for call in calls_of(answer)]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def given(call, text):
    return {"role": "tool", "tool_call_id": call.id, "content": text}


@pytest.mark.parametrize(
    ("choice", "reason", "count"),
    [
        (None, "tool_calls", 2),
        ("auto", "tool_calls", 2),
        ("required", "tool_calls", 2),
        ({"type": "function", "function": {"name": "weather"}}, "tool_calls", 1),
        ("none", "stop", 0),
    ],
)
def test_the_caller_chooses_whether_functions_are_called(open_face, choice, reason, count):
    with open_face(OSLO_AND_ROME) as face:
        answer = chat(face, tools=[WEATHER, TIME], tool_choice=choice)
        assert answer.choices[0].finish_reason == reason
        assert len(calls_of(answer) or ()) == count
        assert (answer.choices[0].message.content is None) == bool(count)
        assert answer.usage.completion_tokens > 0
        ids = [call.id for call in calls_of(answer) or ()]
        assert len(set(ids)) == count
        assert all(each.startswith("call_") for each in ids)


def test_one_call_at_a_time_if_asked(open_face):
    with open_face(OSLO_AND_ROME) as face:
        assert len(calls_of(chat(face, tools=[WEATHER], parallel_tool_calls=False))) == 1


def test_words_need_no_call(open_face):
    with open_face(OSLO_AND_ROME) as face:
        answer = chat(face, [{"role": "user", "content": "hello"}], tools=[WEATHER])
        assert (answer.choices[0].finish_reason, calls_of(answer)) == ("stop", None)


def test_an_answer_follows_what_the_functions_gave(open_face):
    with open_face(OSLO_AND_ROME) as face:
        first = chat(face, tools=[WEATHER])
        one, two = calls_of(first)
        assert json.loads(one.function.arguments) == {"city": "Oslo"}
        # In whatever order the outputs come.
        for outputs in ([given(one, "a"), given(two, "b")], [given(two, "b"), given(one, "a")]):
            last = chat(face, [*CALL, said(first), *outputs], tools=[WEATHER])
            assert last.choices[0].message.content == "Done: 2 outputs."
            assert last.choices[0].finish_reason == "stop"
        later = [*CALL, said(first), given(one, "a"), given(two, "b")]
        later += [{"role": "assistant", "content": "Rain."}, {"role": "user", "content": "Thanks"}]
        assert chat(face, later, tools=[WEATHER]).choices[0].message.content == "Just words."


def test_calls_without_their_outputs_are_refused(open_face):
    with open_face(OSLO_AND_ROME) as face:
        first = chat(face, tools=[WEATHER])
        one, two = calls_of(first)
        assert face.error(chat, face, [*CALL, said(first), given(one, "a")]) == Error(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{two.id}",
            "messages",
        )
        error = face.error(chat, face, [*CALL, given(one, "a")])
        assert (error.status, error.param) == (400, "messages[1].tool_call_id")
        assert one.id in error.message


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, "tool_choice"),
        ({"tools": [TIME, TIME]}, "tools[1].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"temperature": 3}, "temperature"),
        ({"n": 2}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_done_is_refused(open_face, params, param, stream):
    with open_face() as face:
        create = face.client.chat.completions.create
        given = {"model": "m", "messages": CALL, "stream": stream, **params}
        error = face.error(lambda: create(**given))
        assert (error.status, error.param) == (400, param)


def test_calls_come_in_chunks(open_face):
    with open_face(OSLO_AND_ROME) as face:
        chunks = [printed(each) for each in chat(face, tools=[WEATHER], stream=True)]
    deltas = [each["choices"][0]["delta"] for each in chunks]
    assert deltas[0]["role"] == "assistant"
    assert not any(each.get("content") for each in deltas)
    grown = {}
    for delta in deltas:
        for call in delta.get("tool_calls") or ():
            if call["index"] not in grown:
                assert (call["type"], call["id"][:5]) == ("function", "call_")
                grown[call["index"]] = [call["function"]["name"], ""]
            else:
                assert not call.get("id")
                assert not call["function"].get("name")
            grown[call["index"]][1] += call["function"]["arguments"]
    assert grown == {
        0: ["weather", '{"city": "Oslo"}'],
        1: ["weather", '{"city": "Rome"}'],
    }
    reasons = [each["choices"][0]["finish_reason"] for each in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["tool_calls"]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_stream_tells_its_usage_if_asked(open_face, wanted):
    with open_face() as face:
        whole = chat(face)
        chunks = list(chat(face, stream=True, stream_options={"include_usage": wanted}))
        counted = [each for each in chunks if each.usage is not None]
        assert len(counted) == wanted
        if wanted:
            assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == (
                [], whole.usage.total_tokens,
            )  # fmt: skip


def test_a_limit_ends_an_answer(open_face):
    with open_face() as face:
        for limit in ({"max_tokens": 4}, {"max_completion_tokens": 4}):
            (choice,) = chat(face, **limit).choices
            assert (choice.finish_reason, choice.message.content) == ("length", "You ")
            *_, last = chat(face, stream=True, **limit)
            assert last.choices[0].finish_reason == "length"
        (choice,) = chat(face, stop=" said").choices
        assert (choice.finish_reason, choice.message.content) == ("stop", "You")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON, "strict": True}},
    ],
    ids=["object", "schema"],
)
def test_an_answer_has_the_format_that_was_asked_for(open_face, wanted, stream):
    with open_face(lambda _: f"Here you are: {ADA}") as face:
        assert chat(face).choices[0].message.content == f"Here you are: {ADA}"
    with open_face(lambda _: ADA) as face:
        answer = chat(face, response_format=wanted, stream=stream)
        if stream:
            text = "".join(each.choices[0].delta.content or "" for each in answer)
        else:
            text = answer.choices[0].message.content
        assert json.loads(text) == {"name": "Ada", "age": 36}


def test_a_format_that_there_is_not_is_refused(open_face):
    with open_face() as face:
        wanted = {"type": "xml"}
        error = face.error(lambda: chat(face, response_format=wanted))
        assert (error.status, error.param) == (400, "response_format.type")


@pytest.mark.parametrize("name", [*NATIVE, *IN_PROCESS, "socket"])
def test_closing_a_stream_early_ends_the_generation(home, name):
    gate, rows = threading.Semaphore(0), []

    def reply(text):
        rows.append(text)
        return "x" * 50_000

    with opened(name, home, reply=reply, gate=gate) as face:
        gate.release(3)
        stream = chat(face, stream=True)
        chunks = iter(stream)
        assert next(chunks).choices[0].delta.role == "assistant"
        assert next(chunks).choices[0].delta.content.startswith("x")
        assert is_busy(face)
        stream.close()
        while is_busy(face):
            gate.release()
            time.sleep(0.001)
    assert len(rows) < 50_000


def is_busy(face):
    """Whether the engine has something to generate."""
    (stats,) = face.runtime.engines.stats().values()
    return stats.running + stats.waiting > 0


def test_a_refusal_is_no_stream_on_the_wire(home):
    wire = Wire(home)
    body = {"model": "m", "messages": CALL, "stream": True, "temperature": 3}
    reply = wire.send("POST", "/v1/chat/completions", json.dumps(body).encode(), headers=JSON)
    assert (reply.status, error_of(reply)["param"]) == (400, "temperature")
    body = {"model": "m", "messages": CALL, "stream": True}
    reply = wire.send("POST", "/v1/chat/completions", json.dumps(body).encode(), headers=JSON)
    lines = b"".join(reply.chunks()).decode().removesuffix("\n\n").split("\n\n")
    assert all(each.startswith("data: ") and "\n" not in each for each in lines)
    assert lines[-1] == "data: [DONE]"
    wire.close()


def vector_of(text):
    raw = base64.b64decode(text)
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def test_vectors_come_as_numbers_or_as_text(open_face):
    with open_face(embedder=real_embedder()) as face:
        create = face.client.embeddings.create
        (floats,) = create(model="m", input="a port", encoding_format="float").data
        (text,) = create(model="m", input="a port", encoding_format="base64").data
        assert len(floats.embedding) == DIM
        assert isinstance(text.embedding, str)
        pairs = zip(floats.embedding, vector_of(text.embedding), strict=True)
        assert all(math.isclose(one, other, abs_tol=1e-6) for one, other in pairs)


@pytest.mark.parametrize("size", [1, 64, DIM])
def test_vectors_can_be_shorter(open_face, size):
    with open_face(embedder=real_embedder()) as face:
        create = face.client.embeddings.create
        whole = create(model="m", input="a port", encoding_format="float").data[0].embedding
        answer = create(model="m", input="a port", encoding_format="float", dimensions=size)
        (short,) = answer.data
        assert len(short.embedding) == size
        assert math.isclose(math.hypot(*short.embedding), 1, abs_tol=1e-5)
        length = math.hypot(*whole[:size])
        for one, other in zip(short.embedding, whole, strict=False):
            assert math.isclose(one, other / length, abs_tol=1e-5)
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
        error = face.error(lambda: create(model="m", input="a port", dimensions=DIM + 1))
        assert (error.status, error.param) == (400, "dimensions")
