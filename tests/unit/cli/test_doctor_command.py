from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from localassist.cli.main import app
from localassist.engine import llama_library
from localassist.engine.llama_library import LlamaLibrary
from localassist.engine.spinning import Spinning


@pytest.fixture
def doctor(monkeypatch):
    """What doctor says where no sandbox is to be tried, of a llama.cpp."""

    def doctor(*options, **facts):
        asked = {}

        def load(*, even_split):
            asked["even_split"] = even_split
            return LlamaLibrary(
                **{
                    "module": None, "version": "1.2", "mark": 2, "attends_slowly": False,
                    "features": "CPU : AVX2 = 1 | SVE = 0 | SVE_CNT = 16 | ",
                    "splits_evenly": even_split, "extra_layouts": True,
                    "spinning": Spinning(), **facts,
                }
            )  # fmt: skip

        monkeypatch.setattr(llama_library, "load", load)
        monkeypatch.setattr("localassist.cli.doctor.sys.platform", "plan9")
        result = CliRunner().invoke(app, ["doctor", *options])
        assert result.exit_code == 1
        return result.stdout

    return doctor


def test_where_there_is_no_sandbox_llama_is_told_of_all_the_same(doctor):
    said = doctor()
    assert "There is no sandbox for plan9" in said
    assert "llama-cpp-python 1.2: AVX2\n" in said
    assert "make install" not in said


@pytest.mark.parametrize("fact", [{"attends_slowly": True}, {"extra_layouts": False}])
def test_a_slow_one_is_told_with_what_to_do(doctor, fact):
    assert "make install" in doctor(**fact)


def test_json_has_what_people_are_told(doctor):
    assert json.loads(doctor("--json", attends_slowly=True)) == {
        "holds": False,
        "llama_cpp": {
            "version": "1.2", "features": ["AVX2"], "splits_evenly": True,
            "extra_layouts": True, "attends_slowly": True,
        },
    }  # fmt: skip


def test_weights_that_are_to_stay_as_they_are_in_the_file_are_no_fault(doctor, monkeypatch):
    monkeypatch.setenv("LOCALASSIST_REPACK", "no")
    assert json.loads(doctor("--json"))["llama_cpp"]["extra_layouts"] is False
    assert "make install" not in doctor()


def test_the_setting_for_equal_parts_is_followed(doctor, monkeypatch):
    monkeypatch.setenv("LOCALASSIST_EVEN_SPLIT", "no")
    assert json.loads(doctor("--json"))["llama_cpp"]["splits_evenly"] is False
