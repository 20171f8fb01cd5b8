"""What our Makefile has llama.cpp compiled with, and how a library without it is known."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import llama_cpp
import pytest

from localassist.engine import llama_build

BUILD = Path(__file__).parents[2] / ".build"
HEADER = str(BUILD / "before_llama.h")
WITH_HALVES = "processor\t: 0\nflags\t\t: fpu avx512f avx512_fp16 amx_int8\n"
WITHOUT = "processor\t: 0\nflags\t\t: fpu avx512f amx_int8\n"
WIDENING = """
#include <immintrin.h>
#ifdef __AVX512FP16__
#error halves
#endif
__m512 widened(const __m256i *halves) { return _mm512_cvtph_ps(_mm256_loadu_si256(halves)); }
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such compiler")


def compiled(folder, *before):
    """A library of two files in C and C++, as the llama_cpp module would have loaded it."""
    objects = []
    for suffix, compiler in (("c", "cc"), ("cpp", "g++")):
        source = folder / f"{suffix}.{suffix}"
        source.write_text(f"int of_{suffix}(void) {{ return 1; }}")
        objects.append(str(source.with_suffix(f".{suffix}.o")))
        flags = ["-fPIC", "-fvisibility=hidden", "-c", *before]
        subprocess.run([compiler, *flags, str(source), "-o", objects[-1]], check=True)
    path = folder / "library.so"
    subprocess.run(["g++", "-shared", *objects, "-o", str(path)], check=True)
    return SimpleNamespace(llama_cpp=SimpleNamespace(_lib=ctypes.CDLL(str(path))))


@pytest.fixture
def cpuinfo(tmp_path):
    def cpuinfo(text):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        return path

    return cpuinfo


def test_a_library_says_that_it_was_compiled_with_our_header(tmp_path, cpuinfo):
    llama = compiled(tmp_path, "-include", HEADER)
    assert llama_build.mark(llama) > 0
    assert not llama_build.attends_slowly(llama, cpuinfo(WITH_HALVES))


def test_one_without_is_slow_only_where_the_processor_computes_with_halves(tmp_path, cpuinfo):
    llama = compiled(tmp_path)
    assert llama_build.mark(llama) == 0
    assert llama_build.attends_slowly(llama, cpuinfo(WITH_HALVES))
    assert not llama_build.attends_slowly(llama, cpuinfo(WITHOUT))
    assert not llama_build.attends_slowly(llama, cpuinfo("Features\t: asimdhp avx512_fp16\n"))
    assert not llama_build.attends_slowly(llama, tmp_path / "none")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="is about a compiler for x86")
@pytest.mark.parametrize("compiler", [("gcc", "c"), ("g++", "c++")])
def test_sources_do_not_learn_of_halves_but_can_widen_them(compiler):
    def compiles(*before):
        name, language = compiler
        flags = ["-O3", "-mavx512f", "-mavx512fp16", "-x", language, "-S", "-", "-o", "-", *before]
        return subprocess.run([name, *flags], input=WIDENING, capture_output=True, text=True)

    done = compiles("-include", HEADER)
    if "unrecognized" in done.stderr:
        pytest.skip("this compiler does not know of such processors")
    assert done.returncode == 0, done.stderr
    assert "vcvtph2ps" in done.stdout
    assert "halves" in compiles().stderr


def test_the_installed_one_reads_long_conversations_as_fast_as_it_can():
    assert not llama_build.attends_slowly(llama_cpp)


def test_the_log_says_what_can_be_done_about_a_slow_one(monkeypatch, caplog):
    monkeypatch.setattr(llama_build, "attends_slowly", lambda _: True)
    llama_build.warn_if_slow(llama_cpp)
    assert "make install" in caplog.text


def test_make_install_is_content_with_what_it_has_compiled():
    subprocess.run([sys.executable, str(BUILD / "check_llama.py")], check=True)
