"""Whether a request is near to what is on offer, by an embedder whose topics are words."""

from __future__ import annotations

import numpy as np
import pytest

from localassist.errors import MissingPackageError
from localassist.retrieval.nearness import Nearness

TOPICS = ("weather", "table", "triangle")
OFFERS = ["get weather. The weather of a place.", "book table. Books a table."]


class Topics:
    """A text's vector says which topics it names; it reads the first 1,000 characters."""

    def __init__(self):
        self.read = []

    def encode(self, texts):
        self.read += texts
        named = [[float(topic in text[:1000].lower()) for topic in TOPICS] for text in texts]
        return np.array([[*row, 0.5] for row in named], np.float32)


@pytest.fixture
def topics():
    return Topics()


@pytest.fixture
def nearness(topics):
    return Nearness(lambda: topics)


def test_a_request_is_as_near_as_the_nearest_offer(nearness):
    near = nearness.nearest("What is the weather in Rome?", OFFERS)
    far = nearness.nearest("What is the area of the triangle?", OFFERS)
    assert near == 1.25
    assert far == 0.25


def test_what_was_said_before_tells_what_is_meant(nearness):
    alone = nearness.nearest("And how is it in Berlin?", OFFERS)
    after = nearness.nearest(
        "And how is it in Berlin?", OFFERS, within=["", "What is the weather in Rome?"]
    )
    assert alone == 0.25
    assert after == 1.25


@pytest.mark.parametrize(
    "request_text",
    [
        "Wie wird das Wetter morgen in Berlin? weather",
        "Was ist die Hauptstadt von Frankreich?",
        "Was kostet eine Aktie von Apple?",
        "Ich will morgen einen Tisch im Nobu",
        "Wat was de temperatuur gisteren in Amsterdam?",
        "Kan du for meg finne været",
        "Was war gestern in Berlin?",
        "Hvad for et land er det?",
        "¿Qué tiempo hace hoy en Madrid?",
        "Quel temps fait-il à Paris demain ?",
        "Che tempo fa a Roma oggi?",
        "Hva er været i Oslo i dag?",
        "北京今天天气怎么样",
        "Какая погода в Москве?",
        "Oslo",
        "",
        "?!",
    ],
)
def test_of_what_is_not_english_nothing_is_said(nearness, topics, request_text):
    assert nearness.nearest(request_text, OFFERS) is None
    assert topics.read == []


def test_of_offers_in_other_letters_nothing_is_said(nearness):
    assert nearness.nearest("What is the weather?", [OFFERS[0], "查询天气。返回城市的天气"]) is None


def test_without_offers_nothing_is_said(nearness):
    assert nearness.nearest("What is the weather?", []) is None


def test_without_an_embedder_nothing_is_said():
    assert Nearness(lambda: None).nearest("What is the weather?", OFFERS) is None


@pytest.mark.parametrize("error", [MissingPackageError("no onnxruntime"), RuntimeError("cut off")])
def test_an_embedder_that_fails_is_told_of_once_and_not_tried_again(caplog, error):
    tried = []

    def broken():
        tried.append(1)
        raise error

    nearness = Nearness(broken)
    for _ in range(3):
        assert nearness.nearest("What is the weather?", OFFERS) is None
    assert len(tried) == 1
    assert str(error) in caplog.text


def test_of_offers_in_other_languages_nothing_is_said(nearness):
    offers = ["hent vaer. Henter været for en by.", "wetter holen. Liefert das Wetter der Stadt."]
    for offer in offers:
        assert nearness.nearest("What is the weather in Oslo?", [OFFERS[0], offer]) is None


def test_the_end_of_a_long_request_is_read_too(nearness):
    text = f"{'This is from the letter of a friend. ' * 100} What is the weather there?"
    assert nearness.nearest(text, OFFERS) == 1.25


def test_a_request_is_read_whole_however_much_was_said_before(nearness):
    before = "We spoke of the garden. " * 200
    assert nearness.nearest("What is the weather there?", OFFERS, within=[before]) == 1.25


# --- parts ---


def test_each_part_of_a_request_is_compared_with_each_offer(nearness):
    request = "Find out what the weather is, then get me a table. And the triangle of Rome?"
    assert nearness.of_parts(request, OFFERS) == [
        ("Find out what the weather is", [1.25, 0.25]),
        ("get me a table.", [0.25, 1.25]),
        ("And the triangle of Rome?", [0.25, 0.25]),
    ]


@pytest.mark.parametrize(
    ("request_text", "parts"),
    [
        ("How is the weather in Rome", ["How is the weather in Rome"]),
        ("Get me a table; what is it like?", ["Get me a table;", "what is it like?"]),
        ("Rain, snow and how to get a table", ["how to get a table"]),  # two words are no part
        ("Tell me more as well as you can do it", ["Tell me more", "you can do it"]),
        ("Translate 'book me a table and go there' and show it to me", ["show it to me"]),
        ('What is "get the weather. What then?" in French words?', ["What is in French words?"]),
        (
            "Show what's in Ann's letter and Bob's answer",
            ["Show what's in Ann's letter", "Bob's answer"],
        ),
        ('"Get me a table," she wrote. What is it?', ["What is it?"]),
        ('"Get me a table. What is it?"', ["Get me a table.", "What is it?"]),
        ("What    is\tthe weather", ["What is the weather"]),
        ("", []),
        ("Get it and go", []),
    ],
)
def test_a_request_is_parted_where_it_may_go_on_with_something_else(
    nearness, topics, request_text, parts
):
    nearness.of_parts(request_text, OFFERS)
    assert [" ".join(text.split()) for text in topics.read if text not in OFFERS] == parts


def test_a_long_text_is_no_request_with_parts(nearness, topics):
    assert nearness.of_parts("It is what it is. " * 33, OFFERS) == []
    assert nearness.of_parts("What is the weather" + " " * 250_000 + "?", OFFERS) == []
    assert topics.read == []


def test_of_parts_that_are_not_english_nothing_is_said(nearness):
    assert nearness.of_parts("Wie ist das Wetter? Was kostet ein Tisch?", OFFERS) == []
    assert Nearness(lambda: None).of_parts("What is the weather?", OFFERS) == []


def test_an_offer_is_read_once(nearness, topics):
    for _ in range(3):
        nearness.nearest("What is the weather?", [*OFFERS, OFFERS[0]])
    assert [topics.read.count(offer) for offer in OFFERS] == [1, 1]


def test_what_is_known_of_offers_is_bounded_and_stays_right(nearness, topics):
    for number in range(2000):
        offers = [f"offer {number}. The weather.", OFFERS[1]]
        assert nearness.nearest("What is the weather?", offers) == 1.25
    # However many there were, those that come again and again are known most of the time.
    assert topics.read.count(OFFERS[1]) < 20
