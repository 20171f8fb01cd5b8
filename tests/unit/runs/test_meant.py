"""Which functions the parts of a request are for, by numbers."""

from __future__ import annotations

import pytest

from localassist.engine.tool_dialect import Call
from localassist.runs.meant import Meant

NAMES = ["weather", "table", "mail"]
WEATHER, TABLE, MAIL = (Call(name, "{}") for name in NAMES)


@pytest.mark.parametrize(
    ("cosines", "surely", "possibly"),
    [
        ([], set(), set()),
        ([[0.8, 0.2, 0.1]], {"weather"}, {"weather"}),
        ([[0.8, 0.2, 0.1], [0.1, 0.6, 0.2]], {"weather", "table"}, {"weather", "table"}),
        ([[0.4, 0.1, 0.1]], set(), {"weather"}),  # not near enough
        ([[0.8, 0.75, 0.1]], set(), {"weather", "table"}),  # no nearer than another one
    ],
)
def test_a_part_is_for_the_function_that_it_is_much_nearer_to(cosines, surely, possibly):
    meant = Meant(NAMES, cosines)
    assert (meant.surely, meant.possibly) == (surely, possibly)


def test_what_is_meant_and_not_called_is_missing():
    meant = Meant(NAMES, [[0.8, 0.2, 0.1], [0.1, 0.6, 0.2]])
    assert meant.missing_in([WEATHER]) == {"table"}
    assert meant.missing_in([TABLE, WEATHER, MAIL]) == frozenset()


def test_calls_that_no_part_is_for_are_left_out_unless_all_are_such():
    meant = Meant(NAMES, [[0.8, 0.2, 0.1]])
    assert meant.among([WEATHER, MAIL, WEATHER]) == [WEATHER, WEATHER]
    assert meant.among([MAIL, TABLE]) == [MAIL, TABLE]
    assert Meant(NAMES, []).among([WEATHER, MAIL]) == [WEATHER, MAIL]


class Near:
    """Compares by letters: a part is near to what begins with the same one."""

    def of_parts(self, request, offers):
        return [[float(one[0] == part[0]) for one in offers] for part in request.split(". ")]


OFFERS = {"weather": "Weather of a place.", "table": "Table in a restaurant.", "mail": "Mail."}


@pytest.mark.parametrize(
    ("request_text", "surely"),
    [
        ("Weather in Rome. Mail it to Ann", {"weather", "mail"}),
        ("Translate it. Mail it to Ann", set()),
        ("Weather report, summarised. Mail", set()),
        ("Would you. To somewhere", {"weather", "table"}),
    ],
)
def test_what_a_text_says_that_is_to_be_worked_on_is_not_meant(request_text, surely):
    assert Meant.by(request_text, Near(), OFFERS).surely == surely


def test_of_one_function_nothing_has_to_be_told():
    assert Meant.by("Weather in Rome", Near(), {"weather": "Weather."}).possibly == frozenset()
