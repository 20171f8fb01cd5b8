"""What is not an error is not logged as one."""

from __future__ import annotations

import logging

import pytest

pytestmark = [pytest.mark.model]


def test_a_run_that_is_cancelled_while_it_reads_leaves_no_error(smol_client, caplog):
    caplog.set_level(logging.DEBUG, logger="localassist.llama")
    client = smol_client
    assistant = client.beta.assistants.create(model="gpt-4")
    first = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hi"}]}
    )
    assert first.status == "completed"
    caplog.clear()
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": "word and so on " * 150}]
    )
    run = client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
    while not any(stats.running for stats in client.status().values()):
        now = client.beta.threads.runs.retrieve(run.id, thread_id=thread.id)
        assert now.status in ("queued", "in_progress")
    client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
    assert client.beta.threads.runs.poll(run.id, thread_id=thread.id).status == "cancelled"
    assert [each.message for each in caplog.records if each.levelno > logging.INFO] == []
