"""How long threads of llama.cpp wait for one another before they sleep, as libgomp tells it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import SMOL

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libgomp is Linux's"),
]

LOAD = """
import os, sys
from pathlib import Path
from localassist.engine.llama_backend import LlamaBackend
backend = LlamaBackend(Path(sys.argv[1]), n_ctx=512, n_threads=1, chat_template="")
backend.close()
print(os.environ.get("OMP_WAIT_POLICY"))
"""


def load(path, **given):
    kept = {name: value for name, value in os.environ.items() if "OMP_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)],
        env={**kept, "OMP_DISPLAY_ENV": "verbose", **given},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip(), done.stderr


# Decodes one token after the other, first with long spins.
DECODE = """
import os, resource, sys, time
from pathlib import Path
from localassist.engine.llama_backend import LlamaBackend

def os_threads():
    return len(os.listdir("/proc/self/task"))

backend = LlamaBackend(Path(sys.argv[1]), n_ctx=512, n_threads=2, chat_template="")
backend.time_rows(1)
at_first = os_threads()
for spins_long in (True, False, True):
    backend.spin_long(on=spins_long)
    sleeps = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for _ in range(40):
        backend.time_rows(1)
    print(os_threads(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - sleeps)
backend.spin_long(on=False)
backend.close()
ends = time.monotonic() + 10
# An OS thread ends a moment after its work.
while os_threads() > at_first and time.monotonic() < ends:
    time.sleep(0.01)
print(os_threads(), 0)
"""


def decode(path, **given):
    """OS threads and sleeps with long, short and long spins, and once the model is closed."""
    kept = {name: value for name, value in os.environ.items() if "OMP_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", DECODE, str(path)],
        env={**kept, **given}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    pairs = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    return zip(*pairs, strict=True)


@pytest.mark.skipif(
    not 2 <= len(getattr(os, "sched_getaffinity", lambda _pid: [])(0)) <= 16,
    reason="a thread has nobody to wait for, or spins are as long as they are",
)
def test_short_spins_end_in_more_sleeps_and_leave_no_threads_behind(weights):
    (long, short, again, closed), (num_long, num_short, num_again, _) = decode(weights(SMOL))
    assert short > long
    assert again == long
    assert closed <= long
    assert num_short > max(num_long, num_again)


def test_nothing_is_changed_where_the_caller_has_said_how_threads_wait(weights):
    (long, short, again, _), _sleeps = decode(weights(SMOL), GOMP_SPINCOUNT="3000")
    assert long == short == again


def test_they_wait_as_long_however_many_threads_there_are(weights):
    left, said = load(weights(SMOL))
    assert "GOMP_SPINCOUNT = '20000'" in said
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in said
    assert left == "None"


def test_what_the_caller_has_set_stays(weights):
    left, said = load(weights(SMOL), OMP_WAIT_POLICY="passive")
    assert "GOMP_SPINCOUNT = '0'" in said
    assert left == "passive"
