"""How sure a model is that a call is wanted: the thresholds of the manifest.

For questions that want a call, questions that want none, and conversations in which all calls have
been answered, the logarithm of the probability that the answer begins with a call; and how much the
nearness of a question to its functions adds to that. `--write` puts both into the manifest.

    python -m benchmarks.calibrate_tools --questions FOLDER [--models ...] [--count 40] [--write]
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import berkeley
from benchmarks.harness import ROOT
from localassist import Settings
from localassist.api.runtime import Runtime
from localassist.engine.chat_template import ChatMessage
from localassist.engine.tool_dialect import Call, ToolHabits
from localassist.engine.tool_results import Answered, answered_text, past_text
from localassist.runs.function_calls import offer, shift
from localassist.runs.model_calls import ModelCalls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.berkeley import Question
    from localassist.engine.request import Engine
    from localassist.retrieval.nearness import Nearness

MODELS = ("qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct", "smollm2-135m-instruct")
# Of the wanted calls, by the model's probability alone and together with the nearness: a call that
# is not made is a request that is not met, and weighs more than one that nobody needs.
KEPT = 0.95
KEPT_TOGETHER = 0.975
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
# Conversations of two questions, the first of which was answered by a call, and whether the second
# one wants another. Few, and by hand: the two kinds lie far apart.
PARIS = ("What is the weather in Paris?", "get_weather", {"place": "Paris"}, "18 degrees, sunny",
         "It is 18 degrees and sunny in Paris.")  # fmt: skip
ANN = ("Remind me to call Ann at five.", "set_reminder", {"what": "call Ann", "time": "five"}, "ok",
       "I will remind you to call Ann at five.")  # fmt: skip
NOBU = ("Book a table at Nobu for Friday.", "book_table", {"restaurant": "Nobu", "day": "Friday"},
        '{"status": "booked", "time": "19:00"}', "It is booked for Friday at seven.")  # fmt: skip
FOLLOW_UPS = (
    (PARIS, "And in Berlin?", True),
    (PARIS, "What is the weather in Rome?", True),
    (PARIS, "Now I want to know how it will be there tomorrow.", True),
    (PARIS, "Please set a reminder to take my sunglasses at noon.", True),
    (ANN, "Please make it six.", True),
    (ANN, "And remind me to buy milk at seven.", True),
    (ANN, "What is the weather like in Oslo today?", True),
    (NOBU, "Do the same for Saturday, please.", True),
    (NOBU, "Book one at Luigi's for Sunday too.", True),
    (PARIS, "Thank you!", False),
    (PARIS, "Is that warm enough for a T-shirt?", False),
    (PARIS, "Why is the sky blue?", False),
    (ANN, "Who wrote Hamlet?", False),
    (ANN, "That is great, you are kind.", False),
    (ANN, "How are you today?", False),
    (NOBU, "What does sushi mean?", False),
    (NOBU, "Good. What should I wear there?", False),
    (NOBU, "Write a haiku about the evening.", False),
)
# The same, where the first question was answered in words.
TALKED = tuple(
    ((asked, answer), then, calls)
    for asked, answer in (
        ("Who wrote Hamlet?", "William Shakespeare wrote Hamlet."),
        ("Hello, how are you?", "Hello! I am fine. How can I help you?"),
        ("Help me to solve 3x + 11 = 14.", "Take 11 off both sides and divide by 3: x = 1."),
        ("Book a table for two tonight.", "At which restaurant?"),
    )
    for then, calls in (
        ("What is the weather in Paris?", True),
        ("Please remind me to call Ann at five.", True),
        ("I want a table at Luigi's for two.", True),
        ("Who wrote Faust?", False),
        ("Thank you!", False),
        ("Why is that so?", False),
        ("How many planets are there?", False),
    )
)
FOLLOW_UP_FUNCTIONS = [
    {"name": name, "description": says, "parameters": {"type": "object", "properties": {
        key: {"type": "string"} for key in keys}, "required": list(keys[:1])}}
    for name, says, keys in (
        ("get_weather", "The weather of a place.", ("place", "day")),
        ("set_reminder", "Reminds the user of something at some time.", ("what", "time")),
        ("book_table", "Books a table in a restaurant.", ("restaurant", "day", "time", "people")),
    )
]  # fmt: skip
WEIGHTS = (1.0, 2.0, 3.0, 4.0)  # of the nearness
CENTRES = tuple(round(0.3 + 0.02 * step, 2) for step in range(16))  # cosines that say nothing
# The smallest is taken that is so nearly the best: what is far in another way than these questions
# are should still be called where the model is sure.
NEARLY = 0.005


@dataclass(frozen=True)
class Seen:
    """A question: the logarithm of a call's probability, and the cosine to the nearest function."""

    logprob: float
    cosine: float | None

    def score(self, weight: float, centre: float) -> float:
        """What is compared with the threshold."""
        if self.cosine is None:
            return self.logprob
        habits = ToolHabits(near_weight=weight, near_centre=centre)
        return self.logprob + habits.shift(self.cosine)


