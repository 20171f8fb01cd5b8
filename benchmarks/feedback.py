"""Feedback: how often a model praises wrong responses to a quiz, or blames right ones.

Each quiz is put before the model as called and answered, once with right responses only and once
with wrong ones only, at temperature 0.7. What the feedback says is told by words such as *right*
and *wrong*, so read it as well: --show prints it. python -m benchmarks.feedback [--models ...]
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.function_runs import QUIZ
from benchmarks.tools import MODELS
from localassist import Client, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

Quiz = tuple[str, str, list[dict[str, Any]], list[str], list[str]]


def choice(question: str, *choices: str) -> dict[str, Any]:
    """A question with choices, as `display_quiz` shows it."""
    kind = "MULTIPLE_CHOICE"
    return {"question_text": question, "question_type": kind, "choices": [*choices]}


def free(question: str) -> dict[str, Any]:
    """One without."""
    return {"question_text": question, "question_type": "FREE_RESPONSE"}


# The tutor's subject, what is asked for, the questions, right responses and wrong ones.
QUIZZES: list[Quiz] = [
    ("math", "Make a quiz with 2 questions and give me feedback for the responses.",
     [free("What is 7 times 6?"), choice("What is 5 + 2 * 3?", "21", "13", "11", "16")],
     ["42", "c"], ["I don't know", "a"]),
    ("math", "Test me with two questions and tell me how I did.",
     [free("What is the square root of 81?"),
      choice("What is 15 percent of 200?", "20", "30", "35", "40")],
     ["9", "b"], ["8", "c"]),
    ("math", "Ask me two maths questions, and correct my answers.",
     [choice("Solve 3x - 4 = 11.", "x = 3", "x = 4", "x = 5", "x = 7"),
      free("What is 100 divided by 8?")],
     ["c", "12.5"], ["a", "12"]),
    ("geography", "Quiz me on capitals and give me feedback.",
     [free("What is the capital of Norway?"),
      choice("What is the capital of Australia?", "Sydney", "Canberra", "Melbourne", "Perth")],
     ["Oslo", "b"], ["Bergen", "a"]),
    ("science", "Please make a short science quiz, then say what I got right.",
     [choice("Which planet is the largest?", "Earth", "Saturn", "Jupiter", "Mars"),
      free("What gas do plants take in?")],
     ["c", "carbon dioxide"], ["b", "no idea"]),
    ("history", "Two history questions please. Then feedback on the responses.",
     [free("In which year did World War II end?"),
      choice("Who was the first president of the United States?", "Abraham Lincoln",
             "George Washington", "Thomas Jefferson", "John Adams")],
     ["1945", "b"], ["1918", "d"]),
    ("math", "Make a quiz, and give me feedback for the responses.",
     [choice("What is 2 + 3 * 4?", "10", "14", "18", "20"), free("What is the sum of 5 and 9?")],
     ["b", "14"], ["a", "I don't know."]),
    ("spelling", "Check my English with two questions and grade the responses.",
     [choice("Which word is spelled correctly?", "recieve", "receive", "receeve", "riceive"),
      free("What is the plural of child?")],
     ["b", "children"], ["a", "childs"]),
]  # fmt: skip

_DENIED = re.compile(
    r"\b(?:is|are|was|were) not (?:correct|right)|\b(?:does not|do not|doesn't) agree with"
)
_KEY = re.compile(r"\b(?:correct|right) (?:answer|option)")  # what is right, not who
_PRAISE = re.compile(
    r"\b(?:is|are|was|were)(?: also)? (?:correct|right)\b|\bagrees? with\b|\bcorrect[.!]?$"
    r"|: (?:correct|right)\b|\bcorrect:|\bwell done\b|\bgreat job\b",
    re.IGNORECASE | re.MULTILINE,
)
_BLAME = re.compile(r"\bwrong\b|\bincorrect", re.IGNORECASE)


def said(feedback: str) -> tuple[bool, bool]:
    """Whether it calls a response right, and whether it calls one wrong."""
    text = _KEY.sub("solution", _DENIED.sub("is wrong", feedback))
    return bool(_PRAISE.search(text)), bool(_BLAME.search(text))


def feedback(client: Client, name: str, quiz: Quiz, responses: Sequence[str], seed: int) -> str:
    """What the model says of responses."""
    subject, request, questions, _right, _wrong = quiz
    arguments = json.dumps({"title": "Quiz", "questions": questions})
    shown: Any = QUIZ
    function: Any = {"name": QUIZ["name"], "arguments": arguments}
    reply = client.chat.completions.create(
        model=name,
        temperature=0.7,
        seed=seed,
        tools=[{"type": "function", "function": shown}],
        messages=[
            {"role": "system", "content": f"You are a personal {subject} tutor. Be brief."},
            {"role": "user", "content": request},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": json.dumps(list(responses))},
        ],
    )  # fmt: skip
    return reply.choices[0].message.content or ""


def main() -> None:
    """Ask the models of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print all feedback")
    options = parser.parse_args()
    models = Settings.from_env().models
    for name in options.models:
        counts: Counter[str] = Counter()
        with (
            tempfile.TemporaryDirectory() as home,
            Client(settings=Settings(home=Path(home), models=models, model=name)) as client,
        ):
            for quiz in QUIZZES:
                for kind, responses in (("right", quiz[3]), ("wrong", quiz[4])):
                    for seed in range(options.seeds):
                        text = feedback(client, name, quiz, responses, seed)
                        praises, blames = said(text)
                        counts["wrong ones praised"] += kind == "wrong" and praises
                        counts["right ones blamed"] += kind == "right" and blames
                        if options.show:
                            print(f"  {kind}: {responses} -> {text!r}", flush=True)
        asked = len(QUIZZES) * options.seeds
        for key in ("wrong ones praised", "right ones blamed"):
            print(f"{name}: {key} in {counts[key]} of {asked}")


if __name__ == "__main__":
    main()
