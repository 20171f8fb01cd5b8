"""Calls of earlier answers, as a model is shown them: as its own, and what they gave."""

from __future__ import annotations

import json

import pytest

from localassist.engine.tool_dialect import FENCE, TAGS, Call
from localassist.runs.chat import Talk
from localassist.runs.rounds import Rounds
from localassist.types.run_step import RunStep, ToolCallsStepDetails
from localassist.types.tool import CodeToolCall, FunctionToolCall, RunCode, StepFunction


def called(number, output="ok", name="f"):
    function = StepFunction(name=name, arguments=f'{{"n": {number}}}', output=output)
    return FunctionToolCall(id=f"call_{number}", function=function)


def step(*calls):
    return RunStep(
        id="step_1", assistant_id="asst_1", created_at=0, run_id="run_1", status="completed",
        step_details=ToolCallsStepDetails(tool_calls=list(calls)), thread_id="thread_1",
        type="tool_calls",
    )  # fmt: skip


def told(turns):
    return [(turn.role, turn.content) for turn in turns]


def test_calls_are_the_models_own_and_their_outputs_the_users():
    rounds = Rounds([step(called(1, "one"), called(2, "two", "g")), step(called(3, "three"))])
    both = '[{"name": "f", "arguments": {"n": 1}}, {"name": "g", "arguments": {"n": 2}}]'
    assert told(rounds.past_turns(FENCE)) == [
        ("assistant", f"```json\n{both}\n```"),
        ("user", "Result of f: one\nResult of g: two"),
        ("assistant", '```json\n[{"name": "f", "arguments": {"n": 3}}]\n```'),
        ("user", "Result of f: three"),
    ]


def test_each_dialect_writes_what_it_reads():
    calls = [Call("f", '{"a": "x"}'), Call("g", "{}")]
    assert TAGS.written(calls) == (
        '<tool_call>\n{"name": "f", "arguments": {"a": "x"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
    )
    inner = FENCE.written(calls).removeprefix("```json\n").removesuffix("\n```")
    assert [each["name"] for each in json.loads(inner)] == ["f", "g"]


def test_code_that_was_run_is_not_shown_as_a_call():
    code = CodeToolCall(id="call_1", code_interpreter=RunCode(input="1", outputs=[]))
    assert Rounds([step(code)]).past_turns(FENCE) == []
    assert Rounds([]).past_turns(FENCE) == []


def test_a_long_output_is_cut_and_one_that_never_came_is_empty():
    (_, (_, long)), (_, (_, none)) = (
        told(Rounds([step(called(1, output))]).past_turns(FENCE)) for output in ("x" * 9000, None)
    )
    assert len(long) < 1600
    assert "characters left out" in long
    assert none == "Result of f: "


def question(text):
    return {"role": "user", "content": text}


def answer(text):
    return {"role": "assistant", "content": text}


def call_of(number):
    function = {"name": "f", "arguments": f'{{"n": {number}}}'}
    call = {"id": f"call_{number}", "type": "function", "function": function}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": f"out {number}"},
    ]


def test_a_list_of_messages_keeps_its_calls_where_they_were():
    talk = Talk([question("a"), *call_of(1), answer("b"), question("c"), *call_of(2)])
    assert talk.earlier == "calls"
    assert told(talk.turns(FENCE)) == [
        ("user", "a"),
        ("assistant", '```json\n[{"name": "f", "arguments": {"n": 1}}]\n```'),
        ("user", "Result of f: out 1"),
        ("assistant", "b"),
        ("user", "c"),
    ]
    # Where no functions are in view, only what was said is.
    assert told(talk.turns(None)) == [("user", "a"), ("assistant", "b"), ("user", "c")]
    # The last calls are those of the answer that is asked for.
    assert [each.call.arguments for each in Rounds(talk.steps()).answered] == ['{"n": 2}']
    assert talk.asked == ["a", "c"]


@pytest.mark.parametrize("said", [[question("a")], [question("a"), *call_of(1)]])
def test_calls_of_the_answer_that_is_asked_for_are_not_past(said):
    assert Talk(said).earlier == "nothing"


def test_an_answer_in_words_is_earlier_words():
    assert Talk([question("a"), answer("b"), question("c")]).earlier == "words"


def test_calls_that_no_words_followed_are_past_once_another_question_is_asked():
    talk = Talk([question("a"), *call_of(1), question("c")])
    assert [role for role, _ in told(talk.turns(FENCE))] == ["user", "assistant", "user", "user"]
    assert talk.steps() == []
