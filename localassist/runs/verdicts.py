"""Verdicts: whether the responses to a test's items are right, found out before the model tells.

A small model that sees a response takes it for the answer: shown 8 as the square root of 81, it
says that 8 is right. So each item is answered without its response first, and then compared.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from math import exp, log
from typing import TYPE_CHECKING

from localassist.engine.chat_template import ChatMessage
from localassist.engine.paired import option_named, trimmed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.engine.paired import Paired
    from localassist.engine.tool_results import Answered
    from localassist.runs.model_calls import ModelCalls

# What a list of items is a test by; else nobody asked for verdicts, or none of them is right.
_TEST = re.compile(
    r"\bquiz|\btrivia\b|\briddles?\b|\bexams?\b|\bexamination|\bflash ?cards?\b|\bvocabulary test"
    r"|\b(?:correct|grade|mark|test) (?:me|my|us|our|them|their|the (?:responses|answers))\b",
    re.IGNORECASE,
)
# What only somebody can answer who has read something; of the model, that is its answer.
_GIVEN = re.compile(
    r"\b(?:above|article|attached|book|chapter|document|file|notes|passage|pdf|story|text)s?\b",
    re.IGNORECASE,
)
_LONGEST_GIVEN = 300  # characters of a request or an argument; more is such a text
_NAME_PART_END = re.compile(r"[_\-]+|(?<=[a-z])(?=[A-Z])")
# Options are shown only where the answer is none of them: of 28 questions written by hand the 1.5B
# answers 27 rightly so and 20 with them in view, the 0.5B 23 and 12 to 15.
_ASK = "{question}\nAnswer in as few words as possible."
_ASK_WHICH = "{question}\n{options}\nWhich is right? Write only its text."
_MOST_ITEM_CHARS = 800
_MOST_ANSWER_TOKENS = 40
_MOST_ANSWER_CHARS = 80  # more is an essay, which others may answer in other words
_MOST_ASKED = 32  # questions of a test; those behind them are left to the answer
_LEAST_WORDS = 3  # of an item that is neither a question nor has options
_COMPARE = """Question: {question}
Right answer: {known}
Response: {response}
Is the response right? Reply with yes or no."""
_YES, _NO = ("Yes", "yes"), ("No", "no")
# Logarithm of the odds of a yes. Of 53 responses written by hand the 1.5B tells 50 apart so; the
# 0.5B does not even say yes to the right answer itself, and then gives no verdict.
_SURE = 1.0
_MOST_RESPONSE_CHARS = 300
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


class Verdicts:
    """Judges items beside their responses. Used by one run's worker.

    Called with a pair, it returns a sentence, or None where it cannot tell.
    """

    def __init__(self, model: ModelCalls) -> None:
        """Judge nothing yet."""
        self._model = model
        self._known: dict[str, str] = {}

    @classmethod
    def of_test(
        cls, model: ModelCalls, answered: Sequence[Answered], request: str
    ) -> Verdicts | None:
        """Those of functions' results, if they are those of a test.

        Args:
            model: answers the items.
            answered: the functions' calls.
            request: what is wanted.

        Returns:
            None if neither that nor the functions' names say that it is a test, or if it is one
            of something that was given to read.
        """
        names = [_NAME_PART_END.sub(" ", each.call.name) for each in answered]
        is_test = answered and any(_TEST.search(text) for text in (request, *names))
        given = len(request) > _LONGEST_GIVEN or _GIVEN.search(request)
        if not is_test or given or any(_has_text(each) for each in answered):
            return None
        return cls(model)

    def __call__(self, pair: Paired) -> str | None:
        """The verdict on a response.

        Raises:
            Interrupted: the run is to stop.
        """
        if not _is_question(pair):
            return None
        answer = pair.key or self._answer(_ASK.format(question=pair.question))
        if not pair.options:
            known = trimmed(answer)
            if not known or len(known) > _MOST_ANSWER_CHARS:
                return None
            return _told(self._says(pair, known), known=known)
        index = self._option(pair, answer)
        if index is None:
            return None
        known = pair.option(index)
        named = option_named(_text(pair), pair.options)
        if named is None:
            return _told(self._says(pair, known), known=known)
        return _told(pair.options[named] == pair.options[index], known=known)

    def _option(self, pair: Paired, answer: str) -> int | None:
        """The option that an answer is, or else the one that the model chooses."""
        index = option_named(answer, pair.options)
        if index is not None:
            return index
        options = "\n".join(pair.option(place) for place in range(len(pair.options)))
        which = _ASK_WHICH.format(question=pair.question, options=options)
        return option_named(self._answer(which), pair.options)

    def _answer(self, question: str) -> str:
        """The model's own answer, its first line."""
        if question not in self._known:
            tokens = self._encoded(question) if len(self._known) < _MOST_ASKED else []
            said = self._model.reply(tokens, max_tokens=_MOST_ANSWER_TOKENS) if tokens else ""
            self._known[question] = said.strip().split("\n", 1)[0]
        return self._known[question]

    def _says(self, pair: Paired, known: str) -> bool | None:
        """Whether a response says what is known; None if the model cannot tell."""
        text = _text(pair)
        response = trimmed(text)
        if not response:
            return False
        if response.casefold() == known.casefold():
            return True
        number, right = _number(text.strip()), _number(known)
        if number is not None and right is not None:
            return _same(number, right)
        is_letter = len(response) == 1 and response.isalpha()
        if is_letter or len(response) > _MOST_RESPONSE_CHARS:
            return None
        control = self._odds_of_yes(pair.question, known, known)
        if control is None or control < _SURE:
            return None
        odds = self._odds_of_yes(pair.question, known, " ".join(response.split()))
        return None if odds is None else odds > _SURE

    def _odds_of_yes(self, question: str, known: str, response: str) -> float | None:
        """Logarithm of the odds; None if there is no room for asking."""
        shown = _COMPARE.format(question=question, known=known, response=response)
        tokens = self._encoded(shown)
        if not tokens:
            return None
        firsts = [
            {self._model.engine.encode_text(word)[0] for word in each} for each in (_YES, _NO)
        ]
        found = self._model.first_logprobs(tokens, sorted(set.union(*firsts)))
        yes, no = (sum(exp(found[token]) for token in each) for each in firsts)
        return log(yes / no) if yes and no else float("inf") if yes else float("-inf")

    def _encoded(self, text: str) -> list[int]:
        """A conversation of this question; empty if there is no room for it."""
        engine = self._model.engine
        tokens = engine.encode_chat([ChatMessage("user", text)])
        return tokens if len(tokens) + _MOST_ANSWER_TOKENS <= engine.n_ctx else []


