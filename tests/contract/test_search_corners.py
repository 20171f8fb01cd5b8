"""Corners of files and search that were wrong once."""

from __future__ import annotations

import io

import docx
import pptx
import pytest
from pdf_writer import scanned_pdf, write
from watched_embedder import N_CTX, WatchedEmbedder, open_client

from localassist import BadRequestError, NotFoundError, ScriptedBackend
from localassist.retrieval.extract.extractor import Extractor
from localassist.retrieval.extract.page import UnreadableError
from localassist.retrieval.windows import Window, chunks
from localassist.runs.citing import CitingText

HARBOUR = b"The harbour of Oslo was enlarged in 1961."
SEARCH = {"type": "file_search"}


class Silent:
    def cite(self, sentence):
        return None


def told(*parts):
    text = CitingText(Silent())
    pieces = [piece for part in parts for piece in text.feed(part)] + list(text.flush())
    return "".join(piece.text for piece in pieces)


def upload(client, name, data):
    return client.files.create(file=(name, data), purpose="assistants").id


def test_a_scan_fails_again_in_another_store(home):
    with open_client(home) as client:
        file_id = upload(client, "a.pdf", scanned_pdf(3))
        statuses = [
            client.vector_stores.files.create_and_poll(
                client.vector_stores.create().id, file_id=file_id
            ).status
            for _ in range(2)
        ]
        assert statuses == ["failed", "failed"]


def test_the_same_bytes_under_two_names_at_once_are_embedded_once(home):
    embedder = WatchedEmbedder()
    with open_client(home, embedder=embedder) as client:
        ids = [upload(client, name, HARBOUR) for name in ("a.txt", "b.txt")]
        batch = client.vector_stores.file_batches.create_and_poll(
            client.vector_stores.create().id, file_ids=ids
        )
        assert batch.file_counts.completed == 2
        assert embedder.texts == [HARBOUR.decode()]


def test_a_filter_finds_the_file_that_passes_it(home):
    with open_client(home) as client:
        store = client.vector_stores.create()
        for n in (1, 2):
            file_id = upload(client, "same.txt", HARBOUR)
            client.vector_stores.files.create_and_poll(
                store.id, file_id=file_id, attributes={"n": n}
            )
        for n in (1, 2):
            wanted = {"type": "eq", "key": "n", "value": n}
            (result,) = client.vector_stores.search(store.id, query="harbour", filters=wanted).data
            assert result.attributes == {"n": n}


def test_an_update_in_an_unknown_store_has_the_stores_text(home):
    with open_client(home) as client:
        with pytest.raises(NotFoundError) as caught:
            client.vector_stores.files.update("file-abc", "vs_abc", attributes={})
        assert str(caught.value) == "Vector store with id 'vs_abc' not found."


def test_the_first_generation_streams_retrieval(home):
    backend = ScriptedBackend(n_ctx=N_CTX)
    with open_client(home, backend=backend, api_version="v1") as client:
        assistant = client.beta.assistants.create(
            model="gpt-4", tools=[SEARCH], file_ids=[upload(client, "a.txt", HARBOUR)]
        )
        with client.beta.threads.create_and_run_stream(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "harbour?"}]},
        ) as stream:
            delta = next(each for each in stream if each.event == "thread.run.step.delta")
        (call,) = delta.data.model_dump()["delta"]["step_details"]["tool_calls"]
        assert (call["type"], call.get("retrieval")) == ("retrieval", {})


def test_what_was_put_into_a_threads_own_store_stays_there(home):
    with open_client(home, backend=ScriptedBackend(n_ctx=N_CTX)) as client:
        one, two = upload(client, "a.txt", HARBOUR), upload(client, "b.txt", b"Cheese is old.")
        attached = {"file_id": one, "tools": [SEARCH]}
        thread = client.beta.threads.create(
            messages=[{"role": "user", "content": "harbour?", "attachments": [attached]}]
        )
        thread = client.beta.threads.retrieve(thread.id)
        (store_id,) = thread.tool_resources["file_search"]["vector_store_ids"]
        client.vector_stores.files.create_and_poll(store_id, file_id=two)
        assistant = client.beta.assistants.create(model="gpt-4", tools=[SEARCH])
        client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        assert {each.id for each in client.vector_stores.files.list(store_id)} == {one, two}


def test_results_of_a_short_file_have_a_score_and_keep_to_the_options(home):
    with open_client(home, backend=ScriptedBackend(n_ctx=N_CTX), api_version="v2") as client:
        options = {"max_num_results": 1, "ranking_options": {"score_threshold": 0.99}}
        assistant = client.beta.assistants.create(
            model="gpt-4",
            tools=[{**SEARCH, "file_search": options}],
            file_ids=[upload(client, "a.txt", HARBOUR), upload(client, "b.txt", b"Old cheese.")],
        )
        run = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "Zebra quantum?"}]},
        )
        steps = client.beta.threads.runs.steps.list(run.id, run.thread_id, order="asc").data
        (call,) = steps[0].step_details.tool_calls
        assert [each.score for each in call.file_search.results if each.score < 0.99] == []


def test_a_name_that_is_no_unicode_is_taken(home):
    with open_client(home) as client:
        upload(client, "a\udc80.txt", b"x")


def test_a_word_document_of_images_has_no_text(tmp_path):
    document, out = docx.Document(), io.BytesIO()
    for _ in range(2):
        document.add_paragraph("")
    document.save(out)
    extractor = Extractor()
    try:
        with pytest.raises(UnreadableError, match="no_text"):
            list(extractor.pages(write(tmp_path / "blob", out.getvalue()), "a.docx")[1])
    finally:
        extractor.close()


