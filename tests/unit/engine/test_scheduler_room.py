"""Who computes, who waits and for what, when there is not room for everybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.backend import NoRoomError
from localassist.engine.cache_operation import CopyPrefix, Save, Truncate
from localassist.engine.chat_template import ChatMessage, ChatTemplate
from localassist.engine.prefix_cache import common_prefix
from localassist.engine.scheduler import EXACT_BLOCK, Scheduler
from localassist.engine.scripted import ScriptedBackend
from localassist.engine.sequence import Sequence
from localassist.engine.step_plan import CostCurve, StepPlan


class Kept:
    """A store that keeps everything."""

    def __init__(self):
        self.saved = {}

    def match(self, tokens):
        return max((common_prefix(list(key), tokens) for key in self.saved), default=0)

    def at_hand(self, tokens):
        return self.match(tokens)

    def data(self, tokens):
        """What was saved, piece by piece, for the longest known beginning of `tokens`."""
        best = max(self.saved, key=lambda key: common_prefix(list(key), tokens))
        return self.saved[best]


class Machine:
    """Scheduler and backend, stepped by hand; greedy."""

    def __init__(self, *, n_ctx=4096, stored=None, plan=None, **options):
        self.backend = ScriptedBackend(n_ctx=n_ctx)
        self.template = ChatTemplate(self.backend.chat_template)
        options = {"num_slots": 32, "max_running": 8, "n_batch": 512, **options}
        self.scheduler = Scheduler(n_ctx=n_ctx, stored=stored, plan=plan, **options)
        self.stored = stored
        self.batches = []

    def add(self, text, *, max_tokens=1000):
        tokens = self.template.encode([ChatMessage("user", text)], self.backend)
        sequence = Sequence(tokens, len(tokens), max_tokens)
        self.scheduler.add(sequence)
        return sequence

    def admit(self):
        for operation in self.scheduler.admit():
            self.carry_out(operation)

    def step(self):
        self.admit()
        batch = self.scheduler.schedule()
        try:
            rows = self.backend.decode(batch.chunks, num_rows=batch.num_rows)
        except NoRoomError:
            assert self.scheduler.relieve(batch)
            return
        self.batches.append(batch)
        self.scheduler.computed(batch)
        for chunk, chunk_rows in zip(batch.chunks, rows, strict=True):
            for row in chunk_rows:
                self.take(chunk.sequence, int(row.argmax()))

    def take(self, sequence, token):
        if self.backend.is_end(token) or sequence.num_generated_tokens >= sequence.max_tokens:
            self.scheduler.finish(sequence)
        else:
            sequence.tokens.append(token)

    def carry_out(self, operation):
        if isinstance(operation, CopyPrefix):
            self.backend.copy_prefix(operation.source_id, operation.seq_id, operation.length)
        elif isinstance(operation, Truncate):
            self.backend.truncate(operation.seq_id, operation.length)
        elif isinstance(operation, Save):
            before = self.stored.saved.get(tuple(operation.tokens[: operation.start]), [])
            end = len(operation.tokens)
            data = self.backend.save(operation.seq_id, start=operation.start, end=end)
            self.stored.saved[tuple(operation.tokens)] = [*before, (operation.start, end, data)]
        else:
            self.restore(operation)

    def restore(self, operation):
        position = operation.start
        for start, end, data in self.stored.data(operation.sequence.tokens):
            end = min(end, operation.end)
            if start <= position < end:
                self.backend.restore(operation.seq_id, data, start=position, end=end)
                position = end
        self.scheduler.restored(operation.sequence, position)

    def hibernate(self):
        while (save := self.scheduler.unsaved()) is not None:
            self.carry_out(save)

    def goes_on(self, sequence, text):
        """The conversation's next turn."""
        tokens = [*sequence.tokens, *text.encode()]
        self.scheduler.add(turn := Sequence(tokens, len(tokens), max_tokens=1000))
        return turn

    def run(self, *, until=None):
        for _ in range(6_000):
            if self.scheduler.idle if until is None else until():
                return
            self.step()
        raise AssertionError("the scheduler does not come to an end")


def answer(sequence):
    return bytes(sequence.tokens[sequence.num_prompt_tokens :]).decode()


