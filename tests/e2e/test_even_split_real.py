"""Threads that take equal parts of a matrix: the same numbers, and only where it does no harm.

Each in a process of its own, as it is decided once, with the first model.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import SMOL

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]

ANSWER = """
import hashlib, json, os, sys
from pathlib import Path
from localassist.engine.llama_backend import LlamaBackend
from localassist.engine.scheduler import Chunk
path, even_split = sys.argv[1:]
backend = LlamaBackend(
    Path(path), n_ctx=512, n_threads=2, chat_template="", even_split=even_split == "on"
)
tokens = backend.tokenize("Once upon a time there was a lighthouse", parse_special=False)
digest, start = hashlib.sha256(), 0
for _ in range(16):
    row = backend.decode([Chunk(None, 0, tokens[start:], start, num_logits=1)])[0][0]
    digest.update(row.tobytes())
    start = len(tokens)
    tokens.append(int(row.argmax()))
print(json.dumps([backend.splits_evenly, digest.hexdigest(), sorted(os.sched_getaffinity(0))]))
backend.close()
"""
SWITCH = """
import json, os, sys
from pathlib import Path
from localassist.engine.even_split import EvenSplit
cpus, case = sys.argv[1:]
os.sched_setaffinity(0, range(len(list(Path(cpus).iterdir()))))
if case == "pinned":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
if case == "too late":
    import llama_cpp
split = EvenSplit(Path(cpus))
import llama_cpp
llama_cpp.llama_backend_init()
print(json.dumps(split.switch_on(llama_cpp)))
"""


def run(program, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture
def cpus(tmp_path):
    """The folder that describes so many CPUs, of these speeds by turns."""

    def cpus(*speeds):
        for number in range(64):
            folder = tmp_path / f"cpu{number}"
            folder.mkdir()
            (folder / "cpu_capacity").write_text(str(speeds[number % len(speeds)]))
        return tmp_path

    return cpus


def test_equal_parts_give_the_same_numbers_and_leave_the_cpus_alone(weights):
    (on, of_on, cpus_of_on), said = run(ANSWER, weights(SMOL), "on")
    (off, of_off, cpus_of_off), _ = run(ANSWER, weights(SMOL), "off")

    assert not off
    assert of_on == of_off
    assert cpus_of_on == cpus_of_off
    assert "affinity" not in said
    assert on or not sys.platform.startswith("linux")


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's linker")


@linux
def test_cores_that_are_alike_get_equal_parts(cpus):
    assert run(SWITCH, cpus(1024, 1000), "free")[0] is True


@linux
def test_fast_and_slow_cores_take_turns(cpus):
    assert run(SWITCH, cpus(1024, 512), "free")[0] is False


@linux
def test_a_process_bound_to_some_cpus_stays_there(cpus):
    assert run(SWITCH, cpus(1024), "pinned")[0] is (os.cpu_count() == 1)


@linux
def test_a_library_that_was_loaded_before_is_left_alone(cpus):
    assert run(SWITCH, cpus(1024), "too late")[0] is False
