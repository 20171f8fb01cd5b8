"""Rows that nobody reads: they make a step faster and leave nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SMALL, SMOL

from localassist.engine.backend import NoRoomError
from localassist.engine.gguf import read_header
from localassist.engine.llama_backend import LlamaBackend
from localassist.engine.scheduler import Chunk

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

N_CTX = 512
STORY = (
    "The harbour master kept a ledger of every ship that came in, and of some that did not. " * 9
)


@pytest.fixture(params=[SMOL, SMALL])
def backend(weights, request):
    path = weights(request.param)
    template = read_header(path).chat_template
    backend = LlamaBackend(path, n_ctx=N_CTX, n_threads=2, chat_template=template)
    yield backend
    backend.close()


def read(backend, tokens, *, start, num_rows=0, num_logits=1):
    chunk = Chunk(None, 0, tokens[start:], start, num_logits=num_logits)
    return [row.copy() for row in backend.decode([chunk], num_rows=num_rows)[0]]


@pytest.mark.parametrize(("num_tokens", "num_rows"), [(14, 16), (50, 64)])
def test_a_padded_prompt_is_understood_as_a_plain_one_is(backend, num_tokens, num_rows):
    tokens = backend.tokenize(STORY, parse_special=False)[: 100 + num_tokens]
    read(backend, tokens[:100], start=0)
    plain = read(backend, tokens, start=100, num_logits=2)
    backend.truncate(0, 100)
    padded = read(backend, tokens, start=100, num_rows=num_rows, num_logits=2)
    follows = [*tokens, int(padded[-1].argmax())]
    after = read(backend, follows, start=len(tokens))
    backend.truncate(0, 0)
    read(backend, tokens, start=0)
    whole = read(backend, follows, start=len(tokens))

    for one, other in [*zip(plain, padded, strict=True), *zip(after, whole, strict=True)]:
        # Other kernels round otherwise; another token seen would change this by far more.
        assert np.corrcoef(one, other)[0, 1] > 0.999


def test_padding_takes_no_room_for_longer_than_a_step(backend):
    tokens = backend.tokenize(STORY, parse_special=False)[:50]
    for _ in range(20):  # twice what the context holds
        read(backend, tokens, start=0, num_rows=64)
        backend.truncate(0, 0)
    for seq_id in range(N_CTX // 64):
        backend.decode([Chunk(None, seq_id, [*tokens, *tokens[:14]], 0, num_logits=1)])
    with pytest.raises(NoRoomError):
        backend.decode([Chunk(None, N_CTX // 64, tokens[:1], 0, num_logits=1)])