def test_what_is_hibernated_makes_way_for_whoever_comes():
    machine = Machine(stored=Kept())
    machine.add("a" * 200)
    machine.run()
    machine.add("b" * 100)
    machine.step()
    assert machine.scheduler.stats.cells_used > 300
    machine.run()

    machine.hibernate()
    machine.add("c" * 50)
    machine.step()
    assert machine.scheduler.stats.cells_used < 100


def test_one_of_several_conversations_goes_on_at_the_beginning_of_the_context():
    machine = Machine(stored=Kept())
    first, second = machine.add("a" * 200), machine.add("b" * 100)
    machine.run()
    machine.hibernate()
    turn = machine.goes_on(second, "b" * 50)
    machine.admit()
    assert min(turn.slot.cells) == 0
    assert turn.num_cached_tokens >= len(second.tokens) - 1
    assert turn.num_cached_tokens < len(first.tokens)


def test_what_rows_cost_is_measured_beside_nobody():
    machine = Machine(stored=Kept())
    machine.add("a" * 200)
    machine.run()
    machine.hibernate()
    for operation in machine.scheduler.put_out_all():
        machine.carry_out(operation)
    assert machine.scheduler.stats.cells_used == 0


@pytest.mark.parametrize("max_running", [2, 8, 32])
@pytest.mark.parametrize("stored", [None, Kept])
def test_64_at_once_all_get_their_answers_on_a_context_that_holds_4(max_running, stored):
    # A prompt of 90 tokens and an answer of 70.
    machine = Machine(n_ctx=640, max_running=max_running, stored=stored and stored())
    texts = [f"{number:02}" * 30 for number in range(64)]
    sequences = [machine.add(text) for text in texts]

    machine.run()

    assert [answer(each) for each in sequences] == [f"You said: {text}" for text in texts]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.text("ab", max_size=60), st.integers(0, 9)),
        min_size=4,
        max_size=16,
    ),
    st.integers(260, 700),
)
def test_what_is_pushed_out_comes_back_from_the_store_with_its_own_answer(arrivals, n_ctx):
    machine = Machine(n_ctx=n_ctx, num_slots=6, max_running=4, stored=Kept())
    sequences = []
    for name, end, steps in arrivals:
        text = "cdef"[name] * 60 + end
        sequences.append((text, machine.add(text)))
        for _ in range(steps):
            if not machine.scheduler.idle:
                machine.step()
    machine.run()

    for text, sequence in sequences:
        whole = f"You said: {text}"
        assert answer(sequence) == whole[: n_ctx - sequence.num_prompt_tokens]


def test_an_evicted_conversation_is_restored_and_not_computed_again():
    machine = Machine(n_ctx=600, stored=Kept())
    machine.add("a" * 200)
    machine.run()
    machine.add("b" * 200)
    machine.run()
    before = machine.backend.num_computed_tokens

    again = machine.add("a" * 200)
    machine.run()

    assert answer(again) == "You said: " + "a" * 200
    assert machine.backend.num_computed_tokens - before < 220
    assert again.num_cached_tokens == again.num_prompt_tokens - 1


def test_an_answer_that_is_pushed_out_goes_on_from_the_store():
    machine = Machine(n_ctx=1200, stored=Kept())
    sequences = [machine.add(f"{number}" * 300) for number in range(2)]

    machine.run()

    assert [answer(each) for each in sequences] == [
        "You said: " + "0" * 300,
        "You said: " + "1" * 300,
    ]
    assert any(each.was_preempted for each in sequences)
    total = sum(len(each.tokens) for each in sequences)
    assert total <= machine.backend.num_computed_tokens <= total + 10


@pytest.mark.parametrize("count", [2, 8])
def test_a_beginning_that_many_share_is_computed_once(count):
    machine = Machine(n_ctx=16_000)
    machine.add("the same instructions " * 30 + "0", max_tokens=1)
    alone = len(machine.scheduler.sequences[0].tokens)
    others = [
        machine.add("the same instructions " * 30 + f"{number}", max_tokens=1)
        for number in range(1, count)
    ]

    machine.run()

    # Below 64 tokens nobody waits.
    assert machine.backend.num_computed_tokens < alone + (count - 1) * (64 + 20)
    assert all(answer(each) == "Y" for each in others)


