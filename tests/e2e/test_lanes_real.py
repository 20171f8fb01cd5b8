"""Two lanes of llama.cpp: what is computed apart is what each conversation would get alone."""

from __future__ import annotations

import pytest
from conftest import SMALL, SMOL

from localassist.engine.backend import DecodeAbortedError
from localassist.engine.gguf import read_header
from localassist.engine.llama_backend import LlamaBackend
from localassist.engine.scheduler import Chunk

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

PROMPTS = ("Once upon a time there was a lighthouse, and in it", "The recipe begins with flour,")
NUM_TOKENS = 24


class Conversation:
    """A sequence id that is continued greedily."""

    def __init__(self, backend, seq_id, prompt):
        self.backend, self.seq_id = backend, seq_id
        self.tokens = backend.tokenize(prompt, parse_special=False)
        self.num_computed = 0

    def chunk(self):
        new = self.tokens[self.num_computed :]
        return Chunk(None, self.seq_id, new, self.num_computed, num_logits=1)

    def take(self, rows):
        self.num_computed = len(self.tokens)
        self.tokens.append(int(rows[0].argmax()))

    def step(self):
        self.take(self.backend.decode([self.chunk()])[0])


@pytest.fixture(params=[SMOL, SMALL])
def backend(weights, request):
    path = weights(request.param)
    template = read_header(path).chat_template
    backend = LlamaBackend(path, n_ctx=512, n_threads=2, chat_template=template, side_ctx=256)
    yield backend
    backend.close()


def answers_alone(backend):
    alone = []
    for prompt in PROMPTS:
        conversation = Conversation(backend, 0, prompt)
        for _ in range(NUM_TOKENS):
            conversation.step()
        alone.append(conversation.tokens)
        backend.truncate(0, 0)
    return alone


def test_answers_computed_apart_are_those_of_each_alone(backend):
    alone = answers_alone(backend)
    pair = [Conversation(backend, seq_id, prompt) for seq_id, prompt in enumerate(PROMPTS)]
    for conversation in pair:
        conversation.step()
    for step in range(NUM_TOKENS - 1):
        if step % 5 == 4:  # now and then alone, so that tokens go from lane to lane
            for conversation in pair:
                conversation.step()
            continue
        rows = backend.decode_apart([conversation.chunk() for conversation in pair])
        for conversation, own in zip(pair, rows, strict=True):
            conversation.take(own)
        pair.reverse()
    pair.sort(key=lambda conversation: conversation.seq_id)
    assert [conversation.tokens for conversation in pair] == alone


def test_both_lanes_give_up_when_told_to_and_go_on_where_they_were(backend):
    alone = answers_alone(backend)
    pair = [Conversation(backend, seq_id, prompt) for seq_id, prompt in enumerate(PROMPTS)]
    for conversation in pair:
        conversation.step()
    for step in range(NUM_TOKENS - 1):
        if step % 6 == 3:
            backend.abort()
            with pytest.raises(DecodeAbortedError):
                backend.decode_apart([conversation.chunk() for conversation in pair])
            backend.resume()
        rows = backend.decode_apart([conversation.chunk() for conversation in pair])
        for conversation, own in zip(pair, rows, strict=True):
            conversation.take(own)
    assert [conversation.tokens for conversation in pair] == alone


def test_two_rows_apart_are_timed(backend):
    assert 0 < backend.time_apart() < 10
    backend.abort()
    assert backend.time_apart() is None
