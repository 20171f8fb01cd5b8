"""What a process may do around the engine: end its main thread, fork, meet a useless model."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from conftest import SMOL

from localassist import Client, Settings

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]


def run_script(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


AFTER_MAIN = """
import sys, threading
from localassist import Client

def work():
    threading.main_thread().join()
    with Client(sys.argv[1], model=sys.argv[2]) as client:
        answer = client.chat.completions.create(
            model="gpt-4", messages=[{"role": "user", "content": "Hello."}], max_tokens=4
        )
        print(answer.usage.completion_tokens > 0)

threading.Thread(target=work).start()
"""


def test_a_model_is_loaded_though_the_main_thread_has_ended(home, weights):
    assert run_script(AFTER_MAIN, home, weights(SMOL)) == ["True"]


FORKED = """
import os, sys
from localassist import Client, ClosedError, HomeError

def ask(client):
    answer = client.chat.completions.create(
        model="gpt-4", messages=[{"role": "user", "content": "Hello."}], max_tokens=4
    )
    return answer.usage.completion_tokens > 0

def forked(work):
    child = os.fork()
    if not child:
        work()
        sys.exit()
    print(os.waitpid(child, 0)[1], flush=True)

def with_parents():
    retrieve = client.beta.threads.retrieve
    for call in (lambda: retrieve(thread.id), lambda: ask(client), lambda: Client(sys.argv[1])):
        try:
            call()
        except (ClosedError, HomeError) as error:
            print("forked" in str(error), error.code, flush=True)
    client.close()
    with Client(sys.argv[1] + "/other", model=sys.argv[2]) as own:
        print(ask(own), flush=True)

def with_own():
    with Client(sys.argv[1], model=sys.argv[2]) as own:
        print(own.beta.threads.retrieve(thread.id).id == thread.id, ask(own), flush=True)

client = Client(sys.argv[1], model=sys.argv[2])
thread = client.beta.threads.create()
print(ask(client), flush=True)
forked(with_parents)
print(ask(client), flush=True)
client.close()
forked(with_own)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
def test_a_forked_process_opens_no_folder_that_its_parent_has_open(home, weights):
    lines = run_script(FORKED, home, weights(SMOL))
    assert lines[1:4] == ["True None", "True None", "True home_inherited"]
    assert [lines[0], *lines[4:]] == ["True", "True", "0", "True", "True True", "0"]


def test_a_model_whose_template_cannot_be_read_leaves_nothing_behind(home, weights, tmp_path):
    path = tmp_path / "model.gguf"
    content = weights(SMOL).read_bytes()
    assert content.count(b"{% for ") == 1
    path.write_bytes(content.replace(b"{% for ", b"{% fro "))
    before = threading.active_count()
    with Client(settings=Settings(home=home, model=str(path), n_ctx=512)) as client:
        opened = threading.active_count()
        for _ in range(2):
            with pytest.raises(Exception, match="template"):
                client.chat.completions.create(
                    model="gpt-4", messages=[{"role": "user", "content": "Hello."}]
                )
        assert threading.active_count() == opened
    assert threading.active_count() == before