def test_text_within_a_group_of_shapes_is_read(tmp_path):
    deck, out = pptx.Presentation(), io.BytesIO()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    box = slide.shapes.add_group_shape().shapes.add_textbox(0, 0, 999, 999)
    box.text_frame.text = HARBOUR.decode()
    deck.save(out)
    extractor = Extractor()
    try:
        _, pages = extractor.pages(write(tmp_path / "blob", out.getvalue()), "a.pptx")
        assert [page.text for page in pages] == [HARBOUR.decode()]
    finally:
        extractor.close()


def test_a_chunk_says_something_new():
    pages = [[Window(0, 1, size) for size in (1, 1, 100)]]
    found = chunks(pages, max_tokens=100, overlap=50)
    assert [last for _, last in found] == sorted({last for _, last in found})


def test_chunks_that_were_asked_for_are_what_a_search_gives(home):
    words = "\n\n".join(f"Ship {number} came to the harbour and lay there." for number in range(90))
    sizes = {"max_chunk_size_tokens": 500, "chunk_overlap_tokens": 250}
    with open_client(home) as client:
        store = client.vector_stores.create()
        client.vector_stores.files.create_and_poll(
            store.id,
            file_id=upload(client, "ships.txt", words.encode()),
            chunking_strategy={"type": "static", "static": sizes},
        )
        found = client.vector_stores.search(store.id, query="Ship 42", max_num_results=50).data
        texts = [result.content[0].text for result in found]
        assert all(text in words for text in texts)
        assert "Ship 42 came" in texts[0]
        assert max(len(text.split()) for text in texts) > 240  # more than a window has
        assert len(texts) == len(set(texts)) > 1


def test_progress_is_told_or_shown(home, capsys):
    with open_client(home) as client:
        store, seen = client.vector_stores.create(), []
        one = client.vector_stores.files.upload_and_poll(
            store.id, file=("a.txt", HARBOUR), progress=seen.append
        )
        assert seen[-1] == one
        two = client.vector_stores.files.upload_and_poll(
            store.id, file=("b.txt", b"Cheese is old."), progress=True
        )
        assert (one.status, two.status) == ("completed", "completed")
        told = capsys.readouterr()
        assert told.out == ""


def test_files_can_be_taken_out_while_they_are_listed(home):
    with open_client(home) as client:
        store = client.vector_stores.create()
        for number in range(5):
            file_id = upload(client, f"{number}.txt", f"Ship {number}.".encode())
            client.vector_stores.files.create(store.id, file_id=file_id)
        for each in client.vector_stores.files.list(store.id, limit=2):
            client.vector_stores.files.delete(each.id, store.id)
        assert client.vector_stores.files.list(store.id).data == []


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_an_attribute_is_a_number_that_can_be_compared(home, number):
    with open_client(home) as client:
        store, file_id = client.vector_stores.create(), upload(client, "a.txt", HARBOUR)
        with pytest.raises(BadRequestError) as caught:
            client.vector_stores.files.create(store.id, file_id=file_id, attributes={"n": number})
        assert caught.value.param == "attributes.n"


def test_an_attachment_outlives_the_store_of_its_thread(home):
    with open_client(home) as client:
        store = client.vector_stores.create()
        search = {"file_search": {"vector_store_ids": [store.id]}}
        thread = client.beta.threads.create(tool_resources=search)
        client.vector_stores.delete(store.id)
        attached = {"file_id": upload(client, "a.txt", HARBOUR), "tools": [SEARCH]}
        client.beta.threads.messages.create(
            thread.id, role="user", content="harbour?", attachments=[attached]
        )
        thread = client.beta.threads.retrieve(thread.id)
        (own,) = thread.tool_resources["file_search"]["vector_store_ids"]
        assert own != store.id
        assert [each.id for each in client.vector_stores.files.list(own)] == [attached["file_id"]]


def test_what_is_attached_again_keeps_its_attributes(home):
    with open_client(home) as client:
        store, file_id = client.vector_stores.create(), upload(client, "a.txt", HARBOUR)
        client.vector_stores.files.create(store.id, file_id=file_id, attributes={"year": 1961})
        search = {"file_search": {"vector_store_ids": [store.id]}}
        thread = client.beta.threads.create(tool_resources=search)
        attached = {"file_id": file_id, "tools": [SEARCH]}
        client.beta.threads.messages.create(
            thread.id, role="user", content="harbour?", attachments=[attached]
        )
        kept = client.vector_stores.files.retrieve(file_id, store.id)
        assert kept.attributes == {"year": 1961}


def test_text_without_spaces_is_cut_into_windows_that_a_prompt_can_take():
    from localassist.retrieval.windows import windows

    text = "0123456789abcdef" * 2000
    found = windows(text, lambda _: [0])
    assert len(found) > 10
    assert max(window.stop - window.start for window in found) <= 2000


def test_short_files_are_shown_whole_however_different_they_are(home):
    long = b" ".join(b"The %d. pier was built of stone and oak." % n for n in range(1, 60))
    with open_client(home, backend=ScriptedBackend(n_ctx=8192), api_version="v2") as client:
        assistant = client.beta.assistants.create(
            model="gpt-4",
            tools=[SEARCH],
            file_ids=[upload(client, "a.txt", HARBOUR), upload(client, "b.txt", long)],
        )
        run = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "Which piers are of oak?"}]},
        )
        steps = client.beta.threads.runs.steps.list(
            run.id,
            run.thread_id,
            order="asc",
            include=["step_details.tool_calls[*].file_search.results[*].content"],
        )
        results = steps.data[0].step_details.tool_calls[0].file_search.results
        assert {each.content[0].text for each in results} == {HARBOUR.decode(), long.decode()}
