from __future__ import annotations

import pytest
from typer.testing import CliRunner

from localassist.cli.bench import Speed
from localassist.cli.main import app

SPEED = Speed(
    model="small", threads=2, first_answer_s=0.54, read_tokens_per_s=[300, 301, 350],
    write_tokens_per_s=31.2, history_tokens=[1234], next_turn_s=[0.12],
    next_turn_read_tokens=[15], restarted_turn_s=[0.34], restarted_turn_read_tokens=[17],
    at_once=8, at_once_tokens_per_s=99.4, at_once_first_s=[1.0, 1.5, 2.0],
)  # fmt: skip


@pytest.mark.parametrize(
    "figure",
    [
        "small, 2 threads", "after 0.5 s", "reads 301 (300 to 350)", "writes 31", "1,234 tokens",
        "0.12 s", "0.34 s", "8 stories", "99 tokens/s", "1.5 (1.0 to 2.0) s",
    ],
)  # fmt: skip
def test_what_is_told_has_the_medians_and_the_ends(figure):
    assert figure in str(SPEED)


def test_a_model_that_is_not_there_is_named_before_anything_is_measured(tmp_path):
    env = {"LOCALASSIST_MODELS": str(tmp_path)}
    result = CliRunner().invoke(app, ["bench", "no-such-model", "--json"], env=env)
    assert result.exit_code == 1
    assert "no-such-model" in result.stderr
    assert not result.stdout


@pytest.mark.parametrize("option", ["--rounds", "--stories", "--lines"])
def test_nothing_is_no_number_of_things_to_measure(option):
    result = CliRunner().invoke(app, ["bench", option, "0"])
    assert result.exit_code == 2
    assert option in result.stderr
