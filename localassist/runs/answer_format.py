"""AnswerFormat: what a run's `response_format` makes of its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist.engine.chat_template import ChatMessage
from localassist.engine.constraint import Grammar
from localassist.engine.json_schema import problems
from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from localassist.engine.request import Engine

_OBJECT = "Your answer is read by a program: write nothing but one JSON object."
_SCHEMA = """Your answer is read by a program: write nothing but JSON that fits this schema:
{schema}"""
_REPAIR = """That does not fit: {problems}
Write the answer again."""


@dataclass(frozen=True)
class AnswerFormat:
    """JSON by a schema, a JSON object, or a text.

    Attributes:
        schema: of the answer; None leaves it free.
        told: what the model is told of it.
        strict: refuse what cannot be enforced while the model writes.
    """

    schema: Any = None
    told: str = ""
    strict: bool = False

    def system_text(self, instructions: str | None) -> str | None:
        """The system turn of a model that is to answer in this format."""
        if not self.told:
            return instructions
        return f"{instructions}\n\n{self.told}" if instructions else self.told

    def grammar(self, *, lenient: bool = False) -> Grammar:
        """What an answer by the schema must be."""
        return Grammar("json_schema", json.dumps(self.schema), lenient=lenient)

    def enforced(self, engine: Engine) -> Grammar:
        """As much of it as `engine` can enforce."""
        grammar = self.grammar()
        try:
            engine.constrain(grammar)
        except BadRequestError:
            if self.strict:
                raise
            return self.grammar(lenient=True)
        return grammar

    def wrong(self, text: str) -> str:
        """What of a complete answer does not fit; empty if all of it does."""
        if not is_json(text):
            return "it is not JSON."
        found = problems(json.loads(text), self.schema)
        return " ".join(
            f"at '{each.path}': {each.message}." if each.path else f"{each.message}."
            for each in found
        )

    def repair_turns(self, text: str, wrong: str) -> list[ChatMessage]:
        """What follows an answer that does not fit, for a second try."""
        problems = _REPAIR.format(problems=wrong)
        return [ChatMessage("assistant", text), ChatMessage("user", problems)]


def is_json(text: str) -> bool:
    """Whether a text is JSON, whole and no deeper than Python reads it."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def answer_format(given: Any) -> AnswerFormat:
    """The format that a `response_format` of the API asks for."""
    kind = given.get("type") if isinstance(given, dict) else given
    if kind == "json_object":
        return AnswerFormat({"type": "object"}, _OBJECT)
    if kind != "json_schema":
        return AnswerFormat()
    asked = given["json_schema"]
    schema = asked.get("schema")
    if schema is None:
        schema = {"type": "object"}
    told = _SCHEMA.format(schema=json.dumps(schema, ensure_ascii=False))
    return AnswerFormat(schema, told, strict=bool(asked.get("strict")))
