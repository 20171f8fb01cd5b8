"""What our Makefile has llama.cpp compiled with, and how a library without it is known."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import SMOL

from localassist.engine import llama_build

ROOT = Path(__file__).parents[2]
HEADER = str(ROOT / ".build" / "before_llama.h")
WITH_HALVES = "processor\t: 0\nflags\t\t: fpu avx512f avx512_fp16 amx_int8\n"
WITHOUT = "processor\t: 0\nflags\t\t: fpu avx512f amx_int8\n"
FOR_THIS, FOR_ANY = b"AVX2 = 1 | AVX512 = 1 | ", b"AVX2 = 1 | "
FOR_HALVES = ("-O3", "-mavx512f", "-mavx512fp16")
WIDENING = """
#include <immintrin.h>
#ifdef __AVX512FP16__
#error it was told of sixteen bits
#endif
__m512 widened(const __m256i *given) { return _mm512_cvtph_ps(_mm256_loadu_si256(given)); }
"""
FINGERPRINT = """
import sys
from pathlib import Path
from localassist.engine import llama_build
from localassist.engine.llama_backend import LlamaBackend
llama_build.mark = lambda llama: int(sys.argv[2])
backend = LlamaBackend(Path(sys.argv[1]), n_ctx=256, n_threads=1, chat_template="")
print(backend.fingerprint)
backend.close()
"""
SLOW = """
import logging
from localassist.engine import llama_build, llama_library
logging.basicConfig()
llama_build.attends_slowly = lambda llama: True
print(llama_library.load().attends_slowly)
"""

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="has no such compiler"),
    pytest.mark.timeout(120),
]


def compile_text(text, *flags):
    """What the compiler says and makes of a source."""
    command = ["c++", *flags, "-x", "c++", "-S", "-", "-o", "-"]
    env = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=env)


def compiled(folder, *flags, system_info=FOR_THIS):
    """A library of two files, as the llama_cpp module would have loaded it."""
    sources = [folder / name for name in ("one.cpp", "two.cpp")]
    for source in sources:
        source.write_text(f"int of_{source.stem}() {{ return 1; }}")
    path = folder / "library.so"
    command = ["c++", "-shared", "-fPIC", "-fvisibility=hidden", *flags, *map(str, sources)]
    subprocess.run([*command, "-o", str(path)], check=True)
    return SimpleNamespace(
        llama_cpp=SimpleNamespace(_lib=ctypes.CDLL(str(path))),
        llama_print_system_info=lambda: system_info,
    )


def run(script, *arguments):
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.fixture
def cpuinfo(tmp_path):
    def cpuinfo(text):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        return path

    return cpuinfo


def test_a_library_says_that_it_was_compiled_with_our_header(tmp_path, cpuinfo):
    llama = compiled(tmp_path, "-include", HEADER)
    assert llama_build.mark(llama) > 1
    assert not llama_build.attends_slowly(llama, cpuinfo(WITH_HALVES))


def test_one_without_is_slow_only_where_the_processor_computes_with_halves(tmp_path, cpuinfo):
    llama = compiled(tmp_path)
    assert llama_build.mark(llama) == 0
    assert llama_build.attends_slowly(llama, cpuinfo(WITH_HALVES))
    assert not llama_build.attends_slowly(llama, cpuinfo(WITHOUT))
    assert not llama_build.attends_slowly(llama, cpuinfo("Features\t: asimdhp avx512_fp16\n"))
    assert not llama_build.attends_slowly(llama, tmp_path / "none")


def test_one_that_was_not_compiled_for_this_processor_is_not_slow_by_it(tmp_path, cpuinfo):
    llama = compiled(tmp_path, system_info=FOR_ANY)
    assert not llama_build.attends_slowly(llama, cpuinfo(WITH_HALVES))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="is about a compiler for x86")
def test_sources_do_not_learn_of_halves_but_can_widen_them():
    if compile_text("", *FOR_HALVES).returncode:
        pytest.skip("this compiler does not know of such processors")
    assert "it was told of sixteen bits" in compile_text(WIDENING, *FOR_HALVES).stderr
    done = compile_text(WIDENING, *FOR_HALVES, "-include", HEADER)
    assert done.returncode == 0, done.stderr
    assert "vcvtph2ps" in done.stdout


def test_make_install_has_the_header_read_first():
    command = ["make", "--dry-run", "--always-make", ".venv/.installed"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    installing = [line for line in said.splitlines() if "pip install" in line]
    assert installing
    assert f'-include "{HEADER}"' in installing[0]


def test_what_make_install_has_compiled_needs_no_other():
    subprocess.run([sys.executable, str(ROOT / ".build" / "check_llama.py")], check=True)


def test_the_log_says_what_can_be_done_about_a_slow_one():
    done = run(SLOW)
    assert done.stdout == "True\n"
    assert "make install" in done.stderr


@pytest.mark.model
def test_conversations_of_another_header_are_not_taken_for_ours(weights):
    path = str(weights(SMOL))
    first, second, again = (run(FINGERPRINT, path, each).stdout for each in ("2", "3", "2"))
    assert first == again != second


def test_doctor_says_that_a_library_cannot_be_loaded(tmp_path):
    command = [sys.executable, "-m", "localassist", "doctor", "--json"]
    env = {**os.environ, "LLAMA_CPP_LIB_PATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert "llama_cpp" in json.loads(done.stdout)["llama_cpp"]["error"]
