"""The scheduler drives a scripted context: every answer proves that its cache was right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.cache_operation import CopyPrefix, Truncate
from localassist.engine.chat_template import ChatMessage, ChatTemplate
from localassist.engine.prefix_cache import PrefixCache
from localassist.engine.scheduler import Scheduler
from localassist.engine.scripted import ScriptedBackend
from localassist.engine.sequence import Sequence, SequenceStatus


class Machine:
    """Scheduler and backend, stepped by hand; greedy."""

    def __init__(self, *, n_ctx=2048, max_running=8, num_slots=32):
        self.backend = ScriptedBackend(n_ctx=n_ctx)
        self.template = ChatTemplate(self.backend.chat_template)
        self.scheduler = Scheduler(
            n_ctx=n_ctx, num_slots=num_slots, max_running=max_running, n_batch=512
        )
        self.largest_step = 0

    def add(self, *turns, max_tokens=200):
        roles = ["user", "assistant"]
        messages = [ChatMessage(roles[i % 2], text) for i, text in enumerate(turns)]
        tokens = self.template.encode(messages, self.backend)
        sequence = Sequence(tokens=tokens, num_prompt_tokens=len(tokens), max_tokens=max_tokens)
        self.scheduler.add(sequence)
        return sequence

    def step(self):
        for operation in self.scheduler.admit():
            self.carry_out(operation)
        batch = self.scheduler.schedule()
        self.largest_step = max(self.largest_step, batch.num_tokens)
        rows = self.backend.decode(batch.chunks)
        self.scheduler.computed(batch)
        for chunk, chunk_rows in zip(batch.chunks, rows, strict=True):
            for row in chunk_rows:
                token = int(row.argmax())
                if self.backend.is_end(token):
                    self.scheduler.finish(chunk.sequence)
                else:
                    chunk.sequence.tokens.append(token)

    def carry_out(self, operation):
        if isinstance(operation, CopyPrefix):
            self.backend.copy_prefix(operation.source_id, operation.seq_id, operation.length)
        else:
            assert isinstance(operation, Truncate)
            self.backend.truncate(operation.seq_id, operation.length)

    def run(self):
        for _ in range(100_000):
            if self.scheduler.idle:
                return
            self.step()
        raise AssertionError("the scheduler does not come to an end")


def answer(sequence):
    return bytes(sequence.tokens[sequence.num_prompt_tokens :]).decode()


def test_a_turn_computes_only_its_new_words():
    machine = Machine()
    first = machine.add("x" * 500)
    machine.run()
    before = machine.backend.num_computed_tokens

    second = machine.add("x" * 500, answer(first), "more")
    machine.run()

    assert answer(second) == "You said: more"
    assert second.num_cached_tokens >= first.num_prompt_tokens + len(answer(first)) - 1
    assert machine.backend.num_computed_tokens - before < 80


def test_a_shared_beginning_is_copied_not_computed():
    machine = Machine()
    machine.add("the same long instructions " * 10 + "one")
    machine.run()

    other = machine.add("the same long instructions " * 10 + "two")
    machine.run()

    assert answer(other).endswith("two")
    assert other.num_cached_tokens > 200


def test_a_short_match_does_not_take_another_conversations_cache():
    machine = Machine()
    first = machine.add("a" * 400)
    machine.run()
    machine.add("b")  # shares only the frame with the first
    machine.run()

    second = machine.add("a" * 400, answer(first), "again")
    machine.run()

    assert second.num_cached_tokens > 400


def test_a_running_answer_goes_on_while_a_long_prompt_is_computed():
    machine = Machine()
    talking = machine.add("hello " * 10)
    machine.step()
    machine.step()
    machine.add("p" * 1000)

    said = talking.num_generated_tokens
    machine.step()
    machine.step()
    machine.step()

    assert talking.num_generated_tokens == said + 3


def test_no_step_is_larger_than_a_chunk_and_the_running_answers():
    machine = Machine()
    for i in range(6):
        machine.add(f"{i}" * 300)
    machine.run()

    assert machine.largest_step <= 128 + 8


def test_idle_conversations_make_room_for_a_new_one():
    machine = Machine(n_ctx=1000)
    for text in "abcd":
        machine.add(text * 350)
        machine.run()

    last = machine.add("e" * 350)
    machine.run()

    assert answer(last) == "You said: " + "e" * 350


def test_conversations_that_outgrow_the_context_together_all_end():
    machine = Machine(n_ctx=900)
    sequences = [machine.add(f"{i}" * 150, max_tokens=400) for i in range(6)]

    machine.run()

    assert [answer(s) for s in sequences] == [f"You said: {str(i) * 150}" for i in range(6)]


@given(
    st.lists(
        st.tuples(st.text("ab", min_size=1, max_size=120), st.integers(0, 6)),
        min_size=1,
        max_size=12,
    ),
    st.integers(400, 1200),
)
def test_every_sequence_ends_with_its_own_answer(arrivals, n_ctx):
    machine = Machine(n_ctx=n_ctx, num_slots=4, max_running=3)
    sequences = []
    for text, steps in arrivals:
        sequences.append((text, machine.add(text)))
        for _ in range(steps):
            if not machine.scheduler.idle:
                machine.step()
    machine.run()

    for text, sequence in sequences:
        assert answer(sequence) == f"You said: {text}"
        assert sequence.status is SequenceStatus.FINISHED


def test_a_finished_sequence_gives_its_slot_back_and_a_waiting_one_can_be_taken_out():
    machine = Machine(max_running=1)
    running, waiting = machine.add("one"), machine.add("two")
    machine.step()

    machine.scheduler.finish(waiting)
    machine.scheduler.finish(running)

    assert machine.scheduler.idle


def test_two_live_sequences_never_share_a_slot():
    cache = PrefixCache(num_slots=2, n_ctx=100)
    a = Sequence(tokens=[1, 2, 3], num_prompt_tokens=3, max_tokens=5)
    b = Sequence(tokens=[1, 2, 3], num_prompt_tokens=3, max_tokens=5)
    c = Sequence(tokens=[1, 2, 3], num_prompt_tokens=3, max_tokens=5)

    assert cache.acquire(a) is not None
    assert cache.acquire(b) is not None
    assert cache.acquire(c) is None
    assert a.slot is not b.slot
