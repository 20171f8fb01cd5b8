"""max_completion_tokens: what a run's model writes counts together, calls, tries and answer."""

from __future__ import annotations

import json

import pytest
from shapes import WEATHER

from localassist import Client, ScriptedBackend

MAY_CALL = "If my request needs another call"
LEAST = 256
CITY = " ".join(map(str, range(90)))
ANSWER = " ".join(map(str, range(900, 1100)))
MET = ("incomplete", "max_completion_tokens")


def calls_of(*cities):
    calls = [{"name": "weather", "arguments": {"city": city}} for city in cities]
    return "```json\n" + json.dumps(calls)


def asking_for(*cities, answer=ANSWER):
    """A model that asks once for the weather of these cities, and then answers."""

    def reply(text):
        if MAY_CALL in text:
            return "Enough."
        return answer if "was called" in text else calls_of(*cities)

    return ScriptedBackend(reply, n_ctx=16_000)


def start(client, *, tools=(WEATHER,), **params):
    assistant = client.beta.assistants.create(model="gpt-4", tools=list(tools))
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "go"}])
    return client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id, **params)


def cities_of(run):
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [json.loads(call.function.arguments)["city"] for call in calls]


def answer_calls(client, run):
    calls = run.required_action.submit_tool_outputs.tool_calls
    return client.beta.threads.runs.submit_tool_outputs_and_poll(
        run.id,
        run.thread_id,
        tool_outputs=[{"tool_call_id": call.id, "output": "rain"} for call in calls],
    )


def steps_of(client, run):
    return client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc").data


def last_message(client, run):
    return client.beta.threads.messages.list(run.thread_id).data[0]


def ended(run):
    return run.status, run.incomplete_details and run.incomplete_details.reason


def test_the_answer_may_have_what_the_calls_have_left(home):
    with Client(home, backend=asking_for(CITY[:80])) as client:
        run = start(client, max_completion_tokens=300)
        assert run.status == "requires_action"
        run = answer_calls(client, run)
        assert ended(run) == MET
        called, written = (step.usage.completion_tokens for step in steps_of(client, run))
        assert run.usage.completion_tokens == called + written == 300
        message = last_message(client, run)
        assert (message.text, message.status) == (ANSWER[:written], "incomplete")


def test_another_process_counts_what_was_spent_before(home):
    with Client(home, backend=asking_for(CITY)) as client:
        run = start(client, max_completion_tokens=400)
    with Client(home, backend=asking_for(CITY)) as client:
        run = answer_calls(client, run)
        assert ended(run) == MET
        assert run.usage.completion_tokens == 400
        called = steps_of(client, run)[0].usage.completion_tokens
        assert last_message(client, run).text == ANSWER[: 400 - called]


def test_a_run_whose_calls_took_all_writes_no_answer(home):
    with Client(home, backend=asking_for(CITY)) as client:
        (step,) = steps_of(client, start(client))
        limit = step.usage.completion_tokens
        assert limit >= LEAST
        run = start(client, max_completion_tokens=limit)
        assert cities_of(run) == [CITY]
        run = answer_calls(client, run)
        assert ended(run) == MET
        assert run.usage.completion_tokens == limit
        assert last_message(client, run).role == "user"


def test_within_its_limit_a_run_is_completed(home):
    with Client(home, backend=asking_for("Oslo", answer="Rain.")) as client:
        run = answer_calls(client, start(client, max_completion_tokens=LEAST))
        assert ended(run) == ("completed", None)
        assert last_message(client, run).text == "Rain."


@pytest.mark.parametrize(
    "choice", ["auto", "required", {"type": "function", "function": {"name": "weather"}}], ids=str
)
def test_a_limit_that_is_met_inside_a_call_ends_the_run(home, choice):
    with Client(home, backend=asking_for(CITY)) as client:
        run = start(client, max_completion_tokens=LEAST, tool_choice=choice)
        assert (ended(run), run.required_action, run.last_error) == (MET, None, None)
        assert run.usage.completion_tokens == LEAST
        assert steps_of(client, run) == []
        assert last_message(client, run).role == "user"


def test_calls_before_the_one_in_which_the_limit_is_met_are_made(home):
    with Client(home, backend=asking_for("Oslo", "Rome", CITY)) as client:
        run = start(client, max_completion_tokens=LEAST)
        assert cities_of(run) == ["Oslo", "Rome"]
        run = answer_calls(client, run)
        assert ended(run) == MET
        assert run.usage.completion_tokens == LEAST


def test_a_second_try_of_an_answer_has_what_the_first_one_has_left(home):
    unique = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    schema = {"type": "object", "properties": {"n": unique}, "required": ["n"]}
    wrong, right = ([*range(30), 0], [*range(60)])

    def reply(text):
        return json.dumps({"n": right if "does not fit" in text else wrong})

    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    with Client(home, backend=ScriptedBackend(reply)) as client:
        run = start(client, tools=(), response_format=wanted, max_completion_tokens=LEAST)
        assert ended(run) == MET
        assert run.usage.completion_tokens == LEAST
        left = LEAST - len(json.dumps({"n": wrong}))
        assert last_message(client, run).text == json.dumps({"n": right})[:left]


UNIQUE = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
PICKY = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"n": UNIQUE}, "required": ["n"]},
    },
}
TWICE = "```json\n" + json.dumps([{"name": "weather", "arguments": {"n": [*range(30), 0]}}])


def picking(numbers):
    """A model whose first call does not fit, and whose second one has these numbers."""
    call = "```json\n" + json.dumps([{"name": "weather", "arguments": {"n": numbers}}])

    def reply(text):
        if MAY_CALL in text:
            return "Enough."
        if "was called" in text:
            return ANSWER
        return call if "That is not valid" in text else TWICE

    return ScriptedBackend(reply, n_ctx=16_000)


def test_a_limit_that_is_met_inside_a_second_try_of_a_call_ends_the_run(home):
    with Client(home, backend=picking([*range(60)])) as client:
        run = start(client, tools=[PICKY], max_completion_tokens=LEAST)
        assert (ended(run), run.last_error) == (MET, None)
        assert run.usage.completion_tokens == LEAST


def test_a_run_that_goes_on_counts_the_tries_of_its_calls(home):
    with Client(home, backend=picking([*range(20)])) as client:
        run = answer_calls(client, start(client, tools=[PICKY], max_completion_tokens=400))
        assert ended(run) == MET
        assert run.usage.completion_tokens == 400
        called = steps_of(client, run)[0].usage.completion_tokens
        assert called > len(TWICE)
        assert last_message(client, run).text == ANSWER[: 400 - called]


def test_a_run_that_goes_on_counts_the_words_before_its_calls(home):
    words = f"Let me see {CITY[:60]}.\n"
    call = json.dumps({"name": "weather", "arguments": {"city": "Oslo"}})

    def reply(text):
        if MAY_CALL in text:
            return "Enough."
        return ANSWER if "was called" in text else f"{words}```\n{call}"

    with Client(home, backend=ScriptedBackend(reply, n_ctx=16_000)) as client:
        run = start(client, parallel_tool_calls=False, max_completion_tokens=LEAST)
        run = answer_calls(client, run)
        assert ended(run) == MET
        counted = [step.usage.completion_tokens for step in steps_of(client, run)]
        assert (len(counted), sum(counted)) == (3, LEAST)
        assert run.usage.completion_tokens == LEAST
