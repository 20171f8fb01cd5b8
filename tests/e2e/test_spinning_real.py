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


def test_they_wait_as_long_however_many_threads_there_are(weights):
    left, said = load(weights(SMOL))
    assert "GOMP_SPINCOUNT = '5000'" in said
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in said
    assert left == "None"


def test_what_the_caller_has_set_stays(weights):
    left, said = load(weights(SMOL), OMP_WAIT_POLICY="passive")
    assert "GOMP_SPINCOUNT = '0'" in said
    assert left == "passive"
