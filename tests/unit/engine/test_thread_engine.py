from __future__ import annotations

import threading

import pytest

from localassist import BadRequestError, ClosedError, ContextOverflowError, ModelError
from localassist.engine.chat_template import ChatMessage
from localassist.engine.request import FinishReason, GenerationRequest
from localassist.engine.scripted import ScriptedBackend
from localassist.engine.thread_engine import ThreadEngine


@pytest.fixture
def start():
    engines = []

    def make(backend):
        engines.append(ThreadEngine(backend, name="scripted"))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def ask(engine, text, **options):
    tokens = engine.encode_chat([ChatMessage("user", text)])
    return engine.submit(GenerationRequest(prompt_tokens=tokens, **options))


def read(generation):
    events = list(generation)
    return "".join(event.text for event in events), events[-1].finish_reason


def test_generations_of_many_callers_do_not_mix(start):
    engine = start(ScriptedBackend(n_ctx=4096))
    generations = [ask(engine, f"number {i}") for i in range(20)]
    assert [read(g) for g in generations] == [
        (f"You said: number {i}", FinishReason.STOP) for i in range(20)
    ]


def test_max_tokens_cuts_the_answer(start):
    engine = start(ScriptedBackend())
    assert read(ask(engine, "hello", max_tokens=3)) == ("You", FinishReason.LENGTH)


def test_a_stop_text_is_not_part_of_the_answer(start):
    engine = start(ScriptedBackend())
    assert read(ask(engine, "hello", stop=("said",))) == ("You ", FinishReason.STOP)


def test_an_answer_that_meets_the_end_of_the_context_is_cut(start):
    engine = start(ScriptedBackend(lambda _: "x" * 1000, n_ctx=300))
    text, reason = read(ask(engine, "hello"))
    assert reason is FinishReason.LENGTH
    assert 250 < len(text) < 300


@pytest.mark.parametrize("batches", [0, 1, 30])
def test_a_generation_can_be_cancelled_at_any_moment(start, batches):
    gate = threading.Semaphore(batches)
    engine = start(ScriptedBackend(lambda _: "x" * 1000, gate=gate))
    generation = ask(engine, "p" * 1000)
    generation.cancel()
    gate.release(1000)
    assert read(generation)[1] is FinishReason.CANCELLED


def test_a_prompt_that_no_context_can_hold_is_refused(start):
    engine = start(ScriptedBackend(n_ctx=300))
    with pytest.raises(ContextOverflowError, match="300") as caught:
        ask(engine, "x" * 300)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(BadRequestError):
        engine.submit(GenerationRequest(prompt_tokens=[]))


def test_a_failure_of_the_worker_ends_what_it_computed_and_nothing_else(start):
    def reply(text):
        if text == "break":
            raise RuntimeError("scripted failure")
        return "fine"

    engine = start(ScriptedBackend(reply))
    with pytest.raises(ModelError, match="scripted failure"):
        read(ask(engine, "break"))
    assert read(ask(engine, "next"))[0] == "fine"


def test_closing_ends_open_generations_with_an_error(start):
    gate = threading.Semaphore(0)
    engine = start(ScriptedBackend(gate=gate))
    generation = ask(engine, "hello")
    closing = threading.Thread(target=engine.close)
    closing.start()
    gate.release(1000)
    closing.join()
    with pytest.raises(ClosedError):
        ask(engine, "too late")
    with pytest.raises(ClosedError):
        list(generation)
