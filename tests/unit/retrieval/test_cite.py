"""Citations are proven: by meaning and rare words, by every number and every name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from watched_embedder import real_embedder

from localassist.retrieval.cite import Citer, Source, evidence

PORT = (
    "The harbour of Oslo was enlarged in 1961. Its new quay is made of granite, and 40 ships can "
    "lie there at once."
)
REPORT = (
    "Net sales increased 12% to $4.3 billion in fiscal 2023. Mrs. Berg, the treasurer, expects "
    "1,250 new customers.\nThe U.S. market grew fastest."
)
SOURCES = [Source("file-a", "port.pdf", 1, PORT), Source("file-b", "report.pdf", 2, REPORT)]


@pytest.fixture(scope="module")
def citer():
    return Citer(SOURCES, real_embedder().encode)


@pytest.mark.parametrize(
    ("sentence", "index", "quote"),
    [
        ("The harbour of Oslo was enlarged in 1961.", 0, "enlarged in 1961."),
        ("The new quay is built of granite.", 0, "made of granite"),
        ("There, 40 ships can lie at once.", 0, "40 ships"),
        ("Net sales rose by 12% to $4.3 billion in fiscal 2023.", 1, "$4.3 billion"),
        ("**Net sales** increased *12%* in fiscal 2023.", 1, "12%"),
        ("- The treasurer Berg expects 1250 new customers.", 1, "1,250 new customers."),
        ("2. The treasurer Berg expects 1,250 new customers.", 1, "1,250 new customers."),
        ("According to the report, the U.S. market grew fastest.", 1, "The U.S. market"),
    ],
)
def test_a_supported_sentence_has_a_quote_that_stands_in_the_passage(citer, sentence, index, quote):
    citation = citer.cite(sentence)
    assert citation is not None
    assert citation.index == index
    assert quote in citation.quote
    assert citation.quote in SOURCES[index].text


@pytest.mark.parametrize(
    "sentence",
    [
        "The harbour of Oslo was enlarged in 1962.",
        "There, 41 ships can lie at once.",
        "Net sales rose by 12% to $4.4 billion in fiscal 2023.",
        "The treasurer Berg expects 12,500 new customers.",
    ],
)
def test_a_wrong_number_is_not_cited(citer, sentence):
    assert citer.cite(sentence) is None


@pytest.mark.parametrize(
    "sentence",
    [
        "The harbour of Bergen was enlarged in 1961.",
        "The treasurer Lie expects 1,250 new customers.",
        "Net sales of NASA increased 12% in fiscal 2023.",
    ],
)
def test_a_wrong_name_is_not_cited(citer, sentence):
    assert citer.cite(sentence) is None


@pytest.mark.parametrize(
    "sentence",
    [
        "Penguins have never been fond of jazz music.",
        "Sure, here is the answer to your question.",
        "The files do not say who built the bridge.",
        "Was the harbour of Oslo enlarged in 1961?",
        "In 1961.",
        "",
        "   \n",
        "```",
    ],
)
def test_what_says_nothing_of_the_passages_is_not_cited(citer, sentence):
    assert citer.cite(sentence) is None


def test_a_number_of_another_passage_proves_nothing(citer):
    assert citer.cite("The harbour of Oslo was enlarged in 2023.") is None
    assert citer.cite("Net sales increased 40% in fiscal 2023.") is None


def test_the_files_name_is_known_too():
    source = Source("file-a", "Bergen 1999.pdf", 1, "The harbour was enlarged for larger ships.")
    citer = Citer([source], real_embedder().encode)
    citation = citer.cite("The harbour of Bergen was enlarged in 1999 for larger ships.")
    assert citation.quote == source.text
    assert citer.cite("The harbour of Oslo was enlarged in 1999 for larger ships.") is None


def test_the_passage_that_fits_best_is_cited():
    near = Source("file-b", "b.txt", None, "The harbour of Oslo was enlarged by the city in 1961.")
    citer = Citer([SOURCES[0], near], real_embedder().encode)
    assert citer.cite("In 1961 the city enlarged the harbour of Oslo.").index == 1


def test_without_passages_nothing_is_cited_and_nothing_embedded():
    def refuse(texts):
        raise AssertionError(texts)

    assert Citer([], refuse).cite("The harbour of Oslo was enlarged in 1961.") is None
    blank = Source("file-a", "a.txt", None, " \n 12 \n")
    assert Citer([blank], refuse).cite("The harbour of Oslo was enlarged in 1961.") is None


# --- evidence ---


def test_a_table_is_quoted_by_parts():
    table = "\n".join(f"In {year} there were {year - 1900} ships" for year in range(1950, 1980))
    parts = evidence(table)
    assert len(parts) > 1
    assert max(map(len, parts)) <= 400
    assert "\n".join(parts) == table


@given(
    st.lists(
        st.sampled_from(["ships ", "the harbour. ", "\n", "1961 ", "\n\n", "y" * 450, "Dr. Lie "]),
        max_size=60,
    ).map("".join)
)
def test_evidence_is_always_a_part_of_the_text(text):
    at, turns = 0, 0
    for part in evidence(text):
        assert part == part.strip()
        place = text.find(part, at)
        if place < 0:  # after the parts come the pairs of them, from the beginning again
            turns += 1
            place = text.find(part)
        assert place >= 0
        at = place + 1
    assert turns <= 1


@given(st.text(max_size=200))
def test_any_text_may_be_given(text):
    def encode(texts):
        return np.tile(np.float32(384**-0.5), (len(texts), 384))

    citation = Citer([Source("file-a", "a.txt", None, text)], encode).cite(text)
    assert citation is None or citation.quote in text