@dataclass(frozen=True)
class Followed:
    """A second question: the same logarithm, and all that was asked."""

    logprob: float
    asked: Sequence[str]


class Calibration:
    """Measures one model."""

    def __init__(self, engine: Engine, nearness: Nearness) -> None:
        self._engine = engine
        self._nearness = nearness
        self._model = ModelCalls(engine, is_over=lambda: False)
        self._opener = engine.encode_frame(engine.tools.dialect.opener)[0]

    def seen(self, question: Question, text: str) -> Seen:
        """A call as the answer to `text`, with the question's functions in view."""
        offers = [offer(each) for each in question.functions]
        logprob = self._logprob(question.functions, [ChatMessage("user", text)])
        return Seen(logprob, self._nearness.nearest(text, offers))

    def follow_up(self, first: tuple[str, str, dict[str, str], str, str], then: str) -> Followed:
        """A call as the answer to `then`, as runs show what was called before."""
        asked, name, arguments, output, answer = first
        call = Call(name, json.dumps(arguments))
        turns = [
            ChatMessage("user", asked),
            ChatMessage("assistant", self._engine.tools.dialect.written([call])),
            ChatMessage("user", past_text([Answered(call, output)])),
            ChatMessage("assistant", answer),
            ChatMessage("user", then),
        ]
        return Followed(self._logprob(FOLLOW_UP_FUNCTIONS, turns), [asked, then])

    def talked(self, first: tuple[str, str], then: str) -> Followed:
        """A call as the answer to `then`, after an answer in words."""
        asked, answer = first
        turns = [
            ChatMessage("user", asked),
            ChatMessage("assistant", answer),
            ChatMessage("user", then),
        ]
        return Followed(self._logprob(FOLLOW_UP_FUNCTIONS, turns), [asked, then])

    def shift(self, decision: Decision, asked: Sequence[str]) -> float:
        """What the meaning of a second question adds."""
        habits = ToolHabits(near_weight=decision.weight, near_centre=decision.centre)
        return shift(habits, self._nearness, asked, FOLLOW_UP_FUNCTIONS)

    def logprob_when_answered(self, question: Question) -> float:
        """Of another call, when all that were wanted have been made."""
        answered = answered_text(_answers(question), may_call=True)
        turns = [ChatMessage("user", question.text), ChatMessage("user", answered)]
        return self._logprob(question.functions, turns)

    def _logprob(self, functions: list[dict[str, Any]], turns: Sequence[ChatMessage]) -> float:
        system = self._engine.tools.dialect.system_text(None, functions)
        prompt = self._engine.encode_chat([ChatMessage("system", system), *turns])
        return self._model.first_logprob(prompt, self._opener)


def _answers(question: Question) -> list[Answered]:
    """The wanted calls, each with an output that says that it was done."""
    answered = []
    for each in question.answer:
        for name, values in each.items():
            arguments = {key: value[0] for key, value in values.items() if value[0] != ""}
            call = Call(re.sub(r"[^A-Za-z0-9_-]", "_", name), json.dumps(arguments))
            answered.append(Answered(call, json.dumps({"status": "done", "result": 42})))
    return answered


@dataclass(frozen=True)
class Decision:
    """How a call is decided on, and the questions that it is judged by."""

    weight: float
    centre: float
    wanted: Sequence[Seen]
    unwanted: Sequence[Seen]

    def score(self, seen: Seen) -> float:
        """What is compared with the threshold."""
        return seen.score(self.weight, self.centre)

    def threshold(self) -> float:
        """Where most of the unwanted lie below, of all places that keep enough of the wanted."""
        ordered = sorted(map(self.score, self.wanted))
        highest = ordered[int((1 - KEPT) * len(ordered))]
        places = [value - 0.01 for value in ordered if value <= highest]
        return max(places, key=self.right)

    def right(self, threshold: float) -> float:
        """The part of the wanted that is kept and that of the unwanted that is declined."""
        declined = sum(self.score(each) <= threshold for each in self.unwanted)
        return self.kept(threshold) + declined / len(self.unwanted)

    def kept(self, threshold: float) -> float:
        """The part of the wanted that is kept."""
        return sum(self.score(each) > threshold for each in self.wanted) / len(self.wanted)

    def area(self) -> float:
        """Under the curve: how often a wanted call is the likelier one of two."""
        pairs = [(self.score(a), self.score(b)) for a in self.wanted for b in self.unwanted]
        return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)


