"""The async client: the same results, for coroutines."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from localassist import (
    AsyncClient,
    AsyncOpenAI,
    BadRequestError,
    Client,
    ClosedError,
    NotFoundError,
    ScriptedBackend,
    Settings,
)

MANY = 20


def printed(obj):
    return json.loads(obj.model_dump_json())


def user(*said):
    return [{"role": "user", "content": text} for text in said]


def async_test(home, scenario, *, gate=None, **settings):
    """Run the coroutine `scenario(client)` to its end."""

    async def main():
        backend = ScriptedBackend(gate=gate)
        async with AsyncClient(settings=Settings(home=home, **settings), backend=backend) as client:
            try:
                await asyncio.wait_for(scenario(client), 60)
            finally:
                if gate is not None:
                    gate.release(1_000_000)

    asyncio.run(main())


def test_the_document_runs_with_await(home):
    async def scenario(client):
        assistant = await client.beta.assistants.create(model="gpt-4", name="Math Tutor")
        thread = await client.beta.threads.create()
        message = await client.beta.threads.messages.create(
            thread_id=thread.id, role="user", content="hi"
        )
        run = await client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)
        assert (run.status, run.started_at) == ("queued", None)
        run = await client.beta.threads.runs.poll(run.id, thread_id=thread.id)
        assert run.status == "completed"
        page = await client.beta.threads.messages.list(
            thread_id=thread.id, order="asc", after=message.id
        )
        assert [(each.text, each.run_id) for each in page.data] == [("You said: hi", run.id)]
        (step,) = (await client.beta.threads.runs.steps.list(run.id, thread_id=thread.id)).data
        assert step.step_details.message_creation.message_id == page.data[0].id
        updated = await client.beta.assistants.update(assistant.id, name="n")
        assert (updated.name, updated.model) == ("n", "gpt-4")
        assert (await client.beta.assistants.delete(assistant.id)).deleted
        assert (await client.beta.assistants.list()).data == []

    async_test(home, scenario)


def test_both_clients_print_the_same(home):
    found = {}

    async def scenario(client):
        assistant = await client.beta.assistants.create(model="gpt-4")
        run = await client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": user("hi")}, metadata={"a": "1"}
        )
        found.update(assistant=assistant, run=run)
        found["list"] = await client.beta.threads.messages.list(run.thread_id)

    for version in ("v1", "v2"):
        settings = Settings(home=home, api_version=version)
        async_test(home, scenario, api_version=version)
        with Client(settings=settings, backend=ScriptedBackend()) as client:
            run = found["run"]
            for one, other in (
                (found["assistant"], client.beta.assistants.retrieve(run.assistant_id)),
                (run, client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)),
                (found["list"], client.beta.threads.messages.list(run.thread_id)),
            ):
                assert one.model_dump_json() == other.model_dump_json()
            assert ("usage" in printed(run)) == (version == "v2")


def test_many_runs_are_awaited_at_once(home):
    async def scenario(client):
        assistant = await client.beta.assistants.create(model="gpt-4")

        async def converse(name):
            thread = await client.beta.threads.create(messages=user(name))
            run = await client.beta.threads.runs.create_and_poll(
                thread.id, assistant_id=assistant.id
            )
            return run.status, [
                each.text async for each in client.beta.threads.messages.list(thread.id)
            ]

        results = await asyncio.gather(*(converse(f"caller {i}") for i in range(MANY)))
        assert results == [
            ("completed", [f"You said: caller {i}", f"caller {i}"]) for i in range(MANY)
        ]

    async_test(home, scenario)


def test_waiting_for_many_runs_leaves_the_client_free(home):
    gate = threading.Semaphore(0)

    async def scenario(client):
        threads = client.beta.threads
        assistant = await client.beta.assistants.create(model="gpt-4")
        waiting = [
            asyncio.create_task(threads.create_and_run_poll(assistant_id=assistant.id))
            for _ in range(MANY)
        ]
        thread = await threads.create(messages=user("free"))
        assert [each.text async for each in threads.messages.list(thread.id)] == ["free"]
        assert not any(task.done() for task in waiting)
        gate.release(1_000_000)
        assert {run.status for run in await asyncio.gather(*waiting)} == {"completed"}

    async_test(home, scenario, gate=gate)


def test_giving_up_a_wait_does_not_stop_the_run(home):
    gate = threading.Semaphore(0)

    async def scenario(client):
        runs = client.beta.threads.runs
        assistant = await client.beta.assistants.create(model="gpt-4")
        run = await client.beta.threads.create_and_run(assistant_id=assistant.id)
        waiting = asyncio.create_task(runs.poll(run.id, thread_id=run.thread_id))
        await runs.retrieve(run.id, thread_id=run.thread_id)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.release(1_000_000)
        assert (await runs.poll(run.id, thread_id=run.thread_id)).status == "completed"

    async_test(home, scenario, gate=gate)


@pytest.mark.parametrize("way", ["stream", "create", "create_and_run_stream", "create_and_run"])
def test_a_stream_is_iterated_with_async_for(home, way):
    async def scenario(client):
        threads = client.beta.threads
        assistant = await client.beta.assistants.create(model="gpt-4")
        if way in ("stream", "create"):
            thread = await threads.create(messages=user("hi ☃"))
            stream = {"stream": True} if way == "create" else {}
            opened = await getattr(threads.runs, way)(
                thread.id, assistant_id=assistant.id, **stream
            )
        else:
            stream = {"stream": True} if way == "create_and_run" else {}
            opened = await getattr(threads, way)(
                assistant_id=assistant.id, thread={"messages": user("hi ☃")}, **stream
            )
        async with opened as events:
            seen = [event async for event in events]
        names = [event.event for event in seen]
        first = ["thread.created"] if "and_run" in way else []
        assert names[: len(first) + 3] == [
            *first, "thread.run.created", "thread.run.queued", "thread.run.in_progress",
        ]  # fmt: skip
        assert names[-3:] == [
            "thread.message.completed", "thread.run.step.completed", "thread.run.completed",
        ]  # fmt: skip
        deltas = [e.data.delta.content[0].text.value for e in seen if e.event.endswith(".delta")]
        assert "".join(deltas) == "You said: hi ☃" == seen[-3].data.text
        run = await threads.runs.retrieve(seen[-1].data.id, thread_id=seen[-1].data.thread_id)
        assert printed(run) == printed(seen[-1].data)

    async_test(home, scenario)


def test_a_reader_that_leaves_does_not_stop_the_run(home):
    async def scenario(client):
        assistant = await client.beta.assistants.create(model="gpt-4")
        thread = await client.beta.threads.create(messages=user("hi"))
        stream = await client.beta.threads.runs.stream(thread.id, assistant_id=assistant.id)
        async with stream:
            async for event in stream:
                run = event.data
                break
        found = await client.beta.threads.runs.poll(run.id, thread_id=thread.id)
        assert found.status == "completed"

    async_test(home, scenario)


def test_lists_go_on_to_the_end(home):
    async def scenario(client):
        listed = client.beta.threads.messages.list
        said = [str(i) for i in range(7)]
        thread = await client.beta.threads.create(messages=user(*said))
        assert [each.text async for each in listed(thread.id, order="asc", limit=3)] == said
        page = await listed(thread.id, limit=3)
        assert (len(page.data), page.has_more, page.has_next_page()) == (3, True, True)
        assert [each.text async for each in page] == said[::-1]
        after = await page.get_next_page()
        assert [each.text for each in after.data] == ["3", "2", "1"]
        async for each in listed(thread.id, limit=2):
            await client.beta.threads.messages.delete(each.id, thread_id=thread.id)
        assert (await listed(thread.id)).data == []

    async_test(home, scenario)


def test_iterating_stays_before_the_before_cursor(home):
    async def scenario(client):
        listed = client.beta.threads.messages.list
        thread = await client.beta.threads.create(messages=user(*"0123456789"))
        ids = [each.id async for each in listed(thread.id, order="asc")]
        bounded = listed(thread.id, order="asc", after=ids[1], before=ids[6], limit=2)
        assert {each.id async for each in bounded} <= set(ids[2:6])

    async_test(home, scenario)


def test_errors_are_those_of_the_client(home):
    async def scenario(client):
        threads = client.beta.threads
        with pytest.raises(NotFoundError, match=r"^No thread found with id 'thread_x'\.$"):
            await threads.retrieve("thread_x")
        with pytest.raises(NotFoundError, match=r"^No thread found"):
            await threads.messages.list("thread_x")
        with pytest.raises(NotFoundError, match=r"^No thread found"):
            [each async for each in threads.messages.list("thread_x")]
        with pytest.raises(BadRequestError, match=r"^Invalid 'limit'"):
            await client.beta.assistants.list(limit=0)
        with pytest.raises(NotFoundError, match=r"^No assistant found"):
            await threads.create_and_run_stream(assistant_id="asst_x")
        with pytest.raises(NotFoundError, match=r"^No run found"):
            await threads.runs.poll("run_x", thread_id=(await threads.create()).id)

    async_test(home, scenario)


def test_a_closed_client_says_so(home):
    async def main():
        client = AsyncOpenAI(home)
        thread = await client.beta.threads.create()
        await client.close()
        await client.close()
        with pytest.raises(ClosedError):
            await client.beta.threads.retrieve(thread.id)

    asyncio.run(main())


def test_a_client_serves_one_loop_after_another(home):
    client = AsyncClient(home, backend=ScriptedBackend())

    async def answer(text):
        assistant = await client.beta.assistants.create(model="gpt-4")
        run = await client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": user(text)}
        )
        return (await client.beta.threads.messages.list(run.thread_id)).data[0].text

    assert [asyncio.run(answer(text)) for text in ("a", "b")] == ["You said: a", "You said: b"]
    asyncio.run(client.close())
