"""A real model answers from a PDF, and what it says is shown with its source."""

from __future__ import annotations

import pytest
from conftest import SMALL
from pdf_writer import pdf

from localassist import Client, Settings

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

PAGES = [
    "Annual report of the Port of Oslo.\nThe harbour was enlarged in 1961. Its new quay is made "
    "of granite.",
    "Ships and cargo.\nIn 2023 the port handled 5,400 ships. The largest of them was the ferry "
    "Nordlys with 410 cabins.",
    "People.\nThe harbour master is Ingrid Solberg. She has led the port since 2015.",
]


@pytest.fixture
def client(home, weights):
    settings = Settings(home=home, model=str(weights(SMALL)), n_ctx=4096)
    with Client(settings=settings) as client:
        yield client


@pytest.fixture
def assistant(client):
    file = client.files.create(file=("port.pdf", pdf(PAGES)), purpose="assistants")
    return client.beta.assistants.create(
        model="gpt-4",
        instructions="You answer questions about the port.",
        tools=[{"type": "retrieval"}],
        file_ids=[file.id],
    )


@pytest.mark.parametrize(
    ("question", "answer", "page"),
    [
        ("Who is the harbour master?", "Solberg", 3),
        ("How many ships did the port handle in 2023?", "5,400", 2),
    ],
)
def test_a_question_is_answered_from_the_pdf_with_a_quote_and_a_page(
    client, assistant, question, answer, page
):
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": question}]},
        temperature=0,
    )
    assert run.status == "completed", run.last_error
    text = client.beta.threads.messages.list(run.thread_id).data[0].content[0].text
    assert answer in text.value
    assert text.annotations, text.value
    for each in text.annotations:
        assert text.value[each.start_index : each.end_index] == each.text
        assert each.file_citation.file_id == assistant.file_ids[0]
        assert each.file_citation.quote in PAGES[each.file_citation.page - 1]
    assert page in [each.file_citation.page for each in text.annotations]
