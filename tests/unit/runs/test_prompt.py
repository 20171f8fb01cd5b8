from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.chat_template import ChatMessage
from localassist.runs.prompt import build
from localassist.types.message import Message


def messages(sizes):
    roles = ["user", "assistant"]
    return [
        Message.model_validate(
            {
                "id": f"msg_{i}",
                "thread_id": "thread_1",
                "role": roles[i % 2],
                "created_at": 1,
                "content": [{"type": "text", "text": {"value": f"{i:03}" + "x" * size}}],
            }
        )
        for i, size in enumerate(sizes)
    ]


def encode(turns):
    """A token a character, and two for a turn's frame."""
    return [ord(c) for turn in turns for c in f"<{turn.content}>"]


def text(prompt):
    return "".join(map(chr, prompt.tokens))


def test_everything_is_kept_while_it_fits():
    prompt = build(messages([5, 5, 5]), instructions="sys", max_tokens=100, encode=encode)
    assert prompt.num_dropped == 0
    assert text(prompt).startswith("<sys><000xxxxx>")


def test_the_oldest_go_first_and_the_instructions_stay():
    prompt = build(messages([95] * 20), instructions="sys", max_tokens=1000, encode=encode)
    assert prompt.num_dropped > 0
    assert text(prompt).startswith("<sys>")
    assert "<019x" in text(prompt)
    assert "<000x" not in text(prompt)


def test_the_cut_stays_put_for_several_turns():
    cuts = [
        build(messages([95] * n), instructions=None, max_tokens=1000, encode=encode).num_dropped
        for n in range(10, 40)
    ]
    changes = sum(a != b for a, b in pairwise(cuts))
    assert cuts[-1] > 0
    assert changes <= 4


def test_nothing_fits_if_the_last_message_does_not():
    history = messages([5, 2000])
    assert build(history, instructions=None, max_tokens=1000, encode=encode) is None
    assert build([], instructions="i" * 2000, max_tokens=1000, encode=encode) is None


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40), st.integers(50, 1500))
def test_a_prompt_is_the_end_of_the_conversation_and_fits(sizes, max_tokens):
    history = messages(sizes)
    prompt = build(history, instructions="sys", max_tokens=max_tokens, encode=encode)
    if prompt is None:
        assert 5 + sizes[-1] + 5 > max_tokens
    else:
        assert len(prompt.tokens) <= max_tokens
        kept = "".join(f"<{m.text}>" for m in history[prompt.num_dropped :])
        assert text(prompt) == "<sys>" + kept


def test_calls_stand_before_their_message_and_go_with_it():
    calls = {
        f"msg_{number}": [ChatMessage("assistant", f"call{number}"), ChatMessage("user", "gave")]
        for number in (1, 19)
    }
    whole = build(messages([5] * 20), instructions=None, max_tokens=999, calls=calls, encode=encode)
    assert "<000xxxxx><call1><gave><001xxxxx><002" in text(whole)
    assert text(whole).endswith("<call19><gave><019xxxxx>")
    cut = build(messages([95] * 20), instructions=None, max_tokens=999, calls=calls, encode=encode)
    assert cut.num_dropped > 1
    assert "call1>" not in text(cut)
    assert "<call19><gave><019" in text(cut)
    assert len(cut.tokens) <= 999
