"""llama.cpp's notation of grammars: its characters by number, and what only looks like Lark's."""

from __future__ import annotations

import pytest
from grammars import follow

from localassist import BadRequestError
from localassist.engine.constraint import ByteVocabulary, Grammar, GrammarCompiler

BYTES = GrammarCompiler(ByteVocabulary())


def admits(source, text):
    constraint = BYTES.compile(Grammar("gbnf", source))
    return follow(constraint, text.encode()) and constraint.accepting


@pytest.mark.parametrize(
    ("source", "inside", "outside"),
    [
        (r'root ::= "\u00e9"', ["\u00e9"], ["e9", r"\u00e9", "\u0e90", "e"]),
        (r'root ::= "caf\u00e9" "\u0021"', ["caf\u00e9!"], ["cafe!", "caf\u00e9"]),
        (r"root ::= [\u00e0-\u00ff]+", ["\u00e0", "\u00e9\u00ff"], ["a", "\u00df", "\u0100", ""]),
        (r"root ::= [^\u00e9]", ["e", "\u00e8"], ["\u00e9"]),
        (r'root ::= "\U0001F600"', ["\U0001f600"], ["\u1f600", "1F600"]),
        (r"root ::= [\U0001F600-\U0001F64F]", ["\U0001f60a"], ["\U0001f650", "F"]),
        (r'root ::= "\u20ac"', ["\u20ac"], ["20ac"]),
        (r'root ::= "\\u00e9"', [r"\u00e9"], ["\u00e9", r"\\u00e9"]),
        (r'root ::= "\\\u00e9"', ["\\\u00e9"], [r"\u00e9", r"\\u00e9"]),
        (r'root ::= "\u0041\u005c\u0022\u000a"', ['A\\"\n'], ["A", 'A\\"n']),
        (r"root ::= [\u005d\u002d\u005e]+", ["]-^"], ["\\", "["]),
        (r'root ::= "\x41" "\n"', ["A\n"], ["x41"]),
        ('root ::= "\u00e9"', ["\u00e9"], ["e"]),
    ],
)
def test_a_character_may_be_given_by_its_number(source, inside, outside):
    assert [text for text in inside if not admits(source, text)] == []
    assert [text for text in outside if admits(source, text)] == []


@pytest.mark.parametrize(
    "source",
    [
        'root ::= start\nstart ::= "a"',
        'start ::= "a"\nroot ::= start',
        'root ::= start start-1\nstart ::= "a"\nstart-1 ::= ""',
        'root ::= start start_1\nstart ::= "a"\nstart_1 ::= ""',
        'root ::= Start start start2\nStart ::= start2 "a"\nstart ::= ""\nstart2 ::= ""',
    ],
)
def test_a_rule_may_be_called_as_larks_first_one(source):
    assert admits(source, "a")
    assert not admits(source, "b")


@pytest.mark.parametrize("source", ['start: "a"', '%llguidance {}\nstart: "a"'])
def test_larks_notation_is_another_one(source):
    with pytest.raises(BadRequestError) as caught:
        BYTES.compile(Grammar("gbnf", source))
    assert caught.value.code == "invalid_grammar"


@pytest.mark.parametrize("number", ["ud83d", "U00110000", "u12", "U1F600"])
def test_what_is_the_number_of_no_character_is_refused(number):
    with pytest.raises(BadRequestError) as caught:
        BYTES.compile(Grammar("gbnf", f'root ::= "\\{number}"'))
    assert caught.value.code == "invalid_grammar"
