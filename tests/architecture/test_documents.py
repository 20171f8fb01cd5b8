"""README and ARCHITECTURE say what is so."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from conftest import SMOL

import localassist
from localassist import Settings

ROOT = Path(localassist.__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.model
@pytest.mark.timeout(300)
def test_the_readmes_examples_run(home, weights, monkeypatch, capsys):
    """In order and in one session, on the smallest real model."""
    monkeypatch.setenv("LOCALASSIST_HOME", str(home))
    monkeypatch.setenv("LOCALASSIST_MODEL", str(weights(SMOL)))
    monkeypatch.setenv("LOCALASSIST_N_CTX", "1024")
    names = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    names["client"].close()
    assert "user: I need to solve the equation" in capsys.readouterr().out
    assert names["run"].status in ("completed", "incomplete"), names["run"].last_error


def test_the_readme_lists_every_setting():
    for field in fields(Settings):
        assert f"LOCALASSIST_{field.name.upper()} |" in README
        assert field.metadata["description"]


def test_every_room_of_the_architecture_exists():
    text = (ROOT / "localassist" / "ARCHITECTURE.md").read_text("utf-8")
    for name in re.findall(r"`((?:\w+/)+\w+\.py)`", text):
        assert (ROOT / "localassist" / name).is_file(), name
    for name in re.findall(r"`([A-Z]\w+(?:\.\w+)?)`", text):
        word = name.partition(".")[0]
        found = any(
            re.search(rf"\b{word}\b", path.read_text("utf-8"))
            for path in (ROOT / "localassist").rglob("*.py")
        )
        assert found, name


def test_the_top_level_is_the_fixed_one():
    allowed = {
        "pyproject.toml",
        "README.md",
        "Makefile",
        "localassist",
        "models",
        "tests",
        "benchmarks",
    }
    seen = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert seen <= allowed
