"""The engine on real weights: cache, control tokens, cancellation, files that are no models."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

import pytest
from conftest import DEFAULT, SMALL, SMOL

from localassist import Client, LocalAssistError, Settings
from localassist.engine.chat_template import ChatMessage
from localassist.engine.gguf import read_header
from localassist.engine.llama_backend import LlamaBackend
from localassist.engine.request import FinishReason, GenerationRequest
from localassist.engine.thread_engine import ThreadEngine

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def smol(weights):
    path = weights(SMOL)
    template = read_header(path).chat_template
    engine = ThreadEngine(
        LlamaBackend(path, n_ctx=2048, n_threads=1, chat_template=template), name="smol"
    )
    yield engine
    engine.close()


def ask(engine, *turns, **options):
    roles = ["user", "assistant"]
    messages = [ChatMessage(roles[i % 2], text) for i, text in enumerate(turns)]
    options.setdefault("max_tokens", 24)
    generation = engine.submit(GenerationRequest(engine.encode_chat(messages), **options))
    events = list(generation)
    return "".join(event.text for event in events), generation


def test_the_same_prompt_is_not_computed_again(smol):
    text, cold = ask(smol, "Name three colours.")
    _, warm = ask(smol, "Name three colours.")
    assert text.strip()
    assert cold.num_cached_tokens < warm.num_cached_tokens == warm.num_prompt_tokens - 1


def test_the_second_turn_computes_only_its_new_words(smol):
    question = "Tell me about the sea. " * 20
    text, _ = ask(smol, question)
    _, second = ask(smol, question, text, "And the sky?")
    assert second.num_prompt_tokens - second.num_cached_tokens < 40


def test_conversations_side_by_side_do_not_mix(smol):
    """Kernels for several rows round differently, so answers may differ in words, not in topic."""
    topics = ["banana", "whale", "violin", "glacier"]
    together = [
        smol.submit(
            GenerationRequest(
                smol.encode_chat([ChatMessage("user", f"Repeat this word: {topic}")]),
                max_tokens=24,
            )
        )
        for topic in topics
    ]
    answers = ["".join(event.text for event in each).lower() for each in together]
    for topic, answer in zip(topics, answers, strict=True):
        assert topic in answer
        assert not any(other in answer for other in topics if other != topic)


def test_a_long_prompt_can_be_cancelled_while_it_is_read(smol):
    tokens = smol.encode_chat([ChatMessage("user", "word " * 1500)])
    generation = smol.submit(GenerationRequest(tokens))
    generation.cancel()
    (last,) = list(generation)
    assert last.finish_reason is FinishReason.CANCELLED


@pytest.mark.parametrize("name", [SMOL, SMALL, DEFAULT])
def test_no_text_of_a_user_becomes_a_control_token(weights, name):
    """Every control token of the three models, by the vocabulary alone."""
    import llama_cpp

    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(weights(name)).encode(), params)
    vocab = llama_cpp.llama_model_get_vocab(model)
    control = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
    buffer = ctypes.create_string_buffer(256)
    specials = {}
    for token in range(llama_cpp.llama_vocab_n_tokens(vocab)):
        if llama_cpp.llama_vocab_get_attr(vocab, token) & control:
            size = llama_cpp.llama_token_to_piece(vocab, token, buffer, 256, 0, True)
            specials[token] = buffer.raw[:size].decode()
    assert len(specials) > 10

    plain = LlamaBackend.__new__(LlamaBackend)
    plain._llama, plain._vocab = llama_cpp, vocab
    for token, text in specials.items():
        assert token in plain.tokenize(text, parse_special=True)
        if llama_cpp.llama_vocab_get_attr(vocab, token) & llama_cpp.LLAMA_TOKEN_ATTR_CONTROL:
            assert token not in plain.tokenize(f"a{text}b", parse_special=False), text
    llama_cpp.llama_model_free(model)


def test_a_conversation_survives_kill_9_and_goes_on(home, weights):
    """A run is killed while the real model talks; the next process finishes it."""
    code = (
        "import sys\n"
        "from localassist import Client\n"
        "client = Client(sys.argv[1], model=sys.argv[2])\n"
        "assistant = client.beta.assistants.create(model='gpt-4')\n"
        "stream = client.beta.threads.create_and_run_stream(\n"
        "    assistant_id=assistant.id, max_completion_tokens=256,\n"
        "    thread={'messages': [{'role': 'user', 'content': 'Write a long story.'}]})\n"
        "for event in stream:\n"
        "    if event.event == 'thread.run.created': run = event.data\n"
        "    if event.event == 'thread.message.delta': break\n"
        "print(run.id, run.thread_id, flush=True)\n"
        "sys.stdin.read()\n"
    )
    model = str(weights(SMOL))
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(home), model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    run_id, thread_id = child.stdout.readline().split()
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    with Client(home, model=model) as client:
        run = client.beta.threads.runs.poll(run_id, thread_id)
        assert run.status in ("completed", "incomplete")
        assert 0 < run.usage.completion_tokens <= 256
        roles = [m.role for m in client.beta.threads.messages.list(thread_id, order="asc")]
        assert roles == ["user", "assistant"]
        client.beta.threads.messages.create(thread_id, role="user", content="Thank you!")


def test_temperature_zero_gives_the_same_answer_again(home, weights):
    """Cold and warm. Without `deterministic`, kernels may compute that round differently."""
    settings = Settings(home=home, model=str(weights(SMOL)), n_ctx=1024, deterministic=True)
    texts = []
    with Client(settings=settings) as client:
        assistant = client.beta.assistants.create(model="gpt-4", temperature=0)
        for _ in range(3):
            run = client.beta.threads.create_and_run_poll(
                assistant_id=assistant.id,
                max_completion_tokens=256,
                thread={"messages": [{"role": "user", "content": "Name an animal."}]},
            )
            texts.append(client.beta.threads.messages.list(run.thread_id).data[0].text)
    assert texts[0] == texts[1] == texts[2]
    assert texts[0].strip()


def test_chat_completions_answer_and_keep_nothing(smol_client):
    done = smol_client.chat.completions.create(
        model="gpt-3.5-turbo",
        messages=[{"role": "user", "content": "Say hello."}],
        max_tokens=16,
        temperature=0,
    )
    assert done.model == "gpt-3.5-turbo"
    assert done.choices[0].message.content.strip()
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert done.choices[0].finish_reason in ("stop", "length")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path, whole: None, "model_not_found"),
        (lambda path, whole: path.write_bytes(whole[: len(whole) // 2]), "model_file_truncated"),
        (lambda path, whole: path.write_bytes(b"PK\3\4" + bytes(100)), "model_file_not_gguf"),
    ],
    ids=["missing", "truncated", "not-gguf"],
)
def test_a_file_that_is_no_model_fails_the_run_and_not_the_process(
    tmp_path, home, weights, make, code
):
    path = tmp_path / "model.gguf"
    make(path, weights(SMOL).read_bytes())
    with Client(home, model=str(path)) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        run = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "x"}]},
        )
        assert run.status == "failed"
        assert run.last_error.message
        with pytest.raises(LocalAssistError) as caught:
            client.chat.completions.create(
                model="gpt-4", messages=[{"role": "user", "content": "x"}]
            )
        assert caught.value.code == code


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(home, weights):
    from localassist import ModelTooLargeError
    from localassist.engine.model_files import check_memory

    with pytest.raises(ModelTooLargeError, match="free"):
        check_memory(read_header(weights(SMOL)), n_ctx=8192, free_bytes=100_000_000)


def test_models_lists_what_is_here(home, weights):
    with Client(settings=Settings.from_env(home=home)) as client:
        ids = [model.id for model in client.models.list().data]
        assert {SMOL, SMALL, DEFAULT} <= set(ids)
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"
        assert client.models.retrieve(SMOL).object == "model"