def _is_question(pair: Paired) -> bool:
    """Whether it can be answered, and has been with one thing."""
    if len(pair.asked) > _MOST_ITEM_CHARS or isinstance(pair.output, (dict, list)):
        return False
    if pair.options or "?" in pair.question:
        return True
    # A number for an item that asks nothing is what a function has computed.
    return isinstance(pair.output, str) and len(pair.question.split()) >= _LEAST_WORDS


def _has_text(answered: Answered) -> bool:
    """Whether a call was given something to read beside its items."""
    try:
        arguments = json.loads(answered.call.arguments)
    except ValueError:
        return False
    values = arguments.values() if isinstance(arguments, dict) else ()
    return any(isinstance(each, str) and len(each) > _LONGEST_GIVEN for each in values)


def _text(pair: Paired) -> str:
    return "" if pair.output is None else pair.response


def _told(is_right: bool | None, *, known: str) -> str:  # noqa: FBT001  # of a verdict
    if is_right is None:
        return f"The right answer is {known}."
    verdict = "right" if is_right else "wrong"
    return f"Verdict: the response is {verdict}, the right answer is {known}."


def _number(text: str) -> Decimal | None:
    plain = text.replace(",", "" if _THOUSANDS.fullmatch(text) else ".")
    try:
        number = Decimal(plain)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _same(one: Decimal, other: Decimal) -> bool:
    """Whether two numbers are equal, rounded to the decimals that both have, if they have any."""
    digits = [max(0, -int(each.as_tuple().exponent)) for each in (one, other)]
    shared = min(digits)
    return one == other or (shared > 0 and round(one, shared) == round(other, shared))
