"""How sure a model is that a call is wanted: the thresholds of the manifest.

For questions that want a call, questions that want none, and conversations in which all calls have
been answered, the logarithm of the probability that the answer begins with a call. `--write` puts
the thresholds into the manifest.

    python -m benchmarks.calibrate_tools --questions FOLDER [--models ...] [--count 40] [--write]
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import berkeley
from benchmarks.harness import ROOT
from localassist import Settings
from localassist.api.runtime import Runtime
from localassist.engine.chat_template import ChatMessage
from localassist.engine.tool_dialect import Call
from localassist.engine.tool_results import Answered, answered_text
from localassist.runs.model_calls import ModelCalls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.berkeley import Question
    from localassist.engine.request import Engine

MODELS = ("qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct", "smollm2-135m-instruct")
KEPT = 0.95  # of the wanted calls
AGAIN = 0.05  # of the answered conversations may call once more
# What people say to an assistant that has functions, and that none of them is for.
CHAT = (
    "Thank you!",
    "Could you explain linear algebra to me?",
    "I need to solve the equation `3x + 11 = 14`. Can you help me?",
    "Who wrote Hamlet?",
    "What is 17 * 6?",
    "Hello, who are you?",
    "Write a haiku about rain.",
    "Summarise what we have talked about.",
    "Translate 'good morning' into French.",
    "Why is the sky blue?",
)


class Calibration:
    """Measures one model."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._model = ModelCalls(engine, is_over=lambda: False)
        self._opener = engine.encode_frame(engine.tools.dialect.opener)[0]

    def logprob(self, question: Question, text: str, *, answered: bool = False) -> float:
        """Of a call as the answer to `text`, with the question's functions in view."""
        turns = [
            ChatMessage("system", self._engine.tools.dialect.system_text(None, question.functions)),
            ChatMessage("user", text),
        ]
        if answered:
            turns.append(ChatMessage("user", answered_text(_answers(question), may_call=True)))
        return self._model.first_logprob(self._engine.encode_chat(turns), self._opener)


def _answers(question: Question) -> list[Answered]:
    """The wanted calls, each with an output that says that it was done."""
    answered = []
    for each in question.answer:
        for name, values in each.items():
            arguments = {key: value[0] for key, value in values.items() if value[0] != ""}
            call = Call(re.sub(r"[^A-Za-z0-9_-]", "_", name), json.dumps(arguments))
            answered.append(Answered(call, json.dumps({"status": "done", "result": 42})))
    return answered


def threshold(wanted: Sequence[float], unwanted: Sequence[float]) -> float:
    """Where most of the unwanted lie below, of all places that keep enough of the wanted."""
    ordered = sorted(wanted)
    highest = ordered[int((1 - KEPT) * len(ordered))]
    places = [value for value in ordered if value <= highest]

    def gain(place: float) -> float:
        kept = sum(value >= place for value in wanted) / len(wanted)
        declined = sum(value < place for value in unwanted) / len(unwanted)
        return kept + declined

    return max(places, key=gain) - 0.01


def area(wanted: Sequence[float], unwanted: Sequence[float]) -> float:
    """Of the curve: how often a wanted call is the likelier one of two."""
    pairs = [(a > b) + 0.5 * (a == b) for a in wanted for b in unwanted]
    return sum(pairs) / len(pairs)


def calibrate(name: str, folder: Path, count: int) -> dict[str, float]:
    """Measure a model, print what was seen, return the manifest's keys."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.from_env()
        runtime = Runtime(Settings(home=Path(home), models=settings.models, model=name))
        try:
            with runtime.engines.use(name) as engine:
                return _measured(name, Calibration(engine), folder, count)
        finally:
            runtime.close()


def _measured(name: str, model: Calibration, folder: Path, count: int) -> dict[str, float]:
    asked = [q for kind in berkeley.WANTED for q in berkeley.load(folder, kind, count)]
    wanted = [model.logprob(each, each.text) for each in asked]
    off_topic = berkeley.load(folder, berkeley.UNWANTED, 2 * count)
    unwanted = [model.logprob(each, each.text) for each in off_topic]
    chat = [
        model.logprob(asked[index * len(asked) // len(CHAT)], text)
        for index, text in enumerate(CHAT)
    ]
    done = [model.logprob(each, each.text, answered=True) for each in asked[:: max(1, count // 10)]]
    call_above = threshold(wanted, [*unwanted, *chat])
    ordered = sorted(done)
    # Never easier than the first call.
    again_above = max(call_above, ordered[min(len(ordered) - 1, int((1 - AGAIN) * len(ordered)))])
    kept = sum(value > call_above for value in wanted) / len(wanted)
    print(f"{name}: area under the curve {area(wanted, [*unwanted, *chat]):.3f}")
    print(f"  above {call_above:.2f}: {kept:.1%} of {len(wanted)} wanted calls are made,")
    for kind, values in (("off topic", unwanted), ("chat", chat)):
        declined = sum(value <= call_above for value in values) / len(values)
        print(f"  {declined:.1%} of {len(values)} questions declined: {kind}")
    again = sum(value > again_above for value in done) / len(done)
    print(f"  above {again_above:.2f}: {again:.0%} of {len(done)} answered ones call again")
    for kind, values in (
        ("wanted", wanted),
        ("off topic", unwanted),
        ("chat", chat),
        ("done", done),
    ):
        print(f"  {kind}: {' '.join(f'{value:.2f}' for value in sorted(values))}")
    return {"call_above": round(call_above, 2), "again_above": round(min(again_above, -0.01), 2)}


def write(name: str, keys: dict[str, Any]) -> None:
    """Put the keys into the manifest, at the end of the model's tables."""
    path = ROOT / "models" / "manifest.toml"
    text = path.read_text("utf-8")
    head, _, rest = text.partition(f'name = "{name}"')
    entry, mark, after = rest.partition("\n[[model]]")
    entry = re.sub(r"\n\[model\.tools\]\n(?:[a-z_]+ = .*\n)*", "", entry)
    table = "\n[model.tools]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
    entry = entry.replace("\n[model.packages]", f"{table}\n[model.packages]", 1)
    path.write_text(f'{head}name = "{name}"{entry}{mark}{after}', "utf-8")


def main() -> None:
    """Calibrate the models of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--count", type=int, default=40, help="questions of each kind")
    parser.add_argument("--write", action="store_true", help="into models/manifest.toml")
    options = parser.parse_args()
    for name in options.models:
        keys = calibrate(name, options.questions, options.count)
        if options.write:
            write(name, {"dialect": '"fence"', **keys})


if __name__ == "__main__":
    main()
