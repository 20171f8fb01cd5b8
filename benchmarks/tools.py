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
from benchmarks.harness import report
from localassist import Client, Settings
from localassist.engine.governor import usable_cores
from localassist.engine.json_schema import problems
from localassist.engine.model_files import ModelFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.berkeley import Call, Checker, Question
    from localassist.types.run import Run

MODELS = ("qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct")
SEEDS = 20
_TIMED = 12  # calls of each kind
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
_MATHS = re.compile(
    r"\d|sum|equation|triangle|prime|square|angle|number|math|algebra|derivative|integral|circle"
    r"|fraction|percent|solve|area|vector|matrix|geometr|pythagor|function|slope|formula",
    re.IGNORECASE,
)


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


# --- time ---


def overheads(client: Client, name: str, folder: Path) -> None:
    """Print a call's time over the model's own: of one function, and where there are several."""
    asked = [([QUIZ], f"Round {number}. {QUIZ_REQUEST}") for number in range(_TIMED)]
    # What is loaded or measured once in a process is no part of a call's time.
    started = time.perf_counter()
    ask(client, [QUIZ, {**QUIZ, "name": "show"}], QUIZ_REQUEST, tool_choice="required")
    print(f"{name}: the first call of the process {time.perf_counter() - started:.1f} s")
    overhead(client, name, "one function", asked)
    for category in ("multiple", "parallel_multiple"):
        questions = berkeley.load(folder, category, _TIMED)
        asked = [(each.functions, each.text) for each in questions]
        overhead(client, name, category, asked)


def overhead(
    client: Client, name: str, label: str, asked: Sequence[tuple[list[dict[str, Any]], str]]
) -> None:
    """Print calls' time over that of the model alone: its prompt, and as many tokens.

    As many as it has written, or as the calls have that were made of them.
    """
    from localassist.engine.request import GenerationRequest
    from localassist.engine.tool_dialect import Call as Written

    runtime = client._runtime  # both sides in one process, on one model
    of_written, of_made = [], []
    with runtime.engines.use(name) as engine:
        for number, (functions, text) in enumerate(asked):
            started = time.perf_counter()
            run = ask(
                client, functions, text, instructions=TUTOR, tool_choice="required", temperature=0
            )
            took = time.perf_counter() - started
            steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
            usage = steps.data[0].usage
            assert usage is not None
            # Another beginning, or the cache would know the prompt.
            prompt = [*engine.encode_text(f"{label} {number}"), *engine.encode_text("sea " * 4000)]
            made_calls = [Written(called, json.dumps(given)) for called, given in calls_of(run)]
            made = len(engine.encode_text(engine.tools.dialect.written(made_calls)))
            started = time.perf_counter()
            own = []
            for event in engine.submit(
                GenerationRequest(
                    prompt_tokens=prompt[: usage.prompt_tokens],
                    max_tokens=max(usage.completion_tokens, made),
                )
            ):
                own += [time.perf_counter() - started] * event.num_tokens
            if len(own) < max(usage.completion_tokens, made):
                print(f"{name}: {label} {number} is left out: the model alone stopped early")
                continue
            of_written.append(took / own[usage.completion_tokens - 1])
            of_made.append(took / own[made - 1])
    report(f"{name}: {label}, calls over the model's own time", of_written, unit="")
    report(f"{name}: {label}, over that for the calls made alone", of_made, unit="")


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
