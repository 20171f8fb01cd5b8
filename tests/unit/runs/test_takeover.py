"""Runs of processes that died or closed are resumed; no thread stays locked."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from localassist import Client, ScriptedBackend
from localassist.runs.executor import WATCH_S

CHILD = """
import sys, threading
from localassist import Client, ScriptedBackend
gate = threading.Semaphore(int(sys.argv[2]))
client = Client(sys.argv[1], backend=ScriptedBackend(gate=gate))
assistant = client.beta.assistants.create(model="gpt-4")
run = client.beta.threads.create_and_run(
    assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "hello"}]}
)
if int(sys.argv[2]):
    seen = ""
    while not seen:
        page = client.beta.threads.messages.list(run.thread_id)
        seen = [m for m in page.data if m.role == "assistant"]
if sys.argv[3] == "cancel":
    client.beta.threads.runs.cancel(run.id, run.thread_id)
print(run.id, run.thread_id, flush=True)
sys.stdin.read()
"""


def die(home, *, batches, then="die"):
    """Start a run in another process and kill it there; returns its ids."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home), str(batches), then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    run_id, thread_id = child.stdout.readline().split()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdin.close()
    child.stdout.close()
    return run_id, thread_id


@pytest.mark.crash
@pytest.mark.parametrize("batches", [0, 3])
def test_a_run_whose_process_was_killed_is_resumed_by_the_next(home, batches):
    run_id, thread_id = die(home, batches=batches)
    with Client(home, backend=ScriptedBackend()) as client:
        assert client.beta.threads.runs.poll(run_id, thread_id).status == "completed"
        texts = [m.text for m in client.beta.threads.messages.list(thread_id, order="asc")]
        steps = client.beta.threads.runs.steps.list(run_id, thread_id).data
    assert texts == ["hello", "You said: hello"]
    assert [step.status for step in steps] == ["completed"]


@pytest.mark.crash
def test_a_run_that_was_being_cancelled_ends_cancelled(home):
    run_id, thread_id = die(home, batches=0, then="cancel")
    with Client(home, backend=ScriptedBackend()) as client:
        assert client.beta.threads.runs.poll(run_id, thread_id).status == "cancelled"
        client.beta.threads.messages.create(thread_id, role="user", content="free again")


def test_a_run_is_resumed_after_its_client_was_closed(home, gate):
    first = Client(home, backend=ScriptedBackend(gate=gate))
    assistant = first.beta.assistants.create(model="gpt-4")
    run = first.beta.threads.create_and_run(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "hello"}]}
    )
    closing = threading.Thread(target=first.close)
    closing.start()
    gate.release(3)
    gate.release(100_000)
    closing.join()
    with Client(home, backend=ScriptedBackend()) as second:
        assert second.beta.threads.runs.poll(run.id, run.thread_id).status == "completed"
        page = second.beta.threads.messages.list(run.thread_id, order="asc")
        assert [message.text for message in page] == ["hello", "You said: hello"]


def test_another_client_of_the_folder_can_wait_for_and_cancel_a_run(home, gate):
    gated = ScriptedBackend(gate=gate)
    with Client(home, backend=gated) as one, Client(home, backend=ScriptedBackend()) as other:
        assistant = one.beta.assistants.create(model="gpt-4")
        run = one.beta.threads.create_and_run(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "hello"}]}
        )
        other.beta.threads.runs.cancel(run.id, run.thread_id)
        # An answer that is complete before the cancellation is seen stays complete.
        time.sleep(4 * WATCH_S)
        gate.release(100_000)
        assert other.beta.threads.runs.poll(run.id, run.thread_id).status == "cancelled"
        assert one.beta.threads.runs.retrieve(run.id, run.thread_id).status == "cancelled"
