"""Ranking: questions as full-text queries, and one order out of several."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.ranking import RRF_K, fused, match_query, words

RANKINGS = st.lists(st.lists(st.integers(0, 20), unique=True, max_size=10), max_size=4)


def test_words_are_those_that_say_something():
    assert words("What is the Harbour of the harbour?") == ["harbour"]
    assert words("Who is it?") == ["who", "is", "it"]
    assert words("?!") == []


def test_a_question_is_a_query_for_any_of_its_words():
    assert match_query("When was the harbour enlarged?") == '"harbour" OR "enlarged"'
    assert match_query("?") == ""


@pytest.fixture
def search():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5 (text, tokenize = 'porter')")
    connection.execute("INSERT INTO t VALUES ('near and not or column harbour')")

    def rows(query):
        return connection.execute("SELECT rowid FROM t WHERE t MATCH ?", (query,)).fetchall()

    yield rows
    connection.close()


@pytest.mark.parametrize(
    "text",
    [
        "NEAR(harbour)",
        'a "harbour',
        "harbour AND NOT (",
        "text:harbour*",
        "^harbour {x}",
        "har\0 harbour",
    ],
)
def test_nothing_in_a_question_is_an_operator(search, text):
    assert search(match_query(text)) == [(1,)]


@given(st.text(max_size=200))
def test_every_question_makes_a_query_that_sqlite_takes(text):
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE t USING fts5 (text)")
        if match_query(text):
            connection.execute("SELECT * FROM t WHERE t MATCH ?", (match_query(text),)).fetchall()
        else:
            assert words(text) == []
    finally:
        connection.close()


def test_a_very_long_question_is_cut():
    assert match_query(" ".join(f"w{i}" for i in range(5000))).count(" OR ") < 100


def test_what_both_have_comes_first():
    assert fused([[1, 2, 3], [4, 3, 5]])[0] == 3
    # 1/61 + 1/63 against 1/62 + 1/62: a first place is worth a little more.
    assert fused([[1, 2, 3], [3, 2, 1]])[-1] == 2
    assert RRF_K == 60


def test_one_ranking_stays_as_it_is():
    assert fused([[3, 1, 2]]) == fused([[3, 1, 2], []]) == [3, 1, 2]
    assert fused([]) == fused([[], []]) == []


def test_weights_decide_between_rankings():
    assert fused([[1, 2], [2, 1]], weights=[1.0, 0.1]) == [1, 2]
    assert fused([[1, 2], [2, 1]], weights=[0.1, 1.0]) == [2, 1]


@given(RANKINGS)
def test_everything_is_ranked_once(rankings):
    order = fused(rankings)
    assert sorted(order) == sorted({each for ranking in rankings for each in ranking})


@given(RANKINGS)
def test_what_is_before_another_everywhere_is_before_it_in_the_end(rankings):
    place = {each: at for at, each in enumerate(fused(rankings))}
    for one in place:
        for other in place:
            if one != other and all(
                one in ranking
                and (other not in ranking or ranking.index(one) < ranking.index(other))
                for ranking in rankings
            ):
                assert place[one] < place[other]