def test_a_backend_that_has_less_room_than_the_books_say_still_answers_everybody():
    # The scripted backend counts a shared cell for everybody who has it.
    machine = Machine(n_ctx=2000)
    texts = ["the same instructions " * 20 + f"{number}" for number in range(8)]
    sequences = [machine.add(text, max_tokens=20) for text in texts]

    machine.run()

    assert [answer(each) for each in sequences] == ["You said: the same i"] * 8


def test_the_one_that_shares_nothing_does_not_wait_with_those_that_do():
    machine = Machine()
    machine.add("a" * 600)
    machine.add("a" * 600 + "b")
    other = machine.add("c" * 60)
    machine.run(until=lambda: answer(other))
    assert machine.scheduler.stats.running == 2
    assert machine.scheduler.stats.waiting_for == "the same beginning, which is being computed"


@pytest.mark.parametrize(
    ("options", "texts", "reason"),
    [
        ({"max_running": 1}, ["a", "b"], "one of the 1 running answers to end"),
        ({"n_ctx": 500}, ["a" * 300, "b" * 300], "room in the context"),
        ({}, ["a" * 300, "a" * 300], "the same beginning, which is being computed"),
        ({"deterministic": True}, ["a", "b"], "one of the 1 running answers to end"),
    ],
)
def test_what_a_sequence_waits_for_is_told_as_long_as_it_waits(options, texts, reason):
    machine = Machine(**options)
    first, second = (machine.add(text, max_tokens=80) for text in texts)
    machine.step()
    stats = machine.scheduler.stats
    assert (stats.running, stats.waiting, stats.waiting_for) == (1, 1, reason)

    machine.scheduler.finish(second)
    assert machine.scheduler.stats.waiting_for is None
    machine.scheduler.finish(first)
    stats = machine.scheduler.stats
    assert (stats.running, stats.waiting) == (0, 0)
    assert 0 < stats.cells_used <= stats.cells


@pytest.mark.parametrize("arriving", ["at once", "while it is read"])
def test_a_long_prompt_comes_to_its_turn_although_short_ones_keep_arriving(arriving):
    machine = Machine()
    if arriving == "at once":
        for number in range(4):
            machine.add(f"{number}" * 60, max_tokens=1)
    long = machine.add("x" * 1000)

    for number in range(1000):
        if answer(long):
            break
        # As much as a step reads, so that it would never get on if the shortest always came first.
        if machine.scheduler.stats.waiting == 0:
            machine.add(f"{number:04}" * 20, max_tokens=1)
        machine.step()

    assert answer(long)
    served = {id(chunk.sequence) for batch in machine.batches for chunk in batch.chunks}
    assert len(served) > 10  # the short ones were not kept waiting either


def test_short_prompts_come_before_a_long_one_that_has_not_waited():
    machine = Machine()
    long, short = machine.add("x" * 2000), machine.add("y" * 20)
    machine.run(until=lambda: answer(short))
    assert long.num_computed_tokens < 500


@pytest.mark.parametrize("size", [1, 3, 4, 6])
def test_those_served_least_recently_go_on_first(size):
    # A step of `size` rows is the cheapest by far.
    seconds = {rows: 0.01 + 0.1 * (rows > size) for rows in range(1, 9)}
    machine = Machine(plan=StepPlan(CostCurve(seconds)))
    sequences = [machine.add(f"{number}" * 40) for number in range(6)]
    machine.run(until=lambda: all(each.decoding for each in sequences))
    said = [each.num_generated_tokens for each in sequences]

    for _ in range(17):
        machine.step()
        assert len(machine.batches[-1].chunks) == size

    since = [each.num_generated_tokens - at for each, at in zip(sequences, said, strict=True)]
    assert max(since) - min(since) <= 1
    assert sum(since) == 17 * size


def test_a_step_is_padded_only_while_there_is_room():
    prompt = len(Machine().add("a" * 100).tokens)
    room = 2 * (prompt + 111)
    machine = Machine(n_ctx=room, plan=StepPlan(CostCurve({1: 9.0, 2: 9.0, 3: 1.0})))
    sequences = [machine.add(each * 100, max_tokens=111) for each in "ab"]
    padded = set()
    while not machine.scheduler.idle:
        machine.step()
        batch = machine.batches[-1]
        used = machine.scheduler.stats.cells_used - batch.num_tokens
        assert used + max(batch.num_rows, batch.num_tokens) <= room
        padded.add(batch.num_rows)
    assert [answer(each) for each in sequences] == ["You said: " + each * 100 for each in "ab"]
    assert 3 in padded


