"""Citations: what an answer says is shown with the passage that supports it."""

from __future__ import annotations

import asyncio
import re

import pytest
from pdf_writer import pdf
from watched_embedder import N_CTX, open_client

from localassist import AsyncClient, ScriptedBackend

PAGES = [
    "The harbour of Oslo was enlarged in 1961. Its new quay is made of granite.",
    "Brown cheese is made of whey. The whey is boiled until its sugar turns brown.",
]
ENLARGED = "The harbour of Oslo was enlarged in 1961."
BOILED = "The whey of brown cheese is boiled until its sugar turns brown."
UNRELATED = "Penguins have never been fond of jazz music."
MARKER = re.compile("\u3010\\d+:\\d+\u2020source\u3011")
SEARCH = {"type": "file_search"}


class Listening(ScriptedBackend):
    """A scripted model that keeps what is put before it."""

    def __init__(self, answer):
        super().__init__(lambda _: answer, n_ctx=N_CTX)
        self.heard = []

    def tokenize(self, text, *, parse_special):
        self.heard.append(text)
        return super().tokenize(text, parse_special=parse_special)


@pytest.fixture
def open_with(home):
    """Opens a client whose model answers with a text, or is one."""
    opened = []

    def client(answer, **options):
        backend = answer if isinstance(answer, Listening) else Listening(answer)
        opened.append(open_client(home, backend=backend, **options))
        return opened[-1]

    yield client
    for each in opened:
        each.close()


def upload(client, name="port.pdf", pages=PAGES):
    return client.files.create(file=(name, pdf(pages)), purpose="assistants").id


def ask(client, *, tools=(SEARCH,), text="What of the harbour and the cheese?", file_ids=None):
    """A finished run over some files, by default the two pages; and the answer's text part."""
    assistant = client.beta.assistants.create(
        model="gpt-4", tools=list(tools), file_ids=file_ids or [upload(client)]
    )
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": text}]}
    )
    assert run.status == "completed", run.last_error
    return run, answer_of(client, run)


def answer_of(client, run):
    return client.beta.threads.messages.list(run.thread_id).data[0].content[0].text


def without_markers(text):
    return MARKER.sub("", text.value)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_each_supported_sentence_has_its_quote_and_page(open_with, version):
    said = f"{ENLARGED} {UNRELATED} {BOILED}"
    client = open_with(said, api_version=version)
    _, text = ask(client)
    assert without_markers(text) == said
    one, two = text.annotations
    file_id = client.files.list().data[0].id
    for each in (one, two):
        assert text.value[each.start_index : each.end_index] == each.text
        assert MARKER.fullmatch(each.text)
        assert each.file_citation.file_id == file_id
    assert one.file_citation.quote == ENLARGED
    assert [each.file_citation.page for each in (one, two)] == [1, 2]
    assert one.file_citation.quote in PAGES[0]
    assert two.file_citation.quote in PAGES[1]
    assert text.value.startswith(ENLARGED + one.text + " ")
    assert text.value.endswith(BOILED + two.text)
    assert one.text != two.text
    assert one.model_dump() == {
        "end_index": one.end_index,
        "file_citation": {"file_id": file_id, "quote": ENLARGED, "page": 1},
        "start_index": one.start_index,
        "text": one.text,
        "type": "file_citation",
    }


def test_positions_count_code_points(open_with):
    client = open_with(f"\U0001f6a2 A ship\u2019s caf\u00e9! {ENLARGED}")
    _, text = ask(client)
    (annotation,) = text.annotations
    assert text.value[annotation.start_index : annotation.end_index] == annotation.text


def test_the_documented_code_makes_footnotes(open_with):
    client = open_with(f"{ENLARGED} {BOILED}")
    _, text = ask(client)
    value, footnotes = text.value, []
    for index, annotation in enumerate(text.annotations):
        value = value.replace(annotation.text, f" [{index}]")
        cited = client.files.retrieve(annotation.file_citation.file_id)
        footnotes.append(f"[{index}] {annotation.file_citation.quote} in {cited.filename}")
    assert value == f"{ENLARGED} [0] {BOILED} [1]"
    assert footnotes[0] == f"[0] {ENLARGED} in port.pdf"


@pytest.mark.parametrize(
    "answer",
    [
        UNRELATED,
        "The harbour of Oslo was enlarged in 1962.",
        "The harbour of Bergen was enlarged in 1961.",
        "Was the harbour of Oslo enlarged in 1961?",
        f"```\n{ENLARGED}\n```",
    ],
)
def test_what_is_not_proven_is_not_cited(open_with, answer):
    _, text = ask(open_with(answer))
    assert (text.value, text.annotations) == (answer, [])


