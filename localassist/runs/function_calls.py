"""FunctionCaller: whether the model wants functions called, and with which arguments.

The first token decides, how likely it is that the answer begins with a call, and how near in
meaning the request is to what the functions do. Then the opener is written for the model and the
calls follow under a grammar of the functions' schemas. What is submitted has been validated,
whatever the model is.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from localassist.engine.chat_template import ChatMessage
from localassist.engine.code_dialect import OPENER as CODE_OPENER
from localassist.engine.json_schema import problems
from localassist.engine.prefix_cache import common_prefix
from localassist.engine.tool_dialect import (
    FENCE,
    MOST_SHIFT,
    TAGS,
    Call,
    ProseWatch,
    arguments_schema,
)
from localassist.errors import ModelError
from localassist.retrieval.nearness import is_english
from localassist.runs.call_writer import MAX_CALL_TOKENS, CallWriter
from localassist.runs.guesses import Guesses
from localassist.runs.meant import Meant
from localassist.runs.model_calls import OutOfTokens
from localassist.runs.named import Named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from localassist.engine.tool_dialect import Earlier, ToolHabits
    from localassist.retrieval.nearness import Nearness
    from localassist.runs.model_calls import ModelCalls
    from localassist.runs.rounds import Rounds
    from localassist.types.run import Run

# Then the functions are hidden: a small model would call for ever.
MAX_ROUNDS = 6
_WORD_END = re.compile(r"[_\-]+|(?<=[a-z0-9])(?=[A-Z])")
_REPAIR = """That is not valid: {problems}
Write the calls again, with arguments that fit."""


class FunctionCaller:
    """The functions of one run. Used by the run's worker only."""

    def __init__(
        self, run: Run, rounds: Rounds, habits: ToolHabits, nearness: Nearness | None = None,
        *, seed: int | None = None,
    ) -> None:  # fmt: skip
        """Look at what the run may call, and has called.

        Args:
            run: with its tools.
            rounds: its tool calls so far.
            habits: of the model.
            nearness: compares requests with functions.
            seed: of what is sampled in calls.
        """
        self._habits = habits
        self._nearness = nearness
        self._dialect = habits.dialect
        self.answered = rounds.answered
        self._goes_on = rounds.count > 0
        # What the caller forces holds for the first step, or the run would never end.
        self._choice = "auto" if rounds.count and run.tool_choice != "none" else run.tool_choice
        self._parallel = run.parallel_tool_calls
        self._instructions = run.instructions
        given = run.model_fields_set
        self._temperature = run.temperature if "temperature" in given else None
        self._top_p, self._seed = run.top_p if "top_p" in given else None, seed
        self.functions: list[dict[str, Any]] = (
            [] if self._choice == "none" or self._is_other or rounds.count >= MAX_ROUNDS
            else [tool["function"] for tool in run.tools if tool["type"] == "function"]
        )  # fmt: skip
        if self._named is not None:
            self.functions = [each for each in self.functions if each["name"] == self._named]

    @property
    def _named(self) -> str | None:
        choice = self._choice
        if not isinstance(choice, dict) or choice["type"] != "function":
            return None
        name: str = choice["function"]["name"]
        return name

    @property
    def _is_other(self) -> bool:
        """A tool that is no function is chosen."""
        return self._choice in ({"type": "code_interpreter"}, {"type": "file_search"})

    @property
    def forced(self) -> bool:
        """A call is to be made whatever the model wants."""
        return self._choice == "required" or self._named is not None

    def system_text(self, instructions: str | None) -> str | None:
        """The system turn of a model that may call."""
        if not self.functions:
            return instructions
        return self._dialect.system_text(instructions, self.functions)

    def wants_call(
        self,
        model: ModelCalls,
        prompt: list[int],
        *,
        earlier: Earlier = "nothing",
        asked: Sequence[str] = (),
        beside_code: Callable[[], list[int]] | None = None,
    ) -> bool:
        """Whether a call is to be made now.

        Args:
            model: asked.
            prompt: of a model that may call.
            earlier: what of the conversation's earlier answers is in it.
            asked: what the user wants, and before it what may say what is meant by that.
            beside_code: the prompt of a model that may have code run as well, if it may.
        """
        if self.forced:
            return True
        opener = model.engine.encode_frame(self._dialect.opener)[0]
        habits = self._habits
        threshold = habits.again_above if self.answered else habits.threshold(earlier)
        score = model.first_logprob(prompt, opener)
        if abs(score - threshold) <= MOST_SHIFT:  # elsewhere it would change nothing
            score += self._shift(asked)
        if score <= threshold:
            return False
        return beside_code is None or self._prefers_call(model, beside_code())

    def _shift(self, asked: Sequence[str]) -> float:
        """What counts for a call, or against it, because of what is asked for."""
        habits = self._habits
        # What a call has given may well ask for another one that nobody spoke of.
        if self._nearness is None or not habits.near_weight or self.answered:
            return 0.0
        return shift(habits, self._nearness, asked, self.functions)

    def _prefers_call(self, model: ModelCalls, prompt: list[int]) -> bool:
        """Whether what its first token begins is rather a call than code."""
        engine = model.engine
        call, code = (engine.encode_frame(text) for text in (self._dialect.opener, CODE_OPENER))
        common = common_prefix(call, code)
        if common in (0, len(call), len(code)):
            return True
        then = [*prompt, *call[:common]]
        wanted = [tokens[common] for tokens in (call, code)]
        first, second = (model.first_logprob(then, token) for token in wanted)
        return first > second

    def write(
        self,
        model: ModelCalls,
        prompt: list[int],
        extend: Callable[[Sequence[ChatMessage]], list[int]],
        *,
        asked: Sequence[str] = (),
    ) -> list[Call]:
        """Have the model write calls; none if all it writes has been answered already.

        Args:
            model: writes.
            prompt: of a model that may call.
            extend: the prompt with further turns, for a second try.
            asked: what the user wants, and before it what may say what is meant by that.

        Raises:
            ModelError: no valid call came of two tries.
            Interrupted: the run is to stop.
            OutOfTokens: it may write no more.
        """
        named = self._asked_for(asked)
        writer = CallWriter(
            model,
            self._dialect,
            self.functions,
            several=self._named is None and self._parallel,
            temperature=self._temperature,
            top_p=self._top_p,
            seed=self._seed,
            named=named,
            meant=None if named is None else self._meant_by(asked[-1]),
        )
        calls = writer.write(prompt)
        wrong = self._wrong(calls)
        if wrong or not calls:
            prompt = extend(self._repair_turns(calls, wrong or "the call is not complete."))
            calls = writer.write(prompt)
            wrong = self._wrong(calls)
        if wrong or not calls:
            raise OutOfTokens if model.is_out_of_tokens else _no_valid_call(wrong)
        if named is not None:
            guesses = Guesses(model, self._dialect, self.functions, named, writer.said)
            calls = guesses.left_out_of(calls, prompt)
        known = {_identity(each.call) for each in self.answered}
        return [call for call in calls if _identity(call) not in known]

    def watch(self) -> ProseWatch:
        """Looks for a call in the middle of an answer in words."""
        may_call = self.functions and not self.forced
        return ProseWatch([each["name"] for each in self.functions] if may_call else ())

    def banned_first(self, model: ModelCalls) -> tuple[int, ...]:
        """Tokens that an answer in words must not begin with."""
        if not self.functions and not self.answered:
            return ()
        openers = ("```", FENCE.opener, TAGS.opener, "[{")
        return tuple({model.engine.encode_frame(text)[0] for text in openers})

    def _asked_for(self, asked: Sequence[str]) -> Named | None:
        """What is asked for, if its words can be told; what tools have given may ask for more."""
        if self._goes_on or not asked or not is_english(asked[-1]):
            return None
        return Named(asked[-1], told=[*asked[:-1], self._instructions or ""])

    def _meant_by(self, request: str) -> Meant | None:
        """Which of several functions it is for."""
        if self._nearness is None:
            return None
        offers = {each["name"]: offer(each) for each in self.functions}
        return Meant.by(request, self._nearness, offers)

    # --- one try ---

    def _wrong(self, calls: Sequence[Call]) -> str:
        """What of the calls does not fit their schemas."""
        schemas = {each["name"]: arguments_schema(each) for each in self.functions}
        found = []
        for call in calls:
            for problem in problems(json.loads(call.arguments), schemas[call.name]):
                where = f" at '{problem.path}'" if problem.path else ""
                found.append(f"{call.name}{where}: {problem.message}.")
        return " ".join(found)

    def _repair_turns(self, calls: Sequence[Call], wrong: str) -> list[ChatMessage]:
        return [
            ChatMessage("assistant", self._dialect.written(calls)),
            ChatMessage("user", _REPAIR.format(problems=wrong)),
        ]


