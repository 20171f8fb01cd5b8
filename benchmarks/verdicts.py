"""Verdicts: how many questions a model answers rightly beforehand, and tells right responses from.

Both go through `runs/verdicts.py` as a run's results do: choices whose right one is the response,
and free responses to questions that give their answer. python -m benchmarks.verdicts [--models ...]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.tools import MODELS
from localassist import Settings
from localassist.api.runtime import Runtime
from localassist.engine.paired import Paired
from localassist.runs.model_calls import ModelCalls
from localassist.runs.verdicts import Verdicts

# The question, the choices, and which one is right.
CHOICES: list[tuple[str, list[str], int]] = [
    ("What is 5 + 2 * 3?", ["21", "13", "11", "16"], 2),
    ("What is 15 percent of 200?", ["20", "30", "35", "40"], 1),
    ("Solve 3x - 4 = 11.", ["x = 3", "x = 4", "x = 5", "x = 7"], 2),
    ("What is the capital of Australia?", ["Sydney", "Canberra", "Melbourne", "Perth"], 1),
    ("Which planet is the largest?", ["Earth", "Saturn", "Jupiter", "Mars"], 2),
    ("Who was the first president of the United States?",
     ["Abraham Lincoln", "George Washington", "Thomas Jefferson", "John Adams"], 1),
    ("What is 2 + 3 * 4?", ["10", "14", "18", "20"], 1),
    ("Which word is spelled correctly?", ["recieve", "receive", "receeve", "riceive"], 1),
    ("What is 12 * 12?", ["124", "144", "142", "154"], 1),
    ("Which of these is a prime number?", ["21", "27", "29", "33"], 2),
    ("What is the value of 2^5?", ["10", "16", "25", "32"], 3),
    ("How many degrees has a triangle?", ["90", "180", "270", "360"], 1),
    ("What is 7/8 as a decimal?", ["0.78", "0.875", "0.8", "0.785"], 1),
    ("Which gas is most of the air?", ["Oxygen", "Nitrogen", "Carbon dioxide", "Argon"], 1),
    ("Which is the longest river of Europe?", ["Rhine", "Danube", "Volga", "Loire"], 2),
    ("What is the chemical symbol of gold?", ["Go", "Gd", "Au", "Ag"], 2),
    ("Which of these is a verb?", ["table", "run", "green", "slowly"], 1),
    ("What is the past tense of go?", ["goed", "gone", "went", "going"], 2),
    ("Solve 2x + 3 = 7.", ["x = 1", "x = 2", "x = 3", "x = 5"], 1),
    ("What is the area of a rectangle of 4 by 6?", ["10", "20", "24", "28"], 2),
    ("What is the square root of 144?", ["10", "11", "12", "14"], 2),
    ("Which ocean is the largest?", ["Atlantic", "Indian", "Arctic", "Pacific"], 3),
    ("What is 30% of 50?", ["10", "15", "20", "25"], 1),
    ("What is 100 - 37?", ["63", "73", "67", "53"], 0),
    ("Which animal is a mammal?", ["shark", "dolphin", "trout", "frog"], 1),
    ("Who painted the Mona Lisa?",
     ["Michelangelo", "Raphael", "Leonardo da Vinci", "Titian"], 2),
    ("What is the derivative of x^2?", ["x", "2x", "x^2", "2"], 1),
    ("What is 9 * 8?", ["63", "72", "81", "64"], 1),
]  # fmt: skip
# The question, its answer, right responses, and wrong ones.
FREE: list[tuple[str, str, list[str], list[str]]] = [
    ("What is the capital of Norway?", "Oslo",
     ["Oslo.", "It is Oslo", "oslo", "I think Oslo"], ["Bergen", "Stockholm", "maybe Bergen"]),
    ("What is the plural of child?", "children",
     ["Children", "the children"], ["childs", "childrens"]),
    ("In which year did World War II end?", "1945", ["1945", "in 1945", "'45"], ["1918", "1944"]),
    ("What gas do plants take in?", "Carbon dioxide",
     ["CO2", "carbon dioxide"], ["oxygen", "air", "no idea", "nitrogen"]),
    ("Why is the sky blue?", "Rayleigh scattering",
     ["Because air scatters blue light more than red.", "Because of the scattering of light"],
     ["Because the sea is reflected.", "God made it so"]),
    ("Who wrote Hamlet?", "William Shakespeare",
     ["Shakespeare", "W. Shakespeare"], ["Goethe", "Marlowe", "I don't know"]),
    ("What is the square root of 81?", "9", ["9", "nine"], ["8", "+9 or -9", "81"]),
    ("What is 3/4 as a decimal?", "0.75", ["0.75", ".75", "0,75", "75%"], ["0.34", "0.7"]),
    ("How does one say 'dog' in French?", "chien",
     ["chien", "le chien", "un chien"], ["chat", "dog"]),
    ("What is the derivative of x^2?", "2x", ["2x", "2*x", "2 x"], ["x", "2", "x^2/2"]),
]  # fmt: skip


def main() -> None:
    """Ask the models of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    models = Settings.from_env().models
    for name in parser.parse_args().models:
        with tempfile.TemporaryDirectory() as home:
            runtime = Runtime(Settings(home=Path(home), models=models, model=name, n_ctx=4096))
            try:
                with runtime.engines.use(name) as engine:
                    judge(name, ModelCalls(engine, is_over=lambda: False))
                    compare(name, ModelCalls(engine, is_over=lambda: False))
            finally:
                runtime.close()


def judge(name: str, model: ModelCalls) -> None:
    """How many questions with choices the model answers rightly."""
    wrong = []
    for question, choices, right in CHOICES:
        told = Verdicts(model)(Paired({"question": question, "choices": choices}, choices[right]))
        if told is None or "is right" not in told:
            wrong.append(f"{question} {told}")
    print(f"{name}: answered rightly {len(CHOICES) - len(wrong)} of {len(CHOICES)}: {wrong}")


def compare(name: str, model: ModelCalls) -> None:
    """How many free responses are told right from wrong, and of how many nothing is told."""
    right, silent, wrong = 0, 0, []
    for question, answer, good, bad in FREE:
        for response in (*good, *bad):
            # As its own answer: what there is to know is given.
            told = Verdicts(model)(Paired({"question": question, "answer": answer}, response))
            if told is None or "Verdict" not in told:
                silent += 1
            elif ("is right" in told) == (response in good):
                right += 1
            else:
                wrong.append(f"{response} for {answer}")
    count = right + silent + len(wrong)
    print(f"{name}: compared rightly {right} of {count}, not compared {silent}, wrongly: {wrong}")


if __name__ == "__main__":
    main()
