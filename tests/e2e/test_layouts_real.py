"""Where llama.cpp keeps the weights of a real model.

Each in a process of its own: llama.cpp's library is set up once.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LOAD = """
import json, logging, sys
from localassist import Settings
from localassist.api.runtime import Runtime
home, model, repack = sys.argv[1:]
said = []
handler = logging.Handler(logging.DEBUG)
handler.emit = lambda record: said.append(record.getMessage())
log = logging.getLogger("localassist.llama")
log.addHandler(handler)
log.setLevel(logging.DEBUG)
settings = Settings(home=home, model=model, n_ctx=256, n_threads=1, repack=repack == "yes")
runtime = Runtime(settings)
with runtime.engines.use(model) as engine:
    fingerprint = engine._backend.fingerprint
runtime.close()
sizes = [line.split("model buffer size") for line in said if "model buffer size" in line]
buffers = [before.split()[-1] for before, size in sizes]
print(json.dumps([buffers, fingerprint]))
"""
SMALL = "qwen2.5-coder-0.5b-instruct"  # llama.cpp has kernels for another layout of its Q4_K

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]


def loaded(home, path, *, repack):
    """Names of the buffers in which the weights are, and the fingerprint of what is computed."""
    command = [sys.executable, "-c", LOAD, str(home), str(path), repack]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    buffers, fingerprint = json.loads(done.stdout)
    return set(buffers), fingerprint


def test_weights_stay_as_they_are_in_the_file_where_that_is_wanted(tmp_path, weights):
    as_in_file, one = loaded(tmp_path / "a", weights(SMALL), repack="no")
    laid_out, other = loaded(tmp_path / "b", weights(SMALL), repack="yes")
    assert as_in_file == {"CPU_Mapped"}
    assert laid_out > as_in_file
    assert one != other  # what was computed otherwise is not believed
