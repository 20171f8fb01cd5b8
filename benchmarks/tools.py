"""Functions through the whole product: how often the right calls come, and in the right form.

The Berkeley questions go through assistant, run and requires_action, greedily; the same questions
to llama-cpp-python's chat completion. A quiz is asked for with many seeds at temperature 0.7, and
judged: valid, about the tutor's subject, in the form that was asked for, with honest feedback.

    python -m benchmarks.tools --questions FOLDER [--models ...] [--count 50] [--only ...]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import berkeley
from benchmarks.call_time import overheads
from benchmarks.function_runs import QUIZ, QUIZ_REQUEST, TUTOR, ask, calls_of
from localassist import Client, Settings
from localassist.engine.cores import usable_cores
from localassist.engine.json_schema import problems
from localassist.engine.model_files import ModelFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.berkeley import Call, Checker, Question

MODELS = ("qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct")
SEEDS = 20
_MATHS = re.compile(
    r"\d|sum|equation|triangle|prime|square|angle|number|math|algebra|derivative|integral|circle"
    r"|fraction|percent|solve|area|vector|matrix|geometr|pythagor|function|slope|formula",
    re.IGNORECASE,
)


# --- Berkeley ---


def ours(client: Client) -> Callable[[Question], list[Call]]:
    """The calls that a run wants."""

    def answer(question: Question) -> list[Call]:
        run = ask(client, question.functions, question.text, temperature=0)
        if run.status == "failed":
            print(f"  {question.id} failed: {run.last_error and run.last_error.message}")
        calls = calls_of(run)
        schemas = {each["name"]: each["parameters"] for each in question.functions}
        assert not any(problems(given, schemas[name]) for name, given in calls), "not valid"
        return calls

    return answer


def library(path: Path) -> Callable[[Question], list[Call]]:
    """The calls that llama-cpp-python's chat completion returns."""
    from llama_cpp import Llama

    llama: Any = Llama(str(path), n_ctx=8192, verbose=False)

    def answer(question: Question) -> list[Call]:
        reply = llama.create_chat_completion(
            [{"role": "user", "content": question.text}],
            tools=[{"type": "function", "function": each} for each in question.functions],
            tool_choice="auto",
            temperature=0,
            max_tokens=400,
        )
        return _openai_calls(reply)

    return answer


