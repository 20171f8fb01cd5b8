"""A quiz on a real model: called for once, and its responses judged."""

from __future__ import annotations

import json

import pytest
from conftest import SMALL

pytestmark = [pytest.mark.model, pytest.mark.timeout(200)]


QUIZ = {
    "type": "function",
    "function": {
        "name": "display_quiz",
        "description": "Displays a quiz, and returns the responses.",
        "parameters": {
            "type": "object",
            "properties": {
                "title": {"type": "string"},
                "questions": {
                    "type": "array",
                    "description": "Questions, with choices if they are multiple choice.",
                    "items": {
                        "type": "object",
                        "properties": {
                            "question_text": {"type": "string"},
                            "question_type": {
                                "type": "string",
                                "enum": ["MULTIPLE_CHOICE", "FREE_RESPONSE"],
                            },
                            "choices": {"type": "array", "items": {"type": "string"}},
                        },
                        "required": ["question_text"],
                    },
                },
            },
            "required": ["title", "questions"],
        },
    },
}


def test_one_quiz_is_called_for_once(small_client):
    """Behind the list of its questions the model forgets a bracket, which is no further call."""
    request = (
        "Make a quiz with 2 questions: One open ended, one multiple choice. Then, give me feedback "
        "for the responses."
    )
    assistant = small_client.beta.assistants.create(model=SMALL, tools=[QUIZ])
    run = small_client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, temperature=0,
        thread={"messages": [{"role": "user", "content": request}]},
    )  # fmt: skip
    (call,) = run.required_action.submit_tool_outputs.tool_calls
    assert len(json.loads(call.function.arguments)["questions"]) == 2


def test_a_wrong_response_is_not_taken_for_the_right_answer(small_client):
    """Asked with the responses in view, the model says that both of them are right."""
    questions = [
        {
            "question_text": "What is the capital of Norway?",
            "question_type": "MULTIPLE_CHOICE",
            "choices": ["Bergen", "Oslo", "Trondheim"],
        },
        {"question_text": "What is 9 times 7?", "question_type": "FREE_RESPONSE"},
    ]
    arguments = json.dumps({"title": "Quiz", "questions": questions})
    function = {"name": "display_quiz", "arguments": arguments}
    message = small_client.chat.completions.create(
        model=SMALL,
        tools=[QUIZ],
        temperature=0,
        messages=[
            {"role": "user", "content": "Quiz me, and tell me how I did."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": '["a", "56"]'},
        ],
    ).choices[0].message  # fmt: skip
    assert "Oslo" in message.content
    assert "63" in message.content
    assert message.content.lower().count("wrong") == 2, message.content
