"""Runs that are to call functions, and the document's quiz."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.berkeley import Call
    from localassist import Client
    from localassist.types.run import Run

TUTOR = "You are a personal math tutor. Answer questions briefly, in a sentence or less."
QUIZ_REQUEST = (
    "Make a quiz with 2 questions: One open ended, one multiple choice. Then, give me feedback for "
    "the responses."
)
QUIZ = {
    "name": "display_quiz",
    "description": "Displays a quiz to the student, and returns the student's responses.",
    "parameters": {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "questions": {
                "type": "array",
                "description": "The questions, with choices if they are multiple choice.",
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
}


def ask(client: Client, functions: list[Any], text: str, **params: Any) -> Run:
    """A run that rests or has ended."""
    assistant = client.beta.assistants.create(
        model="gpt-4",
        tools=[{"type": "function", "function": each} for each in functions],
        instructions=params.pop("instructions", None),
    )
    return client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": text}]},
        poll_interval_ms=5,
        **params,
    )


def calls_of(run: Run) -> list[Call]:
    """What a run wants called."""
    if run.required_action is None:
        return []
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]
