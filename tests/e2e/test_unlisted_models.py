"""Models that nobody has listed, as llama.cpp loads them."""

from __future__ import annotations

from contextlib import closing

import pytest
from gguf_writer import u32
from tiny_models import llama, mamba

from localassist import Client, ModelFileError, Settings
from localassist.engine import llama_library
from localassist.engine.llama_backend import LlamaBackend

pytestmark = pytest.mark.timeout(120)


def loaded(path, *, n_ctx=512, **options):
    return closing(LlamaBackend(path, n_ctx=n_ctx, n_threads=1, chat_template="", **options))


def ask(client, path):
    assistant = client.beta.assistants.create(model=str(path))
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "a"}])
    return client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant.id, max_completion_tokens=256
    )


def test_a_model_of_nobodys_answers(home, tmp_path):
    with Client(settings=Settings(home=home, n_ctx=300)) as client:
        run = ask(client, llama(tmp_path / "tiny.gguf"))
    assert run.status == "completed", run.last_error  # by its first token, as all are as likely


def test_a_model_that_mixes_all_tokens_into_one_state_is_refused(home, tmp_path):
    path = mamba(tmp_path / "tiny.gguf")
    with pytest.raises(ModelFileError, match="recurrent") as caught, loaded(path):
        pass
    assert caught.value.code == "model_file_unsupported"
    with Client(settings=Settings(home=home)) as client:
        run = ask(client, path)
    assert run.status == "failed"
    assert "'tiny.gguf' is a recurrent model" in run.last_error.message


def test_the_cpu_computes_what_a_gpu_has_no_room_for_unless_that_was_asked(tmp_path, monkeypatch):
    path = llama(tmp_path / "tiny.gguf")
    library, asked = llama_library.load().module, []
    load = library.llama_model_load_from_file

    def load_without_gpu(path, params):
        asked.append(params.n_gpu_layers)
        return None if params.n_gpu_layers else load(path, params)

    monkeypatch.setattr(library, "llama_supports_gpu_offload", lambda: True)
    monkeypatch.setattr(library, "llama_model_load_from_file", load_without_gpu)
    with loaded(path) as backend:
        assert backend.time_rows(1) > 0
    assert asked == [-1, 0]
    with pytest.raises(ModelFileError, match="cannot load"), loaded(path, n_gpu_layers=5):
        pass
    assert asked == [-1, 0, 5]


def test_keys_are_believed_in_contexts_only_that_turn_positions_alike(tmp_path):
    plain = llama(tmp_path / "plain.gguf")
    turned = llama(
        tmp_path / "turned.gguf", **{"llama.rope.scaling.original_context_length": u32(512)}
    )

    def fingerprint(path, n_ctx):
        with loaded(path, n_ctx=n_ctx) as backend:
            return backend.fingerprint

    assert fingerprint(plain, 256) == fingerprint(plain, 512) == fingerprint(plain, 1024)
    assert fingerprint(turned, 256) == fingerprint(turned, 512)
    assert fingerprint(turned, 1024) == fingerprint(turned, 2048) != fingerprint(turned, 512)
