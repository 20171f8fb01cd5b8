"""Whether a call is wanted: what the model thinks of it, and what is asked for."""

from __future__ import annotations

import pytest

from localassist.engine.tool_dialect import ToolHabits
from localassist.runs.function_calls import FunctionCaller, offer
from localassist.runs.rounds import Rounds
from localassist.types.run import Run
from localassist.types.run_step import RunStep, ToolCallsStepDetails
from localassist.types.tool import FunctionToolCall, StepFunction

HABITS = ToolHabits(
    call_above=-1.0, again_above=-0.5, talked_above=-6.0, later_above=-3.0,
    near_weight=2.0, near_centre=0.5,
)  # fmt: skip
ASKED = ["What is the weather in Paris?", "And in Berlin?"]


class Model:
    """Its answer begins with a call with one probability, whatever the prompt."""

    def __init__(self, logprob):
        self._logprob = logprob
        self.engine = self

    def encode_frame(self, text):
        return list(text.encode())

    def encode_on(self, _said, text, *, keep):
        return self.encode_frame(text)

    def first_logprob(self, _prompt, _token):
        return self._logprob


class Nearness:
    """As near as it is told, alone and within what was said before; keeps what it was asked."""

    def __init__(self, cosine, within=None):
        self._cosine = cosine
        self._within = within
        self.asked = []

    def nearest(self, request, offers, *, within=()):
        self.asked.append((request, offers, list(within)))
        return self._within if within and self._within is not None else self._cosine


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


def decided(
    logprob, nearness, *, steps=(), asked=ASKED, habits=HABITS, earlier="nothing", **fields
):
    caller = FunctionCaller(run(**fields), Rounds(steps), habits, nearness)
    return caller.wants_call(Model(logprob), [1, 2], earlier=earlier, asked=asked)


@pytest.mark.parametrize(
    ("logprob", "cosine", "calls"),
    [
        (-0.9, 0.5, True),  # as near as changes nothing
        (-1.1, 0.5, False),
        (-0.9, 0.4, False),  # rather far
        (-0.6, -0.1, False),
        (-0.4, -0.9, True),  # as far as can be, but the model is sure
        (-1.1, 0.6, True),  # near, though the model hesitates
        (-1.6, 1.0, False),
        (-0.9, None, True),  # nothing is known
        (-1.1, None, False),
    ],
)
def test_probability_and_nearness_decide_together(logprob, cosine, calls):
    assert decided(logprob, Nearness(cosine)) is calls


@pytest.mark.parametrize(
    ("alone", "within", "calls_at"),
    [
        (0.3, 0.9, -0.9),  # a request that says little is excused,
        (0.3, 0.35, -0.6),  # as far as it goes,
        (0.6, 0.1, -1.1),  # and one that says enough is not held back
    ],
)
def test_what_was_said_before_excuses_and_does_not_ask(alone, within, calls_at):
    assert decided(calls_at, Nearness(alone, within))
    assert not decided(calls_at - 0.2, Nearness(alone, within))


def test_it_is_told_what_is_asked_and_what_functions_do():
    nearness = Nearness(0.2)
    decided(-0.9, nearness)
    assert nearness.asked == [
        ("And in Berlin?", ["get weather now. The weather."], []),
        ("And in Berlin?", ["get weather now. The weather."], ASKED[:1]),
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("getCurrentWeather", "get current weather"),
        ("get_current-weather2", "get current weather2"),
        ("HTTPGet", "httpget"),
    ],
)
def test_a_name_is_read_as_words(name, words):
    assert offer({"name": name}) == f"{words}. "
    assert offer({"name": name, "description": "It is. "}) == f"{words}. It is. "


@pytest.mark.parametrize(("logprob", "calls"), [(-0.4, True), (-1.6, False), (-15.0, False)])
def test_what_nearness_cannot_change_is_not_compared(logprob, calls):
    nearness = Nearness(-1.0 if calls else 1.0)
    assert decided(logprob, nearness) is calls
    assert nearness.asked == []


def test_once_functions_were_called_the_model_alone_decides():
    nearness = Nearness(-1.0)
    assert decided(-0.4, nearness, steps=answered())
    assert not decided(-0.6, nearness, steps=answered())
    assert nearness.asked == []


@pytest.mark.parametrize(("earlier", "least"), [("nothing", -1), ("words", -6), ("calls", -3)])
def test_what_was_answered_before_has_a_threshold_of_its_own(earlier, least):
    assert decided(least + 0.1, Nearness(0.5), earlier=earlier)
    assert not decided(least - 0.1, Nearness(0.5), earlier=earlier)
    # Within a run that has called, only that counts.
    assert not decided(-0.6, None, earlier=earlier, steps=answered())


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