def calibrate(name: str, folder: Path, count: int) -> dict[str, float]:
    """Measure a model, print what was seen, return the manifest's keys."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.from_env()
        runtime = Runtime(Settings(home=Path(home), models=settings.models, model=name))
        try:
            with runtime.engines.use(name) as engine:
                model = Calibration(engine, runtime.retrieval.nearness)
                return _measured(name, model, folder, count)
        finally:
            runtime.close()


def _measured(name: str, model: Calibration, folder: Path, count: int) -> dict[str, float]:
    asked = [q for kind in berkeley.WANTED for q in berkeley.load(folder, kind, count)]
    wanted = [model.seen(each, each.text) for each in asked]
    off_topic = berkeley.load(folder, berkeley.UNWANTED, 2 * count)
    unwanted = [model.seen(each, each.text) for each in off_topic]
    chat = [
        model.seen(asked[index * len(asked) // len(CHAT)], text) for index, text in enumerate(CHAT)
    ]
    done = [model.logprob_when_answered(each) for each in asked[:: max(1, count // 10)]]
    alone = Decision(weight=0.0, centre=0.0, wanted=wanted, unwanted=[*unwanted, *chat])
    # Where nothing is known of the meaning, the threshold is that of the probability alone.
    call_above = alone.threshold()
    near = _together(alone, call_above)
    ordered = sorted(done)
    # Never easier than the first call.
    again_above = max(call_above, ordered[min(len(ordered) - 1, int((1 - AGAIN) * len(ordered)))])
    for label, each in (("alone", alone), ("with nearness", near)):
        print(f"{name}, {label}: area under the curve {each.area():.3f}")
        for kind, seen in (("wanted", wanted), ("off topic", unwanted), ("chat", chat)):
            called = sum(each.score(one) > call_above for one in seen) / len(seen)
            print(f"  above {call_above:.2f}: {called:.1%} of {len(seen)} called: {kind}")
    later_above, talked_above = measured_later(name, model, near)
    again = sum(value > again_above for value in done) / len(done)
    print(f"  above {again_above:.2f}: {again:.0%} of {len(done)} answered ones call again")
    return {
        "call_above": round(call_above, 2),
        "again_above": round(min(again_above, -0.01), 2),
        "talked_above": round(min(talked_above, -0.01), 2),
        "later_above": round(min(later_above, -0.01), 2),
        "near_weight": near.weight,
        "near_centre": near.centre,
    }


def _together(alone: Decision, threshold: float) -> Decision:
    """The decision with the nearness by which most is decided rightly."""

    def by_kept(each: Decision) -> tuple[bool, float]:
        return each.kept(threshold) >= KEPT_TOGETHER, each.right(threshold)

    tried = [
        max((replace(alone, weight=weight, centre=centre) for centre in CENTRES), key=by_kept)
        for weight in WEIGHTS
    ]
    enough, best = max(map(by_kept, tried))
    return next(
        each for each in tried
        if by_kept(each)[0] == enough and each.right(threshold) >= best - NEARLY
    )  # fmt: skip


def measured_later(name: str, model: Calibration, decision: Decision) -> tuple[float, float]:
    """The thresholds of second questions: with earlier calls in view, and with words alone."""

    def scores(label: str, seen: Sequence[tuple[Followed, bool]]) -> float:
        return _between(
            f"{name}, {label}",
            [(one.logprob + model.shift(decision, one.asked), calls) for one, calls in seen],
        )

    called = [(model.follow_up(first, then), calls) for first, then, calls in FOLLOW_UPS]
    talked = [(model.talked(first, then), calls) for first, then, calls in TALKED]
    return scores("after calls", called), scores("after words", talked)


def _between(label: str, seen: Sequence[tuple[float, bool]]) -> float:
    """The middle of the widest gap that most questions lie on the right side of."""
    scored = sorted(seen)
    scores = [score for score, _ in scored]

    def right(place: float) -> int:
        return sum((score > place) == calls for score, calls in scored)

    gaps = [(high - low, (high + low) / 2) for low, high in itertools.pairwise(scores)]
    best = max(right(middle) for _, middle in gaps)
    _, middle = max(gap for gap in gaps if right(gap[1]) == best)
    print(f"{label}: above {middle:.2f}, {best} of {len(scored)} right")
    for calls in (True, False):
        values = " ".join(f"{score:.2f}" for score, wanted in scored if wanted == calls)
        print(f"  {'wanted' if calls else 'not wanted'}: {values}")
    return middle


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
