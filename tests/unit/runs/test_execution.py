"""What a run does with its settings, its conversation and its process."""

from __future__ import annotations

import threading

import pytest

from localassist import Client, ScriptedBackend, Settings


def thread_with(client, *texts):
    return client.beta.threads.create(messages=[{"role": "user", "content": t} for t in texts])


def test_the_events_of_a_run_come_in_the_documented_order(client, assistant):
    thread = thread_with(client, "hi")
    with client.beta.threads.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        names = [event.event for event in stream]
    before, after = names.index("thread.message.delta"), names[::-1].index("thread.message.delta")
    assert names[:before] == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.message.created",
        "thread.message.in_progress",
    ]
    assert names[len(names) - after :] == [
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
    ]
    assert set(names[before : len(names) - after]) == {"thread.message.delta"}


def test_deltas_add_up_to_the_message(client, assistant):
    thread = thread_with(client, "grüße ☃ " * 30)
    with client.beta.threads.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        streamed = "".join(stream.text_deltas)
    assert streamed == client.beta.threads.messages.list(thread.id).data[0].text


def test_who_sees_the_end_of_a_run_finds_it_ended(client, assistant):
    thread = thread_with(client, "hi")
    with client.beta.threads.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        for event in stream:
            if event.event == "thread.run.completed":
                found = client.beta.threads.runs.retrieve(event.data.id, thread.id)
                assert found.status == "completed"
                assert found.usage == event.data.usage
                break
        else:
            raise AssertionError("the run did not complete")


def test_a_reader_that_is_gone_does_not_stop_the_run(client, assistant):
    thread = thread_with(client, "hi")
    stream = client.beta.threads.runs.stream(thread.id, assistant_id=assistant.id)
    run = next(iter(stream)).data
    stream.close()
    assert client.beta.threads.runs.poll(run.id, thread.id).status == "completed"


def test_usage_counts_the_conversation_and_what_was_reused(client, assistant):
    thread = thread_with(client, "first " * 50)
    runs = client.beta.threads.runs
    first = runs.create_and_poll(thread.id, assistant_id=assistant.id)
    client.beta.threads.messages.create(thread.id, role="user", content="second")
    second = runs.create_and_poll(thread.id, assistant_id=assistant.id)
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert second.usage.prompt_tokens > first.usage.total_tokens
    reused = second.usage.prompt_tokens_details.cached_tokens
    assert reused >= first.usage.total_tokens - 2
    assert second.usage.total_tokens == second.usage.prompt_tokens + second.usage.completion_tokens


def test_max_completion_tokens_makes_a_run_incomplete(client, assistant):
    thread = thread_with(client, "x" * 2000)
    run = client.beta.threads.runs.create_and_poll(
        thread.id, assistant_id=assistant.id, max_completion_tokens=256
    )
    assert (run.status, run.incomplete_details.reason) == ("incomplete", "max_completion_tokens")
    assert run.usage.completion_tokens == 256
    message = client.beta.threads.messages.list(thread.id).data[0]
    assert (message.status, message.incomplete_details.reason) == ("incomplete", "max_tokens")


def test_max_prompt_tokens_shows_less_or_ends_the_run(client, assistant):
    thread = thread_with(client, *["x" * 100] * 8)
    run = client.beta.threads.runs.create_and_poll(
        thread.id, assistant_id=assistant.id, max_prompt_tokens=300
    )
    assert run.status == "completed"
    assert run.usage.prompt_tokens <= 300
    assert run.truncation.dropped_messages == 6
    assert '"truncation"' in run.model_dump_json()

    long = thread_with(client, "x" * 1000)
    run = client.beta.threads.runs.create_and_poll(
        long.id, assistant_id=assistant.id, max_prompt_tokens=300
    )
    assert (run.status, run.incomplete_details.reason) == ("incomplete", "max_prompt_tokens")


