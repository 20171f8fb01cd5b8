"""Runs that call functions more than once, in the middle of words, or not as they should."""

from __future__ import annotations

import json
import sys

import pytest

from localassist import BadRequestError, Client, ScriptedBackend

MAY_CALL = "If my request needs another call"


def tool(name, schema=None, **more):
    return {"type": "function", "function": {"name": name, "parameters": schema or {}, **more}}


def object_of(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


STEP = tool("step", object_of(n={"type": "integer"}))


def fenced(*calls):
    return "```json\n" + json.dumps([{"name": n, "arguments": a} for n, a in calls])


def start(client, *tools, text="go", **params):
    assistant = client.beta.assistants.create(model="gpt-4", tools=list(tools))
    thread = client.beta.threads.create(messages=[{"role": "user", "content": text}])
    return client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id, **params)


def answer_calls(client, run, output="done"):
    calls = run.required_action.submit_tool_outputs.tool_calls
    return client.beta.threads.runs.submit_tool_outputs_and_poll(
        run.id,
        run.thread_id,
        tool_outputs=[{"tool_call_id": c.id, "output": output} for c in calls],
    )


def arguments(run):
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [json.loads(call.function.arguments) for call in calls]


def last_text(client, run):
    return client.beta.threads.messages.list(run.thread_id).data[0].text


def test_a_run_calls_again_with_what_the_first_call_gave(home):
    def reply(text):
        if MAY_CALL in text:
            rounds = text.count("The function step was called")
            return fenced(("step", {"n": rounds + 1})) if rounds < 3 else "Enough."
        return "All done." if "was called" in text else fenced(("step", {"n": 1}))

    with Client(home, backend=ScriptedBackend(reply)) as client:
        run = start(client, STEP)
        for number in (1, 2, 3):
            assert run.status == "requires_action"
            assert arguments(run) == [{"n": number}]
            run = answer_calls(client, run)
        assert run.status == "completed"
        assert last_text(client, run) == "All done."
        steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc")
        assert [step.type for step in steps.data] == [*["tool_calls"] * 3, "message_creation"]
        assert run.usage.total_tokens == sum(step.usage.total_tokens for step in steps.data)


def test_a_model_that_repeats_its_call_has_to_answer(home):
    def reply(text):
        if "Now answer" in text:
            return "It is done."
        return fenced(("step", {"n": 1}))

    with Client(home, backend=ScriptedBackend(reply)) as client:
        run = answer_calls(client, start(client, STEP))
        assert (run.status, last_text(client, run)) == ("completed", "It is done.")


def test_a_model_that_always_finds_another_call_is_stopped(home):
    def reply(text):
        if "Now answer" in text:
            return "I stop."
        return fenced(("step", {"n": text.count("was called")}))

    with Client(home, backend=ScriptedBackend(reply, n_ctx=16_000)) as client:
        run, rounds = start(client, STEP), 0
        while run.status == "requires_action":
            rounds += 1
            run = answer_calls(client, run)
        assert (rounds, run.status, last_text(client, run)) == (6, "completed", "I stop.")


def test_a_forced_choice_holds_for_the_first_step_only(home):
    def reply(text):
        return "Words." if "was called" in text else fenced(("step", {"n": 4}))

    with Client(home, backend=ScriptedBackend(reply)) as client:
        run = start(client, STEP, tool_choice="required")
        run = answer_calls(client, run)
        assert (run.status, last_text(client, run)) == ("completed", "Words.")


QUIZ = tool("display_quiz", object_of(items={"type": "array", "items": {"type": "string"}}))
QUESTIONS = {"items": ["Where is it?", "What is it?"]}


def quizmaster(asked):
    """Answers questions that it sees without a response, and repeats the verdicts."""

    def reply(text):
        asked.append(text)
        if "in as few words as possible" in text:
            return "Rome." if "Where" in text else "A city."
        if "Now answer" in text:
            return "; ".join(line.strip() for line in text.split("\n") if "Verdict:" in line)
        return "No more." if MAY_CALL in text else fenced(("display_quiz", QUESTIONS))

    return reply


def test_responses_to_a_quiz_are_judged_by_answers_given_before_they_were_seen(home):
    asked = []
    with Client(home, backend=ScriptedBackend(quizmaster(asked))) as client:
        run = answer_calls(client, start(client, QUIZ), json.dumps(["Oslo", "a city"]))
        assert run.status == "completed", run.last_error
        assert (
            last_text(client, run) == "Verdict: the response is right, the right answer is A city."
        )
        steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc")
    assert any("Response: Oslo\n   The right answer is Rome." in text for text in asked)
    assert not any("Oslo" in text for text in asked if "as few words" in text)
    # What nobody asked for is no usage of theirs.
    assert run.usage.total_tokens == sum(step.usage.total_tokens for step in steps.data)


