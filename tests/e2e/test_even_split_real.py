"""Threads that take equal parts of a matrix: the same numbers, and only where it does no harm.

Each in a process of its own, as it is decided once, with the first model.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest
from conftest import SMOL

from localassist.engine.even_split import cores_alike

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]

LINUX = sys.platform.startswith("linux") and platform.machine() == "x86_64"
ANSWER = """
import hashlib, json, os, sys
from pathlib import Path
from localassist.engine.llama_backend import LlamaBackend
from localassist.engine.scheduler import Chunk
path, even_split, pinned = sys.argv[1:]
if pinned == "pinned":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
cpus = os.sched_getaffinity(0)
backend = LlamaBackend(
    Path(path), n_ctx=1536, n_threads=2, chat_template="", even_split=even_split == "on"
)
digest = hashlib.sha256()

def decode(*chunks):
    rows = backend.decode([Chunk(None, *chunk, num_logits=1) for chunk in chunks])
    for each in rows:
        digest.update(each[0].tobytes())
    return [int(each[0].argmax()) for each in rows]

tokens = backend.tokenize("Once upon a time there was a lighthouse. " * 60, parse_special=False)
token, = decode((0, tokens[:300], 0))
for position in range(300, 308):
    token, = decode((0, [token], position))
for seq_id in range(1, 8):
    decode((seq_id, tokens[seq_id : seq_id + 20], 0))
decode(*((seq_id, [token], 20) for seq_id in range(1, 8)))
kept = os.sched_getaffinity(0) == cpus
flags, is_weights = [], False
for line in Path("/proc/self/smaps").read_text().splitlines():
    if line.startswith("VmFlags:") and is_weights:
        flags += line.split()
    if line.startswith("VmFlags:") or line.endswith(".gguf"):
        is_weights = line.endswith(".gguf")
print(json.dumps([backend.splits_evenly, digest.hexdigest(), kept, flags]))
backend.close()
"""
SWITCH = """
import json, os, sys
from pathlib import Path
from localassist.engine.even_split import EvenSplit
cpus, too_late = sys.argv[1:]
if too_late == "too late":
    import llama_cpp
split = EvenSplit(Path(cpus))
import llama_cpp
llama_cpp.llama_backend_init()
split.switch_on(llama_cpp)
print(json.dumps(split.is_on))
"""
linux = pytest.mark.skipif(not LINUX, reason="needs Linux's linker, and x86")


def run(program, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture
def cpus(tmp_path):
    """The folder that describes this process's CPUs, of these speeds by turns."""

    def cpus(*speeds):
        allowed = sorted(os.sched_getaffinity(0))
        for number in {0, *allowed}:
            folder = tmp_path / f"cpu{number}"
            folder.mkdir()
            place = allowed.index(number) if number in allowed else 0
            (folder / "cpu_capacity").write_text(str(speeds[place % len(speeds)]))
        return tmp_path

    return cpus


@linux
@pytest.mark.parametrize("pinned", ["free", "pinned"])
def test_equal_parts_give_the_same_numbers_and_leave_the_cpus_and_the_file_alone(weights, pinned):
    path = weights(SMOL)
    (on, numbers, kept, flags), said = run(ANSWER, path, "on", pinned)
    (off, expected, _, _), _ = run(ANSWER, path, "off", pinned)

    assert not off
    assert on == cores_alike()
    assert numbers == expected
    assert kept
    assert flags
    assert "rr" not in flags  # it is not read page by page
    assert "affinity" not in said


@linux
def test_cores_that_are_alike_get_equal_parts(cpus):
    assert run(SWITCH, cpus(1024, 1000), "in time")[0] is True


@linux
def test_fast_and_slow_cores_take_turns(cpus):
    one_alone = len(os.sched_getaffinity(0)) == 1
    assert run(SWITCH, cpus(1024, 512), "in time")[0] is one_alone


@linux
def test_without_a_word_about_the_cores_they_take_turns(tmp_path):
    assert run(SWITCH, tmp_path, "in time")[0] is False


@linux
def test_a_library_that_was_loaded_before_is_left_alone(cpus):
    assert run(SWITCH, cpus(1024), "too late")[0] is False
