"""What a request names: which calls are missing, and which only vary what was called for."""

from __future__ import annotations

import json

import pytest

from localassist.engine.tool_dialect import Call
from localassist.runs.named import Named, choices_of, covers


def call(name="f", /, **arguments):
    return Call(name, json.dumps(arguments))


SCHEMAS = [
    {"parameters": {"properties": {"city": {}, "unit": {"anyOf": [{"enum": ["kelvin", 7]}]}}}}
]
ROUTE = "Get directions from Sydney to Melbourne using the fastest route."
FASTEST = call(start="Sydney", end="Melbourne", kind="fastest")


@pytest.mark.parametrize(
    ("request_", "first", "second"),
    [
        (ROUTE, FASTEST, call(start="Sydney", end="Melbourne", kind="scenic")),
        ("The temperature in Rome", call(city="Rome", unit="C"), call(city="Rome", unit="kelvin")),
        ("5 heads in 10 tosses", call(heads=5, of=10, p=0.5), call(heads=5, of=10, p=0.3)),
        ("Prices of the last 2 weeks", call(span="2 weeks"), call(span="1 month")),
        ("Is it open on Friday?", call(day="Friday", late=False), call(day="Friday", late=True)),
        ("The weather in Rome", call(city="Rome"), call(city="Rome", days=3)),
        ("What is the price of it?", call(q="The price"), call(q="What is the colour of it?")),
    ],
)
def test_what_differs_in_nothing_that_was_named_is_a_variation(request_, first, second):
    assert Named(request_).is_variation(second, [first])


@pytest.mark.parametrize(
    ("request_", "first", "second"),
    [
        ("The weather in Rome and Oslo", call(city="Rome"), call(city="Oslo")),
        ("in Celsius and in Fahrenheit", call(unit="celsius"), call(unit="fahrenheit")),
        ("for 5, 10 and 15 years", call(years=5), call(years=15)),
        ("at 3% and at 5%", call(rate=0.03), call(rate=0.05)),
        ("for two and for three people", call(people=2), call(people=3)),
        ("Shares of Apple and Microsoft", call(symbol="AAPL"), call(symbol="MSFT")),
        ("Each kind of route to Rome", call(kind="fastest"), call(kind="scenic")),
        ("Rome on 2024-01-05 and 2024-01-06", call(day="2024-01-05"), call(day="2024-01-06")),
        ("List my files", call("list_files"), call("count_files")),
        ("The ages of Ann, Bo", call(who=["Ann"]), call(who=["Bo"])),
    ],
)
def test_what_was_named_or_belongs_to_another_function_is_no_variation(request_, first, second):
    assert not Named(request_).is_variation(second, [first])


def test_a_text_may_stand_for_what_is_named_and_missing_but_a_choice_does_not():
    named = Named("Weather in the capitals of France and Italy", choices=choices_of(SCHEMAS))
    paris, rome, bern = (call(city=city, unit="celsius") for city in ("Paris", "Rome", "Bern"))

    assert not named.is_variation(rome, [paris])
    assert named.is_variation(bern, [paris, rome])
    assert named.is_variation(call(city="Paris", unit="kelvin"), [paris])


def test_instructions_name_values_too():
    celsius, fahrenheit = call(unit="celsius"), call(unit="fahrenheit")
    assert Named("How warm is it?").is_variation(fahrenheit, [celsius])
    told = ["Give temperatures in Celsius and Fahrenheit."]
    assert not Named("How warm is it?", told=told).is_variation(fahrenheit, [celsius])


def test_where_one_thing_is_wanted_nothing_is_missing():
    assert not Named("Tell Tom that the meeting with Lisa is at 3.").missing_in([call(to="Tom")])


def test_what_is_named_and_in_no_call_is_missing():
    named = Named("Play songs by Taylor Swift and Maroon 5, for 20 and for 15 minutes.")
    missing = named.missing_in([call(artist="Taylor Swift", minutes=20)])

    assert covers(call(artist="Maroon 5", minutes=20), missing)
    assert covers(call(artist="Taylor Swift", minutes=15), missing)
    assert not covers(call(artist="Taylor Swift", minutes=30), missing)
    assert not named.missing_in(
        [call(artist="Taylor Swift", minutes=20), call(artist="Maroon 5", minutes=15)]
    )


@pytest.mark.parametrize("text", ["", "Hello!", "What is the weather? Please tell me. Thanks."])
def test_the_first_words_of_sentences_are_no_names(text):
    assert not Named(text).entities
