"""Servers' matrix units: a build of llama.cpp that fails on them must not end the process."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import SMOL

from localassist.engine import amx

pytestmark = pytest.mark.timeout(120)

HEADER = Path(__file__).parents[2] / ".build" / "before_llama.h"
X86_LINUX = sys.platform.startswith("linux") and platform.machine() == "x86_64"
FAILING = "void *ggml_backend_cpu_reg(void) { __builtin_trap(); }"
WITHOUT_AMX = """
#include <stddef.h>
typedef void *name;
static void *layouts(void *device) { static void *none[] = {NULL}; return none; }
void *ggml_backend_cpu_reg(void) { return NULL; }
void *ggml_backend_reg_dev_get(void *registry, size_t number) { return NULL; }
void *ggml_backend_reg_get_proc_address(void *registry, const char *name) { return layouts; }
"""
CONFIGURING = """
#include <immintrin.h>
void configure() {
    unsigned char config[64] = {};
    config[0] = 1;
    config[20] = 93;
    _tile_loadconfig(config);
}
"""
PRODUCTS = """
import sys
from localassist.engine import amx
ggml = amx.Ggml(sys.argv[1])
layout = ggml.ggml_backend_cpu_buffer_type()
print(amx.multiplies(ggml, layout), amx.multiplies(ggml, layout, block=bytes(34)))
"""
ANSWER = """
import json, sys
from pathlib import Path
from localassist.engine import amx
from localassist.engine.llama_backend import LlamaBackend
from localassist.engine.scheduler import Chunk
path, usable = sys.argv[1:]
if usable == "no":
    amx.usable = lambda llama: False
backend = LlamaBackend(Path(path), n_ctx=512, n_threads=2, chat_template="")
tokens = backend.tokenize("One, two, three, four, five, six, seven,", parse_special=False)
((row,),) = backend.decode([Chunk(None, 0, tokens, 0, num_logits=1)])
print(json.dumps([backend.fingerprint, backend.token_bytes(int(row.argmax())).decode()]))
backend.close()
"""


@pytest.fixture
def library(tmp_path):
    """A library compiled from a source."""

    def library(source):
        path = tmp_path / "library.so"
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path)]
        subprocess.run(command, input=source, text=True, check=True)
        return str(path)

    return library


def test_a_build_that_does_not_know_them_is_not_tried():
    llama = SimpleNamespace(llama_print_system_info=lambda: b"AVX2 = 1 | AMX_INT8 = 0 | ")
    assert amx.usable(llama)


@pytest.mark.skipif(not X86_LINUX, reason="needs Linux on x86")
def test_a_build_that_dies_of_them_is_refused(library, caplog):
    assert not amx.works(library(FAILING))
    assert f"status {-signal.SIGILL}" in caplog.text


def test_what_is_no_library_is_refused_and_said(tmp_path, caplog):
    assert not amx.works(str(tmp_path / "none.so"))
    assert "none.so" in caplog.text
    assert "make install" in caplog.text


@pytest.mark.parametrize(("name", "value"), [("frozen", True), ("executable", "")])
def test_a_program_that_is_no_python_is_not_started(monkeypatch, name, value):
    monkeypatch.setattr(sys, name, value, raising=False)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was started"))
    assert not amx.works("any.so")


def test_a_product_is_told_from_a_wrong_one():
    import llama_cpp

    command = [sys.executable, "-c", PRODUCTS, llama_cpp.llama_cpp._lib._name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.skipif(not X86_LINUX, reason="needs Linux on x86")
def test_where_the_system_does_not_let_them_be_used_nothing_else_is_given_up(library):
    assert amx.works(library(WITHOUT_AMX))


@pytest.mark.model
def test_without_them_answers_are_the_same(weights):
    def run(usable):
        command = [sys.executable, "-c", ANSWER, str(weights(SMOL)), usable]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    (here, answer), (without, other_answer) = run("as here"), run("no")
    assert answer == other_answer == " eight"
    assert "weights as in the file" in without
    import llama_cpp

    assert (here != without) is amx.usable(llama_cpp)


@pytest.mark.skipif(not X86_LINUX, reason="needs a compiler for x86")
def test_the_header_of_our_build_has_the_whole_configuration_filled_in():
    def compiled(*arguments):
        command = ["g++", "-O3", "-mamx-tile", "-S", "-x", "c++", "-", "-o", "-", *arguments]
        return subprocess.run(
            command, input=CONFIGURING, text=True, capture_output=True, check=True
        ).stdout

    version = subprocess.run(["g++", "-dumpversion"], text=True, capture_output=True, check=True)
    assert "$93" in compiled("-include", str(HEADER))
    if int(version.stdout.split(".")[0]) <= 12:
        assert "$93" not in compiled(), "then the header is not needed"
