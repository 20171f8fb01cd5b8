"""Two scripted contexts as lanes: whatever is computed where, together they are one context."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist import ModelTooLargeError
from localassist.engine.backend import (
    DecodeAbortedError,
    DecodeError,
    NoRoomError,
    RestoreError,
)
from localassist.engine.chat_template import ChatMessage
from localassist.engine.lanes import Lanes
from localassist.engine.request import GenerationRequest
from localassist.engine.scheduler import Chunk
from localassist.engine.scripted import ScriptedBackend
from localassist.engine.thread_engine import ThreadEngine

APART_S = 0.01


class Timed(ScriptedBackend):
    """A context in which further rows cost almost as much as the first one."""

    def __init__(self, reply=None, **options):
        super().__init__(reply, **options)
        self.num_decoded = 0
        self.threads = []

    def decode(self, chunks, *, num_rows=0):
        rows = super().decode(chunks, num_rows=num_rows)
        self.num_decoded += 1
        return rows

    def use_threads(self, num_threads):
        self.threads.append(num_threads)

    def time_rows(self, num_rows):
        return 0.02 * num_rows


class Plain(Timed):
    """A context of any tokens, whose rows say nothing."""

    def _row(self, cells):
        return super()._row([256, *b"assistant\n", 257, 256, *b"assistant\n"])


class Laned(Timed):
    """A backend of two lanes, as the one of llama.cpp is put together."""

    max_threads = 2

    def __init__(self, reply=None, *, n_ctx=4096, side_ctx=2048):
        super().__init__(reply, n_ctx=n_ctx)
        self.main, self.side = Timed(reply, n_ctx=n_ctx), Timed(reply, n_ctx=side_ctx)
        self.lanes = Lanes(self.main, num_threads=2, make_side=lambda: self.side, side_ctx=side_ctx)
        for name in (
            "decode", "decode_apart", "truncate", "copy_prefix", "save", "restore", "clear",
            "use_threads",
        ):  # fmt: skip
            setattr(self, name, getattr(self.lanes, name))

    @property
    def side_ctx(self):
        return self.lanes.side_ctx

    @side_ctx.setter
    def side_ctx(self, value):
        pass

    def time_apart(self):
        return APART_S

    def close(self):
        self.lanes.close()


def lanes_of(main=None, side=None, **options):
    main, side = main or Plain(), side or Plain()
    options = {"num_threads": 2, "side_ctx": side.n_ctx, "make_side": lambda: side, **options}
    return Lanes(main, **options)


def put(lanes, seq_id, tokens, start=0):
    return lanes.decode([chunk(seq_id, tokens, start)])


def chunk(seq_id, tokens, start):
    return Chunk(None, seq_id, list(tokens), start, num_logits=1)


def held(lanes, seq_id, length):
    return lanes.save(seq_id, start=0, end=length).view("int32").tolist()[1:]


# --- one context ---


@given(st.data())
def test_together_they_hold_what_one_context_would(data):
    lanes = lanes_of(side=Plain(n_ctx=40), side_ctx=40)
    truth: dict[int, list[int]] = {seq_id: [] for seq_id in range(4)}
    ids = st.integers(0, 3)
    for _ in range(data.draw(st.integers(1, 30))):
        what = data.draw(st.sampled_from(["decode", "apart", "truncate", "copy", "restore"]))
        seq_id, other = data.draw(ids), data.draw(ids)
        tokens = data.draw(st.lists(st.integers(1, 250), min_size=1, max_size=5))
        if what == "decode":
            lanes.decode([chunk(seq_id, tokens, len(truth[seq_id]))])
            truth[seq_id] += tokens
        elif what == "apart" and seq_id != other:
            if min(len(truth[seq_id]), len(truth[other])) >= lanes.side_ctx:
                continue
            pair = [chunk(each, tokens[:1], len(truth[each])) for each in (seq_id, other)]
            assert len(lanes.decode_apart(pair)) == len(pair)
            truth[seq_id] += tokens[:1]
            truth[other] += tokens[:1]
        elif what == "truncate":
            length = data.draw(st.integers(0, len(truth[seq_id])))
            lanes.truncate(seq_id, length)
            del truth[seq_id][length:]
        elif what == "copy" and seq_id != other and truth[seq_id]:
            length = data.draw(st.integers(1, len(truth[seq_id])))
            lanes.truncate(other, 0)
            lanes.copy_prefix(seq_id, other, length)
            truth[other] = truth[seq_id][:length]
        elif what == "restore":
            start = len(truth[seq_id])
            kept = Plain()
            kept.decode([chunk(0, [*truth[seq_id], *tokens], 0)])
            saved = kept.save(0, start=start, end=start + len(tokens))
            lanes.restore(seq_id, saved, start=start, end=start + len(tokens))
            truth[seq_id] += tokens
    for seq_id, tokens in truth.items():
        assert held(lanes, seq_id, len(tokens)) == tokens
    lanes.close()


def test_the_side_lane_is_made_when_two_are_computed_apart():
    made = []
    lanes = lanes_of(make_side=lambda: made.append(1) or Plain())
    put(lanes, 0, b"ab")
    put(lanes, 1, b"cd")
    assert not made
    lanes.decode_apart([chunk(0, b"x", 2), chunk(1, b"y", 2)])
    lanes.decode_apart([chunk(0, b"x", 3), chunk(1, b"y", 3)])
    assert made == [1]
    lanes.close()


def test_each_lane_has_half_of_the_threads():
    main, side = Plain(), Plain()
    lanes = lanes_of(main, side, num_threads=5)
    put(lanes, 0, b"ab")
    put(lanes, 1, b"cd")
    lanes.decode_apart([chunk(0, b"x", 2), chunk(1, b"y", 2)])
    put(lanes, 0, b"z", 3)
    assert (main.threads, side.threads) == ([5, 3, 5], [2])
    lanes.close()


def test_prompts_are_read_with_all_threads_and_answers_with_as_many_as_said():
    main = Plain()
    lanes = lanes_of(main, num_threads=5)
    lanes.use_threads(1)
    put(lanes, 0, b"a" * 8)
    put(lanes, 0, b"b", 8)
    assert main.threads == [5, 1]
    lanes.close()


def test_a_few_words_of_a_prompt_take_as_many_threads_as_said_until_they_are_padded():
    main = Plain()
    lanes = lanes_of(main, num_threads=5)
    lanes.use_threads(1)
    put(lanes, 0, b"a" * 7)
    assert main.threads == [1]
    lanes.decode([chunk(0, b"b" * 7, 7)], num_rows=8)
    assert main.threads == [1, 5]
    lanes.close()


def test_however_many_answers_or_drafts_take_as_many_threads_as_said():
    main = Plain()
    lanes = lanes_of(main, num_threads=5)
    lanes.use_threads(1)
    lanes.decode([chunk(seq_id, b"a", 0) for seq_id in range(32)])
    lanes.decode([chunk(seq_id, b"a", 1) for seq_id in range(7)], num_rows=8)
    lanes.decode([Chunk(None, 0, list(b"draft" * 8), 2, num_logits=40)])
    assert main.threads == [1]
    lanes.decode([*(chunk(seq_id, b"a", 2) for seq_id in range(1, 7)), chunk(7, b"ab", 1)])
    assert main.threads == [1, 5]
    lanes.close()


def test_a_pair_that_stays_is_not_copied_again():
    main, side = Plain(), Plain()
    lanes = lanes_of(main, side)
    for seq_id in (0, 1):
        put(lanes, seq_id, b"a" * 100)
    saves = []
    for each in (main, side):
        save = each.save
        each.save = lambda *args, save=save, **kwargs: saves.append(kwargs) or save(*args, **kwargs)
    for position in range(100, 120):
        pair = [chunk(0, b"x", position), chunk(1, b"y", position)]
        lanes.decode_apart(pair if position % 2 else pair[::-1])
    assert len(saves) == 1
    lanes.close()


def test_the_longer_one_stays_in_the_main_lane():
    main, side = Plain(), Plain(n_ctx=50)
    lanes = lanes_of(main, side, side_ctx=50)
    put(lanes, 0, b"a" * 20)
    put(lanes, 1, b"b" * 200)
    for position in range(10):
        lanes.decode_apart([chunk(0, b"x", 20 + position), chunk(1, b"y", 200 + position)])
    assert held(lanes, 1, 210) == list(b"b" * 200 + b"y" * 10)
    assert held(lanes, 0, 30) == list(b"a" * 20 + b"x" * 10)
    lanes.close()


# --- what goes wrong ---


def test_without_memory_for_the_side_lane_one_context_does_it():
    def make_side():
        raise ModelTooLargeError("No memory.")

    lanes = lanes_of(make_side=make_side)
    put(lanes, 0, b"ab")
    put(lanes, 1, b"cd")
    assert lanes.side_ctx > 0
    assert len(lanes.decode_apart([chunk(0, b"x", 2), chunk(1, b"y", 2)])) == len("xy")
    assert lanes.side_ctx == 0
    assert lanes.time_apart() is None
    assert held(lanes, 1, 3) == list(b"cdy")


def test_a_side_lane_that_takes_no_copies_is_used_no_more(caplog):
    side = Plain()
    lanes = lanes_of(side=side)

    def refuse(*args, **kwargs):
        raise RestoreError("no")

    side.restore = refuse
    put(lanes, 0, b"ab")
    put(lanes, 1, b"cd")
    assert len(lanes.decode_apart([chunk(0, b"x", 2), chunk(1, b"y", 2)])) == len("xy")
    assert lanes.side_ctx == 0
    assert "apart" in caplog.text
    assert held(lanes, 0, 3) == list(b"abx")
    lanes.close()


def test_a_failure_while_lanes_are_timed_is_told_when_neither_computes():
    main, side = Plain(), Plain()
    computing, failed = threading.Event(), threading.Event()
    lanes = lanes_of(main, side)

    def slow(num_rows):
        computing.set()
        failed.wait()
        computing.clear()
        return 0.01

    def fail(num_rows):
        computing.wait()
        failed.set()
        raise DecodeError("no")

    side.time_rows, main.time_rows = slow, fail
    with pytest.raises(DecodeError):
        lanes.time_apart()
    assert not computing.is_set()
    lanes.close()


@pytest.mark.parametrize("broken", ["main", "side"])
@pytest.mark.parametrize("error", [NoRoomError, DecodeAbortedError])
def test_a_failure_in_one_lane_leaves_both_as_they_were(broken, error):
    contexts = {"main": Plain(), "side": Plain()}
    lanes = lanes_of(**contexts)
    put(lanes, 0, b"ab")
    put(lanes, 1, b"cd")
    decode = contexts[broken].decode

    def fail(*args, **kwargs):
        decode(*args, **kwargs)
        raise error("no")

    contexts[broken].decode = fail
    with pytest.raises(error):
        lanes.decode_apart([chunk(0, b"x", 2), chunk(1, b"y", 2)])
    contexts[broken].decode = decode
    lanes.decode_apart([chunk(0, b"X", 2), chunk(1, b"Y", 2)])
    assert held(lanes, 0, 3) == list(b"abX")
    assert held(lanes, 1, 3) == list(b"cdY")
    lanes.close()


def test_what_the_main_lane_has_no_room_for_is_told():
    main, side = Plain(n_ctx=12), Plain(n_ctx=50)
    lanes = lanes_of(main, side)
    put(lanes, 0, b"ab")
    put(lanes, 1, b"cd")
    for position in range(2, 9):
        lanes.decode_apart([chunk(0, b"x", position), chunk(1, b"y", position)])
    with pytest.raises(NoRoomError):
        lanes.decode([chunk(0, b"x", 9), chunk(1, b"y", 9)])
    lanes.truncate(0, 2)
    put(lanes, 1, b"Y", 9)
    assert held(lanes, 1, 10) == list(b"cd" + b"y" * 7 + b"Y")
    lanes.close()


# --- in an engine ---


def calibrated(backend):
    """An engine that knows that two rows apart cost less than one after the other."""
    engine = ThreadEngine(backend, name="laned")
    while not engine._loop.pace.known:
        time.sleep(0.01)
    return engine


_MAIN_THREAD_ENDS = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from test_lanes import Laned, ask, calibrated

engine = calibrated(Laned(lambda text: f"{text}! " * 12))

def tell(text):
    threading.main_thread().join()
    answer = "".join(event.text for event in ask(engine, text))
    sys.stdout.write(f"{answer == f'{text}! ' * 12} ")  # one piece: print writes two
    sys.stdout.flush()

for text in ("one", "two"):
    threading.Thread(target=tell, args=(text,)).start()
"""