def test_chat_completions_judge_so_too_and_a_survey_has_no_right_answers(home):
    def ask(client, name):
        function = {"name": name, "arguments": json.dumps(QUESTIONS)}
        call = {"id": "call_1", "type": "function", "function": function}
        return client.chat.completions.create(
            model="gpt-4",
            tools=[tool(name, object_of(items={"type": "array"}))],
            messages=[
                {"role": "user", "content": "Ask me something."},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": '["Oslo", "a city"]'},
            ],
        )

    asked = []
    with Client(home, backend=ScriptedBackend(quizmaster(asked))) as client:
        assert (
            "Verdict: the response is right, the right answer is A city."
            in ask(client, "display_quiz").choices[0].message.content
        )
        asked.clear()
        ask(client, "run_survey")
    assert asked
    assert not any("as few words" in text or "Verdict" in text for text in asked)


def test_a_call_in_the_middle_of_words_is_made(home):
    # The first token is no opener; the call comes later, in another form.
    words = "Let me see.\n```\n" + json.dumps({"name": "step", "arguments": {"n": 9}})

    def reply(text):
        return "Good." if "was called" in text else words

    with Client(home, backend=ScriptedBackend(reply)) as client:
        run = start(client, STEP)
        assert run.status == "requires_action"
        assert last_text(client, run) == "Let me see.\n"
        steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc")
        assert [(step.type, step.status) for step in steps.data] == [
            ("message_creation", "completed"),
            ("tool_calls", "in_progress"),
        ]
        run = answer_calls(client, run)
        assert (run.status, last_text(client, run)) == ("completed", "Good.")


def test_no_call_is_looked_for_where_none_may_be_made(home):
    words = 'See:\n```json\n{"name": "step", "arguments": {"n": 9}}\n```'
    with Client(home, backend=ScriptedBackend(lambda _: words)) as client:
        run = start(client, STEP, tool_choice="none")
        assert (run.status, last_text(client, run)) == ("completed", words)


PICKY = tool("picky", object_of(n={"type": "array", "uniqueItems": True, "maxItems": 3}))


def test_what_the_grammar_cannot_say_is_validated_and_tried_again(home):
    seen = []

    def reply(text):
        seen.append(text)
        if "was called" in text:
            return "Thanks."
        return fenced(("picky", {"n": [1, 2] if "That is not valid" in text else [1, 1]}))

    with Client(home, backend=ScriptedBackend(reply)) as client:
        run = start(client, PICKY)
        assert arguments(run) == [{"n": [1, 2]}]
    assert any("[1, 1] has non-unique elements" in text for text in seen)


def test_calls_that_stay_invalid_fail_the_run_with_words(home):
    with Client(
        home, backend=ScriptedBackend(lambda _: fenced(("picky", {"n": [1, 1]})))
    ) as client:
        run = start(client, PICKY)
        assert run.status == "failed"
        assert "do not fit their schemas" in run.last_error.message
        assert "non-unique" in run.last_error.message
        steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
        assert steps.data == []


def test_a_strict_function_must_be_enforceable(client):
    strict = {**PICKY["function"], "strict": True}
    with pytest.raises(BadRequestError, match="uniqueItems"):
        client.beta.assistants.create(model="gpt-4", tools=[{**PICKY, "function": strict}])
    assert client.beta.assistants.create(model="gpt-4", tools=[PICKY]).tools


def test_one_call_where_parallel_ones_are_not_wanted(home):
    both = fenced(("step", {"n": 1}), ("step", {"n": 2}))
    with Client(home, backend=ScriptedBackend(lambda _: both)) as client:
        assert len(arguments(start(client, STEP))) == 2
        assert len(arguments(start(client, STEP, parallel_tool_calls=False))) == 1


def test_a_list_that_repeats_itself_is_cut(home):
    calls = [("step", {"n": 1}), ("step", {"n": 2}), ("step", {"n": 1}), ("step", {"n": 3})]
    with Client(home, backend=ScriptedBackend(lambda _: fenced(*calls))) as client:
        assert arguments(start(client, STEP)) == [{"n": 1}, {"n": 2}]


@pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are Linux's")
def test_code_and_functions_in_one_run(home):
    def reply(text):
        if text.startswith("Output of the code:"):
            return fenced(("step", {"n": 42}))
        if "was called" in text:
            return "Both done."
        return "```python\nprint(6 * 7)\n```"

    with Client(home, backend=ScriptedBackend(reply)) as client:
        run = start(client, STEP, {"type": "code_interpreter"})
        assert (run.status, run.last_error) == ("requires_action", None)
        assert arguments(run) == [{"n": 42}]
        run = answer_calls(client, run)
        assert (run.status, last_text(client, run)) == ("completed", "Both done.")
        steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc")
        kinds = [
            step.type if step.type == "message_creation" else step.step_details.tool_calls[0].type
            for step in steps.data
        ]
        assert kinds == ["code_interpreter", "function", "message_creation"]
