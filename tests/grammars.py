"""Grammars of tests, a vocabulary of one's own, and how a constraint is followed byte by byte."""

from __future__ import annotations

import json

from localassist.engine.chat_template import ChatMessage
from localassist.engine.constraint import Grammar
from localassist.engine.request import GenerationRequest, SamplingParams
from localassist.engine.scripted import ScriptedBackend
from localassist.engine.thread_engine import ThreadEngine

INTEGER = {"type": "integer"}
OBJECT = {"type": "object", "properties": {"a": INTEGER, "b": INTEGER}}
CLOSED = {"type": "object", "additionalProperties": False}


class Vocabulary:
    """All bytes, then `pieces`, of which those that are listed in `ends` end an answer."""

    def __init__(self, *pieces, ends):
        self.texts = [bytes([byte]) for byte in range(256)] + [*pieces]
        self.n_vocab = len(self.texts)
        self.ends = ends

    def token_bytes(self, token):
        return self.texts[token]

    def is_end(self, token):
        return token in self.ends

    def tokenize(self, text, *, parse_special):
        return list(text.encode())


def schema(value, **options):
    return Grammar("json_schema", json.dumps(value), **options)


def follow(constraint, data):
    """Feed `data` byte by byte; False as soon as a byte may not follow."""
    for byte in data:
        if not constraint.allows(byte):
            return False
        constraint.accept(byte)
    return True


def answer(grammar, reply, *, temperature=0.0, seed=1):
    """What the engine says, and why it stops, when its model wants to say `reply`."""
    engine = ThreadEngine(ScriptedBackend(lambda _: reply), name="scripted")
    try:
        request = GenerationRequest(
            engine.encode_chat([ChatMessage("user", "?")]),
            sampling=SamplingParams(temperature=temperature, seed=seed),
            constraint=engine.constrain(grammar),
        )
        events = list(engine.submit(request))
    finally:
        engine.close()
    return "".join(event.text for event in events), events[-1].finish_reason
