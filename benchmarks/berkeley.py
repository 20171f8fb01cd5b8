"""Questions of the Berkeley Function-Calling Leaderboard, and its own judgement of answers.

The questions are files of JSON lines in two folders, `questions` and `answers`. Answers are judged
by the package bfcl-eval; BFCL names the folder that it is unpacked in. Of the package only the
checker is loaded: what it imports for other languages and for hosted models is kept out.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WANTED = ("simple_python", "multiple", "parallel", "parallel_multiple")
UNWANTED = "irrelevance"
_TYPES = {
    "dict": "object", "float": "number", "tuple": "array", "any": "string",
}  # fmt: skip
Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """One question; `answer` is empty where no call is wanted."""

    id: str
    category: str
    text: str
    raw_functions: list[dict[str, Any]]
    answer: list[dict[str, Any]]

    @property
    def functions(self) -> list[dict[str, Any]]:
        """The functions as the API takes them."""
        return [
            {
                "name": re.sub(r"[^A-Za-z0-9_-]", "_", each["name"])[:64],
                "description": each["description"],
                "parameters": _schema(each["parameters"]),
            }
            for each in self.raw_functions
        ]


def load(folder: Path, category: str, count: int) -> list[Question]:
    """So many questions, spread evenly over the file."""
    lines = (folder / "questions" / f"{category}.jsonl").read_text("utf-8").splitlines()
    answers = folder / "answers" / f"{category}.jsonl"
    known = {}
    if answers.is_file():
        for line in answers.read_text("utf-8").splitlines():
            entry = json.loads(line)
            known[entry["id"]] = entry["ground_truth"]
    step = max(1, len(lines) // count)
    return [_question(json.loads(line), category, known) for line in lines[::step][:count]]


def _question(entry: dict[str, Any], category: str, known: dict[str, Any]) -> Question:
    text = "\n".join(turn["content"] for turn in entry["question"][0])
    return Question(entry["id"], category, text, entry["function"], known.get(entry["id"], []))


def _schema(schema: Any) -> Any:
    """The leaderboard's own kind of schema as JSON Schema."""
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("optional", "format")}
    if isinstance(kept.get("type"), str):
        kept["type"] = _TYPES.get(kept["type"], kept["type"])
    if isinstance(kept.get("properties"), dict):
        kept["properties"] = {key: _schema(value) for key, value in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = _schema(kept["items"])
    return kept


class Checker:
    """The package's checker of syntax trees."""

    def __init__(self, folder: str) -> None:
        """Load it from where the package is unpacked."""
        sys.path.insert(0, folder)
        for name, content in _STAND_INS.items():
            module = types.ModuleType(name)
            vars(module).update(content)
            sys.modules[name] = module
        from bfcl_eval.constants.enums import Language  # type: ignore[import-not-found]
        from bfcl_eval.eval_checker.ast_eval.ast_checker import (  # type: ignore[import-not-found]
            ast_checker,
        )

        self._language = Language.PYTHON
        self._check = ast_checker

    def right(self, question: Question, calls: Sequence[Call]) -> bool:
        """Whether the calls are those that were wanted."""
        by_name = {each["name"]: each for each in question.functions}
        made = [{name: _floats(args, by_name[name]["parameters"])} for name, args in calls]
        names = {re.sub(r"\.", "_", raw["name"]): raw["name"] for raw in question.raw_functions}
        verdict = self._check(
            question.raw_functions,
            [{_known(name, names): args for name, args in call.items()} for call in made],
            question.answer,
            self._language,
            question.category,
            "ours",
        )
        return bool(verdict["valid"])


def from_environment() -> Checker | None:
    """The checker that BFCL names, or None with a word."""
    folder = os.environ.get("BFCL")
    if folder is None:
        print("skipped: BFCL does not name the folder of the unpacked package bfcl-eval")
        return None
    return Checker(folder)


def interval(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, successes / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = z / (1 + z * z / count)
    spread *= math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, centre - spread), min(1.0, centre + spread)


class _Dotted:
    """A model whose functions have no dots in their names."""

    underscore_to_dot = True


_STAND_INS: dict[str, dict[str, Any]] = {
    "bfcl_eval.constants.model_config": {"MODEL_CONFIG_MAPPING": {"ours": _Dotted}},
    "bfcl_eval.eval_checker.ast_eval.type_convertor.java_type_converter": {
        "java_type_converter": None
    },
    "bfcl_eval.eval_checker.ast_eval.type_convertor.js_type_converter": {"js_type_converter": None},
}


def _known(name: str, names: dict[str, str]) -> str:
    """The name as the checker expects it: with its dots replaced, and nothing else."""
    return name if name in names else next((each for each in names if each[:64] == name), name)


def _floats(value: Any, schema: Any) -> Any:
    """Whole numbers where the schema wants any number: the checker tells 2 from 2.0."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == "object" and isinstance(value, dict):
        properties = schema.get("properties") or {}
        return {key: _floats(each, properties.get(key)) for key, each in value.items()}
    if kind == "array" and isinstance(value, list):
        return [_floats(each, schema.get("items")) for each in value]
    return value
