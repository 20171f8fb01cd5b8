"""Verdicts: whether the responses to a test's items are right, found out before the model tells.

A small model that sees a response takes it for the answer: shown 8 as the square root of 81, it
says that 8 is right. So each item is answered without its response first, and then compared.
"""

from __future__ import annotations

import re
from math import exp, log
from typing import TYPE_CHECKING

from localassist.engine.chat_template import ChatMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from localassist.engine.tool_results import Answered, Paired
    from localassist.runs.model_calls import ModelCalls

# What a list of items is a test by; else nobody asked for verdicts, or none of them is right.
_TEST = re.compile(
    r"quiz|trivia|riddle|\bexam\b|\bexams\b|examination|flash ?card|homework|tutor|teacher"
    r"|\b(?:grade|test) (?:me|my|us|our|them|the responses|the answers)\b",
    re.IGNORECASE,
)
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
# Logarithm of the odds of a yes. Of 53 responses written by hand the 1.5B tells 51 apart so; the
# 0.5B does not even say yes to the right answer itself, and then gives no verdict.
_SURE = 1.0
_AROUND = " \t\n.,;:!?\"'()"
_LETTER = re.compile(r"\(?([a-z])\)?[.):]?(?:\s|$)")


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
        cls, model: ModelCalls, answered: Sequence[Answered], said: Iterable[str | None]
    ) -> Verdicts | None:
        """Those of functions' results, if they are those of a test.

        Args:
            model: answers the items.
            answered: the functions' calls.
            said: what is wanted, by whoever says it.

        Returns:
            None if neither that nor the functions' names say that it is a test.
        """
        texts = [*said, *(each.call.name.replace("_", " ") for each in answered)]
        is_test = answered and any(_TEST.search(text) for text in texts if text)
        return cls(model) if is_test else None

    def __call__(self, pair: Paired) -> str | None:
        """The verdict on a response.

        Raises:
            Interrupted: the run is to stop.
        """
        if not _is_question(pair):
            return None
        answer = self._answer(_ASK.format(question=pair.question))
        if pair.options:
            index = self._option(pair, answer)
            if index is None:
                return None
            named = option_named(pair.output, pair.options)
            is_right = self._says(pair, pair.option(index)) if named is None else named == index
            return _told(is_right, known=pair.option(index))
        known = answer.strip(_AROUND)
        if not known or len(known) > _MOST_ANSWER_CHARS:
            return None
        return _told(self._says(pair, known), known=known)

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
        response = pair.response.strip(_AROUND)
        if not response:
            return False
        if response.casefold() == known.casefold():
            return True
        numbers = _number(response), _number(known)
        if None not in numbers:
            return numbers[0] == numbers[1]
        if self._odds_of_yes(pair.question, known, known) < _SURE:
            return None
        return self._odds_of_yes(pair.question, known, response) > _SURE

    def _odds_of_yes(self, question: str, known: str, response: str) -> float:
        shown = _COMPARE.format(question=question, known=known, response=response)
        tokens = self._encoded(shown)
        if not tokens:
            return float("-inf")
        yes, no = (self._sum_of(tokens, words) for words in (_YES, _NO))
        return log(yes / no) if yes and no else float("inf") if yes else float("-inf")

    def _sum_of(self, tokens: Sequence[int], words: Sequence[str]) -> float:
        firsts = {self._model.engine.encode_text(word)[0] for word in words}
        return sum(exp(self._model.first_logprob(tokens, first)) for first in firsts)

    def _encoded(self, text: str) -> list[int]:
        """A conversation of this question; empty if there is no room for it."""
        engine = self._model.engine
        tokens = engine.encode_chat([ChatMessage("user", text)])
        return tokens if len(tokens) + _MOST_ANSWER_TOKENS <= engine.n_ctx else []


def option_named(answer: object, options: Sequence[str]) -> int | None:
    """Which option an answer names, by its text or its letter; None if none or several."""
    if not isinstance(answer, str):
        return None
    plain, texts = _plain(answer), [_plain(option) for option in options]
    if plain in texts:
        return texts.index(plain)
    begin = _LETTER.match(answer.strip().lower())
    # "a) ..." and "(a) ..." begin with a letter, and "a dog" with a word.
    if begin is not None and (begin[0].strip() != begin[1] or plain == begin[1]):
        index = ord(begin[1]) - ord("a")
        return index if index < len(options) else None
    named = [
        index
        for index, text in enumerate(texts)
        if re.search(rf"(?<!\w){re.escape(text)}(?!\w)", plain)
    ]
    return named[0] if len(named) == 1 else None


def _is_question(pair: Paired) -> bool:
    if len(pair.asked) > _MOST_ITEM_CHARS:
        return False
    return bool(pair.options) or "?" in pair.asked or len(pair.asked.split()) >= _LEAST_WORDS


def _told(is_right: bool | None, *, known: str) -> str:  # noqa: FBT001  # of a verdict
    if is_right is None:
        return f"The right answer is {known}."
    verdict = "right" if is_right else "wrong"
    return f"Verdict: the response is {verdict}, the right answer is {known}."


def _plain(text: str) -> str:
    return text.strip(_AROUND).casefold()


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None
