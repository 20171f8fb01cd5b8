"""`localassist bench` on a real model: figures that agree with one another."""

from __future__ import annotations

import json
import tempfile

import pytest
from conftest import SMOL
from typer.testing import CliRunner

from localassist.cli.main import app

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]


def test_it_measures_a_model_and_leaves_nothing_behind(tmp_path, monkeypatch, weights):
    weights(SMOL)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    command = ["bench", SMOL, "--json", "--rounds", "2", "--stories", "2", "--lines", "30"]
    env = {"LOCALASSIST_HOME": str(tmp_path / "home"), "LOCALASSIST_N_THREADS": "2"}

    result = CliRunner().invoke(app, command, env=env)

    assert result.exit_code == 0, result.output
    (speed,) = map(json.loads, result.stdout.splitlines())
    assert (speed["model"], speed["threads"], speed["at_once"]) == (SMOL, 2, 2)
    assert min(speed["read_tokens_per_s"]) > speed["write_tokens_per_s"] > 0
    assert min(speed["history_tokens"]) > 600
    for name in ("next_turn", "restarted_turn"):
        assert len(speed[f"{name}_s"]) == 2
        assert min(speed[f"{name}_s"]) > 0
        assert 0 < max(speed[f"{name}_read_tokens"]) < 64, name
    assert "after a restart" in result.stderr
    assert not (tmp_path / "home").exists()
    assert not list(temporary.iterdir())
