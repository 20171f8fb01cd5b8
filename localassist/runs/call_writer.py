"""CallWriter: has the model write a list of calls, and decides where the list ends.

A model ends it by itself, but a small one does so too early or goes on for ever. So it is ended
where a call was there already, or only varies another one in what nobody has named. Where the model
has ended it, but a part of the request is for a function that was not called, or something that it
names is in no call yet, the next call is written all the same, and kept if it is about that.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from localassist.engine.prefix_cache import common_prefix
from localassist.engine.request import GenerationRequest
from localassist.engine.tool_dialect import MAX_CALLS, Call, CallReader
from localassist.errors import BadRequestError
from localassist.runs.meant import Meant
from localassist.runs.model_calls import OutOfTokens
from localassist.runs.named import Named, covers, says_all_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from localassist.engine.constraint import Constraint
    from localassist.engine.tool_dialect import ToolDialect
    from localassist.runs.model_calls import ModelCalls

    _Wanted = Callable[[Call, Sequence[Call]], bool]

log = logging.getLogger("localassist.runs")

# Inside calls the run's temperature does not hold: it is for prose.
_CALL_TEMPERATURE = 0.2
MAX_CALL_TOKENS = 1536
# Logarithms of the probability that another call follows: below the first it is not even looked
# for, or below the second where a function is meant that was not called; above the third one it is
# kept whatever it says. On Berkeley's questions the 0.5B's calls too many all lie below that.
_HARDLY = -3.0
_HARDLY_MEANT = -5.0
_SURELY = -0.13
_LIKELY = -0.69  # more likely than not
_CLOSING = '"}] \n'  # of a call
_BRANCHES_AT = b",]}"  # where a list or object may end or go on


class CallWriter:
    """Writes calls of some functions. Used by one run's worker."""

    def __init__(
        self,
        model: ModelCalls,
        dialect: ToolDialect,
        functions: Sequence[Mapping[str, Any]],
        *,
        several: bool,
        temperature: float | None,
        top_p: float | None = None,
        seed: int | None = None,
        named: Named | None = None,
        meant: Meant | None = None,
    ) -> None:
        """Write nothing yet.

        Args:
            model: writes.
            dialect: its form of calls.
            functions: dicts as in the API.
            several: whether there may be more than one call.
            temperature: the run's; None is the model's own.
            top_p: likewise.
            seed: None takes another one for each list.
            named: what is asked for; None if that cannot be told, and the model alone decides.
            meant: which of the functions it is for, if that can be told.
        """
        self._model, self._dialect = model, dialect
        self._most = MAX_CALLS if several else 1
        self._named = named
        self._meant = meant or Meant((), ())
        defaults = model.engine.sampling_defaults
        wanted = defaults.temperature if temperature is None else temperature
        self._sampling = replace(
            defaults,
            temperature=min(wanted, _CALL_TEMPERATURE),
            top_p=defaults.top_p if top_p is None else top_p,
            seed=seed,
        )
        self._functions = functions
        self._said: list[int] = []

    @property
    def said(self) -> Sequence[int]:
        """Tokens of all that the model wrote last, from the opener on, and what was dropped."""
        return self._said

    def _constraint(self, functions: Sequence[Mapping[str, Any]], *, further: bool) -> Constraint:
        """What the calls must be; where it cannot say all of a schema, as much as it can."""
        grammar = self._dialect.grammar(functions, most=self._most, further=further)
        try:
            return self._model.engine.constrain(grammar)
        except BadRequestError:
            return self._model.engine.constrain(replace(grammar, lenient=True))

    def write(self, prompt: Sequence[int]) -> list[Call]:
        """The calls that follow a prompt; none if the first was not completed.

        Raises:
            Interrupted: the run is to stop.
            OutOfTokens: the run may write no more, and there is no call yet.
        """
        calls: list[Call] = []
        is_wanted: _Wanted = self._was_asked_for
        functions = self._functions
        while True:
            try:
                reader = self._followed(prompt, calls, is_wanted, functions)
            except OutOfTokens:
                if calls:
                    return calls
                raise
            new, calls = len(reader.calls) > len(calls), reader.calls
            is_over = not new or reader.refused in calls or reader.broken_off
            if is_over or self._named is None or not self._may_follow(calls):
                return calls
            is_narrow = functions is not self._functions
            if reader.refused is not None and not is_narrow:
                if self._odds(prompt, calls, least=_SURELY) < _SURELY:
                    return calls
                calls.append(reader.refused)
                is_wanted, functions = self._was_asked_for, self._functions
                continue
            further = self._further(prompt, calls, could_go_on=not is_narrow)
            if further is None:
                return calls
            is_wanted, functions = further

    def _further(
        self, prompt: Sequence[int], calls: Sequence[Call], *, could_go_on: bool
    ) -> tuple[_Wanted, Sequence[Mapping[str, Any]]] | None:
        """What is wanted behind a list that has ended, and of which functions; None if nothing.

        A list that could not go on with what the model wanted has not ended by its will.
        """
        assert self._named is not None, "the model alone decides else"
        uncalled, missing = self._meant.missing_in(calls), self._named.missing_in(calls)
        if could_go_on and not uncalled | missing:
            return None
        least = _HARDLY_MEANT if uncalled else _HARDLY if missing else _LIKELY
        odds = self._odds(prompt, calls, least=least)
        if uncalled and odds > _HARDLY_MEANT:
            narrow = [each for each in self._functions if each["name"] in uncalled]
            return _is_first_of_its_function, narrow
        if missing and odds > _HARDLY:
            return self._is_next(calls, missing), self._functions
        if not could_go_on and odds > _LIKELY:
            return self._was_asked_for, self._functions
        return None

    def _may_follow(self, calls: Sequence[Call]) -> bool:
        """Whether another call can be asked for; not where texts in them read as control tokens."""
        engine = self._model.engine
        return len(calls) < self._most and all(
            engine.encode_frame(each.text) == engine.encode_text(each.text) for each in calls
        )

    def _was_asked_for(self, call: Call, before: Sequence[Call]) -> bool:
        return self._named is None or not self._named.is_variation(call, before)

    def _is_next(self, calls: Sequence[Call], missing: frozenset[str]) -> _Wanted:
        """What is wanted after the calls: first one about what is missing, and a new one."""
        count = len(calls)

        def is_wanted(call: Call, before: Sequence[Call]) -> bool:
            if len(before) > count:
                return self._was_asked_for(call, before)
            return covers(call, missing) and not says_all_of(call, before)

        return is_wanted

    def _followed(
        self,
        prompt: Sequence[int],
        before: Sequence[Call],
        is_wanted: _Wanted,
        functions: Sequence[Mapping[str, Any]],
    ) -> CallReader:
        """Has read the calls before, and those of `functions` that the model writes after them."""
        begun = self._dialect.followed(before) if before else self._dialect.opener
        self._said = self._encoded(begun, before)
        reader = CallReader([*before], is_wanted)
        events = self._model.generate(
            GenerationRequest(
                prompt_tokens=[*prompt, *self._said],
                sampling=self._sampling,
                max_tokens=MAX_CALL_TOKENS,
                constraint=self._constraint(functions, further=bool(before)),
                branches_at=_BRANCHES_AT,
            ),
            goes_on=bool(before),
        )
        for event in events:
            self._said += event.tokens
            if event.ended_repetition:
                log.warning("an argument said the same for ever, and was ended")
                if reader.calls:  # a call too many, most likely: nobody asks for that
                    break
            reader.feed(event.text)
            if reader.refused is not None or len(reader.calls) >= self._most:
                break
        events.close()
        if reader.broken_off and reader.calls:
            log.warning("a call was cut off; those before it are made")
        return reader

    def _odds(self, prompt: Sequence[int], calls: Sequence[Call], *, least: float) -> float:
        """Logarithm of the probability that another call follows, or one that is below `least`."""
        dialect = self._dialect
        more = self._encoded(f'{dialect.begun(calls)}{dialect.separator}{{"name": "', calls)
        end = self._encoded(dialect.written(calls), calls)
        common = common_prefix(more, end)
        # What differs first may be a brace, and small models forget one: up to the comma, then.
        comma = self._encoded(dialect.followed(calls), calls)
        followed = max(common + 1, common_prefix(more, comma))
        odds = 0.0
        for place in range(common, followed):
            if odds > least:  # a look may cost as much as a token
                odds += self._model.first_logprob([*prompt, *more[:place]], more[place])
        return odds

    def _encoded(self, text: str, calls: Sequence[Call]) -> list[int]:
        """Tokens of a text that begins with calls: the model's own as far as it has written them.

        Encoded anew, they may be other ones, and all behind them would be read again. But what
        closes the last call a model says in one token with what it means to come then, and that is
        still open here.
        """
        keep = len(self._dialect.begun(calls).rstrip(_CLOSING))
        return self._model.engine.encode_on(self._said, text, keep=keep)


def _is_first_of_its_function(call: Call, before: Sequence[Call]) -> bool:
    return all(call.name != each.name for each in before)
