"""A cross-encoder among the models puts results in order; here a small one of random weights."""

from __future__ import annotations

import shutil

import pytest
from watched_embedder import N_CTX, real_embedder

from localassist import Client, ScriptedBackend, Settings
from localassist.api.runtime import Runtime
from localassist.retrieval.embed import MODEL
from localassist.retrieval.rerank import FOLDER, CrossEncoder

TEXTS = {
    "harbour.txt": "The harbour of Oslo was enlarged in 1961. Its new quay is made of granite.",
    "cheese.txt": "Brown cheese is made of whey, which is boiled until its sugar turns brown.",
    "glacier.txt": "A glacier moves a few metres a year and carries stones to its end.",
    "violin.txt": "The violin maker let the spruce dry for ten years before it was carved.",
}
QUESTION = "Which harbour was enlarged?"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Folder of a cross-encoder with the embedding model's tokens and weights drawn by a seed."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("encoder") / FOLDER
    tokenizer = AutoTokenizer.from_pretrained(Settings.from_env().models / MODEL)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, num_labels=1, initializer_range=1.0,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def opened(home, models):
    """Opens a client on the models; every file is in its store."""
    clients = []

    def open_client():
        settings = Settings(home=home, models=models)
        backend = ScriptedBackend(lambda _: "I see.", n_ctx=N_CTX)
        runtime = Runtime(settings, backend=backend, embedder=real_embedder())
        client = Client.of(runtime)
        clients.append(client)
        file_ids = [
            client.files.create(file=(name, text.encode()), purpose="assistants").id
            for name, text in TEXTS.items()
        ]
        store = client.vector_stores.create(file_ids=file_ids)
        for file_id in file_ids:
            client.vector_stores.files.poll(file_id, vector_store_id=store.id)
        return client, store.id

    yield open_client
    for client in clients:
        client.close()


def results(client, store_id, **options):
    return client.vector_stores.search(store_id, query=QUESTION, **options).data


def names(found):
    return [each.filename for each in found]


def test_results_come_in_the_order_of_the_reranker(opened, models, encoder):
    shutil.copytree(encoder, models / FOLDER)
    client, store_id = opened()
    judged = CrossEncoder(encoder).scores(QUESTION, list(TEXTS.values()))
    order = sorted(zip(TEXTS, judged, strict=True), key=lambda each: -each[1])
    found = results(client, store_id)
    assert names(found) == [name for name, _ in order]
    assert [each.score for each in found] == pytest.approx([score for _, score in order], abs=1e-3)
    assert all(0 <= each.score <= 1 for each in found)


def test_without_it_and_where_it_is_not_wanted_the_search_says_the_order(opened, models, encoder):
    client, store_id = opened()
    plain = names(results(client, store_id))
    assert plain[0] == "harbour.txt"
    shutil.copytree(encoder, models / FOLDER)
    client, store_id = opened()
    unranked = results(client, store_id, ranking_options={"ranker": "none"})
    assert names(unranked) == plain
    assert names(results(client, store_id)) != plain


def test_a_run_searches_with_it(opened, models, encoder):
    shutil.copytree(encoder, models / FOLDER)
    client, store_id = opened()
    best = names(results(client, store_id))
    assistant = client.beta.assistants.create(
        model="gpt-4",
        tools=[
            {"type": "file_search", "file_search": {"ranking_options": {"score_threshold": 0.001}}}
        ],
        tool_resources={"file_search": {"vector_store_ids": [store_id]}},
    )
    thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    steps = client.beta.threads.runs.steps.list(
        run.id, thread_id=thread.id,
        include=["step_details.tool_calls[*].file_search.results[*].content"],
    )  # fmt: skip
    calls = [call for step in steps for call in getattr(step.step_details, "tool_calls", [])]
    shown = [result.file_name for result in calls[0].file_search.results]
    assert shown == best[: len(shown)]


def test_one_that_cannot_be_loaded_is_left_out_with_a_word(opened, models, caplog):
    (models / FOLDER).mkdir()
    (models / FOLDER / "config.json").write_text("{}", "utf-8")
    client, store_id = opened()
    assert names(results(client, store_id))[0] == "harbour.txt"
    assert "reranker" in caplog.text
