"""Whether a call is wanted: what the model thinks of it, and what is asked for."""

from __future__ import annotations

import pytest

from localassist.engine.tool_dialect import ToolHabits
from localassist.runs.function_calls import FunctionCaller
from localassist.runs.rounds import Rounds
from localassist.types.run import Run
from localassist.types.run_step import RunStep, ToolCallsStepDetails
from localassist.types.tool import FunctionToolCall, StepFunction

HABITS = ToolHabits(call_above=-1.0, again_above=-0.5, near_weight=2.0, near_centre=0.5)
ASKED = ["You are kind.", "What is the weather in Paris?", "And in Berlin?"]


class Model:
    """Its answer begins with a call with one probability, whatever the prompt."""

    def __init__(self, logprob):
        self._logprob = logprob
        self.engine = self

    def encode_frame(self, text):
        return list(text.encode())

    def first_logprob(self, _prompt, _token):
        return self._logprob


class Nearness:
    """As near as it is told; keeps what it was asked."""

    def __init__(self, cosine):
        self._cosine = cosine
        self.asked = []

    def nearest(self, request, offers, *, within):
        self.asked.append((request, offers, within))
        return self._cosine


def run(**fields):
    function = {"name": "get_weather-now", "description": "The weather.", "parameters": {}}
    return Run(
        id="run_1", assistant_id="asst_1", created_at=0, model="m", status="in_progress",
        thread_id="thread_1", tools=[{"type": "function", "function": function}], **fields,
    )  # fmt: skip


def answered():
    call = FunctionToolCall(id="call_1", function=StepFunction(name="f", arguments="{}", output=""))
    details = ToolCallsStepDetails(tool_calls=[call])
    return [
        RunStep(
            id="step_1", assistant_id="asst_1", created_at=0, run_id="run_1", status="completed",
            step_details=details, thread_id="thread_1", type="tool_calls",
        )
    ]  # fmt: skip


def decided(logprob, nearness, *, steps=(), asked=ASKED, habits=HABITS, **fields):
    caller = FunctionCaller(run(**fields), Rounds(steps), habits, nearness)
    return caller.wants_call(Model(logprob), [1, 2], asked=asked)


@pytest.mark.parametrize(
    ("logprob", "cosine", "calls"),
    [
        (-0.9, 0.5, True),  # as near as changes nothing
        (-1.1, 0.5, False),
        (-0.9, 0.4, False),  # rather far
        (-0.3, 0.1, False),
        (-0.1, 0.1, True),  # far, but the model is sure
        (-1.5, 0.8, True),  # near, though the model hesitates
        (-5.0, 1.0, False),
        (-0.9, None, True),  # nothing is known
        (-1.1, None, False),
    ],
)
def test_probability_and_nearness_decide_together(logprob, cosine, calls):
    assert decided(logprob, Nearness(cosine)) is calls


def test_it_is_told_what_is_asked_in_its_context_and_what_functions_do():
    nearness = Nearness(0.9)
    decided(-0.9, nearness)
    assert nearness.asked == [("And in Berlin?", ["get weather now. The weather."], ASKED[:2])]


def test_once_functions_were_called_the_model_alone_decides():
    nearness = Nearness(-1.0)
    assert decided(-0.4, nearness, steps=answered())
    assert not decided(-0.6, nearness, steps=answered())
    assert nearness.asked == []


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather-now"}}]
)
def test_what_is_forced_is_not_compared(choice):
    nearness = Nearness(-1.0)
    assert decided(-9.0, nearness, tool_choice=choice)
    assert nearness.asked == []


def test_a_model_whose_habits_are_not_measured_decides_alone():
    nearness = Nearness(-1.0)
    assert decided(-0.9, nearness, habits=ToolHabits(call_above=-1.0))
    assert nearness.asked == []
    assert decided(-0.9, None)
    assert decided(-0.9, Nearness(-1.0), asked=[])