def shift(
    habits: ToolHabits,
    nearness: Nearness,
    asked: Sequence[str],
    functions: Sequence[Mapping[str, Any]],
) -> float:
    """What the meaning of a request adds to the logarithm of the probability of a call.

    Args:
        habits: of the model.
        nearness: compares requests with functions.
        asked: what the user wants; before it what may say what is meant by that.
        functions: dicts as in the API.
    """
    if not asked or not asked[-1]:
        return 0.0
    *before, request = asked
    offers = [offer(each) for each in functions]
    cosine = nearness.nearest(request, offers)
    if cosine is None:
        return 0.0
    if cosine < habits.near_centre and any(before):
        # What was said before can excuse a request that says little, but is none itself.
        context = nearness.nearest(request, offers, within=before)
        cosine = max(cosine, min(context or cosine, habits.near_centre))
    return habits.shift(cosine)


def offer(function: Mapping[str, Any]) -> str:
    """What a function of the API's shape does, in words."""
    name = _WORD_END.sub(" ", function["name"])
    return f"{name.lower()}. {function.get('description') or ''}"


def _identity(call: Call) -> tuple[str, Any]:
    """Equal for calls that differ in the order of their arguments only."""
    try:
        arguments: Mapping[str, Any] = json.loads(call.arguments)
    except ValueError:
        return call.name, call.arguments
    return call.name, json.dumps(arguments, sort_keys=True)


def _no_valid_call(wrong: str) -> ModelError:
    if wrong:
        return ModelError(
            f"The model's calls do not fit their schemas: {wrong}",
            code="call_invalid",
            hint="Simplify the functions' parameters, or use a larger model.",
        )
    return ModelError(
        f"The model began a call and did not end it within {MAX_CALL_TOKENS} tokens.",
        code="call_incomplete",
        hint="Give the function fewer parameters, or use a larger model.",
    )