@pytest.mark.parametrize(
    "own", [" [1]", "[2]", " \u30101\u2020source\u3011", "\u30104:0\u2020source\u3011"]
)
def test_what_a_model_prints_as_a_citation_is_not_believed(open_with, own):
    client = open_with(f"{UNRELATED[:-1]}{own}. {ENLARGED[:-1]}{own}.")
    _, text = ask(client)
    assert without_markers(text) == f"{UNRELATED} {ENLARGED}"
    (annotation,) = text.annotations
    assert annotation.file_citation.quote == ENLARGED


def test_a_question_about_something_else_finds_nothing_beside_another_tool(open_with):
    model = Listening("Seven.")
    client = open_with(model)
    other = {"type": "function", "function": {"name": "roll", "parameters": {}}}
    run, text = ask(client, tools=(SEARCH, other), text="Zebra quantum xylophone?")
    assert text.annotations == []
    assert not any(PAGES[0] in each for each in model.heard)
    assert run.status == "completed"


def test_the_next_turn_shows_the_model_no_markers(open_with):
    model = Listening(f"{ENLARGED} {BOILED}")
    client = open_with(model)
    run, text = ask(client)
    assert len(text.annotations) == 2
    model.heard.clear()
    client.beta.threads.messages.create(run.thread_id, role="user", content="And what else?")
    client.beta.threads.runs.create_and_poll(run.thread_id, assistant_id=run.assistant_id)
    prompt = "".join(model.heard)
    assert f"{ENLARGED} {BOILED}" in prompt
    assert "\u3010" not in prompt
    # The passages stand before the last question only.
    assert prompt.index("And what else?") > prompt.rindex(PAGES[0])
    assert prompt.index("What of the harbour") < prompt.index("Passages from the files")


def test_passages_of_another_turn_are_not_in_the_thread(open_with):
    client = open_with(ENLARGED)
    run, _ = ask(client, text="What of the harbour?")
    said = [each.text for each in client.beta.threads.messages.list(run.thread_id, order="asc")]
    assert said[0] == "What of the harbour?"


# --- streams ---


class Rebuilt:
    """A message, put together from its deltas alone."""

    def __init__(self):
        self.value, self.annotations, self.done = "", [], None

    def take(self, event):
        if event.event == "thread.message.delta":
            delta = event.data.delta.content[0].text
            for each in delta.annotations or ():
                assert each.pop("index") == len(self.annotations)
                assert each["start_index"] == len(self.value)
                self.annotations.append(each)
            self.value += delta.value
        elif event.event == "thread.message.completed":
            self.done = event.data.content[0].text

    def check(self):
        shown = self.done.model_dump()
        assert self.value == shown["value"]
        assert self.annotations == shown["annotations"]
        return without_markers(self.done), len(self.annotations)


SAID = f"{ENLARGED} {UNRELATED} {BOILED}"


def test_deltas_rebuild_the_text_and_its_annotations(open_with):
    client = open_with(SAID)
    run, _ = ask(client)
    client.beta.threads.messages.create(run.thread_id, role="user", content="Of cheese and ports?")
    rebuilt = Rebuilt()
    with client.beta.threads.runs.stream(run.thread_id, assistant_id=run.assistant_id) as stream:
        for event in stream:
            rebuilt.take(event)
    assert rebuilt.check() == (SAID, 2)
    assert answer_of(client, run) == rebuilt.done


def test_the_async_client_streams_the_same(home):
    async def scenario():
        backend = Listening(SAID)
        async with open_client(home, face=AsyncClient, backend=backend) as client:
            file = await client.files.create(file=("a.pdf", pdf(PAGES)), purpose="assistants")
            assistant = await client.beta.assistants.create(
                model="gpt-4", tools=[SEARCH], file_ids=[file.id]
            )
            stream = await client.beta.threads.create_and_run_stream(
                assistant_id=assistant.id,
                thread={"messages": [{"role": "user", "content": "Of cheese and ports?"}]},
            )
            rebuilt = Rebuilt()
            async for event in stream:
                rebuilt.take(event)
            return rebuilt.check()

    assert asyncio.run(scenario()) == (SAID, 2)


def test_a_search_streams_its_step_before_the_message(open_with):
    client = open_with(SAID, api_version="v2")
    run, _ = ask(client)
    client.beta.threads.messages.create(run.thread_id, role="user", content="Of cheese and ports?")
    with client.beta.threads.runs.stream(run.thread_id, assistant_id=run.assistant_id) as stream:
        events = list(stream)
    names = [event.event for event in events if event.event != "thread.message.delta"]
    assert names[3:9] == [
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.run.step.delta",
        "thread.run.step.completed",
        "thread.run.step.created",
        "thread.run.step.in_progress",
    ]
    delta = next(each for each in events if each.event == "thread.run.step.delta")
    (begun,) = delta.data.delta.step_details["tool_calls"]
    done = next(each for each in events if each.event == "thread.run.step.completed")
    (call,) = done.data.step_details.tool_calls
    assert begun == {"index": 0, "id": call.id, "type": "file_search", "file_search": {}}
    assert call.file_search.results
    assert all(each.content is None for each in call.file_search.results)
