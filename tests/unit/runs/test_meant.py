"""Which functions the parts of a request are for, by numbers."""

from __future__ import annotations

import pytest

from localassist.engine.tool_dialect import Call
from localassist.retrieval.nearness import Part
from localassist.runs.meant import Meant

NAMES = ["weather", "table", "mail"]
WEATHER, TABLE, MAIL = (Call(name, "{}") for name in NAMES)


def meant(*parts):
    return Meant(NAMES, [Part(*each) for each in parts])


@pytest.mark.parametrize(
    ("parts", "functions"),
    [
        ([], set()),
        ([("a", [0.8, 0.2, 0.1])], {"weather"}),
        ([("a", [0.8, 0.2, 0.1]), ("b", [0.1, 0.6, 0.2])], {"weather", "table"}),
        ([("a", [0.4, 0.1, 0.1])], set()),  # not near enough
        ([("a", [0.8, 0.75, 0.1])], set()),  # no nearer than another one
    ],
)
def test_a_part_is_for_the_function_that_it_is_much_nearer_to(parts, functions):
    assert meant(*parts).functions == functions


@pytest.mark.parametrize(
    "text",
    [
        "do not book a table",
        "Don't book a table",
        "Don\u2019t book a table",
        "I already booked a table",
        "if it rains book a table",
        "book no table",
        "Never book a table",
    ],
)
def test_what_is_not_or_not_yet_to_be_done_is_not_meant(text):
    assert meant((text, [0.1, 0.9, 0.1])).functions == set()
    assert meant(("Notify me, and book it", [0.1, 0.9, 0.1])).functions == {"table"}


def test_what_is_meant_and_not_called_is_missing():
    both = meant(("a", [0.8, 0.2, 0.1]), ("b", [0.1, 0.6, 0.2]))
    assert both.missing_in([WEATHER]) == {"table"}
    assert both.missing_in([TABLE, WEATHER, MAIL]) == frozenset()


class Near:
    """Compares by letters: a part is near to what begins with the same one."""

    def of_parts(self, request, offers):
        parts = request.split(". ")
        return [Part(part, [float(one[0] == part[0]) for one in offers]) for part in parts]


OFFERS = {"weather": "Weather of a place.", "table": "Table in a restaurant.", "mail": "Mail."}


@pytest.mark.parametrize(
    ("request_text", "functions"),
    [
        ("Weather in Rome. Mail it to Ann", {"weather", "mail"}),
        ("Translate it. Mail it to Ann", set()),
        ("Weather report, summarised. Mail", set()),
        ("Would you. To somewhere", {"weather", "table"}),
    ],
)
def test_what_a_text_says_that_is_to_be_worked_on_is_not_meant(request_text, functions):
    assert Meant.by(request_text, Near(), OFFERS).functions == functions


def test_of_one_function_nothing_has_to_be_told():
    assert Meant.by("Weather in Rome", Near(), {"weather": "Weather."}).functions == frozenset()
