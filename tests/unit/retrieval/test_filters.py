"""Filters of a search: which attributes pass."""

from __future__ import annotations

import pytest

from localassist import BadRequestError
from localassist.retrieval.filters import compiled

BOOK = {"year": 1961, "title": "Harbours", "open": True}


def compare(kind, key, value):
    return {"type": kind, "key": key, "value": value}


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (compare("eq", "year", 1961), True),
        (compare("eq", "year", 1962), False),
        (compare("eq", "title", "harbours"), False),
        (compare("eq", "open", True), True),
        (compare("ne", "year", 1961), False),
        (compare("ne", "year", 1962), True),
        (compare("gt", "year", 1961), False),
        (compare("gt", "year", 1960.5), True),
        (compare("gte", "year", 1961), True),
        (compare("gte", "year", 1962), False),
        (compare("lt", "year", 1961), False),
        (compare("lt", "title", "I"), True),
        (compare("lte", "year", 1961), True),
        (compare("lte", "year", 1960), False),
        (compare("in", "year", [1960, 1961]), True),
        (compare("in", "year", []), False),
        (compare("nin", "year", [1960, 1961]), False),
        (compare("nin", "year", [1960]), True),
    ],
)
def test_a_comparison(wanted, passes):
    assert compiled(wanted)(BOOK) == passes


@pytest.mark.parametrize("kind", ["eq", "gt", "gte", "lt", "lte"])
def test_what_a_file_does_not_have_is_not_equal_and_not_more_or_less(kind):
    assert not compiled(compare(kind, "pages", 1))(BOOK)
    assert compiled(compare("ne", "pages", 1))(BOOK)
    assert not compiled(compare("in", "pages", [1]))(BOOK)
    assert compiled(compare("nin", "pages", [1]))(BOOK)


@pytest.mark.parametrize("kind", ["gt", "gte", "lt", "lte"])
def test_a_number_and_a_text_have_no_order(kind):
    assert not compiled(compare(kind, "title", 5))(BOOK)
    assert not compiled(compare(kind, "year", "5"))(BOOK)


YES, NO = compare("eq", "year", 1961), compare("eq", "year", 0)


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({"type": "and", "filters": [YES, YES]}, True),
        ({"type": "and", "filters": [YES, NO]}, False),
        ({"type": "or", "filters": [NO, YES]}, True),
        ({"type": "or", "filters": [NO, NO]}, False),
        ({"type": "and", "filters": [YES, {"type": "or", "filters": [NO, YES]}]}, True),
        ({"type": "or", "filters": [NO, {"type": "and", "filters": [YES, NO]}]}, False),
    ],
)
def test_filters_are_combined(wanted, passes):
    assert compiled(wanted)(BOOK) == passes


def nested(depth):
    wanted = YES
    for _ in range(depth):
        wanted = {"type": "and", "filters": [wanted]}
    return wanted


@pytest.mark.parametrize(
    ("wanted", "param", "code"),
    [
        ([], "filters.type", "invalid_value"),
        ({}, "filters.type", "invalid_value"),
        (compare("like", "a", "b"), "filters.type", "invalid_value"),
        ({"type": "eq", "value": 1}, "filters.key", "missing_required_parameter"),
        ({"type": "eq", "key": "a"}, "filters.value", "missing_required_parameter"),
        ({**YES, "more": 1}, "filters.more", "unknown_parameter"),
        (compare("eq", 5, "b"), "filters.key", "invalid_type"),
        (compare("eq", "a", None), "filters.value", "invalid_type"),
        (compare("eq", "a", [1]), "filters.value", "invalid_type"),
        (compare("in", "a", 1), "filters.value", "invalid_type"),
        (compare("in", "a", [[1]]), "filters.value", "invalid_type"),
        ({"type": "and"}, "filters.filters", "missing_required_parameter"),
        ({"type": "and", "filters": []}, "filters.filters", "invalid_type"),
        ({"type": "and", "filters": YES}, "filters.filters", "invalid_type"),
        (
            {"type": "or", "filters": [YES, {"type": "eq", "key": "a"}]},
            "filters.filters[1].value",
            "missing_required_parameter",
        ),
    ],
)
def test_what_is_no_filter_is_refused_by_its_place(wanted, param, code):
    with pytest.raises(BadRequestError) as caught:
        compiled(wanted)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.status == 400


def test_filters_nest_only_so_deep():
    assert compiled(nested(8))(BOOK)
    for depth in (9, 500):
        with pytest.raises(BadRequestError):
            compiled(nested(depth))
