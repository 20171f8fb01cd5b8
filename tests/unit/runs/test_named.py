"""What a request names: which calls are missing, and which only vary what was called for."""

from __future__ import annotations

import json

import pytest

from localassist.engine.tool_dialect import Call
from localassist.runs.named import Named, covers, says_all_of


def call(name="f", /, **arguments):
    return Call(name, json.dumps(arguments))


ROUTE = "Get directions from Sydney to Melbourne using the fastest route."
FASTEST = call(start="Sydney", end="Melbourne", kind="fastest")


@pytest.mark.parametrize(
    ("request_", "first", "second"),
    [
        (ROUTE, FASTEST, call(start="Sydney", end="Melbourne", kind="scenic")),
        ("The temperature in Rome", call(city="Rome", unit="C"), call(city="Rome", unit="kelvin")),
        ("5 heads in 10 tosses", call(heads=5, of=10, p=0.5), call(heads=5, of=10, p=0.3)),
        ("Prices of the last 2 weeks", call(span="2 weeks"), call(span="1 month")),
        ("Convert 100 dollars to euros", call(sum=100), call(sum=250)),
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
        ("Convert 10 dollars or 100", call(sum=10), call(sum=100)),
        ("Is Austria larger than Australia?", call(of="Austria"), call(of="Australia")),
        ("The capitals of France and Italy", call(city="Paris"), call(city="Rome")),
        ("Rome today and tomorrow", call(day="2024-06-01"), call(day="2024-06-02")),
        ("With VAT and without it", call(vat=True), call(vat=False)),
        ("Details of the first two", call(of="Oslo"), call(of="Rome")),
    ],
)
def test_what_was_named_or_belongs_to_another_function_is_no_variation(request_, first, second):
    assert not Named(request_).is_variation(second, [first])


def test_instructions_name_values_too():
    celsius, fahrenheit = call(unit="celsius"), call(unit="fahrenheit")
    assert Named("How warm is it?").is_variation(fahrenheit, [celsius])
    told = ["Give temperatures in Celsius and in Fahrenheit."]
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


@pytest.mark.parametrize(("text", "missing"), [("5,7,9", "7"), ("1,000, 2.5 or 3", "3")])
def test_a_comma_joins_groups_of_three_digits_only(text, missing):
    named = Named(f"Factorial of {text}")
    assert covers(call(of=int(missing)), named.missing_in([call(of=5), call(of=1000)]))
    assert not covers(call(of=579), named.entities)


def test_a_text_to_work_on_names_nothing_that_is_missing():
    people = ", ".join(f"Ann{chr(97 + number)} Smith{number}" for number in range(20))
    assert not Named(f"Save this as a note: {people}").missing_in([call(note="people")])


def test_a_call_that_says_more_than_another_one_does_it_again():
    table = call("book", place="Luigi's", day="Friday")
    more = call("book", day="Friday", place="Luigi's", note="Ann is allergic")

    assert says_all_of(more, [table])
    assert not says_all_of(call("book", place="Luigi's", day="Sunday", note="Ann"), [table])
    assert not says_all_of(call("note", place="Luigi's", day="Friday"), [table])
