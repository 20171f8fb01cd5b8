"""Where a list of calls ends: what the model says of it, and what the request names."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from localassist.engine.request import SamplingParams, TokenEvent
from localassist.engine.tool_dialect import FENCE, TAGS, Call, ToolHabits
from localassist.retrieval.nearness import Part
from localassist.runs.call_writer import CallWriter
from localassist.runs.function_calls import FunctionCaller
from localassist.runs.meant import Meant
from localassist.runs.model_calls import OutOfTokens
from localassist.runs.named import Named
from localassist.runs.rounds import Rounds
from localassist.types.run import Run

PROPERTIES = {"city": {}, "unit": {}, "note": {}}
FUNCTIONS = [{"name": "get_weather", "parameters": {"type": "object", "properties": PROPERTIES}}]
BOOKING = {"name": "book_table", "parameters": {"type": "object", "properties": {"at": {}}}}
NAMES = ["get_weather", "book_table"]
PROMPT = list(b"prompt")


def weather(city, **more):
    return Call("get_weather", json.dumps({"city": city, **more}))


class Model:
    """Writes the lists that it is given, one for each time; its tokens are bytes.

    Where a list is None, it may write no more.
    """

    def __init__(self, *lists, odds=-1.0, control="", dialect=FENCE):
        self._lists = list(lists)
        self._dialect = dialect
        self._odds = odds
        self._control = control
        self.engine = self
        self.sampling_defaults = SamplingParams()
        self.begun = []
        self.goes_on = []
        self.watched = []
        self.kept = []
        self.grammars = []
        self.samplings = []
        self.cut = False
        self.repeats = ()  # texts at whose end what they repeated is ended

    def encode_frame(self, text):
        if self._control and self._control in text:
            text = text.replace(self._control, "\0")
        return list(text.encode())

    def encode_text(self, text):
        return list(text.encode())

    def encode_on(self, said, text, *, keep):
        self.kept.append((bytes(said).decode(), text[:keep]))
        return self.encode_frame(text)

    def constrain(self, grammar):
        return grammar

    def first_logprob(self, prompt, token):
        text = bytes([*prompt[len(PROMPT) :], token]).decode()
        goes_on = bool(self.watched) and text[:-1] == self.watched[-1]
        self.watched.append(text)
        return 0.0 if goes_on else self._odds

    def generate(self, request, *, goes_on=False):
        self.begun.append(bytes(request.prompt_tokens[len(PROMPT) :]).decode())
        self.goes_on.append(goes_on)
        self.grammars.append(request.constraint.source)
        self.samplings.append(request.sampling)
        following = self._lists.pop(0)
        if following is None:
            raise OutOfTokens
        calls, ended = following
        text = self._dialect.separator.join(call.text for call in calls)
        text += self._dialect.closer if ended else ""
        if self.cut:
            text = text[:-10]
        for start in range(0, len(text), 7):
            piece = text[start : start + 7]
            is_ended = any(text[: start + 7].endswith(each) for each in self.repeats)
            yield TokenEvent(piece, tuple(piece.encode()), ended_repetition=is_ended)


def write(model, request, *, several=True, dialect=FENCE, meant=None):
    named = None if request is None else Named(request)
    functions = FUNCTIONS if meant is None else [*FUNCTIONS, BOOKING]
    writer = CallWriter(
        model, dialect, functions, several=several, temperature=None, named=named, meant=meant
    )
    return writer.write(PROMPT)


ROME, OSLO, BERN = weather("Rome"), weather("Oslo"), weather("Bern")


def test_the_model_ends_the_list_where_all_is_in_it():
    model = Model(([ROME, OSLO], True))
    assert write(model, "The weather in Rome and Oslo, please.") == [ROME, OSLO]
    assert model.begun == [FENCE.opener]


def test_what_the_request_names_and_no_call_has_is_called_for_too():
    model = Model(([ROME], True), ([OSLO, BERN], True))
    assert write(model, "The weather in Rome, Oslo and Bern") == [ROME, OSLO, BERN]
    assert model.begun[1] == FENCE.followed([ROME])
    assert model.goes_on == [False, True]  # counted as one answer


BOTH = Meant(NAMES, [Part("the weather", [0.9, 0.1]), Part("a table", [0.1, 0.9])])
TABLE = Call("book_table", '{"at": "Nobu"}')
TWO_THINGS = "Find the weather in Rome. Then get us a table."


def test_what_a_part_is_for_and_no_call_is_of_is_called_for_too():
    model = Model(([ROME], True), ([TABLE], True), odds=-4.0)
    assert write(model, TWO_THINGS, meant=BOTH) == [ROME, TABLE]
    assert model.begun[1] == FENCE.followed([ROME])
    # Nothing else may be called then.
    assert ["get_weather" in grammar for grammar in model.grammars] == [True, False]


def test_what_is_named_is_called_for_behind_what_a_part_is_for():
    model = Model(([ROME], True), ([TABLE], True), ([OSLO], True))
    request = "Find the weather in Rome and Oslo. Then get us a table."
    assert write(model, request, meant=BOTH) == [ROME, TABLE, OSLO]
    assert "get_weather" in model.grammars[2]


@pytest.mark.parametrize(("odds", "calls"), [(-0.2, [ROME, TABLE, OSLO]), (-1.2, [ROME, TABLE])])
def test_behind_what_a_part_is_for_the_model_may_go_on(odds, calls):
    model = Model(([ROME], True), ([TABLE], True), ([OSLO], True), odds=odds)
    assert write(model, "Find the weather. Then get us a table.", meant=BOTH) == calls


def test_where_the_model_is_very_sure_no_part_is_called_for():
    model = Model(([ROME], True), odds=-6.0)
    assert write(model, TWO_THINGS, meant=BOTH) == [ROME]
    assert (len(model.begun), model.watched[-1]) == (1, FENCE.followed([ROME]))


def test_where_a_call_of_a_part_does_not_come_the_list_ends():
    model = Model(([ROME], True), ([], True))
    assert write(model, TWO_THINGS, meant=BOTH) == [ROME]
    assert len(model.begun) == 2


def test_of_what_a_part_is_for_one_call_is_asked_for():
    other = Call("book_table", '{"at": "Luigi"}')
    model = Model(([ROME], True), ([TABLE, other], True), odds=-4.0)
    assert write(model, TWO_THINGS, meant=BOTH) == [ROME, TABLE]


def test_a_further_call_that_is_not_about_what_is_missing_is_dropped():
    model = Model(([ROME], True), ([weather("Paris")], True))
    assert write(model, "The weather in Rome, for my friend Ann") == [ROME]
    assert len(model.begun) == 2


def test_where_the_model_is_sure_that_the_list_is_over_it_is():
    model = Model(([ROME], True), odds=-6.0)
    assert write(model, "The weather in Rome and Oslo") == [ROME]
    assert len(model.begun) == 1


def test_a_call_that_only_varies_another_one_ends_the_list():
    celsius, kelvin = weather("Rome", unit="celsius"), weather("Rome", unit="kelvin")
    model = Model(([celsius, kelvin, OSLO], True))
    assert write(model, "The weather in Rome?") == [celsius]


def test_where_several_things_are_wanted_no_call_is_taken_for_a_variation():
    celsius, kelvin = weather("Rome", unit="celsius"), weather("Rome", unit="kelvin")
    model = Model(([celsius, kelvin, OSLO], True))
    assert write(model, "The weather in Rome and Oslo") == [celsius, kelvin, OSLO]


def test_a_further_call_that_does_an_earlier_one_again_is_dropped():
    again = weather("Rome", note="Ann is allergic")
    model = Model(([ROME], True), ([again], True))
    assert write(model, "A table in Rome, and note that it is for Ann") == [ROME]


def test_after_a_call_that_was_cut_off_no_other_is_looked_for():
    model = Model(([ROME, OSLO], False))
    model.cut = True
    assert write(model, "The weather in Rome, Oslo and Bern") == [ROME]
    assert len(model.begun) == 1


def test_a_variation_that_the_model_is_sure_of_is_kept():
    capitals = [weather("Paris"), weather("Madrid")]
    model = Model((capitals, True), ([], True), odds=-0.01)
    assert write(model, "The weather in the capitals of the Iberian countries") == capitals


def test_a_call_that_repeats_itself_ends_the_list():
    model = Model(([ROME, OSLO, ROME], True))
    assert write(model, "The weather in Rome and Oslo and Bern") == [ROME, OSLO]
    assert len(model.begun) == 1


@pytest.mark.parametrize("request_", [None, "The weather in Rome and Oslo"])
def test_one_call_is_one_where_no_more_are_allowed_or_nothing_is_known(request_):
    model = Model(([ROME], True))
    assert write(model, request_, several=request_ is None) == [ROME]
    assert len(model.begun) == 1


def test_at_most_eight_calls_are_made():
    cities = [f"City{number}" for number in range(12)]
    calls = [weather(city) for city in cities]
    model = Model((calls[:3], True), (calls[3:], True))
    assert write(model, f"The weather in {', '.join(cities)}") == calls[:8]


def test_a_call_that_was_not_completed_is_none():
    assert write(Model(([], False)), "The weather in Rome") == []


def test_calls_whose_texts_read_as_control_tokens_are_never_shown_to_the_model_again():
    call = weather("<|im_end|>")
    model = Model(([call], True), control="<|im_end|>")
    assert write(model, "The weather in Rome and Oslo") == [call]
    assert len(model.begun) == 1


@pytest.mark.parametrize("calls", [([ROME, OSLO], True), ([ROME, OSLO, BERN], False)])
def test_a_further_call_that_repeats_itself_for_ever_is_none(calls):
    model = Model(calls)
    written = FENCE.separator.join(call.text for call in calls[0])
    begun = written.index("Oslo")
    model.repeats = (written[: begun - begun % 7],)
    assert write(model, "The weather in Rome, Oslo and Bern") == [ROME]
    assert len(model.begun) == 1


def test_an_only_call_that_repeated_itself_is_made():
    model = Model(([ROME], True))
    model.repeats = (ROME.text[:28],)
    assert write(model, "The weather in Rome") == [ROME]


def test_tagged_calls_go_on_too():
    model = Model(([ROME], True), ([OSLO], True), dialect=TAGS)
    assert write(model, "The weather in Rome and Oslo", dialect=TAGS) == [ROME, OSLO]
    assert model.begun[1] == TAGS.followed([ROME])


def test_what_was_said_stays_as_it_was_said_up_to_where_the_last_call_closes():
    model = Model(([ROME], True), ([OSLO], True))
    write(model, "The weather in Rome and Oslo")
    (nothing, _), (said, head), *_ = model.kept
    assert nothing == ""
    assert said == FENCE.begun([ROME]) + FENCE.closer
    assert head == FENCE.begun([ROME]).removesuffix('"}}')


@pytest.mark.parametrize("dialect", [FENCE, TAGS])
def test_what_is_watched_is_where_a_further_call_and_the_end_part(dialect):
    model = Model(([ROME], True), ([OSLO], True), odds=-0.01, dialect=dialect)
    write(model, "The weather in Rome and Oslo", dialect=dialect)
    first, last = model.watched[0], model.watched[-1]
    end = dialect.begun([ROME]) + dialect.closer + dialect.end
    assert end.startswith(first[:-1])
    assert not end.startswith(first)
    assert last == dialect.followed([ROME])  # up to what separates two calls


def test_no_more_is_looked_at_than_it_takes_to_see_that_no_call_follows():
    model = Model(([ROME], True), odds=-9.0, dialect=TAGS)
    write(model, "The weather in Rome and Oslo", dialect=TAGS)
    assert len(model.watched) == 1


@pytest.mark.parametrize("request_", ["The weather in Rome and Oslo", TWO_THINGS])
def test_calls_that_are_complete_are_made_where_no_token_is_left_for_another(request_):
    meant = BOTH if request_ is TWO_THINGS else None
    model = Model(([ROME], True), None)
    assert write(model, request_, meant=meant) == [ROME]
    assert len(model.begun) == 2


def test_without_a_call_who_may_write_no_more_is_told():
    with pytest.raises(OutOfTokens):
        write(Model(None), "The weather in Rome")


def called(model, *asked, seed=None, **fields):
    run = Run(
        id="run_1", assistant_id="asst_1", created_at=0, model="m", status="in_progress",
        thread_id="thread_1", **fields,
        tools=[{"type": "function", "function": {**FUNCTIONS[0], "description": "The weather."}}],
    )  # fmt: skip
    caller = FunctionCaller(run, Rounds([]), ToolHabits(), seed=seed)
    return caller.write(model, PROMPT, pytest.fail, asked=asked)


def test_a_request_in_english_is_read_and_another_one_is_left_to_the_model():
    model = Model(([ROME], True), ([OSLO], True))
    assert called(model, "What is the weather in Rome and in Oslo?") == [ROME, OSLO]
    for request in ("Wie ist das Wetter in Rom, und in Oslo?", "Clima en Roma y en Oslo", ""):
        model = Model(([ROME], True))
        assert called(model, request) == [ROME]
        assert len(model.begun) == 1


@pytest.mark.parametrize(
    ("earlier", "instructions"),
    [("I measure in kelvin or celsius.", None), ("Hello!", "Give celsius and kelvin.")],
)
def test_what_was_said_before_and_instructions_name_values_too(earlier, instructions):
    both = [weather("Rome", unit="celsius"), weather("Rome", unit="kelvin")]
    asked = (earlier, "What is the weather in Rome?")
    assert called(Model((both, True)), *asked, instructions=instructions) == both
    # Named by nobody, it varies nothing, and is a guess.
    assert called(Model((both, True)), "Hello!", asked[1]) == [weather("Rome")]


def test_what_is_forced_or_may_be_one_only_is_one():
    for fields in (
        {"parallel_tool_calls": False},
        {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    ):
        model = Model(([ROME], True))
        assert called(model, "What is the weather in Rome and in Oslo?", **fields) == [ROME]
        assert len(model.begun) == 1


WARM = SamplingParams(temperature=0.7, top_p=0.8, top_k=40)


@pytest.mark.parametrize(
    ("given", "sampling"),
    [
        ({}, replace(WARM, temperature=0.2)),
        ({"seed": 7}, replace(WARM, temperature=0.2, seed=7)),
        ({"seed": 0, "top_p": 0.5}, replace(WARM, temperature=0.2, top_p=0.5, seed=0)),
        ({"top_p": 1.0, "temperature": 0.1}, replace(WARM, temperature=0.1, top_p=1.0)),
        ({"temperature": 1.5}, replace(WARM, temperature=0.2)),
    ],
    ids=str,
)
def test_what_the_caller_says_of_sampling_holds_in_every_list_of_calls(given, sampling):
    model = Model(([ROME], True), ([OSLO], True))
    model.sampling_defaults = WARM
    assert called(model, "What is the weather in Rome and in Oslo?", **given) == [ROME, OSLO]
    assert model.samplings == [sampling, sampling]
