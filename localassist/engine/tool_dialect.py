"""ToolDialect: how a model is shown functions, and the form in which it writes its calls. Pure.

Qwen2.5-Coder, asked by its own template, never writes the tags that the template shows; a JSON list
in a fence is what it writes by itself. So each model is asked for the form that it writes, behind
an opener that is written for it and under a grammar. The instructions come last, or they are
forgotten over the functions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from localassist.engine.constraint import Grammar, embedded_schema
from localassist.engine.signature import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_CALLS = 8
_BRANCHES = ("allOf", "anyOf", "oneOf")
_FUNCTIONS = """# Functions
You can call these functions:
<tools>
{listed}
</tools>

If the functions can do what the user asks, reply with nothing but {form}
Put one object in the list for every call that is needed: if the user names several cities, items, \
dates or values, call the function once for each of them.
If no function fits the request, do not write JSON: answer in plain words, and finish with the \
result."""
_TASK = """# Your task
{instructions}
Everything you write, also in the arguments of functions, must fit this task."""
_CALL = '{"name": "<function name>", "arguments": {"<parameter>": <value>}}'
_TAGGED = f"calls, each of them JSON between two tags:\n<tool_call>\n{_CALL}\n</tool_call>"
# Beginnings of calls that models write in spite of what they are asked for.
_USUAL_BEGINNINGS = (
    "```json[{", "```json{", "```[{", "```{", "<tool_call>[{", "<tool_call>{", "[{", "{",
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A function's name and the JSON text of its arguments.

    Attributes:
        written: the same as a model wrote it, with spaces and line breaks where it liked them.
    """

    name: str
    arguments: str
    written: str = field(default="", compare=False, repr=False)

    @property
    def text(self) -> str:
        """As the model has written it, or would."""
        usual = f'{{"name": {json.dumps(self.name)}, "arguments": {self.arguments}}}'
        return self.written or usual


@dataclass(frozen=True, kw_only=True)
class ToolDialect:
    """One form of calls.

    Attributes:
        name: as in the manifest.
        form: what the model is told to write.
        form_of_one: the same where there is one function only.
        opener: written for the model before its first call.
        separator: between two calls.
        closer: behind the last one.
        end: what a model writes behind that, when it is shown calls that it has made.
    """

    name: str
    form: str
    form_of_one: str
    opener: str
    separator: str
    closer: str
    end: str = ""

    def system_text(self, instructions: str | None, functions: Sequence[Mapping[str, Any]]) -> str:
        """The system turn of a model that may call `functions`: each a dict as in the API."""
        listed = "\n\n".join(signature(each) for each in functions)
        form = self.form if len(functions) > 1 else self.form_of_one
        shown = _FUNCTIONS.format(listed=listed, form=form)
        return f"{shown}\n\n{_TASK.format(instructions=instructions)}" if instructions else shown

    def begun(self, calls: Sequence[Call]) -> str:
        """Calls as the model writes them, where more may follow."""
        return self.opener + self.separator.join(each.text for each in calls)

    def followed(self, calls: Sequence[Call]) -> str:
        """Calls, and as much of what separates them from a further one as is its own token.

        A space belongs to what comes behind it: models never see one that ends a text.
        """
        return self.begun(calls) + self.separator.rstrip(" ")

    def written(self, calls: Sequence[Call]) -> str:
        """Calls as the model writes them."""
        return self.begun(calls) + self.closer + self.end

    def grammar(
        self,
        functions: Sequence[Mapping[str, Any]],
        *,
        most: int,
        further: bool = False,
        lenient: bool = False,
    ) -> Grammar:
        """Up to `most` calls of these functions, each by its schema.

        Args:
            functions: dicts as in the API.
            most: calls.
            further: they stand behind what `followed` gives, else behind the opener.
            lenient: as in `Grammar`.
        """
        names, rules = [], []
        for index, each in enumerate(functions):
            names.append(f"call{index}")
            begin = json.dumps(f'{{"name": {json.dumps(each["name"])}, "arguments": ')
            rules.append(
                f'call{index}: {begin} args{index} "}}"\n'
                f"args{index}: {embedded_schema(arguments_schema(each))}"
            )
        more = f"({json.dumps(self.separator)} call){{0,{most - 1}}}" if most > 1 else ""
        gap = self.separator[len(self.separator.rstrip(" ")) :] if further else ""
        lines = [
            f"start: {json.dumps(gap) if gap else ''} call {more} {json.dumps(self.closer)}",
            f"call: {' | '.join(names)}",
            *rules,
        ]
        return Grammar("lark", "\n".join(lines), lenient=lenient, ends_repetition=True)


FENCE = ToolDialect(
    name="fence",
    form=f"a JSON list of calls:\n```json\n[{_CALL}]\n```",
    # With dots, two things asked for become two calls more often (83 for 72 % of 25 to 30
    # questions); with several functions, calls are made that nobody asked for (53 for 88 %).
    form_of_one=f"a JSON list of calls:\n```json\n[{_CALL}, ...]\n```",
    opener="```json\n[",
    separator=", ",
    closer="]",
    end="\n```",
)
TAGS = ToolDialect(
    name="tags",
    form=_TAGGED,
    form_of_one=_TAGGED,
    opener="<tool_call>\n",
    separator="\n</tool_call>\n<tool_call>\n",
    closer="\n</tool_call>",
)
DIALECTS = {dialect.name: dialect for dialect in (FENCE, TAGS)}