def test_last_messages_is_what_the_caller_asked_for_and_no_truncation(client, assistant):
    thread = thread_with(client, "a" * 100, "b" * 100, "c" * 100)
    run = client.beta.threads.runs.create_and_poll(
        thread.id,
        assistant_id=assistant.id,
        truncation_strategy={"type": "last_messages", "last_messages": 1},
    )
    assert run.usage.prompt_tokens < 160
    assert run.truncation is None


def test_a_conversation_that_outgrows_the_context_says_so(home):
    with Client(home, backend=ScriptedBackend(lambda _: "fine", n_ctx=1000)) as client:
        assistant = client.beta.assistants.create(model="gpt-4", instructions="Be brief.")
        thread = thread_with(client, *["x" * 90] * 20)
        run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        assert run.status == "completed"
        assert run.truncation.dropped_messages == 16
        assert len(list(client.beta.threads.messages.list(thread.id))) == 21


def test_a_last_message_that_no_context_holds_fails_the_run_with_words(home):
    with Client(home, backend=ScriptedBackend(n_ctx=500)) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        thread = thread_with(client, "x" * 1000)
        run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
    assert (run.status, run.last_error.code) == ("failed", "invalid_prompt")
    assert "n_ctx" in run.last_error.message


def test_an_error_of_the_engine_fails_the_run_and_unlocks_the_thread(home):
    def reply(text):
        if text == "break":
            raise RuntimeError("scripted failure")
        return "fine"

    with Client(home, backend=ScriptedBackend(reply)) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        thread = thread_with(client, "break")
        run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        assert (run.status, run.last_error.code) == ("failed", "server_error")
        assert run.failed_at is not None
        assert run.expires_at is None
        client.beta.threads.messages.create(thread.id, role="user", content="again")
        run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        assert run.status == "completed"


def test_temperature_and_top_p_come_from_the_run_then_the_assistant(client):
    create = client.beta.threads.create_and_run
    warm = client.beta.assistants.create(model="gpt-4", temperature=0.7, top_p=0.5)
    plain = client.beta.assistants.create(model="gpt-4")
    assert create(assistant_id=warm.id).temperature == 0.7
    assert create(assistant_id=warm.id, temperature=0.1).temperature == 0.1
    assert create(assistant_id=warm.id).top_p == 0.5
    assert create(assistant_id=plain.id).temperature == 1.0


def test_as_many_runs_as_allowed_are_in_progress_at_once(home, gate):
    settings = Settings(home=home, max_concurrent_runs=2)
    with Client(settings=settings, backend=ScriptedBackend(gate=gate)) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        runs = [
            client.beta.threads.create_and_run(
                assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "x"}]}
            )
            for _ in range(4)
        ]
        gate.release(1_000_000)
        for run in runs:
            found = client.beta.threads.runs.poll(run.id, run.thread_id)
            assert found.status == "completed"


@pytest.mark.parametrize("released", [1, 3, 20])
def test_a_run_can_be_cancelled_at_any_moment(gated_client, gate, released):
    client = gated_client
    assistant = client.beta.assistants.create(model="gpt-4")
    thread = thread_with(client, "x" * 1000)
    run = client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
    gate.release(released)
    assert client.beta.threads.runs.cancel(run.id, thread.id).status == "cancelling"
    gate.release(100_000)
    done = client.beta.threads.runs.poll(run.id, thread.id)
    assert done.status == "cancelled"
    assert done.cancelled_at is not None
    client.beta.threads.messages.create(thread.id, role="user", content="free again")


def test_threads_of_the_caller_may_use_one_client(client, assistant):
    answers = {}

    def converse(name):
        thread = thread_with(client, name)
        client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        answers[name] = client.beta.threads.messages.list(thread.id).data[0].text

    callers = [threading.Thread(target=converse, args=(f"caller {i}",)) for i in range(12)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert answers == {f"caller {i}": f"You said: caller {i}" for i in range(12)}