@pytest.mark.parametrize(("spare", "num_rows"), [(0, 63), (1, 64)])
def test_a_prompt_is_padded_only_while_there_is_room(spare, num_rows):
    prompt = len(Machine().add("a" * 30).tokens)
    machine = Machine(n_ctx=63 + spare, plan=StepPlan(CostCurve({32: 0.01})))
    machine.add("a" * (93 - prompt), max_tokens=1)
    machine.step()
    batch = machine.batches[0]
    assert (batch.num_tokens, batch.num_rows, batch.num_prefilled) == (63, num_rows, 63)


def test_a_turn_deep_in_a_conversation_is_padded_and_beside_other_answers_it_is_not():
    machine = Machine(n_ctx=16_384, plan=StepPlan(CostCurve({32: 0.01})))
    machine.add("a" * 2000, max_tokens=1)
    machine.run(until=lambda: machine.scheduler.idle)
    machine.add("a" * 2000 + "b" * 40, max_tokens=1)
    machine.step()
    alone = machine.batches[-1]
    assert alone.num_tokens < 60
    assert alone.num_rows == 64

    other = machine.add("a" * 2000 + "c" * 20, max_tokens=100)
    machine.run(until=lambda: other.decoding)
    machine.add("a" * 2000 + "d" * 40, max_tokens=1)
    machine.step()
    beside = machine.batches[-1]
    assert len(beside.chunks) == 2
    assert beside.num_rows == beside.num_tokens == alone.num_tokens + 1


def test_a_context_too_full_for_padding_is_not_too_full_for_the_prompt():
    prompt = len(Machine().add("a" * 30).tokens)
    machine = Machine(n_ctx=200, plan=StepPlan(CostCurve({32: 0.01})))
    machine.backend.n_ctx = 63  # less than anybody had counted on
    sequence = machine.add("a" * (93 - prompt), max_tokens=1)
    machine.step()
    assert not machine.batches
    machine.step()
    assert machine.batches[0].num_rows == 63
    assert sequence.num_computed_tokens == 63


def test_a_prompt_is_not_padded_beyond_what_a_step_may_have():
    prompt = len(Machine().add("a" * 30).tokens)
    machine = Machine(n_batch=63, plan=StepPlan(CostCurve({32: 0.01})))
    machine.add("a" * (93 - prompt), max_tokens=1)
    machine.step()
    assert machine.batches[0].num_rows == 63


# --- deterministic ---


def chunks_of(machine, sequence):
    chunks = [chunk for batch in machine.batches for chunk in batch.chunks]
    return [(each.start, len(each.tokens)) for each in chunks if each.sequence is sequence]


def test_deterministic_computes_one_at_a_time():
    machine = Machine(deterministic=True, max_running=8)
    sequences = [machine.add(f"{number}" * 200) for number in range(4)]
    order = []
    while not machine.scheduler.idle:
        machine.step()
        (chunk,) = machine.batches[-1].chunks
        order += [] if order[-1:] == [chunk.sequence] else [chunk.sequence]
        assert machine.scheduler.stats.running <= 1
    assert order == sequences
    assert [answer(each)[-9:] for each in sequences] == [f"{number}" * 9 for number in range(4)]


BEFORE = [[], ["a" * 100], ["a" * 300], ["a" * 1000], ["b" * 300], ["a" * 500, "b" * 500]]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("stored", [None, Kept])
def test_deterministic_computes_the_same_blocks_whatever_was_computed_before(before, stored):
    machine = Machine(deterministic=True, stored=stored and stored())
    alone = machine.add("a" * 500)
    machine.run()
    other = Machine(deterministic=True, stored=stored and stored())
    for text in before:
        other.add(text)
        other.run()
    sequence = other.add("a" * 500)
    other.run()

    whole, rest = chunks_of(machine, alone), chunks_of(other, sequence)
    skipped = len(whole) - len(rest)
    assert rest == whole[skipped:]
    assert sequence.num_cached_tokens == skipped * EXACT_BLOCK
    assert answer(sequence) == answer(alone) == "You said: " + "a" * 500