# Nearness in meaning decides where the model hesitates. A search of the web is near to nothing that
# is asked of it: a model that is sure is believed.
MOST_SHIFT = 0.5
# What of the conversation's earlier answers is in view.
Earlier = Literal["nothing", "words", "calls"]


@dataclass(frozen=True)
class ToolHabits:
    """How a model behaves with functions in view; benchmarks/calibrate_tools.py measures it.

    Attributes:
        dialect: the form in which it writes calls.
        call_above: a call is made if the logarithm of its opener's probability lies above.
        again_above: the same, once the run has made calls: small models call again where they
            should answer.
        talked_above: the same, once the conversation has an answer in words: models go on as they
            have begun.
        later_above: the same, where calls of earlier answers are in view as well.
        near_weight: how much is added to that logarithm, times the cosine of the request and the
            nearest function, less `near_centre`; 0.5 at most either way. What no function is for,
            small models do not see well.
        near_centre: the cosine that changes nothing.
    """

    dialect: ToolDialect = FENCE
    call_above: float = -1.0
    again_above: float = -0.2
    talked_above: float = -5.0
    later_above: float = -2.5
    near_weight: float = 0.0
    near_centre: float = 0.0

    def shift(self, cosine: float) -> float:
        """What the nearness of a request adds to the logarithm of its call's probability."""
        shift = self.near_weight * (cosine - self.near_centre)
        return max(-MOST_SHIFT, min(shift, MOST_SHIFT))

    def threshold(self, earlier: Earlier) -> float:
        """What a call's score must lie above, before the run has made any."""
        if earlier == "calls":
            return self.later_above
        return self.talked_above if earlier == "words" else self.call_above


def dialect_of(template: str, *, model: str = "", named: str | None = None) -> ToolDialect:
    """The dialect of a model.

    Args:
        template: its chat template; tags in it are believed.
        model: its name. Models for code have the templates of their family, and write fences.
        named: what the manifest says, which counts more than all.
    """
    if named is not None:
        return DIALECTS[named]
    return TAGS if "<tool_call>" in template and "coder" not in model.lower() else FENCE


def arguments_schema(function: Mapping[str, Any]) -> dict[str, Any]:
    """What a function's arguments must be; other parameters than its own are not made up."""
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    if _has_more(schema):
        return {"type": "object", **schema}
    return {"type": "object", "additionalProperties": False, **schema}


def _has_more(schema: Mapping[str, Any]) -> bool:
    """Whether a schema allows properties that do not stand beside its own."""
    if "$ref" in schema:
        return True
    branches = [each for key in _BRANCHES for each in schema.get(key) or ()]
    return any(
        isinstance(each, dict)
        and ("properties" in each or "patternProperties" in each or _has_more(each))
        for each in branches
    )


@dataclass
class CallReader:
    """Reads calls while they are written, behind their opener.

    Attributes:
        calls: those that are complete.
        wanted: says whether a call is to be added to those before; with the first that is not, or
            was there already, the reader stops, as a model that repeats itself does not.
        refused: that call.
    """

    calls: list[Call] = field(default_factory=list)
    wanted: Callable[[Call, Sequence[Call]], bool] | None = None
    refused: Call | None = None
    _rest: str = ""

    def feed(self, text: str) -> None:
        """More of the text has come."""
        self._rest += text
        while "}" in self._rest and self.refused is None:
            begin = self._rest.find("{")
            if begin < 0:
                return
            try:
                value, end = json.JSONDecoder().raw_decode(self._rest, begin)
                arguments = json.dumps(value["arguments"], ensure_ascii=False)
            except (ValueError, RecursionError):
                return
            call = Call(value["name"], arguments, written=self._rest[begin:end])
            self._rest = self._rest[end:]
            is_new = call not in self.calls
            if is_new and (self.wanted is None or self.wanted(call, self.calls)):
                self.calls.append(call)
            else:
                self.refused = call

    @property
    def broken_off(self) -> bool:
        """A call has begun and is not complete."""
        return "{" in self._rest


class ProseWatch:
    """Finds a call that begins in the middle of an answer in words, in whatever form.

    What may yet become one is held back. White space does not count, as models put it anywhere.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Look for calls of the functions called `names`."""
        self._beginnings = tuple(
            f'{begin}"name":{json.dumps(name)}' for name in names for begin in _USUAL_BEGINNINGS
        )
        self._held = ""
        self._at_line_start = True
        self.found = False

    def feed(self, text: str) -> str:
        """Return what is certainly words; sets `found` at a call, and nothing follows then."""
        if self.found or not self._beginnings:
            return "" if self.found else text
        held, line_start = self._held + text, self._at_line_start
        for index, character in enumerate(held):
            if character in "`<" or (line_start and character in "[{"):
                rest = "".join(held[index:].split())
                self.found = any(rest.startswith(begin) for begin in self._beginnings)
                if self.found or any(begin.startswith(rest) for begin in self._beginnings):
                    self._held, self._at_line_start = held[index:], line_start
                    return held[:index]
            line_start = character == "\n" or (line_start and character.isspace())
        self._held, self._at_line_start = "", line_start
        return held

    @property
    def held(self) -> str:
        """What is held back; the beginning of the call, if one was found."""
        return self._held

    def flush(self) -> str:
        """What was held back and is words after all; the answer is over."""
        held, self._held = self._held, ""
        return "" if self.found else held