@contextmanager
def native_server(path: Path) -> Iterator[Callable[[Question], list[Call]]]:
    """The calls that xllamacpp's server returns; XLLAMACPP_PYTHON names the Python that has it."""
    options = {"n_ctx": 8192, "n_batch": 512, "slots": 1, "n_threads": usable_cores(), "jinja": 1}
    peer = Path(__file__).with_name("peer_xllamacpp.py")
    command = [os.environ["XLLAMACPP_PYTHON"], str(peer), str(path), json.dumps(options)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    address = process.stdout.readline().strip().removeprefix("http://")

    def answer(question: Question) -> list[Call]:
        body = {
            "messages": [{"role": "user", "content": question.text}],
            "tools": [{"type": "function", "function": each} for each in question.functions],
            "tool_choice": "auto", "temperature": 0, "max_tokens": 400,
        }  # fmt: skip
        connection = http.client.HTTPConnection(address, timeout=120)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        reply = json.loads(connection.getresponse().read())
        return _openai_calls(reply)

    try:
        yield answer
    finally:
        process.stdin.close()
        process.wait()


def _openai_calls(reply: Any) -> list[Call]:
    """The calls of a chat completion; none if their arguments are not JSON."""
    calls = reply["choices"][0]["message"].get("tool_calls") or []
    made = [call["function"] for call in calls]
    try:
        return [(each["name"], json.loads(each["arguments"])) for each in made]
    except ValueError:
        return []


def judge(
    label: str,
    answer: Callable[[Question], list[Call]],
    checker: Checker,
    folder: Path,
    count: int,
    categories: Sequence[str],
) -> None:
    """Print, for each category, how many are right, with their 95 % interval."""
    for category in categories:
        questions = berkeley.load(folder, category, count)
        right, no_call, wrong, started = 0, 0, [], time.perf_counter()
        for question in questions:
            calls = answer(question)
            good = not calls if category == berkeley.UNWANTED else bool(calls)
            no_call += not calls
            if good and calls:
                try:
                    good = checker.right(question, calls)
                except (KeyError, TypeError):
                    good = False
            right += good
            wrong += [] if good else [question.id]
        low, high = berkeley.interval(right, len(questions))
        seconds = (time.perf_counter() - started) / len(questions)
        print(
            f"{label:<24} {category:<18} {right:>3} of {len(questions):<3}"
            f" {right / len(questions):>5.0%}  ({low:.0%} to {high:.0%})"
            f"  no call {no_call:>3}  {seconds:.1f} s each",
            flush=True,
        )
        print(f"    not right: {' '.join(wrong)}" if wrong else "    all right")


# --- quiz ---


def quiz_form(calls: list[Call]) -> dict[str, bool]:
    """What is right about a quiz."""
    valid = len(calls) == 1 and not problems(calls[0][1], QUIZ["parameters"])
    questions = calls[0][1]["questions"] if valid else []
    kinds = Counter(each.get("question_type") for each in questions)
    form = len(questions) == 2 and kinds == {"MULTIPLE_CHOICE": 1, "FREE_RESPONSE": 1}
    for each in questions:
        form &= bool(each.get("choices")) == (each.get("question_type") == "MULTIPLE_CHOICE")
    subject = bool(questions) and all(
        _MATHS.search(f"{each['question_text']} {each.get('choices')}") for each in questions
    )
    return {"valid": valid, "subject": subject, "form": form}


def quiz(client: Client, name: str, seeds: int) -> None:
    """Ask for the quiz with many seeds, and for feedback on two responses that say nothing."""
    counts: Counter[str] = Counter()
    for _ in range(seeds):
        run = ask(client, [QUIZ], QUIZ_REQUEST, instructions=TUTOR, temperature=0.7)
        calls = calls_of(run)
        found = quiz_form(calls)
        counts.update(key for key, value in found.items() if value)
        counts["asked"] += 1
        print(f"  {found} {json.dumps(calls[0][1] if calls else None, ensure_ascii=False)}")
        if not found["valid"]:
            continue
        responses = [
            "a" if each.get("question_type") == "MULTIPLE_CHOICE" else "I don't know."
            for each in calls[0][1]["questions"]
        ]
        action = run.required_action
        assert action is not None
        (call,) = action.submit_tool_outputs.tool_calls
        client.beta.threads.runs.submit_tool_outputs_and_poll(
            run.id,
            run.thread_id,
            tool_outputs=[{"tool_call_id": call.id, "output": json.dumps(responses)}],
        )
        feedback = client.beta.threads.messages.list(run.thread_id).data[0].text
        print(f"    feedback: {feedback[:400]!r}", flush=True)
    asked = counts.pop("asked")
    for key in ("valid", "subject", "form"):
        low, high = berkeley.interval(counts[key], asked)
        print(f"{name:<24} quiz: {key:<10} {counts[key]} of {asked}  ({low:.0%} to {high:.0%})")


def main() -> None:
    """Ask the models of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--count", type=int, default=50, help="questions of each category")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    kinds = ("ours", "library", "server", "quiz", "time")
    parser.add_argument("--only", nargs="+", default=kinds, choices=kinds)
    known = (*berkeley.WANTED, berkeley.UNWANTED)
    parser.add_argument("--categories", nargs="+", default=known, choices=known)
    options = parser.parse_args()
    checker = berkeley.from_environment()
    for name in options.models:
        settings = Settings.from_env()
        path = ModelFiles(settings.models, default=None).resolve(name).path
        if "library" in options.only and checker:
            judge(f"llama-cpp-python {path.stem[14:19]}", library(path), checker,
                  options.questions, options.count, options.categories)  # fmt: skip
        if "server" in options.only and checker and "XLLAMACPP_PYTHON" in os.environ:
            with native_server(path) as answer:
                judge(f"xllamacpp {path.stem[14:19]}", answer, checker, options.questions,
                      options.count, options.categories)  # fmt: skip
        with (
            tempfile.TemporaryDirectory() as home,
            Client(
                settings=Settings(home=Path(home), models=settings.models, model=name)
            ) as client,
        ):
            if "ours" in options.only and checker:
                judge(name[:24], ours(client), checker, options.questions, options.count,
                      options.categories)  # fmt: skip
            if "quiz" in options.only:
                quiz(client, name, options.seeds)
            if "time" in options.only:
                overheads(client, name, options.questions)


if __name__ == "__main__":
    main()