def test_answers_go_on_while_the_program_is_ending():
    command = [sys.executable, "-c", _MAIN_THREAD_ENDS, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_an_engine_whose_step_failed_answers_the_next_question():
    backend = Laned(lambda text: f"{text}! " * 12)
    engine = calibrated(backend)
    decode_apart = backend.decode_apart

    def fail(chunks):
        backend.decode_apart = decode_apart
        raise DecodeError("no")

    backend.decode_apart = fail
    for generation in [ask(engine, "one"), ask(engine, "two")]:
        with pytest.raises(DecodeError):
            list(generation)
    generations = [ask(engine, text) for text in ("three", "four")]
    for text, generation in zip(("three", "four"), generations, strict=True):
        assert "".join(event.text for event in generation) == f"{text}! " * 12
    engine.close()


def ask(engine, text, **options):
    tokens = engine.encode_chat([ChatMessage("user", text)])
    return engine.submit(GenerationRequest(prompt_tokens=tokens, **options))


@pytest.mark.parametrize("side_ctx", [2048, 300, 40])
def test_conversations_computed_apart_do_not_mix(side_ctx):
    backend = Laned(lambda text: f"{text}! " * 12, side_ctx=side_ctx)
    engine = calibrated(backend)
    for each in range(6):
        texts = [f"{each}-{number}-{'long' * 9 * number}" for number in range(1 + each)]
        generations = [ask(engine, text) for text in texts]
        for text, generation in zip(texts, generations, strict=True):
            assert "".join(event.text for event in generation) == f"{text}! " * 12
    assert backend.side.num_decoded > 0
    engine.close()
